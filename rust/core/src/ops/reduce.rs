//! Reductions along axes: sums, extremes, truth, positions, cumulative sums.

use std::sync::Arc;

use half::{bf16, f16};
use rkeras_kernels::reduce::{self as kernel, Reduce};
use rkeras_kernels::scan::{self, Scan};
use smallvec::SmallVec;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::{cast, kind};
use crate::ops::elementwise::{self as ew, with_element};
use crate::ops::{concat, reshape, slice};
use crate::shape::{self, Dim, Shape, Spec};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// Which axes are reduced, and whether they stay with size one.
#[derive(Clone, Debug)]
pub struct Axes {
    /// The axes; `None` stands for all.
    pub axis: Option<Vec<i64>>,
    /// Keep reduced axes with size one.
    pub keepdims: bool,
}

impl Axes {
    fn read(a: &mut AttrReader) -> Result<Axes> {
        Ok(Axes { axis: a.opt_ints("axis")?, keepdims: a.opt_bool("keepdims")?.unwrap_or(false) })
    }

    fn attrs(&self) -> Attrs {
        let axis = self.axis.clone().map_or(Attr::None, Attr::Ints);
        Attrs(vec![("axis", axis), ("keepdims", Attr::Bool(self.keepdims))])
    }

    /// The reduced axes, counted from the front, in order.
    fn resolve(&self, who: &str, rank: usize) -> Result<SmallVec<[usize; 6]>> {
        match &self.axis {
            None => Ok((0..rank).collect()),
            Some(list) if list.is_empty() => Ok(SmallVec::new()),
            Some(list) => shape::axes(who, list, rank),
        }
    }

    fn output(&self, who: &str, x: &Shape) -> Result<Shape> {
        let reduced = self.resolve(who, x.rank())?;
        Ok(Shape(
            x.iter()
                .enumerate()
                .filter_map(|(i, &d)| match reduced.contains(&i) {
                    true => self.keepdims.then_some(Some(1)),
                    false => Some(d),
                })
                .collect(),
        ))
    }

    /// `y` (a result) with the reduced axes put back as size one, repeated to the shape of `x`.
    fn spread(&self, who: &str, y: &Value, x: &Value) -> Result<Value> {
        let reduced = self.resolve(who, x.rank())?;
        let y = if self.keepdims {
            y.clone()
        } else {
            let dims = x.shape();
            let kept: Vec<i64> = dims
                .iter()
                .enumerate()
                .map(|(i, d)| if reduced.contains(&i) { 1 } else { d.map_or(-1, |d| d as i64) })
                .collect();
            reshape::reshape(y, &kept)?
        };
        reshape::broadcast_like(&y, x)
    }
}

/// The elements of `x` with all reduced axes side by side, and [outer, reduced, inner] sizes.
fn grouped<T: Element>(x: &View<'_>, reduced: &[usize], copy: &mut Vec<u8>) -> ([usize; 3], bool) {
    let s = x.shape();
    let run = |r: &[usize]| r.iter().map(|&i| s[i]).product::<usize>();
    let together = reduced.windows(2).all(|w| w[1] == w[0] + 1);
    if together && x.layout.is_contiguous() {
        let (first, last) = match (reduced.first(), reduced.last()) {
            (Some(&f), Some(&l)) => (f, l + 1),
            _ => (s.len(), s.len()),
        };
        return ([s[..first].iter().product(), run(reduced), s[last..].iter().product()], false);
    }
    // Bring the reduced axes to the end.
    let kept: SmallVec<[usize; 6]> = (0..s.len()).filter(|i| !reduced.contains(i)).collect();
    let order: SmallVec<[usize; 6]> = kept.iter().chain(reduced).copied().collect();
    let moved = x.layout.permute(&order);
    // Aligned for the element type: a byte vector may start anywhere, so words are taken.
    copy.clear();
    copy.resize(moved.len() * size_of::<T>() + 8, 0);
    let at = copy.as_ptr().align_offset(8);
    View { layout: &moved, ..*x }.copy_to(&mut copy[at..at + moved.len() * size_of::<T>()]);
    ([run(&kept), run(reduced), 1], true)
}

fn group<'a, T: Element>(x: &View<'a>, reduced: &[usize], copy: &'a mut Vec<u8>) -> (&'a [T], [usize; 3]) {
    let (dims, copied) = grouped::<T>(x, reduced, copy);
    if copied {
        let at = copy.as_ptr().align_offset(8);
        let len = dims.iter().product::<usize>() * size_of::<T>();
        (bytemuck::cast_slice(&copy[at..at + len]), dims)
    } else {
        (x.slice(), dims)
    }
}

/// Sum, mean, product, largest, smallest, log of the sum of exponentials.
#[derive(Debug)]
pub struct ReduceOp {
    /// Which.
    pub op: Reduce,
    /// Along what.
    pub axes: Axes,
}

impl Op for ReduceOp {
    fn name(&self) -> &'static str {
        self.op.name()
    }

    fn attrs(&self) -> Attrs {
        self.axes.attrs()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = self.name();
        let shape = self.axes.output(who, &x[0].shape)?;
        if matches!(self.op, Reduce::Max | Reduce::Min) {
            let reduced = self.axes.resolve(who, x[0].shape.rank())?;
            if reduced.iter().any(|&i| x[0].shape[i] == Some(0)) {
                return Err(Error::value(
                    who,
                    "at least one element to choose from",
                    format!("shape {}", x[0].shape),
                ));
            }
        }
        // Narrow integers would overflow in a sum; Keras answers in 32 bits.
        let dtype = match (self.op, x[0].dtype) {
            (Reduce::Sum | Reduce::Prod, DType::Bool | DType::I8 | DType::I16) => DType::I32,
            (Reduce::Sum | Reduce::Prod, DType::U8 | DType::U16) => DType::U32,
            (_, d) => d,
        };
        Ok(Outputs::from_elem(Spec::new(shape, dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let reduced = self.axes.resolve(self.name(), x[0].shape().len()).expect("infer resolved the axes");
        let mut copy = Vec::new();
        macro_rules! run {
            ($t:ty) => {{
                let (data, dims) = group::<$t>(&x[0], &reduced, &mut copy);
                if x[0].dtype == y[0].dtype {
                    kernel::reduce(self.op, data, dims, y[0].slice::<$t>());
                } else {
                    let wide = y[0].dtype;
                    let mut cast = vec![0u32; data.len()];
                    let bytes = bytemuck::cast_slice_mut(&mut cast);
                    rkeras_kernels::convert::convert_bytes(
                        kind(x[0].dtype),
                        bytemuck::cast_slice(data),
                        kind(wide),
                        bytes,
                    );
                    if wide == DType::I32 {
                        kernel::reduce(
                            self.op,
                            bytemuck::cast_slice::<u32, i32>(&cast),
                            dims,
                            y[0].slice::<i32>(),
                        );
                    } else {
                        kernel::reduce(self.op, &cast, dims, y[0].slice::<u32>());
                    }
                }
            }};
        }
        with_element!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (x, y, dy, who) = (&cx.x[0], &cx.y[0], &cx.dy(0)?, self.name());
        let spread = |v: &Value| self.axes.spread(who, v, x);
        let dx = match self.op {
            Reduce::Sum => spread(dy)?,
            Reduce::Mean => {
                let reduced = self.axes.resolve(who, x.rank())?;
                let count: usize = reduced.iter().map(|&i| x.shape()[i].unwrap_or(1)).product();
                spread(&ew::scale(dy, 1.0 / count.max(1) as f64)?)?
            }
            Reduce::Max | Reduce::Min => {
                // Where several elements are the extreme, they share the gradient.
                let mask = cast(&ew::equal(x, &spread(y)?)?, dy.dtype())?;
                let count = push1(
                    ReduceOp { op: Reduce::Sum, axes: self.axes.clone() },
                    std::slice::from_ref(&mask),
                )?;
                ew::multiply(&mask, &spread(&ew::divide(dy, &count)?)?)?
            }
            Reduce::LogSumExp => ew::multiply(&spread(dy)?, &ew::exp(&ew::subtract(x, &spread(y)?)?)?)?,
            Reduce::Prod => {
                ew::multiply(&spread(dy)?, &product_of_others(x, &self.axes.resolve(who, x.rank())?)?)?
            }
        };
        Ok(vec![Some(dx)])
    }

    fn traits(&self) -> Traits {
        Traits {
            strided: true,
            floats: matches!(self.op, Reduce::Mean | Reduce::LogSumExp),
            vjp_ignores_inputs: matches!(self.op, Reduce::Sum | Reduce::Mean),
            vjp_ignores_outputs: matches!(self.op, Reduce::Sum | Reduce::Mean | Reduce::Prod),
            selects: matches!(self.op, Reduce::Max | Reduce::Min),
            ..Traits::default()
        }
    }
}

/// For every element the product of all others along `reduced`: products from the left times products from the
/// right, so that zeros do no harm.
fn product_of_others(x: &Value, reduced: &[usize]) -> Result<Value> {
    let rank = x.rank();
    let order: Vec<i64> =
        (0..rank).filter(|i| !reduced.contains(i)).chain(reduced.iter().copied()).map(|i| i as i64).collect();
    let mut back = vec![0i64; rank];
    for (i, &o) in order.iter().enumerate() {
        back[o as usize] = i as i64;
    }
    let moved = reshape::transpose(x, &order)?;
    let sizes = moved.shape().dims().ok_or_else(|| Error::internal("prod", "unknown sizes in a gradient"))?;
    let n: usize = sizes[rank - reduced.len()..].iter().product();
    let outer: usize = sizes[..rank - reduced.len()].iter().product();
    let flat = reshape::reshape(&moved, &[outer as i64, n as i64])?;
    let one = reshape::broadcast_to(&ew::scalar(1.0, x)?, &[outer as i64, 1])?;
    let others = |reverse: bool| -> Result<Value> {
        let (from, to) = if reverse { (1, n) } else { (0, n.max(1) - 1) };
        let rest = slice::slice_axis(&flat, 1, from as i64, to as i64)?;
        let parts = if reverse { [rest, one.clone()] } else { [one.clone(), rest] };
        cumulative(&concat::concatenate(&parts, 1)?, Scan::Prod, 1, reverse)
    };
    let product = ew::multiply(&others(false)?, &others(true)?)?;
    let shape: Vec<i64> = sizes.iter().map(|&d| d as i64).collect();
    reshape::transpose(&reshape::reshape(&product, &shape)?, &back)
}

/// Is any (are all) of the elements not zero?
#[derive(Debug)]
pub struct Truth {
    /// All instead of any.
    pub all: bool,
    /// Along what.
    pub axes: Axes,
}

impl Op for Truth {
    fn name(&self) -> &'static str {
        if self.all { "all" } else { "any" }
    }

    fn attrs(&self) -> Attrs {
        self.axes.attrs()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        Ok(Outputs::from_elem(Spec::new(self.axes.output(self.name(), &x[0].shape)?, DType::Bool), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let reduced = self.axes.resolve(self.name(), x[0].shape().len()).expect("infer resolved the axes");
        let mut copy = Vec::new();
        macro_rules! run {
            ($t:ty) => {{
                let (data, dims) = group::<$t>(&x[0], &reduced, &mut copy);
                let mut truth = vec![0u8; data.len()];
                rkeras_kernels::convert::to_bool(data, &mut truth);
                let reduce = if self.all { kernel::all } else { kernel::any };
                reduce(&truth, dims, y[0].bytes);
            }};
        }
        with_element!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::None("truth values do not vary continuously")
    }

    fn traits(&self) -> Traits {
        Traits { strided: true, ..Traits::default() }
    }
}

/// The position of the largest (smallest) element along one axis, or in the flattened tensor; int32.
#[derive(Debug)]
pub struct Arg {
    /// The smallest instead of the largest.
    pub min: bool,
    /// The axis; `None` flattens.
    pub axis: Option<i64>,
    /// Keep the axis with size one.
    pub keepdims: bool,
}

impl Arg {
    fn axes(&self) -> Axes {
        Axes { axis: self.axis.map(|a| vec![a]), keepdims: self.keepdims }
    }
}

impl Op for Arg {
    fn name(&self) -> &'static str {
        if self.min { "argmin" } else { "argmax" }
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("axis", self.axis.map_or(Attr::None, Attr::Int)),
            ("keepdims", Attr::Bool(self.keepdims)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let (who, axes) = (self.name(), self.axes());
        if axes.resolve(who, x[0].shape.rank())?.iter().any(|&i| x[0].shape[i] == Some(0)) {
            return Err(Error::value(
                who,
                "at least one element to choose from",
                format!("shape {}", x[0].shape),
            ));
        }
        Ok(Outputs::from_elem(Spec::new(axes.output(who, &x[0].shape)?, DType::I32), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let reduced = self.axes().resolve(self.name(), x[0].shape().len()).expect("infer resolved the axes");
        let mut copy = Vec::new();
        let mut found = vec![0i64; y[0].len()];
        macro_rules! run {
            ($t:ty) => {{
                let (data, dims) = group::<$t>(&x[0], &reduced, &mut copy);
                if self.min {
                    kernel::argmin(data, dims, &mut found)
                } else {
                    kernel::argmax(data, dims, &mut found)
                }
            }};
        }
        with_element!(x[0].dtype, run);
        rkeras_kernels::convert::convert(&found, y[0].slice::<i32>());
    }

    fn grad(&self) -> Grad {
        Grad::None("positions do not vary continuously")
    }

    fn traits(&self) -> Traits {
        Traits { strided: true, ..Traits::default() }
    }
}

/// Sums or products so far along an axis.
#[derive(Debug)]
pub struct Cumulative {
    /// Sum or product.
    pub op: Scan,
    /// The axis.
    pub axis: i64,
    /// From the end.
    pub reverse: bool,
}

impl Op for Cumulative {
    fn name(&self) -> &'static str {
        if matches!(self.op, Scan::Prod) { "cumprod" } else { "cumsum" }
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis)), ("reverse", Attr::Bool(self.reverse))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        shape::axis(self.name(), self.axis, x[0].shape.rank())?;
        if x[0].dtype == DType::Bool {
            return Err(Error::dtype(self.name(), "numbers", "bool").hint("cast to int32 first"));
        }
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        let s = x[0].shape();
        let axis = shape::axis(self.name(), self.axis, s.len()).expect("infer resolved the axis");
        let dims = [s[..axis].iter().product(), s[axis], s[axis + 1..].iter().product()];
        macro_rules! run {
            ($t:ty) => {
                scan::scan(self.op, x[0].slice::<$t>(), dims, self.reverse, y[0].slice::<$t>())
            };
        }
        with_element!(x[0].dtype, run)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dy = &cx.dy(0)?;
        let back = |v: &Value| cumulative(v, Scan::Sum, self.axis, !self.reverse);
        Ok(vec![Some(match self.op {
            Scan::Prod => ew::divide(&back(&ew::multiply(dy, &cx.y[0])?)?, &cx.x[0])?,
            _ => back(dy)?,
        })])
    }
}

/// Sums or products so far along `axis`.
pub fn cumulative(x: &Value, op: Scan, axis: i64, reverse: bool) -> Result<Value> {
    push1(Cumulative { op, axis, reverse }, std::slice::from_ref(x))
}

/// The sum along axes.
pub fn sum(x: &Value, axis: Option<Vec<i64>>, keepdims: bool) -> Result<Value> {
    push1(ReduceOp { op: Reduce::Sum, axes: Axes { axis, keepdims } }, std::slice::from_ref(x))
}

/// The mean along axes.
pub fn mean(x: &Value, axis: Option<Vec<i64>>, keepdims: bool) -> Result<Value> {
    push1(ReduceOp { op: Reduce::Mean, axes: Axes { axis, keepdims } }, std::slice::from_ref(x))
}

/// The largest along axes.
pub fn max(x: &Value, axis: Option<Vec<i64>>, keepdims: bool) -> Result<Value> {
    push1(ReduceOp { op: Reduce::Max, axes: Axes { axis, keepdims } }, std::slice::from_ref(x))
}

/// ln Σ e^x along axes.
pub fn logsumexp(x: &Value, axis: Option<Vec<i64>>, keepdims: bool) -> Result<Value> {
    push1(ReduceOp { op: Reduce::LogSumExp, axes: Axes { axis, keepdims } }, std::slice::from_ref(x))
}

/// Sums the axes away that broadcasting added, so that the result has shape `shape`.
pub fn sum_to_shape(x: &Value, shape: &Shape) -> Result<Value> {
    let from = x.shape();
    if &from == shape {
        return Ok(x.clone());
    }
    let lead = from
        .rank()
        .checked_sub(shape.rank())
        .ok_or_else(|| Error::internal("sum_to_shape", format!("{from} to {shape}")))?;
    let repeated = |i: usize, d: Dim| i < lead || (shape[i - lead] == Some(1) && d != Some(1));
    let axes: Vec<i64> =
        from.iter().enumerate().filter(|&(i, &d)| repeated(i, d)).map(|(i, _)| i as i64).collect();
    let summed = if axes.is_empty() { x.clone() } else { sum(x, Some(axes), true)? };
    let sizes: Vec<i64> = shape.iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
    if summed.shape() == *shape { Ok(summed) } else { reshape::reshape(&summed, &sizes) }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    let mut all = Vec::new();
    macro_rules! list {
        ($($op:ident)*) => {$(
            all.push(OpDef {
                name: Reduce::$op.name(),
                make: |a| Ok(Arc::new(ReduceOp { op: Reduce::$op, axes: Axes::read(a)? })),
                samples: || axes_samples(|axes| Arc::new(ReduceOp { op: Reduce::$op, axes })),
            });
        )*};
    }
    list!(Sum Mean Prod Max Min LogSumExp);
    all.push(OpDef {
        name: "any",
        make: |a| Ok(Arc::new(Truth { all: false, axes: Axes::read(a)? })),
        samples: || axes_samples(|axes| Arc::new(Truth { all: false, axes })),
    });
    all.push(OpDef {
        name: "all",
        make: |a| Ok(Arc::new(Truth { all: true, axes: Axes::read(a)? })),
        samples: || axes_samples(|axes| Arc::new(Truth { all: true, axes })),
    });
    fn arg(a: &mut AttrReader, min: bool) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Arg {
            min,
            axis: a.opt_int("axis")?,
            keepdims: a.opt_bool("keepdims")?.unwrap_or(false),
        }))
    }
    fn arg_samples(min: bool) -> Vec<Sample> {
        vec![
            Sample::new(Arg { min, axis: None, keepdims: false }, vec![Draw::float(&[3, 4])]),
            Sample::new(Arg { min, axis: Some(-2), keepdims: true }, vec![Draw::float(&[3, 4, 2])]),
        ]
    }
    all.push(OpDef { name: "argmax", make: |a| arg(a, false), samples: || arg_samples(false) });
    all.push(OpDef { name: "argmin", make: |a| arg(a, true), samples: || arg_samples(true) });
    fn cum(a: &mut AttrReader, op: Scan) -> Result<Arc<dyn Op>> {
        Ok(Arc::new(Cumulative {
            op,
            axis: a.int("axis")?,
            reverse: a.opt_bool("reverse")?.unwrap_or(false),
        }))
    }
    fn cum_samples(op: Scan) -> Vec<Sample> {
        vec![
            Sample::new(Cumulative { op, axis: 1, reverse: false }, vec![Draw::float(&[3, 5])]),
            Sample::new(Cumulative { op, axis: -2, reverse: true }, vec![Draw::float(&[2, 4, 3])]),
        ]
    }
    all.push(OpDef { name: "cumsum", make: |a| cum(a, Scan::Sum), samples: || cum_samples(Scan::Sum) });
    all.push(OpDef { name: "cumprod", make: |a| cum(a, Scan::Prod), samples: || cum_samples(Scan::Prod) });
    all
}

fn axes_samples(make: impl Fn(Axes) -> Arc<dyn Op>) -> Vec<Sample> {
    let cases: [(Option<Vec<i64>>, bool, &[usize]); 6] = [
        (None, false, &[3, 5]),
        (Some(vec![-1]), false, &[4, 33]),
        (Some(vec![0]), true, &[5, 7]),
        (Some(vec![0, 2]), false, &[3, 4, 2]),
        (Some(vec![1]), false, &[2, 3, 4]),
        (None, true, &[]),
    ];
    cases
        .into_iter()
        .map(|(axis, keepdims, s)| Sample { op: make(Axes { axis, keepdims }), inputs: vec![Draw::float(s)] })
        .collect()
}
