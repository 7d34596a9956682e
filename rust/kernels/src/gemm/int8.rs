//! Products of int8 matrices, summed in int32.
//!
//! Both operands are packed as pairs of int16, two neighbours along k beside each other, so that one instruction multiplies
//! two pairs and adds them to an int32 lane: twice the rate of float32. Sums of int32 wrap, so the order of additions
//! changes nothing.

mod tile;

use super::Mat;
use crate::buffer::{AllocError, Buffer};
use crate::convert::elements_mut;
use crate::isa::{Isa, Kernel, Level, dispatch, level};
use crate::par;
use crate::shared::Shared;
use tile::Tile;

/// Pairs along k that a task walks before it goes on to its next tile: a panel of B then stays in the first cache.
const PAIRS: usize = 256;
/// Tiles of C per task, along its rows and its columns.
const TILES: usize = 8;

/// For every `[a, b, c]` of `offsets` (in elements): C[m, n] at c = A[m, k] at a · B[k, n] at b.
pub fn gemm_i8(
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, i8>,
    b: Mat<'_, i8>,
    c: &mut [i32],
    ldc: usize,
    offsets: &[[usize; 3]],
) -> Result<(), AllocError> {
    gemm_i8_at(level(), m, n, k, a, b, c, ldc, offsets)
}

/// [`gemm_i8`] at a given level.
pub fn gemm_i8_at(
    l: Level,
    m: usize,
    n: usize,
    k: usize,
    a: Mat<'_, i8>,
    b: Mat<'_, i8>,
    c: &mut [i32],
    ldc: usize,
    offsets: &[[usize; 3]],
) -> Result<(), AllocError> {
    super::check_batch("gemm_i8", [m, n, k], a, b, c.len(), ldc, offsets, &super::Epilogue::<f32>::default());
    if m == 0 || n == 0 {
        return Ok(());
    }
    let tile = tile::of(l);
    let pairs = k.div_ceil(2);
    let (rows, columns) = (m.next_multiple_of(tile.rows), n.next_multiple_of(tile.columns));
    let mut left = Buffer::scratch(4 * rows * pairs)?;
    let mut right = Buffer::scratch(4 * columns * pairs)?;
    let left = elements_mut::<i32>(left.bytes_mut());
    let right = elements_mut::<i32>(right.bytes_mut());
    let mut packed = None;
    for &[oa, ob, oc] in offsets {
        pack(l, Lines { x: from(a.data, oa), count: m, stride: a.rs, k, step: a.cs, width: tile.rows }, left);
        // One B for the whole batch is packed once.
        if packed != Some(ob) {
            pack(
                l,
                Lines { x: from(b.data, ob), count: n, stride: b.cs, k, step: b.rs, width: tile.columns },
                right,
            );
            packed = Some(ob);
        }
        let out = Shared::new(&mut c[oc..]);
        let (down, across) = (m.div_ceil(TILES * tile.rows), n.div_ceil(TILES * tile.columns));
        par::run(down * across, |task| {
            let block = Block { m, n, pairs, row: task / across, column: task % across };
            block.run(&tile, left, right, &out, ldc);
        });
    }
    Ok(())
}

/// The elements from `at` on; none where an operand without elements is asked for one of its matrices.
fn from(x: &[i8], at: usize) -> &[i8] {
    &x[at.min(x.len())..]
}

/// A part of C: `TILES` by `TILES` tiles.
struct Block {
    m: usize,
    n: usize,
    pairs: usize,
    row: usize,
    column: usize,
}

impl Block {
    fn run(&self, tile: &Tile, left: &[i32], right: &[i32], out: &Shared<'_, i32>, ldc: usize) {
        let mut sums = [0i32; tile::LARGEST];
        let sums = &mut sums[..tile.rows * tile.columns];
        let (i0, j0) = (self.row * TILES * tile.rows, self.column * TILES * tile.columns);
        let (i1, j1) = (self.m.min(i0 + TILES * tile.rows), self.n.min(j0 + TILES * tile.columns));
        for p0 in (0..self.pairs.max(1)).step_by(PAIRS) {
            let p1 = self.pairs.min(p0 + PAIRS);
            for j in (j0..j1).step_by(tile.columns) {
                let b = &right[j * self.pairs + p0 * tile.columns..j * self.pairs + p1 * tile.columns];
                for i in (i0..i1).step_by(tile.rows) {
                    let a = &left[i * self.pairs + p0 * tile.rows..i * self.pairs + p1 * tile.rows];
                    (tile.multiply)(a, b, sums);
                    let (h, w) = (tile.rows.min(i1 - i), tile.columns.min(j1 - j));
                    for (r, sums) in sums.chunks_exact(tile.columns).take(h).enumerate() {
                        // SAFETY: blocks are disjoint, and so are the rows of a tile.
                        let row = unsafe { out.part((i + r) * ldc + j, w) };
                        if p0 == 0 {
                            row.copy_from_slice(&sums[..w]);
                        } else {
                            row.iter_mut().zip(sums).for_each(|(c, s)| *c = c.wrapping_add(*s));
                        }
                    }
                }
            }
        }
    }
}

/// The rows of A or the columns of B: `count` lines of `k` numbers, packed by groups of `width` lines.
#[derive(Clone, Copy)]
struct Lines<'a> {
    x: &'a [i8],
    count: usize,
    /// From one line to the next.
    stride: usize,
    k: usize,
    /// From one number of a line to the next.
    step: usize,
    width: usize,
}

/// `out[group][pair][line]`, two int16 in an int32; what is missing of a pair or a group is zero.
fn pack(l: Level, lines: Lines<'_>, out: &mut [i32]) {
    let size = lines.k.div_ceil(2) * lines.width;
    let groups = lines.count.div_ceil(lines.width);
    let out = Shared::new(out);
    crate::shared::ranges(groups, crate::shared::rows_per_chunk(size), |from, to| {
        for group in from..to {
            // SAFETY: groups are disjoint.
            let out = unsafe { out.part(group * size, size) };
            dispatch(l, Group { lines, first: group * lines.width, out });
        }
    });
}

struct Group<'a> {
    lines: Lines<'a>,
    first: usize,
    out: &'a mut [i32],
}

/// Two numbers in one.
#[inline(always)]
fn pair(low: i8, high: i8) -> i32 {
    i32::from(low) & 0xffff | i32::from(high) << 16
}

impl Kernel for Group<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Lines { x, count, stride, k, step, width } = self.lines;
        let n = width.min(count - self.first);
        if n < width {
            self.out.fill(0);
        }
        if stride == 1 {
            for (p, out) in self.out.chunks_exact_mut(width).enumerate() {
                let low = &x[self.first + 2 * p * step..][..n];
                if 2 * p + 1 < k {
                    let high = &x[self.first + (2 * p + 1) * step..][..n];
                    out.iter_mut().zip(low.iter().zip(high)).for_each(|(o, (&l, &h))| *o = pair(l, h));
                } else {
                    out.iter_mut().zip(low).for_each(|(o, &l)| *o = pair(l, 0));
                }
            }
            return;
        }
        for i in 0..n {
            let line = (self.first + i) * stride;
            for p in 0..k / 2 {
                let at = line + 2 * p * step;
                self.out[p * width + i] = pair(x[at], x[at + step]);
            }
            if k % 2 == 1 {
                self.out[k / 2 * width + i] = pair(x[line + (k - 1) * step], 0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(n: usize, seed: usize) -> Vec<i8> {
        (0..n).map(|i| (((i + seed) * 2_654_435_761) >> 7) as u8 as i8).collect()
    }

    fn check(l: Level, m: usize, n: usize, k: usize, ta: bool, tb: bool) {
        let (da, db) = (draw(2 * m * k, 1), draw(k * n, 2));
        let a = if ta { Mat::rows(&da, m).t() } else { Mat::rows(&da, k) };
        let b = if tb { Mat::rows(&db, k).t() } else { Mat::rows(&db, n) };
        let ldc = n + 3;
        let mut c = vec![77i32; 2 * m * ldc];
        gemm_i8_at(l, m, n, k, a, b, &mut c, ldc, &[[0, 0, 0], [m * k, 0, m * ldc]]).unwrap();
        for i in 0..2 * m {
            let (batch, row) = (i / m, i % m);
            for j in 0..n {
                let want: i32 = (0..k)
                    .map(|p| {
                        let left = a.data[batch * m * k + row * a.rs + p * a.cs];
                        i32::from(left) * i32::from(b.data[p * b.rs + j * b.cs])
                    })
                    .sum();
                assert_eq!(c[i * ldc + j], want, "{l:?} {m}x{n}x{k} {ta} {tb} at {i}, {j}");
            }
            assert!(c[i * ldc + n..(i + 1) * ldc].iter().all(|&v| v == 77), "wrote beyond the row");
        }
    }

    #[test]
    fn every_shape_level_and_transpose() {
        for l in crate::isa::levels() {
            for (m, n, k) in [(1, 1, 1), (7, 33, 5), (13, 16, 64), (100, 70, 31), (5, 3, 0), (60, 140, 1030)]
            {
                for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                    check(l, m, n, k, ta, tb);
                }
            }
        }
    }

    #[test]
    fn the_largest_products_do_not_overflow() {
        for l in crate::isa::levels() {
            let x = vec![-128i8; 4 * 1024];
            let mut c = [0i32; 16];
            gemm_i8_at(l, 4, 4, 1024, Mat::rows(&x, 1024), Mat::rows(&x, 1024).t(), &mut c, 4, &[[0, 0, 0]])
                .unwrap();
            assert_eq!(c, [1024 * 128 * 128; 16]);
        }
    }
}
