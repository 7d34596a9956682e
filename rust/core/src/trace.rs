//! The readers of the op definition, behind one call: [`push`].
//!
//! * **spec**: some input is only known by shape and dtype; the outputs are too.
//! * **graph**: some input is a symbol of a graph being recorded; the op joins that graph.
//! * **eager**: all inputs are tensors; the op runs at once,
//! * and **tape**: the tapes that watch one of the inputs remember it.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use smallvec::SmallVec;

use crate::dtype::{DType, floatx, promote};
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::{Faults, Op, Outputs};
use crate::shape::{Shape, Spec};
use crate::tensor::{FlushDenormals, Tensor, View, ViewMut, fresh_key};
use crate::variable::Variable;

/// What flows between ops: a tensor, a symbol of a graph, or a spec alone.
#[derive(Clone, Debug)]
pub enum Value {
    /// Elements in memory.
    Tensor(Tensor),
    /// A result that a graph will compute.
    Symbol(Symbol),
    /// Shape and dtype, of a result that nothing will compute.
    Spec(Spec),
}

/// One output of one node of a graph.
#[derive(Clone, Debug)]
pub struct Symbol {
    graph: Graph,
    port: Port,
    spec: Spec,
}

/// Output number `output` of node number `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Port {
    /// The node.
    pub node: u32,
    /// Which of its outputs.
    pub output: u32,
}

impl Symbol {
    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Where in the graph.
    pub fn port(&self) -> Port {
        self.port
    }
}

impl Value {
    /// Shape and dtype.
    pub fn spec(&self) -> Spec {
        match self {
            Value::Tensor(t) => t.spec(),
            Value::Symbol(s) => s.spec.clone(),
            Value::Spec(s) => s.clone(),
        }
    }

    /// The dtype.
    pub fn dtype(&self) -> DType {
        match self {
            Value::Tensor(t) => t.dtype(),
            Value::Symbol(s) => s.spec.dtype,
            Value::Spec(s) => s.dtype,
        }
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        match self {
            Value::Tensor(t) => Shape::known(t.shape()),
            Value::Symbol(s) => s.spec.shape.clone(),
            Value::Spec(s) => s.shape.clone(),
        }
    }

    /// The number of axes.
    pub fn rank(&self) -> usize {
        match self {
            Value::Tensor(t) => t.shape().len(),
            Value::Symbol(s) => s.spec.shape.rank(),
            Value::Spec(s) => s.shape.rank(),
        }
    }

    /// The tensor, or an error that says that values cannot be looked at while tracing.
    pub fn tensor(&self) -> Result<&Tensor> {
        match self {
            Value::Tensor(t) => Ok(t),
            other => Err(Error::dtype(
                "Tensor",
                "a tensor with values",
                format!("a symbolic value of {}", other.spec()),
            )
            .hint("inside a traced function values are not known yet; use ops, or run_eagerly=True")),
        }
    }

    /// A number that gradients find it by; specs have none.
    pub fn key(&self) -> u64 {
        match self {
            Value::Tensor(t) => t.key(),
            Value::Symbol(s) => s.graph.key_of(s.port),
            Value::Spec(_) => 0,
        }
    }

    /// Zeros of the same shape and dtype.
    pub fn zeros_like(other: &Value) -> Result<Value> {
        Value::full_like(other, 0.0)
    }

    /// A constant of the same shape and dtype.
    pub fn full_like(other: &Value, value: f64) -> Result<Value> {
        let spec = other.spec();
        match spec.shape.dims() {
            None => Ok(Value::Spec(spec)),
            // A broadcast scalar: no memory is taken until somebody writes it out.
            Some(dims) => {
                let scalar = Tensor::scalar(value, spec.dtype)?;
                let layout =
                    Layout::contiguous(&[]).broadcast(&dims).expect("scalars broadcast to any shape");
                Ok(Value::Tensor(scalar.with_layout(layout)))
            }
        }
    }
}

impl From<Tensor> for Value {
    fn from(t: Tensor) -> Value {
        Value::Tensor(t)
    }
}

/// What a node of a graph is.
#[derive(Clone, Debug)]
pub enum NodeKind {
    /// An argument, by position.
    Input(usize),
    /// A known tensor.
    Const(Tensor),
    /// The value of a variable when the step begins.
    Read(Variable),
    /// An op.
    Op(Arc<dyn Op>),
}

/// A node of a graph. Nodes come after the nodes they use.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub kind: NodeKind,
    /// What it uses.
    pub inputs: SmallVec<[Port; 4]>,
    /// What it gives.
    pub specs: Outputs<Spec>,
}

/// The recorded ops of a traced function. Clones are the same graph.
#[derive(Clone)]
pub struct Graph {
    body: Arc<Mutex<GraphBody>>,
    key: u64,
    /// The graph in whose trace this one was opened; values from there are captured.
    parent: Option<Box<Graph>>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Graph#{}({} nodes)", self.key, self.lock().nodes.len())
    }
}

/// What a graph holds.
#[derive(Clone, Debug, Default)]
pub struct GraphBody {
    /// All nodes, in the order of recording.
    pub nodes: Vec<Node>,
    /// The argument nodes.
    pub inputs: Vec<u32>,
    /// Variables that are written, with what they hold in the end, in the order of first assignment.
    pub assigns: Vec<(Variable, Port)>,
    /// Nodes that must run for their effect.
    pub effects: Vec<u32>,
    /// Values of the surrounding trace that became arguments here, in the order of those arguments.
    captures: Vec<Value>,
    reads: HashMap<u64, Port>,
    constants: HashMap<u64, u32>,
    captured: HashMap<u64, Port>,
}

impl Graph {
    /// An empty graph. Opened while another graph is traced, it captures values from there as arguments.
    pub fn new() -> Graph {
        let parent = match mode() {
            Mode::Graph(g) => Some(Box::new(g)),
            _ => None,
        };
        Graph { body: Arc::default(), key: fresh_key(), parent }
    }

    /// The contents.
    pub fn lock(&self) -> MutexGuard<'_, GraphBody> {
        self.body.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Are both the same graph?
    pub fn same(&self, other: &Graph) -> bool {
        self.key == other.key
    }

    fn key_of(&self, port: Port) -> u64 {
        // Graph keys and tensor keys share one counter; the high bit and the port set symbols apart.
        (1 << 63) | (self.key << 28) ^ (u64::from(port.node) << 4) ^ u64::from(port.output)
    }

    fn add(&self, node: Node) -> u32 {
        let mut body = self.lock();
        body.nodes.push(node);
        (body.nodes.len() - 1) as u32
    }

    /// The symbol at a port.
    pub fn symbol(&self, port: Port) -> Value {
        let spec = self.lock().nodes[port.node as usize].specs[port.output as usize].clone();
        Value::Symbol(Symbol { graph: self.clone(), port, spec })
    }

    /// A new argument.
    pub fn input(&self, spec: Spec) -> Value {
        let mut body = self.lock();
        let position = body.inputs.len();
        let node = body.nodes.len() as u32;
        body.inputs.push(node);
        body.nodes.push(Node {
            kind: NodeKind::Input(position),
            inputs: SmallVec::new(),
            specs: SmallVec::from_elem(spec.clone(), 1),
        });
        drop(body);
        Value::Symbol(Symbol { graph: self.clone(), port: Port { node, output: 0 }, spec })
    }

    /// The port of a value in this graph: its own symbols as they are, tensors as constants, symbols of a
    /// surrounding graph as captured arguments.
    pub fn import(&self, value: &Value) -> Result<Port> {
        match value {
            Value::Symbol(s) if s.graph.same(self) => Ok(s.port),
            Value::Symbol(s) => {
                if !self.encloses(&s.graph) {
                    return Err(Error::value(
                        "trace",
                        "values of the function being traced",
                        "a symbolic value of another, finished trace",
                    )
                    .hint("do not keep tensors of a traced call in attributes; use a Variable"));
                }
                self.capture(value)
            }
            Value::Tensor(t) if self.parent.is_some() && is_watched(t) => self.capture(value),
            Value::Tensor(t) => {
                if let Some(&node) = self.lock().constants.get(&t.key()) {
                    return Ok(Port { node, output: 0 });
                }
                let node = self.add(Node {
                    kind: NodeKind::Const(t.clone()),
                    inputs: SmallVec::new(),
                    specs: SmallVec::from_elem(t.spec(), 1),
                });
                self.lock().constants.insert(t.key(), node);
                Ok(Port { node, output: 0 })
            }
            // The body of a loop that is only inferred: the value arrives as an argument all the same.
            Value::Spec(spec) if self.parent.is_some() => {
                let Value::Symbol(s) = self.input(spec.clone()) else { unreachable!("inputs are symbols") };
                self.lock().captures.push(value.clone());
                Ok(s.port)
            }
            Value::Spec(_) => Err(Error::internal("trace", "a value without elements in a graph")),
        }
    }

    fn encloses(&self, outer: &Graph) -> bool {
        let mut g = self.parent.as_deref();
        while let Some(p) = g {
            if p.same(outer) {
                return true;
            }
            g = p.parent.as_deref();
        }
        false
    }

    fn capture(&self, value: &Value) -> Result<Port> {
        let key = value.key();
        if let Some(&port) = self.lock().captured.get(&key) {
            return Ok(port);
        }
        let Value::Symbol(s) = self.input(value.spec()) else { unreachable!("inputs are symbols") };
        let mut body = self.lock();
        body.captured.insert(key, s.port);
        body.captures.push(value.clone());
        Ok(s.port)
    }

    /// The current value of a variable in this graph: what was last assigned, else what it holds at the start.
    pub fn read(&self, variable: &Variable) -> Result<Value> {
        let known = self.lock().reads.get(&variable.id()).copied();
        if let Some(port) = known {
            return Ok(self.symbol(port));
        }
        let port = match &self.parent {
            Some(parent) => self.capture(&parent.read(variable)?)?,
            None => Port {
                node: self.add(Node {
                    kind: NodeKind::Read(variable.clone()),
                    inputs: SmallVec::new(),
                    specs: SmallVec::from_elem(variable.spec().clone(), 1),
                }),
                output: 0,
            },
        };
        self.lock().reads.insert(variable.id(), port);
        Ok(self.symbol(port))
    }

    /// Records that `variable` holds `value` from here on.
    pub fn assign(&self, variable: &Variable, value: &Value) -> Result<()> {
        if self.parent.is_some() {
            return Err(Error::value(
                format!("Variable {:?}", variable.name()),
                "assignments outside of loop bodies",
                "an assignment inside one",
            )
            .hint("return the new value as loop state and assign it after the loop"));
        }
        let port = self.import(value)?;
        let mut body = self.lock();
        body.reads.insert(variable.id(), port);
        match body.assigns.iter_mut().find(|(v, _)| v == variable) {
            Some(entry) => entry.1 = port,
            None => body.assigns.push((variable.clone(), port)),
        }
        Ok(())
    }

    /// Records an op.
    pub fn push(&self, op: &Arc<dyn Op>, inputs: &[Value]) -> Result<Outputs<Value>> {
        let specs: SmallVec<[Spec; 4]> = inputs.iter().map(Value::spec).collect();
        let out = op.infer(&specs)?;
        let ports = inputs.iter().map(|v| self.import(v)).collect::<Result<_>>()?;
        let node = self.add(Node { kind: NodeKind::Op(op.clone()), inputs: ports, specs: out.clone() });
        if op.traits().effect {
            self.lock().effects.push(node);
        }
        let symbol = |(i, spec)| {
            Value::Symbol(Symbol { graph: self.clone(), port: Port { node, output: i as u32 }, spec })
        };
        Ok(out.into_iter().enumerate().map(symbol).collect())
    }

    /// The recorded op calls, for the backward walk.
    pub fn records(&self) -> Vec<Record> {
        let body = self.lock().clone();
        let value = |port: Port| {
            let spec = body.nodes[port.node as usize].specs[port.output as usize].clone();
            Value::Symbol(Symbol { graph: self.clone(), port, spec })
        };
        let mut out = Vec::new();
        for (i, node) in body.nodes.iter().enumerate() {
            if let NodeKind::Op(op) = &node.kind {
                out.push(Record {
                    op: op.clone(),
                    inputs: node.inputs.iter().map(|&p| value(p)).collect(),
                    outputs: (0..node.specs.len())
                        .map(|o| value(Port { node: i as u32, output: o as u32 }))
                        .collect(),
                });
            }
        }
        out
    }
}

impl Default for Graph {
    fn default() -> Self {
        Graph::new()
    }
}

/// A traced function: a finished graph, its arguments and its results. What ops like `scan` carry.
#[derive(Clone, Debug)]
pub struct Function {
    graph: Graph,
    outputs: Arc<[Port]>,
    /// How many of the arguments the caller passes; the captured ones follow.
    arity: usize,
}

impl Function {
    /// Traces `body` on symbols of these specs. Returns the function and the outer values it captured, which
    /// callers pass as further arguments.
    pub fn trace(
        specs: &[Spec],
        body: impl FnOnce(&[Value]) -> Result<Vec<Value>>,
    ) -> Result<(Function, Vec<Value>)> {
        let mut graph = Graph::new();
        if graph.parent.is_none() {
            // Give the body a parent all the same, so that what it uses from outside arrives as arguments.
            graph.parent = Some(Box::new(Graph { body: Arc::default(), key: 0, parent: None }));
        }
        let args: Vec<Value> = specs.iter().map(|s| graph.input(s.clone())).collect();
        let results = with_mode(Mode::Graph(graph.clone()), || body(&args))?;
        let outputs = results.iter().map(|v| graph.import(v)).collect::<Result<_>>()?;
        let captures = graph.lock().captures.clone();
        // Without a surrounding trace, variables are captured from the stand-in parent: read them where we are.
        let captures = captures.into_iter().map(|value| match &value {
            Value::Symbol(s) if s.graph.key == 0 => {
                let kind = s.graph.lock().nodes[s.port.node as usize].kind.clone();
                if let NodeKind::Read(variable) = kind { read(&variable) } else { Ok(value) }
            }
            _ => Ok(value),
        });
        Ok((Function { graph, outputs, arity: specs.len() }, captures.collect::<Result<_>>()?))
    }

    /// Specs of the results.
    pub fn output_specs(&self) -> Vec<Spec> {
        let body = self.graph.lock();
        self.outputs.iter().map(|p| body.nodes[p.node as usize].specs[p.output as usize].clone()).collect()
    }

    /// Specs of all arguments, the captured ones last.
    pub fn input_specs(&self) -> Vec<Spec> {
        let body = self.graph.lock();
        body.inputs.iter().map(|&n| body.nodes[n as usize].specs[0].clone()).collect()
    }

    /// How many arguments callers pass before the captured values.
    pub fn arity(&self) -> usize {
        self.arity
    }

    /// The graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The result ports.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// Are both the same trace?
    pub fn same(&self, other: &Function) -> bool {
        self.graph.same(&other.graph)
    }

    /// Replays the ops on other values: eagerly, on tapes, or into the graph being traced.
    pub fn call(&self, args: &[Value]) -> Result<Vec<Value>> {
        let body = self.graph.lock().clone();
        let mut values: Vec<Outputs<Value>> = Vec::with_capacity(body.nodes.len());
        for node in &body.nodes {
            values.push(match &node.kind {
                NodeKind::Input(i) => SmallVec::from_elem(args[*i].clone(), 1),
                NodeKind::Const(t) => SmallVec::from_elem(Value::Tensor(t.clone()), 1),
                NodeKind::Read(v) => SmallVec::from_elem(read(v)?, 1),
                NodeKind::Op(op) => {
                    let x: SmallVec<[Value; 4]> = node
                        .inputs
                        .iter()
                        .map(|p| values[p.node as usize][p.output as usize].clone())
                        .collect();
                    push(op, &x)?
                }
            });
        }
        Ok(self.outputs.iter().map(|p| values[p.node as usize][p.output as usize].clone()).collect())
    }
}

/// A remembered op call.
#[derive(Clone, Debug)]
pub struct Record {
    /// The op.
    pub op: Arc<dyn Op>,
    /// What it was given.
    pub inputs: SmallVec<[Value; 4]>,
    /// What it gave.
    pub outputs: Outputs<Value>,
}

/// Remembers the op calls that depend on watched tensors.
#[derive(Clone, Debug, Default)]
pub struct Tape(Arc<Mutex<TapeBody>>);

#[derive(Debug, Default)]
struct TapeBody {
    watched: HashSet<u64>,
    records: Vec<Record>,
    watch_variables: bool,
}

impl Tape {
    /// A tape; with `watch_variables` it watches every trainable variable that is read.
    pub fn new(watch_variables: bool) -> Tape {
        Tape(Arc::new(Mutex::new(TapeBody { watch_variables, ..TapeBody::default() })))
    }

    fn lock(&self) -> MutexGuard<'_, TapeBody> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Starts to remember what depends on `value`.
    pub fn watch(&self, value: &Value) {
        self.lock().watched.insert(value.key());
    }

    /// Forgets everything.
    pub fn reset(&self) {
        let mut body = self.lock();
        body.watched.clear();
        body.records.clear();
    }

    /// The remembered calls.
    pub fn records(&self) -> Vec<Record> {
        self.lock().records.clone()
    }

    /// Makes this tape active in the current thread until [`Tape::stop`].
    pub fn start(&self) {
        TAPES.with_borrow_mut(|t| t.push(self.clone()));
    }

    /// Ends what [`Tape::start`] began.
    pub fn stop(&self) {
        TAPES.with_borrow_mut(|t| {
            if let Some(i) = t.iter().rposition(|other| Arc::ptr_eq(&other.0, &self.0)) {
                t.remove(i);
            }
        });
    }

    fn observe(&self, op: &Arc<dyn Op>, inputs: &[Value], outputs: &Outputs<Value>) {
        let mut body = self.lock();
        if inputs.iter().any(|v| body.watched.contains(&v.key())) {
            body.watched.extend(outputs.iter().map(Value::key));
            body.records.push(Record { op: op.clone(), inputs: inputs.into(), outputs: outputs.clone() });
        }
    }
}

/// How the current thread runs code.
#[derive(Clone, Debug, Default)]
pub enum Mode {
    /// At once.
    #[default]
    Eager,
    /// By shape and dtype only.
    Spec,
    /// Into a graph.
    Graph(Graph),
}

thread_local! {
    static MODES: RefCell<Vec<Mode>> = const { RefCell::new(Vec::new()) };
    static TAPES: RefCell<Vec<Tape>> = const { RefCell::new(Vec::new()) };
    static FAULTS: Faults = Faults::default();
}

/// The mode of the current thread.
pub fn mode() -> Mode {
    MODES.with_borrow(|m| m.last().cloned().unwrap_or_default())
}

/// Enters a mode; every call is matched by [`leave`].
pub fn enter(mode: Mode) {
    MODES.with_borrow_mut(|m| m.push(mode));
}

/// Leaves the mode entered last.
pub fn leave() {
    MODES.with_borrow_mut(|m| m.pop());
}

/// Runs `body` in a mode.
pub fn with_mode<T>(mode: Mode, body: impl FnOnce() -> T) -> T {
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            leave();
        }
    }
    enter(mode);
    let _leave = Leave;
    body()
}

/// Runs `body` while no tape remembers.
pub fn without_tapes<T>(body: impl FnOnce() -> T) -> T {
    struct Restore(Vec<Tape>);
    impl Drop for Restore {
        fn drop(&mut self) {
            let tapes = std::mem::take(&mut self.0);
            TAPES.with_borrow_mut(|t| *t = tapes);
        }
    }
    let _restore = Restore(TAPES.take());
    body()
}

fn is_watched(t: &Tensor) -> bool {
    TAPES.with_borrow(|tapes| tapes.iter().any(|tape| tape.lock().watched.contains(&t.key())))
}

/// The value of a variable in the current mode.
pub fn read(variable: &Variable) -> Result<Value> {
    MODES.with_borrow(|m| match m.last() {
        Some(Mode::Graph(g)) => g.read(variable),
        Some(Mode::Spec) => Ok(Value::Spec(variable.spec().clone())),
        _ => {
            let tensor = variable.tensor();
            if variable.trainable() {
                TAPES.with_borrow(|tapes| {
                    for tape in tapes {
                        let mut body = tape.lock();
                        if body.watch_variables {
                            body.watched.insert(tensor.key());
                        }
                    }
                });
            }
            Ok(Value::Tensor(tensor))
        }
    })
}

/// Gives a variable a new value in the current mode.
pub fn assign(variable: &Variable, value: &Value) -> Result<()> {
    let who = || format!("Variable {:?}", variable.name());
    let spec = value.spec();
    let fits = spec.dtype == variable.spec().dtype
        && spec.shape.rank() == variable.spec().shape.rank()
        && spec.shape.iter().zip(variable.spec().shape.iter()).all(|(&a, &b)| crate::shape::agree(a, b));
    if !fits {
        return Err(Error::value(who(), format!("a value of {}", variable.spec()), format!("{spec}")));
    }
    match mode() {
        Mode::Graph(g) => g.assign(variable, value),
        Mode::Spec => Ok(()),
        Mode::Eager => match value {
            Value::Tensor(t) => variable.set(t),
            other => Err(Error::value(
                who(),
                "a tensor with values",
                format!("a symbolic value of {}", other.spec()),
            )
            .hint("symbolic values can be assigned only while their own function is traced")),
        },
    }
}

/// Runs, records or infers `op` on `inputs`, whichever the inputs call for.
pub fn push(op: &Arc<dyn Op>, inputs: &[Value]) -> Result<Outputs<Value>> {
    let traits = op.traits();
    if (traits.promotes || traits.floats) && !inputs.is_empty() {
        let from = traits.promote_from.min(inputs.len() - 1);
        let mut common = inputs[from..].iter().map(Value::dtype).reduce(promote).expect("at least one input");
        if traits.floats && !common.is_float() {
            common = floatx();
        }
        if inputs[from..].iter().any(|v| v.dtype() != common) {
            let mut cast: SmallVec<[Value; 4]> = inputs[..from].into();
            for v in &inputs[from..] {
                cast.push(crate::ops::cast::cast(v, common)?);
            }
            return push_same(op, &cast);
        }
    }
    push_same(op, inputs)
}

fn push_same(op: &Arc<dyn Op>, inputs: &[Value]) -> Result<Outputs<Value>> {
    let (mut symbolic, mut spec_only) = (None, false);
    for v in inputs {
        match v {
            Value::Tensor(_) => {}
            Value::Symbol(s) => symbolic = Some(&s.graph),
            Value::Spec(_) => spec_only = true,
        }
    }
    if spec_only {
        if let Mode::Graph(g) = mode()
            && g.parent.is_some()
        {
            return g.push(op, inputs);
        }
        let specs: SmallVec<[Spec; 4]> = inputs.iter().map(Value::spec).collect();
        return Ok(op.infer(&specs)?.into_iter().map(Value::Spec).collect());
    }
    if let Some(graph) = symbolic {
        // The innermost trace records; values of outer ones are captured there.
        return match mode() {
            Mode::Graph(current) => current.push(op, inputs),
            _ => graph.clone().push(op, inputs),
        };
    }
    if op.traits().effect
        && let Mode::Graph(g) = mode()
    {
        return g.push(op, inputs);
    }
    let tensors: SmallVec<[&Tensor; 4]> = inputs.iter().map(Value::tensor).collect::<Result<_>>()?;
    let outputs: Outputs<Value> = eval(op.as_ref(), &tensors)?.into_iter().map(Value::Tensor).collect();
    TAPES.with_borrow(|tapes| {
        for tape in tapes {
            tape.observe(op, inputs, &outputs);
        }
    });
    Ok(outputs)
}

/// Runs an op on tensors.
pub fn eval(op: &dyn Op, inputs: &[&Tensor]) -> Result<Outputs<Tensor>> {
    let specs: SmallVec<[Spec; 4]> = inputs.iter().map(|t| t.spec()).collect();
    let out = op.infer(&specs)?;
    let traits = op.traits();
    if traits.view {
        let dims = known(op, &out[0])?;
        let layout = match op.view(inputs[0].layout(), &dims) {
            Some(layout) => return Ok(SmallVec::from_elem(inputs[0].with_layout(layout), 1)),
            None => inputs[0].contiguous()?,
        };
        let view = op
            .view(layout.layout(), &dims)
            .ok_or_else(|| Error::internal(op.name(), "no view of contiguous input"))?;
        return Ok(SmallVec::from_elem(layout.with_layout(view), 1));
    }
    let mut results: Outputs<Tensor> = SmallVec::with_capacity(out.len());
    let mut dims: SmallVec<[crate::shape::Dims; 1]> = SmallVec::with_capacity(out.len());
    for spec in &out {
        let sizes = known(op, spec)?;
        results.push(Tensor::scratch(&sizes, spec.dtype)?);
        dims.push(sizes);
    }
    let mut outs: Outputs<ViewMut<'_>> = SmallVec::with_capacity(out.len());
    for ((t, spec), dims) in results.iter_mut().zip(&out).zip(&dims) {
        let bytes = t.bytes_mut().ok_or_else(|| Error::internal(op.name(), "a shared output"))?;
        outs.push(ViewMut { dtype: spec.dtype, shape: dims, bytes });
    }
    // As in a program, so that both give the same numbers.
    let _flush = FlushDenormals::new();
    let mut run = |views: &[View<'_>]| {
        FAULTS.with(|faults| {
            op.eval(views, &mut outs, faults);
            faults.take(op.name())
        })
    };
    if traits.strided || inputs.iter().all(|t| t.layout().is_contiguous()) {
        run(&inputs.iter().map(|t| t.view()).collect::<SmallVec<[View<'_>; 4]>>())?;
    } else {
        let packed: Vec<Tensor> = inputs.iter().map(|t| t.contiguous()).collect::<Result<_>>()?;
        run(&packed.iter().map(Tensor::view).collect::<SmallVec<[View<'_>; 4]>>())?;
    }
    drop(outs);
    Ok(results)
}

fn known(op: &dyn Op, spec: &Spec) -> Result<crate::shape::Dims> {
    spec.shape
        .dims()
        .ok_or_else(|| Error::internal(op.name(), format!("an unknown dimension in {}", spec.shape)))
}

/// Runs, records or infers an op with one output.
pub fn push1(op: impl Op, inputs: &[Value]) -> Result<Value> {
    let op: Arc<dyn Op> = Arc::new(op);
    Ok(push(&op, inputs)?.swap_remove(0))
}
