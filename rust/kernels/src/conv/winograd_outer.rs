//! The gradient of a 3x3 kernel by the algorithm of Winograd, F(3x3, 4x4): the roles of kernel and output are exchanged, so
//! tiles of 4x4 gradients meet tiles of 6x6 inputs at the same points as in [`super::winograd`]. Products are summed over
//! the tiles before anything is taken back. The tiles are summed in pieces whose number is a function of the shape.

use std::sync::atomic::{AtomicBool, Ordering};

use super::geometry::Geometry;
use super::tile::{Out, Stretch, even, most_rows, tile};
use super::winograd::{M, P, corner, fits, shape_fits, tiles, values};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{elements, elements_mut};
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch};
use crate::par;
use crate::shared::Shared;

/// Bytes of one partial sum up to which there are four of them.
const LARGE: usize = 3 << 20;

/// Is it exact enough and faster?
pub(super) fn pays<T>(g: &Geometry, n: usize) -> bool {
    fits::<T>(g, n) && tiles(g) >= 128
}

/// One axis of a tile of gradients, without the factors that [`sums`] brings in.
#[inline(always)]
fn gradient<V: Lanes>(g: [V; M]) -> [V; P] {
    let c = |x: f64| V::splat(V::T::of(x));
    let (even, odd) = (g[0] + g[2], g[1] + g[3]);
    let half = c(0.25).fma(g[3], g[1]);
    let double = c(4.0).fma(g[3], g[1]);
    [
        g[0],
        even + odd,
        even - odd,
        c(0.5).fma(half, c(0.25).fma(g[2], g[0])),
        c(-2.0).fma(double, c(4.0).fma(g[2], g[0])),
        g[3],
    ]
}

/// One axis of the kernel's gradient from the sums at the points.
#[inline(always)]
fn sums<V: Lanes>(m: [V; P]) -> [V; 3] {
    let c = |x: f64| V::splat(V::T::of(x));
    let (one, minus) = (m[1] * c(1.0 / 3.0), m[2] * c(-1.0 / 3.0));
    let (half, two) = (m[3] * c(-16.0 / 15.0), m[4] * c(1.0 / 15.0));
    let (s, d) = (one + minus, one - minus);
    [
        (m[0] + s) + (half + two),
        c(-2.0).fma(two, c(0.5).fma(half, d)),
        c(4.0).fma(two, c(0.25).fma(half, s)) + m[5],
    ]
}

/// dw[tap][channel read][channel made] from x and dy, all channels of both; db gets the sums of dy.
pub(super) fn kernel_grad<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    dy: &[T],
    n: usize,
    dw: &mut [T],
    db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let c = g.c;
    assert!(shape_fits(g) && c == g.x_row && c.is_multiple_of(16) && n.is_multiple_of(16));
    assert!(x.len() >= g.n * g.image() && dy.len() >= g.pixels() * n && dw.len() == 9 * c * n);
    let tiles = tiles(g);
    let size = P * P * c * n;
    let large = size * size_of::<T>() > LARGE;
    // Long blocks where the sums do not stay in the second-level cache.
    let pieces = (if large { 2 } else { 4 }).min(tiles.max(1));
    let block = if size * size_of::<T>() > 1 << 20 { 128 } else { 56 };
    let mut biases = Buffer::zeroed(pieces * n * size_of::<T>())?;
    let mut partial = Buffer::scratch(pieces * size * size_of::<T>())?;
    let failed = AtomicBool::new(false);
    {
        let out = Shared::new(elements_mut::<T>(partial.bytes_mut()));
        let biases = Shared::new(elements_mut::<T>(biases.bytes_mut()));
        par::run(pieces, |piece| {
            // SAFETY: one part per piece.
            let (sum, bias) = unsafe { (out.part(piece * size, size), biases.part(piece * n, n)) };
            let tiles = (piece * tiles / pieces, (piece + 1) * tiles / pieces);
            if dispatch(l, Piece { g, x, dy, n, sum, bias, tiles, block }).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
    }
    if failed.into_inner() {
        return Err(AllocError { bytes: P * P * block * (c + n) * size_of::<T>() });
    }
    if let Some(db) = db {
        db.fill(T::ZERO);
        for piece in elements::<T>(biases.bytes()).chunks_exact(n) {
            for (db, &part) in db.iter_mut().zip(piece) {
                *db = *db + part;
            }
        }
    }
    let partial = elements::<T>(partial.bytes());
    let out = Shared::new(dw);
    crate::shared::ranges(c, (1 << 13) / (n * pieces) + 1, |from, to| {
        dispatch(l, Back { partial, pieces, c, n, channels: (from, to), dw: &out });
    });
    Ok(())
}

/// The sums over some tiles.
struct Piece<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    dy: &'a [T],
    n: usize,
    sum: &'a mut [T],
    bias: &'a mut [T],
    tiles: (usize, usize),
    block: usize,
}

impl<T: Scalar> Kernel for Piece<'_, T> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let (g, c, n) = (self.g, self.g.c, self.n);
        // Off the powers of two, as in the other direction.
        let (step_x, step_dy) = (self.block * c + 16, self.block * n + 16);
        let mut buffer = Buffer::scratch(P * P * (step_x + step_dy) * size_of::<T>())?;
        let (inputs, gradients) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(P * P * step_x);
        let zeros = Buffer::zeroed(c * size_of::<T>())?;
        let zeros = elements::<T>(zeros.bytes());
        let size = even(c, most_rows::<S>());
        let nr = 2 * <T::V<S> as Lanes>::N;
        let mut from = self.tiles.0;
        while from < self.tiles.1 {
            let count = self.block.min(self.tiles.1 - from);
            for t in 0..count {
                // SAFETY: both have room for a block of tiles.
                unsafe {
                    values::<T, S>(g, self.x, from + t, zeros, inputs.as_mut_ptr().add(t * c), step_x);
                    self.gradients::<S>(from + t, gradients.as_mut_ptr().add(t * n), step_dy);
                }
            }
            // At the points (1, 1) a tile of gradients has its sum.
            for column in (0..n).step_by(<T::V<S> as Lanes>::N) {
                let mut total = <T::V<S>>::splat(T::ZERO);
                // SAFETY: `count` tiles of n gradients exist, and n sums.
                unsafe {
                    for t in 0..count {
                        let at = (P + 1) * step_dy + t * n + column;
                        total = total + <T::V<S>>::load(gradients.as_ptr().add(at));
                    }
                    let sum = self.bias.as_mut_ptr().add(column);
                    (<T::V<S>>::load(sum) + total).store(sum);
                }
            }
            let add = from > self.tiles.0;
            for p in 0..P * P {
                for column in (0..n).step_by(nr) {
                    let width = nr.min(n - column);
                    let mut i = 0;
                    while i < c {
                        let rows = size.min(c - i);
                        // SAFETY: `count` tiles of c inputs and n gradients exist, and c rows of n sums.
                        unsafe {
                            let to = self.sum.as_mut_ptr().add((p * c + i) * n + column);
                            let out = Out::plain(to, n, width, add);
                            let a = inputs.as_ptr().add(p * step_x + i);
                            let b = gradients.as_ptr().add(p * step_dy + column);
                            tile::<T, S, true>(
                                rows,
                                &[Stretch { a: 0, b: 0, len: count }],
                                a,
                                1,
                                c,
                                b,
                                n,
                                &out,
                            );
                        }
                        i += rows;
                    }
                }
            }
            from += count;
        }
        if self.tiles.0 == self.tiles.1 {
            self.sum.fill(T::ZERO);
        }
        Ok(())
    }
}

impl<T: Scalar> Piece<'_, T> {
    /// The gradients of a tile at all pairs of points; outside of the image they are zero.
    #[inline(always)]
    unsafe fn gradients<S: Isa>(&self, t: usize, to: *mut T, step: usize) {
        let [_, ah, aw] = self.g.axes;
        let (image, h, w) = corner(self.g, t);
        let (rows, columns) = (M.min(ah.n_out - h), M.min(aw.n_out - w));
        let zero = <T::V<S>>::splat(T::ZERO);
        let first = ((image * ah.n_out + h) * aw.n_out + w) * self.n;
        let mut c = 0;
        while c < self.n {
            let mut half = [[zero; M]; P];
            for j in 0..M {
                let mut d = [zero; M];
                for i in 0..M {
                    if i < rows && j < columns {
                        let at = first + (i * aw.n_out + j) * self.n + c;
                        // SAFETY: the pixel exists; it has n channels.
                        d[i] = unsafe { <T::V<S>>::load(self.dy.as_ptr().add(at)) };
                    }
                }
                let d = gradient(d);
                for i in 0..P {
                    half[i][j] = d[i];
                }
            }
            for i in 0..P {
                let d = gradient(half[i]);
                for j in 0..P {
                    // SAFETY: passed on.
                    unsafe { d[j].store(to.add((i * P + j) * step + c)) };
                }
            }
            c += <T::V<S> as Lanes>::N;
        }
    }
}

/// Adds the pieces up in order and takes the sums back, for some channels read.
struct Back<'a, T> {
    partial: &'a [T],
    pieces: usize,
    c: usize,
    n: usize,
    channels: (usize, usize),
    dw: &'a Shared<'a, T>,
}

impl<T: Scalar> Kernel for Back<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (c, n) = (self.c, self.n);
        let zero = <T::V<S>>::splat(T::ZERO);
        for channel in self.channels.0..self.channels.1 {
            for column in (0..n).step_by(<T::V<S> as Lanes>::N) {
                let mut half = [[zero; P]; 3];
                for j in 0..P {
                    let mut m = [zero; P];
                    for i in 0..P {
                        for piece in 0..self.pieces {
                            let at = ((piece * P * P + i * P + j) * c + channel) * n + column;
                            // SAFETY: pieces hold sums for all points and channels.
                            m[i] = m[i] + unsafe { <T::V<S>>::load(self.partial.as_ptr().add(at)) };
                        }
                    }
                    let m = sums(m);
                    for i in 0..3 {
                        half[i][j] = m[i];
                    }
                }
                for i in 0..3 {
                    let m = sums(half[i]);
                    for j in 0..3 {
                        let at = ((i * 3 + j) * c + channel) * n + column;
                        // SAFETY: rows of different channels are disjoint.
                        unsafe { m[j].store(self.dw.at(at, <T::V<S> as Lanes>::N)) };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::geometry::Axis;
    use crate::conv::outer;
    use crate::isa::levels;

    fn draw<T: Scalar>(n: usize, seed: u64) -> Vec<T> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            T::of((state >> 33) as f64 / (1u64 << 30) as f64 - 1.0)
        };
        (0..n).map(|_| next()).collect()
    }

    /// Both ways, relative to the size of the gradient.
    fn difference<T: Scalar>(l: Level, [images, h, w, c, n, pad]: [usize; 6]) -> f64 {
        let one = Axis { n_in: 1, n_out: 1, k: 1, stride: 1, dilation: 1, pad: 0 };
        let axis = |size: usize| Axis {
            n_in: size,
            n_out: size + 2 * pad - 2,
            k: 3,
            stride: 1,
            dilation: 1,
            pad: pad as isize,
        };
        let g = Geometry { n: images, axes: [one, axis(h), axis(w)], c, x_at: 0, x_row: c };
        let (x, dy) = (draw::<T>(images * g.image(), 1), draw::<T>(g.pixels() * n, 2));
        let (mut one, mut two) = (vec![T::ZERO; 9 * c * n], vec![T::ONE; 9 * c * n]);
        let (mut b1, mut b2) = (vec![T::ZERO; n], vec![T::ONE; n]);
        outer::kernel_grad(l, &g, &x, &dy, [0, n, n], &mut one, [0, n], Some(&mut b1)).unwrap();
        kernel_grad(l, &g, &x, &dy, n, &mut two, Some(&mut b2)).unwrap();
        assert!(b1.iter().zip(&b2).all(|(a, b)| (a.f64() - b.f64()).abs() < 1e-4));
        let size = (one.iter().map(|v| v.f64() * v.f64()).sum::<f64>() / one.len() as f64).sqrt();
        one.iter().zip(&two).map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, f64::max) / size
    }

    #[test]
    fn agrees_with_direct_sums() {
        for l in levels() {
            for shape in
                [[2, 8, 8, 16, 32, 1], [1, 9, 13, 32, 16, 1], [3, 6, 7, 16, 48, 0], [40, 8, 6, 16, 16, 2]]
            {
                let exact = difference::<f64>(l, shape);
                assert!(exact < 1e-13, "{l:?} {shape:?}: {exact}");
                let single = difference::<f32>(l, shape);
                assert!(single < 3e-5, "{l:?} {shape:?}: {single}");
            }
        }
    }
}
