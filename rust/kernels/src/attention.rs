//! Attention of many heads: softmax(scale Q·Kᵀ + bias) V and its gradient, without the matrix of scores in memory.
//!
//! A task is one head, or a block of its queries where heads are few; keys and values are packed once for it. The scores
//! of a block of queries against all keys fill a strip that stays in the second-level cache, so the softmax is the exact
//! one in two passes, not a running one. Forward keeps only the logarithm of the sum per query; backward computes the
//! strip again. Q, K and V are read where they lie, or packed from there, (batch, time, heads, size) at any
//! strides. Blocks depend on the shape alone, so results do not depend on the number of threads.

use crate::buffer::{AllocError, Buffer};
use crate::gemm::{Scalar, Source, raw};
use crate::isa::{Isa, Kernel, Lanes, Level, Real, dispatch, level};
use crate::lanes;
use crate::par;
use crate::random::{COIN, State, coins};
use crate::reduce::{part, put};
use crate::shared::Shared;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Four axes at strides, in elements.
#[derive(Clone, Copy, Debug)]
pub struct Grid<'a, T> {
    /// The elements; the first one belongs to index (0, 0, 0, 0).
    pub data: &'a [T],
    /// The stride per axis; 0 where all share an element.
    pub strides: [usize; 4],
}

impl<T> Grid<'_, T> {
    fn check(&self, who: &str, sizes: [usize; 4]) {
        let last: usize = sizes.iter().zip(&self.strides).map(|(&n, &s)| n.saturating_sub(1) * s).sum();
        assert!(sizes.contains(&0) || last < self.data.len(), "attention: {who} is too short");
    }

    fn at(&self, i: usize, j: usize, k: usize) -> usize {
        i * self.strides[0] + j * self.strides[1] + k * self.strides[2]
    }
}

/// The sizes of an attention.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Sequences.
    pub batch: usize,
    /// Heads of the queries.
    pub heads: usize,
    /// Heads of keys and values; each serves `heads / shared` heads of queries.
    pub shared: usize,
    /// Queries.
    pub queries: usize,
    /// Keys.
    pub keys: usize,
    /// Elements of a query and of a key.
    pub size: usize,
    /// Elements of a value.
    pub value_size: usize,
}

/// How scores become weights.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a, T> {
    /// The factor of the scores.
    pub scale: f64,
    /// Query i sees keys up to i.
    pub causal: bool,
    /// (batch, heads, queries, keys): 0 where attention is forbidden.
    pub mask: Option<Grid<'a, u8>>,
    /// (batch, heads, queries, keys): added to the scores.
    pub bias: Option<Grid<'a, T>>,
    /// The probability that a weight is dropped, and the stream that decides.
    pub dropout: Option<(f64, State)>,
}

/// Elements of a strip of scores: a quarter of a megabyte, so that two fit the second-level cache.
const STRIP: usize = 1 << 16;
/// Queries per block at most, where later keys are skipped.
const CAUSAL_BLOCK: usize = 28;
/// So many heads are tasks enough: each then has all its queries.
const TASKS: usize = 16;
/// So few queries read keys and values where they lie.
const FEW: usize = 16;

impl<T> Rules<'_, T> {
    /// Are keys behind a block's last query left out? With a mask a row may see nothing at all, and then means all keys.
    fn skips(&self) -> bool {
        self.causal && self.mask.is_none()
    }
}

impl Sizes {
    /// Queries per block.
    fn block<T>(&self, rules: &Rules<'_, T>) -> usize {
        let most = (STRIP / self.keys.max(1)).clamp(16, 128);
        if !rules.skips() {
            return most;
        }
        // Shorter blocks skip more of what lies behind their last query; all about equally long.
        let blocks = self.queries.div_ceil(most.min(CAUSAL_BLOCK)).max(1);
        self.queries.div_ceil(blocks).max(1)
    }

    /// Blocks of the queries of a head.
    fn blocks<T>(&self, rules: &Rules<'_, T>) -> usize {
        self.queries.div_ceil(self.block(rules))
    }

    fn check<T>(&self, q: &Grid<'_, T>, k: &Grid<'_, T>, v: &Grid<'_, T>, rules: &Rules<'_, T>) {
        assert!(
            self.shared > 0 && self.heads.is_multiple_of(self.shared),
            "attention: {} heads of keys do not serve {} heads of queries",
            self.shared,
            self.heads
        );
        q.check("query", [self.batch, self.queries, self.heads, self.size]);
        k.check("key", [self.batch, self.keys, self.shared, self.size]);
        v.check("value", [self.batch, self.keys, self.shared, self.value_size]);
        let scores = [self.batch, self.heads, self.queries, self.keys];
        if let Some(m) = rules.mask {
            m.check("mask", scores);
        }
        if let Some(b) = &rules.bias {
            b.check("bias", scores);
        }
    }
}

/// A block of queries: which, and how many keys the last of them sees.
#[derive(Clone, Copy)]
struct Block {
    batch: usize,
    head: usize,
    /// The head of keys and values.
    shared: usize,
    first: usize,
    rows: usize,
    keys: usize,
}

impl Sizes {
    fn block_at<T>(&self, batch: usize, head: usize, index: usize, rules: &Rules<'_, T>) -> Block {
        let first = index * self.block(rules);
        let rows = self.block(rules).min(self.queries - first);
        let keys = if rules.skips() { (first + rows).min(self.keys) } else { self.keys };
        Block { batch, head, shared: head / (self.heads / self.shared), first, rows, keys }
    }
}

/// The score of what is forbidden.
fn low<T: Real>() -> T {
    T::of(-1e30)
}

/// `len` elements of a new buffer.
///
/// # Safety
/// The buffer holds them.
unsafe fn elements<T: Scalar>(buffer: &mut Buffer, len: usize) -> &mut [T] {
    // SAFETY: buffers are aligned for every type and initialised.
    unsafe { std::slice::from_raw_parts_mut(buffer.bytes_mut().as_mut_ptr().cast::<T>(), len) }
}

/// The result `y` (batch, queries, heads, value size) and the logarithm of the sum of e^score per query, `lse` (batch,
/// queries, heads). Panics if lengths do not fit; an error where the strips find no memory.
#[allow(private_bounds)]
pub fn forward<T: Scalar>(
    sizes: Sizes,
    q: Grid<'_, T>,
    k: Grid<'_, T>,
    v: Grid<'_, T>,
    rules: Rules<'_, T>,
    y: &mut [T],
    lse: &mut [T],
) -> Result<(), AllocError> {
    forward_at(level(), sizes, q, k, v, rules, y, lse)
}

#[allow(private_bounds)]
pub(crate) fn forward_at<T: Scalar>(
    l: Level,
    sizes: Sizes,
    q: Grid<'_, T>,
    k: Grid<'_, T>,
    v: Grid<'_, T>,
    rules: Rules<'_, T>,
    y: &mut [T],
    lse: &mut [T],
) -> Result<(), AllocError> {
    sizes.check(&q, &k, &v, &rules);
    let Sizes { batch, heads, queries, size, value_size, .. } = sizes;
    let rows = batch * queries * heads;
    assert!(y.len() == rows * value_size && lse.len() == rows, "attention: the results have other sizes");
    if rows == 0 || sizes.keys == 0 {
        y.fill(T::ZERO);
        lse.fill(-T::INF);
        return Ok(());
    }
    let blocks = sizes.blocks(&rules);
    let run = if batch * heads >= TASKS { blocks } else { 1 };
    let parts = blocks.div_ceil(run);
    let failed = AtomicUsize::new(0);
    let (y, lse) = (Shared::new(y), Shared::new(lse));
    par::run(batch * heads * parts, |task| {
        let (head, from) = (task / parts, task % parts * run);
        let to = (from + run).min(blocks);
        let block = |index| sizes.block_at(head / heads, head % heads, index, &rules);
        // The last block sees the most keys.
        let Block { batch, shared, keys, .. } = block(to - 1);
        let rows = sizes.block(&rules).min(queries);
        let key = Matrix::of(&k, [batch, shared], [keys, size]);
        let value = Matrix::of(&v, [batch, shared], [keys, value_size]);
        let met = Met { level: l, matrices: [key.turned(), value], packed: (to - from) * rows > FEW };
        let len = rows * (keys + 2) + keys + met.room();
        let Ok(mut buffer) = Buffer::scratch(len * size_of::<T>()) else {
            return failed.store(len * size_of::<T>(), Ordering::Relaxed);
        };
        // SAFETY: the buffer was made for it.
        let (strip, rest) = unsafe { elements::<T>(&mut buffer, len) }.split_at_mut(rows * keys);
        let (row_lse, rest) = rest.split_at_mut(rows);
        let (sums, rest) = rest.split_at_mut(rows);
        let (factors, panels) = rest.split_at_mut(keys);
        // SAFETY: the grids were checked; the panels live as long as the task.
        let [key, value] = unsafe { met.sources(panels) };
        for at in (from..to).map(block) {
            let strip = &mut strip[..at.rows * at.keys];
            let row_lse = &mut row_lse[..at.rows];
            let (sums, factors) = (&mut sums[..at.rows], &mut factors[..at.keys]);
            scores(l, &sizes, &at, &q, key, strip);
            dispatch(
                l,
                Weights {
                    sizes,
                    rules,
                    at,
                    strip: &mut *strip,
                    lse: &mut *row_lse,
                    sums: &mut *sums,
                    factors,
                },
            );
            let (ld, from) = (heads * value_size, (at.batch * queries + at.first) * heads + at.head);
            let c = y.at(from * value_size, (at.rows - 1) * ld + value_size);
            // SAFETY: the values exist; the rows of this head and block belong to this task alone.
            unsafe {
                raw(l, [at.rows, value_size, at.keys], (strip.as_ptr(), at.keys, 1), value, c, ld, false);
                for r in 0..at.rows {
                    let row = std::slice::from_raw_parts_mut(c.add(r * ld), value_size);
                    let factor = T::ONE / sums[r];
                    for y in row {
                        *y = *y * factor;
                    }
                    *lse.at(from + r * heads, 1) = row_lse[r];
                }
            }
        }
    });
    match failed.into_inner() {
        0 => Ok(()),
        bytes => Err(AllocError { bytes }),
    }
}

/// The gradients of queries, keys and values, in the layout of contiguous (batch, time, heads, size). `lse` is that of
/// [`forward`]; `delta` (batch, queries, heads) is the sum of y dy per query, less the gradient of `lse`.
#[allow(private_bounds)]
pub fn backward<T: Scalar>(
    sizes: Sizes,
    q: Grid<'_, T>,
    k: Grid<'_, T>,
    v: Grid<'_, T>,
    rules: Rules<'_, T>,
    lse: &[T],
    delta: &[T],
    dy: Grid<'_, T>,
    [dq, dk, dv]: [&mut [T]; 3],
) -> Result<(), AllocError> {
    let l = level();
    sizes.check(&q, &k, &v, &rules);
    let Sizes { batch, heads, shared, queries, keys, size, value_size } = sizes;
    let rows = batch * queries * heads;
    dy.check("the gradient of the result", [batch, queries, heads, value_size]);
    assert!(
        lse.len() == rows
            && delta.len() == rows
            && dq.len() == rows * size
            && dk.len() == batch * keys * shared * size
            && dv.len() == batch * keys * shared * value_size,
        "attention: the gradients have other sizes"
    );
    if rows == 0 || keys == 0 {
        dq.fill(T::ZERO);
        dk.fill(T::ZERO);
        dv.fill(T::ZERO);
        return Ok(());
    }
    let group = heads / shared;
    let blocks = sizes.blocks(&rules);
    let failed = AtomicUsize::new(0);
    let (dq, dk, dv) = (Shared::new(dq), Shared::new(dk), Shared::new(dv));
    // One task per head of keys: what all queries add to its gradients is added in one order.
    par::run(batch * shared, |task| {
        let (b, one) = (task / shared, task % shared);
        let most = sizes.block(&rules).min(queries) * keys;
        let seen = sizes.block_at(b, one * group, blocks - 1, &rules).keys;
        let (key, value) =
            (Matrix::of(&k, [b, one], [seen, size]), Matrix::of(&v, [b, one], [seen, value_size]));
        let met =
            Met { level: l, matrices: [key.turned(), value.turned(), key], packed: group * queries > FEW };
        let len = 2 * most + keys + met.room();
        let Ok(mut buffer) = Buffer::scratch(len * size_of::<T>()) else {
            return failed.store(len * size_of::<T>(), Ordering::Relaxed);
        };
        // SAFETY: the buffer was made for it.
        let (strip, rest) = unsafe { elements::<T>(&mut buffer, len) }.split_at_mut(most);
        let (slopes, rest) = rest.split_at_mut(most);
        let (factors, panels) = rest.split_at_mut(keys);
        // SAFETY: the grids were checked; the panels live as long as the task.
        let [key_turned, value_turned, key] = unsafe { met.sources(panels) };
        let (k_ld, v_ld) = (shared * size, shared * value_size);
        let dk = dk.at((b * keys * shared + one) * size, (keys - 1) * k_ld + size);
        let dv = dv.at((b * keys * shared + one) * value_size, (keys - 1) * v_ld + value_size);
        // SAFETY: the rows of this head belong to this task alone.
        unsafe {
            for j in 0..keys {
                std::slice::from_raw_parts_mut(dk.add(j * k_ld), size).fill(T::ZERO);
                std::slice::from_raw_parts_mut(dv.add(j * v_ld), value_size).fill(T::ZERO);
            }
        }
        for head in one * group..(one + 1) * group {
            for index in 0..blocks {
                let at = sizes.block_at(b, head, index, &rules);
                let strip = &mut strip[..at.rows * at.keys];
                let slopes = &mut slopes[..at.rows * at.keys];
                scores(l, &sizes, &at, &q, key_turned, strip);
                let from = (b * queries + at.first) * heads + head;
                // SAFETY: everything named exists; the rows of dq belong to this head and block.
                unsafe {
                    let query = q.data.as_ptr().add(q.at(b, at.first, head));
                    let dy_at = dy.data.as_ptr().add(dy.at(b, at.first, head));
                    let dy = (dy_at, dy.strides[1], dy.strides[3]);
                    raw(
                        l,
                        [at.rows, at.keys, value_size],
                        dy,
                        value_turned,
                        slopes.as_mut_ptr(),
                        at.keys,
                        false,
                    );
                    let (lse, delta) = (&lse[from..], &delta[from..]);
                    let (strip, slopes) = (&mut *strip, &mut *slopes);
                    let factors = &mut *factors;
                    dispatch(
                        l,
                        Slopes {
                            sizes,
                            rules,
                            at,
                            strip: &mut *strip,
                            slopes: &mut *slopes,
                            lse,
                            delta,
                            factors,
                        },
                    );
                    let (p, ds) = (strip.as_ptr(), slopes.as_ptr());
                    raw(l, [at.keys, value_size, at.rows], (p, 1, at.keys), dy, dv, v_ld, true);
                    let dq = dq.at(from * size, (at.rows - 1) * heads * size + size);
                    raw(l, [at.rows, size, at.keys], (ds, at.keys, 1), key, dq, heads * size, false);
                    let by_query = (query, q.strides[1], q.strides[3]);
                    raw(l, [at.keys, size, at.rows], (ds, 1, at.keys), by_query, dk, k_ld, true);
                }
            }
        }
    });
    match failed.into_inner() {
        0 => Ok(()),
        bytes => Err(AllocError { bytes }),
    }
}

/// The keys or values of one head.
#[derive(Clone, Copy)]
struct Matrix<T> {
    /// Address, stride of rows, stride of columns.
    at: (*const T, usize, usize),
    /// Rows and columns.
    sizes: [usize; 2],
}

impl<T> Matrix<T> {
    fn of(grid: &Grid<'_, T>, [batch, head]: [usize; 2], sizes: [usize; 2]) -> Matrix<T> {
        let at = grid.data[grid.at(batch, 0, head)..].as_ptr();
        Matrix { at: (at, grid.strides[1], grid.strides[3]), sizes }
    }

    fn turned(self) -> Matrix<T> {
        Matrix { at: (self.at.0, self.at.2, self.at.1), sizes: [self.sizes[1], self.sizes[0]] }
    }
}

/// The matrices that all blocks of a task meet, packed once if there are rows enough.
struct Met<T, const N: usize> {
    level: Level,
    matrices: [Matrix<T>; N],
    packed: bool,
}

impl<T: Scalar, const N: usize> Met<T, N> {
    /// Elements for the panels.
    fn room(&self) -> usize {
        if !self.packed {
            return 0;
        }
        self.matrices.iter().map(|m| Source::<T>::room(self.level, m.sizes)).sum()
    }

    /// What products are given.
    ///
    /// # Safety
    /// The matrices exist, and `panels` lives as long as what is returned.
    unsafe fn sources(&self, mut panels: &mut [T]) -> [Source<T>; N] {
        self.matrices.map(|m| {
            if !self.packed {
                return m.at.into();
            }
            let (mine, rest) =
                std::mem::take(&mut panels).split_at_mut(Source::<T>::room(self.level, m.sizes));
            panels = rest;
            // SAFETY: the caller's promise.
            unsafe { Source::packed(self.level, m.at, m.sizes, mine) }
        })
    }
}

/// Q·Kᵀ of a block.
fn scores<T: Scalar>(
    l: Level,
    sizes: &Sizes,
    at: &Block,
    q: &Grid<'_, T>,
    key_turned: Source<T>,
    strip: &mut [T],
) {
    assert!(strip.len() == at.rows * at.keys);
    // SAFETY: the block's queries exist, since the grid was checked; keys up to the last one it sees were packed.
    unsafe {
        let query = q.data.as_ptr().add(q.at(at.batch, at.first, at.head));
        let a = (query, q.strides[1], q.strides[3]);
        raw(l, [at.rows, at.keys, sizes.size], a, key_turned, strip.as_mut_ptr(), at.keys, false);
    }
}

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

/// The largest of `row`, each number times `factor`.
#[inline(always)]
fn largest_of<V: Lanes>(row: &[V::T], factor: V) -> V::T {
    const CHAINS: usize = 4;
    let low = V::splat(-V::T::INF);
    let mut best = [low; CHAINS];
    let mut whole = row.chunks_exact(CHAINS * V::N);
    for x in &mut whole {
        for u in 0..CHAINS {
            best[u] = (part::<V>(&x[u * V::N..(u + 1) * V::N]) * factor).max_nan(best[u]);
        }
    }
    for x in whole.remainder().chunks(V::N) {
        best[0] = (part::<V>(x) * factor).first(x.len(), low).max_nan(best[0]);
    }
    (best[0].max_nan(best[1])).max_nan(best[2].max_nan(best[3])).largest()
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
        let largest = if largest { largest_of::<T::V<S>>(row, splat(scale)) } else { T::ZERO };
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
        most = largest_of::<T::V<S>>(row, splat(T::ONE));
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
/// logarithms of the sums of e^score.
struct Weights<'a, T> {
    sizes: Sizes,
    rules: Rules<'a, T>,
    at: Block,
    strip: &'a mut [T],
    lse: &'a mut [T],
    sums: &'a mut [T],
    factors: &'a mut [T],
}

impl<T: Scalar> Kernel for Weights<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Weights { sizes, rules, at, strip, lse, sums, factors } = self;
        let width = <T::V<S> as Lanes>::N;
        let splat = <T::V<S> as Lanes>::splat;
        for (r, row) in strip.chunks_exact_mut(at.keys).enumerate() {
            let Ready { n, factor, largest: m, .. } = prepare::<T, S>(&rules, &at, r, row, true);
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
                draw::<T, S>(rate, state, &sizes, &at, r, factors);
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
}

/// Scores become the weights that met the values; the gradients of the weights become those of the products Q·Kᵀ:
/// scale p (f dp - delta).
struct Slopes<'a, T> {
    sizes: Sizes,
    rules: Rules<'a, T>,
    at: Block,
    strip: &'a mut [T],
    slopes: &'a mut [T],
    lse: &'a [T],
    delta: &'a [T],
    factors: &'a mut [T],
}

impl<T: Scalar> Kernel for Slopes<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Slopes { sizes, rules, at, strip, slopes, lse, delta, factors } = self;
        let width = <T::V<S> as Lanes>::N;
        let splat = <T::V<S> as Lanes>::splat;
        let scale = splat(T::of(rules.scale));
        let rows = strip.chunks_exact_mut(at.keys).zip(slopes.chunks_exact_mut(at.keys));
        for (r, (row, slope)) in rows.enumerate() {
            let Ready { n, factor, none, .. } = prepare::<T, S>(&rules, &at, r, row, false);
            let factor = splat(factor);
            let (lse, delta) = (splat(-lse[r * sizes.heads]), splat(delta[r * sizes.heads]));
            if let Some((rate, state)) = rules.dropout {
                draw::<T, S>(rate, state, &sizes, &at, r, factors);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::levels;

    const SIZES: Sizes =
        Sizes { batch: 2, heads: 4, shared: 2, queries: 37, keys: 41, size: 5, value_size: 7 };

    fn data(n: usize, seed: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 250.0 - 2.0).collect()
    }

    fn grid(data: &[f64], time: usize, heads: usize, size: usize) -> Grid<'_, f64> {
        Grid { data, strides: [time * heads * size, heads * size, size, 1] }
    }

    /// One number after the other.
    fn plain(z: Sizes, q: &[f64], k: &[f64], v: &[f64], rules: &Rules<'_, f64>) -> Vec<f64> {
        let mut y = vec![0.0; z.batch * z.queries * z.heads * z.value_size];
        for b in 0..z.batch {
            for h in 0..z.heads {
                let s = h / (z.heads / z.shared);
                for i in 0..z.queries {
                    let qi = &q[((b * z.queries + i) * z.heads + h) * z.size..][..z.size];
                    let weight = |j: usize| {
                        let kj = &k[((b * z.keys + j) * z.shared + s) * z.size..][..z.size];
                        let dot: f64 = qi.iter().zip(kj).map(|(a, b)| a * b).sum();
                        let seen = (!rules.causal || j <= i)
                            && rules.mask.is_none_or(|m| m.data[m.at(b, h, i) + j * m.strides[3]] != 0);
                        if seen { (dot * rules.scale).exp() } else { 0.0 }
                    };
                    let total: f64 = (0..z.keys).map(weight).sum();
                    for e in 0..z.value_size {
                        let at = |j: usize| v[((b * z.keys + j) * z.shared + s) * z.value_size + e];
                        let sum: f64 = (0..z.keys).map(|j| weight(j) * at(j)).sum();
                        y[((b * z.queries + i) * z.heads + h) * z.value_size + e] = sum / total;
                    }
                }
            }
        }
        y
    }

    #[test]
    fn agrees_with_plain_loops_at_every_level() {
        let z = SIZES;
        let q = data(z.batch * z.queries * z.heads * z.size, 1);
        let k = data(z.batch * z.keys * z.shared * z.size, 2);
        let v = data(z.batch * z.keys * z.shared * z.value_size, 3);
        let mask: Vec<u8> = (0..z.keys).map(|j| u8::from(j % 3 != 1)).collect();
        for causal in [false, true] {
            for masked in [false, true] {
                let mask = masked.then_some(Grid { data: &mask[..], strides: [0, 0, 0, 1] });
                let rules = Rules { scale: 0.4, causal, mask, bias: None, dropout: None };
                let want = plain(z, &q, &k, &v, &rules);
                for l in levels() {
                    let mut y = vec![0.0; want.len()];
                    let mut lse = vec![0.0; z.batch * z.queries * z.heads];
                    let (q, k) = (grid(&q, z.queries, z.heads, z.size), grid(&k, z.keys, z.shared, z.size));
                    let v = grid(&v, z.keys, z.shared, z.value_size);
                    forward_at(l, z, q, k, v, rules, &mut y, &mut lse).unwrap();
                    for (a, b) in y.iter().zip(&want) {
                        assert!((a - b).abs() < 1e-12, "{l:?} causal {causal} masked {masked}: {a} {b}");
                    }
                }
            }
        }
    }

    #[test]
    fn where_all_is_forbidden_all_count_the_same() {
        let z = Sizes { batch: 1, heads: 1, shared: 1, queries: 1, keys: 4, size: 1, value_size: 1 };
        let (q, k, v) = ([1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 6.0]);
        let mask = [0u8];
        let mask = Some(Grid { data: &mask[..], strides: [0; 4] });
        let rules = Rules { scale: 1.0, causal: false, mask, bias: None, dropout: None };
        let (mut y, mut lse) = ([0.0], [0.0]);
        let (q, k, v) = (grid(&q, 1, 1, 1), grid(&k, 4, 1, 1), grid(&v, 4, 1, 1));
        forward(z, q, k, v, rules, &mut y, &mut lse).unwrap();
        assert_eq!(y[0], 3.0);
        let (mut dq, mut dk, mut dv) = ([9.0], [9.0; 4], [9.0; 4]);
        let out = [&mut dq[..], &mut dk[..], &mut dv[..]];
        backward(z, q, k, v, rules, &lse, &[3.0], grid(&[1.0], 1, 1, 1), out).unwrap();
        assert_eq!((dq, dk), ([0.0], [0.0; 4]));
        assert!(dv.iter().all(|d| (d - 0.25).abs() < 1e-15));
    }
}
