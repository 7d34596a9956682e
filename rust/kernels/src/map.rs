//! Elementwise functions over whole slices: the vocabulary and its drivers.
//!
//! [`Unary`], [`Binary`] and [`Ternary`] name every elementwise function the project knows; the chain machine
//! ([`crate::vm`]) runs the same compiled loops, so a fused chain gives the same bits as separate passes.

use std::mem::MaybeUninit;

use crate::convert::convert_raw;
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch, level};
use crate::lanes;
use crate::shared::{GRAIN, Shared, ranges};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Declares a vocabulary: variant, name, documentation.
macro_rules! vocabulary {
    ($(#[$doc:meta])* $kind:ident { $($variant:ident $name:literal $what:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $kind {
            $(#[doc = $what] $variant,)*
        }

        impl $kind {
            /// Every function of this kind.
            pub const ALL: &'static [$kind] = &[$($kind::$variant,)*];

            /// The name in lower case.
            pub fn name(self) -> &'static str {
                match self {
                    $($kind::$variant => $name,)*
                }
            }

            /// The function with this name.
            pub fn from_name(name: &str) -> Option<$kind> {
                match name {
                    $($name => Some($kind::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

vocabulary! {
    /// A function of one value. Truth values are 1 and 0 in the type of the input ([`test`] gives bytes).
    Unary {
        Neg "negative" "-x",
        Abs "absolute" "|x|",
        Sign "sign" "-1, 0 or 1",
        Square "square" "x^2",
        Sqrt "sqrt" "the square root",
        Rsqrt "rsqrt" "1 / sqrt(x)",
        Reciprocal "reciprocal" "1 / x",
        Exp "exp" "e^x",
        Exp2 "exp2" "2^x",
        Expm1 "expm1" "e^x - 1",
        Log "log" "ln x",
        Log2 "log2" "log2 x",
        Log10 "log10" "log10 x",
        Log1p "log1p" "ln(1 + x)",
        Sin "sin" "sin x",
        Cos "cos" "cos x",
        Tan "tan" "tan x",
        Asin "arcsin" "arcsin x",
        Acos "arccos" "arccos x",
        Atan "arctan" "arctan x",
        Sinh "sinh" "sinh x",
        Cosh "cosh" "cosh x",
        Tanh "tanh" "tanh x",
        Asinh "arcsinh" "arsinh x",
        Acosh "arccosh" "arcosh x",
        Atanh "arctanh" "artanh x",
        Erf "erf" "the error function",
        Erfc "erfc" "1 - erf(x)",
        ErfInv "erfinv" "the inverse of erf",
        Lgamma "lgamma" "ln |gamma(x)|",
        Digamma "digamma" "the derivative of ln gamma",
        Trigamma "trigamma" "the second derivative of ln gamma",
        Sigmoid "sigmoid" "1 / (1 + e^-x)",
        Softplus "softplus" "ln(1 + e^x)",
        Relu "relu" "max(x, 0)",
        Gelu "gelu" "x P(x), P the normal distribution function",
        GeluTanh "gelu_tanh" "x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))",
        Floor "floor" "to the integer below",
        Ceil "ceil" "to the integer above",
        Round "round" "to the nearest integer, halves to even",
        Trunc "trunc" "to the integer towards zero",
        IsNan "isnan" "whether x is NaN",
        IsInf "isinf" "whether x is infinite",
        IsFinite "isfinite" "whether x is neither infinite nor NaN",
        Not "logical_not" "whether x is zero",
        BitNot "bitwise_not" "every bit flipped (integers; floats as logical_not)",
        Bfloat16 "round_bfloat16" "to the nearest number that bfloat16 has, halves to even (integers as they are)",
    }
}

vocabulary! {
    /// A function of two values. Comparisons give 1 and 0 in the type of the inputs ([`compare`] gives bytes).
    Binary {
        Add "add" "a + b",
        Sub "subtract" "a - b",
        Mul "multiply" "a b",
        Div "divide" "a / b; integers towards zero, 0 where b is 0",
        FloorDiv "floor_divide" "a / b rounded down; integers 0 where b is 0",
        Mod "mod" "the remainder with the sign of b; integers 0 where b is 0",
        Pow "power" "a^b",
        Atan2 "arctan2" "the angle of the point (b, a)",
        Min "minimum" "the smaller; NaN if either is",
        Max "maximum" "the larger; NaN if either is",
        Eq "equal" "a == b",
        Ne "not_equal" "a != b",
        Lt "less" "a < b",
        Le "less_equal" "a <= b",
        Gt "greater" "a > b",
        Ge "greater_equal" "a >= b",
        And "logical_and" "whether both are not zero",
        Or "logical_or" "whether one is not zero",
        Xor "logical_xor" "whether one but not both are not zero",
        BitAnd "bitwise_and" "a and b bit by bit (integers; floats as logical_and)",
        BitOr "bitwise_or" "a or b bit by bit (integers; floats as logical_or)",
        BitXor "bitwise_xor" "a exclusive-or b bit by bit (integers; floats as logical_xor)",
        Shl "left_shift" "a 2^b (for integers a shift)",
        Shr "right_shift" "a 2^-b (for integers a shift, keeping the sign)",
        Hypot "hypot" "sqrt(a^2 + b^2)",
        LogAddExp "logaddexp" "ln(e^a + e^b)",
        Nextafter "nextafter" "the next representable value from a towards b",
        ReluGrad "relu_grad" "a where b > 0, else 0",
        TanhGrad "tanh_grad" "a (1 - b^2)",
        SigmoidGrad "sigmoid_grad" "a b (1 - b)",
        SquaredDifference "squared_difference" "(a - b)^2",
        GeluGrad "gelu_grad" "a times the derivative of gelu at b",
        GeluTanhGrad "gelu_tanh_grad" "a times the derivative of gelu_tanh at b",
    }
}

vocabulary! {
    /// A function of three values.
    Ternary {
        Select "select" "b where a is not zero, else c",
        Fma "fma" "a b + c, rounded once",
        Clip "clip" "a held between b and c",
    }
}

/// One float function per unary variant.
trait UnaryFn {
    fn lanes<V: Lanes>(x: V) -> V;
}

/// One float function per binary variant.
trait BinaryFn {
    fn lanes<V: Lanes>(a: V, b: V) -> V;
}

macro_rules! unary_functions {
    ($run:ident; $($variant:ident |$x:ident| $body:expr;)*) => {
        mod unary_fn {
            $(pub(super) struct $variant;)*
        }
        $(impl UnaryFn for unary_fn::$variant {
            #[inline(always)]
            fn lanes<V: Lanes>($x: V) -> V {
                $body
            }
        })*

        /// # Safety
        /// `n` values at `x` and at `y`, the same or disjoint.
        #[inline(always)]
        unsafe fn $run<V: Lanes>(op: Unary, x: *const V::T, y: *mut V::T, n: usize) {
            match op {
                // SAFETY: the caller's promise.
                $(Unary::$variant => unsafe { each::<V, unary_fn::$variant>(x, y, n) },)*
            }
        }
    };
}

unary_functions! { run_unary;
    Neg |x| -x;
    Abs |x| x.abs();
    Sign |x| lanes::sign(x);
    Square |x| x * x;
    Sqrt |x| x.sqrt();
    Rsqrt |x| V::splat(V::T::ONE) / x.sqrt();
    Reciprocal |x| V::splat(V::T::ONE) / x;
    Exp |x| lanes::exp(x);
    Exp2 |x| lanes::exp2(x);
    Expm1 |x| lanes::expm1(x);
    Log |x| lanes::log(x);
    Log2 |x| lanes::log2(x);
    Log10 |x| lanes::log10(x);
    Log1p |x| lanes::log1p(x);
    Sin |x| lanes::sin(x);
    Cos |x| lanes::cos(x);
    Tan |x| x.map(|v| through(v, f64::tan));
    Asin |x| x.map(|v| through(v, f64::asin));
    Acos |x| x.map(|v| through(v, f64::acos));
    Atan |x| x.map(|v| through(v, f64::atan));
    Sinh |x| x.map(|v| through(v, f64::sinh));
    Cosh |x| x.map(|v| through(v, f64::cosh));
    Tanh |x| lanes::tanh(x);
    Asinh |x| x.map(|v| through(v, libm::asinh));
    Acosh |x| x.map(|v| through(v, libm::acosh));
    Atanh |x| x.map(|v| through(v, libm::atanh));
    Erf |x| lanes::erf(x);
    Erfc |x| x.map(|v| through(v, libm::erfc));
    ErfInv |x| x.map(|v| through(v, lanes::erf_inv));
    Lgamma |x| x.map(|v| through(v, libm::lgamma));
    Digamma |x| x.map(|v| through(v, lanes::digamma));
    Trigamma |x| x.map(|v| through(v, lanes::trigamma));
    Sigmoid |x| lanes::sigmoid(x);
    Softplus |x| lanes::softplus(x);
    Relu |x| x.max_nan(V::splat(V::T::ZERO));
    Gelu |x| lanes::gelu(x);
    GeluTanh |x| lanes::gelu_tanh(x);
    Floor |x| x.floor();
    Ceil |x| x.ceil();
    Round |x| x.round();
    Trunc |x| x.trunc();
    IsNan |x| V::one_or_zero(x.is_nan());
    IsInf |x| V::one_or_zero(x.abs().eq(V::splat(V::T::INF)));
    IsFinite |x| V::one_or_zero(x.abs().lt(V::splat(V::T::INF)));
    Not |x| V::one_or_zero(x.eq(V::splat(V::T::ZERO)));
    BitNot |x| V::one_or_zero(x.eq(V::splat(V::T::ZERO)));
    Bfloat16 |x| lanes::round_bfloat16(x);
}

#[inline(always)]
fn through<T: Real>(x: T, f: impl Fn(f64) -> f64) -> T {
    lanes::Coefficients::through(x, f)
}

/// Whether the lanes are not zero.
#[inline(always)]
fn truth<V: Lanes>(x: V) -> V::Mask {
    x.ne(V::splat(V::T::ZERO))
}

macro_rules! binary_functions {
    ($run:ident; $($variant:ident |$a:ident, $b:ident| $body:expr;)*) => {
        mod binary_fn {
            $(pub(super) struct $variant;)*
        }
        $(impl BinaryFn for binary_fn::$variant {
            #[inline(always)]
            fn lanes<V: Lanes>($a: V, $b: V) -> V {
                $body
            }
        })*

        /// # Safety
        /// `n` values at `out`, `n` at `a` and `b` where their stride is 1, one where it is 0; `out` the same as
        /// an input of stride 1 or disjoint.
        #[inline(always)]
        unsafe fn $run<V: Lanes>(op: Binary, a: *const V::T, sa: usize, b: *const V::T, sb: usize, out: *mut V::T, n: usize) {
            match op {
                // SAFETY: the caller's promise.
                $(Binary::$variant => unsafe { pairs::<V, binary_fn::$variant>(a, sa, b, sb, out, n) },)*
            }
        }
    };
}

binary_functions! { run_binary;
    Add |a, b| a + b;
    Sub |a, b| a - b;
    Mul |a, b| a * b;
    Div |a, b| a / b;
    FloorDiv |a, b| a.map2(b, lanes::floor_div);
    Mod |a, b| a.map2(b, lanes::modulo);
    Pow |a, b| lanes::pow(a, b);
    Atan2 |a, b| a.map2(b, |a, b| V::T::of(a.f64().atan2(b.f64())));
    Min |a, b| a.min_nan(b);
    Max |a, b| a.max_nan(b);
    Eq |a, b| V::one_or_zero(a.eq(b));
    Ne |a, b| V::one_or_zero(a.ne(b));
    Lt |a, b| V::one_or_zero(a.lt(b));
    Le |a, b| V::one_or_zero(a.le(b));
    Gt |a, b| V::one_or_zero(a.gt(b));
    Ge |a, b| V::one_or_zero(a.ge(b));
    And |a, b| V::one_or_zero(V::and(truth(a), truth(b)));
    Or |a, b| V::one_or_zero(V::or(truth(a), truth(b)));
    Xor |a, b| V::one_or_zero(V::one_or_zero(truth(a)).ne(V::one_or_zero(truth(b))));
    BitAnd |a, b| V::one_or_zero(V::and(truth(a), truth(b)));
    BitOr |a, b| V::one_or_zero(V::or(truth(a), truth(b)));
    BitXor |a, b| V::one_or_zero(V::one_or_zero(truth(a)).ne(V::one_or_zero(truth(b))));
    Shl |a, b| a.map2(b, |a, b| a * V::T::of(b.f64().exp2()));
    Shr |a, b| a.map2(b, |a, b| a * V::T::of((-b.f64()).exp2()));
    Hypot |a, b| a.map2(b, |a, b| V::T::of(a.f64().hypot(b.f64())));
    LogAddExp |a, b| lanes::logaddexp(a, b);
    Nextafter |a, b| a.map2(b, lanes::Coefficients::next_after);
    ReluGrad |a, b| V::select(b.gt(V::splat(V::T::ZERO)), a, V::splat(V::T::ZERO));
    TanhGrad |a, b| a * (-b).fma(b, V::splat(V::T::ONE));
    SigmoidGrad |a, b| a * (b * (V::splat(V::T::ONE) - b));
    SquaredDifference |a, b| (a - b) * (a - b);
    GeluGrad |a, b| a * lanes::gelu_slope(b);
    GeluTanhGrad |a, b| a * lanes::gelu_tanh_slope(b);
}

/// # Safety
/// `n` values at `x` and `y`, the same or disjoint.
#[inline(always)]
unsafe fn each<V: Lanes, F: UnaryFn>(x: *const V::T, y: *mut V::T, n: usize) {
    let mut i = 0;
    // SAFETY: whole vectors end at or before n; the last partial one touches the rest only.
    unsafe {
        while i + V::N <= n {
            F::lanes(V::load(x.add(i))).store(y.add(i));
            i += V::N;
        }
        if i < n {
            F::lanes(V::load_partial(x.add(i), n - i)).store_partial(y.add(i), n - i);
        }
    }
}

/// # Safety
/// As `run_binary`.
#[inline(always)]
unsafe fn pairs<V: Lanes, F: BinaryFn>(
    a: *const V::T,
    sa: usize,
    b: *const V::T,
    sb: usize,
    out: *mut V::T,
    n: usize,
) {
    if n == 0 {
        return;
    }
    // SAFETY: an input of stride 0 has one value; one of stride 1 has n.
    unsafe {
        let (a0, b0) = (V::splat(*a), V::splat(*b));
        let mut i = 0;
        // The three cases as three loops, so that each keeps its constant in a register.
        match (sa, sb) {
            (0, 0) => {
                let y = F::lanes(a0, b0);
                while i + V::N <= n {
                    y.store(out.add(i));
                    i += V::N;
                }
            }
            (0, _) => {
                while i + V::N <= n {
                    F::lanes(a0, V::load(b.add(i))).store(out.add(i));
                    i += V::N;
                }
            }
            (_, 0) => {
                while i + V::N <= n {
                    F::lanes(V::load(a.add(i)), b0).store(out.add(i));
                    i += V::N;
                }
            }
            _ => {
                while i + V::N <= n {
                    F::lanes(V::load(a.add(i)), V::load(b.add(i))).store(out.add(i));
                    i += V::N;
                }
            }
        }
        if i < n {
            let x = if sa == 0 { a0 } else { V::load_partial(a.add(i), n - i) };
            let y = if sb == 0 { b0 } else { V::load_partial(b.add(i), n - i) };
            F::lanes(x, y).store_partial(out.add(i), n - i);
        }
    }
}

struct UnaryKernel<T>(Unary, *const T, *mut T, usize);

impl<T: Real> Kernel for UnaryKernel<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        // SAFETY: made by `unary_raw` from its caller's promise.
        unsafe { run_unary::<T::V<S>>(self.0, self.1, self.2, self.3) }
    }
}

struct BinaryKernel<T>(Binary, *const T, usize, *const T, usize, *mut T, usize);

impl<T: Real> Kernel for BinaryKernel<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        // SAFETY: made by `binary_raw` from its caller's promise.
        unsafe { run_binary::<T::V<S>>(self.0, self.1, self.2, self.3, self.4, self.5, self.6) }
    }
}

/// Comparisons and tests of floats that write bytes.
struct CompareKernel<T>(Binary, *const T, usize, *const T, usize, *mut u8, usize);

impl<T: Real> Kernel for CompareKernel<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let CompareKernel(op, a, sa, b, sb, out, n) = self;
        // SAFETY: made by `compare_raw` from its caller's promise.
        unsafe {
            match op {
                Binary::Eq => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.eq(b)),
                Binary::Ne => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.ne(b)),
                Binary::Lt => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.lt(b)),
                Binary::Le => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.le(b)),
                Binary::Gt => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.gt(b)),
                Binary::Ge => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| a.ge(b)),
                Binary::And => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| {
                    <T::V<S> as Lanes>::and(truth(a), truth(b))
                }),
                Binary::Or => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| {
                    <T::V<S> as Lanes>::or(truth(a), truth(b))
                }),
                _ => compare_loop::<T::V<S>, _>(a, sa, b, sb, out, n, |a, b| {
                    <T::V<S> as Lanes>::one_or_zero(truth(a)).ne(<T::V<S> as Lanes>::one_or_zero(truth(b)))
                }),
            }
        }
    }
}

/// # Safety
/// As `run_binary`, `out` being disjoint.
#[inline(always)]
unsafe fn compare_loop<V: Lanes, F: Fn(V, V) -> V::Mask>(
    a: *const V::T,
    sa: usize,
    b: *const V::T,
    sb: usize,
    out: *mut u8,
    n: usize,
    f: F,
) {
    if n == 0 {
        return;
    }
    // SAFETY: as in `pairs`; the last bytes go through a small array.
    unsafe {
        let (a0, b0) = (V::splat(*a), V::splat(*b));
        let mut i = 0;
        while i + V::N <= n {
            let x = if sa == 0 { a0 } else { V::load(a.add(i)) };
            let y = if sb == 0 { b0 } else { V::load(b.add(i)) };
            V::mask_store(f(x, y), out.add(i));
            i += V::N;
        }
        if i < n {
            let x = if sa == 0 { a0 } else { V::load_partial(a.add(i), n - i) };
            let y = if sb == 0 { b0 } else { V::load_partial(b.add(i), n - i) };
            let mut tail = [0u8; 16];
            V::mask_store(f(x, y), tail.as_mut_ptr());
            std::ptr::copy_nonoverlapping(tail.as_ptr(), out.add(i), n - i);
        }
    }
}

/// `if self.truth { b } else { c }` and friends for floats in registers of the chain machine.
struct TernaryKernel<T>(Ternary, [(*const T, usize); 3], *mut T, usize);

/// `m` lanes of an operand from element `i` on.
///
/// # Safety
/// As `ternary_raw`, for `i + m <= n`.
#[inline(always)]
unsafe fn operand<V: Lanes>((p, stride): (*const V::T, usize), i: usize, m: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe {
        if stride == 0 {
            V::splat(*p)
        } else if m == V::N {
            V::load(p.add(i))
        } else {
            V::load_partial(p.add(i), m)
        }
    }
}

#[inline(always)]
fn ternary_lanes<V: Lanes>(op: Ternary, a: V, b: V, c: V) -> V {
    match op {
        Ternary::Select => V::select(truth(a), b, c),
        Ternary::Fma => a.fma(b, c),
        Ternary::Clip => a.max_nan(b).min_nan(c),
    }
}

impl<T: Real> TernaryKernel<T> {
    #[inline(always)]
    fn each<V: Lanes<T = T>>(self, op: Ternary) {
        let TernaryKernel(_, [a, b, c], out, n) = self;
        let mut i = 0;
        // SAFETY: made by `ternary_raw` from its caller's promise.
        unsafe {
            while i + V::N <= n {
                let (a, b, c) = (operand(a, i, V::N), operand(b, i, V::N), operand(c, i, V::N));
                ternary_lanes::<V>(op, a, b, c).store(out.add(i));
                i += V::N;
            }
            if i < n {
                let m = n - i;
                let (a, b, c) = (operand(a, i, m), operand(b, i, m), operand(c, i, m));
                ternary_lanes::<V>(op, a, b, c).store_partial(out.add(i), m);
            }
        }
    }
}

impl<T: Real> Kernel for TernaryKernel<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        match self.0 {
            Ternary::Select => self.each::<T::V<S>>(Ternary::Select),
            Ternary::Fma => self.each::<T::V<S>>(Ternary::Fma),
            Ternary::Clip => self.each::<T::V<S>>(Ternary::Clip),
        }
    }
}

/// # Safety
/// `n` values at every pointer of stride 1, one at those of stride 0; `out` the same as an input of stride 1 or
/// disjoint.
pub(crate) unsafe fn ternary_raw<T: Real>(
    l: Level,
    op: Ternary,
    x: [(*const T, usize); 3],
    out: *mut T,
    n: usize,
) {
    dispatch(l, TernaryKernel(op, x, out, n));
}

/// The inner function of a fused pair of steps; unary ones ignore their second operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Add,
    Sub,
    Mul,
    Div,
    Square,
    Sqrt,
}

/// The outer function of a fused pair: of the inner result and a third operand (which Relu and Bfloat16 ignore). The reversed
/// ones take the inner result second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Second {
    Add,
    Sub,
    ReversedSub,
    Mul,
    Div,
    ReversedDiv,
    Relu,
    Bfloat16,
}

/// `out = second(first(a, b), c)` without a detour through memory. Both functions round, so the result is that of two
/// passes. Operands come with the number of elements they move by per element: 1, or 0 for one of 16 equal values.
struct PairKernel<T>(First, Second, [(*const T, usize); 3], *mut T, usize);

/// The other arguments of a pair, and its outer function as a type.
trait Outer {
    fn lanes<V: Lanes>(x: V, c: V) -> V;
}

macro_rules! outers {
    ($($name:ident |$x:ident, $c:ident| $body:expr;)*) => {
        mod outer {
            $(pub(super) struct $name;)*
        }
        $(impl Outer for outer::$name {
            #[inline(always)]
            fn lanes<V: Lanes>($x: V, $c: V) -> V {
                $body
            }
        })*
    };
}
outers! {
    Add |x, c| x + c;
    Sub |x, c| x - c;
    ReversedSub |x, c| c - x;
    Mul |x, c| x * c;
    Div |x, c| x / c;
    ReversedDiv |x, c| c / x;
    Relu |x, _c| <unary_fn::Relu as UnaryFn>::lanes(x);
    Bfloat16 |x, _c| <unary_fn::Bfloat16 as UnaryFn>::lanes(x);
}

/// The inner function as a type.
trait Inner {
    fn lanes<V: Lanes>(a: V, b: V) -> V;
}

macro_rules! inners {
    ($($name:ident |$a:ident, $b:ident| $body:expr;)*) => {
        mod inner {
            $(pub(super) struct $name;)*
        }
        $(impl Inner for inner::$name {
            #[inline(always)]
            fn lanes<V: Lanes>($a: V, $b: V) -> V {
                $body
            }
        })*
    };
}
inners! {
    Add |a, b| a + b;
    Sub |a, b| a - b;
    Mul |a, b| a * b;
    Div |a, b| a / b;
    Square |a, _b| a * a;
    Sqrt |a, _b| a.sqrt();
}

impl<T: Real> PairKernel<T> {
    #[inline(always)]
    fn outer<V: Lanes<T = T>, I: Inner>(self) {
        match self.1 {
            Second::Add => self.each::<V, I, outer::Add>(),
            Second::Sub => self.each::<V, I, outer::Sub>(),
            Second::ReversedSub => self.each::<V, I, outer::ReversedSub>(),
            Second::Mul => self.each::<V, I, outer::Mul>(),
            Second::Div => self.each::<V, I, outer::Div>(),
            Second::ReversedDiv => self.each::<V, I, outer::ReversedDiv>(),
            Second::Relu => self.each::<V, I, outer::Relu>(),
            Second::Bfloat16 => self.each::<V, I, outer::Bfloat16>(),
        }
    }

    #[inline(always)]
    fn each<V: Lanes<T = T>, I: Inner, O: Outer>(self) {
        let PairKernel(_, _, [(mut a, sa), (mut b, sb), (mut c, sc)], mut y, n) = self;
        let (sa, sb, sc) = (sa * V::N, sb * V::N, sc * V::N);
        // SAFETY: made by `pair_raw` from its caller's promise.
        unsafe {
            for _ in 0..n / V::N {
                O::lanes(I::lanes(V::load(a), V::load(b)), V::load(c)).store(y);
                (a, b, c, y) = (a.add(sa), b.add(sb), c.add(sc), y.add(V::N));
            }
            let m = n % V::N;
            if m > 0 {
                let x = I::lanes(V::load_partial(a, m), V::load_partial(b, m));
                O::lanes(x, V::load_partial(c, m)).store_partial(y, m);
            }
        }
    }
}

impl<T: Real> Kernel for PairKernel<T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        match self.0 {
            First::Add => self.outer::<T::V<S>, inner::Add>(),
            First::Sub => self.outer::<T::V<S>, inner::Sub>(),
            First::Mul => self.outer::<T::V<S>, inner::Mul>(),
            First::Div => self.outer::<T::V<S>, inner::Div>(),
            First::Square => self.outer::<T::V<S>, inner::Square>(),
            First::Sqrt => self.outer::<T::V<S>, inner::Sqrt>(),
        }
    }
}

/// # Safety
/// `n` values at every pointer of stride 1, 16 equal ones at those of stride 0; `out` the same as an input of stride
/// 1 or disjoint.
pub(crate) unsafe fn pair_raw<T: Real>(
    l: Level,
    first: First,
    second: Second,
    x: [(*const T, usize); 3],
    out: *mut T,
    n: usize,
) {
    dispatch(l, PairKernel(first, second, x, out, n));
}

mod raw {
    use super::*;

    /// The loops of one element type, over raw pointers so that inputs and outputs may coincide.
    pub trait Raw: Copy + Send + Sync + Default + 'static {
        /// # Safety
        /// `n` values at `x` and `y`, the same or disjoint.
        unsafe fn unary_raw(l: Level, op: Unary, x: *const Self, y: *mut Self, n: usize);
        /// # Safety
        /// As `run_binary`.
        unsafe fn binary_raw(
            l: Level,
            op: Binary,
            a: *const Self,
            sa: usize,
            b: *const Self,
            sb: usize,
            out: *mut Self,
            n: usize,
        );
        /// # Safety
        /// As `run_binary`, `out` being disjoint.
        unsafe fn compare_raw(
            l: Level,
            op: Binary,
            a: *const Self,
            sa: usize,
            b: *const Self,
            sb: usize,
            out: *mut u8,
            n: usize,
        );
        /// Whether the value is not zero.
        fn truth(self) -> bool;
    }
}
pub(crate) use raw::Raw;

/// A type of numbers that the drivers accept: f32, f64, f16, bf16 and all integers (bool as u8).
pub trait Number: raw::Raw {}

macro_rules! float_number {
    ($t:ident) => {
        impl Raw for $t {
            unsafe fn unary_raw(l: Level, op: Unary, x: *const $t, y: *mut $t, n: usize) {
                dispatch(l, UnaryKernel(op, x, y, n));
            }
            unsafe fn binary_raw(
                l: Level,
                op: Binary,
                a: *const $t,
                sa: usize,
                b: *const $t,
                sb: usize,
                out: *mut $t,
                n: usize,
            ) {
                dispatch(l, BinaryKernel(op, a, sa, b, sb, out, n));
            }
            unsafe fn compare_raw(
                l: Level,
                op: Binary,
                a: *const $t,
                sa: usize,
                b: *const $t,
                sb: usize,
                out: *mut u8,
                n: usize,
            ) {
                dispatch(l, CompareKernel(op, a, sa, b, sb, out, n));
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0.0
            }
        }
        impl Number for $t {}
    };
}
float_number!(f32);
float_number!(f64);

/// Half-precision types compute in float32, a tile at a time.
const TILE: usize = 1024;

macro_rules! half_number {
    ($t:ident) => {
        impl Raw for $t {
            unsafe fn unary_raw(l: Level, op: Unary, x: *const $t, y: *mut $t, n: usize) {
                let mut tile = [0f32; TILE];
                for at in (0..n).step_by(TILE) {
                    let m = TILE.min(n - at);
                    // SAFETY: at + m <= n.
                    unsafe {
                        half_in(x.add(at), &mut tile[..m]);
                        f32::unary_raw(l, op, tile.as_ptr(), tile.as_mut_ptr(), m);
                        half_out(&tile[..m], y.add(at));
                    }
                }
            }
            unsafe fn binary_raw(
                l: Level,
                op: Binary,
                a: *const $t,
                sa: usize,
                b: *const $t,
                sb: usize,
                out: *mut $t,
                n: usize,
            ) {
                let (mut x, mut y) = ([0f32; TILE], [0f32; TILE]);
                for at in (0..n).step_by(TILE) {
                    let m = TILE.min(n - at);
                    // SAFETY: at + m <= n; an input of stride 0 has one value.
                    unsafe {
                        half_in(a.add(at * sa), &mut x[..if sa == 0 { 1 } else { m }]);
                        half_in(b.add(at * sb), &mut y[..if sb == 0 { 1 } else { m }]);
                        let mut z = [0f32; TILE];
                        f32::binary_raw(l, op, x.as_ptr(), sa, y.as_ptr(), sb, z.as_mut_ptr(), m);
                        half_out(&z[..m], out.add(at));
                    }
                }
            }
            unsafe fn compare_raw(
                l: Level,
                op: Binary,
                a: *const $t,
                sa: usize,
                b: *const $t,
                sb: usize,
                out: *mut u8,
                n: usize,
            ) {
                let (mut x, mut y) = ([0f32; TILE], [0f32; TILE]);
                for at in (0..n).step_by(TILE) {
                    let m = TILE.min(n - at);
                    // SAFETY: at + m <= n; an input of stride 0 has one value.
                    unsafe {
                        half_in(a.add(at * sa), &mut x[..if sa == 0 { 1 } else { m }]);
                        half_in(b.add(at * sb), &mut y[..if sb == 0 { 1 } else { m }]);
                        f32::compare_raw(l, op, x.as_ptr(), sa, y.as_ptr(), sb, out.add(at), m);
                    }
                }
            }
            #[inline(always)]
            fn truth(self) -> bool {
                f32::from(self) != 0.0
            }
        }
        impl Number for $t {}
    };
}
half_number!(f16);
half_number!(bf16);

/// # Safety
/// `y.len()` values at `x`.
unsafe fn half_in<H: HalfTile>(x: *const H, y: &mut [f32]) {
    // SAFETY: the caller's promise.
    H::widen(unsafe { std::slice::from_raw_parts(x, y.len()) }, y);
}

/// # Safety
/// Room for `x.len()` values at `y`.
unsafe fn half_out<H: HalfTile>(x: &[f32], y: *mut H) {
    // SAFETY: the caller's promise.
    H::narrow(x, unsafe { std::slice::from_raw_parts_mut(y, x.len()) });
}

/// Conversion of whole tiles.
trait HalfTile: Sized {
    fn widen(x: &[Self], y: &mut [f32]);
    fn narrow(x: &[f32], y: &mut [Self]);
}
impl HalfTile for f16 {
    // The crate uses the processor's conversion instructions.
    fn widen(x: &[f16], y: &mut [f32]) {
        x.convert_to_f32_slice(y);
    }
    fn narrow(x: &[f32], y: &mut [f16]) {
        y.convert_from_f32_slice(x);
    }
}
impl HalfTile for bf16 {
    fn widen(x: &[bf16], y: &mut [f32]) {
        // SAFETY: both have the same length.
        unsafe { convert_raw(x.as_ptr(), y.as_mut_ptr(), y.len()) }
    }
    fn narrow(x: &[f32], y: &mut [bf16]) {
        // SAFETY: both have the same length.
        unsafe { convert_raw(x.as_ptr(), y.as_mut_ptr(), y.len()) }
    }
}

struct IntUnary<T>(Unary, *const T, *mut T, usize);
struct IntBinary<T>(Binary, *const T, usize, *const T, usize, *mut T, usize);
struct IntCompare<T>(Binary, *const T, usize, *const T, usize, *mut u8, usize);

/// # Safety
/// As `run_binary`.
#[inline(always)]
unsafe fn int_pairs<T: Copy, O>(
    a: *const T,
    sa: usize,
    b: *const T,
    sb: usize,
    out: *mut O,
    n: usize,
    f: impl Fn(T, T) -> O,
) {
    if n == 0 {
        return;
    }
    // SAFETY: the caller's promise; plain loops, which the compiler vectorises for the level.
    unsafe {
        match (sa, sb) {
            (0, 0) => {
                for i in 0..n {
                    *out.add(i) = f(*a, *b);
                }
            }
            (0, _) => {
                let a = *a;
                for i in 0..n {
                    *out.add(i) = f(a, *b.add(i));
                }
            }
            (_, 0) => {
                let b = *b;
                for i in 0..n {
                    *out.add(i) = f(*a.add(i), b);
                }
            }
            _ => {
                for i in 0..n {
                    *out.add(i) = f(*a.add(i), *b.add(i));
                }
            }
        }
    }
}

/// What differs between signed and unsigned integers.
trait Signedness: Copy {
    fn magnitude(self) -> Self;
    fn sgn(self) -> Self;
    fn floor_quotient(self, b: Self) -> Self;
    fn modulus(self, b: Self) -> Self;
    fn negative(self) -> bool;
}

macro_rules! unsigned {
    ($($t:ident)*) => {$(
        impl Signedness for $t {
            #[inline(always)]
            fn magnitude(self) -> $t { self }
            #[inline(always)]
            fn sgn(self) -> $t { (self != 0) as $t }
            #[inline(always)]
            fn floor_quotient(self, b: $t) -> $t { self.checked_div(b).unwrap_or(0) }
            #[inline(always)]
            fn modulus(self, b: $t) -> $t { self.checked_rem(b).unwrap_or(0) }
            #[inline(always)]
            fn negative(self) -> bool { false }
        }
    )*};
}
macro_rules! signed {
    ($($t:ident)*) => {$(
        impl Signedness for $t {
            #[inline(always)]
            fn magnitude(self) -> $t { self.wrapping_abs() }
            #[inline(always)]
            fn sgn(self) -> $t { self.signum() }
            #[inline(always)]
            fn floor_quotient(self, b: $t) -> $t {
                if b == 0 { return 0; }
                let (q, r) = (self.wrapping_div(b), self.wrapping_rem(b));
                if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q }
            }
            #[inline(always)]
            fn modulus(self, b: $t) -> $t {
                if b == 0 { return 0; }
                let r = self.wrapping_rem(b);
                if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
            }
            #[inline(always)]
            fn negative(self) -> bool { self < 0 }
        }
    )*};
}
unsigned!(u8 u16 u32 u64);
signed!(i8 i16 i32 i64);

macro_rules! int_number {
    ($($t:ident)*) => {$(
        impl Kernel for IntUnary<$t> {
            type Out = ();
            #[inline(always)]
            fn run<S: Isa>(self) {
                let IntUnary(op, x, y, n) = self;
                macro_rules! go {
                    ($f:expr) => {{
                        let f = $f;
                        for i in 0..n {
                            // SAFETY: made by `unary_raw` from its caller's promise.
                            unsafe { *y.add(i) = f(*x.add(i)) };
                        }
                    }};
                }
                match op {
                    Unary::Neg => go!(|v: $t| v.wrapping_neg()),
                    Unary::Abs => go!(|v: $t| v.magnitude()),
                    Unary::Sign => go!(|v: $t| v.sgn()),
                    Unary::Square => go!(|v: $t| v.wrapping_mul(v)),
                    Unary::Relu => go!(|v: $t| v.max(0)),
                    Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc | Unary::Bfloat16 => go!(|v: $t| v),
                    Unary::IsNan | Unary::IsInf => go!(|_: $t| 0),
                    Unary::IsFinite => go!(|_: $t| 1),
                    Unary::Not => go!(|v: $t| (v == 0) as $t),
                    Unary::BitNot => go!(|v: $t| !v),
                    // The functions of analysis, through float64.
                    _ => go!(|v: $t| {
                        let (v, mut y) = (v as f64, 0.0);
                        // SAFETY: one value in, one out.
                        unsafe { f64::unary_raw(Level::Portable, op, &v, &mut y, 1) };
                        y as $t
                    }),
                }
            }
        }
        impl Kernel for IntBinary<$t> {
            type Out = ();
            #[inline(always)]
            fn run<S: Isa>(self) {
                let IntBinary(op, a, sa, b, sb, out, n) = self;
                macro_rules! go {
                    ($f:expr) => {
                        // SAFETY: made by `binary_raw` from its caller's promise.
                        unsafe { int_pairs(a, sa, b, sb, out, n, $f) }
                    };
                }
                match op {
                    Binary::Add => go!(|a: $t, b: $t| a.wrapping_add(b)),
                    Binary::Sub => go!(|a: $t, b: $t| a.wrapping_sub(b)),
                    Binary::Mul => go!(|a: $t, b: $t| a.wrapping_mul(b)),
                    Binary::Div => go!(|a: $t, b: $t| if b == 0 { 0 } else { a.wrapping_div(b) }),
                    Binary::FloorDiv => go!(|a: $t, b: $t| a.floor_quotient(b)),
                    Binary::Mod => go!(|a: $t, b: $t| a.modulus(b)),
                    Binary::Pow => go!(|a: $t, b: $t| {
                        if b.negative() {
                            // 1 / a^|b| towards zero.
                            if a == 1 { 1 } else if a.magnitude() == 1 && a != 1 { if b & 1 == 0 { 1 } else { a } } else { 0 }
                        } else {
                            a.wrapping_pow(u32::try_from(b).unwrap_or(u32::MAX))
                        }
                    }),
                    Binary::Min => go!(|a: $t, b: $t| a.min(b)),
                    Binary::Max => go!(|a: $t, b: $t| a.max(b)),
                    Binary::Eq => go!(|a: $t, b: $t| (a == b) as $t),
                    Binary::Ne => go!(|a: $t, b: $t| (a != b) as $t),
                    Binary::Lt => go!(|a: $t, b: $t| (a < b) as $t),
                    Binary::Le => go!(|a: $t, b: $t| (a <= b) as $t),
                    Binary::Gt => go!(|a: $t, b: $t| (a > b) as $t),
                    Binary::Ge => go!(|a: $t, b: $t| (a >= b) as $t),
                    Binary::BitAnd => go!(|a: $t, b: $t| a & b),
                    Binary::BitOr => go!(|a: $t, b: $t| a | b),
                    Binary::BitXor => go!(|a: $t, b: $t| a ^ b),
                    Binary::And => go!(|a: $t, b: $t| ((a != 0) & (b != 0)) as $t),
                    Binary::Or => go!(|a: $t, b: $t| ((a != 0) | (b != 0)) as $t),
                    Binary::Xor => go!(|a: $t, b: $t| ((a != 0) ^ (b != 0)) as $t),
                    Binary::Shl => go!(|a: $t, b: $t| {
                        u32::try_from(b).ok().and_then(|b| a.checked_shl(b)).unwrap_or(0)
                    }),
                    Binary::Shr => go!(|a: $t, b: $t| {
                        // A shift by everything leaves the sign.
                        u32::try_from(b).ok().and_then(|b| a.checked_shr(b)).unwrap_or(a >> ($t::BITS - 1))
                    }),
                    Binary::ReluGrad => go!(|a: $t, b: $t| if b > 0 { a } else { 0 }),
                    Binary::TanhGrad => go!(|a: $t, b: $t| a.wrapping_mul((1 as $t).wrapping_sub(b.wrapping_mul(b)))),
                    Binary::SigmoidGrad => go!(|a: $t, b: $t| {
                        a.wrapping_mul(b.wrapping_mul((1 as $t).wrapping_sub(b)))
                    }),
                    Binary::SquaredDifference => go!(|a: $t, b: $t| {
                        let d = a.wrapping_sub(b);
                        d.wrapping_mul(d)
                    }),
                    Binary::Atan2 | Binary::Hypot | Binary::LogAddExp | Binary::Nextafter | Binary::GeluGrad
                    | Binary::GeluTanhGrad => go!(|a: $t, b: $t| {
                        let (a, b, mut y) = (a as f64, b as f64, 0.0);
                        f64::binary_raw(Level::Portable, op, &a, 0, &b, 0, &mut y, 1);
                        y as $t
                    }),
                }
            }
        }
        impl Kernel for IntCompare<$t> {
            type Out = ();
            #[inline(always)]
            fn run<S: Isa>(self) {
                let IntCompare(op, a, sa, b, sb, out, n) = self;
                macro_rules! go {
                    ($f:expr) => {
                        // SAFETY: made by `compare_raw` from its caller's promise.
                        unsafe { int_pairs(a, sa, b, sb, out, n, $f) }
                    };
                }
                match op {
                    Binary::Eq => go!(|a: $t, b: $t| (a == b) as u8),
                    Binary::Ne => go!(|a: $t, b: $t| (a != b) as u8),
                    Binary::Lt => go!(|a: $t, b: $t| (a < b) as u8),
                    Binary::Le => go!(|a: $t, b: $t| (a <= b) as u8),
                    Binary::Gt => go!(|a: $t, b: $t| (a > b) as u8),
                    Binary::Ge => go!(|a: $t, b: $t| (a >= b) as u8),
                    Binary::And => go!(|a: $t, b: $t| ((a != 0) & (b != 0)) as u8),
                    Binary::Or => go!(|a: $t, b: $t| ((a != 0) | (b != 0)) as u8),
                    _ => go!(|a: $t, b: $t| ((a != 0) ^ (b != 0)) as u8),
                }
            }
        }
        impl Raw for $t {
            unsafe fn unary_raw(l: Level, op: Unary, x: *const $t, y: *mut $t, n: usize) {
                dispatch(l, IntUnary(op, x, y, n));
            }
            unsafe fn binary_raw(l: Level, op: Binary, a: *const $t, sa: usize, b: *const $t, sb: usize, out: *mut $t, n: usize) {
                dispatch(l, IntBinary(op, a, sa, b, sb, out, n));
            }
            unsafe fn compare_raw(l: Level, op: Binary, a: *const $t, sa: usize, b: *const $t, sb: usize, out: *mut u8, n: usize) {
                dispatch(l, IntCompare(op, a, sa, b, sb, out, n));
            }
            #[inline(always)]
            fn truth(self) -> bool {
                self != 0
            }
        }
        impl Number for $t {}
    )*};
}
int_number!(u8 u16 u32 u64 i8 i16 i32 i64);

/// `y[i] = op(x[i])`; panics if the lengths differ.
pub fn unary<T: Number>(op: Unary, x: &[T], y: &mut [T]) {
    unary_at(level(), op, x, y);
}

/// [`unary`] at a given level.
pub fn unary_at<T: Number>(l: Level, op: Unary, x: &[T], y: &mut [T]) {
    assert_eq!(x.len(), y.len(), "unary {}: input and output differ in length", op.name());
    let out = Shared::new(y);
    ranges(x.len(), GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        // SAFETY: both have end - start values.
        unsafe { T::unary_raw(l, op, x[start..end].as_ptr(), y.as_mut_ptr(), y.len()) }
    });
}

/// `x[i] = op(x[i])`.
pub fn unary_in_place<T: Number>(op: Unary, x: &mut [T]) {
    let (l, n, out) = (level(), x.len(), Shared::new(x));
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        let p = y.as_mut_ptr();
        // SAFETY: input and output are the same.
        unsafe { T::unary_raw(l, op, p, p, y.len()) }
    });
}

/// Truth values of a unary test (isnan, isinf, isfinite, logical_not) as bytes.
pub fn test<T: Number>(op: Unary, x: &[T], y: &mut [u8]) {
    assert_eq!(x.len(), y.len(), "test {}: input and output differ in length", op.name());
    let out = Shared::new(y);
    ranges(x.len(), GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        let mut tile = [T::default(); TILE];
        for (x, y) in x[start..end].chunks(TILE).zip(y.chunks_mut(TILE)) {
            let n = x.len();
            let zero = T::default();
            // SAFETY: the tile holds n values; the second operand is one value.
            unsafe {
                T::unary_raw(level(), op, x.as_ptr(), tile.as_mut_ptr(), n);
                T::compare_raw(level(), Binary::Ne, tile.as_ptr(), 1, &zero, 0, y.as_mut_ptr(), n);
            }
        }
    });
}

/// How a loop over an output walks its inputs: dimensions of extent 1 dropped, adjacent ones merged.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Walk<const K: usize> {
    /// Extents, outermost first; at least one.
    pub(crate) shape: Vec<usize>,
    /// Per dimension the stride of each input.
    pub(crate) strides: Vec<[usize; K]>,
}

impl<const K: usize> Walk<K> {
    /// Checks that every input is long enough, and merges what can be merged.
    pub(crate) fn new(shape: &[usize], strides: [&[usize]; K], lens: [usize; K]) -> Self {
        let n: usize = shape.iter().product();
        for k in 0..K {
            assert_eq!(strides[k].len(), shape.len(), "operand {k}: one stride per dimension expected");
            let last: usize = shape.iter().zip(strides[k]).map(|(&d, &s)| d.saturating_sub(1) * s).sum();
            assert!(n == 0 || last < lens[k], "operand {k}: strides reach outside its {} elements", lens[k]);
        }
        let mut walk = Walk { shape: vec![], strides: vec![] };
        for (d, &extent) in shape.iter().enumerate() {
            if extent == 1 {
                continue;
            }
            let s: [usize; K] = std::array::from_fn(|k| strides[k][d]);
            if let (Some(above), Some(t)) = (walk.shape.last_mut(), walk.strides.last_mut())
                && (0..K).all(|k| t[k] == s[k] * extent)
            {
                *above *= extent;
                *t = s;
                continue;
            }
            walk.shape.push(extent);
            walk.strides.push(s);
        }
        if walk.shape.is_empty() {
            walk.shape.push(n.min(1));
            walk.strides.push([1; K]);
        }
        walk
    }

    /// Calls `row(at, [offset of each input], n, [inner strides])` for the pieces of innermost dimension that make up
    /// the output elements `start .. end`.
    pub(crate) fn rows(
        &self,
        start: usize,
        end: usize,
        mut row: impl FnMut(usize, [usize; K], usize, [usize; K]),
    ) {
        let dims = self.shape.len();
        let inner = self.shape[dims - 1];
        let s = self.strides[dims - 1];
        let mut index = vec![0; dims];
        let mut left = start;
        for d in (0..dims).rev() {
            index[d] = left % self.shape[d];
            left /= self.shape[d];
        }
        let mut offset: [usize; K] =
            std::array::from_fn(|k| (0..dims).map(|d| index[d] * self.strides[d][k]).sum());
        let mut at = start;
        while at < end {
            let n = (inner - index[dims - 1]).min(end - at);
            row(at, offset, n, s);
            at += n;
            for k in 0..K {
                offset[k] -= index[dims - 1] * s[k];
            }
            index[dims - 1] = 0;
            for d in (0..dims - 1).rev() {
                index[d] += 1;
                for k in 0..K {
                    offset[k] += self.strides[d][k];
                }
                if index[d] < self.shape[d] {
                    break;
                }
                for k in 0..K {
                    offset[k] -= index[d] * self.strides[d][k];
                }
                index[d] = 0;
            }
        }
    }
}

/// The strides (in elements) of a contiguous tensor of shape `from` broadcast to `to`: 0 where it repeats.
/// `None` if it does not broadcast.
pub fn broadcast_strides(from: &[usize], to: &[usize]) -> Option<Vec<usize>> {
    if from.len() > to.len() {
        return None;
    }
    let mut strides = vec![0; to.len()];
    let mut step = 1;
    for (i, &d) in from.iter().enumerate().rev() {
        let j = i + to.len() - from.len();
        if d == to[j] {
            strides[j] = if d == 1 { 0 } else { step };
        } else if d != 1 {
            return None;
        }
        step *= d;
    }
    Some(strides)
}

/// Copies `n` values at a stride into a tile, unless they are contiguous or a single value already.
///
/// # Safety
/// The values `x + i * stride` for `i < n <= TILE` must exist.
unsafe fn lay<T: Copy>(
    x: *const T,
    stride: usize,
    n: usize,
    tile: &mut [MaybeUninit<T>; TILE],
) -> (*const T, usize) {
    if stride <= 1 {
        return (x, stride);
    }
    for (i, v) in tile[..n].iter_mut().enumerate() {
        // SAFETY: the caller's promise.
        v.write(unsafe { *x.add(i * stride) });
    }
    (tile.as_ptr().cast(), 1)
}

/// Walks two inputs and calls `f` with pieces whose strides are 0 or 1.
fn walk_pairs<T: Number>(
    walk: &Walk<2>,
    a: &[T],
    b: &[T],
    start: usize,
    end: usize,
    mut f: impl FnMut(usize, *const T, usize, *const T, usize, usize),
) {
    // Not zeroed: filling them takes longer than a small tensor's whole sum.
    let (mut ta, mut tb) = ([MaybeUninit::uninit(); TILE], [MaybeUninit::uninit(); TILE]);
    walk.rows(start, end, |at, [oa, ob], n, [sa, sb]| {
        let step = if sa <= 1 && sb <= 1 { n } else { TILE };
        for i in (0..n).step_by(step.max(1)) {
            let m = step.min(n - i);
            // SAFETY: Walk::new checked that all strided offsets are inside the slices.
            unsafe {
                let (x, sx) = lay(a.as_ptr().add(oa + i * sa), sa, m, &mut ta);
                let (y, sy) = lay(b.as_ptr().add(ob + i * sb), sb, m, &mut tb);
                f(at + i, x, sx, y, sy, m);
            }
        }
    });
}

/// `out = op(a, b)` with broadcasting: `shape` is that of the (contiguous) output, the strides are in elements, 0
/// where an input repeats (see [`broadcast_strides`]). Panics if a stride leaves its slice.
pub fn binary<T: Number>(
    op: Binary,
    shape: &[usize],
    a: &[T],
    a_strides: &[usize],
    b: &[T],
    b_strides: &[usize],
    out: &mut [T],
) {
    binary_at(level(), op, shape, a, a_strides, b, b_strides, out);
}

/// [`binary`] at a given level.
pub fn binary_at<T: Number>(
    l: Level,
    op: Binary,
    shape: &[usize],
    a: &[T],
    a_strides: &[usize],
    b: &[T],
    b_strides: &[usize],
    out: &mut [T],
) {
    let n = out.len();
    assert_eq!(n, shape.iter().product::<usize>(), "binary {}: output length is not its shape", op.name());
    if n == 0 {
        return;
    }
    let walk = Walk::new(shape, [a_strides, b_strides], [a.len(), b.len()]);
    let out = Shared::new(out);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        walk_pairs(&walk, a, b, start, end, |at, x, sx, z, sz, m| {
            // SAFETY: the pieces of a chunk lie inside it.
            unsafe { T::binary_raw(l, op, x, sx, z, sz, y.as_mut_ptr().add(at - start), m) }
        });
    });
}

/// `a[i] = op(a[i], b[i])`, or with a single `b` for all.
pub fn binary_in_place<T: Number>(op: Binary, a: &mut [T], b: &[T]) {
    assert!(b.len() == a.len() || b.len() == 1, "binary {}: lengths {} and {}", op.name(), a.len(), b.len());
    let (l, n, step) = (level(), a.len(), usize::from(b.len() == a.len()));
    let out = Shared::new(a);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        let p = y.as_mut_ptr();
        // SAFETY: input and output coincide; b has end values or one.
        unsafe { T::binary_raw(l, op, p, 1, b.as_ptr().add(start * step), step, p, y.len()) }
    });
}

/// A comparison (equal, not_equal, less, less_equal, greater, greater_equal) or a logical and, or, xor, as bytes, with broadcasting as in [`binary`].
pub fn compare<T: Number>(
    op: Binary,
    shape: &[usize],
    a: &[T],
    a_strides: &[usize],
    b: &[T],
    b_strides: &[usize],
    out: &mut [u8],
) {
    use Binary::*;
    assert!(
        matches!(op, Eq | Ne | Lt | Le | Gt | Ge | And | Or | Xor),
        "compare: expected a comparison or a logical function, received {}",
        op.name()
    );
    let n = out.len();
    assert_eq!(n, shape.iter().product::<usize>(), "compare {}: output length is not its shape", op.name());
    if n == 0 {
        return;
    }
    let walk = Walk::new(shape, [a_strides, b_strides], [a.len(), b.len()]);
    let out = Shared::new(out);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        walk_pairs(&walk, a, b, start, end, |at, x, sx, z, sz, m| {
            // SAFETY: the pieces of a chunk lie inside it.
            unsafe { T::compare_raw(level(), op, x, sx, z, sz, y.as_mut_ptr().add(at - start), m) }
        });
    });
}

/// `out = cond != 0 ? a : b` with broadcasting as in [`binary`], for any element type.
pub fn select<T: Copy + Send + Sync>(
    shape: &[usize],
    cond: &[u8],
    cond_strides: &[usize],
    a: &[T],
    a_strides: &[usize],
    b: &[T],
    b_strides: &[usize],
    out: &mut [T],
) {
    let n = out.len();
    assert_eq!(n, shape.iter().product::<usize>(), "select: output length is not its shape");
    if n == 0 {
        return;
    }
    let walk = Walk::new(shape, [cond_strides, a_strides, b_strides], [cond.len(), a.len(), b.len()]);
    let out = Shared::new(out);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        walk.rows(start, end, |at, [oc, oa, ob], n, [sc, sa, sb]| {
            let y = &mut y[at - start..at - start + n];
            if (sc, sa, sb) == (1, 1, 1) {
                let (c, a, b) = (&cond[oc..oc + n], &a[oa..oa + n], &b[ob..ob + n]);
                for i in 0..n {
                    y[i] = if c[i] != 0 { a[i] } else { b[i] };
                }
            } else {
                for (i, y) in y.iter_mut().enumerate() {
                    *y = if cond[oc + i * sc] != 0 { a[oa + i * sa] } else { b[ob + i * sb] };
                }
            }
        });
    });
}

/// `out[i] = op(a[i], b[i], c[i])` for equal lengths.
#[allow(private_bounds)]
pub fn ternary<T: Real + Number>(op: Ternary, a: &[T], b: &[T], c: &[T], out: &mut [T]) {
    let n = out.len();
    assert!(a.len() == n && b.len() == n && c.len() == n, "ternary {}: lengths differ", op.name());
    let out = Shared::new(out);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start, end - start) };
        let x = [a, b, c].map(|x| (x[start..end].as_ptr(), 1));
        // SAFETY: every slice has end - start values from start.
        unsafe { ternary_raw(level(), op, x, y.as_mut_ptr(), y.len()) }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::levels;

    #[test]
    fn names_round_trip() {
        for &op in Unary::ALL {
            assert_eq!(Unary::from_name(op.name()), Some(op));
        }
        for &op in Binary::ALL {
            assert_eq!(Binary::from_name(op.name()), Some(op));
        }
        assert_eq!(Ternary::from_name("clip"), Some(Ternary::Clip));
        assert_eq!(Unary::from_name("no such function"), None);
    }

    /// Every function gives the same bits at every level, at odd lengths and for special values; what is made of exp, which
    /// AVX-512 computes by another method in float32, agrees within a few units in the last place there.
    #[test]
    fn levels_agree() {
        let mut x: Vec<f32> = (0..1237).map(|i| ((i * 37 % 1000) as f32 - 500.0) * 0.037).collect();
        x.extend([0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1e-42, -1e-42, 1e30, -1e30, 3e38]);
        let d: Vec<f64> = x.iter().map(|&v| f64::from(v) * 1.000_000_01).collect();
        let y: Vec<f32> = x.iter().rev().copied().collect();
        let e: Vec<f64> = d.iter().rev().copied().collect();
        let n = x.len();
        let same32 = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        };
        let same64 = |a: &[f64], b: &[f64]| {
            a.iter().zip(b).all(|(a, b)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan())
        };
        // Derivatives are sums of terms of size 1 and less.
        let close32 = |a: &[f32], b: &[f32], least: f32| {
            let near = |a: f32, b: f32| (a - b).abs() <= 4.0 * f32::EPSILON * b.abs().max(least);
            a.iter().zip(b).all(|(&a, &b)| a == b || a.is_nan() && b.is_nan() || near(a, b))
        };
        let by_exp = ["exp", "sigmoid", "softplus", "gelu_tanh", "gelu_tanh_grad", "logaddexp"];
        let agree32 = |l: Level, name: &str, p: &[f32], q: &[f32]| {
            let by_exp = l == Level::Avx512 && by_exp.contains(&name);
            let least = if name.ends_with("_grad") { 1.0 } else { 0.0 };
            let agree = if by_exp { close32(p, q, least) } else { same32(p, q) };
            assert!(agree, "{name} float32 at {}", l.name());
        };
        for l in levels() {
            for &op in Unary::ALL {
                let (mut p, mut q) = (vec![0f32; n], vec![0f32; n]);
                unary_at(Level::Portable, op, &x, &mut p);
                unary_at(l, op, &x, &mut q);
                agree32(l, op.name(), &p, &q);
                let (mut p, mut q) = (vec![0f64; n], vec![0f64; n]);
                unary_at(Level::Portable, op, &d, &mut p);
                unary_at(l, op, &d, &mut q);
                assert!(same64(&p, &q), "{} float64 at {}", op.name(), l.name());
            }
            for &op in Binary::ALL {
                let (mut p, mut q) = (vec![0f32; n], vec![0f32; n]);
                binary_at(Level::Portable, op, &[n], &x, &[1], &y, &[1], &mut p);
                binary_at(l, op, &[n], &x, &[1], &y, &[1], &mut q);
                agree32(l, op.name(), &p, &q);
                let (mut p, mut q) = (vec![0f64; n], vec![0f64; n]);
                binary_at(Level::Portable, op, &[n], &d, &[1], &e, &[1], &mut p);
                binary_at(l, op, &[n], &d, &[1], &e, &[1], &mut q);
                assert!(same64(&p, &q), "{} float64 at {}", op.name(), l.name());
            }
        }
    }

    #[test]
    fn broadcasting() {
        // Every way two inputs can be laid against a [3, 4, 5] output, against the plain definition.
        let shape = [3usize, 4, 5];
        let all: [&[usize]; 8] =
            [&[3, 4, 5], &[1, 4, 5], &[4, 5], &[5], &[1], &[3, 1, 5], &[3, 4, 1], &[3, 1, 1]];
        for sa in all {
            for sb in all {
                let a: Vec<f32> = (0..sa.iter().product()).map(|i| i as f32 + 0.5).collect();
                let b: Vec<f32> = (0..sb.iter().product()).map(|i| 100.0 * i as f32).collect();
                let ta = broadcast_strides(sa, &shape).unwrap();
                let tb = broadcast_strides(sb, &shape).unwrap();
                let mut out = vec![0.0; 60];
                binary(Binary::Sub, &shape, &a, &ta, &b, &tb, &mut out);
                let mut less = vec![0; 60];
                compare(Binary::Lt, &shape, &a, &ta, &b, &tb, &mut less);
                let mut at = 0;
                for i in 0..3 {
                    for j in 0..4 {
                        for k in 0..5 {
                            let x = a[i * ta[0] + j * ta[1] + k * ta[2]];
                            let y = b[i * tb[0] + j * tb[1] + k * tb[2]];
                            assert_eq!(out[at], x - y, "{sa:?} - {sb:?}");
                            assert_eq!(less[at], u8::from(x < y));
                            at += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(broadcast_strides(&[3], &[4]), None);
    }

    #[test]
    fn strided_and_large() {
        // A transposed operand, larger than one chunk and one tile.
        let (r, c) = (300, 500);
        let a: Vec<i32> = (0..r * c).collect();
        let b: Vec<i32> = (0..r * c).map(|i| i * 3).collect();
        let (r, c) = (r as usize, c as usize);
        let mut out = vec![0; r * c];
        binary(Binary::Add, &[r, c], &a, &[c, 1], &b, &[1, r], &mut out);
        for (i, &y) in out.iter().enumerate() {
            let (p, q) = (i / c, i % c);
            assert_eq!(y, a[i] + b[p + q * r]);
        }
    }

    #[test]
    fn integers_do_not_trap() {
        let a = [i32::MIN, 7, -7, 5, i32::MAX, -1];
        let b = [-1, 0, 3, -3, 2, -2];
        let n = a.len();
        for (op, want) in [
            (Binary::Div, [i32::MIN, 0, -2, -1, 1_073_741_823, 0]),
            (Binary::FloorDiv, [i32::MIN, 0, -3, -2, 1_073_741_823, 0]),
            (Binary::Mod, [0, 0, 2, -1, 1, -1]),
            (Binary::Add, [i32::MAX, 7, -4, 2, i32::MIN + 1, -3]),
            (Binary::Pow, [0, 1, -343, 0, 1, 1]),
        ] {
            let mut y = [0; 6];
            binary(op, &[n], &a, &[1], &b, &[1], &mut y);
            assert_eq!(y, want, "{}", op.name());
        }
        let mut y = [0u8; 2];
        binary(Binary::Shl, &[2], &[1u8, 3], &[1], &[9, 2], &[1], &mut y);
        assert_eq!(y, [0, 12]);
    }

    #[test]
    fn half_precision_and_truth() {
        let x: Vec<bf16> = (0..2000).map(|i| bf16::from_f32(i as f32 * 0.01)).collect();
        let mut y = vec![bf16::ZERO; 2000];
        unary(Unary::Exp, &x, &mut y);
        for (x, y) in x.iter().zip(&y) {
            let want = x.to_f64().exp();
            assert!((y.to_f64() - want).abs() <= want / 255.0, "exp {x}: {y}");
        }
        let mut m = [9u8; 3];
        test(Unary::IsNan, &[1.0f64, f64::NAN, f64::INFINITY], &mut m);
        assert_eq!(m, [0, 1, 0]);
        let mut out = [0i64; 3];
        select(&[3], &m, &[1], &[1, 2, 3], &[1], &[-1], &[0], &mut out);
        assert_eq!(out, [-1, 2, -1]);
        let mut out = [0f32; 3];
        ternary(Ternary::Clip, &[-5.0, 0.5, 7.0], &[0.0; 3], &[1.0; 3], &mut out);
        assert_eq!(out, [0.0, 0.5, 1.0]);
    }
}
