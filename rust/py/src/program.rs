//! Programs, their cache, loaders and the epoch loop. All of them work with the GIL released.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use numpy::PyUntypedArray;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use rkeras_core::epoch::{self, Until};
use rkeras_core::error::{Error, Result};
use rkeras_core::loader::Loader;
use rkeras_core::program::{Cache, Program, Signature};
use rkeras_core::shape::Spec;
use rkeras_core::tensor::Tensor;
use rkeras_core::trace::Value;

use crate::convert;
use crate::error::{guard, raise};
use crate::tensor::{PyTensor, share_array};
use crate::trace::{PyGraph, values};

/// Between two looks at pending signals.
const TICK: Duration = Duration::from_millis(100);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic inside leaves a program or loader that is whole: it starts its next run from the beginning.
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A compiled trace. Variables are updated in place.
#[pyclass(name = "Program", module = "rkeras._rkeras", frozen)]
pub struct PyProgram(Arc<Mutex<Program>>);

/// Compiles what `graph` recorded.
pub fn compile(
    py: Python<'_>,
    graph: &PyGraph,
    outputs: &Bound<'_, PyAny>,
    name: &str,
) -> PyResult<PyProgram> {
    let outputs = values("Graph.compile", outputs)?;
    let program = py.detach(|| guard(|| Program::compile(&graph.0, &outputs, name)))?;
    Ok(PyProgram(Arc::new(Mutex::new(program))))
}

/// The tensor in an argument of a program or loader; arrays are shared, not copied.
fn argument(obj: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    if let Ok(array) = obj.cast::<PyUntypedArray>() {
        return share_array(array);
    }
    match convert::value(obj, None)? {
        Value::Tensor(t) => Ok(t),
        other => Err(other.tensor().map_or_else(raise, |_| unreachable!("a tensor is handled above"))),
    }
}

#[pymethods]
impl PyProgram {
    #[pyo3(signature = (*inputs))]
    fn __call__(&self, py: Python<'_>, inputs: &Bound<'_, PyTuple>) -> PyResult<Vec<PyTensor>> {
        let inputs = inputs.iter().map(|x| argument(&x)).collect::<PyResult<Vec<Tensor>>>()?;
        let results = py.detach(|| {
            let inputs: Vec<&Tensor> = inputs.iter().collect();
            guard(|| lock(&self.0).run(&inputs))
        })?;
        Ok(results.into_iter().map(|t| PyTensor::new(Value::Tensor(t))).collect())
    }

    #[getter]
    fn name(&self, py: Python<'_>) -> String {
        py.detach(|| lock(&self.0).name().to_string())
    }

    /// instructions, arena_bytes, compile_ms, nodes_traced, runs.
    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let stats = py.detach(|| lock(&self.0).stats);
        let dict = PyDict::new(py);
        dict.set_item("instructions", stats.instructions)?;
        dict.set_item("arena_bytes", stats.arena_bytes)?;
        dict.set_item("compile_ms", stats.compile_ms)?;
        dict.set_item("nodes_traced", stats.nodes_traced)?;
        dict.set_item("runs", stats.runs)?;
        Ok(dict)
    }

    /// The instructions in words.
    fn dump(&self, py: Python<'_>) -> PyResult<String> {
        py.detach(|| guard(|| Ok(lock(&self.0).dump())))
    }

    /// Takes the time of every instruction from now on, or no longer.
    #[pyo3(signature = (on = true))]
    fn profile(&self, py: Python<'_>, on: bool) {
        py.detach(|| lock(&self.0).profile(on));
    }

    /// (instruction in words, seconds in all runs) since `profile()`.
    fn times(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        py.detach(|| guard(|| Ok(lock(&self.0).times())))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        py.detach(|| {
            let program = lock(&self.0);
            format!("<rkeras.Program {:?}, {} instructions>", program.name(), program.stats.instructions)
        })
    }
}

/// Programs by (kind, specs of the inputs, static arguments); bounded, least recently used go first.
#[pyclass(name = "ProgramCache", module = "rkeras._rkeras", frozen)]
pub struct PyProgramCache(Mutex<Cache<Arc<Mutex<Program>>>>);

fn signature(kind: &str, specs: &Bound<'_, PyAny>, fixed: &str) -> PyResult<Signature> {
    let one = |item: PyResult<Bound<'_, PyAny>>| {
        let (shape, dtype): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item?.extract()?;
        Ok(Spec::new(convert::shape(&shape)?, convert::dtype_of(&dtype)?))
    };
    let specs = specs.try_iter()?.map(one).collect::<PyResult<_>>()?;
    Ok(Signature { kind: kind.to_string(), specs, fixed: fixed.to_string() })
}

#[pymethods]
impl PyProgramCache {
    #[new]
    #[pyo3(signature = (capacity = 32))]
    fn new(capacity: usize) -> PyProgramCache {
        PyProgramCache(Mutex::new(Cache::new(capacity)))
    }

    fn get(&self, kind: &str, specs: &Bound<'_, PyAny>, r#static: &str) -> PyResult<Option<PyProgram>> {
        Ok(lock(&self.0).get(&signature(kind, specs, r#static)?).map(PyProgram))
    }

    fn put(
        &self,
        kind: &str,
        specs: &Bound<'_, PyAny>,
        r#static: &str,
        program: &Bound<'_, PyProgram>,
    ) -> PyResult<()> {
        lock(&self.0).put(signature(kind, specs, r#static)?, program.get().0.clone());
        Ok(())
    }

    fn clear(&self) {
        lock(&self.0).clear();
    }

    /// hits, misses, evictions, size.
    #[getter]
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let cache = lock(&self.0);
        let dict = PyDict::new(py);
        dict.set_item("hits", cache.hits)?;
        dict.set_item("misses", cache.misses)?;
        dict.set_item("evictions", cache.evictions)?;
        dict.set_item("size", cache.len())?;
        Ok(dict)
    }

    /// For every miss: what differed from the nearest signature known.
    fn explain(&self) -> Vec<String> {
        lock(&self.0).explanations().map(str::to_string).collect()
    }
}

/// Batches of rows gathered from arrays.
#[pyclass(name = "Loader", module = "rkeras._rkeras", frozen)]
pub struct PyLoader(Mutex<Loader>);

#[pymethods]
impl PyLoader {
    #[new]
    #[pyo3(signature = (arrays, batch_size, shuffle = false, seed = 0, drop_last = false))]
    fn new(
        arrays: &Bound<'_, PyAny>,
        batch_size: usize,
        shuffle: bool,
        seed: u64,
        drop_last: bool,
    ) -> PyResult<PyLoader> {
        let arrays = arrays.try_iter()?.map(|a| argument(&a?)).collect::<PyResult<Vec<Tensor>>>()?;
        let loader = guard(|| Loader::new(arrays, batch_size, shuffle, seed, drop_last))?;
        Ok(PyLoader(Mutex::new(loader)))
    }

    /// Batches per epoch.
    #[getter]
    fn batches(&self) -> usize {
        lock(&self.0).batches()
    }

    /// Rows in all.
    #[getter]
    fn rows(&self) -> usize {
        lock(&self.0).rows()
    }

    /// Begins an epoch; the order is a function of seed and epoch.
    fn start(&self, py: Python<'_>, epoch: u64) -> PyResult<()> {
        py.detach(|| {
            guard(|| {
                lock(&self.0).start(epoch);
                Ok(())
            })
        })
    }

    /// Rows of batch number `index`.
    fn batch_rows(&self, index: usize) -> usize {
        lock(&self.0).batch_rows(index)
    }

    /// The next batch; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Vec<PyTensor>>> {
        let batch = py.detach(|| guard(|| lock(&self.0).next_batch()))?;
        Ok(batch.map(|b| b.into_iter().map(|t| PyTensor::new(Value::Tensor(t))).collect()))
    }
}

/// Runs the program for each batch's row count until the loader is at its end, `steps` batches are done or `seconds`
/// have passed; returns the batches done. What the programs return goes to consecutive rows of the tensors in
/// `collect`, a list whose items are replaced.
#[pyfunction]
#[pyo3(signature = (programs, loader, steps = None, seconds = None, collect = None))]
pub fn run_epoch(
    py: Python<'_>,
    programs: &Bound<'_, PyDict>,
    loader: &Bound<'_, PyLoader>,
    steps: Option<usize>,
    seconds: Option<f64>,
    collect: Option<&Bound<'_, PyList>>,
) -> PyResult<usize> {
    let mut by_rows: Vec<(usize, Arc<Mutex<Program>>)> = Vec::with_capacity(programs.len());
    for (rows, program) in programs.iter() {
        let program = program.cast::<PyProgram>()?.get().0.clone();
        if by_rows.iter().any(|(_, other)| Arc::ptr_eq(other, &program)) {
            return Err(PyValueError::new_err(
                "run_epoch: expected one program per number of rows. Received: the same program twice.",
            ));
        }
        by_rows.push((rows.extract()?, program));
    }
    // Two epochs at once lock their programs in the same order.
    by_rows.sort_by_key(|(_, program)| Arc::as_ptr(program));
    let limit = seconds.map(|s| Duration::from_secs_f64(s.clamp(0.0, 1e9)));
    let loader = &loader.get().0;
    let mut results = collect.map(take_results).transpose()?;
    let begin = Instant::now();
    let mut done = 0;
    let outcome = loop {
        let left = limit.map(|l| l.saturating_sub(begin.elapsed()));
        let until = Until {
            steps: steps.map(|s| s - done),
            time: Some(left.map_or(TICK, |l| l.min(TICK))),
            stop: None,
        };
        let tick =
            py.detach(|| guard(|| run_tick(&by_rows, &mut lock(loader), until, results.as_deref_mut())));
        match tick {
            Err(e) => break Err(e),
            Ok((n, at_end)) => {
                done += n;
                if at_end || steps.is_some_and(|s| done >= s) || limit.is_some_and(|l| begin.elapsed() >= l) {
                    break Ok(done);
                }
            }
        }
        if let Err(interrupt) = py.check_signals() {
            break Err(interrupt);
        }
    };
    if let (Some(list), Some(results)) = (collect, results) {
        for (i, t) in results.into_iter().enumerate() {
            list.set_item(i, Bound::new(py, PyTensor::new(Value::Tensor(t)))?)?;
        }
    }
    outcome
}

/// A stretch of an epoch; also tells whether the loader is at its end.
fn run_tick(
    by_rows: &[(usize, Arc<Mutex<Program>>)],
    loader: &mut Loader,
    until: Until<'_>,
    results: Option<&mut [Tensor]>,
) -> Result<(usize, bool)> {
    let mut guards: Vec<_> = by_rows.iter().map(|(rows, program)| (*rows, lock(program))).collect();
    let mut programs: BTreeMap<usize, &mut Program> =
        guards.iter_mut().map(|(rows, guard)| (*rows, &mut **guard)).collect();
    let last = loader.batches().checked_sub(1).map(|b| loader.batch_rows(b));
    if let Some(next) = loader.next_rows()
        && let Some(rows) = [Some(next), last].into_iter().flatten().find(|r| !programs.contains_key(r))
    {
        let known: Vec<usize> = programs.keys().copied().collect();
        return Err(Error::value(
            "run_epoch",
            format!("a program for batches of {rows} rows"),
            format!("programs for {known:?} rows"),
        ));
    }
    let mut filled = loader.rows_given();
    if let (Some(tensors), Some(rows)) = (&results, loader.next_rows()) {
        let outputs = programs.get(&rows).map(|p| p.outputs());
        for (i, t) in tensors.iter().enumerate() {
            let fits = outputs.is_none_or(|o| {
                o.len() == tensors.len()
                    && o[i].dtype == t.dtype()
                    && o[i].shape.rank() == t.shape().len()
                    && (1..t.shape().len()).all(|a| o[i].shape[a] == Some(t.shape()[a]))
            });
            if !fits || t.shape().first().is_none_or(|&n| n < loader.rows()) {
                return Err(Error::value(
                    "run_epoch",
                    format!(
                        "tensors of {} rows in collect, as the program returns them ({})",
                        loader.rows(),
                        outputs.unwrap_or(&[]).iter().map(Spec::to_string).collect::<Vec<_>>().join("; ")
                    ),
                    t.spec().to_string(),
                ));
            }
        }
    }
    let done = epoch::run(&mut programs, loader, until, results.map(|r| (r, &mut filled)))?;
    Ok((done, loader.next_rows().is_none()))
}

/// Takes the tensors out of the list, so that they are nobody else's and can be written; copies of those that are.
fn take_results(list: &Bound<'_, PyList>) -> PyResult<Vec<Tensor>> {
    let py = list.py();
    // Before anything is taken: all of it must be fit.
    for item in list.iter() {
        item.cast::<PyTensor>()?.get().value.tensor().map_err(raise)?;
    }
    let mut out = Vec::with_capacity(list.len());
    for i in 0..list.len() {
        let mut tensor = {
            let item = list.get_item(i)?;
            let tensor = item.cast::<PyTensor>()?.get().value.tensor().map_err(raise)?.clone();
            list.set_item(i, py.None())?;
            tensor
        };
        if tensor.bytes_mut().is_none() {
            tensor = guard(|| {
                let mut own = Tensor::scratch(tensor.shape(), tensor.dtype())?;
                tensor.view().copy_to(own.bytes_mut().expect("a new tensor is not shared"));
                Ok(own)
            })?;
        }
        out.push(tensor);
    }
    Ok(out)
}
