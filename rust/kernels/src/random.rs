//! Random numbers by Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
//!
//! Every element is a function of (key, counter, its index) alone, so neither threads nor the instruction set have
//! any influence. Numbers are made 16 blocks of four words at a time; word w of block b of a group becomes element
//! 16 w + b of the group, which needs no shuffling of vectors.

use crate::isa::{Float, Isa, Kernel, Lanes, dispatch, level};
use crate::lanes;
use crate::shared::{GRAIN, Shared, ranges};

/// The stream to draw from. Calls with the same state draw the same numbers; a caller moves on by adding 1 to the
/// counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State {
    /// The seed.
    pub key: u64,
    /// Which stream of the seed.
    pub counter: u64,
}

/// Blocks that are made together.
const WIDE: usize = 16;
/// The words of a group: four rows of one word per block.
type Words = [[u32; WIDE]; 4];

/// Group `g` of the stream: blocks `16 g .. 16 g + 16`.
#[inline(always)]
fn words(state: State, group: u64) -> Words {
    let first = group.wrapping_mul(WIDE as u64);
    let mut c: Words = [[0; WIDE]; 4];
    for b in 0..WIDE {
        let index = first.wrapping_add(b as u64);
        c[0][b] = index as u32;
        c[1][b] = (index >> 32) as u32;
        c[2][b] = state.counter as u32;
        c[3][b] = (state.counter >> 32) as u32;
    }
    let (mut k0, mut k1) = (state.key as u32, (state.key >> 32) as u32);
    for _ in 0..10 {
        let mut d: Words = [[0; WIDE]; 4];
        for b in 0..WIDE {
            let p = u64::from(c[0][b]) * 0xd251_1f53;
            let q = u64::from(c[2][b]) * 0xcd9e_8d57;
            d[0][b] = (q >> 32) as u32 ^ c[1][b] ^ k0;
            d[1][b] = q as u32;
            d[2][b] = (p >> 32) as u32 ^ c[3][b] ^ k1;
            d[3][b] = p as u32;
        }
        c = d;
        k0 = k0.wrapping_add(0x9e37_79b9);
        k1 = k1.wrapping_add(0xbb67_ae85);
    }
    c
}

/// How a group of words becomes elements.
trait Law: Sync {
    type Out: Copy + Default + Send;
    /// Elements per group, at most 64.
    const PER: usize;
    fn make<S: Isa>(&self, w: &Words, out: &mut [Self::Out; 64]);
}

struct Fill<'a, L: Law>(&'a L, State, u64, &'a mut [L::Out]);

impl<L: Law> Kernel for Fill<'_, L> {
    type Out = ();
    #[inline(always)]
    fn run<S: Isa>(self) {
        let Fill(law, state, first, out) = self;
        let mut made = [L::Out::default(); 64];
        for (i, out) in out.chunks_mut(L::PER).enumerate() {
            law.make::<S>(&words(state, first + i as u64), &mut made);
            out.copy_from_slice(&made[..out.len()]);
        }
    }
}

fn fill<L: Law>(law: &L, state: State, out: &mut [L::Out]) {
    let n = out.len();
    let groups = n.div_ceil(L::PER);
    let l = level();
    let shared = Shared::new(out);
    ranges(groups, GRAIN / 2 / L::PER, |start, end| {
        let (a, b) = (start * L::PER, (end * L::PER).min(n));
        // SAFETY: chunks are disjoint.
        let out = unsafe { shared.part(a, b - a) };
        dispatch(l, Fill(law, state, start as u64, out));
    });
}

/// A float in [0, 1) from one word (float32: 24 bits) or two (float64: 53 bits).
trait Unit: Float {
    const PER: usize;
    /// Into the first `PER` elements.
    fn unit(w: &Words, out: &mut [Self; 64]);
    /// Pairs for the Box-Muller transform: `PER / 2` numbers in (0, 1] and as many angles.
    fn polar(w: &Words, radius: &mut [Self; 32], angle: &mut [Self; 32]);
    /// A standard normal number between -2 and 2 from a number in [0, 1), by the inverse of the distribution.
    fn truncated<V: Lanes<T = Self>>(u: V) -> V;
}

impl Unit for f32 {
    const PER: usize = 64;
    #[inline(always)]
    fn unit(w: &Words, out: &mut [f32; 64]) {
        for r in 0..4 {
            for b in 0..WIDE {
                out[r * WIDE + b] = (w[r][b] >> 8) as i32 as f32 * (1.0 / 16_777_216.0);
            }
        }
    }
    #[inline(always)]
    fn polar(w: &Words, radius: &mut [f32; 32], angle: &mut [f32; 32]) {
        for r in 0..2 {
            for b in 0..WIDE {
                // All 32 bits, so that the tail reaches beyond 6.5 standard deviations.
                let high = (w[r][b] >> 16) as i32 as f32;
                let low = (w[r][b] & 0xffff) as i32 as f32 + 0.5;
                radius[r * WIDE + b] = high.mul_add(1.0 / 65_536.0, low * (1.0 / 4_294_967_296.0));
                angle[r * WIDE + b] =
                    (w[r + 2][b] >> 8) as i32 as f32 * (std::f32::consts::TAU / 16_777_216.0);
            }
        }
    }
    #[inline(always)]
    fn truncated<V: Lanes<T = f32>>(u: V) -> V {
        // sqrt(2) erfinv(v) for |v| <= erf(sqrt(2)): v times a polynomial in -ln(1 - v^2), which stays below 2.43.
        const C: [f64; 9] = [
            0.8862269255326751,
            0.23201366112756014,
            0.01154940493058539,
            -0.0023353953119223487,
            -0.00012732731652529745,
            4.558766128996682e-05,
            2.9224207543810368e-06,
            -1.5042911910512826e-06,
            1.189560594283002e-07,
        ];
        let v = (u + u - V::splat(1.0)) * lanes::constant(ERF_ROOT_2);
        let w = -lanes::log((-v).fma(v, V::splat(1.0)));
        let y = lanes::polynomial(w, &C) * v * lanes::constant(std::f64::consts::SQRT_2);
        V::splat(2.0).min(V::splat(-2.0).max(y))
    }
}

/// erf(sqrt(2)): the probability of less than two standard deviations.
const ERF_ROOT_2: f64 = 0.9544997361036416;

impl Unit for f64 {
    const PER: usize = 32;
    #[inline(always)]
    fn unit(w: &Words, out: &mut [f64; 64]) {
        for r in 0..2 {
            for b in 0..WIDE {
                let bits = u64::from(w[r][b]) << 21 | u64::from(w[r + 2][b] >> 11);
                out[r * WIDE + b] = bits as f64 * (1.0 / 9_007_199_254_740_992.0);
            }
        }
    }
    #[inline(always)]
    fn polar(w: &Words, radius: &mut [f64; 32], angle: &mut [f64; 32]) {
        let mut u = [0.0; 64];
        f64::unit(w, &mut u);
        for b in 0..WIDE {
            radius[b] = 1.0 - u[b];
            angle[b] = u[WIDE + b] * std::f64::consts::TAU;
        }
    }
    #[inline(always)]
    fn truncated<V: Lanes<T = f64>>(u: V) -> V {
        let v = (u + u - V::splat(1.0)) * V::splat(ERF_ROOT_2);
        let y = v.map(|v| lanes::erf_inv(v) * std::f64::consts::SQRT_2);
        V::splat(2.0).min(V::splat(-2.0).max(y))
    }
}

/// Types of random floats: f32 and f64.
#[allow(private_bounds)] // sealed
pub trait RandomFloat: Unit {}
impl RandomFloat for f32 {}
impl RandomFloat for f64 {}

/// Applies `f` to the first `n` (a multiple of 16) elements.
#[inline(always)]
fn vectors<V: Lanes, F: LaneFn>(f: &F, x: &mut [V::T], n: usize) {
    let mut i = 0;
    while i < n {
        let p = &mut x[i..i + V::N];
        // SAFETY: p has N elements.
        unsafe { f.apply(V::load(p.as_ptr())).store(p.as_mut_ptr()) };
        i += V::N;
    }
}

/// A function of lanes with parameters.
trait LaneFn {
    fn apply<V: Lanes>(&self, x: V) -> V;
}

/// `low + u (high - low)`, kept below `high`.
struct Stretch(f64, f64);
impl LaneFn for Stretch {
    #[inline(always)]
    fn apply<V: Lanes>(&self, u: V) -> V {
        u.fma(lanes::constant(self.1 - self.0), lanes::constant(self.0))
    }
}

struct Uniform<T>(T, T);
impl<T: Unit> Law for Uniform<T> {
    type Out = T;
    const PER: usize = T::PER;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [T; 64]) {
        T::unit(w, out);
        let (low, high) = (self.0, self.1);
        if low != T::ZERO || high != T::ONE {
            vectors::<T::V<S>, _>(&Stretch(low.f64(), high.f64()), &mut out[..], T::PER);
            for v in &mut out[..T::PER] {
                // Rounding may reach the end that does not belong to the interval.
                if *v >= high {
                    *v = low;
                }
            }
        }
    }
}

struct Normal<T>(T, T);
impl<T: Unit> Law for Normal<T> {
    type Out = T;
    const PER: usize = T::PER;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [T; 64]) {
        let (mut radius, mut angle) = ([T::ZERO; 32], [T::ZERO; 32]);
        T::polar(w, &mut radius, &mut angle);
        let half = T::PER / 2;
        let n = <T::V<S> as Lanes>::N;
        let (mean, std) = (<T::V<S> as Lanes>::splat(self.0), <T::V<S> as Lanes>::splat(self.1));
        let mut i = 0;
        while i < half {
            // SAFETY: i + N <= half, which is a multiple of 16.
            unsafe {
                let u = <T::V<S> as Lanes>::load(radius[i..i + n].as_ptr());
                let a = <T::V<S> as Lanes>::load(angle[i..i + n].as_ptr());
                let r = (lanes::log(u) * lanes::constant(-2.0)).sqrt();
                (r * lanes::cos(a)).fma(std, mean).store(out[i..i + n].as_mut_ptr());
                (r * lanes::sin(a)).fma(std, mean).store(out[half + i..half + i + n].as_mut_ptr());
            }
            i += n;
        }
    }
}

struct Truncated<T>(T, T);
impl<T: Unit> Law for Truncated<T> {
    type Out = T;
    const PER: usize = T::PER;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [T; 64]) {
        T::unit(w, out);
        let n = <T::V<S> as Lanes>::N;
        let (mean, std) = (<T::V<S> as Lanes>::splat(self.0), <T::V<S> as Lanes>::splat(self.1));
        for p in out[..T::PER].chunks_exact_mut(n) {
            // SAFETY: p has N elements.
            unsafe {
                let u = <T::V<S> as Lanes>::load(p.as_ptr());
                T::truncated(u).fma(std, mean).store(p.as_mut_ptr());
            }
        }
    }
}

/// `value` with probability p (given in 2^-32), else zero.
struct Coin<T>(u64, T);
impl<T: Copy + Default + Send + Sync> Law for Coin<T> {
    type Out = T;
    const PER: usize = 64;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [T; 64]) {
        let (threshold, value) = (self.0, self.1);
        if threshold >= 1 << 32 {
            out.fill(value);
            return;
        }
        let threshold = threshold as u32;
        for r in 0..4 {
            for b in 0..WIDE {
                out[r * WIDE + b] = if w[r][b] < threshold { value } else { T::default() };
            }
        }
    }
}

/// Integers `low + word * range / 2^32`.
struct Narrow(i64, u64);
impl Law for Narrow {
    type Out = i64;
    const PER: usize = 64;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [i64; 64]) {
        for r in 0..4 {
            for b in 0..WIDE {
                out[r * WIDE + b] = self.0.wrapping_add(((u64::from(w[r][b]) * self.1) >> 32) as i64);
            }
        }
    }
}

/// Integers from two words, for ranges beyond 2^32.
struct Broad(i64, u64);
impl Law for Broad {
    type Out = i64;
    const PER: usize = 32;
    #[inline(always)]
    fn make<S: Isa>(&self, w: &Words, out: &mut [i64; 64]) {
        for r in 0..2 {
            for b in 0..WIDE {
                let word = u64::from(w[r][b]) << 32 | u64::from(w[r + 2][b]);
                let part = (u128::from(word) * u128::from(self.1)) >> 64;
                out[r * WIDE + b] = self.0.wrapping_add(part as i64);
            }
        }
    }
}

/// Evenly distributed over [low, high).
pub fn uniform<T: RandomFloat>(state: State, low: T, high: T, out: &mut [T]) {
    fill(&Uniform(low, high), state, out);
}

/// Normally distributed (Box-Muller).
pub fn normal<T: RandomFloat>(state: State, mean: T, std: T, out: &mut [T]) {
    fill(&Normal(mean, std), state, out);
}

/// Normally distributed within two standard deviations (of the normal distribution that is cut).
pub fn truncated_normal<T: RandomFloat>(state: State, mean: T, std: T, out: &mut [T]) {
    fill(&Truncated(mean, std), state, out);
}

/// `value` with probability `p`, zero otherwise: 1 for a Bernoulli mask, `1 / p` for the factors of dropout.
pub fn bernoulli<T: Copy + Default + Send + Sync>(state: State, p: f64, value: T, out: &mut [T]) {
    fill(&Coin((p.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64, value), state, out);
}

/// Elements per group of [`coins`].
pub(crate) const COIN: usize = <Coin<f32> as Law>::PER;

/// [`bernoulli`] from group `first` of the stream on, inside of another kernel.
#[inline(always)]
pub(crate) fn coins<T: Copy + Default + Send + Sync, S: Isa>(
    state: State,
    p: f64,
    value: T,
    first: u64,
    out: &mut [T],
) {
    let law = Coin((p.clamp(0.0, 1.0) * 4_294_967_296.0).round() as u64, value);
    Fill(&law, state, first, out).run::<S>();
}

/// Integers evenly distributed over [low, high); all `low` if that is empty.
pub fn integers(state: State, low: i64, high: i64, out: &mut [i64]) {
    let range = if high > low { high.wrapping_sub(low) as u64 } else { 1 };
    if range <= 1 << 32 {
        fill(&Narrow(low, range), state, out);
    } else {
        fill(&Broad(low, range), state, out);
    }
}

/// A random order of `0..out.len()` (Fisher and Yates).
pub fn permutation(state: State, out: &mut [i64]) {
    for (i, v) in out.iter_mut().enumerate() {
        *v = i as i64;
    }
    let mut group = Words::default();
    for i in (1..out.len()).rev() {
        // Two words per step, 32 steps per group.
        let step = out.len() - 1 - i;
        let (r, b) = (step % 32 / WIDE, step % WIDE);
        if step.is_multiple_of(32) {
            group = words(state, (step / 32) as u64);
        }
        let word = u64::from(group[r][b]) << 32 | u64::from(group[r + 2][b]);
        let j = ((u128::from(word) * (i as u128 + 1)) >> 64) as usize;
        out.swap(i, j);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Real;

    const STATE: State = State { key: 0x0123_4567_89ab_cdef, counter: 7 };

    /// The known answers of the reference implementation: all-zero and all-one inputs.
    #[test]
    fn known_answers() {
        let w = words(State { key: 0, counter: 0 }, 0);
        assert_eq!(
            [w[0][0], w[1][0], w[2][0], w[3][0]],
            [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]
        );
        // Block 2^64 - 1 is the last of group 2^60 - 1.
        let w = words(State { key: u64::MAX, counter: u64::MAX }, (1 << 60) - 1);
        let b = WIDE - 1;
        assert_eq!(
            [w[0][b], w[1][b], w[2][b], w[3][b]],
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
    }

    /// Numbers depend on their index only: a short fill is the beginning of a long one.
    #[test]
    fn prefixes_agree() {
        let (mut long, mut short) = (vec![0f32; 100_003], vec![0f32; 1001]);
        normal(STATE, 0.0, 1.0, &mut long);
        normal(STATE, 0.0, 1.0, &mut short);
        assert_eq!(long[..1001], short);
        for l in crate::isa::levels() {
            let mut out = vec![0f32; 1001];
            dispatch(l, Fill(&Normal(0.0, 1.0), STATE, 0, &mut out));
            assert_eq!(out, short, "{}", l.name());
            let mut a = vec![0f64; 101];
            let mut b = vec![0f64; 101];
            dispatch(l, Fill(&Truncated(0.0, 1.0), STATE, 0, &mut a));
            truncated_normal(STATE, 0.0, 1.0, &mut b);
            assert_eq!(a, b, "{}", l.name());
        }
        let mut other = vec![0f32; 1001];
        normal(State { counter: 8, ..STATE }, 0.0, 1.0, &mut other);
        assert!(other.iter().zip(&short).filter(|(a, b)| a == b).count() < 3);
    }

    fn moments<T: Real>(x: &[T]) -> (f64, f64) {
        let n = x.len() as f64;
        let mean = x.iter().map(|v| v.f64()).sum::<f64>() / n;
        (mean, x.iter().map(|v| (v.f64() - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn distributions() {
        fn check<T: RandomFloat>() {
            // The standard error of the mean of 400 000 numbers is 0.0016 standard deviations.
            let mut x = vec![T::ZERO; 400_000];
            uniform(STATE, T::ZERO, T::ONE, &mut x);
            assert!(x.iter().all(|&v| v >= T::ZERO && v < T::ONE));
            let (m, v) = moments(&x);
            assert!((m - 0.5).abs() < 2e-3 && (v - 1.0 / 12.0).abs() < 1e-3, "{m} {v}");
            uniform(STATE, T::of(-2.0), T::of(4.0), &mut x);
            assert!(x.iter().all(|&v| v >= T::of(-2.0) && v < T::of(4.0)));
            assert!((moments(&x).0 - 1.0).abs() < 0.01);
            normal(STATE, T::of(3.0), T::of(2.0), &mut x);
            let (m, v) = moments(&x);
            assert!((m - 3.0).abs() < 0.013 && (v - 4.0).abs() < 0.04, "{m} {v}");
            let beyond = x.iter().filter(|v| (v.f64() - 3.0).abs() > 4.0).count() as f64 / 4e5;
            assert!((beyond - 0.0455).abs() < 0.002, "{beyond}");
            truncated_normal(STATE, T::ZERO, T::ONE, &mut x);
            assert!(x.iter().all(|v| v.f64().abs() <= 2.0));
            let (m, v) = moments(&x);
            // The variance of the normal distribution cut at two standard deviations.
            assert!(m.abs() < 5e-3 && (v - 0.773_741).abs() < 5e-3, "{m} {v}");
        }
        check::<f32>();
        check::<f64>();
        let mut mask = vec![0u8; 400_000];
        bernoulli(STATE, 0.3, 1, &mut mask);
        let share = mask.iter().map(|&b| f64::from(b)).sum::<f64>() / 4e5;
        assert!((share - 0.3).abs() < 4e-3, "{share}");
        let mut keep = vec![0f32; 100];
        bernoulli(STATE, 1.0, 2.0, &mut keep);
        assert!(keep.iter().all(|&v| v == 2.0));
    }

    #[test]
    fn whole_numbers() {
        let mut x = vec![0; 60_000];
        integers(STATE, -3, 3, &mut x);
        for v in -3..3 {
            let share = x.iter().filter(|&&w| w == v).count() as f64 / 6e4;
            assert!((share - 1.0 / 6.0).abs() < 0.01);
        }
        integers(STATE, i64::MIN, i64::MAX, &mut x);
        assert!((x.iter().filter(|&&v| v < 0).count() as f64 / 6e4 - 0.5).abs() < 0.01);
        let mut p = vec![0; 1000];
        permutation(STATE, &mut p);
        assert!(!p.is_sorted());
        p.sort_unstable();
        assert!(p.iter().enumerate().all(|(i, &v)| i as i64 == v));
    }
}
