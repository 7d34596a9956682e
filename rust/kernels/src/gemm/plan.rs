//! How a product is cut into tasks: a function of its shape and of the level, never of the number of threads.

use super::{Product, Scalar, Source};
use crate::isa::Level;

/// Rows of K per block, at most: a panel of B (kc·nr values) stays in the first-level cache while tiles of A pass by.
/// Longer blocks spend less on reading and writing C, and round more. Processors with AVX-512 have larger caches.
fn block_length(l: Level) -> usize {
    if l == Level::Avx512 { 384 } else { 288 }
}
/// Rows of A that meet all panels of B of a task before the next ones: they stay in the second-level cache.
fn block_rows(l: Level) -> usize {
    if l == Level::Avx512 { ROWS } else { ROWS / 2 }
}
/// Rows of C per task.
const ROWS: usize = 288;
/// Columns of C per task.
const COLUMNS: usize = 256;
/// Work below which a task is not cut further, in floating-point operations: about 4 µs.
const TASK: usize = 400_000;
/// Enough tasks to keep many cores busy.
const TASKS: usize = 16;
/// Length of a piece of the sum, at least, where a small C makes it worth while to cut the sum: of at most [`FEW`] tasks.
const K_CHUNK: usize = 512;
/// Pieces of a sum, at most: each has a copy of C.
const K_CHUNKS: usize = 16;
/// Tasks of full size of which a small C consists.
const FEW: usize = 2;

/// Pieces of the sum where a small batch meets a large matrix …
const OWN_PIECES: usize = 4;
/// … each of so many rows of it, at least …
const OWN_LENGTH: usize = 128;
/// … which are batches of so many rows, at most …
const OWN_ROWS: usize = 64;
/// … and so many elements of C.
const OWN: usize = 1 << 12;

/// Bytes of the first-level cache, at least, in pages of which the same places share the same few ways.
const FIRST_LEVEL: usize = 32 << 10;
/// Bytes of the second-level cache that panels of B may fill while rows of A pass by.
const SECOND_LEVEL: usize = 256 << 10;
/// Rows that pass by at a time; the next ones are asked for meanwhile. Fewer would spend more on beginning a panel.
const STREAM: usize = 42;
/// Bytes of a line of the cache; a vector pair of B takes two.
pub(super) const LINE: usize = 64;
/// Bytes after which the places of the first-level cache repeat.
pub(super) const PAGE: usize = 4096;

/// Tiles of rows up to which rows of B are read where they lie on AVX-512, if they consist of whole lines of the cache: a
/// tile of fourteen rows takes 28 cycles for the two lines of a step, enough to fetch them from the second-level cache.
const WHOLE_LINES: usize = 64;

/// Panels of B that pay for packing all of A beforehand.
const SHARED_PANELS: usize = 12;

#[derive(Debug)]
pub(crate) struct Plan {
    pub kc: usize,
    /// Rows of a packed tile of A.
    pub tile: usize,
    /// Rows of A that are met by all panels of B before the next rows.
    pub block: usize,
    /// All of A is packed once, before the tasks, which share it.
    pub share_a: bool,
    /// Every task packs its block of A.
    pub pack_a: bool,
    /// All of B is packed once, before the tasks; several of them use each panel.
    pub share_b: bool,
    /// Every task packs its block of B.
    pub pack_b: bool,
    /// One dot product per element instead of tiles.
    pub dot: bool,
    /// One row of A, and rows of B that are contiguous: B is read where it lies, several of its rows at a time.
    pub row: bool,
    pub k_chunks: usize,
    /// Panels of B per task.
    pub panels: usize,
    /// So many tiles of rows of A, read where they lie, meet all panels of B before the next rows come; 0: `block` rows do.
    pub stream: usize,
    rows: usize,
    columns: usize,
    m_tasks: usize,
    n_tasks: usize,
}

/// Rows of a full tile, as [`super::micro::tile_rows`] has them.
pub(crate) fn tile_rows(l: Level) -> usize {
    if l == Level::Avx512 { 14 } else { 6 }
}

/// Columns of a full tile: two vectors.
pub(crate) fn tile_columns<T>(l: Level) -> usize {
    2 * if l == Level::Avx512 { 64 } else { 32 } / size_of::<T>()
}

/// Groups of rows of a tall C: one thread has one or several.
const GROUPS: usize = 8;

/// Block of rows and block of columns of task `index`. Tasks are dealt to threads in that order, and what is done to a
/// tensor before and after is dealt by rows: of a tall C (`m` rows, twice as many as its `n` columns, or more) a thread gets
/// whole rows, whose operands and results are in its own cache then. (Two cores may be far apart: products of 4096 rows
/// took half as long again where threads had columns.) Within such a group, and in any case of a wide C, tasks of one block
/// of columns follow each other.
pub(super) fn place(index: usize, [m_tasks, n_tasks]: [usize; 2], [m, n]: [usize; 2]) -> (usize, usize) {
    let groups = if m >= 2 * n { GROUPS.min(m_tasks) } else { 1 };
    let mut index = index;
    for g in 0..groups {
        let (from, to) = (g * m_tasks / groups, (g + 1) * m_tasks / groups);
        let rows = to - from;
        if index < rows * n_tasks {
            return (from + index % rows, index / rows);
        }
        index -= rows * n_tasks;
    }
    unreachable!("a task that does not exist")
}

impl Plan {
    pub(crate) fn new<T: Scalar>(l: Level, p: &Product<'_, T>, batch: usize) -> Plan {
        let (m, n, k) = (p.m, p.n, p.k);
        let (mr, nr) = (tile_rows(l), tile_columns::<T>(l));
        let flops = |rows: usize, columns: usize| 2 * rows * columns * k;
        let dot = match p.b {
            // A column of B that is contiguous, and too few rows of A to pay for a packed panel.
            Source::Strided { rs: 1, cs, .. } => (n == 1 || (m <= 3 && cs != 1)) && p.a_cs == 1,
            Source::Strided { .. } | Source::Packed { .. } => false,
        };
        let row = m == 1 && n > 1 && matches!(p.b, Source::Strided { cs: 1, .. });
        let strided_rows = p.a_rs * size_of::<T>();
        // Rows of A as far apart as places of the cache repeat drive each other out of it.
        let collide = strided_rows.is_multiple_of(PAGE);
        // Tasks over all columns pack what they need of A in their own cache, and nobody packs it twice.
        let wide = (p.a_cs != 1 || collide) && k >= 64 && n <= COLUMNS && m >= TASKS * 4 * mr;
        let mut columns = COLUMNS.min(n.next_multiple_of(nr));
        let mut rows = (ROWS / mr * mr).min(m.next_multiple_of(mr));
        let count = |rows: usize, columns: usize| m.div_ceil(rows) * n.div_ceil(columns) * batch;
        // A small C and a long sum: pieces of the sum are the tasks, so that A and B are read and packed once.
        let long = !dot
            && !row
            && count(rows, columns) <= FEW
            && k >= 4 * K_CHUNK
            && matches!(p.b, Source::Strided { .. });
        // A small batch meets a matrix that is much larger than C: each part of its rows then stays with one thread, the one
        // that also updates it.
        let own = batch == 1 && m <= OWN_ROWS && m * n <= OWN && k >= OWN_PIECES * OWN_LENGTH;
        let own = own && p.a_cs == 1 && matches!(p.b, Source::Strided { cs: 1, .. }) && !dot && !row;
        if wide {
            rows = rows.min(m.div_ceil(TASKS));
        }
        // Cut columns first (each panel of B is then packed once), but not to strips that would stream all of A past a
        // panel or two; what is left to cut is cut next.
        while count(rows, columns) < TASKS && flops(rows, columns) > TASK && (columns > nr || rows > mr) {
            // Of a tall and narrow C a task keeps whole rows, which lie together: what works on C next is cut that way too.
            let tall = columns <= 2 * nr && rows > 4 * mr;
            if columns > nr && !tall && !wide && (4 * columns >= rows || rows <= mr) {
                columns = (columns / 2).next_multiple_of(nr);
            } else {
                rows = (rows / 2).next_multiple_of(mr);
            }
        }
        let panels = columns / nr;
        // Rows that are contiguous are as good as packed, unless they get into each other's way in the cache.
        let scattered = p.a_cs != 1 || collide || l == Level::Avx512;
        // Rows that every task of several would pack for itself, that collide, or that many panels meet.
        let often = n >= SHARED_PANELS * nr || ((p.a_cs != 1 || collide) && n > columns);
        let share_a = !dot && scattered && batch == 1 && m >= 4 * mr && k >= 64 && often;
        let pack_a = !dot
            && !share_a
            && m > 1
            && panels >= 2
            && (wide || (p.a_cs != 1 && k >= 64) || (collide && panels >= 8));
        let pack_b = match p.b {
            // Rows that are contiguous can be read where they lie: by the few tiles of a small batch, from the second-level
            // cache, and by many where they find room beside each other in the first.
            Source::Strided { rs, cs: 1, .. } => {
                let row = rs * size_of::<T>();
                let apart = (1usize << row.trailing_zeros()).clamp(2 * LINE, PAGE);
                let few = match apart <= PAGE / 4 {
                    true if l == Level::Avx512 && row.is_multiple_of(LINE) => WHOLE_LINES * mr,
                    true => 4 * mr,
                    false => 2 * mr,
                };
                m > few && k * apart > FIRST_LEVEL / 2
            }
            Source::Strided { .. } => m > 2 * mr,
            Source::Packed { .. } => false,
        };
        let pack_a = if long { p.a_cs != 1 || collide } else { pack_a };
        // All tasks have about as many rows: a short last one would leave threads without work. Tiles that are packed are of
        // equal height, for which one row less costs nothing.
        rows = m.div_ceil(m.div_ceil(rows).max(1)).max(1);
        let mut tile = mr;
        if share_a || pack_a {
            tile = (mr - 1..=mr).rev().min_by_key(|&t| rows.next_multiple_of(t)).unwrap_or(mr);
            rows = rows.next_multiple_of(tile);
        }
        let share_b = !dot && batch == 1 && pack_b && m > rows;
        let k_chunks = if long {
            (k / K_CHUNK).min(K_CHUNKS)
        } else if own {
            OWN_PIECES
        } else {
            1
        };
        // Few tiles read a piece of B in the second-level cache faster than it is packed.
        let pack_b = if long { m > 8 * mr } else { pack_b };
        // Blocks of equal length.
        let most = block_length(l);
        let kc = k.div_ceil(k.div_ceil(most).max(1)).next_multiple_of(8).clamp(8, most);
        let fits = k >= 64 && k <= kc && k * columns * size_of::<T>() <= SECOND_LEVEL;
        let stream = if p.a_cs == 1 && !long && panels >= 2 && fits { STREAM / mr } else { 0 };
        Plan {
            kc,
            tile,
            block: block_rows(l) / tile * tile,
            share_a: share_a && k_chunks == 1,
            pack_a,
            share_b: share_b && k_chunks == 1,
            pack_b,
            dot,
            row,
            k_chunks,
            panels,
            stream,
            rows,
            columns,
            m_tasks: m.div_ceil(rows),
            n_tasks: n.div_ceil(columns),
        }
    }

    pub(crate) fn tasks(&self) -> usize {
        self.m_tasks * self.n_tasks
    }

    /// The same plan with all of C as one task.
    pub(crate) fn whole(&self) -> Plan {
        Plan {
            rows: usize::MAX,
            columns: usize::MAX,
            m_tasks: 1,
            n_tasks: 1,
            k_chunks: 1,
            share_a: false,
            share_b: false,
            ..*self
        }
    }

    /// Rows and columns of a task.
    pub(crate) fn range<T>(&self, p: &Product<'_, T>, index: usize) -> ((usize, usize), (usize, usize)) {
        let (i, j) = place(index, [self.m_tasks, self.n_tasks], [p.m, p.n]);
        let end = |at: usize, size: usize, all: usize| at.saturating_add(size).min(all);
        let (m0, n0) = (i.saturating_mul(self.rows), j.saturating_mul(self.columns));
        ((m0, end(m0, self.rows, p.m)), (n0, end(n0, self.columns, p.n)))
    }

    /// Piece `s` of the sum.
    pub(crate) fn k_range(&self, k: usize, s: usize) -> (usize, usize) {
        (s * k / self.k_chunks, (s + 1) * k / self.k_chunks)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_block_of_c_is_a_task_once() {
        for (m, n) in [(1, 1), (1, 9), (15, 2), (16, 1), (7, 3), (40, 5)] {
            for tall in [false, true] {
                let size = if tall { [2, 1] } else { [1, 1] };
                let mut seen: Vec<_> = (0..m * n).map(|i| super::place(i, [m, n], size)).collect();
                if tall && m >= 8 {
                    let half = seen[..m / 2 * n].iter().map(|&(i, _)| i).max();
                    assert!(half < Some(m / 2 + 1), "{half:?} of {m} in the first half");
                }
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), m * n, "{m} x {n}");
            }
        }
    }
}
