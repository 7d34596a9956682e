//! Max and average pooling forward: the vectors of a window stay in registers, and an output is written once.

use crate::isa::{Float, Isa, Kernel, Lanes, Level, Real, dispatch};
use crate::pooling::PoolShape;
use crate::shared::{GRAIN, Shared};
use std::marker::PhantomData;

/// What becomes of the elements under a window.
pub(crate) trait Fold: Copy + Sync {
    /// The value before the first element.
    fn start<V: Lanes>() -> V;
    /// One more element.
    fn add<V: Lanes>(folded: V, x: V) -> V;
    /// The result, of a window over `count` elements.
    fn end<V: Lanes>(folded: V, count: usize) -> V;
}

/// The maximum; NaN wins, as in NumPy.
#[derive(Clone, Copy)]
pub(crate) struct Max;

impl Fold for Max {
    #[inline(always)]
    fn start<V: Lanes>() -> V {
        V::splat(-V::T::INF)
    }
    #[inline(always)]
    fn add<V: Lanes>(folded: V, x: V) -> V {
        let larger = V::select(x.gt(folded), x, folded);
        V::select(x.eq(x), larger, x)
    }
    #[inline(always)]
    fn end<V: Lanes>(folded: V, _count: usize) -> V {
        folded
    }
}

/// The mean.
#[derive(Clone, Copy)]
pub(crate) struct Mean;

impl Fold for Mean {
    #[inline(always)]
    fn start<V: Lanes>() -> V {
        V::splat(V::T::ZERO)
    }
    #[inline(always)]
    fn add<V: Lanes>(folded: V, x: V) -> V {
        folded + x
    }
    #[inline(always)]
    fn end<V: Lanes>(folded: V, count: usize) -> V {
        let one = V::T::ONE;
        folded * V::splat(one / V::T::of(count.max(1) as f64))
    }
}

/// `y` = the fold of what lies under each window of `x`; padding does not count.
pub(crate) fn pool<T: Float, F: Fold>(level: Level, s: &PoolShape, x: &[T], y: &mut [T]) {
    let image = s.in_sp.iter().product::<usize>() * s.c;
    let rows = s.out_sp[0] * s.out_sp[1];
    let len = s.out_sp[2] * s.c;
    assert!(x.len() >= s.n * image && y.len() >= s.n * rows * len);
    let read = s.window.iter().product::<usize>() * len;
    let out = Shared::new(y);
    // Short pieces, so that each thread folds rows that it has just written: those of others come from another cache.
    crate::shared::ranges(s.n * rows, GRAIN / 8 / read.max(1) + 1, |from, to| {
        // SAFETY: ranges are disjoint.
        let y = unsafe { out.part(from * len, (to - from) * len) };
        dispatch(level, Rows { s, x, y, first: from, fold: PhantomData::<F> });
    });
}

/// Rows of outputs from row `first` on, counted over all images.
struct Rows<'a, T, F> {
    s: &'a PoolShape,
    x: &'a [T],
    y: &'a mut [T],
    first: usize,
    fold: PhantomData<F>,
}

/// The elements under a window: where the first one is, how many there are along each axis, and how far apart.
struct Window {
    at: usize,
    size: [usize; 3],
    step: [usize; 3],
}

impl<T: Float, F: Fold> Kernel for Rows<'_, T, F> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let s = self.s;
        let [depth, h, w] = s.in_sp;
        let step = [h * w * s.c, w * s.c, s.c];
        let width = <T::V<S> as Lanes>::N;
        for (i, row) in self.y.chunks_exact_mut((s.out_sp[2] * s.c).max(1)).enumerate() {
            let r = self.first + i;
            let (oh, rest) = (r % s.out_sp[1], r / s.out_sp[1]);
            let (od, n) = (rest % s.out_sp[0], rest / s.out_sp[0]);
            let ((d0, d1), (h0, h1)) = (s.span(0, od), s.span(1, oh));
            for (ow, y) in row.chunks_exact_mut(s.c.max(1)).enumerate() {
                let (w0, w1) = s.span(2, ow);
                let mut window = Window {
                    at: (((n * depth + d0) * h + h0) * w + w0) * s.c,
                    size: [d1 - d0, h1 - h0, w1 - w0],
                    step,
                };
                let mut c = 0;
                // SAFETY: the span of a window lies inside of the image, and c inside of the channels.
                unsafe {
                    while c + 4 * width <= s.c {
                        fold::<T::V<S>, F, 4>(self.x, &window, width, &mut y[c..]);
                        (c, window.at) = (c + 4 * width, window.at + 4 * width);
                    }
                    if c + 2 * width <= s.c {
                        fold::<T::V<S>, F, 2>(self.x, &window, width, &mut y[c..]);
                        (c, window.at) = (c + 2 * width, window.at + 2 * width);
                    }
                    while c < s.c {
                        let left = (s.c - c).min(width);
                        fold::<T::V<S>, F, 1>(self.x, &window, left, &mut y[c..]);
                        (c, window.at) = (c + left, window.at + left);
                    }
                }
            }
        }
    }
}

/// The fold of `U` vectors of channels, the last one of `left` lanes.
#[inline(always)]
unsafe fn fold<V: Lanes, F: Fold, const U: usize>(x: &[V::T], window: &Window, left: usize, y: &mut [V::T]) {
    let whole = left == V::N;
    let [nd, nh, nw] = window.size;
    let mut folded = [F::start::<V>(); U];
    for d in 0..nd {
        for h in 0..nh {
            for w in 0..nw {
                let at = window.at + d * window.step[0] + h * window.step[1] + w * window.step[2];
                // SAFETY: the caller's promise.
                unsafe {
                    let p = x.as_ptr().add(at);
                    for u in 0..U {
                        let v = if whole { V::load(p.add(u * V::N)) } else { V::load_partial(p, left) };
                        folded[u] = F::add(folded[u], v);
                    }
                }
            }
        }
    }
    let y = y.as_mut_ptr();
    for u in 0..U {
        let v = F::end(folded[u], nd * nh * nw);
        // SAFETY: as above.
        unsafe {
            if whole {
                v.store(y.add(u * V::N));
            } else {
                v.store_partial(y, left);
            }
        }
    }
}
