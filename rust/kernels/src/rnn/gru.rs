//! The gated recurrent unit: gates z, r; g = tanh(x + r (h' U + b)); h = z h' + (1 - z) g.

use super::*;

/// Runs all steps. `x` (batch, steps, 3 units) is the part of z, r, g that needs no state; `w` (units, 3 units) the
/// recurrent matrix, `bias` (3 units) what is added to its product. Where `mask` (batch, steps) is 0 the state stays.
/// Writes every h and, for the way back (`kept`), z, r, g and the product for g (batch, steps, 4 units).
pub fn gru<T: Scalar>(
    sizes: Sizes,
    mask: Option<&[u8]>,
    x: &[T],
    h0: &[T],
    w: &[T],
    bias: &[T],
    h: &mut [T],
    kept: Option<&mut [T]>,
) -> Result<(), AllocError> {
    let Sizes { batch, steps, units, .. } = sizes;
    sizes.check("x", x.len(), steps * 3 * units);
    sizes.check("h0", h0.len(), units);
    assert_eq!((w.len(), bias.len()), (units * 3 * units, 3 * units), "gru: w and bias");
    sizes.check("h", h.len(), steps * units);
    if let Some(mask) = mask {
        sizes.check("mask", mask.len(), steps);
    }
    let kept = kept.map(|gates| {
        sizes.check("gates", gates.len(), steps * 4 * units);
        Ptr(gates.as_mut_ptr())
    });
    if batch == 0 || units == 0 {
        return Ok(());
    }
    let mut packed = pack_gates(w, units, 3)?;
    let (chunk, room) = (sizes.chunk(), sizes.room());
    let mut scratch = Scratch::<T>::new(batch.next_multiple_of(chunk) * room * 2)?;
    let (packed, scratch, h) = (packed.ptr(), scratch.ptr(), Ptr(h.as_mut_ptr()));
    par::run(batch.div_ceil(chunk), |i| {
        let first = i * chunk;
        let rows = chunk.min(batch - first);
        // SAFETY: every chunk has its own part of the scratch.
        let own = unsafe { scratch.get().add(first * room * 2) };
        let (packed, h, kept) = (packed.get(), h.get(), kept.map(Ptr::get));
        dispatch(level(), Forward { sizes, mask, first, rows, x, h0, packed, bias, h, kept, own });
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
    packed: *const T,
    bias: &'a [T],
    h: *mut T,
    kept: Option<*mut T>,
    own: *mut T,
}

impl<T: Scalar> Kernel for Forward<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Forward { sizes, first, rows, .. } = self;
        let (u, room) = (sizes.units, sizes.room());
        let n = <T::V<S> as Lanes>::N;
        let most = if <S::F32 as Lanes>::N == 16 { 8 } else { 4 };
        // SAFETY: the sizes were checked; rows of the scratch have room for whole vectors.
        unsafe {
            let (mut now, mut next) = (self.own, self.own.add(rows * room));
            for i in 0..rows {
                for j in 0..u {
                    *now.add(i * room + j) = self.h0[(first + i) * u + j];
                }
            }
            for s in 0..sizes.steps {
                let t = sizes.at(s);
                let mut u0 = 0;
                while u0 < u {
                    tiles!(rows, most, at, MR => self.tile::<S, MR>(t, u0, at, now, next));
                    u0 += n;
                }
                std::mem::swap(&mut now, &mut next);
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
    ) {
        let (u, room, steps) = (self.sizes.units, self.sizes.room(), self.sizes.steps);
        let n = <T::V<S> as Lanes>::N;
        let width = n.min(u - u0);
        let one = <T::V<S>>::splat(T::ONE);
        let row = |i: usize| (self.first + at + i) * steps + t;
        // SAFETY: the caller's promise.
        unsafe {
            let bias = self.bias.as_ptr().add(u0);
            let mut y = [[<T::V<S>>::splat(T::ZERO); 3]; MR];
            // Rows of a step lie far apart, so the next ones are asked for here.
            let ahead = self.sizes.ahead() * 3 * u as isize;
            for i in 0..MR {
                let x = self.x.as_ptr().add(row(i) * 3 * u + u0);
                for g in 0..3 {
                    y[i][g] = fetch::<T::V<S>>(bias.add(g * u), width);
                    prefetch(x.wrapping_add(g * u).wrapping_offset(ahead));
                }
            }
            let panel = self.packed.add(u0 * u * 3);
            accumulate::<T::V<S>, MR, 3>(&mut y, u, now.add(at * room), room, 1, panel, 3 * n);
            for i in 0..MR {
                let here = (at + i) * room + u0;
                let before = <T::V<S>>::load(now.add(here));
                let x = self.x.as_ptr().add(row(i) * 3 * u + u0);
                let a = sigmoid_den(y[i][0] + fetch::<T::V<S>>(x, width));
                let b = sigmoid_den(y[i][1] + fetch::<T::V<S>>(x.add(u), width));
                let recip = one / (a * b);
                let (z, r) = (recip * b, recip * a);
                let g = tanh(r.fma(y[i][2], fetch::<T::V<S>>(x.add(2 * u), width)));
                let mut out = z.fma(before - g, g);
                if let Some(mask) = self.mask
                    && mask[row(i)] == 0
                {
                    out = before;
                }
                out.store(next.add(here));
                put(out, self.h.add(row(i) * u + u0), width);
                if let Some(kept) = self.kept {
                    let kept = kept.add(row(i) * 4 * u + u0);
                    put(z, kept, width);
                    put(r, kept.add(u), width);
                    put(g, kept.add(2 * u), width);
                    put(y[i][2], kept.add(3 * u), width);
                }
            }
        }
    }
}

/// What [`gru_grad`] reads.
#[derive(Clone, Copy, Debug)]
pub struct GruGrad<'a, T> {
    /// The sizes of the call.
    pub sizes: Sizes,
    /// As in [`gru`].
    pub mask: Option<&'a [u8]>,
    /// The gradient of every h.
    pub dh: &'a [T],
    /// The recurrent matrix.
    pub w: &'a [T],
    /// The first h.
    pub h0: &'a [T],
    /// Every h.
    pub h: &'a [T],
    /// z, r, g and the product for g.
    pub gates: &'a [T],
}

/// The way back: the gradients of x, of the product for g (whose z and r are those of x), and of h0.
pub fn gru_grad<T: Scalar>(
    a: GruGrad<'_, T>,
    dx: &mut [T],
    dp: &mut [T],
    dh0: &mut [T],
) -> Result<(), AllocError> {
    let sizes = a.sizes;
    let Sizes { batch, steps, units, .. } = sizes;
    sizes.check("dh", a.dh.len(), steps * units);
    assert_eq!(a.w.len(), units * 3 * units, "gru_grad: w");
    sizes.check("h0", a.h0.len(), units);
    sizes.check("h", a.h.len(), steps * units);
    sizes.check("gates", a.gates.len(), steps * 4 * units);
    sizes.check("dx", dx.len(), steps * 3 * units);
    sizes.check("dp", dp.len(), steps * units);
    sizes.check("dh0", dh0.len(), units);
    if let Some(mask) = a.mask {
        sizes.check("mask", mask.len(), steps);
    }
    if batch == 0 || units == 0 {
        return Ok(());
    }
    let mut packed = pack_transposed(a.w, units, 3 * units)?;
    let (chunk, room) = (sizes.chunk(), units.next_multiple_of(32));
    let each = room * 2 + 3 * units + 16;
    let mut scratch = Scratch::<T>::new(batch.next_multiple_of(chunk) * each)?;
    let (packed, scratch) = (packed.ptr(), scratch.ptr());
    let (dx, dp, dh0) = (Ptr(dx.as_mut_ptr()), Ptr(dp.as_mut_ptr()), Ptr(dh0.as_mut_ptr()));
    par::run(batch.div_ceil(chunk), |i| {
        let first = i * chunk;
        let rows = chunk.min(batch - first);
        // SAFETY: every chunk has its own part of the scratch.
        let own = unsafe { scratch.get().add(first * each) };
        let (dx, dp, dh0) = (dx.get(), dp.get(), dh0.get());
        dispatch(level(), Backward { a, first, rows, packed: packed.get(), dx, dp, dh0, own, room });
    });
    Ok(())
}

struct Backward<'a, T> {
    a: GruGrad<'a, T>,
    first: usize,
    rows: usize,
    packed: *const T,
    dx: *mut T,
    dp: *mut T,
    dh0: *mut T,
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
        let d_rs = 3 * u + 16;
        // Where the next step back lies.
        let ahead = -sizes.ahead() * u as isize;
        let zero = <T::V<S>>::splat(T::ZERO);
        let one = <T::V<S>>::splat(T::ONE);
        // SAFETY: the sizes were checked; rows of the scratch have room for whole panels.
        unsafe {
            // The part of dh that the product does not touch, and all of it.
            let (dh, direct, d) = (self.own, self.own.add(rows * room), self.own.add(2 * rows * room));
            for j in 0..rows * room {
                (*dh.add(j), *direct.add(j)) = (T::ZERO, T::ZERO);
            }
            for s in (0..steps).rev() {
                let t = sizes.at(s);
                for i in 0..rows {
                    let row = (first + i) * steps + t;
                    let before = if s == 0 {
                        a.h0.as_ptr().add((first + i) * u)
                    } else {
                        a.h.as_ptr().add(((first + i) * steps + sizes.at(s - 1)) * u)
                    };
                    let keep = a.mask.is_none_or(|m| m[row] != 0);
                    let mut u0 = 0;
                    while u0 < u {
                        let width = n.min(u - u0);
                        let here = i * room + u0;
                        let from = a.dh.as_ptr().add(row * u + u0);
                        let total = <T::V<S>>::load(dh.add(here)) + fetch(from, width);
                        let (mut out, mut dproduct, mut pass) = ([zero; 3], zero, total);
                        if keep {
                            let gates = a.gates.as_ptr().add(row * 4 * u + u0);
                            for g in 0..4 {
                                prefetch(gates.wrapping_add(g * u).wrapping_offset(ahead * 4));
                            }
                            prefetch(from.wrapping_offset(ahead));
                            prefetch(before.wrapping_add(u0).wrapping_offset(ahead));
                            let z = fetch::<T::V<S>>(gates, width);
                            let r = fetch::<T::V<S>>(gates.add(u), width);
                            let g = fetch::<T::V<S>>(gates.add(2 * u), width);
                            let p = fetch::<T::V<S>>(gates.add(3 * u), width);
                            let before = fetch::<T::V<S>>(before.add(u0), width);
                            out[0] = total * (before - g) * (z * (one - z));
                            out[2] = total * (one - z) * (one - g * g);
                            out[1] = out[2] * p * (r * (one - r));
                            dproduct = out[2] * r;
                            pass = total * z;
                        }
                        pass.store(direct.add(here));
                        let dx = self.dx.add(row * 3 * u + u0);
                        for g in 0..3 {
                            put(out[g], dx.add(g * u), width);
                        }
                        put(dproduct, self.dp.add(row * u + u0), width);
                        let d = d.add(i * d_rs + u0);
                        put(out[0], d, width);
                        put(out[1], d.add(u), width);
                        put(dproduct, d.add(2 * u), width);
                        u0 += n;
                    }
                }
                let base = Some(direct.cast_const());
                back_product::<T, S>(rows, u, 3 * u, d, d_rs, self.packed, base, dh, room);
            }
            for i in 0..rows {
                for j in 0..u {
                    *self.dh0.add((first + i) * u + j) = *dh.add(i * room + j);
                }
            }
        }
    }
}
