//! Random numbers from a counter-based generator. The state (uint32: seed, counter) is an input, and the next state an
//! output, so that compiled steps need no hidden global.

use std::sync::Arc;

use rkeras_kernels::random::{self as kernel, State};

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::cast::kind;
use crate::shape::{Shape, Spec, agree};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{Value, push1};

/// What is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Evenly over [a, b).
    Uniform,
    /// Normal with mean a and standard deviation b.
    Normal,
    /// The same within two standard deviations.
    TruncatedNormal,
    /// Integers evenly over [a, b).
    Integers,
    /// 1 with probability a, else 0.
    Bernoulli,
}

const LAWS: [(Law, &str); 5] = [
    (Law::Uniform, "random_uniform"),
    (Law::Normal, "random_normal"),
    (Law::TruncatedNormal, "random_truncated_normal"),
    (Law::Integers, "random_integers"),
    (Law::Bernoulli, "random_bernoulli"),
];

/// A tensor of random numbers, and the next state. With a second input its shape is used instead of `shape`.
#[derive(Debug)]
pub struct Random {
    /// The law.
    pub law: Law,
    /// First parameter.
    pub a: f64,
    /// Second parameter.
    pub b: f64,
    /// The sizes.
    pub shape: Vec<i64>,
    /// The dtype of the numbers.
    pub dtype: DType,
}

pub(crate) fn check_state(who: &str, state: &Spec) -> Result<()> {
    if state.dtype != DType::U32 || state.shape.rank() != 1 || !agree(state.shape[0], Some(2)) {
        return Err(Error::value(who, "a generator state of shape (2,), dtype uint32", format!("{state}")));
    }
    Ok(())
}

fn read_state(x: &View<'_>) -> State {
    let s = x.slice::<u32>();
    State { key: u64::from(s[0]), counter: u64::from(s[1]) }
}

fn write_next(x: &View<'_>, y: &mut ViewMut<'_>) {
    let s = x.slice::<u32>();
    y.slice::<u32>().copy_from_slice(&[s[0], s[1].wrapping_add(1)]);
}

impl Op for Random {
    fn name(&self) -> &'static str {
        LAWS.iter().find(|(l, _)| *l == self.law).expect("every law is listed").1
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("a", Attr::Float(self.a)),
            ("b", Attr::Float(self.b)),
            ("shape", Attr::Ints(self.shape.clone())),
            ("dtype", Attr::DType(self.dtype)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let who = self.name();
        check_state(who, &x[0])?;
        let ints = self.law == Law::Integers;
        if ints != self.dtype.is_int() && self.law != Law::Bernoulli {
            return Err(Error::dtype(
                who,
                if ints { "an integer dtype" } else { "a float dtype" },
                self.dtype.name(),
            ));
        }
        let shape = match x.get(1) {
            Some(like) => like.shape.clone(),
            None if self.shape.iter().any(|&d| d < 0) => {
                return Err(Error::value(who, "sizes of at least 0", format!("shape={:?}", self.shape)));
            }
            None => Shape::new(self.shape.iter().map(|&d| Some(d as usize))),
        };
        Ok(Outputs::from_vec(vec![Spec::new(shape, self.dtype), x[0].clone()]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        let state = read_state(&x[0]);
        let [out, next] = y else { unreachable!("two outputs") };
        write_next(&x[0], next);
        let (law, a, b, dtype) = (self.law, self.a, self.b, out.dtype);
        macro_rules! fill {
            ($t:ty, $out:expr) => {
                match law {
                    Law::Uniform => kernel::uniform(state, a as $t, b as $t, $out),
                    Law::Normal => kernel::normal(state, a as $t, b as $t, $out),
                    Law::TruncatedNormal => kernel::truncated_normal(state, a as $t, b as $t, $out),
                    Law::Bernoulli => kernel::bernoulli(state, a, 1.0 as $t, $out),
                    Law::Integers => unreachable!("integers have a dtype of their own"),
                }
            };
        }
        match (law, dtype) {
            (Law::Integers, _) => {
                let mut wide = vec![0i64; out.len()];
                kernel::integers(state, a as i64, b as i64, &mut wide);
                rkeras_kernels::convert::convert_bytes(
                    kind(DType::I64),
                    bytemuck::cast_slice(&wide),
                    kind(dtype),
                    out.bytes,
                );
            }
            (_, DType::F64) => fill!(f64, out.slice::<f64>()),
            (_, DType::F32) => fill!(f32, out.slice::<f32>()),
            _ => {
                let Ok(mut wide) = Tensor::scratch(out.shape, DType::F32) else {
                    return faults.set(Fault::Memory);
                };
                let bytes = wide.bytes_mut().expect("a new tensor is not shared");
                fill!(f32, bytemuck::cast_slice_mut::<u8, f32>(bytes));
                rkeras_kernels::convert::convert_bytes(kind(DType::F32), bytes, kind(dtype), out.bytes);
            }
        }
    }

    fn grad(&self) -> Grad {
        Grad::None("the numbers depend on the state alone")
    }
}

/// Input 0 with each element zero at probability `rate` and the others scaled by 1 / (1 - rate); input 1 is the state.
/// Outputs: the result, the factors, the next state.
#[derive(Debug)]
pub struct Dropout {
    /// The probability of zero.
    pub rate: f64,
    /// Sizes of the factors that differ from the input's are 1, so that whole slices share a fate; empty: none.
    pub noise_shape: Vec<i64>,
    /// The factor has the precision of bfloat16; set by the compiler.
    pub rounded: bool,
}

impl Op for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("rate", Attr::Float(self.rate)),
            ("noise_shape", Attr::Ints(self.noise_shape.clone())),
            ("rounded", Attr::Bool(self.rounded)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        check_state("dropout", &x[1])?;
        if !(0.0..1.0).contains(&self.rate) {
            return Err(Error::value("dropout", "a rate in [0, 1)", format!("{}", self.rate)));
        }
        if !x[0].dtype.is_float() {
            return Err(Error::dtype("dropout", "floats", x[0].dtype.name()));
        }
        let mut mask = x[0].shape.clone();
        if !self.noise_shape.is_empty() {
            let fits = self.noise_shape.len() == mask.rank()
                && self
                    .noise_shape
                    .iter()
                    .zip(mask.iter())
                    .all(|(&n, &d)| n == 1 || n < 0 || d.is_none_or(|d| d as i64 == n));
            if !fits {
                return Err(Error::value(
                    "dropout",
                    format!("a noise_shape of 1s and sizes of {mask}"),
                    format!("{:?}", self.noise_shape),
                ));
            }
            for (d, &n) in mask.0.iter_mut().zip(&self.noise_shape) {
                if n == 1 {
                    *d = Some(1);
                }
            }
        }
        Ok(Outputs::from_vec(vec![x[0].clone(), Spec::new(mask, x[0].dtype), x[1].clone()]))
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        use rkeras_kernels::map::{self, Binary};
        let [out, mask, next] = y else { unreachable!("three outputs") };
        let keep = 1.0 - self.rate;
        let state = read_state(&x[1]);
        write_next(&x[1], next);
        let strides = map::broadcast_strides(mask.shape, out.shape).expect("infer broadcast the factors");
        let whole = map::broadcast_strides(out.shape, out.shape).expect("a shape broadcasts to itself");
        let shape = out.shape;
        macro_rules! run {
            ($t:ty, $one:expr) => {{
                let factors = mask.slice::<$t>();
                kernel::bernoulli(state, keep, $one, factors);
                map::binary(
                    Binary::Mul,
                    shape,
                    x[0].slice::<$t>(),
                    &whole,
                    factors,
                    &strides,
                    out.slice::<$t>(),
                );
            }};
        }
        let _ = faults;
        match x[0].dtype {
            DType::F64 => run!(f64, 1.0 / keep),
            DType::F16 => run!(half::f16, half::f16::from_f64(1.0 / keep)),
            DType::BF16 => run!(half::bf16, half::bf16::from_f64(1.0 / keep)),
            _ if self.rounded => run!(f32, half::bf16::from_f64(1.0 / keep).to_f32()),
            _ => run!(f32, (1.0 / keep) as f32),
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        Ok(vec![Some(crate::ops::elementwise::multiply(&cx.dy(0)?, &cx.y[1])?), None])
    }

    fn traits(&self) -> Traits {
        Traits { vjp_ignores_inputs: true, ..Traits::default() }
    }

    fn widened(&self) -> Option<Arc<dyn Op>> {
        Some(Arc::new(Dropout { rate: self.rate, noise_shape: self.noise_shape.clone(), rounded: true }))
    }
}

/// Numbers of a law, and the next state.
pub fn draw(law: Law, a: f64, b: f64, shape: &[i64], dtype: DType, state: &Value) -> Result<Value> {
    push1(Random { law, a, b, shape: shape.to_vec(), dtype }, std::slice::from_ref(state))
}

fn make(law: Law, a: &mut AttrReader) -> Result<Arc<dyn Op>> {
    let (first, second, fallback) = match law {
        Law::Integers => (0.0, 1.0, DType::I32),
        _ => (0.0, 1.0, crate::dtype::floatx()),
    };
    Ok(Arc::new(Random {
        law,
        a: a.opt_float("a")?.unwrap_or(first),
        b: a.opt_float("b")?.unwrap_or(second),
        shape: a.opt_ints("shape")?.unwrap_or_default(),
        dtype: a.opt_dtype("dtype")?.unwrap_or(fallback),
    }))
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    fn state() -> Draw {
        Draw::Fixed(Tensor::from_slice(&[2], &[7u32, 3]).expect("a small tensor"))
    }
    fn samples(law: Law) -> Vec<Sample> {
        let dtype = if law == Law::Integers { DType::I32 } else { DType::F32 };
        let b = if law == Law::Integers { 9.0 } else { 1.0 };
        vec![Sample::new(Random { law, a: 0.25, b, shape: vec![3, 50], dtype }, vec![state()])]
    }
    macro_rules! def {
        ($law:ident, $name:literal) => {
            OpDef { name: $name, make: |a| make(Law::$law, a), samples: || samples(Law::$law) }
        };
    }
    vec![
        def!(Uniform, "random_uniform"),
        def!(Normal, "random_normal"),
        def!(TruncatedNormal, "random_truncated_normal"),
        def!(Integers, "random_integers"),
        def!(Bernoulli, "random_bernoulli"),
        OpDef {
            name: "dropout",
            make: |a| {
                Ok(Arc::new(Dropout {
                    rate: a.float("rate")?,
                    noise_shape: a.opt_ints("noise_shape")?.unwrap_or_default(),
                    rounded: a.opt_bool("rounded")?.unwrap_or(false),
                }))
            },
            samples: || {
                vec![
                    Sample::new(
                        Dropout { rate: 0.3, noise_shape: vec![], rounded: false },
                        vec![Draw::float(&[5, 9]), state()],
                    ),
                    Sample::new(
                        Dropout { rate: 0.5, noise_shape: vec![-1, 1], rounded: false },
                        vec![Draw::float(&[6, 3]), state()],
                    ),
                ]
            },
        },
    ]
}
