//! Programs: a traced function as a flat list of instructions over one arena, with variables updated in place.

mod cache;
mod pace;
mod plan;
mod run;

use std::time::Instant;

pub use cache::{Cache, Signature};

use crate::error::Result;
use crate::op::Faults;
use crate::passes::{Ir, Passes};
use crate::shape::Spec;
use crate::storage::Storage;
use crate::trace::{Graph, Value};
use crate::variable::Variable;

/// A compiled trace.
#[derive(Debug)]
pub struct Program {
    name: String,
    plan: plan::Plan,
    arena: Storage,
    faults: Faults,
    /// Nanoseconds spent in each instruction, while somebody asks for them.
    times: Option<Vec<u64>>,
    /// The versions of the variables that the frozen instructions last read.
    frozen: Option<Vec<u64>>,
    /// Whether all threads take part.
    pace: pace::Pace,
    /// What the compiler did.
    pub stats: Stats,
}

/// Facts about a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// Nodes that were traced.
    pub nodes_traced: usize,
    /// Instructions that are run.
    pub instructions: usize,
    /// Bytes of intermediate results.
    pub arena_bytes: usize,
    /// Milliseconds from trace to program.
    pub compile_ms: f64,
    /// How often it has been run.
    pub runs: u64,
}

impl Program {
    /// Compiles what a graph recorded: returns `outputs`, performs the assignments.
    pub fn compile(graph: &Graph, outputs: &[Value], name: &str) -> Result<Program> {
        Program::compile_with(graph, outputs, name, Passes::ALL)
    }

    /// [`Program::compile`] with a choice of passes.
    pub fn compile_with(graph: &Graph, outputs: &[Value], name: &str, passes: Passes) -> Result<Program> {
        let begin = Instant::now();
        let ir = Ir::new(graph, outputs)?;
        let nodes_traced = ir.nodes.len();
        let plan = plan::Plan::new(ir.optimize(passes)?)?;
        let arena = Storage::zeroed(plan.arena_bytes)?;
        let stats = Stats {
            nodes_traced,
            instructions: plan.instructions.len(),
            arena_bytes: plan.arena_bytes,
            compile_ms: begin.elapsed().as_secs_f64() * 1e3,
            runs: 0,
        };
        Ok(Program {
            name: name.to_string(),
            plan,
            arena,
            faults: Faults::default(),
            times: None,
            frozen: None,
            pace: pace::Pace::default(),
            stats,
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What arguments it takes.
    pub fn inputs(&self) -> &[Spec] {
        &self.plan.inputs
    }

    /// What it returns.
    pub fn outputs(&self) -> &[Spec] {
        &self.plan.outputs
    }

    /// The variables it reads or writes.
    pub fn variables(&self) -> &[Variable] {
        &self.plan.variables
    }

    /// The instructions in words, for people who look for time.
    pub fn dump(&self) -> String {
        self.plan.dump()
    }

    /// From now on the time of every instruction is taken, or no longer; what was taken before is forgotten.
    pub fn profile(&mut self, on: bool) {
        self.times = on.then(|| vec![0; self.plan.instructions.len()]);
    }

    /// The instructions in words, and the seconds spent in each since [`Program::profile`] was switched on.
    pub fn times(&self) -> Vec<(String, f64)> {
        let Some(times) = &self.times else { return Vec::new() };
        times.iter().enumerate().map(|(i, &t)| (self.plan.words(i), t as f64 * 1e-9)).collect()
    }
}
