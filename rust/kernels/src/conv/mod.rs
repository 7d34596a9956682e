//! Convolution in one to three dimensions, channels last, forward and both gradients.
//!
//! No tensor is unrolled as a whole. A region works on rows of output pixels: it lays the input pixels that a short run of
//! outputs sees side by side (`[pixel][tap][channel]`, a few hundred kilobytes at most, or nothing where the input is laid
//! out so already), and multiplies them with the kernel, which is packed once. The gradient for the input is the same
//! with the kernel turned around and its channels swapped, one phase of the stride at a time; the gradient for the kernel
//! multiplies the same strips, transposed, with the gradients of the outputs, over pieces whose number is a function of
//! the shape.

mod dense;
mod depthwise;
mod direct;
mod geometry;
mod multiplied;
mod outer;
mod strips;
#[cfg(test)]
mod tests;
mod tile;
mod winograd;

use crate::buffer::AllocError;
use crate::gemm::Scalar;
use crate::isa::level;
use crate::map::Unary;
pub(crate) use dense::Repeated;

/// The geometry; one- and two-dimensional convolutions lead with ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    /// Images.
    pub n: usize,
    /// Input sizes.
    pub in_sp: [usize; 3],
    /// Input channels.
    pub c_in: usize,
    /// Output sizes.
    pub out_sp: [usize; 3],
    /// Output channels.
    pub c_out: usize,
    /// Kernel sizes.
    pub k: [usize; 3],
    /// Steps of the window.
    pub stride: [usize; 3],
    /// Steps inside of the window.
    pub dilation: [usize; 3],
    /// Zeros before the first element; what sticks out behind is implied by `out_sp`.
    pub pad_lo: [usize; 3],
    /// Input and output channels fall into this many independent groups.
    pub groups: usize,
}

impl ConvShape {
    /// Elements of the input.
    pub fn x_len(&self) -> usize {
        self.n * self.in_sp.iter().product::<usize>() * self.c_in
    }

    /// Elements of the output.
    pub fn y_len(&self) -> usize {
        self.n * self.out_sp.iter().product::<usize>() * self.c_out
    }

    /// Elements of the kernel.
    pub fn w_len(&self) -> usize {
        self.taps() * (self.c_in / self.groups) * self.c_out
    }

    pub(crate) fn taps(&self) -> usize {
        self.k.iter().product()
    }

    /// Every channel by itself: worth a loop of its own.
    fn is_depthwise(&self) -> bool {
        self.groups == self.c_in && self.groups > 1
    }

    fn check(&self, x: usize, w: usize, y: usize) {
        assert!(
            x == self.x_len() && w == self.w_len() && y == self.y_len(),
            "conv: {x}, {w} and {y} elements do not fit {self:?}"
        );
    }
}

/// `y = x * w (+ bias, then the activation)`; kernel layout [taps..., c_in / groups, c_out]. With `rounded` the sum and
/// what is made of it are rounded to bfloat16 step by step.
#[allow(private_bounds)]
pub fn forward<T: Scalar>(
    s: &ConvShape,
    x: &[T],
    w: &[T],
    bias: Option<&[T]>,
    activation: Option<Unary>,
    rounded: bool,
    y: &mut [T],
) -> Result<(), AllocError> {
    s.check(x.len(), w.len(), y.len());
    if y.is_empty() {
        return Ok(());
    }
    if s.is_depthwise() && s.c_out == s.c_in {
        let relu = activation == Some(Unary::Relu);
        let finish = direct::Finish { bias, residual: None, least: relu.then_some(T::ZERO), rounded };
        depthwise::forward(level(), s, x, w, finish, y);
        if let Some(f) = activation.filter(|_| !relu) {
            activate(f, rounded, y);
        }
        return Ok(());
    }
    if s.is_depthwise() {
        multiplied::forward(s, x, w, y);
        return finish(s.c_out, bias, activation, rounded, y);
    }
    dense::forward(level(), s, x, w, bias, activation, rounded, y)
}

/// The gradient of the input, rounded to bfloat16 if `rounded`.
#[allow(private_bounds)]
pub fn input_grad<T: Scalar>(
    s: &ConvShape,
    dy: &[T],
    w: &[T],
    rounded: bool,
    dx: &mut [T],
) -> Result<(), AllocError> {
    s.check(dx.len(), w.len(), dy.len());
    if dx.is_empty() {
        return Ok(());
    }
    if s.is_depthwise() {
        if s.c_out == s.c_in {
            depthwise::input_grad(level(), s, dy, w, rounded, dx);
            return Ok(());
        }
        multiplied::input_grad(s, dy, w, dx);
        return finish(s.c_in, None, None, rounded, dx);
    }
    dense::input_grad(level(), s, dy, w, rounded, dx)
}

/// The gradient of the kernel, and that of a bias if it is asked for: the sum of dy for every channel.
#[allow(private_bounds)]
pub fn kernel_grad<T: Scalar + crate::reduce::Reducible>(
    s: &ConvShape,
    x: &[T],
    dy: &[T],
    dw: &mut [T],
    db: Option<&mut [T]>,
) -> Result<(), AllocError> {
    s.check(x.len(), dw.len(), dy.len());
    assert!(db.as_ref().is_none_or(|db| db.len() == s.c_out), "conv: a bias per channel");
    if s.groups == 1 && !dw.is_empty() {
        return dense::kernel_grad(level(), s, x, dy, dw, db);
    }
    if let Some(db) = db {
        crate::reduce::reduce(crate::reduce::Reduce::Sum, dy, [1, dy.len() / s.c_out.max(1), s.c_out], db);
    }
    if dw.is_empty() {
        return Ok(());
    }
    if s.is_depthwise() && s.c_out == s.c_in {
        return depthwise::kernel_grad(level(), s, x, dy, dw);
    }
    if s.is_depthwise() {
        return multiplied::kernel_grad(s, x, dy, dw);
    }
    dense::kernel_grad(level(), s, x, dy, dw, None)
}

/// Elements of the kernel as [`forward_packed`] wants it for this very shape; `None` if packing ahead does not pay.
#[allow(private_bounds)]
pub fn packed_len<T: Scalar>(s: &ConvShape) -> Option<usize> {
    dense::packed_len::<T>(level(), s)
}

/// Brings a kernel into the order of [`forward_packed`].
#[allow(private_bounds)]
pub fn pack<T: Scalar>(s: &ConvShape, w: &[T], out: &mut [T]) -> Result<(), AllocError> {
    assert!(w.len() == s.w_len() && Some(out.len()) == packed_len::<T>(s), "conv: a kernel of another shape");
    dense::pack(level(), s, w, out)
}

/// `y = x * kernel`, plus bias, plus residual (shaped like y), then zero for what is negative if `relu`; the kernel was
/// packed by [`pack`].
#[allow(private_bounds)]
pub fn forward_packed<T: Scalar>(
    s: &ConvShape,
    x: &[T],
    packed: &[T],
    bias: Option<&[T]>,
    residual: Option<&[T]>,
    relu: bool,
    rounded: bool,
    y: &mut [T],
) -> Result<(), AllocError> {
    s.check(x.len(), s.w_len(), y.len());
    let finish = direct::Finish { bias, residual, least: relu.then_some(T::ZERO), rounded };
    dense::forward_packed(level(), s, x, packed, finish, y)
}

/// Bias and activation for paths that have no epilogue of their own.
fn finish<T: Scalar>(
    c: usize,
    bias: Option<&[T]>,
    activation: Option<Unary>,
    rounded: bool,
    y: &mut [T],
) -> Result<(), AllocError> {
    if rounded {
        crate::map::unary_in_place(Unary::Bfloat16, y);
    }
    if let Some(bias) = bias {
        let grain = (1 << 14) / c.max(1) + 1;
        let rows = y.len() / c.max(1);
        let out = crate::shared::Shared::new(y);
        crate::shared::ranges(rows, grain, |start, end| {
            // SAFETY: ranges are disjoint.
            let part = unsafe { out.part(start * c, (end - start) * c) };
            for row in part.chunks_exact_mut(c) {
                for (y, &b) in row.iter_mut().zip(bias) {
                    *y = crate::gemm::round_if(rounded, *y + b);
                }
            }
        });
    }
    if let Some(f) = activation {
        activate(f, rounded, y);
    }
    Ok(())
}

/// An activation that no epilogue has.
fn activate<T: Scalar>(f: Unary, rounded: bool, y: &mut [T]) {
    crate::map::unary_in_place(f, y);
    if rounded && f != Unary::Relu {
        crate::map::unary_in_place(Unary::Bfloat16, y);
    }
}
