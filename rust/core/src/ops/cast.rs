//! Changing the dtype.

use std::sync::Arc;

use rkeras_kernels::convert::Kind;

use crate::dtype::DType;
use crate::error::Result;
use crate::op::*;
use crate::shape::Spec;
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// The input in another dtype: floats are rounded or truncated towards zero, anything but zero is true.
#[derive(Debug)]
pub struct Cast {
    /// The dtype of the output.
    pub dtype: DType,
}

impl Op for Cast {
    fn name(&self) -> &'static str {
        "cast"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("dtype", Attr::DType(self.dtype))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        Ok(Outputs::from_elem(Spec::new(x[0].shape.clone(), self.dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        convert(&x[0], &mut y[0]);
    }

    fn grad(&self) -> Grad {
        if self.dtype.is_float() {
            Grad::Rule
        } else {
            Grad::None("integers and truth values do not vary continuously")
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(cast(&cx.dy(0)?, cx.x[0].dtype())?)])
    }

    fn traits(&self) -> Traits {
        Traits {
            lane: Some(Lane::Cast(self.dtype)),
            vjp_ignores_inputs: true,
            vjp_ignores_outputs: true,
            ..Traits::default()
        }
    }
}

fn convert(x: &View<'_>, y: &mut ViewMut<'_>) {
    rkeras_kernels::convert::convert_bytes(kind(x.dtype), x.raw(), kind(y.dtype), y.bytes);
}

/// The kernels' name of a dtype.
pub(crate) fn kind(dtype: DType) -> Kind {
    match dtype {
        DType::Bool => Kind::Bool,
        DType::U8 => Kind::U8,
        DType::U16 => Kind::U16,
        DType::U32 => Kind::U32,
        DType::U64 => Kind::U64,
        DType::I8 => Kind::I8,
        DType::I16 => Kind::I16,
        DType::I32 => Kind::I32,
        DType::I64 => Kind::I64,
        DType::F16 => Kind::F16,
        DType::BF16 => Kind::BF16,
        DType::F32 => Kind::F32,
        DType::F64 => Kind::F64,
    }
}

/// `x` in another dtype; `x` itself if it has that dtype already.
pub fn cast(x: &Value, dtype: DType) -> Result<Value> {
    if x.dtype() == dtype { Ok(x.clone()) } else { push1(Cast { dtype }, std::slice::from_ref(x)) }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![OpDef {
        name: "cast",
        make: |a| Ok(Arc::new(Cast { dtype: a.dtype("dtype")? })),
        samples: || {
            vec![
                Sample::new(Cast { dtype: DType::F32 }, vec![Draw::float(&[3, 5])]),
                Sample::new(Cast { dtype: DType::I32 }, vec![Draw::float(&[7])]),
                Sample::new(Cast { dtype: DType::Bool }, vec![Draw::Int(vec![4], 0, 2)]),
            ]
        },
    }]
}
