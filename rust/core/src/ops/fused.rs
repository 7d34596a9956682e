//! A chain of elementwise ops over one shape, made by the compiler and run tile by tile.

use std::sync::Arc;

use rkeras_kernels::convert::Kind;
pub use rkeras_kernels::vm::{Access, Step};
use rkeras_kernels::vm::{Chain, InputSpec};
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::kind;
use crate::shape::{Dims, Spec};
use crate::tensor::{View, ViewMut};

/// The chain. Never registered: only the compiler makes it, from ops that have gradients of their own.
#[derive(Debug)]
pub struct Fused {
    shape: Dims,
    inputs: Vec<InputSpec>,
    outputs: Vec<DType>,
    steps: Vec<Step>,
    chain: Planned,
}

#[derive(Debug)]
enum Planned {
    F32(Chain<f32>),
    F64(Chain<f64>),
}

impl Fused {
    /// A chain over `shape` that computes in float64 if `wide`, else in float32.
    pub fn new(
        shape: &[usize],
        wide: bool,
        inputs: Vec<(DType, Access)>,
        outputs: Vec<DType>,
        steps: Vec<Step>,
    ) -> Result<Fused> {
        let inputs = inputs
            .into_iter()
            .map(|(d, access)| InputSpec { kind: kind(d), access, in_place: None })
            .collect();
        Fused::plan(shape.into(), wide, inputs, outputs, steps)
    }

    fn plan(
        shape: Dims,
        wide: bool,
        inputs: Vec<InputSpec>,
        outputs: Vec<DType>,
        steps: Vec<Step>,
    ) -> Result<Fused> {
        let kinds: Vec<Kind> = outputs.iter().map(|&d| kind(d)).collect();
        let failed = |what| Error::internal("fused", what);
        let chain = if wide {
            Planned::F64(Chain::new(inputs.clone(), kinds, &steps).map_err(failed)?)
        } else {
            Planned::F32(Chain::new(inputs.clone(), kinds, &steps).map_err(failed)?)
        };
        Ok(Fused { shape, inputs, outputs, steps, chain })
    }

    /// How many steps.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Is there no step?
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Op for Fused {
    fn name(&self) -> &'static str {
        "fused"
    }

    fn infer(&self, _: &[Spec]) -> Result<Outputs<Spec>> {
        Ok(self.outputs.iter().map(|&d| Spec::known(&self.shape, d)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let len = self.shape.iter().product();
        let inputs: SmallVec<[&[u8]; 8]> = x
            .iter()
            .zip(&self.inputs)
            .map(|(v, s)| if s.in_place.is_some() { &[][..] } else { v.raw() })
            .collect();
        let mut outputs: SmallVec<[&mut [u8]; 4]> = y.iter_mut().map(|v| &mut *v.bytes).collect();
        match &self.chain {
            Planned::F32(chain) => chain.run(len, &inputs, &mut outputs),
            Planned::F64(chain) => chain.run(len, &inputs, &mut outputs),
        }
    }

    fn grad(&self) -> Grad {
        Grad::None("made after differentiation")
    }

    fn in_place(&self, reuse: &[Option<usize>]) -> Option<Arc<dyn Op>> {
        let mut inputs = self.inputs.clone();
        for (spec, &output) in inputs.iter_mut().zip(reuse) {
            let Some(o) = output else { continue };
            if spec.access != Access::Contiguous || spec.kind != kind(self.outputs[o]) {
                return None;
            }
            spec.in_place = Some(o);
        }
        let wide = matches!(self.chain, Planned::F64(_));
        let op =
            Fused::plan(self.shape.clone(), wide, inputs, self.outputs.clone(), self.steps.clone()).ok()?;
        Some(Arc::new(op))
    }
}
