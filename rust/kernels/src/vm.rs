//! The chain machine: runs a chain of elementwise steps tile by tile, while the data is in the first-level cache.
//!
//! A [`Chain`] is checked and planned once: values that are the same everywhere are computed once per run, inputs of
//! the computing type are read where they lie, results are written straight to their output where that is safe, and
//! the remaining values share a few tile-sized registers. Each step is one of the compiled loops of [`crate::map`], so
//! a chain gives bit for bit what separate passes would.

use crate::convert::{Kind, convert_raw, with_kind};
use crate::isa::{Float, level};
use crate::map::{Binary, First, Number, Second, Ternary, Unary, Walk, pair_raw, ternary_raw};
use crate::shared::{GRAIN, ranges};
use crate::vm_adam::{self, Adam, recognise};
use half::{bf16, f16};
use std::cell::Cell;
use std::marker::PhantomData;

/// Elements per tile.
const TILE: usize = 1024;
/// Rows up to this long are laid out once per run so that a tile can be read from any phase.
const PATTERN: usize = 16 * 1024;

/// Which element of an input belongs to element `i` of the chain.
#[derive(Clone, Debug, PartialEq)]
pub enum Access {
    /// Element `i`.
    Contiguous,
    /// The only element.
    Scalar,
    /// Element `i % period`: a row repeated, such as a bias.
    Row {
        /// The length of the row.
        period: usize,
    },
    /// Element `i / inner`: a column repeated, such as a mean per row.
    Column {
        /// How often each element repeats.
        inner: usize,
    },
    /// Any broadcast or transposed view: the strides (in elements) of the input in the shape of the chain.
    Strided {
        /// The shape of the chain.
        shape: Vec<usize>,
        /// One stride per dimension.
        strides: Vec<usize>,
    },
}

/// An input of a chain.
#[derive(Clone, Debug, PartialEq)]
pub struct InputSpec {
    /// Its element type.
    pub kind: Kind,
    /// How it is indexed.
    pub access: Access,
    /// The output whose old contents this input is (contiguous, of the same kind), if it has no buffer of its own.
    pub in_place: Option<usize>,
}

/// One step. Every step but `Store` makes a value, which later steps name by the index of the step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// Reads an input.
    Load(usize),
    /// A constant.
    Const(f64),
    /// A function of one value.
    Unary(Unary, usize),
    /// A function of two values.
    Binary(Binary, usize, usize),
    /// A function of three values.
    Ternary(Ternary, usize, usize, usize),
    /// Writes a value to an output; every output is written exactly once.
    Store {
        /// The output.
        output: usize,
        /// The value.
        value: usize,
    },
}

/// The types a chain computes in: f32 and f64.
#[allow(private_bounds)] // sealed
pub trait Register: Float + Number + Compute {}
impl Register for f32 {}
impl Register for f64 {}

/// Tile-sized conversions from and to any kind.
trait Compute: Sized {
    const KIND: Kind;
    /// # Safety
    /// `n` elements of `kind` at `x`, room for `n` at `y`.
    unsafe fn read(kind: Kind, x: *const u8, y: *mut Self, n: usize);
    /// # Safety
    /// `n` values at `x`, room for `n` elements of `kind` at `y`.
    unsafe fn write(kind: Kind, x: *const Self, y: *mut u8, n: usize);
}

macro_rules! compute {
    ($t:ident $kind:ident) => {
        impl Compute for $t {
            const KIND: Kind = Kind::$kind;
            unsafe fn read(kind: Kind, x: *const u8, y: *mut $t, n: usize) {
                macro_rules! from {
                    ($a:ident) => {
                        // SAFETY: the caller's promise.
                        unsafe { convert_raw(x.cast::<$a>(), y, n) }
                    };
                }
                with_kind!(kind, from)
            }
            unsafe fn write(kind: Kind, x: *const $t, y: *mut u8, n: usize) {
                if kind == Kind::Bool {
                    for i in 0..n {
                        // SAFETY: the caller's promise.
                        unsafe { *y.add(i) = u8::from(*x.add(i) != 0.0) };
                    }
                    return;
                }
                macro_rules! to {
                    ($b:ident) => {
                        // SAFETY: the caller's promise.
                        unsafe { convert_raw(x, y.cast::<$b>(), n) }
                    };
                }
                with_kind!(kind, to)
            }
        }
    };
}
compute!(f32 F32);
compute!(f64 F64);

/// Where a value is while a tile runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// A tile in the register file.
    Register(usize),
    /// One number for the whole run.
    Uniform(usize),
    /// An input, read where it lies.
    Input(usize),
    /// A row laid out for any phase.
    Pattern(usize),
    /// An output: its old contents, or a result written in place.
    Output(usize),
}

/// An instruction with its operands placed.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    /// Brings an input that cannot be read in place into a register.
    Fetch {
        input: usize,
        out: Place,
    },
    Unary(Unary, Place, Place),
    Binary(Binary, Place, Place, Place),
    Ternary(Ternary, [Place; 3], Place),
    /// Two steps in one pass.
    Pair(First, Second, [Place; 3], Place),
}

/// A checked and planned chain.
#[derive(Clone, Debug)]
pub struct Chain<T> {
    inputs: Vec<InputSpec>,
    outputs: Vec<Kind>,
    /// Computed once per run; every place is uniform.
    once: Vec<Instruction>,
    /// Computed per tile.
    body: Vec<Instruction>,
    /// Inputs with one element and constants: where the uniform comes from.
    uniforms: Vec<Origin>,
    /// Rows to lay out: the input of each.
    patterns: Vec<usize>,
    /// What is written at the end of a tile.
    stores: Vec<(usize, Place)>,
    registers: usize,
    /// Set if the chain is Adam's, which runs in one loop: the parts, and where the numbers are that all elements share.
    adam: Option<(Adam, [usize; 4])>,
    compute: PhantomData<T>,
}

#[derive(Clone, Copy, Debug)]
enum Origin {
    Const(f64),
    Input(usize),
    Computed,
}

/// Values named by a step.
fn operands(step: &Step) -> Vec<usize> {
    match *step {
        Step::Load(_) | Step::Const(_) => vec![],
        Step::Unary(_, x) => vec![x],
        Step::Binary(_, a, b) => vec![a, b],
        Step::Ternary(_, a, b, c) => vec![a, b, c],
        Step::Store { value, .. } => vec![value],
    }
}

/// A step whose only reader takes it up into its own pass.
#[derive(Clone, Copy, Debug)]
struct Fused {
    /// The inner step.
    inner: usize,
    first: First,
    second: Second,
    /// The operands of both; unused ones repeat another.
    operands: [usize; 3],
}

/// For each step the inner step it takes up, if any.
fn fuse(steps: &[Step], uniform: &[bool]) -> Vec<Option<Fused>> {
    let n = steps.len();
    let mut uses = vec![0; n];
    for step in steps {
        for v in operands(step) {
            uses[v] += 1;
        }
    }
    let first = |i: usize| -> Option<(First, usize, usize)> {
        if uses[i] != 1 || uniform[i] {
            return None;
        }
        match steps[i] {
            Step::Binary(Binary::Add, a, b) => Some((First::Add, a, b)),
            Step::Binary(Binary::Sub, a, b) => Some((First::Sub, a, b)),
            Step::Binary(Binary::Mul, a, b) => Some((First::Mul, a, b)),
            Step::Binary(Binary::Div, a, b) => Some((First::Div, a, b)),
            Step::Unary(Unary::Square, a) => Some((First::Square, a, a)),
            Step::Unary(Unary::Sqrt, a) => Some((First::Sqrt, a, a)),
            _ => None,
        }
    };
    let mut fused: Vec<Option<Fused>> = vec![None; n];
    for j in 0..n {
        // The possible inner steps, with the outer function and the third operand.
        let choices: Vec<(usize, Second, Option<usize>)> = match steps[j] {
            Step::Binary(Binary::Add, a, b) => vec![(a, Second::Add, Some(b)), (b, Second::Add, Some(a))],
            Step::Binary(Binary::Mul, a, b) => vec![(a, Second::Mul, Some(b)), (b, Second::Mul, Some(a))],
            Step::Binary(Binary::Sub, a, b) => {
                vec![(a, Second::Sub, Some(b)), (b, Second::ReversedSub, Some(a))]
            }
            Step::Binary(Binary::Div, a, b) => {
                vec![(a, Second::Div, Some(b)), (b, Second::ReversedDiv, Some(a))]
            }
            Step::Unary(Unary::Relu, a) => vec![(a, Second::Relu, None)],
            Step::Unary(Unary::Bfloat16, a) => vec![(a, Second::Bfloat16, None)],
            _ => continue,
        };
        for (i, second, other) in choices {
            if fused[i].is_some() {
                continue;
            }
            if let Some((first, a, b)) = first(i) {
                fused[j] = Some(Fused { inner: i, first, second, operands: [a, b, other.unwrap_or(a)] });
                break;
            }
        }
    }
    fused
}

impl<T: Register> Chain<T> {
    /// Checks and plans a chain; the error says which step or input is wrong.
    pub fn new(inputs: Vec<InputSpec>, outputs: Vec<Kind>, steps: &[Step]) -> Result<Chain<T>, String> {
        check(&inputs, &outputs, steps)?;
        let n = steps.len();
        let uniform = uniform_steps(&inputs, steps);
        let fused = fuse(steps, &uniform);
        let mut skipped = vec![false; n];
        for f in fused.iter().flatten() {
            skipped[f.inner] = true;
        }
        // What a step reads when it runs: a fused one reads the operands of both.
        let reads = |i: usize| match fused[i] {
            Some(f) => f.operands.to_vec(),
            None => operands(&steps[i]),
        };
        // The last step that reads each value.
        let mut last = vec![0; n];
        for (i, step) in steps.iter().enumerate() {
            if skipped[i] || matches!(step, Step::Store { .. }) {
                continue;
            }
            for v in reads(i) {
                last[v] = i;
            }
        }
        let mut target = vec![None; n];
        let mut late = vec![];
        for step in steps {
            let Step::Store { output, value } = *step else { continue };
            let computed = matches!(steps[value], Step::Unary(..) | Step::Binary(..) | Step::Ternary(..));
            // The old contents of the output must have had their last reader by the time the value is made.
            let old_read_later = (0..n).any(|v| match steps[v] {
                Step::Load(i) => inputs[i].in_place == Some(output) && last[v] > value,
                _ => false,
            });
            if computed
                && !uniform[value]
                && outputs[output] == T::KIND
                && target[value].is_none()
                && !old_read_later
            {
                target[value] = Some(output);
            } else {
                late.push((output, value));
                last[value] = usize::MAX;
            }
        }
        // A value that nobody reads still has a place while its step runs.
        let mut chain = Chain {
            inputs,
            outputs,
            once: vec![],
            body: vec![],
            uniforms: vec![],
            patterns: vec![],
            stores: vec![],
            registers: 0,
            adam: None,
            compute: PhantomData,
        };
        let mut place: Vec<Option<Place>> = vec![None; n];
        let mut free: Vec<usize> = vec![];
        for (i, step) in steps.iter().enumerate() {
            if skipped[i] {
                continue;
            }
            let x: Vec<Place> = reads(i).iter().filter_map(|&v| place[v]).collect();
            let made = match *step {
                Step::Store { .. } => continue,
                Step::Const(c) => chain.uniform(Origin::Const(c)),
                Step::Load(k) => match chain.inputs[k].clone() {
                    // (Old contents that are stored elsewhere are fetched first: two outputs may even trade places.)
                    InputSpec { in_place: Some(o), kind, .. } if kind == T::KIND && last[i] < usize::MAX => {
                        Place::Output(o)
                    }
                    InputSpec { access: Access::Scalar, .. } => chain.uniform(Origin::Input(k)),
                    InputSpec { access: Access::Contiguous, kind, in_place: None } if kind == T::KIND => {
                        Place::Input(k)
                    }
                    InputSpec { access: Access::Row { period }, .. } if period <= PATTERN => {
                        chain.patterns.push(k);
                        Place::Pattern(chain.patterns.len() - 1)
                    }
                    _ => {
                        let out = chain.register(&mut free);
                        chain.body.push(Instruction::Fetch { input: k, out });
                        out
                    }
                },
                Step::Unary(..) | Step::Binary(..) | Step::Ternary(..) => {
                    // Registers read here for the last time may take the result.
                    let mut seen = vec![];
                    for v in reads(i) {
                        if let (true, Some(Place::Register(r))) = (last[v] == i, place[v])
                            && !seen.contains(&r)
                        {
                            seen.push(r);
                            free.push(r);
                        }
                    }
                    let out = if uniform[i] {
                        chain.uniform(Origin::Computed)
                    } else if let Some(o) = target[i] {
                        Place::Output(o)
                    } else {
                        chain.register(&mut free)
                    };
                    let instruction = match *step {
                        _ if fused[i].is_some() => match fused[i] {
                            Some(f) => Instruction::Pair(f.first, f.second, [x[0], x[1], x[2]], out),
                            None => continue,
                        },
                        Step::Unary(op, _) => Instruction::Unary(op, x[0], out),
                        Step::Binary(op, ..) => Instruction::Binary(op, x[0], x[1], out),
                        Step::Ternary(op, ..) => Instruction::Ternary(op, [x[0], x[1], x[2]], out),
                        _ => continue,
                    };
                    if uniform[i] {
                        chain.once.push(instruction)
                    } else {
                        chain.body.push(instruction)
                    }
                    out
                }
            };
            place[i] = Some(made);
            if let (Place::Register(r), true) = (made, last[i] == 0) {
                free.push(r);
            }
        }
        for (output, value) in late {
            if let Some(p) = place[value] {
                chain.stores.push((output, p));
            }
        }
        chain.adam = recognise(steps, &uniform).and_then(|adam| {
            let plain =
                |k: usize| chain.inputs[k].kind == T::KIND && chain.inputs[k].access == Access::Contiguous;
            let shared = adam.uniforms.map(|i| match place[i] {
                Some(Place::Uniform(u)) => Some(u),
                _ => None,
            });
            let [Some(c1), Some(c2), Some(a), Some(e)] = shared else { return None };
            let all = adam.inputs.iter().all(|&k| plain(k)) && chain.outputs.iter().all(|&k| k == T::KIND);
            all.then_some((adam, [c1, c2, a, e]))
        });
        Ok(chain)
    }

    fn uniform(&mut self, origin: Origin) -> Place {
        self.uniforms.push(origin);
        Place::Uniform(self.uniforms.len() - 1)
    }

    fn register(&mut self, free: &mut Vec<usize>) -> Place {
        Place::Register(free.pop().unwrap_or_else(|| {
            self.registers += 1;
            self.registers - 1
        }))
    }

    /// The number of tile-sized registers the chain needs.
    pub fn registers(&self) -> usize {
        self.registers
    }

    /// Runs the chain over `len` elements. `inputs` has one byte slice per input (ignored for in-place ones), `outputs`
    /// one per output of exactly `len` elements. Panics if a slice is too short or not aligned.
    pub fn run(&self, len: usize, inputs: &[&[u8]], outputs: &mut [&mut [u8]]) {
        assert!(
            inputs.len() == self.inputs.len() && outputs.len() == self.outputs.len(),
            "chain: expected {} inputs and {} outputs, received {} and {}",
            self.inputs.len(),
            self.outputs.len(),
            inputs.len(),
            outputs.len()
        );
        for (k, (spec, data)) in self.inputs.iter().zip(inputs).enumerate() {
            if spec.in_place.is_some() || len == 0 {
                continue;
            }
            let need = match &spec.access {
                Access::Contiguous => len,
                Access::Scalar => 1,
                Access::Row { period } => *period,
                Access::Column { inner } => len.div_ceil(*inner),
                Access::Strided { shape, strides } => {
                    assert_eq!(shape.iter().product::<usize>(), len, "chain: input {k} has another shape");
                    shape.iter().zip(strides).map(|(d, s)| (d - 1) * s).sum::<usize>() + 1
                }
            };
            check_slice("input", k, data, spec.kind, need);
        }
        for (k, (kind, data)) in self.outputs.iter().zip(outputs.iter()).enumerate() {
            assert_eq!(data.len(), len * kind.size(), "chain: output {k} has another length");
            check_slice("output", k, data, *kind, len);
        }
        if len == 0 {
            return;
        }
        let mut frame = Frame {
            chain: self,
            level: level(),
            inputs: inputs.iter().map(|x| x.as_ptr()).collect(),
            outputs: outputs.iter_mut().map(|x| x.as_mut_ptr()).collect(),
            uniforms: vec![[T::ZERO; 16]; self.uniforms.len()],
            patterns: vec![],
            walks: self.inputs.iter().map(|spec| walk(spec, len)).collect(),
        };
        frame.prepare(len);
        let frame = &frame;
        // A chunk is worth about the same time, however many steps the chain has.
        let grain = (GRAIN / self.body.len().max(1)).max(2 * TILE).next_multiple_of(TILE);
        ranges(len, grain, |start, end| {
            let mut scratch = SCRATCH.take();
            let need = self.registers * TILE * size_of::<T>() / size_of::<Line>();
            if scratch.len() < need {
                scratch.resize(need, Line([0; 64]));
            }
            let file = scratch.as_mut_ptr().cast::<T>();
            for at in (start..end).step_by(TILE) {
                // SAFETY: `prepare` and the checks above made every pointer valid for its tile; tiles are disjoint.
                unsafe { frame.tile(file, at, TILE.min(end - at)) };
            }
            SCRATCH.set(scratch);
        });
    }
}

/// A cache line, so that the register file is aligned to one.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code)] [u8; 64]);

thread_local! {
    /// The register file of a thread, kept between runs.
    static SCRATCH: Cell<Vec<Line>> = const { Cell::new(Vec::new()) };
}

fn check_slice(side: &str, k: usize, data: &[u8], kind: Kind, need: usize) {
    assert!(
        data.len() >= need * kind.size() && (data.as_ptr() as usize).is_multiple_of(kind.size()),
        "chain: {side} {k} must be {need} aligned elements of {kind:?}, received {} bytes",
        data.len()
    );
}

fn walk(spec: &InputSpec, len: usize) -> Option<Walk<1>> {
    match &spec.access {
        Access::Strided { shape, strides } if len > 0 => Some(Walk::new(shape, [strides], [usize::MAX])),
        _ => None,
    }
}

fn check(inputs: &[InputSpec], outputs: &[Kind], steps: &[Step]) -> Result<(), String> {
    for (k, spec) in inputs.iter().enumerate() {
        if let Some(o) = spec.in_place
            && (outputs.get(o) != Some(&spec.kind) || spec.access != Access::Contiguous)
        {
            return Err(format!(
                "input {k}: in place needs contiguous access and an output of kind {:?}, received output {o} of {:?}",
                spec.kind,
                outputs.get(o)
            ));
        }
        let empty = match &spec.access {
            Access::Row { period } => *period == 0,
            Access::Column { inner } => *inner == 0,
            Access::Strided { shape, strides } => shape.len() != strides.len(),
            _ => false,
        };
        if empty {
            return Err(format!("input {k}: {:?} describes nothing", spec.access));
        }
    }
    let mut written = vec![false; outputs.len()];
    for (i, step) in steps.iter().enumerate() {
        for v in operands(step) {
            if v >= i || matches!(steps[v], Step::Store { .. }) {
                return Err(format!("step {i}: {v} is not a value made before it"));
            }
        }
        match *step {
            Step::Load(k) if k >= inputs.len() => return Err(format!("step {i}: there is no input {k}")),
            Step::Store { output, .. } => match written.get_mut(output) {
                Some(w) if !*w => *w = true,
                Some(_) => return Err(format!("step {i}: output {output} is written twice")),
                None => return Err(format!("step {i}: there is no output {output}")),
            },
            _ => {}
        }
    }
    match written.iter().position(|w| !w) {
        Some(o) => Err(format!("output {o} is never written")),
        None => Ok(()),
    }
}

/// Which steps make the same number for every element.
fn uniform_steps(inputs: &[InputSpec], steps: &[Step]) -> Vec<bool> {
    let mut uniform = vec![false; steps.len()];
    for (i, step) in steps.iter().enumerate() {
        uniform[i] = match *step {
            Step::Const(_) => true,
            Step::Load(k) => inputs[k].access == Access::Scalar,
            Step::Store { .. } => false,
            _ => operands(step).iter().all(|&v| uniform[v]),
        };
    }
    uniform
}

/// One run: the plan, and where everything lies.
struct Frame<'a, T> {
    chain: &'a Chain<T>,
    level: crate::isa::Level,
    inputs: Vec<*const u8>,
    outputs: Vec<*mut u8>,
    /// Each 16 times, so that it can be read as a vector.
    uniforms: Vec<[T; 16]>,
    /// Per pattern its values and its period.
    patterns: Vec<(Vec<T>, usize)>,
    walks: Vec<Option<Walk<1>>>,
}

// SAFETY: tiles only read the inputs and write disjoint parts of the outputs.
unsafe impl<T: Register> Sync for Frame<'_, T> {}

impl<T: Register> Frame<'_, T> {
    /// Computes the uniforms and lays out the rows.
    fn prepare(&mut self, len: usize) {
        let chain = self.chain;
        for (u, origin) in chain.uniforms.iter().enumerate() {
            match *origin {
                Origin::Const(c) => self.uniforms[u] = [T::of(c); 16],
                // SAFETY: `run` checked that the input has one element.
                Origin::Input(k) => unsafe {
                    let mut x = T::ZERO;
                    T::read(chain.inputs[k].kind, self.inputs[k], &mut x, 1);
                    self.uniforms[u] = [x; 16];
                },
                Origin::Computed => {}
            }
        }
        for i in &chain.once {
            // Sixteen times the same.
            // SAFETY: all places are uniforms, of 16 elements.
            unsafe { self.step(i, std::ptr::null_mut(), 0, 16) };
        }
        for &k in &chain.patterns {
            let Access::Row { period } = chain.inputs[k].access else { continue };
            // A tile starts at a phase below the period and goes on for at most a tile.
            let total = period + TILE.min(len);
            let mut x = vec![T::ZERO; total];
            // SAFETY: `run` checked the length of the row.
            unsafe { T::read(chain.inputs[k].kind, self.inputs[k], x.as_mut_ptr(), period) };
            let mut have = period;
            while have < total {
                let n = have.min(total - have);
                x.copy_within(..n, have);
                have += n;
            }
            self.patterns.push((x, period));
        }
    }

    /// Where a place is for the tile at `at`, and whether it moves from element to element.
    ///
    /// # Safety
    /// As `tile`.
    #[inline]
    unsafe fn find(&self, p: Place, file: *mut T, at: usize) -> (*mut T, usize) {
        // SAFETY: the plan gives places inside the file, the buffers and the rows.
        unsafe {
            match p {
                Place::Register(r) => (file.add(r * TILE), 1),
                Place::Uniform(u) => (self.uniforms.as_ptr().add(u).cast::<T>().cast_mut(), 0),
                Place::Input(k) => (self.inputs.get_unchecked(k).cast::<T>().add(at).cast_mut(), 1),
                Place::Output(o) => (self.outputs.get_unchecked(o).cast::<T>().add(at), 1),
                Place::Pattern(k) => {
                    let (x, period) = self.patterns.get_unchecked(k);
                    (x.as_ptr().add(at % period).cast_mut(), 1)
                }
            }
        }
    }

    /// # Safety
    /// As `tile`.
    #[inline]
    unsafe fn step(&self, i: &Instruction, file: *mut T, at: usize, n: usize) {
        // SAFETY: `find` gives n values (or one) per place; results coincide with operands or are disjoint.
        unsafe {
            match *i {
                Instruction::Fetch { input, out } => {
                    let (y, _) = self.find(out, file, at);
                    self.fetch(input, y, at, n);
                }
                Instruction::Unary(op, x, out) => {
                    let (x, _) = self.find(x, file, at);
                    let (y, _) = self.find(out, file, at);
                    T::unary_raw(self.level, op, x, y, n);
                }
                Instruction::Binary(op, a, b, out) => {
                    let (a, sa) = self.find(a, file, at);
                    let (b, sb) = self.find(b, file, at);
                    let (y, _) = self.find(out, file, at);
                    T::binary_raw(self.level, op, a, sa, b, sb, y, n);
                }
                Instruction::Ternary(op, x, out) => {
                    let (y, _) = self.find(out, file, at);
                    let x = x.map(|p| self.find(p, file, at));
                    ternary_raw(self.level, op, x.map(|(p, s)| (p.cast_const(), s)), y, n);
                }
                Instruction::Pair(first, second, x, out) => {
                    let (y, _) = self.find(out, file, at);
                    let x = x.map(|p| self.find(p, file, at));
                    pair_raw(self.level, first, second, x.map(|(p, s)| (p.cast_const(), s)), y, n);
                }
            }
        }
    }

    /// Runs the chain for elements `at .. at + n`, `n <= TILE`.
    ///
    /// # Safety
    /// `file` has room for the registers, `at + n` elements lie in every buffer, and no other thread has this tile.
    unsafe fn tile(&self, file: *mut T, at: usize, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            if let Some((adam, shared)) = &self.chain.adam {
                let read = adam.inputs.map(|k| match self.chain.inputs[k].in_place {
                    Some(o) => self.outputs[o].cast::<T>().add(at).cast_const(),
                    None => self.inputs[k].cast::<T>().add(at),
                });
                let write = adam.outputs.map(|o| self.outputs[o].cast::<T>().add(at));
                let by = shared.map(|u| self.uniforms[u][0]);
                return vm_adam::update(self.level, read, write, by, adam.rounded, n);
            }
            for i in &self.chain.body {
                self.step(i, file, at, n);
            }
            for &(output, p) in &self.chain.stores {
                let kind = self.chain.outputs[output];
                let y = self.outputs[output].add(at * kind.size());
                let (x, moves) = self.find(p, file, at);
                if moves == 1 {
                    T::write(kind, x, y, n);
                } else {
                    let tile = [*x; TILE];
                    T::write(kind, tile.as_ptr(), y, n);
                }
            }
        }
    }

    /// Brings elements `at .. at + n` of an input into `y`.
    ///
    /// # Safety
    /// As `tile`.
    unsafe fn fetch(&self, input: usize, y: *mut T, at: usize, n: usize) {
        let spec = &self.chain.inputs[input];
        let (kind, size) = (spec.kind, spec.kind.size());
        let x = match spec.in_place {
            Some(o) => self.outputs[o].cast_const(),
            None => self.inputs[input],
        };
        // SAFETY: `run` checked that the accesses of all elements lie in the input.
        unsafe {
            match &spec.access {
                Access::Contiguous => T::read(kind, x.add(at * size), y, n),
                Access::Scalar => {
                    T::read(kind, x, y, 1);
                    std::slice::from_raw_parts_mut(y, n).fill(*y);
                }
                Access::Row { period } => {
                    let mut i = 0;
                    while i < n {
                        let phase = (at + i) % period;
                        let m = (period - phase).min(n - i);
                        T::read(kind, x.add(phase * size), y.add(i), m);
                        i += m;
                    }
                }
                Access::Column { inner } => {
                    let mut i = 0;
                    while i < n {
                        let m = (inner - (at + i) % inner).min(n - i);
                        let mut v = T::ZERO;
                        T::read(kind, x.add((at + i) / inner * size), &mut v, 1);
                        std::slice::from_raw_parts_mut(y.add(i), m).fill(v);
                        i += m;
                    }
                }
                Access::Strided { .. } => {
                    let Some(walk) = &self.walks[input] else { return };
                    walk.rows(at, at + n, |to, [from], m, [step]| {
                        let y = y.add(to - at);
                        if step == 1 {
                            T::read(kind, x.add(from * size), y, m);
                        } else if step == 0 {
                            T::read(kind, x.add(from * size), y, 1);
                            std::slice::from_raw_parts_mut(y, m).fill(*y);
                        } else if kind == T::KIND {
                            for i in 0..m {
                                *y.add(i) = *x.cast::<T>().add(from + i * step);
                            }
                        } else {
                            for i in 0..m {
                                T::read(kind, x.add((from + i * step) * size), y.add(i), 1);
                            }
                        }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{elements, elements_mut};
    use crate::map;

    fn bytes<T>(x: &[T]) -> &[u8] {
        // SAFETY: bytes of plain numbers.
        unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), size_of_val(x)) }
    }
    fn bytes_mut<T>(x: &mut [T]) -> &mut [u8] {
        // SAFETY: bytes of plain numbers.
        unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), size_of_val(x)) }
    }
    fn spec(kind: Kind, access: Access) -> InputSpec {
        InputSpec { kind, access, in_place: None }
    }
    fn data(n: usize, seed: usize) -> Vec<f32> {
        (0..n).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 250.0 - 2.0).collect()
    }

    /// Adam as a user writes it: g is read, m, v and w are updated in place, the rates are scalars.
    pub(super) fn adam() -> Chain<f32> {
        let f = |in_place| InputSpec { kind: Kind::F32, access: Access::Contiguous, in_place };
        let inputs = vec![f(None), f(Some(0)), f(Some(1)), f(Some(2)), spec(Kind::F32, Access::Scalar)];
        use Binary::{Add, Div, Mul, Sub};
        let steps = [
            Step::Load(0),
            Step::Load(1),
            Step::Load(2),
            Step::Load(3),
            Step::Load(4),
            Step::Const(0.1),
            Step::Const(0.001),
            Step::Const(1e-7),
            Step::Binary(Sub, 0, 1),       // 8: g - m
            Step::Binary(Mul, 8, 5),       // 9
            Step::Binary(Add, 1, 9),       // 10: m
            Step::Unary(Unary::Square, 0), // 11
            Step::Binary(Sub, 11, 2),      // 12
            Step::Binary(Mul, 12, 6),      // 13
            Step::Binary(Add, 2, 13),      // 14: v
            Step::Unary(Unary::Sqrt, 14),  // 15
            Step::Binary(Add, 15, 7),      // 16
            Step::Binary(Mul, 10, 4),      // 17
            Step::Binary(Div, 17, 16),     // 18
            Step::Binary(Sub, 3, 18),      // 19: w
            Step::Store { output: 0, value: 10 },
            Step::Store { output: 1, value: 14 },
            Step::Store { output: 2, value: 19 },
        ];
        Chain::new(inputs, vec![Kind::F32; 3], &steps).unwrap()
    }

    pub(super) fn adam_by_hand(g: &[f32], m: &mut [f32], v: &mut [f32], w: &mut [f32], rate: f32) {
        for i in 0..g.len() {
            m[i] += (g[i] - m[i]) * 0.1;
            v[i] += (g[i] * g[i] - v[i]) * 0.001;
            w[i] -= m[i] * rate / (v[i].sqrt() + 1e-7);
        }
    }

    #[test]
    fn adam_in_place() {
        for n in [1, 1000, 1024, 5000, 100_001] {
            let (g, mut m, mut w) = (data(n, 1), data(n, 2), data(n, 4));
            let mut v: Vec<f32> = data(n, 3).iter().map(|x| x * x).collect();
            let (mut hm, mut hv, mut hw) = (m.clone(), v.clone(), w.clone());
            adam_by_hand(&g, &mut hm, &mut hv, &mut hw, 0.01);
            adam().run(
                n,
                &[bytes(&g), &[], &[], &[], bytes(&[0.01f32])],
                &mut [bytes_mut(&mut m), bytes_mut(&mut v), bytes_mut(&mut w)],
            );
            assert_eq!((&m, &v, &w), (&hm, &hv, &hw), "{n}");
        }
        assert!(adam().registers() <= 2, "{}", adam().registers());
    }

    /// The old contents of an output stay readable until their last reader, even past the step that makes the new ones.
    #[test]
    fn old_values_survive() {
        let inputs = vec![InputSpec { kind: Kind::F32, access: Access::Contiguous, in_place: Some(0) }];
        let steps = [
            Step::Load(0),
            Step::Unary(Unary::Square, 0),
            Step::Store { output: 0, value: 1 },
            Step::Binary(Binary::Add, 0, 1),
            Step::Store { output: 1, value: 3 },
        ];
        let chain = Chain::<f32>::new(inputs, vec![Kind::F32; 2], &steps).unwrap();
        let (mut a, mut b) = (vec![3.0f32; 2000], vec![0.0f32; 2000]);
        chain.run(2000, &[&[]], &mut [bytes_mut(&mut a), bytes_mut(&mut b)]);
        assert!(a.iter().all(|&v| v == 9.0) && b.iter().all(|&v| v == 12.0));
    }

    /// Pairs of steps in one pass give what two passes give, for every pair and every kind of operand.
    #[test]
    fn pairs_agree_with_separate_passes() {
        use Binary::{Add, Div, Mul, Sub};
        let n = 1033;
        let (x, y, z) = (data(n, 11), data(n, 12), data(n, 13));
        let inner = [Add, Sub, Mul, Div].map(|op| Step::Binary(op, 0, 1));
        let inner = inner.into_iter().chain([Step::Unary(Unary::Square, 0), Step::Unary(Unary::Sqrt, 0)]);
        for inner in inner {
            for third in [Access::Contiguous, Access::Scalar] {
                let outer = [Add, Sub, Mul, Div];
                let outer = outer.iter().flat_map(|&op| [Step::Binary(op, 3, 2), Step::Binary(op, 2, 3)]);
                for outer in outer.chain([Step::Unary(Unary::Relu, 3)]) {
                    let steps = [
                        Step::Load(0),
                        Step::Load(1),
                        Step::Load(2),
                        inner,
                        outer,
                        Step::Store { output: 0, value: 4 },
                    ];
                    let f = || spec(Kind::F32, Access::Contiguous);
                    let inputs = vec![f(), f(), spec(Kind::F32, third.clone())];
                    let chain = Chain::<f32>::new(inputs, vec![Kind::F32], &steps).unwrap();
                    let mut out = vec![0f32; n];
                    chain.run(n, &[bytes(&x), bytes(&y), bytes(&z)], &mut [bytes_mut(&mut out)]);
                    let stride = [usize::from(third == Access::Contiguous)];
                    let (mut a, mut b) = (vec![0f32; n], vec![0f32; n]);
                    match inner {
                        Step::Binary(op, ..) => map::binary(op, &[n], &x, &[1], &y, &[1], &mut a),
                        Step::Unary(op, _) => map::unary(op, &x, &mut a),
                        _ => unreachable!(),
                    }
                    match outer {
                        Step::Binary(op, 3, _) => map::binary(op, &[n], &a, &[1], &z, &stride, &mut b),
                        Step::Binary(op, ..) => map::binary(op, &[n], &z, &stride, &a, &[1], &mut b),
                        Step::Unary(op, _) => map::unary(op, &a, &mut b),
                        _ => unreachable!(),
                    }
                    for i in 0..n {
                        let same = out[i].to_bits() == b[i].to_bits() || out[i].is_nan() && b[i].is_nan();
                        assert!(same, "{inner:?} {outer:?} at {i}: {} {}", out[i], b[i]);
                    }
                }
            }
        }
    }

    /// Every access pattern and kind against separate passes.
    #[test]
    fn accesses_and_kinds() {
        let (r, c) = (37, 113);
        let n = r * c;
        let x = data(n, 5);
        let row = data(c, 6);
        let column: Vec<bf16> = data(r, 7).iter().map(|&v| bf16::from_f32(v)).collect();
        let turned: Vec<f64> = data(n, 8).iter().map(|&v| f64::from(v)).collect();
        let mask: Vec<u8> = (0..n).map(|i| (i % 3 == 0) as u8).collect();
        let inputs = vec![
            spec(Kind::F32, Access::Contiguous),
            spec(Kind::F32, Access::Row { period: c }),
            spec(Kind::BF16, Access::Column { inner: c }),
            spec(Kind::F64, Access::Strided { shape: vec![r, c], strides: vec![1, r] }),
            spec(Kind::Bool, Access::Contiguous),
            spec(Kind::I32, Access::Scalar),
        ];
        let steps = [
            Step::Load(0),
            Step::Load(1),
            Step::Load(2),
            Step::Load(3),
            Step::Load(4),
            Step::Load(5),
            Step::Binary(Binary::Add, 0, 1),
            Step::Unary(Unary::Tanh, 6),
            Step::Binary(Binary::Mul, 7, 2),
            Step::Ternary(Ternary::Select, 4, 8, 3),
            Step::Binary(Binary::Div, 9, 5),
            Step::Binary(Binary::Gt, 10, 0),
            Step::Store { output: 0, value: 10 },
            Step::Store { output: 1, value: 11 },
            Step::Store { output: 2, value: 5 },
            Step::Store { output: 3, value: 10 },
            Step::Ternary(Ternary::Clip, 0, 5, 5),
            Step::Store { output: 4, value: 16 },
        ];
        let outputs = vec![Kind::F32, Kind::Bool, Kind::I64, Kind::F16, Kind::F32];
        let chain = Chain::<f32>::new(inputs, outputs, &steps).unwrap();
        let (mut y, mut gt, mut s, mut h) = (vec![0f32; n], vec![0u8; n], vec![0i64; n], vec![f16::ZERO; n]);
        let mut clipped = vec![0f32; n];
        chain.run(
            n,
            &[bytes(&x), bytes(&row), bytes(&column), bytes(&turned), &mask, bytes(&[3i32])],
            &mut [bytes_mut(&mut y), &mut gt, bytes_mut(&mut s), bytes_mut(&mut h), bytes_mut(&mut clipped)],
        );
        let mut sum = vec![0f32; n];
        map::binary(Binary::Add, &[r, c], &x, &[c, 1], &row, &[0, 1], &mut sum);
        map::unary_in_place(Unary::Tanh, &mut sum);
        for i in 0..n {
            let (p, q) = (i / c, i % c);
            let want =
                if mask[i] != 0 { sum[i] * column[p].to_f32() } else { turned[p + q * r] as f32 } / 3.0;
            assert_eq!(y[i], want, "{i}");
            assert_eq!(gt[i], u8::from(want > x[i]));
            assert_eq!(h[i], f16::from_f32(want));
            assert_eq!(s[i], 3);
            assert_eq!(clipped[i], 3.0);
        }
    }

    #[test]
    fn long_rows_and_float64() {
        // A row longer than the pattern limit goes piece by piece.
        let (period, n) = (PATTERN + 7, 3 * PATTERN);
        let row: Vec<f64> = (0..period).map(|i| i as f64).collect();
        let steps = [Step::Load(0), Step::Unary(Unary::Neg, 0), Step::Store { output: 0, value: 1 }];
        let chain = Chain::<f64>::new(vec![spec(Kind::F64, Access::Row { period })], vec![Kind::F64], &steps)
            .unwrap();
        let mut y = vec![0f64; n];
        chain.run(n, &[bytes(&row)], &mut [bytes_mut(&mut y)]);
        assert!(y.iter().enumerate().all(|(i, &v)| v == -((i % period) as f64)));
        assert_eq!(elements::<f64>(bytes(&y)).len(), elements_mut::<f64>(bytes_mut(&mut y)).len());
    }

    #[test]
    fn outputs_trade_places() {
        let f = |o| InputSpec { kind: Kind::F32, access: Access::Contiguous, in_place: Some(o) };
        let steps = [
            Step::Load(0),
            Step::Load(1),
            Step::Store { output: 0, value: 1 },
            Step::Store { output: 1, value: 0 },
            Step::Unary(Unary::Neg, 0),
            Step::Store { output: 2, value: 4 },
        ];
        let chain = Chain::<f32>::new(vec![f(0), f(1)], vec![Kind::F32; 3], &steps).unwrap();
        let (mut a, mut b, mut c) = ([1.0f32; 1500], [2.0f32; 1500], [0.0f32; 1500]);
        chain.run(1500, &[&[], &[]], &mut [bytes_mut(&mut a), bytes_mut(&mut b), bytes_mut(&mut c)]);
        assert!(a.iter().all(|&v| v == 2.0) && b.iter().all(|&v| v == 1.0) && c.iter().all(|&v| v == -1.0));
    }

    #[test]
    fn wrong_chains_are_refused() {
        let one = || vec![spec(Kind::F32, Access::Contiguous)];
        let f = |steps: &[Step]| Chain::<f32>::new(one(), vec![Kind::F32], steps).unwrap_err();
        assert!(f(&[Step::Load(1)]).contains("no input 1"));
        assert!(f(&[Step::Load(0)]).contains("never written"));
        assert!(f(&[Step::Unary(Unary::Neg, 0)]).contains("not a value"));
        let store = Step::Store { output: 0, value: 0 };
        assert!(f(&[Step::Load(0), store, store]).contains("twice"));
    }
}
