//! Python objects as tensors.

use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyTuple, PyType};
use rkeras_core::dtype::{DType, floatx};
use rkeras_core::error::{Error, Result};
use rkeras_core::ops::cast::cast;
use rkeras_core::tensor::Tensor;
use rkeras_core::trace::Value;

use crate::error::{guard, raise};
use crate::primitive::not_a_tensor;
use crate::tensor::{PyTensor, copy_array};
use crate::variable::PyVariable;

/// A Python number.
#[derive(Clone, Copy)]
pub enum Number {
    Int(i128),
    Float(f64),
}

impl From<bool> for Number {
    fn from(b: bool) -> Number {
        Number::Int(b.into())
    }
}

impl From<i128> for Number {
    fn from(n: i128) -> Number {
        Number::Int(n)
    }
}

impl From<f64> for Number {
    fn from(x: f64) -> Number {
        Number::Float(x)
    }
}

/// A Python integer.
pub fn integer(obj: &Bound<'_, PyAny>) -> PyResult<i128> {
    match obj.extract::<i64>() {
        Ok(n) => Ok(n.into()),
        Err(_) => obj.extract(),
    }
}

/// The dtype of a Python integer on its own.
pub fn default_int(n: i128) -> DType {
    if i32::try_from(n).is_ok() {
        DType::I32
    } else if i64::try_from(n).is_ok() {
        DType::I64
    } else {
        DType::U64
    }
}

/// The least and the greatest number of an integer type.
fn bounds(dtype: DType) -> (i128, i128) {
    let bits = dtype.size() as u32 * 8;
    if dtype.is_signed_int() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// A scalar of the given dtype; integers that do not fit are refused.
pub fn number(who: &str, n: Number, dtype: DType) -> Result<Value> {
    let tensor = match n {
        Number::Int(n) if dtype.is_int() => {
            let (low, high) = bounds(dtype);
            if n < low || n > high {
                return Err(Error::value(
                    who,
                    format!("a number in [{low}, {high}] for {dtype}"),
                    n.to_string(),
                )
                .hint("cast to a wider dtype first"));
            }
            Tensor::from_bytes(&[], dtype, &n.to_le_bytes()[..dtype.size()])?
        }
        Number::Int(n) => Tensor::scalar(n as f64, dtype)?,
        Number::Float(x) => Tensor::scalar(x, dtype)?,
    };
    Ok(Value::Tensor(tensor))
}

/// The dtype of that name, or of a NumPy dtype or Python type with such a name.
pub fn dtype_of(obj: &Bound<'_, PyAny>) -> PyResult<DType> {
    if let Ok(name) = obj.extract::<&str>() {
        return DType::parse(name).map_err(raise);
    }
    let name = obj.getattr("name").or_else(|_| obj.getattr("__name__"));
    let name: String = match name.and_then(|n| n.extract()) {
        Ok(name) => name,
        Err(_) => {
            return Err(PyTypeError::new_err(format!(
                "dtype: expected the name of a dtype. Received: {obj}."
            )));
        }
    };
    DType::parse(&name).map_err(raise)
}

/// The dtype of a NumPy array; None for those that tensors do not have.
pub fn array_dtype(array: &Bound<'_, PyUntypedArray>) -> Option<DType> {
    let descr = array.dtype();
    Some(match (descr.kind(), descr.itemsize()) {
        (b'b', 1) => DType::Bool,
        (b'u', 1) => DType::U8,
        (b'u', 2) => DType::U16,
        (b'u', 4) => DType::U32,
        (b'u', 8) => DType::U64,
        (b'i', 1) => DType::I8,
        (b'i', 2) => DType::I16,
        (b'i', 4) => DType::I32,
        (b'i', 8) => DType::I64,
        (b'f', 2) => DType::F16,
        (b'f', 4) => DType::F32,
        (b'f', 8) => DType::F64,
        // NumPy has no bfloat16 of its own; packages add it under this name.
        (_, 2) if descr.getattr("name").is_ok_and(|n| n.eq("bfloat16").unwrap_or(false)) => DType::BF16,
        _ => return None,
    })
}

fn numpy_generic<'py>(py: Python<'py>) -> PyResult<&'py Bound<'py, PyType>> {
    static GENERIC: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    GENERIC.import(py, "numpy", "generic")
}

/// Is it a NumPy array or scalar?
pub fn is_array(obj: &Bound<'_, PyAny>) -> bool {
    obj.cast::<PyUntypedArray>().is_ok()
        || numpy_generic(obj.py()).is_ok_and(|generic| obj.is_instance(generic).unwrap_or(false))
}

/// NumPy's idea of the object as an array.
fn as_array<'py>(obj: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let array = ASARRAY.import(obj.py(), "numpy", "asarray")?.call1((obj,))?;
    Ok(array.cast_into::<PyUntypedArray>()?)
}

/// The object as a value, cast to `dtype` if one is given.
pub fn value(obj: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Value> {
    let found = if let Ok(t) = obj.cast_exact::<PyTensor>() {
        t.get().value.clone()
    } else if let Ok(v) = obj.cast::<PyVariable>() {
        v.get().value()?
    } else if let Ok(f) = obj.cast::<PyFloat>() {
        return guard(|| number("tensor", f.value().into(), dtype.unwrap_or_else(floatx)));
    } else if let Ok(b) = obj.cast_exact::<PyBool>() {
        return guard(|| number("tensor", b.is_true().into(), dtype.unwrap_or(DType::Bool)));
    } else if obj.is_instance_of::<PyInt>() {
        let n = integer(obj)?;
        return guard(|| number("tensor", n.into(), dtype.unwrap_or_else(|| default_int(n))));
    } else {
        from_array(obj, dtype)?
    };
    match dtype {
        Some(dtype) if dtype != found.dtype() => guard(|| cast(&found, dtype)),
        _ => Ok(found),
    }
}

fn from_array(obj: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Value> {
    if let Ok(array) = obj.cast::<PyUntypedArray>() {
        return Ok(Value::Tensor(copy_array(array)?));
    }
    if obj.is_none() || obj.hasattr("_keras_history")? || obj.is_instance_of::<pyo3::types::PyString>() {
        return Err(not_a_tensor("tensor", obj));
    }
    let array = as_array(obj)?;
    if array_dtype(&array).is_none() {
        return Err(not_a_tensor("tensor", obj));
    }
    let tensor = copy_array(&array)?;
    // Python's own numbers in lists are weak: they become the default types, not NumPy's 64-bit ones.
    let nested = obj.is_instance_of::<PyList>() || obj.is_instance_of::<PyTuple>();
    if !nested || dtype.is_some() {
        return Ok(Value::Tensor(tensor));
    }
    let narrow = match tensor.dtype() {
        DType::F64 => floatx(),
        DType::I64 => {
            let fits = guard(|| tensor.to_vec::<i64>())?.iter().all(|&n| i32::try_from(n).is_ok());
            if fits { DType::I32 } else { DType::I64 }
        }
        other => other,
    };
    guard(|| cast(&Value::Tensor(tensor), narrow))
}

/// A shape with unknown dimensions as a sequence of integers and None.
pub fn shape(obj: &Bound<'_, PyAny>) -> PyResult<rkeras_core::shape::Shape> {
    let dims: Vec<Option<i64>> = match obj.extract::<i64>() {
        Ok(n) => vec![Some(n)],
        Err(_) => obj.try_iter()?.map(|d| d?.extract()).collect::<PyResult<_>>()?,
    };
    let known = |d: Option<i64>| d.map(usize::try_from).transpose();
    let dims = dims.iter().map(|&d| known(d)).collect::<std::result::Result<Vec<_>, _>>();
    match dims {
        Ok(dims) => Ok(rkeras_core::shape::Shape::new(dims)),
        Err(_) => Err(raise(Error::value("shape", "sizes of zero or more, or None", format!("{obj}")))),
    }
}
