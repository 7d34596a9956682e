//! Softmax, log-softmax and the cross-entropies fused with them.

use std::sync::Arc;

use rkeras_kernels::softmax::{self as kernel, Targets};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::{cast, kind};
use crate::ops::elementwise as ew;
use crate::ops::{gather, reduce};
use crate::shape::{Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push, push1};

/// e^x / Σ e^x (or its logarithm) over the last axis. Other axes are brought there by the caller.
#[derive(Debug)]
pub struct Softmax {
    /// The logarithm of it.
    pub log: bool,
}

fn rows_only(who: &str, x: &Spec) -> Result<()> {
    if x.shape.rank() == 0 {
        return Err(Error::value(who, "at least one axis", "a scalar"));
    }
    if !matches!(x.dtype, DType::F32 | DType::F64) {
        return Err(Error::dtype(who, "float32 or float64", x.dtype.name())
            .hint("half precision is cast to float32 around it"));
    }
    Ok(())
}

impl Op for Softmax {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax" } else { "softmax" }
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        rows_only(self.name(), &x[0])?;
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        macro_rules! run {
            ($t:ty) => {{
                let f = if self.log { kernel::log_softmax } else { kernel::softmax };
                f(x[0].slice::<$t>(), n, y[0].slice::<$t>())
            }};
        }
        if x[0].is_empty() {
            return;
        }
        if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(push1(SoftmaxGrad { log: self.log }, &[cx.y[0].clone(), cx.dy(0)?])?)])
    }

    fn traits(&self) -> Traits {
        Traits { floats: true, vjp_ignores_inputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        let lse = reduce::logsumexp(&x[0], Some(vec![-1]), true);
        let log = lse.and_then(|l| ew::subtract(&x[0], &l));
        Some(if self.log { log } else { log.and_then(|l| ew::exp(&l)) }.map(|y| vec![y]))
    }
}

/// The gradient of [`Softmax`] from its result: y (dy - Σ y dy), or dy - e^y Σ dy.
#[derive(Debug)]
pub struct SoftmaxGrad {
    /// Of the logarithm.
    pub log: bool,
}

impl SoftmaxGrad {
    fn composed(&self, y: &Value, dy: &Value) -> Result<Value> {
        let total = |v: &Value| reduce::sum(v, Some(vec![-1]), true);
        if self.log {
            return ew::subtract(dy, &ew::multiply(&ew::exp(y)?, &total(dy)?)?);
        }
        ew::multiply(y, &ew::subtract(dy, &total(&ew::multiply(y, dy)?)?)?)
    }
}

impl Op for SoftmaxGrad {
    fn name(&self) -> &'static str {
        if self.log { "log_softmax_grad" } else { "softmax_grad" }
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        rows_only(self.name(), &x[0])?;
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        macro_rules! run {
            ($t:ty) => {{
                let f = if self.log { kernel::log_softmax_grad } else { kernel::softmax_grad };
                f(x[0].slice::<$t>(), x[1].slice::<$t>(), n, y[0].slice::<$t>())
            }};
        }
        if x[0].is_empty() {
            return;
        }
        if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (y, dy, g) = (&cx.x[0], &cx.x[1], &cx.dy(0)?);
        let total = |v: &Value| reduce::sum(v, Some(vec![-1]), true);
        if self.log {
            // z = dy - e^y Σdy
            let e = ew::exp(y)?;
            let ge = ew::multiply(g, &e)?;
            return Ok(vec![
                Some(ew::negative(&ew::multiply(&ge, &total(dy)?)?)?),
                Some(ew::subtract(g, &total(&ge)?)?),
            ]);
        }
        // z = y (dy - s), s = Σ y dy
        let s = total(&ew::multiply(y, dy)?)?;
        let gy = total(&ew::multiply(g, y)?)?;
        let for_y = ew::subtract(&ew::multiply(g, &ew::subtract(dy, &s)?)?, &ew::multiply(dy, &gy)?)?;
        let for_dy = ew::multiply(y, &ew::subtract(g, &gy)?)?;
        Ok(vec![Some(for_y), Some(for_dy)])
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(&x[0], &x[1]).map(|y| vec![y]))
    }
}

/// -Σ t log softmax(x) over the last axis, from logits x and targets t: a distribution per row, or a class per row
/// (`sparse`). The second output is ln Σ e^x, for the gradient.
#[derive(Debug)]
pub struct SoftmaxCrossEntropy {
    /// Targets are classes.
    pub sparse: bool,
}

/// The gradient of [`SoftmaxCrossEntropy`] from logits, targets, ln Σ e^x and the gradient of the loss.
#[derive(Debug)]
pub struct SoftmaxCrossEntropyGrad {
    /// Targets are classes.
    pub sparse: bool,
}

fn classes(x: &View<'_>, n: usize, faults: &Faults) -> Vec<i64> {
    let mut out = vec![0i64; x.len()];
    rkeras_kernels::convert::convert_bytes(
        kind(x.dtype),
        x.raw(),
        kind(DType::I64),
        bytemuck::cast_slice_mut(&mut out),
    );
    if out.iter().any(|&c| c < 0 || c >= n as i64) {
        faults.set(Fault::IndexOutOfRange);
    }
    out
}

fn check_targets(who: &str, sparse: bool, x: &Spec, t: &Spec) -> Result<Shape> {
    rows_only(who, x)?;
    let rank = x.shape.rank();
    let rows = &x.shape[..rank - 1];
    let want: &[crate::shape::Dim] = if sparse { rows } else { &x.shape };
    if t.shape.rank() != want.len() || !t.shape.iter().zip(want).all(|(&a, &b)| agree(a, b)) {
        return Err(Error::value(
            who,
            format!("targets of shape {}", Shape(want.into())),
            format!("{}", t.shape),
        ));
    }
    if sparse && !t.dtype.is_int() {
        return Err(Error::dtype(who, "integer classes", t.dtype.name()));
    }
    Ok(Shape(rows.into()))
}

impl Op for SoftmaxCrossEntropy {
    fn name(&self) -> &'static str {
        if self.sparse { "sparse_softmax_cross_entropy" } else { "softmax_cross_entropy" }
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let rows = check_targets(self.name(), self.sparse, &x[0], &x[1])?;
        Ok(Outputs::from_vec(vec![Spec::new(rows.clone(), x[0].dtype), Spec::new(rows, x[0].dtype)]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        let [loss, lse] = y else { unreachable!("two outputs") };
        macro_rules! run {
            ($t:ty) => {{
                let index;
                let targets = if self.sparse {
                    index = classes(&x[1], n, faults);
                    Targets::Classes(&index)
                } else {
                    Targets::Dense(x[1].slice::<$t>())
                };
                kernel::cross_entropy(x[0].slice::<$t>(), targets, n, loss.slice::<$t>(), lse.slice::<$t>())
            }};
        }
        if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (x, t, lse) = (&cx.x[0], &cx.x[1], &cx.y[1]);
        let op = SoftmaxCrossEntropyGrad { sparse: self.sparse };
        let mut dx = push1(op, &[x.clone(), t.clone(), lse.clone(), cx.dy(0)?])?;
        let column = |v: &Value| -> Result<Value> {
            let mut shape: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            shape.push(1);
            crate::ops::reshape::reshape(v, &shape)
        };
        if let Some(dlse) = &cx.dy[1] {
            let p = ew::exp(&ew::subtract(x, &column(lse)?)?)?;
            dx = ew::add(&dx, &ew::multiply(&p, &column(dlse)?)?)?;
        }
        let dt = if self.sparse || !cx.needs[1] {
            None
        } else {
            let log_p = ew::subtract(x, &column(lse)?)?;
            Some(ew::negative(&ew::multiply(&log_p, &column(&cx.dy(0)?)?)?)?)
        };
        Ok(vec![Some(dx), dt])
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some((|| {
            let lse = reduce::logsumexp(&x[0], Some(vec![-1]), true)?;
            let log_p = ew::subtract(&x[0], &lse)?;
            let picked = if self.sparse {
                let mut shape: Vec<i64> = x[1].shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
                shape.push(1);
                gather::take_along_axis(&log_p, &crate::ops::reshape::reshape(&x[1], &shape)?, -1)?
            } else {
                ew::multiply(&log_p, &x[1])?
            };
            let loss = ew::negative(&reduce::sum(&picked, Some(vec![-1]), false)?)?;
            Ok(vec![loss, reduce::sum(&lse, Some(vec![-1]), false)?])
        })())
    }
}

impl Op for SoftmaxCrossEntropyGrad {
    fn name(&self) -> &'static str {
        if self.sparse { "sparse_softmax_cross_entropy_grad" } else { "softmax_cross_entropy_grad" }
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        check_targets(self.name(), self.sparse, &x[0], &x[1])?;
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        macro_rules! run {
            ($t:ty) => {{
                let index;
                let targets = if self.sparse {
                    index = classes(&x[1], n, faults);
                    Targets::Classes(&index)
                } else {
                    Targets::Dense(x[1].slice::<$t>())
                };
                let (lse, dloss) = (x[2].slice::<$t>(), x[3].slice::<$t>());
                kernel::cross_entropy_grad(x[0].slice::<$t>(), targets, n, lse, dloss, y[0].slice::<$t>())
            }};
        }
        if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        // Through the composition dx = dloss (e^(x - lse) Σt - t), in which lse is an input of its own.
        let (x, t, lse, dloss, g) = (&cx.x[0], &cx.x[1], &cx.x[2], &cx.x[3], &cx.dy(0)?);
        let column = |v: &Value| -> Result<Value> {
            let mut shape: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            shape.push(1);
            crate::ops::reshape::reshape(v, &shape)
        };
        let total = |v: &Value| reduce::sum(v, Some(vec![-1]), false);
        let n = x.shape()[x.rank() - 1].unwrap_or(0) as i64;
        let dense = if self.sparse {
            push1(gather::OneHot { num_classes: n, dtype: x.dtype() }, std::slice::from_ref(t))?
        } else {
            cast(t, x.dtype())?
        };
        let weight = reduce::sum(&dense, Some(vec![-1]), true)?;
        let p = ew::exp(&ew::subtract(x, &column(lse)?)?)?;
        let pw = ew::multiply(&p, &weight)?;
        let gd = ew::multiply(g, &column(dloss)?)?;
        let for_x = ew::multiply(&gd, &pw)?;
        let for_lse = ew::negative(&total(&for_x)?)?;
        let for_dloss = total(&ew::multiply(g, &ew::subtract(&pw, &dense)?)?)?;
        let for_t = if self.sparse {
            None
        } else {
            let shared = reduce::sum(&ew::multiply(&gd, &p)?, Some(vec![-1]), true)?;
            Some(ew::subtract(&shared, &gd)?)
        };
        Ok(vec![Some(for_x), for_t, Some(for_lse), Some(for_dloss)])
    }
}

/// The cross-entropy of logits and targets, per row.
pub fn softmax_cross_entropy(x: &Value, targets: &Value, sparse: bool) -> Result<Value> {
    let op: Arc<dyn Op> = Arc::new(SoftmaxCrossEntropy { sparse });
    Ok(push(&op, &[x.clone(), targets.clone()])?.swap_remove(0))
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn rows() -> Vec<Draw> {
        vec![Draw::float(&[3, 9])]
    }
    fn pair() -> Vec<Draw> {
        vec![Draw::Float(vec![3, 9], 0.1, 0.9), Draw::float(&[3, 9])]
    }
    fn entropy(sparse: bool, grad: bool) -> Vec<Draw> {
        let t = if sparse { Draw::Int(vec![4], 0, 6) } else { Draw::Float(vec![4, 6], 0.0, 0.5) };
        let mut out = vec![Draw::float(&[4, 6]), t];
        if grad {
            out.extend([Draw::Float(vec![4], 2.0, 3.0), Draw::float(&[4])]);
        }
        out
    }
    macro_rules! def {
        ($name:literal, $op:expr, $draws:expr) => {
            OpDef { name: $name, make: |_| Ok(Arc::new($op)), samples: || vec![Sample::new($op, $draws)] }
        };
    }
    vec![
        def!("softmax", Softmax { log: false }, rows()),
        def!("log_softmax", Softmax { log: true }, rows()),
        def!("softmax_grad", SoftmaxGrad { log: false }, pair()),
        def!("log_softmax_grad", SoftmaxGrad { log: true }, pair()),
        def!("softmax_cross_entropy", SoftmaxCrossEntropy { sparse: false }, entropy(false, false)),
        def!("sparse_softmax_cross_entropy", SoftmaxCrossEntropy { sparse: true }, entropy(true, false)),
        def!("softmax_cross_entropy_grad", SoftmaxCrossEntropyGrad { sparse: false }, entropy(false, true)),
        def!(
            "sparse_softmax_cross_entropy_grad",
            SoftmaxCrossEntropyGrad { sparse: true },
            entropy(true, true)
        ),
    ]
}
