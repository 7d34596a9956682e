use super::*;
use crate::map::Unary;
use crate::par;

fn draw(n: usize, seed: usize) -> Vec<bf16> {
    (0..n).map(|i| bf16::from_f32((((i + seed) * 2_654_435_761) % 1000) as f32 / 500.0 - 1.0)).collect()
}

/// Every level against sums in float64: rounding of float32 sums, then once to bfloat16.
fn check(level: Narrow, m: usize, n: usize, k: usize, ta: bool, tb: bool) {
    let (da, db) = (draw(m * k + 3, 1), draw(k * n + 5, 2));
    let a = if ta { Mat::rows(&da, m).t() } else { Mat::rows(&da, k) };
    let b = if tb { Mat::rows(&db, k).t() } else { Mat::rows(&db, n) };
    let bias: Vec<f32> = (0..n).map(|j| j as f32 * 0.01 - 0.1).collect();
    let ldc = n + 2;
    let offsets = [[0, 0, 0]];
    let (mut plain, mut rounded) = (vec![7f32; m * ldc], vec![bf16::from_f32(7.0); m * ldc]);
    gemm_bf16_at(level, m, n, k, a, b, &mut plain, ldc, &offsets, Epilogue::default()).unwrap();
    gemm_bf16_at(level, m, n, k, a, b, &mut rounded, ldc, &offsets, Epilogue::default()).unwrap();
    for (i, (x, half)) in plain.iter().zip(&rounded).enumerate() {
        assert!(*half == bf16::from_f32(*x), "{level:?} {m}x{n}x{k} {ta} {tb} at {i}: {half} {x}");
    }
    let mut relu = vec![7f32; m * ldc];
    let ep = Epilogue { bias: Some(&bias), activation: Some(Unary::Relu), residual: None, rounded: false };
    gemm_bf16_at(level, m, n, k, a, b, &mut relu, ldc, &offsets, ep).unwrap();
    let ep = Epilogue { bias: Some(&bias), activation: Some(Unary::Tanh), residual: None, rounded: false };
    gemm_bf16_at(level, m, n, k, a, b, &mut rounded, ldc, &offsets, ep).unwrap();
    for i in 0..m {
        for j in 0..n {
            let products = (0..k).map(|p| {
                f64::from(a.data[i * a.rs + p * a.cs].to_f32())
                    * f64::from(b.data[p * b.rs + j * b.cs].to_f32())
            });
            let (want, size) = products.fold((0.0, 0.0), |(s, t), x| (s + x, t + x.abs()));
            // The longer the sum, the more it rounds.
            let bound = 1e-6 * (k as f64 / 300.0).max(1.0) * size + 1e-6;
            let at = i * ldc + j;
            let who = || format!("{level:?} {m}x{n}x{k} {ta} {tb} at {i}, {j}");
            assert!((f64::from(plain[at]) - want).abs() <= bound, "{}: {} {want}", who(), plain[at]);
            let with_bias = want + f64::from(bias[j]);
            assert!((f64::from(relu[at]) - with_bias.max(0.0)).abs() <= bound + 1e-6, "{} relu", who());
            let (got, tanh) = (f64::from(rounded[at].to_f32()), with_bias.tanh());
            assert!((got - tanh).abs() <= bound + 2e-6 + tanh.abs() / 256.0, "{} tanh {got} {tanh}", who());
        }
        let beyond = i * ldc + n;
        assert!(plain[beyond] == 7.0 && rounded[beyond].to_f32() == 7.0, "wrote beyond the row");
    }
}

#[test]
fn every_shape_level_and_transpose() {
    let shapes = [
        (1, 1, 1),
        (1, 10, 33),
        (3, 1, 70),
        (2, 17, 5),
        (16, 16, 32),
        (13, 31, 20),
        (32, 64, 96),
        (50, 70, 601),
        (5, 3, 0),
        (100, 20, 64),
        (33, 130, 130),
        (20, 34, 2100),
    ];
    for &level in narrow_levels() {
        for (m, n, k) in shapes {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                check(level, m, n, k, ta, tb);
            }
        }
    }
}

#[test]
fn batches_and_threads() {
    let (m, n, k) = (300, 290, 96);
    let (a, b) = (draw(3 * m * k, 1), draw(2 * k * n, 2));
    let offsets = [[0, 0, 0], [m * k, k * n, m * n], [2 * m * k, 0, 2 * m * n]];
    for &level in narrow_levels() {
        let mut results = Vec::new();
        for threads in [1, 2, 3, 8] {
            par::set_threads(threads);
            let mut c = vec![bf16::ZERO; 3 * m * n];
            let (x, y) = (Mat::rows(&a, k), Mat::rows(&b, n));
            gemm_bf16_at(level, m, n, k, x, y, &mut c, n, &offsets, Epilogue::default()).unwrap();
            // Each entry by itself, cut otherwise, gives the same bits where one sum is one order.
            let mut one = vec![bf16::ZERO; m * n];
            let last = [[2 * m * k, 0, 0]];
            gemm_bf16_at(level, m, n, k, x, y, &mut one, n, &last, Epilogue::default()).unwrap();
            assert!(level == Narrow::Widen || one == c[2 * m * n..], "{level:?}");
            results.push((c, one));
        }
        assert!(results.iter().all(|r| r == &results[0]), "{level:?}");
    }
}
