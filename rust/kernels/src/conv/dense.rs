//! Dense and grouped convolution: which way each of the three passes goes.

use super::ConvShape;
use super::direct::{self, Finish, Panels, Taps};
use super::geometry::{Axis, Geometry, Place};
use super::winograd::{self, Points, Way};
use super::{outer, strips};
use crate::buffer::{AllocError, Buffer};
use crate::convert::{elements, elements_mut};
use crate::gemm::{Epilogue, Mat, PackedB, Scalar, gemm_at};
use crate::isa::Level;
use crate::map::Unary;

/// Rows of fewer output pixels make tiles too small.
const NARROW: usize = 4;

pub(super) fn forward<T: Scalar>(
    l: Level,
    s: &ConvShape,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    activation: Option<Unary>,
    rounded: bool,
    y: &mut [T],
) -> Result<(), AllocError> {
    let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
    // Of activations only relu happens on the way.
    let late = activation.filter(|&f| f != Unary::Relu);
    let least = activation.filter(|&f| f == Unary::Relu).map(|_| T::ZERO);
    let plain = s.groups == 1 && Geometry::new(s, 0).is_plain();
    let long = if plain { flat::<T>(l, &Geometry::new(s, 0), co) } else { None };
    if plain && long.is_none() {
        let g = Geometry::new(s, 0);
        gemm_at(
            l,
            g.pixels(),
            co,
            g.c,
            Mat::rows(x, g.c),
            Mat::rows(w, co),
            y,
            co,
            false,
            Epilogue { bias, residual: None, activation, rounded },
        );
        return Ok(());
    }
    let taps: Vec<usize> = (0..s.taps()).collect();
    for group in 0..s.groups {
        let g = Geometry::new(s, group);
        let kernel = Taps { w, at: group * co, taps: &taps, steps: [ci * s.c_out, s.c_out, 1], c: ci, n: co };
        let place = Place { start: [0; 3], step: [1; 3], size: s.out_sp, at: group * co, row: s.c_out };
        let bias = bias.map(|b| &b[group * co..][..co]);
        let finish = Finish { bias, residual: None, least, rounded };
        let (g, place) = long.unwrap_or((g, place));
        convolve(l, &g, x, &kernel, finish, y, &place)?;
    }
    if let Some(f) = late {
        super::activate(f, rounded, y);
    }
    Ok(())
}

/// Pixels of a plain convolution in a row, where so many can be joined: most tiles are whole then.
const LONG: usize = 64;
/// With shorter rows a plain convolution is a product of packed matrices.
const SHORT: usize = 12;
/// Channels read that a plain convolution may have to take pixels as they lie: panels of the kernel stay in the first-level
/// cache. With more, products do better; on AVX-512 they do from 16 channels on, the numbers in a line, of which a product
/// asks for the next ones.
fn shallow(l: Level) -> usize {
    if l == Level::Avx512 { 15 } else { 256 }
}

/// A plain convolution (of `n` channels made) with its pixels as rows of one image, long ones where enough of them remain to
/// be shared, and where they go; `None` where a product of packed matrices is better.
fn flat<T>(l: Level, g: &Geometry, n: usize) -> Option<(Geometry, Place)> {
    let width = g.axes[2].n_out.max(1);
    let rows = g.pixels() / width;
    let fits = |m: &usize| m * width >= LONG && rows.is_multiple_of(*m);
    let joined = (1..=(rows / direct::TASKS).min(8 * LONG)).find(fits).unwrap_or(1);
    let small = g.c <= shallow(l) && g.c * n * size_of::<T>() <= direct::LARGE_KERNEL;
    if !small || joined * width < SHORT {
        return None;
    }
    let axis = |n| Axis { n_in: n, n_out: n, k: 1, stride: 1, dilation: 1, pad: 0 };
    let size = [1, rows / joined, width * joined];
    let place = Place { start: [0; 3], step: [1; 3], size, at: 0, row: n };
    Some((Geometry { n: 1, axes: size.map(axis), ..*g }, place))
}

/// What one phase of the input's gradient is: with a stride, output pixels of dx fall into phases: those of a phase see a
/// fixed subset of the taps, at steps of one in dy.
struct Phase {
    /// dx over dy.
    axes: [Axis; 3],
    /// The first pixel.
    start: [usize; 3],
    /// The kernel turned around: taps from last to first.
    taps: Vec<usize>,
}

impl Phase {
    /// Phase number `phase`, unless no output saw its pixels.
    fn new(s: &ConvShape, phase: usize) -> Option<Phase> {
        let ph = [phase / s.stride[2] / s.stride[1], phase / s.stride[2] % s.stride[1], phase % s.stride[2]];
        // Along each axis: positions i of dx with (i + pad) % stride == phase, and the taps t with
        // (t * dilation) % stride == phase; then o = (i + pad - t * dilation) / stride.
        let mut axes = [None; 3];
        let mut taps: [Vec<usize>; 3] = Default::default();
        let mut start = [0usize; 3];
        for d in 0..3 {
            let (st, di, pad) = (s.stride[d], s.dilation[d], s.pad_lo[d]);
            let first = (ph[d] + st - pad % st) % st;
            let count = if first < s.in_sp[d] { (s.in_sp[d] - first).div_ceil(st) } else { 0 };
            taps[d] = (0..s.k[d]).filter(|t| t * di % st == ph[d]).collect();
            start[d] = first;
            if count == 0 || taps[d].is_empty() {
                continue;
            }
            // Position number q is i = first + q * stride; its output for tap t is q + base - t*dilation/stride.
            let base = (first + pad) / st;
            let steps: Vec<usize> = taps[d].iter().map(|t| t * di / st).collect();
            let gap = steps.windows(2).map(|v| v[1] - v[0]).next().unwrap_or(1);
            // Taps from the last to the first read o from the smallest on.
            let last = steps[steps.len() - 1] as isize;
            axes[d] = Some(Axis {
                n_in: s.out_sp[d],
                n_out: count,
                k: steps.len(),
                stride: 1,
                dilation: gap,
                pad: last - base as isize,
            });
        }
        let [Some(ad), Some(ah), Some(aw)] = axes else { return None };
        let mut turned: Vec<usize> = Vec::with_capacity(s.taps());
        for &td in taps[0].iter().rev() {
            for &th in taps[1].iter().rev() {
                turned.extend(taps[2].iter().rev().map(|tw| (td * s.k[1] + th) * s.k[2] + tw));
            }
        }
        Some(Phase { axes: [ad, ah, aw], start, taps: turned })
    }

    /// The convolution over dy that gives the pixels of this phase: its geometry, its kernel (rows output channels, columns
    /// input channels), where the pixels go.
    fn convolution<'a, T>(
        &'a self,
        s: &ConvShape,
        group: usize,
        w: &'a [T],
    ) -> (Geometry, Taps<'a, T>, Place) {
        let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
        let g = Geometry { n: s.n, axes: self.axes, c: co, x_at: group * co, x_row: s.c_out };
        let steps = [ci * s.c_out, 1, s.c_out];
        let kernel = Taps { w, at: group * co, taps: &self.taps, steps, c: co, n: ci };
        (g, kernel, Place { start: self.start, step: s.stride, size: s.in_sp, at: group * ci, row: s.c_in })
    }
}

/// dx = dy * turned kernel, phase by phase.
pub(super) fn input_grad<T: Scalar>(
    l: Level,
    s: &ConvShape,
    dy: &[T],
    w: &[T],
    rounded: bool,
    dx: &mut [T],
) -> Result<(), AllocError> {
    let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
    if s.groups == 1 && Geometry::new(s, 0).is_plain() {
        if let Some((g, place)) = flat::<T>(l, &Geometry { c: co, x_row: co, ..Geometry::new(s, 0) }, ci) {
            let kernel = Taps { w, at: 0, taps: &[0], steps: [ci * co, 1, co], c: co, n: ci };
            return convolve(l, &g, dy, &kernel, Finish::none(rounded), dx, &place);
        }
        let ep = Epilogue { rounded, ..Epilogue::default() };
        gemm_at(l, dy.len() / co, ci, co, Mat::rows(dy, co), Mat::rows(w, co).t(), dx, ci, false, ep);
        return Ok(());
    }
    let phases: usize = s.stride.iter().product();
    // Pixels that no output saw.
    if phases > 1 {
        dx.fill(T::of(0.0));
    }
    for phase in (0..phases).filter_map(|phase| Phase::new(s, phase)) {
        for group in 0..s.groups {
            let (g, kernel, place) = phase.convolution(s, group, w);
            convolve(l, &g, dy, &kernel, Finish::none(rounded), dx, &place)?;
        }
    }
    Ok(())
}

/// The bias's gradient is known only to convolutions of one group.
pub(super) fn kernel_grad<T: Scalar>(
    l: Level,
    s: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    mut db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let co = s.c_out / s.groups;
    let g = Geometry::new(s, 0);
    // Without windows the gradient is a product as well, unless the bias's is wanted in the same pass. Measured on AVX-512
    // alone.
    let product = l == Level::Avx512 && s.groups == 1 && g.is_plain() && db.is_none();
    if product && s.c_in.min(co) > shallow(l) {
        let (x, dy) = (Mat::rows(x, s.c_in).t(), Mat::rows(dy, co));
        gemm_at(l, s.c_in, co, g.pixels(), x, dy, dw, co, false, Epilogue::default());
        return Ok(());
    }
    for group in 0..s.groups {
        let g = Geometry::new(s, group);
        if s.groups == 1 && winograd::pays::<T>(&g, co) {
            return winograd::kernel_grad(l, &g, x, dy, co, dw, db);
        }
        let db = db.as_deref_mut();
        outer::kernel_grad(l, &g, x, dy, [group * co, s.c_out, co], dw, [group * co, s.c_out], db)?;
    }
    Ok(())
}

/// A convolution of one group, whichever way is best.
fn convolve<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    kernel: &Taps<'_, T>,
    finish: Finish<'_, T>,
    y: &mut [T],
    place: &Place,
) -> Result<(), AllocError> {
    Ready::new(l, g, kernel)?.run(l, g, x, finish, y, place, direct::TASKS)
}

/// A kernel in the order of the way that is best for a convolution.
enum Ready<T> {
    Strips(PackedB<T>),
    Panels(Buffer, usize),
    Points(Way, Buffer, usize),
}

impl<T: Scalar> Ready<T> {
    fn new(l: Level, g: &Geometry, kernel: &Taps<'_, T>) -> Result<Ready<T>, AllocError> {
        let &Taps { w, at, taps, steps, c, n } = kernel;
        if g.axes[2].n_out < NARROW {
            let mut matrix = vec![T::ZERO; taps.len() * c * n];
            for (i, row) in matrix.chunks_exact_mut(n.max(1)).enumerate() {
                for (j, v) in row.iter_mut().enumerate() {
                    *v = w[at + taps[i / c] * steps[0] + i % c * steps[1] + j * steps[2]];
                }
            }
            return Ok(Ready::Strips(PackedB::at(l, g.k(), n, Mat::rows(&matrix, n))?));
        }
        let mut packed = Buffer::scratch(kernel.packed_len(l) * size_of::<T>())?;
        let panels = kernel.pack(l, elements_mut::<T>(packed.bytes_mut()));
        let Some(way) = Way::fitting::<T>(g, n) else {
            return Ok(Ready::Panels(packed, n));
        };
        let mut points = Buffer::scratch(way.len::<T>(l, c, n) * size_of::<T>())?;
        way.transform(l, panels, c, elements_mut::<T>(points.bytes_mut()));
        Ok(Ready::Points(way, points, n))
    }

    /// Runs the convolution that the kernel was prepared for, direct ones in at least `tasks` tasks.
    fn run(
        &self,
        l: Level,
        g: &Geometry,
        x: &[T],
        finish: Finish<'_, T>,
        y: &mut [T],
        place: &Place,
        tasks: usize,
    ) -> Result<(), AllocError> {
        let nr = direct::panel_columns::<T>(l);
        match self {
            Ready::Strips(packed) => {
                let activation = finish.least.map(|_| Unary::Relu);
                let ep = Epilogue { bias: finish.bias, residual: None, activation, rounded: finish.rounded };
                strips::convolve(g, x, packed, ep, y, place)
            }
            &Ready::Panels(ref packed, n) => {
                let panels = Panels { data: elements(packed.bytes()), k: g.k(), n, nr };
                direct::convolve(l, g, x, panels, finish, y, place, tasks)
            }
            &Ready::Points(way, ref points, n) => {
                let points = Points { way, data: elements(points.bytes()), n, nr };
                winograd::convolve(l, g, x, points, finish, y, place)
            }
        }
    }
}

/// A convolution of one group (or the gradient of its input) that runs many times with one kernel.
pub(crate) struct Repeated<T> {
    level: Level,
    g: Geometry,
    place: Place,
    kernel: Ready<T>,
    tasks: usize,
}

impl<T: Scalar> Repeated<T> {
    /// `y = x * w`; `alone` says that calls run inside of a region, where cutting them up is of no use.
    pub fn forward(l: Level, s: &ConvShape, w: &[T], alone: bool) -> Result<Repeated<T>, AllocError> {
        assert!(s.groups == 1 && w.len() == s.w_len(), "conv: a kernel of another shape");
        let (g, taps) = (Geometry::new(s, 0), (0..s.taps()).collect::<Vec<_>>());
        let kernel = Ready::new(l, &g, &whole(s, w, &taps))?;
        Ok(Repeated { level: l, g, place: everywhere(s), kernel, tasks: tasks(alone) })
    }

    /// The gradient of the input, of convolutions without steps whose windows meet every input.
    pub fn input_grad(l: Level, s: &ConvShape, w: &[T], alone: bool) -> Result<Repeated<T>, AllocError> {
        assert!(
            s.groups == 1 && w.len() == s.w_len() && s.stride == [1; 3],
            "conv: a kernel of another shape"
        );
        let phase = Phase::new(s, 0).expect("without steps, there is a phase");
        let (g, kernel, place) = phase.convolution(s, 0, w);
        let kernel = Ready::new(l, &g, &kernel)?;
        Ok(Repeated { level: l, g, place, kernel, tasks: tasks(alone) })
    }

    pub fn run(&self, x: &[T], y: &mut [T]) -> Result<(), AllocError> {
        self.kernel.run(self.level, &self.g, x, Finish::none(false), y, &self.place, self.tasks)
    }
}

fn tasks(alone: bool) -> usize {
    if alone { 1 } else { direct::TASKS }
}

/// The taps of a whole kernel of one group.
fn whole<'a, T>(s: &ConvShape, w: &'a [T], taps: &'a [usize]) -> Taps<'a, T> {
    Taps { w, at: 0, taps, steps: [s.c_in * s.c_out, s.c_out, 1], c: s.c_in, n: s.c_out }
}

fn everywhere(s: &ConvShape) -> Place {
    Place { start: [0; 3], step: [1; 3], size: s.out_sp, at: 0, row: s.c_out }
}

/// Elements of the kernel as [`forward_packed`] wants it; `None` if that does not pay.
pub(super) fn packed_len<T: Scalar>(l: Level, s: &ConvShape) -> Option<usize> {
    let g = Geometry::new(s, 0);
    if s.groups != 1 || g.is_plain() || g.axes[2].n_out < NARROW || s.w_len() == 0 {
        return None;
    }
    Some(match Way::fitting::<T>(&g, s.c_out) {
        Some(way) => way.len::<T>(l, s.c_in, s.c_out),
        None => s.c_out.next_multiple_of(direct::panel_columns::<T>(l)) * g.k(),
    })
}

/// Packs a kernel for [`forward_packed`].
pub(super) fn pack<T: Scalar>(l: Level, s: &ConvShape, w: &[T], out: &mut [T]) -> Result<(), AllocError> {
    let g = Geometry::new(s, 0);
    let taps: Vec<usize> = (0..s.taps()).collect();
    let kernel = whole(s, w, &taps);
    if let Some(way) = Way::fitting::<T>(&g, s.c_out) {
        let mut packed = Buffer::scratch(kernel.packed_len(l) * size_of::<T>())?;
        way.transform(l, kernel.pack(l, elements_mut::<T>(packed.bytes_mut())), s.c_in, out);
    } else {
        kernel.pack(l, out);
    }
    Ok(())
}

/// [`forward`] with a kernel that [`pack`] made.
pub(super) fn forward_packed<T: Scalar>(
    l: Level,
    s: &ConvShape,
    x: &[T],
    data: &[T],
    finish: Finish<'_, T>,
    y: &mut [T],
) -> Result<(), AllocError> {
    let (g, n, nr) = (Geometry::new(s, 0), s.c_out, direct::panel_columns::<T>(l));
    if let Some(way) = Way::fitting::<T>(&g, n) {
        return winograd::convolve(l, &g, x, Points { way, data, n, nr }, finish, y, &everywhere(s));
    }
    direct::convolve(l, &g, x, Panels { data, k: g.k(), n, nr }, finish, y, &everywhere(s), direct::TASKS)
}
