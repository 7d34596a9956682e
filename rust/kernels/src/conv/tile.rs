//! The tile of a convolution: sums over several stretches of memory, in registers from the first product to the last.

use crate::gemm::Scalar;
use crate::gemm::micro::{copied, fetch};
use crate::isa::{Isa, Kernel, Lanes, Real};
use crate::lanes::round_bfloat16;
use crate::unroll::each;

/// A stretch of the sum: where it begins in A and in B, in elements, and how many products it has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch {
    pub a: usize,
    pub b: usize,
    pub len: usize,
}

/// Where a tile goes and what is done to it on the way.
#[derive(Clone, Copy)]
pub(super) struct Out<T> {
    pub c: *mut T,
    /// From row to row.
    pub ldc: usize,
    /// Columns that count.
    pub width: usize,
    /// Add to what is there.
    pub add: bool,
    /// Per column, with room for whole vectors.
    pub bias: Option<*const T>,
    /// Added before the last step, in rows like those of C.
    pub residual: Option<*const T>,
    /// Results below this become it: 0 for relu.
    pub least: Option<T>,
    /// Round to bfloat16 after every step.
    pub rounded: bool,
}

impl<T> Out<T> {
    /// Sums as they are.
    pub fn plain(c: *mut T, ldc: usize, width: usize, add: bool) -> Out<T> {
        Out { c, ldc, width, add, bias: None, residual: None, least: None, rounded: false }
    }
}

/// Rows of the largest tile.
#[inline(always)]
pub(super) fn most_rows<S: Isa>() -> usize {
    match <S::F32 as Lanes>::N {
        16 => 14,
        _ => 6,
    }
}

/// `count` things in tiles of at most `most`: the size of each, as even as can be.
#[inline(always)]
pub(super) fn even(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most).max(1)).max(1)
}

/// The sums of `MR` rows and `NV` vectors of columns. Row i of A begins at `i * rs`, its products are side by side (or, with
/// `OUTER`, row i at `i`, its products `step_a` apart); B has `step_b` elements per product.
#[inline(always)]
unsafe fn sums<V: Lanes, const MR: usize, const NV: usize, const OUTER: bool, const WHOLE: bool>(
    stretches: &[Stretch],
    a: *const V::T,
    rs: usize,
    step_a: usize,
    b: *const V::T,
    step_b: usize,
    last: usize,
) -> [[V; NV]; MR] {
    let zero = V::splat(V::T::ZERO);
    let mut acc = [[zero; NV]; MR];
    for s in stretches {
        // SAFETY: the caller's promise: all stretches lie in the matrices.
        unsafe {
            let (mut a, mut b) = (a.add(s.a), b.add(s.b));
            for _ in 0..s.len {
                let mut row = [zero; NV];
                for j in 0..NV {
                    row[j] = if WHOLE || j + 1 < NV {
                        V::load(b.add(j * V::N))
                    } else {
                        V::load_partial(b.add(j * V::N), last)
                    };
                }
                each!(i < MR, {
                    let x = V::splat(*a.add(if OUTER { i } else { i * rs }));
                    for j in 0..NV {
                        acc[i][j] = x.fma(row[j], acc[i][j]);
                    }
                });
                a = a.add(if OUTER { step_a } else { 1 });
                b = b.add(step_b);
            }
        }
    }
    acc
}

/// Writes a tile with every step rounded to bfloat16.
#[inline(always)]
unsafe fn store_rounded<V: Lanes, const MR: usize, const NV: usize>(
    acc: &[[V; NV]; MR],
    out: &Out<V::T>,
    last: usize,
) {
    let least = V::splat(out.least.unwrap_or(-V::T::INF));
    for j in 0..NV {
        let n = if j + 1 < NV { V::N } else { last };
        // SAFETY: the caller's promise.
        unsafe {
            let mut bias = V::splat(V::T::ZERO);
            if let Some(b) = out.bias {
                bias = fetch::<V>(b.add(j * V::N), n);
            }
            for i in 0..MR {
                let at = i * out.ldc + j * V::N;
                let mut y = round_bfloat16(acc[i][j]);
                if out.bias.is_some() {
                    y = round_bfloat16(y + bias);
                }
                if let Some(r) = out.residual {
                    y = round_bfloat16(y + fetch::<V>(r.add(at), n));
                }
                y = least.max(y);
                if n == V::N { y.store(out.c.add(at)) } else { y.store_partial(out.c.add(at), n) }
            }
        }
    }
}

/// Writes a tile of which all columns count.
#[inline(always)]
unsafe fn store<V: Lanes, const MR: usize, const NV: usize>(acc: &[[V; NV]; MR], out: &Out<V::T>) {
    let zero = V::splat(V::T::ZERO);
    // SAFETY: the caller's promise.
    unsafe {
        if out.add {
            each!(i < MR, {
                for j in 0..NV {
                    let c = out.c.add(i * out.ldc + j * V::N);
                    (V::load(c) + acc[i][j]).store(c);
                }
            });
            return;
        }
        let mut bias = [zero; NV];
        if let Some(b) = out.bias {
            for j in 0..NV {
                bias[j] = V::load(b.add(j * V::N));
            }
        }
        // `least.max(y)` keeps y where it is not a number.
        let least = V::splat(out.least.unwrap_or(-V::T::INF));
        if let Some(r) = out.residual {
            each!(i < MR, {
                for j in 0..NV {
                    let at = i * out.ldc + j * V::N;
                    least.max(acc[i][j] + bias[j] + V::load(r.add(at))).store(out.c.add(at));
                }
            });
            return;
        }
        each!(i < MR, {
            for j in 0..NV {
                least.max(acc[i][j] + bias[j]).store(out.c.add(i * out.ldc + j * V::N));
            }
        });
    }
}

/// Writes a tile whose last vector is not whole.
#[inline(always)]
unsafe fn store_partial<V: Lanes, const MR: usize, const NV: usize>(
    acc: &[[V; NV]; MR],
    out: &Out<V::T>,
    last: usize,
) {
    let least = V::splat(out.least.unwrap_or(-V::T::INF));
    for i in 0..MR {
        for j in 0..NV {
            // SAFETY: the caller's promise.
            unsafe {
                let c = out.c.add(i * out.ldc + j * V::N);
                let n = if j + 1 < NV { V::N } else { last };
                let mut y = acc[i][j];
                if out.add {
                    y = y + V::load_partial(c, n);
                } else {
                    if let Some(b) = out.bias {
                        y = y + V::load_partial(b.add(j * V::N), n);
                    }
                    if let Some(r) = out.residual {
                        y = y + V::load_partial(r.add(i * out.ldc + j * V::N), n);
                    }
                    y = least.max(y);
                }
                y.store_partial(c, n);
            }
        }
    }
}

/// A tile of exactly `MR` rows and `NV` vectors: a function of its own, since all of them in one take the compiler minutes.
struct Block<'a, T, const MR: usize, const NV: usize, const OUTER: bool> {
    stretches: &'a [Stretch],
    a: *const T,
    rs: usize,
    step_a: usize,
    b: *const T,
    step_b: usize,
    out: &'a Out<T>,
}

impl<T: Scalar, const MR: usize, const NV: usize, const OUTER: bool> Kernel for Block<'_, T, MR, NV, OUTER> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Block { stretches, a, rs, step_a, b, step_b, out } = self;
        let last = out.width - (NV - 1) * <T::V<S> as Lanes>::N;
        // SAFETY: passed on from `tile`.
        unsafe {
            if last == <T::V<S> as Lanes>::N {
                let acc = sums::<T::V<S>, MR, NV, OUTER, true>(stretches, a, rs, step_a, b, step_b, last);
                if !OUTER && out.rounded {
                    return store_rounded::<T::V<S>, MR, NV>(&copied(&acc), out, last);
                }
                store::<T::V<S>, MR, NV>(&acc, out);
            } else if OUTER {
                let acc = sums::<T::V<S>, MR, NV, true, false>(stretches, a, rs, step_a, b, step_b, last);
                store_partial::<T::V<S>, MR, NV>(&copied(&acc), out, last);
            } else {
                // B is packed: what is beyond the width is zero, and its results are not written.
                let acc = sums::<T::V<S>, MR, NV, false, true>(stretches, a, rs, step_a, b, step_b, last);
                let acc = copied(&acc);
                if out.rounded {
                    return store_rounded::<T::V<S>, MR, NV>(&acc, out, last);
                }
                store_partial::<T::V<S>, MR, NV>(&acc, out, last);
            }
        }
    }
}

/// A tile of `rows` rows (at most [`most_rows`]) and up to two vectors of columns.
///
/// # Safety
/// The stretches lie in A and B, the tile in C; B is packed in rows of two vectors unless `OUTER`.
#[inline(always)]
pub(super) unsafe fn tile<T: Scalar, S: Isa, const OUTER: bool>(
    rows: usize,
    stretches: &[Stretch],
    a: *const T,
    rs: usize,
    step_a: usize,
    b: *const T,
    step_b: usize,
    out: &Out<T>,
) {
    macro_rules! of_rows {
        ($($mr:literal)*) => {
            if out.width > <T::V<S> as Lanes>::N {
                match rows {
                    $($mr => S::apart(Block::<T, $mr, 2, OUTER> { stretches, a, rs, step_a, b, step_b, out }),)*
                    _ => unreachable!("a tile of {rows} rows"),
                }
            } else {
                match rows {
                    $($mr => S::apart(Block::<T, $mr, 1, OUTER> { stretches, a, rs, step_a, b, step_b, out }),)*
                    _ => unreachable!("a tile of {rows} rows"),
                }
            }
        };
    }
    if <S::F32 as Lanes>::N == 16 {
        of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    } else {
        of_rows!(1 2 3 4 5 6)
    }
}
