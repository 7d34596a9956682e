//! Lanes as plain arrays: right on every machine, and vectorised by the compiler where it can.

use super::{Isa, Kernel, Lanes, operators};

/// The level without any particular instructions.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl Isa for Portable {
    type F32 = Array32;
    type F64 = Array64;
    #[inline(never)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        kernel.run::<Portable>()
    }
}

macro_rules! array {
    ($name:ident, $t:ident, $int:ident, $n:literal) => {
        /// An array of lanes.
        #[derive(Clone, Copy)]
        pub(crate) struct $name([$t; $n]);

        impl $name {
            #[inline(always)]
            fn each(self, f: impl Fn($t) -> $t) -> Self {
                $name(self.0.map(f))
            }
            #[inline(always)]
            fn pair(self, b: Self, f: impl Fn($t, $t) -> $t) -> Self {
                $name(std::array::from_fn(|i| f(self.0[i], b.0[i])))
            }
            #[inline(always)]
            fn add_(self, b: Self) -> Self {
                self.pair(b, |a, b| a + b)
            }
            #[inline(always)]
            fn sub_(self, b: Self) -> Self {
                self.pair(b, |a, b| a - b)
            }
            #[inline(always)]
            fn mul_(self, b: Self) -> Self {
                self.pair(b, |a, b| a * b)
            }
            #[inline(always)]
            fn div_(self, b: Self) -> Self {
                self.pair(b, |a, b| a / b)
            }
            #[inline(always)]
            fn neg_(self) -> Self {
                self.each(|a| -a)
            }
        }
        operators!($name);

        impl Lanes for $name {
            type T = $t;
            type Mask = [bool; $n];
            type Bits = [$int; $n];
            const N: usize = $n;

            #[inline(always)]
            unsafe fn load(p: *const $t) -> Self {
                // SAFETY: the caller vouches for N readable values.
                $name(unsafe { p.cast::<[$t; $n]>().read_unaligned() })
            }
            #[inline(always)]
            unsafe fn store(self, p: *mut $t) {
                // SAFETY: the caller vouches for N writable values.
                unsafe { p.cast::<[$t; $n]>().write_unaligned(self.0) }
            }
            #[inline(always)]
            unsafe fn load_partial(p: *const $t, n: usize) -> Self {
                let mut a = [0.0; $n];
                // SAFETY: the caller vouches for n readable values, and n <= N.
                unsafe { std::ptr::copy_nonoverlapping(p, a.as_mut_ptr(), n.min($n)) };
                $name(a)
            }
            #[inline(always)]
            unsafe fn store_partial(self, p: *mut $t, n: usize) {
                // SAFETY: the caller vouches for n writable values, and n <= N.
                unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), p, n.min($n)) }
            }
            #[inline(always)]
            fn splat(x: $t) -> Self {
                $name([x; $n])
            }
            #[inline(always)]
            fn fma(self, b: Self, c: Self) -> Self {
                $name(std::array::from_fn(|i| self.0[i].mul_add(b.0[i], c.0[i])))
            }
            #[inline(always)]
            fn min(self, b: Self) -> Self {
                self.pair(b, |a, b| if a < b { a } else { b })
            }
            #[inline(always)]
            fn max(self, b: Self) -> Self {
                self.pair(b, |a, b| if a > b { a } else { b })
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                self.each($t::sqrt)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                self.each($t::abs)
            }
            #[inline(always)]
            fn round(self) -> Self {
                self.each($t::round_ties_even)
            }
            #[inline(always)]
            fn floor(self) -> Self {
                self.each($t::floor)
            }
            #[inline(always)]
            fn ceil(self) -> Self {
                self.each($t::ceil)
            }
            #[inline(always)]
            fn trunc(self) -> Self {
                self.each($t::trunc)
            }
            #[inline(always)]
            fn lt(self, b: Self) -> [bool; $n] {
                std::array::from_fn(|i| self.0[i] < b.0[i])
            }
            #[inline(always)]
            fn le(self, b: Self) -> [bool; $n] {
                std::array::from_fn(|i| self.0[i] <= b.0[i])
            }
            #[inline(always)]
            fn eq(self, b: Self) -> [bool; $n] {
                std::array::from_fn(|i| self.0[i] == b.0[i])
            }
            #[inline(always)]
            fn and(a: [bool; $n], b: [bool; $n]) -> [bool; $n] {
                std::array::from_fn(|i| a[i] & b[i])
            }
            #[inline(always)]
            fn or(a: [bool; $n], b: [bool; $n]) -> [bool; $n] {
                std::array::from_fn(|i| a[i] | b[i])
            }
            #[inline(always)]
            fn not(a: [bool; $n]) -> [bool; $n] {
                a.map(|x| !x)
            }
            #[inline(always)]
            fn select(m: [bool; $n], a: Self, b: Self) -> Self {
                $name(std::array::from_fn(|i| if m[i] { a.0[i] } else { b.0[i] }))
            }
            #[inline(always)]
            fn movemask(m: [bool; $n]) -> u32 {
                m.iter().enumerate().fold(0, |bits, (i, &b)| bits | u32::from(b) << i)
            }
            #[inline(always)]
            fn to_bits(self) -> [$int; $n] {
                self.0.map($t::to_bits)
            }
            #[inline(always)]
            fn from_bits(b: [$int; $n]) -> Self {
                $name(b.map($t::from_bits))
            }
            #[inline(always)]
            fn int(x: $int) -> [$int; $n] {
                [x; $n]
            }
            #[inline(always)]
            fn int_add(a: [$int; $n], b: [$int; $n]) -> [$int; $n] {
                std::array::from_fn(|i| a[i].wrapping_add(b[i]))
            }
            #[inline(always)]
            fn int_and(a: [$int; $n], b: [$int; $n]) -> [$int; $n] {
                std::array::from_fn(|i| a[i] & b[i])
            }
            #[inline(always)]
            fn int_or(a: [$int; $n], b: [$int; $n]) -> [$int; $n] {
                std::array::from_fn(|i| a[i] | b[i])
            }
            #[inline(always)]
            fn int_shl(a: [$int; $n], n: u32) -> [$int; $n] {
                a.map(|x| x << n)
            }
            #[inline(always)]
            fn int_shr(a: [$int; $n], n: u32) -> [$int; $n] {
                a.map(|x| x >> n)
            }
        }
    };
}
array!(Array32, f32, u32, 8);
array!(Array64, f64, u64, 4);
