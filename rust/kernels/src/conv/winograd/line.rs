//! Tiles of lines: a scheme along the last axis, of convolutions in one dimension and of windows one row high.

use std::marker::PhantomData;

use super::schemes::Scheme;
use super::{Last, Tiles};
use crate::conv::geometry::{Axis, Geometry, Place};
use crate::gemm::Scalar;
use crate::isa::{Isa, Lanes, Real};
use crate::shared::Shared;

/// F(`M`, `R`) with `P` points.
pub(super) struct Line<F, const P: usize, const M: usize, const R: usize>(PhantomData<F>);

/// The line and the first output in it of tile `t`.
#[inline(always)]
fn start<const M: usize>(g: &Geometry, t: usize) -> (usize, usize) {
    let tiles = g.axes[2].n_out.div_ceil(M);
    (t / tiles, t % tiles * M)
}

impl<F: Scheme<P, M, R>, const P: usize, const M: usize, const R: usize> Tiles for Line<F, P, M, R> {
    const POINTS: usize = P;
    const OUTPUTS: usize = M;
    const TAPS: usize = R;
    const SUM: usize = 1;
    const WASTE: (usize, usize) = (13, 10);

    fn suits(g: &Geometry) -> bool {
        let [ad, ah, aw] = g.axes;
        [ad, ah].iter().all(Axis::is_plain) && aw.k == R && aw.stride == 1 && aw.dilation == 1
    }

    #[inline(always)]
    fn count(g: &Geometry) -> usize {
        let [ad, ah, aw] = g.axes;
        g.n * ad.n_out * ah.n_out * aw.n_out.div_ceil(M)
    }

    #[inline(always)]
    unsafe fn inputs<T: Scalar, S: Isa>(
        g: &Geometry,
        x: &[T],
        t: usize,
        zeros: &[T],
        to: *mut T,
        step: usize,
    ) {
        let aw = g.axes[2];
        let (line, w) = start::<M>(g, t);
        let row = aw.n_in * g.x_row;
        let pixels = &x[line * row..][..row];
        let mut from = [zeros.as_ptr(); P];
        for i in 0..P {
            let iw = aw.at(w, 0) + i as isize;
            if iw >= 0 && iw < aw.n_in as isize {
                from[i] = pixels[iw as usize * g.x_row + g.x_at..].as_ptr();
            }
        }
        let mut c = 0;
        while c < g.c {
            let mut d = [<T::V<S>>::splat(T::ZERO); P];
            for i in 0..P {
                // SAFETY: every pixel has c channels, and so have the zeros.
                d[i] = unsafe { <T::V<S>>::load(from[i].add(c)) };
            }
            let d = F::input(d);
            for i in 0..P {
                // SAFETY: passed on.
                unsafe { d[i].store(to.add(i * step + c)) };
            }
            c += <T::V<S> as Lanes>::N;
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Lanes>(from: *const V::T, step_from: usize, to: *mut V::T, step: usize) {
        let mut g = [V::splat(V::T::ZERO); R];
        for u in 0..R {
            // SAFETY: passed on.
            g[u] = unsafe { V::load(from.add(u * step_from)) };
        }
        let g = F::kernel(g);
        for p in 0..P {
            // SAFETY: passed on.
            unsafe { g[p].store(to.add(p * step)) };
        }
    }

    #[inline(always)]
    unsafe fn outputs<V: Lanes>(
        g: &Geometry,
        t: usize,
        (from, step): (*const V::T, usize),
        c: usize,
        last: &Last<'_, V>,
        y: &Shared<'_, V::T>,
        place: &Place,
    ) {
        let [ad, ah, aw] = g.axes;
        let (line, w) = start::<M>(g, t);
        let mut m = [V::splat(V::T::ZERO); P];
        for i in 0..P {
            // SAFETY: passed on.
            m[i] = unsafe { V::load(from.add(i * step)) };
        }
        let out = F::output(m);
        let first = place.of(line / ah.n_out / ad.n_out, line / ah.n_out % ad.n_out, line % ah.n_out, w) + c;
        for j in 0..M {
            if w + j < aw.n_out {
                // SAFETY: pixels of different tiles are different elements of y.
                unsafe { last.store(out[j], y, first + j * place.pitch()) };
            }
        }
    }

    #[inline(always)]
    unsafe fn gradients<V: Lanes>(
        g: &Geometry,
        t: usize,
        dy: *const V::T,
        (n, c): (usize, usize),
        to: *mut V::T,
        step: usize,
    ) {
        let aw = g.axes[2];
        let (line, w) = start::<M>(g, t);
        let mut d = [V::splat(V::T::ZERO); M];
        for j in 0..M {
            if w + j < aw.n_out {
                // SAFETY: the pixel exists; it has n channels.
                d[j] = unsafe { V::load(dy.add((line * aw.n_out + w + j) * n + c)) };
            }
        }
        let d = F::gradient(d);
        for i in 0..P {
            // SAFETY: passed on.
            unsafe { d[i].store(to.add(i * step)) };
        }
    }

    #[inline(always)]
    unsafe fn sums<V: Lanes>(
        from: *const V::T,
        step: usize,
        (pieces, step_piece): (usize, usize),
        to: *mut V::T,
        step_to: usize,
    ) {
        let mut m = [V::splat(V::T::ZERO); P];
        for i in 0..P {
            for piece in 0..pieces {
                // SAFETY: passed on.
                m[i] = m[i] + unsafe { V::load(from.add(i * step + piece * step_piece)) };
            }
        }
        let m = F::sums(m);
        for j in 0..R {
            // SAFETY: passed on.
            unsafe { m[j].store(to.add(j * step_to)) };
        }
    }
}
