//! Normalisation: over rows (layer norm, root-mean-square norm) and over channels of [rows, c] (batch norm).
//!
//! Sums over rows are taken in pieces of a size fixed by the shape and added up in float64.

use crate::isa::{Float, Isa, Kernel, Lanes, dispatch, level, prefetch, prefetch_to_write, written_past};
use crate::lanes::round_bfloat16;
use crate::shared::{Shared, ranges, rows_per_chunk};

/// Rows that go through every stage together: each waits at the end of a sum for the last additions, a root and a
/// division, and meanwhile the others use the processor.
const TOGETHER: usize = 4;

/// Bytes of a result from which on it is written past the caches: whoever reads it would not find it there anyway, and memory
/// need not be read before it is written.
const PAST: usize = 32 << 20;
/// Bytes of the widest vectors.
const VECTOR: usize = 64;

/// Bytes before a write that its cache line is asked for: the processor itself looks ahead within a page only.
const WRITE_AHEAD: usize = 4096;

/// How many rows of `n` that is: no more than a first-level cache keeps between the stages, of `arrays` arrays.
fn together<T>(n: usize, arrays: usize) -> usize {
    const ROOM: usize = 32 << 10;
    (ROOM / (arrays * n * size_of::<T>()).max(1)).clamp(1, TOGETHER)
}

/// The sum over a row of `n`, in four sums that do not wait for each other.
///
/// # Safety
/// The row has `n` terms.
#[inline(always)]
unsafe fn row_sum<V: Lanes, F: RowTerm<V>>(n: usize, f: F) -> V::T {
    use crate::isa::Real;
    let mut sums = [V::splat(V::T::ZERO); 4];
    let mut i = 0;
    // SAFETY: pieces end at or before n.
    unsafe {
        while i + 4 * V::N <= n {
            for k in 0..4 {
                sums[k] = sums[k] + f.term::<true>(i + k * V::N, V::N);
            }
            i += 4 * V::N;
        }
        while i + V::N <= n {
            sums[0] = sums[0] + f.term::<true>(i, V::N);
            i += V::N;
        }
        if i < n {
            sums[1] = sums[1] + f.term::<false>(i, n - i);
        }
    }
    ((sums[0] + sums[1]) + (sums[2] + sums[3])).sum()
}

/// One term of a row sum: `width` lanes from `at` on, a whole vector if `WHOLE`. Absent lanes come out as zero.
trait RowTerm<V: Lanes> {
    /// # Safety
    /// The row has these lanes.
    unsafe fn term<const WHOLE: bool>(&self, at: usize, width: usize) -> V;
}

struct Plain<T>(*const T);
struct CentredSquare<T>(*const T, T);
struct Gained<T>(*const T, Option<*const T>);
struct GainedTimesHat<T>(Gained<T>, *const T, T, T);

impl<V: Lanes> RowTerm<V> for Plain<V::T> {
    #[inline(always)]
    unsafe fn term<const WHOLE: bool>(&self, i: usize, w: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe { fetch::<V, WHOLE>(self.0.add(i), w) }
    }
}
impl<V: Lanes> RowTerm<V> for CentredSquare<V::T> {
    #[inline(always)]
    unsafe fn term<const WHOLE: bool>(&self, i: usize, w: usize) -> V {
        let m = V::splat(self.1);
        // SAFETY: the caller's promise.
        let x = unsafe { fetch::<V, WHOLE>(self.0.add(i), w) };
        let d = if WHOLE { x } else { x.first(w, m) } - m;
        d * d
    }
}
impl<V: Lanes> RowTerm<V> for Gained<V::T> {
    #[inline(always)]
    unsafe fn term<const WHOLE: bool>(&self, i: usize, w: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let dy = fetch::<V, WHOLE>(self.0.add(i), w);
            match self.1 {
                Some(g) => dy * fetch::<V, WHOLE>(g.add(i), w),
                None => dy,
            }
        }
    }
}
impl<V: Lanes> RowTerm<V> for GainedTimesHat<V::T> {
    #[inline(always)]
    unsafe fn term<const WHOLE: bool>(&self, i: usize, w: usize) -> V {
        // SAFETY: the caller's promise. Absent lanes of dy are zero.
        unsafe {
            let g: V = self.0.term::<WHOLE>(i, w);
            g * ((fetch::<V, WHOLE>(self.1.add(i), w) - V::splat(self.2)) * V::splat(self.3))
        }
    }
}

/// Normalises every row of `n`: `y = (x - mean) rstd gamma + beta` with `rstd = 1 / sqrt(var + eps)`. Without
/// `centre` the mean is taken as zero (root-mean-square norm). `mean` and `rstd` get one value per row.
pub fn layer_norm<T: Float>(
    x: &[T],
    n: usize,
    gamma: Option<&[T]>,
    beta: Option<&[T]>,
    eps: T,
    centre: bool,
    y: &mut [T],
    mean: &mut [T],
    rstd: &mut [T],
) {
    let rows = mean.len();
    assert!(
        x.len() == rows * n && y.len() == x.len() && rstd.len() == rows,
        "layer_norm: {} elements do not make {rows} rows of {n}",
        x.len()
    );
    for p in [gamma, beta].into_iter().flatten() {
        assert_eq!(p.len(), n, "layer_norm: gamma and beta have one value per column");
    }
    // Every row begins at the alignment of the widest vectors and consists of whole ones.
    let aligned = (y.as_ptr() as usize | (n * size_of::<T>())).is_multiple_of(VECTOR);
    let past = size_of_val(y) >= PAST && aligned;
    let (y, mean, rstd) = (Shared::new(y), Shared::new(mean), Shared::new(rstd));
    ranges(rows, rows_per_chunk(n), |start, end| {
        // SAFETY: chunks are disjoint.
        let (y, mean, rstd) = unsafe {
            (
                y.part(start * n, (end - start) * n),
                mean.part(start, end - start),
                rstd.part(start, end - start),
            )
        };
        let x = &x[start * n..end * n];
        dispatch(level(), LayerNorm { x, n, gamma, beta, eps, centre, past, y, mean, rstd });
    });
}

struct LayerNorm<'a, T> {
    x: &'a [T],
    n: usize,
    gamma: Option<&'a [T]>,
    beta: Option<&'a [T]>,
    eps: T,
    centre: bool,
    /// Results go past the caches.
    past: bool,
    y: &'a mut [T],
    mean: &'a mut [T],
    rstd: &'a mut [T],
}

impl<T: Float> Kernel for LayerNorm<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let LayerNorm { x, n, gamma, beta, eps, centre, past, y, mean, rstd } = self;
        let count = T::of(n as f64);
        let (gamma, beta) = (gamma.map(|g| g.as_ptr()), beta.map(|b| b.as_ptr()));
        let together = together::<T>(n, 1);
        for top in (0..mean.len()).step_by(together) {
            let rows = together.min(mean.len() - top);
            let (mut m, mut s) = ([T::ZERO; TOGETHER], [T::ZERO; TOGETHER]);
            // SAFETY: rows of n values exist in x and y, and n values in gamma and beta.
            unsafe {
                let (x, y) = (x.as_ptr().add(top * n), y.as_mut_ptr().add(top * n));
                if centre {
                    for k in 0..rows {
                        m[k] = row_sum::<T::V<S>, _>(n, Plain(x.add(k * n))) / count;
                    }
                }
                for k in 0..rows {
                    let var = row_sum::<T::V<S>, _>(n, CentredSquare(x.add(k * n), m[k])) / count;
                    s[k] = T::ONE / (var + eps).sqrt();
                }
                for k in 0..rows {
                    let row =
                        Row { x: x.add(k * n), n, ahead: together * n, mean: m[k], rstd: s[k], gamma, beta };
                    if past {
                        row.normalize_past::<T::V<S>>(y.add(k * n));
                    } else {
                        row.normalize::<T::V<S>>(y.add(k * n));
                    }
                }
            }
            mean[top..top + rows].copy_from_slice(&m[..rows]);
            rstd[top..top + rows].copy_from_slice(&s[..rows]);
        }
        if past {
            written_past();
        }
    }
}

/// A row of a layer norm, and how far ahead of it the row lies that has its turn next.
struct Row<T> {
    x: *const T,
    n: usize,
    ahead: usize,
    mean: T,
    rstd: T,
    gamma: Option<*const T>,
    beta: Option<*const T>,
}

impl<T: Float> Row<T> {
    /// # Safety
    /// `n` values at every pointer.
    #[inline(always)]
    unsafe fn normalize<V: Lanes<T = T>>(&self, y: *mut T) {
        let mut i = 0;
        // SAFETY: passed on.
        unsafe {
            while i + V::N <= self.n {
                prefetch(self.x.wrapping_add(self.ahead + i));
                prefetch_to_write(y.wrapping_byte_add(WRITE_AHEAD).wrapping_add(i));
                self.vector::<V, true>(i, V::N).store(y.add(i));
                i += V::N;
            }
            if i < self.n {
                self.vector::<V, false>(i, self.n - i).store_partial(y.add(i), self.n - i);
            }
        }
    }

    /// The same, past the caches. The processor looks ahead by itself here: asking for lines takes places from those that are
    /// on their way.
    ///
    /// # Safety
    /// `n` values at every pointer, a multiple of all vectors; `y` is aligned to any.
    #[inline(always)]
    unsafe fn normalize_past<V: Lanes<T = T>>(&self, y: *mut T) {
        for i in (0..self.n).step_by(V::N) {
            // SAFETY: passed on.
            unsafe { self.vector::<V, true>(i, V::N).store_past(y.add(i)) };
        }
    }

    /// # Safety
    /// `w` values from `i` on at every pointer.
    #[inline(always)]
    unsafe fn vector<V: Lanes<T = T>, const WHOLE: bool>(&self, i: usize, w: usize) -> V {
        // SAFETY: the caller's promise.
        unsafe {
            let hat = (fetch::<V, WHOLE>(self.x.add(i), w) - V::splat(self.mean)) * V::splat(self.rstd);
            match (self.gamma, self.beta) {
                (Some(g), Some(b)) => hat.fma(fetch::<V, WHOLE>(g.add(i), w), fetch::<V, WHOLE>(b.add(i), w)),
                (Some(g), None) => hat * fetch::<V, WHOLE>(g.add(i), w),
                (None, Some(b)) => hat + fetch::<V, WHOLE>(b.add(i), w),
                (None, None) => hat,
            }
        }
    }
}

/// The gradients of [`layer_norm`]: with `hat = (x - mean) rstd` and `g = dy gamma`,
/// `dx = rstd (g - mean(g) - hat mean(g hat))` (without `mean(g)` unless `centre`), `dgamma = sum of dy hat` and
/// `dbeta = sum of dy` over the rows.
pub fn layer_norm_grad<T: Float>(
    x: &[T],
    dy: &[T],
    n: usize,
    gamma: Option<&[T]>,
    mean: &[T],
    rstd: &[T],
    centre: bool,
    dx: &mut [T],
    dgamma: &mut [T],
    dbeta: &mut [T],
) {
    let rows = mean.len();
    assert!(
        x.len() == rows * n
            && dy.len() == x.len()
            && dx.len() == x.len()
            && rstd.len() == rows
            && gamma.is_none_or(|g| g.len() == n)
            && dgamma.len() == n
            && dbeta.len() == n,
        "layer_norm_grad: lengths do not fit {rows} rows of {n}"
    );
    let tall = rows_per_chunk(n).max(16);
    let pieces = rows.div_ceil(tall);
    let mut sums = vec![T::ZERO; pieces * 2 * n];
    let (out, shared) = (Shared::new(dx), Shared::new(&mut sums));
    ranges(pieces, 1, |first, last| {
        for p in first..last {
            let (start, end) = (p * tall, ((p + 1) * tall).min(rows));
            // SAFETY: pieces are disjoint.
            let (dx, sums) =
                unsafe { (out.part(start * n, (end - start) * n), shared.part(p * 2 * n, 2 * n)) };
            let (dgamma, dbeta) = sums.split_at_mut(n);
            let (x, dy) = (&x[start * n..end * n], &dy[start * n..end * n]);
            let (mean, rstd) = (&mean[start..end], &rstd[start..end]);
            dispatch(level(), LayerNormGrad { x, dy, n, gamma, mean, rstd, centre, dx, dgamma, dbeta });
        }
    });
    for j in 0..n {
        let (mut g, mut b) = (0.0, 0.0);
        for p in 0..pieces {
            g += sums[p * 2 * n + j].f64();
            b += sums[p * 2 * n + n + j].f64();
        }
        (dgamma[j], dbeta[j]) = (T::of(g), T::of(b));
    }
}

struct LayerNormGrad<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    n: usize,
    gamma: Option<&'a [T]>,
    mean: &'a [T],
    rstd: &'a [T],
    centre: bool,
    dx: &'a mut [T],
    dgamma: &'a mut [T],
    dbeta: &'a mut [T],
}

impl<T: Float> Kernel for LayerNormGrad<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let LayerNormGrad { x, dy, n, gamma, mean, rstd, centre, dx, dgamma, dbeta } = self;
        let count = T::of(n as f64);
        let gamma = gamma.map(|g| g.as_ptr());
        let (dgamma, dbeta) = (dgamma.as_mut_ptr(), dbeta.as_mut_ptr());
        let together = together::<T>(n, 2);
        for top in (0..mean.len()).step_by(together) {
            let rows = together.min(mean.len() - top);
            let zero = [T::ZERO; TOGETHER];
            let mut few = Rows { n, gamma, mean: zero, rstd: zero, g_mean: zero, h_mean: zero };
            few.mean[..rows].copy_from_slice(&mean[top..top + rows]);
            few.rstd[..rows].copy_from_slice(&rstd[top..top + rows]);
            // SAFETY: rows of n values exist in x, dy and dx, and n values in gamma, dgamma and dbeta.
            unsafe {
                let (x, dy) = (x.as_ptr().add(top * n), dy.as_ptr().add(top * n));
                let dx = dx.as_mut_ptr().add(top * n);
                for k in 0..rows {
                    let (x, dy) = (x.add(k * n), dy.add(k * n));
                    if centre {
                        few.g_mean[k] = row_sum::<T::V<S>, _>(n, Gained(dy, gamma)) / count;
                    }
                    let hat = GainedTimesHat(Gained(dy, gamma), x, few.mean[k], few.rstd[k]);
                    few.h_mean[k] = row_sum::<T::V<S>, _>(n, hat) / count;
                }
                for k in 0..rows {
                    few.row::<T::V<S>>(k, x.add(k * n), dy.add(k * n), together * n, dx.add(k * n));
                }
                match rows {
                    4 => few.sums::<T::V<S>, 4>(x, dy, dgamma, dbeta),
                    3 => few.sums::<T::V<S>, 3>(x, dy, dgamma, dbeta),
                    2 => few.sums::<T::V<S>, 2>(x, dy, dgamma, dbeta),
                    _ => few.sums::<T::V<S>, 1>(x, dy, dgamma, dbeta),
                }
            }
        }
    }
}

/// What the gradient of some rows of a layer norm needs of each row.
struct Rows<T> {
    n: usize,
    gamma: Option<*const T>,
    mean: [T; TOGETHER],
    rstd: [T; TOGETHER],
    g_mean: [T; TOGETHER],
    h_mean: [T; TOGETHER],
}

impl<T: Float> Rows<T> {
    /// The gradient of the input in row `k`; what lies `ahead` of it is fetched.
    ///
    /// # Safety
    /// `n` values at every pointer.
    #[inline(always)]
    unsafe fn row<V: Lanes<T = T>>(&self, k: usize, x: *const T, dy: *const T, ahead: usize, dx: *mut T) {
        let mut i = 0;
        // SAFETY: passed on.
        unsafe {
            while i + V::N <= self.n {
                prefetch(x.wrapping_add(ahead + i));
                prefetch(dy.wrapping_add(ahead + i));
                self.vector::<V, true>(k, i, x, dy, dx);
                i += V::N;
            }
            if i < self.n {
                self.vector::<V, false>(k, i, x, dy, dx);
            }
        }
    }

    /// A vector of it, from column `i` on.
    ///
    /// # Safety
    /// As `row`.
    #[inline(always)]
    unsafe fn vector<V: Lanes<T = T>, const WHOLE: bool>(
        &self,
        k: usize,
        i: usize,
        x: *const T,
        dy: *const T,
        dx: *mut T,
    ) {
        let w = self.n - i;
        let (m, s) = (V::splat(self.mean[k]), V::splat(self.rstd[k]));
        // SAFETY: the caller's promise.
        unsafe {
            let g: V = Gained(dy, self.gamma).term::<WHOLE>(i, w);
            let hat = (fetch::<V, WHOLE>(x.add(i), w) - m) * s;
            let v = s * (-hat).fma(V::splat(self.h_mean[k]), g - V::splat(self.g_mean[k]));
            send::<V, WHOLE>(v, dx.add(i), w);
        }
    }

    /// Adds what `R` rows contribute to the gradients of gamma and beta, which are read and written once for all.
    ///
    /// # Safety
    /// `R` rows of `n` values at x and dy, `n` values at the others.
    #[inline(always)]
    unsafe fn sums<V: Lanes<T = T>, const R: usize>(
        &self,
        x: *const T,
        dy: *const T,
        dgamma: *mut T,
        dbeta: *mut T,
    ) {
        let mut i = 0;
        // SAFETY: passed on.
        unsafe {
            while i + V::N <= self.n {
                self.column::<V, R, true>(i, x.add(i), dy.add(i), dgamma.add(i), dbeta.add(i));
                i += V::N;
            }
            if i < self.n {
                self.column::<V, R, false>(i, x.add(i), dy.add(i), dgamma.add(i), dbeta.add(i));
            }
        }
    }

    /// A vector of columns from `i` on, which is where the pointers point.
    ///
    /// # Safety
    /// As `sums`.
    #[inline(always)]
    unsafe fn column<V: Lanes<T = T>, const R: usize, const WHOLE: bool>(
        &self,
        i: usize,
        x: *const T,
        dy: *const T,
        dgamma: *mut T,
        dbeta: *mut T,
    ) {
        let (n, w) = (self.n, self.n - i);
        // SAFETY: the caller's promise.
        unsafe {
            let (mut gain, mut shift) = (fetch::<V, WHOLE>(dgamma, w), fetch::<V, WHOLE>(dbeta, w));
            for k in 0..R {
                let d = fetch::<V, WHOLE>(dy.add(k * n), w);
                let hat =
                    (fetch::<V, WHOLE>(x.add(k * n), w) - V::splat(self.mean[k])) * V::splat(self.rstd[k]);
                gain = d.fma(hat, gain);
                shift = shift + d;
            }
            send::<V, WHOLE>(gain, dgamma, w);
            send::<V, WHOLE>(shift, dbeta, w);
        }
    }
}

/// Rows between two visits to the float64 totals of a channel sum.
const ROWS: usize = 64;
/// Rows that meet the values of some channels before the next channels: few, so that memory is still read in order.
const BLOCK_ROWS: usize = 8;

/// What a relu behind batch norm let through: channels are positive where `(x - mean) scale + offset` is.
#[derive(Clone, Copy, Debug)]
pub struct Gate<'a, T> {
    /// The factor of every channel.
    pub scale: &'a [T],
    /// The addend of every channel.
    pub offset: &'a [T],
}

/// The two sums over rows that a channel kernel takes: of a and b, where
/// - statistics: a = x - m, b = (x - m)^2;
/// - gradient (with dy): a = dy, b = dy (x - m), with dy taken as zero where the gate is shut.
struct ChannelSums<'a, T> {
    x: &'a [T],
    dy: Option<&'a [T]>,
    gate: Option<Gate<'a, T>>,
    c: usize,
    m: &'a [T],
    sums: &'a mut [f64],
}

impl<T: Float> Kernel for ChannelSums<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let ChannelSums { x, dy, gate, c, m, sums } = self;
        let width = <T::V<S> as Lanes>::N;
        let rows = x.len() / c;
        let (first, second) = sums.split_at_mut(c);
        for top in (0..rows).step_by(ROWS) {
            let rows = top..(top + ROWS).min(rows);
            let mut left = 0;
            while left < c {
                let at = SumsAt { x, dy, gate, c, m, rows: rows.clone(), left };
                // SAFETY: the channels from `left` on that are named exist.
                let done = unsafe {
                    if left + 4 * width <= c {
                        at.sums::<T::V<S>, 4, true>(first, second)
                    } else if left + width <= c {
                        at.sums::<T::V<S>, 1, true>(first, second)
                    } else {
                        at.sums::<T::V<S>, 1, false>(first, second)
                    }
                };
                left += done;
            }
        }
    }
}

/// Some rows, channels from `left` on.
struct SumsAt<'a, T> {
    x: &'a [T],
    dy: Option<&'a [T]>,
    gate: Option<Gate<'a, T>>,
    c: usize,
    m: &'a [T],
    rows: std::ops::Range<usize>,
    left: usize,
}

impl<T: Float> SumsAt<'_, T> {
    /// Adds the sums of `K` vectors of channels; returns how many channels that were.
    #[inline(always)]
    unsafe fn sums<V: Lanes<T = T>, const K: usize, const WHOLE: bool>(
        &self,
        first: &mut [f64],
        second: &mut [f64],
    ) -> usize {
        let zero = V::splat(T::ZERO);
        let n = if WHOLE { K * V::N } else { self.c - self.left };
        let (mut a, mut b, mut m) = ([zero; K], [zero; K], [zero; K]);
        let (mut scale, mut offset) = ([zero; K], [zero; K]);
        // SAFETY: `K` vectors (or the rest) of channels from `left` on exist in every row.
        unsafe {
            for k in 0..K {
                let at = self.left + k * V::N;
                m[k] = fetch::<V, WHOLE>(self.m.as_ptr().add(at), n);
                if let Some(gate) = self.gate {
                    scale[k] = fetch::<V, WHOLE>(gate.scale.as_ptr().add(at), n);
                    offset[k] = fetch::<V, WHOLE>(gate.offset.as_ptr().add(at), n);
                }
            }
            let start = self.rows.start * self.c + self.left;
            let mut x = self.x.as_ptr().add(start);
            match self.dy {
                None => {
                    for _ in self.rows.clone() {
                        for k in 0..K {
                            let d = fetch::<V, WHOLE>(x.add(k * V::N), n) - m[k];
                            a[k] = a[k] + d;
                            b[k] = d.fma(d, b[k]);
                        }
                        x = x.wrapping_add(self.c);
                    }
                }
                Some(dy) => {
                    let mut dy = dy.as_ptr().add(start);
                    for _ in self.rows.clone() {
                        for k in 0..K {
                            let d = fetch::<V, WHOLE>(x.add(k * V::N), n) - m[k];
                            let mut u = fetch::<V, WHOLE>(dy.add(k * V::N), n);
                            if self.gate.is_some() {
                                u = V::select(d.fma(scale[k], offset[k]).gt(zero), u, zero);
                            }
                            a[k] = a[k] + u;
                            b[k] = u.fma(d, b[k]);
                        }
                        x = x.wrapping_add(self.c);
                        dy = dy.wrapping_add(self.c);
                    }
                }
            }
        }
        for k in 0..K {
            let (a, b) = (a[k].to_array(), b[k].to_array());
            for i in 0..(n - k * V::N).min(V::N) {
                first[self.left + k * V::N + i] += a[i].f64();
                second[self.left + k * V::N + i] += b[i].f64();
            }
        }
        n
    }
}

/// A vector, or its first `n` lanes.
#[inline(always)]
unsafe fn fetch<V: Lanes, const WHOLE: bool>(p: *const V::T, n: usize) -> V {
    // SAFETY: the caller's promise.
    unsafe { if WHOLE { V::load(p) } else { V::load_partial(p, n) } }
}

/// Writes a vector, or its first `n` lanes.
#[inline(always)]
unsafe fn send<V: Lanes, const WHOLE: bool>(v: V, p: *mut V::T, n: usize) {
    // SAFETY: the caller's promise.
    unsafe { if WHOLE { v.store(p) } else { v.store_partial(p, n) } }
}

fn tall(c: usize) -> usize {
    rows_per_chunk(c).max(ROWS)
}

/// Mean and (biased) variance of every channel of `x` = [rows, c], in one pass over memory: every piece is shifted by
/// its own first row, and pieces join by the formula of Chan, Golub and LeVeque.
pub fn channel_moments<T: Float>(x: &[T], c: usize, mean: &mut [T], var: &mut [T]) {
    assert!(
        mean.len() == c && var.len() == c && (c == 0 || x.len().is_multiple_of(c)),
        "channel_moments: {} elements do not make rows of {c}",
        x.len()
    );
    if c == 0 {
        return;
    }
    let (rows, tall) = (x.len() / c, tall(c));
    let pieces = rows.div_ceil(tall);
    let mut sums = vec![0.0; pieces * 2 * c];
    let shared = Shared::new(&mut sums);
    ranges(pieces, 1, |a, b| {
        for p in a..b {
            // SAFETY: pieces are disjoint.
            let sums = unsafe { shared.part(p * 2 * c, 2 * c) };
            let x = &x[p * tall * c..((p + 1) * tall).min(rows) * c];
            dispatch(level(), ChannelSums { x, dy: None, gate: None, c, m: &x[..c], sums });
        }
    });
    for j in 0..c {
        let (mut count, mut mu, mut square) = (0.0, 0.0, 0.0);
        for p in 0..pieces {
            let k = (((p + 1) * tall).min(rows) - p * tall) as f64;
            let shift = x[p * tall * c + j].f64();
            let (a, b) = (sums[p * 2 * c + j], sums[p * 2 * c + c + j]);
            let (piece_mean, piece_square) = (shift + a / k, b - a * a / k);
            let gap = piece_mean - mu;
            let all = count + k;
            mu += gap * k / all;
            square += piece_square + gap * gap * count * k / all;
            count = all;
        }
        mean[j] = T::of(if rows == 0 { f64::NAN } else { mu });
        var[j] = T::of((square / count).max(0.0) + if rows == 0 { f64::NAN } else { 0.0 });
    }
}

/// What every channel is multiplied with: `gamma / sqrt(var + epsilon)`, without gamma 1 in its place.
pub fn channel_factors<T: Float>(gamma: Option<&[T]>, var: &[T], epsilon: T) -> Vec<T> {
    var.iter().enumerate().map(|(j, &v)| gamma.map_or(T::ONE, |g| g[j]) / (v + epsilon).sqrt()).collect()
}

/// `y = (x - mean) scale + offset` with one value per channel, and zero for negative results if `relu`; rounded to
/// bfloat16 if `rounded`.
pub fn channel_normalize<T: Float>(
    x: &[T],
    mean: &[T],
    scale: &[T],
    offset: &[T],
    relu: bool,
    rounded: bool,
    y: &mut [T],
) {
    let c = mean.len();
    assert!(
        x.len() == y.len() && scale.len() == c && offset.len() == c && (c == 0 || x.len().is_multiple_of(c)),
        "channel_normalize: lengths do not fit {c} channels"
    );
    affine(x, None, None, mean, scale, scale, offset, (relu, rounded), y);
}

/// Sums over rows for the gradient of batch norm: `sum_dy = sum(dy)` and `sum_dyx = sum(dy (x - mean))`, of what the gate
/// lets through.
pub fn channel_grad_sums<T: Float>(
    x: &[T],
    dy: &[T],
    mean: &[T],
    gate: Option<Gate<'_, T>>,
    sum_dy: &mut [T],
    sum_dyx: &mut [T],
) {
    let c = mean.len();
    assert!(
        x.len() == dy.len()
            && sum_dy.len() == c
            && sum_dyx.len() == c
            && gate.is_none_or(|g| g.scale.len() == c && g.offset.len() == c)
            && (c == 0 || x.len().is_multiple_of(c)),
        "channel_grad_sums: lengths do not fit {c} channels"
    );
    if c == 0 {
        return;
    }
    let (rows, tall) = (x.len() / c, tall(c));
    let pieces = rows.div_ceil(tall);
    let mut sums = vec![0.0; pieces * 2 * c];
    let shared = Shared::new(&mut sums);
    ranges(pieces, 1, |a, b| {
        for p in a..b {
            // SAFETY: pieces are disjoint.
            let sums = unsafe { shared.part(p * 2 * c, 2 * c) };
            let at = p * tall * c..((p + 1) * tall).min(rows) * c;
            dispatch(level(), ChannelSums { x: &x[at.clone()], dy: Some(&dy[at]), gate, c, m: mean, sums });
        }
    });
    for j in 0..c {
        sum_dy[j] = T::of((0..pieces).map(|p| sums[p * 2 * c + j]).sum());
        sum_dyx[j] = T::of((0..pieces).map(|p| sums[p * 2 * c + c + j]).sum());
    }
}

/// The gradient of batch norm from its sums: `dx = a dy + b (x - mean) + d` with one value per channel, where for batch
/// statistics over `r` rows `a = gamma rstd`, `b = -a rstd^2 sum_dyx / r` and `d = -a sum_dy / r`; dy counts as zero where
/// the gate is shut. The result is rounded to bfloat16 if `rounded`.
pub fn channel_grad<T: Float>(
    x: &[T],
    dy: &[T],
    mean: &[T],
    [a, b, d]: [&[T]; 3],
    gate: Option<Gate<'_, T>>,
    rounded: bool,
    dx: &mut [T],
) {
    let c = mean.len();
    assert!(
        x.len() == dx.len() && x.len() == dy.len() && a.len() == c && b.len() == c && d.len() == c,
        "channel_grad: lengths do not fit {c} channels"
    );
    assert!(
        c == 0 || x.len().is_multiple_of(c),
        "channel_grad: {} elements do not make rows of {c}",
        x.len()
    );
    affine(x, Some(dy), gate, mean, a, b, d, (false, rounded), dx);
}

/// `y = a dy + b (x - m) + d`, the first term only if there is a dy; then relu, then rounding to bfloat16.
fn affine<T: Float>(
    x: &[T],
    dy: Option<&[T]>,
    gate: Option<Gate<'_, T>>,
    m: &[T],
    a: &[T],
    b: &[T],
    d: &[T],
    (relu, rounded): (bool, bool),
    y: &mut [T],
) {
    let c = m.len();
    if c == 0 {
        return;
    }
    assert!(gate.is_none_or(|g| g.scale.len() == c && g.offset.len() == c));
    let rows = x.len() / c;
    let out = Shared::new(y);
    ranges(rows, rows_per_chunk(c), |start, end| {
        let at = start * c..end * c;
        // SAFETY: chunks are disjoint.
        let y = unsafe { out.part(at.start, at.len()) };
        let (x, dy) = (&x[at.clone()], dy.map(|dy| &dy[at]));
        dispatch(level(), Affine { x, dy, gate, m, a, b, d, relu, rounded, y });
    });
}

struct Affine<'a, T> {
    x: &'a [T],
    dy: Option<&'a [T]>,
    gate: Option<Gate<'a, T>>,
    m: &'a [T],
    a: &'a [T],
    b: &'a [T],
    d: &'a [T],
    relu: bool,
    rounded: bool,
    y: &'a mut [T],
}

impl<T: Float> Kernel for Affine<'_, T> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(mut self) {
        let (c, width) = (self.m.len(), <T::V<S> as Lanes>::N);
        let y = std::mem::take(&mut self.y);
        let (rows, y) = (y.len() / c, y.as_mut_ptr());
        for top in (0..rows).step_by(BLOCK_ROWS) {
            let rows = top..(top + BLOCK_ROWS).min(rows);
            let mut i = 0;
            // SAFETY: rows of c channels exist in x, dy and y, and c values per channel in the vectors.
            unsafe {
                while i + 4 * width <= c {
                    self.block::<T::V<S>, 4, true>(rows.clone(), i, 0, y);
                    i += 4 * width;
                }
                while i + width <= c {
                    self.block::<T::V<S>, 1, true>(rows.clone(), i, 0, y);
                    i += width;
                }
                if i < c {
                    self.block::<T::V<S>, 1, false>(rows, i, c - i, y);
                }
            }
        }
    }
}

impl<T: Float> Affine<'_, T> {
    /// Some rows of `K` vectors of channels from `i` on (or of `n` channels): what belongs to channels stays in registers.
    #[inline(always)]
    unsafe fn block<V: Lanes<T = T>, const K: usize, const WHOLE: bool>(
        &self,
        rows: std::ops::Range<usize>,
        i: usize,
        n: usize,
        y: *mut T,
    ) {
        let (c, zero) = (self.m.len(), V::splat(T::ZERO));
        macro_rules! of {
            ($v:expr) => {{
                let mut values = [zero; K];
                for k in 0..K {
                    // SAFETY: passed on.
                    values[k] = unsafe { fetch::<V, WHOLE>($v.as_ptr().add(i + k * V::N), n) };
                }
                values
            }};
        }
        let (m, a, b, d) = (of!(self.m), of!(self.a), of!(self.b), of!(self.d));
        let (mut scale, mut offset) = ([zero; K], [zero; K]);
        if let Some(gate) = self.gate {
            (scale, offset) = (of!(gate.scale), of!(gate.offset));
        }
        for row in rows {
            for k in 0..K {
                let at = row * c + i + k * V::N;
                // SAFETY: passed on.
                unsafe {
                    let hat = fetch::<V, WHOLE>(self.x.as_ptr().add(at), n) - m[k];
                    let mut v = hat.fma(b[k], d[k]);
                    if let Some(dy) = self.dy {
                        let mut u = fetch::<V, WHOLE>(dy.as_ptr().add(at), n);
                        if self.gate.is_some() {
                            u = V::select(hat.fma(scale[k], offset[k]).gt(zero), u, zero);
                        }
                        v = u.fma(a[k], v);
                    }
                    if self.relu {
                        v = v.max_nan(zero);
                    }
                    if self.rounded {
                        v = round_bfloat16(v);
                    }
                    send::<V, WHOLE>(v, y.add(at), n);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(n: usize, seed: usize) -> Vec<f64> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f64 / 500.0 - 1.0).collect()
    }

    fn close(a: f64, b: f64, tolerance: f64) {
        assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{a} is not {b}");
    }

    #[test]
    fn layer_norm_and_gradient() {
        for (rows, n, centre) in [(3, 5, true), (40, 33, true), (4, 1000, true), (7, 17, false)] {
            let (x, dy, gamma, beta) = (data(rows * n, 1), data(rows * n, 2), data(n, 3), data(n, 4));
            let value = |x: &[f64], gamma: &[f64], beta: &[f64]| {
                let (mut y, mut m, mut s) = (vec![0.0; rows * n], vec![0.0; rows], vec![0.0; rows]);
                layer_norm(x, n, Some(gamma), Some(beta), 1e-3, centre, &mut y, &mut m, &mut s);
                let total: f64 = y.iter().zip(&dy).map(|(a, b)| a * b).sum();
                (y, m, s, total)
            };
            let (y, m, s, _) = value(&x, &gamma, &beta);
            let row = &x[..n];
            let mu = if centre { row.iter().sum::<f64>() / n as f64 } else { 0.0 };
            let var = row.iter().map(|v| (v - mu) * (v - mu)).sum::<f64>() / n as f64;
            for j in 0..n {
                close(y[j], (x[j] - mu) / (var + 1e-3).sqrt() * gamma[j] + beta[j], 1e-13);
            }
            let (mut dx, mut dg, mut db) = (vec![0.0; rows * n], vec![0.0; n], vec![0.0; n]);
            layer_norm_grad(&x, &dy, n, Some(&gamma), &m, &s, centre, &mut dx, &mut dg, &mut db);
            let h = 1e-6;
            for i in [0, 1, n - 1, rows * n - 1] {
                let (mut up, mut down) = (x.clone(), x.clone());
                up[i] += h;
                down[i] -= h;
                close(dx[i], (value(&up, &gamma, &beta).3 - value(&down, &gamma, &beta).3) / (2.0 * h), 2e-7);
                let j = i % n;
                let (mut up, mut down) = (gamma.clone(), gamma.clone());
                up[j] += h;
                down[j] -= h;
                close(dg[j], (value(&x, &up, &beta).3 - value(&x, &down, &beta).3) / (2.0 * h), 2e-7);
                close(db[j], (0..rows).map(|r| dy[r * n + j]).sum(), 1e-13);
            }
        }
    }

    #[test]
    fn results_beyond_the_caches() {
        // As many rows as are written past the caches, and the same in parts that are not.
        let n = 512;
        let rows = PAST / size_of::<f32>() / n;
        let x: Vec<f32> = (0..rows * n).map(|i| (i * 37 % 1009) as f32 * 0.01).collect();
        let gamma: Vec<f32> = (0..n).map(|i| 1.0 + i as f32 * 0.001).collect();
        let norm = |x: &[f32], y: &mut [f32]| {
            let (mut m, mut s) = (vec![0.0; x.len() / n], vec![0.0; x.len() / n]);
            layer_norm(x, n, Some(&gamma), None, 1e-3, true, y, &mut m, &mut s);
        };
        let mut room = vec![0.0; rows * n + 16];
        let first = room.as_ptr().cast::<u8>().align_offset(64) / size_of::<f32>();
        let past = &mut room[first..][..rows * n];
        norm(&x, past);
        let mut part = vec![0.0; 100 * n];
        for (x, past) in x.chunks(part.len()).zip(past.chunks(part.len())).step_by(7) {
            norm(x, &mut part[..x.len()]);
            assert!(part[..x.len()] == *past);
        }
    }

    #[test]
    fn moments_do_not_cancel() {
        for (rows, c) in [(1, 3), (7, 9), (3000, 5), (200, 700)] {
            // Far from zero: the naive formula would lose everything in float32.
            let x: Vec<f32> = data(rows * c, 5).iter().map(|&v| (1000.0 + v) as f32).collect();
            let (mut mean, mut var) = (vec![0f32; c], vec![0f32; c]);
            channel_moments(&x, c, &mut mean, &mut var);
            for j in 0..c {
                let col: Vec<f64> = (0..rows).map(|r| f64::from(x[r * c + j])).collect();
                let mu = col.iter().sum::<f64>() / rows as f64;
                let v = col.iter().map(|v| (v - mu) * (v - mu)).sum::<f64>() / rows as f64;
                close(f64::from(mean[j]), mu, 1e-7);
                assert!((f64::from(var[j]) - v).abs() <= 1e-5 * v.max(1e-9), "{} {v}", var[j]);
            }
        }
    }

    #[test]
    fn batch_norm_gradient() {
        let (rows, c) = (50, 11);
        let (x, dy, gamma) = (data(rows * c, 6), data(rows * c, 7), data(c, 8));
        let beta = data(c, 9);
        let value = |x: &[f64]| {
            let (mut mean, mut var, mut y) = (vec![0.0; c], vec![0.0; c], vec![0.0; rows * c]);
            channel_moments(x, c, &mut mean, &mut var);
            let scale: Vec<f64> = var.iter().zip(&gamma).map(|(v, g)| g / (v + 1e-3).sqrt()).collect();
            channel_normalize(x, &mean, &scale, &beta, false, false, &mut y);
            (mean, var, y.iter().zip(&dy).map(|(a, b)| a * b).sum::<f64>())
        };
        let (mean, var, _) = value(&x);
        let (mut s1, mut s2) = (vec![0.0; c], vec![0.0; c]);
        channel_grad_sums(&x, &dy, &mean, None, &mut s1, &mut s2);
        let rstd: Vec<f64> = var.iter().map(|v| 1.0 / (v + 1e-3).sqrt()).collect();
        let a: Vec<f64> = rstd.iter().zip(&gamma).map(|(s, g)| s * g).collect();
        let n = rows as f64;
        let b: Vec<f64> = (0..c).map(|j| -a[j] * rstd[j] * rstd[j] * s2[j] / n).collect();
        let d: Vec<f64> = (0..c).map(|j| -a[j] * s1[j] / n).collect();
        let mut dx = vec![0.0; rows * c];
        channel_grad(&x, &dy, &mean, [&a, &b, &d], None, false, &mut dx);
        for i in [0, 5, 300, rows * c - 1] {
            let (mut up, mut down) = (x.clone(), x.clone());
            up[i] += 1e-6;
            down[i] -= 1e-6;
            close(dx[i], (value(&up).2 - value(&down).2) / 2e-6, 1e-6);
        }
    }

    /// A gate and a relu inside of the passes give the bits that separate passes give, at every odd number of channels.
    #[test]
    fn relu_inside() {
        for (rows, c) in [(70, 5), (200, 64), (33, 100), (9, 17)] {
            let single = |seed| data(rows * c, seed).iter().map(|&v| v as f32).collect::<Vec<_>>();
            let vector = |seed| data(c, seed).iter().map(|&v| v as f32).collect::<Vec<_>>();
            let (x, dy) = (single(1), single(2));
            let (mean, scale, offset) = (vector(3), vector(4), vector(5));
            let (mut y, mut with) = (x.clone(), x.clone());
            channel_normalize(&x, &mean, &scale, &offset, false, false, &mut y);
            channel_normalize(&x, &mean, &scale, &offset, true, false, &mut with);
            assert!(y.iter().zip(&with).all(|(a, b)| a.max(0.0) == *b));
            let masked: Vec<f32> = dy.iter().zip(&y).map(|(&d, &y)| if y > 0.0 { d } else { 0.0 }).collect();
            let gate = Some(Gate { scale: &scale, offset: &offset });
            let sums = |dy: &[f32], gate| {
                let (mut a, mut b) = (vec![0.0; c], vec![0.0; c]);
                channel_grad_sums(&x, dy, &mean, gate, &mut a, &mut b);
                (a, b)
            };
            assert_eq!(sums(&masked, None), sums(&dy, gate));
            let grad = |dy: &[f32], gate| {
                let mut dx = x.clone();
                channel_grad(&x, dy, &mean, [&scale, &offset, &mean], gate, false, &mut dx);
                dx
            };
            assert_eq!(grad(&masked, None), grad(&dy, gate));
        }
    }
}
