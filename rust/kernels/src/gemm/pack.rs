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

/// `k` rows of `columns` columns of B as panels of `nr` columns, one after the other. Rows are read along their whole
/// width where they are contiguous: pieces of a panel's width at large strides would each miss the cache.
///
/// # Safety
/// The elements exist; `out` has room for `columns` rounded up to whole panels, times `k`.
#[inline(always)]
pub(crate) unsafe fn b_block<T: Scalar, S: Isa>(
    b: *const T,
    rs: usize,
    cs: usize,
    columns: usize,
    k: usize,
    nr: usize,
    out: *mut T,
) {
    let n = <T::V<S> as Lanes>::N;
    let whole = if cs == 1 { columns / nr } else { 0 };
    // SAFETY: the caller's promise.
    unsafe {
        for p in 0..k {
            for panel in 0..whole {
                let mut j = 0;
                while j < nr {
                    <T::V<S>>::load(b.add(p * rs + panel * nr + j)).store(out.add((panel * k + p) * nr + j));
                    j += n;
                }
            }
        }
        for j in (whole * nr..columns).step_by(nr) {
            b_panel::<T, S>(b.add(j * cs), rs, cs, nr.min(columns - j), k, nr, out.add(j * k));
        }
    }
}

/// [`b_block`] at a given level.
///
/// # Safety
/// As for [`b_block`].
pub(crate) unsafe fn b_columns<T: Scalar>(
    level: Level,
    b: *const T,
    rs: usize,
    cs: usize,
    columns: usize,
    k: usize,
    out: *mut T,
) {
    struct Pack<T> {
        b: *const T,
        rs: usize,
        cs: usize,
        columns: usize,
        k: usize,
        out: *mut T,
    }
    impl<T: Scalar> Kernel for Pack<T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            let nr = 2 * <T::V<S> as Lanes>::N;
            // SAFETY: passed on.
            unsafe { b_block::<T, S>(self.b, self.rs, self.cs, self.columns, self.k, nr, self.out) }
        }
    }
    dispatch(level, Pack { b, rs, cs, columns, k, out })
}

/// A matrix A in tiles, shared by all tasks of one product: blocks of `kc` columns, in them tiles of `mr` rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles<T> {
    pub ptr: *const T,
    pub mr: usize,
    pub kc: usize,
    /// Tiles per block.
    pub count: usize,
}

impl<T: Copy> Tiles<T> {
    /// The tile whose first row is `row`, in the block that starts at column `k0`.
    #[inline(always)]
    pub(crate) fn at(&self, row: usize, k0: usize) -> *const T {
        // Only multiples of `mr` and `kc` are asked for.
        self.ptr.wrapping_add((k0 / self.kc * self.count + row / self.mr) * self.mr * self.kc)
    }

    /// Elements of the buffer for `m` rows and `k` columns.
    pub(crate) fn len(m: usize, k: usize, mr: usize, kc: usize) -> usize {
        k.div_ceil(kc) * m.div_ceil(mr) * mr * kc
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
        let nr = super::plan::tile_columns::<T>(level);
        let mut buffer = Buffer::scratch(n.next_multiple_of(nr) * k * size_of::<T>())?;
        // SAFETY: b was checked; the buffer has room for whole panels.
        unsafe {
            b_columns(level, b.data.as_ptr(), b.rs, b.cs, n, k, buffer.bytes_mut().as_mut_ptr().cast())
        };
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
