//! Normalisation: of rows (layer norm, root-mean-square norm) and of channels over a batch (batch norm).

use std::sync::Arc;

use rkeras_kernels::norm as kernel;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::ops::reduce;
use crate::shape::{Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push, push1};

/// What the normalisations have in common.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Added to the variance.
    pub epsilon: f64,
    /// Is there a factor gamma per element of the last axis?
    pub scale: bool,
    /// Is there an addend beta per element of the last axis?
    pub offset: bool,
}

/// y = (x - mean) / sqrt(var + epsilon) gamma + beta over the last axis. Inputs x, gamma, beta (the last two if asked for);
/// outputs y and, per row, the mean and 1 / sqrt(var + epsilon).
#[derive(Clone, Debug)]
pub struct LayerNorm {
    /// Common settings.
    pub norm: Norm,
    /// Take the mean as zero: root-mean-square norm.
    pub rms: bool,
}

/// The gradient of [`LayerNorm`]. Inputs x, dy, mean, 1 / sqrt(var + epsilon), gamma if there is one; outputs dx and, even
/// where they are not asked for, dgamma and dbeta.
#[derive(Clone, Debug)]
pub struct LayerNormGrad {
    /// The forward op.
    pub of: LayerNorm,
}

/// y = (x - mean) / sqrt(var + epsilon) gamma + beta with the statistics of every channel (last axis) over all other axes.
/// Inputs x, gamma, beta (the last two if asked for); outputs y, mean and (biased) variance per channel.
#[derive(Clone, Debug)]
pub struct BatchNorm {
    /// Common settings.
    pub norm: Norm,
    /// Negative results become zero; set by the compiler.
    pub relu: bool,
    /// Results are rounded to bfloat16; set by the compiler.
    pub rounded: bool,
}

/// The gradient of [`BatchNorm`]. Inputs x, dy, mean, variance, gamma if there is one, and, behind a relu, beta if there is
/// one; outputs dx and, even where they are not asked for, dgamma and dbeta.
#[derive(Clone, Debug)]
pub struct BatchNormGrad {
    /// The forward op.
    pub of: BatchNorm,
    /// dx is rounded to bfloat16; set by the compiler.
    pub rounded: bool,
}

impl Norm {
    fn attrs(&self) -> Vec<(&'static str, Attr)> {
        vec![
            ("epsilon", Attr::Float(self.epsilon)),
            ("scale", Attr::Bool(self.scale)),
            ("offset", Attr::Bool(self.offset)),
        ]
    }

    fn read(a: &mut AttrReader) -> Result<Norm> {
        Ok(Norm {
            epsilon: a.opt_float("epsilon")?.unwrap_or(1e-3),
            scale: a.opt_bool("scale")?.unwrap_or(true),
            offset: a.opt_bool("offset")?.unwrap_or(true),
        })
    }

    /// Checks x and the vectors that follow it.
    fn check(&self, who: &str, x: &[Spec]) -> Result<()> {
        let want = 1 + usize::from(self.scale) + usize::from(self.offset);
        if x.len() != want {
            return Err(Error::value(
                who,
                format!("{want} inputs (scale={}, offset={})", self.scale, self.offset),
                format!("{}", x.len()),
            )
            .hint("pass scale=False, offset=False for what is left out"));
        }
        let last = check_rows(who, &x[0])?;
        for v in &x[1..] {
            check_vector(who, "gamma and beta", v, last)?;
        }
        Ok(())
    }

    /// Checks x, dy, two statistics of shape `stats` and gamma; gives the specs of dx, dgamma, dbeta.
    fn check_grad(&self, who: &str, x: &[Spec], stats: Option<&Shape>) -> Result<Outputs<Spec>> {
        let want = 4 + usize::from(self.scale);
        if x.len() != want {
            return Err(Error::value(who, format!("{want} inputs"), format!("{}", x.len())));
        }
        let last = check_rows(who, &x[0])?;
        let column = Shape::new([last]);
        let stats = stats.unwrap_or(&column);
        let fits =
            |a: &Shape, b: &Shape| a.rank() == b.rank() && a.iter().zip(b.iter()).all(|(&a, &b)| agree(a, b));
        if !fits(&x[1].shape, &x[0].shape) || !fits(&x[2].shape, stats) || !fits(&x[3].shape, stats) {
            return Err(Error::value(
                who,
                format!("dy of shape {}, statistics of shape {stats}", x[0].shape),
                format!("{}, {}, {}", x[1].shape, x[2].shape, x[3].shape),
            ));
        }
        for v in &x[4..] {
            check_vector(who, "gamma", v, last)?;
        }
        let vector = Spec::new(column, x[0].dtype);
        Ok(Outputs::from_vec(vec![x[0].clone(), vector.clone(), vector]))
    }

    /// gamma and beta among the views of a forward op.
    fn vectors<'a, T: Element>(&self, x: &[View<'a>]) -> (Option<&'a [T]>, Option<&'a [T]>) {
        let gamma = self.scale.then(|| x[1].slice());
        let beta = self.offset.then(|| x[1 + usize::from(self.scale)].slice());
        (gamma, beta)
    }

    /// hat gamma + beta.
    fn apply(&self, hat: Value, x: &[Value]) -> Result<Value> {
        let mut y = hat;
        if self.scale {
            y = ew::multiply(&y, &x[1])?;
        }
        if self.offset {
            y = ew::add(&y, &x[1 + usize::from(self.scale)])?;
        }
        Ok(y)
    }

    /// dx, dgamma, dbeta as the gradients of the inputs of a forward op.
    fn pick(&self, grads: Outputs<Value>) -> Vec<Option<Value>> {
        let wanted = [true, self.scale, self.offset];
        grads.into_iter().zip(wanted).filter(|(_, wanted)| *wanted).map(|(g, _)| Some(g)).collect()
    }
}

fn check_rows(who: &str, x: &Spec) -> Result<Option<usize>> {
    if !matches!(x.dtype, DType::F32 | DType::F64) {
        return Err(Error::dtype(who, "float32 or float64", x.dtype.name())
            .hint("half precision is cast to float32 around it"));
    }
    x.shape.last().copied().ok_or_else(|| Error::value(who, "at least one axis", "a scalar"))
}

fn check_vector(who: &str, what: &str, v: &Spec, size: Option<usize>) -> Result<()> {
    if v.shape.rank() == 1 && agree(v.shape[0], size) {
        return Ok(());
    }
    let expected = format!("{what} of shape {}, the size of the last axis", Shape::new([size]));
    Err(Error::value(who, expected, v.shape.to_string()))
}

fn two_axes(who: &str, x: &Spec) -> Result<()> {
    if x.shape.rank() >= 2 {
        return Ok(());
    }
    Err(Error::value(who, "at least two axes, the last of channels", x.shape.to_string()))
}

/// Every axis but the last.
fn leading(x: &Value) -> Vec<i64> {
    (0..x.rank() as i64 - 1).collect()
}

/// The sum over every axis but the last.
fn over_rows(x: &Value) -> Result<Value> {
    if x.rank() == 1 { Ok(x.clone()) } else { reduce::sum(x, Some(leading(x)), false) }
}

/// `v` with a last axis of size one.
fn column(v: &Value) -> Result<Value> {
    let mut shape: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    shape.push(1);
    crate::ops::reshape::reshape(v, &shape)
}

impl Op for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.norm.attrs();
        attrs.push(("rms", Attr::Bool(self.rms)));
        Attrs(attrs)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        self.norm.check(self.name(), x)?;
        let rows = &x[0].shape[..x[0].shape.rank() - 1];
        let stats = Spec::new(Shape(rows.into()), x[0].dtype);
        Ok(Outputs::from_vec(vec![x[0].clone(), stats.clone(), stats]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        let [y, mean, rstd] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let (gamma, beta) = self.norm.vectors::<T>(x);
            let (mean, rstd) = (mean.slice::<T>(), rstd.slice::<T>());
            let x = x[0].slice::<T>();
            kernel::layer_norm(x, n, gamma, beta, self.norm.epsilon as T, !self.rms, y.slice(), mean, rstd)
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if cx.dy[1].is_some() || cx.dy[2].is_some() {
            return cx.through(|x| self.composed(x));
        }
        let mut inputs = vec![cx.x[0].clone(), cx.dy(0)?, cx.y[1].clone(), cx.y[2].clone()];
        inputs.extend(self.norm.scale.then(|| cx.x[1].clone()));
        let op: Arc<dyn Op> = Arc::new(LayerNormGrad { of: self.clone() });
        Ok(self.norm.pick(push(&op, &inputs)?))
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, floats: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl LayerNorm {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let last = |v: &Value, keep| reduce::mean(v, Some(vec![-1]), keep);
        let centred = if self.rms { x[0].clone() } else { ew::subtract(&x[0], &last(&x[0], true)?)? };
        let var = last(&ew::square(&centred)?, true)?;
        let rstd = ew::rsqrt(&ew::add_scalar(&var, self.norm.epsilon)?)?;
        let y = self.norm.apply(ew::multiply(&centred, &rstd)?, x)?;
        let mut mean = last(&x[0], false)?;
        if self.rms {
            mean = ew::scale(&mean, 0.0)?;
        }
        Ok(vec![y, mean, reduce::sum(&rstd, Some(vec![-1]), false)?])
    }
}

impl Op for LayerNormGrad {
    fn name(&self) -> &'static str {
        "layer_norm_grad"
    }

    fn attrs(&self) -> Attrs {
        self.of.attrs()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let rows = x.first().map(|x| Shape(x.shape[..x.shape.rank().saturating_sub(1)].into()));
        self.of.norm.check_grad(self.name(), x, rows.as_ref())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let n = x[0].shape()[x[0].shape().len() - 1];
        let [dx, dgamma, dbeta] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let gamma = self.of.norm.scale.then(|| x[4].slice::<T>());
            let (mean, rstd) = (x[2].slice::<T>(), x[3].slice::<T>());
            let (dgamma, dbeta) = (dgamma.slice::<T>(), dbeta.slice::<T>());
            let (x, dy) = (x[0].slice::<T>(), x[1].slice::<T>());
            kernel::layer_norm_grad(x, dy, n, gamma, mean, rstd, !self.of.rms, dx.slice(), dgamma, dbeta)
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl LayerNormGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (dy, mean, rstd) = (&x[1], column(&x[2])?, column(&x[3])?);
        let last = |v: &Value| reduce::mean(v, Some(vec![-1]), true);
        // The kernel centres by the mean it is given, which is zero for the root-mean-square norm.
        let hat = ew::multiply(&ew::subtract(&x[0], &mean)?, &rstd)?;
        let g = if self.of.norm.scale { ew::multiply(dy, &x[4])? } else { dy.clone() };
        let mut inner = ew::subtract(&g, &ew::multiply(&hat, &last(&ew::multiply(&g, &hat)?)?)?)?;
        if !self.of.rms {
            inner = ew::subtract(&inner, &last(&g)?)?;
        }
        Ok(vec![ew::multiply(&rstd, &inner)?, over_rows(&ew::multiply(dy, &hat)?)?, over_rows(dy)?])
    }
}

impl Op for BatchNorm {
    fn name(&self) -> &'static str {
        "batch_norm"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.norm.attrs();
        attrs.push(("relu", Attr::Bool(self.relu)));
        attrs.push(("rounded", Attr::Bool(self.rounded)));
        Attrs(attrs)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        self.norm.check(self.name(), x)?;
        two_axes(self.name(), &x[0])?;
        let stats = Spec::new(Shape::new([x[0].shape[x[0].shape.rank() - 1]]), x[0].dtype);
        Ok(Outputs::from_vec(vec![x[0].clone(), stats.clone(), stats]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let c = x[0].shape()[x[0].shape().len() - 1];
        let [y, mean, var] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let (gamma, beta) = self.norm.vectors::<T>(x);
            let (mean, var) = (mean.slice::<T>(), var.slice::<T>());
            let x = x[0].slice::<T>();
            kernel::channel_moments(x, c, mean, var);
            let epsilon = self.norm.epsilon as T;
            let scale = kernel::channel_factors(gamma, var, epsilon);
            let zeros;
            let beta = match beta {
                Some(beta) => beta,
                None => {
                    zeros = vec![0.0; c];
                    &zeros
                }
            };
            kernel::channel_normalize(x, mean, &scale, beta, self.relu, self.rounded, y.slice())
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if self.relu || self.rounded || cx.dy[1].is_some() || cx.dy[2].is_some() {
            return cx.through(|x| self.composed(x));
        }
        let mut inputs = vec![cx.x[0].clone(), cx.dy(0)?, cx.y[1].clone(), cx.y[2].clone()];
        inputs.extend(self.norm.scale.then(|| cx.x[1].clone()));
        let op: Arc<dyn Op> = Arc::new(BatchNormGrad { of: self.clone(), rounded: false });
        Ok(self.norm.pick(push(&op, &inputs)?))
    }

    fn rounded(&self) -> Option<Arc<dyn Op>> {
        Some(Arc::new(BatchNorm { rounded: true, ..self.clone() }))
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, floats: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl BatchNorm {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let rows = || Some(leading(&x[0]));
        let mean = reduce::mean(&x[0], rows(), false)?;
        let centred = ew::subtract(&x[0], &mean)?;
        let var = reduce::mean(&ew::square(&centred)?, rows(), false)?;
        let rstd = ew::rsqrt(&ew::add_scalar(&var, self.norm.epsilon)?)?;
        let mut y = self.norm.apply(ew::multiply(&centred, &rstd)?, x)?;
        if self.relu {
            y = ew::relu(&y)?;
        }
        if self.rounded {
            y = push1(ew::UnaryOp(Unary::Bfloat16), &[y])?;
        }
        Ok(vec![y, mean, var])
    }
}

impl Op for BatchNormGrad {
    fn name(&self) -> &'static str {
        "batch_norm_grad"
    }

    fn attrs(&self) -> Attrs {
        self.of.attrs()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let usual = x.len() - usize::from(self.of.relu && self.of.norm.offset && !x.is_empty());
        let out = self.of.norm.check_grad(self.name(), &x[..usual], None)?;
        two_axes(self.name(), &x[0])?;
        for beta in &x[usual..] {
            check_vector(self.name(), "beta", beta, x[0].shape[x[0].shape.rank() - 1])?;
        }
        Ok(out)
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let c = x[0].shape()[x[0].shape().len() - 1];
        let [dx, dgamma, dbeta] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let gamma = self.of.norm.scale.then(|| x[4].slice::<T>());
            let beta = x[x.len() - 1].slice::<T>();
            let (mean, var) = (x[2].slice::<T>(), x[3].slice::<T>());
            let (dgamma, dbeta) = (dgamma.slice::<T>(), dbeta.slice::<T>());
            let (x, dy) = (x[0].slice::<T>(), x[1].slice::<T>());
            let (scale, offset) = if self.of.relu {
                let offset = if self.of.norm.offset { beta.to_vec() } else { vec![0.0; c] };
                (kernel::channel_factors(gamma, var, self.of.norm.epsilon as T), offset)
            } else {
                (Vec::new(), Vec::new())
            };
            let gate = self.of.relu.then_some(kernel::Gate { scale: &scale, offset: &offset });
            kernel::channel_grad_sums(x, dy, mean, gate, dbeta, dgamma);
            let rows = (x.len() / c.max(1)) as T;
            // dx = a dy + b (x - mean) + d.
            let (mut a, mut b, mut d) = (vec![0.0; c], vec![0.0; c], vec![0.0; c]);
            for j in 0..c {
                let rstd = 1.0 / (var[j] + self.of.norm.epsilon as T).sqrt();
                a[j] = gamma.map_or(1.0, |g| g[j]) * rstd;
                b[j] = -a[j] * rstd * rstd * dgamma[j] / rows;
                d[j] = -a[j] * dbeta[j] / rows;
                dgamma[j] *= rstd;
            }
            kernel::channel_grad(x, dy, mean, [&a, &b, &d], gate, self.rounded, dx.slice())
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn rounded(&self) -> Option<Arc<dyn Op>> {
        Some(Arc::new(BatchNormGrad { rounded: true, ..self.clone() }))
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl BatchNormGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (mean, var) = (&x[2], &x[3]);
        let mut dy = x[1].clone();
        if self.of.relu {
            let rstd = ew::rsqrt(&ew::add_scalar(var, self.of.norm.epsilon)?)?;
            let mut y = ew::multiply(&ew::subtract(&x[0], mean)?, &rstd)?;
            if self.of.norm.scale {
                y = ew::multiply(&y, &x[4])?;
            }
            if self.of.norm.offset {
                y = ew::add(&y, &x[x.len() - 1])?;
            }
            dy = ew::relu_grad(&dy, &y)?;
        }
        let dy = &dy;
        let average = |v: &Value| reduce::mean(v, Some(leading(v)), false);
        let rstd = ew::rsqrt(&ew::add_scalar(var, self.of.norm.epsilon)?)?;
        let hat = ew::multiply(&ew::subtract(&x[0], mean)?, &rstd)?;
        let dyhat = ew::multiply(dy, &hat)?;
        let inner = ew::subtract(&ew::subtract(dy, &average(dy)?)?, &ew::multiply(&hat, &average(&dyhat)?)?)?;
        let factor = if self.of.norm.scale { ew::multiply(&x[4], &rstd)? } else { rstd };
        let mut dx = ew::multiply(&factor, &inner)?;
        if self.rounded {
            dx = push1(ew::UnaryOp(Unary::Bfloat16), &[dx])?;
        }
        Ok(vec![dx, over_rows(&dyhat)?, over_rows(dy)?])
    }
}

fn normalise(op: impl Op, x: &Value, vectors: [Option<&Value>; 2]) -> Result<Outputs<Value>> {
    let op: Arc<dyn Op> = Arc::new(op);
    let inputs: Vec<Value> = std::iter::once(x).chain(vectors.into_iter().flatten()).cloned().collect();
    push(&op, &inputs)
}

/// Layer norm over the last axis, or root-mean-square norm.
pub fn layer_norm(
    x: &Value,
    gamma: Option<&Value>,
    beta: Option<&Value>,
    epsilon: f64,
    rms: bool,
) -> Result<Value> {
    let norm = Norm { epsilon, scale: gamma.is_some(), offset: beta.is_some() };
    Ok(normalise(LayerNorm { norm, rms }, x, [gamma, beta])?.swap_remove(0))
}

/// Batch norm by the statistics of the batch, channels last: the result, mean and variance.
pub fn batch_norm(
    x: &Value,
    gamma: Option<&Value>,
    beta: Option<&Value>,
    epsilon: f64,
) -> Result<Outputs<Value>> {
    let norm = Norm { epsilon, scale: gamma.is_some(), offset: beta.is_some() };
    normalise(BatchNorm { norm, relu: false, rounded: false }, x, [gamma, beta])
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    const KINDS: [(bool, bool); 4] = [(true, true), (true, false), (false, true), (false, false)];
    fn read_layer(a: &mut AttrReader) -> Result<LayerNorm> {
        Ok(LayerNorm { norm: Norm::read(a)?, rms: a.opt_bool("rms")?.unwrap_or(false) })
    }
    fn read_batch(a: &mut AttrReader) -> Result<BatchNorm> {
        let mut flag = |name: &str| a.opt_bool(name).map(|given| given.unwrap_or(false));
        let (relu, rounded) = (flag("relu")?, flag("rounded")?);
        Ok(BatchNorm { norm: Norm::read(a)?, relu, rounded })
    }
    fn forward(shape: &[usize], scale: bool, offset: bool) -> Vec<Draw> {
        let vector = Draw::float(&shape[shape.len() - 1..]);
        let vectors = usize::from(scale) + usize::from(offset);
        std::iter::once(Draw::float(shape)).chain(std::iter::repeat_n(vector, vectors)).collect()
    }
    fn backward(shape: &[usize], stats: &[usize], scale: bool) -> Vec<Draw> {
        let mut out = vec![
            Draw::float(shape),
            Draw::float(shape),
            Draw::Float(stats.to_vec(), -0.3, 0.3),
            Draw::Float(stats.to_vec(), 0.5, 1.5),
        ];
        out.extend(scale.then(|| Draw::float(&shape[shape.len() - 1..])));
        out
    }
    fn layer(scale: bool, offset: bool, rms: bool) -> LayerNorm {
        LayerNorm { norm: Norm { epsilon: 0.1, scale, offset }, rms }
    }
    fn batch(scale: bool, offset: bool) -> BatchNorm {
        BatchNorm { norm: Norm { epsilon: 0.1, scale, offset }, relu: false, rounded: false }
    }
    vec![
        OpDef {
            name: "layer_norm",
            make: |a| Ok(Arc::new(read_layer(a)?)),
            samples: || {
                let mut all: Vec<Sample> =
                    KINDS.map(|(s, o)| Sample::new(layer(s, o, false), forward(&[3, 7], s, o))).into();
                all.push(Sample::new(layer(true, false, true), forward(&[2, 3, 9], true, false)));
                all.push(Sample::new(layer(true, true, false), forward(&[5], true, true)));
                all
            },
        },
        OpDef {
            name: "layer_norm_grad",
            make: |a| Ok(Arc::new(LayerNormGrad { of: read_layer(a)? })),
            samples: || {
                let grad = |s, rms| LayerNormGrad { of: layer(s, true, rms) };
                vec![
                    Sample::new(grad(true, false), backward(&[3, 7], &[3], true)),
                    Sample::new(grad(false, false), backward(&[3, 7], &[3], false)),
                    Sample::new(grad(true, true), backward(&[2, 3, 5], &[2, 3], true)),
                ]
            },
        },
        OpDef {
            name: "batch_norm",
            make: |a| Ok(Arc::new(read_batch(a)?)),
            samples: || {
                let mut all: Vec<Sample> =
                    KINDS.map(|(s, o)| Sample::new(batch(s, o), forward(&[6, 5], s, o))).into();
                all.push(Sample::new(batch(true, true), forward(&[2, 3, 2, 9], true, true)));
                all
            },
        },
        OpDef {
            name: "batch_norm_grad",
            make: |a| Ok(Arc::new(BatchNormGrad { of: read_batch(a)?, rounded: false })),
            samples: || {
                let grad = |s| BatchNormGrad { of: batch(s, true), rounded: false };
                vec![
                    Sample::new(grad(true), backward(&[6, 5], &[5], true)),
                    Sample::new(grad(false), backward(&[2, 3, 4], &[4], false)),
                ]
            },
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    #[test]
    fn statistics_and_messages() {
        let x: Value = Tensor::from_slice(&[2, 2], &[1f32, 2.0, 3.0, 6.0]).unwrap().into();
        let y = batch_norm(&x, None, None, 0.0).unwrap();
        let numbers = |v: &Value| v.tensor().unwrap().to_f64().unwrap();
        assert_eq!(numbers(&y[0]), [-1.0, -1.0, 1.0, 1.0]);
        assert_eq!((numbers(&y[1]), numbers(&y[2])), (vec![2.0, 4.0], vec![1.0, 4.0]));
        let gamma: Value = Tensor::from_slice(&[2], &[2f32, 2.0]).unwrap().into();
        assert_eq!(numbers(&layer_norm(&x, Some(&gamma), None, 0.0, false).unwrap()), [-2.0, 2.0, -2.0, 2.0]);
        let wrong: Value = Tensor::from_slice(&[3], &[1f32; 3]).unwrap().into();
        let error = layer_norm(&x, Some(&wrong), None, 0.0, false).unwrap_err().to_string();
        assert!(error.contains("gamma") && error.contains("(2,)") && error.contains("(3,)"), "{error}");
    }

    #[test]
    fn empty_inputs() {
        for shape in [[0, 3], [3, 0], [0, 0]] {
            let x: Value = Tensor::zeros(&shape, DType::F32).unwrap().into();
            assert!(layer_norm(&x, None, None, 1e-3, false).is_ok());
            assert!(batch_norm(&x, None, None, 1e-3).is_ok());
        }
    }
}
