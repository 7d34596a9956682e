//! Attention of many heads: softmax(scale Q·Kᵀ + bias) V and its gradient, without the matrix of scores in memory.
//!
//! A task is one head, or a block of its queries where heads are few; keys and values are packed once for it. The scores
//! of a block of queries against all keys fill a strip that stays in the second-level cache, so the softmax is the exact
//! one in two passes, not a running one. Forward keeps only the logarithm of the sum per query; backward computes the
//! strip again. Q, K and V are read where they lie, or packed from there, (batch, time, heads, size) at any
//! strides. Blocks depend on the shape alone, so results do not depend on the number of threads.

mod backward;
mod forward;
mod operands;
mod rows;

use crate::buffer::{AllocError, Buffer};
use crate::gemm::Scalar;
use crate::isa::{Level, Real, level};
use crate::par;
use crate::random::State;
use crate::shared::Shared;

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
    let Sizes { batch, heads, queries, value_size, .. } = sizes;
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
    let (y, lse) = (Shared::new(y), Shared::new(lse));
    par::try_run(batch * heads * parts, |task| {
        let ends = |task: usize| {
            let (head, from) = (task / parts, task % parts * run);
            let to = (from + run).min(blocks);
            [from, to - 1].map(|index| sizes.block_at(head / heads, head % heads, index, &rules))
        };
        let work = forward::Head { level: l, sizes: &sizes, q: &q, k: &k, v: &v, rules: &rules };
        let next = (parts == 1 && task + 1 < batch * heads).then(|| ends(task + 1)[1]);
        let [first, last] = ends(task);
        work.run(first, last, next, &y, &lse)
    })
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
    let out = [Shared::new(dq), Shared::new(dk), Shared::new(dv)];
    // One task per head of keys: what all queries add to its gradients is added in one order.
    par::try_run(batch * shared, |task| {
        let (q, k, v, dy) = (&q, &k, &v, &dy);
        let work = backward::Head { level: l, sizes: &sizes, q, k, v, dy, rules: &rules, lse, delta };
        let head = |task: usize| [task / shared, task % shared];
        let next = (task + 1 < batch * shared).then(|| head(task + 1));
        work.run(head(task), next, &out)
    })
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
