//! Long short-term memory whose states are images: the gates are h' * w (a convolution that keeps the size) plus what needs
//! no state. Where the kernel stays in cache, every image runs through its steps by itself, its states and gates in cache
//! from step to step; else, and where images are too few, the images go step by step, cut up inside of each step.

use std::sync::atomic::{AtomicBool, Ordering};

use super::cell::gates;
use super::*;
use crate::conv::{ConvShape, Repeated};
use crate::convert::elements_mut;
use crate::shared::{Shared, ranges};

/// A kernel of more bytes is met by all images before the next step.
const LARGE_KERNEL: usize = 256 << 10;
/// Fewer images than this are cut up.
const IMAGES: usize = 8;

/// What both directions know of a call.
#[derive(Clone, Copy, Debug)]
pub struct ConvLstmSizes<'a> {
    /// The convolution of a state of all images; it keeps the size and makes four times the channels.
    pub conv: ConvShape,
    /// Steps of every sequence.
    pub steps: usize,
    /// From the last step to the first.
    pub reverse: bool,
    /// (images, steps): where it is 0 the states stay.
    pub mask: Option<&'a [u8]>,
}

impl ConvLstmSizes<'_> {
    /// Pixels and units.
    fn image(&self) -> (usize, usize) {
        (self.conv.out_sp.iter().product(), self.conv.c_in)
    }

    fn at(&self, s: usize) -> usize {
        if self.reverse { self.steps - 1 - s } else { s }
    }

    fn keeps(&self, image: usize, t: usize) -> bool {
        self.mask.is_none_or(|m| m[image * self.steps + t] != 0)
    }

    /// Images that go together.
    fn together<T>(&self) -> usize {
        let small = self.conv.w_len() * size_of::<T>() <= LARGE_KERNEL;
        if small && self.conv.n >= IMAGES { 1 } else { self.conv.n }
    }

    /// Checks lengths: `states` of one step, `all` of all steps, `wide` of all steps for four gates.
    fn check(&self, w: usize, states: &[usize], all: &[usize], wide: &[usize]) {
        let c = &self.conv;
        assert!(
            c.in_sp == c.out_sp && c.c_out == 4 * c.c_in && c.groups == 1 && c.stride == [1; 3],
            "conv_lstm: {c:?} does not keep the size or makes other channels"
        );
        let (one, steps) = (c.x_len(), self.steps);
        assert!(
            w == c.w_len()
                && states.iter().all(|&n| n == one)
                && all.iter().all(|&n| n == one * steps)
                && wide.iter().all(|&n| n == one * steps * 4)
                && self.mask.is_none_or(|m| m.len() == c.n * steps),
            "conv_lstm: lengths of {w}, {states:?}, {all:?}, {wide:?} elements do not fit {self:?}"
        );
    }
}

/// Runs `work` for the first image of all groups of images that go together.
fn groups<T>(
    sizes: &ConvLstmSizes<'_>,
    work: impl Fn(usize) -> Result<(), AllocError> + Sync,
) -> Result<(), AllocError> {
    let together = sizes.together::<T>();
    let failed = AtomicBool::new(false);
    par::run(sizes.conv.n.div_ceil(together), |i| {
        if work(i * together).is_err() {
            failed.store(true, Ordering::Relaxed);
        }
    });
    if failed.into_inner() { Err(AllocError { bytes: sizes.conv.y_len() * size_of::<T>() }) } else { Ok(()) }
}

/// Runs `work(image, first row, last row)` over the pixels of `count` images.
fn pixels(count: usize, each: usize, units: usize, work: impl Fn(usize, usize, usize) + Sync) {
    ranges(count * each, (4096 / units.max(1)).max(1), |from, to| {
        let mut row = from;
        while row < to {
            let image = row / each;
            let end = to.min((image + 1) * each);
            work(image, row - image * each, end - image * each);
            row = end;
        }
    });
}

/// Runs all steps. `x` (images, steps, pixels, 4 units) is the part of the gates that needs no state, `w` the kernel of the
/// states. Writes every h, the last c and, for the way back (`kept`), every c and the finished gates.
pub fn conv_lstm<T: Scalar>(
    sizes: ConvLstmSizes<'_>,
    x: &[T],
    h0: &[T],
    c0: &[T],
    w: &[T],
    h: &mut [T],
    c_last: &mut [T],
    kept: Option<(&mut [T], &mut [T])>,
) -> Result<(), AllocError> {
    sizes.check(w.len(), &[h0.len(), c0.len(), c_last.len()], &[h.len()], &[x.len()]);
    let kept = kept.map(|(c, gates)| {
        sizes.check(w.len(), &[], &[c.len()], &[gates.len()]);
        (Shared::new(c), Shared::new(gates))
    });
    let ((each, u), steps) = (sizes.image(), sizes.steps);
    if x.is_empty() {
        return Ok(());
    }
    let together = sizes.together::<T>();
    let conv = ConvShape { n: together, ..sizes.conv };
    let conv = Repeated::forward(level(), &conv, w, together < sizes.conv.n)?;
    let (h, c_last) = (Shared::new(h), Shared::new(c_last));
    groups::<T>(&sizes, |first| {
        let len = together * each * u;
        let mut buffer = Buffer::scratch(6 * len * size_of::<T>())?;
        let (state, rest) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(len);
        let (c, z) = rest.split_at_mut(len);
        state.copy_from_slice(&h0[first * each * u..][..len]);
        c.copy_from_slice(&c0[first * each * u..][..len]);
        for s in 0..steps {
            let t = sizes.at(s);
            conv.run(state, z)?;
            let (state, c) = (Shared::new(&mut *state), Shared::new(&mut *c));
            let z = &*z;
            pixels(together, each, u, |image, from, to| {
                let place = ((first + image) * steps + t) * each + from;
                let (here, rows) = (image * each + from, to - from);
                let kept = kept
                    .as_ref()
                    .map(|(c, gates)| (c.at(place * u, rows * u), gates.at(place * 4 * u, rows * 4 * u)));
                let step = Forward {
                    units: u,
                    rows,
                    keep: sizes.keeps(first + image, t),
                    z: &z[here * 4 * u..][..rows * 4 * u],
                    x: &x[place * 4 * u..][..rows * 4 * u],
                    state: state.at(here * u, rows * u),
                    c: c.at(here * u, rows * u),
                    h: h.at(place * u, rows * u),
                    kept,
                };
                dispatch(level(), step);
            });
        }
        // SAFETY: images of different groups are different.
        unsafe { c_last.part(first * each * u, len) }.copy_from_slice(c);
        Ok(())
    })
}

/// One step for some pixels of an image.
struct Forward<'a, T> {
    units: usize,
    rows: usize,
    keep: bool,
    z: &'a [T],
    x: &'a [T],
    state: *mut T,
    c: *mut T,
    h: *mut T,
    kept: Option<(*mut T, *mut T)>,
}

impl<T: Scalar> Kernel for Forward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (u, n) = (self.units, <T::V<S> as Lanes>::N);
        for row in 0..self.rows {
            let mut u0 = 0;
            while u0 < u {
                let width = n.min(u - u0);
                let (at, wide) = (row * u + u0, row * 4 * u + u0);
                // SAFETY: `conv_lstm` has checked the lengths; pixels of different calls are different.
                unsafe {
                    let mut sums = [<T::V<S>>::splat(T::ZERO); 4];
                    for g in 0..4 {
                        let at = wide + g * u;
                        sums[g] = fetch::<T::V<S>>(self.x.as_ptr().add(at), width)
                            + fetch::<T::V<S>>(self.z.as_ptr().add(at), width);
                    }
                    let y = gates(sums);
                    let before = fetch::<T::V<S>>(self.c.add(at), width);
                    let mut cell = y[1].fma(before, y[0] * y[2]);
                    let mut out = y[3] * tanh(cell);
                    if !self.keep {
                        cell = before;
                        out = fetch::<T::V<S>>(self.state.add(at), width);
                    }
                    put(cell, self.c.add(at), width);
                    put(out, self.state.add(at), width);
                    put(out, self.h.add(at), width);
                    if let Some((cells, kept)) = self.kept {
                        put(cell, cells.add(at), width);
                        for g in 0..4 {
                            put(y[g], kept.add(wide + g * u), width);
                        }
                    }
                }
                u0 += n;
            }
        }
    }
}

/// What [`conv_lstm_grad`] reads.
#[derive(Clone, Copy, Debug)]
pub struct ConvLstmGrad<'a, T> {
    /// The sizes of the call.
    pub sizes: ConvLstmSizes<'a>,
    /// The gradient of every h.
    pub dh: &'a [T],
    /// The gradient of the last c.
    pub dc_last: &'a [T],
    /// The kernel of the states.
    pub w: &'a [T],
    /// The first c.
    pub c0: &'a [T],
    /// Every c.
    pub c: &'a [T],
    /// The finished gates.
    pub gates: &'a [T],
}

/// The way back: the gradients of x, h0 and c0.
pub fn conv_lstm_grad<T: Scalar>(
    a: ConvLstmGrad<'_, T>,
    dx: &mut [T],
    dh0: &mut [T],
    dc0: &mut [T],
) -> Result<(), AllocError> {
    let sizes = a.sizes;
    let states = [a.dc_last.len(), a.c0.len(), dh0.len(), dc0.len()];
    sizes.check(a.w.len(), &states, &[a.dh.len(), a.c.len()], &[a.gates.len(), dx.len()]);
    let ((each, u), steps) = (sizes.image(), sizes.steps);
    if a.gates.is_empty() {
        return Ok(());
    }
    let together = sizes.together::<T>();
    let conv = ConvShape { n: together, ..sizes.conv };
    let conv = Repeated::input_grad(level(), &conv, a.w, together < sizes.conv.n)?;
    let (dx, dh0, dc0) = (Shared::new(dx), Shared::new(dh0), Shared::new(dc0));
    groups::<T>(&sizes, |first| {
        let len = together * each * u;
        let mut buffer = Buffer::scratch(7 * len * size_of::<T>())?;
        let (dh, rest) = elements_mut::<T>(buffer.bytes_mut()).split_at_mut(len);
        let (next, rest) = rest.split_at_mut(len);
        let (dc, d) = rest.split_at_mut(len);
        dh.fill(T::ZERO);
        dc.copy_from_slice(&a.dc_last[first * each * u..][..len]);
        let (mut dh, mut next) = (dh, next);
        for s in (0..steps).rev() {
            let t = sizes.at(s);
            {
                let (dh, dc, d) = (Shared::new(&mut *dh), Shared::new(&mut *dc), Shared::new(&mut *d));
                pixels(together, each, u, |image, from, to| {
                    let row = (first + image) * steps;
                    let (place, rows) = ((row + t) * each + from, to - from);
                    let here = image * each + from;
                    let before = match s {
                        0 => &a.c0[((first + image) * each + from) * u..],
                        _ => &a.c[((row + sizes.at(s - 1)) * each + from) * u..],
                    };
                    let step = Backward {
                        units: u,
                        rows,
                        keep: sizes.keeps(first + image, t),
                        from: &a.dh[place * u..][..rows * u],
                        c: &a.c[place * u..][..rows * u],
                        before: &before[..rows * u],
                        gates: &a.gates[place * 4 * u..][..rows * 4 * u],
                        dh: dh.at(here * u, rows * u),
                        dc: dc.at(here * u, rows * u),
                        d: d.at(here * 4 * u, rows * 4 * u),
                        dx: dx.at(place * 4 * u, rows * 4 * u),
                    };
                    dispatch(level(), step);
                });
            }
            conv.run(d, next)?;
            for image in (0..together).filter(|&i| !sizes.keeps(first + i, t)) {
                let part = image * each * u..(image + 1) * each * u;
                next[part.clone()].copy_from_slice(&dh[part]);
            }
            std::mem::swap(&mut dh, &mut next);
        }
        // SAFETY: images of different groups are different.
        unsafe {
            dh0.part(first * each * u, len).copy_from_slice(dh);
            dc0.part(first * each * u, len).copy_from_slice(dc);
        }
        Ok(())
    })
}

/// One step back for some pixels of an image: the gradients of the gates' sums; dh becomes that of h, dc that of the c before.
struct Backward<'a, T> {
    units: usize,
    rows: usize,
    keep: bool,
    from: &'a [T],
    c: &'a [T],
    before: &'a [T],
    gates: &'a [T],
    dh: *mut T,
    dc: *mut T,
    d: *mut T,
    dx: *mut T,
}

impl<T: Scalar> Kernel for Backward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let (u, n) = (self.units, <T::V<S> as Lanes>::N);
        let zero = <T::V<S>>::splat(T::ZERO);
        let one = <T::V<S>>::splat(T::ONE);
        for row in 0..self.rows {
            let mut u0 = 0;
            while u0 < u {
                let width = n.min(u - u0);
                let (at, wide) = (row * u + u0, row * 4 * u + u0);
                // SAFETY: `conv_lstm_grad` has checked the lengths; pixels of different calls are different.
                unsafe {
                    let total = fetch::<T::V<S>>(self.dh.add(at), width)
                        + fetch::<T::V<S>>(self.from.as_ptr().add(at), width);
                    put(total, self.dh.add(at), width);
                    let mut out = [zero; 4];
                    if self.keep {
                        let kept = self.gates.as_ptr().add(wide);
                        let i = fetch::<T::V<S>>(kept, width);
                        let f = fetch::<T::V<S>>(kept.add(u), width);
                        let g = fetch::<T::V<S>>(kept.add(2 * u), width);
                        let o = fetch::<T::V<S>>(kept.add(3 * u), width);
                        let tc = tanh(fetch::<T::V<S>>(self.c.as_ptr().add(at), width));
                        let dc = fetch::<T::V<S>>(self.dc.add(at), width);
                        let cell = (total * o).fma(one - tc * tc, dc);
                        let before = fetch::<T::V<S>>(self.before.as_ptr().add(at), width);
                        out[0] = cell * g * (i * (one - i));
                        out[1] = cell * before * (f * (one - f));
                        out[2] = cell * i * (one - g * g);
                        out[3] = total * tc * (o * (one - o));
                        put(cell * f, self.dc.add(at), width);
                    }
                    for g in 0..4 {
                        put(out[g], self.dx.add(wide + g * u), width);
                        put(out[g], self.d.add(wide + g * u), width);
                    }
                }
                u0 += n;
            }
        }
    }
}
