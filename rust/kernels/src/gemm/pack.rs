//! Panels: the order in which the micro-kernel meets the elements of A and B.

use super::{Mat, Scalar};
use crate::buffer::{AllocError, Buffer};
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch, level, prefetch};

/// Where each of `rows` rows at a stride of `ld` begins; what is missing of a square repeats the last one.
#[inline(always)]
fn starts(ld: usize, rows: usize) -> [usize; 16] {
    let mut at = [0; 16];
    for (i, at) in at.iter_mut().enumerate() {
        *at = i.min(rows.saturating_sub(1)) * ld;
    }
    at
}

/// Vectors of `len` numbers that begin at `starts`, transposed; beyond `len` there are zeros.
///
/// # Safety
/// The numbers exist.
#[inline(always)]
unsafe fn turned<V: Lanes>(from: *const V::T, starts: &[usize; 16], len: usize) -> [V; 16] {
    let mut lines = [V::splat(V::T::ZERO); 16];
    // SAFETY: the caller's promise.
    unsafe {
        // Loops of fixed length without branches: the vectors stay in registers.
        if len == V::N {
            for i in 0..V::N {
                lines[i] = V::load(from.add(starts[i]));
            }
        } else {
            for i in 0..V::N {
                lines[i] = V::load_partial(from.add(starts[i]), len);
            }
        }
    }
    V::transpose(&mut lines);
    lines
}

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
            // Vectors that no column reaches are left as they are: tiles do not read them.
            for p in 0..k {
                let mut j = 0;
                while j < width {
                    let v = <T::V<S>>::load_partial(b.add(p * rs + j), n.min(width - j));
                    v.store(out.add(p * nr + j));
                    j += n;
                }
            }
        } else if rs == 1 {
            // Columns are the contiguous direction: squares are transposed in registers.
            let mut p = 0;
            while p < k {
                let len = n.min(k - p);
                let mut j = 0;
                while j < width {
                    let starts = starts(cs, n.min(width - j));
                    let lines = turned::<T::V<S>>(b.add(p + j * cs), &starts, len);
                    for (q, line) in lines[..len].iter().enumerate() {
                        line.store(out.add((p + q) * nr + j));
                    }
                    j += n;
                }
                p += len;
            }
        } else {
            for p in 0..k {
                for j in 0..nr {
                    *out.add(p * nr + j) = if j < width { *b.add(p * rs + j * cs) } else { T::ZERO };
                }
            }
        }
    }
}

/// `rows` rows of A as tiles of `mr` rows, each `k` columns of `mr`, `size` elements from tile to tile. Rows that are
/// missing of the last tile hold anything, since nothing reads them.
///
/// # Safety
/// The elements exist; `out` has room for whole tiles of `k·mr`.
#[inline(always)]
pub(crate) unsafe fn a_block<T: Scalar, S: Isa>(
    a: *const T,
    rs: usize,
    cs: usize,
    rows: usize,
    k: usize,
    mr: usize,
    out: *mut T,
    size: usize,
) {
    /// Tiles that are filled at the same time where columns are contiguous: columns lie far apart, so each should be
    /// read for long, and each of these writes keeps a line of the cache.
    const TOGETHER: usize = 16;
    /// How many columns ahead are asked for, where columns lie far apart.
    const AHEAD: usize = 8;
    let n = <T::V<S> as Lanes>::N;
    // SAFETY: the caller's promise. A vector that is wider than a tile is written whole: what it spills is in the next
    // column, which is written later; the last column is written by parts.
    unsafe {
        if rs == 1 {
            let mut first = 0;
            while first < rows {
                let last = rows.min(first + TOGETHER * mr);
                for p in 0..k {
                    let from = a.add(p * cs);
                    let mut out = out.add(first / mr * size + p * mr);
                    let mut i = first;
                    while i < last {
                        prefetch(from.wrapping_add(AHEAD * cs + i));
                        if n >= mr && p + 1 < k {
                            let line = if i + n <= rows {
                                <T::V<S>>::load(from.add(i))
                            } else {
                                <T::V<S>>::load_partial(from.add(i), rows - i)
                            };
                            line.store(out);
                        } else {
                            for q in 0..mr.min(rows - i) {
                                *out.add(q) = *from.add(i + q);
                            }
                        }
                        out = out.wrapping_add(size);
                        i += mr;
                    }
                }
                first = last;
            }
            return;
        }
        let mut i = 0;
        while i < rows {
            let (a, out) = (a.add(i * rs), out.add(i / mr * size));
            let high = mr.min(rows - i);
            if cs == 1 {
                let mut q = 0;
                while q < high {
                    let some = n.min(high - q);
                    let whole = q == 0 && n >= mr;
                    let starts = starts(rs, some);
                    let mut p = 0;
                    while p < k {
                        let len = n.min(k - p);
                        let lines = turned::<T::V<S>>(a.add(q * rs + p), &starts, len);
                        let to = out.add(p * mr + q);
                        if whole && len == n && p + n < k {
                            for c in 0..n {
                                lines[c].store(to.add(c * mr));
                            }
                        } else {
                            for (c, line) in lines[..len].iter().enumerate() {
                                line.store_partial(to.add(c * mr), some);
                            }
                        }
                        p += len;
                    }
                    q += n;
                }
            } else {
                for q in 0..high {
                    for p in 0..k {
                        *out.add(p * mr + q) = *a.add(q * rs + p * cs);
                    }
                }
            }
            i += mr;
        }
    }
}

/// [`a_block`] at a given level.
///
/// # Safety
/// As for [`a_block`].
pub(crate) unsafe fn a_rows<T: Scalar>(
    level: Level,
    a: *const T,
    (rs, cs): (usize, usize),
    rows: usize,
    k: usize,
    mr: usize,
    out: *mut T,
    size: usize,
) {
    struct Pack<T> {
        a: *const T,
        rs: usize,
        cs: usize,
        rows: usize,
        k: usize,
        mr: usize,
        out: *mut T,
        size: usize,
    }
    impl<T: Scalar> Kernel for Pack<T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            let Pack { a, rs, cs, rows, k, mr, out, size } = self;
            // SAFETY: passed on.
            unsafe { a_block::<T, S>(a, rs, cs, rows, k, mr, out, size) }
        }
    }
    dispatch(level, Pack { a, rs, cs, rows, k, mr, out, size })
}

/// `k` rows of `columns` columns of B as panels of `nr` columns, `size` elements from panel to panel. Rows are read
/// along their whole width where they are contiguous: pieces of a panel's width at large strides would each miss the
/// cache.
///
/// # Safety
/// The elements exist; `out` has room for whole panels of `k·nr`.
#[inline(always)]
pub(crate) unsafe fn b_block<T: Scalar, S: Isa>(
    b: *const T,
    rs: usize,
    cs: usize,
    columns: usize,
    k: usize,
    nr: usize,
    out: *mut T,
    size: usize,
) {
    let n = <T::V<S> as Lanes>::N;
    let whole = if cs == 1 { columns / nr } else { 0 };
    // SAFETY: the caller's promise.
    unsafe {
        for p in 0..k {
            for panel in 0..whole {
                let mut j = 0;
                while j < nr {
                    <T::V<S>>::load(b.add(p * rs + panel * nr + j)).store(out.add(panel * size + p * nr + j));
                    j += n;
                }
            }
        }
        for j in (whole * nr..columns).step_by(nr) {
            b_panel::<T, S>(b.add(j * cs), rs, cs, nr.min(columns - j), k, nr, out.add(j / nr * size));
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
    (rs, cs): (usize, usize),
    columns: usize,
    k: usize,
    out: *mut T,
    size: usize,
) {
    struct Pack<T> {
        b: *const T,
        rs: usize,
        cs: usize,
        columns: usize,
        k: usize,
        out: *mut T,
        size: usize,
    }
    impl<T: Scalar> Kernel for Pack<T> {
        type Out = ();
        #[inline(always)]
        fn run<S: Isa>(self) {
            let nr = 2 * <T::V<S> as Lanes>::N;
            let Pack { b, rs, cs, columns, k, out, size } = self;
            // SAFETY: passed on.
            unsafe { b_block::<T, S>(b, rs, cs, columns, k, nr, out, size) }
        }
    }
    dispatch(level, Pack { b, rs, cs, columns, k, out, size })
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
        let mut buffer = Buffer::scratch(super::Source::<T>::room(level, [k, n]) * size_of::<T>())?;
        // SAFETY: b was checked; the buffer has room for whole panels.
        unsafe {
            let out = buffer.bytes_mut().as_mut_ptr().cast();
            b_columns(level, b.data.as_ptr(), (b.rs, b.cs), n, k, out, k * nr);
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
