//! Attention of many heads as one op, so that the matrix of scores never reaches memory.

use std::sync::Arc;

use rkeras_kernels::attention::{self as kernel, Grid, Rules, Sizes};
use rkeras_kernels::random::State;
use smallvec::SmallVec;

use crate::dtype::{DType, Element};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::ops::random::check_state;
use crate::ops::{matmul, reduce, reshape};
use crate::shape::{Shape, Spec, agree, broadcast};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push};

/// softmax(scale Q·Kᵀ + bias) V per head. Inputs: query (batch, t, heads, d), key (batch, s, shared heads, d), value
/// (batch, s, shared heads, e); then, where asked for, a mask of truth values and a bias, both broadcast to (batch, heads,
/// t, s), and the generator's state. Outputs: (batch, t, heads, e); ln Σ e^score, (batch, t, heads), for the gradient; with
/// dropout the next state. Where a mask forbids all keys, all count the same.
#[derive(Clone, Debug, Default)]
pub struct Attention {
    /// The factor of the scores.
    pub scale: f64,
    /// Query i sees keys up to i.
    pub causal: bool,
    /// There is a mask.
    pub mask: bool,
    /// There is a bias.
    pub bias: bool,
    /// The probability that a weight is dropped; 0: no dropout, and no state.
    pub dropout: f64,
}

/// The gradient of [`Attention`]. Inputs: query, key, value, ln Σ e^score, delta = Σ y dy - the gradient of ln Σ e^score
/// (both (batch, t, heads)), dy; then mask, bias and state. Outputs: dquery, dkey, dvalue.
#[derive(Clone, Debug)]
pub struct AttentionGrad {
    /// The forward op.
    pub of: Attention,
}

impl Attention {
    fn attributes(&self) -> Attrs {
        Attrs(vec![
            ("scale", Attr::Float(self.scale)),
            ("causal", Attr::Bool(self.causal)),
            ("mask", Attr::Bool(self.mask)),
            ("bias", Attr::Bool(self.bias)),
            ("dropout", Attr::Float(self.dropout)),
        ])
    }

    fn read(a: &mut AttrReader) -> Result<Attention> {
        Ok(Attention {
            scale: a.float("scale")?,
            causal: a.opt_bool("causal")?.unwrap_or(false),
            mask: a.opt_bool("mask")?.unwrap_or(false),
            bias: a.opt_bool("bias")?.unwrap_or(false),
            dropout: a.opt_float("dropout")?.unwrap_or(0.0),
        })
    }

    fn drops(&self) -> bool {
        self.dropout > 0.0
    }

    /// Checks query, key and value, and mask, bias and state, which follow input `skip`.
    fn check(&self, who: &str, x: &[Spec], skip: usize) -> Result<()> {
        let more = usize::from(self.mask) + usize::from(self.bias) + usize::from(self.drops());
        if x.len() != skip + more {
            return Err(Error::value(who, format!("{} inputs", skip + more), format!("{}", x.len())));
        }
        let (q, k, v) = (&x[0].shape, &x[1].shape, &x[2].shape);
        let fits = q.rank() == 4
            && k.rank() == 4
            && v.rank() == 4
            && agree(q[0], k[0])
            && agree(q[0], v[0])
            && agree(k[1], v[1])
            && agree(k[2], v[2])
            && agree(q[3], k[3])
            && match (q[2], k[2]) {
                (Some(h), Some(s)) => s > 0 && h % s == 0,
                _ => true,
            };
        if !fits {
            return Err(Error::value(
                who,
                "a query (batch, t, heads, d), a key (batch, s, heads that divide these, d) and a value (batch, s, those \
                 heads, e)",
                format!("{q}, {k} and {v}"),
            ));
        }
        if !matches!(x[0].dtype, DType::F32 | DType::F64) || x[..3].iter().any(|v| v.dtype != x[0].dtype) {
            return Err(Error::dtype(
                who,
                "float32 or float64 throughout",
                format!("{}, {}, {}", x[0].dtype.name(), x[1].dtype.name(), x[2].dtype.name()),
            )
            .hint("half precision is cast to float32 around it"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::value(who, "dropout in [0, 1)", format!("{}", self.dropout)));
        }
        let scores = [q[0], q[2], q[1], k[1]];
        let mut rest = x[skip..].iter();
        for (wanted, dtype, what) in [(self.mask, DType::Bool, "mask"), (self.bias, x[0].dtype, "bias")] {
            if !wanted {
                continue;
            }
            let m = rest.next().expect("inputs were counted");
            let whole = broadcast(who, &scores, &m.shape)?;
            let larger = whole.rank() != 4 || whole.iter().zip(&scores).any(|(&a, &b)| !agree(a, b));
            if larger || m.dtype != dtype {
                return Err(Error::value(
                    who,
                    format!("a {what} of {} that broadcasts to {}", dtype.name(), Shape(scores[..].into())),
                    format!("{m}"),
                ));
            }
        }
        rest.next().map_or(Ok(()), |state| check_state(who, state))
    }

    /// The scores as they enter the softmax, (batch, heads, t, s), and query, key and value by head.
    fn scores(&self, x: &[Value], rest: &[Value]) -> Result<(Value, [Value; 3])> {
        let group = match (x[0].shape()[2], x[1].shape()[2]) {
            (Some(h), Some(s)) if s > 0 => h / s,
            _ => return Err(Error::internal("attention", "a composition of unknown sizes")),
        };
        let by_head = |v: &Value| reshape::transpose(v, &[0, 2, 1, 3]);
        // Each shared head stands next to itself, once per head it serves.
        let spread = |v: &Value| -> Result<Value> {
            let v = by_head(v)?;
            if group == 1 {
                return Ok(v);
            }
            let d: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            let v = reshape::reshape(&v, &[d[0], d[1], 1, d[2], d[3]])?;
            let v = reshape::broadcast_to(&v, &[d[0], d[1], group as i64, d[2], d[3]])?;
            reshape::reshape(&v, &[d[0], d[1] * group as i64, d[2], d[3]])
        };
        let (q, k, v) = (by_head(&x[0])?, spread(&x[1])?, spread(&x[2])?);
        let mut s = ew::scale(&matmul::matmul(&q, &k, false, true)?, self.scale)?;
        let mut rest = rest.iter();
        let mask = self.mask.then(|| rest.next().expect("infer counted the inputs"));
        if self.bias {
            s = ew::add(&s, rest.next().expect("infer counted the inputs"))?;
        }
        let low = ew::scalar(-1e30, &s)?;
        if let Some(mask) = mask {
            s = ew::select(mask, &s, &low)?;
        }
        if self.causal {
            let shape = s.shape();
            let (Some(t), Some(n)) = (shape[2], shape[3]) else {
                return Err(Error::internal("attention", "a composition of unknown sizes"));
            };
            let seen: Vec<u8> = (0..t * n).map(|at| u8::from(at % n <= at / n)).collect();
            let seen = Tensor::from_bytes(&[t, n], DType::Bool, &seen)?;
            s = ew::select(&Value::Tensor(seen), &s, &low)?;
        }
        Ok((s, [q, k, v]))
    }

    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (s, [_, _, v]) = self.scores(x, &x[3..])?;
        let lse = reduce::logsumexp(&s, Some(vec![-1]), true)?;
        let p = ew::exp(&ew::subtract(&s, &lse)?)?;
        let y = reshape::transpose(&matmul::matmul(&p, &v, false, false)?, &[0, 2, 1, 3])?;
        let lse = reshape::transpose(&reduce::sum(&lse, Some(vec![-1]), false)?, &[0, 2, 1])?;
        Ok(vec![y, lse])
    }
}

/// What the kernel reads: elements and strides; a copy where a stride is negative.
fn grid<'a, T: Element>(x: &View<'a>, copy: &'a mut Vec<T>, shape: Option<&[usize]>) -> Grid<'a, T> {
    let mut layout = x.layout.clone();
    let data = if layout.strides.iter().all(|&s| s >= 0) {
        x.from_offset::<T>()
    } else {
        layout = Layout::contiguous(x.shape());
        *copy = vec![bytemuck::Zeroable::zeroed(); x.len()];
        x.copy_to(bytemuck::cast_slice_mut(copy));
        copy
    };
    if let Some(shape) = shape {
        layout = layout.broadcast(shape).expect("infer broadcast it");
    }
    let mut strides = [0; 4];
    for (to, (&s, &n)) in strides.iter_mut().zip(layout.strides.iter().zip(layout.shape.iter())) {
        *to = if n == 1 { 0 } else { s as usize };
    }
    Grid { data, strides }
}

/// Seed and counter, at whatever stride they lie.
fn words(x: &View<'_>) -> [u32; 2] {
    let mut state = [0; 2];
    x.copy_to(bytemuck::cast_slice_mut(&mut state));
    state
}

/// Calls `$body` with everything that both kernels read.
macro_rules! with_grids {
    ($op:expr, $x:expr, $skip:expr, $t:ty, |$sizes:ident, $q:ident, $k:ident, $v:ident, $rules:ident| $body:expr) => {{
        let op: &Attention = $op;
        let x: &[View<'_>] = $x;
        let (qs, ks) = (x[0].shape(), x[1].shape());
        let $sizes = Sizes {
            batch: qs[0],
            heads: qs[2],
            shared: ks[2],
            queries: qs[1],
            keys: ks[1],
            size: qs[3],
            value_size: x[2].shape()[3],
        };
        let scores = [qs[0], qs[2], qs[1], ks[1]];
        let (mut cq, mut ck, mut cv, mut cb) =
            (Vec::<$t>::new(), Vec::<$t>::new(), Vec::<$t>::new(), Vec::<$t>::new());
        let mut cm = Vec::<u8>::new();
        let ($q, $k, $v) =
            (grid(&x[0], &mut cq, None), grid(&x[1], &mut ck, None), grid(&x[2], &mut cv, None));
        let mut at = $skip;
        let mut next = |wanted: bool| {
            at += usize::from(wanted);
            wanted.then(|| &x[at - 1])
        };
        let mask = next(op.mask).map(|m| grid::<u8>(m, &mut cm, Some(&scores)));
        let bias = next(op.bias).map(|b| grid::<$t>(b, &mut cb, Some(&scores)));
        let dropout = next(op.drops()).map(|s| {
            let [seed, counter] = words(s);
            (op.dropout, State { key: u64::from(seed), counter: u64::from(counter) })
        });
        let $rules = Rules { scale: op.scale, causal: op.causal, mask, bias, dropout };
        $body
    }};
}

impl Op for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn attrs(&self) -> Attrs {
        self.attributes()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        self.check("attention", x, 3)?;
        let (q, v) = (&x[0].shape, &x[2].shape);
        let y = Spec::new(Shape::new([q[0], q[1], q[2], v[3]]), x[0].dtype);
        let lse = Spec::new(Shape::new([q[0], q[1], q[2]]), x[0].dtype);
        let mut out = Outputs::from_vec(vec![y, lse]);
        if self.drops() {
            out.push(x[x.len() - 1].clone());
        }
        Ok(out)
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let (out, rest) = y.split_first_mut().expect("outputs");
        let (lse, next) = rest.split_first_mut().expect("outputs");
        if let Some(next) = next.first_mut() {
            let [seed, counter] = words(&x[x.len() - 1]);
            next.slice::<u32>().copy_from_slice(&[seed, counter.wrapping_add(1)]);
        }
        macro_rules! run {
            ($t:ty) => {
                with_grids!(self, x, 3, $t, |sizes, q, k, v, rules| {
                    kernel::forward(sizes, q, k, v, rules, out.slice::<$t>(), lse.slice::<$t>())
                })
            };
        }
        let done = if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) };
        if done.is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let bias = 3 + usize::from(self.mask);
        if self.bias && cx.needs[bias] && !self.drops() {
            // The gradient of a bias is the matrix of scores' own: the composition has it in memory.
            return cx.through(|x| self.composed(x));
        }
        if self.bias && cx.needs[bias] {
            return Err(Error::new(
                crate::error::Kind::Unsupported,
                "attention",
                "a bias without gradient where weights are dropped",
                "a bias that is differentiated",
            ));
        }
        let dy = cx.dy(0)?;
        let mut delta = reduce::sum(&ew::multiply(&dy, &cx.y[0])?, Some(vec![-1]), false)?;
        if let Some(dlse) = &cx.dy[1] {
            delta = ew::subtract(&delta, dlse)?;
        }
        let mut inputs: SmallVec<[Value; 8]> = cx.x[..3].into();
        inputs.extend([cx.y[1].clone(), delta, dy]);
        inputs.extend(cx.x[3..].iter().cloned());
        let op: Arc<dyn Op> = Arc::new(AttentionGrad { of: self.clone() });
        let mut out: Vec<Option<Value>> = push(&op, &inputs)?.into_iter().map(Some).collect();
        out.resize(cx.x.len(), None);
        Ok(out)
    }

    fn traits(&self) -> Traits {
        Traits { strided: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        (!self.drops()).then(|| self.composed(x))
    }
}

impl Op for AttentionGrad {
    fn name(&self) -> &'static str {
        "attention_grad"
    }

    fn attrs(&self) -> Attrs {
        self.of.attributes()
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        self.of.check(self.name(), x, 6)?;
        let (q, v) = (&x[0].shape, &x[2].shape);
        let want = [vec![q[0], q[1], q[2]], vec![q[0], q[1], q[2]], vec![q[0], q[1], q[2], v[3]]];
        for (s, want) in x[3..6].iter().zip(want) {
            let fits = s.shape.rank() == want.len() && s.shape.iter().zip(&want).all(|(&a, &b)| agree(a, b));
            if !fits || s.dtype != x[0].dtype {
                return Err(Error::value(
                    self.name(),
                    format!("{} of shape {}", x[0].dtype.name(), Shape(want[..].into())),
                    format!("{s}"),
                ));
            }
        }
        Ok(x[..3].iter().cloned().collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let [dq, dk, dv] = y else { unreachable!("three outputs") };
        macro_rules! run {
            ($t:ty) => {{
                let (mut c0, mut c1, mut c2) = (Vec::new(), Vec::new(), Vec::new());
                let lse = flat::<$t>(&x[3], &mut c0);
                let delta = flat::<$t>(&x[4], &mut c1);
                let dy = grid::<$t>(&x[5], &mut c2, None);
                with_grids!(&self.of, x, 6, $t, |sizes, q, k, v, rules| {
                    let out = [dq.slice::<$t>(), dk.slice::<$t>(), dv.slice::<$t>()];
                    kernel::backward(sizes, q, k, v, rules, lse, delta, dy, out)
                })
            }};
        }
        let done = if x[0].dtype == DType::F64 { run!(f64) } else { run!(f32) };
        if done.is_err() {
            faults.set(Fault::Memory);
        }
    }

    fn grad(&self) -> Grad {
        if self.of.drops() {
            return Grad::Missing("the second gradient of attention with dropout is not offered");
        }
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        cx.through(|x| self.composed(x))
    }

    fn traits(&self) -> Traits {
        Traits { strided: true, vjp_ignores_outputs: true, ..Traits::default() }
    }

    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        (!self.of.drops()).then(|| self.composed(x))
    }
}

impl AttentionGrad {
    fn composed(&self, x: &[Value]) -> Result<Vec<Value>> {
        let (s, [q, k, v]) = self.of.scores(x, &x[6..])?;
        // (batch, t, heads) as a column per head.
        let column = |v: &Value| -> Result<Value> {
            let v = reshape::transpose(v, &[0, 2, 1])?;
            let mut shape: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            shape.push(1);
            reshape::reshape(&v, &shape)
        };
        let p = ew::exp(&ew::subtract(&s, &column(&x[3])?)?)?;
        let dy = reshape::transpose(&x[5], &[0, 2, 1, 3])?;
        let dp = matmul::matmul(&dy, &v, false, true)?;
        let ds = ew::scale(&ew::multiply(&p, &ew::subtract(&dp, &column(&x[4])?)?)?, self.of.scale)?;
        let back = |v: Value| reshape::transpose(&v, &[0, 2, 1, 3]);
        // What a shared head gave to several, it gets back from all of them.
        let gather = |v: Value, like: &Value| -> Result<Value> {
            let d: Vec<i64> = v.shape().iter().map(|d| d.map_or(-1, |d| d as i64)).collect();
            let shared = like.shape()[2].map_or(-1, |d| d as i64);
            if shared == d[1] {
                return back(v);
            }
            let v = reshape::reshape(&v, &[d[0], shared, d[1] / shared, d[2], d[3]])?;
            back(reduce::sum(&v, Some(vec![2]), false)?)
        };
        Ok(vec![
            back(matmul::matmul(&ds, &k, false, false)?)?,
            gather(matmul::matmul(&ds, &q, true, false)?, &x[1])?,
            gather(matmul::matmul(&p, &dy, true, false)?, &x[2])?,
        ])
    }
}

/// The elements in row-major order.
fn flat<'a, T: Element>(x: &View<'a>, copy: &'a mut Vec<T>) -> &'a [T] {
    if x.layout.is_contiguous() {
        return x.slice::<T>();
    }
    *copy = vec![bytemuck::Zeroable::zeroed(); x.len()];
    x.copy_to(bytemuck::cast_slice_mut(copy));
    copy
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn state() -> Draw {
        Draw::Fixed(Tensor::from_slice(&[2], &[3u32, 4]).expect("two numbers"))
    }
    fn samples() -> Vec<(Attention, Vec<Draw>)> {
        let f = |s: &[usize]| Draw::Float(s.to_vec(), -1.0, 1.0);
        let plain = Attention { scale: 0.5, ..Attention::default() };
        // No row of it forbids all.
        let mask: Vec<u8> = (0..2 * 3 * 5).map(|i| u8::from(i % 5 == 0 || i % 7 < 4)).collect();
        let mask = Draw::Fixed(Tensor::from_bytes(&[2, 1, 3, 5], DType::Bool, &mask).expect("its size"));
        let same = vec![f(&[2, 3, 2, 4]), f(&[2, 3, 2, 4]), f(&[2, 3, 2, 4])];
        let cross = vec![f(&[2, 3, 4, 3]), f(&[2, 5, 2, 3]), f(&[2, 5, 2, 6])];
        let with = |x: &[Draw], more: &[Draw]| [x, more].concat();
        vec![
            (plain.clone(), cross.clone()),
            (Attention { causal: true, ..plain.clone() }, same.clone()),
            (Attention { mask: true, ..plain.clone() }, with(&cross, std::slice::from_ref(&mask))),
            (Attention { mask: true, causal: true, ..plain.clone() }, with(&cross, &[mask])),
            (Attention { bias: true, causal: true, ..plain.clone() }, with(&cross, &[f(&[4, 3, 5])])),
            (Attention { dropout: 0.4, ..plain }, with(&same, &[state()])),
        ]
    }
    vec![
        OpDef {
            name: "attention",
            make: |a| Ok(Arc::new(Attention::read(a)?)),
            samples: || samples().into_iter().map(|(op, x)| Sample::new(op, x)).collect(),
        },
        OpDef {
            name: "attention_grad",
            make: |a| Ok(Arc::new(AttentionGrad { of: Attention::read(a)? })),
            samples: || {
                let take = |x: &[Draw], e: usize| {
                    let Draw::Float(q, ..) = &x[0] else { unreachable!("floats") };
                    let row = Draw::Float(q[..3].to_vec(), 1.0, 3.0);
                    let dy = Draw::float(&[q[0], q[1], q[2], e]);
                    [&x[..3], &[row.clone(), row, dy], &x[3..]].concat()
                };
                samples()
                    .into_iter()
                    .filter(|(op, _)| !op.bias)
                    .map(|(op, x)| {
                        let Draw::Float(v, ..) = &x[2] else { unreachable!("floats") };
                        let inputs = take(&x, v[3]);
                        Sample::new(AttentionGrad { of: op }, inputs)
                    })
                    .collect()
            },
        },
    ]
}
