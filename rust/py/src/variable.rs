//! Variables, the base class of those in Python.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use rkeras_core::dtype::DType;
use rkeras_core::ops::cast::cast;
use rkeras_core::trace::{self, Value};
use rkeras_core::variable::Variable;

use crate::convert;
use crate::error::{guard, raise};
use crate::tensor::{PyTensor, shape_tuple};

thread_local! {
    static AUTOCAST: Cell<Option<DType>> = const { Cell::new(None) };
}

/// A named, mutable tensor.
#[pyclass(name = "Variable", module = "rkeras._rkeras", subclass, frozen, weakref)]
pub struct PyVariable {
    /// What it names.
    pub variable: Variable,
    autocast: AtomicBool,
}

impl PyVariable {
    /// The value in the current mode, cast to the autocast dtype.
    pub fn value(&self) -> PyResult<Value> {
        guard(|| {
            let value = trace::read(&self.variable)?;
            match AUTOCAST.get() {
                Some(dtype) if self.autocast.load(Ordering::Relaxed) && value.dtype().is_float() => {
                    cast(&value, dtype)
                }
                _ => Ok(value),
            }
        })
    }
}

#[pymethods]
impl PyVariable {
    #[new]
    #[pyo3(signature = (value, name = "variable", trainable = true, *_args, **_ignored))]
    fn new(
        value: &Bound<'_, PyAny>,
        name: &str,
        trainable: bool,
        _args: &Bound<'_, PyTuple>,
        _ignored: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyVariable> {
        let value = convert::value(value, None)?;
        let variable = guard(|| Variable::new(name, value.tensor()?, trainable))?;
        Ok(PyVariable { variable, autocast: AtomicBool::new(true) })
    }

    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        shape_tuple(py, &self.variable.spec().shape)
    }

    #[getter]
    fn dtype(&self) -> &'static str {
        self.variable.spec().dtype.name()
    }

    #[getter]
    fn ndim(&self) -> usize {
        self.variable.spec().shape.rank()
    }

    #[getter]
    fn get_name(&self) -> String {
        self.variable.name()
    }

    #[setter]
    fn set_name(&self, name: &str) {
        self.variable.set_name(name);
    }

    #[getter]
    fn get_trainable(&self) -> bool {
        self.variable.trainable()
    }

    #[setter]
    fn set_trainable(&self, on: bool) {
        self.variable.set_trainable(on);
    }

    #[getter]
    fn get_autocast(&self) -> bool {
        self.autocast.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_autocast(&self, on: bool) {
        self.autocast.store(on, Ordering::Relaxed);
    }

    #[getter]
    fn version(&self) -> u64 {
        self.variable.version()
    }

    /// A number that no other variable has; nodes of graphs name variables by it.
    #[getter]
    fn uid(&self) -> u64 {
        self.variable.id()
    }

    /// The value in the current mode (a symbol while a graph is traced), cast to the autocast dtype.
    fn read(&self) -> PyResult<PyTensor> {
        Ok(PyTensor::new(self.value()?))
    }

    /// The value in memory now, whatever the mode.
    fn tensor(&self) -> PyTensor {
        PyTensor::new(Value::Tensor(self.variable.tensor()))
    }

    /// Gives it a new value in the current mode; the value is converted to its dtype.
    fn assign(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = convert::value(value, Some(self.variable.spec().dtype))?;
        guard(|| trace::assign(&self.variable, &value))
    }

    fn __repr__(&self) -> String {
        format!("<rkeras.Variable {} {}>", self.variable.name(), self.variable.spec())
    }
}

/// Sets the dtype that float variables are read in (None: their own); returns the previous one.
#[pyfunction]
#[pyo3(signature = (dtype))]
pub fn set_autocast(dtype: Option<&str>) -> PyResult<Option<&'static str>> {
    let dtype = dtype.map(DType::parse).transpose().map_err(raise)?;
    Ok(AUTOCAST.replace(dtype).map(DType::name))
}
