//! Products of float32 matrices on processors whose tiles multiply bfloat16 (AMX), as accurate as multiply-adds.
//!
//! A float32 number is the exact sum of three bfloat16 numbers, x = h + m + l, each some 2^-8 of the one before. Of the
//! nine products of parts, six are computed
//!
//! ```text
//! a·b = hh + (hm + mh) + (hl + mm + lh) + [ml + lm + ll]
//! ```
//!
//! and those in brackets are dropped: 2^-26 of the first on average and 2^-22 at most, of either sign, while every
//! addition of float32 rounds by up to 2^-24 of the sum. Sums are in float32. A tile takes six passes, and still half the
//! time of multiply-adds of vectors.
//!
//! Infinities and NaN (and numbers that round to infinity) have no such parts: where packing meets one, its block of
//! the sum is left to multiply-adds. Parts below 1e-38 count as zero, as the instructions have it.
//!
//! Source: Henry, Tang, Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//! Computations", ARITH 2019.

mod pack;
mod plan;
mod run;
mod tiles;

#[cfg(test)]
mod tests;

use std::any::TypeId;

use super::{Product, Scalar, Source};
use crate::isa::{Level, Narrow, narrow};

/// Computes the products if this is the way for them: float32, tiles, and a shape that pays for splitting the operands.
/// False where nothing was done: other types, other processors, or no memory.
///
/// # Safety
/// As for [`super::run`].
pub(super) unsafe fn run<T: Scalar>(l: Level, p: &Product<'_, T>, offsets: &[[usize; 3]]) -> bool {
    if TypeId::of::<T>() != TypeId::of::<f32>() || l != Level::Avx512 || !fits(p.m, p.n, p.k) {
        return false;
    }
    if narrow() != Narrow::Amx || matches!(p.b, Source::Packed { .. }) {
        return false;
    }
    // SAFETY: T is f32.
    let p = unsafe { &*std::ptr::from_ref(p).cast::<Product<'_, f32>>() };
    // SAFETY: the caller's promise; the machine has tiles.
    unsafe { run::run(p, offsets).is_ok() }
}

/// Whether the arithmetic outweighs the splitting, which each operand needs once.
fn fits(m: usize, n: usize, k: usize) -> bool {
    /// Floating-point operations from which on two cores are faster this way; below they do it in 50 µs either way.
    const WORK: usize = 16_000_000;
    m >= 32 && n >= 32 && k >= 32 && 2 * m * n * k >= WORK
}
