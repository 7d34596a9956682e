//! Elements of C as dot products, for shapes that fill no tile.

use super::{Product, Scalar, Source, round_if};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch};
use crate::map::Unary;

/// Computes the elements of C in `rows` × `columns` one by one.
///
/// # Safety
/// The product was checked.
pub(crate) unsafe fn run<T: Scalar>(
    l: Level,
    p: &Product<'_, T>,
    rows: (usize, usize),
    columns: (usize, usize),
) {
    struct Dots<'a, T> {
        p: &'a Product<'a, T>,
        rows: (usize, usize),
        columns: (usize, usize),
    }
    impl<T: Scalar> Kernel for Dots<'_, T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            let p = self.p;
            for i in self.rows.0..self.rows.1 {
                for j in self.columns.0..self.columns.1 {
                    // SAFETY: element (i, j) and what it sums exist.
                    unsafe {
                        let (b, rs) = match p.b {
                            Source::Strided { ptr, rs, cs } => (ptr.add(j * cs), rs),
                            Source::Packed { ptr, nr, rows } => (ptr.add(j / nr * nr * rows + j % nr), nr),
                        };
                        let c = p.c.add(i * p.ldc + j);
                        let mut y = dot::<T, S>(p.a.add(i * p.a_rs), p.a_cs, b, rs, p.k);
                        if p.accumulate {
                            y = y + *c;
                        }
                        y = round_if(p.ep.rounded, y);
                        if let Some(bias) = p.ep.bias {
                            y = round_if(p.ep.rounded, y + bias[j]);
                        }
                        if let Some((r, ld)) = p.ep.residual {
                            y = round_if(p.ep.rounded, y + r[i * ld + j]);
                        }
                        if p.ep.activation == Some(Unary::Relu) && y < T::ZERO {
                            y = T::ZERO;
                        }
                        *c = y;
                    }
                }
            }
        }
    }
    dispatch(l, Dots { p, rows, columns });
}

#[inline(always)]
unsafe fn dot<T: Scalar, S: Isa>(a: *const T, sa: usize, b: *const T, sb: usize, k: usize) -> T {
    let n = <T::V<S> as Lanes>::N;
    let mut p = 0;
    let mut total = T::ZERO;
    // SAFETY: the caller's promise.
    unsafe {
        if sa == 1 && sb == 1 {
            let zero = <T::V<S>>::splat(T::ZERO);
            let mut acc = [zero; 4];
            while p + 4 * n <= k {
                for (u, acc) in acc.iter_mut().enumerate() {
                    let at = p + u * n;
                    *acc = <T::V<S>>::load(a.add(at)).fma(<T::V<S>>::load(b.add(at)), *acc);
                }
                p += 4 * n;
            }
            while p + n <= k {
                acc[0] = <T::V<S>>::load(a.add(p)).fma(<T::V<S>>::load(b.add(p)), acc[0]);
                p += n;
            }
            total = ((acc[0] + acc[1]) + (acc[2] + acc[3])).sum();
        }
        while p < k {
            total = (*a.add(p * sa)).fma(*b.add(p * sb), total);
            p += 1;
        }
    }
    total
}
