//! Tiles of a product of bfloat16 matrices by dot products of pairs (AVX-512 BF16), summed in registers.
//!
//! A is read as pairs of k at two strides: rows with k contiguous, or packed in tiles of [`ROWS`] rows, pair by pair.

use std::arch::x86_64::*;

use super::pack::PAIR;
use super::tiles::{PANEL, STEP};
use crate::gemm::plan::LINE;
use crate::isa::{prefetch, prefetch_to_write};
use crate::unroll::each;

/// Rows of a full tile: with two panels 28 sums, two vectors of B and one of A.
pub(super) const ROWS: usize = 14;
/// Pairs ahead of which operands are asked for.
const AHEAD: usize = 16;

/// The operands of a tile.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub a: *const u16,
    /// From row to row of A, in bytes.
    pub row: usize,
    /// From pair to pair of a row, in bytes.
    pub pair: usize,
    /// Rows of A, up to [`ROWS`].
    pub rows: usize,
    pub b: *const u16,
    /// From one panel of B to the next, in elements.
    pub panel: usize,
    /// One or two.
    pub panels: usize,
    /// Steps of [`STEP`] along k, at least one.
    pub steps: usize,
}

/// Where a tile goes and what is done to it on the way; all of its columns count.
#[derive(Clone, Copy)]
pub(super) struct Out {
    /// The first element, of float32 or, if `half`, of bfloat16.
    pub c: *mut u8,
    /// From row to row, in elements.
    pub ldc: usize,
    pub half: bool,
    /// One value per column.
    pub bias: Option<*const f32>,
    pub relu: bool,
}

/// Computes a tile of whole panels of columns and writes it to C.
///
/// # Safety
/// AVX-512 BF16 is there, and so are the elements of the operands, of C and of the bias.
pub(super) unsafe fn tile(o: &Operands, out: &Out) {
    let packed = o.row == PAIR && o.pair == PANEL * PAIR;
    macro_rules! of_rows {
        ($($rows:literal)*) => {
            // SAFETY: passed on.
            unsafe {
                match (o.rows, o.panels, packed) {
                    $(($rows, 1, false) => of::<$rows, 1, false>(o, out),
                    ($rows, 1, true) => of::<$rows, 1, true>(o, out),
                    ($rows, _, false) => of::<$rows, 2, false>(o, out),
                    ($rows, _, true) => of::<$rows, 2, true>(o, out),)*
                    _ => unreachable!("a tile of {} rows", o.rows),
                }
            }
        };
    }
    of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
}

#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn pairs(bits: __m512i) -> __m512bh {
    // SAFETY: all bits are valid values.
    unsafe { std::mem::transmute(bits) }
}

/// [`tile`] of a given size; with constant strides of A, if `PACKED`.
///
/// # Safety
/// As for [`tile`].
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn of<const R: usize, const P: usize, const PACKED: bool>(o: &Operands, out: &Out) {
    let width = if out.half { 2 } else { 4 };
    let (row, pair) = if PACKED { (PAIR, PANEL * PAIR) } else { (o.row, PAIR) };
    // Rows of C lie far apart: without this every tile would end with a row of cache misses.
    for i in 0..R {
        for line in 0..if out.half { 1 } else { P } {
            prefetch_to_write(out.c.wrapping_add(i * out.ldc * width + line * LINE));
        }
    }
    let mut sum = [[_mm512_setzero_ps(); P]; R];
    let (mut a, mut b) = (o.a, o.b);
    // SAFETY: pairs of k below `steps` whole steps exist in rows of A and in panels of B.
    unsafe {
        for _ in 0..o.steps {
            // A line of a row of A lasts as long as a step: each row is asked for its next one.
            let mut ahead = a.wrapping_byte_add(if PACKED { AHEAD * pair } else { LINE });
            for _ in 0..STEP / 2 {
                prefetch(ahead);
                ahead = ahead.wrapping_byte_add(if PACKED { pair } else { row });
                let mut line = [pairs(_mm512_setzero_si512()); P];
                for j in 0..P {
                    let at = b.wrapping_add(j * o.panel);
                    prefetch(at.wrapping_add(AHEAD * 2 * PANEL));
                    line[j] = pairs(_mm512_loadu_si512(at.cast()));
                }
                each!(i < R, {
                    let x = a.byte_add(i * row).cast::<i32>().read_unaligned();
                    let x = pairs(_mm512_set1_epi32(x));
                    for j in 0..P {
                        sum[i][j] = _mm512_dpbf16_ps(sum[i][j], x, line[j]);
                    }
                });
                a = a.byte_add(pair);
                b = b.add(2 * PANEL);
            }
        }
        let mut bias = [_mm512_setzero_ps(); P];
        if let Some(from) = out.bias {
            for j in 0..P {
                bias[j] = _mm512_loadu_ps(from.add(j * PANEL));
            }
        }
        let least = _mm512_set1_ps(if out.relu { 0.0 } else { f32::NEG_INFINITY });
        each!(i < R, {
            let c = out.c.add(i * out.ldc * width);
            let mut y = sum[i];
            for j in 0..P {
                // The second operand where one is not a number.
                y[j] = _mm512_max_ps(least, _mm512_add_ps(y[j], bias[j]));
            }
            if !out.half {
                for j in 0..P {
                    _mm512_storeu_ps(c.cast::<f32>().add(j * PANEL), y[j]);
                }
            } else if P == 2 {
                let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(y[P - 1], y[0]));
                _mm512_storeu_si512(c.cast(), both);
            } else {
                let one = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(y[0]));
                _mm256_storeu_si256(c.cast(), one);
            }
        });
    }
}
