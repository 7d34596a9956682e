//! Every input channel by itself, several outputs each (`groups == c_in`, a depth multiplier): vectors run along the
//! outputs. One output per channel, the usual case, is in [`super::depthwise`].

use super::ConvShape;
use crate::buffer::{AllocError, Buffer};
use crate::gemm::Scalar;
use crate::par;
use crate::shared::Shared;

/// Calls `f(output pixel, input pixel, tap)` for every pair inside of an output row of an image.
#[inline(always)]
fn pairs(s: &ConvShape, od: usize, oh: usize, mut f: impl FnMut(usize, usize, usize)) {
    for td in 0..s.k[0] {
        let Some(id) =
            (od * s.stride[0] + td * s.dilation[0]).checked_sub(s.pad_lo[0]).filter(|&i| i < s.in_sp[0])
        else {
            continue;
        };
        for th in 0..s.k[1] {
            let Some(ih) =
                (oh * s.stride[1] + th * s.dilation[1]).checked_sub(s.pad_lo[1]).filter(|&i| i < s.in_sp[1])
            else {
                continue;
            };
            for tw in 0..s.k[2] {
                let tap = (td * s.k[1] + th) * s.k[2] + tw;
                for ow in 0..s.out_sp[2] {
                    let Some(iw) = (ow * s.stride[2] + tw * s.dilation[2])
                        .checked_sub(s.pad_lo[2])
                        .filter(|&i| i < s.in_sp[2])
                    else {
                        continue;
                    };
                    f(
                        (od * s.out_sp[1] + oh) * s.out_sp[2] + ow,
                        (id * s.in_sp[1] + ih) * s.in_sp[2] + iw,
                        tap,
                    );
                }
            }
        }
    }
}

/// Rows of one output image.
fn rows(s: &ConvShape) -> usize {
    s.out_sp[0] * s.out_sp[1]
}

/// a += b · c element by element, where output channel `o` belongs to input channel `o / m`.
#[inline(always)]
fn multiply_add<T: Scalar>(m: usize, out: &mut [T], x: &[T], w: &[T]) {
    if m == 1 {
        for ((o, &x), &w) in out.iter_mut().zip(x).zip(w) {
            *o = *o + x * w;
        }
    } else {
        for ((o, w), &x) in out.chunks_exact_mut(m).zip(w.chunks_exact(m)).zip(x) {
            for (o, &w) in o.iter_mut().zip(w) {
                *o = *o + x * w;
            }
        }
    }
}

pub(super) fn forward<T: Scalar>(s: &ConvShape, x: &[T], w: &[T], y: &mut [T]) {
    let (m, per_image) = (s.c_out / s.c_in, rows(s));
    let row = s.out_sp[2] * s.c_out;
    let image = s.in_sp.iter().product::<usize>() * s.c_in;
    let out = Shared::new(y);
    crate::shared::ranges(s.n * per_image, (1 << 14) / (row * s.taps()).max(1) + 1, |start, end| {
        // SAFETY: rows of the output are disjoint.
        let part = unsafe { out.part(start * row, (end - start) * row) };
        part.fill(T::of(0.0));
        for r in start..end {
            let (n, at) = (r / per_image, r % per_image);
            let (x, y) = (&x[n * image..][..image], &mut part[(r - start) * row..][..row]);
            let base = at * s.out_sp[2];
            pairs(s, at / s.out_sp[1], at % s.out_sp[1], |o, i, tap| {
                let y = &mut y[(o - base) * s.c_out..][..s.c_out];
                multiply_add(m, y, &x[i * s.c_in..][..s.c_in], &w[tap * s.c_out..][..s.c_out]);
            });
        }
    });
}

pub(super) fn input_grad<T: Scalar>(s: &ConvShape, dy: &[T], w: &[T], dx: &mut [T]) {
    let (m, per_image) = (s.c_out / s.c_in, rows(s));
    let image = s.in_sp.iter().product::<usize>() * s.c_in;
    let out_image = s.out_sp.iter().product::<usize>() * s.c_out;
    let out = Shared::new(dx);
    par::run(s.n, |n| {
        // SAFETY: one image per chunk.
        let dx = unsafe { out.part(n * image, image) };
        dx.fill(T::of(0.0));
        let dy = &dy[n * out_image..][..out_image];
        for at in 0..per_image {
            pairs(s, at / s.out_sp[1], at % s.out_sp[1], |o, i, tap| {
                let (dx, w) = (&mut dx[i * s.c_in..][..s.c_in], &w[tap * s.c_out..][..s.c_out]);
                let dy = &dy[o * s.c_out..][..s.c_out];
                for (c, dx) in dx.iter_mut().enumerate() {
                    for j in c * m..(c + 1) * m {
                        *dx = *dx + dy[j] * w[j];
                    }
                }
            });
        }
    });
}

pub(super) fn kernel_grad<T: Scalar>(
    s: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
) -> Result<(), AllocError> {
    let (m, per_image, size) = (s.c_out / s.c_in, rows(s), dw.len());
    let image = s.in_sp.iter().product::<usize>() * s.c_in;
    let out_image = s.out_sp.iter().product::<usize>() * s.c_out;
    // Images are summed in at most 16 pieces, which are added up in order.
    let pieces = s.n.min(16);
    let mut sums = Buffer::scratch(pieces * size * size_of::<T>())?;
    let sums = crate::convert::elements_mut::<T>(sums.bytes_mut());
    sums.fill(T::of(0.0));
    {
        let out = Shared::new(sums);
        par::run(pieces, |piece| {
            // SAFETY: one part per piece.
            let dw = unsafe { out.part(piece * size, size) };
            for n in piece * s.n / pieces..(piece + 1) * s.n / pieces {
                let (x, dy) = (&x[n * image..][..image], &dy[n * out_image..][..out_image]);
                for at in 0..per_image {
                    pairs(s, at / s.out_sp[1], at % s.out_sp[1], |o, i, tap| {
                        let dw = &mut dw[tap * s.c_out..][..s.c_out];
                        let (x, dy) = (&x[i * s.c_in..][..s.c_in], &dy[o * s.c_out..][..s.c_out]);
                        multiply_add(m, dw, x, dy);
                    });
                }
            }
        });
    }
    dw.fill(T::of(0.0));
    for piece in sums.chunks_exact(size) {
        for (dw, &p) in dw.iter_mut().zip(piece) {
            *dw = *dw + p;
        }
    }
    Ok(())
}
