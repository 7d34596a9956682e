//! Sorting rows: values, order, the largest few. NaN counts as larger than everything; equal values keep their order.

use crate::shared::{Shared, ranges, rows_per_chunk};
use half::{bf16, f16};

/// Types with an order.
pub trait Sortable: Copy + Send + Sync {
    /// A number in the same order: -0 like 0, NaN last.
    #[doc(hidden)]
    fn key(self) -> u64;
    /// Whether the key fits 32 bits.
    #[doc(hidden)]
    const SHORT: bool;
}

macro_rules! sortable {
    (unsigned: $($u:ident)*; signed: $($i:ident $iu:ident)*; float: $($f:ident $bits:ident)*) => {
        $(impl Sortable for $u {
            const SHORT: bool = size_of::<$u>() <= 4;
            #[inline(always)]
            fn key(self) -> u64 {
                u64::from(self)
            }
        })*
        $(impl Sortable for $i {
            const SHORT: bool = size_of::<$i>() <= 4;
            #[inline(always)]
            fn key(self) -> u64 {
                u64::from((self as $iu) ^ (1 << ($iu::BITS - 1)))
            }
        })*
        $(impl Sortable for $f {
            const SHORT: bool = size_of::<$f>() <= 4;
            #[inline(always)]
            fn key(self) -> u64 {
                if self.is_nan() {
                    return u64::from($bits::MAX);
                }
                let b = self.to_bits();
                let sign = 1 << ($bits::BITS - 1);
                // Negative numbers turn around below the positive ones; both zeros meet.
                u64::from(if b == sign { sign } else if b & sign != 0 { !b } else { b | sign })
            }
        })*
    };
}
sortable!(
    unsigned: u8 u16 u32 u64;
    signed: i8 u8 i16 u16 i32 u32 i64 u64;
    float: f16 u16 bf16 u16 f32 u32 f64 u64
);

/// Key and position, packed so that one comparison orders both.
trait Packed: Ord + Copy {
    fn pack(key: u64, at: usize) -> Self;
    fn at(self) -> usize;
}
impl Packed for u64 {
    #[inline(always)]
    fn pack(key: u64, at: usize) -> u64 {
        key << 32 | at as u64
    }
    #[inline(always)]
    fn at(self) -> usize {
        (self & 0xffff_ffff) as usize
    }
}
impl Packed for (u64, usize) {
    #[inline(always)]
    fn pack(key: u64, at: usize) -> (u64, usize) {
        (key, at)
    }
    #[inline(always)]
    fn at(self) -> usize {
        self.1
    }
}

fn short<T: Sortable>(n: usize) -> bool {
    T::SHORT && u32::try_from(n).is_ok()
}

fn check<T>(x: &[T], n: usize, out: usize, per_row: usize) -> usize {
    assert!(
        x.is_empty() || (n > 0 && x.len().is_multiple_of(n)),
        "sort: {} elements do not make rows of {n}",
        x.len()
    );
    let rows = if x.is_empty() { 0 } else { x.len() / n };
    assert_eq!(out, rows * per_row, "sort: output does not fit {rows} rows");
    rows
}

/// The positions that put every row of `n` in ascending order.
pub fn argsort<T: Sortable>(x: &[T], n: usize, out: &mut [i64]) {
    let rows = check(x, n, out.len(), n);
    let out = Shared::new(out);
    ranges(rows, rows_per_chunk(8 * n), |start, end| {
        for r in start..end {
            // SAFETY: rows are disjoint.
            let out = unsafe { out.part(r * n, n) };
            let row = &x[r * n..(r + 1) * n];
            if short::<T>(n) { order::<T, u64>(row, out) } else { order::<T, (u64, usize)>(row, out) }
        }
    });
}

fn order<T: Sortable, P: Packed>(x: &[T], out: &mut [i64]) {
    let mut packed: Vec<P> = x.iter().enumerate().map(|(i, v)| P::pack(v.key(), i)).collect();
    packed.sort_unstable();
    for (y, p) in out.iter_mut().zip(packed) {
        *y = p.at() as i64;
    }
}

/// Every row of `n` in ascending order.
pub fn sort<T: Sortable>(x: &[T], n: usize, out: &mut [T]) {
    let rows = check(x, n, out.len(), n);
    let out = Shared::new(out);
    ranges(rows, rows_per_chunk(8 * n), |start, end| {
        for r in start..end {
            // SAFETY: rows are disjoint.
            let out = unsafe { out.part(r * n, n) };
            out.copy_from_slice(&x[r * n..(r + 1) * n]);
            // Stable, so that -0 and 0 keep their order as in argsort.
            out.sort_by_key(|v| v.key());
        }
    });
}

/// The `k` largest values of every row of `n`, largest first, and where they are; of equal values the first comes first.
/// Panics if `k > n`.
pub fn top_k<T: Sortable>(x: &[T], n: usize, k: usize, values: &mut [T], indices: &mut [i32]) {
    assert!(k <= n && i32::try_from(n).is_ok(), "top_k: expected k of at most {n}, received {k}");
    let rows = check(x, n, values.len(), k);
    assert_eq!(indices.len(), values.len(), "top_k: values and indices differ in length");
    if k == 0 {
        return;
    }
    let (values, indices) = (Shared::new(values), Shared::new(indices));
    ranges(rows, rows_per_chunk(4 * n), |start, end| {
        for r in start..end {
            // SAFETY: rows are disjoint.
            let (values, indices) = unsafe { (values.part(r * k, k), indices.part(r * k, k)) };
            let row = &x[r * n..(r + 1) * n];
            if short::<T>(n) {
                largest::<T, u64>(row, values, indices);
            } else {
                largest::<T, (u64, usize)>(row, values, indices);
            }
        }
    });
}

fn largest<T: Sortable, P: Packed>(x: &[T], values: &mut [T], indices: &mut [i32]) {
    let k = values.len();
    let top = if T::SHORT { u64::from(u32::MAX) } else { u64::MAX };
    // Keys turned around, so that ascending order is largest first and ties still go by position.
    let mut packed: Vec<P> = x.iter().enumerate().map(|(i, v)| P::pack(top - v.key(), i)).collect();
    if k < packed.len() {
        packed.select_nth_unstable(k - 1);
    }
    packed[..k].sort_unstable();
    for ((p, v), i) in packed.iter().zip(values).zip(indices) {
        *v = x[p.at()];
        *i = p.at() as i32;
    }
}

/// For every value the position at which it would be inserted into the ascending `sorted`: before equal values, or after
/// them with `right`.
pub fn search_sorted<T: Sortable>(sorted: &[T], values: &[T], right: bool, out: &mut [i64]) {
    assert_eq!(values.len(), out.len(), "search_sorted: values and output differ in length");
    let out = Shared::new(out);
    ranges(values.len(), 2048, |start, end| {
        // SAFETY: chunks are disjoint.
        let out = unsafe { out.part(start, end - start) };
        for (y, v) in out.iter_mut().zip(&values[start..end]) {
            let key = v.key();
            *y = sorted.partition_point(|s| if right { s.key() <= key } else { s.key() < key }) as i64;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_everything() {
        let (inf, nan) = (f32::INFINITY, f32::NAN);
        let x = [3.0, nan, -inf, 0.0, -0.0, -2.5, inf, 3.0];
        let mut at = [0; 8];
        argsort(&x, 8, &mut at);
        assert_eq!(at, [2, 5, 3, 4, 0, 7, 6, 1]);
        let mut y = [0.0; 8];
        sort(&x, 8, &mut y);
        assert!(y[..7].is_sorted() && y[7].is_nan());
        let x = [i64::MAX, -1, i64::MIN, 0, 5, 5];
        let mut at = [0; 6];
        argsort(&x, 3, &mut at);
        assert_eq!(at, [2, 1, 0, 0, 1, 2]);
        let mut y = [0; 6];
        sort(&x, 6, &mut y);
        assert_eq!(y, [i64::MIN, -1, 0, 5, 5, i64::MAX]);
        let mut h = [f16::ZERO; 3];
        sort(&[1.5, -3.0, 0.25].map(f16::from_f32), 3, &mut h);
        assert_eq!(h, [-3.0, 0.25, 1.5].map(f16::from_f32));
    }

    #[test]
    fn largest_few() {
        let x = [1.0f64, 7.0, 3.0, 7.0, -2.0, 0.0, 0.0, 9.0, 9.0, 1.0];
        let (mut v, mut i) = ([0.0; 6], [0; 6]);
        top_k(&x, 5, 3, &mut v, &mut i);
        assert_eq!((v, i), ([7.0, 7.0, 3.0, 9.0, 9.0, 1.0], [1, 3, 2, 2, 3, 4]));
        let (mut v, mut i) = ([0u8; 2], [0; 2]);
        top_k(&[4, 200, 7], 3, 2, &mut v, &mut i);
        assert_eq!((v, i), ([200, 7], [1, 2]));
    }

    #[test]
    fn insertion_points() {
        let mut y = [0; 4];
        search_sorted(&[1, 3, 3, 5], &[0, 3, 4, 9], false, &mut y);
        assert_eq!(y, [0, 1, 3, 4]);
        search_sorted(&[1, 3, 3, 5], &[0, 3, 4, 9], true, &mut y);
        assert_eq!(y, [0, 3, 3, 4]);
    }
}
