//! Convolution with 3x3 windows by the algorithm of Winograd, F(4x4, 3x3): a tile of 4x4 outputs takes 36 products per pair
//! of channels instead of 144.
//!
//! Tiles of 6x6 inputs are taken to values at the points (0, 1, -1, 1/2, -2, infinity) along both axes, multiplied there as
//! 36 products of matrices (tiles by channels read, channels read by channels made), and taken back. A task does all of it
//! for a block of tiles. With these points, of small and mixed size, float32 loses a factor of about three against direct
//! sums: some 2e-6 of the size of the outputs over 256 channels.
//!
//! Sources: Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015; Barabasz et al., Error Analysis and
//! Improving the Accuracy of Winograd Convolution, 2018.

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

/// Points: products per tile and axis.
pub(super) const P: usize = 6;
/// Outputs per tile and axis.
pub(super) const M: usize = 4;
/// Bytes of transformed inputs and outputs of a task: about what the second-level cache holds beside a kernel.
const BLOCK: usize = 1 << 20;
/// A transformed kernel of more bytes does not stay in that cache: more tiles must share each trip.
const LARGE_KERNEL: usize = 1 << 20;
/// Fewer channels do not pay for the transforms.
const CHANNELS: usize = 16;
/// Few tiles have to stream all of the transformed kernel for themselves: less of a burden if it stays in the cache.
fn least_tiles<T>(c: usize, n: usize) -> usize {
    if P * P * c * n * size_of::<T>() > LARGE_KERNEL { 32 } else { 8 }
}

/// Is the algorithm exact enough and faster for this convolution, with `n` channels made?
pub(super) fn fits<T>(g: &Geometry, n: usize) -> bool {
    let [ad, ah, aw] = g.axes;
    let (th, tw) = (ah.n_out.div_ceil(M), aw.n_out.div_ceil(M));
    // float64 is asked for by those who want all digits.
    size_of::<T>() == 4
        && shape_fits(g)
        && ad.k == 1
        && g.c.is_multiple_of(16)
        && n.is_multiple_of(16)
        && g.c >= CHANNELS
        && n >= CHANNELS
        && g.n * th * tw >= least_tiles::<T>(g.c, n)
        && 10 * th * tw * M * M <= 17 * ah.n_out * aw.n_out
        && !precise()
}

/// Can the algorithm compute it?
pub(super) fn shape_fits(g: &Geometry) -> bool {
    let [ad, ah, aw] = g.axes;
    let flat = ad.n_in == 1 && ad.n_out == 1 && ad.k == 1 && ad.pad == 0;
    flat && [ah, aw].iter().all(|a| a.k == 3 && a.stride == 1 && a.dilation == 1)
}

/// `RKERAS_PRECISE=1` asks for direct sums.
fn precise() -> bool {
    static PRECISE: OnceLock<bool> = OnceLock::new();
    *PRECISE.get_or_init(|| std::env::var("RKERAS_PRECISE").is_ok_and(|v| v == "1"))
}

/// Values of four-degree polynomials through six inputs: one axis of an input tile.
#[inline(always)]
fn input<V: Lanes>(d: [V; P]) -> [V; P] {
    let c = |x: f64| V::splat(V::T::of(x));
    let (a, e) = (d[4] - d[2], d[3] - d[1]);
    [
        c(1.5).fma(e, d[0] - d[2]) + a,
        c(2.5).fma(d[3], d[4]) + c(0.5).fma(d[2], -d[1]),
        c(0.5).fma(d[3], d[4]) + c(-2.5).fma(d[2], d[1]),
        c(2.0).fma(e, a),
        c(-0.5).fma(e, a),
        c(1.5).fma(a, (d[5] - d[3]) - e),
    ]
}

/// Image, first row and first column of the outputs of a tile.
#[inline(always)]
pub(super) fn corner(g: &Geometry, t: usize) -> (usize, usize, usize) {
    let [_, ah, aw] = g.axes;
    let (th, tw) = (ah.n_out.div_ceil(M), aw.n_out.div_ceil(M));
    (t / tw / th, t / tw % th * M, t % tw * M)
}

/// How many tiles there are.
pub(super) fn tiles(g: &Geometry) -> usize {
    g.n * g.axes[1].n_out.div_ceil(M) * g.axes[2].n_out.div_ceil(M)
}

/// The inputs of tile `t` at all pairs of points, `step` elements from pair to pair.
///
/// # Safety
/// `x` and `zeros` hold the pixels that the geometry names; `to` has room.
#[inline(always)]
pub(super) unsafe fn values<T: Scalar, S: Isa>(
    g: &Geometry,
    x: &[T],
    t: usize,
    zeros: &[T],
    to: *mut T,
    step: usize,
) {
    let [_, ah, aw] = g.axes;
    let (n, h, w) = corner(g, t);
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
            let d = input(d);
            for i in 0..P {
                half[i][j] = d[i];
            }
        }
        for i in 0..P {
            let d = input(half[i]);
            for j in 0..P {
                // SAFETY: passed on.
                unsafe { d[j].store(to.add((i * P + j) * step + c)) };
            }
        }
        c += <T::V<S> as Lanes>::N;
    }
}

/// One axis of a kernel.
#[inline(always)]
fn kernel<V: Lanes>(g: [V; 3]) -> [V; P] {
    let c = |x: f64| V::splat(V::T::of(x));
    let outer = g[0] + g[2];
    [
        g[0],
        (outer + g[1]) * c(1.0 / 3.0),
        (outer - g[1]) * c(-1.0 / 3.0),
        c(0.5).fma(g[1], c(0.25).fma(g[2], g[0])) * c(-16.0 / 15.0),
        c(-2.0).fma(g[1], c(4.0).fma(g[2], g[0])) * c(1.0 / 15.0),
        g[2],
    ]
}

/// One axis of an output tile.
#[inline(always)]
fn output<V: Lanes>(m: [V; P]) -> [V; M] {
    let c = |x: f64| V::splat(V::T::of(x));
    let (s, d) = (m[1] + m[2], m[1] - m[2]);
    [
        (m[0] + s) + (m[3] + m[4]),
        c(-2.0).fma(m[4], c(0.5).fma(m[3], d)),
        c(4.0).fma(m[4], c(0.25).fma(m[3], s)),
        c(-8.0).fma(m[4], c(0.125).fma(m[3], d)) + m[5],
    ]
}

/// The kernel at all pairs of points: [pair of points][panel][channel read][column].
#[derive(Clone, Copy)]
pub(super) struct Points<'a, T> {
    pub data: &'a [T],
    /// Channels made, and columns of a panel.
    pub n: usize,
    pub nr: usize,
}

impl<T: Scalar> Points<'_, T> {
    /// From one pair of points to the next: a line more than a power of two, so that the points do not fight for the same
    /// places of the cache.
    fn step(c: usize, n: usize, nr: usize) -> usize {
        n.next_multiple_of(nr) * c + nr
    }

    /// Elements of all.
    pub fn len(l: Level, c: usize, n: usize) -> usize {
        P * P * Self::step(c, n, panel_columns::<T>(l))
    }

    /// Writes the points of a packed kernel.
    pub fn fill<'a>(l: Level, panels: Panels<'_, T>, c: usize, out: &'a mut [T]) -> Points<'a, T> {
        let (n, nr) = (panels.n, panels.nr);
        let step = Self::step(c, n, nr);
        let to = Shared::new(&mut *out);
        let grain = 32;
        let blocks = c.div_ceil(grain);
        par::run(n.div_ceil(nr) * blocks, |i| {
            let (panel, block) = (i / blocks, i % blocks);
            let channels = (block * grain, (block * grain + grain).min(c));
            dispatch(l, KernelPoints { panels, panel, c, channels, out: &to, step });
        });
        Points { data: out, n, nr }
    }
}

struct KernelPoints<'a, T> {
    panels: Panels<'a, T>,
    panel: usize,
    c: usize,
    channels: (usize, usize),
    out: &'a Shared<'a, T>,
    step: usize,
}

impl<T: Scalar> Kernel for KernelPoints<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (n, nr) = (<T::V<S> as Lanes>::N, self.panels.nr);
        let w = &self.panels.data[self.panel * self.panels.k * nr..][..self.panels.k * nr];
        for c in self.channels.0..self.channels.1 {
            for j in (0..nr).step_by(n) {
                let mut rows = [[<T::V<S>>::splat(T::ZERO); 3]; P];
                for t in 0..3 {
                    let mut g = [<T::V<S>>::splat(T::ZERO); 3];
                    for u in 0..3 {
                        let at = ((u * 3 + t) * self.c + c) * nr + j;
                        // SAFETY: the panel has nine taps of c rows of nr columns.
                        g[u] = unsafe { <T::V<S>>::load(w.as_ptr().add(at)) };
                    }
                    let g = kernel(g);
                    for p in 0..P {
                        rows[p][t] = g[p];
                    }
                }
                for p in 0..P {
                    let g = kernel(rows[p]);
                    for q in 0..P {
                        let at = (p * P + q) * self.step + (self.panel * self.c + c) * nr + j;
                        // SAFETY: rows of different channels and panels are different elements.
                        unsafe { g[q].store(self.out.at(at, n)) };
                    }
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
    let [_, ah, aw] = g.axes;
    let (c, n) = (g.c, points.n);
    assert!(shape_fits(g) && c.is_multiple_of(16) && n.is_multiple_of(16));
    let step = Points::<T>::step(c, n, points.nr);
    assert!(points.data.len() >= P * P * step, "conv: the kernel is too short");
    finish.check(n, y.len());
    if g.pixels() == 0 {
        return Ok(());
    }
    assert!(x.len() >= g.n * g.image(), "conv: x is too short");
    assert!(place.of(g.n - 1, 0, ah.n_out - 1, aw.n_out - 1) + n <= y.len(), "conv: y is too short");
    let tiles = tiles(g);
    let fit = BLOCK / (P * P * (c + n) * size_of::<T>());
    let most = if P * P * c * n * size_of::<T>() > LARGE_KERNEL { 56 } else { fit.clamp(14, 56) };
    // Even blocks, of a number that a few threads share evenly.
    let count = tiles.div_ceil(most).next_multiple_of(4);
    let size = tiles.div_ceil(count);
    let failed = AtomicBool::new(false);
    let out = Shared::new(y);
    par::run(tiles.div_ceil(size), |i| {
        let tiles = (i * size, (i * size + size).min(tiles));
        let task = Block { g, x, points, step, finish, y: &out, place, tiles };
        if dispatch(l, task).is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if failed.into_inner() { Err(AllocError { bytes: BLOCK }) } else { Ok(()) }
}

/// Some tiles, in the order of images, rows, columns.
struct Block<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    points: Points<'a, T>,
    step: usize,
    finish: Finish<'a, T>,
    y: &'a Shared<'a, T>,
    place: &'a Place,
    tiles: (usize, usize),
}

impl<T: Scalar> Kernel for Block<'_, T> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let count = self.tiles.1 - self.tiles.0;
        let (c, n, nr) = (self.g.c, self.points.n, self.points.nr);
        // From one pair of points to the next, off the powers of two.
        let (step_in, step_out) = (count * c + 16, count * n + 16);
        let mut buffer = Buffer::scratch(P * P * (step_in + step_out) * size_of::<T>())?;
        let (values, products) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(P * P * step_in);
        let zeros = Buffer::zeroed(c * size_of::<T>())?;
        let zeros = elements::<T>(zeros.bytes());
        for t in 0..count {
            // SAFETY: `values` has room for `count` tiles.
            unsafe {
                let to = values.as_mut_ptr().add(t * c);
                self::values::<T, S>(self.g, self.x, self.tiles.0 + t, zeros, to, step_in);
            }
        }
        let size = even(count, most_rows::<S>());
        for p in 0..P * P {
            for column in (0..n).step_by(nr) {
                let b = self.points.data[p * self.step + column * c..].as_ptr();
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
            // SAFETY: `products` holds `count` tiles.
            unsafe { self.outputs::<S>(self.tiles.0 + t, products.as_ptr().add(t * n), step_out) };
        }
        Ok(())
    }
}

impl<T: Scalar> Block<'_, T> {
    /// The outputs of a tile from its products.
    #[inline(always)]
    unsafe fn outputs<S: Isa>(&self, t: usize, from: *const T, step: usize) {
        let [_, ah, aw] = self.g.axes;
        let (n, h, w) = corner(self.g, t);
        let (rows, columns) = (M.min(ah.n_out - h), M.min(aw.n_out - w));
        let least = <T::V<S>>::splat(self.finish.least.unwrap_or(-T::INF));
        let mut c = 0;
        while c < self.points.n {
            let mut half = [[<T::V<S>>::splat(T::ZERO); P]; M];
            for j in 0..P {
                let mut m = [<T::V<S>>::splat(T::ZERO); P];
                for i in 0..P {
                    // SAFETY: passed on.
                    m[i] = unsafe { <T::V<S>>::load(from.add((i * P + j) * step + c)) };
                }
                let m = output(m);
                for i in 0..M {
                    half[i][j] = m[i];
                }
            }
            let mut bias = <T::V<S>>::splat(T::ZERO);
            if let Some(b) = self.finish.bias {
                // SAFETY: the bias has n values.
                bias = unsafe { <T::V<S>>::load(b[c..].as_ptr()) };
            }
            for i in 0..M {
                let y = output(half[i]);
                for j in 0..M {
                    if i < rows && j < columns {
                        let at = self.place.of(n, 0, h + i, w + j) + c;
                        // SAFETY: pixels of different tiles are different elements of y.
                        unsafe {
                            let rounded = self.finish.rounded;
                            let mut y = y[j];
                            if rounded {
                                y = round_bfloat16(y);
                            }
                            y = y + bias;
                            if rounded && self.finish.bias.is_some() {
                                y = round_bfloat16(y);
                            }
                            if let Some(r) = self.finish.residual {
                                y = y + <T::V<S>>::load(r[at..].as_ptr());
                                if rounded {
                                    y = round_bfloat16(y);
                                }
                            }
                            least.max(y).store(self.y.at(at, <T::V<S> as Lanes>::N));
                        }
                    }
                }
            }
            c += <T::V<S> as Lanes>::N;
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
    fn draw(n: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        };
        (0..n).map(|_| next()).collect()
    }

    fn geometry(n: usize, h: usize, w: usize, c: usize, pad: isize) -> Geometry {
        let one = Axis { n_in: 1, n_out: 1, k: 1, stride: 1, dilation: 1, pad: 0 };
        let axis = |size: usize| {
            let n_out = (size as isize + 2 * pad - 2) as usize;
            Axis { n_in: size, n_out, k: 3, stride: 1, dilation: 1, pad }
        };
        Geometry { n, axes: [one, axis(h), axis(w)], c, x_at: 0, x_row: c }
    }

    /// Both ways, relative to the size of the outputs.
    fn difference<T: Scalar>(l: Level, g: &Geometry, n: usize) -> f64 {
        let of = |v: Vec<f64>| v.into_iter().map(T::of).collect::<Vec<T>>();
        let (x, w, b) = (of(draw(g.n * g.image(), 1)), of(draw(9 * g.c * n, 2)), of(draw(n, 3)));
        let taps: Vec<usize> = (0..9).collect();
        let taps = Taps { w: &w, at: 0, taps: &taps, steps: [g.c * n, n, 1], c: g.c, n };
        let mut packed = vec![T::ZERO; taps.packed_len(l)];
        let panels = taps.pack(l, &mut packed);
        let mut packed = vec![T::ZERO; Points::<T>::len(l, g.c, n)];
        let points = Points::fill(l, panels, g.c, &mut packed);
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
            for (n, h, w, c, pad, made) in
                [(2, 8, 8, 16, 1, 32), (1, 9, 13, 32, 1, 16), (3, 6, 7, 16, 0, 48), (1, 10, 6, 16, 2, 16)]
            {
                let g = geometry(n, h, w, c, pad);
                let exact = difference::<f64>(l, &g, made);
                assert!(exact < 1e-13, "{l:?} {g:?}: {exact}");
                let single = difference::<f32>(l, &g, made);
                assert!(single < 2e-5, "{l:?} {g:?}: {single}");
            }
        }
    }

    #[test]
    fn loses_little_over_many_channels() {
        let g = geometry(1, 16, 16, 256, 1);
        let d = difference::<f32>(crate::isa::level(), &g, 64);
        assert!(d < 4e-5, "{d}");
    }
}
