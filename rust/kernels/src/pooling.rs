//! Max and average pooling in one to three dimensions, channels last, forward and backward.
//!
//! Forward passes keep a window in registers (`pooling_forward`); the others walk whole channel vectors. All
//! of them are cut alike: images (and blocks of channels) are independent, so a region is cut
//! into the same pieces whatever the number of threads.

use crate::isa::Level;
use crate::par;
use crate::pooling_blocks as blocks;
use crate::pooling_forward as forward;

/// The geometry; one- and two-dimensional pooling lead with ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    /// Images.
    pub n: usize,
    /// Input sizes.
    pub in_sp: [usize; 3],
    /// Output sizes.
    pub out_sp: [usize; 3],
    /// Channels.
    pub c: usize,
    /// Window sizes.
    pub window: [usize; 3],
    /// Steps of the window.
    pub stride: [usize; 3],
    /// Padding before the first element; what sticks out behind is implied by `out_sp`.
    pub pad_lo: [usize; 3],
}

/// The element types that pooling works on.
pub trait Real:
    Copy + PartialOrd + Send + Sync + std::ops::AddAssign + std::ops::Mul<Output = Self> + 'static
{
    /// 0.
    const ZERO: Self;
    /// Below all numbers.
    const LOWEST: Self;
    /// 1 / n.
    fn one_over(n: usize) -> Self;
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const LOWEST: f32 = f32::NEG_INFINITY;
    fn one_over(n: usize) -> f32 {
        1.0 / n as f32
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const LOWEST: f64 = f64::NEG_INFINITY;
    fn one_over(n: usize) -> f64 {
        1.0 / n as f64
    }
}

/// Channels per piece of work; images of more channels are cut, so that few images still feed several threads.
const CHANNEL_BLOCK: usize = 64;

#[derive(Clone, Copy)]
enum Pass {
    MaxGrad,
    AverageGrad,
    MaxGather,
}

/// A pointer that pieces of one region share; they touch disjoint elements.
struct Shared<T>(*mut T);
// SAFETY: pieces write disjoint (image, channel block) parts, see `run`.
unsafe impl<T: Send> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Shared<T> {}

impl PoolShape {
    fn in_len(&self) -> usize {
        self.in_sp.iter().product::<usize>() * self.c
    }

    fn out_len(&self) -> usize {
        self.out_sp.iter().product::<usize>() * self.c
    }

    /// First and one-past-last input index under the window at output index `o` of axis `d`.
    #[inline(always)]
    pub(crate) fn span(&self, d: usize, o: usize) -> (usize, usize) {
        let start = o * self.stride[d];
        let lo = start.saturating_sub(self.pad_lo[d]);
        let hi = (start + self.window[d]).saturating_sub(self.pad_lo[d]).min(self.in_sp[d]);
        (lo.min(hi), hi)
    }
}

/// One image, channels `c0..c1`. `x` is the image's input, `small` has the shape of the output, `big` of the input.
#[inline(always)]
unsafe fn image<T: Real>(s: &PoolShape, pass: Pass, x: &[T], dy: &[T], out: *mut T, c0: usize, c1: usize) {
    let (cn, c) = (c1 - c0, s.c);
    let [_, h, w] = s.in_sp;
    let mut best = [T::ZERO; CHANNEL_BLOCK];
    let mut at = [0u32; CHANNEL_BLOCK];
    let (best, at) = (&mut best[..cn], &mut at[..cn]);
    if matches!(pass, Pass::MaxGrad | Pass::AverageGrad) {
        for p in 0..s.in_sp.iter().product::<usize>() {
            for i in 0..cn {
                // SAFETY: p and c0 + i stay inside the image of in_len elements.
                unsafe { *out.add(p * c + c0 + i) = T::ZERO };
            }
        }
    }
    let mut o = 0;
    for od in 0..s.out_sp[0] {
        let (d0, d1) = s.span(0, od);
        for oh in 0..s.out_sp[1] {
            let (h0, h1) = s.span(1, oh);
            for ow in 0..s.out_sp[2] {
                let (w0, w1) = s.span(2, ow);
                let here = o * c + c0;
                o += 1;
                let scale = T::one_over(((d1 - d0) * (h1 - h0) * (w1 - w0)).max(1));
                match pass {
                    Pass::MaxGrad | Pass::MaxGather => {
                        best.fill(T::LOWEST);
                        at.fill(u32::MAX);
                        for id in d0..d1 {
                            for ih in h0..h1 {
                                for iw in w0..w1 {
                                    let p = (id * h + ih) * w + iw;
                                    let row = &x[p * c + c0..][..cn];
                                    for i in 0..cn {
                                        let better = row[i] > best[i] || at[i] == u32::MAX;
                                        best[i] = if better { row[i] } else { best[i] };
                                        at[i] = if better { p as u32 } else { at[i] };
                                    }
                                }
                            }
                        }
                        for i in 0..cn {
                            // SAFETY: `here + i` is inside the output; `at` holds positions inside the input.
                            unsafe {
                                match pass {
                                    _ if at[i] == u32::MAX => {}
                                    Pass::MaxGrad => *out.add(at[i] as usize * c + c0 + i) += dy[here + i],
                                    _ => *out.add(here + i) = dy[at[i] as usize * c + c0 + i],
                                }
                            }
                        }
                    }
                    Pass::AverageGrad => {
                        for i in 0..cn {
                            best[i] = dy[here + i] * scale;
                        }
                        for id in d0..d1 {
                            for ih in h0..h1 {
                                for iw in w0..w1 {
                                    let p = ((id * h + ih) * w + iw) * c + c0;
                                    for i in 0..cn {
                                        // SAFETY: inside the input.
                                        unsafe { *out.add(p + i) += best[i] };
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn image_avx2<T: Real>(
    s: &PoolShape,
    pass: Pass,
    x: &[T],
    dy: &[T],
    out: *mut T,
    c0: usize,
    c1: usize,
) {
    // SAFETY: the caller's promises are passed on.
    unsafe { image(s, pass, x, dy, out, c0, c1) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
unsafe fn image_avx512<T: Real>(
    s: &PoolShape,
    pass: Pass,
    x: &[T],
    dy: &[T],
    out: *mut T,
    c0: usize,
    c1: usize,
) {
    // SAFETY: the caller's promises are passed on.
    unsafe { image(s, pass, x, dy, out, c0, c1) }
}

fn run<T: Real>(level: Level, s: &PoolShape, pass: Pass, x: &[T], dy: &[T], out: &mut [T]) {
    let (il, ol) = (s.in_len(), s.out_len());
    let (x_len, dy_len, out_len) = match pass {
        Pass::MaxGrad => (il, ol, il),
        Pass::AverageGrad => (0, ol, il),
        Pass::MaxGather => (il, il, ol),
    };
    assert!(x.len() >= s.n * x_len && dy.len() >= s.n * dy_len && out.len() >= s.n * out_len);
    let blocks = s.c.div_ceil(CHANNEL_BLOCK);
    let shared = Shared(out.as_mut_ptr());
    let shared = &shared;
    // Small images go several to a piece, so that handing out a piece costs little beside its work.
    let images = (16384 / (il.min(blocks * CHANNEL_BLOCK * il / s.c.max(1)).max(1))).max(1);
    par::run(s.n.div_ceil(images) * blocks, |piece| {
        let (group, block) = (piece / blocks, piece % blocks);
        let (c0, c1) = (block * CHANNEL_BLOCK, ((block + 1) * CHANNEL_BLOCK).min(s.c));
        for n in group * images..((group + 1) * images).min(s.n) {
            let (x, dy) = (&x[n * x_len..][..x_len], &dy[n * dy_len..][..dy_len]);
            // SAFETY: piece (group, block) alone writes channels c0..c1 of its images; lengths were checked above,
            // and the level was found on this machine.
            unsafe {
                let out = shared.0.add(n * out_len);
                match level {
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx512 => image_avx512(s, pass, x, dy, out, c0, c1),
                    #[cfg(target_arch = "x86_64")]
                    Level::Avx2 => image_avx2(s, pass, x, dy, out, c0, c1),
                    _ => image(s, pass, x, dy, out, c0, c1),
                }
            }
        }
    });
}

/// The maximum under each window; padding does not count.
pub fn max<T: crate::isa::Float>(s: &PoolShape, x: &[T], y: &mut [T]) {
    forward::pool::<T, forward::Max>(crate::isa::level(), s, x, y);
}

/// Hands `dy` to the first maximum under each window. With `positive`, only to maxima above zero: `x` came out of a relu
/// whose gradient is taken in the same pass.
#[allow(private_bounds)]
pub fn max_grad<T: Real + crate::isa::Float>(s: &PoolShape, positive: bool, x: &[T], dy: &[T], dx: &mut [T]) {
    max_grad_at(crate::isa::level(), s, positive, x, dy, dx);
}

fn max_grad_at<T: Real + crate::isa::Float>(
    level: Level,
    s: &PoolShape,
    positive: bool,
    x: &[T],
    dy: &[T],
    dx: &mut [T],
) {
    if blocks::fits(s) {
        return blocks::max_grad(level, s, positive, x, dy, dx);
    }
    run(level, s, Pass::MaxGrad, x, dy, dx);
    if positive {
        let out = crate::shared::Shared::new(dx);
        crate::shared::ranges(x.len(), crate::shared::GRAIN, |from, to| {
            // SAFETY: ranges are disjoint.
            let dx = unsafe { out.part(from, to - from) };
            for (dx, x) in dx.iter_mut().zip(&x[from..to]) {
                *dx = if *x > <T as Real>::ZERO { *dx } else { <T as Real>::ZERO };
            }
        });
    }
}

/// The element of `v` (shaped like the input) where `x` has the first maximum under each window.
pub fn max_gather<T: Real>(s: &PoolShape, x: &[T], v: &[T], y: &mut [T]) {
    run(crate::isa::level(), s, Pass::MaxGather, x, v, y);
}

/// The mean under each window; padding does not count.
pub fn average<T: crate::isa::Float>(s: &PoolShape, x: &[T], y: &mut [T]) {
    forward::pool::<T, forward::Mean>(crate::isa::level(), s, x, y);
}

/// Spreads `dy` evenly over each window.
pub fn average_grad<T: Real>(s: &PoolShape, dy: &[T], dx: &mut [T]) {
    run(crate::isa::level(), s, Pass::AverageGrad, &[], dy, dx);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn levels() -> Vec<Level> {
        [Level::Portable, Level::Avx2, Level::Avx512]
            .into_iter()
            .filter(|&l| l <= crate::isa::detect())
            .collect()
    }

    #[test]
    fn max_and_its_gradient() {
        // One image of 1×3×3, one channel, window 2, stride 1.
        let s = PoolShape {
            n: 1,
            in_sp: [1, 3, 3],
            out_sp: [1, 2, 2],
            c: 1,
            window: [1, 2, 2],
            stride: [1, 1, 1],
            pad_lo: [0; 3],
        };
        let x = [1f32, 5., 2., 5., 0., 3., 4., 7., 6.];
        for level in levels() {
            let (mut y, mut dx, mut back) = ([0f32; 4], [9f32; 9], [0f32; 4]);
            forward::pool::<_, forward::Max>(level, &s, &x, &mut y);
            assert_eq!(y, [5., 5., 7., 7.]);
            run(level, &s, Pass::MaxGrad, &x, &[1., 2., 4., 8.], &mut dx);
            // Both 5s under the first window: the first one gets the gradient.
            assert_eq!(dx, [0., 3., 0., 0., 0., 0., 0., 12., 0.]);
            run(level, &s, Pass::MaxGather, &x, &dx, &mut back);
            assert_eq!(back, [3., 3., 12., 12.]);
        }
    }

    #[test]
    fn average_leaves_padding_out() {
        let s = PoolShape {
            n: 2,
            in_sp: [1, 1, 3],
            out_sp: [1, 1, 2],
            c: 70,
            window: [1, 1, 2],
            stride: [1, 1, 2],
            pad_lo: [0; 3],
        };
        let x: Vec<f64> = (0..2 * 3 * 70).map(f64::from).collect();
        for level in levels() {
            let (mut y, mut dx) = (vec![0.0; 2 * 2 * 70], vec![0.0; x.len()]);
            forward::pool::<_, forward::Mean>(level, &s, &x, &mut y);
            assert_eq!((y[0], y[70], y[139]), (35.0, 140.0, 209.0));
            run(level, &s, Pass::AverageGrad, &[], &y, &mut dx);
            assert_eq!((dx[0], dx[70], dx[140]), (17.5, 17.5, 140.0));
        }
    }

    /// Channels that fill several vectors and a part of one, windows that overlap and stick out, and a NaN.
    #[test]
    fn forward_equals_the_plain_loops() {
        let s = PoolShape {
            n: 2,
            in_sp: [1, 5, 4],
            out_sp: [1, 3, 3],
            c: 70,
            window: [1, 3, 2],
            stride: [1, 2, 2],
            pad_lo: [0, 1, 1],
        };
        let mut x: Vec<f32> = (0..2 * s.in_len()).map(|i| (i * 37 % 101) as f32 - 50.0).collect();
        x[7] = f32::NAN;
        let (mut largest, mut mean) = (vec![], vec![]);
        for o in 0..2 * s.out_len() {
            let (c, o) = (o % s.c, o / s.c);
            let (ow, oh, n) = (o % 3, o / 3 % 3, o / 9);
            let ((h0, h1), (w0, w1)) = (s.span(1, oh), s.span(2, ow));
            let under: Vec<f32> = (h0..h1)
                .flat_map(|h| (w0..w1).map(move |w| (h, w)))
                .map(|(h, w)| x[((n * 5 + h) * 4 + w) * s.c + c])
                .collect();
            let nan = under.iter().any(|v| v.is_nan());
            largest.push(if nan { f32::NAN } else { under.iter().copied().fold(f32::LOWEST, f32::max) });
            mean.push(under.iter().sum::<f32>() * (1.0 / under.len() as f32));
        }
        for level in levels() {
            let mut y = vec![0f32; largest.len()];
            forward::pool::<_, forward::Max>(level, &s, &x, &mut y);
            assert!(y.iter().zip(&largest).all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{level:?}");
            forward::pool::<_, forward::Mean>(level, &s, &x, &mut y);
            assert!(y.iter().zip(&mean).all(|(a, b)| a == b || a.is_nan() && b.is_nan()), "{level:?}");
        }
    }

    /// Windows side by side, with a rim that none covers, give what the general way gives, at every level.
    #[test]
    fn windows_side_by_side() {
        for (in_sp, out_sp, window, c) in [
            ([1, 5, 7], [1, 2, 3], [1, 2, 2], 19),
            ([1, 1, 9], [1, 1, 3], [1, 1, 3], 16),
            ([3, 4, 4], [1, 2, 2], [2, 2, 2], 35),
        ] {
            let s = PoolShape { n: 3, in_sp, out_sp, c, window, stride: window, pad_lo: [0; 3] };
            assert!(blocks::fits(&s));
            let draw = |n: usize, m: usize| (0..n).map(|i| (i * m % 7) as f32 - 3.0).collect::<Vec<_>>();
            let x = draw(3 * s.in_len(), 5);
            let dy = draw(3 * s.out_len(), 3);
            let (mut want, mut got) = (vec![9f32; x.len()], vec![9f32; x.len()]);
            run(Level::Portable, &s, Pass::MaxGrad, &x, &dy, &mut want);
            for level in levels() {
                max_grad_at(level, &s, false, &x, &dy, &mut got);
                assert_eq!(got, want, "{s:?}");
                max_grad_at(level, &s, true, &x, &dy, &mut got);
                let gated = want.iter().zip(&x).map(|(&d, &x)| if x > 0.0 { d } else { 0.0 });
                assert!(gated.eq(got.iter().copied()), "{s:?}");
            }
        }
    }
}
