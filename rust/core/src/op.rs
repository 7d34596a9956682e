//! The contract of an op: name, attributes, shape rule, kernel call, gradient rule. Read this file first.
//!
//! An op is one value that implements [`Op`], in one file under `ops/`. Four readers use that definition
//! and nothing else (see [`crate::trace`]): *spec* (infer only), *eager* (infer, run, forget), *tape*
//! (infer, run, remember) and *graph* (infer, remember, run later).

use std::any::Any;
use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

pub use rkeras_kernels::map::{Binary, Ternary, Unary};
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::shape::Spec;
use crate::tensor::{View, ViewMut};
use crate::trace::{Function, Value};

/// The outputs of an op: nearly always one.
pub type Outputs<T> = SmallVec<[T; 1]>;

/// One op.
pub trait Op: Debug + Send + Sync + Any {
    /// The name under which the registry and Python find it.
    fn name(&self) -> &'static str;

    /// Its attributes; two ops of the same name and attributes compute the same.
    fn attrs(&self) -> Attrs {
        Attrs::default()
    }

    /// Shapes and dtypes of the outputs from those of the inputs, or what does not fit.
    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>>;

    /// Computes. Everything was checked by `infer`; outputs are contiguous and do not overlap inputs. Inputs
    /// are contiguous unless [`Traits::strided`]. What only data can show (an index out of range) goes to `faults`.
    /// Never called on ops that are views.
    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults);

    /// Is there a gradient rule?
    fn grad(&self) -> Grad;

    /// The gradient with respect to every input, built from ops; `None` for inputs without one. The engine
    /// adds contributions up, sums broadcast axes away and casts to the input's dtype. Called only where
    /// [`Op::grad`] is [`Grad::Rule`].
    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let _ = cx;
        Err(Error::internal(self.name(), "vjp asked of an op without a gradient rule"))
    }

    /// What executors and passes may do with it.
    fn traits(&self) -> Traits {
        Traits::default()
    }

    /// For view ops ([`Traits::view`]): the layout of the output over the input's storage, or `None` if this
    /// input layout needs to be made contiguous first (a contiguous input must succeed).
    fn view(&self, x: &Layout, out: &[usize]) -> Option<Layout> {
        let _ = (x, out);
        None
    }

    /// For fused ops: the same computation as a composition of simpler ops; a law compares the two.
    fn reference(&self, x: &[Value]) -> Option<Result<Vec<Value>>> {
        let _ = x;
        None
    }

    /// The same op for the case that some inputs are what an output's buffer held before (`reuse[i]` is that output);
    /// `eval` is given empty views for them. `None` if the op cannot work in place.
    fn in_place(&self, reuse: &[Option<usize>]) -> Option<std::sync::Arc<dyn Op>> {
        let _ = reuse;
        None
    }

    /// The op that gives for float32 inputs, rounded afterwards, what this one gives for the same numbers in bfloat16;
    /// `None`: this one does.
    fn widened(&self) -> Option<Arc<dyn Op>> {
        None
    }

    /// The same op with its first output rounded to what bfloat16 has, if the kernel does that on the way.
    fn rounded(&self) -> Option<Arc<dyn Op>> {
        None
    }

    /// For ops that carry functions (`scan`, `cond`): those functions.
    fn functions(&self) -> Vec<&Function> {
        Vec::new()
    }
}

/// Is an op differentiable?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grad {
    /// It has a gradient rule.
    Rule,
    /// Its derivative is zero or means nothing, for this reason: gradients end here.
    None(&'static str),
    /// It has a derivative that is not offered, for this reason: a gradient that reaches it is an error.
    Missing(&'static str),
}

/// An op that a chain of elementwise work can absorb.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Lane {
    /// One input.
    Unary(Unary),
    /// Two inputs, broadcast.
    Binary(Binary),
    /// Condition, value where true, value where false; broadcast.
    Select,
    /// The input in another dtype.
    Cast(DType),
}

/// What executors and passes may do with an op.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traits {
    /// The elementwise body, if it is elementwise.
    pub lane: Option<Lane>,
    /// The output is a view of input 0: see [`Op::view`].
    pub view: bool,
    /// `eval` reads inputs of any strides.
    pub strided: bool,
    /// Inputs from number [`Traits::promote_from`] on are cast to their common dtype before `infer`.
    pub promotes: bool,
    /// See [`Traits::promotes`].
    pub promote_from: usize,
    /// Integers and truth values are cast to the default float type before `infer`.
    pub floats: bool,
    /// Must not be folded, shared or dropped (prints, asserts).
    pub effect: bool,
    /// `vjp` reads no input values (their specs do not count), so the tape need not keep them.
    pub vjp_ignores_inputs: bool,
    /// `vjp` reads no output values.
    pub vjp_ignores_outputs: bool,
    /// Every float of an output is a float of an input (or zero, or it without its sign or its fraction): what a narrower
    /// type holds exactly before, it holds after. Views do so anyway.
    pub selects: bool,
}

/// What a gradient rule sees: inputs, outputs, and the gradients of the outputs.
pub struct Vjp<'a> {
    /// The inputs.
    pub x: &'a [Value],
    /// The outputs.
    pub y: &'a [Value],
    /// The gradient of each output; `None` where nothing depends on it.
    pub dy: &'a [Option<Value>],
    /// Which inputs need a gradient; the others may be left `None`.
    pub needs: &'a [bool],
    /// Differentiates the functions that control-flow ops carry.
    pub engine: &'a dyn Engine,
}

impl Vjp<'_> {
    /// The gradient of output `i`, zeros if nothing depends on it.
    pub fn dy(&self, i: usize) -> Result<Value> {
        match &self.dy[i] {
            Some(dy) => Ok(dy.clone()),
            None => Value::zeros_like(&self.y[i]),
        }
    }

    /// The gradient of the composition `f` of the inputs, which computes the same as the op.
    pub fn through(&self, f: impl FnOnce(&[Value]) -> Result<Vec<Value>>) -> Result<Vec<Option<Value>>> {
        let specs: Vec<Spec> = self.x.iter().map(Value::spec).collect();
        let (f, captures) = Function::trace(&specs, f)?;
        if !captures.is_empty() {
            return Err(Error::internal("gradient", "a composition that captures values"));
        }
        let mut args = self.x.to_vec();
        for i in 0..self.y.len() {
            args.push(self.dy(i)?);
        }
        let dx = self.engine.vjp_of(&f)?.call(&args)?;
        Ok(dx.into_iter().zip(self.needs).map(|(dx, &needed)| needed.then_some(dx)).collect())
    }
}

/// What the autodiff engine offers to gradient rules of control flow, so that ops need not import it.
pub trait Engine {
    /// The function (inputs of `f`, gradients of its outputs) -> (gradients of its inputs); inputs that
    /// `f` does not depend on give zeros. Inputs without a gradient (integers) give zeros of their dtype.
    fn vjp_of(&self, f: &Function) -> Result<Function>;
}

/// An attribute of an op.
#[derive(Clone, Debug)]
pub enum Attr {
    /// Left out.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number.
    Float(f64),
    /// A word.
    Str(String),
    /// Integers.
    Ints(Vec<i64>),
    /// A dtype.
    DType(DType),
    /// A traced function.
    Function(Function),
}

impl PartialEq for Attr {
    fn eq(&self, other: &Attr) -> bool {
        match (self, other) {
            (Attr::None, Attr::None) => true,
            (Attr::Bool(a), Attr::Bool(b)) => a == b,
            (Attr::Int(a), Attr::Int(b)) => a == b,
            // By bits, so that NaN equals itself and 0 differs from -0.
            (Attr::Float(a), Attr::Float(b)) => a.to_bits() == b.to_bits(),
            (Attr::Str(a), Attr::Str(b)) => a == b,
            (Attr::Ints(a), Attr::Ints(b)) => a == b,
            (Attr::DType(a), Attr::DType(b)) => a == b,
            (Attr::Function(a), Attr::Function(b)) => a.same(b),
            _ => false,
        }
    }
}

/// The attributes of an op, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Attrs(pub Vec<(&'static str, Attr)>);

/// Reads the attributes a caller gave, and says which one does not fit.
#[derive(Debug)]
pub struct AttrReader {
    op: &'static str,
    given: Vec<(String, Attr)>,
}

macro_rules! getter {
    ($name:ident, $opt:ident, $t:ty, $what:literal, $($pat:pat => $val:expr),+) => {
        /// The attribute of that name, or an error if it is missing or of another type.
        pub fn $name(&mut self, name: &str) -> Result<$t> {
            self.$opt(name)?.ok_or_else(|| Error::value(self.op, format!("argument {name}"), "nothing"))
        }
        /// The attribute of that name, `None` if it was left out.
        pub fn $opt(&mut self, name: &str) -> Result<Option<$t>> {
            match self.take(name) {
                None | Some(Attr::None) => Ok(None),
                $(Some($pat) => Ok(Some($val)),)+
                Some(other) => Err(Error::dtype(self.op, format!(concat!("{}: ", $what), name), format!("{other:?}"))),
            }
        }
    };
}

impl AttrReader {
    /// A reader over the arguments given for `op`.
    pub fn new(op: &'static str, given: Vec<(String, Attr)>) -> AttrReader {
        AttrReader { op, given }
    }

    fn take(&mut self, name: &str) -> Option<Attr> {
        let i = self.given.iter().position(|(n, _)| n == name)?;
        Some(self.given.swap_remove(i).1)
    }

    getter!(int, opt_int, i64, "an integer", Attr::Int(i) => i, Attr::Bool(b) => b as i64);
    getter!(float, opt_float, f64, "a number", Attr::Float(f) => f, Attr::Int(i) => i as f64);
    getter!(bool, opt_bool, bool, "True or False", Attr::Bool(b) => b, Attr::Int(i) => i != 0);
    getter!(str, opt_str, String, "a string", Attr::Str(s) => s);
    getter!(ints, opt_ints, Vec<i64>, "an integer or a sequence of integers", Attr::Ints(v) => v, Attr::Int(i) => vec![i]);
    getter!(dtype, opt_dtype, DType, "a dtype", Attr::DType(d) => d, Attr::Str(s) => DType::parse(&s)?);
    getter!(function, opt_function, Function, "a traced function", Attr::Function(f) => f);

    /// Fails if an argument was given that nobody asked for.
    pub fn finish(self) -> Result<()> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => Err(Error::dtype(self.op, "only arguments it knows", format!("{name}="))),
        }
    }
}

/// An entry of the registry.
#[derive(Clone, Copy)]
pub struct OpDef {
    /// The name.
    pub name: &'static str,
    /// Builds the op from attributes.
    pub make: fn(&mut AttrReader) -> Result<Arc<dyn Op>>,
    /// Calls that the law tests make: at least one; cover axes, broadcasting, odd sizes.
    pub samples: fn() -> Vec<Sample>,
}

/// A call for the law tests.
#[derive(Debug)]
pub struct Sample {
    /// The op.
    pub op: Arc<dyn Op>,
    /// What to feed it.
    pub inputs: Vec<Draw>,
}

impl Sample {
    /// A call of `op` with inputs drawn as described.
    pub fn new(op: impl Op, inputs: Vec<Draw>) -> Sample {
        Sample { op: Arc::new(op), inputs }
    }
}

/// How the law tests draw an input. Floats are drawn as float64 for gradients and as float32 otherwise.
#[derive(Clone, Debug)]
pub enum Draw {
    /// Floats in [lo, hi), all different, away from kinks at 0 by 0.05.
    Float(Vec<usize>, f64, f64),
    /// Floats in [lo, hi), always float64: for ops that carry functions, which are traced for one dtype.
    Float64(Vec<usize>, f64, f64),
    /// int32 in [lo, hi).
    Int(Vec<usize>, i64, i64),
    /// Truth values.
    Bool(Vec<usize>),
    /// A fixed tensor, e.g. a seed state.
    Fixed(crate::tensor::Tensor),
}

impl Draw {
    /// Floats in [-2, 2).
    pub fn float(shape: &[usize]) -> Draw {
        Draw::Float(shape.to_vec(), -2.0, 2.0)
    }
}

/// Faults that only data can show, collected while kernels run and read once per step.
#[derive(Debug, Default)]
pub struct Faults {
    bits: AtomicU32,
    error: Mutex<Option<Error>>,
}

/// The bit that says that [`Faults::error`] is set.
const OTHER: u32 = 1 << 31;

/// A fault that only data can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Fault {
    /// An index lies outside its axis.
    IndexOutOfRange = 1,
    /// A matrix cannot be inverted or factored.
    Singular = 2,
    /// An integer was divided by zero.
    DivisionByZero = 4,
    /// Memory for intermediate results could not be had.
    Memory = 8,
    /// A loop ran longer than its bound.
    LoopBound = 16,
}

impl Faults {
    /// Reports a fault.
    pub fn set(&self, fault: Fault) {
        self.bits.fetch_or(fault as u32, Ordering::Relaxed);
    }

    /// Reports an error of a function that the op carries; the first one is kept.
    pub fn fail(&self, error: Error) {
        let mut first = self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        first.get_or_insert(error);
        self.bits.fetch_or(OTHER, Ordering::Relaxed);
    }

    /// The faults since the last call, as an error.
    pub fn take(&self, who: &str) -> Result<()> {
        let bits = self.bits.swap(0, Ordering::Relaxed);
        if bits == 0 {
            return Ok(());
        }
        if bits & OTHER != 0 {
            let first = self.error.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).take();
            return Err(first.unwrap_or_else(|| Error::internal(who, "an error that got lost")));
        }
        let has = |f: Fault| bits & f as u32 != 0;
        Err(if has(Fault::IndexOutOfRange) {
            Error::index(who, "indices inside the axis they select from", "an index out of range")
                .hint("check labels against the number of classes and token ids against input_dim")
        } else if has(Fault::Singular) {
            Error::value(who, "an invertible (positive definite) matrix", "a singular one")
        } else if has(Fault::DivisionByZero) {
            Error::value(who, "a divisor other than zero", "integer division by zero")
        } else if has(Fault::LoopBound) {
            Error::value(who, "a loop that ends within maximum_iterations", "a loop that goes on")
        } else {
            Error::new(
                crate::error::Kind::Memory,
                who,
                "memory for intermediate results",
                "a request the system cannot serve",
            )
        })
    }
}
