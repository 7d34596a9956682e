//! How a product is cut into tasks: a function of its shape.

use std::ops::Range;

use super::pack::{STEP, STEP_BYTES, UNIT};

/// Numbers of the sum per block: longer ones spend less on C, shorter ones keep two units in the first-level cache.
const BLOCK: usize = 384;
/// Bytes of units that a task works with: they stay in the second-level cache.
const CACHE: usize = 1_400_000;
/// Tasks that read an operand before it is packed once for all of them: fewer pack it again each, which costs less than
/// fetching it from where another core wrote it.
const READERS: usize = 5;
/// Enough tasks to keep many cores busy.
const TASKS: usize = 8;
/// Work below which a task is not cut further, in floating-point operations: about 20 µs. Smaller pieces would spend as
/// long packing what others pack too.
const TASK: usize = 9_000_000;
/// Rows and columns of a task that packing pays for; the sum is cut before they become fewer.
const BROAD: usize = 128;
/// Length of a piece of the sum.
const PIECE: usize = 512;
/// Pieces of the sum, at most: each has a copy of C.
const PIECES: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// Numbers of the sum per block, in whole steps.
    pub block: usize,
    /// Pieces of the sum that are added at the end.
    pub pieces: usize,
    /// Parts of C, of about equal size.
    pub m_tasks: usize,
    pub n_tasks: usize,
}

impl Plan {
    pub(super) fn new(m: usize, n: usize, k: usize, batch: usize) -> Plan {
        let block_of = |k: usize| k.div_ceil(k.div_ceil(BLOCK)).next_multiple_of(STEP);
        let (m_units, n_units) = (m.div_ceil(UNIT), n.div_ceil(UNIT));
        // The shorter side of C as a whole, if it leaves a third of the room.
        let room = CACHE / (block_of(k) / STEP * STEP_BYTES);
        let short = m_units.min(n_units).div_ceil((room * 2 / 3).max(1));
        let left = room - m_units.min(n_units).div_ceil(short).min(room - 1);
        let long = m_units.max(n_units).div_ceil(left);
        let (mut m_tasks, mut n_tasks) = if m <= n { (short, long) } else { (long, short) };
        let mut pieces = 1;
        loop {
            let count = m_tasks * n_tasks * pieces * batch;
            if count >= TASKS || 2 * m * n * k / (m_tasks * n_tasks * pieces) <= TASK {
                break;
            }
            let (rows, columns) = (m_units.div_ceil(m_tasks), n_units.div_ceil(n_tasks));
            if rows.max(columns) * UNIT <= BROAD && pieces < PIECES && k >= 2 * pieces * PIECE {
                pieces *= 2;
            } else if rows >= columns && rows > 1 {
                m_tasks = (2 * m_tasks).min(m_units);
            } else if columns > 1 {
                n_tasks = (2 * n_tasks).min(n_units);
            } else {
                break;
            }
        }
        Plan { block: block_of(k.div_ceil(pieces)), pieces, m_tasks, n_tasks }
    }

    /// Part `index` of `tasks` of a side of C.
    pub(super) fn part(index: usize, tasks: usize, side: usize) -> Range<usize> {
        let at = |i: usize| (i * side.div_ceil(UNIT) / tasks * UNIT).min(side);
        at(index)..at(index + 1)
    }

    /// Whether A and whether B are packed once for all tasks.
    pub(super) fn shared(&self) -> (bool, bool) {
        (self.n_tasks >= READERS, self.m_tasks >= READERS)
    }

    /// Blocks of a sum of `k` numbers.
    pub(super) fn blocks(&self, k: usize) -> usize {
        k.div_ceil(self.block)
    }

    /// The blocks of piece `s` of the sum.
    pub(super) fn piece(&self, k: usize, s: usize) -> Range<usize> {
        let at = |s: usize| s * self.blocks(k) / self.pieces;
        at(s)..at(s + 1)
    }

    /// Bytes of a unit over a block.
    pub(super) fn unit_bytes(&self) -> usize {
        self.block / STEP * STEP_BYTES
    }
}
