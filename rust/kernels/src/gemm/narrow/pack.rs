//! The orders in which blocks read bfloat16: rows with k contiguous (A), panels of pairs (B). Sums are padded with zeros.

use std::arch::x86_64::*;

use super::tiles::{BLOCK, PANEL, STEP};
use crate::isa::avx512::transpose;

/// A matrix by address and strides, in elements.
#[derive(Clone, Copy)]
pub(super) struct Raw {
    pub at: *const u16,
    pub rs: usize,
    pub cs: usize,
}

/// The low `n` of 16 or 32 lanes.
pub(in crate::gemm) fn low(n: usize) -> u32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// Pairs from two rows of up to 16 numbers.
///
/// # Safety
/// The numbers of `mask` exist; the second row is read only if `second`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pairs(x: *const u16, stride: usize, second: bool, mask: __mmask16) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let a = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x.cast()));
        if !second {
            return a;
        }
        let b = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, x.wrapping_add(stride).cast()));
        _mm512_or_si512(a, _mm512_slli_epi32::<16>(b))
    }
}

/// `rows` rows of `x`, `k` numbers each, as rows of `kp` (a multiple of [`STEP`]) numbers at a stride of `lda`.
///
/// # Safety
/// AVX-512 BW and VL; the elements exist, and there is room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rows(x: Raw, rows: usize, k: usize, kp: usize, out: *mut u16, lda: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        for i0 in (0..rows).step_by(PANEL) {
            let n = PANEL.min(rows - i0);
            for p in (0..kp).step_by(STEP) {
                let left = STEP.min(k.saturating_sub(p));
                let to = |i: usize| out.add((i0 + i) * lda + p);
                let from = x.at.wrapping_add(i0 * x.rs + p * x.cs);
                if x.cs == 1 {
                    for i in 0..n {
                        let line = _mm512_maskz_loadu_epi16(low(left), from.wrapping_add(i * x.rs).cast());
                        _mm512_storeu_si512(to(i).cast(), line);
                    }
                } else if x.rs == 1 {
                    let mut lines = [_mm512_setzero_si512(); 16];
                    for q in 0..left.div_ceil(2) {
                        let mask = low(n) as __mmask16;
                        lines[q] = pairs(from.wrapping_add(2 * q * x.cs), x.cs, 2 * q + 1 < left, mask);
                    }
                    transpose(&mut lines);
                    for (i, line) in lines[..n].iter().enumerate() {
                        _mm512_storeu_si512(to(i).cast(), *line);
                    }
                } else {
                    for i in 0..n {
                        for q in 0..STEP {
                            let value = if q < left { *from.add(i * x.rs + q * x.cs) } else { 0 };
                            *to(i).add(q) = value;
                        }
                    }
                }
            }
        }
    }
}

/// How many pairs ahead rows that lie far apart are asked for.
const AHEAD: usize = 8;

/// `columns` columns of `x`, `k` numbers each, as panels of `kp / 2` lines of [`PANEL`] pairs.
///
/// # Safety
/// AVX-512 BW and VL; the elements exist, and there is room for whole panels.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn panels(x: Raw, columns: usize, k: usize, kp: usize, out: *mut u16) {
    let line = |column: usize, pair: usize| out.wrapping_add(column * kp + pair * 2 * PANEL);
    // SAFETY: the caller's promise.
    unsafe {
        if x.cs == 1 {
            for q in 0..kp / 2 {
                let from = x.at.wrapping_add(2 * q * x.rs);
                let left = k.saturating_sub(2 * q);
                for j in (0..columns).step_by(BLOCK) {
                    for ahead in [2 * AHEAD, 2 * AHEAD + 1] {
                        _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(ahead * x.rs + j).cast());
                    }
                    for j in (j..columns.min(j + BLOCK)).step_by(PANEL) {
                        let mask = if left > 0 { low(PANEL.min(columns - j)) as __mmask16 } else { 0 };
                        let v = pairs(from.wrapping_add(j), x.rs, left > 1, mask);
                        _mm512_storeu_si512(line(j, q).cast(), v);
                    }
                }
            }
            return;
        }
        for j in (0..columns).step_by(PANEL) {
            let n = PANEL.min(columns - j);
            for p in (0..kp).step_by(STEP) {
                let left = STEP.min(k.saturating_sub(p));
                let from = x.at.wrapping_add(j * x.cs + p * x.rs);
                let mut lines = [_mm512_setzero_si512(); 16];
                if x.rs == 1 {
                    for (i, line) in lines[..n].iter_mut().enumerate() {
                        *line = _mm512_maskz_loadu_epi16(low(left), from.wrapping_add(i * x.cs).cast());
                    }
                } else {
                    for (i, line) in lines[..n].iter_mut().enumerate() {
                        let mut numbers = [0u16; STEP];
                        for (q, number) in numbers[..left].iter_mut().enumerate() {
                            *number = *from.add(i * x.cs + q * x.rs);
                        }
                        *line = _mm512_loadu_si512(numbers.as_ptr().cast());
                    }
                }
                transpose(&mut lines);
                for (i, v) in lines.iter().enumerate() {
                    _mm512_storeu_si512(line(j, p / 2 + i).cast(), *v);
                }
            }
        }
    }
}
