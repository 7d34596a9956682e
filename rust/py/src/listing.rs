//! Recorded graphs as plain data: what exporters to other programs' formats read.

use std::sync::Arc;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use rkeras_core::error::Error;
use rkeras_core::op::{Attr, Op};
use rkeras_core::ops::slice::OPEN;
use rkeras_core::shape::Spec;
use rkeras_core::trace::{Function, Graph, GraphBody, Node, NodeKind, Port, Value};

use crate::tensor::{PyTensor, shape_tuple};
use crate::trace::PyFunction;

/// A port as Python's pair (node, output).
pub fn pair(port: Port) -> (u32, u32) {
    (port.node, port.output)
}

/// An attribute as Python data; open bounds of slices are None, traced functions list their own nodes.
fn attribute<'py>(py: Python<'py>, attr: &Attr) -> PyResult<Bound<'py, PyAny>> {
    match attr {
        Attr::None => Ok(py.None().into_bound(py)),
        Attr::Bool(b) => b.into_bound_py_any(py),
        Attr::Int(i) => i.into_bound_py_any(py),
        Attr::Float(x) => x.into_bound_py_any(py),
        Attr::Str(s) => s.into_bound_py_any(py),
        Attr::Ints(items) => {
            let items = items.iter().map(|&i| (i != OPEN).then_some(i));
            Ok(PyTuple::new(py, items.collect::<Vec<Option<i64>>>())?.into_any())
        }
        Attr::DType(d) => d.name().into_bound_py_any(py),
        Attr::Function(f) => Ok(Bound::new(py, PyFunction(f.clone()))?.into_any()),
    }
}

/// The composition that a fused op stands for, traced for these inputs.
fn reference(op: &Arc<dyn Op>, inputs: &[Spec]) -> Option<Function> {
    let missing = || Error::internal(op.name(), "no reference");
    let traced = Function::trace(inputs, |x| op.reference(x).unwrap_or_else(|| Err(missing())));
    traced.ok().filter(|(_, captures)| captures.is_empty()).map(|(function, _)| function)
}

fn node<'py>(py: Python<'py>, node: &Node, body: &GraphBody) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    let attrs = PyDict::new(py);
    let op = match &node.kind {
        NodeKind::Input(position) => {
            dict.set_item("position", position)?;
            "input"
        }
        NodeKind::Const(value) => {
            dict.set_item("value", Bound::new(py, PyTensor::new(Value::Tensor(value.clone())))?)?;
            "constant"
        }
        NodeKind::Read(variable) => {
            dict.set_item("variable", variable.id())?;
            "variable"
        }
        NodeKind::Op(op) => {
            for (name, attr) in &op.attrs().0 {
                attrs.set_item(*name, attribute(py, attr)?)?;
            }
            let inputs: Vec<Spec> = node
                .inputs
                .iter()
                .map(|p| body.nodes[p.node as usize].specs[p.output as usize].clone())
                .collect();
            if let Some(function) = reference(op, &inputs) {
                dict.set_item("reference", Bound::new(py, PyFunction(function))?)?;
            }
            op.name()
        }
    };
    dict.set_item("op", op)?;
    dict.set_item("attrs", attrs)?;
    dict.set_item("inputs", PyList::new(py, node.inputs.iter().map(|&p| pair(p)))?)?;
    let outputs = PyList::empty(py);
    for spec in &node.specs {
        outputs.append((shape_tuple(py, &spec.shape)?, spec.dtype.name()))?;
    }
    dict.set_item("outputs", outputs)?;
    Ok(dict)
}

/// All nodes of a graph, in the order of recording.
pub fn nodes<'py>(py: Python<'py>, graph: &Graph) -> PyResult<Bound<'py, PyList>> {
    // A copy: an op of the graph may carry functions, whose graphs are locked in their turn.
    let body = graph.lock().clone();
    let items = body.nodes.iter().map(|n| node(py, n, &body)).collect::<PyResult<Vec<_>>>()?;
    PyList::new(py, items)
}
