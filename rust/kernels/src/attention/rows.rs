//! What happens to the scores of a block, row by row.

use super::operands::Next;
use super::{Block, Rules, Sizes, low};
use crate::gemm::Scalar;
use crate::isa::{Isa, Lanes, Real};
use crate::lanes;
use crate::random::{COIN, State, coins};
use crate::reduce::{part, put};

/// A row of scores that was made ready.
struct Ready<T> {
    /// How many keys count.
    n: usize,
    /// What the scores are still to be multiplied with.
    factor: T,
    /// The largest score, where it was asked for.
    largest: T,
    /// All were forbidden; then all count the same.
    none: bool,
}

/// The largest of `row`, each number times `factor`. What is not a number is passed over, unless `NAN`; it reaches the
/// sum of the row in any case.
#[inline(always)]
fn largest_of<V: Lanes, const NAN: bool>(row: &[V::T], factor: V) -> V::T {
    const CHAINS: usize = 4;
    let low = V::splat(-V::T::INF);
    let mut best = [low; CHAINS];
    macro_rules! larger {
        ($x:expr, $y:expr) => {
            if NAN { $x.max_nan($y) } else { $x.max($y) }
        };
    }
    let mut whole = row.chunks_exact(CHAINS * V::N);
    for x in &mut whole {
        for u in 0..CHAINS {
            best[u] = larger!((part::<V>(&x[u * V::N..(u + 1) * V::N]) * factor), best[u]);
        }
    }
    for x in whole.remainder().chunks(V::N) {
        best[0] = larger!((part::<V>(x) * factor).first(x.len(), low), best[0]);
    }
    let best = larger!(larger!(best[0], best[1]), larger!(best[2], best[3]));
    if NAN {
        return best.largest();
    }
    let (mut lanes, mut n) = (best.to_array(), V::N);
    while n > 1 {
        n /= 2;
        for i in 0..n {
            lanes[i] = if lanes[i] > lanes[i + n] { lanes[i] } else { lanes[i + n] };
        }
    }
    lanes[0]
}

/// Biases and masks a row of scores. Only where there is something to do besides scaling is the row written.
#[inline(always)]
fn prepare<T: Scalar, S: Isa>(
    rules: &Rules<'_, T>,
    at: &Block,
    r: usize,
    row: &mut [T],
    largest: bool,
) -> Ready<T> {
    let i = at.first + r;
    let seen = if rules.causal { (i + 1).min(row.len()) } else { row.len() };
    // What is skipped need not be computed; where a mask may forbid all, what is not seen is one of the forbidden.
    let n = if rules.mask.is_some() { row.len() } else { seen };
    let scale = T::of(rules.scale);
    let width = <T::V<S> as Lanes>::N;
    let splat = <T::V<S> as Lanes>::splat;
    let row = &mut row[..n];
    if rules.bias.is_none() && rules.mask.is_none() {
        let largest = if largest { largest_of::<T::V<S>, false>(row, splat(scale)) } else { T::ZERO };
        return Ready { n, factor: scale, largest, none: false };
    }
    if let Some(bias) = rules.bias {
        let from = bias.at(at.batch, at.head, i);
        if bias.strides[3] == 1 {
            for (x, &b) in row.iter_mut().zip(&bias.data[from..from + n]) {
                *x = x.fma(scale, b);
            }
        } else {
            for (j, x) in row.iter_mut().enumerate() {
                *x = x.fma(scale, bias.data[from + j * bias.strides[3]]);
            }
        }
    } else {
        for x in row.chunks_mut(width) {
            put(part::<T::V<S>>(x) * splat(scale), x);
        }
    }
    if let Some(mask) = rules.mask {
        let from = mask.at(at.batch, at.head, i);
        if mask.strides[3] == 1 {
            for (x, &m) in row.iter_mut().zip(&mask.data[from..from + n]) {
                *x = if m != 0 { *x } else { low() };
            }
        } else {
            for (j, x) in row.iter_mut().enumerate() {
                *x = if mask.data[from + j * mask.strides[3]] != 0 { *x } else { low() };
            }
        }
        row[seen..].fill(low());
    }
    let mut most = T::ZERO;
    if largest || rules.mask.is_some() {
        most = largest_of::<T::V<S>, true>(row, splat(T::ONE));
    }
    let none = rules.mask.is_some() && most <= low();
    if none {
        row.fill(T::ZERO);
        most = T::ZERO;
    }
    Ready { n, factor: T::ONE, largest: most, none }
}

/// The random factors of a row: 0 or 1 / (1 - rate), a function of where the row stands alone.
#[inline(always)]
fn draw<T: Scalar, S: Isa>(rate: f64, state: State, sizes: &Sizes, at: &Block, r: usize, factors: &mut [T]) {
    let row = (at.batch * sizes.heads + at.head) * sizes.queries + at.first + r;
    let group = row * sizes.keys.div_ceil(COIN);
    coins::<T, S>(state, 1.0 - rate, T::of(1.0 / (1.0 - rate)), group as u64, factors);
}

/// Scores become e^(score - largest of the row), with the factors of dropout; the sums are those without, and `lse` the
/// logarithms of the sums of e^score. Between the rows `next` is asked for.
#[inline(always)]
pub(super) fn weights<T: Scalar, S: Isa>(
    sizes: &Sizes,
    rules: &Rules<'_, T>,
    at: &Block,
    strip: &mut [T],
    lse: &mut [T],
    sums: &mut [T],
    factors: &mut [T],
    next: &Next,
) {
    let width = <T::V<S> as Lanes>::N;
    let splat = <T::V<S> as Lanes>::splat;
    for (r, row) in strip.chunks_exact_mut(at.keys).enumerate() {
        next.ask(at.first + r);
        let Ready { n, factor, largest: m, .. } = prepare::<T, S>(rules, at, r, row, true);
        let (factor, shift) = (splat(factor), splat(-m));
        // Several at a time: one exponential waits for itself longer than it computes.
        const TOGETHER: usize = 4;
        let mut totals = [splat(T::ZERO); TOGETHER];
        let mut groups = row[..n].chunks_exact_mut(TOGETHER * width);
        for x in &mut groups {
            let mut e = [splat(T::ZERO); TOGETHER];
            for u in 0..TOGETHER {
                e[u] = lanes::exp(part::<T::V<S>>(&x[u * width..(u + 1) * width]).fma(factor, shift));
            }
            for u in 0..TOGETHER {
                put(e[u], &mut x[u * width..(u + 1) * width]);
                totals[u] = totals[u] + e[u];
            }
        }
        for x in groups.into_remainder().chunks_mut(width) {
            let e = lanes::exp(part::<T::V<S>>(x).fma(factor, shift));
            put(e, x);
            totals[0] = totals[0] + e.first(x.len(), splat(T::ZERO));
        }
        let total = (totals[0] + totals[1]) + (totals[2] + totals[3]);
        row[n..].fill(T::ZERO);
        if let Some((rate, state)) = rules.dropout {
            draw::<T, S>(rate, state, sizes, at, r, factors);
            for (x, f) in row.chunks_mut(width).zip(factors.chunks(width)) {
                put(part::<T::V<S>>(x) * part::<T::V<S>>(f), x);
            }
        }
        // The largest score for now.
        lse[r] = m;
        sums[r] = total.sum();
    }
    for (m, sum) in lse.chunks_mut(width).zip(sums.chunks(width)) {
        put(part::<T::V<S>>(m) + lanes::log(part::<T::V<S>>(sum)), m);
    }
}

/// Scores become the weights that met the values; the gradients of the weights become those of the products Q·Kᵀ:
/// scale p (f dp - delta).
#[inline(always)]
pub(super) fn slopes<T: Scalar, S: Isa>(
    sizes: &Sizes,
    rules: &Rules<'_, T>,
    at: &Block,
    strip: &mut [T],
    slopes: &mut [T],
    lse: &[T],
    delta: &[T],
    factors: &mut [T],
    next: &Next,
) {
    let width = <T::V<S> as Lanes>::N;
    let splat = <T::V<S> as Lanes>::splat;
    let scale = splat(T::of(rules.scale));
    let rows = strip.chunks_exact_mut(at.keys).zip(slopes.chunks_exact_mut(at.keys));
    for (r, (row, slope)) in rows.enumerate() {
        next.ask(at.first + r);
        let Ready { n, factor, none, .. } = prepare::<T, S>(rules, at, r, row, false);
        let factor = splat(factor);
        let (lse, delta) = (splat(-lse[r * sizes.heads]), splat(delta[r * sizes.heads]));
        if let Some((rate, state)) = rules.dropout {
            draw::<T, S>(rate, state, sizes, at, r, factors);
            let rows = row[..n].chunks_mut(width).zip(slope[..n].chunks_mut(width));
            for ((x, d), f) in rows.zip(factors.chunks(width)) {
                let p = lanes::exp(part::<T::V<S>>(x).fma(factor, lse));
                let f = part::<T::V<S>>(&f[..x.len()]);
                put(p * (part::<T::V<S>>(d) * f - delta) * scale, d);
                put(p * f, x);
            }
        } else {
            let pair = 2 * width;
            let (mut x, mut d) = (row[..n].chunks_exact_mut(pair), slope[..n].chunks_exact_mut(pair));
            for (x, d) in (&mut x).zip(&mut d) {
                let mut p = [splat(T::ZERO); 2];
                for u in 0..2 {
                    p[u] = lanes::exp(part::<T::V<S>>(&x[u * width..(u + 1) * width]).fma(factor, lse));
                }
                for u in 0..2 {
                    let d = &mut d[u * width..(u + 1) * width];
                    put(p[u] * (part::<T::V<S>>(d) - delta) * scale, d);
                    put(p[u], &mut x[u * width..(u + 1) * width]);
                }
            }
            let rest = x.into_remainder().chunks_mut(width).zip(d.into_remainder().chunks_mut(width));
            for (x, d) in rest {
                let p = lanes::exp(part::<T::V<S>>(x).fma(factor, lse));
                put(p * (part::<T::V<S>>(d) - delta) * scale, d);
                put(p, x);
            }
        }
        row[n..].fill(T::ZERO);
        // Where all are forbidden the weights do not depend on the scores.
        slope[if none { 0 } else { n }..].fill(T::ZERO);
    }
}
