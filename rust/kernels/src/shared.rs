//! Disjoint access to one slice from the chunks of a parallel region.

use crate::par;
use std::marker::PhantomData;

/// Elements of an elementwise chunk: big enough to hide the cost of handing it over.
pub(crate) const GRAIN: usize = 32 * 1024;

/// A mutable slice of which every chunk takes a different part.
pub(crate) struct Shared<'a, T> {
    ptr: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: parts are handed out by `part`, whose callers promise that they do not overlap.
unsafe impl<T: Send> Send for Shared<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub(crate) fn new(x: &'a mut [T]) -> Self {
        Shared { ptr: x.as_mut_ptr(), len: x.len(), life: PhantomData }
    }

    /// Elements `start .. start + len`; panics outside the slice.
    ///
    /// # Safety
    /// No two parts alive at the same time may overlap.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        assert!(start <= self.len && len <= self.len - start);
        // SAFETY: inside the slice; disjoint by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.add(start), len) }
    }
}

/// Runs `work(start, end)` over `0..n` in chunks of `grain`.
pub(crate) fn ranges(n: usize, grain: usize, work: impl Fn(usize, usize) + Sync) {
    let grain = grain.max(1);
    let chunks = n.div_ceil(grain);
    if chunks <= 1 {
        if n > 0 {
            work(0, n);
        }
        return;
    }
    par::run(chunks, |i| work(i * grain, (i * grain + grain).min(n)));
}

/// Rows per chunk so that a chunk has about [`GRAIN`] elements.
pub(crate) fn rows_per_chunk(row: usize) -> usize {
    (GRAIN / row.max(1)).max(1)
}
