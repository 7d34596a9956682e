//! Elementary functions, written once over the lane trait for float32 and float64.
//!
//! Every function gives the same bits at every instruction-set level: the vector code uses only operations
//! that are rounded exactly (with a fused multiply-add everywhere), and what is not worth a vector algorithm
//! calls one scalar function per lane. The exception is exp in float32, and what calls it: AVX-512 looks powers
//! of two up in a register, which makes the polynomial shorter. Bounds in units in the last place (ulp) hold for
//! float32 and are tested below; float64 is a little better where the scalar library is used.

use crate::isa::{Lanes, Real};

/// What differs between float32 and float64: polynomial coefficients (minimax fits), limits and bit patterns.
pub(crate) trait Coefficients: Sized {
    /// Bits of the mantissa.
    const MANTISSA: u32;
    /// The smallest normal number.
    const TINY: f64;
    /// Above this exp is infinite.
    const EXP_HIGH: f64;
    /// Below this exp is zero.
    const EXP_LOW: f64;
    /// Below this expm1 is -1.
    const EXPM1_LOW: f64;
    /// ln 2, leading bits: a small integer times this is exact.
    const LN2_HIGH: f64;
    /// ln 2, the rest.
    const LN2_LOW: f64;
    /// log10 2, leading bits.
    const LG2_HIGH: f64;
    /// log10 2, the rest.
    const LG2_LOW: f64;
    /// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 2.
    const EXP: &'static [f64];
    /// (2 atanh(s) / s - 2) / s^2 as a function of s^2, for |s| <= 0.172.
    const LOG: &'static [f64];
    /// The sine.
    fn sin<V: Lanes<T = Self>>(x: V) -> V;
    /// The cosine.
    fn cos<V: Lanes<T = Self>>(x: V) -> V;
    /// The error function.
    fn erf<V: Lanes<T = Self>>(x: V) -> V;
    /// a = |x| (or less, where what follows is zero), the normal distribution function at -a, and e^(-a^2 / 2).
    fn normal_tail<V: Lanes<T = Self>>(x: V) -> (V, V, V);
    /// A scalar float64 function, for what has no vector algorithm.
    fn through(self, f: impl Fn(f64) -> f64) -> Self;
    /// The power, one lane.
    fn power(self, y: Self) -> Self;
    /// The remainder of truncated division, one lane.
    fn remainder(self, y: Self) -> Self;
    /// The next representable number towards `y`.
    fn next_after(self, y: Self) -> Self;
    /// To the nearest number that bfloat16 has, halves to even.
    fn round_bfloat16<V: Lanes<T = Self>>(x: V) -> V;
    /// The same, one lane.
    fn round_bfloat16_one(self) -> Self;
    /// e^x for an x between the limits of exp, where vectors look numbers up in a register.
    #[inline(always)]
    fn exp_by_table<V: Lanes<T = Self>>(_x: V) -> Option<V>
    where
        Self: Real,
    {
        None
    }
    /// The low `MANTISSA` bits.
    fn mantissa_mask() -> <Self as Real>::Int
    where
        Self: Real;
    /// The bits of 1.
    fn one_bits() -> <Self as Real>::Int
    where
        Self: Real;
    /// The bits of sqrt(1/2), and what to add to them to reach those of 1.
    fn sqrt_half_bits() -> (<Self as Real>::Int, <Self as Real>::Int)
    where
        Self: Real;
    /// The bits of 2^MANTISSA: or-ing a small integer into them makes a float of it.
    fn integer_bits() -> <Self as Real>::Int
    where
        Self: Real;
}

impl Coefficients for f32 {
    const MANTISSA: u32 = 23;
    const TINY: f64 = f32::MIN_POSITIVE as f64;
    const EXP_HIGH: f64 = 89.0;
    const EXP_LOW: f64 = -104.0;
    const EXPM1_LOW: f64 = -30.0;
    const LN2_HIGH: f64 = 0.693145751953125;
    const LN2_LOW: f64 = 1.428606820309417e-6;
    const LG2_HIGH: f64 = 0.30078125;
    const LG2_LOW: f64 = 2.487_456_639_811_952e-4;
    const EXP: &'static [f64] = &[0.5, 0.16666576, 0.041666556, 0.008363179, 0.0013926184];
    const LOG: &'static [f64] = &[0.6666667, 0.40000123, 0.28550816, 0.23330583];

    #[inline(always)]
    fn sin<V: Lanes<T = f32>>(x: V) -> V {
        let (quadrant, s, c) = sin_cos_reduced(x);
        let y = rotate(quadrant, s, c, 0.0);
        // The odd function keeps the sign of zero.
        let y = V::select(x.eq(V::splat(0.0)), x, y);
        far(x, y, f64::sin)
    }
    #[inline(always)]
    fn cos<V: Lanes<T = f32>>(x: V) -> V {
        let (quadrant, s, c) = sin_cos_reduced(x);
        far(x, rotate(quadrant, s, c, 1.0), f64::cos)
    }
    #[inline(always)]
    fn erf<V: Lanes<T = f32>>(x: V) -> V {
        const NEAR: [f64; 7] =
            [0.12837917, -0.37612635, 0.11283735, -0.026861707, 0.0052070487, -0.00082145707, 8.690369e-05];
        // -ln(erfc(t)) for 0.875 <= t <= 4, where erf rounds to 1.
        const FAR: [f64; 8] = [
            -0.00016358765,
            1.1294612,
            0.63345647,
            0.10815876,
            -0.02504054,
            0.004140969,
            -0.00042822858,
            2.0554295e-05,
        ];
        let near = (polynomial(x * x, &NEAR)).fma(x, x);
        let t = V::splat(4.0).min(x.abs());
        let far = V::splat(1.0) - exp(-polynomial(t, &FAR));
        V::select(x.abs().lt(V::splat(0.875)), near, far.copysign(x))
    }
    #[inline(always)]
    fn normal_tail<V: Lanes<T = f32>>(x: V) -> (V, V, V) {
        // The distribution function at -a is e^(-a^2 / 2) P(a) / Q(a).
        const P: [f64; 5] = [0.5, 0.43829727, 0.18323694, 0.04063385, 0.0041164015];
        const Q: [f64; 6] = [1., 1.6744795, 1.2025105, 0.4694754, 0.101860404, 0.010318168];
        // Where the exponential is zero.
        let a = V::splat(14.5).min(x.abs());
        // The reduction goes from the square before it is rounded.
        let half = a * V::splat(-0.5);
        let whole = nearest(a * half, std::f64::consts::LOG2_E);
        let r = a.fma(half, whole.n * constant(-f32::LN2_HIGH));
        let r = whole.n.fma(constant(-f32::LN2_LOW), r);
        let e = times_pow2(exp_near(r), whole.n);
        (a, e * polynomial(a, &P) / polynomial(a, &Q), e)
    }
    #[inline(always)]
    fn through(self, f: impl Fn(f64) -> f64) -> f32 {
        f(f64::from(self)) as f32
    }
    #[inline(always)]
    fn exp_by_table<V: Lanes<T = f32>>(x: V) -> Option<V> {
        const POWERS: [f32; 16] = powers_of_two();
        /// (exp(r) - 1 - r) / r^2 for |r| <= ln(2) / 32.
        const NEAR: [f64; 2] = [0.500_016_2, 0.166_666_67];
        // 1.5 * 2^19: in units of 1/16.
        let shifter = V::splat(786_432.0);
        let shifted = x.fma(constant(std::f64::consts::LOG2_E), shifter);
        let bits = shifted.to_bits();
        let power = V::one_of_sixteen(&POWERS, bits)?;
        let n = shifted - shifter;
        let r = n.fma(constant(-f32::LN2_LOW), n.fma(constant(-f32::LN2_HIGH), x));
        let p = (r * r).fma(polynomial(r, &NEAR), r);
        power.fma(p, power).scaled_by_power(n)
    }
    #[inline(always)]
    fn round_bfloat16<V: Lanes<T = f32>>(x: V) -> V {
        // Half of what is cut off, and one bit less unless the last bit that stays is set; the sum never overflows into
        // the sign for a number, and what is not a number stays so.
        let bits = x.to_bits();
        let last = V::int_and(V::int_shr(bits, 16), V::int(1));
        let nearest = V::int_add(bits, V::int_add(last, V::int(0x7fff)));
        let quiet = V::int_or(bits, V::int(0x0040_0000));
        let high = V::select(x.is_nan(), V::from_bits(quiet), V::from_bits(nearest));
        V::from_bits(V::int_and(high.to_bits(), V::int(0xffff_0000)))
    }
    #[inline(always)]
    fn round_bfloat16_one(self) -> f32 {
        crate::convert::To::<f32>::to(crate::convert::To::<half::bf16>::to(self))
    }
    #[inline(always)]
    fn power(self, y: f32) -> f32 {
        self.powf(y)
    }
    #[inline(always)]
    fn remainder(self, y: f32) -> f32 {
        self % y
    }
    fn next_after(self, y: f32) -> f32 {
        if self.is_nan() || y.is_nan() {
            f32::NAN
        } else if self < y {
            self.next_up()
        } else if self > y {
            self.next_down()
        } else {
            y
        }
    }
    #[inline(always)]
    fn mantissa_mask() -> u32 {
        0x007f_ffff
    }
    #[inline(always)]
    fn one_bits() -> u32 {
        0x3f80_0000
    }
    #[inline(always)]
    fn sqrt_half_bits() -> (u32, u32) {
        (0x3f35_04f3, 0x3f80_0000 - 0x3f35_04f3)
    }
    #[inline(always)]
    fn integer_bits() -> u32 {
        0x4b00_0000
    }
}

impl Coefficients for f64 {
    const MANTISSA: u32 = 52;
    const TINY: f64 = f64::MIN_POSITIVE;
    const EXP_HIGH: f64 = 710.0;
    const EXP_LOW: f64 = -746.0;
    const EXPM1_LOW: f64 = -60.0;
    const LN2_HIGH: f64 = 0.6931471803691238;
    const LN2_LOW: f64 = 1.9082149292705877e-10;
    const LG2_HIGH: f64 = 0.3010299955494702;
    const LG2_LOW: f64 = 1.1451100898021838e-10;
    const EXP: &'static [f64] = &[
        0.5,
        0.1666666666666667,
        0.04166666666666667,
        0.008333333333326136,
        0.0013888888888883748,
        0.00019841269874820627,
        2.4801587325547743e-05,
        2.7557255400206422e-06,
        2.75572736431103e-07,
        2.5105217004720745e-08,
        2.0914686968086876e-09,
    ];
    const LOG: &'static [f64] = &[
        0.6666666666666666,
        0.4000000000000088,
        0.2857142857080323,
        0.2222222239180047,
        0.18181795630884753,
        0.15386240205813478,
        0.13268759668560612,
        0.13086767009948175,
    ];

    #[inline(always)]
    fn sin<V: Lanes<T = f64>>(x: V) -> V {
        x.map(f64::sin)
    }
    #[inline(always)]
    fn cos<V: Lanes<T = f64>>(x: V) -> V {
        x.map(f64::cos)
    }
    #[inline(always)]
    fn erf<V: Lanes<T = f64>>(x: V) -> V {
        x.map(libm::erf)
    }
    #[inline(always)]
    fn normal_tail<V: Lanes<T = f64>>(x: V) -> (V, V, V) {
        let a = V::splat(40.0).min(x.abs());
        let low = a.map(|a| 0.5 * libm::erfc(a * std::f64::consts::FRAC_1_SQRT_2));
        (a, low, exp(a * a * V::splat(-0.5)))
    }
    #[inline(always)]
    fn through(self, f: impl Fn(f64) -> f64) -> f64 {
        f(self)
    }
    #[inline(always)]
    fn round_bfloat16<V: Lanes<T = f64>>(x: V) -> V {
        x.map(Self::round_bfloat16_one)
    }
    // Rare and long: written out wherever a tile may be rounded it would be most of the code of the kernels of float64.
    #[inline(never)]
    fn round_bfloat16_one(self) -> f64 {
        half::bf16::from_f64(self).to_f64()
    }
    #[inline(always)]
    fn power(self, y: f64) -> f64 {
        self.powf(y)
    }
    #[inline(always)]
    fn remainder(self, y: f64) -> f64 {
        self % y
    }
    fn next_after(self, y: f64) -> f64 {
        if self.is_nan() || y.is_nan() {
            f64::NAN
        } else if self < y {
            self.next_up()
        } else if self > y {
            self.next_down()
        } else {
            y
        }
    }
    #[inline(always)]
    fn mantissa_mask() -> u64 {
        0x000f_ffff_ffff_ffff
    }
    #[inline(always)]
    fn one_bits() -> u64 {
        0x3ff0_0000_0000_0000
    }
    #[inline(always)]
    fn sqrt_half_bits() -> (u64, u64) {
        (0x3fe6_a09e_667f_3bcd, 0x3ff0_0000_0000_0000 - 0x3fe6_a09e_667f_3bcd)
    }
    #[inline(always)]
    fn integer_bits() -> u64 {
        0x4330_0000_0000_0000
    }
}

/// 2^(k/16) for k below 16.
const fn powers_of_two() -> [f32; 16] {
    // The root of a root of a root of a root, by Newton's method: constants know no functions.
    let (mut root, mut times) = (2.0f64, 0);
    while times < 4 {
        let (square, mut round) = (root, 0);
        while round < 8 {
            root = 0.5 * (root + square / root);
            round += 1;
        }
        times += 1;
    }
    let (mut powers, mut power, mut k) = ([0.0; 16], 1.0f64, 0);
    while k < 16 {
        powers[k] = power as f32;
        power *= root;
        k += 1;
    }
    powers
}

/// The constant `x` in every lane.
#[inline(always)]
pub(crate) fn constant<V: Lanes>(x: f64) -> V {
    V::splat(V::T::of(x))
}

/// `c[0] + c[1] x + c[2] x^2 + ...` by Horner's rule.
#[inline(always)]
pub(crate) fn polynomial<V: Lanes>(x: V, c: &[f64]) -> V {
    let mut y = constant::<V>(c[c.len() - 1]);
    let mut i = c.len() - 1;
    while i > 0 {
        i -= 1;
        y = y.fma(x, constant(c[i]));
    }
    y
}

/// 1.5 * 2^MANTISSA: a small number plus this is rounded to an integer, which stands in the low bits.
#[inline(always)]
fn shifter<V: Lanes>() -> V {
    constant((1u64 << V::T::MANTISSA) as f64 * 1.5)
}

/// The nearest integer to a small number, as a number and as the bits that [`pow2_of`] takes.
#[derive(Clone, Copy)]
struct Whole<V: Lanes> {
    n: V,
    bits: V::Bits,
}

/// The integer nearest to `x factor`.
#[inline(always)]
fn nearest<V: Lanes>(x: V, factor: f64) -> Whole<V> {
    let shifted = x.fma(constant(factor), shifter());
    Whole { n: shifted - shifter(), bits: shifted.to_bits() }
}

/// 2^n for integral n in the range of normal numbers.
#[inline(always)]
pub(crate) fn pow2<V: Lanes>(n: V) -> V {
    pow2_of((n + shifter()).to_bits())
}

/// 2^n from the bits of n plus [`shifter`]: a shift drops everything above the exponent.
#[inline(always)]
fn pow2_of<V: Lanes>(bits: V::Bits) -> V {
    V::from_bits(V::int_add(V::int_shl(bits, V::T::MANTISSA), V::int(V::T::one_bits())))
}

/// p 2^n, rounded once, for integral n and a p near 1.
#[inline(always)]
fn times_pow2<V: Lanes>(p: V, n: V) -> V {
    if let Some(y) = p.scaled_by_power(n) {
        return y;
    }
    // In two steps, because 2^n itself may be out of range while the result is not.
    let half = nearest(n, 0.5);
    p * pow2_of(half.bits) * pow2(n - half.n)
}

/// exp(r) for |r| <= ln(2) / 2.
#[inline(always)]
fn exp_near<V: Lanes>(r: V) -> V {
    let one = V::splat(V::T::ONE);
    polynomial(r, V::T::EXP).fma(r, one).fma(r, one)
}

/// n and r with x = n ln 2 + r, |r| <= ln(2) / 2.
#[inline(always)]
fn without_powers<V: Lanes>(x: V) -> (Whole<V>, V) {
    let whole = nearest(x, std::f64::consts::LOG2_E);
    let r = whole.n.fma(constant(-V::T::LN2_HIGH), x);
    (whole, whole.n.fma(constant(-V::T::LN2_LOW), r))
}

/// n and r with x = n ln 2 + r, |r| <= ln(2) / 2, and exp(r) - 1.
#[inline(always)]
fn exp_reduced<V: Lanes>(x: V) -> (Whole<V>, V) {
    let (whole, r) = without_powers(x);
    (whole, (r * r).fma(polynomial(r, V::T::EXP), r))
}

/// e^x - 1 = s p + (s - 1) and e^x = s p + s, as (p, s), for x of which neither side of that is out of range.
#[inline(always)]
pub(crate) fn exp_parts<V: Lanes>(x: V) -> (V, V) {
    let (whole, p) = exp_reduced(x);
    (p, pow2_of(whole.bits))
}

/// `x` held between two limits; NaN stays NaN.
#[inline(always)]
pub(crate) fn clamp<V: Lanes>(x: V, low: f64, high: f64) -> V {
    constant::<V>(low).max(constant::<V>(high).min(x))
}

/// e^x (at most 1 ulp).
#[inline(always)]
pub(crate) fn exp<V: Lanes>(x: V) -> V {
    exp_between(clamp(x, V::T::EXP_LOW, V::T::EXP_HIGH))
}

/// e^x for an x between the limits.
#[inline(always)]
fn exp_between<V: Lanes>(x: V) -> V {
    if let Some(y) = V::T::exp_by_table(x) {
        return y;
    }
    let (whole, r) = without_powers(x);
    times_pow2(exp_near(r), whole.n)
}

/// e^x for x <= 0, in one comparison less.
#[inline(always)]
fn exp_of_negative<V: Lanes>(x: V) -> V {
    exp_between(constant::<V>(V::T::EXP_LOW).max(x))
}

/// 2^x (at most 2 ulp; exact for integers).
#[inline(always)]
pub(crate) fn exp2<V: Lanes>(x: V) -> V {
    let x = clamp(x, V::T::EXP_LOW * 1.5, V::T::EXP_HIGH * 1.5);
    let n = x.round();
    let r = (x - n) * constant(std::f64::consts::LN_2);
    times_pow2(exp_near(r), n)
}

/// e^x - 1 (at most 2 ulp).
#[inline(always)]
pub(crate) fn expm1<V: Lanes>(x: V) -> V {
    let (whole, p) = exp_reduced(clamp(x, V::T::EXPM1_LOW, V::T::EXP_HIGH));
    // 2 (s p + s - 1/2) with s = 2^(n-1), which stays in range where 2^n does not.
    let s = pow2(whole.n - constant(1.0));
    let y = s.fma(p, s - constant(0.5));
    V::select(x.abs().lt(constant(V::T::TINY * 4.0)), x, y + y)
}

/// The exponent e and f with x = 2^e (1 + f), sqrt(1/2) <= 1 + f < sqrt(2), for positive finite x.
#[inline(always)]
fn log_reduced<V: Lanes>(x: V) -> (V, V) {
    let up = V::T::MANTISSA + 2;
    let small = x.lt(constant(V::T::TINY));
    let x = V::select(small, x * constant((1u64 << up) as f64), x);
    let (sqrt_half, to_one) = V::T::sqrt_half_bits();
    let bits = V::int_add(x.to_bits(), V::int(to_one));
    let k = V::int_or(V::int_shr(bits, V::T::MANTISSA), V::int(V::T::integer_bits()));
    let bias = if V::T::MANTISSA == 23 { 127.0 } else { 1023.0 };
    let whole = (1u64 << V::T::MANTISSA) as f64;
    let e = V::from_bits(k) - constant(whole + bias);
    let e = V::select(small, e - constant(f64::from(up)), e);
    let m = V::int_add(V::int_and(bits, V::int(V::T::mantissa_mask())), V::int(sqrt_half));
    (e, V::from_bits(m) - constant(1.0))
}

/// e ln 2 + ln(1 + f) + c.
#[inline(always)]
fn log_sum<V: Lanes>(e: V, f: V, c: V) -> V {
    let s = f / (f + constant(2.0));
    let z = s * s;
    let r = z * polynomial(z, V::T::LOG);
    let h = f * f * constant(0.5);
    let low = e.fma(constant(V::T::LN2_LOW), c);
    e.fma(constant(V::T::LN2_HIGH), f - (h - s.fma(h + r, low)))
}

/// The logarithm `y` of `x`, put right where `x` is zero, negative, infinite or NaN.
#[inline(always)]
fn log_edges<V: Lanes>(x: V, y: V) -> V {
    let zero = V::splat(V::T::ZERO);
    let y = V::select(x.lt(V::splat(V::T::INF)), y, x);
    let y = V::select(x.eq(zero), V::splat(-V::T::INF), y);
    V::select(x.lt(zero), V::splat(V::T::NAN), y)
}

/// ln x (at most 1 ulp).
#[inline(always)]
pub(crate) fn log<V: Lanes>(x: V) -> V {
    let (e, f) = log_reduced(x);
    log_edges(x, log_sum(e, f, V::splat(V::T::ZERO)))
}

/// log2 x (at most 2 ulp; exact at powers of two).
#[inline(always)]
pub(crate) fn log2<V: Lanes>(x: V) -> V {
    let (e, f) = log_reduced(x);
    let zero = V::splat(V::T::ZERO);
    log_edges(x, log_sum(zero, f, zero).fma(constant(std::f64::consts::LOG2_E), e))
}

/// log10 x (at most 2 ulp).
#[inline(always)]
pub(crate) fn log10<V: Lanes>(x: V) -> V {
    let (e, f) = log_reduced(x);
    let zero = V::splat(V::T::ZERO);
    let y = log_sum(zero, f, zero).fma(constant(std::f64::consts::LOG10_E), e * constant(V::T::LG2_LOW));
    log_edges(x, e.fma(constant(V::T::LG2_HIGH), y))
}

/// ln(1 + x) (at most 2 ulp).
#[inline(always)]
pub(crate) fn log1p<V: Lanes>(x: V) -> V {
    let one = V::splat(V::T::ONE);
    let u = x + one;
    // What the rounding of 1 + x lost.
    let lost = V::select(one.le(x), one - (u - x), x - (u - one));
    let (e, f) = log_reduced(u);
    let y = log_edges(u, log_sum(e, f, lost / u));
    V::select(x.abs().lt(constant(V::T::TINY * 4.0)), x, y)
}

/// tanh x (at most 2.5 ulp, within [-1, 1]).
#[inline(always)]
pub(crate) fn tanh<V: Lanes>(x: V) -> V {
    // t = e^(-2 |x|) - 1, where 2^n is far from the ends of its range.
    let (p, s) = exp_parts(constant::<V>(V::T::EXPM1_LOW).max(x.abs() * constant(-2.0)));
    let t = s.fma(p, s - V::splat(V::T::ONE));
    (t / (t + constant(2.0))).copysign(x)
}

/// 1 / (1 + e^-x) (at most 2.5 ulp, within [0, 1]).
#[inline(always)]
pub(crate) fn sigmoid<V: Lanes>(x: V) -> V {
    let one = V::splat(V::T::ONE);
    let e = exp_of_negative(-x.abs());
    V::select(x.lt(V::splat(V::T::ZERO)), e, one) / (e + one)
}

/// ln(1 + e^x) without overflow.
#[inline(always)]
pub(crate) fn softplus<V: Lanes>(x: V) -> V {
    x.max_nan(V::splat(V::T::ZERO)) + log1p(exp_of_negative(-x.abs()))
}

/// ln(e^a + e^b) without overflow.
#[inline(always)]
pub(crate) fn logaddexp<V: Lanes>(a: V, b: V) -> V {
    // Equal infinities have no difference.
    let gap = V::select(a.eq(b), V::splat(V::T::ZERO), (a - b).abs());
    a.max_nan(b) + log1p(exp(-gap))
}

/// sin x.
#[inline(always)]
pub(crate) fn sin<V: Lanes>(x: V) -> V {
    V::T::sin(x)
}

/// cos x.
#[inline(always)]
pub(crate) fn cos<V: Lanes>(x: V) -> V {
    V::T::cos(x)
}

/// erf x (at most 2 ulp).
#[inline(always)]
pub(crate) fn erf<V: Lanes>(x: V) -> V {
    V::T::erf(x)
}

/// x P(x) with P the normal distribution function (at most 6 ulp, in the far tail too).
#[inline(always)]
pub(crate) fn gelu<V: Lanes>(x: V) -> V {
    // x P(x) is x less |x| P(-|x|) above zero, and that alone below.
    let (a, low, _) = V::T::normal_tail(x);
    (-a).fma(low, x.max(V::splat(V::T::ZERO)))
}

/// The derivative of [`gelu`]: P(x) + x e^(-x^2 / 2) / sqrt(2 pi).
#[inline(always)]
pub(crate) fn gelu_slope<V: Lanes>(x: V) -> V {
    let (_, low, e) = V::T::normal_tail(x);
    let p = V::select(x.lt(V::splat(V::T::ZERO)), low, V::splat(V::T::ONE) - low);
    // The exponential is zero long before that; infinity times zero would not be.
    let x = clamp(x, -100.0, 100.0);
    (x * constant(0.398_942_280_401_432_7)).fma(e, p)
}

/// 2 u = sqrt(8 / pi) (x + 0.044715 x^3); (1 + tanh u) / 2 is sigmoid(2 u).
#[inline(always)]
fn gelu_inner<V: Lanes>(x: V) -> V {
    x * (x * x).fma(constant(0.071_354_816_272_600_25), constant(1.595_769_121_605_730_8))
}

/// x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))).
#[inline(always)]
pub(crate) fn gelu_tanh<V: Lanes>(x: V) -> V {
    x * sigmoid(gelu_inner(x))
}

/// The derivative of [`gelu_tanh`]: s + x (2 u)' s (1 - s) with s = sigmoid(2 u).
#[inline(always)]
pub(crate) fn gelu_tanh_slope<V: Lanes>(x: V) -> V {
    let v = gelu_inner(x);
    let one = V::splat(V::T::ONE);
    let e = exp_of_negative(-v.abs());
    let r = one / (e + one);
    let s = V::select(v.lt(V::splat(V::T::ZERO)), e, one) * r;
    // Far out s (1 - s) is zero; infinity times zero would not be.
    let x = clamp(x, -1e6, 1e6);
    let slope = (x * x).fma(constant(0.214_064_448_817_800_75), constant(1.595_769_121_605_730_8));
    // s (1 - s) from the exponential: 1 - s itself would lose its digits.
    (x * slope).fma(e * r * r, s)
}

/// To the nearest number that bfloat16 has, halves to even.
#[inline(always)]
pub(crate) fn round_bfloat16<V: Lanes>(x: V) -> V {
    <V::T as Coefficients>::round_bfloat16(x)
}

/// -1, 0 or 1; NaN stays NaN.
#[inline(always)]
pub(crate) fn sign<V: Lanes>(x: V) -> V {
    let zero = V::splat(V::T::ZERO);
    let s = V::splat(V::T::ONE).copysign(x);
    V::select(V::or(x.lt(zero), x.gt(zero)), s, V::select(x.is_nan(), x, zero))
}

/// Above this the reduction by three parts of pi/2 would lose bits, and lanes go through float64.
const SIN_FAR: f32 = 32768.0;

/// The quadrant of `x`, and sine and cosine of what is left after it.
#[inline(always)]
fn sin_cos_reduced<V: Lanes<T = f32>>(x: V) -> (V, V, V) {
    const SIN: [f64; 3] = [-0.16666664, 0.008332747, -0.00019587639];
    const COS: [f64; 3] = [0.041666664, -0.0013888301, 2.454769e-05];
    let n = (x * constant(std::f64::consts::FRAC_2_PI)).round();
    // pi/2 in three float32 parts.
    let r = n.fma(V::splat(-1.570_796_4), x);
    let r = n.fma(V::splat(4.371_139e-8), r);
    let r = n.fma(V::splat(1.715_124_5e-15), r);
    let z = r * r;
    let s = (polynomial(z, &SIN) * z).fma(r, r);
    let c = polynomial(z, &COS).fma(z, constant(-0.5)).fma(z, constant(1.0));
    (n, s, c)
}

/// The sine of angle `quadrant + shift` (in right angles) from the sine and cosine of the remainder.
#[inline(always)]
fn rotate<V: Lanes<T = f32>>(quadrant: V, s: V, c: V, shift: f32) -> V {
    let q = quadrant + V::splat(shift);
    // q modulo 4 as 0, 1, 2, 3, all exact.
    let q = q - (q * V::splat(0.25)).floor() * V::splat(4.0);
    let odd = V::or(q.eq(V::splat(1.0)), q.eq(V::splat(3.0)));
    let y = V::select(odd, c, s);
    V::select(q.ge(V::splat(2.0)), -y, y)
}

/// `y`, replaced by `f` through float64 where `x` is far out.
#[inline(always)]
fn far<V: Lanes<T = f32>>(x: V, y: V, f: impl Fn(f64) -> f64) -> V {
    let near = x.abs().le(V::splat(SIN_FAR));
    if !V::any(V::not(near)) {
        return y;
    }
    x.map2(y, |x, y| if x.abs() <= SIN_FAR { y } else { f(f64::from(x)) as f32 })
}

/// x^y, exact for the exponents that programs write: 0.5, 1, 2, 3 and -1.
#[inline(always)]
pub(crate) fn pow<V: Lanes>(x: V, y: V) -> V {
    x.map2(y, power)
}

/// One lane of [`pow`].
#[inline(always)]
pub(crate) fn power<T: Real>(x: T, y: T) -> T {
    match y.f64() {
        2.0 => x * x,
        1.0 => x,
        -1.0 => T::ONE / x,
        3.0 => x * x * x,
        // The root of -inf and -0 differs from the power; leave those to the library.
        0.5 if x > T::ZERO => x.sqrt(),
        _ => x.power(y),
    }
}

/// The quotient rounded down, as the integer q with x = q y + (x mod y).
#[inline(always)]
pub(crate) fn floor_div<T: Real>(x: T, y: T) -> T {
    if y == T::ZERO {
        return x / y;
    }
    let (x, y) = (x.f64(), y.f64());
    let r = x % y;
    let mut q = (x - r) / y;
    if r != 0.0 && (r < 0.0) != (y < 0.0) {
        q -= 1.0;
    }
    let rounded = q.floor();
    T::of(if q - rounded > 0.5 { rounded + 1.0 } else { rounded })
}

/// The remainder with the sign of the divisor.
#[inline(always)]
pub(crate) fn modulo<T: Real>(x: T, y: T) -> T {
    let r = x.remainder(y);
    if r == T::ZERO {
        // Zero with the sign of the divisor.
        return if y < T::ZERO { -T::ZERO } else { T::ZERO };
    }
    if (r < T::ZERO) != (y < T::ZERO) { r + y } else { r }
}

/// The inverse of erf: a closed-form start and Halley steps on erf itself.
pub(crate) fn erf_inv(x: f64) -> f64 {
    let a = x.abs();
    if a >= 1.0 || x.is_nan() {
        return if a == 1.0 { f64::INFINITY.copysign(x) } else { f64::NAN };
    }
    if a == 0.0 {
        return x;
    }
    // Winitzki's approximation, good to 2e-3.
    let l = (-a * a).ln_1p();
    let k = 2.0 / (std::f64::consts::PI * 0.147) + l / 2.0;
    let mut y = ((k * k - l / 0.147).sqrt() - k).sqrt();
    for _ in 0..3 {
        let miss = if a < 0.5 { libm::erf(y) - a } else { (1.0 - a) - libm::erfc(y) };
        let step = miss / (std::f64::consts::FRAC_2_SQRT_PI * (-y * y).exp());
        y -= step / (1.0 + y * step);
    }
    y.copysign(x)
}

/// The derivative of ln gamma.
pub(crate) fn digamma(x: f64) -> f64 {
    if x.is_nan() || x == f64::NEG_INFINITY || (x <= 0.0 && x == x.floor()) {
        return f64::NAN;
    }
    if x < 0.0 {
        // Reflection: psi(x) = psi(1 - x) - pi / tan(pi x).
        return digamma(1.0 - x) - std::f64::consts::PI / (std::f64::consts::PI * (x - x.floor())).tan();
    }
    let (mut x, mut y) = (x, 0.0);
    while x < 10.0 {
        y -= 1.0 / x;
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    // The asymptotic series with Bernoulli numbers B2k / 2k.
    let tail = z
        * (1.0 / 12.0
            - z * (1.0 / 120.0
                - z * (1.0 / 252.0
                    - z * (1.0 / 240.0 - z * (1.0 / 132.0 - z * (691.0 / 32760.0 - z / 12.0))))));
    y + x.ln() - 0.5 / x - tail
}

/// The second derivative of ln gamma.
pub(crate) fn trigamma(x: f64) -> f64 {
    use std::f64::consts::PI;
    if x.is_nan() || x == f64::NEG_INFINITY {
        return f64::NAN;
    }
    if x <= 0.0 {
        // Reflection: psi'(x) = (pi / sin(pi x))^2 - psi'(1 - x); infinite at the poles.
        let s = (PI * (x - x.floor())).sin();
        return PI * PI / (s * s) - trigamma(1.0 - x);
    }
    let (mut x, mut y) = (x, 0.0);
    while x < 10.0 {
        y += 1.0 / (x * x);
        x += 1.0;
    }
    let z = 1.0 / (x * x);
    // The asymptotic series with Bernoulli numbers B2k.
    let tail = z
        * (1.0 / 6.0
            - z * (1.0 / 30.0
                - z * (1.0 / 42.0
                    - z * (1.0 / 30.0 - z * (5.0 / 66.0 - z * (691.0 / 2730.0 - z * 7.0 / 6.0))))));
    y + (1.0 + tail) / x + 0.5 * z
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::levels;
    use crate::map::{Unary, unary_at};

    /// The distance of `got` from `want` in units in the last place of `want`.
    fn ulps(got: f32, want: f64) -> f64 {
        let w = want as f32;
        if got.is_nan() || want.is_nan() {
            return if got.is_nan() && want.is_nan() { 0.0 } else { f64::INFINITY };
        }
        if w.is_infinite() || got.is_infinite() {
            return if w == got { 0.0 } else { f64::INFINITY };
        }
        let unit = f64::from(w.abs().next_up()) - f64::from(w.abs());
        (f64::from(got) - want).abs() / unit
    }

    fn worst(op: Unary, low: f32, high: f32, want: impl Fn(f64) -> f64) {
        let bound = match op {
            Unary::Exp | Unary::Log => 1.0,
            Unary::Tanh | Unary::Sigmoid => 2.5,
            Unary::Gelu => 6.0,
            _ => 2.0,
        };
        // Evenly spaced values, then evenly spaced bit patterns of both signs.
        let mut x: Vec<f32> = (0..20_011).map(|i| low + (high - low) * (i as f32 / 20_010.0)).collect();
        x.extend(
            (0..40_000u32)
                .map(|i| f32::from_bits(i.wrapping_mul(107_377)))
                .filter(|v| *v >= low && *v <= high),
        );
        for level in levels() {
            let mut y = vec![0.0; x.len()];
            unary_at(level, op, &x, &mut y);
            let (mut at, mut most) = (0.0, 0.0);
            for (&x, &y) in x.iter().zip(&y) {
                let e = ulps(y, want(f64::from(x)));
                if e > most {
                    (at, most) = (x, e);
                }
            }
            assert!(
                most <= bound,
                "{} at {}: {most:.3} ulp at {at:e} (bound {bound})",
                op.name(),
                level.name()
            );
        }
    }

    #[test]
    fn float32_bounds() {
        worst(Unary::Exp, -104.0, 90.0, f64::exp);
        worst(Unary::Exp2, -151.0, 129.0, f64::exp2);
        worst(Unary::Expm1, -40.0, 90.0, f64::exp_m1);
        worst(Unary::Log, 0.0, f32::MAX, f64::ln);
        worst(Unary::Log, 0.1, 3.0, f64::ln);
        worst(Unary::Log2, 0.0, 10.0, f64::log2);
        worst(Unary::Log10, 0.0, 1e4, f64::log10);
        worst(Unary::Log1p, -0.99999, 1e6, f64::ln_1p);
        worst(Unary::Log1p, -0.5, 0.5, f64::ln_1p);
        worst(Unary::Tanh, -20.0, 20.0, f64::tanh);
        worst(Unary::Tanh, -0.5, 0.5, f64::tanh);
        worst(Unary::Sigmoid, -104.0, 40.0, |x| 1.0 / (1.0 + (-x).exp()));
        worst(Unary::Erf, -5.0, 5.0, libm::erf);
        worst(Unary::Erf, -1.0, 1.0, libm::erf);
        worst(Unary::Gelu, -12.5, 20.0, |x| 0.5 * x * libm::erfc(x * -std::f64::consts::FRAC_1_SQRT_2));
        worst(Unary::Gelu, -1.0, 1.0, |x| 0.5 * x * libm::erfc(x * -std::f64::consts::FRAC_1_SQRT_2));
        worst(Unary::Sin, -30.0, 30.0, f64::sin);
        worst(Unary::Sin, -1e6, 1e6, f64::sin);
        worst(Unary::Cos, -30.0, 30.0, f64::cos);
        worst(Unary::Cos, -1e6, 1e6, f64::cos);
    }

    #[test]
    fn float64_agrees_with_the_library() {
        let cases: [(Unary, fn(f64) -> f64); 8] = [
            (Unary::Exp, f64::exp),
            (Unary::Expm1, f64::exp_m1),
            (Unary::Tanh, f64::tanh),
            (Unary::Exp2, f64::exp2),
            (Unary::Log, |x| x.ln()),
            (Unary::Log1p, |x| x.ln_1p()),
            (Unary::Log2, |x| x.log2()),
            (Unary::Log10, |x| x.log10()),
        ];
        for (i, (op, f)) in cases.into_iter().enumerate() {
            let low = if i < 4 { -30.0 } else { 1e-9 };
            let x: Vec<f64> = (0..5003).map(|i| low + 60.0 * (i as f64 / 5002.0)).collect();
            for level in levels() {
                let mut y = vec![0.0; x.len()];
                unary_at(level, op, &x, &mut y);
                for (&x, &y) in x.iter().zip(&y) {
                    let want = f(x);
                    assert!(
                        (y - want).abs() <= 6e-16 * want.abs(),
                        "{} of {x}: {y} is not {want}",
                        op.name()
                    );
                }
            }
        }
    }

    #[test]
    fn edges() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = [0.0f32, -0.0, inf, -inf, nan, -1.0, 1e-40, -1e-40];
        let cases: [(Unary, fn(f32) -> f32); 9] = [
            (Unary::Exp, f32::exp),
            (Unary::Expm1, f32::exp_m1),
            (Unary::Log, f32::ln),
            (Unary::Log1p, f32::ln_1p),
            (Unary::Tanh, f32::tanh),
            (Unary::Sin, f32::sin),
            (Unary::Floor, f32::floor),
            (Unary::Sqrt, f32::sqrt),
            (Unary::Erf, libm::erff),
        ];
        for level in levels() {
            for (op, f) in cases {
                let mut y = [0.0; 8];
                unary_at(level, op, &x, &mut y);
                for (x, y) in x.iter().zip(y) {
                    let want = f(*x);
                    let same = if want.is_nan() { y.is_nan() } else { ulps(y, f64::from(want)) <= 1.0 };
                    assert!(same, "{} of {x}: {y} is not {want} at {}", op.name(), level.name());
                    if want == 0.0 {
                        assert_eq!(y.is_sign_negative(), want.is_sign_negative(), "{} of {x}", op.name());
                    }
                }
            }
        }
    }

    /// Every 16-bit half with ends that round down, up, to even and over; infinities, what is not a number, denormals.
    #[test]
    fn rounding_to_bfloat16() {
        let ends = [0u32, 1, 0x7fff, 0x8000, 0x8001, 0xffff];
        let x: Vec<f32> =
            (0..1 << 16).flat_map(|high: u32| ends.map(|low| f32::from_bits(high << 16 | low))).collect();
        for level in levels() {
            let mut y = vec![0f32; x.len()];
            unary_at(level, Unary::Bfloat16, &x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let want = half::bf16::from_f32(*x).to_f32();
                let same = if x.is_nan() { y.is_nan() && y.to_bits() & 0xffff == 0 } else { *y == want };
                assert!(same, "{x:e} gives {y:e}, not {want:e}, at {}", level.name());
            }
        }
    }

    /// The derivatives of both forms, by differences of the float64 functions; beyond all bounds 0 and 1.
    #[test]
    fn gelu_slopes() {
        use crate::map::{Binary, binary};
        let exact = |x: f64| 0.5 * x * libm::erfc(x * -std::f64::consts::FRAC_1_SQRT_2);
        let tanh = |x: f64| 0.5 * x * (1.0 + (0.797_884_560_802_865_4 * (x + 0.044_715 * x * x * x)).tanh());
        let x: Vec<f32> = (-2000..=2000).map(|i| i as f32 / 250.0).collect();
        let far = [f32::INFINITY, 1e30, -1e30, f32::NEG_INFINITY];
        for (op, f) in [(Binary::GeluGrad, &exact as &dyn Fn(f64) -> f64), (Binary::GeluTanhGrad, &tanh)] {
            let mut y = vec![0f32; x.len()];
            binary(op, &[x.len()], &[1f32], &[0], &x, &[1], &mut y);
            for (&x, &y) in x.iter().zip(&y) {
                let (x, h) = (f64::from(x), 1e-5);
                let want = (f(x + h) - f(x - h)) / (2.0 * h);
                assert!((f64::from(y) - want).abs() < 1e-6, "{} at {x}: {y} is not {want}", op.name());
            }
            let mut y = [9f32; 4];
            binary(op, &[4], &[1f32], &[0], &far, &[1], &mut y);
            assert_eq!(y, [1.0, 1.0, 0.0, 0.0], "{}", op.name());
        }
    }

    #[test]
    fn scalar_functions() {
        for x in [-0.999f64, -0.3, 1e-12, 0.5, 0.9, 0.999_999_9] {
            assert!((libm::erf(erf_inv(x)) - x).abs() <= 2e-16 * x.abs().max(0.5), "erf_inv {x}");
        }
        // psi(1) = -gamma, psi(1/2) = -gamma - 2 ln 2, psi(-1/2) = psi(1/2) + 2.
        let gamma = 0.577_215_664_901_532_9;
        assert!((digamma(1.0) + gamma).abs() < 1e-15);
        assert!((digamma(0.5) + gamma + 2.0 * std::f64::consts::LN_2).abs() < 1e-14);
        assert!((digamma(-0.5) - digamma(0.5) - 2.0).abs() < 1e-14);
        let sixth = std::f64::consts::PI.powi(2) / 6.0;
        assert!((trigamma(1.0) - sixth).abs() < 1e-14);
        assert!((trigamma(0.5) - 3.0 * sixth).abs() < 1e-14);
        assert!((trigamma(-0.5) - trigamma(0.5) - 4.0).abs() < 1e-13);
        assert_eq!(modulo(-7.0f32, 3.0), 2.0);
        assert_eq!(modulo(7.0f32, -3.0), -2.0);
        assert_eq!(floor_div(-7.0f32, 3.0), -3.0);
        assert_eq!(power(-8.0f32, 3.0), -512.0);
    }
}
