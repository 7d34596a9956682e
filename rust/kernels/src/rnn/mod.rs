//! Recurrent layers: all steps of a sequence in one call, forward and backward.
//!
//! The part of a step that needs no state has been computed before, for all steps in one product. What remains is a
//! product of the state with a matrix that is packed once per call, gates interleaved: a tile of it ends with all gates
//! of the same units in registers, where they are finished. The batch is cut into chunks by its size alone; a chunk runs
//! through all its steps without waiting for the others.

mod cell;
mod conv_lstm;
mod gru;
mod lstm;

use crate::buffer::{AllocError, Buffer};
use crate::gemm::Scalar;
use crate::gemm::micro::accumulate;
use crate::isa::{Isa, Kernel, Lanes, Real, dispatch, level, prefetch};
use crate::lanes::{self, Coefficients};
use crate::par;

pub use cell::{lstm_cell, lstm_cell_grad};
pub use conv_lstm::{ConvLstmGrad, ConvLstmSizes, conv_lstm, conv_lstm_grad};
pub use gru::{GruGrad, gru, gru_grad};
pub use lstm::{LstmGrad, lstm, lstm_grad};

/// Bytes of a panel of the transposed matrix that stay in the first-level cache beside the rows that meet it.
const PANEL: usize = 16 << 10;

/// The sizes of a call: sequences (batch, steps, ...) and states (batch, units).
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences.
    pub batch: usize,
    /// Steps of each.
    pub steps: usize,
    /// The size of a state.
    pub units: usize,
    /// From the last step to the first.
    pub reverse: bool,
}

impl Sizes {
    /// The position of the step that runs as number `s`.
    #[inline(always)]
    fn at(&self, s: usize) -> usize {
        if self.reverse { self.steps - 1 - s } else { s }
    }

    /// From the position of a step to that of the next one.
    #[inline(always)]
    fn ahead(&self) -> isize {
        if self.reverse { -1 } else { 1 }
    }

    /// Rows of a chunk: few enough for several threads, enough to use a packed row of the matrix more than once.
    fn chunk(&self) -> usize {
        self.batch.div_ceil(2).clamp(4, 16)
    }

    /// Units with room for whole vectors.
    fn room(&self) -> usize {
        self.units.next_multiple_of(16)
    }

    fn check(&self, what: &str, len: usize, per_row: usize) {
        assert_eq!(len, self.batch * per_row, "rnn: {what} of {} rows of {per_row}", self.batch);
    }
}

/// e^x - 1 = s p + (s - 1) and e^x = s p + s, for x held inside ±`limit`.
#[inline(always)]
fn exp_parts<V: Lanes>(x: V) -> (V, V) {
    // Four denominators 1 + e^x are multiplied before one division serves them all: the limit keeps that finite.
    // Beyond it the gates are constant to float precision.
    let limit = if V::T::MANTISSA == 23 { 20.0 } else { 40.0 };
    lanes::exp_parts(lanes::clamp(x, -limit, limit))
}

/// The denominator of sigmoid(x), whose numerator is 1.
#[inline(always)]
fn sigmoid_den<V: Lanes>(x: V) -> V {
    let (p, s) = exp_parts(-x);
    s.fma(p, s) + V::splat(V::T::ONE)
}

/// Numerator and denominator of tanh(x), exact near zero.
#[inline(always)]
fn tanh_parts<V: Lanes>(x: V) -> (V, V) {
    let (p, s) = exp_parts(x * lanes::constant(-2.0));
    let t = s.fma(p, s - V::splat(V::T::ONE));
    (-t, t + lanes::constant(2.0))
}

#[inline(always)]
fn tanh<V: Lanes>(x: V) -> V {
    let (a, b) = tanh_parts(x);
    a / b
}

/// The first `n` lanes; the others are zero.
#[inline(always)]
unsafe fn fetch<V: Lanes>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if n == V::N { V::load(p) } else { V::load_partial(p, n) } }
}

#[inline(always)]
unsafe fn put<V: Lanes>(v: V, p: *mut V::T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { if n == V::N { v.store(p) } else { v.store_partial(p, n) } }
}

/// Memory of a call, as elements.
struct Scratch<T> {
    buffer: Buffer,
    life: std::marker::PhantomData<T>,
}

impl<T: Scalar> Scratch<T> {
    fn new(len: usize) -> Result<Scratch<T>, AllocError> {
        let buffer = Buffer::scratch(len * size_of::<T>())?;
        Ok(Scratch { buffer, life: std::marker::PhantomData })
    }

    fn ptr(&mut self) -> Ptr<T> {
        Ptr(self.buffer.bytes_mut().as_mut_ptr().cast())
    }
}

/// A pointer that chunks share; each touches its own part.
struct Ptr<T>(*mut T);
impl<T> Clone for Ptr<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ptr<T> {}
// SAFETY: chunks write disjoint parts.
unsafe impl<T: Send> Send for Ptr<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ptr<T> {}

impl<T> Ptr<T> {
    fn get(self) -> *mut T {
        self.0
    }
}

/// `w` (units, gates·units) as panels of N units: `units` rows of the N columns of every gate, side by side.
fn pack_gates<T: Scalar>(w: &[T], units: usize, gates: usize) -> Result<Scratch<T>, AllocError> {
    let room = units.next_multiple_of(16);
    let mut out = Scratch::<T>::new(room * units * gates)?;
    let to = out.ptr();
    par::run(room / 16, |part| dispatch(level(), PackGates { w, units, gates, part, to: to.get() }));
    Ok(out)
}

struct PackGates<'a, T> {
    w: &'a [T],
    units: usize,
    gates: usize,
    /// Which 16 units.
    part: usize,
    to: *mut T,
}

impl<T: Scalar> Kernel for PackGates<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let PackGates { w, units, gates, part, to } = self;
        let n = <T::V<S> as Lanes>::N;
        let mut u0 = part * 16;
        while u0 < (part + 1) * 16 && u0 < units {
            let width = n.min(units - u0);
            for k in 0..units {
                for g in 0..gates {
                    let from = &w[k * gates * units + g * units + u0..][..width];
                    // SAFETY: panel u0 / n has `units` rows of gates·n elements.
                    unsafe {
                        let v = fetch::<T::V<S>>(from.as_ptr(), width);
                        v.store(to.add(u0 * units * gates + (k * gates + g) * n));
                    }
                }
            }
            u0 += n;
        }
    }
}

/// The transpose of `w` (units, columns) as panels of 2·N units: `columns` rows of them.
fn pack_transposed<T: Scalar>(w: &[T], units: usize, columns: usize) -> Result<Scratch<T>, AllocError> {
    let room = units.next_multiple_of(32);
    let mut out = Scratch::<T>::new(room * columns)?;
    let to = out.ptr();
    par::run(room / 32, |part| dispatch(level(), PackTransposed { w, units, columns, part, to: to.get() }));
    Ok(out)
}

struct PackTransposed<'a, T> {
    w: &'a [T],
    units: usize,
    columns: usize,
    /// Which 32 units.
    part: usize,
    to: *mut T,
}

impl<T: Scalar> Kernel for PackTransposed<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let PackTransposed { w, units, columns, part, to } = self;
        let n = 2 * <T::V<S> as Lanes>::N;
        for u in part * 32..(part + 1) * 32 {
            let (panel, j) = (u / n, u % n);
            for k in 0..columns {
                let x = if u < units { w[u * columns + k] } else { T::ZERO };
                // SAFETY: panel u / n has `columns` rows of n elements.
                unsafe { *to.add(panel * columns * n + k * n + j) = x };
            }
        }
    }
}

/// The rows of a chunk cut into nearly equal tiles of at most `most` rows: calls `$tile` with the first row, the constant
/// `MR` being the number of rows.
macro_rules! tiles {
    ($rows:expr, $most:expr, $at:ident, $mr:ident => $body:expr) => {{
        let (rows, most): (usize, usize) = ($rows, $most);
        let count = rows.div_ceil(most);
        let mut $at = 0;
        let mut left = count;
        while $at < rows {
            let size = (rows - $at).div_ceil(left);
            macro_rules! with {
                ($n:literal) => {{
                    const $mr: usize = $n;
                    $body
                }};
            }
            match size {
                8 => with!(8),
                7 => with!(7),
                6 => with!(6),
                5 => with!(5),
                4 => with!(4),
                3 => with!(3),
                2 => with!(2),
                _ => with!(1),
            }
            $at += size;
            left -= 1;
        }
    }};
}
use tiles;

/// out (rows, units) = base + d (rows, columns) · the packed transpose; `base` may be missing.
///
/// # Safety
/// All elements exist; rows of `base` and `out` have room for whole panels.
#[inline(always)]
unsafe fn back_product<T: Scalar, S: Isa>(
    rows: usize,
    units: usize,
    columns: usize,
    d: *const T,
    d_rs: usize,
    packed: *const T,
    base: Option<*const T>,
    out: *mut T,
    room: usize,
) {
    let n = <T::V<S> as Lanes>::N;
    let most = if <S::F32 as Lanes>::N == 16 { 8 } else { 6 };
    let block = (PANEL / (2 * n * size_of::<T>())).max(1);
    let mut u0 = 0;
    while u0 < units {
        // All rows meet a part of a panel while it is in the first-level cache.
        for from in (0..columns).step_by(block) {
            // SAFETY: panel u0 / 2n exists.
            unsafe {
                let panel = packed.add(u0 * columns + from * 2 * n);
                let begin = if from == 0 { base } else { Some(out.cast_const()) };
                tiles!(rows, most, at, MR => {
                    let mut acc = [[<T::V<S>>::splat(T::ZERO); 2]; MR];
                    if let Some(begin) = begin {
                        for i in 0..MR {
                            for j in 0..2 {
                                acc[i][j] = <T::V<S>>::load(begin.add((at + i) * room + u0 + j * n));
                            }
                        }
                    }
                    let (d, count) = (d.add(at * d_rs + from), block.min(columns - from));
                    accumulate::<T::V<S>, MR, 2>(&mut acc, count, d, d_rs, 1, panel, 2 * n);
                    for i in 0..MR {
                        for j in 0..2 {
                            acc[i][j].store(out.add((at + i) * room + u0 + j * n));
                        }
                    }
                });
            }
        }
        u0 += 2 * n;
    }
}

#[cfg(test)]
mod tests;
