//! Tiles of images: a scheme along both axes of the window.

use std::marker::PhantomData;

use super::schemes::Scheme;
use super::{Last, Tiles};
use crate::conv::geometry::{Geometry, Place};
use crate::gemm::Scalar;
use crate::isa::{Isa, Lanes, Real};
use crate::shared::Shared;

/// F(`M` x `M`, `R` x `R`): `P` x `P` pairs of points.
pub(super) struct Square<F, const P: usize, const M: usize, const R: usize>(PhantomData<F>);

/// Image, first row and first column of the outputs of tile `t`.
#[inline(always)]
fn corner<const M: usize>(g: &Geometry, t: usize) -> (usize, usize, usize) {
    let [_, ah, aw] = g.axes;
    let (th, tw) = (ah.n_out.div_ceil(M), aw.n_out.div_ceil(M));
    (t / tw / th, t / tw % th * M, t % tw * M)
}

impl<F: Scheme<P, M, R>, const P: usize, const M: usize, const R: usize> Tiles for Square<F, P, M, R> {
    const POINTS: usize = P * P;
    const OUTPUTS: usize = M * M;
    const TAPS: usize = R * R;
    const SUM: usize = P + 1;
    const WASTE: (usize, usize) = (17, 10);

    fn suits(g: &Geometry) -> bool {
        let [ad, ah, aw] = g.axes;
        let flat = ad.n_in == 1 && ad.n_out == 1 && ad.k == 1 && ad.pad == 0;
        flat && [ah, aw].iter().all(|a| a.k == R && a.stride == 1 && a.dilation == 1)
    }

    #[inline(always)]
    fn count(g: &Geometry) -> usize {
        g.n * g.axes[1].n_out.div_ceil(M) * g.axes[2].n_out.div_ceil(M)
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
        let [_, ah, aw] = g.axes;
        let (n, h, w) = corner::<M>(g, t);
        let image = &x[n * g.image()..][..g.image()];
        let mut from = [[zeros.as_ptr(); P]; P];
        for i in 0..P {
            let ih = ah.at(h, 0) + i as isize;
            if ih < 0 || ih >= ah.n_in as isize {
                continue;
            }
            for j in 0..P {
                let iw = aw.at(w, 0) + j as isize;
                if iw >= 0 && iw < aw.n_in as isize {
                    from[i][j] = image[(ih as usize * aw.n_in + iw as usize) * g.x_row + g.x_at..].as_ptr();
                }
            }
        }
        let mut c = 0;
        while c < g.c {
            let mut half = [[<T::V<S>>::splat(T::ZERO); P]; P];
            for j in 0..P {
                let mut d = [<T::V<S>>::splat(T::ZERO); P];
                for i in 0..P {
                    // SAFETY: every pixel has c channels, and so have the zeros.
                    d[i] = unsafe { <T::V<S>>::load(from[i][j].add(c)) };
                }
                let d = F::input(d);
                for i in 0..P {
                    half[i][j] = d[i];
                }
            }
            for i in 0..P {
                let d = F::input(half[i]);
                for j in 0..P {
                    // SAFETY: passed on.
                    unsafe { d[j].store(to.add((i * P + j) * step + c)) };
                }
            }
            c += <T::V<S> as Lanes>::N;
        }
    }

    #[inline(always)]
    unsafe fn kernel<V: Lanes>(from: *const V::T, step_from: usize, to: *mut V::T, step: usize) {
        let mut rows = [[V::splat(V::T::ZERO); R]; P];
        for t in 0..R {
            let mut g = [V::splat(V::T::ZERO); R];
            for u in 0..R {
                // SAFETY: passed on.
                g[u] = unsafe { V::load(from.add((u * R + t) * step_from)) };
            }
            let g = F::kernel(g);
            for p in 0..P {
                rows[p][t] = g[p];
            }
        }
        for p in 0..P {
            let g = F::kernel(rows[p]);
            for q in 0..P {
                // SAFETY: passed on.
                unsafe { g[q].store(to.add((p * P + q) * step)) };
            }
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
        let [_, ah, aw] = g.axes;
        let (image, h, w) = corner::<M>(g, t);
        let (rows, columns) = (M.min(ah.n_out - h), M.min(aw.n_out - w));
        let mut half = [[V::splat(V::T::ZERO); P]; M];
        for j in 0..P {
            let mut m = [V::splat(V::T::ZERO); P];
            for i in 0..P {
                // SAFETY: passed on.
                m[i] = unsafe { V::load(from.add((i * P + j) * step)) };
            }
            let m = F::output(m);
            for i in 0..M {
                half[i][j] = m[i];
            }
        }
        for i in 0..M {
            let out = F::output(half[i]);
            for j in 0..M {
                if i < rows && j < columns {
                    let at = place.of(image, 0, h + i, w + j) + c;
                    // SAFETY: pixels of different tiles are different elements of y.
                    unsafe { last.store(out[j], y, at) };
                }
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
        let [_, ah, aw] = g.axes;
        let (image, h, w) = corner::<M>(g, t);
        let (rows, columns) = (M.min(ah.n_out - h), M.min(aw.n_out - w));
        let zero = V::splat(V::T::ZERO);
        let first = ((image * ah.n_out + h) * aw.n_out + w) * n + c;
        let mut half = [[zero; M]; P];
        for j in 0..M {
            let mut d = [zero; M];
            for i in 0..M {
                if i < rows && j < columns {
                    // SAFETY: the pixel exists; it has n channels.
                    d[i] = unsafe { V::load(dy.add(first + (i * aw.n_out + j) * n)) };
                }
            }
            let d = F::gradient(d);
            for i in 0..P {
                half[i][j] = d[i];
            }
        }
        for i in 0..P {
            let d = F::gradient(half[i]);
            for j in 0..P {
                // SAFETY: passed on.
                unsafe { d[j].store(to.add((i * P + j) * step)) };
            }
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
        let zero = V::splat(V::T::ZERO);
        let mut half = [[zero; P]; R];
        for j in 0..P {
            let mut m = [zero; P];
            for i in 0..P {
                for piece in 0..pieces {
                    // SAFETY: passed on.
                    m[i] = m[i] + unsafe { V::load(from.add((i * P + j) * step + piece * step_piece)) };
                }
            }
            let m = F::sums(m);
            for i in 0..R {
                half[i][j] = m[i];
            }
        }
        for i in 0..R {
            let m = F::sums(half[i]);
            for j in 0..R {
                // SAFETY: passed on.
                unsafe { m[j].store(to.add((i * R + j) * step_to)) };
            }
        }
    }
}
