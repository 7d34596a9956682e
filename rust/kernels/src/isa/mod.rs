//! The instruction set that kernels use, chosen once when the first kernel runs.
//!
//! `RKERAS_ISA=portable|avx2|avx512` lowers the choice, so that tests can cover every level the machine
//! has; asking for more than the machine offers falls back to the best it has.

//!
//! Kernels are written once over [`Lanes`], a vector of float32 or float64 values, as a [`Kernel`] whose
//! `run` is compiled once per level by [`dispatch`]. Everything on the way from `run` to a lane operation is
//! `#[inline(always)]`, so that the intrinsics end up inside the function that has the target features.

use std::ops::{Add, Div, Mul, Neg, Sub};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
mod narrow;
pub(crate) mod scalar;

pub use narrow::{Narrow, narrow, narrow_levels};

/// An instruction-set level; higher levels include the lower ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, any machine.
    Portable,
    /// x86-64 with AVX2 and FMA: 8 float32 lanes.
    Avx2,
    /// x86-64 with AVX-512 F, BW, DQ and VL: 16 float32 lanes.
    Avx512,
}

impl Level {
    /// The name that `RKERAS_ISA` understands.
    pub fn name(self) -> &'static str {
        match self {
            Level::Portable => "portable",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// The best level this machine offers.
#[inline]
pub fn detect() -> Level {
    // 0 until the processor has been asked, then the level plus one.
    static FOUND: AtomicU8 = AtomicU8::new(0);
    match FOUND.load(Ordering::Relaxed) {
        1 => Level::Portable,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => {
            let found = ask();
            FOUND.store(found as u8 + 1, Ordering::Relaxed);
            found
        }
    }
}

#[cold]
fn ask() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        let avx2 = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma")
            && is_x86_feature_detected!("f16c");
        let avx512 = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl");
        if avx2 && avx512 {
            return Level::Avx512;
        }
        if avx2 {
            return Level::Avx2;
        }
    }
    Level::Portable
}

/// The level in force: the best of the machine, lowered by `RKERAS_ISA`.
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| {
        let best = detect();
        match std::env::var("RKERAS_ISA").as_deref() {
            Ok("portable") => Level::Portable,
            Ok("avx2") => best.min(Level::Avx2),
            _ => best,
        }
    })
}

/// Every level this machine has, lowest first: what tests iterate over.
pub fn levels() -> Vec<Level> {
    [Level::Portable, Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= detect()).collect()
}

/// A set of lane types: what a [`Kernel`] is generic over.
pub(crate) trait Isa: Copy + 'static {
    /// Float32 lanes.
    type F32: Lanes<T = f32>;
    /// Float64 lanes.
    type F64: Lanes<T = f64>;
    /// Runs `kernel` as a function of its own: in the midst of a large one the compiler runs out of registers for
    /// addresses.
    fn apart<K: Kernel>(kernel: K) -> K::Out;
}

/// A float type that has lanes: f32 or f64.
pub(crate) trait Real:
    Copy
    + PartialOrd
    + Send
    + Sync
    + Default
    + std::fmt::Debug
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + crate::lanes::Coefficients
    + 'static
{
    /// The lanes of this type at level `S`.
    type V<S: Isa>: Lanes<T = Self>;
    /// The unsigned integer of the same width.
    type Int: Copy;
    /// Zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// Infinity.
    const INF: Self;
    /// Not a number.
    const NAN: Self;
    /// 0, 1, 2, ...
    const INDEX: [Self; 16];
    /// `x` rounded to this type.
    fn of(x: f64) -> Self;
    /// This value as float64 (exact).
    fn f64(self) -> f64;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
}

macro_rules! real {
    ($t:ident, $int:ident, $v:ident) => {
        impl Real for $t {
            type V<S: Isa> = S::$v;
            type Int = $int;
            const ZERO: $t = 0.0;
            const ONE: $t = 1.0;
            const INF: $t = $t::INFINITY;
            const NAN: $t = $t::NAN;
            const INDEX: [$t; 16] =
                [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];
            #[inline(always)]
            fn of(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn f64(self) -> f64 {
                self as f64
            }
            #[inline(always)]
            fn fma(self, b: $t, c: $t) -> $t {
                self.mul_add(b, c)
            }
            #[inline(always)]
            fn sqrt(self) -> $t {
                <$t>::sqrt(self)
            }
        }
    };
}
real!(f32, u32, F32);
real!(f64, u64, F64);

/// The float types that vector kernels are made for: f32 and f64.
#[allow(private_bounds)] // sealed: nobody else can implement it
pub trait Float: Real {}
impl Float for f32 {}
impl Float for f64 {}

/// A vector of floats. Methods may be called only below [`dispatch`], which has checked that the machine has
/// the instructions; that is why the trait does not leave the crate.
pub(crate) trait Lanes:
    Copy
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// The type of one lane.
    type T: Real;
    /// One truth value per lane.
    type Mask: Copy;
    /// The lanes as unsigned integers of the same width.
    type Bits: Copy;
    /// The number of lanes.
    const N: usize;

    /// Reads `N` values.
    ///
    /// # Safety
    /// `p` must be valid for reading `N` values (of any alignment).
    unsafe fn load(p: *const Self::T) -> Self;
    /// Writes `N` values.
    ///
    /// # Safety
    /// `p` must be valid for writing `N` values.
    unsafe fn store(self, p: *mut Self::T);
    /// Writes `N` values past the caches, where there is an instruction for it: memory is not read first. Other threads see
    /// them after [`written_past`].
    ///
    /// # Safety
    /// `p` must be valid for writing `N` values and aligned to all of them.
    #[inline(always)]
    unsafe fn store_past(self, p: *mut Self::T) {
        // SAFETY: passed on.
        unsafe { self.store(p) }
    }
    /// Reads the first `n <= N` values; the other lanes are zero.
    ///
    /// # Safety
    /// `p` must be valid for reading `n` values.
    unsafe fn load_partial(p: *const Self::T, n: usize) -> Self;
    /// Writes the first `n <= N` lanes.
    ///
    /// # Safety
    /// `p` must be valid for writing `n` values.
    unsafe fn store_partial(self, p: *mut Self::T, n: usize);
    /// The same value in every lane.
    fn splat(x: Self::T) -> Self;
    /// `self * b + c`, rounded once.
    fn fma(self, b: Self, c: Self) -> Self;
    /// `self < b ? self : b`: the second operand where one is NaN.
    fn min(self, b: Self) -> Self;
    /// `self > b ? self : b`: the second operand where one is NaN.
    fn max(self, b: Self) -> Self;
    /// The square root.
    fn sqrt(self) -> Self;
    /// Without its sign.
    fn abs(self) -> Self;
    /// To the nearest integer, halves to even.
    fn round(self) -> Self;
    /// To the integer below.
    fn floor(self) -> Self;
    /// To the integer above.
    fn ceil(self) -> Self;
    /// To the integer towards zero.
    fn trunc(self) -> Self;
    /// `self < b`, false with NaN.
    fn lt(self, b: Self) -> Self::Mask;
    /// `self <= b`, false with NaN.
    fn le(self, b: Self) -> Self::Mask;
    /// `self == b`, false with NaN.
    fn eq(self, b: Self) -> Self::Mask;
    /// Both.
    fn and(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Either.
    fn or(a: Self::Mask, b: Self::Mask) -> Self::Mask;
    /// Not.
    fn not(a: Self::Mask) -> Self::Mask;
    /// `m ? a : b` per lane.
    fn select(m: Self::Mask, a: Self, b: Self) -> Self;
    /// Bit `i` is the truth value of lane `i`.
    fn movemask(m: Self::Mask) -> u32;
    /// The lanes as integers, bit for bit.
    fn to_bits(self) -> Self::Bits;
    /// The lanes from integers, bit for bit.
    fn from_bits(b: Self::Bits) -> Self;
    /// The same integer in every lane.
    fn int(x: <Self::T as Real>::Int) -> Self::Bits;
    /// Wrapping sum.
    fn int_add(a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// Bitwise and.
    fn int_and(a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// Bitwise or.
    fn int_or(a: Self::Bits, b: Self::Bits) -> Self::Bits;
    /// Shift towards the high bits.
    fn int_shl(a: Self::Bits, n: u32) -> Self::Bits;
    /// Shift towards the low bits, filling with zeros.
    fn int_shr(a: Self::Bits, n: u32) -> Self::Bits;

    /// `self / (√v + e)` to about a unit in the last place.
    #[inline(always)]
    fn over_root(self, v: Self, e: Self) -> Self {
        self / (v.sqrt() + e)
    }
    /// `self · 2^n` with n rounded down to an integer, rounded once, where one instruction does it.
    #[inline(always)]
    fn scaled_by_power(self, _n: Self) -> Option<Self> {
        None
    }
    /// The number of `table` that the low four bits of each lane name, where a register holds so many.
    #[inline(always)]
    fn one_of_sixteen(_table: &[Self::T; 16], _at: Self::Bits) -> Option<Self> {
        None
    }
    /// `self > b`, false with NaN.
    #[inline(always)]
    fn gt(self, b: Self) -> Self::Mask {
        b.lt(self)
    }
    /// `self >= b`, false with NaN.
    #[inline(always)]
    fn ge(self, b: Self) -> Self::Mask {
        b.le(self)
    }
    /// `self != b`, true with NaN.
    #[inline(always)]
    fn ne(self, b: Self) -> Self::Mask {
        Self::not(self.eq(b))
    }
    /// Where a lane is NaN.
    #[inline(always)]
    fn is_nan(self) -> Self::Mask {
        self.ne(self)
    }
    /// Whether a lane is true.
    #[inline(always)]
    fn any(m: Self::Mask) -> bool {
        Self::movemask(m) != 0
    }
    /// 1 where true, 0 where false.
    #[inline(always)]
    fn one_or_zero(m: Self::Mask) -> Self {
        Self::select(m, Self::splat(Self::T::ONE), Self::splat(Self::T::ZERO))
    }
    /// The smaller value; NaN if either is NaN.
    #[inline(always)]
    fn min_nan(self, b: Self) -> Self {
        Self::select(self.is_nan(), self, self.min(b))
    }
    /// The larger value; NaN if either is NaN.
    #[inline(always)]
    fn max_nan(self, b: Self) -> Self {
        Self::select(self.is_nan(), self, self.max(b))
    }
    /// The magnitude of `self` with the sign of `s`.
    #[inline(always)]
    fn copysign(self, s: Self) -> Self {
        let sign = Self::splat(-Self::T::ZERO).to_bits();
        let s = Self::int_and(s.to_bits(), sign);
        Self::from_bits(Self::int_or(self.abs().to_bits(), s))
    }
    /// The first `n` lanes of `self`, and `fill` in the others.
    #[inline(always)]
    fn first(self, n: usize, fill: Self) -> Self {
        // SAFETY: the table has 16 entries.
        let index = unsafe { Self::load(Self::T::INDEX.as_ptr()) };
        Self::select(index.lt(Self::splat(Self::T::of(n as f64))), self, fill)
    }
    /// The lanes as an array of which the first `N` entries count.
    #[inline(always)]
    fn to_array(self) -> [Self::T; 16] {
        let mut a = [Self::T::ZERO; 16];
        // SAFETY: N is at most 16.
        unsafe { self.store(a.as_mut_ptr()) };
        a
    }
    /// `f` of every lane, one after the other.
    #[inline(always)]
    fn map(self, f: impl Fn(Self::T) -> Self::T) -> Self {
        let mut a = self.to_array();
        for x in &mut a[..Self::N] {
            *x = f(*x);
        }
        // SAFETY: N is at most 16.
        unsafe { Self::load(a.as_ptr()) }
    }
    /// `f` of every pair of lanes, one after the other.
    #[inline(always)]
    fn map2(self, b: Self, f: impl Fn(Self::T, Self::T) -> Self::T) -> Self {
        let (mut a, b) = (self.to_array(), b.to_array());
        for (x, &y) in a[..Self::N].iter_mut().zip(&b) {
            *x = f(*x, y);
        }
        // SAFETY: N is at most 16.
        unsafe { Self::load(a.as_ptr()) }
    }
    /// The first `N` entries of an array.
    #[inline(always)]
    fn load_array(a: &[Self::T; 16]) -> Self {
        // SAFETY: N is at most 16.
        unsafe { Self::load(a.as_ptr()) }
    }
    /// Lane j of vector i and lane i of vector j change places, among the first `N` vectors.
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        let mut x = [[Self::T::ZERO; 16]; 16];
        for i in 0..Self::N {
            x[i] = rows[i].to_array();
        }
        for i in 0..Self::N {
            let mut column = [Self::T::ZERO; 16];
            for j in 0..Self::N {
                column[j] = x[j][i];
            }
            rows[i] = Self::load_array(&column);
        }
    }
    /// The sum of the lanes, by halves.
    #[inline(always)]
    fn sum(self) -> Self::T {
        let mut a = self.to_array();
        let mut n = Self::N;
        while n > 1 {
            n /= 2;
            for i in 0..n {
                a[i] = a[i] + a[i + n];
            }
        }
        a[0]
    }
    /// The largest lane; NaN if one is NaN.
    #[inline(always)]
    fn largest(self) -> Self::T {
        let mut a = self.to_array();
        let mut n = Self::N;
        // Half against half: one after the other, every comparison would wait for the one before.
        while n > 1 {
            n /= 2;
            for i in 0..n {
                let (x, y) = (a[i], a[i + n]);
                a[i] = if x > y || x.f64().is_nan() { x } else { y };
            }
        }
        a[0]
    }
    /// Writes 1 or 0 per lane as bytes.
    ///
    /// # Safety
    /// `p` must be valid for writing `N` bytes.
    #[inline(always)]
    unsafe fn mask_store(m: Self::Mask, p: *mut u8) {
        let bits = Self::movemask(m);
        let mut at = 0;
        while at < Self::N {
            // One multiplication copies seven bits to the low ends of seven bytes; the eighth goes by itself.
            let b = u64::from(bits >> at) & 0xff;
            let spread =
                ((b & 0x7f).wrapping_mul(0x0002_0408_1020_4081) & 0x0101_0101_0101_0101) | (b >> 7) << 56;
            let bytes = spread.to_le_bytes();
            let n = (Self::N - at).min(8);
            // SAFETY: at + n <= N bytes are writable.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), p.add(at), n) };
            at += 8;
        }
    }
}

/// A piece of work written over any level.
pub(crate) trait Kernel {
    /// What it returns.
    type Out;
    /// Does the work; implementations are `#[inline(always)]`.
    fn run<S: Isa>(self) -> Self::Out;
}

/// Runs `kernel` compiled for `level` (or for the best level of the machine, if that is lower).
#[inline]
pub(crate) fn dispatch<K: Kernel>(level: Level, kernel: K) -> K::Out {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn on_avx2<K: Kernel>(kernel: K) -> K::Out {
            kernel.run::<avx2::Avx2>()
        }
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn on_avx512<K: Kernel>(kernel: K) -> K::Out {
            kernel.run::<avx512::Avx512>()
        }
        match level.min(detect()) {
            // SAFETY: `detect` found the features.
            Level::Avx512 => return unsafe { on_avx512(kernel) },
            // SAFETY: `detect` found the features.
            Level::Avx2 => return unsafe { on_avx2(kernel) },
            Level::Portable => {}
        }
    }
    let _ = level;
    kernel.run::<scalar::Portable>()
}

/// The operators of a lane type, by its inherent functions `add_`, `sub_`, `mul_`, `div_` and `neg_`.
macro_rules! operators {
    ($v:ty) => {
        impl std::ops::Add for $v {
            type Output = $v;
            #[inline(always)]
            fn add(self, b: $v) -> $v {
                self.add_(b)
            }
        }
        impl std::ops::Sub for $v {
            type Output = $v;
            #[inline(always)]
            fn sub(self, b: $v) -> $v {
                self.sub_(b)
            }
        }
        impl std::ops::Mul for $v {
            type Output = $v;
            #[inline(always)]
            fn mul(self, b: $v) -> $v {
                self.mul_(b)
            }
        }
        impl std::ops::Div for $v {
            type Output = $v;
            #[inline(always)]
            fn div(self, b: $v) -> $v {
                self.div_(b)
            }
        }
        impl std::ops::Neg for $v {
            type Output = $v;
            #[inline(always)]
            fn neg(self) -> $v {
                self.neg_()
            }
        }
    };
}
pub(crate) use operators;

/// Whether this is a processor of AMD's, where the same instructions have other costs.
pub(crate) fn made_by_amd() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let id = std::arch::x86_64::__cpuid(0);
        [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes).concat() == b"AuthenticAMD"
    }
    #[cfg(not(target_arch = "x86_64"))]
    false
}

/// Whether a root and a quotient take longer than the estimates and Newton steps that stand for them. They do on Intel's
/// processors; on AMD's (measured on Zen 4) Adam's loop is 1.5 times as fast with the instructions themselves.
pub(crate) fn divides_slowly() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| !made_by_amd())
}

/// Asks for the cache line at `p`; any address is fine.
#[inline(always)]
pub(crate) fn prefetch<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults; SSE belongs to every x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Asks for the cache line at `p`, but only into the second-level cache; any address is fine.
#[inline(always)]
pub(crate) fn prefetch_far<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults; SSE belongs to every x86-64.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Asks for the cache line at `p` in order to write there; any address is fine.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(p: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a hint that never faults; processors that do not know it pass over it.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// What this thread wrote by [`Lanes::store_past`] is visible to others after whatever it tells them next.
#[inline(always)]
pub(crate) fn written_past() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE belongs to every x86-64.
    unsafe {
        std::arch::x86_64::_mm_sfence();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Loads and stores of every partial width touch exactly what they should.
    struct Partial;

    impl Kernel for Partial {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            check::<S::F32>();
            check::<S::F64>();
        }
    }

    #[inline(always)]
    fn check<V: Lanes>() {
        let x: Vec<V::T> = (1..=V::N).map(|i| V::T::of(i as f64)).collect();
        for n in 0..=V::N {
            // SAFETY: the slices have N elements and more.
            let (loaded, stored) = unsafe {
                let loaded = V::load_partial(x[V::N - n..].as_ptr(), n);
                let mut stored = [V::T::of(-1.0); 17];
                V::load(x.as_ptr()).store_partial(stored.as_mut_ptr(), n);
                (loaded.to_array(), stored)
            };
            let first = V::load_array(&stored_or(&x)).first(n, V::splat(V::T::of(9.0))).to_array();
            for i in 0..V::N {
                let want = if i < n { (V::N - n + i + 1) as f64 } else { 0.0 };
                assert_eq!(loaded[i].f64(), want);
                assert_eq!(stored[i].f64(), if i < n { (i + 1) as f64 } else { -1.0 });
                assert_eq!(first[i].f64(), if i < n { (i + 1) as f64 } else { 9.0 });
            }
            assert_eq!(stored[V::N].f64(), -1.0);
        }
        let a = V::load_array(&stored_or(&x));
        assert_eq!(a.sum().f64(), (V::N * (V::N + 1) / 2) as f64);
        assert_eq!(a.largest().f64(), V::N as f64);
        let odd = a.eq(V::splat(V::T::of(3.0)));
        assert_eq!(V::movemask(odd), 4);
        let mut square = [a; 16];
        for (i, row) in square[..V::N].iter_mut().enumerate() {
            *row = a + V::splat(V::T::of(100.0 * i as f64));
        }
        V::transpose(&mut square);
        for (i, row) in square[..V::N].iter().enumerate() {
            let row = row.to_array();
            assert!((0..V::N).all(|j| row[j].f64() == (100 * j + i + 1) as f64));
        }
        let mut bytes = [7u8; 17];
        // SAFETY: 17 bytes are more than N.
        unsafe { V::mask_store(V::not(odd), bytes.as_mut_ptr()) };
        assert!((0..17).all(|i| bytes[i] == if i >= V::N { 7 } else { u8::from(i != 2) }));
    }

    fn stored_or<T: Real>(x: &[T]) -> [T; 16] {
        let mut a = [T::ZERO; 16];
        a[..x.len()].copy_from_slice(x);
        a
    }

    #[test]
    fn partial_vectors() {
        for l in levels() {
            dispatch(l, Partial);
        }
    }
}
