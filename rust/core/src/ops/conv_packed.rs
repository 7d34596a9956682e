//! Convolution with a kernel packed ahead: what the compiler makes of convolutions whose kernel does not change while a
//! program runs again and again. Never registered; [`Conv`] has the gradients.

use rkeras_kernels::conv as kernel;

use crate::dtype::DType;
use crate::error::Result;
use crate::op::*;
use crate::ops::conv::Conv;
use crate::shape::Spec;
use crate::tensor::{View, ViewMut};

/// The kernel (input 0) of a convolution of inputs of shape `x`, in the order in which it is read.
#[derive(Clone, Debug)]
pub struct ConvPack {
    /// The convolution.
    pub conv: Conv,
    /// The shape of its input.
    pub x: Vec<usize>,
    /// The shape of its kernel.
    pub k: Vec<usize>,
    /// What it computes in.
    pub dtype: DType,
}

/// The convolution: inputs x, packed kernel, a bias if `bias`, a tensor like the output that is added if `residual`; then
/// relu if `relu`.
#[derive(Clone, Debug)]
pub struct ConvPacked {
    /// How the kernel was packed.
    pub pack: ConvPack,
    /// There is a bias.
    pub bias: bool,
    /// There is a residual.
    pub residual: bool,
    /// Negative results become zero.
    pub relu: bool,
}

macro_rules! by_float {
    ($dtype:expr, $m:ident) => {
        if $dtype == DType::F64 { $m!(f64) } else { $m!(f32) }
    };
}

impl ConvPack {
    /// Elements of the packed kernel; `None` if packing ahead does not pay.
    pub fn packed_len(&self) -> Option<usize> {
        let s = self.conv.geometry("conv", &self.x, &self.k).ok()?;
        macro_rules! run {
            ($t:ty) => {
                kernel::packed_len::<$t>(&s)
            };
        }
        by_float!(self.dtype, run)
    }
}

impl Op for ConvPack {
    fn name(&self) -> &'static str {
        "conv_pack"
    }

    fn infer(&self, _: &[Spec]) -> Result<Outputs<Spec>> {
        Ok(Outputs::from_elem(Spec::known(&[self.packed_len().unwrap_or(0)], self.dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let s = self.conv.geometry("conv", &self.x, &self.k).expect("infer found the geometry");
        macro_rules! run {
            ($t:ty) => {
                kernel::pack(&s, x[0].slice::<$t>(), y[0].slice::<$t>())
            };
        }
        if by_float!(self.dtype, run).is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::None("made after differentiation")
    }
}

impl Op for ConvPacked {
    fn name(&self) -> &'static str {
        "conv_packed"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        self.pack.conv.infer(&[x[0].clone(), Spec::known(&self.pack.k, self.pack.dtype)])
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let s =
            self.pack.conv.geometry("conv", &self.pack.x, &self.pack.k).expect("infer found the geometry");
        macro_rules! run {
            ($t:ty) => {{
                let bias = self.bias.then(|| x[2].slice::<$t>());
                let residual = self.residual.then(|| x[2 + usize::from(self.bias)].slice::<$t>());
                let (x, packed) = (x[0].slice::<$t>(), x[1].slice::<$t>());
                kernel::forward_packed(
                    &s,
                    x,
                    packed,
                    bias,
                    residual,
                    self.relu,
                    self.pack.conv.rounded,
                    y[0].slice::<$t>(),
                )
            }};
        }
        if by_float!(self.pack.dtype, run).is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::None("made after differentiation")
    }
}
