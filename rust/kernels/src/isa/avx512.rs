//! Lanes of AVX-512 (F, BW, DQ, VL): 16 float32 or 8 float64, with mask registers.
//!
//! SAFETY of every block below: these types are used only beneath `isa::dispatch`, which has checked that the
//! machine has AVX-512; pointer arguments are the callers' promise, as the trait states.
#![allow(clippy::undocumented_unsafe_blocks)]

use super::{Isa, Kernel, Lanes, operators};
use std::arch::x86_64::*;

/// The level with AVX-512.
#[derive(Clone, Copy)]
pub(crate) struct Avx512;

impl Isa for Avx512 {
    type F32 = F32x16;
    type F64 = F64x8;
    #[inline(always)]
    fn apart<K: Kernel>(kernel: K) -> K::Out {
        #[inline(never)]
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
        fn run<K: Kernel>(kernel: K) -> K::Out {
            kernel.run::<Avx512>()
        }
        unsafe { run(kernel) }
    }
}

/// 16 rows of 16 numbers of 32 bits, transposed.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn transpose(r: &mut [__m512i; 16]) {
    let mut t = *r;
    for i in 0..8 {
        t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
        t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
    }
    for g in 0..4 {
        let [a, b, c, d] = [t[4 * g], t[4 * g + 1], t[4 * g + 2], t[4 * g + 3]];
        r[4 * g] = _mm512_unpacklo_epi64(a, c);
        r[4 * g + 1] = _mm512_unpackhi_epi64(a, c);
        r[4 * g + 2] = _mm512_unpacklo_epi64(b, d);
        r[4 * g + 3] = _mm512_unpackhi_epi64(b, d);
    }
    let u = *r;
    for c in 0..4 {
        let even = _mm512_shuffle_i32x4::<0x88>(u[c], u[4 + c]);
        let odd = _mm512_shuffle_i32x4::<0xdd>(u[c], u[4 + c]);
        let even2 = _mm512_shuffle_i32x4::<0x88>(u[8 + c], u[12 + c]);
        let odd2 = _mm512_shuffle_i32x4::<0xdd>(u[8 + c], u[12 + c]);
        r[c] = _mm512_shuffle_i32x4::<0x88>(even, even2);
        r[8 + c] = _mm512_shuffle_i32x4::<0xdd>(even, even2);
        r[4 + c] = _mm512_shuffle_i32x4::<0x88>(odd, odd2);
        r[12 + c] = _mm512_shuffle_i32x4::<0xdd>(odd, odd2);
    }
}

/// 16 lanes of f32.
#[derive(Clone, Copy)]
pub(crate) struct F32x16(__m512);

impl F32x16 {
    #[inline(always)]
    fn add_(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_add_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn sub_(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_sub_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn mul_(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_mul_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn div_(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_div_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn neg_(self) -> Self {
        unsafe { F32x16(_mm512_xor_ps(self.0, _mm512_set1_ps(-0.0))) }
    }
    #[inline(always)]
    fn first(n: usize) -> __mmask16 {
        ((1u32 << n.min(16)) - 1) as __mmask16
    }
}
operators!(F32x16);

impl Lanes for F32x16 {
    type T = f32;
    type Mask = __mmask16;
    type Bits = __m512i;
    const N: usize = 16;

    #[inline(always)]
    unsafe fn load(p: *const f32) -> Self {
        unsafe { F32x16(_mm512_loadu_ps(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f32) {
        unsafe { _mm512_storeu_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store_past(self, p: *mut f32) {
        unsafe { _mm512_stream_ps(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f32, n: usize) -> Self {
        unsafe { F32x16(_mm512_maskz_loadu_ps(Self::first(n), p)) }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f32, n: usize) {
        unsafe { _mm512_mask_storeu_ps(p, Self::first(n), self.0) }
    }
    #[inline(always)]
    fn splat(x: f32) -> Self {
        unsafe { F32x16(_mm512_set1_ps(x)) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        unsafe { F32x16(_mm512_fmadd_ps(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_min_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F32x16(_mm512_max_ps(self.0, b.0)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F32x16(_mm512_sqrt_ps(self.0)) }
    }
    /// Root and quotient by Newton steps from the processor's estimates of 14 bits: a third of the time of its exact
    /// instructions, which take 34 cycles one after the other.
    #[inline(always)]
    fn over_root(self, v: Self, e: Self) -> Self {
        unsafe {
            let half = _mm512_set1_ps(0.5);
            let nonzero = _mm512_cmp_ps_mask::<_CMP_NEQ_UQ>(v.0, _mm512_setzero_ps());
            let r = _mm512_rsqrt14_ps(v.0);
            let (s, h) = (_mm512_mul_ps(v.0, r), _mm512_mul_ps(half, r));
            let error = _mm512_fnmadd_ps(s, h, half);
            let (s, h) = (_mm512_fmadd_ps(s, error, s), _mm512_fmadd_ps(h, error, h));
            let s = _mm512_maskz_fmadd_ps(nonzero, _mm512_fnmadd_ps(s, s, v.0), h, s);
            let d = _mm512_add_ps(s, e.0);
            // Where an estimate would overflow, as for an infinite `v`, the exact way.
            let usual = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(d, _mm512_set1_ps(1e-30))
                & _mm512_cmp_ps_mask::<_CMP_LT_OQ>(d, _mm512_set1_ps(1e30));
            if usual != 0xffff {
                return self.div_(F32x16(_mm512_add_ps(_mm512_sqrt_ps(v.0), e.0)));
            }
            let r = _mm512_rcp14_ps(d);
            let r = _mm512_fmadd_ps(r, _mm512_fnmadd_ps(d, r, _mm512_set1_ps(1.0)), r);
            let q = _mm512_mul_ps(self.0, r);
            F32x16(_mm512_fmadd_ps(_mm512_fnmadd_ps(d, q, self.0), r, q))
        }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        unsafe { F32x16(_mm512_andnot_ps(_mm512_set1_ps(-0.0), self.0)) }
    }
    #[inline(always)]
    fn scaled_by_power(self, n: Self) -> Option<Self> {
        unsafe { Some(F32x16(_mm512_scalef_ps(self.0, n.0))) }
    }
    #[inline(always)]
    fn one_of_sixteen(table: &[f32; 16], at: Self::Bits) -> Option<Self> {
        unsafe { Some(F32x16(_mm512_permutexvar_ps(at, _mm512_loadu_ps(table.as_ptr())))) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        unsafe { F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        unsafe { F32x16(_mm512_roundscale_ps::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn lt(self, b: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn le(self, b: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LE_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn eq(self, b: Self) -> __mmask16 {
        unsafe { _mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn and(a: __mmask16, b: __mmask16) -> __mmask16 {
        a & b
    }
    #[inline(always)]
    fn or(a: __mmask16, b: __mmask16) -> __mmask16 {
        a | b
    }
    #[inline(always)]
    fn not(a: __mmask16) -> __mmask16 {
        !a
    }
    #[inline(always)]
    fn select(m: __mmask16, a: Self, b: Self) -> Self {
        unsafe { F32x16(_mm512_mask_blend_ps(m, b.0, a.0)) }
    }
    #[inline(always)]
    fn movemask(m: __mmask16) -> u32 {
        u32::from(m)
    }
    #[inline(always)]
    fn to_bits(self) -> __m512i {
        unsafe { _mm512_castps_si512(self.0) }
    }
    #[inline(always)]
    fn from_bits(b: __m512i) -> Self {
        unsafe { F32x16(_mm512_castsi512_ps(b)) }
    }
    #[inline(always)]
    fn int(x: u32) -> __m512i {
        unsafe { _mm512_set1_epi32(x as i32) }
    }
    #[inline(always)]
    fn int_add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi32(a, b) }
    }
    #[inline(always)]
    fn int_and(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn int_or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn int_shl(a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_sll_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn int_shr(a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_srl_epi32(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn transpose(rows: &mut [Self; 16]) {
        unsafe {
            let mut bits = [_mm512_setzero_si512(); 16];
            for i in 0..16 {
                bits[i] = _mm512_castps_si512(rows[i].0);
            }
            transpose(&mut bits);
            for i in 0..16 {
                rows[i] = F32x16(_mm512_castsi512_ps(bits[i]));
            }
        }
    }
}

/// 8 lanes of f64.
#[derive(Clone, Copy)]
pub(crate) struct F64x8(__m512d);

impl F64x8 {
    #[inline(always)]
    fn add_(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_add_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn sub_(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_sub_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn mul_(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_mul_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn div_(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_div_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn neg_(self) -> Self {
        unsafe { F64x8(_mm512_xor_pd(self.0, _mm512_set1_pd(-0.0))) }
    }
    #[inline(always)]
    fn first(n: usize) -> __mmask8 {
        ((1u32 << n.min(8)) - 1) as __mmask8
    }
}
operators!(F64x8);

impl Lanes for F64x8 {
    type T = f64;
    type Mask = __mmask8;
    type Bits = __m512i;
    const N: usize = 8;

    #[inline(always)]
    unsafe fn load(p: *const f64) -> Self {
        unsafe { F64x8(_mm512_loadu_pd(p)) }
    }
    #[inline(always)]
    unsafe fn store(self, p: *mut f64) {
        unsafe { _mm512_storeu_pd(p, self.0) }
    }
    #[inline(always)]
    unsafe fn store_past(self, p: *mut f64) {
        unsafe { _mm512_stream_pd(p, self.0) }
    }
    #[inline(always)]
    unsafe fn load_partial(p: *const f64, n: usize) -> Self {
        unsafe { F64x8(_mm512_maskz_loadu_pd(Self::first(n), p)) }
    }
    #[inline(always)]
    unsafe fn store_partial(self, p: *mut f64, n: usize) {
        unsafe { _mm512_mask_storeu_pd(p, Self::first(n), self.0) }
    }
    #[inline(always)]
    fn splat(x: f64) -> Self {
        unsafe { F64x8(_mm512_set1_pd(x)) }
    }
    #[inline(always)]
    fn fma(self, b: Self, c: Self) -> Self {
        unsafe { F64x8(_mm512_fmadd_pd(self.0, b.0, c.0)) }
    }
    #[inline(always)]
    fn min(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_min_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        unsafe { F64x8(_mm512_max_pd(self.0, b.0)) }
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        unsafe { F64x8(_mm512_sqrt_pd(self.0)) }
    }
    #[inline(always)]
    fn abs(self) -> Self {
        unsafe { F64x8(_mm512_andnot_pd(_mm512_set1_pd(-0.0), self.0)) }
    }
    #[inline(always)]
    fn scaled_by_power(self, n: Self) -> Option<Self> {
        unsafe { Some(F64x8(_mm512_scalef_pd(self.0, n.0))) }
    }
    #[inline(always)]
    fn round(self) -> Self {
        unsafe { F64x8(_mm512_roundscale_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn floor(self) -> Self {
        unsafe { F64x8(_mm512_roundscale_pd::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        unsafe { F64x8(_mm512_roundscale_pd::<{ _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        unsafe { F64x8(_mm512_roundscale_pd::<{ _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC }>(self.0)) }
    }
    #[inline(always)]
    fn lt(self, b: Self) -> __mmask8 {
        unsafe { _mm512_cmp_pd_mask::<_CMP_LT_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn le(self, b: Self) -> __mmask8 {
        unsafe { _mm512_cmp_pd_mask::<_CMP_LE_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn eq(self, b: Self) -> __mmask8 {
        unsafe { _mm512_cmp_pd_mask::<_CMP_EQ_OQ>(self.0, b.0) }
    }
    #[inline(always)]
    fn and(a: __mmask8, b: __mmask8) -> __mmask8 {
        a & b
    }
    #[inline(always)]
    fn or(a: __mmask8, b: __mmask8) -> __mmask8 {
        a | b
    }
    #[inline(always)]
    fn not(a: __mmask8) -> __mmask8 {
        !a
    }
    #[inline(always)]
    fn select(m: __mmask8, a: Self, b: Self) -> Self {
        unsafe { F64x8(_mm512_mask_blend_pd(m, b.0, a.0)) }
    }
    #[inline(always)]
    fn movemask(m: __mmask8) -> u32 {
        u32::from(m)
    }
    #[inline(always)]
    fn to_bits(self) -> __m512i {
        unsafe { _mm512_castpd_si512(self.0) }
    }
    #[inline(always)]
    fn from_bits(b: __m512i) -> Self {
        unsafe { F64x8(_mm512_castsi512_pd(b)) }
    }
    #[inline(always)]
    fn int(x: u64) -> __m512i {
        unsafe { _mm512_set1_epi64(x as i64) }
    }
    #[inline(always)]
    fn int_add(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_add_epi64(a, b) }
    }
    #[inline(always)]
    fn int_and(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_and_si512(a, b) }
    }
    #[inline(always)]
    fn int_or(a: __m512i, b: __m512i) -> __m512i {
        unsafe { _mm512_or_si512(a, b) }
    }
    #[inline(always)]
    fn int_shl(a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_sll_epi64(a, _mm_cvtsi32_si128(n as i32)) }
    }
    #[inline(always)]
    fn int_shr(a: __m512i, n: u32) -> __m512i {
        unsafe { _mm512_srl_epi64(a, _mm_cvtsi32_si128(n as i32)) }
    }
}
