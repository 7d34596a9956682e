//! Reductions of [outer, n, inner] over the middle.
//!
//! The order of every sum is fixed by the shape: vector accumulators over short blocks, blocks added up in
//! float64, long reductions cut into pieces of fixed size. Threads only decide who computes which piece.

use crate::convert::convert;
use crate::isa::{Isa, Kernel, Lanes, Real, dispatch, level};
use crate::lanes;
use crate::shared::{GRAIN, Shared, ranges, rows_per_chunk};
use half::{bf16, f16};

/// What a reduction computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// The sum (0 of nothing); integers wrap.
    Sum,
    /// The mean (NaN of nothing); integers round towards zero.
    Mean,
    /// The product (1 of nothing); integers wrap.
    Prod,
    /// The largest; NaN if any is.
    Max,
    /// The smallest; NaN if any is.
    Min,
    /// ln of the sum of e^x, without overflow (floats; integers through float64).
    LogSumExp,
}

impl Reduce {
    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Reduce::Sum => "sum",
            Reduce::Mean => "mean",
            Reduce::Prod => "prod",
            Reduce::Max => "max",
            Reduce::Min => "min",
            Reduce::LogSumExp => "logsumexp",
        }
    }

    /// The reduction with this name.
    pub fn from_name(name: &str) -> Option<Reduce> {
        use Reduce::*;
        [Sum, Mean, Prod, Max, Min, LogSumExp].into_iter().find(|r| r.name() == name)
    }
}

/// Types that reduce.
pub trait Reducible: Copy + Send + Sync + Default + 'static {
    /// One value per outer and inner index; see [`reduce`].
    #[doc(hidden)]
    fn reduce(op: Reduce, x: &[Self], dims: [usize; 3], out: &mut [Self]);
}

/// `out[o, i] = op over k of x[o, k, i]` with `dims = [outer, n, inner]`; panics if the lengths do not fit.
pub fn reduce<T: Reducible>(op: Reduce, x: &[T], dims: [usize; 3], out: &mut [T]) {
    let [outer, n, inner] = dims;
    assert!(
        x.len() == outer * n * inner && out.len() == outer * inner,
        "reduce {}: {} and {} elements do not fit {dims:?}",
        op.name(),
        x.len(),
        out.len()
    );
    if !out.is_empty() {
        T::reduce(op, x, dims, out);
    }
}

/// How two partial results combine.
trait Fold: Sync {
    const START: f64;
    /// Where there is nothing to fold.
    fn lanes<V: Lanes>(a: V, b: V) -> V;
    fn one(a: f64, b: f64) -> f64;
}

/// What happens to a value before it is folded; `m` is a value per output.
trait Before: Sync {
    fn lanes<V: Lanes>(x: V, m: V) -> V;
}

struct Add;
struct Times;
struct Largest;
struct Smallest;
struct AsIs;
struct ExpMinus;

impl Fold for Add {
    const START: f64 = 0.0;
    #[inline(always)]
    fn lanes<V: Lanes>(a: V, b: V) -> V {
        a + b
    }
    #[inline(always)]
    fn one(a: f64, b: f64) -> f64 {
        a + b
    }
}
impl Fold for Times {
    const START: f64 = 1.0;
    #[inline(always)]
    fn lanes<V: Lanes>(a: V, b: V) -> V {
        a * b
    }
    #[inline(always)]
    fn one(a: f64, b: f64) -> f64 {
        a * b
    }
}
impl Fold for Largest {
    const START: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.max_nan(b)
    }
    #[inline(always)]
    fn one(a: f64, b: f64) -> f64 {
        if a.is_nan() || a > b { a } else { b }
    }
}
impl Fold for Smallest {
    const START: f64 = f64::INFINITY;
    #[inline(always)]
    fn lanes<V: Lanes>(a: V, b: V) -> V {
        a.min_nan(b)
    }
    #[inline(always)]
    fn one(a: f64, b: f64) -> f64 {
        if a.is_nan() || a < b { a } else { b }
    }
}
impl Before for AsIs {
    #[inline(always)]
    fn lanes<V: Lanes>(x: V, _: V) -> V {
        x
    }
}
impl Before for ExpMinus {
    #[inline(always)]
    fn lanes<V: Lanes>(x: V, m: V) -> V {
        lanes::exp(x - m)
    }
}

/// Elements that go through the vector accumulators before they join the float64 total.
const BLOCK: usize = 4096;
/// Length of the pieces into which a long reduction is cut.
const PIECE: usize = GRAIN;
/// Rows of a column reduction between two visits to the total.
const ROWS: usize = 128;
/// Columns handled at once, so that their accumulators stay in the first-level cache.
const COLUMNS: usize = 1024;

/// Folds each of several rows of `n` values.
struct Rows<'a, T, F, B> {
    x: &'a [T],
    n: usize,
    /// One value per row for `B`, or empty.
    m: &'a [T],
    out: &'a mut [f64],
    ops: std::marker::PhantomData<(F, B)>,
}

impl<T: Real, F: Fold, B: Before> Kernel for Rows<'_, T, F, B> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        for (r, out) in self.out.iter_mut().enumerate() {
            let row = &self.x[r * self.n..(r + 1) * self.n];
            let m = <T::V<S> as Lanes>::splat(self.m.get(r).copied().unwrap_or(T::ZERO));
            let mut total = F::START;
            for block in row.chunks(BLOCK) {
                total = F::one(total, fold_block::<T::V<S>, F, B>(block, m));
            }
            *out = total;
        }
    }
}

/// One block of a row, by four accumulators.
#[inline(always)]
fn fold_block<V: Lanes, F: Fold, B: Before>(x: &[V::T], m: V) -> f64 {
    let start = V::splat(V::T::of(F::START));
    let mut acc = [start; 4];
    let (p, n) = (x.as_ptr(), x.len());
    let mut i = 0;
    // SAFETY: i + reads <= n throughout.
    unsafe {
        while i + 4 * V::N <= n {
            acc[0] = F::lanes(acc[0], B::lanes(V::load(p.add(i)), m));
            acc[1] = F::lanes(acc[1], B::lanes(V::load(p.add(i + V::N)), m));
            acc[2] = F::lanes(acc[2], B::lanes(V::load(p.add(i + 2 * V::N)), m));
            acc[3] = F::lanes(acc[3], B::lanes(V::load(p.add(i + 3 * V::N)), m));
            i += 4 * V::N;
        }
        while i + V::N <= n {
            acc[0] = F::lanes(acc[0], B::lanes(V::load(p.add(i)), m));
            i += V::N;
        }
    }
    let mut lanes = F::lanes(F::lanes(acc[0], acc[1]), F::lanes(acc[2], acc[3])).to_array();
    if i < n {
        // The last few join lane by lane, so that absent lanes need no neutral element.
        // SAFETY: n - i values are left.
        let tail = B::lanes(unsafe { V::load_partial(p.add(i), n - i) }, m);
        let both = F::lanes(V::load_array(&lanes), tail).to_array();
        lanes[..n - i].copy_from_slice(&both[..n - i]);
    }
    let mut width = V::N;
    while width > 1 {
        width /= 2;
        for j in 0..width {
            lanes[j] = V::T::of(F::one(lanes[j].f64(), lanes[j + width].f64()));
        }
    }
    lanes[0].f64()
}

/// Folds rows `0..n` of width `inner` into one row.
struct Columns<'a, T, F, B> {
    x: &'a [T],
    n: usize,
    inner: usize,
    /// One value per column for `B`, or empty.
    m: &'a [T],
    out: &'a mut [T],
    ops: std::marker::PhantomData<(F, B)>,
}

impl<T: Real, F: Fold, B: Before> Kernel for Columns<'_, T, F, B> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Columns { x, n, inner, m, out, .. } = self;
        out.fill(T::of(F::START));
        let mut acc = [T::ZERO; COLUMNS];
        for left in (0..inner).step_by(COLUMNS) {
            let width = COLUMNS.min(inner - left);
            for top in (0..n).step_by(ROWS) {
                let bottom = (top + ROWS).min(n);
                let acc = &mut acc[..width];
                acc.fill(T::of(F::START));
                let mut k = top;
                while k < bottom {
                    let rows = if bottom - k >= 4 { 4 } else { 1 };
                    let lanes = <T::V<S> as Lanes>::N;
                    let mut j = 0;
                    // SAFETY: rows k to k + 4 exist, and whole vectors of them from column `left` on; so do those of `m`,
                    // if any.
                    unsafe {
                        let (row, acc) = (x.as_ptr().add(k * inner + left), acc.as_mut_ptr());
                        while rows == 4 && j + lanes <= width {
                            let shift = if m.is_empty() {
                                <T::V<S> as Lanes>::splat(T::ZERO)
                            } else {
                                <T::V<S> as Lanes>::load(m.as_ptr().add(left + j))
                            };
                            /// A vector of the row `by` rows below.
                            macro_rules! get {
                                ($by:literal) => {
                                    B::lanes(<T::V<S> as Lanes>::load(row.add($by * inner + j)), shift)
                                };
                            }
                            let sum = F::lanes(F::lanes(get!(0), get!(1)), F::lanes(get!(2), get!(3)));
                            F::lanes(<T::V<S> as Lanes>::load(acc.add(j)), sum).store(acc.add(j));
                            j += lanes;
                        }
                    }
                    while j < width {
                        let w = (width - j).min(lanes);
                        let at = |k: usize| &x[k * inner + left + j..k * inner + left + j + w];
                        let shift =
                            part::<T::V<S>>(if m.is_empty() { &[] } else { &m[left + j..left + j + w] });
                        let get = |k: usize| B::lanes(part::<T::V<S>>(at(k)), shift);
                        let sum = if rows == 4 {
                            F::lanes(F::lanes(get(k), get(k + 1)), F::lanes(get(k + 2), get(k + 3)))
                        } else {
                            get(k)
                        };
                        let a = &mut acc[j..j + w];
                        put(F::lanes(part::<T::V<S>>(a), sum), a);
                        j += w;
                    }
                    k += rows;
                }
                let mut j = 0;
                while j < width {
                    let w = (width - j).min(<T::V<S> as Lanes>::N);
                    let o = &mut out[left + j..left + j + w];
                    put(F::lanes(part::<T::V<S>>(o), part(&acc[j..j + w])), o);
                    j += w;
                }
            }
        }
    }
}

/// Up to `N` values.
#[inline(always)]
pub(crate) fn part<V: Lanes>(x: &[V::T]) -> V {
    // SAFETY: reads no more than the slice has.
    unsafe { if x.len() >= V::N { V::load(x.as_ptr()) } else { V::load_partial(x.as_ptr(), x.len()) } }
}

/// Writes up to `N` values.
#[inline(always)]
pub(crate) fn put<V: Lanes>(v: V, x: &mut [V::T]) {
    // SAFETY: writes no more than the slice has.
    unsafe {
        if x.len() >= V::N { v.store(x.as_mut_ptr()) } else { v.store_partial(x.as_mut_ptr(), x.len()) }
    }
}

/// Folds [outer, n, inner]; `m` has one value per output or is empty; `finish` turns totals into results.
fn fold<T: Real, F: Fold, B: Before>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    m: &[T],
    out: &mut [T],
    finish: impl Fn(f64) -> f64 + Sync,
) {
    let l = level();
    let ops = std::marker::PhantomData::<(F, B)>;
    if inner == 1 {
        if n <= PIECE {
            let shared = Shared::new(out);
            let per = rows_per_chunk(n);
            ranges(outer, per, |start, end| {
                // SAFETY: chunks are disjoint.
                let out = unsafe { shared.part(start, end - start) };
                let mut totals = [0.0; 64];
                for (c, out) in out.chunks_mut(64).enumerate() {
                    let r = start + c * 64;
                    let t = &mut totals[..out.len()];
                    let m = if m.is_empty() { m } else { &m[r..r + out.len()] };
                    let x = &x[r * n..(r + out.len()) * n];
                    dispatch(l, Rows::<T, F, B> { x, n, m, out: t, ops });
                    for (o, t) in out.iter_mut().zip(t) {
                        *o = T::of(finish(*t));
                    }
                }
            });
            return;
        }
        let pieces = n.div_ceil(PIECE);
        let mut totals = vec![0.0; outer * pieces];
        let shared = Shared::new(&mut totals);
        ranges(outer * pieces, 1, |unit, _| {
            // SAFETY: one total per unit.
            let out = unsafe { shared.part(unit, 1) };
            let (r, p) = (unit / pieces, unit % pieces);
            let end = ((p + 1) * PIECE).min(n);
            let x = &x[r * n + p * PIECE..r * n + end];
            let m = if m.is_empty() { m } else { &m[r..=r] };
            dispatch(l, Rows::<T, F, B> { x, n: x.len(), m, out, ops });
        });
        for (o, t) in out.iter_mut().zip(totals.chunks(pieces)) {
            *o = T::of(finish(t.iter().copied().reduce(F::one).unwrap_or(F::START)));
        }
        return;
    }
    // Enough rows per piece to be worth a region, and never fewer than a block of them.
    let tall = rows_per_chunk(inner).max(ROWS);
    let pieces = n.div_ceil(tall).max(1);
    if pieces == 1 {
        let shared = Shared::new(out);
        ranges(outer, rows_per_chunk(n * inner), |start, end| {
            // SAFETY: chunks are disjoint.
            let out = unsafe { shared.part(start * inner, (end - start) * inner) };
            for (o, out) in (start..end).zip(out.chunks_mut(inner)) {
                let m = if m.is_empty() { m } else { &m[o * inner..(o + 1) * inner] };
                let x = &x[o * n * inner..(o + 1) * n * inner];
                dispatch(l, Columns::<T, F, B> { x, n, inner, m, out, ops });
                for y in out {
                    *y = T::of(finish(y.f64()));
                }
            }
        });
        return;
    }
    let mut totals = vec![T::ZERO; outer * pieces * inner];
    let shared = Shared::new(&mut totals);
    ranges(outer * pieces, 1, |unit, _| {
        // SAFETY: one row of totals per unit.
        let out = unsafe { shared.part(unit * inner, inner) };
        let (o, p) = (unit / pieces, unit % pieces);
        let (top, bottom) = (p * tall, ((p + 1) * tall).min(n));
        let x = &x[(o * n + top) * inner..(o * n + bottom) * inner];
        let m = if m.is_empty() { m } else { &m[o * inner..(o + 1) * inner] };
        dispatch(l, Columns::<T, F, B> { x, n: bottom - top, inner, m, out, ops });
    });
    for (out, t) in out.chunks_mut(inner).zip(totals.chunks(pieces * inner)) {
        for (j, y) in out.iter_mut().enumerate() {
            let total = (0..pieces).map(|p| t[p * inner + j].f64()).reduce(F::one).unwrap_or(F::START);
            *y = T::of(finish(total));
        }
    }
}

macro_rules! reducible_float {
    ($($t:ident)*) => {$(
        impl Reducible for $t {
            fn reduce(op: Reduce, x: &[$t], dims: [usize; 3], out: &mut [$t]) {
                let n = dims[1] as f64;
                match op {
                    Reduce::Sum => fold::<$t, Add, AsIs>(x, dims, &[], out, |t| t),
                    Reduce::Mean => fold::<$t, Add, AsIs>(x, dims, &[], out, |t| t / n),
                    Reduce::Prod => fold::<$t, Times, AsIs>(x, dims, &[], out, |t| t),
                    Reduce::Max => fold::<$t, Largest, AsIs>(x, dims, &[], out, |t| t),
                    Reduce::Min => fold::<$t, Smallest, AsIs>(x, dims, &[], out, |t| t),
                    Reduce::LogSumExp => {
                        let mut largest = vec![0.0; out.len()];
                        fold::<$t, Largest, AsIs>(x, dims, &[], &mut largest, |t| t);
                        // Infinite maxima are not subtracted: infinity minus itself has no value.
                        for m in &mut largest {
                            if m.is_infinite() {
                                *m = 0.0;
                            }
                        }
                        fold::<$t, Add, ExpMinus>(x, dims, &largest, out, f64::ln);
                        for (y, m) in out.iter_mut().zip(&largest) {
                            *y += m;
                        }
                    }
                }
            }
        }
    )*};
}
reducible_float!(f32 f64);

macro_rules! reducible_half {
    ($($t:ident)*) => {$(
        impl Reducible for $t {
            /// In float32, rounded once at the end.
            fn reduce(op: Reduce, x: &[$t], dims: [usize; 3], out: &mut [$t]) {
                let (mut wide, mut y) = (vec![0f32; x.len()], vec![0f32; out.len()]);
                convert(x, &mut wide);
                f32::reduce(op, &wide, dims, &mut y);
                convert(&y, out);
            }
        }
    )*};
}
reducible_half!(f16 bf16);

/// Integer folds are associative, so any cut gives the same result.
struct IntFold<'a, T, G> {
    x: &'a [T],
    inner: usize,
    out: &'a mut [T],
    f: G,
}

impl<T: Copy, G: Fn(T, T) -> T> Kernel for IntFold<'_, T, G> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let IntFold { x, inner, out, f } = self;
        if inner == 1 {
            let mut y = out[0];
            for &v in x {
                y = f(y, v);
            }
            out[0] = y;
        } else {
            for row in x.chunks_exact(inner) {
                for (y, &v) in out.iter_mut().zip(row) {
                    *y = f(*y, v);
                }
            }
        }
    }
}

fn int_fold<T: Copy + Send + Sync>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    start: T,
    out: &mut [T],
    f: impl Fn(T, T) -> T + Sync + Copy,
) {
    let l = level();
    out.fill(start);
    if n == 0 {
        return;
    }
    let tall = rows_per_chunk(inner);
    let pieces = n.div_ceil(tall);
    let mut totals = vec![start; outer * pieces * inner];
    let shared = Shared::new(&mut totals);
    ranges(outer * pieces, rows_per_chunk(n.min(tall) * inner), |a, b| {
        for unit in a..b {
            // SAFETY: one row of totals per unit.
            let out = unsafe { shared.part(unit * inner, inner) };
            let (o, p) = (unit / pieces, unit % pieces);
            let x = &x[(o * n + p * tall) * inner..(o * n + ((p + 1) * tall).min(n)) * inner];
            dispatch(l, IntFold { x, inner, out, f });
        }
    });
    for (out, t) in out.chunks_mut(inner).zip(totals.chunks(pieces * inner)) {
        for row in t.chunks(inner) {
            for (y, &v) in out.iter_mut().zip(row) {
                *y = f(*y, v);
            }
        }
    }
}

macro_rules! reducible_int {
    ($($t:ident)*) => {$(
        impl Reducible for $t {
            fn reduce(op: Reduce, x: &[$t], dims: [usize; 3], out: &mut [$t]) {
                match op {
                    Reduce::Sum => int_fold(x, dims, 0, out, |a, b| a.wrapping_add(b)),
                    Reduce::Prod => int_fold(x, dims, 1, out, |a, b| a.wrapping_mul(b)),
                    Reduce::Max => int_fold(x, dims, $t::MIN, out, |a, b| a.max(b)),
                    Reduce::Min => int_fold(x, dims, $t::MAX, out, |a, b| a.min(b)),
                    Reduce::Mean | Reduce::LogSumExp => {
                        let (mut wide, mut y) = (vec![0f64; x.len()], vec![0f64; out.len()]);
                        convert(x, &mut wide);
                        f64::reduce(op, &wide, dims, &mut y);
                        convert(&y, out);
                    }
                }
            }
        }
    )*};
}
reducible_int!(u8 u16 u32 u64 i8 i16 i32 i64);

/// Whether any of the bytes along the middle is not zero.
pub fn any(x: &[u8], dims: [usize; 3], out: &mut [u8]) {
    reduce(Reduce::Max, x, dims, out);
    for y in out {
        *y = u8::from(*y != 0);
    }
}

/// Whether all bytes along the middle are not zero.
pub fn all(x: &[u8], dims: [usize; 3], out: &mut [u8]) {
    reduce(Reduce::Min, x, dims, out);
    for y in out {
        *y = u8::from(*y != 0);
    }
}

/// `out[o, i]` = the first index of the largest value along the middle (of the first NaN, if there is one);
/// panics if `n` is 0.
pub fn argmax<T: Copy + PartialOrd + Send + Sync>(x: &[T], dims: [usize; 3], out: &mut [i64]) {
    arg(x, dims, out, |a, b| a > b);
}

/// As [`argmax`] for the smallest value.
pub fn argmin<T: Copy + PartialOrd + Send + Sync>(x: &[T], dims: [usize; 3], out: &mut [i64]) {
    arg(x, dims, out, |a, b| a < b);
}

fn arg<T: Copy + PartialOrd + Send + Sync>(
    x: &[T],
    [outer, n, inner]: [usize; 3],
    out: &mut [i64],
    better: impl Fn(T, T) -> bool + Sync + Copy,
) {
    assert!(x.len() == outer * n * inner && out.len() == outer * inner, "argmax: lengths do not fit");
    assert!(n > 0 || out.is_empty(), "argmax of an empty axis");
    let l = level();
    let shared = Shared::new(out);
    ranges(outer, rows_per_chunk(n * inner), |start, end| {
        for o in start..end {
            // SAFETY: one row of results per outer index.
            let out = unsafe { shared.part(o * inner, inner) };
            let x = &x[o * n * inner..(o + 1) * n * inner];
            dispatch(l, Arg { x, inner, out, better });
        }
    });
}

/// Candidates that are kept beside each other, so that a loop over them is one of vectors.
const LANES: usize = 16;

/// The best of some values, or NaN if one of them is.
#[inline(always)]
fn best_of<T: Copy + PartialOrd>(x: &[T], better: impl Fn(T, T) -> bool) -> T {
    let replaces = |v: T, best: T| better(v, best) || v.partial_cmp(&v).is_none();
    let mut best = [x[0]; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (best, &v) in best.iter_mut().zip(chunk) {
            *best = if replaces(v, *best) { v } else { *best };
        }
    }
    for (best, &v) in best.iter_mut().zip(rest) {
        *best = if replaces(v, *best) { v } else { *best };
    }
    best.into_iter().fold(best[0], |a, v| if replaces(v, a) { v } else { a })
}

struct Arg<'a, T, G> {
    x: &'a [T],
    inner: usize,
    out: &'a mut [i64],
    better: G,
}

impl<T: Copy + PartialOrd, G: Fn(T, T) -> bool> Kernel for Arg<'_, T, G> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Arg { x, inner, out, better } = self;
        out.fill(0);
        let is_nan = |v: T| v.partial_cmp(&v).is_none();
        if inner == 1 {
            let best = best_of(x, better);
            let found = |v: T| v == best || (is_nan(v) && is_nan(best));
            // Whole chunks that lack it are passed without asking where.
            let skipped =
                x.chunks_exact(LANES).take_while(|c| !c.iter().fold(false, |hit, &v| hit | found(v)));
            let from = LANES * skipped.count();
            let at = from + x[from..].iter().position(|&v| found(v)).expect("the best is one of them");
            out[0] = at as i64;
            return;
        }
        let mut best = x[..inner].to_vec();
        for (k, row) in x.chunks_exact(inner).enumerate() {
            for ((b, o), &v) in best.iter_mut().zip(out.iter_mut()).zip(row) {
                if better(v, *b) | (is_nan(v) & !is_nan(*b)) {
                    *b = v;
                    *o = k as i64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(op: Reduce, x: &[f64], [outer, n, inner]: [usize; 3]) -> Vec<f64> {
        let mut out = vec![];
        for o in 0..outer {
            for i in 0..inner {
                let v = (0..n).map(|k| x[(o * n + k) * inner + i]);
                out.push(match op {
                    Reduce::Sum => v.sum(),
                    Reduce::Mean => v.sum::<f64>() / n as f64,
                    Reduce::Prod => v.product(),
                    Reduce::Max => v.fold(f64::NEG_INFINITY, f64::max),
                    Reduce::Min => v.fold(f64::INFINITY, f64::min),
                    Reduce::LogSumExp => v.map(f64::exp).sum::<f64>().ln(),
                });
            }
        }
        out
    }

    #[test]
    fn every_reduction_in_every_shape() {
        use Reduce::*;
        for dims in [
            [1, 1, 1],
            [7, 5, 1],
            [3, 37, 1],
            [2, 70_001, 1],
            [1, 9, 13],
            [4, 130, 9],
            [1, 5000, 40],
            [2, 3, 2500],
            [200, 33, 1],
        ] {
            let len: usize = dims.iter().product();
            // Products must stay in range: values near 1.
            let x: Vec<f64> = (0..len).map(|i| 1.0 + ((i * 7919 % 1000) as f64 - 499.5) * 1e-4).collect();
            let x32: Vec<f32> = x.iter().map(|&v| v as f32).collect();
            for op in [Sum, Mean, Prod, Max, Min, LogSumExp] {
                let want = plain(op, &x, dims);
                let mut y = vec![0.0; want.len()];
                reduce(op, &x, dims, &mut y);
                let mut y32 = vec![0f32; want.len()];
                reduce(op, &x32, dims, &mut y32);
                for i in 0..want.len() {
                    let (w, tight) = (want[i], if op == Prod { 1e-11 } else { 1e-13 });
                    assert!((y[i] - w).abs() <= tight * w.abs().max(1.0), "{op:?} {dims:?}: {} {w}", y[i]);
                    let loose = if op == Prod { 1e-2 } else { 3e-6 };
                    let e = (f64::from(y32[i]) - w).abs();
                    assert!(e <= loose * w.abs().max(1.0), "{op:?} {dims:?} f32: {} {w}", y32[i]);
                }
            }
            let z: Vec<i64> = (0..len as i64).map(|i| i * 7919 % 1000).collect();
            let mut y = vec![0; dims[0] * dims[2]];
            reduce(Sum, &z, dims, &mut y);
            let want = plain(Sum, &z.iter().map(|&v| v as f64).collect::<Vec<_>>(), dims);
            assert!(y.iter().zip(&want).all(|(&a, &b)| a as f64 == b));
        }
    }

    #[test]
    fn special_values() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = [1.0, nan, 2.0, -inf, -inf, -inf, inf, 1.0, 2.0];
        let mut y = [0.0; 3];
        reduce(Reduce::Max, &x, [3, 3, 1], &mut y);
        assert!(y[0].is_nan() && y[1] == -inf && y[2] == inf);
        reduce(Reduce::LogSumExp, &x, [3, 3, 1], &mut y);
        assert!(y[0].is_nan() && y[1] == -inf && y[2] == inf);
        reduce(Reduce::Min, &x, [1, 3, 3], &mut y);
        assert!(y[0] == -inf && y[1].is_nan() && y[2] == -inf);
        reduce(Reduce::LogSumExp, &[1000.0f32; 3], [3, 1, 1], &mut y);
        assert_eq!(y, [1000.0; 3]);
        let mut none = [5.0f32];
        for (op, want) in [(Reduce::Sum, 0.0), (Reduce::Prod, 1.0), (Reduce::Max, -inf)] {
            reduce(op, &[], [1, 0, 1], &mut none);
            assert_eq!(none[0], want);
        }
    }

    #[test]
    fn arguments_and_truth() {
        let x = [3.0f32, 9.0, 9.0, f32::NAN, 7.0, 1.0];
        let mut y = [0; 2];
        argmax(&x, [2, 3, 1], &mut y);
        assert_eq!(y, [1, 0]);
        argmin(&x, [1, 3, 2], &mut y);
        assert_eq!(y, [0, 1]);
        let mut y = [0; 2];
        argmax(&[1, 5, 5, 2, 0, 9], [1, 3, 2], &mut y);
        assert_eq!(y, [1, 2]);
        let mut t = [9; 2];
        any(&[0, 0, 1, 0], [2, 2, 1], &mut t);
        assert_eq!(t, [0, 1]);
        all(&[1, 1, 1, 0], [2, 2, 1], &mut t);
        assert_eq!(t, [1, 0]);
        let mut h = [bf16::ZERO];
        reduce(Reduce::Sum, &[bf16::ONE; 1000], [1, 1000, 1], &mut h);
        assert_eq!(h[0], bf16::from_f32(1000.0));
    }

    /// A sum of many equal numbers shows whether rounding errors pile up.
    #[test]
    fn long_sums_stay_accurate() {
        let x = vec![0.1f32; 4_000_000];
        let mut y = [0.0; 1];
        reduce(Reduce::Sum, &x, [1, x.len(), 1], &mut y);
        assert!((y[0] - 400_000.0).abs() < 0.5, "{}", y[0]);
        let mut y = [0.0; 4];
        reduce(Reduce::Sum, &x, [1, x.len() / 4, 4], &mut y);
        assert!(y.iter().all(|v| (v - 100_000.0).abs() < 0.5), "{y:?}");
    }
}
