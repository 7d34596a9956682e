//! Single kernels, and what the machine can do at most: a line of JSON for `run.py`, which says what to time.
//!
//! Arguments: seconds per kernel, then kernels as `name,size,size,…`. `RKERAS_NUM_THREADS` sets the threads.

#[path = "peak.rs"]
mod peak;

use peak::Aligned;
use rkeras_kernels::conv::{ConvShape, forward};
use rkeras_kernels::gemm::{Epilogue, Mat, gemm};
use rkeras_kernels::map::{Binary, Unary, binary, unary};
use rkeras_kernels::norm::{
    Gate, channel_factors, channel_grad, channel_grad_sums, channel_moments, channel_normalize, layer_norm,
    layer_norm_grad,
};
use rkeras_kernels::par;

fn main() {
    let mut args = std::env::args().skip(1).filter(|a| a != "--bench"); // Cargo adds that one
    let seconds = args.next().and_then(|a| a.parse().ok()).expect("seconds per kernel");
    let threads = par::threads();
    let times: Vec<_> = args.map(|kernel| time(&kernel, seconds).to_string()).collect();
    let (peak, triad) = (peak::peak(threads), peak::triad(threads));
    println!("{{\"peak\": {peak}, \"triad\": {triad}, \"times\": [{}]}}", times.join(", "));
}

/// Seconds of the fastest call of a kernel.
fn time(kernel: &str, seconds: f64) -> f64 {
    let mut words = kernel.split(',');
    let op = words.next().unwrap_or_default();
    let sizes: Vec<usize> = words.map(|w| w.parse().expect("a size")).collect();
    let draw = |n: usize| Aligned::new(n, |i| (i * 7919 % 1009) as f32 / 500.0 - 1.0);
    let zeros = |n: usize| Aligned::new(n, |_| 0.0);
    match (op, sizes.as_slice()) {
        ("matmul", &[m, k, n]) => {
            let (a, b, mut c) = (draw(m * k), draw(k * n), zeros(m * n));
            peak::fastest(seconds, || {
                gemm(m, n, k, Mat::rows(&a, k), Mat::rows(&b, n), &mut c, n, false, Epilogue::default())
            })
        }
        ("conv", &[n, size, c_in, c_out]) => {
            let s = ConvShape {
                n,
                in_sp: [1, size, size],
                c_in,
                out_sp: [1, size, size],
                c_out,
                k: [1, 3, 3],
                stride: [1; 3],
                dilation: [1; 3],
                pad_lo: [0, 1, 1],
                groups: 1,
            };
            let (x, w, mut y) = (draw(s.x_len()), draw(s.w_len()), zeros(s.y_len()));
            peak::fastest(seconds, || forward(&s, &x, &w, None, None, false, &mut y).expect("memory"))
        }
        ("layer norm", &[rows, n]) => {
            let (x, mut y) = (draw(rows * n), zeros(rows * n));
            let (mut mean, mut rstd) = (zeros(rows), zeros(rows));
            peak::fastest(seconds, || layer_norm(&x, n, None, None, 1e-3, true, &mut y, &mut mean, &mut rstd))
        }
        ("layer norm gradient", &[rows, n]) => {
            let (x, dy, mut dx) = (draw(rows * n), draw(rows * n), zeros(rows * n));
            let (mean, rstd, mut gain, mut shift) = (zeros(rows), draw(rows), zeros(n), zeros(n));
            peak::fastest(seconds, || {
                layer_norm_grad(&x, &dy, n, None, &mean, &rstd, true, &mut dx, &mut gain, &mut shift)
            })
        }
        ("batch norm", &[rows, n]) => {
            let (x, mut y) = (draw(rows * n), zeros(rows * n));
            let (mut mean, mut var, beta) = (zeros(n), zeros(n), draw(n));
            peak::fastest(seconds, || {
                channel_moments(&x, n, &mut mean, &mut var);
                channel_normalize(&x, &mean, &channel_factors(None, &var, 1e-3), &beta, true, false, &mut y)
            })
        }
        ("batch norm gradient", &[rows, n]) => {
            let (x, dy, mut dx) = (draw(rows * n), draw(rows * n), zeros(rows * n));
            let (mean, scale, mut gain, mut shift) = (draw(n), draw(n), zeros(n), zeros(n));
            peak::fastest(seconds, || {
                let gate = Some(Gate { scale: &scale, offset: &mean });
                channel_grad_sums(&x, &dy, &mean, gate, &mut shift, &mut gain);
                channel_grad(&x, &dy, &mean, [&scale, &mean, &shift], gate, false, &mut dx)
            })
        }
        (op, sizes) => {
            let n = sizes.iter().product();
            let (a, b, mut y) = (draw(n), draw(n), zeros(n));
            match (Unary::from_name(op), Binary::from_name(op)) {
                (Some(op), _) => peak::fastest(seconds, || unary(op, &a, &mut y)),
                (_, Some(op)) => peak::fastest(seconds, || binary(op, &[n], &a, &[1], &b, &[1], &mut y)),
                _ => panic!("expected a kernel that this bench knows. Received: {kernel}"),
            }
        }
    }
}
