use super::*;
use crate::gemm::{Epilogue, Mat, gemm_at};
use crate::isa::narrow_levels;
use crate::map::Unary;
use crate::par;

/// Numbers with all bits in use, of sizes from 2^-8 to 2^8.
fn draw(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..n)
        .map(|_| {
            let bits = next();
            let unit = (bits >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
            unit * f32::powi(2.0, (bits % 17) as i32 - 8)
        })
        .collect()
}

fn available() -> bool {
    narrow_levels().contains(&Narrow::Amx)
}

struct Case {
    m: usize,
    n: usize,
    k: usize,
    a: Vec<f32>,
    b: Vec<f32>,
    /// Strides of rows and columns.
    a_strides: (usize, usize),
    b_strides: (usize, usize),
}

impl Case {
    fn new(m: usize, n: usize, k: usize, ta: bool, tb: bool) -> Case {
        Case {
            m,
            n,
            k,
            a: draw(m * k, 1),
            b: draw(k * n, 2),
            a_strides: if ta { (1, m) } else { (k, 1) },
            b_strides: if tb { (1, k) } else { (n, 1) },
        }
    }

    /// C of row stride `ldc`, by parts.
    fn run(&self, c: &mut [f32], ldc: usize, accumulate: bool, ep: Epilogue<'_, f32>) {
        let p = Product {
            m: self.m,
            n: self.n,
            k: self.k,
            a: self.a.as_ptr(),
            a_rs: self.a_strides.0,
            a_cs: self.a_strides.1,
            a_tiles: None,
            b: Source::Strided { ptr: self.b.as_ptr(), rs: self.b_strides.0, cs: self.b_strides.1 },
            c: c.as_mut_ptr(),
            ldc,
            accumulate,
            ep,
        };
        // SAFETY: the matrices have these shapes.
        unsafe { run::run(&p, &[[0, 0, 0]]) }.unwrap();
    }

    fn multiply_adds(&self, ep: Epilogue<'_, f32>) -> Vec<f32> {
        let mut c = vec![0.0; self.m * self.n];
        let mat = |data, (rs, cs)| Mat { data, rs, cs };
        let (a, b) = (mat(&self.a[..], self.a_strides), mat(&self.b[..], self.b_strides));
        gemm_at(Level::Avx2, self.m, self.n, self.k, a, b, &mut c, self.n, false, ep);
        c
    }

    /// The sum in float64, and the sum of magnitudes.
    fn exact(&self, i: usize, j: usize) -> (f64, f64) {
        let ((ar, ac), (br, bc)) = (self.a_strides, self.b_strides);
        (0..self.k).fold((0.0, 0.0), |(sum, size), p| {
            let x = f64::from(self.a[i * ar + p * ac]) * f64::from(self.b[p * br + j * bc]);
            (sum + x, size + x.abs())
        })
    }
}

#[test]
fn as_accurate_as_multiply_adds() {
    if !available() {
        return;
    }
    for (m, n, k, ta, tb) in [
        (64, 64, 1024, false, false),
        (33, 50, 70, true, false),
        (65, 31, 33, false, true),
        (40, 100, 31, true, true),
        (1, 1, 1, false, false),
        (130, 200, 900, true, true),
    ] {
        let case = Case::new(m, n, k, ta, tb);
        let ldc = n + 3;
        let mut c = vec![7f32; m * ldc];
        case.run(&mut c, ldc, false, Epilogue::default());
        let rival = case.multiply_adds(Epilogue::default());
        let (mut error, mut rival_error) = (0f64, 0f64);
        for i in 0..m {
            for j in 0..n {
                let (want, size) = case.exact(i, j);
                error = error.max((f64::from(c[i * ldc + j]) - want).abs() / size);
                rival_error = rival_error.max((f64::from(rival[i * n + j]) - want).abs() / size);
            }
            assert!(c[i * ldc + n..(i + 1) * ldc].iter().all(|&x| x == 7.0), "wrote beyond row {i}");
        }
        let rounding = f64::from(f32::EPSILON);
        assert!(error <= rival_error.max(rounding), "{m}x{n}x{k}: {error:e}, multiply-adds {rival_error:e}");
    }
}

#[test]
fn epilogues_and_pieces_of_the_sum() {
    if !available() {
        return;
    }
    // The second is long enough for its sum to be cut.
    for (m, n, k) in [(70, 90, 130), (96, 64, 4000)] {
        let case = Case::new(m, n, k, true, false);
        let (bias, residual) = (draw(n, 3), draw(m * n, 4));
        for activation in [None, Some(Unary::Relu), Some(Unary::Tanh)] {
            let ep =
                Epilogue { bias: Some(&bias), residual: Some((&residual, n)), activation, rounded: false };
            let mut c = vec![0.5f32; m * n];
            case.run(&mut c, n, true, ep);
            for i in 0..m {
                for j in 0..n {
                    let (sum, size) = case.exact(i, j);
                    let x = sum + 0.5 + f64::from(bias[j]) + f64::from(residual[i * n + j]);
                    let want = match activation {
                        Some(Unary::Relu) => x.max(0.0),
                        Some(_) => x.tanh(),
                        None => x,
                    };
                    let got = f64::from(c[i * n + j]);
                    assert!(
                        (got - want).abs() <= 4e-7 * (size + 10.0),
                        "{m}x{n}x{k} {activation:?}: {got} {want}"
                    );
                }
            }
        }
    }
}

#[test]
fn infinities_and_nan_are_those_of_multiply_adds() {
    if !available() {
        return;
    }
    // Task-owned operands, then shared ones.
    for (m, n, k) in [(40, 40, 40), (600, 600, 64)] {
        for special in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX, f32::from_bits(0x7fff_ffff)] {
            let mut case = Case::new(m, n, k, false, false);
            case.a[3 * k + 5] = special;
            case.b[7 * n + 9] = special;
            let mut c = vec![0f32; m * n];
            case.run(&mut c, n, false, Epilogue::default());
            let want = case.multiply_adds(Epilogue::default());
            for (i, (x, y)) in c.iter().zip(&want).enumerate() {
                let close = || f64::from((x - y).abs()) <= 1e-6 * case.exact(i / n, i % n).1;
                let same = x.is_nan() && y.is_nan() || x == y || close();
                assert!(same, "{m}x{n}x{k} {special} at {i}: {x} {y}");
            }
        }
    }
}

#[test]
fn bitwise_the_same_on_any_number_of_threads() {
    if !available() {
        return;
    }
    for (m, n, k) in [(300, 200, 500), (96, 64, 4000)] {
        let case = Case::new(m, n, k, false, true);
        let results: Vec<Vec<f32>> = [1, 2, 3, 8]
            .map(|threads| {
                par::set_threads(threads);
                let mut c = vec![0f32; m * n];
                case.run(&mut c, n, false, Epilogue::default());
                c
            })
            .to_vec();
        assert!(results.iter().all(|c| *c == results[0]), "{m}x{n}x{k}");
    }
}
