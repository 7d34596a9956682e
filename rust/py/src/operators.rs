//! What Python's operators mean: one prebuilt op each.

use std::sync::{Arc, OnceLock};

use pyo3::prelude::*;
use pyo3::pyclass::CompareOp;
use rkeras_core::op::{AttrReader, Op};
use rkeras_core::ops::registry;
use smallvec::SmallVec;

use crate::error::guard;
use crate::primitive::{Arg, apply, resolve};
use crate::tensor::PyTensor;

/// An op without attributes, built when it is first used.
pub struct Prebuilt {
    name: &'static str,
    op: OnceLock<Arc<dyn Op>>,
}

impl Prebuilt {
    const fn new(name: &'static str) -> Prebuilt {
        Prebuilt { name, op: OnceLock::new() }
    }

    fn get(&self) -> PyResult<&Arc<dyn Op>> {
        if let Some(op) = self.op.get() {
            return Ok(op);
        }
        let op = guard(|| {
            let def = registry().get(self.name).ok_or_else(|| {
                rkeras_core::error::Error::internal("operator", format!("no op {:?}", self.name))
            })?;
            (def.make)(&mut AttrReader::new(def.name, Vec::new()))
        })?;
        Ok(self.op.get_or_init(|| op))
    }
}

macro_rules! operators {
    ($($ident:ident = $name:literal),* $(,)?) => {
        $(pub static $ident: Prebuilt = Prebuilt::new($name);)*
    };
}
operators!(
    ADD = "add",
    SUB = "subtract",
    MUL = "multiply",
    DIV = "divide",
    FLOOR_DIV = "floor_divide",
    MOD = "mod",
    POW = "power",
    MATMUL = "matmul",
    AND = "bitwise_and",
    OR = "bitwise_or",
    XOR = "bitwise_xor",
    SHL = "left_shift",
    SHR = "right_shift",
    NEG = "negative",
    ABS = "absolute",
    NOT = "logical_not",
    INVERT = "bitwise_not",
    EQ = "equal",
    NE = "not_equal",
    LT = "less",
    LE = "less_equal",
    GT = "greater",
    GE = "greater_equal",
);

/// The op of a comparison.
pub fn comparison(op: CompareOp) -> &'static Prebuilt {
    match op {
        CompareOp::Eq => &EQ,
        CompareOp::Ne => &NE,
        CompareOp::Lt => &LT,
        CompareOp::Le => &LE,
        CompareOp::Gt => &GT,
        CompareOp::Ge => &GE,
    }
}

/// `this op other`, or `other op this` if `swapped`; NotImplemented if the other side is nothing like a tensor.
pub fn binary(
    py: Python<'_>,
    op: &Prebuilt,
    this: &PyTensor,
    other: &Bound<'_, PyAny>,
    swapped: bool,
) -> PyResult<Py<PyAny>> {
    let op = op.get()?;
    let out = if let Ok(other) = other.cast_exact::<PyTensor>() {
        let pair = [this.value.clone(), other.get().value.clone()];
        if swapped { apply(py, op, &[pair[1].clone(), pair[0].clone()]) } else { apply(py, op, &pair) }
    } else {
        let Some(other) = Arg::operand(other)? else {
            return Ok(py.NotImplemented());
        };
        let this = Arg::Value(this.value.clone());
        let args: SmallVec<[Arg; 4]> =
            if swapped { SmallVec::from_iter([other, this]) } else { SmallVec::from_iter([this, other]) };
        apply(py, op, &resolve(op.as_ref(), args)?)
    };
    Ok(Py::new(py, PyTensor::new(out?.swap_remove(0)))?.into_any())
}

/// `op this`.
pub fn unary(py: Python<'_>, op: &Prebuilt, this: &PyTensor) -> PyResult<PyTensor> {
    Ok(PyTensor::new(apply(py, op.get()?, std::slice::from_ref(&this.value))?.swap_remove(0)))
}
