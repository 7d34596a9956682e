//! The kernels against plain loops in float64, every length of a vector's rest, masks and directions.

use super::*;
use crate::random::{State, normal};

fn draw(seed: u64, n: usize) -> Vec<f64> {
    let mut x = vec![0f32; n];
    normal(State { key: seed, counter: 1 }, 0.0, 0.7, &mut x);
    x.into_iter().map(f64::from).collect()
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn single(x: &[f64]) -> Vec<f32> {
    x.iter().map(|&v| v as f32).collect()
}

fn near(what: &str, a: &[f32], b: &[f64]) {
    assert_eq!(a.len(), b.len(), "{what}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((f64::from(*a) - b).abs() < 2e-5 * (1.0 + b.abs()), "{what}[{i}]: {a} and {b}");
    }
}

fn cases() -> Vec<(Sizes, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for (batch, steps, units) in [(1, 1, 1), (3, 4, 5), (5, 3, 16), (9, 2, 17), (33, 3, 40), (7, 2, 64)] {
        for reverse in [false, true] {
            let sizes = Sizes { batch, steps, units, reverse };
            all.push((sizes, None));
            all.push((sizes, Some((0..batch * steps).map(|i| u8::from(i * 7 % 3 != 0)).collect())));
        }
    }
    all
}

/// state (units) times w (units, columns), one column.
fn product(h: &[f64], w: &[f64], columns: usize, j: usize) -> f64 {
    h.iter().enumerate().map(|(k, h)| h * w[k * columns + j]).sum()
}

#[test]
fn lstm_equals_plain_loops() {
    for (sizes, mask) in cases() {
        let Sizes { batch: b, steps: t, units: u, .. } = sizes;
        let (x, w) = (draw(1, b * t * 4 * u), draw(2, u * 4 * u));
        let (h0, c0) = (draw(3, b * u), draw(4, b * u));
        let (mut hs, mut cs) = (vec![0.0; b * t * u], vec![0.0; b * t * u]);
        for i in 0..b {
            let (mut h, mut c) = (h0[i * u..][..u].to_vec(), c0[i * u..][..u].to_vec());
            for s in 0..t {
                let row = i * t + sizes.at(s);
                if mask.as_ref().is_none_or(|m| m[row] != 0) {
                    let z =
                        |g: usize, j: usize| x[row * 4 * u + g * u + j] + product(&h, &w, 4 * u, g * u + j);
                    let new: Vec<(f64, f64)> = (0..u)
                        .map(|j| {
                            let c = sigmoid(z(1, j)) * c[j] + sigmoid(z(0, j)) * z(2, j).tanh();
                            (sigmoid(z(3, j)) * c.tanh(), c)
                        })
                        .collect();
                    (h, c) = new.into_iter().unzip();
                }
                hs[row * u..][..u].copy_from_slice(&h);
                cs[row * u..][..u].copy_from_slice(&c);
            }
        }
        let (mut h, mut last) = (vec![0f32; b * t * u], vec![0f32; b * u]);
        let (mut c, mut gates) = (vec![0f32; b * t * u], vec![0f32; b * t * 4 * u]);
        let (x, w, h0, c0) = (single(&x), single(&w), single(&h0), single(&c0));
        let kept = Some((&mut c[..], &mut gates[..]));
        lstm(sizes, mask.as_deref(), &x, &h0, &c0, &w, &mut h, &mut last, kept).unwrap();
        near("h", &h, &hs);
        near("c", &c, &cs);
        let mut again = vec![0f32; b * t * u];
        lstm(sizes, mask.as_deref(), &x, &h0, &c0, &w, &mut again, &mut last, None).unwrap();
        assert_eq!(h, again);
    }
}

#[test]
fn gru_equals_plain_loops() {
    for (sizes, mask) in cases() {
        let Sizes { batch: b, steps: t, units: u, .. } = sizes;
        let (x, w, bias, h0) = (draw(1, b * t * 3 * u), draw(2, u * 3 * u), draw(3, 3 * u), draw(4, b * u));
        let mut hs = vec![0.0; b * t * u];
        for i in 0..b {
            let mut h = h0[i * u..][..u].to_vec();
            for s in 0..t {
                let row = i * t + sizes.at(s);
                if mask.as_ref().is_none_or(|m| m[row] != 0) {
                    let p = |g: usize, j: usize| bias[g * u + j] + product(&h, &w, 3 * u, g * u + j);
                    let x = |g: usize, j: usize| x[row * 3 * u + g * u + j];
                    h = (0..u)
                        .map(|j| {
                            let (z, r) = (sigmoid(x(0, j) + p(0, j)), sigmoid(x(1, j) + p(1, j)));
                            z * h[j] + (1.0 - z) * (x(2, j) + r * p(2, j)).tanh()
                        })
                        .collect();
                }
                hs[row * u..][..u].copy_from_slice(&h);
            }
        }
        let mut h = vec![0f32; b * t * u];
        let mut gates = vec![0f32; b * t * 4 * u];
        let (x, w, bias, h0) = (single(&x), single(&w), single(&bias), single(&h0));
        gru(sizes, mask.as_deref(), &x, &h0, &w, &bias, &mut h, Some(&mut gates)).unwrap();
        near("h", &h, &hs);
    }
}

#[test]
fn saturated_gates_are_finite() {
    let sizes = Sizes { batch: 2, steps: 3, units: 3, reverse: false };
    for value in [1e4f32, -1e4, f32::INFINITY, f32::NEG_INFINITY] {
        let (x, w, zero) = (vec![value; 72], vec![0f32; 36], vec![0f32; 6]);
        let (mut h, mut c) = (vec![0f32; 18], vec![0f32; 6]);
        lstm(sizes, None, &x, &zero, &zero, &w, &mut h, &mut c, None).unwrap();
        assert!(h.iter().chain(&c).all(|v| v.is_finite()), "{value}: {h:?}");
    }
    let (x, w, zero) = (vec![f32::NAN; 72], vec![0f32; 36], vec![0f32; 6]);
    let (mut h, mut c) = (vec![0f32; 18], vec![0f32; 6]);
    lstm(sizes, None, &x, &zero, &zero, &w, &mut h, &mut c, None).unwrap();
    assert!(h.iter().all(|v| v.is_nan()));
}
