//! Softmax over rows, its logarithm, their gradients, and cross-entropy from logits.

use crate::isa::{Float, Isa, Kernel, Lanes, Real, dispatch, level};
use crate::lanes;
use crate::reduce::{part, put};
use crate::shared::{Shared, ranges, rows_per_chunk};

/// `y = e^x / sum(e^x)` for every row of `n`; panics if the lengths do not fit.
pub fn softmax<T: Float>(x: &[T], n: usize, y: &mut [T]) {
    rows(x, n, y, |_, x, y| dispatch(level(), Softmax { x, n, y, log: false }));
}

/// `y = x - ln(sum(e^x))` for every row of `n`.
pub fn log_softmax<T: Float>(x: &[T], n: usize, y: &mut [T]) {
    rows(x, n, y, |_, x, y| dispatch(level(), Softmax { x, n, y, log: true }));
}

/// The gradient of [`softmax`] from its result: `dx = y (dy - sum(y dy))`.
pub fn softmax_grad<T: Float>(y: &[T], dy: &[T], n: usize, dx: &mut [T]) {
    assert_eq!(y.len(), dy.len(), "softmax_grad: y and dy differ in length");
    rows(y, n, dx, |at, y, dx| {
        dispatch(level(), SoftmaxGrad { y, dy: &dy[at..at + y.len()], n, dx, log: false });
    });
}

/// The gradient of [`log_softmax`] from its result: `dx = dy - e^y sum(dy)`.
pub fn log_softmax_grad<T: Float>(y: &[T], dy: &[T], n: usize, dx: &mut [T]) {
    assert_eq!(y.len(), dy.len(), "log_softmax_grad: y and dy differ in length");
    rows(y, n, dx, |at, y, dx| {
        dispatch(level(), SoftmaxGrad { y, dy: &dy[at..at + y.len()], n, dx, log: true });
    });
}

/// What a row of logits is compared with.
#[derive(Clone, Copy, Debug)]
pub enum Targets<'a, T> {
    /// A distribution per row, as long as the logits.
    Dense(&'a [T]),
    /// A class per row; a class outside `0..n` gives NaN.
    Classes(&'a [i64]),
}

impl<'a, T: Float> Targets<'a, T> {
    fn check(&self, rows: usize, n: usize) {
        let fits = match self {
            Targets::Dense(t) => t.len() == rows * n,
            Targets::Classes(t) => t.len() == rows,
        };
        assert!(fits, "cross_entropy: targets do not fit {rows} rows of {n}");
    }
}

/// Cross-entropy of rows of logits: `loss = -sum(t log_softmax(x))`, and `lse = ln(sum(e^x))` for the gradient.
pub fn cross_entropy<T: Float>(x: &[T], targets: Targets<'_, T>, n: usize, loss: &mut [T], lse: &mut [T]) {
    let count = loss.len();
    assert!(
        x.len() == count * n && lse.len() == count,
        "cross_entropy: {} logits, {count} rows of {n}",
        x.len()
    );
    targets.check(count, n);
    let (loss, lse) = (Shared::new(loss), Shared::new(lse));
    ranges(count, rows_per_chunk(n), |start, end| {
        // SAFETY: chunks are disjoint.
        let (loss, lse) = unsafe { (loss.part(start, end - start), lse.part(start, end - start)) };
        let x = &x[start * n..end * n];
        let dense = match targets {
            Targets::Dense(t) => Some(&t[start * n..end * n]),
            Targets::Classes(_) => None,
        };
        dispatch(level(), Entropy { x, t: dense, n, loss: &mut *loss, lse: &mut *lse });
        if let Targets::Classes(c) = targets {
            for (r, &c) in c[start..end].iter().enumerate() {
                loss[r] = match usize::try_from(c).ok().filter(|&c| c < n) {
                    Some(c) => lse[r] - x[r * n + c],
                    None => T::NAN,
                };
            }
        }
    });
}

/// The gradient of [`cross_entropy`]: `dx = dloss (softmax(x) sum(t) - t)`.
pub fn cross_entropy_grad<T: Float>(
    x: &[T],
    targets: Targets<'_, T>,
    n: usize,
    lse: &[T],
    dloss: &[T],
    dx: &mut [T],
) {
    let count = lse.len();
    assert!(x.len() == count * n && dloss.len() == count, "cross_entropy_grad: lengths do not fit");
    targets.check(count, n);
    rows(x, n, dx, |at, x, dx| {
        let (start, end) = (at / n, (at + x.len()) / n);
        let dense = match targets {
            Targets::Dense(t) => Some(&t[at..at + x.len()]),
            Targets::Classes(_) => None,
        };
        let (lse, dloss) = (&lse[start..end], &dloss[start..end]);
        dispatch(level(), EntropyGrad { x, t: dense, n, lse, dloss, dx: &mut *dx });
        if let Targets::Classes(c) = targets {
            for ((row, &c), &d) in dx.chunks_exact_mut(n).zip(&c[start..end]).zip(dloss) {
                match usize::try_from(c).ok().and_then(|c| row.get_mut(c)) {
                    Some(v) => *v = *v - d,
                    None => row.fill(T::NAN),
                }
            }
        }
    });
}

/// Cuts whole rows into chunks and calls `work(first element, input, output)`.
fn rows<T: Float>(x: &[T], n: usize, y: &mut [T], work: impl Fn(usize, &[T], &mut [T]) + Sync) {
    assert!(
        x.len() == y.len() && (x.is_empty() || (n > 0 && x.len().is_multiple_of(n))),
        "rows of {n}: input has {} elements, output {}",
        x.len(),
        y.len()
    );
    if x.is_empty() {
        return;
    }
    let out = Shared::new(y);
    ranges(x.len() / n, rows_per_chunk(n), |start, end| {
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(start * n, (end - start) * n) };
        work(start * n, &x[start * n..end * n], y);
    });
}

/// The largest value of a row; NaN if one is.
#[inline(always)]
fn row_max<V: Lanes>(x: &[V::T]) -> V::T {
    let low = V::splat(-V::T::INF);
    let (mut a, mut b) = (low, low);
    let mut pairs = x.chunks_exact(2 * V::N);
    for p in &mut pairs {
        a = a.max_nan(part(&p[..V::N]));
        b = b.max_nan(part(&p[V::N..]));
    }
    for p in pairs.remainder().chunks(V::N) {
        a = a.max_nan(part::<V>(p).first(p.len(), low));
    }
    a.max_nan(b).largest()
}

/// The sum of e^(x - m) over a row.
#[inline(always)]
fn exp_sum<V: Lanes>(x: &[V::T], m: V) -> V::T {
    let zero = V::splat(V::T::ZERO);
    let mut total = zero;
    for p in x.chunks(V::N) {
        total = total + lanes::exp(part::<V>(p) - m).first(p.len(), zero);
    }
    total.sum()
}

struct Softmax<'a, T> {
    x: &'a [T],
    n: usize,
    y: &'a mut [T],
    log: bool,
}

impl<T: Float> Kernel for Softmax<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Softmax { x, n, y, log } = self;
        let width = <T::V<S> as Lanes>::N;
        let splat = <T::V<S> as Lanes>::splat;
        for (x, y) in x.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
            let largest = row_max::<T::V<S>>(x);
            let m = splat(largest);
            if log {
                let shift = splat(largest + T::of(exp_sum(x, m).f64().ln()));
                for (x, y) in x.chunks(width).zip(y.chunks_mut(width)) {
                    put(part::<T::V<S>>(x) - shift, y);
                }
                continue;
            }
            let mut total = splat(T::ZERO);
            for (x, y) in x.chunks(width).zip(y.chunks_mut(width)) {
                let e = lanes::exp(part::<T::V<S>>(x) - m);
                put(e, y);
                total = total + e.first(x.len(), splat(T::ZERO));
            }
            let scale = splat(T::ONE / total.sum());
            for y in y.chunks_mut(width) {
                put(part::<T::V<S>>(y) * scale, y);
            }
        }
    }
}

struct SoftmaxGrad<'a, T> {
    y: &'a [T],
    dy: &'a [T],
    n: usize,
    dx: &'a mut [T],
    log: bool,
}

impl<T: Float> Kernel for SoftmaxGrad<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let SoftmaxGrad { y, dy, n, dx, log } = self;
        let width = <T::V<S> as Lanes>::N;
        let splat = <T::V<S> as Lanes>::splat;
        for ((y, dy), dx) in y.chunks_exact(n).zip(dy.chunks_exact(n)).zip(dx.chunks_exact_mut(n)) {
            let mut total = splat(T::ZERO);
            for (y, dy) in y.chunks(width).zip(dy.chunks(width)) {
                let dy = part::<T::V<S>>(dy);
                // Absent lanes are read as zero and add nothing.
                total = if log { total + dy } else { part::<T::V<S>>(y).fma(dy, total) };
            }
            let total = splat(total.sum());
            for ((y, dy), dx) in y.chunks(width).zip(dy.chunks(width)).zip(dx.chunks_mut(width)) {
                let (y, dy) = (part::<T::V<S>>(y), part::<T::V<S>>(dy));
                put(if log { dy - lanes::exp(y) * total } else { y * (dy - total) }, dx);
            }
        }
    }
}

/// `ln(sum(e^x))` of every row and, with dense targets, the loss.
struct Entropy<'a, T> {
    x: &'a [T],
    t: Option<&'a [T]>,
    n: usize,
    loss: &'a mut [T],
    lse: &'a mut [T],
}

impl<T: Float> Kernel for Entropy<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Entropy { x, t, n, loss, lse } = self;
        let width = <T::V<S> as Lanes>::N;
        let zero = <T::V<S> as Lanes>::splat(T::ZERO);
        for (r, x) in x.chunks_exact(n).enumerate() {
            let largest = row_max::<T::V<S>>(x);
            let m = <T::V<S> as Lanes>::splat(largest);
            lse[r] = largest + T::of(exp_sum(x, m).f64().ln());
            let Some(t) = t else { continue };
            let (mut weight, mut dot) = (zero, zero);
            for (x, t) in x.chunks(width).zip(t[r * n..(r + 1) * n].chunks(width)) {
                let (x, t) = (part::<T::V<S>>(x), part::<T::V<S>>(t));
                weight = weight + t;
                // A logit of -inf with weight zero costs nothing.
                dot = <T::V<S> as Lanes>::select(t.eq(zero), zero, t * x) + dot;
            }
            loss[r] = weight.sum() * lse[r] - dot.sum();
        }
    }
}

struct EntropyGrad<'a, T> {
    x: &'a [T],
    t: Option<&'a [T]>,
    n: usize,
    lse: &'a [T],
    dloss: &'a [T],
    dx: &'a mut [T],
}

impl<T: Float> Kernel for EntropyGrad<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let EntropyGrad { x, t, n, lse, dloss, dx } = self;
        let width = <T::V<S> as Lanes>::N;
        let splat = <T::V<S> as Lanes>::splat;
        for (r, (x, dx)) in x.chunks_exact(n).zip(dx.chunks_exact_mut(n)).enumerate() {
            let (lse, dloss) = (splat(lse[r]), splat(dloss[r]));
            let Some(t) = t else {
                for (x, dx) in x.chunks(width).zip(dx.chunks_mut(width)) {
                    put(lanes::exp(part::<T::V<S>>(x) - lse) * dloss, dx);
                }
                continue;
            };
            let t = &t[r * n..(r + 1) * n];
            let mut weight = splat(T::ZERO);
            for t in t.chunks(width) {
                weight = weight + part::<T::V<S>>(t);
            }
            let weight = splat(weight.sum());
            for ((x, t), dx) in x.chunks(width).zip(t.chunks(width)).zip(dx.chunks_mut(width)) {
                let p = lanes::exp(part::<T::V<S>>(x) - lse);
                put(p.fma(weight, -part::<T::V<S>>(t)) * dloss, dx);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: usize, seed: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 100.0 - 5.0).collect()
    }

    #[test]
    fn softmax_and_its_logarithm() {
        for n in [1, 3, 8, 10, 17, 33, 1000] {
            let x = data(5 * n, 1);
            let (mut y, mut l) = (vec![0.0; 5 * n], vec![0.0; 5 * n]);
            softmax(&x, n, &mut y);
            log_softmax(&x, n, &mut l);
            let x32: Vec<f32> = x.iter().map(|&v| v as f32).collect();
            let mut y32 = vec![0f32; 5 * n];
            softmax(&x32, n, &mut y32);
            for r in 0..5 {
                let total: f64 = x[r * n..(r + 1) * n].iter().map(|v| v.exp()).sum();
                for i in r * n..(r + 1) * n {
                    assert!((y[i] - x[i].exp() / total).abs() < 1e-15, "n {n}");
                    assert!((l[i] - (x[i] - total.ln())).abs() < 1e-14);
                    assert!((f64::from(y32[i]) - y[i]).abs() < 1e-6 * y[i].max(1e-3));
                }
            }
        }
        let mut y = [0f32; 3];
        softmax(&[1000.0, 1000.0, f32::NEG_INFINITY], 3, &mut y);
        assert_eq!(y, [0.5, 0.5, 0.0]);
    }

    /// Gradients against central differences of the value.
    #[test]
    fn gradients() {
        let n = 11;
        let (x, dy, h) = (data(n, 2), data(n, 3), 1e-6);
        let value = |x: &[f64], f: fn(&[f64], usize, &mut [f64])| {
            let mut y = vec![0.0; n];
            f(x, n, &mut y);
            y.iter().zip(&dy).map(|(a, b)| a * b).sum::<f64>()
        };
        let pairs: [(fn(&[f64], usize, &mut [f64]), fn(&[f64], &[f64], usize, &mut [f64])); 2] =
            [(softmax, softmax_grad), (log_softmax, log_softmax_grad)];
        for (f, grad) in pairs {
            let (mut y, mut dx) = (vec![0.0; n], vec![0.0; n]);
            f(&x, n, &mut y);
            grad(&y, &dy, n, &mut dx);
            for i in 0..n {
                let (mut up, mut down) = (x.clone(), x.clone());
                up[i] += h;
                down[i] -= h;
                let want = (value(&up, f) - value(&down, f)) / (2.0 * h);
                assert!((dx[i] - want).abs() < 1e-7, "{} {want}", dx[i]);
            }
        }
    }

    #[test]
    fn entropy_both_ways() {
        let (rows, n) = (6, 10);
        let x = data(rows * n, 4);
        let classes: Vec<i64> = (0..rows as i64).map(|r| r * 3 % 10).collect();
        let mut t = vec![0.0; rows * n];
        for r in 0..rows {
            t[r * n + classes[r] as usize] = 1.0;
        }
        let dloss = data(rows, 5);
        let run = |targets: Targets<'_, f64>| {
            let (mut loss, mut lse, mut dx) = (vec![0.0; rows], vec![0.0; rows], vec![0.0; rows * n]);
            cross_entropy(&x, targets, n, &mut loss, &mut lse);
            cross_entropy_grad(&x, targets, n, &lse, &dloss, &mut dx);
            (loss, dx)
        };
        let (a, da) = run(Targets::Dense(&t));
        let (b, db) = run(Targets::Classes(&classes));
        let mut l = vec![0.0; rows * n];
        log_softmax(&x, n, &mut l);
        for r in 0..rows {
            let want = -l[r * n + classes[r] as usize];
            assert!((a[r] - want).abs() < 1e-14 && (b[r] - want).abs() < 1e-14);
            for i in r * n..(r + 1) * n {
                let want = dloss[r] * (l[i].exp() - t[i]);
                assert!((da[i] - want).abs() < 1e-14 && (db[i] - want).abs() < 1e-14);
            }
        }
        let mut bad = classes;
        bad[2] = 10;
        let (b, db) = run(Targets::Classes(&bad));
        assert!(b[2].is_nan() && db[20].is_nan() && b[3].is_finite() && db[30].is_finite());
    }
}
