//! GFLOP/s of matrix products of the shapes that models meet.

#[path = "peak.rs"]
mod peak;

use rkeras_kernels::gemm::{Epilogue, Mat, gemm};
use rkeras_kernels::par;

fn main() {
    let seconds: f64 = if std::env::args().any(|a| a == "--quick") { 0.02 } else { 0.3 };
    // `--only 256,128x64x576` keeps the shapes whose first size, or all three, are named.
    let only = std::env::args().skip_while(|a| a != "--only").nth(1);
    let keep = |&(m, n, k, _, _): &(usize, usize, usize, bool, bool)| {
        let names = [m.to_string(), format!("{m}x{n}x{k}")];
        only.as_ref().is_none_or(|o| o.split(',').any(|o| names.iter().any(|name| name == o)))
    };
    let shapes = [
        (256, 256, 256, false, false),
        (1024, 1024, 1024, false, false),
        (1000, 1000, 1000, false, false),
        (500, 500, 500, false, false),
        (256, 512, 256, false, false),
        (256, 384, 256, false, false),
        (256, 256, 1024, false, false),
        (32, 64, 784, false, false),
        (784, 64, 32, true, false),
        (128, 64, 576, false, false),
        (256, 2048, 2048, false, false),
        (256, 2048, 2048, false, true),
        (2048, 2048, 256, true, false),
        (2048, 1024, 256, false, false),
        (2048, 256, 1024, false, true),
        (256, 1024, 2048, true, false),
        (64, 256, 3200, true, false),
        (128, 384, 8192, true, false),
        (1024, 256, 2048, true, false),
        (2048, 256, 256, false, false),
        (256, 256, 2048, true, false),
        (4096, 512, 128, false, false),
        (4096, 128, 512, false, true),
        (4096, 128, 128, false, false),
        (65536, 128, 128, false, false),
        (65536, 64, 32, false, false),
        (65536, 256, 256, false, false),
        (65536, 32, 64, false, true),
        (128, 512, 4096, true, false),
        (512, 128, 4096, true, false),
        (128, 128, 4096, true, false),
        (8192, 128, 512, false, false),
        (128, 512, 8192, true, false),
        (128, 10, 1600, false, false),
        (1600, 10, 128, true, false),
        (1, 64, 784, false, false),
    ];
    let all = par::threads();
    println!(
        "peak {:.1} GFLOP/s on 1 thread, {:.1} on {all}: multiply-adds in registers",
        peak::peak(1),
        peak::peak(all)
    );
    println!(
        "{:>6} {:>6} {:>6}  A  B   {:>9} {:>9} GFLOP/s on 1 and {} threads",
        "m",
        "n",
        "k",
        "",
        "",
        par::threads()
    );
    for (m, n, k, ta, tb) in shapes.into_iter().filter(keep) {
        // All bits vary: constant operands need less power, and so run at higher clocks than data do.
        let number = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 24) as f32 - 0.5;
        let (a, b) = (peak::Aligned::new(m * k, number), peak::Aligned::new(k * n, number));
        let mut c = peak::Aligned::new(m * n, |_| 0.0);
        let mat_a = if ta { Mat::rows(&a, m).t() } else { Mat::rows(&a, k) };
        let mat_b = if tb { Mat::rows(&b, k).t() } else { Mat::rows(&b, n) };
        let mut rates = Vec::new();
        for threads in [1, all] {
            par::set_threads(threads);
            let best =
                peak::fastest(seconds, || gemm(m, n, k, mat_a, mat_b, &mut c, n, false, Epilogue::default()));
            rates.push(2.0 * (m * n * k) as f64 / best / 1e9);
        }
        let t = |x| if x { "t" } else { "-" };
        println!("{m:6} {n:6} {k:6}  {}  {}   {:9.1} {:9.1}", t(ta), t(tb), rates[0], rates[1]);
    }
}
