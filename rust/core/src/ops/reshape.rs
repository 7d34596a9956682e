//! Views: reshape, transpose, broadcast.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::*;
use crate::shape::{self, Dim, Shape, Spec};
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

/// The axes in another order.
#[derive(Debug)]
pub struct Transpose {
    /// Axis `i` of the result is axis `axes[i]` of the input.
    pub axes: Vec<i64>,
}

impl Transpose {
    fn order(&self, rank: usize) -> Result<SmallVec<[usize; 6]>> {
        let order: SmallVec<[usize; 6]> =
            self.axes.iter().map(|&a| shape::axis("transpose", a, rank)).collect::<Result<_>>()?;
        let mut seen: SmallVec<[usize; 6]> = order.clone();
        seen.sort_unstable();
        if seen.iter().copied().ne(0..rank) {
            return Err(Error::value(
                "transpose",
                format!("every axis of rank {rank} once"),
                format!("axes={:?}", self.axes),
            ));
        }
        Ok(order)
    }
}

impl Op for Transpose {
    fn name(&self) -> &'static str {
        "transpose"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axes", Attr::Ints(self.axes.clone()))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let order = self.order(x[0].shape.rank())?;
        let dims = order.iter().map(|&i| x[0].shape[i]);
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, _: &[View<'_>], _: &mut [ViewMut<'_>], _: &Faults) {
        unreachable!("a view")
    }

    fn view(&self, x: &Layout, _: &[usize]) -> Option<Layout> {
        Some(x.permute(&self.order(x.rank()).ok()?))
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let order = self.order(self.axes.len())?;
        let mut back = vec![0i64; order.len()];
        for (i, &o) in order.iter().enumerate() {
            back[o] = i as i64;
        }
        Ok(vec![Some(transpose(&cx.dy(0)?, &back)?)])
    }

    fn traits(&self) -> Traits {
        VIEW
    }
}

/// What all views have in common.
pub(crate) const VIEW: Traits = Traits {
    lane: None,
    view: true,
    strided: true,
    promotes: false,
    promote_from: 0,
    floats: false,
    effect: false,
    vjp_ignores_inputs: true,
    vjp_ignores_outputs: true,
    selects: true,
};

/// The elements repeated along axes of size one and new leading axes.
#[derive(Debug)]
pub struct BroadcastTo {
    /// The sizes; -1 keeps the size of the input's axis.
    pub shape: Vec<i64>,
}

impl Op for BroadcastTo {
    fn name(&self) -> &'static str {
        "broadcast_to"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("shape", Attr::Ints(self.shape.clone()))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let from = &x[0].shape;
        let bad = || {
            Error::value(
                "broadcast_to",
                format!("a shape that {from} broadcasts to"),
                format!("shape={:?}", self.shape),
            )
        };
        let lead = self.shape.len().checked_sub(from.rank()).ok_or_else(bad)?;
        let mut out = Shape::default();
        for (i, &d) in self.shape.iter().enumerate() {
            let have = if i < lead { Some(1) } else { from[i - lead] };
            out.0.push(match (d, have) {
                (-1, _) if i >= lead => have,
                (d, _) if d < 0 => return Err(bad()),
                (d, None | Some(1)) => Some(d as usize),
                (d, Some(h)) if d as usize == h => Some(h),
                _ => return Err(bad()),
            });
        }
        // A repeated scalar takes no memory, but its elements must be countable.
        if let Some(dims) = out.dims() {
            crate::tensor::byte_len(&dims, x[0].dtype)?;
        }
        Ok(Outputs::from_elem(Spec::new(out, x[0].dtype), 1))
    }

    fn eval(&self, _: &[View<'_>], _: &mut [ViewMut<'_>], _: &Faults) {
        unreachable!("a view")
    }

    fn view(&self, x: &Layout, out: &[usize]) -> Option<Layout> {
        x.broadcast(out)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        // The engine sums the repeated axes away.
        Ok(vec![Some(cx.dy(0)?)])
    }

    fn traits(&self) -> Traits {
        VIEW
    }
}

/// The axes in another order.
pub fn transpose(x: &Value, axes: &[i64]) -> Result<Value> {
    push1(Transpose { axes: axes.to_vec() }, std::slice::from_ref(x))
}

/// `x` repeated to `shape`; -1 keeps a size.
pub fn broadcast_to(x: &Value, shape: &[i64]) -> Result<Value> {
    push1(BroadcastTo { shape: shape.to_vec() }, std::slice::from_ref(x))
}

/// `x` repeated to the shape of `other`.
pub fn broadcast_like(x: &Value, other: &Value) -> Result<Value> {
    if x.shape() == other.shape() {
        return Ok(x.clone());
    }
    let shape: SmallVec<[i64; 6]> = other.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    broadcast_to(x, &shape)
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "reshape",
            make: |a| Ok(Arc::new(Reshape { shape: a.ints("newshape")? })),
            samples: || {
                vec![
                    Sample::new(Reshape { shape: vec![3, -1] }, vec![Draw::float(&[2, 3, 2])]),
                    Sample::new(Reshape { shape: vec![] }, vec![Draw::float(&[1, 1])]),
                ]
            },
        },
        OpDef {
            name: "transpose",
            make: |a| Ok(Arc::new(Transpose { axes: a.ints("axes")? })),
            samples: || {
                vec![
                    Sample::new(Transpose { axes: vec![1, 0] }, vec![Draw::float(&[3, 4])]),
                    Sample::new(Transpose { axes: vec![2, 0, -2] }, vec![Draw::float(&[2, 3, 4])]),
                ]
            },
        },
        OpDef {
            name: "broadcast_to",
            make: |a| Ok(Arc::new(BroadcastTo { shape: a.ints("shape")? })),
            samples: || {
                vec![
                    Sample::new(BroadcastTo { shape: vec![2, 3, -1] }, vec![Draw::float(&[3, 4])]),
                    Sample::new(BroadcastTo { shape: vec![5, 3] }, vec![Draw::float(&[1, 3])]),
                ]
            },
        },
    ]
}
