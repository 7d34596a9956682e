//! Ops by name: tensors are positional, attributes are keywords.

use std::sync::{Arc, Mutex, OnceLock};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use rkeras_core::dtype::{DType, Operand, floatx, result_type};
use rkeras_core::error::Error;
use rkeras_core::op::{Attr, AttrReader, Op, OpDef, Outputs};
use rkeras_core::ops::registry;
use rkeras_core::ops::slice::OPEN;
use rkeras_core::trace::{Value, push};
use smallvec::SmallVec;

use crate::convert::{self, number};
use crate::error::{guard, guard_detached, raise};
use crate::tensor::PyTensor;
use crate::trace::PyFunction;
use crate::variable::PyVariable;

/// From this many elements on, other Python threads may run beside an eager op.
const HEAVY: usize = 1 << 15;

/// An input as it was given: Python numbers wait for the dtype of the other inputs.
pub enum Arg {
    Value(Value),
    Bool(bool),
    Int(i128),
    Float(f64),
}

impl Arg {
    /// A Tensor, Variable or Python number; None for anything else.
    fn quick(obj: &Bound<'_, PyAny>) -> PyResult<Option<Arg>> {
        Ok(Some(if let Ok(t) = obj.cast_exact::<PyTensor>() {
            Arg::Value(t.get().value.clone())
        } else if let Ok(v) = obj.cast::<PyVariable>() {
            Arg::Value(v.get().value()?)
        } else if let Ok(f) = obj.cast::<PyFloat>() {
            Arg::Float(f.value())
        } else if let Ok(b) = obj.cast_exact::<PyBool>() {
            Arg::Bool(b.is_true())
        } else if obj.is_instance_of::<PyInt>() {
            Arg::Int(convert::integer(obj)?)
        } else {
            return Ok(None);
        }))
    }

    /// The other side of an operator; None where Python should ask that side instead.
    pub fn operand(obj: &Bound<'_, PyAny>) -> PyResult<Option<Arg>> {
        if let Some(arg) = Arg::quick(obj)? {
            return Ok(Some(arg));
        }
        if obj.is_instance_of::<PyList>() || obj.is_instance_of::<PyTuple>() || convert::is_array(obj) {
            return Ok(Some(Arg::Value(convert::value(obj, None)?)));
        }
        Ok(None)
    }

    fn any(obj: &Bound<'_, PyAny>) -> PyResult<Arg> {
        match Arg::quick(obj)? {
            Some(arg) => Ok(arg),
            None => Ok(Arg::Value(convert::value(obj, None)?)),
        }
    }

    fn weak(&self) -> Operand {
        match self {
            Arg::Value(v) => Operand::Strong(v.dtype()),
            Arg::Bool(_) => Operand::WeakBool,
            Arg::Int(_) => Operand::WeakInt,
            Arg::Float(_) => Operand::WeakFloat,
        }
    }
}

/// The inputs as values. Python numbers take the dtype that Keras's promotion gives them beside the others.
pub fn resolve(op: &dyn Op, args: SmallVec<[Arg; 4]>) -> PyResult<SmallVec<[Value; 4]>> {
    let mut common = None;
    if args.iter().any(|a| !matches!(a, Arg::Value(_))) {
        let traits = op.traits();
        if traits.promotes || traits.floats {
            let from = traits.promote_from.min(args.len());
            let operands: SmallVec<[Operand; 4]> = args[from..].iter().map(Arg::weak).collect();
            let mut dtype = result_type(&operands, floatx());
            if traits.floats && !dtype.is_float() {
                dtype = floatx();
            }
            common = Some((from, dtype));
        }
    }
    let mut out = SmallVec::with_capacity(args.len());
    for (i, arg) in args.into_iter().enumerate() {
        let dtype = common.filter(|&(from, _)| i >= from).map(|(_, dtype)| dtype);
        out.push(match arg {
            Arg::Value(v) => v,
            Arg::Bool(b) => guard(|| number(op.name(), b.into(), dtype.unwrap_or(DType::Bool)))?,
            Arg::Int(n) => {
                let dtype = dtype.unwrap_or_else(|| convert::default_int(n));
                guard(|| number(op.name(), n.into(), dtype))?
            }
            Arg::Float(x) => guard(|| number(op.name(), x.into(), dtype.unwrap_or_else(floatx)))?,
        });
    }
    Ok(out)
}

/// Runs, records or infers the op, whichever the inputs call for.
pub fn apply(py: Python<'_>, op: &Arc<dyn Op>, inputs: &[Value]) -> PyResult<Outputs<Value>> {
    let heavy = inputs.iter().any(|v| matches!(v, Value::Tensor(t) if t.layout().len() >= HEAVY));
    guard_detached(py, heavy, || push(op, inputs))
}

type Given = Vec<(String, Attr)>;

/// An op of the registry.
#[pyclass(name = "Primitive", module = "rkeras._rkeras", frozen)]
pub struct PyPrimitive {
    def: &'static OpDef,
    plain: OnceLock<Arc<dyn Op>>,
    /// The attributes of the latest call and the op they gave: loops repeat themselves.
    latest: Mutex<Option<(Given, Arc<dyn Op>)>>,
}

impl PyPrimitive {
    fn build(&self, given: Given) -> PyResult<Arc<dyn Op>> {
        guard(|| {
            let mut reader = AttrReader::new(self.def.name, given);
            let op = (self.def.make)(&mut reader)?;
            reader.finish()?;
            Ok(op)
        })
    }

    fn op(&self, attributes: Option<&Bound<'_, PyDict>>) -> PyResult<Arc<dyn Op>> {
        let attributes = attributes.filter(|a| !a.is_empty());
        let Some(attributes) = attributes else {
            if let Some(op) = self.plain.get() {
                return Ok(op.clone());
            }
            let op = self.build(Vec::new())?;
            return Ok(self.plain.get_or_init(|| op).clone());
        };
        let mut given = Vec::with_capacity(attributes.len());
        for (name, value) in attributes.iter() {
            let name: String = name.extract()?;
            let attr = attribute(self.def.name, &name, &value)?;
            given.push((name, attr));
        }
        let mut latest = self.latest.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((same, op)) = latest.as_ref()
            && *same == given
        {
            return Ok(op.clone());
        }
        let op = self.build(given.clone())?;
        // Traced functions are used once; keeping one here would keep its graph alive.
        if !given.iter().any(|(_, a)| matches!(a, Attr::Function(_))) {
            *latest = Some((given, op.clone()));
        }
        Ok(op)
    }
}

#[pymethods]
impl PyPrimitive {
    /// The name in the registry.
    #[getter]
    fn name(&self) -> &'static str {
        self.def.name
    }

    #[pyo3(signature = (*inputs, **attributes))]
    fn __call__<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyTuple>,
        attributes: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let op = self.op(attributes)?;
        let mut args: SmallVec<[Arg; 4]> = SmallVec::with_capacity(inputs.len());
        for obj in inputs.iter_borrowed() {
            args.push(Arg::any(&obj)?);
        }
        let values = resolve(op.as_ref(), args)?;
        let mut out = apply(py, &op, &values)?;
        if out.len() == 1 {
            return Ok(Bound::new(py, PyTensor::new(out.swap_remove(0)))?.into_any());
        }
        let items =
            out.into_iter().map(|v| Bound::new(py, PyTensor::new(v))).collect::<PyResult<Vec<_>>>()?;
        Ok(PyTuple::new(py, items)?.into_any())
    }

    fn __repr__(&self) -> String {
        format!("<rkeras primitive {}>", self.def.name)
    }
}

/// The op of that name.
#[pyfunction]
pub fn primitive(name: &str) -> PyResult<PyPrimitive> {
    let def = registry().get(name).ok_or_else(|| {
        raise(
            Error::value("primitive", "the name of an op", format!("{name:?}"))
                .hint("primitives() lists them"),
        )
    })?;
    Ok(PyPrimitive { def, plain: OnceLock::new(), latest: Mutex::new(None) })
}

/// The names of all ops.
#[pyfunction]
pub fn primitives() -> Vec<&'static str> {
    registry().keys().copied().collect()
}

fn attribute(op: &str, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Attr> {
    if value.is_none() {
        return Ok(Attr::None);
    }
    if let Ok(b) = value.cast_exact::<PyBool>() {
        return Ok(Attr::Bool(b.is_true()));
    }
    if let Ok(f) = value.cast::<PyFloat>() {
        return Ok(Attr::Float(f.value()));
    }
    if let Ok(s) = value.cast::<PyString>() {
        return Ok(Attr::Str(s.extract()?));
    }
    if let Ok(f) = value.cast_exact::<PyFunction>() {
        return Ok(Attr::Function(f.get().0.clone()));
    }
    let wrong = |what: &Bound<'_, PyAny>| {
        let got = what.get_type().name().map_or_else(|_| "?".to_string(), |n| n.to_string());
        raise(Error::dtype(
            op,
            format!("{name}: a number, a truth value, a string or a sequence of integers"),
            got,
        ))
    };
    let integer = |item: &Bound<'_, PyAny>| item.extract::<i64>();
    if let Ok(i) = integer(value) {
        return Ok(Attr::Int(i));
    }
    if let Ok(iterator) = value.try_iter() {
        let mut items = Vec::new();
        for item in iterator {
            let item = item?;
            // None stands for an open bound of a slice.
            items.push(if item.is_none() { OPEN } else { integer(&item).map_err(|_| wrong(&item))? });
        }
        return Ok(Attr::Ints(items));
    }
    if let Ok(x) = value.extract::<f64>() {
        return Ok(Attr::Float(x));
    }
    Err(wrong(value))
}

/// A TypeError about something that is no tensor and cannot become one.
pub fn not_a_tensor(who: &str, obj: &Bound<'_, PyAny>) -> PyErr {
    let kind = obj.get_type().name().map_or_else(|_| "?".to_string(), |n| n.to_string());
    PyTypeError::new_err(format!(
        "{who}: expected a tensor, variable, number, array or nested list of numbers. Received: {kind}."
    ))
}
