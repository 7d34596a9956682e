//! Long short-term memory: gates i, f, g, o; c = f c' + i g; h = o tanh(c).

use super::*;

/// Runs all steps. `x` (batch, steps, 4 units) is the part of the gates that needs no state; `w` (units, 4 units) the
/// recurrent matrix. Where `mask` (batch, steps) is 0 the states stay. Writes every h, the last c and, for the way back
/// (`kept`), every c and the finished gates.
pub fn lstm<T: Scalar>(
    sizes: Sizes,
    mask: Option<&[u8]>,
    x: &[T],
    h0: &[T],
    c0: &[T],
    w: &[T],
    h: &mut [T],
    c_last: &mut [T],
    kept: Option<(&mut [T], &mut [T])>,
) -> Result<(), AllocError> {
    let Sizes { batch, steps, units, .. } = sizes;
    sizes.check("x", x.len(), steps * 4 * units);
    sizes.check("h0", h0.len(), units);
    sizes.check("c0", c0.len(), units);
    assert_eq!(w.len(), units * 4 * units, "lstm: w");
    sizes.check("h", h.len(), steps * units);
    sizes.check("c_last", c_last.len(), units);
    if let Some(mask) = mask {
        sizes.check("mask", mask.len(), steps);
    }
    let kept = kept.map(|(c, gates)| {
        sizes.check("c", c.len(), steps * units);
        sizes.check("gates", gates.len(), steps * 4 * units);
        (Ptr(c.as_mut_ptr()), Ptr(gates.as_mut_ptr()))
    });
    if batch == 0 || units == 0 {
        return Ok(());
    }
    let mut packed = pack_gates(w, units, 4)?;
    let (chunk, room) = (sizes.chunk(), sizes.room());
    let mut scratch = Scratch::<T>::new(batch.next_multiple_of(chunk) * room * 3)?;
    let (packed, scratch) = (packed.ptr(), scratch.ptr());
    let (h, c_last) = (Ptr(h.as_mut_ptr()), Ptr(c_last.as_mut_ptr()));
    par::run(batch.div_ceil(chunk), |i| {
        let first = i * chunk;
        // SAFETY: every chunk has its own part of the scratch.
        let own = unsafe { scratch.get().add(first * room * 3) };
        let rows = chunk.min(batch - first);
        let (h, c_last) = (h.get(), c_last.get());
        let kept = kept.map(|(c, gates)| (c.get(), gates.get()));
        let packed = packed.get();
        dispatch(level(), Forward { sizes, mask, first, rows, x, h0, c0, packed, h, c_last, kept, own });
    });
    Ok(())
}

struct Forward<'a, T> {
    sizes: Sizes,
    mask: Option<&'a [u8]>,
    first: usize,
    rows: usize,
    x: &'a [T],
    h0: &'a [T],
    c0: &'a [T],
    packed: *const T,
    h: *mut T,
    c_last: *mut T,
    kept: Option<(*mut T, *mut T)>,
    own: *mut T,
}

impl<T: Scalar> Kernel for Forward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Forward { sizes, first, rows, .. } = self;
        let (u, room) = (sizes.units, sizes.room());
        let n = <T::V<S> as Lanes>::N;
        let most = 6;
        // SAFETY: the sizes were checked; rows of the scratch have room for whole vectors.
        unsafe {
            let (mut now, mut next, c) = (self.own, self.own.add(rows * room), self.own.add(2 * rows * room));
            for i in 0..rows {
                for j in 0..u {
                    *now.add(i * room + j) = self.h0[(first + i) * u + j];
                    *c.add(i * room + j) = self.c0[(first + i) * u + j];
                }
            }
            for s in 0..sizes.steps {
                let t = sizes.at(s);
                let mut u0 = 0;
                while u0 < u {
                    tiles!(rows, most, at, MR => self.tile::<S, MR>(t, u0, at, now, next, c));
                    u0 += n;
                }
                std::mem::swap(&mut now, &mut next);
            }
            for i in 0..rows {
                for j in 0..u {
                    *self.c_last.add((first + i) * u + j) = *c.add(i * room + j);
                }
            }
        }
    }
}

impl<T: Scalar> Forward<'_, T> {
    /// One step for N units of `MR` rows.
    #[inline(always)]
    unsafe fn tile<S: Isa, const MR: usize>(
        &self,
        t: usize,
        u0: usize,
        at: usize,
        now: *const T,
        next: *mut T,
        c: *mut T,
    ) {
        let (u, room, steps) = (self.sizes.units, self.sizes.room(), self.sizes.steps);
        let n = <T::V<S> as Lanes>::N;
        let width = n.min(u - u0);
        let row = |i: usize| (self.first + at + i) * steps + t;
        // SAFETY: the caller's promise.
        unsafe {
            let mut z = [[<T::V<S>>::splat(T::ZERO); 4]; MR];
            // Rows of a step lie far apart, so the next ones are asked for here.
            let ahead = self.sizes.ahead() * 4 * u as isize;
            for i in 0..MR {
                let x = self.x.as_ptr().add(row(i) * 4 * u + u0);
                for g in 0..4 {
                    z[i][g] = fetch::<T::V<S>>(x.add(g * u), width);
                    prefetch(x.wrapping_add(g * u).wrapping_offset(ahead));
                }
            }
            let panel = self.packed.add(u0 * u * 4);
            let now_at = now.add(at * room);
            if <S::F32 as Lanes>::N == 16 || MR <= 2 {
                accumulate::<T::V<S>, MR, 4>(&mut z, u, now_at, room, 1, panel, 4 * n);
            } else {
                // Registers hold the sums of two gates at a time.
                let mut half = [[<T::V<S>>::splat(T::ZERO); 2]; MR];
                for first in [0, 2] {
                    for i in 0..MR {
                        half[i] = [z[i][first], z[i][first + 1]];
                    }
                    accumulate::<T::V<S>, MR, 2>(&mut half, u, now_at, room, 1, panel.add(first * n), 4 * n);
                    for i in 0..MR {
                        [z[i][first], z[i][first + 1]] = half[i];
                    }
                }
            }
            for i in 0..MR {
                let here = (at + i) * room + u0;
                let before = <T::V<S>>::load(c.add(here));
                let (a, b, d) = (sigmoid_den(z[i][0]), sigmoid_den(z[i][1]), sigmoid_den(z[i][3]));
                let (numerator, e) = tanh_parts(z[i][2]);
                // 1 / a = b · (1 / ab): one division for all four.
                let (ab, de) = (a * b, d * e);
                let r = <T::V<S>>::splat(T::ONE) / (ab * de);
                let (rab, rde) = (r * de, r * ab);
                let gates = [rab * b, rab * a, numerator * (rde * d), rde * e];
                let mut cell = gates[1].fma(before, gates[0] * gates[2]);
                let mut out = gates[3] * tanh(cell);
                if let Some(mask) = self.mask
                    && mask[row(i)] == 0
                {
                    cell = before;
                    out = <T::V<S>>::load(now.add(here));
                }
                cell.store(c.add(here));
                out.store(next.add(here));
                put(out, self.h.add(row(i) * u + u0), width);
                if let Some((cells, kept)) = self.kept {
                    put(cell, cells.add(row(i) * u + u0), width);
                    for g in 0..4 {
                        put(gates[g], kept.add(row(i) * 4 * u + g * u + u0), width);
                    }
                }
            }
        }
    }
}

/// What [`lstm_grad`] reads.
#[derive(Clone, Copy, Debug)]
pub struct LstmGrad<'a, T> {
    /// The sizes of the call.
    pub sizes: Sizes,
    /// As in [`lstm`].
    pub mask: Option<&'a [u8]>,
    /// The gradient of every h.
    pub dh: &'a [T],
    /// The gradient of the last c.
    pub dc_last: &'a [T],
    /// The recurrent matrix.
    pub w: &'a [T],
    /// The first c.
    pub c0: &'a [T],
    /// Every c.
    pub c: &'a [T],
    /// The finished gates.
    pub gates: &'a [T],
}

/// The way back: the gradients of x, h0 and c0.
pub fn lstm_grad<T: Scalar>(
    a: LstmGrad<'_, T>,
    dx: &mut [T],
    dh0: &mut [T],
    dc0: &mut [T],
) -> Result<(), AllocError> {
    let sizes = a.sizes;
    let Sizes { batch, steps, units, .. } = sizes;
    sizes.check("dh", a.dh.len(), steps * units);
    sizes.check("dc_last", a.dc_last.len(), units);
    assert_eq!(a.w.len(), units * 4 * units, "lstm_grad: w");
    sizes.check("c0", a.c0.len(), units);
    sizes.check("c", a.c.len(), steps * units);
    sizes.check("gates", a.gates.len(), steps * 4 * units);
    sizes.check("dx", dx.len(), steps * 4 * units);
    sizes.check("dh0", dh0.len(), units);
    sizes.check("dc0", dc0.len(), units);
    if let Some(mask) = a.mask {
        sizes.check("mask", mask.len(), steps);
    }
    if batch == 0 || units == 0 {
        return Ok(());
    }
    let mut packed = pack_transposed(a.w, units, 4 * units)?;
    let (chunk, room) = (sizes.chunk(), units.next_multiple_of(32));
    let each = room * 3 + 4 * units + 16;
    let mut scratch = Scratch::<T>::new(batch.next_multiple_of(chunk) * each)?;
    let (packed, scratch) = (packed.ptr(), scratch.ptr());
    let (dx, dh0, dc0) = (Ptr(dx.as_mut_ptr()), Ptr(dh0.as_mut_ptr()), Ptr(dc0.as_mut_ptr()));
    par::run(batch.div_ceil(chunk), |i| {
        let first = i * chunk;
        let rows = chunk.min(batch - first);
        // SAFETY: every chunk has its own part of the scratch.
        let own = unsafe { scratch.get().add(first * each) };
        let (dx, dh0, dc0) = (dx.get(), dh0.get(), dc0.get());
        dispatch(level(), Backward { a, first, rows, packed: packed.get(), dx, dh0, dc0, own, room });
    });
    Ok(())
}

struct Backward<'a, T> {
    a: LstmGrad<'a, T>,
    first: usize,
    rows: usize,
    packed: *const T,
    dx: *mut T,
    dh0: *mut T,
    dc0: *mut T,
    own: *mut T,
    room: usize,
}

impl<T: Scalar> Kernel for Backward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Backward { a, first, rows, room, .. } = self;
        let sizes = a.sizes;
        let (u, steps) = (sizes.units, sizes.steps);
        let n = <T::V<S> as Lanes>::N;
        // An odd stride in cache lines, so that rows do not fall on each other's places in the cache.
        let d_rs = 4 * u + 16;
        // Where the next step back lies.
        let ahead = -sizes.ahead() * u as isize;
        let zero = <T::V<S>>::splat(T::ZERO);
        let one = <T::V<S>>::splat(T::ONE);
        // SAFETY: the sizes were checked; rows of the scratch have room for whole panels.
        unsafe {
            let (dh, dc) = (self.own, self.own.add(rows * room));
            let (stay, d) = (self.own.add(2 * rows * room), self.own.add(3 * rows * room));
            for i in 0..rows {
                for j in 0..room {
                    let here = i * room + j;
                    (*dh.add(here), *stay.add(here)) = (T::ZERO, T::ZERO);
                    *dc.add(here) = if j < u { a.dc_last[(first + i) * u + j] } else { T::ZERO };
                }
            }
            for s in (0..steps).rev() {
                let t = sizes.at(s);
                for i in 0..rows {
                    let row = (first + i) * steps + t;
                    let before = if s == 0 {
                        a.c0.as_ptr().add((first + i) * u)
                    } else {
                        a.c.as_ptr().add(((first + i) * steps + sizes.at(s - 1)) * u)
                    };
                    let keep = a.mask.is_none_or(|m| m[row] != 0);
                    let mut u0 = 0;
                    while u0 < u {
                        let width = n.min(u - u0);
                        let here = i * room + u0;
                        let from = a.dh.as_ptr().add(row * u + u0);
                        let total = <T::V<S>>::load(dh.add(here)) + fetch(from, width);
                        let mut out = [zero; 4];
                        if keep {
                            let gates = a.gates.as_ptr().add(row * 4 * u + u0);
                            for g in 0..4 {
                                prefetch(gates.wrapping_add(g * u).wrapping_offset(ahead * 4));
                            }
                            prefetch(from.wrapping_offset(ahead));
                            prefetch(before.wrapping_add(u0).wrapping_offset(ahead));
                            let i = fetch::<T::V<S>>(gates, width);
                            let f = fetch::<T::V<S>>(gates.add(u), width);
                            let g = fetch::<T::V<S>>(gates.add(2 * u), width);
                            let o = fetch::<T::V<S>>(gates.add(3 * u), width);
                            let tc = tanh(fetch::<T::V<S>>(a.c.as_ptr().add(row * u + u0), width));
                            let cell = total * o;
                            let cell = cell.fma(one - tc * tc, <T::V<S>>::load(dc.add(here)));
                            out[0] = cell * g * (i * (one - i));
                            out[1] = cell * fetch::<T::V<S>>(before.add(u0), width) * (f * (one - f));
                            out[2] = cell * i * (one - g * g);
                            out[3] = total * tc * (o * (one - o));
                            (cell * f).store(dc.add(here));
                        }
                        if a.mask.is_some() {
                            (if keep { zero } else { total }).store(stay.add(here));
                        }
                        for g in 0..4 {
                            put(out[g], self.dx.add(row * 4 * u + g * u + u0), width);
                            put(out[g], d.add(i * d_rs + g * u + u0), width);
                        }
                        u0 += n;
                    }
                }
                let base = a.mask.map(|_| stay.cast_const());
                back_product::<T, S>(rows, u, 4 * u, d, d_rs, self.packed, base, dh, room);
            }
            for i in 0..rows {
                for j in 0..u {
                    *self.dh0.add((first + i) * u + j) = *dh.add(i * room + j);
                    *self.dc0.add((first + i) * u + j) = *dc.add(i * room + j);
                }
            }
        }
    }
}
