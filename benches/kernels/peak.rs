//! What the machine can do at most.

use std::time::Instant;

use rkeras_kernels::par;

/// GFLOP/s of independent fused multiply-adds that touch no memory.
pub fn peak(threads: usize) -> f64 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx512f")]
        fn many(rounds: usize, x: f32) -> f32 {
            let (a, b) = (_mm512_set1_ps(x), _mm512_set1_ps(1.0 - x));
            let mut acc = [_mm512_set1_ps(x); 12];
            for _ in 0..rounds {
                for v in &mut acc {
                    *v = _mm512_fmadd_ps(a, b, *v);
                }
            }
            acc.iter().map(|&v| _mm512_cvtss_f32(v)).sum()
        }
        // SAFETY: the feature was found above.
        return best(threads, 12 * 32, |rounds| unsafe { many(rounds, std::hint::black_box(0.5)) });
    }
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        use std::arch::x86_64::*;
        #[target_feature(enable = "avx2,fma")]
        fn many(rounds: usize, x: f32) -> f32 {
            let (a, b) = (_mm256_set1_ps(x), _mm256_set1_ps(1.0 - x));
            let mut acc = [_mm256_set1_ps(x); 12];
            for _ in 0..rounds {
                for v in &mut acc {
                    *v = _mm256_fmadd_ps(a, b, *v);
                }
            }
            acc.iter().map(|&v| _mm256_cvtss_f32(v)).sum()
        }
        // SAFETY: the features were found above.
        return best(threads, 12 * 16, |rounds| unsafe { many(rounds, std::hint::black_box(0.5)) });
    }
    f64::NAN
}

#[allow(dead_code)]
fn best(threads: usize, flop: usize, work: impl Fn(usize) -> f32 + Sync) -> f64 {
    let rounds = 50_000;
    par::set_threads(threads);
    let _session = par::Session::new();
    let mut best = f64::INFINITY;
    for _ in 0..200 {
        let t = Instant::now();
        par::run(threads, |_| {
            std::hint::black_box(work(rounds));
        });
        best = best.min(t.elapsed().as_secs_f64());
    }
    (threads * rounds * flop) as f64 / best / 1e9
}
