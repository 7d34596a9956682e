use super::*;

fn draw(n: usize, seed: usize) -> Vec<f64> {
    (0..n).map(|i| (((i + seed) * 2_654_435_761) % 1009) as f64 / 504.5 - 1.0).collect()
}

/// Calls `f(x index, w index, y index)` for every product of the sum.
fn each(s: &ConvShape, mut f: impl FnMut(usize, usize, usize)) {
    let (ci, co) = (s.c_in / s.groups, s.c_out / s.groups);
    let inside = |d: usize, o: usize, t: usize| {
        (o * s.stride[d] + t * s.dilation[d]).checked_sub(s.pad_lo[d]).filter(|&i| i < s.in_sp[d])
    };
    for n in 0..s.n {
        for o in 0..s.out_sp.iter().product::<usize>() {
            let od = [o / s.out_sp[2] / s.out_sp[1], o / s.out_sp[2] % s.out_sp[1], o % s.out_sp[2]];
            for t in 0..s.taps() {
                let td = [t / s.k[2] / s.k[1], t / s.k[2] % s.k[1], t % s.k[2]];
                let (Some(a), Some(b), Some(c)) =
                    (inside(0, od[0], td[0]), inside(1, od[1], td[1]), inside(2, od[2], td[2]))
                else {
                    continue;
                };
                let pixel = ((n * s.in_sp[0] + a) * s.in_sp[1] + b) * s.in_sp[2] + c;
                for j in 0..s.c_out {
                    for i in 0..ci {
                        let y = (n * s.out_sp.iter().product::<usize>() + o) * s.c_out + j;
                        f(pixel * s.c_in + j / co * ci + i, (t * ci + i) * s.c_out + j, y);
                    }
                }
            }
        }
    }
}

fn close(got: &[f64], want: &[f64], what: &str, s: &ConvShape) {
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() < 1e-10, "{what} {i}: {g} {w} {s:?}");
    }
}

fn check(s: ConvShape) {
    let (x, w, dy) = (draw(s.x_len(), 1), draw(s.w_len(), 2), draw(s.y_len(), 3));
    let (mut y, mut dx, mut dw) = (vec![0.0; s.y_len()], vec![0.0; s.x_len()], vec![0.0; s.w_len()]);
    each(&s, |i, j, o| {
        y[o] += x[i] * w[j];
        dx[i] += dy[o] * w[j];
        dw[j] += dy[o] * x[i];
    });
    let mut out = vec![9.0; s.y_len()];
    forward(&s, &x, &w, None, None, false, &mut out).unwrap();
    close(&out, &y, "y", &s);
    let bias = draw(s.c_out, 4);
    forward(&s, &x, &w, Some(&bias), Some(Unary::Relu), false, &mut out).unwrap();
    let with: Vec<f64> = y.iter().enumerate().map(|(i, v)| (v + bias[i % s.c_out]).max(0.0)).collect();
    close(&out, &with, "relu(y + b)", &s);
    // Rounded after every step: the very numbers that separate passes give.
    let rounded = |v: &f64| half::bf16::from_f64(*v).to_f64();
    let mut sums = vec![9.0; s.y_len()];
    forward(&s, &x, &w, None, None, false, &mut sums).unwrap();
    for activation in [Unary::Relu, Unary::Tanh] {
        let mut steps: Vec<f64> = sums.iter().map(rounded).collect();
        steps.iter_mut().enumerate().for_each(|(i, v)| *v = rounded(&(*v + bias[i % s.c_out])));
        crate::map::unary_in_place(activation, &mut steps);
        let steps: Vec<f64> = steps.iter().map(rounded).collect();
        forward(&s, &x, &w, Some(&bias), Some(activation), true, &mut out).unwrap();
        assert!(out == steps, "{activation:?} of rounded sums, {s:?}");
    }
    let mut out = vec![9.0; s.x_len()];
    input_grad(&s, &dy, &w, false, &mut out).unwrap();
    close(&out, &dx, "dx", &s);
    let steps: Vec<f64> = out.iter().map(rounded).collect();
    input_grad(&s, &dy, &w, true, &mut out).unwrap();
    assert!(out == steps, "dx rounded, {s:?}");
    let mut out = vec![9.0; s.w_len()];
    let (mut db, mut bias_grad) = (vec![0.0; s.c_out], vec![9.0; s.c_out]);
    dy.chunks_exact(s.c_out).for_each(|row| row.iter().zip(&mut db).for_each(|(d, b)| *b += d));
    kernel_grad(&s, &x, &dy, &mut out, Some(&mut bias_grad)).unwrap();
    close(&out, &dw, "dw", &s);
    close(&bias_grad, &db, "db", &s);
    for l in crate::isa::levels() {
        if s.is_depthwise() {
            if s.c_out == s.c_in {
                let mut out = vec![9.0; s.y_len()];
                let finish = direct::Finish {
                    bias: Some(&bias[..]),
                    residual: None,
                    least: Some(0.0),
                    rounded: false,
                };
                depthwise::forward(l, &s, &x, &w, finish, &mut out);
                close(&out, &with, l.name(), &s);
                let mut out = vec![9.0; s.x_len()];
                depthwise::input_grad(l, &s, &dy, &w, false, &mut out);
                close(&out, &dx, l.name(), &s);
                let mut out = vec![9.0; s.w_len()];
                depthwise::kernel_grad(l, &s, &x, &dy, &mut out).unwrap();
                close(&out, &dw, l.name(), &s);
            }
            continue;
        }
        let mut out = vec![9.0; s.y_len()];
        dense::forward(l, &s, &x, &w, Some(&bias), Some(Unary::Relu), false, &mut out).unwrap();
        close(&out, &with, l.name(), &s);
        let mut out = vec![9.0; s.x_len()];
        dense::input_grad(l, &s, &dy, &w, false, &mut out).unwrap();
        close(&out, &dx, l.name(), &s);
        let mut out = vec![9.0; s.w_len()];
        dense::kernel_grad(l, &s, &x, &dy, &mut out, None).unwrap();
        close(&out, &dw, l.name(), &s);
    }
    if let Some(len) = packed_len::<f64>(&s) {
        let (mut packed, mut out) = (vec![9.0; len], vec![9.0; s.y_len()]);
        pack(&s, &w, &mut packed).unwrap();
        let r = draw(s.y_len(), 5);
        forward_packed(&s, &x, &packed, Some(&bias), Some(&r), true, false, &mut out).unwrap();
        let with: Vec<f64> = (0..y.len()).map(|i| (y[i] + bias[i % s.c_out] + r[i]).max(0.0)).collect();
        close(&out, &with, "relu(y + b + r)", &s);
    }
    // The same in float32, against float64.
    let single = |v: &[f64]| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let mut out = vec![0f32; s.y_len()];
    forward(&s, &single(&x), &single(&w), None, None, false, &mut out).unwrap();
    for (g, w) in out.iter().zip(&y) {
        assert!((f64::from(*g) - w).abs() < 1e-4);
    }
}

#[test]
fn all_geometries() {
    let base = ConvShape {
        n: 2,
        in_sp: [1, 1, 7],
        c_in: 3,
        out_sp: [1, 1, 5],
        c_out: 4,
        k: [1, 1, 3],
        stride: [1; 3],
        dilation: [1; 3],
        pad_lo: [0; 3],
        groups: 1,
    };
    check(base);
    check(ConvShape { in_sp: [1, 1, 9], out_sp: [1, 1, 5], stride: [1, 1, 2], pad_lo: [0, 0, 1], ..base });
    check(ConvShape {
        in_sp: [1, 6, 7],
        out_sp: [1, 6, 7],
        k: [1, 3, 3],
        pad_lo: [0, 1, 1],
        c_in: 1,
        c_out: 17,
        ..base
    });
    check(ConvShape {
        in_sp: [1, 8, 9],
        out_sp: [1, 4, 3],
        k: [1, 2, 3],
        stride: [1, 2, 3],
        pad_lo: [0, 0, 0],
        ..base
    });
    check(ConvShape {
        in_sp: [1, 9, 9],
        out_sp: [1, 5, 5],
        k: [1, 3, 3],
        dilation: [1, 2, 2],
        c_in: 4,
        groups: 2,
        ..base
    });
    check(ConvShape {
        in_sp: [4, 5, 6],
        out_sp: [2, 3, 3],
        k: [2, 3, 2],
        stride: [2, 2, 2],
        pad_lo: [0, 1, 0],
        ..base
    });
    check(ConvShape { in_sp: [1, 6, 5], out_sp: [1, 6, 5], k: [1, 1, 1], c_in: 9, c_out: 20, ..base });
    check(ConvShape {
        in_sp: [1, 6, 5],
        out_sp: [1, 6, 5],
        k: [1, 3, 3],
        pad_lo: [0, 1, 1],
        c_out: 6,
        groups: 3,
        ..base
    });
    check(ConvShape {
        in_sp: [1, 7, 7],
        out_sp: [1, 3, 3],
        k: [1, 3, 3],
        stride: [1, 3, 2],
        pad_lo: [0, 1, 0],
        c_out: 3,
        groups: 3,
        ..base
    });
    for c in [3, 16, 37] {
        let own = ConvShape { k: [1, 3, 3], c_in: c, c_out: c, groups: c, ..base };
        check(ConvShape { in_sp: [1, 6, 19], out_sp: [1, 6, 19], pad_lo: [0, 1, 1], ..own });
        check(ConvShape { in_sp: [1, 8, 9], out_sp: [1, 4, 5], stride: [1, 2, 2], pad_lo: [0, 0, 1], ..own });
        check(ConvShape {
            in_sp: [2, 9, 12],
            out_sp: [2, 5, 8],
            k: [2, 3, 5],
            pad_lo: [1, 0, 0],
            dilation: [1, 2, 1],
            ..own
        });
    }
    check(ConvShape {
        in_sp: [1, 10, 10],
        out_sp: [1, 4, 4],
        k: [1, 2, 2],
        stride: [1, 3, 3],
        dilation: [1, 2, 2],
        pad_lo: [0, 1, 1],
        ..base
    });
    check(ConvShape {
        n: 3,
        in_sp: [1, 20, 21],
        out_sp: [1, 18, 19],
        k: [1, 3, 3],
        c_in: 8,
        c_out: 33,
        ..base
    });
    check(ConvShape {
        in_sp: [1, 18, 33],
        out_sp: [1, 9, 17],
        k: [1, 7, 7],
        stride: [1, 2, 2],
        pad_lo: [0, 3, 3],
        c_out: 70,
        ..base
    });
    check(ConvShape {
        in_sp: [3, 9, 16],
        out_sp: [3, 9, 16],
        k: [3, 3, 3],
        pad_lo: [1, 1, 1],
        c_in: 9,
        c_out: 18,
        ..base
    });
    check(ConvShape { n: 0, ..base });
    check(ConvShape {
        in_sp: [1, 1, 40],
        out_sp: [1, 1, 40],
        k: [1, 1, 5],
        pad_lo: [0, 0, 2],
        c_in: 8,
        c_out: 16,
        ..base
    });
}

#[test]
fn threads_do_not_matter() {
    let s = ConvShape {
        n: 5,
        in_sp: [1, 13, 13],
        c_in: 16,
        out_sp: [1, 11, 11],
        c_out: 24,
        k: [1, 3, 3],
        stride: [1; 3],
        dilation: [1; 3],
        pad_lo: [0; 3],
        groups: 1,
    };
    let single = |v: Vec<f64>| v.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let (x, w, dy) = (single(draw(s.x_len(), 1)), single(draw(s.w_len(), 2)), single(draw(s.y_len(), 3)));
    let mut seen: Vec<(Vec<f32>, Vec<f32>, Vec<f32>)> = Vec::new();
    for threads in [1, 2, 3, 8] {
        crate::par::set_threads(threads);
        let (mut y, mut dx, mut dw) = (vec![0f32; s.y_len()], vec![0f32; s.x_len()], vec![0f32; s.w_len()]);
        forward(&s, &x, &w, None, None, false, &mut y).unwrap();
        input_grad(&s, &dy, &w, false, &mut dx).unwrap();
        kernel_grad(&s, &x, &dy, &mut dw, None).unwrap();
        seen.push((y, dx, dw));
    }
    assert!(seen.iter().all(|s| s == &seen[0]));
}
