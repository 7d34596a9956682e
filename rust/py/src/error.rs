//! Errors of the core as Python exceptions; panics never cross the border.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::PyErr;
use pyo3::exceptions::{
    PyIndexError, PyMemoryError, PyNotImplementedError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;
use rkeras_core::error::{Error, Kind, Result};

/// The Python exception that stands for an error of the core.
pub fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error.kind {
        Kind::Value => PyValueError::new_err(text),
        Kind::Type => PyTypeError::new_err(text),
        Kind::Index => PyIndexError::new_err(text),
        Kind::Memory => PyMemoryError::new_err(text),
        Kind::Unsupported => PyNotImplementedError::new_err(text),
        Kind::Internal => PyRuntimeError::new_err(text),
    }
}

/// Runs code of the core. A panic there is a defect of rkeras and becomes a RuntimeError that says so.
pub fn guard<T>(body: impl FnOnce() -> Result<T>) -> PyResult<T> {
    // What the core holds in locks stays whole when a panic passes through (see Variable::lock).
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(result) => result.map_err(raise),
        Err(panic) => Err(raise(defect(panic.as_ref()))),
    }
}

/// [`guard`] with the GIL released, for work that takes longer than releasing it.
pub fn guard_detached<T: Send>(
    py: Python<'_>,
    heavy: bool,
    body: impl FnOnce() -> Result<T> + Send,
) -> PyResult<T> {
    if heavy { py.detach(|| guard(body)) } else { guard(body) }
}

fn defect(panic: &(dyn Any + Send)) -> Error {
    let what = panic
        .downcast_ref::<&str>()
        .map(|s| (*s).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_string());
    Error::internal("rkeras", what)
}
