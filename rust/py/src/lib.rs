//! The binding: `rkeras._rkeras`. It translates between Python objects and the core, and does nothing else.

mod convert;
mod error;
mod listing;
mod operators;
mod primitive;
mod program;
mod tensor;
mod trace;
mod variable;

use pyo3::prelude::*;
use rkeras_core::dtype::{self, DType, Operand};
use rkeras_core::machine;

use crate::error::raise;

/// Keras's promotion; operands are dtype names or the weak types "bool_", "int", "float".
#[pyfunction]
#[pyo3(signature = (*operands))]
fn result_type(operands: Vec<String>) -> PyResult<&'static str> {
    let read = |name: &String| match name.as_str() {
        "bool_" => Ok(Operand::WeakBool),
        "int" => Ok(Operand::WeakInt),
        "float" => Ok(Operand::WeakFloat),
        name => DType::parse(name).map(Operand::Strong),
    };
    let operands = operands.iter().map(read).collect::<Result<Vec<_>, _>>().map_err(raise)?;
    Ok(dtype::result_type(&operands, dtype::floatx()).name())
}

/// Sets the float type that integers and Python numbers become where a float is needed.
#[pyfunction]
fn set_floatx(dtype: &str) -> PyResult<()> {
    DType::parse(dtype).and_then(dtype::set_floatx).map_err(raise)
}

/// Sets the number of threads that kernels use; results do not depend on it.
#[pyfunction]
fn set_num_threads(n: usize) -> PyResult<()> {
    if n == 0 {
        return Err(raise(rkeras_core::error::Error::value("set_num_threads", "at least one thread", "0")));
    }
    machine::set_threads(n);
    Ok(())
}

/// The number of threads that kernels use.
#[pyfunction]
fn num_threads() -> usize {
    machine::threads()
}

/// The instruction set that kernels use.
#[pyfunction]
fn isa() -> &'static str {
    machine::level().name()
}

/// The binary core of rkeras: tensors, variables, primitives, tapes, graphs, programs, loaders.
#[pymodule]
mod _rkeras {
    #[pymodule_export]
    use crate::primitive::{PyPrimitive, primitive, primitives};
    #[pymodule_export]
    use crate::program::{PyLoader, PyProgram, PyProgramCache, run_epoch};
    #[pymodule_export]
    use crate::tensor::{PyTensor, from_dlpack, tensor};
    #[pymodule_export]
    use crate::trace::{EagerScope, PyFunction, PyGraph, PyTape, SpecScope, mode, spec, trace_function};
    #[pymodule_export]
    use crate::variable::{PyVariable, set_autocast};
    #[pymodule_export]
    use crate::{isa, num_threads, result_type, set_floatx, set_num_threads};
}
