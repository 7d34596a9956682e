//! One row of A times B, whose rows are contiguous: the memory that B takes is read once and nothing is laid out.

use super::micro::{Out, store};
use super::{Product, Scalar, Source};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch, prefetch};
use crate::map::Unary;

/// Sums under way at the same time, in vectors: enough to hide how long a multiply-add takes.
const SUMS: usize = 8;
/// How many rows of B ahead are asked for.
const AHEAD: usize = 16;

/// Computes `columns` of the only row of C.
///
/// # Safety
/// The product was checked; it has one row, and B's columns are contiguous.
pub(super) unsafe fn run<T: Scalar>(l: Level, p: &Product<'_, T>, columns: (usize, usize)) {
    struct Columns<'a, T> {
        p: &'a Product<'a, T>,
        columns: (usize, usize),
    }
    impl<T: Scalar> Kernel for Columns<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            let (mut j, end) = self.columns;
            let n = <T::V<S> as Lanes>::N;
            // SAFETY: passed on; every strip takes the next columns.
            unsafe {
                while j < end {
                    let left = end - j;
                    if left >= 4 * n {
                        strip::<T, S, 4, { SUMS / 4 }>(self.p, j, 4 * n);
                        j += 4 * n;
                    } else if left > n {
                        strip::<T, S, 2, { SUMS / 2 }>(self.p, j, left.min(2 * n));
                        j += left.min(2 * n);
                    } else {
                        strip::<T, S, 1, SUMS>(self.p, j, left);
                        j += left;
                    }
                }
            }
        }
    }
    dispatch(l, Columns { p, columns });
}

/// `width` columns from `j` on, at most `NV` vectors: `U` sums of each, over every `U`-th row of B, added in order.
#[inline(always)]
unsafe fn strip<T: Scalar, S: Isa, const NV: usize, const U: usize>(
    p: &Product<'_, T>,
    j: usize,
    width: usize,
) {
    let Source::Strided { ptr, rs, .. } = p.b else { return };
    let n = <T::V<S> as Lanes>::N;
    let zero = <T::V<S>>::splat(T::ZERO);
    let mut sums = [[zero; NV]; U];
    let whole = width == NV * n;
    // SAFETY: the caller's promise.
    unsafe {
        let (mut a, mut b) = (p.a, ptr.add(j));
        /// `$u` rows of B; the last vector counts partly, if `$part`.
        macro_rules! rows {
            ($u:expr, $part:literal) => {
                for u in 0..$u {
                    let x = <T::V<S>>::splat(*a.add(u * p.a_cs));
                    for v in 0..NV {
                        let at = b.add(u * rs + v * n);
                        prefetch(at.wrapping_add(AHEAD * rs));
                        let y = if $part && v + 1 == NV {
                            <T::V<S>>::load_partial(at, width - (NV - 1) * n)
                        } else {
                            <T::V<S>>::load(at)
                        };
                        sums[u][v] = x.fma(y, sums[u][v]);
                    }
                }
            };
        }
        for _ in 0..p.k / U {
            if whole {
                rows!(U, false);
            } else {
                rows!(U, true);
            }
            (a, b) = (a.add(U * p.a_cs), b.add(U * rs));
        }
        for _ in 0..p.k % U {
            rows!(1, true);
            (a, b) = (a.add(p.a_cs), b.add(rs));
        }
        let mut sum = sums[0];
        for more in &sums[1..] {
            for v in 0..NV {
                sum[v] = sum[v] + more[v];
            }
        }
        let out = Out {
            c: p.c.add(j),
            ldc: p.ldc,
            width,
            add: p.accumulate,
            bias: p.ep.bias.map(|b| b.as_ptr().add(j)),
            residual: p.ep.residual.map(|(r, ld)| (r.as_ptr().add(j), ld)),
            relu: p.ep.activation == Some(Unary::Relu),
            rounded: p.ep.rounded,
        };
        store::<T::V<S>, 1, NV>(&[sum], &out);
    }
}
