//! The micro-kernel: a tile of C in registers, written once over the lane trait.

use super::ahead::Line;
use super::plan::LINE;
use super::{Epilogue, Scalar};
use crate::isa::{Isa, Kernel, Lanes, Real, prefetch, prefetch_far, prefetch_to_write};
use crate::lanes::round_bfloat16;
use crate::map::Unary;
use crate::unroll::each;

/// Where a tile goes and what is done to it on the way.
pub(crate) struct Out<T> {
    pub c: *mut T,
    pub ldc: usize,
    /// Columns that count; the others are padding.
    pub width: usize,
    /// Add to what C holds.
    pub add: bool,
    pub bias: Option<*const T>,
    pub residual: Option<(*const T, usize)>,
    pub relu: bool,
    /// Round to bfloat16 after every step.
    pub rounded: bool,
}

impl<T: Scalar> Out<T> {
    /// The part of the C at `c` from `row` and `column` on; the epilogue of C comes with the last block of the sum.
    ///
    /// # Safety
    /// That part exists, in C and in what the epilogue reads.
    #[inline(always)]
    pub(crate) unsafe fn part(
        (c, ldc): (*mut T, usize),
        (row, column): (usize, usize),
        width: usize,
        add: bool,
        ep: &Epilogue<'_, T>,
        last: bool,
    ) -> Out<T> {
        // SAFETY: the caller's promise.
        unsafe {
            Out {
                c: c.add(row * ldc + column),
                ldc,
                width,
                add,
                bias: ep.bias.filter(|_| last).map(|b| b.as_ptr().add(column)),
                residual: ep.residual.filter(|_| last).map(|(r, ld)| (r.as_ptr().add(row * ld + column), ld)),
                relu: last && ep.activation == Some(Unary::Relu),
                rounded: last && ep.rounded,
            }
        }
    }
}

/// Rows of the full tile: as many as the registers hold beside two vectors of B and one of A.
#[inline(always)]
pub(crate) fn tile_rows<T: Real, S: Isa>() -> usize {
    // 32 registers of 512 bits, 16 of 256 bits; the portable level is left to the compiler.
    match <S::F32 as Lanes>::N {
        16 => 14,
        _ => 6,
    }
}

/// The sum over several segments (a, b) of a[i, p]·b[p, j] for p < k, `MR` rows and `NV` vectors of columns.
///
/// # Safety
/// The elements exist; each row of b holds `NV` whole vectors.
#[inline(always)]
pub(crate) unsafe fn accumulate<V: Lanes, const MR: usize, const NV: usize>(
    acc: &mut [[V; NV]; MR],
    k: usize,
    a: *const V::T,
    a_rs: usize,
    a_cs: usize,
    b: *const V::T,
    b_rs: usize,
) {
    // SAFETY: passed on.
    unsafe { accumulate_while_asking::<V, MR, NV>(acc, k, a, a_rs, a_cs, b, b_rs, Line::nothing(a), None) }
}

/// [`accumulate`], and `ahead` is asked for meanwhile, as far as there is time; towards the end also the rows of `c`, by
/// address and stride.
///
/// # Safety
/// As for [`accumulate`].
#[inline(always)]
unsafe fn accumulate_while_asking<V: Lanes, const MR: usize, const NV: usize>(
    acc: &mut [[V; NV]; MR],
    k: usize,
    a: *const V::T,
    a_rs: usize,
    a_cs: usize,
    b: *const V::T,
    b_rs: usize,
    ahead: Line,
    c: Option<(*const V::T, usize)>,
) {
    // SAFETY: passed on. With constant strides every address is an offset the loop need not compute.
    unsafe {
        if a_rs == 1 && a_cs == MR && b_rs == NV * V::N {
            steps::<V, MR, NV, true>(acc, k, a, 1, MR, b, NV * V::N, ahead, c);
        } else {
            steps::<V, MR, NV, false>(acc, k, a, a_rs, a_cs, b, b_rs, ahead, c);
        }
    }
}

/// Copies sums one by one, so that either side may stay in registers; an assignment would copy memory.
#[inline(always)]
fn take<V: Lanes, const MR: usize, const NV: usize>(to: &mut [[V; NV]; MR], from: &[[V; NV]; MR]) {
    each!(i < MR, {
        for j in 0..NV {
            to[i][j] = from[i][j];
        }
    });
}

/// A copy of sums, made as [`take`] makes it: what loops do with it leaves the sums in registers.
#[inline(always)]
pub(crate) fn copied<V: Lanes, const MR: usize, const NV: usize>(sums: &[[V; NV]; MR]) -> [[V; NV]; MR] {
    let mut copy = [[V::splat(V::T::ZERO); NV]; MR];
    take::<V, MR, NV>(&mut copy, sums);
    copy
}

/// How many steps ahead operands are asked for.
const AHEAD: usize = 16;
/// So many steps before the end of the sum the rows of C are asked for: early enough for the memory, late enough not to
/// be driven out of the cache by A and B. (Rows of C lie far apart, often where they share few places.)
const LAST: usize = 32;
/// Steps along a row of A that a line of the cache lasts, of float32; no tile has more rows.
const LINE_STEPS: usize = LINE / size_of::<f32>();

#[inline(always)]
unsafe fn steps<V: Lanes, const MR: usize, const NV: usize, const PACKED: bool>(
    acc: &mut [[V; NV]; MR],
    k: usize,
    a: *const V::T,
    a_rs: usize,
    a_cs: usize,
    b: *const V::T,
    b_rs: usize,
    mut ahead: Line,
    c: Option<(*const V::T, usize)>,
) {
    let (mut a, mut b) = (a, b);
    // Copies that only this loop touches: the caller's array, which it later walks row by row, would be written back to
    // memory after every multiply-add.
    let mut sum = copied::<V, MR, NV>(acc);
    /// One step: a column of A times a row of B.
    macro_rules! step {
        () => {
            // A plain loop: a closure would not inherit the instruction set of its caller.
            let mut row = [V::splat(V::T::ZERO); NV];
            for j in 0..NV {
                row[j] = V::load(b.add(j * V::N));
                // One request per cache line.
                if j * size_of::<V>() % LINE == 0 {
                    prefetch(b.wrapping_add(AHEAD * b_rs + j * V::N));
                }
            }
            each!(i < MR, {
                let x = V::splat(*a.add(i * a_rs));
                for j in 0..NV {
                    sum[i][j] = x.fma(row[j], sum[i][j]);
                }
            });
            a = a.add(a_cs);
            b = b.add(b_rs);
        };
    }
    // SAFETY: the caller's promise.
    unsafe {
        // Several steps at a time only where addresses are constants: else the compiler moves loads up until registers
        // are spilled.
        let last = k.min(LAST);
        for (part, k) in [k - last, last].into_iter().enumerate() {
            if part == 1
                && let Some((c, ldc)) = c
            {
                for i in 0..MR {
                    for j in 0..NV {
                        if (j * size_of::<V>()).is_multiple_of(LINE) {
                            prefetch_to_write(c.wrapping_add(i * ldc + j * V::N));
                        }
                    }
                }
            }
            let fours = if PACKED { k / 4 } else { 0 };
            for _ in 0..fours {
                prefetch(a.wrapping_add(AHEAD * a_cs));
                prefetch(a.wrapping_add((AHEAD + 2) * a_cs));
                prefetch_far(ahead.at);
                ahead.at = ahead.at.wrapping_add(ahead.stride);
                step!();
                step!();
                if size_of::<V>() == 64 {
                    prefetch(a.wrapping_add((AHEAD + 1) * a_cs));
                    prefetch(a.wrapping_add((AHEAD + 3) * a_cs));
                }
                step!();
                step!();
            }
            // Rows at strides: within a line's length of steps each is asked for its next line. Of columns at strides each
            // is a line of its own.
            let lines = if PACKED { 0 } else { k / LINE_STEPS };
            let next = if a_cs == 1 { a_rs } else { a_cs };
            for _ in 0..lines {
                let mut ahead = a.wrapping_add(LINE_STEPS * a_cs);
                for _ in 0..LINE_STEPS {
                    prefetch(ahead);
                    ahead = ahead.wrapping_add(next);
                    step!();
                }
            }
            for _ in 4 * fours + LINE_STEPS * lines..k {
                prefetch(a.wrapping_add(AHEAD * a_cs));
                step!();
            }
        }
    }
    take::<V, MR, NV>(acc, &sum);
}

/// The first `n` lanes.
#[inline(always)]
pub(crate) unsafe fn fetch<V: Lanes>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if n == V::N { V::load(p) } else { V::load_partial(p, n) } }
}

/// Writes a finished tile. What is to be done is decided once per tile, not per register: each case is straight code.
///
/// # Safety
/// `MR` rows of `out.width` columns exist.
#[inline(always)]
pub(crate) unsafe fn store<V: Lanes, const MR: usize, const NV: usize>(acc: &[[V; NV]; MR], out: &Out<V::T>) {
    // SAFETY: passed on.
    unsafe {
        if out.width == NV * V::N && out.residual.is_none() && (!out.rounded || rounds::<V::T>()) {
            match (out.add, out.bias.is_some() || out.relu || out.rounded) {
                (false, false) => store_full::<V, MR, NV, false, false>(acc, out),
                (true, false) => store_full::<V, MR, NV, true, false>(acc, out),
                (false, true) => store_full::<V, MR, NV, false, true>(acc, out),
                (true, true) => store_full::<V, MR, NV, true, true>(acc, out),
            }
        } else {
            // A copy in memory for the loops of the general case; the others write registers.
            store_any::<V, MR, NV>(&copied::<V, MR, NV>(acc), out);
        }
    }
}

/// Is rounding to bfloat16 a matter of a few instructions? From float64 it goes number by number.
#[inline(always)]
fn rounds<T>() -> bool {
    size_of::<T>() == size_of::<f32>()
}

/// All columns count, and there is no residual. What the epilogue asks for is asked per vector, always with the same
/// answer: that costs less than loops over an array in memory.
#[inline(always)]
unsafe fn store_full<V: Lanes, const MR: usize, const NV: usize, const ADD: bool, const EPILOGUE: bool>(
    acc: &[[V; NV]; MR],
    out: &Out<V::T>,
) {
    let mut bias = [V::splat(V::T::ZERO); NV];
    let least = V::splat(if out.relu { V::T::ZERO } else { -V::T::INF });
    // SAFETY: `MR` rows of `NV` vectors exist.
    unsafe {
        if EPILOGUE && let Some(b) = out.bias {
            for j in 0..NV {
                bias[j] = V::load(b.add(j * V::N));
            }
        }
        each!(i < MR, {
            let c = out.c.wrapping_add(i * out.ldc);
            for j in 0..NV {
                let mut y = acc[i][j];
                if ADD {
                    y = y + V::load(c.add(j * V::N));
                }
                if EPILOGUE {
                    let rounded = rounds::<V::T>() && out.rounded;
                    if rounded {
                        y = round_bfloat16(y);
                    }
                    if out.bias.is_some() {
                        y = y + bias[j];
                        if rounded {
                            y = round_bfloat16(y);
                        }
                    }
                    y = y.max_nan(least);
                }
                y.store(c.add(j * V::N));
            }
        });
    }
}

/// The general case of [`store`].
#[inline(always)]
unsafe fn store_any<V: Lanes, const MR: usize, const NV: usize>(acc: &[[V; NV]; MR], out: &Out<V::T>) {
    let zero = V::splat(V::T::ZERO);
    for j in 0..NV {
        let left = out.width.saturating_sub(j * V::N).min(V::N);
        if left == 0 {
            break;
        }
        let full = left == V::N;
        // SAFETY: `left` columns of every row exist.
        unsafe {
            let mut bias = zero;
            if let Some(b) = out.bias {
                bias = fetch::<V>(b.add(j * V::N), left);
            }
            for i in 0..MR {
                let c = out.c.add(i * out.ldc + j * V::N);
                let mut y = acc[i][j];
                if out.add {
                    y = y + fetch::<V>(c, left);
                }
                if out.rounded {
                    y = round_bfloat16(y);
                }
                if out.bias.is_some() {
                    y = y + bias;
                }
                if out.rounded && out.bias.is_some() {
                    y = round_bfloat16(y);
                }
                if let Some((r, ld)) = out.residual {
                    y = y + fetch::<V>(r.add(i * ld + j * V::N), left);
                    if out.rounded {
                        y = round_bfloat16(y);
                    }
                }
                if out.relu {
                    y = y.max_nan(zero);
                }
                if full { y.store(c) } else { y.store_partial(c, left) }
            }
        }
    }
}

/// What the tiles of one panel of B have in common.
pub(crate) struct Panel<T> {
    pub k: usize,
    pub a_rs: usize,
    pub a_cs: usize,
    pub b: *const T,
    pub b_rs: usize,
}

/// A tile of exactly `MR` rows and `NV` vectors.
struct Block<'a, T, const MR: usize, const NV: usize> {
    panel: &'a Panel<T>,
    a: *const T,
    ahead: Line,
    out: &'a Out<T>,
}

impl<T: Scalar, const MR: usize, const NV: usize> Kernel for Block<'_, T, MR, NV> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Block { panel, a, ahead, out } = self;
        let &Panel { k, a_rs, a_cs, b, b_rs } = panel;
        let mut acc = [[<T::V<S>>::splat(T::ZERO); NV]; MR];
        // SAFETY: passed on from `tile`.
        unsafe {
            let c = Some((out.c.cast_const(), out.ldc));
            accumulate_while_asking::<T::V<S>, MR, NV>(&mut acc, k, a, a_rs, a_cs, b, b_rs, ahead, c);
            store::<T::V<S>, MR, NV>(&acc, out);
        }
    }
}

/// A tile of `rows` rows (at most [`tile_rows`]) and up to two vectors of columns.
///
/// # Safety
/// All elements exist; rows of b hold as many whole vectors as the width touches.
#[inline(always)]
pub(crate) unsafe fn tile<T: Scalar, S: Isa>(
    rows: usize,
    panel: &Panel<T>,
    a: *const T,
    ahead: Line,
    out: &Out<T>,
) {
    macro_rules! of_rows {
        ($($mr:literal)*) => {
            if out.width > <T::V<S> as Lanes>::N {
                match rows {
                    $($mr => S::apart(Block::<T, $mr, 2> { panel, a, ahead, out }),)*
                    _ => unreachable!("a tile of {rows} rows"),
                }
            } else {
                match rows {
                    $($mr => S::apart(Block::<T, $mr, 1> { panel, a, ahead, out }),)*
                    _ => unreachable!("a tile of {rows} rows"),
                }
            }
        };
    }
    if <S::F32 as Lanes>::N == 16 {
        of_rows!(1 2 3 4 5 6 7 8 9 10 11 12 13 14)
    } else {
        of_rows!(1 2 3 4 5 6)
    }
}
