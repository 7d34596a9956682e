//! Products of matrices, batched, with transposes for free.

use std::sync::Arc;

use half::bf16;
use rkeras_kernels::gemm::{self, Epilogue, Mat, Scalar};
use rkeras_kernels::map::Unary;
use smallvec::SmallVec;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::kind;
use crate::shape::{Dim, Shape, Spec, agree, broadcast};
use crate::tensor::{View, ViewMut};
use crate::trace::{Value, push1};

/// A·B over the last two axes, the leading ones broadcast; int8 gives int32. With `bias` a third input is added to every row, and
/// `activation` is applied last; only the compiler sets these two, and `rounded`.
#[derive(Clone, Debug, Default)]
pub struct MatMul {
    /// Use Aᵀ.
    pub transpose_a: bool,
    /// Use Bᵀ.
    pub transpose_b: bool,
    /// Input 2 is a bias per column.
    pub bias: bool,
    /// Applied to every element of the result.
    pub activation: Option<Unary>,
    /// The product, and what bias and activation make of it, are rounded to bfloat16 each.
    pub rounded: bool,
}

fn swapped(shape: &Shape, swap: bool) -> (Dim, Dim) {
    let r = shape.rank();
    if swap { (shape[r - 1], shape[r - 2]) } else { (shape[r - 2], shape[r - 1]) }
}

impl Op for MatMul {
    fn name(&self) -> &'static str {
        "matmul"
    }

    fn attrs(&self) -> Attrs {
        let activation = self.activation.map_or(Attr::None, |f| Attr::Str(f.name().to_string()));
        Attrs(vec![
            ("transpose_a", Attr::Bool(self.transpose_a)),
            ("transpose_b", Attr::Bool(self.transpose_b)),
            ("bias", Attr::Bool(self.bias)),
            ("activation", activation),
            ("rounded", Attr::Bool(self.rounded)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let (a, b) = (&x[0].shape, &x[1].shape);
        let bad = || {
            Error::value(
                "matmul",
                "inputs of shapes (..., m, k) and (..., k, n)",
                format!(
                    "{} and {}{}",
                    a,
                    b,
                    if self.transpose_a || self.transpose_b { " (transposed as asked)" } else { "" }
                ),
            )
        };
        if a.rank() < 2 || b.rank() < 2 {
            return Err(bad());
        }
        let ((m, ka), (kb, n)) = (swapped(a, self.transpose_a), swapped(b, self.transpose_b));
        if !agree(ka, kb) {
            return Err(bad());
        }
        if x[0].dtype == DType::Bool {
            return Err(Error::dtype("matmul", "numbers", "bool"));
        }
        let mut shape = broadcast("matmul", &a[..a.rank() - 2], &b[..b.rank() - 2])?;
        shape.0.push(m);
        shape.0.push(n);
        if self.bias && !(x.len() == 3 && x[2].shape.rank() == 1 && agree(x[2].shape[0], n)) {
            return Err(Error::internal("matmul", "a bias that does not fit"));
        }
        // Sums of int8 products would not fit into int8.
        let dtype = if x[0].dtype == DType::I8 { DType::I32 } else { x[0].dtype };
        Ok(Outputs::from_elem(Spec::new(shape, dtype), 1))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        match x[0].dtype {
            DType::F32 => self.floats::<f32>(x, &mut y[0]),
            DType::F64 => self.floats::<f64>(x, &mut y[0]),
            DType::F16 => self.halves(x, &mut y[0], faults),
            DType::BF16 => self.brains(x, &mut y[0], faults),
            DType::I8 => self.bytes(x, &mut y[0], faults),
            _ => self.integers(x, &mut y[0]),
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (a, b, dy) = (&cx.x[0], &cx.x[1], &cx.dy(0)?);
        let (ta, tb) = (self.transpose_a, self.transpose_b);
        // With A' = A or Aᵀ: dA' = dY·B'ᵀ, dB' = A'ᵀ·dY, each transposed back by swapping factors.
        // The gradient of B (weights, mostly) first: what reads dA is next then, and finds it in the cache.
        let db = match (cx.needs[1], tb) {
            (false, _) => None,
            // A batch of activations times one matrix: all rows at once instead of a product per sample.
            (_, false) if !ta && b.rank() == 2 && a.rank() > 2 => {
                Some(matmul(&rows_of(a)?, &rows_of(dy)?, true, false)?)
            }
            (_, false) => Some(matmul(a, dy, !ta, false)?),
            (_, true) if !ta && b.rank() == 2 && a.rank() > 2 => {
                Some(matmul(&rows_of(dy)?, &rows_of(a)?, true, false)?)
            }
            (_, true) => Some(matmul(dy, a, true, ta)?),
        };
        let da = match (cx.needs[0], ta) {
            (false, _) => None,
            (_, false) => Some(matmul(dy, b, false, !tb)?),
            (_, true) => Some(matmul(b, dy, tb, true)?),
        };
        if self.bias || self.activation.is_some() || self.rounded {
            return Err(Error::internal("matmul", "a gradient asked of a product with an epilogue"));
        }
        Ok(vec![da, db])
    }

    fn traits(&self) -> Traits {
        Traits { promotes: true, strided: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn rounded(&self) -> Option<Arc<dyn Op>> {
        let plain = !self.bias && self.activation.is_none();
        plain.then(|| Arc::new(MatMul { rounded: true, ..self.clone() }) as Arc<dyn Op>)
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        if !self.bias && self.activation.is_none() && !self.rounded {
            return None;
        }
        let plain =
            MatMul { transpose_a: self.transpose_a, transpose_b: self.transpose_b, ..MatMul::default() };
        let step = |y: Value| {
            if self.rounded { push1(crate::ops::elementwise::UnaryOp(Unary::Bfloat16), &[y]) } else { Ok(y) }
        };
        Some((|| {
            let mut y = step(push1(plain, &x[..2])?)?;
            if self.bias {
                y = step(crate::ops::elementwise::add(&y, &x[2])?)?;
            }
            if let Some(f) = self.activation {
                y = step(push1(crate::ops::elementwise::UnaryOp(f), &[y])?)?;
            }
            Ok(vec![y])
        })())
    }
}

/// Has the processor instructions for products of bfloat16 that are in use? Without them float32 does the work.
pub(crate) fn multiplies_bfloat16() -> bool {
    rkeras_kernels::isa::narrow() != rkeras_kernels::isa::Narrow::Widen
}

/// (..., k) as (rows, k).
fn rows_of(x: &Value) -> Result<Value> {
    let last = x.shape()[x.rank() - 1].map_or(-1, |d| d as i64);
    crate::ops::reshape::reshape(x, &[-1, last])
}

/// The matrices of an operand: sizes after the transpose, strides, and where each batch entry starts.
struct Batch {
    rows: usize,
    columns: usize,
    rs: usize,
    cs: usize,
    offsets: Vec<usize>,
}

fn batch_of(layout: &crate::layout::Layout, lead: &[usize], transpose: bool) -> Batch {
    let r = layout.rank();
    let (mut i, mut j) = (r - 2, r - 1);
    if transpose {
        (i, j) = (j, i);
    }
    let stride = |axis: usize| if layout.shape[axis] == 1 { 0 } else { layout.strides[axis] as usize };
    let outer = crate::layout::Layout {
        shape: layout.shape[..r - 2].into(),
        strides: layout.strides[..r - 2].into(),
        offset: 0,
    }
    .broadcast(lead)
    .expect("infer broadcast the batch");
    let mut offsets = vec![0usize; lead.iter().product()];
    let mut repeat = offsets.len();
    let mut period = 1;
    // Element (i0, i1, …) starts at the sum of index times stride; fill axis by axis.
    for (axis, &size) in lead.iter().enumerate() {
        repeat /= size.max(1);
        for (at, offset) in offsets.iter_mut().enumerate() {
            *offset += (at / repeat.max(1) % size.max(1)) * outer.strides[axis] as usize;
        }
        period *= size;
    }
    let _ = period;
    Batch { rows: layout.shape[i], columns: layout.shape[j], rs: stride(i), cs: stride(j), offsets }
}

/// The operand as elements with strides that products can use; copied where a stride is negative.
fn operand<'a, T: Element>(
    x: &View<'a>,
    copy: &'a mut Vec<T>,
    layout: &mut crate::layout::Layout,
) -> &'a [T] {
    if x.layout.strides.iter().all(|&s| s >= 0) {
        *layout = crate::layout::Layout { offset: 0, ..x.layout.clone() };
        return x.from_offset();
    }
    *layout = crate::layout::Layout::contiguous(x.shape());
    *copy = vec![bytemuck::Zeroable::zeroed(); x.len()];
    x.copy_to(bytemuck::cast_slice_mut(copy));
    copy
}

impl MatMul {
    /// What kernels need for the products of a batch: m, n, k, both matrices, where A, B and C of each begin.
    fn with_products<T: Element>(
        &self,
        x: &[View<'_>],
        shape: &[usize],
        run: impl FnOnce([usize; 3], Mat<'_, T>, Mat<'_, T>, &[[usize; 3]]),
    ) {
        let empty = crate::layout::Layout::contiguous(&[]);
        let (mut la, mut lb) = (empty.clone(), empty);
        let (mut ca, mut cb) = (Vec::new(), Vec::new());
        let a = operand::<T>(&x[0], &mut ca, &mut la);
        let b = operand::<T>(&x[1], &mut cb, &mut lb);
        let r = shape.len();
        let (lead, m, n) = (&shape[..r - 2], shape[r - 2], shape[r - 1]);
        let (ba, bb) = (batch_of(&la, lead, self.transpose_a), batch_of(&lb, lead, self.transpose_b));
        let k = ba.columns;
        debug_assert_eq!(k, bb.rows);
        let (ma, mb) = (Mat { data: a, rs: ba.rs, cs: ba.cs }, Mat { data: b, rs: bb.rs, cs: bb.cs });
        let same_b = bb.offsets.iter().all(|&o| o == 0);
        let even = ba.offsets.iter().enumerate().all(|(i, &o)| o == i * m * ba.rs);
        if same_b && even && !ba.offsets.is_empty() {
            // One B for the whole batch: the rows of all samples are one tall matrix.
            return run([m * ba.offsets.len(), n, k], ma, mb, &[[0, 0, 0]]);
        }
        let starts = ba.offsets.iter().zip(&bb.offsets).enumerate();
        let offsets: Vec<[usize; 3]> = starts.map(|(i, (&oa, &ob))| [oa, ob, i * m * n]).collect();
        run([m, n, k], ma, mb, &offsets);
    }

    fn floats<T: Element + Scalar>(&self, x: &[View<'_>], y: &mut ViewMut<'_>) {
        let bias = if self.bias { Some(x[2].slice::<T>()) } else { None };
        let ep = Epilogue { bias, residual: None, activation: self.activation, rounded: self.rounded };
        self.with_products::<T>(x, y.shape, |[m, n, k], a, b, offsets| {
            let out = y.slice::<T>();
            if offsets == [[0, 0, 0]] {
                gemm::gemm(m, n, k, a, b, out, n, false, ep);
            } else {
                gemm::gemm_batched(m, n, k, a, b, out, n, offsets, ep);
            }
        });
    }

    /// Products of bfloat16 have kernels of their own; bias and activation are applied in float32, before rounding.
    fn brains(&self, x: &[View<'_>], y: &mut ViewMut<'_>, faults: &Faults) {
        let bias: Option<Vec<f32>> =
            self.bias.then(|| x[2].slice::<bf16>().iter().map(|v| v.to_f32()).collect());
        let ep =
            Epilogue { bias: bias.as_deref(), residual: None, activation: self.activation, rounded: false };
        self.with_products::<bf16>(x, y.shape, |[m, n, k], a, b, offsets| {
            if gemm::gemm_bf16(m, n, k, a, b, y.slice::<bf16>(), n, offsets, ep).is_err() {
                faults.set(Fault::Memory);
            }
        });
    }

    /// Products of int8 are summed in int32.
    fn bytes(&self, x: &[View<'_>], y: &mut ViewMut<'_>, faults: &Faults) {
        self.with_products::<i8>(x, y.shape, |[m, n, k], a, b, offsets| {
            if gemm::gemm_i8(m, n, k, a, b, y.slice::<i32>(), n, offsets).is_err() {
                faults.set(Fault::Memory);
            }
        });
    }

    /// Half precision is computed in float32 and rounded once.
    fn halves(&self, x: &[View<'_>], y: &mut ViewMut<'_>, faults: &Faults) {
        let wide = |v: &View<'_>| crate::tensor::Tensor::scratch(v.shape(), DType::F32);
        let mut tensors: SmallVec<[crate::tensor::Tensor; 3]> = SmallVec::new();
        for v in x {
            let Ok(mut t) = wide(v) else { return faults.set(Fault::Memory) };
            let mut half = vec![0u16; v.len()];
            v.copy_to(bytemuck::cast_slice_mut(&mut half));
            let bytes = t.bytes_mut().expect("a new tensor is not shared");
            rkeras_kernels::convert::convert_bytes(
                kind(v.dtype),
                bytemuck::cast_slice(&half),
                DType32,
                bytes,
            );
            tensors.push(t);
        }
        let Ok(mut out) = crate::tensor::Tensor::scratch(y.shape, DType::F32) else {
            return faults.set(Fault::Memory);
        };
        let views: SmallVec<[View<'_>; 3]> = tensors.iter().map(|t| t.view()).collect();
        let bytes = out.bytes_mut().expect("a new tensor is not shared");
        self.floats::<f32>(&views, &mut ViewMut { dtype: DType::F32, shape: y.shape, bytes });
        rkeras_kernels::convert::convert_bytes(DType32, bytes, kind(y.dtype), y.bytes);
    }

    fn integers(&self, x: &[View<'_>], y: &mut ViewMut<'_>) {
        macro_rules! run {
            ($($d:ident: $t:ty),*) => { match x[0].dtype { $(DType::$d => self.loops::<$t>(x, y, |s, a, b| s.wrapping_add(a.wrapping_mul(b))),)* _ => unreachable!("floats and int8 have kernels, bool is refused") } };
        }
        run!(U8: u8, U16: u16, U32: u32, U64: u64, I16: i16, I32: i32, I64: i64);
    }

    fn loops<T: Element + Copy>(&self, x: &[View<'_>], y: &mut ViewMut<'_>, fma: impl Fn(T, T, T) -> T) {
        let empty = crate::layout::Layout::contiguous(&[]);
        let (mut la, mut lb) = (empty.clone(), empty);
        let (mut ca, mut cb) = (Vec::new(), Vec::new());
        let a = operand::<T>(&x[0], &mut ca, &mut la);
        let b = operand::<T>(&x[1], &mut cb, &mut lb);
        let r = y.shape.len();
        let (lead, m, n) = (&y.shape[..r - 2], y.shape[r - 2], y.shape[r - 1]);
        let (ba, bb) = (batch_of(&la, lead, self.transpose_a), batch_of(&lb, lead, self.transpose_b));
        let out = y.slice::<T>();
        for (batch, (&oa, &ob)) in ba.offsets.iter().zip(&bb.offsets).enumerate() {
            for i in 0..m {
                let row = &mut out[(batch * m + i) * n..][..n];
                row.fill(bytemuck::Zeroable::zeroed());
                for p in 0..ba.columns {
                    let left = a[oa + i * ba.rs + p * ba.cs];
                    for (j, c) in row.iter_mut().enumerate() {
                        *c = fma(*c, left, b[ob + p * bb.rs + j * bb.cs]);
                    }
                }
            }
        }
    }
}

#[allow(non_upper_case_globals)]
const DType32: rkeras_kernels::convert::Kind = rkeras_kernels::convert::Kind::F32;

/// A·B over the last two axes.
pub fn matmul(a: &Value, b: &Value, transpose_a: bool, transpose_b: bool) -> Result<Value> {
    push1(MatMul { transpose_a, transpose_b, ..MatMul::default() }, &[a.clone(), b.clone()])
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![OpDef {
        name: "matmul",
        make: |a| {
            let activation = match a.opt_str("activation")? {
                None => None,
                Some(name) => Some(Unary::from_name(&name).ok_or_else(|| {
                    Error::value(
                        "matmul",
                        "the name of an elementwise function",
                        format!("activation={name:?}"),
                    )
                })?),
            };
            Ok(Arc::new(MatMul {
                transpose_a: a.opt_bool("transpose_a")?.unwrap_or(false),
                transpose_b: a.opt_bool("transpose_b")?.unwrap_or(false),
                bias: a.opt_bool("bias")?.unwrap_or(false),
                activation,
                rounded: a.opt_bool("rounded")?.unwrap_or(false),
            }))
        },
        samples: || {
            let plain = |ta, tb| MatMul { transpose_a: ta, transpose_b: tb, ..MatMul::default() };
            let f = |s: &[usize]| Draw::float(s);
            vec![
                Sample::new(plain(false, false), vec![f(&[5, 7]), f(&[7, 11])]),
                Sample::new(plain(true, false), vec![f(&[7, 5]), f(&[7, 17])]),
                Sample::new(plain(false, true), vec![f(&[5, 7]), f(&[3, 7])]),
                Sample::new(plain(true, true), vec![f(&[7, 5]), f(&[3, 7])]),
                Sample::new(plain(false, false), vec![f(&[2, 3, 4]), f(&[4, 5])]),
                Sample::new(plain(false, true), vec![f(&[2, 3, 4]), f(&[5, 4])]),
                Sample::new(plain(false, false), vec![f(&[2, 1, 3, 4]), f(&[3, 4, 2])]),
                Sample::new(plain(true, true), vec![f(&[3, 4, 2]), f(&[2, 1, 5, 4])]),
            ]
        },
    }]
}
