//! Reading and writing rows by index.
//!
//! Negative indices count from the end. An index outside the axis is held to its nearest end, and the flag that
//! every call takes is set, so that the caller can report it after the step.

use crate::buffer::Buffer;
use crate::convert::elements_mut;
use crate::isa::{Level, level};
use crate::map::{Binary, Number};
use crate::shared::{GRAIN, Shared, ranges, rows_per_chunk};
use std::sync::atomic::{AtomicBool, Ordering};

/// An integer type of indices.
pub trait Index: Copy + Send + Sync {
    /// The index as a signed number.
    fn signed(self) -> i64;
}

macro_rules! index {
    ($($t:ident)*) => {$(
        impl Index for $t {
            #[inline(always)]
            fn signed(self) -> i64 {
                i64::try_from(self).unwrap_or(i64::MAX)
            }
        }
    )*};
}
index!(u8 u16 u32 u64 i8 i16 i32 i64);

/// The place of an index on an axis of `n > 0`.
#[inline(always)]
fn place<I: Index>(index: I, n: usize, outside: &AtomicBool) -> usize {
    let (i, n) = (index.signed(), n as i64);
    let j = if i < 0 { i + n } else { i };
    if j < 0 || j >= n {
        outside.store(true, Ordering::Relaxed);
    }
    j.clamp(0, n - 1) as usize
}

/// `out[o, k, :] = x[o, index[k], :]` with `dims = [outer, axis, inner]` of `x`; panics if the lengths do not fit or
/// rows are taken from an empty axis.
pub fn gather<T: Copy + Send + Sync, I: Index>(
    x: &[T],
    dims: [usize; 3],
    index: &[I],
    out: &mut [T],
    outside: &AtomicBool,
) {
    let [outer, axis, inner] = dims;
    let k = index.len();
    assert!(
        x.len() == outer * axis * inner && out.len() == outer * k * inner,
        "gather: {} and {} elements do not fit {dims:?} and {k} indices",
        x.len(),
        out.len()
    );
    if out.is_empty() {
        return;
    }
    assert!(axis > 0, "gather: {k} indices into an empty axis");
    let out = Shared::new(out);
    ranges(outer * k, rows_per_chunk(inner), |start, end| {
        // SAFETY: chunks are disjoint.
        let out = unsafe { out.part(start * inner, (end - start) * inner) };
        for (unit, out) in (start..end).zip(out.chunks_exact_mut(inner)) {
            let (o, i) = (unit / k, unit % k);
            let at = (o * axis + place(index[i], axis, outside)) * inner;
            if inner == 1 {
                out[0] = x[at];
            } else {
                out.copy_from_slice(&x[at..at + inner]);
            }
        }
    });
}

/// How a scattered row meets the row that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scatter {
    /// It is added.
    Add,
    /// It takes its place; of several rows for one place the last stays.
    Set,
    /// The larger stays.
    Max,
    /// The smaller stays.
    Min,
}

/// `out[o, index[k], :] op= updates[o, k, :]` with `dims = [outer, axis, inner]` of `out`. Rows that share a place are
/// applied in the order of `k`, or, where many are added to few places, in pieces of it, whatever the number of threads.
pub fn scatter<T: Number, I: Index>(
    op: Scatter,
    updates: &[T],
    index: &[I],
    dims: [usize; 3],
    out: &mut [T],
    outside: &AtomicBool,
) {
    let [outer, axis, inner] = dims;
    let k = index.len();
    assert!(
        out.len() == outer * axis * inner && updates.len() == outer * k * inner,
        "scatter: {} and {} elements do not fit {dims:?} and {k} indices",
        out.len(),
        updates.len()
    );
    if updates.is_empty() {
        return;
    }
    assert!(axis > 0, "scatter: {k} indices into an empty axis");
    let pieces = (k / (LEAST_PER_PLACE * axis)).min(PIECES);
    if op == Scatter::Add && outer == 1 && pieces > 1 && k * inner >= PIECES * GRAIN {
        let room = Buffer::zeroed(pieces * out.len() * size_of::<T>());
        if let Ok(mut room) = room {
            return add_in_pieces(
                updates,
                index,
                [axis, inner],
                pieces,
                elements_mut(room.bytes_mut()),
                out,
                outside,
            );
        }
    }
    // Destinations are dealt into ranges of rows; within a range the order of the indices is kept.
    let ranges_of_rows = (outer * k * inner).div_ceil(GRAIN).clamp(1, 64).div_ceil(outer.min(64)).min(axis);
    let rows = axis.div_ceil(ranges_of_rows);
    let mut heads = vec![0usize; ranges_of_rows + 1];
    let places: Vec<usize> = index.iter().map(|&i| place(i, axis, outside)).collect();
    for &p in &places {
        heads[p / rows + 1] += 1;
    }
    for r in 0..ranges_of_rows {
        heads[r + 1] += heads[r];
    }
    let mut next = heads.clone();
    let mut order = vec![0usize; k];
    for (i, &p) in places.iter().enumerate() {
        order[next[p / rows]] = i;
        next[p / rows] += 1;
    }
    let l = level();
    let shared = Shared::new(out);
    ranges(outer * ranges_of_rows, 1, |start, end| {
        for unit in start..end {
            let (o, r) = (unit / ranges_of_rows, unit % ranges_of_rows);
            for &i in &order[heads[r]..heads[r + 1]] {
                let update = &updates[(o * k + i) * inner..(o * k + i + 1) * inner];
                // SAFETY: a place belongs to exactly one unit, and rows are taken one after the other.
                let row = unsafe { shared.part((o * axis + places[i]) * inner, inner) };
                let op = match op {
                    Scatter::Set => {
                        row.copy_from_slice(update);
                        continue;
                    }
                    Scatter::Add => Binary::Add,
                    Scatter::Max => Binary::Max,
                    Scatter::Min => Binary::Min,
                };
                combine(l, op, row, update);
            }
        }
    });
}

/// Pieces of the updates, at most, and updates per place in each of them, at least, where many updates meet few places.
const PIECES: usize = 8;
const LEAST_PER_PLACE: usize = 4;

/// `out[index[k], :] += updates[k, :]`: every piece of the updates is added up for itself (in `sums`, which are zero), then
/// the pieces in their order. A thread reads the updates that it made, where destinations dealt to threads would have it
/// read those of all; between cores without a common cache that costs more than the sums.
fn add_in_pieces<T: Number, I: Index>(
    updates: &[T],
    index: &[I],
    [axis, inner]: [usize; 2],
    pieces: usize,
    sums: &mut [T],
    out: &mut [T],
    outside: &AtomicBool,
) {
    let (k, l, size) = (index.len(), level(), axis * inner);
    {
        let sums = Shared::new(&mut *sums);
        ranges(pieces, 1, |start, end| {
            for piece in start..end {
                // SAFETY: one part per piece.
                let sums = unsafe { sums.part(piece * size, size) };
                for i in piece * k / pieces..(piece + 1) * k / pieces {
                    let at = place(index[i], axis, outside) * inner;
                    combine(l, Binary::Add, &mut sums[at..at + inner], &updates[i * inner..][..inner]);
                }
            }
        });
    }
    let (sums, out) = (&*sums, Shared::new(out));
    ranges(axis, rows_per_chunk(pieces * inner), |start, end| {
        let at = start * inner..end * inner;
        // SAFETY: chunks are disjoint.
        let out = unsafe { out.part(at.start, at.len()) };
        for piece in 0..pieces {
            combine(l, Binary::Add, out, &sums[piece * size..][at.clone()]);
        }
    });
}

/// `x = op(x, y)`
fn combine<T: Number>(l: Level, op: Binary, x: &mut [T], y: &[T]) {
    assert_eq!(x.len(), y.len());
    let p = x.as_mut_ptr();
    // SAFETY: both have as many elements; the result takes the place of the first.
    unsafe { T::binary_raw(l, op, p, 1, y.as_ptr(), 1, p, x.len()) }
}

/// `out[o, k, i] = x[o, index[o, k, i], i]` with `dims = [outer, axis, inner]` of `x` and `k` places along the axis.
pub fn take_along<T: Copy + Send + Sync, I: Index>(
    x: &[T],
    dims: [usize; 3],
    index: &[I],
    k: usize,
    out: &mut [T],
    outside: &AtomicBool,
) {
    let [outer, axis, inner] = dims;
    assert!(
        x.len() == outer * axis * inner && index.len() == outer * k * inner && out.len() == index.len(),
        "take_along: lengths do not fit {dims:?} and {k} places"
    );
    if out.is_empty() {
        return;
    }
    assert!(axis > 0, "take_along: indices into an empty axis");
    let out = Shared::new(out);
    ranges(outer * k, rows_per_chunk(inner), |start, end| {
        // SAFETY: chunks are disjoint.
        let out = unsafe { out.part(start * inner, (end - start) * inner) };
        for (unit, out) in (start..end).zip(out.chunks_exact_mut(inner)) {
            let base = unit / k * axis;
            for (i, y) in out.iter_mut().enumerate() {
                *y = x[(base + place(index[unit * inner + i], axis, outside)) * inner + i];
            }
        }
    });
}

/// The adjoint of [`take_along`]: `out[o, index[o, k, i], i] += updates[o, k, i]`, in the order of `k`.
pub fn add_along<T: Number, I: Index>(
    updates: &[T],
    index: &[I],
    k: usize,
    dims: [usize; 3],
    out: &mut [T],
    outside: &AtomicBool,
) {
    let [outer, axis, inner] = dims;
    assert!(
        out.len() == outer * axis * inner && index.len() == outer * k * inner && updates.len() == index.len(),
        "add_along: lengths do not fit {dims:?} and {k} places"
    );
    if updates.is_empty() {
        return;
    }
    assert!(axis > 0, "add_along: indices into an empty axis");
    let l = level();
    let out = Shared::new(out);
    ranges(outer, rows_per_chunk((axis + k) * inner), |start, end| {
        for o in start..end {
            // SAFETY: outer indices are disjoint.
            let out = unsafe { out.part(o * axis * inner, axis * inner) };
            for j in 0..k * inner {
                let at = o * k * inner + j;
                let y = &mut out[place(index[at], axis, outside) * inner + j % inner];
                let p: *mut T = y;
                // SAFETY: one element from each side.
                unsafe { T::binary_raw(l, Binary::Add, p, 0, &updates[at], 0, p, 1) }
            }
        }
    });
}

/// Rows of `depth` that are `off` everywhere but `on` at the index; an index outside leaves its row `off`.
pub fn one_hot<T: Copy + Send + Sync, I: Index>(index: &[I], depth: usize, on: T, off: T, out: &mut [T]) {
    assert_eq!(out.len(), index.len() * depth, "one_hot: output is not {} rows of {depth}", index.len());
    if depth == 0 {
        return;
    }
    let out = Shared::new(out);
    ranges(index.len(), rows_per_chunk(depth), |start, end| {
        // SAFETY: chunks are disjoint.
        let out = unsafe { out.part(start * depth, (end - start) * depth) };
        out.fill(off);
        for (i, row) in index[start..end].iter().zip(out.chunks_exact_mut(depth)) {
            if let Some(y) = usize::try_from(i.signed()).ok().and_then(|i| row.get_mut(i)) {
                *y = on;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gather_and_its_adjoint() {
        let dims = [2, 5, 3];
        let x: Vec<i32> = (0..30).collect();
        let index = [4i64, 0, -1, 2];
        let flag = AtomicBool::new(false);
        let mut y = vec![0; 24];
        gather(&x, dims, &index, &mut y, &flag);
        assert_eq!(y[..6], [12, 13, 14, 0, 1, 2]);
        assert_eq!(y[6..12], [12, 13, 14, 6, 7, 8]);
        assert_eq!(y[12..15], [27, 28, 29]);
        let mut back = vec![0; 30];
        scatter(Scatter::Add, &y, &index, dims, &mut back, &flag);
        assert_eq!(back[12..15], [24, 26, 28]);
        assert_eq!(back[3..6], [0, 0, 0]);
        assert!(!flag.load(Ordering::Relaxed));
        gather(&x, dims, &[5i32, -6], &mut y[..12], &flag);
        assert!(flag.load(Ordering::Relaxed));
        assert_eq!(y[..6], [12, 13, 14, 0, 1, 2]);
        let mut set = vec![0.0f32; 3];
        scatter(Scatter::Set, &[1.0, 2.0, 3.0], &[1u8, 1, 0], [1, 3, 1], &mut set, &flag);
        assert_eq!(set, [3.0, 2.0, 0.0]);
        scatter(Scatter::Max, &[1.0, 9.0], &[0, 2], [1, 3, 1], &mut set, &flag);
        assert_eq!(set, [3.0, 2.0, 9.0]);
    }

    /// Many rows into few places: the sum of each place in the order of the indices.
    #[test]
    fn scatter_in_order() {
        let (k, axis, inner) = (5000, 37, 19);
        let index: Vec<i32> = (0..k as i32).map(|i| i * 7919 % 37).collect();
        let updates: Vec<f32> = (0..k * inner).map(|i| (i % 101) as f32 * 0.013).collect();
        let flag = AtomicBool::new(false);
        let mut out = vec![0f32; axis * inner];
        scatter(Scatter::Add, &updates, &index, [1, axis, inner], &mut out, &flag);
        let mut want = vec![0f32; axis * inner];
        for (i, &p) in index.iter().enumerate() {
            for j in 0..inner {
                want[p as usize * inner + j] += updates[i * inner + j];
            }
        }
        assert_eq!(out, want);
    }

    #[test]
    fn along_and_one_hot() {
        let x = [10, 11, 12, 13, 14, 15];
        let flag = AtomicBool::new(false);
        let mut y = [0; 4];
        take_along(&x, [1, 3, 2], &[2i32, 0, 1, 1], 2, &mut y, &flag);
        assert_eq!(y, [14, 11, 12, 13]);
        let mut back = [0; 6];
        add_along(&y, &[2i32, 0, 2, 1], 2, [1, 3, 2], &mut back, &flag);
        assert_eq!(back, [0, 11, 0, 13, 26, 0]);
        let mut h = [9.0f32; 9];
        one_hot(&[1i64, 3, 0], 3, 1.0, 0.0, &mut h);
        assert_eq!(h, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn many_updates_of_few_places_in_pieces() {
        let (k, axis, inner) = (5000, 70, 96);
        let index: Vec<i32> = (0..k).map(|i| i * 7919 % axis - if i % 3 == 0 { axis } else { 0 }).collect();
        let (axis, inner) = (axis as usize, inner as usize);
        let updates: Vec<f64> = (0..k as usize * inner).map(|i| (i * 31 % 17) as f64).collect();
        let mut want = vec![1.0; axis * inner];
        for (i, row) in index.iter().zip(updates.chunks_exact(inner)) {
            let at = i.rem_euclid(axis as i32) as usize * inner;
            want[at..at + inner].iter_mut().zip(row).for_each(|(w, u)| *w += u);
        }
        for threads in [1, 2, 3, 8] {
            crate::par::set_threads(threads);
            let (mut out, outside) = (vec![1.0; axis * inner], AtomicBool::new(false));
            scatter(Scatter::Add, &updates, &index, [1, axis, inner], &mut out, &outside);
            assert!(out == want && !outside.into_inner(), "{threads} threads");
        }
    }
}
