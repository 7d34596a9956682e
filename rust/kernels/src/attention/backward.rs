//! The gradients of one head of keys.

use super::operands::{Matrix, Met, Next, product};
use super::{FEW, Grid, Rules, Sizes, elements, rows};
use crate::buffer::{AllocError, Buffer};
use crate::gemm::{Scalar, Source};
use crate::isa::{Isa, Kernel, Level, dispatch};
use crate::shared::Shared;

/// What all heads have in common.
pub(super) struct Head<'a, T> {
    pub level: Level,
    pub sizes: &'a Sizes,
    pub q: &'a Grid<'a, T>,
    pub k: &'a Grid<'a, T>,
    pub v: &'a Grid<'a, T>,
    pub dy: &'a Grid<'a, T>,
    pub rules: &'a Rules<'a, T>,
    pub lse: &'a [T],
    pub delta: &'a [T],
}

impl<T: Scalar> Head<'_, T> {
    /// What the queries of all heads that `[batch, shared]` serves add; `next` is the head of keys that comes then.
    pub fn run(
        &self,
        [batch, shared]: [usize; 2],
        next: Option<[usize; 2]>,
        out: &[Shared<'_, T>; 3],
    ) -> Result<(), AllocError> {
        let Sizes { queries, keys, size, value_size, .. } = *self.sizes;
        let group = self.sizes.heads / self.sizes.shared;
        let rows = self.sizes.block(self.rules).min(queries);
        let blocks = self.sizes.blocks(self.rules);
        let seen = self.sizes.block_at(batch, shared * group, blocks - 1, self.rules).keys;
        let [key, value] = self.keys_and_values([batch, shared], seen);
        let packed = group * queries > FEW;
        let met = Met { level: self.level, matrices: [key.turned(), value.turned(), key], packed };
        // Queries and gradients of a block are packed for it.
        let room = |columns: usize| {
            if packed { Source::<T>::room(self.level, [rows, columns]) } else { 0 }
        };
        let len = 2 * rows * keys + keys + met.room() + room(size) + room(value_size);
        let mut buffer = Buffer::scratch(len * size_of::<T>())?;
        // SAFETY: the buffer was made for it.
        let (strip, rest) = unsafe { elements::<T>(&mut buffer, len) }.split_at_mut(rows * keys);
        let (slopes, rest) = rest.split_at_mut(rows * keys);
        let (factors, rest) = rest.split_at_mut(keys);
        let (queries_of_block, rest) = rest.split_at_mut(room(size));
        let (gradients_of_block, panels) = rest.split_at_mut(room(value_size));
        // SAFETY: the grids were checked; the panels live as long as the task.
        let sources = unsafe { met.sources(panels) };
        let next = next.map_or(Next::new::<T>(&[], 1), |at| {
            let [key, value] = self.keys_and_values(at, keys);
            let [query, dy] = self.queries_and_gradients([at[0], at[1] * group]);
            // Of a group every head asks for all: its rows begin anew.
            Next::new(&[key, value, query, dy], queries)
        });
        let own = Own { sources, next, strip, slopes, factors, queries_of_block, gradients_of_block };
        dispatch(self.level, Blocks { of: self, batch, shared, packed, own, out });
        Ok(())
    }

    fn keys_and_values(&self, at: [usize; 2], seen: usize) -> [Matrix<T>; 2] {
        let Sizes { size, value_size, .. } = *self.sizes;
        [Matrix::of(self.k, at, [seen, size]), Matrix::of(self.v, at, [seen, value_size])]
    }

    fn queries_and_gradients(&self, at: [usize; 2]) -> [Matrix<T>; 2] {
        let Sizes { queries, size, value_size, .. } = *self.sizes;
        [Matrix::of(self.q, at, [queries, size]), Matrix::of(self.dy, at, [queries, value_size])]
    }
}

/// What a task has for itself.
struct Own<'a, T> {
    /// Keys, turned; values, turned; keys.
    sources: [Source<T>; 3],
    next: Next,
    strip: &'a mut [T],
    slopes: &'a mut [T],
    factors: &'a mut [T],
    queries_of_block: &'a mut [T],
    gradients_of_block: &'a mut [T],
}

/// The blocks of a task.
struct Blocks<'a, T> {
    of: &'a Head<'a, T>,
    batch: usize,
    shared: usize,
    packed: bool,
    own: Own<'a, T>,
    out: &'a [Shared<'a, T>; 3],
}

impl<T: Scalar> Kernel for Blocks<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Blocks { of, batch, shared: one, packed, own, out: [dq, dk, dv] } = self;
        let &Head { level: l, sizes, rules, lse, delta, .. } = of;
        let Sizes { heads, shared, queries, keys, size, value_size, .. } = *sizes;
        let Own { sources: [key_turned, value_turned, key], next, strip, slopes, factors, .. } = own;
        let (queries_of_block, gradients_of_block) = (own.queries_of_block, own.gradients_of_block);
        let (k_ld, v_ld) = (shared * size, shared * value_size);
        let dk = dk.at((batch * keys * shared + one) * size, (keys - 1) * k_ld + size);
        let dv = dv.at((batch * keys * shared + one) * value_size, (keys - 1) * v_ld + value_size);
        // SAFETY: the rows of this head of keys belong to this task alone.
        let clear = |from: usize, to: usize| unsafe {
            for j in from..to {
                std::slice::from_raw_parts_mut(dk.add(j * k_ld), size).fill(T::ZERO);
                std::slice::from_raw_parts_mut(dv.add(j * v_ld), value_size).fill(T::ZERO);
            }
        };
        let group = heads / shared;
        // The first block writes what the others add to; it may see only the first keys.
        let mut begun = 0;
        for head in one * group..(one + 1) * group {
            let [query, dy] = of.queries_and_gradients([batch, head]);
            for index in 0..sizes.blocks(rules) {
                let at = sizes.block_at(batch, head, index, rules);
                let strip = &mut strip[..at.rows * at.keys];
                let slopes = &mut slopes[..at.rows * at.keys];
                let factors = &mut factors[..at.keys];
                let from = (batch * queries + at.first) * heads + head;
                let add = begun > 0;
                if add {
                    clear(begun, at.keys);
                }
                begun = begun.max(at.keys);
                // SAFETY: everything named exists, since the grids were checked; the rows of dq belong to this head and
                // block, those of dk and dv to this head of keys.
                unsafe {
                    let (q, dy) = (query.at_row(at.first), dy.at_row(at.first));
                    let (s, d) = (strip.as_mut_ptr(), slopes.as_mut_ptr());
                    product::<T, S>(l, [at.rows, at.keys, size], q, key_turned, s, at.keys, false);
                    product::<T, S>(l, [at.rows, at.keys, value_size], dy, value_turned, d, at.keys, false);
                    let (lse, delta) = (&lse[from..], &delta[from..]);
                    rows::slopes::<T, S>(sizes, rules, &at, strip, slopes, lse, delta, factors, &next);
                    let (q, dy) = if packed {
                        (
                            Source::packed(l, q, [at.rows, size], queries_of_block),
                            Source::packed(l, dy, [at.rows, value_size], gradients_of_block),
                        )
                    } else {
                        (q.into(), dy.into())
                    };
                    let p_turned = (strip.as_ptr(), 1, at.keys);
                    product::<T, S>(l, [at.keys, value_size, at.rows], p_turned, dy, dv, v_ld, add);
                    let (ds, ds_turned) = ((slopes.as_ptr(), at.keys, 1), (slopes.as_ptr(), 1, at.keys));
                    let dq = dq.at(from * size, (at.rows - 1) * heads * size + size);
                    product::<T, S>(l, [at.rows, size, at.keys], ds, key, dq, heads * size, false);
                    product::<T, S>(l, [at.keys, size, at.rows], ds_turned, q, dk, k_ld, add);
                }
            }
        }
        clear(begun, keys);
    }
}
