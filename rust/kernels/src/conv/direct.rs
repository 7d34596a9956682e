//! Dense convolution without laying anything out: a row of output pixels times the kernel is a product of matrices whose
//! left rows overlap in the input. Only where windows reach over the left or right edge, the rows of a block are copied
//! with zeros around them; rows above and below are left out of the sum.

use std::sync::atomic::{AtomicBool, Ordering};

use super::geometry::{Geometry, Place};
use super::tile::{Out, Stretch, even, most_rows, tile};
use crate::buffer::{AllocError, Buffer};
use crate::convert::elements_mut;
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch, prefetch};
use crate::par;
use crate::shared::Shared;

/// Bytes of input rows that a task copies: they stay in the second-level cache beside a panel of the kernel.
const ROWS: usize = 192 << 10;
/// Tasks of one convolution, at least, where there is enough to do.
pub(super) const TASKS: usize = 16;
/// Multiply-adds of a task, at least: about a microsecond.
const TASK: usize = 1 << 16;
/// A kernel of more bytes is met panel by panel, each with all rows of a task, instead of row by row.
pub(super) const LARGE_KERNEL: usize = 256 << 10;

/// Columns of a panel.
pub(super) fn panel_columns<T: Scalar>(l: Level) -> usize {
    struct Columns<T>(std::marker::PhantomData<T>);
    impl<T: Scalar> Kernel for Columns<T> {
        type Out = usize;
        #[inline(always)]
        fn run<S: Isa>(self) -> usize {
            2 * <T::V<S> as Lanes>::N
        }
    }
    dispatch(l, Columns::<T>(std::marker::PhantomData))
}

/// A kernel as panels of columns: [panel][tap][channel read][column], padded with zeros.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels<'a, T> {
    pub data: &'a [T],
    /// Rows: taps times channels read.
    pub k: usize,
    /// Columns: channels made.
    pub n: usize,
    /// Columns of a panel.
    pub nr: usize,
}

/// Some taps of a kernel as a matrix: `w[at + tap * steps[0] + channel read * steps[1] + channel made * steps[2]]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taps<'a, T> {
    pub w: &'a [T],
    pub at: usize,
    /// Their numbers, in the order of the sum.
    pub taps: &'a [usize],
    pub steps: [usize; 3],
    /// Channels read and made.
    pub c: usize,
    pub n: usize,
}

impl<T: Scalar> Taps<'_, T> {
    /// Elements of the panels.
    pub fn packed_len(&self, l: Level) -> usize {
        self.n.next_multiple_of(panel_columns::<T>(l)) * self.taps.len() * self.c
    }

    /// Writes the panels.
    pub fn pack<'a>(&self, l: Level, out: &'a mut [T]) -> Panels<'a, T> {
        let &Taps { w, at, taps, steps: [tap_step, c_step, n_step], c, n } = self;
        let (nr, k) = (panel_columns::<T>(l), taps.len() * c);
        let panels = n.div_ceil(nr);
        let grain = (1 << 14) / (nr * c).max(1) + 1;
        let blocks = taps.len().div_ceil(grain);
        let to = Shared::new(&mut *out);
        par::run(panels * blocks, |i| {
            let (panel, block) = (i / blocks, i % blocks);
            let width = nr.min(n - panel * nr);
            for t in block * grain..((block + 1) * grain).min(taps.len()) {
                let from = at + taps[t] * tap_step + panel * nr * n_step;
                // SAFETY: one part per panel and tap.
                let out = unsafe { to.part((panel * k + t * c) * nr, c * nr) };
                if n_step == 1 {
                    for (q, row) in out.chunks_exact_mut(nr).enumerate() {
                        row[..width].copy_from_slice(&w[from + q * c_step..][..width]);
                        row[width..].fill(T::ZERO);
                    }
                    continue;
                }
                // Channels read are the contiguous direction: in short runs, so that both sides stay in cache.
                for (run, rows) in out.chunks_mut(16 * nr).enumerate() {
                    for j in 0..nr {
                        for (q, row) in rows.chunks_exact_mut(nr).enumerate() {
                            row[j] = if j < width {
                                w[from + (run * 16 + q) * c_step + j * n_step]
                            } else {
                                T::ZERO
                            };
                        }
                    }
                }
            }
        });
        Panels { data: out, k, n, nr }
    }
}

/// What happens to a finished output: plus the bias of its channel, plus the residual (laid out like y), then at least
/// `least`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish<'a, T> {
    pub bias: Option<&'a [T]>,
    pub residual: Option<&'a [T]>,
    pub least: Option<T>,
    /// Rounded to bfloat16 before the first and after each of these.
    pub rounded: bool,
}

impl<T> Finish<'_, T> {
    /// Nothing but rounding, if that.
    pub fn none(rounded: bool) -> Self {
        Finish { bias: None, residual: None, least: None, rounded }
    }

    /// Are bias and residual long enough?
    pub fn check(&self, n: usize, y: usize) {
        let fits = self.bias.is_none_or(|b| b.len() >= n) && self.residual.is_none_or(|r| r.len() >= y);
        assert!(fits, "conv: bias or residual are too short");
    }
}

/// How a convolution is cut: by shape alone.
#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Output rows of a task.
    rows: usize,
    row_blocks: usize,
    /// Panels of a task.
    panels: usize,
    panel_groups: usize,
    /// Copy input rows with zeros around them.
    copy: bool,
}

impl Cut {
    fn new<T>(g: &Geometry, panels: &Panels<'_, T>, tasks: usize) -> Cut {
        let [ad, ah, aw] = g.axes;
        let images = g.n * ad.n_out;
        let count = panels.n.div_ceil(panels.nr);
        let copy = aw.is_padded();
        let row_bytes = padded_row(g) * ad.k * size_of::<T>();
        let fit = if copy { (ROWS / row_bytes.max(1)).saturating_sub(ah.k) / ah.stride } else { usize::MAX };
        let large = panels.k * panels.n * size_of::<T>() > LARGE_KERNEL;
        let mut panel_groups = 1;
        if large && images < tasks {
            panel_groups = tasks.div_ceil(images.max(1)).min(count);
        }
        // A short task costs more to hand over than it saves.
        let tasks = tasks.min(g.pixels() * panels.k * panels.n / TASK + 1);
        let wanted = tasks.div_ceil((images * panel_groups).max(1));
        let rows = ah.n_out.div_ceil(wanted).min(fit).max(1);
        let per_group = count.div_ceil(panel_groups);
        Cut {
            rows,
            row_blocks: ah.n_out.div_ceil(rows),
            panels: per_group,
            panel_groups: count.div_ceil(per_group),
            copy,
        }
    }
}

/// Elements of an input row with zeros around it.
fn padded_row(g: &Geometry) -> usize {
    let aw = g.axes[2];
    ((aw.n_out - 1) * aw.stride + (aw.k - 1) * aw.dilation + 1) * g.c
}

/// y = x * kernel, finished, at the places given, in about `tasks` tasks or more.
pub(super) fn convolve<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    panels: Panels<'_, T>,
    finish: Finish<'_, T>,
    y: &mut [T],
    place: &Place,
    tasks: usize,
) -> Result<(), AllocError> {
    if g.pixels() == 0 || panels.n == 0 {
        return Ok(());
    }
    let cut = Cut::new(g, &panels, tasks);
    let [ad, ah, _] = g.axes;
    let last = place.of(g.n - 1, ad.n_out - 1, ah.n_out - 1, g.axes[2].n_out - 1);
    assert!(last + panels.n <= y.len(), "conv: y is too short");
    assert!(x.len() >= g.n * g.image(), "conv: x is too short");
    let kernel = panels.n.next_multiple_of(panels.nr) * panels.k;
    assert!(panels.k == g.k() && panels.data.len() >= kernel, "conv: the kernel is too short");
    finish.check(panels.n, y.len());
    let failed = AtomicBool::new(false);
    let out = Shared::new(y);
    par::run(g.n * ad.n_out * cut.row_blocks * cut.panel_groups, |i| {
        let (rest, group) = (i / cut.panel_groups, i % cut.panel_groups);
        let (rest, block) = (rest / cut.row_blocks, rest % cut.row_blocks);
        let (n, d) = (rest / ad.n_out, rest % ad.n_out);
        let h = (block * cut.rows, ((block + 1) * cut.rows).min(ah.n_out));
        let end = ((group + 1) * cut.panels * panels.nr).min(panels.n);
        let columns = (group * cut.panels * panels.nr, end);
        let task = Task { g, x, panels, finish, y: &out, place, copy: cut.copy, n, d, h, columns };
        if dispatch(l, task).is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if failed.into_inner() { Err(AllocError { bytes: ROWS }) } else { Ok(()) }
}

/// Some rows of one output image, some columns.
struct Task<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    panels: Panels<'a, T>,
    finish: Finish<'a, T>,
    y: &'a Shared<'a, T>,
    place: &'a Place,
    copy: bool,
    n: usize,
    d: usize,
    h: (usize, usize),
    columns: (usize, usize),
}

impl<T: Scalar> Kernel for Task<'_, T> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let g = self.g;
        let [ad, ah, aw] = g.axes;
        let image = &self.x[self.n * g.image()..][..g.image()];
        // Where a row of the input begins in `source`, at the element that output 0 and tap 0 of the row axis meet.
        let mut copied: Option<Buffer> = None;
        let (lo, hi) = (ah.at(self.h.0, 0).max(0), (ah.at(self.h.1 - 1, ah.k - 1) + 1).min(ah.n_in as isize));
        let rows = (hi - lo).max(0) as usize;
        let width = padded_row(g);
        let pixel = if self.copy { g.c } else { g.x_row };
        if self.copy {
            let mut buffer = Buffer::scratch(ad.k * rows * width * size_of::<T>())?;
            let to = elements_mut::<T>(buffer.bytes_mut());
            for td in 0..ad.k {
                let Some(id) = ad.inside(self.d, td) else { continue };
                for r in 0..rows {
                    let from = (id * ah.n_in + lo as usize + r) * aw.n_in * g.x_row + g.x_at;
                    copy_row(g, &image[from..], &mut to[(td * rows + r) * width..][..width]);
                }
            }
            copied = Some(buffer);
        }
        let source: &[T] = match &copied {
            Some(b) => crate::convert::elements(b.bytes()),
            None => image,
        };
        // The stretches of every row of output.
        let fold = aw.dilation == 1 && pixel == g.c;
        let nr = self.panels.nr;
        let count = self.h.1 - self.h.0;
        let per_row = ad.k * ah.k * if fold { 1 } else { aw.k };
        let mut stretches: Vec<Stretch> = Vec::with_capacity(count * per_row);
        let mut ends: Vec<usize> = Vec::with_capacity(count);
        for h in self.h.0..self.h.1 {
            for td in 0..ad.k {
                let Some(id) = ad.inside(self.d, td) else { continue };
                for th in 0..ah.k {
                    let Some(ih) = ah.inside(h, th) else { continue };
                    let a = if self.copy {
                        (td * rows + ih - lo as usize) * width
                    } else {
                        // Without a copy nothing reaches over the edge, so this is not negative.
                        ((id * ah.n_in + ih) * aw.n_in) * g.x_row + g.x_at + aw.at(0, 0) as usize * g.x_row
                    };
                    let b = (td * ah.k + th) * aw.k * g.c * nr;
                    if fold {
                        stretches.push(Stretch { a, b, len: aw.k * g.c });
                    } else {
                        for tw in 0..aw.k {
                            let a = a + tw * aw.dilation * pixel;
                            stretches.push(Stretch { a, b: b + tw * g.c * nr, len: g.c });
                        }
                    }
                }
            }
            ends.push(stretches.len());
        }
        let panels = (self.columns.1 - self.columns.0).div_ceil(nr);
        let row_first = self.panels.k * self.panels.n * size_of::<T>() <= LARGE_KERNEL;
        for step in 0..count * panels {
            let (r, panel) =
                if row_first { (step / panels, step % panels) } else { (step % count, step / count) };
            let begin = if r == 0 { 0 } else { ends[r - 1] };
            let column = self.columns.0 + panel * nr;
            // SAFETY: `convolve` has checked that all pixels and columns lie in x, the panels and y.
            unsafe {
                self.row::<S>(source, pixel, &stretches[begin..ends[r]], self.h.0 + r, column);
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Task<'_, T> {
    /// One row of output pixels, one panel of columns.
    #[inline(always)]
    unsafe fn row<S: Isa>(&self, source: &[T], pixel: usize, stretches: &[Stretch], h: usize, column: usize) {
        let aw = self.g.axes[2];
        let (nr, k) = (self.panels.nr, self.panels.k);
        let b = self.panels.data[column * k..].as_ptr();
        let ldc = self.place.pitch();
        let size = even(aw.n_out, most_rows::<S>());
        let width = nr.min(self.columns.1 - column);
        let mut w = 0;
        while w < aw.n_out {
            let rows = size.min(aw.n_out - w);
            let at = self.place.of(self.n, self.d, h, w) + column;
            // SAFETY: pixels and columns of different tasks are different elements of y.
            unsafe {
                let c = self.y.at(at, (rows - 1) * ldc + width);
                for i in 0..rows {
                    prefetch(c.wrapping_add(i * ldc));
                    prefetch(c.wrapping_add(i * ldc + width - 1));
                }
                let bias = self.finish.bias.map(|b| b[column..].as_ptr());
                let residual = self.finish.residual.map(|r| r[at..].as_ptr());
                let Finish { least, rounded, .. } = self.finish;
                let out = Out { c, ldc, width, add: false, bias, residual, least, rounded };
                let a = source.as_ptr().add(w * aw.stride * pixel);
                tile::<T, S, false>(rows, stretches, a, aw.stride * pixel, 0, b, nr, &out);
            }
            w += rows;
        }
    }
}

/// A row of the input with zeros where windows reach over its ends.
#[inline(always)]
pub(super) fn copy_row<T: Scalar>(g: &Geometry, from: &[T], to: &mut [T]) {
    let aw = g.axes[2];
    let count = to.len() / g.c;
    // Pixel q of the copy is input pixel q - pad.
    let left = aw.pad.clamp(0, count as isize) as usize;
    let right = (aw.n_in as isize + aw.pad).clamp(left as isize, count as isize) as usize;
    to[..left * g.c].fill(T::ZERO);
    to[right * g.c..].fill(T::ZERO);
    let first = (left as isize - aw.pad) as usize;
    if g.c == g.x_row {
        to[left * g.c..right * g.c].copy_from_slice(&from[first * g.c..][..(right - left) * g.c]);
    } else {
        for q in 0..right - left {
            to[(left + q) * g.c..][..g.c].copy_from_slice(&from[(first + q) * g.x_row..][..g.c]);
        }
    }
}
