//! Lanes of AVX2 with FMA: 8 float32 or 4 float64.
//!
//! SAFETY of every block below: these types are used only beneath `isa::dispatch`, which has checked that the
//! machine has AVX2 and FMA; pointer arguments are the callers' promise, as the trait states.
#![allow(clippy::undocumented_unsafe_blocks)]

use super::{Isa, Kernel, Lanes, operators};
use std::arch::x86_64::*;

/// The level with AVX2 and FMA.
#[derive(Clone, Copy)]
pub(crate) struct Avx2;

impl Isa for Avx2 {
    type F32 = F32x8;
    type F64 = F64x4;
    #[inline(always)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        #[inline(never)]
        #[target_feature(enable = "avx2,fma,f16c")]
        fn run<K: Kernel>(kernel: K) -> K::Out {
            kernel.run::<Avx2>()
        }
        unsafe { run(kernel) }
    }
}

/// Sliding a window over this table gives the lane masks of partial loads and stores.
static WINDOW32: [i32; 16] = [-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0];
static WINDOW64: [i64; 8] = [-1, -1, -1, -1, 0, 0, 0, 0];

/// 8 lanes of f32.
#[derive(Clone, Copy)]
pub(crate) struct F32x8(__m256);

impl F32x8 {
    #[inline(always)]
    fn add_(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_add_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn sub_(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_sub_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn mul_(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_mul_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn div_(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_div_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn neg_(self) -> Self {
        unsafe { F32x8(_mm256_xor_ps(self.0, _mm256_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn window(n: usize) -> __m256i {
        let n = n.min(8);
        // The window starts at 8 - n and ends inside the table.
        unsafe { _mm256_loadu_si256(WINDOW32.as_ptr().add(8 - n).cast()) }
    }
}
operators!(F32x8);

impl Lanes for F32x8 {
    type T = f32;
    type Mask = __m256;
    type Bits = __m256i;
    const N: usize = 8;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { F32x8(_mm256_loadu_ps(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm256_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store_past(self, p: *mut f32) {
        unsafe { _mm256_stream_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self {
        unsafe { F32x8(_mm256_maskload_ps(p, Self::window(n))) }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize) {
        // Piece by piece: masked stores are slow on AMD processors.
        unsafe {
            let (mut p, mut x) = (p, _mm256_castps256_ps128(self.0));
            if n >= 8 {
                return self.store(p);
            }
            if n & 4 != 0 {
                _mm_storeu_ps(p, x);
                (p, x) = (p.add(4), _mm256_extractf128_ps::<1>(self.0));
            }
            if n & 2 != 0 {
                _mm_storel_epi64(p.cast(), _mm_castps_si128(x));
                (p, x) = (p.add(2), _mm_movehl_ps(x, x));
            }
            if n & 1 != 0 {
                _mm_store_ss(p, x);
            }
        }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        unsafe { F32x8(_mm256_set1_ps(x)) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        unsafe { F32x8(_mm256_fmadd_ps(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_min_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F32x8(_mm256_max_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F32x8(_mm256_sqrt_ps(self.0)) }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        unsafe { F32x8(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        unsafe { F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        unsafe { F32x8(_mm256_round_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn lt(self, b: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn le(self, b: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_LE_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn eq(self, b: Self) -> __m256 {
        unsafe { _mm256_cmp_ps::<_CMP_EQ_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn and(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_and_ps(a, b) }
    }
    #[inline(always)]
    fn or(a: __m256, b: __m256) -> __m256 {
        unsafe { _mm256_or_ps(a, b) }
    }
    #[inline(always)]
    fn not(a: __m256) -> __m256 {
        unsafe { _mm256_xor_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(-1))) }
    }
    #[inline(always)]
    fn select(m: __m256, a: Self, b: Self) -> Self {
        unsafe { F32x8(_mm256_blendv_ps(b.0, a.0, m)) }
    }
    #[inline(always)]
    fn movemask(m: __m256) -> u32 {
        unsafe { _mm256_movemask_ps(m) as u32 }
    }
    #[inline(always)]
    fn to_bits(self) -> __m256i {
        unsafe { _mm256_castps_si256(self.0) }
    }
    #[inline(always)]
    fn from_bits(b: __m256i) -> Self {
        unsafe { F32x8(_mm256_castsi256_ps(b)) }
    }
    #[inline(always)]
    fn int(x: u32) -> __m256i {
        unsafe { _mm256_set1_epi32(x as i32) }
    }
    #[inline(always)]
    fn int_add(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi32(a, b) }
    }
    #[inline(always)]
    fn int_and(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    fn int_or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    fn int_shl(a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_sll_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn int_shr(a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_srl_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn transpose(r: &mut [Self; 16]) {
        unsafe {
            // Pairs of rows, then fours, within halves of registers; the halves change places last.
            let (a, b) = (_mm256_unpacklo_ps(r[0].0, r[1].0), _mm256_unpackhi_ps(r[0].0, r[1].0));
            let (c, d) = (_mm256_unpacklo_ps(r[2].0, r[3].0), _mm256_unpackhi_ps(r[2].0, r[3].0));
            let (e, f) = (_mm256_unpacklo_ps(r[4].0, r[5].0), _mm256_unpackhi_ps(r[4].0, r[5].0));
            let (g, h) = (_mm256_unpacklo_ps(r[6].0, r[7].0), _mm256_unpackhi_ps(r[6].0, r[7].0));
            let top = [
                _mm256_shuffle_ps::<0x44>(a, c),
                _mm256_shuffle_ps::<0xee>(a, c),
                _mm256_shuffle_ps::<0x44>(b, d),
                _mm256_shuffle_ps::<0xee>(b, d),
            ];
            let bottom = [
                _mm256_shuffle_ps::<0x44>(e, g),
                _mm256_shuffle_ps::<0xee>(e, g),
                _mm256_shuffle_ps::<0x44>(f, h),
                _mm256_shuffle_ps::<0xee>(f, h),
            ];
            r[0] = F32x8(_mm256_permute2f128_ps::<0x20>(top[0], bottom[0]));
            r[1] = F32x8(_mm256_permute2f128_ps::<0x20>(top[1], bottom[1]));
            r[2] = F32x8(_mm256_permute2f128_ps::<0x20>(top[2], bottom[2]));
            r[3] = F32x8(_mm256_permute2f128_ps::<0x20>(top[3], bottom[3]));
            r[4] = F32x8(_mm256_permute2f128_ps::<0x31>(top[0], bottom[0]));
            r[5] = F32x8(_mm256_permute2f128_ps::<0x31>(top[1], bottom[1]));
            r[6] = F32x8(_mm256_permute2f128_ps::<0x31>(top[2], bottom[2]));
            r[7] = F32x8(_mm256_permute2f128_ps::<0x31>(top[3], bottom[3]));
        }
    }
}

/// 4 lanes of f64.
#[derive(Clone, Copy)]
pub(crate) struct F64x4(__m256d);

impl F64x4 {
    #[inline(always)]
    fn add_(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_add_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn sub_(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_sub_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn mul_(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_mul_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn div_(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_div_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn neg_(self) -> Self {
        unsafe { F64x4(_mm256_xor_pd(self.0, _mm256_set1_pd(-0.0))) }
    }
    #[inline(always)]
    fn window(n: usize) -> __m256i {
        let n = n.min(4);
        // The window starts at 4 - n and ends inside the table.
        unsafe { _mm256_loadu_si256(WINDOW64.as_ptr().add(4 - n).cast()) }
    }
}
operators!(F64x4);

impl Lanes for F64x4 {
    type T = f64;
    type Mask = __m256d;
    type Bits = __m256i;
    const N: usize = 4;

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        unsafe { F64x4(_mm256_loadu_pd(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        unsafe { _mm256_storeu_pd(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store_past(self, p: *mut f64) {
        unsafe { _mm256_stream_pd(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f64, n: usize) -> Self {
        unsafe { F64x4(_mm256_maskload_pd(p, Self::window(n))) }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f64, n: usize) {
        // As for float32.
        unsafe {
            let (mut p, mut x) = (p, _mm256_castpd256_pd128(self.0));
            if n >= 4 {
                return self.store(p);
            }
            if n & 2 != 0 {
                _mm_storeu_pd(p, x);
                (p, x) = (p.add(2), _mm256_extractf128_pd::<1>(self.0));
            }
            if n & 1 != 0 {
                _mm_store_sd(p, x);
            }
        }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        unsafe { F64x4(_mm256_set1_pd(x)) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        unsafe { F64x4(_mm256_fmadd_pd(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_min_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F64x4(_mm256_max_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F64x4(_mm256_sqrt_pd(self.0)) }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        unsafe { F64x4(_mm256_andnot_pd(_mm256_set1_pd(-0.0), self.0)) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F64x4(_mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F64x4(_mm256_round_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        unsafe { F64x4(_mm256_round_pd::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        unsafe { F64x4(_mm256_round_pd::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn lt(self, b: Self) -> __m256d {
        unsafe { _mm256_cmp_pd::<_CMP_LT_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn le(self, b: Self) -> __m256d {
        unsafe { _mm256_cmp_pd::<_CMP_LE_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn eq(self, b: Self) -> __m256d {
        unsafe { _mm256_cmp_pd::<_CMP_EQ_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn and(a: __m256d, b: __m256d) -> __m256d {
        unsafe { _mm256_and_pd(a, b) }
    }
    #[inline(always)]
    fn or(a: __m256d, b: __m256d) -> __m256d {
        unsafe { _mm256_or_pd(a, b) }
    }
    #[inline(always)]
    fn not(a: __m256d) -> __m256d {
        unsafe { _mm256_xor_pd(a, _mm256_castsi256_pd(_mm256_set1_epi32(-1))) }
    }
    #[inline(always)]
    fn select(m: __m256d, a: Self, b: Self) -> Self {
        unsafe { F64x4(_mm256_blendv_pd(b.0, a.0, m)) }
    }
    #[inline(always)]
    fn movemask(m: __m256d) -> u32 {
        unsafe { _mm256_movemask_pd(m) as u32 }
    }
    #[inline(always)]
    fn to_bits(self) -> __m256i {
        unsafe { _mm256_castpd_si256(self.0) }
    }
    #[inline(always)]
    fn from_bits(b: __m256i) -> Self {
        unsafe { F64x4(_mm256_castsi256_pd(b)) }
    }
    #[inline(always)]
    fn int(x: u64) -> __m256i {
        unsafe { _mm256_set1_epi64x(x as i64) }
    }
    #[inline(always)]
    fn int_add(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_add_epi64(a, b) }
    }
    #[inline(always)]
    fn int_and(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_and_si256(a, b) }
    }
    #[inline(always)]
    fn int_or(a: __m256i, b: __m256i) -> __m256i {
        unsafe { _mm256_or_si256(a, b) }
    }
    #[inline(always)]
    fn int_shl(a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_sll_epi64(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn int_shr(a: __m256i, n: u32) -> __m256i {
        unsafe { _mm256_srl_epi64(a, _mm_cvtsi32_si128(n as i32)) }
    }
}
