//! The gradient of the kernel: for every tap, pixels of the input, transposed, times gradients of the outputs. The input lies
//! in the order in which the tile reads it; of the gradients, a panel of a few pixels at a time is laid out so that it stays
//! in the first-level cache while all taps and channels meet it. Pixels that a tap meets outside of the image are left out.
//! The images are summed in pieces whose number is a function of the shape.

use std::sync::atomic::{AtomicBool, Ordering};

use super::direct::{copy_row, panel_columns};
use super::geometry::Geometry;
use super::tile::{Out, Stretch, even, most_rows, tile};
use crate::buffer::{AllocError, Buffer};
use crate::convert::elements_mut;
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch, prefetch};
use crate::par;
use crate::shared::Shared;

/// Bytes of all partial sums together, at most.
const SUMS: usize = 4 << 20;
/// Partial sums, at most.
const PIECES: usize = 16;
/// Tasks, at least, where there is enough to do.
const TASKS: usize = 16;
/// Pixels that a panel of gradients has, about.
const PIXELS: usize = 128;
/// Fewer channels than this are not worth a tile of their own: the taps of a row are taken together.
const FEW: usize = 8;

#[derive(Clone, Copy, Debug)]
struct Cut {
    /// Partial sums.
    pieces: usize,
    /// Taps (or rows of taps) fall into this many groups, columns into that many.
    tap_groups: usize,
    column_groups: usize,
    /// Panels per column group.
    panels: usize,
    /// Output rows (of all images) and columns of a chunk.
    chunk: [usize; 2],
    /// Take the taps of a row together.
    fold: bool,
}

impl Cut {
    fn new<T>(g: &Geometry, n: usize, nr: usize) -> Cut {
        let [ad, ah, aw] = g.axes;
        let rows = g.n * ad.n_out * ah.n_out;
        let bytes = g.k() * n * size_of::<T>();
        let fold = g.c < FEW && aw.k > 1 && aw.dilation == 1;
        let taps = ad.k * ah.k * if fold { 1 } else { aw.k };
        let pieces = (SUMS / bytes.max(1)).clamp(1, PIECES).min(rows.div_ceil(4).max(1));
        let (mut tap_groups, mut column_groups) = (1, 1);
        let count = n.div_ceil(nr);
        if pieces < TASKS {
            column_groups = TASKS.div_ceil(pieces).min(count.div_ceil(2));
            tap_groups = TASKS.div_ceil(pieces * column_groups).min(taps);
        }
        let panels = count.div_ceil(column_groups);
        Cut {
            pieces,
            tap_groups,
            column_groups: count.div_ceil(panels),
            panels,
            chunk: match PIXELS / aw.n_out.max(1) {
                0 => [1, super::tile::even(aw.n_out, PIXELS + PIXELS / 2)],
                some => [some.min(rows.max(1)), aw.n_out.max(1)],
            },
            fold,
        }
    }
}

/// dw[tap][channel read][channel made], of which row r begins at `r * w_row + w_at`; `dy` has `y_row` elements per pixel and
/// its `n` channels begin at `y_at`; db gets their sums.
pub(super) fn kernel_grad<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    dy: &[T],
    [y_at, y_row, n]: [usize; 3],
    dw: &mut [T],
    [w_at, w_row]: [usize; 2],
    db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let (k, nr) = (g.k(), panel_columns::<T>(l));
    assert!(
        x.len() >= g.n * g.image()
            && y_at + n <= y_row
            && dy.len() >= g.pixels() * y_row
            && (k == 0 || (k - 1) * w_row + w_at + n <= dw.len()),
        "conv: the gradient does not fit"
    );
    let cut = Cut::new::<T>(g, n, nr);
    let rows = g.n * g.axes[0].n_out * g.axes[1].n_out;
    let failed = AtomicBool::new(false);
    let mut biases = Buffer::zeroed(if db.is_some() { cut.pieces * n * size_of::<T>() } else { 0 })?;
    let mut sums = Buffer::scratch(if cut.pieces > 1 { cut.pieces * k * n * size_of::<T>() } else { 0 })?;
    {
        let sums = Shared::new(elements_mut::<T>(sums.bytes_mut()));
        let whole = Shared::new(&mut *dw);
        let biases = Shared::new(elements_mut::<T>(biases.bytes_mut()));
        let wants_bias = db.is_some();
        let groups = cut.tap_groups * cut.column_groups;
        par::run(cut.pieces * groups, |i| {
            let (piece, group) = (i / groups, i % groups);
            let (taps, columns) = (group / cut.column_groups, group % cut.column_groups);
            let columns = (columns * cut.panels * nr, ((columns + 1) * cut.panels * nr).min(n));
            let of = |p: usize| p * rows / cut.pieces;
            let (out, at, ldc) =
                if cut.pieces > 1 { (&sums, piece * k * n, n) } else { (&whole, w_at, w_row) };
            let rows = (of(piece), of(piece + 1));
            // One of the tap groups also sums the gradients.
            let bias = (wants_bias && taps == 0).then_some((&biases, piece * n));
            let task = Task { g, x, dy, y_at, y_row, out, at, ldc, cut, nr, rows, taps, columns, bias };
            if dispatch(l, task).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
    }
    if failed.into_inner() {
        return Err(AllocError { bytes: PIXELS * nr * size_of::<T>() });
    }
    if let Some(db) = db {
        db.fill(T::ZERO);
        for piece in crate::convert::elements::<T>(biases.bytes()).chunks_exact(n.max(1)) {
            for (db, &part) in db.iter_mut().zip(piece) {
                *db = *db + part;
            }
        }
    }
    if cut.pieces > 1 {
        let sums = crate::convert::elements::<T>(sums.bytes());
        let out = Shared::new(dw);
        crate::shared::ranges(k, (1 << 14) / (n * cut.pieces) + 1, |from, to| {
            for r in from..to {
                // SAFETY: rows of dw are disjoint.
                let row = unsafe { out.part(r * w_row + w_at, n) };
                row.copy_from_slice(&sums[r * n..][..n]);
                for piece in 1..cut.pieces {
                    for (total, &part) in row.iter_mut().zip(&sums[(piece * k + r) * n..][..n]) {
                        *total = *total + part;
                    }
                }
            }
        });
    }
    Ok(())
}

/// The sum over some rows of pixels, for some taps and columns.
struct Task<'a, T> {
    g: &'a Geometry,
    x: &'a [T],
    dy: &'a [T],
    y_at: usize,
    y_row: usize,
    out: &'a Shared<'a, T>,
    at: usize,
    ldc: usize,
    cut: Cut,
    nr: usize,
    rows: (usize, usize),
    taps: usize,
    columns: (usize, usize),
    /// Where the sums of gradients begin, if this task has to make them.
    bias: Option<(&'a Shared<'a, T>, usize)>,
}

impl<T: Scalar> Kernel for Task<'_, T> {
    type Out = Result<(), AllocError>;
    #[inline(always)]
    fn run<S: Isa>(self) -> Self::Out {
        let g = self.g;
        let [ad, ah, aw] = g.axes;
        let fold = self.cut.fold;
        let in_row = if fold { aw.k } else { 1 };
        let taps = ad.k * ah.k * aw.k / in_row;
        let width = ((aw.n_out.max(1) - 1) * aw.stride + aw.k) * g.c;
        // Rows with zeros around them, where taps are taken together and reach over the edge.
        let copy = fold && (aw.is_padded() || g.c != g.x_row);
        let [tall, wide] = self.cut.chunk;
        let (copied, panel) = (if copy { tall * ah.k * ad.k * width } else { 0 }, tall * wide * self.nr);
        let mut buffer = Buffer::scratch((copied + panel) * size_of::<T>())?;
        let (panel, copied) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(panel);
        let groups = self.cut.tap_groups;
        let of_task = self.taps * taps / groups..(self.taps + 1) * taps / groups;
        let mut stretches: Vec<Stretch> = Vec::new();
        let mut ends: Vec<usize> = Vec::new();
        let mut first = true;
        for from in (self.rows.0..self.rows.1).step_by(tall) {
            let to = (from + tall).min(self.rows.1);
            for left in (0..aw.n_out).step_by(wide) {
                let right = (left + wide).min(aw.n_out);
                stretches.clear();
                ends.clear();
                for tap in of_task.clone() {
                    let tw = if fold { 0 } else { tap % aw.k };
                    let line = tap / (aw.k / in_row);
                    let (w0, w1) = if fold { (0, aw.n_out) } else { aw.span(tw) };
                    let (w0, w1) = (w0.max(left), w1.min(right));
                    let begin = stretches.len();
                    for r in from..to {
                        let (h, rest) = (r % ah.n_out, r / ah.n_out);
                        let (d, n) = (rest % ad.n_out, rest / ad.n_out);
                        let (Some(id), Some(ih)) = (ad.inside(d, line / ah.k), ah.inside(h, line % ah.k))
                        else {
                            continue;
                        };
                        if w0 >= w1 {
                            continue;
                        }
                        let row = n * g.image() + (id * ah.n_in + ih) * aw.n_in * g.x_row + g.x_at;
                        let b = ((r - from) * (right - left) + w0 - left) * self.nr;
                        let a = if copy {
                            let slot = (line * tall + r - from) * width;
                            if left == 0 {
                                copy_row(g, &self.x[row..], &mut copied[slot..][..width]);
                            }
                            slot + w0 * aw.stride * g.c
                        } else {
                            row + aw.at(w0, tw) as usize * g.x_row
                        };
                        let len = w1 - w0;
                        // Rows that go on where the last one ended are one stretch.
                        if let Some(s) = stretches[begin..].last_mut()
                            && !copy
                            && s.a + s.len * aw.stride * g.x_row == a
                            && s.b + s.len * self.nr == b
                        {
                            s.len += len;
                            continue;
                        }
                        stretches.push(Stretch { a, b, len });
                    }
                    ends.push(stretches.len());
                }
                let (a, pixel) = if copy { (&*copied, g.c) } else { (self.x, g.x_row) };
                for column in (self.columns.0..self.columns.1).step_by(self.nr) {
                    self.lay_out::<S>(panel, [from, to, left, right], column);
                    if let Some((biases, at)) = self.bias {
                        let width = self.nr.min(self.columns.1 - column);
                        // SAFETY: columns of this task in the piece's sums.
                        let sums = unsafe { biases.part(at + column, width) };
                        self.add_up::<S>(&panel[..(to - from) * (right - left) * self.nr], sums);
                    }
                    let mut begin = 0;
                    for (tap, &end) in of_task.clone().zip(&ends) {
                        let row = tap * in_row * g.c;
                        let stretches = &stretches[begin..end];
                        // SAFETY: `kernel_grad` has checked that all pixels lie in x and dy and all rows in dw.
                        unsafe {
                            let step = aw.stride * pixel;
                            self.tap::<S>(a, step, panel, stretches, row, in_row * g.c, column, !first);
                        }
                        begin = end;
                    }
                }
                first = false;
            }
        }
        if first {
            for r in 0..taps * in_row * g.c {
                for c in self.columns.0..self.columns.1 {
                    // SAFETY: rows and columns of this task.
                    unsafe { *self.out.at(self.at + r * self.ldc + c, 1) = T::ZERO };
                }
            }
        }
        Ok(())
    }
}

impl<T: Scalar> Task<'_, T> {
    /// The gradients of some rows and columns of pixels, channels from `column` on, side by side and filled up with zeros.
    #[inline(always)]
    fn lay_out<S: Isa>(&self, panel: &mut [T], [from, to, left, right]: [usize; 4], column: usize) {
        let width = self.nr.min(self.columns.1 - column);
        // A panel takes a part of every pixel: strides that the hardware follows late, so the next panel of these columns is
        // asked for here.
        let ahead = (to - from) * (right - left) * self.y_row;
        let (n, count) = (<T::V<S> as Lanes>::N, right - left);
        for (r, out) in (from..to).zip(panel.chunks_exact_mut((count * self.nr).max(1))) {
            let row = (r * self.g.axes[2].n_out + left) * self.y_row + self.y_at + column;
            let dy = &self.dy[row..][..(count - 1) * self.y_row + width];
            if width == 2 * n {
                assert!(self.nr == 2 * n && out.len() == count * self.nr);
                let (mut dy, mut out) = (dy.as_ptr(), out.as_mut_ptr());
                for _ in 0..count {
                    prefetch(dy.wrapping_add(ahead));
                    // SAFETY: two vectors of every pixel lie in dy, and in the panel.
                    unsafe {
                        <T::V<S>>::load(dy).store(out);
                        <T::V<S>>::load(dy.add(n)).store(out.add(n));
                    }
                    (dy, out) = (dy.wrapping_add(self.y_row), out.wrapping_add(2 * n));
                }
                continue;
            }
            for (out, dy) in out.chunks_exact_mut(self.nr).zip(dy.chunks(self.y_row)) {
                out[..width].copy_from_slice(&dy[..width]);
                out[width..].fill(T::ZERO);
            }
        }
    }

    /// Adds the rows of a panel to `sums`.
    #[inline(always)]
    fn add_up<S: Isa>(&self, panel: &[T], sums: &mut [T]) {
        let n = <T::V<S> as Lanes>::N;
        let mut total = [<T::V<S>>::splat(T::ZERO); 2];
        for row in panel.chunks_exact(2 * n) {
            for j in 0..2 {
                // SAFETY: a row has two vectors.
                total[j] = total[j] + unsafe { <T::V<S>>::load(row.as_ptr().add(j * n)) };
            }
        }
        for (i, sum) in sums.iter_mut().enumerate() {
            *sum = *sum + total[i / n].to_array()[i % n];
        }
    }

    /// `count` rows of dw from `row` on, a panel of columns.
    #[inline(always)]
    unsafe fn tap<S: Isa>(
        &self,
        a: &[T],
        step_a: usize,
        panel: &[T],
        stretches: &[Stretch],
        row: usize,
        count: usize,
        column: usize,
        add: bool,
    ) {
        let size = even(count, most_rows::<S>());
        let width = self.nr.min(self.columns.1 - column);
        let mut i = 0;
        while i < count {
            let rows = size.min(count - i);
            let at = self.at + (row + i) * self.ldc + column;
            // SAFETY: passed on; rows and columns of different tasks are different elements.
            unsafe {
                let c = self.out.at(at, (rows - 1) * self.ldc + width);
                let out = Out::plain(c, self.ldc, width, add);
                let a = a.as_ptr().add(i);
                tile::<T, S, true>(rows, stretches, a, 1, step_a, panel.as_ptr(), self.nr, &out);
            }
            i += rows;
        }
    }
}
