//! The gradient of a kernel by the algorithm of Winograd, F(3x3, 4x4), F(3, 4) or F(5, 4): the roles of kernel and output are
//! exchanged, so tiles of gradients meet tiles of inputs at the same points as in the other direction. Products are summed
//! over the tiles before anything is taken back. The tiles are summed in pieces whose number is a function of the shape.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Tiles, Way, with_tiles};
use crate::buffer::{AllocError, Buffer};
use crate::conv::geometry::Geometry;
use crate::conv::tile::{Out, Stretch, even, most_rows, tile};
use crate::convert::{elements, elements_mut};
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch};
use crate::par;
use crate::shared::Shared;

/// Bytes of one partial sum up to which there are four of them.
const LARGE: usize = 3 << 20;

/// Is it exact enough and faster?
pub fn pays<T>(g: &Geometry, n: usize) -> bool {
    Way::fitting::<T>(g, n).is_some_and(|way| with_tiles!(way, W => W::count(g)) >= 128)
}

/// dw[tap][channel read][channel made] from x and dy, all channels of both; db gets the sums of dy.
pub fn kernel_grad<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    dy: &[T],
    n: usize,
    dw: &mut [T],
    db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let way = Way::suiting(g).expect("a convolution that a way suits");
    with_tiles!(way, W => kernel_grad_by::<T, W>(l, g, x, dy, n, dw, db))
}

fn kernel_grad_by<T: Scalar, W: Tiles>(
    l: Level,
    g: &Geometry,
    x: &[T],
    dy: &[T],
    n: usize,
    dw: &mut [T],
    db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let c = g.c;
    assert!(c == g.x_row && c.is_multiple_of(16) && n.is_multiple_of(16));
    assert!(x.len() >= g.n * g.image() && dy.len() >= g.pixels() * n && dw.len() == W::TAPS * c * n);
    let tiles = W::count(g);
    let size = W::POINTS * c * n;
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
            if dispatch(l, Piece { kind: PhantomData::<W>, g, x, dy, n, sum, bias, tiles, block }).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
    }
    if failed.into_inner() {
        return Err(AllocError { bytes: W::POINTS * block * (c + n) * size_of::<T>() });
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
        let kind = PhantomData::<W>;
        dispatch(l, Back { kind, partial, pieces, c, n, channels: (from, to), dw: &out });
    });
    Ok(())
}

/// The sums over some tiles.
struct Piece<'a, T, W> {
    kind: PhantomData<W>,
    g: &'a Geometry,
    x: &'a [T],
    dy: &'a [T],
    n: usize,
    sum: &'a mut [T],
    bias: &'a mut [T],
    tiles: (usize, usize),
    block: usize,
}

impl<T: Scalar, W: Tiles> Kernel for Piece<'_, T, W> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let (g, c, n) = (self.g, self.g.c, self.n);
        // Off the powers of two, as in the other direction.
        let (step_x, step_dy) = (self.block * c + 16, self.block * n + 16);
        let mut buffer = Buffer::scratch(W::POINTS * (step_x + step_dy) * size_of::<T>())?;
        let (inputs, gradients) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(W::POINTS * step_x);
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
                    W::inputs::<T, S>(g, self.x, from + t, zeros, inputs.as_mut_ptr().add(t * c), step_x);
                    for c in (0..n).step_by(<T::V<S> as Lanes>::N) {
                        let to = gradients.as_mut_ptr().add(t * n + c);
                        W::gradients::<T::V<S>>(g, from + t, self.dy.as_ptr(), (n, c), to, step_dy);
                    }
                }
            }
            for column in (0..n).step_by(<T::V<S> as Lanes>::N) {
                let mut total = <T::V<S>>::splat(T::ZERO);
                // SAFETY: `count` tiles of n gradients exist, and n sums.
                unsafe {
                    for t in 0..count {
                        let at = W::SUM * step_dy + t * n + column;
                        total = total + <T::V<S>>::load(gradients.as_ptr().add(at));
                    }
                    let sum = self.bias.as_mut_ptr().add(column);
                    (<T::V<S>>::load(sum) + total).store(sum);
                }
            }
            let add = from > self.tiles.0;
            for p in 0..W::POINTS {
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

/// Adds the pieces up in order and takes the sums back, for some channels read.
struct Back<'a, T, W> {
    kind: PhantomData<W>,
    partial: &'a [T],
    pieces: usize,
    c: usize,
    n: usize,
    channels: (usize, usize),
    dw: &'a Shared<'a, T>,
}

impl<T: Scalar, W: Tiles> Kernel for Back<'_, T, W> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (c, n) = (self.c, self.n);
        for channel in self.channels.0..self.channels.1 {
            for column in (0..n).step_by(<T::V<S> as Lanes>::N) {
                let at = channel * n + column;
                let last = (W::TAPS - 1) * c * n + <T::V<S> as Lanes>::N;
                // SAFETY: pieces hold sums for all points and channels; rows of different channels are disjoint.
                unsafe {
                    let from = self.partial.as_ptr().add(at);
                    let pieces = (self.pieces, W::POINTS * c * n);
                    W::sums::<T::V<S>>(from, c * n, pieces, self.dw.at(at, last), c * n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::outer;
    use crate::conv::winograd::tests::{draw, geometry};
    use crate::isa::levels;

    /// Both ways, relative to the size of the gradient.
    fn difference<T: Scalar>(l: Level, g: &Geometry, n: usize) -> f64 {
        let of = |v: Vec<f64>| v.into_iter().map(T::of).collect::<Vec<T>>();
        let (x, dy) = (of(draw(g.n * g.image(), 1)), of(draw(g.pixels() * n, 2)));
        let (mut one, mut two) = (vec![T::ZERO; g.k() * n], vec![T::ONE; g.k() * n]);
        let (mut b1, mut b2) = (vec![T::ZERO; n], vec![T::ONE; n]);
        outer::kernel_grad(l, g, &x, &dy, [0, n, n], &mut one, [0, n], Some(&mut b1)).unwrap();
        kernel_grad(l, g, &x, &dy, n, &mut two, Some(&mut b2)).unwrap();
        assert!(b1.iter().zip(&b2).all(|(a, b)| (a.f64() - b.f64()).abs() < 1e-4));
        let size = (one.iter().map(|v| v.f64() * v.f64()).sum::<f64>() / one.len() as f64).sqrt();
        one.iter().zip(&two).map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, f64::max) / size
    }

    #[test]
    fn agrees_with_direct_sums() {
        for l in levels() {
            for (images, size, k, c, n, pad) in [
                (2, [8, 8], [3, 3], 16, 32, 1),
                (1, [9, 13], [3, 3], 32, 16, 1),
                (3, [6, 7], [3, 3], 16, 48, 0),
                (40, [8, 6], [3, 3], 16, 16, 2),
                (3, [1, 31], [1, 3], 16, 32, 1),
                (2, [4, 9], [1, 3], 32, 16, 0),
                (9, [1, 33], [1, 5], 16, 48, 2),
                (3, [2, 14], [1, 5], 32, 16, 0),
            ] {
                let g = geometry(images, size, k, c, pad);
                let exact = difference::<f64>(l, &g, n);
                assert!(exact < 1e-13, "{l:?} {g:?}: {exact}");
                let single = difference::<f32>(l, &g, n);
                assert!(single < 3e-5, "{l:?} {g:?}: {single}");
            }
        }
    }
}
