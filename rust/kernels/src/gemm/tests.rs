use super::*;
use crate::isa::levels;

fn draw<T: Scalar>(n: usize, seed: usize) -> Vec<T> {
    (0..n).map(|i| T::of((((i + seed) * 2_654_435_761) % 1000) as f64 / 500.0 - 1.0)).collect()
}

fn naive<T: Scalar>(m: usize, n: usize, k: usize, a: Mat<'_, T>, b: Mat<'_, T>) -> Vec<f64> {
    let mut c = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            c[i * n + j] =
                (0..k).map(|p| a.data[i * a.rs + p * a.cs].f64() * b.data[p * b.rs + j * b.cs].f64()).sum();
        }
    }
    c
}

fn check<T: Scalar>(l: Level, m: usize, n: usize, k: usize, ta: bool, tb: bool, tolerance: f64) {
    let (da, db) = (draw::<T>(m * k + 3, 1), draw::<T>(k * n + 5, 2));
    let a = if ta { Mat::rows(&da, m).t() } else { Mat::rows(&da, k) };
    let b = if tb { Mat::rows(&db, k).t() } else { Mat::rows(&db, n) };
    let want = naive(m, n, k, a, b);
    let (bias, residual) = (draw::<T>(n, 3), draw::<T>(m * n, 4));
    // Rounding grows with the number of terms and, where they have one sign, with the sum itself.
    let close = |got: T, want: f64| {
        assert!(
            (got.f64() - want).abs() <= tolerance * (k as f64).sqrt().max(1.0).max(want.abs() / 8.0),
            "{l:?} {m}x{n}x{k} {ta} {tb}: {got:?} {want}"
        )
    };
    let ldc = n + 2;
    let mut c = vec![T::of(7.0); m * ldc];
    gemm_at(l, m, n, k, a, b, &mut c, ldc, false, Epilogue::default());
    for i in 0..m {
        for j in 0..n {
            close(c[i * ldc + j], want[i * n + j]);
        }
        assert!(c[i * ldc + n] == T::of(7.0), "wrote beyond the row");
    }
    gemm_at(
        l,
        m,
        n,
        k,
        a,
        b,
        &mut c,
        ldc,
        true,
        Epilogue {
            bias: Some(&bias),
            residual: Some((&residual, n)),
            activation: Some(Unary::Relu),
            rounded: false,
        },
    );
    for i in 0..m {
        for j in 0..n {
            close(
                c[i * ldc + j],
                (2.0 * want[i * n + j] + bias[j].f64() + residual[i * n + j].f64()).max(0.0),
            );
        }
    }
    let packed = PackedB::at(l, k, n, b).unwrap();
    gemm_packed(
        m,
        a,
        &packed,
        &mut c,
        ldc,
        false,
        Epilogue { bias: Some(&bias), activation: Some(Unary::Tanh), ..Default::default() },
    );
    for i in 0..m {
        for j in 0..n {
            close(c[i * ldc + j], (want[i * n + j] + bias[j].f64()).tanh());
        }
    }
}

#[test]
fn every_shape_level_and_transpose() {
    let shapes = [
        (1, 1, 1),
        (1, 10, 33),
        (3, 1, 70),
        (2, 17, 5),
        (7, 16, 9),
        (13, 31, 20),
        (32, 64, 100),
        (50, 70, 600),
        (5, 3, 0),
        (300, 20, 40),
        (4, 4, 5000),
    ];
    for l in levels() {
        for (m, n, k) in shapes {
            for (ta, tb) in [(false, false), (true, false), (false, true), (true, true)] {
                check::<f32>(l, m, n, k, ta, tb, 2e-6 * 4.0);
                check::<f64>(l, m, n, k, ta, tb, 1e-12);
            }
        }
    }
}

#[test]
fn batches_and_threads() {
    let (m, n, k) = (40, 33, 90);
    let (a, b) = (draw::<f32>(3 * m * k, 1), draw::<f32>(2 * k * n, 2));
    let offsets = [[0, 0, 0], [m * k, k * n, m * n], [2 * m * k, 0, 2 * m * n]];
    let mut results = Vec::new();
    for threads in [1, 2, 3, 8] {
        par::set_threads(threads);
        let mut c = vec![0f32; 3 * m * n];
        gemm_batched(m, n, k, Mat::rows(&a, k), Mat::rows(&b, n), &mut c, n, &offsets, Epilogue::default());
        results.push(c);
    }
    let want = naive(m, n, k, Mat::rows(&a[2 * m * k..], k), Mat::rows(&b, n));
    for (got, want) in results[0][2 * m * n..].iter().zip(want) {
        assert!((f64::from(*got) - want).abs() < 1e-4);
    }
    assert!(results.iter().all(|r| r == &results[0]));
}

#[test]
fn rounding_inside_gives_the_bits_of_separate_passes() {
    for l in levels() {
        // Few and many tiles, a long sum that is cut, sums in several blocks, single elements.
        for (m, n, k) in [(1, 1, 5), (7, 33, 40), (6, 16, 3000), (130, 70, 700), (3, 5, 20_000), (65, 1, 9)] {
            let (a, b, bias) = (draw::<f32>(m * k, 1), draw::<f32>(k * n, 2), draw::<f32>(n, 3));
            let (a, b) = (Mat::rows(&a, k), Mat::rows(&b, n));
            let mut sums = vec![0f32; m * n];
            gemm_at(l, m, n, k, a, b, &mut sums, n, false, Epilogue::default());
            let rounded = |v: f32| half::bf16::from_f32(v).to_f32();
            for activation in [None, Some(Unary::Relu), Some(Unary::Tanh)] {
                let mut steps: Vec<f32> =
                    sums.iter().enumerate().map(|(i, &v)| rounded(rounded(v) + bias[i % n])).collect();
                if let Some(f) = activation {
                    crate::map::unary_in_place(f, &mut steps);
                    steps.iter_mut().for_each(|v| *v = rounded(*v));
                }
                let ep = Epilogue { bias: Some(&bias), residual: None, activation, rounded: true };
                let mut c = vec![0f32; m * n];
                gemm_at(l, m, n, k, a, b, &mut c, n, false, ep);
                assert!(c == steps, "{l:?} {m}x{n}x{k} {activation:?}");
            }
        }
    }
}
