//! Elementwise ops: a table of kernel function, result dtype and gradient.

use std::f64::consts::{LN_2, LN_10, PI};
use std::sync::Arc;

use half::{bf16, f16};
use rkeras_kernels::map::{self, Binary, Number, Unary};
use smallvec::SmallVec;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::cast;
use crate::shape::{Spec, broadcast};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push1};

/// Calls `$m!(type)` with the element type of a dtype (u8 for bool).
macro_rules! with_element {
    ($dtype:expr, $m:ident) => {
        match $dtype {
            DType::Bool | DType::U8 => $m!(u8),
            DType::U16 => $m!(u16),
            DType::U32 => $m!(u32),
            DType::U64 => $m!(u64),
            DType::I8 => $m!(i8),
            DType::I16 => $m!(i16),
            DType::I32 => $m!(i32),
            DType::I64 => $m!(i64),
            DType::F16 => $m!(f16),
            DType::BF16 => $m!(bf16),
            DType::F32 => $m!(f32),
            DType::F64 => $m!(f64),
        }
    };
}
pub(crate) use with_element;

const FLAT: Grad = Grad::None("piecewise constant: the derivative is zero wherever it exists");
const TRUTH: Grad = Grad::None("truth values do not vary continuously");
const BITS: Grad = Grad::None("bits of integers do not vary continuously");

/// A function of one element.
#[derive(Debug)]
pub struct UnaryOp(pub Unary);

/// A function of two elements, broadcast.
#[derive(Debug)]
pub struct BinaryOp(pub Binary);

/// The second input where the first is true, else the third; broadcast.
#[derive(Debug)]
pub struct Where;

/// A constant of the dtype of `like`.
pub fn scalar(value: f64, like: &Value) -> Result<Value> {
    Ok(Value::Tensor(Tensor::scalar(value, like.dtype())?))
}

fn unary(op: Unary, x: &Value) -> Result<Value> {
    push1(UnaryOp(op), std::slice::from_ref(x))
}

fn binary(op: Binary, x: &Value, y: &Value) -> Result<Value> {
    push1(BinaryOp(op), &[x.clone(), y.clone()])
}

macro_rules! unary_functions {
    ($($name:ident = $op:ident),* $(,)?) => {$(
        #[doc = concat!("Elementwise ", stringify!($name), "; see [`Unary::", stringify!($op), "`].")]
        pub fn $name(x: &Value) -> Result<Value> {
            unary(Unary::$op, x)
        }
    )*};
}
unary_functions!(
    negative = Neg,
    absolute = Abs,
    sign = Sign,
    square = Square,
    sqrt = Sqrt,
    rsqrt = Rsqrt,
    reciprocal = Reciprocal,
    exp = Exp,
    log = Log,
    log1p = Log1p,
    sin = Sin,
    cos = Cos,
    sinh = Sinh,
    cosh = Cosh,
    tanh = Tanh,
    erf = Erf,
    sigmoid = Sigmoid,
    softplus = Softplus,
    relu = Relu,
    gelu = Gelu,
    gelu_tanh = GeluTanh,
    floor = Floor,
    digamma = Digamma,
    trigamma = Trigamma,
    logical_not = Not,
);

macro_rules! binary_functions {
    ($($name:ident = $op:ident),* $(,)?) => {$(
        #[doc = concat!("Elementwise ", stringify!($name), "; see [`Binary::", stringify!($op), "`].")]
        pub fn $name(x: &Value, y: &Value) -> Result<Value> {
            binary(Binary::$op, x, y)
        }
    )*};
}
binary_functions!(
    add = Add,
    subtract = Sub,
    multiply = Mul,
    divide = Div,
    floor_divide = FloorDiv,
    power = Pow,
    minimum = Min,
    maximum = Max,
    equal = Eq,
    not_equal = Ne,
    less = Lt,
    less_equal = Le,
    greater = Gt,
    greater_equal = Ge,
    logical_and = And,
    logical_or = Or,
    relu_grad = ReluGrad,
    tanh_grad = TanhGrad,
    sigmoid_grad = SigmoidGrad,
    gelu_grad = GeluGrad,
    gelu_tanh_grad = GeluTanhGrad,
);

/// `a` where `condition`, else `b`.
pub fn select(condition: &Value, a: &Value, b: &Value) -> Result<Value> {
    push1(Where, &[condition.clone(), a.clone(), b.clone()])
}

/// x plus a number.
pub fn add_scalar(x: &Value, value: f64) -> Result<Value> {
    add(x, &scalar(value, x)?)
}

/// x times a number.
pub fn scale(x: &Value, value: f64) -> Result<Value> {
    multiply(x, &scalar(value, x)?)
}

/// The second derivative of gelu: e^(-x^2 / 2) / sqrt(2 pi) (2 - x^2).
fn gelu_bend(x: &Value) -> Result<Value> {
    let square = square(x)?;
    let density = scale(&exp(&scale(&square, -0.5)?)?, 1.0 / (2.0 * PI).sqrt())?;
    multiply(&density, &add_scalar(&negative(&square)?, 2.0)?)
}

/// The second derivative of gelu by tanh, x s(v) with s the sigmoid and v = sqrt(8 / pi) (x + 0.044715 x^3):
/// 2 s' v' + x (s'' v'^2 + s' v'').
fn gelu_tanh_bend(x: &Value) -> Result<Value> {
    let k = (8.0 / PI).sqrt();
    let c = 0.044715;
    let square = square(x)?;
    let v = multiply(x, &add_scalar(&scale(&square, k * c)?, k)?)?;
    let s = sigmoid(&v)?;
    let first = sigmoid_grad(&scalar(1.0, x)?, &s)?;
    let second = multiply(&first, &add_scalar(&scale(&s, -2.0)?, 1.0)?)?;
    let slope = add_scalar(&scale(&square, 3.0 * k * c)?, k)?;
    let bend = scale(x, 6.0 * k * c)?;
    let inner = add(&multiply(&second, &multiply(&slope, &slope)?)?, &multiply(&first, &bend)?)?;
    add(&scale(&multiply(&first, &slope)?, 2.0)?, &multiply(x, &inner)?)
}

fn is_test(op: Unary) -> bool {
    matches!(op, Unary::IsNan | Unary::IsInf | Unary::IsFinite | Unary::Not)
}

/// Functions that make sense on integers as they are; the others first become floats.
fn keeps_integers(op: Unary) -> bool {
    use Unary::*;
    is_test(op)
        || matches!(op, Neg | Abs | Sign | Square | Relu | Floor | Ceil | Round | Trunc | BitNot | Bfloat16)
}

impl Op for UnaryOp {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let dtype = x[0].dtype;
        if self.0 == Unary::BitNot && dtype.is_float() {
            return Err(Error::dtype(self.name(), "integers or truth values", dtype.name()));
        }
        if dtype == DType::Bool && matches!(self.0, Unary::Neg) {
            return Err(Error::dtype(self.name(), "numbers", "bool").hint("use logical_not for truth values"));
        }
        let dtype = if is_test(self.0) { DType::Bool } else { dtype };
        Ok(Outputs::from_elem(Spec::new(x[0].shape.clone(), dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        if self.0 == Unary::BitNot && x[0].dtype == DType::Bool {
            return map::test(Unary::Not, x[0].slice::<u8>(), y[0].bytes);
        }
        macro_rules! run {
            ($t:ty) => {
                if is_test(self.0) {
                    map::test(self.0, x[0].slice::<$t>(), y[0].bytes)
                } else {
                    map::unary(self.0, x[0].slice::<$t>(), y[0].slice::<$t>())
                }
            };
        }
        with_element!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        use Unary::*;
        match self.0 {
            Sign | Floor | Ceil | Round | Trunc | Bfloat16 => FLAT,
            IsNan | IsInf | IsFinite | Not => TRUTH,
            BitNot => BITS,
            Trigamma => Grad::Missing("the polygamma functions after trigamma are not offered"),
            _ => Grad::Rule,
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        use Unary::*;
        let (x, y, dy) = (&cx.x[0], &cx.y[0], &cx.dy(0)?);
        // 1 + s·x², the inner derivative of the inverse trigonometric and hyperbolic functions.
        let one_plus = |s: f64| add_scalar(&scale(&square(x)?, s)?, 1.0);
        let dx = match self.0 {
            Neg => negative(dy)?,
            Abs => multiply(dy, &sign(x)?)?,
            Square => multiply(dy, &scale(x, 2.0)?)?,
            Sqrt => divide(&scale(dy, 0.5)?, y)?,
            Rsqrt => multiply(&scale(dy, -0.5)?, &multiply(y, &square(y)?)?)?,
            Reciprocal => negative(&multiply(dy, &square(y)?)?)?,
            Exp => multiply(dy, y)?,
            Exp2 => multiply(&scale(dy, LN_2)?, y)?,
            Expm1 => multiply(dy, &add_scalar(y, 1.0)?)?,
            Log => divide(dy, x)?,
            Log2 => divide(&scale(dy, 1.0 / LN_2)?, x)?,
            Log10 => divide(&scale(dy, 1.0 / LN_10)?, x)?,
            Log1p => divide(dy, &add_scalar(x, 1.0)?)?,
            Sin => multiply(dy, &cos(x)?)?,
            Cos => negative(&multiply(dy, &sin(x)?)?)?,
            Tan => multiply(dy, &add_scalar(&square(y)?, 1.0)?)?,
            Asin => multiply(dy, &rsqrt(&one_plus(-1.0)?)?)?,
            Acos => negative(&multiply(dy, &rsqrt(&one_plus(-1.0)?)?)?)?,
            Atan => divide(dy, &one_plus(1.0)?)?,
            Sinh => multiply(dy, &cosh(x)?)?,
            Cosh => multiply(dy, &sinh(x)?)?,
            Tanh => tanh_grad(dy, y)?,
            Asinh => multiply(dy, &rsqrt(&one_plus(1.0)?)?)?,
            Acosh => multiply(dy, &rsqrt(&add_scalar(&square(x)?, -1.0)?)?)?,
            Atanh => divide(dy, &one_plus(-1.0)?)?,
            Erf | Erfc => {
                let sign = if self.0 == Erf { 1.0 } else { -1.0 };
                multiply(dy, &scale(&exp(&negative(&square(x)?)?)?, sign * 2.0 / PI.sqrt())?)?
            }
            ErfInv => multiply(dy, &scale(&exp(&square(y)?)?, PI.sqrt() / 2.0)?)?,
            Lgamma => multiply(dy, &digamma(x)?)?,
            Digamma => multiply(dy, &trigamma(x)?)?,
            Sigmoid => sigmoid_grad(dy, y)?,
            Softplus => multiply(dy, &sigmoid(x)?)?,
            Relu => relu_grad(dy, y)?,
            Gelu => gelu_grad(dy, x)?,
            GeluTanh => gelu_tanh_grad(dy, x)?,
            Sign | Floor | Ceil | Round | Trunc | IsNan | IsInf | IsFinite | Not | BitNot | Trigamma
            | Bfloat16 => return Ok(vec![None]),
        };
        Ok(vec![Some(dx)])
    }

    fn traits(&self) -> Traits {
        use Unary::*;
        let by_output = matches!(
            self.0,
            Neg | Sqrt | Rsqrt | Reciprocal | Exp | Exp2 | Expm1 | Tan | Tanh | ErfInv | Sigmoid | Relu
        );
        Traits {
            lane: Some(Lane::Unary(self.0)),
            floats: !keeps_integers(self.0),
            vjp_ignores_inputs: by_output,
            vjp_ignores_outputs: !by_output || self.0 == Neg,
            selects: matches!(self.0, Neg | Abs | Sign | Relu | Floor | Ceil | Round | Trunc),
            ..Traits::default()
        }
    }
}

fn is_comparison(op: Binary) -> bool {
    use Binary::*;
    matches!(op, Eq | Ne | Lt | Le | Gt | Ge | And | Or | Xor)
}

/// What arithmetic means on truth values, as in NumPy.
fn on_bool(op: Binary) -> Option<Binary> {
    use Binary::*;
    match op {
        Add | Max | BitOr => Some(Or),
        Mul | Min | BitAnd => Some(And),
        BitXor => Some(Xor),
        _ => None,
    }
}

impl Op for BinaryOp {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        use Binary::*;
        let who = self.name();
        let dtype = x[0].dtype;
        if dtype == DType::Bool && !is_comparison(self.0) && on_bool(self.0).is_none() {
            return Err(Error::dtype(who, "numbers", "bool").hint("cast truth values to a number type first"));
        }
        if dtype.is_float() && matches!(self.0, BitAnd | BitOr | BitXor | Shl | Shr) {
            return Err(Error::dtype(who, "integers or truth values", dtype.name()));
        }
        let shape = broadcast(who, &x[0].shape, &x[1].shape)?;
        let dtype = if is_comparison(self.0) { DType::Bool } else { dtype };
        Ok(Outputs::from_elem(Spec::new(shape, dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let out = &mut y[0];
        macro_rules! run {
            ($t:ty) => {{
                let (mut ca, mut cb) = (Vec::new(), Vec::new());
                let (a, sa) = operand::<$t>(&x[0], out.shape, &mut ca);
                let (b, sb) = operand::<$t>(&x[1], out.shape, &mut cb);
                let compare =
                    if x[0].dtype == DType::Bool { on_bool(self.0).unwrap_or(self.0) } else { self.0 };
                if is_comparison(compare) {
                    map::compare(compare, out.shape, a, &sa, b, &sb, out.bytes)
                } else {
                    let shape = out.shape;
                    map::binary(self.0, shape, a, &sa, b, &sb, out.slice::<$t>())
                }
            }};
        }
        with_element!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        use Binary::*;
        match self.0 {
            FloorDiv | Nextafter => FLAT,
            Eq | Ne | Lt | Le | Gt | Ge | And | Or | Xor => TRUTH,
            BitAnd | BitOr | BitXor | Shl | Shr => BITS,
            _ => Grad::Rule,
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        use Binary::*;
        let (a, b, y, dy) = (&cx.x[0], &cx.x[1], &cx.y[0], &cx.dy(0)?);
        let (need_a, need_b) = (cx.needs[0], cx.needs[1]);
        let if_a = |f: &dyn Fn() -> Result<Value>| if need_a { f().map(Some) } else { Ok(None) };
        let if_b = |f: &dyn Fn() -> Result<Value>| if need_b { f().map(Some) } else { Ok(None) };
        let masked = |mask: Value| multiply(dy, &cast(&mask, dy.dtype())?);
        let norm = || add(&square(a)?, &square(b)?);
        let grads = match self.0 {
            Add => [Some(dy.clone()), Some(dy.clone())],
            Sub => [Some(dy.clone()), if_b(&|| negative(dy))?],
            Mul => [if_a(&|| multiply(dy, b))?, if_b(&|| multiply(dy, a))?],
            Div => [if_a(&|| divide(dy, b))?, if_b(&|| negative(&divide(&multiply(dy, y)?, b)?))?],
            Mod => [Some(dy.clone()), if_b(&|| negative(&multiply(dy, &floor_divide(a, b)?)?))?],
            Pow => {
                // a^(b-1) would be infinite at a = 0, b = 0, where the derivative is 0.
                let zero = scalar(0.0, b)?;
                let less_one = || select(&equal(b, &zero)?, &scalar(1.0, b)?, &add_scalar(b, -1.0)?);
                let log_a = || log(&select(&greater(a, &scalar(0.0, a)?)?, a, &scalar(1.0, a)?)?);
                [
                    if_a(&|| multiply(dy, &multiply(b, &power(a, &less_one()?)?)?))?,
                    if_b(&|| multiply(dy, &multiply(y, &log_a()?)?))?,
                ]
            }
            Atan2 => [
                if_a(&|| divide(&multiply(dy, b)?, &norm()?))?,
                if_b(&|| negative(&divide(&multiply(dy, a)?, &norm()?)?))?,
            ],
            Hypot => [if_a(&|| divide(&multiply(dy, a)?, y))?, if_b(&|| divide(&multiply(dy, b)?, y))?],
            LogAddExp => [
                if_a(&|| multiply(dy, &exp(&subtract(a, y)?)?))?,
                if_b(&|| multiply(dy, &exp(&subtract(b, y)?)?))?,
            ],
            // Where both are equal, the first one gets the gradient.
            Max => [if_a(&|| masked(greater_equal(a, b)?))?, if_b(&|| masked(less(a, b)?))?],
            Min => [if_a(&|| masked(less_equal(a, b)?))?, if_b(&|| masked(greater(a, b)?))?],
            ReluGrad => [if_a(&|| relu_grad(dy, b))?, None],
            TanhGrad => {
                [if_a(&|| tanh_grad(dy, b))?, if_b(&|| multiply(&multiply(dy, a)?, &scale(b, -2.0)?))?]
            }
            SigmoidGrad => [
                if_a(&|| sigmoid_grad(dy, b))?,
                if_b(&|| multiply(&multiply(dy, a)?, &add_scalar(&scale(b, -2.0)?, 1.0)?))?,
            ],
            GeluGrad => [if_a(&|| gelu_grad(dy, b))?, if_b(&|| multiply(&multiply(dy, a)?, &gelu_bend(b)?))?],
            GeluTanhGrad => [
                if_a(&|| gelu_tanh_grad(dy, b))?,
                if_b(&|| multiply(&multiply(dy, a)?, &gelu_tanh_bend(b)?))?,
            ],
            SquaredDifference => {
                let twice = multiply(dy, &scale(&subtract(a, b)?, 2.0)?)?;
                [Some(twice.clone()), if_b(&|| negative(&twice))?]
            }
            _ => [None, None],
        };
        Ok(grads.into())
    }

    fn traits(&self) -> Traits {
        use Binary::*;
        let linear = matches!(self.0, Add | Sub);
        Traits {
            lane: Some(Lane::Binary(self.0)),
            promotes: true,
            floats: matches!(
                self.0,
                Div | Atan2
                    | Hypot
                    | LogAddExp
                    | Nextafter
                    | TanhGrad
                    | SigmoidGrad
                    | GeluGrad
                    | GeluTanhGrad
            ),
            strided: true,
            vjp_ignores_inputs: linear,
            vjp_ignores_outputs: !matches!(self.0, Div | Pow | Hypot | LogAddExp),
            selects: matches!(self.0, Min | Max | ReluGrad),
            ..Traits::default()
        }
    }
}

/// An input as the drivers want it: elements and strides that broadcast it to `shape`.
fn operand<'a, T: Element + Number>(
    x: &View<'a>,
    shape: &[usize],
    copy: &'a mut Vec<T>,
) -> (&'a [T], SmallVec<[usize; 6]>) {
    let layout = x.layout.broadcast(shape).expect("infer broadcast the shapes");
    if layout.strides.iter().all(|&s| s >= 0) {
        return (x.from_offset(), layout.strides.iter().map(|&s| s as usize).collect());
    }
    copy.resize(x.len(), T::default());
    x.copy_to(bytemuck::cast_slice_mut(copy));
    let strides = map::broadcast_strides(x.shape(), shape).expect("infer broadcast the shapes");
    (copy, strides.into())
}

impl Op for Where {
    fn name(&self) -> &'static str {
        "where"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        if x[0].dtype != DType::Bool {
            return Err(Error::dtype("where", "a condition of dtype bool", x[0].dtype.name()));
        }
        let branches = broadcast("where", &x[1].shape, &x[2].shape)?;
        Ok(Outputs::from_elem(Spec::new(broadcast("where", &x[0].shape, &branches)?, x[1].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let out = &mut y[0];
        let mut cc = Vec::new();
        let (c, sc) = operand::<u8>(&x[0], out.shape, &mut cc);
        macro_rules! run {
            ($t:ty) => {{
                let (mut ca, mut cb) = (Vec::new(), Vec::new());
                let (a, sa) = operand::<$t>(&x[1], out.shape, &mut ca);
                let (b, sb) = operand::<$t>(&x[2], out.shape, &mut cb);
                let shape = out.shape;
                map::select(shape, c, &sc, a, &sa, b, &sb, out.slice::<$t>())
            }};
        }
        with_element!(x[1].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dy = &cx.dy(0)?;
        let zero = scalar(0.0, dy)?;
        let a = if cx.needs[1] { Some(select(&cx.x[0], dy, &zero)?) } else { None };
        let b = if cx.needs[2] { Some(select(&cx.x[0], &zero, dy)?) } else { None };
        Ok(vec![None, a, b])
    }

    fn traits(&self) -> Traits {
        Traits {
            lane: Some(Lane::Select),
            promotes: true,
            promote_from: 1,
            strided: true,
            vjp_ignores_outputs: true,
            selects: true,
            ..Traits::default()
        }
    }
}

/// The input unchanged, but gradients end here.
#[derive(Debug)]
pub struct StopGradient;

impl Op for StopGradient {
    fn name(&self) -> &'static str {
        "stop_gradient"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, _: &[View<'_>], _: &mut [ViewMut<'_>], _: &Faults) {
        unreachable!("a view")
    }

    fn view(&self, x: &crate::layout::Layout, _: &[usize]) -> Option<crate::layout::Layout> {
        Some(x.clone())
    }

    fn grad(&self) -> Grad {
        Grad::None("ending gradients is its purpose")
    }

    fn traits(&self) -> Traits {
        Traits { view: true, strided: true, ..Traits::default() }
    }
}

/// Where samples of a unary function are drawn: inside its domain, away from kinks and poles.
fn domain(op: Unary) -> (f64, f64) {
    use Unary::*;
    match op {
        Sqrt | Rsqrt | Log | Log2 | Log10 | Reciprocal | Lgamma | Digamma | Trigamma => (0.3, 3.0),
        Log1p | Asin | Acos | Atanh | ErfInv => (-0.8, 0.8),
        Acosh => (1.2, 3.0),
        Tan => (-1.2, 1.2),
        _ => (-2.0, 2.0),
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    let mut all = Vec::new();
    macro_rules! list {
        ($kind:ident, $wrap:ident, $samples:expr, $($v:ident)*) => {$(
            all.push(OpDef {
                name: $kind::$v.name(),
                make: |_| Ok(Arc::new($wrap($kind::$v))),
                samples: || $samples($kind::$v),
            });
        )*};
    }
    let _ = unary_samples;
    list!(Unary, UnaryOp, unary_samples, Neg Abs Sign Square Sqrt Rsqrt Reciprocal Exp Exp2 Expm1 Log Log2 Log10 Log1p Sin
        Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh Erf Erfc ErfInv Lgamma Digamma Trigamma Sigmoid Softplus Relu Gelu
        GeluTanh Floor
        Ceil Round Trunc IsNan IsInf IsFinite Not BitNot);
    list!(Binary, BinaryOp, binary_samples, Add Sub Mul Div FloorDiv Mod Pow Atan2 Min Max Eq Ne Lt Le Gt Ge And Or Xor
        BitAnd BitOr BitXor Shl Shr Hypot LogAddExp Nextafter ReluGrad TanhGrad SigmoidGrad SquaredDifference GeluGrad
        GeluTanhGrad);
    all.push(OpDef {
        name: "where",
        make: |_| Ok(Arc::new(Where)),
        samples: || {
            vec![
                Sample::new(Where, vec![Draw::Bool(vec![3, 4]), Draw::float(&[3, 4]), Draw::float(&[4])]),
                Sample::new(Where, vec![Draw::Bool(vec![2, 1]), Draw::float(&[]), Draw::float(&[2, 5])]),
            ]
        },
    });
    all.push(OpDef {
        name: "stop_gradient",
        make: |_| Ok(Arc::new(StopGradient)),
        samples: || vec![Sample::new(StopGradient, vec![Draw::float(&[3])])],
    });
    all
}

fn unary_samples(op: Unary) -> Vec<Sample> {
    let (lo, hi) = domain(op);
    if op == Unary::BitNot {
        return vec![
            Sample::new(UnaryOp(op), vec![Draw::Int(vec![5], -9, 9)]),
            Sample::new(UnaryOp(op), vec![Draw::Bool(vec![5])]),
        ];
    }
    let shapes: [&[usize]; 3] = [&[], &[3, 7], &[33]];
    shapes.iter().map(|s| Sample::new(UnaryOp(op), vec![Draw::Float(s.to_vec(), lo, hi)])).collect()
}

fn binary_samples(op: Binary) -> Vec<Sample> {
    use Binary::*;
    let pairs: [(&[usize], &[usize]); 4] =
        [(&[3, 5], &[3, 5]), (&[2, 1, 4], &[3, 1]), (&[7], &[]), (&[], &[2, 2])];
    let draw = |s: &[usize], first: bool| match op {
        BitAnd | BitOr | BitXor => Draw::Int(s.to_vec(), 0, 9),
        Shl | Shr => Draw::Int(s.to_vec(), 0, 4),
        Div | Pow | Mod | FloorDiv | Hypot | Atan2 => Draw::Float(s.to_vec(), 0.4, 2.0),
        And | Or | Xor => Draw::Bool(s.to_vec()),
        ReluGrad if !first => Draw::float(s),
        _ => Draw::float(s),
    };
    pairs.iter().map(|(a, b)| Sample::new(BinaryOp(op), vec![draw(a, true), draw(b, false)])).collect()
}
