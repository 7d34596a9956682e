//! Every channel by itself, one output each: no sum over channels, so vectors run along them.
//!
//! Output pixels of a row that meet the same taps form runs: the pixels at the edges by themselves, those between them
//! together. A few pixels of a run are summed at a time in registers. The gradient of the input is the same with its own
//! runs; where the window has steps, there is one class of runs per phase.

use super::ConvShape;
use super::direct::Finish;
use crate::buffer::{AllocError, Buffer};
use crate::convert::elements_mut;
use crate::gemm::Scalar;
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch};
use crate::lanes::round_bfloat16;
use crate::par;
use crate::shared::Shared;

/// Pixels that are summed at a time.
const Q: usize = 6;
/// Taps of the kernel gradient that are summed at a time.
const TAPS: usize = 9;
/// Bytes over which the pixels of a sum spread, about, before the next channels: farther ones share places in the first-level
/// cache with them.
const NEAR: usize = 4 << 10;
/// Partial sums of the kernel gradient.
const PIECES: usize = 16;

/// Pixels `first`, `first + step`, ... of a row, and where they meet which taps: pixel number q of the run meets tap `t` at
/// `from + q * pace`.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    first: usize,
    count: usize,
    taps: Vec<(usize, usize)>,
}

/// The runs along one axis.
#[derive(Clone, Debug)]
struct Axis {
    runs: Vec<Run>,
    /// Between pixels of a run.
    step: usize,
    /// Between what they meet.
    pace: usize,
    /// Sizes of what is made and what is met.
    made: usize,
    met: usize,
}

impl Axis {
    /// Groups positions of one class (of `step`) that meet the same taps.
    fn new(
        made: usize,
        met: usize,
        step: usize,
        pace: usize,
        at: impl Fn(usize) -> Vec<(usize, usize)>,
    ) -> Axis {
        let mut runs: Vec<Run> = Vec::new();
        for class in 0..step {
            let mut open = false;
            for o in (class..made).step_by(step) {
                let taps = at(o);
                if open && let Some(run) = runs.last_mut() {
                    let goes_on = run.taps.len() == taps.len()
                        && run
                            .taps
                            .iter()
                            .zip(&taps)
                            .all(|(a, b)| a.0 == b.0 && a.1 + run.count * pace == b.1);
                    if goes_on {
                        run.count += 1;
                        continue;
                    }
                }
                runs.push(Run { first: o, count: 1, taps });
                open = true;
            }
        }
        Axis { runs, step, pace, made, met }
    }

    /// Outputs over inputs.
    fn forward(s: &ConvShape, d: usize) -> Axis {
        Axis::new(s.out_sp[d], s.in_sp[d], 1, s.stride[d], |o| {
            let tap = |t: usize| {
                let i = (o * s.stride[d] + t * s.dilation[d]).checked_sub(s.pad_lo[d])?;
                (i < s.in_sp[d]).then_some((t, i))
            };
            (0..s.k[d]).filter_map(tap).collect()
        })
    }

    /// Inputs over outputs.
    fn backward(s: &ConvShape, d: usize) -> Axis {
        Axis::new(s.in_sp[d], s.out_sp[d], s.stride[d], 1, |i| {
            let tap = |t: usize| {
                let o = (i + s.pad_lo[d]).checked_sub(t * s.dilation[d])?;
                let fits = o.is_multiple_of(s.stride[d]) && o / s.stride[d] < s.out_sp[d];
                fits.then_some((t, o / s.stride[d]))
            };
            (0..s.k[d]).filter_map(tap).collect()
        })
    }

    /// What position `o` meets.
    fn taps(&self, o: usize) -> Vec<(usize, usize)> {
        for run in &self.runs {
            if o >= run.first
                && (o - run.first).is_multiple_of(self.step)
                && (o - run.first) / self.step < run.count
            {
                let q = (o - run.first) / self.step;
                return run.taps.iter().map(|&(t, i)| (t, i + q * self.pace)).collect();
            }
        }
        Vec::new()
    }
}

/// A tap of a run in a certain row: elements of what is met and of the kernel.
#[derive(Clone, Copy, Debug)]
struct Tap {
    x: usize,
    w: usize,
}

/// One pass over images: what is made, what is met, and how.
struct Plan {
    axes: [Axis; 3],
    /// For every row made: its taps along the first two axes, as (number of the tap, row met).
    rows: Vec<Vec<(usize, usize)>>,
    k: usize,
    c: usize,
    n: usize,
}

impl Plan {
    fn new(s: &ConvShape, axis: impl Fn(usize) -> Axis) -> Plan {
        let axes = [axis(0), axis(1), axis(2)];
        let mut rows = Vec::with_capacity(axes[0].made * axes[1].made);
        for d in 0..axes[0].made {
            let deep = axes[0].taps(d);
            for h in 0..axes[1].made {
                let high = axes[1].taps(h);
                rows.push(
                    deep.iter()
                        .flat_map(|&(td, id)| {
                            let row = |&(th, ih): &(usize, usize)| (td * s.k[1] + th, id * axes[1].met + ih);
                            high.iter().map(row).collect::<Vec<_>>()
                        })
                        .collect(),
                );
            }
        }
        Plan { axes, rows, k: s.k[2], c: s.c_in, n: s.n }
    }

    fn met(&self) -> usize {
        self.axes.iter().map(|a| a.met).product::<usize>() * self.c
    }

    /// The taps of a run in a row.
    #[inline(always)]
    fn taps(&self, run: &Run, row: usize, out: &mut Vec<Tap>) {
        out.clear();
        for &(t, i) in &self.rows[row] {
            for &(tw, iw) in &run.taps {
                out.push(Tap { x: (i * self.axes[2].met + iw) * self.c, w: (t * self.k + tw) * self.c });
            }
        }
    }

    /// Rows of a piece of work.
    fn grain(&self) -> usize {
        (1 << 15) / (self.axes[2].made * self.c).max(1) + 1
    }
}

pub(super) fn forward<T: Scalar>(
    l: Level,
    s: &ConvShape,
    x: &[T],
    w: &[T],
    finish: Finish<'_, T>,
    y: &mut [T],
) {
    gather(l, &Plan::new(s, |d| Axis::forward(s, d)), x, w, finish, y);
}

pub(super) fn input_grad<T: Scalar>(l: Level, s: &ConvShape, dy: &[T], w: &[T], rounded: bool, dx: &mut [T]) {
    gather(l, &Plan::new(s, |d| Axis::backward(s, d)), dy, w, Finish::none(rounded), dx);
}

fn gather<T: Scalar>(l: Level, plan: &Plan, x: &[T], w: &[T], finish: Finish<'_, T>, y: &mut [T]) {
    let per_image = plan.rows.len();
    let out = Shared::new(y);
    crate::shared::ranges(plan.n * per_image, plan.grain(), |from, to| {
        dispatch(l, Gather { plan, x, w, finish, y: &out, rows: (from, to) });
    });
}

struct Gather<'a, T> {
    plan: &'a Plan,
    x: &'a [T],
    w: &'a [T],
    finish: Finish<'a, T>,
    y: &'a Shared<'a, T>,
    rows: (usize, usize),
}

impl<T: Scalar> Kernel for Gather<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (plan, c) = (self.plan, self.plan.c);
        let (per_image, row) = (plan.rows.len(), plan.axes[2].made * c);
        let mut taps: Vec<Tap> = Vec::new();
        let Finish { bias, least, rounded, .. } = self.finish;
        let least = least.unwrap_or(-T::INF);
        for r in self.rows.0..self.rows.1 {
            let (n, at) = (r / per_image, r % per_image);
            let x = &self.x[n * plan.met()..][..plan.met()];
            let y = self.y.at(r * row, row);
            for run in &plan.axes[2].runs {
                plan.taps(run, at, &mut taps);
                let (step, pace) = (plan.axes[2].step * c, plan.axes[2].pace * c);
                // All channels of a few pixels before the next few: pixels lie far apart, often by powers of two, and lines
                // of a whole row of them would drive each other out of the first-level cache before they are used up.
                let mut q = 0;
                while q < run.count {
                    let some = match run.count - q {
                        Q.. => Q,
                        2.. => 2,
                        _ => 1,
                    };
                    // SAFETY: the plan's positions lie in the image; rows of y are disjoint.
                    unsafe {
                        let w = self.w.as_ptr();
                        let few = Few { taps: &taps, w, bias, least, rounded, pace, step, c };
                        let (x, y) = (x.as_ptr().add(q * pace), y.add(run.first * c + q * step));
                        match some {
                            Q => few.channels::<T::V<S>, Q>(x, y),
                            2 => few.channels::<T::V<S>, 2>(x, y),
                            _ => few.channels::<T::V<S>, 1>(x, y),
                        }
                    }
                    q += some;
                }
            }
        }
    }
}

/// A few pixels of a run.
struct Few<'a, T> {
    taps: &'a [Tap],
    w: *const T,
    bias: Option<&'a [T]>,
    least: T,
    rounded: bool,
    pace: usize,
    step: usize,
    c: usize,
}

impl<T: Scalar> Few<'_, T> {
    /// All channels of `N` pixels.
    #[inline(always)]
    unsafe fn channels<V: Lanes<T = T>, const N: usize>(&self, x: *const T, y: *mut T) {
        let mut channel = 0;
        // SAFETY: passed on.
        unsafe {
            while channel + V::N <= self.c {
                self.sum::<V, N, true>(x, y, channel, V::N);
                channel += V::N;
            }
            if channel < self.c {
                self.sum::<V, N, false>(x, y, channel, self.c - channel);
            }
        }
    }

    /// `left` channels from `channel` on.
    #[inline(always)]
    unsafe fn sum<V: Lanes<T = T>, const N: usize, const WHOLE: bool>(
        &self,
        x: *const T,
        y: *mut T,
        channel: usize,
        left: usize,
    ) {
        // SAFETY: passed on.
        unsafe {
            let (x, y, w) = (x.add(channel), y.add(channel), self.w.add(channel));
            let first = match self.bias {
                Some(bias) => load::<V, WHOLE>(bias.as_ptr().add(channel), left),
                None => V::splat(T::ZERO),
            };
            let mut acc = [if self.rounded { V::splat(T::ZERO) } else { first }; N];
            for tap in self.taps {
                let w = load::<V, WHOLE>(w.add(tap.w), left);
                for q in 0..N {
                    acc[q] = load::<V, WHOLE>(x.add(tap.x + q * self.pace), left).fma(w, acc[q]);
                }
            }
            if self.rounded {
                for q in 0..N {
                    acc[q] = round_bfloat16(round_bfloat16(acc[q]) + first);
                }
            }
            let least = V::splat(self.least);
            for q in 0..N {
                let v = least.max(acc[q]);
                let y = y.add(q * self.step);
                if WHOLE { v.store(y) } else { v.store_partial(y, left) }
            }
        }
    }
}

#[inline(always)]
unsafe fn load<V: Lanes, const WHOLE: bool>(p: *const V::T, left: usize) -> V {
    // SAFETY: passed on.
    unsafe { if WHOLE { V::load(p) } else { V::load_partial(p, left) } }
}

pub(super) fn kernel_grad<T: Scalar>(
    l: Level,
    s: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) -> Result<(), AllocError> {
    let plan = &Plan::new(s, |d| Axis::forward(s, d));
    let (size, rows) = (dw.len(), s.n * plan.rows.len());
    // Rows are summed in a fixed number of pieces, which are added up in order.
    let pieces = rows.clamp(1, PIECES);
    let mut sums = Buffer::zeroed(pieces * size * size_of::<T>())?;
    let sums = elements_mut::<T>(sums.bytes_mut());
    {
        let out = Shared::new(sums);
        par::run(pieces, |piece| {
            // SAFETY: one part per piece.
            let dw = unsafe { out.part(piece * size, size) };
            let rows = (piece * rows / pieces, (piece + 1) * rows / pieces);
            dispatch(l, Sum { plan, x, dy, dw, rows });
        });
    }
    dw.fill(T::ZERO);
    for piece in sums.chunks_exact(size) {
        for (dw, &p) in dw.iter_mut().zip(piece) {
            *dw = *dw + p;
        }
    }
    Ok(())
}

struct Sum<'a, T> {
    plan: &'a Plan,
    x: &'a [T],
    dy: &'a [T],
    dw: &'a mut [T],
    rows: (usize, usize),
}

impl<T: Scalar> Kernel for Sum<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (plan, c) = (self.plan, self.plan.c);
        let (per_image, row) = (plan.rows.len(), plan.axes[2].made * c);
        let width = <T::V<S> as Lanes>::N;
        let near = (NEAR / (c * size_of::<T>())).max(8);
        let mut taps: Vec<Tap> = Vec::new();
        for r in self.rows.0..self.rows.1 {
            let (n, at) = (r / per_image, r % per_image);
            let x = &self.x[n * plan.met()..][..plan.met()];
            let dy = &self.dy[r * row..][..row];
            for run in &plan.axes[2].runs {
                plan.taps(run, at, &mut taps);
                let (step, pace) = (plan.axes[2].step * c, plan.axes[2].pace * c);
                for q in (0..run.count).step_by(near) {
                    let count = near.min(run.count - q);
                    let mut channel = 0;
                    while channel < c {
                        let left = (c - channel).min(width);
                        for taps in taps.chunks(TAPS) {
                            // SAFETY: the plan's positions lie in the image, taps and channels in the kernel.
                            unsafe {
                                let x = x.as_ptr().add(q * pace + channel);
                                let dy = dy.as_ptr().add(run.first * c + q * step + channel);
                                let dw = self.dw.as_mut_ptr().add(channel);
                                if left == width {
                                    sums::<T::V<S>, true>(taps, x, pace, dy, step, count, dw, left);
                                } else {
                                    sums::<T::V<S>, false>(taps, x, pace, dy, step, count, dw, left);
                                }
                            }
                        }
                        channel += left;
                    }
                }
            }
        }
    }
}

/// dw += the sum over the pixels of a run.
#[inline(always)]
unsafe fn sums<V: Lanes, const WHOLE: bool>(
    taps: &[Tap],
    x: *const V::T,
    pace: usize,
    dy: *const V::T,
    step: usize,
    count: usize,
    dw: *mut V::T,
    left: usize,
) {
    macro_rules! of_taps {
        ($($k:literal)*) => {
            match taps.len() {
                // SAFETY: passed on.
                $($k => unsafe { sum::<V, $k, WHOLE>(taps, x, pace, dy, step, count, dw, left) },)*
                _ => unreachable!("{} taps", taps.len()),
            }
        };
    }
    of_taps!(1 2 3 4 5 6 7 8 9)
}

#[inline(always)]
unsafe fn sum<V: Lanes, const K: usize, const WHOLE: bool>(
    taps: &[Tap],
    x: *const V::T,
    pace: usize,
    dy: *const V::T,
    step: usize,
    count: usize,
    dw: *mut V::T,
    left: usize,
) {
    let mut acc = [V::splat(V::T::ZERO); K];
    // SAFETY: passed on.
    unsafe {
        let mut from = [x; K];
        for k in 0..K {
            from[k] = x.add(taps[k].x);
        }
        for q in 0..count {
            let dy = load::<V, WHOLE>(dy.add(q * step), left);
            for k in 0..K {
                acc[k] = load::<V, WHOLE>(from[k].add(q * pace), left).fma(dy, acc[k]);
            }
        }
        for k in 0..K {
            let at = dw.add(taps[k].w);
            let v = load::<V, WHOLE>(at, left) + acc[k];
            if WHOLE { v.store(at) } else { v.store_partial(at, left) }
        }
    }
}
