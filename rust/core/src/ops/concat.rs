//! Joining and repeating: concatenate, tile, repeat. Stack and split are views around them.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::*;
use crate::ops::{reduce, reshape, slice};
use crate::shape::{self, Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// The inputs one after the other along an axis.
#[derive(Debug)]
pub struct Concatenate {
    /// The axis.
    pub axis: i64,
}

impl Op for Concatenate {
    fn name(&self) -> &'static str {
        "concatenate"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let first = x.first().ok_or_else(|| Error::value("concatenate", "at least one input", "none"))?;
        let rank = first.shape.rank();
        let axis = shape::axis("concatenate", self.axis, rank)?;
        let mut out = first.shape.clone();
        for other in &x[1..] {
            let fits =
                other.shape.rank() == rank && (0..rank).all(|i| i == axis || agree(out[i], other.shape[i]));
            if !fits {
                let shapes: Vec<String> = x.iter().map(|s| s.shape.to_string()).collect();
                return Err(Error::value(
                    "concatenate",
                    format!("inputs whose shapes differ on axis {} only", self.axis),
                    shapes.join(", "),
                ));
            }
            for i in 0..rank {
                out.0[i] = if i == axis {
                    out[i].zip(other.shape[i]).map(|(a, b)| a + b)
                } else {
                    out[i].or(other.shape[i])
                };
            }
        }
        Ok(Outputs::from_elem(Spec::new(out, first.dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let all = Layout::contiguous(y[0].shape);
        let axis = shape::axis("concatenate", self.axis, all.rank()).expect("infer resolved the axis");
        let mut at = 0;
        for v in x {
            let n = v.shape()[axis];
            if !v.is_empty() {
                let (from, to) = (v.layout, all.slice(axis, at, n, 1));
                rkeras_kernels::copy::strided(
                    v.bytes,
                    v.dtype.size(),
                    &from.shape,
                    &from.strides,
                    from.offset,
                    y[0].bytes,
                    &to.strides,
                    to.offset,
                );
            }
            at += n;
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dy = &cx.dy(0)?;
        let axis = shape::axis("concatenate", self.axis, dy.rank())?;
        let mut at = 0;
        let mut out = Vec::new();
        for (x, &needed) in cx.x.iter().zip(cx.needs) {
            let n = x.shape()[axis]
                .ok_or_else(|| Error::internal("concatenate", "unknown size in a gradient"))?
                as i64;
            out.push(if needed { Some(slice::slice_axis(dy, axis, at, at + n)?) } else { None });
            at += n;
        }
        Ok(out)
    }

    fn traits(&self) -> Traits {
        Traits {
            strided: true,
            promotes: true,
            vjp_ignores_inputs: true,
            vjp_ignores_outputs: true,
            selects: true,
            ..Traits::default()
        }
    }
}

/// The inputs one after the other along an axis.
pub fn concatenate(x: &[Value], axis: i64) -> Result<Value> {
    push1(Concatenate { axis }, x)
}

/// The whole input several times along each axis.
#[derive(Debug)]
pub struct Tile {
    /// How often, per axis of the input.
    pub repeats: Vec<i64>,
}

impl Op for Tile {
    fn name(&self) -> &'static str {
        "tile"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("repeats", Attr::Ints(self.repeats.clone()))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let rank = x[0].shape.rank();
        if self.repeats.len() != rank || self.repeats.iter().any(|&r| r < 0) {
            return Err(Error::value(
                "tile",
                format!("{rank} numbers of at least 0"),
                format!("repeats={:?}", self.repeats),
            ));
        }
        let dims = x[0].shape.iter().zip(&self.repeats).map(|(d, &r)| d.map(|d| d * r as usize));
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        if y[0].is_empty() {
            return;
        }
        // (r0, n0, r1, n1, …): the input is broadcast along the r axes.
        let from = x[0].layout;
        let (mut shape, mut strides) = (Vec::new(), Vec::new());
        for i in 0..from.rank() {
            shape.extend([self.repeats[i] as usize, from.shape[i]]);
            strides.extend([0, from.strides[i]]);
        }
        rkeras_kernels::copy::to_contiguous(
            x[0].bytes,
            x[0].dtype.size(),
            &shape,
            &strides,
            from.offset,
            y[0].bytes,
        );
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let sizes =
            cx.x[0].shape().dims().ok_or_else(|| Error::internal("tile", "unknown size in a gradient"))?;
        let split: Vec<i64> = sizes.iter().zip(&self.repeats).flat_map(|(&n, &r)| [r, n as i64]).collect();
        let axes = (0..sizes.len()).map(|i| 2 * i as i64).collect();
        Ok(vec![Some(reduce::sum(&reshape::reshape(&cx.dy(0)?, &split)?, Some(axes), false)?)])
    }

    fn traits(&self) -> Traits {
        Traits {
            strided: true,
            vjp_ignores_inputs: true,
            vjp_ignores_outputs: true,
            selects: true,
            ..Traits::default()
        }
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "concatenate",
            make: |a| Ok(Arc::new(Concatenate { axis: a.opt_int("axis")?.unwrap_or(-1) })),
            samples: || {
                vec![
                    Sample::new(
                        Concatenate { axis: 1 },
                        vec![Draw::float(&[2, 3]), Draw::float(&[2, 1]), Draw::float(&[2, 4])],
                    ),
                    Sample::new(
                        Concatenate { axis: -3 },
                        vec![Draw::float(&[2, 3, 2]), Draw::float(&[1, 3, 2])],
                    ),
                ]
            },
        },
        OpDef {
            name: "tile",
            make: |a| Ok(Arc::new(Tile { repeats: a.ints("repeats")? })),
            samples: || vec![Sample::new(Tile { repeats: vec![2, 1, 3] }, vec![Draw::float(&[2, 3, 2])])],
        },
    ]
}
