//! The orders in which products read bfloat16: rows with k contiguous or tiles of pairs (A), panels of pairs (B). Sums are
//! padded with zeros.

use std::arch::x86_64::*;

use super::dots::ROWS;
use super::tiles::{BLOCK, PANEL, STEP};
use crate::isa::avx512::transpose;
use crate::isa::prefetch;

/// A matrix by address and strides, in elements.
#[derive(Clone, Copy)]
pub(super) struct Raw {
    pub at: *const u16,
    pub rs: usize,
    pub cs: usize,
}

impl Raw {
    /// The transpose.
    pub fn turned(self) -> Raw {
        Raw { at: self.at, rs: self.cs, cs: self.rs }
    }
}

/// The low `n` of 16 or 32 lanes.
pub(in crate::gemm) fn low(n: usize) -> u32 {
    if n >= 32 { u32::MAX } else { (1 << n) - 1 }
}

/// Bytes of a pair.
pub(super) const PAIR: usize = 4;

/// The order that pairs number i of one vector with number i of another, from number `first` on.
const fn pairing(first: u16) -> [u16; 32] {
    let mut order = [0; 32];
    let mut i = 0;
    while i < 32 {
        // Places beyond the last number repeat it; nothing reads them.
        let from = if first + i / 2 < 32 { first + i / 2 } else { 31 };
        order[i as usize] = from + i % 2 * 32;
        i += 1;
    }
    order
}

/// The pairs of a step, first and second half: of panels, and of tiles of [`ROWS`] rows.
const PANELS: [[u16; 32]; 2] = [pairing(0), pairing(PANEL as u16)];
const TILES: [[u16; 32]; 2] = [pairing(0), pairing(ROWS as u16)];

/// Pairs from two rows of up to 32 numbers, in two orders.
///
/// # Safety
/// The numbers of `mask` exist; the second row is read only if `second`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn pairs(
    x: *const u16,
    stride: usize,
    second: bool,
    mask: __mmask32,
    orders: &[[u16; 32]; 2],
) -> [__m512i; 2] {
    // SAFETY: the caller's promise.
    unsafe {
        let a = _mm512_maskz_loadu_epi16(mask, x.cast());
        let b = _mm512_maskz_loadu_epi16(if second { mask } else { 0 }, x.wrapping_add(stride).cast());
        let order = [0, 1].map(|i: usize| _mm512_loadu_si512(orders[i].as_ptr().cast()));
        [_mm512_permutex2var_epi16(a, order[0], b), _mm512_permutex2var_epi16(a, order[1], b)]
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
                        let from = from.wrapping_add(2 * q * x.cs);
                        lines[q] = pairs(from, x.cs, 2 * q + 1 < left, low(n), &PANELS)[0];
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

/// Elements of a tile of [`ROWS`] rows: a line of the cache per pair of k, of which the last places hold anything, as do
/// the places of rows that are missing.
pub(super) fn tile_len(kp: usize) -> usize {
    PANEL * kp
}

/// `rows` rows of `x`, `k` numbers each, as tiles of [`ROWS`] rows.
///
/// # Safety
/// AVX-512 BW and VL; the elements exist, and there is room for whole tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn tiles(x: Raw, rows: usize, k: usize, kp: usize, out: *mut u16) {
    /// Rows whose tiles are filled at the same time: pairs lie far apart, so each row of `x` should be read for long.
    const TOGETHER: usize = 40 * ROWS;
    let line = |row: usize, pair: usize| out.wrapping_add(row / ROWS * tile_len(kp) + pair * 2 * PANEL);
    // SAFETY: the caller's promise.
    unsafe {
        for first in (0..rows).step_by(TOGETHER) {
            for q in 0..kp / 2 {
                let left = k.saturating_sub(2 * q);
                for i in (first..rows.min(first + TOGETHER)).step_by(2 * ROWS) {
                    let from = x.at.wrapping_add(i * x.rs + 2 * q * x.cs);
                    let n = (2 * ROWS).min(rows - i);
                    let both = if x.rs == 1 {
                        prefetch(from.wrapping_add(2 * AHEAD * x.cs));
                        prefetch(from.wrapping_add((2 * AHEAD + 1) * x.cs));
                        pairs(from, x.cs, left > 1, if left > 0 { low(n) } else { 0 }, &TILES)
                    } else {
                        let mut numbers = [[0u16; 32]; 2];
                        for (r, half) in (0..n).flat_map(|r| [(r, 0), (r, 1)]).filter(|&(_, h)| h < left) {
                            numbers[r / ROWS][r % ROWS * 2 + half] = *from.add(r * x.rs + half * x.cs);
                        }
                        [0, 1].map(|i: usize| _mm512_loadu_si512(numbers[i].as_ptr().cast()))
                    };
                    _mm512_storeu_si512(line(i, q).cast(), both[0]);
                    if n > ROWS {
                        _mm512_storeu_si512(line(i + ROWS, q).cast(), both[1]);
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
                    let mask = if left > 0 { low(BLOCK.min(columns - j)) } else { 0 };
                    let both = pairs(from.wrapping_add(j), x.rs, left > 1, mask, &PANELS);
                    _mm512_storeu_si512(line(j, q).cast(), both[0]);
                    if columns - j > PANEL {
                        _mm512_storeu_si512(line(j + PANEL, q).cast(), both[1]);
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
