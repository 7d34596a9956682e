//! From float32 to the parts that tiles read.
//!
//! A *unit* is 32 rows of A, or 32 columns of B, over a block of the sum. Per step of 32 it holds six tiles: the two
//! halves of the largest parts, then of the middle, then of the smallest ones. A tile is sixteen lines of sixteen pairs.
//! A pair are the numbers q and q + 16 of a step: which ones is free as long as A and B agree, and these two come from
//! two vectors without moving a lane. In A a line is a row; in B it is a pair, across the columns.

use std::arch::x86_64::*;

pub(super) use crate::gemm::narrow::tiles::STEP;
use crate::gemm::narrow::{pack::low, tiles};
use crate::isa::avx512::transpose;

/// Rows or columns of a unit.
pub(super) const UNIT: usize = tiles::BLOCK;
/// Bytes of a tile.
pub(super) const TILE: usize = 1024;
/// Bytes of a unit per step.
pub(super) const STEP_BYTES: usize = 6 * TILE;
/// How many numbers of the sum ahead rows are asked for: into the second-level cache, as those a page apart would share
/// few places of the first.
const AHEAD: usize = 2 * STEP;
/// Rows or columns per tile.
const HALF: usize = tiles::PANEL;

/// An operand: `outer` (rows of A, columns of B) and the sum's index at strides, in elements.
#[derive(Clone, Copy)]
pub(super) struct Operand {
    pub at: *const f32,
    /// From row to row of A or from column to column of B.
    pub outer: usize,
    /// From step to step of the sum.
    pub along: usize,
}

impl Operand {
    /// The matrix that lies `offset` elements further on.
    pub(super) fn moved(self, offset: usize) -> Operand {
        Operand { at: self.at.wrapping_add(offset), ..self }
    }

    /// The part of it from some row (column) and number of the sum on.
    pub(super) fn shifted(self, outer: usize, along: usize) -> Operand {
        Operand { at: self.at.wrapping_add(outer * self.outer + along * self.along), ..self }
    }
}

/// What lines of packed tiles are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    /// Rows of A.
    Outer,
    /// Pairs of B.
    Pairs,
}

/// The parts of sixteen pairs: `first` and `second` are their numbers.
#[inline]
#[target_feature(enable = "avx512f")]
fn split(first: __m512, second: __m512) -> [__m512i; 3] {
    let half = _mm512_set1_epi32(0x8000);
    let top = _mm512_set1_epi32(0xffff_0000_u32 as i32);
    let cut = |x: __m512| _mm512_and_si512(_mm512_castps_si512(x), top);
    // Halves are rounded away from zero: what matters is that the rest is small, and exact.
    let nearest = |x: __m512| _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), top);
    let rest = |x: __m512, part: __m512i| _mm512_sub_ps(x, _mm512_castsi512_ps(part));
    // Bits of the first number from its upper half, of the second from its own place.
    let pair = |x: __m512i, y: __m512i| _mm512_or_si512(_mm512_srli_epi32::<16>(x), y);
    let (h0, h1) = (nearest(first), nearest(second));
    let (r0, r1) = (rest(first, h0), rest(second, h1));
    let (m0, m1) = (cut(r0), cut(r1));
    // The last rest has eight bits, so its upper half is all of it.
    let (l0, l1) = (_mm512_castps_si512(rest(r0, m0)), _mm512_castps_si512(rest(r1, m1)));
    [pair(h0, h1), pair(m0, m1), pair(l0, l1)]
}

/// Packs `outer` rows (columns) over `k` steps of the sum to whole units, `unit` bytes apart, padded with zeros. False if
/// a number has no parts.
///
/// # Safety
/// AVX-512 F and BW; the elements exist, and there is room for the units.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn pack(
    x: Operand,
    outer: usize,
    k: usize,
    lines: Lines,
    out: *mut u8,
    unit: usize,
) -> bool {
    let mut largest = _mm512_setzero_si512();
    let (groups, steps) = (outer.next_multiple_of(UNIT) / HALF, k.div_ceil(STEP));
    // As much along memory as fills a few ways of the first-level cache: tiles of one kind lie at the same places of it.
    let (tall, long) = if x.along == 1 { (1, 4) } else { (8, 1) };
    for group in (0..groups).step_by(tall) {
        for step in (0..steps).step_by(long) {
            let (from, p) = (group * HALF, step * STEP);
            let part = Part {
                x: x.shifted(from, p),
                outer: outer.saturating_sub(from),
                k: k - p,
                groups: tall.min(groups - group),
                steps: long.min(steps - step),
                to: out.wrapping_add(from / UNIT * unit + step * STEP_BYTES + group % 2 * TILE),
                unit,
            };
            // SAFETY: the caller's promise.
            let seen = unsafe {
                match (x.along == 1, lines) {
                    (true, Lines::Outer) => part.pack::<true, false>(),
                    (true, Lines::Pairs) => part.pack::<true, true>(),
                    (false, Lines::Pairs) => part.pack::<false, false>(),
                    (false, Lines::Outer) => part.pack::<false, true>(),
                }
            };
            largest = _mm512_max_epu16(largest, seen);
        }
    }
    // Largest parts of infinities, of numbers that round to them, and of NaN. (A NaN of all ones rounds to zero, but its
    // rest is NaN, and so is every sum it enters.)
    _mm512_cmpge_epu16_mask(largest, _mm512_set1_epi16(0x7f80)) == 0
}

/// Some halves of units over some steps.
struct Part {
    x: Operand,
    /// Rows or columns that exist.
    outer: usize,
    /// Numbers along the sum that exist.
    k: usize,
    groups: usize,
    steps: usize,
    to: *mut u8,
    unit: usize,
}

impl Part {
    /// Packs, and returns the largest magnitudes of largest parts. `ALONG`: the sum's index is contiguous; `TURN`: lines
    /// that are read are lanes of the lines that are written.
    ///
    /// # Safety
    /// As for [`pack`].
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn pack<const ALONG: bool, const TURN: bool>(&self) -> __m512i {
        let (rows, numbers) = if ALONG { (HALF, self.steps * STEP) } else { (self.groups * HALF, STEP) };
        // Without masks where everything exists.
        let full = self.outer >= rows && self.k >= numbers && (ALONG || self.x.outer == 1);
        // SAFETY: the caller's promise.
        let largest =
            unsafe { if full { self.lines::<ALONG, true>() } else { self.lines::<ALONG, false>() } };
        if TURN {
            for at in 0..self.groups * self.steps * 3 {
                let (group, step) = if ALONG { (0, at / 3) } else { (at / 3, 0) };
                let tile = self.tile(group, step, at % 3);
                // SAFETY: the tile was written above.
                unsafe {
                    let mut lines = [_mm512_setzero_si512(); HALF];
                    for i in 0..HALF {
                        lines[i] = _mm512_load_si512(tile.add(i));
                    }
                    transpose(&mut lines);
                    for i in 0..HALF {
                        _mm512_store_si512(tile.add(i), lines[i]);
                    }
                }
            }
        }
        largest
    }

    /// Writes the lines as they are read.
    ///
    /// # Safety
    /// As for [`pack`]; all numbers exist if `FULL`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn lines<const ALONG: bool, const FULL: bool>(&self) -> __m512i {
        let magnitude = _mm512_set1_epi16(0x7fff);
        let mut largest = _mm512_setzero_si512();
        for i in 0..HALF {
            for at in 0..self.groups * self.steps {
                let (group, step) = if ALONG { (0, at) } else { (at, 0) };
                // SAFETY: the caller's promise; there is room.
                unsafe {
                    let (first, second) = if ALONG {
                        self.row::<FULL>(i, step)
                    } else {
                        (self.across::<FULL>(i, group), self.across::<FULL>(i + HALF, group))
                    };
                    let parts = split(first, second);
                    largest = _mm512_max_epu16(largest, _mm512_and_si512(parts[0], magnitude));
                    for part in 0..3 {
                        _mm512_store_si512(self.tile(group, step, part).add(i), parts[part]);
                    }
                }
            }
        }
        largest
    }

    /// The lines of a tile.
    #[inline(always)]
    fn tile(&self, group: usize, step: usize, part: usize) -> *mut __m512i {
        let place = group / 2 * self.unit + group % 2 * TILE + step * STEP_BYTES + part * 2 * TILE;
        self.to.wrapping_add(place).cast()
    }

    /// Row `i` along a step of the sum.
    ///
    /// # Safety
    /// As for [`pack`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn row<const FULL: bool>(&self, i: usize, step: usize) -> (__m512, __m512) {
        let at = self.x.at.wrapping_add(i * self.x.outer + step * STEP);
        if FULL {
            // SAFETY: the caller's promise.
            return unsafe { (_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(HALF))) };
        }
        let left = if i < self.outer { self.k - step * STEP } else { 0 };
        // SAFETY: masks keep to the elements that exist.
        unsafe {
            (
                _mm512_maskz_loadu_ps(low(left) as __mmask16, at),
                _mm512_maskz_loadu_ps(low(left.saturating_sub(HALF)) as __mmask16, at.wrapping_add(HALF)),
            )
        }
    }

    /// Number `p` of the step across a group of rows or columns.
    ///
    /// # Safety
    /// As for [`pack`].
    #[inline]
    #[target_feature(enable = "avx512f")]
    unsafe fn across<const FULL: bool>(&self, p: usize, group: usize) -> __m512 {
        let at = self.x.at.wrapping_add(p * self.x.along + group * HALF * self.x.outer);
        if self.x.outer == 1 {
            // Rows far apart are not foreseen by the processor: ask for them. It is only a hint.
            _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(AHEAD * self.x.along).cast());
        }
        if FULL {
            // SAFETY: the caller's promise.
            return unsafe { _mm512_loadu_ps(at) };
        }
        let n = if p < self.k { self.outer.saturating_sub(group * HALF).min(HALF) } else { 0 };
        // SAFETY: the mask and the loop keep to the elements that exist.
        unsafe {
            if self.x.outer == 1 {
                return _mm512_maskz_loadu_ps(low(n) as __mmask16, at);
            }
            let mut gathered = [0f32; HALF];
            for (j, number) in gathered[..n].iter_mut().enumerate() {
                *number = *at.add(j * self.x.outer);
            }
            _mm512_loadu_ps(gathered.as_ptr())
        }
    }
}
