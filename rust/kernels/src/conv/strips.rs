//! Dense and grouped convolution by strips of pixels and products of matrices.

use super::ConvShape;
use crate::buffer::{AllocError, Buffer};
use crate::gemm::{Epilogue, Mat, PackedB, Scalar, gemm, gemm_packed};
use crate::map::Unary;
use crate::par;
use crate::shared::Shared;

/// Bytes of a strip: it stays in the second-level cache beside the kernel.
const STRIP: usize = 96 << 10;
/// Pieces that the gradient of the kernel is summed in, at most.
const PIECES: usize = 32;

/// Output positions along one axis and where they come from: output `o`, tap `t` reads input `o * stride + t * dilation -
/// pad` (as signed number).
#[derive(Clone, Copy)]
struct Axis {
    n_in: usize,
    n_out: usize,
    k: usize,
    stride: usize,
    dilation: usize,
    pad: isize,
}

/// A dense convolution of one group: channel offsets and row lengths besides the axes.
#[derive(Clone, Copy)]
struct Geometry {
    n: usize,
    axes: [Axis; 3],
    /// Channels read, of `x_row` channels per input pixel, from `x_at` on.
    c: usize,
    x_at: usize,
    x_row: usize,
}

impl Geometry {
    fn new(s: &ConvShape, group: usize) -> Geometry {
        let c = s.c_in / s.groups;
        let axes = std::array::from_fn(|d| Axis {
            n_in: s.in_sp[d],
            n_out: s.out_sp[d],
            k: s.k[d],
            stride: s.stride[d],
            dilation: s.dilation[d],
            pad: s.pad_lo[d] as isize,
        });
        Geometry { n: s.n, axes, c, x_at: group * c, x_row: s.c_in }
    }

    fn k(&self) -> usize {
        self.axes.iter().map(|a| a.k).product::<usize>() * self.c
    }

    fn pixels(&self) -> usize {
        self.n * self.axes.iter().map(|a| a.n_out).product::<usize>()
    }

    /// Is a strip just the input itself: one tap, no step, no padding, all channels?
    fn is_plain(&self) -> bool {
        self.axes.iter().all(|a| a.k == 1 && a.stride == 1 && a.pad == 0 && a.n_in == a.n_out)
            && self.c == self.x_row
    }

    /// Lays the inputs of output pixels `from..to` side by side.
    fn strip<T: Scalar>(&self, x: &[T], from: usize, to: usize, out: &mut [T]) {
        let [ad, ah, aw] = self.axes;
        let c = self.c;
        let image = ad.n_in * ah.n_in * aw.n_in * self.x_row;
        let width = self.k();
        let zero = T::of(0.0);
        let mut p = from;
        while p < to {
            // A run of pixels in one output row.
            let ow = p % aw.n_out;
            let rest = p / aw.n_out;
            let (oh, od, n) = (rest % ah.n_out, rest / ah.n_out % ad.n_out, rest / ah.n_out / ad.n_out);
            let run = (aw.n_out - ow).min(to - p);
            let rows = &mut out[(p - from) * width..][..run * width];
            let mut at = 0;
            for td in 0..ad.k {
                let id = (od * ad.stride + td * ad.dilation) as isize - ad.pad;
                for th in 0..ah.k {
                    let ih = (oh * ah.stride + th * ah.dilation) as isize - ah.pad;
                    let inside = id >= 0 && id < ad.n_in as isize && ih >= 0 && ih < ah.n_in as isize;
                    if !inside {
                        for row in rows.chunks_exact_mut(width) {
                            row[at..at + aw.k * c].fill(zero);
                        }
                        at += aw.k * c;
                        continue;
                    }
                    let line =
                        n * image + (id as usize * ah.n_in + ih as usize) * aw.n_in * self.x_row + self.x_at;
                    let first = (ow * aw.stride) as isize - aw.pad;
                    if aw.dilation == 1 && c == self.x_row {
                        // The taps of a pixel lie side by side in the input.
                        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                            let iw = first + (i * aw.stride) as isize;
                            let to = &mut row[at..at + aw.k * c];
                            if iw >= 0 && iw as usize + aw.k <= aw.n_in {
                                to.copy_from_slice(&x[line + iw as usize * c..][..aw.k * c]);
                            } else {
                                for (t, to) in to.chunks_exact_mut(c).enumerate() {
                                    let j = iw + t as isize;
                                    if j >= 0 && (j as usize) < aw.n_in {
                                        to.copy_from_slice(&x[line + j as usize * c..][..c]);
                                    } else {
                                        to.fill(zero);
                                    }
                                }
                            }
                        }
                    } else {
                        for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                            let iw = first + (i * aw.stride) as isize;
                            for (t, to) in row[at..at + aw.k * c].chunks_exact_mut(c).enumerate() {
                                let j = iw + (t * aw.dilation) as isize;
                                if j >= 0 && (j as usize) < aw.n_in {
                                    to.copy_from_slice(&x[line + j as usize * self.x_row..][..c]);
                                } else {
                                    to.fill(zero);
                                }
                            }
                        }
                    }
                    at += aw.k * c;
                }
            }
            p += run;
        }
    }
}

/// Pixels per strip for rows of `width` elements.
fn strip_pixels<T>(width: usize, pixels: usize) -> usize {
    let most = (STRIP / size_of::<T>() / width.max(1)).clamp(12, 1536);
    // Even pieces, and enough of them for several threads.
    let pieces = pixels.div_ceil(most).max(8.min(pixels.div_ceil(48)));
    pixels.div_ceil(pieces.max(1)).next_multiple_of(6)
}

/// The kernel slice of a group as a matrix [taps · c_in, c_out of the group].
fn group_matrix<'a, T>(s: &ConvShape, w: &'a [T], group: usize) -> Mat<'a, T> {
    let co = s.c_out / s.groups;
    Mat { data: &w[group * co..], rs: s.c_out, cs: 1 }
}

pub(super) fn forward<T: Scalar>(
    s: &ConvShape,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    activation: Option<Unary>,
    y: &mut [T],
) -> Result<(), AllocError> {
    let co = s.c_out / s.groups;
    let epilogue =
        |group: usize| Epilogue { bias: bias.map(|b| &b[group * co..][..co]), residual: None, activation };
    if s.groups == 1 && Geometry::new(s, 0).is_plain() {
        let g = Geometry::new(s, 0);
        gemm(g.pixels(), co, g.c, Mat::rows(x, g.c), Mat::rows(w, co), y, co, false, epilogue(0));
        return Ok(());
    }
    for group in 0..s.groups {
        let g = Geometry::new(s, group);
        let packed = PackedB::new(g.k(), co, group_matrix(s, w, group))?;
        convolve(&g, x, &packed, epilogue(group), y, group * co, s.c_out, &|p| p)?;
    }
    Ok(())
}

/// Multiplies strips with a packed kernel. Output pixel `p` goes to row `place(p)` of `y`, where runs of pixels in one
/// output row go to evenly spaced rows.
fn convolve<T: Scalar>(
    g: &Geometry,
    x: &[T],
    packed: &PackedB<T>,
    ep: Epilogue<'_, T>,
    y: &mut [T],
    y_at: usize,
    y_row: usize,
    place: &(dyn Fn(usize) -> usize + Sync),
) -> Result<(), AllocError> {
    let (pixels, width) = (g.pixels(), g.k());
    if pixels == 0 {
        return Ok(());
    }
    let step = strip_pixels::<T>(width, pixels);
    let failed = std::sync::atomic::AtomicBool::new(false);
    let length = y.len();
    let out = Shared::new(y);
    par::run(pixels.div_ceil(step), |i| {
        let (from, to) = (i * step, (i * step + step).min(pixels));
        let Ok(mut strip) = Buffer::scratch((to - from) * width * size_of::<T>()) else {
            failed.store(true, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        let strip = crate::convert::elements_mut::<T>(strip.bytes_mut());
        g.strip(x, from, to, strip);
        let row = |p: usize| place(p) * y_row + y_at;
        let mut p = from;
        while p < to {
            // As many pixels as go to evenly spaced rows.
            let run = run_length(p, to, place);
            let step = if run > 1 { place(p + 1) - place(p) } else { 1 };
            let reach = (run - 1) * step * y_row + packed.n();
            // SAFETY: every pixel has rows of its own, and groups take different columns one after the other.
            let c = unsafe { out.part(row(p), reach.min(length - row(p))) };
            let a = Mat::rows(&strip[(p - from) * width..], width);
            gemm_packed(run, a, packed, c, step * y_row, false, ep);
            p += run;
        }
    });
    if failed.into_inner() { Err(AllocError { bytes: step * width * size_of::<T>() }) } else { Ok(()) }
}

fn run_length(p: usize, to: usize, place: &(dyn Fn(usize) -> usize + Sync)) -> usize {
    if p + 1 >= to {
        return 1;
    }
    let first = place(p);
    let Some(step) = place(p + 1).checked_sub(first).filter(|&s| s > 0) else { return 1 };
    // Rows are evenly spaced all the way in the usual case, which one look at the end shows.
    if place(to - 1) == first + (to - 1 - p) * step
        && place((p + to) / 2) == first + ((p + to) / 2 - p) * step
    {
        return to - p;
    }
    let mut run = 2;
    while p + run < to && place(p + run) == first + run * step {
        run += 1;
    }
    run
}

/// dx = dy * turned kernel. With a stride, output pixels of dx fall into phases: those of a phase see a fixed subset of
/// the taps, at steps of one in dy.
pub(super) fn input_grad<T: Scalar>(
    s: &ConvShape,
    dy: &[T],
    w: &[T],
    dx: &mut [T],
) -> Result<(), AllocError> {
    let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
    dx.fill(T::of(0.0));
    let phases: usize = s.stride.iter().product();
    for group in 0..s.groups {
        for phase in 0..phases {
            let ph =
                [phase / s.stride[2] / s.stride[1], phase / s.stride[2] % s.stride[1], phase % s.stride[2]];
            // Along each axis: positions i of dx with (i + pad) % stride == phase, and the taps t with
            // (t * dilation) % stride == phase; then o = (i + pad - t * dilation) / stride.
            let mut axes = [None; 3];
            let mut taps: [Vec<usize>; 3] = Default::default();
            let mut starts = [0usize; 3];
            for d in 0..3 {
                let (st, di, pad) = (s.stride[d], s.dilation[d], s.pad_lo[d]);
                let first = (ph[d] + st - pad % st) % st;
                let count = if first < s.in_sp[d] { (s.in_sp[d] - first).div_ceil(st) } else { 0 };
                taps[d] = (0..s.k[d]).filter(|t| t * di % st == ph[d]).collect();
                starts[d] = first;
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
            let [Some(ad), Some(ah), Some(aw)] = axes else { continue };
            let g = Geometry { n: s.n, axes: [ad, ah, aw], c: co, x_at: group * co, x_row: s.c_out };
            // The kernel turned around: rows (tap from last to first, output channel), columns input channels.
            let mut turned = Buffer::scratch(g.k() * ci * size_of::<T>())?;
            let turned = crate::convert::elements_mut::<T>(turned.bytes_mut());
            let mut at = 0;
            for &td in taps[0].iter().rev() {
                for &th in taps[1].iter().rev() {
                    for &tw in taps[2].iter().rev() {
                        let tap = (td * s.k[1] + th) * s.k[2] + tw;
                        for o in 0..co {
                            for c in 0..ci {
                                turned[at] = w[(tap * ci + c) * s.c_out + group * co + o];
                                at += 1;
                            }
                        }
                    }
                }
            }
            let packed = PackedB::new(g.k(), ci, Mat::rows(turned, ci))?;
            let place = |p: usize| {
                let (qw, rest) = (p % aw.n_out, p / aw.n_out);
                let (qh, rest) = (rest % ah.n_out, rest / ah.n_out);
                let (qd, n) = (rest % ad.n_out, rest / ad.n_out);
                let i = [
                    starts[0] + qd * s.stride[0],
                    starts[1] + qh * s.stride[1],
                    starts[2] + qw * s.stride[2],
                ];
                ((n * s.in_sp[0] + i[0]) * s.in_sp[1] + i[1]) * s.in_sp[2] + i[2]
            };
            let plain = |p: usize| p;
            let place: &(dyn Fn(usize) -> usize + Sync) = if phases == 1 { &plain } else { &place };
            convolve(&g, dy, &packed, Epilogue::default(), dx, group * ci, s.c_in, place)?;
        }
    }
    Ok(())
}

/// dw = stripsᵀ · dy, in pieces of the pixels that are added up in order.
pub(super) fn kernel_grad<T: Scalar>(
    s: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) -> Result<(), AllocError> {
    let co = s.c_out / s.groups;
    for group in 0..s.groups {
        let g = Geometry::new(s, group);
        let (pixels, width) = (g.pixels(), g.k());
        let size = width * co;
        let step = strip_pixels::<T>(width, pixels).max(96.min(pixels.next_multiple_of(6)));
        let strips = pixels.div_ceil(step);
        // Each piece has a sum of its own, so there are few when the kernel is large.
        let most = (PIECES).min(((8 << 20) / (size * size_of::<T>()).max(1)).max(4));
        let pieces = strips.clamp(1, most);
        let mut sums = Buffer::scratch(pieces * size * size_of::<T>())?;
        let sums = crate::convert::elements_mut::<T>(sums.bytes_mut());
        let failed = std::sync::atomic::AtomicBool::new(false);
        {
            let out = Shared::new(sums);
            par::run(pieces, |piece| {
                // SAFETY: one part per piece.
                let sum = unsafe { out.part(piece * size, size) };
                let (first, last) = (piece * strips / pieces, (piece + 1) * strips / pieces);
                let Ok(mut strip) = Buffer::scratch(step * width * size_of::<T>()) else {
                    failed.store(true, std::sync::atomic::Ordering::Relaxed);
                    return;
                };
                let strip = crate::convert::elements_mut::<T>(strip.bytes_mut());
                for i in first..last {
                    let (from, to) = (i * step, (i * step + step).min(pixels));
                    g.strip(x, from, to, &mut strip[..(to - from) * width]);
                    let a = Mat::rows(&strip[..(to - from) * width], width).t();
                    let b = Mat { data: &dy[from * s.c_out + group * co..], rs: s.c_out, cs: 1 };
                    gemm(width, co, to - from, a, b, sum, co, i > first, Epilogue::default());
                }
                if first == last {
                    sum.fill(T::of(0.0));
                }
            });
        }
        if failed.into_inner() {
            return Err(AllocError { bytes: step * width * size_of::<T>() });
        }
        for r in 0..width {
            for j in 0..co {
                let mut total = sums[r * co + j];
                for piece in 1..pieces {
                    total = total + sums[piece * size + r * co + j];
                }
                dw[r * s.c_out + group * co + j] = total;
            }
        }
    }
    Ok(())
}
