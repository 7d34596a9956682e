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

impl<T> Shared<'_, T> {
    /// Where `len` elements from `start` on begin, for chunks that interleave; panics outside the slice.
    pub(crate) fn at(&self, start: usize, len: usize) -> *mut T {
        assert!(start <= self.len && len <= self.len - start);
        self.ptr.wrapping_add(start)
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

#[cfg(test)]
mod tests {
    use crate::gather::{Scatter, scatter};
    use crate::norm::{channel_grad_sums, channel_moments, layer_norm_grad};
    use crate::random::{State, normal};
    use crate::reduce::{Reduce, reduce};
    use crate::{map, par, softmax};
    use std::sync::atomic::AtomicBool;

    /// Everything that adds up in pieces, as one long list of bits.
    fn everything() -> Vec<u32> {
        let n = 300_000;
        let mut x = vec![0f32; n];
        normal(State { key: 3, counter: 4 }, 0.5, 2.0, &mut x);
        let mut bits: Vec<u32> = vec![];
        let mut keep = |y: &[f32]| bits.extend(y.iter().map(|v| v.to_bits()));
        keep(&x);
        for dims in [[1, n, 1], [3, n / 3, 1], [1, n / 10, 10], [1, n / 1000, 1000], [300, 10, 100]] {
            for op in [Reduce::Sum, Reduce::Max, Reduce::LogSumExp] {
                let mut y = vec![0f32; dims[0] * dims[2]];
                reduce(op, &x, dims, &mut y);
                keep(&y);
            }
        }
        let (mut a, mut b) = (vec![0f32; 30], vec![0f32; 30]);
        channel_moments(&x, 30, &mut a, &mut b);
        keep(&a);
        keep(&b);
        let mean = a.clone();
        channel_grad_sums(&x, &x, &mean, None, &mut a, &mut b);
        keep(&a);
        keep(&b);
        let (rows, c) = (3000, 100);
        let (mut dx, mut dg, mut db) = (vec![0f32; n], vec![0f32; c], vec![0f32; c]);
        let one = vec![1f32; rows];
        layer_norm_grad(&x, &x, c, None, &one, &one, true, &mut dx, &mut dg, &mut db);
        keep(&dx);
        keep(&dg);
        keep(&db);
        let index: Vec<i32> = (0..rows as i32).map(|i| i * 7919 % 50).collect();
        let mut sums = vec![0f32; 50 * c];
        scatter(Scatter::Add, &x, &index, [1, 50, c], &mut sums, &AtomicBool::new(false));
        keep(&sums);
        let mut y = vec![0f32; n];
        softmax::softmax(&x, c, &mut y);
        keep(&y);
        map::unary(map::Unary::Tanh, &x, &mut y);
        keep(&y);
        bits
    }

    #[test]
    fn any_number_of_threads_gives_the_same_bits() {
        let before = par::threads();
        par::set_threads(1);
        let one = everything();
        for threads in [2, 3, 8] {
            par::set_threads(threads);
            assert!(everything() == one, "{threads} threads");
        }
        par::set_threads(before);
    }
}
