//! The result of one head.

use super::operands::{Matrix, Met, Next, product};
use super::{Block, FEW, Grid, Rules, Sizes, elements, rows};
use crate::buffer::{AllocError, Buffer};
use crate::gemm::{Scalar, Source};
use crate::isa::{Isa, Kernel, Lanes, Level, dispatch};
use crate::reduce::{part, put};
use crate::shared::Shared;

/// What all heads have in common.
pub(super) struct Head<'a, T> {
    pub level: Level,
    pub sizes: &'a Sizes,
    pub q: &'a Grid<'a, T>,
    pub k: &'a Grid<'a, T>,
    pub v: &'a Grid<'a, T>,
    pub rules: &'a Rules<'a, T>,
}

impl<T: Scalar> Head<'_, T> {
    /// The queries of `first`, of `last` and of the blocks between them; `next` is the last block of the task that comes
    /// then.
    pub fn run(
        &self,
        first: Block,
        last: Block,
        next: Option<Block>,
        y: &Shared<'_, T>,
        lse: &Shared<'_, T>,
    ) -> Result<(), AllocError> {
        let queries = last.first + last.rows - first.first;
        let [_, key, value] = self.matrices(&last);
        let met = Met { level: self.level, matrices: [key.turned(), value], packed: queries > FEW };
        let rows = self.sizes.block(self.rules).min(self.sizes.queries);
        let len = rows * (last.keys + 2) + last.keys + met.room();
        let mut buffer = Buffer::scratch(len * size_of::<T>())?;
        // SAFETY: the buffer was made for it.
        let (strip, rest) = unsafe { elements::<T>(&mut buffer, len) }.split_at_mut(rows * last.keys);
        let (row_lse, rest) = rest.split_at_mut(rows);
        let (sums, rest) = rest.split_at_mut(rows);
        let (factors, panels) = rest.split_at_mut(last.keys);
        // SAFETY: the grids were checked; the panels live as long as the task.
        let sources = unsafe { met.sources(panels) };
        let next = next.map_or(Next::new::<T>(&[], queries), |b| Next::new(&self.matrices(&b), queries));
        let own = Own { sources, next, strip, lse: row_lse, sums, factors };
        dispatch(self.level, Blocks { of: self, first, last, own, y, all_lse: lse });
        Ok(())
    }

    /// Queries, keys and values of a block's head, up to what the block sees.
    fn matrices(&self, at: &Block) -> [Matrix<T>; 3] {
        let Sizes { size, value_size, .. } = *self.sizes;
        [
            Matrix::of(self.q, [at.batch, at.head], [at.first + at.rows, size]),
            Matrix::of(self.k, [at.batch, at.shared], [at.keys, size]),
            Matrix::of(self.v, [at.batch, at.shared], [at.keys, value_size]),
        ]
    }
}

/// What a task has for itself.
struct Own<'a, T> {
    /// Keys, turned, and values.
    sources: [Source<T>; 2],
    next: Next,
    strip: &'a mut [T],
    lse: &'a mut [T],
    sums: &'a mut [T],
    factors: &'a mut [T],
}

/// The blocks of a task.
struct Blocks<'a, T> {
    of: &'a Head<'a, T>,
    first: Block,
    last: Block,
    own: Own<'a, T>,
    y: &'a Shared<'a, T>,
    all_lse: &'a Shared<'a, T>,
}

impl<T: Scalar> Kernel for Blocks<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Blocks { of, first, last, own, y, all_lse } = self;
        let &Head { level: l, sizes, rules, .. } = of;
        let Sizes { heads, queries, size, value_size, .. } = *sizes;
        let Own { sources: [key, value], next, strip, lse, sums, factors } = own;
        let [query, ..] = of.matrices(&last);
        let block = sizes.block(rules);
        for index in first.first / block..=last.first / block {
            let at = sizes.block_at(first.batch, first.head, index, rules);
            let strip = &mut strip[..at.rows * at.keys];
            let (lse, sums, factors) = (&mut lse[..at.rows], &mut sums[..at.rows], &mut factors[..at.keys]);
            let (ld, from) = (heads * value_size, (at.batch * queries + at.first) * heads + at.head);
            let c = y.at(from * value_size, (at.rows - 1) * ld + value_size);
            // SAFETY: the grids were checked, and keys up to the last one that the block sees were packed; the rows of
            // this head and block belong to this task alone.
            unsafe {
                let a = query.at_row(at.first);
                product::<T, S>(l, [at.rows, at.keys, size], a, key, strip.as_mut_ptr(), at.keys, false);
                rows::weights::<T, S>(sizes, rules, &at, strip, lse, sums, factors, &next);
                let a = (strip.as_ptr(), at.keys, 1);
                product::<T, S>(l, [at.rows, value_size, at.keys], a, value, c, ld, false);
                for r in 0..at.rows {
                    let row = std::slice::from_raw_parts_mut(c.add(r * ld), value_size);
                    let factor = <T::V<S> as Lanes>::splat(T::ONE / sums[r]);
                    for y in row.chunks_mut(<T::V<S> as Lanes>::N) {
                        put(part::<T::V<S>>(y) * factor, y);
                    }
                    *all_lse.at(from + r * heads, 1) = lse[r];
                }
            }
        }
    }
}
