//! The gradient of max pooling whose windows lie side by side: every input belongs to one window, so each element is
//! written once and nothing is added up.

use crate::isa::{Float, Isa, Kernel, Lanes, Level, dispatch};
use crate::pooling::PoolShape;
use crate::shared::Shared;

/// Do the windows neither overlap nor leave gaps, and stay inside?
pub(crate) fn fits(s: &PoolShape) -> bool {
    let side_by_side =
        |d: usize| s.stride[d] == s.window[d] && s.pad_lo[d] == 0 && s.out_sp[d] * s.window[d] <= s.in_sp[d];
    (0..3).all(side_by_side) && s.out_sp.iter().product::<usize>() > 0
}

/// Hands `dy` to the first maximum under each window, with `positive` only where that is above zero.
pub(crate) fn max_grad<T: Float>(l: Level, s: &PoolShape, positive: bool, x: &[T], dy: &[T], dx: &mut [T]) {
    let image = s.in_sp.iter().product::<usize>() * s.c;
    let rows = s.out_sp[0] * s.out_sp[1];
    let len = s.out_sp[2] * s.c;
    assert!(x.len() >= s.n * image && dx.len() >= s.n * image && dy.len() >= s.n * rows * len);
    let out = Shared::new(dx);
    let grain = (1 << 14) / (image / rows).max(1) + 1;
    crate::shared::ranges(s.n * rows, grain, |from, to| {
        dispatch(l, Rows { s, positive, x, dy, dx: &out, rows: (from, to) });
    });
}

/// Rows of outputs, counted over all images, and the inputs under them.
struct Rows<'a, T> {
    s: &'a PoolShape,
    positive: bool,
    x: &'a [T],
    dy: &'a [T],
    dx: &'a Shared<'a, T>,
    rows: (usize, usize),
}

impl<T: Float> Kernel for Rows<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let s = self.s;
        let [wd, wh, ww] = s.window;
        let [_, h, w] = s.in_sp;
        let line = w * s.c;
        let covered = s.out_sp[2] * ww * s.c;
        for r in self.rows.0..self.rows.1 {
            let (oh, rest) = (r % s.out_sp[1], r / s.out_sp[1]);
            let (od, n) = (rest % s.out_sp[0], rest / s.out_sp[0]);
            // The last windows also look after what lies beyond them.
            let d_end = if od + 1 == s.out_sp[0] { s.in_sp[0] } else { (od + 1) * wd };
            let h_end = if oh + 1 == s.out_sp[1] { h } else { (oh + 1) * wh };
            for id in od * wd..d_end {
                for ih in oh * wh..h_end {
                    let at = ((n * s.in_sp[0] + id) * h + ih) * line;
                    let inside = id < (od + 1) * wd && ih < (oh + 1) * wh;
                    let from = if inside { covered } else { 0 };
                    // SAFETY: inputs under rows of outputs are disjoint.
                    unsafe { self.dx.part(at + from, line - from) }.fill(T::ZERO);
                }
            }
            let corner = ((n * s.in_sp[0] + od * wd) * h + oh * wh) * line;
            for ow in 0..s.out_sp[2] {
                let (at, from) = (corner + ow * ww * s.c, (r * s.out_sp[2] + ow) * s.c);
                let width = <T::V<S> as Lanes>::N;
                let mut c = 0;
                while c < s.c {
                    let left = (s.c - c).min(width);
                    // SAFETY: the window lies inside of the image, and only this row of outputs touches it.
                    unsafe {
                        if left == width {
                            self.window::<T::V<S>, true>(at + c, from + c, left);
                        } else {
                            self.window::<T::V<S>, false>(at + c, from + c, left);
                        }
                    }
                    c += left;
                }
            }
        }
    }
}

impl<T: Float> Rows<'_, T> {
    /// `left` channels of a window whose first element is `at`.
    #[inline(always)]
    unsafe fn window<V: Lanes<T = T>, const WHOLE: bool>(&self, at: usize, from: usize, left: usize) {
        let s = self.s;
        let [wd, wh, ww] = s.window;
        let (row, plane) = (s.in_sp[2] * s.c, s.in_sp[1] * s.in_sp[2] * s.c);
        let zero = V::splat(T::ZERO);
        // SAFETY: passed on.
        unsafe {
            let x = self.x.as_ptr().add(at);
            let dx = self.dx.at(at, (wd - 1) * plane + (wh - 1) * row + (ww - 1) * s.c + left);
            let (mut best, mut place) = (fetch::<V, WHOLE>(x, left), zero);
            let mut number = 0;
            for d in 0..wd {
                for h in 0..wh {
                    for w in 0..ww {
                        let v = fetch::<V, WHOLE>(x.add(d * plane + h * row + w * s.c), left);
                        let better = v.gt(best);
                        best = V::select(better, v, best);
                        place = V::select(better, V::splat(T::of(f64::from(number))), place);
                        number += 1;
                    }
                }
            }
            let mut dy = fetch::<V, WHOLE>(self.dy.as_ptr().add(from), left);
            if self.positive {
                dy = V::select(best.gt(zero), dy, zero);
            }
            number = 0;
            for d in 0..wd {
                for h in 0..wh {
                    for w in 0..ww {
                        let v = V::select(place.eq(V::splat(T::of(f64::from(number)))), dy, zero);
                        let to = dx.add(d * plane + h * row + w * s.c);
                        if WHOLE {
                            v.store(to)
                        } else {
                            v.store_partial(to, left)
                        }
                        number += 1;
                    }
                }
            }
        }
    }
}

/// A vector, or its first `n` lanes.
#[inline(always)]
unsafe fn fetch<V: Lanes, const WHOLE: bool>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if WHOLE { V::load(p) } else { V::load_partial(p, n) } }
}
