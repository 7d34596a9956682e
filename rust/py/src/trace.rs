//! Modes, tapes, graphs, traced functions.

use pyo3::prelude::*;
use rkeras_core::autodiff::gradient;
use rkeras_core::error::Error;
use rkeras_core::shape::{Shape, Spec};
use rkeras_core::trace::{self, Function, Graph, Mode, Tape, Value};

use crate::convert;
use crate::error::guard;
use crate::listing;
use crate::primitive::not_a_tensor;
use crate::program::PyProgram;
use crate::tensor::{PyTensor, shape_tuple};
use crate::variable::PyVariable;

/// The tensors of a sequence.
pub fn values(who: &str, items: &Bound<'_, PyAny>) -> PyResult<Vec<Value>> {
    items.try_iter()?.map(|item| one_value(who, &item?)).collect()
}

fn one_value(who: &str, item: &Bound<'_, PyAny>) -> PyResult<Value> {
    if let Ok(t) = item.cast_exact::<PyTensor>() {
        Ok(t.get().value.clone())
    } else if let Ok(v) = item.cast::<PyVariable>() {
        v.get().value()
    } else {
        Err(not_a_tensor(who, item))
    }
}

/// A shape as Python's tuple, and the name of the dtype.
type PySpec<'py> = (Bound<'py, pyo3::types::PyTuple>, &'static str);

/// A value known by shape and dtype alone.
#[pyfunction]
pub fn spec(shape: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> PyResult<PyTensor> {
    let spec = Spec::new(convert::shape(shape)?, convert::dtype_of(dtype)?);
    Ok(PyTensor::new(Value::Spec(spec)))
}

/// "eager", "spec" or "graph".
#[pyfunction]
pub fn mode() -> &'static str {
    match trace::mode() {
        Mode::Eager => "eager",
        Mode::Spec => "spec",
        Mode::Graph(_) => "graph",
    }
}

macro_rules! scope {
    ($(#[$doc:meta])* $name:ident = $python:literal, $mode:expr) => {
        $(#[$doc])*
        #[pyclass(name = $python, module = "rkeras._rkeras", frozen)]
        pub struct $name;

        #[pymethods]
        impl $name {
            #[new]
            fn new() -> $name {
                $name
            }

            fn __enter__(slf: Py<Self>) -> Py<Self> {
                trace::enter($mode);
                slf
            }

            #[pyo3(signature = (*_exception))]
            fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
                trace::leave();
            }
        }
    };
}
scope!(
    /// Context in which variables are read by shape and dtype only.
    SpecScope = "SpecScope", Mode::Spec
);
scope!(
    /// Context in which code runs at once although a trace is going on around it.
    EagerScope = "EagerScope", Mode::Eager
);

/// Remembers the op calls that depend on what it watches.
#[pyclass(name = "Tape", module = "rkeras._rkeras", frozen)]
pub struct PyTape(Tape);

#[pymethods]
impl PyTape {
    #[new]
    #[pyo3(signature = (watch_variables = true))]
    fn new(watch_variables: bool) -> PyTape {
        PyTape(Tape::new(watch_variables))
    }

    fn start(&self) {
        self.0.start();
    }

    fn stop(&self) {
        self.0.stop();
    }

    fn reset(&self) {
        self.0.reset();
    }

    fn watch(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.watch(&one_value("Tape.watch", value)?);
        Ok(())
    }

    /// Works on tensors remembered by the tape and, in a trace, on symbols.
    fn gradient(
        &self,
        py: Python<'_>,
        targets: &Bound<'_, PyAny>,
        seeds: &Bound<'_, PyAny>,
        sources: &Bound<'_, PyAny>,
    ) -> PyResult<Vec<Option<PyTensor>>> {
        let who = "Tape.gradient";
        let targets = values(who, targets)?;
        let sources = values(who, sources)?;
        let seeds: Vec<Option<Value>> = seeds
            .try_iter()?
            .map(|s| {
                let s = s?;
                if s.is_none() { Ok(None) } else { one_value(who, &s).map(Some) }
            })
            .collect::<PyResult<_>>()?;
        let gradients = py.detach(|| {
            guard(|| {
                if seeds.len() != targets.len() {
                    return Err(Error::value(
                        who,
                        format!("{} seeds, one per target", targets.len()),
                        seeds.len().to_string(),
                    ));
                }
                for (target, seed) in targets.iter().zip(&seeds) {
                    if let Some(seed) = seed
                        && seed.shape() != target.shape()
                    {
                        return Err(Error::value(
                            who,
                            format!("a seed of shape {}", target.shape()),
                            format!("shape {}", seed.shape()),
                        ));
                    }
                }
                let pairs: Vec<_> = targets.into_iter().zip(seeds).collect();
                gradient(Some(&self.0), &pairs, &sources)
            })
        })?;
        Ok(gradients.into_iter().map(|g| g.map(PyTensor::new)).collect())
    }
}

/// A traced function, for control flow.
#[pyclass(name = "Function", module = "rkeras._rkeras", frozen)]
pub struct PyFunction(pub Function);

#[pymethods]
impl PyFunction {
    #[getter]
    fn output_specs<'py>(&self, py: Python<'py>) -> PyResult<Vec<PySpec<'py>>> {
        self.0.output_specs().iter().map(|s| Ok((shape_tuple(py, &s.shape)?, s.dtype.name()))).collect()
    }

    /// How many arguments callers pass; the captured values follow them.
    #[getter]
    fn arity(&self) -> usize {
        self.0.arity()
    }

    /// Its nodes as plain data, see `Graph.nodes`.
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyList>> {
        listing::nodes(py, self.0.graph())
    }

    /// The ports of its results.
    #[getter]
    fn outputs(&self) -> Vec<(u32, u32)> {
        self.0.outputs().iter().map(|&p| listing::pair(p)).collect()
    }

    fn __repr__(&self) -> String {
        format!("<rkeras.Function of {} arguments, {:?}>", self.0.arity(), self.0.graph())
    }
}

/// Traces `body` on symbols like `specs`; returns the function and the outer values it captured.
#[pyfunction]
pub fn trace_function(
    py: Python<'_>,
    body: &Bound<'_, PyAny>,
    specs: &Bound<'_, PyAny>,
) -> PyResult<(PyFunction, Vec<PyTensor>)> {
    let specs: Vec<Spec> = values("trace_function", specs)?.iter().map(Value::spec).collect();
    // An exception of the body passes through the core as an error and is raised again behind it.
    let mut raised: Option<PyErr> = None;
    let traced = guard(|| {
        Function::trace(&specs, |arguments| {
            let call = || -> PyResult<Vec<Value>> {
                let arguments = arguments
                    .iter()
                    .map(|v| Bound::new(py, PyTensor::new(v.clone())))
                    .collect::<PyResult<Vec<_>>>()?;
                values("trace_function", &body.call1(pyo3::types::PyTuple::new(py, arguments)?)?)
            };
            call().map_err(|e| {
                let error = Error::value("trace_function", "a function that can be traced", e.to_string());
                raised = Some(e);
                error
            })
        })
    });
    match (traced, raised) {
        (_, Some(e)) => Err(e),
        (Err(e), None) => Err(e),
        (Ok((function, captures)), None) => {
            Ok((PyFunction(function), captures.into_iter().map(PyTensor::new).collect()))
        }
    }
}

/// A trace: ops on its symbols, variable reads and assignments are recorded.
#[pyclass(name = "Graph", module = "rkeras._rkeras", frozen)]
pub struct PyGraph(pub Graph);

#[pymethods]
impl PyGraph {
    #[new]
    fn new() -> PyGraph {
        PyGraph(Graph::new())
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        trace::enter(Mode::Graph(slf.get().0.clone()));
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        trace::leave();
    }

    /// A new argument.
    fn input(&self, shape: &Bound<'_, PyAny>, dtype: &Bound<'_, PyAny>) -> PyResult<PyTensor> {
        let shape: Shape = convert::shape(shape)?;
        if shape.dims().is_none() {
            return Err(crate::error::raise(Error::value(
                "Graph.input",
                "a known shape",
                format!("{shape}"),
            )));
        }
        Ok(PyTensor::new(self.0.input(Spec::new(shape, convert::dtype_of(dtype)?))))
    }

    /// The program that returns `outputs` and makes the recorded assignments.
    #[pyo3(signature = (outputs, name = "program"))]
    fn compile(&self, py: Python<'_>, outputs: &Bound<'_, PyAny>, name: &str) -> PyResult<PyProgram> {
        crate::program::compile(py, self, outputs, name)
    }

    /// What was recorded, one dict per node in the order of recording: "op" (or "input", "constant", "variable"),
    /// "attrs", "inputs" as pairs (node, output), "outputs" as pairs (shape, dtype); beside them "position" of an
    /// input, "value" of a constant, "variable" (its `uid`), "reference" of a fused op (the function that it stands for).
    fn nodes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyList>> {
        listing::nodes(py, &self.0)
    }

    /// Where the graph computes each tensor, as pairs (node, output); tensors with values become constants.
    fn ports(&self, tensors: &Bound<'_, PyAny>) -> PyResult<Vec<(u32, u32)>> {
        let values = values("Graph.ports", tensors)?;
        guard(|| values.iter().map(|v| self.0.import(v).map(listing::pair)).collect())
    }

    /// The variables that are assigned to: pairs (uid, port of the last value).
    fn assigns(&self) -> Vec<(u64, (u32, u32))> {
        self.0.lock().assigns.iter().map(|(v, p)| (v.id(), listing::pair(*p))).collect()
    }

    fn __repr__(&self) -> String {
        format!("<rkeras.{:?}>", self.0)
    }
}
