//! Products of bfloat16 matrices, summed in float32.
//!
//! Whatever cuts C into tasks, every element is one sum over k in one order, so results depend on the shape alone. Sums
//! flush denormal numbers to zero, as the instructions do. Where there are none of these instructions, operands are
//! widened and float32 does the work.

#[cfg(target_arch = "x86_64")]
mod dots;
#[cfg(target_arch = "x86_64")]
pub(super) mod pack;
#[cfg(target_arch = "x86_64")]
mod run;
#[cfg(target_arch = "x86_64")]
mod store;
#[cfg(target_arch = "x86_64")]
pub(super) mod tiles;

use half::bf16;

use super::{Epilogue, Mat};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{Kind, convert, convert_bytes};
use crate::isa::{Narrow, narrow, narrow_levels};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for half::bf16 {}
}

/// What C may be: float32, or bfloat16 (rounded once, at the end).
pub trait Rounded: sealed::Sealed + Copy + Send + Sync {
    /// The type as a value.
    const KIND: Kind;
}
impl Rounded for f32 {
    const KIND: Kind = Kind::F32;
}
impl Rounded for bf16 {
    const KIND: Kind = Kind::BF16;
}

/// For every `[a, b, c]` of `offsets` (in elements): C[m, n] at c = A[m, k] at a · B[k, n] at b, then bias and activation
/// in float32. Neither a residual nor rounding between these is offered.
pub fn gemm_bf16<C: Rounded>(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, bf16>,
    b: Mat<'_, bf16>,
    c: &mut [C],
    ldc: usize,
    offsets: &[[usize; 3]],
    ep: Epilogue<'_, f32>,
) -> Result<(), AllocError> {
    gemm_bf16_at(narrow(), m, n, k, a, b, c, ldc, offsets, ep)
}

/// [`gemm_bf16`] with given instructions (or the best of the machine, if that is less).
pub fn gemm_bf16_at<C: Rounded>(
    level: Narrow,
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, bf16>,
    b: Mat<'_, bf16>,
    c: &mut [C],
    ldc: usize,
    offsets: &[[usize; 3]],
    ep: Epilogue<'_, f32>,
) -> Result<(), AllocError> {
    assert!(
        ep.residual.is_none() && !ep.rounded,
        "gemm_bf16: neither residual nor steps that are rounded are offered"
    );
    super::check_batch("gemm_bf16", [m, n, k], a, b, c.len(), ldc, offsets, &ep);
    if m == 0 || n == 0 || offsets.is_empty() {
        return Ok(());
    }
    let level = level.min(narrow_levels()[narrow_levels().len() - 1]);
    #[cfg(target_arch = "x86_64")]
    if level != Narrow::Widen {
        let product = run::Product {
            level,
            m,
            n,
            k,
            a: pack::Raw { at: a.data.as_ptr().cast(), rs: a.rs, cs: a.cs },
            b: pack::Raw { at: b.data.as_ptr().cast(), rs: b.rs, cs: b.cs },
            c: c.as_mut_ptr().cast(),
            ldc,
            half: C::KIND == Kind::BF16,
            swapped: false,
            ep,
        };
        // SAFETY: all reaches were checked; results are disjoint; the machine has the level.
        return unsafe { run::run(product, offsets) };
    }
    let _ = level;
    widened(m, n, k, a, b, c, ldc, offsets, ep)
}

/// The product by way of float32.
fn widened<C: Rounded>(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, bf16>,
    b: Mat<'_, bf16>,
    c: &mut [C],
    ldc: usize,
    offsets: &[[usize; 3]],
    ep: Epilogue<'_, f32>,
) -> Result<(), AllocError> {
    use crate::convert::elements_mut;
    // The elements that are read: up to the last one of the farthest matrix.
    let end = |which: usize, rows: usize, rs: usize, columns: usize, cs: usize| {
        let farthest = offsets.iter().map(|o| o[which]).max().unwrap_or(0);
        farthest + if k == 0 { 0 } else { (rows - 1) * rs + (columns - 1) * cs + 1 }
    };
    let (a_end, b_end) = (end(0, m, a.rs, k, a.cs), end(1, k, b.rs, n, b.cs));
    let (mut wide_a, mut wide_b) = (Buffer::scratch(4 * a_end)?, Buffer::scratch(4 * b_end)?);
    let (wide_a, wide_b) = (elements_mut::<f32>(wide_a.bytes_mut()), elements_mut::<f32>(wide_b.bytes_mut()));
    if k > 0 {
        convert(&a.data[..a_end], wide_a);
        convert(&b.data[..b_end], wide_b);
    }
    let mut wide_c = Buffer::scratch(4 * m * n * offsets.len())?;
    let wide_c = elements_mut::<f32>(wide_c.bytes_mut());
    let dense: Vec<[usize; 3]> =
        offsets.iter().enumerate().map(|(i, &[oa, ob, _])| [oa, ob, i * m * n]).collect();
    let (a, b) = (Mat { data: wide_a, rs: a.rs, cs: a.cs }, Mat { data: wide_b, rs: b.rs, cs: b.cs });
    super::gemm_batched(m, n, k, a, b, wide_c, n, &dense, ep);
    let bytes = bytes_mut(c);
    let size = C::KIND.size();
    for (i, &[_, _, oc]) in offsets.iter().enumerate() {
        let from = &wide_c[i * m * n..][..m * n];
        if ldc == n {
            convert_bytes(Kind::F32, bytes_of(from), C::KIND, &mut bytes[oc * size..][..m * n * size]);
            continue;
        }
        for (r, row) in from.chunks_exact(n).enumerate() {
            let to = &mut bytes[(oc + r * ldc) * size..][..n * size];
            convert_bytes(Kind::F32, bytes_of(row), C::KIND, to);
        }
    }
    Ok(())
}

fn bytes_of(x: &[f32]) -> &[u8] {
    // SAFETY: bytes of plain numbers.
    unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
}

fn bytes_mut<C: Rounded>(x: &mut [C]) -> &mut [u8] {
    // SAFETY: bytes of plain numbers, of which all bits are valid.
    unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), size_of_val(x)) }
}

#[cfg(test)]
mod tests;
