//! Recurrent layers as fused ops: long short-term memory and the gated recurrent unit over all steps of a sequence.
//!
//! What of a step needs no state is an ordinary product before the op, for all steps at once; so is, in the gradient rule,
//! the gradient of the recurrent matrix after it.

use std::sync::Arc;

use rkeras_kernels::rnn as kernel;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::control::Scan;
use crate::ops::elementwise as ew;
use crate::ops::matmul::matmul;
use crate::ops::{concat, reduce, reshape, slice};
use crate::shape::{Dim, Shape, Spec, agree};
use crate::tensor::{View, ViewMut};
use crate::trace::{Function, Value, push};

/// What both have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loop {
    /// From the last step to the first.
    pub reverse: bool,
    /// Input 0 is a mask (batch, steps): where it is false the states stay.
    pub masked: bool,
}

/// (i, f, g, o) = x + h' w; c = s(f) c' + s(i) tanh(g); h = s(o) tanh(c). Inputs (the mask,) x (batch, steps, 4 units), h0,
/// c0 (batch, units), w (units, 4 units); outputs every h, the last c and, if `keep`, every c and the finished gates.
#[derive(Clone, Debug)]
pub struct Lstm {
    /// Direction and mask.
    pub over: Loop,
    /// Give what the gradient needs, too.
    pub keep: bool,
}

/// The gradient of [`Lstm`]. Inputs (the mask,) the gradients of every h and of the last c, w, c0, every c, the gates;
/// outputs the gradients of x, h0, c0.
#[derive(Clone, Debug)]
pub struct LstmGrad {
    /// As in the forward op.
    pub over: Loop,
}

/// p = h' w + b; z = s(xz + pz), r = s(xr + pr), g = tanh(xg + r pg); h = z h' + (1 - z) g. Inputs (the mask,) x (batch,
/// steps, 3 units), h0 (batch, units), w (units, 3 units), b (3 units,); outputs every h and, if `keep`, z, r, g, pg.
#[derive(Clone, Debug)]
pub struct Gru {
    /// Direction and mask.
    pub over: Loop,
    /// Give what the gradient needs, too.
    pub keep: bool,
}

/// The gradient of [`Gru`]. Inputs (the mask,) the gradient of every h, w, h0, every h, the gates; outputs the gradients
/// of x, of pg, of h0.
#[derive(Clone, Debug)]
pub struct GruGrad {
    /// As in the forward op.
    pub over: Loop,
}

impl Loop {
    pub(super) fn attrs(self) -> Vec<(&'static str, Attr)> {
        vec![("reverse", Attr::Bool(self.reverse)), ("masked", Attr::Bool(self.masked))]
    }

    pub(super) fn read(a: &mut AttrReader) -> Result<Loop> {
        let mut flag = |name| Ok::<_, Error>(a.opt_bool(name)?.unwrap_or(false));
        Ok(Loop { reverse: flag("reverse")?, masked: flag("masked")? })
    }

    pub(super) fn traits(self) -> Traits {
        Traits { promotes: true, promote_from: usize::from(self.masked), floats: true, ..Traits::default() }
    }

    /// The inputs behind the mask.
    pub(super) fn rest<T>(self, x: &[T]) -> &[T] {
        &x[usize::from(self.masked)..]
    }

    /// The mask's values.
    pub(super) fn mask<'a>(self, x: &[View<'a>]) -> Option<&'a [u8]> {
        self.masked.then(|| x[0].raw())
    }

    /// Checks the inputs behind the mask against their shapes, and the mask; gives `N` sizes: batch, steps, units first.
    pub(super) fn check<const N: usize>(
        self,
        who: &str,
        x: &[Spec],
        shapes: &[(&str, &[Axis])],
    ) -> Result<[Dim; N]> {
        let count = shapes.len() + usize::from(self.masked);
        if x.len() != count {
            return Err(Error::value(
                who,
                format!("{count} inputs (masked={})", self.masked),
                format!("{}", x.len()),
            ));
        }
        let mut sizes: [Dim; N] = [None; N];
        if self.masked {
            if x[0].dtype != DType::Bool {
                return Err(Error::dtype(who, "a mask of truth values", x[0].dtype.name()));
            }
            fit(who, "a mask", &x[0].shape, &[BATCH, STEPS], &mut sizes)?;
        }
        let rest = self.rest(x);
        let dtype = rest[0].dtype;
        if !matches!(dtype, DType::F32 | DType::F64) {
            return Err(Error::dtype(who, "float32 or float64", dtype.name())
                .hint("half precision is cast to float32 around it"));
        }
        // States first: only they say the size of a state outright.
        for pass in [1, 4] {
            for (x, (what, axes)) in rest.iter().zip(shapes) {
                if axes.iter().all(|a| a.1 == 1) == (pass == 1) {
                    fit(who, what, &x.shape, axes, &mut sizes)?;
                }
            }
        }
        if sizes[1] == Some(0) {
            return Err(Error::value(who, "at least one step", "none"));
        }
        Ok(sizes)
    }

    /// A scan over the second axis of `xs`, batch and time exchanged around it; with a mask as the last of them.
    pub(super) fn scan(
        self,
        mask: Option<&Value>,
        carries: &[Value],
        xs: &[Value],
        captured: &[Value],
        back: bool,
        step: impl FnOnce(&[Value], &[Value], &[Value]) -> Result<(Vec<Value>, Vec<Value>)>,
    ) -> Result<(Vec<Value>, Vec<Value>)> {
        let mut slices: Vec<Value> = xs.iter().map(swap_time).collect::<Result<_>>()?;
        if let Some(mask) = mask {
            let mut column = vec![sign(mask.shape()[0]), sign(mask.shape()[1])];
            column.resize(xs[0].rank(), 1);
            slices.push(swap_time(&reshape::reshape(mask, &column)?)?);
        }
        let length = slices[0].shape()[0];
        let length =
            length.ok_or_else(|| Error::value("scan", "a known number of steps", "an unknown one"))?;
        let slice = |v: &Value| Spec::new(Shape(v.shape()[1..].into()), v.dtype());
        let mut specs: Vec<Spec> = carries.iter().map(Value::spec).collect();
        specs.extend(slices.iter().map(slice));
        specs.extend(captured.iter().map(Value::spec));
        let (c, n) = (carries.len(), slices.len());
        let (body, captures) = Function::trace(&specs, |args| {
            let (old, rest) = args.split_at(c);
            let (x, fixed) = rest.split_at(n);
            let (new, ys) = step(old, x, fixed)?;
            Ok(new.into_iter().chain(ys).collect())
        })?;
        if !captures.is_empty() {
            return Err(Error::internal("rnn", "a step that captures values"));
        }
        let op: Arc<dyn Op> =
            Arc::new(Scan { body, carries: c, xs: n, length, reverse: self.reverse != back });
        let args: Vec<Value> = carries.iter().chain(&slices).chain(captured).cloned().collect();
        let mut last = push(&op, &args)?.into_vec();
        let ys = last.split_off(c);
        let ys = ys.iter().map(swap_time).collect::<Result<_>>()?;
        Ok((last, ys))
    }

    /// The values of a state before every step, from those after every step and the first.
    pub(super) fn before(self, first: &Value, after: &Value) -> Result<Value> {
        let n = after.shape()[1].map_or(-1, |n| n as i64);
        let mut one: Vec<i64> = first.shape().iter().map(|&d| sign(d)).collect();
        one.insert(1, 1);
        let one = reshape::reshape(first, &one)?;
        if n == 1 {
            return Ok(one);
        }
        if self.reverse {
            concat::concatenate(&[slice::slice_axis(after, 1, 1, n)?, one], 1)
        } else {
            concat::concatenate(&[one, slice::slice_axis(after, 1, 0, n - 1)?], 1)
        }
    }
}

/// An axis of a shape: which size (0 batch, 1 steps, 2 units), and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis(pub usize, pub usize);

pub(super) const BATCH: Axis = Axis(0, 1);
pub(super) const STEPS: Axis = Axis(1, 1);
pub(super) const UNITS: Axis = Axis(2, 1);
const STATE: &[Axis] = &[BATCH, UNITS];
const STATES: &[Axis] = &[BATCH, STEPS, UNITS];
const GATES3: &[Axis] = &[BATCH, STEPS, Axis(2, 3)];
const GATES4: &[Axis] = &[BATCH, STEPS, Axis(2, 4)];
const MATRIX3: &[Axis] = &[UNITS, Axis(2, 3)];
const MATRIX4: &[Axis] = &[UNITS, Axis(2, 4)];

/// Batch and time exchanged.
fn swap_time(x: &Value) -> Result<Value> {
    let order: Vec<i64> = [1, 0].into_iter().chain(2..x.rank() as i64).collect();
    reshape::transpose(x, &order)
}

pub(super) fn sign(d: Dim) -> i64 {
    d.map_or(-1, |d| d as i64)
}

/// Checks a shape and learns sizes from it.
fn fit(who: &str, what: &str, shape: &Shape, axes: &[Axis], sizes: &mut [Dim]) -> Result<()> {
    let want = |sizes: &[Dim]| Shape::new(axes.iter().map(|a| sizes[a.0].map(|d| d * a.1)));
    let good = shape.rank() == axes.len()
        && shape.iter().zip(axes).all(|(&d, a)| {
            let fits = agree(d, sizes[a.0].map(|s| s * a.1)) && d.is_none_or(|d| d.is_multiple_of(a.1));
            if fits && sizes[a.0].is_none() {
                sizes[a.0] = d.map(|d| d / a.1);
            }
            fits
        });
    if good {
        return Ok(());
    }
    Err(Error::value(
        who,
        format!("{what} of shape {} (batch, steps and units are common to all inputs)", want(sizes)),
        shape.to_string(),
    ))
}

pub(super) fn spec(sizes: &[Dim], axes: &[Axis], dtype: DType) -> Spec {
    Spec::new(Shape::new(axes.iter().map(|a| sizes[a.0].map(|d| d * a.1))), dtype)
}

/// The sizes of a call from its first sequence and `gates` times the units in its last axis.
fn sizes(x: &View<'_>, gates: usize, reverse: bool) -> kernel::Sizes {
    let s = x.shape();
    kernel::Sizes { batch: s[0], steps: s[1], units: s[2] / gates, reverse }
}

/// The columns of gates, `units` each.
pub(super) fn columns(x: &Value, count: usize) -> Result<Vec<Value>> {
    let axis = x.rank() - 1;
    let units = x.shape()[axis].map(|d| (d / count) as i64);
    let units = units.ok_or_else(|| Error::value("rnn", "a known number of units", x.shape().to_string()))?;
    (0..count as i64).map(|g| slice::slice_axis(x, axis, g * units, (g + 1) * units)).collect()
}

/// (..., n) as (rows, n).
fn rows_of(x: &Value) -> Result<Value> {
    let last = sign(x.shape()[x.rank() - 1]);
    reshape::reshape(x, &[-1, last])
}

fn one_minus(x: &Value) -> Result<Value> {
    ew::add_scalar(&ew::negative(x)?, 1.0)
}

/// y (1 - y), the slope of a sigmoid with value y.
pub(super) fn slope(y: &Value) -> Result<Value> {
    ew::multiply(y, &one_minus(y)?)
}

/// 1 - y², the slope of tanh with value y.
pub(super) fn tanh_slope(y: &Value) -> Result<Value> {
    one_minus(&ew::square(y)?)
}

pub(super) fn product(factors: &[&Value]) -> Result<Value> {
    let mut y = factors[0].clone();
    for f in &factors[1..] {
        y = ew::multiply(&y, f)?;
    }
    Ok(y)
}

/// new where the mask holds, else old.
pub(super) fn choose(mask: Option<&Value>, new: Value, old: &Value) -> Result<Value> {
    match mask {
        None => Ok(new),
        Some(mask) => ew::select(mask, &new, old),
    }
}

/// new where the mask holds, else zero.
pub(super) fn or_zero(mask: Option<&Value>, new: Value) -> Result<Value> {
    match mask {
        None => Ok(new),
        Some(_) => {
            let zero = Value::zeros_like(&new)?;
            choose(mask, new, &zero)
        }
    }
}

pub(super) fn done(result: std::result::Result<(), rkeras_kernels::buffer::AllocError>, faults: &Faults) {
    if result.is_err() {
        faults.set(Fault::Memory);
    }
}

impl Op for Lstm {
    fn name(&self) -> &'static str {
        "lstm"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.over.attrs();
        attrs.push(("keep", Attr::Bool(self.keep)));
        Attrs(attrs)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shapes: [(&str, &[Axis]); 4] = [("x", GATES4), ("h0", STATE), ("c0", STATE), ("w", MATRIX4)];
        let sizes: [Dim; 3] = self.over.check("lstm", x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        let outputs: &[&[Axis]] = if self.keep { &[STATES, STATE, STATES, GATES4] } else { &[STATES, STATE] };
        Ok(outputs.iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(&x[0], 4, self.over.reverse);
        let (h, rest) = y.split_first_mut().expect("at least two outputs");
        let (last, kept) = rest.split_first_mut().expect("at least two outputs");
        float!(x[0].dtype, T => {
            let kept = match kept {
                [c, gates] => Some((c.slice::<T>(), gates.slice::<T>())),
                _ => None,
            };
            let [x, h0, c0, w] = [0, 1, 2, 3].map(|i| x[i].slice::<T>());
            done(kernel::lstm(sizes, mask, x, h0, c0, w, h.slice(), last.slice(), kept), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if cx.dy.iter().skip(2).any(Option::is_some) {
            return cx.through(|x| self.composed(x));
        }
        let keeping = (!self.keep).then(|| Arc::new(Lstm { keep: true, ..self.clone() }) as Arc<dyn Op>);
        lstm_vjp(cx, self.over, keeping, Arc::new(LstmGrad { over: self.over }), |h, d, _| {
            matmul(&rows_of(h)?, &rows_of(d)?, true, false)
        })
    }

    fn traits(&self) -> Traits {
        self.over.traits()
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl Lstm {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        lstm_by_ops(self.over, self.keep, x, |h, w| matmul(h, w, false, false))
    }
}

/// The steps of an LSTM as ops; `multiply` gives what a state and its weights add to the gates.
pub(super) fn lstm_by_ops(
    over: Loop,
    keep_all: bool,
    x: &[Value],
    multiply: impl Fn(&Value, &Value) -> Result<Value>,
) -> Result<Vec<Value>> {
    let (mask, x) = (over.masked.then(|| &x[0]), over.rest(x));
    let xs = [x[0].clone()];
    let (last, mut ys) = over.scan(mask, &x[1..3], &xs, &x[3..], false, |old, x, w| {
        let keep = mask.map(|_| &x[1]);
        let z = columns(&ew::add(&x[0], &multiply(&old[0], &w[0])?)?, 4)?;
        let (i, f) = (ew::sigmoid(&z[0])?, ew::sigmoid(&z[1])?);
        let (g, o) = (ew::tanh(&z[2])?, ew::sigmoid(&z[3])?);
        let c = ew::add(&ew::multiply(&f, &old[1])?, &ew::multiply(&i, &g)?)?;
        let h = ew::multiply(&o, &ew::tanh(&c)?)?;
        let (h, c) = (choose(keep, h, &old[0])?, choose(keep, c, &old[1])?);
        let mut ys = vec![h.clone()];
        if keep_all {
            ys.extend([c.clone(), concat::concatenate(&[i, f, g, o], -1)?]);
        }
        Ok((vec![h, c], ys))
    })?;
    ys.insert(1, last[1].clone());
    Ok(ys)
}

/// The way back as ops; `multiply` gives the gradient of a state from that of the gates and the weights.
pub(super) fn lstm_grad_by_ops(
    over: Loop,
    x: &[Value],
    multiply: impl Fn(&Value, &Value) -> Result<Value>,
) -> Result<Vec<Value>> {
    let (mask, x) = (over.masked.then(|| &x[0]), over.rest(x));
    let before = over.before(&x[3], &x[4])?;
    let xs = [x[0].clone(), x[4].clone(), before, x[5].clone()];
    let start = [Value::zeros_like(&x[3])?, x[1].clone()];
    let (last, ys) = over.scan(mask, &start, &xs, &x[2..3], true, |old, x, w| {
        let keep = mask.map(|_| &x[4]);
        let total = ew::add(&old[0], &x[0])?;
        let z = columns(&x[3], 4)?;
        let (i, f, g, o) = (&z[0], &z[1], &z[2], &z[3]);
        let tc = ew::tanh(&x[1])?;
        let dc = ew::add(&product(&[&total, o, &tanh_slope(&tc)?])?, &old[1])?;
        let parts = [
            product(&[&dc, g, &slope(i)?])?,
            product(&[&dc, &x[2], &slope(f)?])?,
            product(&[&dc, i, &tanh_slope(g)?])?,
            product(&[&total, &tc, &slope(o)?])?,
        ];
        let d = or_zero(keep, concat::concatenate(&parts, -1)?)?;
        let dh = choose(keep, multiply(&d, &w[0])?, &total)?;
        let dc = choose(keep, ew::multiply(&dc, f)?, &old[1])?;
        Ok((vec![dh, dc], vec![d]))
    })?;
    Ok(ys.into_iter().chain(last).collect())
}

/// The gradient rule of an LSTM: `keeping` is the op again, to repeat a call that kept nothing; `back` its gradient op;
/// `weights` gives the gradient of the weights from the states before each step, that of the gates, and the weights.
pub(super) fn lstm_vjp(
    cx: &Vjp<'_>,
    over: Loop,
    keeping: Option<Arc<dyn Op>>,
    back: Arc<dyn Op>,
    weights: impl FnOnce(&Value, &Value, &Value) -> Result<Value>,
) -> Result<Vec<Option<Value>>> {
    let kept = match keeping {
        None => cx.y.to_vec(),
        Some(op) => push(&op, cx.x)?.into_vec(),
    };
    let x = over.rest(cx.x);
    let mut args: Vec<Value> = cx.x[..cx.x.len() - 4].to_vec();
    args.extend([cx.dy(0)?, cx.dy(1)?, x[3].clone(), x[2].clone(), kept[2].clone(), kept[3].clone()]);
    let back = push(&back, &args)?;
    let mut dw = None;
    if *cx.needs.last().expect("inputs") {
        dw = Some(weights(&over.before(&x[1], &kept[0])?, &back[0], &x[3])?);
    }
    let mut out = vec![None; cx.x.len() - 4];
    out.extend(back.into_iter().map(Some));
    out.push(dw);
    Ok(out)
}

impl Op for LstmGrad {
    fn name(&self) -> &'static str {
        "lstm_grad"
    }

    fn attrs(&self) -> Attrs {
        Attrs(self.over.attrs())
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shapes: [(&str, &[Axis]); 6] =
            [("dh", STATES), ("dc", STATE), ("w", MATRIX4), ("c0", STATE), ("c", STATES), ("gates", GATES4)];
        let sizes: [Dim; 3] = self.over.check("lstm_grad", x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        Ok([GATES4, STATE, STATE].iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(&x[0], 1, self.over.reverse);
        let [dx, dh0, dc0] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let [dh, dc_last, w, c0, c, gates] = [0, 1, 2, 3, 4, 5].map(|i| x[i].slice::<T>());
            let a = kernel::LstmGrad { sizes, mask, dh, dc_last, w, c0, c, gates };
            done(kernel::lstm_grad(a, dx.slice(), dh0.slice(), dc0.slice()), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, ..self.over.traits() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl LstmGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        lstm_grad_by_ops(self.over, x, |d, w| matmul(d, w, false, true))
    }
}

impl Op for Gru {
    fn name(&self) -> &'static str {
        "gru"
    }

    fn attrs(&self) -> Attrs {
        let mut attrs = self.over.attrs();
        attrs.push(("keep", Attr::Bool(self.keep)));
        Attrs(attrs)
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shapes: [(&str, &[Axis]); 4] =
            [("x", GATES3), ("h0", STATE), ("w", MATRIX3), ("bias", &[Axis(2, 3)])];
        let sizes: [Dim; 3] = self.over.check("gru", x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        let outputs: &[&[Axis]] = if self.keep { &[STATES, GATES4] } else { &[STATES] };
        Ok(outputs.iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(&x[0], 3, self.over.reverse);
        let (h, kept) = y.split_first_mut().expect("at least one output");
        float!(x[0].dtype, T => {
            let kept = kept.first_mut().map(|gates| gates.slice::<T>());
            let [x, h0, w, bias] = [0, 1, 2, 3].map(|i| x[i].slice::<T>());
            done(kernel::gru(sizes, mask, x, h0, w, bias, h.slice(), kept), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        if cx.dy.iter().skip(1).any(Option::is_some) {
            return cx.through(|x| self.composed(x));
        }
        let kept = match self.keep {
            true => cx.y.to_vec(),
            false => push(&(Arc::new(Gru { keep: true, ..self.clone() }) as Arc<dyn Op>), cx.x)?.into_vec(),
        };
        let x = self.over.rest(cx.x);
        let mut args: Vec<Value> = cx.x[..cx.x.len() - 4].to_vec();
        args.extend([cx.dy(0)?, x[2].clone(), x[1].clone(), kept[0].clone(), kept[1].clone()]);
        let op: Arc<dyn Op> = Arc::new(GruGrad { over: self.over });
        let back = push(&op, &args)?;
        let (dx, dp, dh0) = (&back[0], &back[1], &back[2]);
        // The gradient of h' w + b: for z and r that of x, for g its own.
        let units = self.over.rest(cx.x)[2].shape()[0].map_or(-1, |u| u as i64);
        let dx_rows = rows_of(dx)?;
        let (gates, dp_rows) = (slice::slice_axis(&dx_rows, 1, 0, 2 * units)?, rows_of(dp)?);
        let count = cx.needs.len();
        let (mut dw, mut db) = (None, None);
        if cx.needs[count - 2] {
            let h = rows_of(&self.over.before(&x[1], &kept[0])?)?;
            let parts = [matmul(&h, &gates, true, false)?, matmul(&h, &dp_rows, true, false)?];
            dw = Some(concat::concatenate(&parts, 1)?);
        }
        if cx.needs[count - 1] {
            // The sum over all of dx is the gradient of the bias that was added to x: one node for both.
            let whole = reduce::sum_to_shape(dx, &Shape(dx.shape()[2..].into()))?;
            let parts =
                [slice::slice_axis(&whole, 0, 0, 2 * units)?, reduce::sum(&dp_rows, Some(vec![0]), false)?];
            db = Some(concat::concatenate(&parts, 0)?);
        }
        let mut out = vec![None; cx.x.len() - 4];
        out.extend([Some(dx.clone()), Some(dh0.clone()), dw, db]);
        Ok(out)
    }

    fn traits(&self) -> Traits {
        self.over.traits()
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl Gru {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (mask, x) = (self.over.masked.then(|| &x[0]), self.over.rest(x));
        let xs = [x[0].clone()];
        let (_, ys) = self.over.scan(mask, &x[1..2], &xs, &x[2..], false, |old, x, fixed| {
            let keep = mask.map(|_| &x[1]);
            let p = ew::add(&matmul(&old[0], &fixed[0], false, false)?, &fixed[1])?;
            let (x, p) = (columns(&x[0], 3)?, columns(&p, 3)?);
            let z = ew::sigmoid(&ew::add(&x[0], &p[0])?)?;
            let r = ew::sigmoid(&ew::add(&x[1], &p[1])?)?;
            let g = ew::tanh(&ew::add(&x[2], &ew::multiply(&r, &p[2])?)?)?;
            let h = ew::add(&ew::multiply(&z, &old[0])?, &ew::multiply(&one_minus(&z)?, &g)?)?;
            let h = choose(keep, h, &old[0])?;
            let mut ys = vec![h.clone()];
            if self.keep {
                ys.push(concat::concatenate(&[z, r, g, p[2].clone()], 1)?);
            }
            Ok((vec![h], ys))
        })?;
        Ok(ys)
    }
}

impl Op for GruGrad {
    fn name(&self) -> &'static str {
        "gru_grad"
    }

    fn attrs(&self) -> Attrs {
        Attrs(self.over.attrs())
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let shapes: [(&str, &[Axis]); 5] =
            [("dh", STATES), ("w", MATRIX3), ("h0", STATE), ("h", STATES), ("gates", GATES4)];
        let sizes: [Dim; 3] = self.over.check("gru_grad", x, &shapes)?;
        let dtype = self.over.rest(x)[0].dtype;
        Ok([GATES3, STATES, STATE].iter().map(|axes| spec(&sizes, axes, dtype)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let mask = self.over.mask(x);
        let x = self.over.rest(x);
        let sizes = sizes(&x[0], 1, self.over.reverse);
        let [dx, dp, dh0] = y else { unreachable!("three outputs") };
        float!(x[0].dtype, T => {
            let [dh, w, h0, h, gates] = [0, 1, 2, 3, 4].map(|i| x[i].slice::<T>());
            let a = kernel::GruGrad { sizes, mask, dh, w, h0, h, gates };
            done(kernel::gru_grad(a, dx.slice(), dp.slice(), dh0.slice()), faults);
        });
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, ..self.over.traits() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        Some(self.composed(x))
    }
}

impl GruGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (mask, x) = (self.over.masked.then(|| &x[0]), self.over.rest(x));
        let before = self.over.before(&x[2], &x[3])?;
        let xs = [x[0].clone(), before, x[4].clone()];
        let start = [Value::zeros_like(&x[2])?];
        let (last, mut ys) = self.over.scan(mask, &start, &xs, &x[1..2], true, |old, x, w| {
            let keep = mask.map(|_| &x[3]);
            let total = ew::add(&old[0], &x[0])?;
            let gates = columns(&x[2], 4)?;
            let (z, r, g, p) = (&gates[0], &gates[1], &gates[2], &gates[3]);
            let dz = product(&[&total, &ew::subtract(&x[1], g)?, &slope(z)?])?;
            let dg = product(&[&total, &one_minus(z)?, &tanh_slope(g)?])?;
            let dr = product(&[&dg, p, &slope(r)?])?;
            let dp = or_zero(keep, ew::multiply(&dg, r)?)?;
            let dx = or_zero(keep, concat::concatenate(&[dz.clone(), dr.clone(), dg], 1)?)?;
            let inner = concat::concatenate(&[dz, dr, dp.clone()], 1)?;
            let through = ew::add(&matmul(&inner, &w[0], false, true)?, &ew::multiply(&total, z)?)?;
            Ok((vec![choose(keep, through, &total)?], vec![dx, dp]))
        })?;
        ys.extend(last);
        Ok(ys)
    }
}

/// Calls over a few sizes, directions and masks: `rest` lists the shapes behind the mask, in axes.
fn samples_of<O: Op>(make: impl Fn(Loop) -> O, rest: &[&[Axis]]) -> Vec<Sample> {
    let mut out = Vec::new();
    for (sizes, reverse, masked) in [
        ([2, 3, 4], false, false),
        ([5, 2, 3], true, false),
        ([3, 4, 2], false, true),
        ([2, 3, 17], true, true),
        ([1, 2, 1], false, false),
        ([18, 2, 3], false, false),
    ] {
        let shape = |axes: &[Axis]| axes.iter().map(|a| sizes[a.0] * a.1).collect::<Vec<usize>>();
        let mut inputs: Vec<Draw> = Vec::new();
        if masked {
            inputs.push(Draw::Bool(shape(&[BATCH, STEPS])));
        }
        inputs.extend(rest.iter().map(|axes| Draw::Float(shape(axes), -0.9, 0.9)));
        out.push(Sample::new(make(Loop { reverse, masked }), inputs));
    }
    out
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "lstm",
            make: |a| Ok(Arc::new(Lstm { over: Loop::read(a)?, keep: a.opt_bool("keep")?.unwrap_or(false) })),
            samples: || {
                let shapes = [GATES4, STATE, STATE, MATRIX4];
                let mut all = samples_of(|over| Lstm { over, keep: false }, &shapes);
                all.extend(samples_of(|over| Lstm { over, keep: true }, &shapes));
                all
            },
        },
        OpDef {
            name: "lstm_grad",
            make: |a| Ok(Arc::new(LstmGrad { over: Loop::read(a)? })),
            samples: || {
                samples_of(|over| LstmGrad { over }, &[STATES, STATE, MATRIX4, STATE, STATES, GATES4])
            },
        },
        OpDef {
            name: "gru",
            make: |a| Ok(Arc::new(Gru { over: Loop::read(a)?, keep: a.opt_bool("keep")?.unwrap_or(false) })),
            samples: || {
                let shapes: [&[Axis]; 4] = [GATES3, STATE, MATRIX3, &[Axis(2, 3)]];
                let mut all = samples_of(|over| Gru { over, keep: false }, &shapes);
                all.extend(samples_of(|over| Gru { over, keep: true }, &shapes));
                all
            },
        },
        OpDef {
            name: "gru_grad",
            make: |a| Ok(Arc::new(GruGrad { over: Loop::read(a)? })),
            samples: || samples_of(|over| GruGrad { over }, &[STATES, MATRIX3, STATE, STATES, GATES4]),
        },
    ]
}
