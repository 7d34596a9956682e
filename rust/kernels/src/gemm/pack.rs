//! Panels: the order in which the micro-kernel meets the elements of A and B.

use super::{Mat, Scalar};
use crate::buffer::{AllocError, Buffer};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch, level};

/// `k` rows of `width` columns of B as `k` rows of `nr`, padded with zeros.
///
/// # Safety
/// The elements exist; `out` has room for `k·nr`.
#[inline(always)]
pub(crate) unsafe fn b_panel<T: Scalar, S: Isa>(
    b: *const T,
    rs: usize,
    cs: usize,
    width: usize,
    k: usize,
    nr: usize,
    out: *mut T,
) {
    let n = <T::V<S> as Lanes>::N;
    // SAFETY: the caller's promise.
    unsafe {
        if cs == 1 && width == nr {
            for p in 0..k {
                let mut j = 0;
                while j < nr {
                    <T::V<S>>::load(b.add(p * rs + j)).store(out.add(p * nr + j));
                    j += n;
                }
            }
        } else if cs == 1 {
            for p in 0..k {
                for j in 0..nr {
                    *out.add(p * nr + j) = if j < width { *b.add(p * rs + j) } else { T::ZERO };
                }
            }
        } else {
            // Columns are the contiguous direction: go along them in short runs, so that both sides stay in cache.
            const RUN: usize = 16;
            let mut p = 0;
            while p < k {
                let run = RUN.min(k - p);
                for j in 0..nr {
                    if j < width {
                        let column = b.add(p * rs + j * cs);
                        for q in 0..run {
                            *out.add((p + q) * nr + j) = *column.add(q * rs);
                        }
                    } else {
                        for q in 0..run {
                            *out.add((p + q) * nr + j) = T::ZERO;
                        }
                    }
                }
                p += run;
            }
        }
    }
}

/// `rows` rows of A as `k` columns of `mr`; rows that are missing are left as they are, since nothing reads them.
///
/// # Safety
/// The elements exist; `out` has room for `k·mr`.
#[inline(always)]
pub(crate) unsafe fn a_tile<T: Copy>(
    a: *const T,
    rs: usize,
    cs: usize,
    rows: usize,
    k: usize,
    mr: usize,
    out: *mut T,
) {
    // SAFETY: the caller's promise.
    unsafe {
        if rs == 1 {
            for p in 0..k {
                for i in 0..rows {
                    *out.add(p * mr + i) = *a.add(p * cs + i);
                }
            }
        } else {
            for i in 0..rows {
                for p in 0..k {
                    *out.add(p * mr + i) = *a.add(i * rs + p * cs);
                }
            }
        }
    }
}

/// A matrix B in panels, made once and used for many products.
#[derive(Debug)]
pub struct PackedB<T> {
    buffer: Buffer,
    k: usize,
    n: usize,
    nr: usize,
    level: Level,
    kind: std::marker::PhantomData<T>,
}

#[allow(private_bounds)]
impl<T: Scalar> PackedB<T> {
    /// Packs `b` of `k` rows and `n` columns.
    pub fn new(k: usize, n: usize, b: Mat<'_, T>) -> Result<PackedB<T>, AllocError> {
        PackedB::at(level(), k, n, b)
    }

    /// [`PackedB::new`] for a given level.
    pub fn at(level: Level, k: usize, n: usize, b: Mat<'_, T>) -> Result<PackedB<T>, AllocError> {
        b.check("B", k, n);
        struct Pack<'a, T> {
            b: Mat<'a, T>,
            k: usize,
            n: usize,
        }
        impl<T: Scalar> Kernel for Pack<'_, T> {
            type Out = Result<(Buffer, usize), AllocError>;
            #[inline(always)]
            fn run<S: Isa>(self) -> Self::Out {
                let (b, k, n) = (self.b, self.k, self.n);
                let nr = 2 * <T::V<S> as Lanes>::N;
                let mut buffer = Buffer::scratch(n.div_ceil(nr) * nr * k * size_of::<T>())?;
                let out = buffer.bytes_mut().as_mut_ptr().cast::<T>();
                for j in (0..n).step_by(nr) {
                    // SAFETY: b was checked; panel j / nr has room for k·nr.
                    unsafe {
                        let at = b.data.as_ptr().wrapping_add(j * b.cs);
                        b_panel::<T, S>(at, b.rs, b.cs, nr.min(n - j), k, nr, out.add(j * k));
                    }
                }
                Ok((buffer, nr))
            }
        }
        let (buffer, nr) = dispatch(level, Pack { b, k, n })?;
        Ok(PackedB { buffer, k, n, nr, level, kind: std::marker::PhantomData })
    }

    /// Columns.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Rows.
    pub fn k(&self) -> usize {
        self.k
    }

    pub(crate) fn nr(&self) -> usize {
        self.nr
    }

    pub(crate) fn level(&self) -> Level {
        self.level
    }

    pub(crate) fn as_ptr(&self) -> *const T {
        self.buffer.bytes().as_ptr().cast()
    }
}
