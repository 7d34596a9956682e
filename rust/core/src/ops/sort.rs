//! Ordering along the last axis: argsort and top-k. Sorting itself selects by argsort, which has a gradient.

use std::sync::Arc;

use half::{bf16, f16};
use rkeras_kernels::sort as kernel;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::elementwise::with_element;
use crate::ops::gather::AddAlongAxis;
use crate::shape::Spec;
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// The positions (int32) that put the elements along the last axis in ascending order; equal ones keep their order.
#[derive(Debug)]
pub struct ArgSort;

impl Op for ArgSort {
    fn name(&self) -> &'static str {
        "argsort"
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        if x[0].shape.rank() == 0 {
            return Err(Error::value("argsort", "at least one axis", "a scalar"));
        }
        Ok(Outputs::from_elem(Spec::new(x[0].shape.clone(), DType::I32), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        let mut order = vec![0i64; x[0].len()];
        macro_rules! run {
            ($t:ty) => {
                kernel::argsort(x[0].slice::<$t>(), n, &mut order)
            };
        }
        with_element!(x[0].dtype, run);
        rkeras_kernels::convert::convert(&order, y[0].slice::<i32>());
    }

    fn grad(&self) -> Grad {
        Grad::None("positions do not vary continuously")
    }
}

/// The k largest along the last axis, largest first, and where they are (int32).
#[derive(Debug)]
pub struct TopK {
    /// How many.
    pub k: i64,
}

impl Op for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("k", Attr::Int(self.k))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let last = x[0].shape.last().copied().flatten();
        if x[0].shape.rank() == 0 || self.k < 0 || last.is_some_and(|n| self.k as usize > n) {
            return Err(Error::value(
                "top_k",
                format!("k of at most the last size of shape {}", x[0].shape),
                format!("k={}", self.k),
            ));
        }
        let mut out = x[0].shape.clone();
        if let Some(d) = out.0.last_mut() {
            *d = Some(self.k as usize);
        }
        Ok(Outputs::from_vec(vec![Spec::new(out.clone(), x[0].dtype), Spec::new(out, DType::I32)]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        let [values, places] = y else { unreachable!("two outputs") };
        if values.is_empty() {
            return;
        }
        macro_rules! run {
            ($t:ty) => {
                kernel::top_k(
                    x[0].slice::<$t>(),
                    n,
                    self.k as usize,
                    values.slice::<$t>(),
                    places.slice::<i32>(),
                )
            };
        }
        with_element!(x[0].dtype, run);
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let x = &cx.x[0];
        let size =
            x.shape()[x.rank() - 1].ok_or_else(|| Error::internal("top_k", "unknown size in a gradient"))?;
        let add = AddAlongAxis { axis: x.rank() as i64 - 1, size: size as i64 };
        Ok(vec![Some(push1(add, &[cx.dy(0)?, cx.y[1].clone()])?)])
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "argsort",
            make: |_| Ok(Arc::new(ArgSort)),
            samples: || vec![Sample::new(ArgSort, vec![Draw::float(&[3, 7])])],
        },
        OpDef {
            name: "top_k",
            make: |a| Ok(Arc::new(TopK { k: a.int("k")? })),
            samples: || vec![Sample::new(TopK { k: 3 }, vec![Draw::float(&[2, 7])])],
        },
    ]
}
