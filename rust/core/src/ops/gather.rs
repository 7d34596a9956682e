//! Selecting and scattering by index.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use half::{bf16, f16};
use rkeras_kernels::gather::{self as kernel, Scatter};
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::{cast, kind};
use crate::ops::elementwise::{self as ew, with_element};
use crate::ops::reshape;
use crate::shape::{self, Shape, Spec, agree};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push1};

const POSITIONS: &str = "integer indices";

/// The indices as int64.
fn positions(x: &View<'_>) -> Vec<i64> {
    let mut out = vec![0i64; x.len()];
    rkeras_kernels::convert::convert_bytes(
        kind(x.dtype),
        x.raw(),
        kind(DType::I64),
        bytemuck::cast_slice_mut(&mut out),
    );
    out
}

fn needs_ints(who: &str, x: &Spec) -> Result<()> {
    if x.dtype.is_int() { Ok(()) } else { Err(Error::dtype(who, POSITIONS, x.dtype.name())) }
}

fn split3(s: &[usize], axis: usize) -> [usize; 3] {
    [s[..axis].iter().product(), s[axis], s[axis + 1..].iter().product()]
}

/// Sums of half precision are taken in float32 and rounded once, as all sums are.
fn is_half(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16)
}

fn in_float32(x: &View<'_>, y: &mut ViewMut<'_>, run: impl FnOnce(&[f32], &mut [f32])) {
    use rkeras_kernels::convert::{Kind, convert_bytes};
    let (mut wide, mut sums) = (vec![0f32; x.len()], vec![0f32; y.shape.iter().product()]);
    convert_bytes(kind(x.dtype), x.raw(), Kind::F32, bytemuck::cast_slice_mut(&mut wide));
    run(&wide, &mut sums);
    convert_bytes(Kind::F32, bytemuck::cast_slice(&sums), kind(y.dtype), y.bytes);
}

fn report(outside: AtomicBool, faults: &Faults) {
    if outside.load(Ordering::Relaxed) {
        faults.set(Fault::IndexOutOfRange);
    }
}

/// Slices of input 0 along an axis, at the positions in input 1 (of any shape).
#[derive(Debug)]
pub struct Gather {
    /// The axis.
    pub axis: i64,
}

impl Op for Gather {
    fn name(&self) -> &'static str {
        "gather"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        needs_ints("gather", &x[1])?;
        let axis = shape::axis("gather", self.axis, x[0].shape.rank())?;
        if x[0].shape[axis] == Some(0) && x[1].shape.len() != Some(0) {
            return Err(Error::index(
                "gather",
                "an axis with elements to select",
                format!("shape {}", x[0].shape),
            ));
        }
        let dims = x[0].shape[..axis].iter().chain(x[1].shape.iter()).chain(&x[0].shape[axis + 1..]).copied();
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let axis = shape::axis("gather", self.axis, x[0].shape().len()).expect("infer resolved the axis");
        let (dims, index, outside) = (split3(x[0].shape(), axis), positions(&x[1]), AtomicBool::new(false));
        macro_rules! run {
            ($t:ty) => {
                kernel::gather(x[0].slice::<$t>(), dims, &index, y[0].slice::<$t>(), &outside)
            };
        }
        with_element!(x[0].dtype, run);
        report(outside, faults);
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let axis = shape::axis("gather", self.axis, cx.x[0].rank())?;
        let size =
            cx.x[0].shape()[axis].ok_or_else(|| Error::internal("gather", "unknown size in a gradient"))?;
        let scatter = ScatterAdd { axis: axis as i64, size: size as i64 };
        Ok(vec![Some(push1(scatter, &[cx.dy(0)?, cx.x[1].clone()])?), None])
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, selects: true, ..Traits::default() }
    }
}

/// Zeros to whose slices along an axis the slices of input 0 are added, at the positions in input 1.
#[derive(Debug)]
pub struct ScatterAdd {
    /// The axis, counted from the front.
    pub axis: i64,
    /// The size of the axis in the result.
    pub size: i64,
}

impl Op for ScatterAdd {
    fn name(&self) -> &'static str {
        "scatter_add"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis)), ("size", Attr::Int(self.size))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        needs_ints("scatter_add", &x[1])?;
        let (axis, k) = (self.axis as usize, x[1].shape.rank());
        let s = &x[0].shape;
        let fits = self.axis >= 0
            && self.size >= 0
            && s.rank() >= axis + k
            && s[axis..axis + k].iter().zip(x[1].shape.iter()).all(|(&a, &b)| agree(a, b));
        if !fits {
            return Err(Error::value(
                "scatter_add",
                format!("updates with the shape {} of the indices from axis {}", x[1].shape, self.axis),
                format!("shape {s}"),
            ));
        }
        let dims =
            s[..axis].iter().copied().chain([Some(self.size as usize)]).chain(s[axis + k..].iter().copied());
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let (index, outside) = (positions(&x[1]), AtomicBool::new(false));
        let dims = split3(y[0].shape, self.axis as usize);
        y[0].bytes.fill(0);
        macro_rules! run {
            ($t:ty) => {
                kernel::scatter(Scatter::Add, x[0].slice::<$t>(), &index, dims, y[0].slice::<$t>(), &outside)
            };
        }
        if (self.size > 0 || index.is_empty()) && is_half(x[0].dtype) {
            in_float32(&x[0], &mut y[0], |x, y| kernel::scatter(Scatter::Add, x, &index, dims, y, &outside));
        } else if self.size > 0 || index.is_empty() {
            with_element!(x[0].dtype, run);
        } else {
            outside.store(true, Ordering::Relaxed);
        }
        report(outside, faults);
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(gather(&cx.dy(0)?, &cx.x[1], self.axis)?), None])
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, ..Traits::default() }
    }
}

/// Slices of `x` along `axis` at the positions in `index`.
pub fn gather(x: &Value, index: &Value, axis: i64) -> Result<Value> {
    push1(Gather { axis }, &[x.clone(), index.clone()])
}

/// NumPy's indexing by several integer arrays that are broadcast together, one for each of `axes` (in order). The
/// axes of the arrays take the place of the indexed axes if these are side by side, else they come first.
pub(crate) fn gather_nd(x: &Value, axes: &[usize], arrays: &[Value]) -> Result<Value> {
    if let ([axis], [array]) = (axes, arrays) {
        return gather(x, array, *axis as i64);
    }
    let sizes = x.shape().dims().ok_or_else(|| {
        Error::value("getitem", "a known shape for indexing by several arrays", format!("{}", x.shape()))
            .hint("use take")
    })?;
    let together = axes.windows(2).all(|w| w[1] == w[0] + 1);
    let rest: SmallVec<[usize; 6]> = (0..sizes.len()).filter(|i| !axes.contains(i)).collect();
    let first = if together { axes[0] } else { 0 };
    let order: Vec<i64> = rest[..first].iter().chain(axes).chain(&rest[first..]).map(|&i| i as i64).collect();
    let moved = reshape::transpose(x, &order)?;
    let count: usize = axes.iter().map(|&a| sizes[a]).product();
    let flat: Vec<i64> = rest[..first]
        .iter()
        .map(|&i| sizes[i] as i64)
        .chain([count as i64])
        .chain(rest[first..].iter().map(|&i| sizes[i] as i64))
        .collect();
    let moved = reshape::reshape(&moved, &flat)?;
    let mut place: Option<Value> = None;
    for (&axis, array) in axes.iter().zip(arrays) {
        let n = sizes[axis] as f64;
        let index = cast(array, DType::I64)?;
        let wrapped =
            ew::select(&ew::less(&index, &ew::scalar(0.0, &index)?)?, &ew::add_scalar(&index, n)?, &index)?;
        if let Value::Tensor(t) = &wrapped
            && t.to_f64()?.iter().any(|&i| i < 0.0 || i >= n)
        {
            return Err(Error::index(
                "getitem",
                format!("indices in [-{n}, {n}) on axis {axis}"),
                format!("{:?}", array.tensor()?.to_f64()?),
            ));
        }
        place = Some(match place {
            None => wrapped,
            Some(p) => ew::add(&ew::scale(&p, n)?, &wrapped)?,
        });
    }
    let place = place.ok_or_else(|| Error::internal("getitem", "no index arrays"))?;
    gather(&moved, &place, first as i64)
}

/// Elements of input 0 along an axis at positions that input 1 gives for every element.
#[derive(Debug)]
pub struct TakeAlongAxis {
    /// The axis.
    pub axis: i64,
}

/// Zeros of `size` along an axis, to which the elements of input 0 are added at the positions in input 1.
#[derive(Debug)]
pub struct AddAlongAxis {
    /// The axis, counted from the front.
    pub axis: i64,
    /// The size of the axis in the result.
    pub size: i64,
}

impl Op for TakeAlongAxis {
    fn name(&self) -> &'static str {
        "take_along_axis"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        needs_ints("take_along_axis", &x[1])?;
        let axis = shape::axis("take_along_axis", self.axis, x[0].shape.rank())?;
        let (a, b) = (&x[0].shape, &x[1].shape);
        if a.rank() != b.rank() || (0..a.rank()).any(|i| i != axis && !agree(a[i], b[i])) {
            return Err(Error::value(
                "take_along_axis",
                format!("indices that match shape {a} except on axis {}", self.axis),
                format!("shape {b}"),
            ));
        }
        let dims = (0..a.rank()).map(|i| if i == axis { b[i] } else { a[i].or(b[i]) });
        Ok(Outputs::from_elem(Spec::new(Shape::new(dims), x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let axis =
            shape::axis("take_along_axis", self.axis, x[0].shape().len()).expect("infer resolved the axis");
        let (dims, index, outside) = (split3(x[0].shape(), axis), positions(&x[1]), AtomicBool::new(false));
        let k = y[0].shape[axis];
        macro_rules! run {
            ($t:ty) => {
                kernel::take_along(x[0].slice::<$t>(), dims, &index, k, y[0].slice::<$t>(), &outside)
            };
        }
        if dims[1] > 0 || index.is_empty() {
            with_element!(x[0].dtype, run);
        } else {
            outside.store(true, Ordering::Relaxed);
        }
        report(outside, faults);
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let axis = shape::axis("take_along_axis", self.axis, cx.x[0].rank())?;
        let size = cx.x[0].shape()[axis]
            .ok_or_else(|| Error::internal("take_along_axis", "unknown size in a gradient"))?;
        let add = AddAlongAxis { axis: axis as i64, size: size as i64 };
        Ok(vec![Some(push1(add, &[cx.dy(0)?, cx.x[1].clone()])?), None])
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, selects: true, ..Traits::default() }
    }
}

impl Op for AddAlongAxis {
    fn name(&self) -> &'static str {
        "add_along_axis"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("axis", Attr::Int(self.axis)), ("size", Attr::Int(self.size))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        needs_ints("add_along_axis", &x[1])?;
        let axis = shape::axis("add_along_axis", self.axis, x[0].shape.rank())?;
        let fits = x[0].shape.rank() == x[1].shape.rank()
            && x[0].shape.iter().zip(x[1].shape.iter()).all(|(&a, &b)| agree(a, b));
        if !fits || self.size < 0 {
            return Err(Error::value(
                "add_along_axis",
                format!("indices of shape {}", x[0].shape),
                format!("shape {}", x[1].shape),
            ));
        }
        let mut out = x[0].shape.clone();
        out.0[axis] = Some(self.size as usize);
        Ok(Outputs::from_elem(Spec::new(out, x[0].dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let axis =
            shape::axis("add_along_axis", self.axis, x[0].shape().len()).expect("infer resolved the axis");
        let (k, index, outside) = (x[0].shape()[axis], positions(&x[1]), AtomicBool::new(false));
        let dims = split3(y[0].shape, axis);
        y[0].bytes.fill(0);
        macro_rules! run {
            ($t:ty) => {
                kernel::add_along(x[0].slice::<$t>(), &index, k, dims, y[0].slice::<$t>(), &outside)
            };
        }
        if (dims[1] > 0 || index.is_empty()) && is_half(x[0].dtype) {
            in_float32(&x[0], &mut y[0], |x, y| kernel::add_along(x, &index, k, dims, y, &outside));
        } else if dims[1] > 0 || index.is_empty() {
            with_element!(x[0].dtype, run);
        } else {
            outside.store(true, Ordering::Relaxed);
        }
        report(outside, faults);
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(push1(TakeAlongAxis { axis: self.axis }, &[cx.dy(0)?, cx.x[1].clone()])?), None])
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_outputs: true, ..Traits::default() }
    }
}

/// Elements of `x` along `axis` at positions given for every element.
pub fn take_along_axis(x: &Value, index: &Value, axis: i64) -> Result<Value> {
    push1(TakeAlongAxis { axis }, &[x.clone(), index.clone()])
}

/// 1 at the position that each integer names along a new last axis, else 0; all 0 where it is out of range.
#[derive(Debug)]
pub struct OneHot {
    /// The size of the new axis.
    pub num_classes: i64,
    /// The dtype of the result.
    pub dtype: DType,
}

impl Op for OneHot {
    fn name(&self) -> &'static str {
        "one_hot"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![("num_classes", Attr::Int(self.num_classes)), ("dtype", Attr::DType(self.dtype))])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        needs_ints("one_hot", &x[0])?;
        if self.num_classes < 0 {
            return Err(Error::value(
                "one_hot",
                "num_classes of at least 0",
                format!("{}", self.num_classes),
            ));
        }
        let mut out = x[0].shape.clone();
        out.0.push(Some(self.num_classes as usize));
        Ok(Outputs::from_elem(Spec::new(out, self.dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let index = positions(&x[0]);
        let Ok(one) = Tensor::scalar(1.0, self.dtype) else { return faults.set(Fault::Memory) };
        macro_rules! run {
            ($t:ty) => {{
                let one = one.view().slice::<$t>()[0];
                kernel::one_hot(
                    &index,
                    self.num_classes as usize,
                    one,
                    <$t as bytemuck::Zeroable>::zeroed(),
                    y[0].slice::<$t>(),
                )
            }};
        }
        with_element!(self.dtype, run);
    }

    fn grad(&self) -> Grad {
        Grad::None("positions do not vary continuously")
    }
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn along(s: &[usize], k: &[usize], n: i64) -> Vec<Draw> {
        vec![Draw::float(s), Draw::Int(k.to_vec(), 0, n)]
    }
    vec![
        OpDef {
            name: "gather",
            make: |a| Ok(Arc::new(Gather { axis: a.opt_int("axis")?.unwrap_or(0) })),
            samples: || {
                vec![
                    Sample::new(Gather { axis: 0 }, along(&[5, 3], &[7], 5)),
                    Sample::new(Gather { axis: 1 }, along(&[2, 4, 3], &[2, 2], 4)),
                    Sample::new(Gather { axis: -1 }, along(&[2, 4], &[], 4)),
                ]
            },
        },
        OpDef {
            name: "scatter_add",
            make: |a| Ok(Arc::new(ScatterAdd { axis: a.int("axis")?, size: a.int("size")? })),
            samples: || {
                vec![
                    Sample::new(ScatterAdd { axis: 0, size: 4 }, along(&[7, 3], &[7], 4)),
                    Sample::new(ScatterAdd { axis: 1, size: 5 }, along(&[2, 3, 2, 3], &[3, 2], 5)),
                ]
            },
        },
        OpDef {
            name: "take_along_axis",
            make: |a| Ok(Arc::new(TakeAlongAxis { axis: a.opt_int("axis")?.unwrap_or(-1) })),
            samples: || {
                vec![
                    Sample::new(TakeAlongAxis { axis: 1 }, along(&[3, 4], &[3, 2], 4)),
                    Sample::new(TakeAlongAxis { axis: 0 }, along(&[3, 2, 2], &[5, 2, 2], 3)),
                ]
            },
        },
        OpDef {
            name: "add_along_axis",
            make: |a| Ok(Arc::new(AddAlongAxis { axis: a.int("axis")?, size: a.int("size")? })),
            samples: || vec![Sample::new(AddAlongAxis { axis: 1, size: 4 }, along(&[3, 6], &[3, 6], 4))],
        },
        OpDef {
            name: "one_hot",
            make: |a| {
                Ok(Arc::new(OneHot {
                    num_classes: a.int("num_classes")?,
                    dtype: a.opt_dtype("dtype")?.unwrap_or(crate::dtype::floatx()),
                }))
            },
            samples: || {
                vec![Sample::new(
                    OneHot { num_classes: 4, dtype: DType::F32 },
                    vec![Draw::Int(vec![2, 3], -1, 5)],
                )]
            },
        },
    ]
}
