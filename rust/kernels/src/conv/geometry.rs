//! How the pixels of input and output belong together.

use super::ConvShape;
use crate::gemm::Scalar;

/// Output positions along one axis and where they come from: output `o`, tap `t` reads input `o * stride + t * dilation -
/// pad` (as signed number).
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub n_in: usize,
    pub n_out: usize,
    pub k: usize,
    pub stride: usize,
    pub dilation: usize,
    pub pad: isize,
}

impl Axis {
    /// Is the output just the input: one tap, no step, no padding?
    pub fn is_plain(&self) -> bool {
        self.k == 1 && self.stride == 1 && self.pad == 0 && self.n_in == self.n_out
    }

    /// The input position that output `o` and tap `t` meet in; outside of the axis it is a zero.
    #[inline(always)]
    pub fn at(&self, o: usize, t: usize) -> isize {
        (o * self.stride + t * self.dilation) as isize - self.pad
    }

    /// The same if it is inside.
    #[inline(always)]
    pub fn inside(&self, o: usize, t: usize) -> Option<usize> {
        let i = self.at(o, t);
        (i >= 0 && (i as usize) < self.n_in).then_some(i as usize)
    }

    /// The outputs `from..to` whose tap `t` lies inside.
    #[inline(always)]
    pub fn span(&self, t: usize) -> (usize, usize) {
        let shift = self.pad - (t * self.dilation) as isize;
        let stride = self.stride as isize;
        let from = if shift > 0 { (shift + stride - 1) / stride } else { 0 };
        let room = self.n_in as isize - 1 + shift;
        let to = if room < 0 { 0 } else { room / stride + 1 };
        let to = to.min(self.n_out as isize);
        (from.min(to).max(0) as usize, to.max(0) as usize)
    }

    /// Does an output see beyond the ends?
    pub fn is_padded(&self) -> bool {
        self.n_out > 0 && (self.pad > 0 || self.at(self.n_out - 1, self.k - 1) >= self.n_in as isize)
    }
}

/// A dense convolution of one group: channel offsets and row lengths besides the axes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub n: usize,
    pub axes: [Axis; 3],
    /// Channels read, of `x_row` channels per input pixel, from `x_at` on.
    pub c: usize,
    pub x_at: usize,
    pub x_row: usize,
}

/// Where output pixels go: position `o` of axis `d` to `start[d] + o * step[d]` of `size[d]`, `row` elements per pixel,
/// from element `at` on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub start: [usize; 3],
    pub step: [usize; 3],
    pub size: [usize; 3],
    pub at: usize,
    pub row: usize,
}

impl Place {
    /// The first element of a pixel.
    #[inline(always)]
    pub fn of(&self, n: usize, d: usize, h: usize, w: usize) -> usize {
        let i = [
            self.start[0] + d * self.step[0],
            self.start[1] + h * self.step[1],
            self.start[2] + w * self.step[2],
        ];
        (((n * self.size[0] + i[0]) * self.size[1] + i[1]) * self.size[2] + i[2]) * self.row + self.at
    }

    /// From a pixel to the next one of its row.
    #[inline(always)]
    pub fn pitch(&self) -> usize {
        self.step[2] * self.row
    }
}

impl Geometry {
    pub fn new(s: &ConvShape, group: usize) -> Geometry {
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

    pub fn k(&self) -> usize {
        self.axes.iter().map(|a| a.k).product::<usize>() * self.c
    }

    pub fn pixels(&self) -> usize {
        self.n * self.axes.iter().map(|a| a.n_out).product::<usize>()
    }

    /// Elements of an input image.
    pub fn image(&self) -> usize {
        self.axes.iter().map(|a| a.n_in).product::<usize>() * self.x_row
    }

    /// Is a strip just the input itself: one tap, no step, no padding, all channels?
    pub fn is_plain(&self) -> bool {
        self.axes.iter().all(Axis::is_plain) && self.c == self.x_row
    }

    /// Lays the inputs of output pixels `from..to` side by side.
    pub fn strip<T: Scalar>(&self, x: &[T], from: usize, to: usize, out: &mut [T]) {
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
