//! Views: reshape, transpose, broadcast.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::*;
use crate::shape::{Dim, Shape, Spec};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// The same elements under another shape.
#[derive(Debug)]
pub struct Reshape {
    /// The sizes; -1 stands for what is left, at most once.
    pub shape: Vec<i64>,
}

impl Op for Reshape {
    fn name(&self) -> &'static str {
        "reshape"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("newshape", Attr::Ints(self.shape.clone()))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let bad = || {
            Error::value(
                "reshape",
                format!("a shape of as many elements as {}", x[0].shape),
                format!("newshape={:?}", self.shape),
            )
        };
        if self.shape.iter().filter(|&&d| d < 0).count() > 1 || self.shape.iter().any(|&d| d < -1) {
            return Err(bad().hint("use -1 for one dimension at most"));
        }
        let given: usize = self.shape.iter().filter(|&&d| d >= 0).map(|&d| d as usize).product();
        let hole: Dim = match x[0].shape.len() {
            Some(len) if self.shape.contains(&-1) => {
                if given == 0 || len % given != 0 {
                    return Err(bad());
                }
                Some(len / given)
            }
            Some(len) if len != given => return Err(bad()),
            _ => None,
        };
        let dims = self.shape.iter().map(|&d| if d < 0 { hole } else { Some(d as usize) });
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, _: &[View<'_>], _: &mut [ViewMut<'_>], _: &Faults) {
        unreachable!("a view")
    }

    fn view(&self, x: &Layout, out: &[usize]) -> Option<Layout> {
        x.reshape(out)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(reshape_like(&cx.dy(0)?, &cx.x[0])?)])
    }

    fn traits(&self) -> Traits {
        Traits {
            view: true,
            strided: true,
            vjp_ignores_inputs: true,
            vjp_ignores_outputs: true,
            ..Traits::default()
        }
    }
}

/// `x` under another shape; -1 stands for what is left.
pub fn reshape(x: &Value, shape: &[i64]) -> Result<Value> {
    push1(Reshape { shape: shape.to_vec() }, std::slice::from_ref(x))
}

/// `x` under the shape of `other`, at most one dimension of which may be unknown.
pub fn reshape_like(x: &Value, other: &Value) -> Result<Value> {
    let shape: SmallVec<[i64; 6]> = other.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    reshape(x, &shape)
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![OpDef {
        name: "reshape",
        make: |a| Ok(Arc::new(Reshape { shape: a.ints("newshape")? })),
        samples: || {
            vec![
                Sample::new(Reshape { shape: vec![3, -1] }, vec![Draw::float(&[2, 3, 2])]),
                Sample::new(Reshape { shape: vec![] }, vec![Draw::float(&[1, 1])]),
            ]
        },
    }]
}
