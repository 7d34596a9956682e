//! Moving elements between layouts. Elements are bytes of a given size, so one routine serves every type.

use crate::shared::{GRAIN, Shared, ranges, rows_per_chunk};

/// Copies the strided elements of `src` (element size `size`, strides and offset in elements) to `out` in
/// row-major order.
pub fn to_contiguous(
    src: &[u8],
    size: usize,
    shape: &[usize],
    strides: &[isize],
    offset: usize,
    out: &mut [u8],
) {
    strided(src, size, shape, strides, offset, out, &row_major(shape), 0);
}

/// Copies the row-major elements of `src` to strided places of `out` (a slice to update, a part of a
/// concatenation).
pub fn from_contiguous(
    src: &[u8],
    size: usize,
    shape: &[usize],
    out: &mut [u8],
    strides: &[isize],
    offset: usize,
) {
    strided(src, size, shape, &row_major(shape), 0, out, strides, offset);
}

/// The strides of a row-major tensor.
fn row_major(shape: &[usize]) -> Vec<isize> {
    let mut strides = vec![0; shape.len()];
    let mut step = 1;
    for (s, &d) in strides.iter_mut().zip(shape).rev() {
        *s = step;
        step *= d.max(1) as isize;
    }
    strides
}

/// Copies element `i` of `src` to element `i` of `out` for every index `i` of `shape`, each side with its own
/// strides and offset in elements. Panics if a stride leaves its slice. Where two indices name the same place of
/// `out`, the later one stays.
pub fn strided(
    src: &[u8],
    size: usize,
    shape: &[usize],
    src_strides: &[isize],
    src_offset: usize,
    out: &mut [u8],
    out_strides: &[isize],
    out_offset: usize,
) {
    assert!(
        src_strides.len() == shape.len() && out_strides.len() == shape.len(),
        "copy: one stride per dimension expected, received {} and {} for {} dimensions",
        src_strides.len(),
        out_strides.len(),
        shape.len()
    );
    if shape.contains(&0) || size == 0 {
        return;
    }
    assert_inside("source", src.len() / size, shape, src_strides, src_offset);
    assert_inside("destination", out.len() / size, shape, out_strides, out_offset);
    let plan = Plan::new(shape, src_strides, out_strides);
    match size {
        1 => plan.copy::<[u8; 1]>(src, src_offset, out, out_offset),
        2 => plan.copy::<[u8; 2]>(src, src_offset, out, out_offset),
        4 => plan.copy::<[u8; 4]>(src, src_offset, out, out_offset),
        8 => plan.copy::<[u8; 8]>(src, src_offset, out, out_offset),
        16 => plan.copy::<[u8; 16]>(src, src_offset, out, out_offset),
        _ => panic!("copy: element size must be 1, 2, 4, 8 or 16, received {size}"),
    }
}

fn assert_inside(side: &str, len: usize, shape: &[usize], strides: &[isize], offset: usize) {
    let (mut low, mut high) = (offset as isize, offset as isize);
    for (&d, &s) in shape.iter().zip(strides) {
        let reach = (d as isize - 1) * s;
        if reach < 0 { low += reach } else { high += reach }
    }
    assert!(low >= 0 && (high as usize) < len, "copy: strides leave the {side} of {len} elements");
}

/// One dimension of a copy.
#[derive(Clone, Copy, Debug)]
struct Dim {
    n: usize,
    src: isize,
    out: isize,
}

/// The dimensions of a copy, merged where they are contiguous on both sides; at least one.
struct Plan(Vec<Dim>);

/// Side of the square blocks in which a transposition goes.
const BLOCK: usize = 32;

impl Plan {
    fn new(shape: &[usize], src: &[isize], out: &[isize]) -> Plan {
        let mut dims: Vec<Dim> = vec![];
        for i in 0..shape.len() {
            let d = Dim { n: shape[i], src: src[i], out: out[i] };
            if d.n == 1 {
                continue;
            }
            match dims.last_mut() {
                Some(o) if o.src == d.src * d.n as isize && o.out == d.out * d.n as isize => {
                    *o = Dim { n: o.n * d.n, ..d };
                }
                _ => dims.push(d),
            }
        }
        if dims.is_empty() {
            dims.push(Dim { n: 1, src: 1, out: 1 });
        }
        Plan(dims)
    }

    /// Whether different indices are sure to name different places of the destination.
    fn injective(&self) -> bool {
        let mut dims: Vec<(usize, usize)> = self.0.iter().map(|d| (d.out.unsigned_abs(), d.n)).collect();
        dims.sort_unstable();
        let mut reach = 0;
        for (s, n) in dims {
            if s <= reach {
                return false;
            }
            reach += s * (n - 1);
        }
        true
    }

    fn copy<E: Copy + Send + Sync>(&self, src: &[u8], src_at: usize, out: &mut [u8], out_at: usize) {
        let from = Place(src.as_ptr().cast::<E>().cast_mut());
        let to = Place(out.as_mut_ptr().cast::<E>());
        let (at, to_at) = (src_at as isize, out_at as isize);
        let dims = &self.0;
        let last = dims[dims.len() - 1];
        let total: usize = dims.iter().map(|d| d.n).product();
        // Splitting is allowed only if the pieces write to different places.
        let whole = |n: usize| if self.injective() { n } else { usize::MAX };
        let transposed = (last.out == 1 && last.src != 1 && last.n >= 4 && dims.len() >= 2)
            .then(|| dims[..dims.len() - 1].iter().position(|d| d.src == 1 && d.n >= 4))
            .flatten();
        if let Some(t) = transposed {
            let across = dims[t];
            let blocks = across.n.div_ceil(BLOCK);
            let mut outer: Vec<Dim> = dims[..dims.len() - 1].to_vec();
            outer[t] = Dim { n: blocks, src: BLOCK as isize, out: BLOCK as isize * across.out };
            let units = outer.iter().map(|d| d.n).product();
            ranges(units, whole(rows_per_chunk(BLOCK * last.n)), |start, end| {
                walk(&outer, start, end, |index, s, o| {
                    let height = BLOCK.min(across.n - index[t] * BLOCK);
                    for left in (0..last.n).step_by(BLOCK) {
                        let right = (left + BLOCK).min(last.n);
                        for i in 0..height as isize {
                            for j in left as isize..right as isize {
                                // SAFETY: `assert_inside` checked the offsets of all indices.
                                unsafe {
                                    to.put(
                                        to_at + o + i * across.out + j,
                                        from.get(at + s + i + j * last.src),
                                    )
                                };
                            }
                        }
                    }
                });
            });
            return;
        }
        let row = |s: isize, o: isize, n: usize| match (last.src, last.out) {
            // SAFETY: `assert_inside` checked the offsets of all indices.
            (1, 1) => unsafe { std::ptr::copy_nonoverlapping(from.at(s), to.at(o), n) },
            (0, 1) => {
                // SAFETY: as above.
                let x = unsafe { from.get(s) };
                for j in 0..n as isize {
                    // SAFETY: as above.
                    unsafe { to.put(o + j, x) };
                }
            }
            (step, 1) => {
                for j in 0..n as isize {
                    // SAFETY: as above.
                    unsafe { to.put(o + j, from.get(s + j * step)) };
                }
            }
            (from_step, to_step) => {
                for j in 0..n as isize {
                    // SAFETY: as above.
                    unsafe { to.put(o + j * to_step, from.get(s + j * from_step)) };
                }
            }
        };
        if dims.len() == 1 {
            ranges(total, whole(GRAIN), |start, end| {
                row(at + start as isize * last.src, to_at + start as isize * last.out, end - start);
            });
            return;
        }
        let outer = &dims[..dims.len() - 1];
        // Long rows are cut as well, so that few of them still make many pieces.
        let pieces = if self.injective() { last.n.div_ceil(GRAIN) } else { 1 };
        let piece = last.n.div_ceil(pieces);
        let rows = total / last.n;
        ranges(rows * pieces, whole(rows_per_chunk(piece)), |start, end| {
            if pieces == 1 {
                walk(outer, start, end, |_, s, o| row(at + s, to_at + o, last.n));
            } else {
                for unit in start..end {
                    let (r, p) = (unit / pieces, unit % pieces);
                    let left = (p * piece).min(last.n);
                    let n = piece.min(last.n - left);
                    walk(outer, r, r + 1, |_, s, o| {
                        row(at + s + left as isize * last.src, to_at + o + left as isize * last.out, n);
                    });
                }
            }
        });
    }
}

/// Calls `f(index, source offset, destination offset)` for the row-major positions `start .. end` of `dims`.
fn walk(dims: &[Dim], start: usize, end: usize, mut f: impl FnMut(&[usize], isize, isize)) {
    let mut index = vec![0; dims.len()];
    let mut left = start;
    for (i, d) in index.iter_mut().zip(dims).rev() {
        *i = left % d.n;
        left /= d.n;
    }
    let (mut s, mut o) = (0, 0);
    for (&i, d) in index.iter().zip(dims) {
        s += i as isize * d.src;
        o += i as isize * d.out;
    }
    for _ in start..end {
        f(&index, s, o);
        for (i, d) in index.iter_mut().zip(dims).rev() {
            *i += 1;
            s += d.src;
            o += d.out;
            if *i < d.n {
                break;
            }
            s -= d.n as isize * d.src;
            o -= d.n as isize * d.out;
            *i = 0;
        }
    }
}

/// An unaligned array of elements that chunks share.
struct Place<E>(*mut E);

// SAFETY: chunks write to different places (checked by `injective`) and only read the source.
unsafe impl<E> Send for Place<E> {}
// SAFETY: as above.
unsafe impl<E> Sync for Place<E> {}

impl<E: Copy> Place<E> {
    fn at(&self, i: isize) -> *mut E {
        self.0.wrapping_offset(i)
    }
    /// # Safety
    /// Element `i` must exist.
    #[inline(always)]
    unsafe fn get(&self, i: isize) -> E {
        // SAFETY: the caller's promise.
        unsafe { self.0.offset(i).read_unaligned() }
    }
    /// # Safety
    /// Element `i` must exist and be nobody else's.
    #[inline(always)]
    unsafe fn put(&self, i: isize, x: E) {
        // SAFETY: the caller's promise.
        unsafe { self.0.offset(i).write_unaligned(x) }
    }
}

/// Sets every element of `out` to `value` (element size = length of `value`).
pub fn fill(value: &[u8], out: &mut [u8]) {
    let size = value.len();
    assert!(
        size > 0 && out.len().is_multiple_of(size),
        "fill: {} bytes are no multiple of {size}",
        out.len()
    );
    let n = out.len() / size;
    let out = Shared::new(out);
    ranges(n, GRAIN, |start, end| {
        // SAFETY: chunks are disjoint.
        let part = unsafe { out.part(start * size, (end - start) * size) };
        if value.iter().all(|&b| b == value[0]) {
            part.fill(value[0]);
        } else {
            for x in part.chunks_exact_mut(size) {
                x.copy_from_slice(value);
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<const N: usize>(n: usize) -> Vec<u8> {
        (0..n)
            .flat_map(|i| std::array::from_fn::<u8, N, _>(|b| (i >> (8 * b % 64)) as u8 ^ b as u8))
            .collect()
    }

    /// The definition, element by element.
    fn plain(src: &[u8], size: usize, shape: &[usize], strides: &[isize], offset: usize) -> Vec<u8> {
        let n: usize = shape.iter().product();
        let mut out = vec![];
        for i in 0..n {
            let (mut left, mut at) = (i, offset as isize);
            for d in (0..shape.len()).rev() {
                at += (left % shape[d]) as isize * strides[d];
                left /= shape[d];
            }
            out.extend_from_slice(&src[at as usize * size..][..size]);
        }
        out
    }

    #[test]
    fn every_layout_both_ways() {
        let cases: [(&[usize], &[isize], usize); 9] = [
            (&[6, 35], &[35, 1], 0),
            (&[35, 6], &[1, 35], 0),
            (&[130, 77], &[1, 130], 0),
            (&[3, 70, 40], &[2800, 1, 70], 0),
            (&[70, 3, 40], &[1, 2800, 70], 0),
            (&[5, 7], &[-7, -1], 34),
            (&[4, 5], &[20, 2], 1),
            (&[3, 4, 5], &[0, 5, 1], 2),
            (&[], &[], 3),
        ];
        fn check<const N: usize>(cases: &[(&[usize], &[isize], usize)]) {
            let src = bytes::<N>(12_000);
            for &(shape, strides, offset) in cases {
                let want = plain(&src, N, shape, strides, offset);
                let mut out = vec![0; want.len()];
                to_contiguous(&src, N, shape, strides, offset, &mut out);
                assert_eq!(out, want, "{shape:?} {strides:?} size {N}");
                if strides.contains(&0) {
                    continue;
                }
                let mut back = vec![0; src.len()];
                from_contiguous(&want, N, shape, &mut back, strides, offset);
                assert_eq!(plain(&back, N, shape, strides, offset), want, "back {shape:?} {strides:?}");
            }
        }
        check::<1>(&cases);
        check::<2>(&cases);
        check::<4>(&cases);
        check::<8>(&cases);
    }

    #[test]
    fn large_pieces_and_fill() {
        let (r, c) = (3, 100_003);
        let src = bytes::<4>(r * c);
        let mut out = vec![0; src.len()];
        to_contiguous(&src, 4, &[r, c], &[c as isize, 1], 0, &mut out);
        assert_eq!(src, out);
        // Rows swapped: two long rows, cut into pieces.
        to_contiguous(&src, 4, &[2, c], &[-(c as isize), 1], c, &mut out[..8 * c]);
        assert_eq!(out[..4 * c], src[4 * c..8 * c]);
        assert_eq!(out[4 * c..8 * c], src[..4 * c]);
        fill(&1.5f32.to_le_bytes(), &mut out);
        assert!(out.chunks(4).all(|x| x == 1.5f32.to_le_bytes()));
    }

    #[test]
    #[should_panic(expected = "strides leave the source")]
    fn outside_is_refused() {
        to_contiguous(&[0; 8], 4, &[3], &[1], 0, &mut [0; 12]);
    }
}
