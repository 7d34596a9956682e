//! Convolution by the algorithm of Winograd, with fewer products than there are pairs of taps and outputs: F(4x4, 3x3) for
//! images (36 products per pair of channels and tile of 4x4 outputs instead of 144), F(4, 3) and F(4, 5) for lines (6 instead
//! of 12, 8 instead of 20).
//!
//! Tiles of inputs are taken to values at some points, multiplied there (each point is a product of matrices: tiles by
//! channels read, channels read by channels made), and taken back. A task does all of it for a block of tiles. float32 loses
//! a factor of about three against direct sums: some 2e-6 of the size of the outputs over 256 channels.
//!
//! Sources: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015; Barabasz et al., Error Analysis and
//! Improving the Accuracy of Winograd Convolution, 2018.

mod line;
mod outer;
mod schemes;
mod square;

use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::direct::{Finish, Panels, panel_columns};
use super::geometry::{Geometry, Place};
use super::tile::{Out, Stretch, even, most_rows, tile};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{elements, elements_mut};
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch};
use crate::lanes::round_bfloat16;
use crate::par;
use crate::shared::Shared;
pub(super) use outer::{kernel_grad, pays};

/// How outputs are cut into tiles, and how tiles and kernels are taken to points and back. All of it per vector of channels:
/// `step`s are elements from a point (or tap) to the next.
trait Tiles: 'static {
    /// Products per tile and pair of channels.
    const POINTS: usize;
    /// Outputs of a tile.
    const OUTPUTS: usize;
    /// Taps of the window.
    const TAPS: usize;
    /// The point at which the gradients of a tile have their sum.
    const SUM: usize;
    /// Outputs computed for an output wanted, as a fraction: with more, direct sums are faster.
    const WASTE: (usize, usize);

    /// Can it compute this convolution?
    fn suits(g: &Geometry) -> bool;
    /// How many tiles there are.
    fn count(g: &Geometry) -> usize;
    /// The inputs of tile `t` at the points, all channels.
    ///
    /// # Safety
    /// `x` and `zeros` hold the pixels that the geometry names; `to` has room.
    unsafe fn inputs<T: Scalar, S: Isa>(
        g: &Geometry,
        x: &[T],
        t: usize,
        zeros: &[T],
        to: *mut T,
        step: usize,
    );
    /// The kernel at the points.
    ///
    /// # Safety
    /// All taps and points lie in their matrices.
    unsafe fn kernel<V: Lanes>(from: *const V::T, step_from: usize, to: *mut V::T, step: usize);
    /// The outputs of tile `t`, channels from `c` on, from its products.
    ///
    /// # Safety
    /// All products exist.
    unsafe fn outputs<V: Lanes>(
        g: &Geometry,
        t: usize,
        products: (*const V::T, usize),
        c: usize,
        last: &Last<'_, V>,
        y: &Shared<'_, V::T>,
        place: &Place,
    );
    /// The gradients of tile `t`, channels from `c` of `n` on, at the points; outside of the image they are zero.
    ///
    /// # Safety
    /// `dy` has all pixels, `to` has room.
    unsafe fn gradients<V: Lanes>(
        g: &Geometry,
        t: usize,
        dy: *const V::T,
        channels: (usize, usize),
        to: *mut V::T,
        step: usize,
    );
    /// The gradient of the kernel from sums of products; those are in pieces, added up in order.
    ///
    /// # Safety
    /// All sums exist, and all taps.
    unsafe fn sums<V: Lanes>(
        from: *const V::T,
        step: usize,
        pieces: (usize, usize),
        to: *mut V::T,
        step_to: usize,
    );
}

/// The ways there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Square3,
    Line3,
    Line5,
}

/// Runs something with the tiles of a way as a type.
macro_rules! with_tiles {
    ($way:expr, $tiles:ident => $body:expr) => {
        match $way {
            $crate::conv::winograd::Way::Square3 => {
                type $tiles =
                    $crate::conv::winograd::square::Square<$crate::conv::winograd::schemes::Three, 6, 4, 3>;
                $body
            }
            $crate::conv::winograd::Way::Line3 => {
                type $tiles =
                    $crate::conv::winograd::line::Line<$crate::conv::winograd::schemes::Three, 6, 4, 3>;
                $body
            }
            $crate::conv::winograd::Way::Line5 => {
                type $tiles =
                    $crate::conv::winograd::line::Line<$crate::conv::winograd::schemes::Five, 8, 4, 5>;
                $body
            }
        }
    };
}
use with_tiles;

/// Bytes of transformed inputs and outputs of a task: about what the second-level cache holds beside a kernel.
const BLOCK: usize = 1 << 20;
/// A transformed kernel of more bytes does not stay in that cache: more tiles must share each trip.
const LARGE_KERNEL: usize = 1 << 20;
/// Fewer channels do not pay for the transforms.
const CHANNELS: usize = 16;

impl Way {
    /// The way that can compute a convolution, if there is one.
    pub fn suiting(g: &Geometry) -> Option<Way> {
        [Way::Square3, Way::Line3, Way::Line5].into_iter().find(|&way| with_tiles!(way, W => W::suits(g)))
    }

    /// The way that is exact enough and faster than direct sums for this convolution, with `n` channels made.
    pub fn fitting<T>(g: &Geometry, n: usize) -> Option<Way> {
        // float64 is asked for by those who want all digits.
        let suits = size_of::<T>() == 4
            && [g.c, n].iter().all(|&c| c.is_multiple_of(16) && c >= CHANNELS)
            && !precise();
        let way = Way::suiting(g).filter(|_| suits)?;
        with_tiles!(way, W => {
            // Few tiles have to stream all of the transformed kernel for themselves: less of a burden if it stays in the cache.
            let least = if W::POINTS * g.c * n * size_of::<T>() > LARGE_KERNEL { 32 } else { 8 };
            let (most, of) = W::WASTE;
            (W::count(g) >= least && of * W::count(g) * W::OUTPUTS <= most * g.pixels()).then_some(way)
        })
    }

    /// From a point of a transformed kernel to the next: a line more than a power of two, so that the points do not fight for
    /// the same places of the cache.
    fn step(c: usize, n: usize, nr: usize) -> usize {
        n.next_multiple_of(nr) * c + nr
    }

    /// Elements of a transformed kernel.
    pub fn len<T: Scalar>(self, l: Level, c: usize, n: usize) -> usize {
        with_tiles!(self, W => W::POINTS * Way::step(c, n, panel_columns::<T>(l)))
    }

    /// Takes a packed kernel to the points.
    pub fn transform<'a, T: Scalar>(
        self,
        l: Level,
        panels: Panels<'_, T>,
        c: usize,
        out: &'a mut [T],
    ) -> Points<'a, T> {
        let (n, nr) = (panels.n, panels.nr);
        let step = Way::step(c, n, nr);
        let to = Shared::new(&mut *out);
        let grain = 32;
        let blocks = c.div_ceil(grain);
        par::run(n.div_ceil(nr) * blocks, |i| {
            let (panel, block) = (i / blocks, i % blocks);
            let channels = (block * grain, (block * grain + grain).min(c));
            with_tiles!(self, W => {
                let tiles = std::marker::PhantomData::<W>;
                dispatch(l, KernelPoints { tiles, panels, panel, c, channels, out: &to, step })
            });
        });
        Points { way: self, data: out, n, nr }
    }
}

/// `RKERAS_PRECISE=1` asks for direct sums.
fn precise() -> bool {
    static PRECISE: OnceLock<bool> = OnceLock::new();
    *PRECISE.get_or_init(|| std::env::var("RKERAS_PRECISE").is_ok_and(|v| v == "1"))
}

/// A kernel at the points: [point][panel][channel read][column].
#[derive(Clone, Copy)]
pub(super) struct Points<'a, T> {
    pub way: Way,
    pub data: &'a [T],
    /// Channels made, and columns of a panel.
    pub n: usize,
    pub nr: usize,
}

struct KernelPoints<'a, T, W> {
    tiles: PhantomData<W>,
    panels: Panels<'a, T>,
    panel: usize,
    c: usize,
    channels: (usize, usize),
    out: &'a Shared<'a, T>,
    step: usize,
}

impl<T: Scalar, W: Tiles> Kernel for KernelPoints<'_, T, W> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (n, nr) = (<T::V<S> as Lanes>::N, self.panels.nr);
        let w = &self.panels.data[self.panel * self.panels.k * nr..][..self.panels.k * nr];
        assert!(self.panels.k == W::TAPS * self.c);
        for c in self.channels.0..self.channels.1 {
            for j in (0..nr).step_by(n) {
                // SAFETY: the panel has all taps of c rows of nr columns; rows of different channels and panels are
                // different elements.
                unsafe {
                    let from = w[c * nr + j..].as_ptr();
                    let last = (W::POINTS - 1) * self.step;
                    let to = self.out.at((self.panel * self.c + c) * nr + j, last + n);
                    W::kernel::<T::V<S>>(from, self.c * nr, to, self.step);
                }
            }
        }
    }
}

/// y = x * kernel, finished, at the places given.
pub(super) fn convolve<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    points: Points<'_, T>,
    finish: Finish<'_, T>,
    y: &mut [T],
    place: &Place,
) -> Result<(), AllocError> {
    let [ad, ah, aw] = g.axes;
    let (c, n) = (g.c, points.n);
    assert!(Way::suiting(g) == Some(points.way) && c.is_multiple_of(16) && n.is_multiple_of(16));
    assert!(points.data.len() >= points.way.len::<T>(l, c, n), "conv: the kernel is too short");
    finish.check(n, y.len());
    if g.pixels() == 0 {
        return Ok(());
    }
    assert!(x.len() >= g.n * g.image(), "conv: x is too short");
    let end = place.of(g.n - 1, ad.n_out - 1, ah.n_out - 1, aw.n_out - 1) + n;
    assert!(end <= y.len(), "conv: y is too short");
    let failed = AtomicBool::new(false);
    let out = Shared::new(y);
    with_tiles!(points.way, W => {
        let tiles = W::count(g);
        let fit = BLOCK / (W::POINTS * (c + n) * size_of::<T>());
        let most = if W::POINTS * c * n * size_of::<T>() > LARGE_KERNEL { 56 } else { fit.clamp(14, 56) };
        // Even blocks, of a number that a few threads share evenly.
        let count = tiles.div_ceil(most).next_multiple_of(4);
        let size = tiles.div_ceil(count);
        par::run(tiles.div_ceil(size), |i| {
            let tiles = (i * size, (i * size + size).min(tiles));
            let task = Block { kind: PhantomData::<W>, g, x, points, finish, y: &out, place, tiles };
            if dispatch(l, task).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
    });
    if failed.into_inner() { Err(AllocError { bytes: BLOCK }) } else { Ok(()) }
}

/// Some tiles, in the order of images, rows, columns.
struct Block<'a, T, W> {
    kind: PhantomData<W>,
    g: &'a Geometry,
    x: &'a [T],
    points: Points<'a, T>,
    finish: Finish<'a, T>,
    y: &'a Shared<'a, T>,
    place: &'a Place,
    tiles: (usize, usize),
}

impl<T: Scalar, W: Tiles> Kernel for Block<'_, T, W> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let count = self.tiles.1 - self.tiles.0;
        let (c, n, nr) = (self.g.c, self.points.n, self.points.nr);
        let step = Way::step(c, n, nr);
        // From one point to the next, off the powers of two.
        let (step_in, step_out) = (count * c + 16, count * n + 16);
        let mut buffer = Buffer::scratch(W::POINTS * (step_in + step_out) * size_of::<T>())?;
        let (values, products) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(W::POINTS * step_in);
        let zeros = Buffer::zeroed(c * size_of::<T>())?;
        let zeros = elements::<T>(zeros.bytes());
        for t in 0..count {
            // SAFETY: `values` has room for `count` tiles.
            unsafe {
                let to = values.as_mut_ptr().add(t * c);
                W::inputs::<T, S>(self.g, self.x, self.tiles.0 + t, zeros, to, step_in);
            }
        }
        let size = even(count, most_rows::<S>());
        for p in 0..W::POINTS {
            for column in (0..n).step_by(nr) {
                let b = self.points.data[p * step + column * c..].as_ptr();
                let width = nr.min(n - column);
                let mut t = 0;
                while t < count {
                    let rows = size.min(count - t);
                    // SAFETY: `rows` tiles of c values and n products exist.
                    unsafe {
                        let to = products.as_mut_ptr().add(p * step_out + t * n + column);
                        let out = Out::plain(to, n, width, false);
                        let a = values.as_ptr().add(p * step_in + t * c);
                        tile::<T, S, false>(rows, &[Stretch { a: 0, b: 0, len: c }], a, c, 0, b, nr, &out);
                    }
                    t += rows;
                }
            }
        }
        for t in 0..count {
            for c in (0..n).step_by(<T::V<S> as Lanes>::N) {
                // SAFETY: `products` holds `count` tiles of n channels; the bias has n values.
                unsafe {
                    let last = Last::<T::V<S>>::new(&self.finish, c);
                    let from = products.as_ptr().add(t * n + c);
                    W::outputs(self.g, self.tiles.0 + t, (from, step_out), c, &last, self.y, self.place);
                }
            }
        }
        Ok(())
    }
}

/// What is left to do to outputs of some channels.
struct Last<'a, V: Lanes> {
    finish: &'a Finish<'a, V::T>,
    bias: V,
    least: V,
}

impl<'a, V: Lanes> Last<'a, V> {
    /// For the channels from `c` on.
    ///
    /// # Safety
    /// A bias has those channels.
    #[inline(always)]
    unsafe fn new(finish: &'a Finish<'a, V::T>, c: usize) -> Self {
        let mut bias = V::splat(V::T::ZERO);
        if let Some(b) = finish.bias {
            // SAFETY: the caller's promise.
            bias = unsafe { V::load(b[c..].as_ptr()) };
        }
        Last { finish, bias, least: V::splat(finish.least.unwrap_or(-V::T::INF)) }
    }

    /// Finishes an output and writes it.
    ///
    /// # Safety
    /// Nobody else writes there.
    #[inline(always)]
    unsafe fn store(&self, mut y: V, to: &Shared<'_, V::T>, at: usize) {
        let rounded = self.finish.rounded;
        if rounded {
            y = round_bfloat16(y);
        }
        y = y + self.bias;
        if rounded && self.finish.bias.is_some() {
            y = round_bfloat16(y);
        }
        // SAFETY: a residual has the size of y; the caller's promise.
        unsafe {
            if let Some(r) = self.finish.residual {
                y = y + V::load(r[at..].as_ptr());
                if rounded {
                    y = round_bfloat16(y);
                }
            }
            self.least.max(y).store(to.at(at, V::N));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::direct::{self, Taps};
    use crate::conv::geometry::Axis;
    use crate::isa::levels;

    /// Numbers in [-1, 1) without a pattern that sums could notice.
    pub(super) fn draw(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    /// Windows of `kh` x `kw`.
    pub(super) fn geometry(
        n: usize,
        [h, w]: [usize; 2],
        [kh, kw]: [usize; 2],
        c: usize,
        pad: usize,
    ) -> Geometry {
        let axis = |size: usize, k: usize| {
            let pad = if k == 1 { 0 } else { pad };
            Axis { n_in: size, n_out: size + 2 * pad + 1 - k, k, stride: 1, dilation: 1, pad: pad as isize }
        };
        Geometry { n, axes: [axis(1, 1), axis(h, kh), axis(w, kw)], c, x_at: 0, x_row: c }
    }

    /// Both ways, relative to the size of the outputs.
    fn difference<T: Scalar>(l: Level, g: &Geometry, n: usize) -> f64 {
        let of = |v: Vec<f64>| v.into_iter().map(T::of).collect::<Vec<T>>();
        let (x, w, b) = (of(draw(g.n * g.image(), 1)), of(draw(g.k() * n, 2)), of(draw(n, 3)));
        let taps: Vec<usize> = (0..g.k() / g.c).collect();
        let taps = Taps { w: &w, at: 0, taps: &taps, steps: [g.c * n, n, 1], c: g.c, n };
        let mut packed = vec![T::ZERO; taps.packed_len(l)];
        let panels = taps.pack(l, &mut packed);
        let way = Way::suiting(g).unwrap();
        let mut packed = vec![T::ZERO; way.len::<T>(l, g.c, n)];
        let points = way.transform(l, panels, g.c, &mut packed);
        let r = of(draw(g.pixels() * n, 4));
        let finish = Finish { bias: Some(&b), residual: Some(&r), least: Some(T::ZERO), rounded: false };
        let [_, ah, aw] = g.axes;
        let place = Place { start: [0; 3], step: [1; 3], size: [1, ah.n_out, aw.n_out], at: 0, row: n };
        let (mut one, mut two) = (vec![T::ZERO; g.pixels() * n], vec![T::ONE; g.pixels() * n]);
        direct::convolve(l, g, &x, panels, finish, &mut one, &place, direct::TASKS).unwrap();
        convolve(l, g, &x, points, finish, &mut two, &place).unwrap();
        let size = (one.iter().map(|v| v.f64() * v.f64()).sum::<f64>() / one.len() as f64).sqrt();
        one.iter().zip(&two).map(|(a, b)| (a.f64() - b.f64()).abs()).fold(0.0, f64::max) / size
    }

    #[test]
    fn agrees_with_direct_sums() {
        for l in levels() {
            for (n, size, k, c, pad, made) in [
                (2, [8, 8], [3, 3], 16, 1, 32),
                (1, [9, 13], [3, 3], 32, 1, 16),
                (3, [6, 7], [3, 3], 16, 0, 48),
                (1, [10, 6], [3, 3], 16, 2, 16),
                (3, [1, 31], [1, 3], 16, 1, 32),
                (1, [4, 9], [1, 3], 32, 0, 16),
                (2, [1, 33], [1, 5], 16, 2, 48),
                (3, [2, 14], [1, 5], 32, 0, 16),
                (5, [1, 2], [1, 5], 16, 4, 16),
            ] {
                let g = geometry(n, size, k, c, pad);
                let exact = difference::<f64>(l, &g, made);
                assert!(exact < 1e-13, "{l:?} {g:?}: {exact}");
                let single = difference::<f32>(l, &g, made);
                assert!(single < 2e-5, "{l:?} {g:?}: {single}");
            }
        }
    }

    #[test]
    fn loses_little_over_many_channels() {
        for (size, k) in [([16, 16], [3, 3]), ([1, 64], [1, 3]), ([1, 64], [1, 5])] {
            let d = difference::<f32>(crate::isa::level(), &geometry(1, size, k, 256, 1), 64);
            assert!(d < 4e-5, "{k:?}: {d}");
        }
    }
}
