//! Running sums, products and extremes along the middle of [outer, n, inner].

use crate::isa::{Isa, Kernel, dispatch, level};
use crate::shared::{Shared, ranges, rows_per_chunk};
use half::{bf16, f16};

/// What accumulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scan {
    /// The sum so far (integers wrap).
    Sum,
    /// The product so far (integers wrap).
    Prod,
    /// The largest so far; NaN from the first NaN on.
    Max,
    /// The smallest so far; NaN from the first NaN on.
    Min,
    /// ln of the sum of e^x so far.
    LogSumExp,
}

impl Scan {
    /// The name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Scan::Sum => "cumsum",
            Scan::Prod => "cumprod",
            Scan::Max => "cummax",
            Scan::Min => "cummin",
            Scan::LogSumExp => "cumlogsumexp",
        }
    }

    /// The scan with this name.
    pub fn from_name(name: &str) -> Option<Scan> {
        use Scan::*;
        [Sum, Prod, Max, Min, LogSumExp].into_iter().find(|s| s.name() == name)
    }
}

/// Types that accumulate.
pub trait Scannable: Copy + Send + Sync + 'static {
    /// What the running value is kept in.
    #[doc(hidden)]
    type Total: Copy;
    /// The running value of one element.
    #[doc(hidden)]
    fn start(self) -> Self::Total;
    /// The running value after one more element.
    #[doc(hidden)]
    fn step(op: Scan, total: Self::Total, x: Self) -> Self::Total;
    /// The running value as an element.
    #[doc(hidden)]
    fn end(total: Self::Total) -> Self;
}

macro_rules! float_step {
    ($op:expr, $a:expr, $b:expr) => {{
        let (a, b) = ($a, $b);
        match $op {
            Scan::Sum => a + b,
            Scan::Prod => a * b,
            Scan::Max => {
                if a.is_nan() || a > b {
                    a
                } else {
                    b
                }
            }
            Scan::Min => {
                if a.is_nan() || a < b {
                    a
                } else {
                    b
                }
            }
            Scan::LogSumExp => {
                let high = if a.is_nan() || a > b { a } else { b };
                if high.is_infinite() { high } else { high + (-(a - b).abs()).exp().ln_1p() }
            }
        }
    }};
}

macro_rules! scannable_float {
    ($($t:ident)*) => {$(
        impl Scannable for $t {
            type Total = $t;
            #[inline(always)]
            fn start(self) -> $t { self }
            #[inline(always)]
            fn step(op: Scan, total: $t, x: $t) -> $t { float_step!(op, total, x) }
            #[inline(always)]
            fn end(total: $t) -> $t { total }
        }
    )*};
}
scannable_float!(f32 f64);

macro_rules! scannable_half {
    ($($t:ident)*) => {$(
        impl Scannable for $t {
            type Total = f32;
            #[inline(always)]
            fn start(self) -> f32 { self.to_f32() }
            #[inline(always)]
            fn step(op: Scan, total: f32, x: $t) -> f32 { float_step!(op, total, x.to_f32()) }
            #[inline(always)]
            fn end(total: f32) -> $t { $t::from_f32(total) }
        }
    )*};
}
scannable_half!(f16 bf16);

macro_rules! scannable_int {
    ($($t:ident)*) => {$(
        impl Scannable for $t {
            type Total = $t;
            #[inline(always)]
            fn start(self) -> $t { self }
            #[inline(always)]
            fn step(op: Scan, a: $t, b: $t) -> $t {
                match op {
                    Scan::Sum => a.wrapping_add(b),
                    Scan::Prod => a.wrapping_mul(b),
                    Scan::Max => a.max(b),
                    Scan::Min => a.min(b),
                    Scan::LogSumExp => f64::step(op, a as f64, b as f64) as $t,
                }
            }
            #[inline(always)]
            fn end(total: $t) -> $t { total }
        }
    )*};
}
scannable_int!(u8 u16 u32 u64 i8 i16 i32 i64);

/// `out[o, k, i] = op of x[o, 0..=k, i]`, or of `x[o, k.., i]` if `reverse`; `dims = [outer, n, inner]`. Panics if the
/// lengths do not fit.
pub fn scan<T: Scannable>(op: Scan, x: &[T], dims: [usize; 3], reverse: bool, out: &mut [T]) {
    let [outer, n, inner] = dims;
    assert!(
        x.len() == outer * n * inner && out.len() == x.len(),
        "{}: {} and {} elements do not fit {dims:?}",
        op.name(),
        x.len(),
        out.len()
    );
    if x.is_empty() {
        return;
    }
    // Columns are independent: wide ones are cut into strips so that few outer indices still fill the threads.
    let strip = inner.min(256);
    let strips = inner.div_ceil(strip);
    let l = level();
    let shared = Shared::new(out);
    ranges(outer * strips, rows_per_chunk(n * strip), |start, end| {
        for unit in start..end {
            let (o, left) = (unit / strips, unit % strips * strip);
            let width = strip.min(inner - left);
            let at = |k: usize| (o * n + if reverse { n - 1 - k } else { k }) * inner + left;
            // SAFETY: units write different columns; every row part is taken once at a time.
            let row = |k: usize| unsafe { shared.part(at(k), width) };
            dispatch(l, Strip { op, n, width, input: |k: usize| &x[at(k)..at(k) + width], row });
        }
    });
}

struct Strip<I, R> {
    op: Scan,
    n: usize,
    width: usize,
    input: I,
    row: R,
}

impl<'a, T: Scannable, I: Fn(usize) -> &'a [T], R: Fn(usize) -> &'a mut [T]> Kernel for Strip<I, R> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Strip { op, n, width, input, row } = self;
        if width == 1 {
            let mut total = input(0)[0].start();
            row(0)[0] = T::end(total);
            for k in 1..n {
                total = T::step(op, total, input(k)[0]);
                row(k)[0] = T::end(total);
            }
            return;
        }
        let mut totals: Vec<T::Total> = input(0).iter().map(|v| v.start()).collect();
        for k in 0..n {
            let (x, y) = (input(k), row(k));
            if k > 0 {
                for (t, &v) in totals.iter_mut().zip(x) {
                    *t = T::step(op, *t, v);
                }
            }
            for (y, &t) in y.iter_mut().zip(&totals) {
                *y = T::end(t);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans() {
        let x = [1, 2, 3, 4, 5, 6];
        let mut y = [0; 6];
        scan(Scan::Sum, &x, [1, 6, 1], false, &mut y);
        assert_eq!(y, [1, 3, 6, 10, 15, 21]);
        scan(Scan::Sum, &x, [2, 3, 1], true, &mut y);
        assert_eq!(y, [6, 5, 3, 15, 11, 6]);
        scan(Scan::Prod, &x, [1, 3, 2], false, &mut y);
        assert_eq!(y, [1, 2, 3, 8, 15, 48]);
        scan(Scan::Max, &[3, 1, 4, 1, 5, 9], [1, 6, 1], false, &mut y);
        assert_eq!(y, [3, 3, 4, 4, 5, 9]);
        let mut f = [0f32; 3];
        scan(Scan::Min, &[2.0, f32::NAN, 1.0], [1, 3, 1], false, &mut f);
        assert!(f[0] == 2.0 && f[1].is_nan() && f[2].is_nan());
        scan(Scan::LogSumExp, &[f32::NEG_INFINITY, 1000.0, 1000.0], [1, 3, 1], false, &mut f);
        assert!(f[0] == f32::NEG_INFINITY && f[1] == 1000.0 && (f[2] - 1_000.693_1).abs() < 1e-3);
    }

    #[test]
    fn wide_and_many() {
        let dims = [3, 50, 700];
        let x: Vec<f64> = (0..dims.iter().product()).map(|i: usize| (i % 17) as f64).collect();
        for reverse in [false, true] {
            let mut y = vec![0.0; x.len()];
            scan(Scan::Sum, &x, dims, reverse, &mut y);
            for (o, i) in [(0, 0), (1, 255), (2, 256), (2, 699)] {
                let mut total = 0.0;
                for k in 0..50 {
                    let k = if reverse { 49 - k } else { k };
                    total += x[(o * 50 + k) * 700 + i];
                    assert_eq!(y[(o * 50 + k) * 700 + i], total);
                }
            }
        }
    }
}
