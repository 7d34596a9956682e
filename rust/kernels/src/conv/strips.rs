//! Convolution by strips, for outputs whose rows are too short for tiles of their own: the inputs that a run of pixels sees
//! are laid side by side and multiplied with the kernel as matrices.

use super::geometry::{Geometry, Place};
use crate::buffer::{AllocError, Buffer};
use crate::gemm::{Epilogue, Mat, PackedB, Scalar, gemm_packed};
use crate::par;
use crate::shared::Shared;

/// Bytes of a strip: it stays in the second-level cache beside the kernel.
const STRIP: usize = 96 << 10;

/// Pixels per strip for rows of `width` elements.
fn strip_pixels<T>(width: usize, pixels: usize) -> usize {
    let most = (STRIP / size_of::<T>() / width.max(1)).clamp(12, 1536);
    // Even pieces, and enough of them for several threads.
    let pieces = pixels.div_ceil(most).max(8.min(pixels.div_ceil(48)));
    pixels.div_ceil(pieces.max(1)).next_multiple_of(6)
}

/// Multiplies strips with a packed kernel.
pub(super) fn convolve<T: Scalar>(
    g: &Geometry,
    x: &[T],
    packed: &PackedB<T>,
    ep: Epilogue<'_, T>,
    y: &mut [T],
    place: &Place,
) -> Result<(), AllocError> {
    let [ad, ah, aw] = g.axes;
    let place = &|p: usize| {
        let (w, rest) = (p % aw.n_out, p / aw.n_out);
        let (h, rest) = (rest % ah.n_out, rest / ah.n_out);
        place.of(rest / ad.n_out, rest % ad.n_out, h, w)
    };
    let (pixels, width) = (g.pixels(), g.k());
    if pixels == 0 {
        return Ok(());
    }
    let step = strip_pixels::<T>(width, pixels);
    let failed = std::sync::atomic::AtomicBool::new(false);
    let length = y.len();
    let out = Shared::new(y);
    par::run(pixels.div_ceil(step), |i| {
        let (from, to) = (i * step, (i * step + step).min(pixels));
        let Ok(mut strip) = Buffer::scratch((to - from) * width * size_of::<T>()) else {
            failed.store(true, std::sync::atomic::Ordering::Relaxed);
            return;
        };
        let strip = crate::convert::elements_mut::<T>(strip.bytes_mut());
        g.strip(x, from, to, strip);
        let mut p = from;
        while p < to {
            // As many pixels as go to evenly spaced rows.
            let run = run_length(p, to, place);
            let step = if run > 1 { place(p + 1) - place(p) } else { packed.n() };
            let reach = (run - 1) * step + packed.n();
            // SAFETY: every pixel has rows of its own, and groups take different columns one after the other.
            let c = unsafe { out.part(place(p), reach.min(length - place(p))) };
            let a = Mat::rows(&strip[(p - from) * width..], width);
            gemm_packed(run, a, packed, c, step, false, ep);
            p += run;
        }
    });
    if failed.into_inner() { Err(AllocError { bytes: step * width * size_of::<T>() }) } else { Ok(()) }
}

fn run_length(p: usize, to: usize, place: &(dyn Fn(usize) -> usize + Sync)) -> usize {
    if p + 1 >= to {
        return 1;
    }
    let first = place(p);
    let Some(step) = place(p + 1).checked_sub(first).filter(|&s| s > 0) else { return 1 };
    // Rows are evenly spaced all the way in the usual case, which one look at the end shows.
    if place(to - 1) == first + (to - 1 - p) * step
        && place((p + to) / 2) == first + ((p + to) / 2 - p) * step
    {
        return to - p;
    }
    let mut run = 2;
    while p + run < to && place(p + run) == first + run * step {
        run += 1;
    }
    run
}
