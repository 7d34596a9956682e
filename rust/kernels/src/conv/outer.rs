//! The gradient of the kernel: for every tap, pixels of the input, transposed, times gradients of the outputs. Both lie
//! in the order in which the tile reads them, so nothing is packed; pixels that a tap meets outside of the image are left
//! out. The images are summed in pieces whose number is a function of the shape.

use std::sync::atomic::{AtomicBool, Ordering};

use super::direct::{copy_row, panel_columns};
use super::geometry::Geometry;
use super::tile::{Out, Stretch, even, most_rows, tile};
use crate::buffer::{AllocError, Buffer};
use crate::convert::elements_mut;
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Level, dispatch};
use crate::par;
use crate::shared::Shared;

/// Bytes of all partial sums together, at most.
const SUMS: usize = 4 << 20;
/// Partial sums, at most.
const PIECES: usize = 16;
/// Tasks, at least, where there is enough to do.
const TASKS: usize = 16;
/// Elements of input and gradient that one pass over the taps works on: they stay in the second-level cache.
const CHUNK: usize = 192 << 10;
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
    /// Output rows (of all images) of a chunk.
    chunk: usize,
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
        let pieces = (SUMS / bytes.max(1)).clamp(1, PIECES).min(rows.div_ceil(4));
        let (mut tap_groups, mut column_groups) = (1, 1);
        let count = n.div_ceil(nr);
        if pieces < TASKS {
            column_groups = TASKS.div_ceil(pieces).min(count.div_ceil(2));
            tap_groups = TASKS.div_ceil(pieces * column_groups).min(taps);
        }
        let panels = count.div_ceil(column_groups);
        let row = aw.n_in * g.c * ah.stride + aw.n_out * n;
        Cut {
            pieces,
            tap_groups,
            column_groups: count.div_ceil(panels),
            panels,
            chunk: (CHUNK / row.max(1)).clamp(1, rows.max(1)),
            fold,
        }
    }
}

/// dw[tap][channel read][channel made], of which row r begins at `r * w_row + w_at`; `dy` has `y_row` elements per pixel and
/// its `n` channels begin at `y_at`.
pub(super) fn kernel_grad<T: Scalar>(
    l: Level,
    g: &Geometry,
    x: &[T],
    dy: &[T],
    [y_at, y_row, n]: [usize; 3],
    dw: &mut [T],
    [w_at, w_row]: [usize; 2],
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
    let mut sums = Buffer::scratch(if cut.pieces > 1 { cut.pieces * k * n * size_of::<T>() } else { 0 })?;
    {
        let sums = Shared::new(elements_mut::<T>(sums.bytes_mut()));
        let whole = Shared::new(&mut *dw);
        let groups = cut.tap_groups * cut.column_groups;
        par::run(cut.pieces * groups, |i| {
            let (piece, group) = (i / groups, i % groups);
            let (taps, columns) = (group / cut.column_groups, group % cut.column_groups);
            let columns = (columns * cut.panels * nr, ((columns + 1) * cut.panels * nr).min(n));
            let of = |p: usize| p * rows / cut.pieces;
            let (out, at, ldc) =
                if cut.pieces > 1 { (&sums, piece * k * n, n) } else { (&whole, w_at, w_row) };
            let rows = (of(piece), of(piece + 1));
            let task = Task { g, x, dy, y_at, y_row, out, at, ldc, cut, nr, rows, taps, columns };
            if dispatch(l, task).is_err() {
                failed.store(true, Ordering::Relaxed);
            }
        });
    }
    if failed.into_inner() {
        return Err(AllocError { bytes: CHUNK * size_of::<T>() });
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
        let mut copied = Buffer::scratch(if copy { self.cut.chunk * width * size_of::<T>() } else { 0 })?;
        let copied = elements_mut::<T>(copied.bytes_mut());
        let mut stretches: Vec<Stretch> = Vec::with_capacity(self.cut.chunk);
        let mut first = true;
        let mut from = self.rows.0;
        while from < self.rows.1 {
            let to = (from + self.cut.chunk).min(self.rows.1);
            for tap in self.taps * taps / self.cut.tap_groups..(self.taps + 1) * taps / self.cut.tap_groups {
                let tw = if fold { 0 } else { tap % aw.k };
                let (td, th) = (tap / (aw.k / in_row) / ah.k, tap / (aw.k / in_row) % ah.k);
                let (w0, w1) = if fold { (0, aw.n_out) } else { aw.span(tw) };
                stretches.clear();
                for r in from..to {
                    let (h, rest) = (r % ah.n_out, r / ah.n_out);
                    let (d, n) = (rest % ad.n_out, rest / ad.n_out);
                    let (Some(id), Some(ih)) = (ad.inside(d, td), ah.inside(h, th)) else { continue };
                    if w0 == w1 {
                        continue;
                    }
                    let line = n * g.image() + (id * ah.n_in + ih) * aw.n_in * g.x_row + g.x_at;
                    let b = (r * aw.n_out + w0) * self.y_row;
                    let a = if copy {
                        let slot = (r - from) * width;
                        copy_row(g, &self.x[line..], &mut copied[slot..][..width]);
                        slot
                    } else {
                        line + aw.at(w0, tw) as usize * g.x_row
                    };
                    // Rows that go on where the last one ended are one stretch.
                    match stretches.last_mut() {
                        Some(s)
                            if !copy
                                && s.a + s.len * aw.stride * g.x_row == a
                                && s.b + s.len * self.y_row == b =>
                        {
                            s.len += w1 - w0;
                        }
                        _ => stretches.push(Stretch { a, b, len: w1 - w0 }),
                    }
                }
                let (a, pixel) = if copy { (&*copied, g.c) } else { (self.x, g.x_row) };
                // SAFETY: `kernel_grad` has checked that all pixels lie in x and dy and all rows in dw.
                unsafe {
                    self.tap::<S>(a, aw.stride * pixel, &stretches, tap * in_row * g.c, in_row * g.c, !first)
                };
            }
            first = false;
            from = to;
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
    /// `count` rows of dw from `row` on, all columns of the task.
    #[inline(always)]
    unsafe fn tap<S: Isa>(
        &self,
        a: &[T],
        step_a: usize,
        stretches: &[Stretch],
        row: usize,
        count: usize,
        add: bool,
    ) {
        let size = even(count, most_rows::<S>());
        let mut column = self.columns.0;
        while column < self.columns.1 {
            let width = self.nr.min(self.columns.1 - column);
            let mut i = 0;
            while i < count {
                let rows = size.min(count - i);
                let at = self.at + (row + i) * self.ldc + column;
                // SAFETY: passed on; rows and columns of different tasks are different elements.
                unsafe {
                    let c = self.out.at(at, (rows - 1) * self.ldc + width);
                    let out = Out { c, ldc: self.ldc, width, add, bias: None, least: None };
                    let b = self.dy.as_ptr().add(self.y_at + column);
                    tile::<T, S, true>(rows, stretches, a.as_ptr().add(i), 1, step_a, b, self.y_row, &out);
                }
                i += rows;
            }
            column += width;
        }
    }
}
