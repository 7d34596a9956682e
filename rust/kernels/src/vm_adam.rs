//! Adam's chain in one loop: the chain machine would pass seven times over each tile, and most of the time would go into
//! exact division and root where these are slow.
//!
//! m' = m + (g - m) c₁, v' = v + (g² - v) c₂, w' = w - m' a / (√v' + ε)

use crate::isa::{Float, Isa, Kernel, Lanes, Level, dispatch, divides_slowly};
use crate::lanes::round_bfloat16;
use crate::map::{Binary, Unary};
use crate::vm::Step;

/// Where the parts of Adam stand in a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adam {
    /// The inputs: gradient, first moment, second moment, weight.
    pub(crate) inputs: [usize; 4],
    /// The outputs: first moment, second moment, weight.
    pub(crate) outputs: [usize; 3],
    /// The steps that make c₁, c₂, a and ε, the same for every element.
    pub(crate) uniforms: [usize; 4],
    /// The gradient is rounded to bfloat16 first.
    pub(crate) rounded: bool,
}

/// The parts, if the steps are Adam's and nothing else.
pub(crate) fn recognise(steps: &[Step], uniform: &[bool]) -> Option<Adam> {
    use Binary::{Add, Div, Mul, Sub};
    let binary = |i: usize, f: Binary| match steps[i] {
        Step::Binary(g, a, b) if f == g => Some((a, b)),
        _ => None,
    };
    let load = |i: usize| match steps[i] {
        Step::Load(k) if !uniform[i] => Some(k),
        _ => None,
    };
    // (something that varies) * (something uniform), either way round.
    let scaled = |i: usize| {
        let (a, b) = binary(i, Mul)?;
        match (uniform[a], uniform[b]) {
            (false, true) => Some((a, b)),
            (true, false) => Some((b, a)),
            _ => None,
        }
    };
    // old + (new - old) * c, either way round: (new, old, c).
    let mean = |i: usize| {
        let (a, b) = binary(i, Add)?;
        [(a, b), (b, a)].into_iter().find_map(|(old, change)| {
            let (difference, c) = scaled(change)?;
            let (new, subtracted) = binary(difference, Sub)?;
            (subtracted == old).then_some((new, load(old)?, c))
        })
    };
    let mut stores = [None; 3];
    let mut found = 0;
    for step in steps {
        if let Step::Store { output, value } = *step {
            *stores.get_mut(found)? = Some((output, value));
            found += 1;
        }
    }
    let stores = stores.into_iter().collect::<Option<Vec<_>>>()?;
    let varying =
        (0..steps.len()).filter(|&i| !uniform[i] && !matches!(steps[i], Step::Store { .. })).count();
    stores.iter().find_map(|&(weight, w)| {
        let (old, change) = binary(w, Sub)?;
        let (top, bottom) = binary(change, Div)?;
        let (m, a) = scaled(top)?;
        let (x, y) = binary(bottom, Add)?;
        let (root, epsilon) = if uniform[y] { (x, y) } else { (y, x) };
        let Step::Unary(Unary::Sqrt, v) = steps[root] else { return None };
        let (g, old_m, c1) = mean(m)?;
        let (square, old_v, c2) = mean(v)?;
        let Step::Unary(Unary::Square, same) = steps[square] else { return None };
        let output = |value| stores.iter().find(|s| s.1 == value).map(|s| s.0);
        let (gradient, rounded) = match steps[g] {
            Step::Unary(Unary::Bfloat16, x) => (x, true),
            _ => (g, false),
        };
        // Nothing else besides.
        let whole = varying == 16 + usize::from(rounded);
        (whole && same == g && uniform[epsilon]).then_some(Adam {
            inputs: [load(gradient)?, old_m, old_v, load(old)?],
            outputs: [output(m)?, output(v)?, weight],
            uniforms: [c1, c2, a, epsilon],
            rounded,
        })
    })
}

/// One tile.
///
/// # Safety
/// All pointers are valid for `n` values; those written coincide with ones read or are disjoint from them.
pub(crate) unsafe fn update<T: Float>(
    l: Level,
    read: [*const T; 4],
    write: [*mut T; 3],
    by: [T; 4],
    rounded: bool,
    n: usize,
) {
    dispatch(l, Update { read, write, by, rounded, newton: divides_slowly(), n })
}

struct Update<T> {
    read: [*const T; 4],
    write: [*mut T; 3],
    by: [T; 4],
    rounded: bool,
    newton: bool,
    n: usize,
}

impl<T: Float> Kernel for Update<T> {
    type Out = ();

    #[inline(always)]
    fn run<S: Isa>(self) {
        let [c1, c2, a, epsilon] = self.by.map(T::V::<S>::splat);
        let lanes = <T::V<S> as Lanes>::N;
        let mut i = 0;
        // SAFETY: the promise of `update`; all is read before anything is written at the same place.
        unsafe {
            while i + lanes <= self.n {
                let [mut g, m, v, w] = self.read.map(|p| T::V::<S>::load(p.add(i)));
                if self.rounded {
                    g = round_bfloat16(g);
                }
                let y = step(g, m, v, w, c1, c2, a, epsilon, self.newton);
                for (p, y) in self.write.into_iter().zip(y) {
                    y.store(p.add(i));
                }
                i += lanes;
            }
            if i < self.n {
                let rest = self.n - i;
                let [mut g, m, v, w] = self.read.map(|p| T::V::<S>::load_partial(p.add(i), rest));
                if self.rounded {
                    g = round_bfloat16(g);
                }
                let y = step(g, m, v, w, c1, c2, a, epsilon, self.newton);
                for (p, y) in self.write.into_iter().zip(y) {
                    y.store_partial(p.add(i), rest);
                }
            }
        }
    }
}

#[inline(always)]
fn step<V: Lanes>(g: V, m: V, v: V, w: V, c1: V, c2: V, a: V, epsilon: V, newton: bool) -> [V; 3] {
    let m = m + (g - m) * c1;
    let v = v + (g * g - v) * c2;
    let change = if newton { (m * a).over_root(v, epsilon) } else { m * a / (v.sqrt() + epsilon) };
    [m, v, w - change]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::levels;

    /// The formula in float64.
    fn exact(x: [f64; 4], by: [f64; 4]) -> [f64; 3] {
        let ([g, m, v, w], [c1, c2, a, epsilon]) = (x, by);
        let (m, v) = (m + (g - m) * c1, v + (g * g - v) * c2);
        [m, v, w - m * a / (v.sqrt() + epsilon)]
    }

    #[test]
    fn it_is_the_formula_for_every_size_of_gradient() {
        let n = 16 * 40 + 5;
        let by = [0.1f32, 0.001, 0.0031, 1e-7];
        for level in levels() {
            let g: Vec<f32> =
                (0..n)
                    .map(|i| {
                        if i % 7 == 0 {
                            0.0
                        } else {
                            (i as f32 * 0.37).sin() * 10f32.powi(i as i32 % 48 - 30)
                        }
                    })
                    .collect();
            let (mut m, mut v, mut w) = (vec![0f32; n], vec![0f32; n], vec![0.5f32; n]);
            for _ in 0..5 {
                let before: Vec<[f64; 4]> = (0..n).map(|i| [g[i], m[i], v[i], w[i]].map(f64::from)).collect();
                let write = [m.as_mut_ptr(), v.as_mut_ptr(), w.as_mut_ptr()];
                let read = [g.as_ptr(), write[0].cast_const(), write[1].cast_const(), write[2].cast_const()];
                // SAFETY: four vectors of n values.
                unsafe { update(level, read, write, by, false, n) };
                for i in 0..n {
                    let want = exact(before[i], by.map(f64::from));
                    for (k, (got, want)) in [m[i], v[i], w[i]].into_iter().zip(want).enumerate() {
                        if k == 1 && want > f64::from(f32::MAX) {
                            continue;
                        }
                        let near = (f64::from(got) - want).abs()
                            <= 3e-7 * want.abs() + 1e-9 * f64::from(u8::from(k == 2)) + 1e-44;
                        assert!(near, "{} element {i}, part {k}: {got} is not {want}", level.name());
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_infinite_divides_to_zero_and_what_is_not_a_number_stays_so() {
        for level in levels() {
            let g = [1e25f32, f32::NAN, f32::INFINITY, 0.0];
            let (mut m, mut v, mut w) = ([1f32; 4], [1f32; 4], [2f32; 4]);
            let write = [m.as_mut_ptr(), v.as_mut_ptr(), w.as_mut_ptr()];
            let read = [g.as_ptr(), write[0].cast_const(), write[1].cast_const(), write[2].cast_const()];
            // SAFETY: arrays of four values.
            unsafe { update(level, read, write, [0.1, 0.001, 0.003, 1e-7], false, 4) };
            assert_eq!(w[0], 2.0, "{}", level.name());
            assert!(w[1].is_nan() && w[2].is_nan(), "{}", level.name());
            assert!(w[3] < 2.0);
        }
    }
}
