//! From a finished block to C: transposed where operands were swapped, plus bias, activation, rounding to C's type.

use std::arch::x86_64::*;

use super::tiles::{BLOCK, Block};
use crate::isa::avx512::transpose;
use crate::map::Unary;

/// Where a block goes.
pub(super) struct Out<'a> {
    /// Row-major, of float32 or bfloat16.
    pub c: *mut u8,
    pub ldc: usize,
    pub half: bool,
    /// The first row and column.
    pub at: (usize, usize),
    pub rows: usize,
    pub columns: usize,
    pub bias: Option<&'a [f32]>,
    pub activation: Option<Unary>,
}

/// The block with rows and columns traded; of `rows` rows that count.
///
/// # Safety
/// AVX-512 F.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn turn(block: &mut Block, rows: usize) {
    let turned = |from: &Block, i: usize, j: usize| {
        let mut lines = [_mm512_setzero_si512(); 16];
        for (r, line) in lines.iter_mut().enumerate() {
            // SAFETY: a quarter of the block.
            *line = unsafe { _mm512_load_si512(from.0.as_ptr().add((i + r) * BLOCK + j).cast()) };
        }
        transpose(&mut lines);
        lines
    };
    for (i, j) in [(0, 0), (0, 16), (16, 16)] {
        if i >= rows {
            break;
        }
        let (a, b) = (turned(block, i, j), turned(block, j, i));
        for r in 0..16 {
            // SAFETY: as above.
            unsafe {
                _mm512_store_si512(block.0.as_mut_ptr().add((j + r) * BLOCK + i).cast(), a[r]);
                if i != j {
                    _mm512_store_si512(block.0.as_mut_ptr().add((i + r) * BLOCK + j).cast(), b[r]);
                }
            }
        }
    }
}

/// Writes the block.
///
/// # Safety
/// AVX-512 F, BW, VL and BF16; the elements of C and of the bias exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
pub(super) unsafe fn store(block: &mut Block, o: &Out<'_>) {
    let masks = [o.columns.min(16), o.columns.saturating_sub(16)].map(|n| ((1u32 << n) - 1) as __mmask16);
    let mut bias = [_mm512_setzero_ps(); 2];
    // SAFETY: the caller's promise; masks keep to the columns that exist.
    unsafe {
        if let Some(b) = o.bias {
            for h in 0..2 {
                bias[h] = _mm512_maskz_loadu_ps(masks[h], b.as_ptr().wrapping_add(o.at.1 + 16 * h));
            }
        }
        if let Some(f) = o.activation.filter(|&f| f != Unary::Relu) {
            for line in block.0[..o.rows * BLOCK].chunks_exact_mut(16).enumerate() {
                let x = _mm512_add_ps(_mm512_load_ps(line.1.as_ptr()), bias[line.0 % 2]);
                _mm512_store_ps(line.1.as_mut_ptr(), x);
            }
            crate::map::unary_in_place(f, &mut block.0[..o.rows * BLOCK]);
            bias = [_mm512_setzero_ps(); 2];
        }
        let floor = _mm512_setzero_ps();
        let relu = o.activation == Some(Unary::Relu);
        for i in 0..o.rows {
            let to = (o.at.0 + i) * o.ldc + o.at.1;
            for h in 0..2 {
                if masks[h] == 0 {
                    continue;
                }
                let mut x = _mm512_add_ps(_mm512_load_ps(block.0.as_ptr().add(i * BLOCK + 16 * h)), bias[h]);
                if relu {
                    // The second operand where one is NaN.
                    x = _mm512_max_ps(floor, x);
                }
                if o.half {
                    let y = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                    _mm256_mask_storeu_epi16(o.c.cast::<i16>().add(to + 16 * h), masks[h], y);
                } else {
                    _mm512_mask_storeu_ps(o.c.cast::<f32>().add(to + 16 * h), masks[h], x);
                }
            }
        }
    }
}
