//! The vocabulary of elementwise work (drivers follow).

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[allow(missing_docs)] // the names say it; `rust/core/src/ops/elementwise.rs` documents each
        pub enum $name { $($variant),* }

        impl $name {
            /// Every member.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name of the op.
            pub fn name(self) -> &'static str {
                match self { $($name::$variant => $text),* }
            }

            /// The member of that name.
            pub fn from_name(name: &str) -> Option<$name> {
                match name { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

vocabulary!(
    /// Functions of one element.
    Unary {
        Neg = "negative", Abs = "absolute", Sign = "sign", Square = "square", Sqrt = "sqrt", Rsqrt = "rsqrt",
        Reciprocal = "reciprocal", Exp = "exp", Exp2 = "exp2", Expm1 = "expm1", Log = "log", Log2 = "log2",
        Log10 = "log10", Log1p = "log1p", Sin = "sin", Cos = "cos", Tan = "tan", Asin = "arcsin", Acos = "arccos",
        Atan = "arctan", Sinh = "sinh", Cosh = "cosh", Tanh = "tanh", Asinh = "arcsinh", Acosh = "arccosh",
        Atanh = "arctanh", Erf = "erf", Erfc = "erfc", ErfInv = "erfinv", Sigmoid = "sigmoid", Softplus = "softplus",
        Relu = "relu", Floor = "floor", Ceil = "ceil", Round = "round", Trunc = "trunc", IsNan = "isnan",
        IsInf = "isinf", IsFinite = "isfinite", Not = "logical_not", BitNot = "bitwise_not",
    }
);

vocabulary!(
    /// Functions of two elements.
    Binary {
        Add = "add", Sub = "subtract", Mul = "multiply", Div = "divide", FloorDiv = "floor_divide", Mod = "mod",
        Pow = "power", Atan2 = "arctan2", Hypot = "hypot", LogAddExp = "logaddexp", Min = "minimum", Max = "maximum",
        Eq = "equal", Ne = "not_equal", Lt = "less", Le = "less_equal", Gt = "greater", Ge = "greater_equal",
        And = "logical_and", Or = "logical_or", Xor = "logical_xor", BitAnd = "bitwise_and", BitOr = "bitwise_or",
        BitXor = "bitwise_xor", Shl = "left_shift", Shr = "right_shift", ReluGrad = "relu_grad",
    }
);
