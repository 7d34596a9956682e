//! GFLOP/s of convolutions of the shapes that models meet, forward and both gradients, beside the measured peak.

#[path = "peak.rs"]
mod peak;

use rkeras_kernels::conv::{ConvShape, forward, input_grad, kernel_grad};
use rkeras_kernels::par;

/// Name, images, size, channels in and out, window, stride, same padding, groups.
const SHAPES: &[(&str, usize, [usize; 2], usize, usize, [usize; 2], usize, bool, usize)] = &[
    ("mnist first", 128, [28, 28], 1, 32, [3, 3], 1, false, 1),
    ("mnist second", 128, [13, 13], 32, 64, [3, 3], 1, false, 1),
    ("vgg 3-64", 64, [32, 32], 3, 64, [3, 3], 1, true, 1),
    ("vgg 64-64", 64, [32, 32], 64, 64, [3, 3], 1, true, 1),
    ("vgg 64-128", 64, [16, 16], 64, 128, [3, 3], 1, true, 1),
    ("vgg 128-128", 64, [16, 16], 128, 128, [3, 3], 1, true, 1),
    ("vgg 128-256", 64, [8, 8], 128, 256, [3, 3], 1, true, 1),
    ("vgg 256-256", 64, [8, 8], 256, 256, [3, 3], 1, true, 1),
    ("signal 8-64", 64, [1, 512], 8, 64, [1, 5], 1, true, 1),
    ("signal 64-64", 64, [1, 256], 64, 64, [1, 5], 1, true, 1),
    ("signal 16-16", 64, [1, 256], 16, 16, [1, 5], 1, true, 1),
    ("signal of 3, 16-16", 64, [1, 256], 16, 16, [1, 3], 1, true, 1),
    ("signal of 3, 64-64", 64, [1, 256], 64, 64, [1, 3], 1, true, 1),
    ("signal of 3, 256-256", 16, [1, 128], 256, 256, [1, 3], 1, true, 1),
    ("resnet first", 16, [224, 224], 3, 64, [7, 7], 2, true, 1),
    ("resnet 64-64", 16, [56, 56], 64, 64, [3, 3], 1, true, 1),
    ("resnet down", 16, [56, 56], 64, 128, [3, 3], 2, true, 1),
    ("resnet 512", 16, [7, 7], 512, 512, [3, 3], 1, true, 1),
    ("few 16-64", 64, [28, 28], 16, 64, [3, 3], 1, true, 1),
    ("few 16-32", 64, [28, 28], 16, 32, [3, 3], 1, true, 1),
    ("few 16-16", 64, [32, 32], 16, 16, [3, 3], 1, true, 1),
    ("few 32-32", 64, [32, 32], 32, 32, [3, 3], 1, true, 1),
    ("one by one", 64, [16, 16], 128, 128, [1, 1], 1, true, 1),
    ("one 32-64", 64, [32, 32], 32, 64, [1, 1], 1, true, 1),
    ("one 64-128", 64, [16, 16], 64, 128, [1, 1], 1, true, 1),
    ("one 128-256", 64, [8, 8], 128, 256, [1, 1], 1, true, 1),
    ("one 256-256", 64, [8, 8], 256, 256, [1, 1], 1, true, 1),
    ("one large", 512, [16, 16], 128, 128, [1, 1], 1, true, 1),
    ("depthwise 32", 64, [32, 32], 32, 32, [3, 3], 1, true, 32),
    ("depthwise 128", 64, [16, 16], 128, 128, [3, 3], 1, true, 128),
    ("depthwise 64/2", 64, [32, 32], 64, 64, [3, 3], 2, true, 64),
];

fn main() {
    let seconds: f64 = if std::env::args().any(|a| a == "--quick") { 0.02 } else { 0.2 };
    // `--only vgg` keeps the shapes whose name begins so.
    let only = std::env::args().skip_while(|a| a != "--only").nth(1).unwrap_or_default();
    let threads = par::threads();
    let peak = peak::peak(threads);
    println!("peak {peak:.0} GFLOP/s on {threads} threads");
    println!("{:16} {:>23} {:>23} {:>23}", "", "forward", "input gradient", "kernel gradient");
    for &(name, n, size, c_in, c_out, k, stride, same, groups) in SHAPES {
        if !name.starts_with(&only) {
            continue;
        }
        let mut s = ConvShape {
            n,
            in_sp: [1, size[0], size[1]],
            c_in,
            out_sp: [1; 3],
            c_out,
            k: [1, k[0], k[1]],
            stride: [1, stride.min(size[0]), stride],
            dilation: [1; 3],
            pad_lo: [0; 3],
            groups,
        };
        for d in 1..3 {
            let i = s.in_sp[d];
            if same {
                s.out_sp[d] = i.div_ceil(s.stride[d]);
                s.pad_lo[d] = ((s.out_sp[d] - 1) * s.stride[d] + s.k[d]).saturating_sub(i) / 2;
            } else {
                s.out_sp[d] = (i - s.k[d]) / s.stride[d] + 1;
            }
        }
        let draw = |n: usize| peak::Aligned::new(n, |i| (i * 7919 % 1009) as f32 / 500.0 - 1.0);
        let (x, w, dy) = (draw(s.x_len()), draw(s.w_len()), draw(s.y_len()));
        let (mut y, mut dx, mut dw) = (draw(s.y_len()), draw(s.x_len()), draw(s.w_len()));
        let flop = 2.0 * (s.y_len() * s.w_len() / c_out) as f64;
        let time = |f: &mut dyn FnMut()| {
            let best = peak::fastest(seconds, f);
            format!("{:8.3} ms {:6.0} {:3.0} %", best * 1e3, flop / best / 1e9, flop / best / 1e7 / peak)
        };
        let a = time(&mut || forward(&s, &x, &w, None, None, false, &mut y).expect("memory"));
        let b = time(&mut || input_grad(&s, &dy, &w, false, &mut dx).expect("memory"));
        let c = time(&mut || kernel_grad(&s, &x, &dy, &mut dw, None).expect("memory"));
        println!("{name:16} {a} {b} {c}");
    }
}
