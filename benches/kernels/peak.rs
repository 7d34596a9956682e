//! What the machine can do at most.

use std::sync::Mutex;
use std::time::Instant;

use rkeras_kernels::buffer::Buffer;
use rkeras_kernels::par;

/// Numbers in memory like that of tensors: on cache lines, and on huge pages where there are many.
#[allow(dead_code)]
pub struct Aligned {
    room: Buffer,
    len: usize,
}

#[allow(dead_code)]
impl Aligned {
    /// One number per index.
    pub fn new(len: usize, number: impl Fn(usize) -> f32) -> Aligned {
        let room = Buffer::zeroed(len * size_of::<f32>()).expect("memory for a benchmark");
        let mut all = Aligned { room, len };
        all.iter_mut().enumerate().for_each(|(i, x)| *x = number(i));
        all
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: a buffer is aligned for any vector, `len` numbers long, and of numbers of which all bits are valid.
        unsafe { std::slice::from_raw_parts(self.room.bytes().as_ptr().cast(), self.len) }
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above, and borrowed for this alone.
        unsafe { std::slice::from_raw_parts_mut(self.room.bytes_mut().as_mut_ptr().cast(), self.len) }
    }
}

/// Seconds of the fastest call, workers awake; the first is not counted.
#[allow(dead_code)]
pub fn fastest(seconds: f64, mut call: impl FnMut()) -> f64 {
    let _session = par::Session::new();
    call();
    let (start, mut best) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < seconds {
        let t = Instant::now();
        call();
        best = best.min(t.elapsed().as_secs_f64());
    }
    best
}

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

/// GB/s of `a = b + s * c` over arrays far beyond the caches, 12 bytes per element.
#[allow(dead_code)]
pub fn triad(threads: usize) -> f64 {
    const LEN: usize = 1 << 24;
    let (mut a, b, c) = (vec![0f32; LEN], vec![1f32; LEN], vec![2f32; LEN]);
    par::set_threads(threads);
    let _session = par::Session::new();
    let scale = std::hint::black_box(0.5);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let piece = LEN / threads;
        let parts: Vec<_> = a.chunks_exact_mut(piece).map(Mutex::new).collect();
        let t = Instant::now();
        par::run(threads, |i| {
            let mut a = parts[i].lock().expect("no other panicked");
            let (b, c) = (&b[i * piece..], &c[i * piece..]);
            for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
                *a = b + scale * c;
            }
        });
        best = best.min(t.elapsed().as_secs_f64());
    }
    std::hint::black_box(&a);
    (LEN * 12) as f64 / best / 1e9
}
