//! Sums that were cut into pieces, put together again.

use std::ops::Range;

use super::micro::{self, Out};
use super::{Product, Scalar, activate_part};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch};
use crate::par;

/// C (if the product accumulates) plus the `pieces` copies of it in their order, then the epilogue. Copies lie one after
/// the other, without gaps.
///
/// # Safety
/// As for [`super::run`]; every copy was written.
pub(super) unsafe fn add<T: Scalar>(l: Level, p: &Product<'_, T>, copies: *const T, pieces: usize) {
    /// Rows of C per piece of work.
    const ROWS: usize = 16;
    let (product, copies) = (*p, copies as usize);
    par::run(p.m.div_ceil(ROWS), |index| {
        // The whole product, not its pointers one by one, so that it may cross to another thread.
        let p = &product;
        let rows = index * ROWS..((index + 1) * ROWS).min(p.m);
        dispatch(l, Add { p, copies: copies as *const T, pieces, rows: rows.clone() });
        // SAFETY: these rows of C belong to this piece of work alone.
        unsafe { activate_part(&p.ep, (p.c, p.ldc), rows, 0..p.n) };
    });
}

struct Add<'a, T> {
    p: &'a Product<'a, T>,
    copies: *const T,
    pieces: usize,
    rows: Range<usize>,
}

impl<T: Scalar> Kernel for Add<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Add { p, copies, pieces, rows } = self;
        let lanes = <T::V<S> as Lanes>::N;
        for i in rows {
            for j in (0..p.n).step_by(lanes) {
                let width = lanes.min(p.n - j);
                // SAFETY: the elements exist in every copy and in C.
                unsafe {
                    let out = Out::part((p.c, p.ldc), (i, j), width, false, &p.ep, true);
                    let mut sum = <T::V<S>>::splat(T::ZERO);
                    if p.accumulate {
                        sum = micro::fetch(out.c, width);
                    }
                    for s in 0..pieces {
                        sum = sum + micro::fetch(copies.add((s * p.m + i) * p.n + j), width);
                    }
                    micro::store::<T::V<S>, 1, 1>(&[[sum]], &out);
                }
            }
        }
    }
}
