//! Reverse-mode differentiation: one walk over remembered op calls, for tapes and graphs alike.
//!
//! The walk pushes gradient ops to whichever reader is active. Tape gradients, compiled gradients and
//! gradients of gradients are therefore the same code.

use std::collections::{HashMap, HashSet};

use crate::error::{Error, Kind, Result};
use crate::op::{Engine, Grad, Vjp};
use crate::ops;
use crate::trace::{Function, Record, Value};

/// The gradient of `targets` (weighted by the given seeds, ones by default) with respect to each source;
/// `None` for sources that no target depends on.
pub fn backward(
    records: &[Record],
    targets: &[(Value, Option<Value>)],
    sources: &[Value],
) -> Result<Vec<Option<Value>>> {
    // Forward: which values depend on a source?
    let mut active: HashSet<u64> = sources.iter().map(Value::key).collect();
    let mut live = vec![false; records.len()];
    for (i, record) in records.iter().enumerate() {
        let ends = matches!(record.op.grad(), Grad::None(_));
        if !ends && record.inputs.iter().any(|v| active.contains(&v.key())) {
            live[i] = true;
            active.extend(record.outputs.iter().filter(|v| v.dtype().is_float()).map(Value::key));
        }
    }
    // Backward: hand gradients from outputs to inputs, adding up where paths meet.
    let mut grads: HashMap<u64, Value> = HashMap::new();
    for (target, seed) in targets {
        if active.contains(&target.key()) {
            let seed = match seed {
                Some(seed) => seed.clone(),
                None => Value::full_like(target, 1.0)?,
            };
            add(&mut grads, target, seed)?;
        }
    }
    let wanted: HashSet<u64> = sources.iter().map(Value::key).collect();
    for (record, _) in records.iter().zip(&live).rev().filter(|(_, live)| **live) {
        let dy: Vec<Option<Value>> = record.outputs.iter().map(|y| grads.get(&y.key()).cloned()).collect();
        if dy.iter().all(Option::is_none) {
            continue;
        }
        // The gradient of an output is complete here; drop it unless somebody asked for it.
        for y in &record.outputs {
            if !wanted.contains(&y.key()) {
                grads.remove(&y.key());
            }
        }
        let needs: Vec<bool> =
            record.inputs.iter().map(|v| v.dtype().is_float() && active.contains(&v.key())).collect();
        if !needs.contains(&true) {
            continue;
        }
        if let Grad::Missing(why) = record.op.grad() {
            return Err(Error::new(
                Kind::Unsupported,
                record.op.name(),
                "to be used where no gradient is needed",
                format!("a gradient, but {why}"),
            )
            .hint("wrap its result in stop_gradient if it is to count as a constant"));
        }
        let cx = Vjp { x: &record.inputs, y: &record.outputs, dy: &dy, needs: &needs, engine: &Walk };
        let dx = record.op.vjp(&cx)?;
        if dx.len() != record.inputs.len() {
            return Err(Error::internal(
                record.op.name(),
                format!("vjp gave {} gradients for {} inputs", dx.len(), record.inputs.len()),
            ));
        }
        for ((x, dx), needed) in record.inputs.iter().zip(dx).zip(&needs) {
            if let (Some(dx), true) = (dx, *needed) {
                add(&mut grads, x, dx)?;
            }
        }
    }
    Ok(sources.iter().map(|s| grads.get(&s.key()).cloned()).collect())
}

/// Adds a contribution to the gradient of `x`, brought to the shape and dtype of `x`.
fn add(grads: &mut HashMap<u64, Value>, x: &Value, dx: Value) -> Result<()> {
    let dx = ops::reduce::sum_to_shape(&dx, &x.shape())?;
    let dx = if dx.dtype() == x.dtype() { dx } else { ops::cast::cast(&dx, x.dtype())? };
    let total = match grads.remove(&x.key()) {
        Some(sum) => ops::elementwise::add(&sum, &dx)?,
        None => dx,
    };
    grads.insert(x.key(), total);
    Ok(())
}

/// The engine that gradient rules of control flow are handed.
#[derive(Debug)]
pub struct Walk;

impl Engine for Walk {
    fn vjp_of(&self, f: &Function) -> Result<Function> {
        let inputs = f.input_specs();
        let mut specs = inputs.clone();
        specs.extend(f.output_specs());
        let (g, captures) = Function::trace(&specs, |args| {
            let (x, dy) = args.split_at(inputs.len());
            let before = match crate::trace::mode() {
                crate::trace::Mode::Graph(g) => g,
                _ => return Err(Error::internal("vjp_of", "no graph while tracing")),
            };
            let y = f.call(x)?;
            let records = before.records();
            let targets: Vec<_> = y
                .iter()
                .cloned()
                .zip(dy.iter().cloned().map(Some))
                .filter(|(y, _)| y.dtype().is_float())
                .collect();
            let dx = backward(&records, &targets, x)?;
            dx.into_iter().zip(x).map(|(dx, x)| dx.map_or_else(|| Value::zeros_like(x), Ok)).collect()
        })?;
        if captures.is_empty() {
            Ok(g)
        } else {
            Err(Error::internal("vjp_of", "a derivative that captures values"))
        }
    }
}

/// Gradients inside a graph or from a tape's records: finds the calls that `targets` belong to.
pub fn gradient(
    tape: Option<&crate::trace::Tape>,
    targets: &[(Value, Option<Value>)],
    sources: &[Value],
) -> Result<Vec<Option<Value>>> {
    let graph = targets.iter().find_map(|(t, _)| match t {
        Value::Symbol(s) => Some(s.graph().clone()),
        _ => None,
    });
    match (graph, tape) {
        (Some(graph), _) => backward(&graph.records(), targets, sources),
        (None, Some(tape)) => backward(&tape.records(), targets, sources),
        (None, None) => {
            Err(Error::value("gradient", "a tape, or values of a function being traced", "neither"))
        }
    }
}
