//! Parts of tensors: slices, flips, padding, updates.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::ops::reshape::VIEW;
use crate::shape::{self, Shape, Spec};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push1};

/// Leaves a bound out: the end that the direction of the step starts from or goes to.
pub const OPEN: i64 = i64::MIN;

/// x[start:stop:step] along every axis, as in Python; [`OPEN`] leaves a bound out.
#[derive(Clone, Debug)]
pub struct Slice {
    /// First positions.
    pub start: Vec<i64>,
    /// Ends, not included.
    pub stop: Vec<i64>,
    /// Steps, not zero; may be negative.
    pub step: Vec<i64>,
}

/// First index, number of elements for an axis of size `n`.
fn range(n: usize, start: i64, stop: i64, step: i64) -> (usize, usize) {
    let size = n as i64;
    let clamp = |v: i64, low: i64, high: i64| (if v < 0 { v + size } else { v }).clamp(low, high);
    if step > 0 {
        let a = if start == OPEN { 0 } else { clamp(start, 0, size) };
        let b = if stop == OPEN { size } else { clamp(stop, 0, size) };
        (a as usize, if b > a { ((b - a + step - 1) / step) as usize } else { 0 })
    } else {
        let a = if start == OPEN { size - 1 } else { clamp(start, -1, size - 1) };
        let b = if stop == OPEN { -1 } else { clamp(stop, -1, size - 1) };
        (a.max(0) as usize, if a > b { ((a - b - step - 1) / -step) as usize } else { 0 })
    }
}

impl Op for Slice {
    fn name(&self) -> &'static str {
        "slice"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("start", Attr::Ints(self.start.clone())),
            ("stop", Attr::Ints(self.stop.clone())),
            ("step", Attr::Ints(self.step.clone())),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let rank = x[0].shape.rank();
        if [self.start.len(), self.stop.len(), self.step.len()] != [rank; 3] {
            return Err(Error::value(
                "slice",
                format!("start, stop and step for {rank} axes"),
                format!("{:?}, {:?}, {:?}", self.start, self.stop, self.step),
            ));
        }
        if self.step.contains(&0) {
            return Err(Error::value("slice", "steps other than zero", format!("step={:?}", self.step)));
        }
        let mut out = Shape::default();
        for (i, &d) in x[0].shape.iter().enumerate() {
            let whole = self.start[i] == OPEN && self.stop[i] == OPEN && self.step[i].abs() == 1;
            out.0.push(match d {
                Some(n) => Some(range(n, self.start[i], self.stop[i], self.step[i]).1),
                None if whole => None,
                // A fixed window from the front has its size whatever the axis turns out to be, if it is long enough.
                None if self.start[i] >= 0 && self.stop[i] > self.start[i] && self.step[i] > 0 => {
                    Some(((self.stop[i] - self.start[i] + self.step[i] - 1) / self.step[i]) as usize)
                }
                None => None,
            });
        }
        Ok(Outputs::from_elem(Spec::new(out, x[0].dtype), 1))
    }

    fn eval(&self, _: &[View<'_>], _: &mut [ViewMut<'_>], _: &Faults) {
        unreachable!("a view")
    }

    fn view(&self, x: &Layout, _: &[usize]) -> Option<Layout> {
        let mut out = x.clone();
        for i in 0..x.rank() {
            let (start, len) = range(x.shape[i], self.start[i], self.stop[i], self.step[i]);
            out = out.slice(i, start, len, self.step[i] as isize);
        }
        Some(out)
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let zeros = Value::zeros_like(&cx.x[0])?;
        let update = SliceUpdate { window: self.clone() };
        Ok(vec![Some(push1(update, &[zeros, cx.dy(0)?])?)])
    }

    fn traits(&self) -> Traits {
        VIEW
    }
}

/// Input 0 with the window replaced by input 1.
#[derive(Debug)]
pub struct SliceUpdate {
    /// The window.
    pub window: Slice,
}

impl Op for SliceUpdate {
    fn name(&self) -> &'static str {
        "slice_update"
    }

    fn attrs(&self) -> Attrs {
        self.window.attrs()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let window = self.window.infer(&x[..1])?.swap_remove(0);
        let fits = window.shape.rank() == x[1].shape.rank()
            && window.shape.iter().zip(x[1].shape.iter()).all(|(&a, &b)| shape::agree(a, b));
        if !fits {
            return Err(Error::value(
                "slice_update",
                format!("updates of shape {}", window.shape),
                format!("{}", x[1].shape),
            ));
        }
        Ok(Outputs::from_elem(x[0].clone(), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], _: &Faults) {
        x[0].copy_to(y[0].bytes);
        if x[1].is_empty() {
            return;
        }
        let to = self.window.view(&Layout::contiguous(y[0].shape), &[]).expect("slices are views");
        let from = x[1].layout;
        rkeras_kernels::copy::strided(
            x[1].bytes,
            x[1].dtype.size(),
            &from.shape,
            &from.strides,
            from.offset,
            y[0].bytes,
            &to.strides,
            to.offset,
        );
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dy = &cx.dy(0)?;
        let part = push1(self.window.clone(), std::slice::from_ref(dy))?;
        let kept = if cx.needs[0] {
            Some(push1(
                SliceUpdate { window: self.window.clone() },
                &[dy.clone(), Value::zeros_like(&part)?],
            )?)
        } else {
            None
        };
        Ok(vec![kept, Some(part)])
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

/// x[start..stop] along one axis.
pub fn slice_axis(x: &Value, axis: usize, start: i64, stop: i64) -> Result<Value> {
    let rank = x.rank();
    let mut window = Slice { start: vec![OPEN; rank], stop: vec![OPEN; rank], step: vec![1; rank] };
    (window.start[axis], window.stop[axis]) = (start, stop);
    push1(window, std::slice::from_ref(x))
}

/// The elements along `axes` from the last to the first.
pub fn flip(x: &Value, axes: &[usize]) -> Result<Value> {
    let rank = x.rank();
    let mut window = Slice { start: vec![OPEN; rank], stop: vec![OPEN; rank], step: vec![1; rank] };
    for &a in axes {
        window.step[a] = -1;
    }
    push1(window, std::slice::from_ref(x))
}

/// More elements before and behind each axis.
#[derive(Debug)]
pub struct Pad {
    /// Elements before each axis.
    pub before: Vec<i64>,
    /// Elements behind each axis.
    pub after: Vec<i64>,
    /// What they are.
    pub mode: PadMode,
    /// The constant of [`PadMode::Constant`].
    pub value: f64,
}

/// What padding consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PadMode {
    /// A constant.
    Constant,
    /// The elements mirrored at the edge element.
    Reflect,
    /// The elements mirrored at the edge, the edge element repeated.
    Symmetric,
}

impl Pad {
    fn keep(&self) -> Slice {
        let stop = self.after.iter().map(|&a| if a == 0 { OPEN } else { -a }).collect();
        Slice { start: self.before.clone(), stop, step: vec![1; self.before.len()] }
    }
}

impl Op for Pad {
    fn name(&self) -> &'static str {
        "pad"
    }

    fn attrs(&self) -> Attrs {
        let mode = match self.mode {
            PadMode::Constant => "constant",
            PadMode::Reflect => "reflect",
            PadMode::Symmetric => "symmetric",
        };
        Attrs(vec![
            ("before", Attr::Ints(self.before.clone())),
            ("after", Attr::Ints(self.after.clone())),
            ("mode", Attr::Str(mode.to_string())),
            ("constant_values", Attr::Float(self.value)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let rank = x[0].shape.rank();
        if self.before.len() != rank
            || self.after.len() != rank
            || self.before.iter().chain(&self.after).any(|&w| w < 0)
        {
            return Err(Error::value(
                "pad",
                format!("two widths of at least 0 for each of {rank} axes"),
                format!("{:?}, {:?}", self.before, self.after),
            ));
        }
        let mut out = Shape::default();
        for (i, &d) in x[0].shape.iter().enumerate() {
            let (b, a) = (self.before[i] as usize, self.after[i] as usize);
            let most = d.map(|d| match self.mode {
                PadMode::Constant => usize::MAX,
                PadMode::Reflect => d.saturating_sub(1),
                PadMode::Symmetric => d,
            });
            if most.is_some_and(|m| b > m || a > m) {
                return Err(Error::value(
                    "pad",
                    format!("mirrored padding of at most {} on axis {i}", most.unwrap_or(0)),
                    format!("({b}, {a})"),
                ));
            }
            out.0.push(d.map(|d| d + b + a));
        }
        Ok(Outputs::from_elem(Spec::new(out, x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let size = x[0].dtype.size();
        let out = Layout::contiguous(y[0].shape);
        if self.mode == PadMode::Constant {
            let Ok(fill) = Tensor::scalar(self.value, x[0].dtype) else { return faults.set(Fault::Memory) };
            rkeras_kernels::copy::fill(fill.view().raw(), y[0].bytes);
        }
        let mut inner = out.clone();
        for i in 0..out.rank() {
            inner = inner.slice(i, self.before[i] as usize, x[0].shape()[i], 1);
        }
        if !x[0].is_empty() {
            let from = x[0].layout;
            rkeras_kernels::copy::strided(
                x[0].bytes,
                size,
                &from.shape,
                &from.strides,
                from.offset,
                y[0].bytes,
                &inner.strides,
                inner.offset,
            );
        }
        if self.mode == PadMode::Constant || y[0].is_empty() {
            return;
        }
        // Axis by axis, mirrored from what is filled already.
        let mut filled = inner;
        for i in 0..out.rank() {
            let (before, n, after) = (self.before[i] as usize, x[0].shape()[i], self.after[i] as usize);
            let off = usize::from(self.mode == PadMode::Reflect);
            let mut wide = filled.clone();
            wide.shape[i] = before + n + after;
            wide.offset -= before * wide.strides[i] as usize;
            let mut mirror = |to: usize, from: usize, len: usize| {
                let (to, from) = (wide.slice(i, to, len, 1), wide.slice(i, from, len, -1));
                let mut part = vec![0u8; from.len() * size];
                rkeras_kernels::copy::to_contiguous(
                    y[0].bytes,
                    size,
                    &from.shape,
                    &from.strides,
                    from.offset,
                    &mut part,
                );
                rkeras_kernels::copy::from_contiguous(
                    &part,
                    size,
                    &to.shape,
                    y[0].bytes,
                    &to.strides,
                    to.offset,
                );
            };
            if before > 0 {
                mirror(0, 2 * before - 1 + off, before);
            }
            if after > 0 {
                mirror(before + n, before + n - 1 - off, after);
            }
            filled = wide;
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let dy = cx.dy(0)?;
        if self.mode == PadMode::Constant {
            return Ok(vec![Some(push1(self.keep(), &[dy])?)]);
        }
        // Fold the mirrored parts back, axis by axis, in the reverse of the order in which they were made.
        let mut dy = dy;
        for i in (0..self.before.len()).rev() {
            let n = cx.x[0].shape()[i].ok_or_else(|| Error::internal("pad", "unknown size in a gradient"))?
                as i64;
            let (before, after) = (self.before[i], self.after[i]);
            let off = i64::from(self.mode == PadMode::Reflect);
            let mut middle = slice_axis(&dy, i, before, before + n)?;
            for (from, len, at) in [(0, before, off), (before + n, after, n - after - off)] {
                if len > 0 {
                    let part = flip(&slice_axis(&dy, i, from, from + len)?, &[i])?;
                    let mut widths = Pad {
                        before: vec![0; self.before.len()],
                        after: vec![0; self.before.len()],
                        mode: PadMode::Constant,
                        value: 0.0,
                    };
                    (widths.before[i], widths.after[i]) = (at, n - at - len);
                    middle = ew::add(&middle, &push1(widths, &[part])?)?;
                }
            }
            dy = middle;
        }
        Ok(vec![Some(dy)])
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

/// One index of an indexing expression, as NumPy has them.
#[derive(Clone, Debug)]
pub enum Index {
    /// One position; the axis goes away.
    Int(i64),
    /// start:stop:step, [`OPEN`] where left out.
    Slice(i64, i64, i64),
    /// A new axis of size one.
    NewAxis,
    /// As many whole axes as are left over.
    Ellipsis,
    /// Positions.
    Array(Value),
}

/// x[indices].
pub fn index(x: &Value, indices: &[Index]) -> Result<Value> {
    let rank = x.rank();
    let mut used = 0;
    for i in indices {
        used += match i {
            Index::Int(_) | Index::Slice(..) => 1,
            Index::Array(v) if v.dtype() == DType::Bool => v.rank(),
            Index::Array(_) => 1,
            Index::NewAxis | Index::Ellipsis => 0,
        };
    }
    if used > rank {
        return Err(Error::index(
            "getitem",
            format!("at most {rank} indices for shape {}", x.shape()),
            format!("{used}"),
        ));
    }
    if indices.iter().filter(|i| matches!(i, Index::Ellipsis)).count() > 1 {
        return Err(Error::index("getitem", "one ellipsis at most", "several"));
    }
    // First the slices and integers as one view; arrays are applied to what it gives.
    let mut window = Slice { start: vec![OPEN; rank], stop: vec![OPEN; rank], step: vec![1; rank] };
    let shape = x.shape();
    let mut axis = 0;
    let mut plan: SmallVec<[(u8, usize); 8]> = SmallVec::new();
    let mut arrays: Vec<(usize, Value)> = Vec::new();
    let rest_of_axes = Index::Ellipsis;
    for i in indices.iter().chain(std::iter::once(&rest_of_axes)) {
        match i {
            Index::Int(at) => {
                if let Some(n) = shape[axis]
                    && (*at >= n as i64 || *at < -(n as i64))
                {
                    return Err(Error::index(
                        "getitem",
                        format!("an index in [-{n}, {n}) on axis {axis}"),
                        format!("{at}"),
                    ));
                }
                (window.start[axis], window.stop[axis]) = (*at, if *at == -1 { OPEN } else { at + 1 });
                plan.push((b'd', axis));
                axis += 1;
            }
            Index::Slice(start, stop, step) => {
                (window.start[axis], window.stop[axis], window.step[axis]) = (*start, *stop, *step);
                plan.push((b'k', axis));
                axis += 1;
            }
            Index::NewAxis => plan.push((b'n', 0)),
            Index::Ellipsis => {
                let seen = indices.iter().position(|j| std::ptr::eq(j, i));
                let rest: usize = match seen {
                    Some(at) => indices[at + 1..]
                        .iter()
                        .map(|j| match j {
                            Index::Int(_) | Index::Slice(..) => 1,
                            Index::Array(v) if v.dtype() == DType::Bool => v.rank(),
                            Index::Array(_) => 1,
                            _ => 0,
                        })
                        .sum(),
                    None => 0,
                };
                while axis < rank - rest {
                    plan.push((b'k', axis));
                    axis += 1;
                }
            }
            Index::Array(v) if v.dtype() == DType::Bool => {
                // A mask stands for the positions at which it is true, one index per axis of the mask.
                let mask = v.tensor().map_err(|e| e.hint("a boolean mask gives a size that depends on values; use where, or multiply by the mask"))?;
                let sizes: Vec<usize> = mask.shape().to_vec();
                for (d, &n) in sizes.iter().enumerate() {
                    if shape[axis + d] != Some(n) {
                        return Err(Error::index(
                            "getitem",
                            format!("a mask that matches shape {shape}"),
                            format!("a mask of shape {}", v.shape()),
                        ));
                    }
                }
                let truth = mask.to_vec::<u8>()?;
                let hits: Vec<usize> =
                    truth.iter().enumerate().filter(|(_, t)| **t != 0).map(|(i, _)| i).collect();
                let mut step: usize = sizes.iter().product();
                for &n in &sizes {
                    step /= n.max(1);
                    let column: Vec<i32> = hits.iter().map(|h| (h / step.max(1) % n.max(1)) as i32).collect();
                    arrays.push((plan.len(), Value::Tensor(Tensor::from_slice(&[column.len()], &column)?)));
                    plan.push((b'a', axis));
                    axis += 1;
                }
            }
            Index::Array(v) => {
                if !v.dtype().is_int() {
                    return Err(Error::index(
                        "getitem",
                        "integers, slices, masks or integer arrays",
                        format!("an array of {}", v.dtype()),
                    ));
                }
                arrays.push((plan.len(), v.clone()));
                plan.push((b'a', axis));
                axis += 1;
            }
        }
    }
    let whole =
        window.start.iter().chain(&window.stop).all(|&b| b == OPEN) && window.step.iter().all(|&s| s == 1);
    let y = if whole { x.clone() } else { push1(window, std::slice::from_ref(x))? };
    let dims = y.shape();
    let kept: Vec<i64> = plan
        .iter()
        .filter(|(kind, _)| *kind != b'd')
        .map(|&(kind, axis)| if kind == b'n' { 1 } else { dims[axis].map_or(-1, |d| d as i64) })
        .collect();
    let same = kept.len() == rank && plan.iter().all(|(kind, _)| *kind == b'k' || *kind == b'a');
    let y = if same {
        y
    } else if kept.iter().filter(|&&d| d < 0).count() > 1 {
        // Only specs have several unknown sizes, and they need no elements moved.
        let sizes = kept.iter().map(|&d| usize::try_from(d).ok());
        Value::Spec(Spec::new(Shape::new(sizes), y.dtype()))
    } else {
        crate::ops::reshape::reshape(&y, &kept)?
    };
    if arrays.is_empty() {
        return Ok(y);
    }
    // Positions of the indexed axes in `y`, which has lost the integer axes.
    let axes: Vec<usize> =
        arrays.iter().map(|(at, _)| plan[..*at].iter().filter(|(kind, _)| *kind != b'd').count()).collect();
    crate::ops::gather::gather_nd(&y, &axes, &arrays.into_iter().map(|(_, v)| v).collect::<Vec<_>>())
}

fn read_window(a: &mut AttrReader) -> Result<Slice> {
    let start = a.ints("start")?;
    let step = a.opt_ints("step")?.unwrap_or_else(|| vec![1; start.len()]);
    Ok(Slice { start, stop: a.ints("stop")?, step })
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn samples() -> Vec<Slice> {
        vec![
            Slice { start: vec![1, OPEN], stop: vec![4, OPEN], step: vec![1, -1] },
            Slice { start: vec![-1, 0], stop: vec![OPEN, 5], step: vec![-2, 2] },
        ]
    }
    fn pad_sample(mode: PadMode) -> Sample {
        Sample::new(
            Pad { before: vec![1, 0, 2], after: vec![0, 2, 1], mode, value: 0.5 },
            vec![Draw::float(&[2, 3, 4])],
        )
    }
    vec![
        OpDef {
            name: "slice",
            make: |a| Ok(Arc::new(read_window(a)?)),
            samples: || samples().into_iter().map(|w| Sample::new(w, vec![Draw::float(&[5, 6])])).collect(),
        },
        OpDef {
            name: "slice_update",
            make: |a| Ok(Arc::new(SliceUpdate { window: read_window(a)? })),
            samples: || {
                samples()
                    .into_iter()
                    .map(|window| {
                        let part = window.infer(&[Spec::known(&[5, 6], DType::F32)]).expect("fits")[0]
                            .shape
                            .dims()
                            .expect("known");
                        Sample::new(SliceUpdate { window }, vec![Draw::float(&[5, 6]), Draw::float(&part)])
                    })
                    .collect()
            },
        },
        OpDef {
            name: "pad",
            make: |a| {
                let mode = match a.opt_str("mode")?.as_deref() {
                    None | Some("constant") => PadMode::Constant,
                    Some("reflect") => PadMode::Reflect,
                    Some("symmetric") => PadMode::Symmetric,
                    Some(other) => {
                        return Err(Error::value(
                            "pad",
                            "mode \"constant\", \"reflect\" or \"symmetric\"",
                            format!("{other:?}"),
                        ));
                    }
                };
                Ok(Arc::new(Pad {
                    before: a.ints("before")?,
                    after: a.ints("after")?,
                    mode,
                    value: a.opt_float("constant_values")?.unwrap_or(0.0),
                }))
            },
            samples: || [PadMode::Constant, PadMode::Reflect, PadMode::Symmetric].map(pad_sample).into(),
        },
    ]
}

/// Splits `x` along `axis` at the given positions.
pub fn split_at(x: &Value, axis: usize, cuts: &[i64]) -> Result<Vec<Value>> {
    let n = x.shape()[axis].map_or(OPEN, |n| n as i64);
    let mut out = Vec::with_capacity(cuts.len() + 1);
    let mut from = 0;
    for &to in cuts.iter().chain(std::iter::once(&n)) {
        out.push(slice_axis(x, axis, from, to)?);
        from = to;
    }
    Ok(out)
}
