//! From nodes to instructions: where every value lives, in which order its memory is used again.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use rkeras_kernels::buffer::{ALIGN, Access, Region};
use smallvec::SmallVec;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::layout::Layout;
use crate::op::Op;
use crate::passes::Ir;
use crate::shape::{Dims, Spec};
use crate::tensor::Tensor;
use crate::trace::{NodeKind, Port};
use crate::variable::Variable;

/// The memory a value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Root {
    /// A piece of the arena.
    Arena(usize),
    /// A variable.
    Variable(usize),
    /// A constant.
    Const(usize),
    /// An argument.
    Input(usize),
}

/// A value: memory and layout in it.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub root: Root,
    pub layout: Layout,
    pub dtype: DType,
}

/// One step of a program.
#[derive(Debug)]
pub(crate) struct Instruction {
    /// `None` copies the input to the output.
    pub op: Option<Arc<dyn Op>>,
    pub inputs: SmallVec<[Place; 4]>,
    pub outputs: SmallVec<[Place; 1]>,
    /// For inputs that are the old contents of an output.
    pub reuse: SmallVec<[Option<usize>; 4]>,
    pub access: Access,
    /// It depends on constants and on variables that the program does not write: run once, and again only when one of
    /// those variables has been written.
    pub frozen: bool,
}

/// A planned program.
#[derive(Debug)]
pub(crate) struct Plan {
    pub instructions: Vec<Instruction>,
    pub variables: Vec<Variable>,
    pub written: Vec<bool>,
    pub constants: Vec<Tensor>,
    pub inputs: Vec<Spec>,
    pub outputs: Vec<Spec>,
    pub results: Vec<Place>,
    pub arena_bytes: usize,
    /// Offset and length of every piece of the arena.
    pub pieces: Vec<(usize, usize)>,
    /// The variables that frozen instructions read.
    pub frozen: Vec<usize>,
}

/// A piece of the arena while it is planned.
struct Piece {
    bytes: usize,
    first: usize,
    last: usize,
}

struct Builder {
    plan: Plan,
    places: HashMap<Port, Place>,
    pieces: Vec<Piece>,
    variable_index: HashMap<u64, usize>,
}

impl Plan {
    pub(crate) fn new(ir: Ir) -> Result<Plan> {
        let mut b = Builder {
            plan: Plan {
                instructions: Vec::with_capacity(ir.nodes.len()),
                variables: Vec::new(),
                written: Vec::new(),
                constants: Vec::new(),
                inputs: ir.inputs.clone(),
                outputs: Vec::new(),
                results: Vec::new(),
                arena_bytes: 0,
                pieces: Vec::new(),
                frozen: Vec::new(),
            },
            places: HashMap::with_capacity(ir.nodes.len()),
            pieces: Vec::new(),
            variable_index: HashMap::new(),
        };
        for (i, node) in ir.nodes.iter().enumerate() {
            let port = |output: usize| Port { node: i as u32, output: output as u32 };
            match &node.kind {
                NodeKind::Input(k) => {
                    let place = b.at(Root::Input(*k), &node.specs[0])?;
                    b.places.insert(port(0), place);
                }
                NodeKind::Const(t) => {
                    let root = Root::Const(b.plan.constants.len());
                    b.plan.constants.push(t.clone());
                    b.places.insert(port(0), Place { root, layout: t.layout().clone(), dtype: t.dtype() });
                }
                NodeKind::Read(v) => {
                    let root = Root::Variable(b.variable(v));
                    let place = b.at(root, &node.specs[0])?;
                    b.places.insert(port(0), place);
                }
                NodeKind::Op(op) => b.op(op, &node.inputs, &node.specs, port)?,
            }
        }
        b.finish(&ir)
    }

    pub(crate) fn dump(&self) -> String {
        (0..self.instructions.len()).map(|i| self.words(i) + "\n").collect()
    }

    /// Instruction `i` in words.
    pub(crate) fn words(&self, i: usize) -> String {
        let x = &self.instructions[i];
        let mut out = format!("{i:4} {}", x.op.as_ref().map_or("copy", |op| op.name()));
        for (p, reuse) in x.inputs.iter().zip(&x.reuse) {
            let mark = if reuse.is_some() { "*" } else { "" };
            let _ = write!(out, " {mark}{:?}{:?}", p.root, p.layout.shape.as_slice());
        }
        let _ = write!(out, " ->");
        for p in &x.outputs {
            let _ = write!(out, " {:?}{:?} {}", p.root, p.layout.shape.as_slice(), p.dtype);
        }
        out
    }
}

fn known(spec: &Spec) -> Result<Dims> {
    spec.shape.dims().ok_or_else(|| {
        Error::value("compile", "known sizes in a program", format!("shape {}", spec.shape))
            .hint("programs are compiled per batch size")
    })
}

impl Builder {
    fn at(&self, root: Root, spec: &Spec) -> Result<Place> {
        Ok(Place { root, layout: Layout::contiguous(&known(spec)?), dtype: spec.dtype })
    }

    fn variable(&mut self, v: &Variable) -> usize {
        *self.variable_index.entry(v.id()).or_insert_with(|| {
            self.plan.variables.push(v.clone());
            self.plan.written.push(false);
            self.plan.variables.len() - 1
        })
    }

    /// A new piece of the arena, written by the next instruction.
    fn piece(&mut self, spec: &Spec) -> Result<Place> {
        let bytes = crate::tensor::byte_len(&known(spec)?, spec.dtype)?;
        let now = self.plan.instructions.len();
        self.pieces.push(Piece { bytes, first: now, last: now });
        self.at(Root::Arena(self.pieces.len() - 1), spec)
    }

    fn push(&mut self, op: Option<Arc<dyn Op>>, inputs: SmallVec<[Place; 4]>, outputs: SmallVec<[Place; 1]>) {
        let now = self.plan.instructions.len();
        for p in &inputs {
            if let Root::Arena(k) = p.root {
                self.pieces[k].last = now;
            }
        }
        let reuse = SmallVec::from_elem(None, inputs.len());
        self.plan.instructions.push(Instruction {
            op,
            inputs,
            outputs,
            reuse,
            access: Access::default(),
            frozen: false,
        });
    }

    /// The place with its elements in row-major order, copied if need be.
    fn contiguous(&mut self, p: Place) -> Result<Place> {
        if p.layout.is_contiguous() {
            return Ok(p);
        }
        let spec = Spec::known(&p.layout.shape, p.dtype);
        let to = self.piece(&spec)?;
        self.push(None, SmallVec::from_elem(p, 1), SmallVec::from_elem(to.clone(), 1));
        Ok(to)
    }

    fn op(
        &mut self,
        op: &Arc<dyn Op>,
        inputs: &[Port],
        specs: &[Spec],
        port: impl Fn(usize) -> Port,
    ) -> Result<()> {
        let traits = op.traits();
        if traits.view {
            let from = self.places[&inputs[0]].clone();
            let dims = known(&specs[0])?;
            let (from, layout) = match op.view(&from.layout, &dims) {
                Some(layout) => (from, layout),
                None => {
                    let from = self.contiguous(from)?;
                    let layout = op.view(&from.layout, &dims);
                    (from, layout.ok_or_else(|| Error::internal(op.name(), "no view of contiguous input"))?)
                }
            };
            self.places.insert(port(0), Place { layout, ..from });
            return Ok(());
        }
        let mut places: SmallVec<[Place; 4]> = SmallVec::new();
        for p in inputs {
            let place = self.places[p].clone();
            places.push(if traits.strided { place } else { self.contiguous(place)? });
        }
        let mut outputs: SmallVec<[Place; 1]> = SmallVec::new();
        for (i, spec) in specs.iter().enumerate() {
            let place = self.piece(spec)?;
            self.places.insert(port(i), place.clone());
            outputs.push(place);
        }
        self.push(Some(op.clone()), places, outputs);
        Ok(())
    }

    fn finish(mut self, ir: &Ir) -> Result<Plan> {
        let end = self.plan.instructions.len();
        // Results are copied out after the last instruction; non-row-major ones are straightened then.
        for &p in &ir.outputs {
            let place = self.places[&p].clone();
            self.plan.outputs.push(Spec::known(&place.layout.shape, place.dtype));
            self.plan.results.push(place);
        }
        // Where each variable was last read, in instructions; its old value must stay until then.
        let mut last_read: HashMap<usize, usize> = HashMap::new();
        for (at, x) in self.plan.instructions.iter().enumerate() {
            for p in &x.inputs {
                if let Root::Variable(v) = p.root {
                    last_read.insert(v, at);
                }
            }
        }
        let returned = |plan: &Plan, v: usize| plan.results.iter().any(|p| p.root == Root::Variable(v));
        let mut copies: Vec<(Place, Place)> = Vec::new();
        let mut taken: HashMap<usize, usize> = HashMap::new();
        let assigned: Vec<(usize, Place)> =
            ir.assigns.iter().map(|(v, p)| (self.variable(v), self.places[p].clone())).collect();
        for (v, place) in &assigned {
            let to = Place {
                root: Root::Variable(*v),
                layout: Layout::contiguous(&place.layout.shape),
                dtype: place.dtype,
            };
            if place.root == to.root && place.layout == to.layout {
                continue;
            }
            self.plan.written[*v] = true;
            // Straight into the variable, if the value is made as a whole by one instruction after which nothing reads
            // the old one.
            let direct = match place.root {
                Root::Arena(k) if place.layout == to.layout && !taken.contains_key(&k) => {
                    Some((k, self.pieces[k].first))
                }
                _ => None,
            };
            let from_old = assigned.iter().any(|(_, p)| p.root == Root::Variable(*v));
            if let Some((k, made)) = direct
                && !returned(&self.plan, *v)
                && !from_old
                && last_read.get(v).is_none_or(|&r| r <= made)
                && self.reads_in_place(made, *v, k)
            {
                taken.insert(k, *v);
                continue;
            }
            copies.push((place.clone(), to));
        }
        // A piece that became a variable is that variable everywhere.
        let rename = |p: &mut Place| {
            if let Root::Arena(k) = p.root
                && let Some(&v) = taken.get(&k)
            {
                p.root = Root::Variable(v);
            }
        };
        for x in &mut self.plan.instructions {
            x.inputs.iter_mut().chain(x.outputs.iter_mut()).for_each(rename);
        }
        self.plan.results.iter_mut().for_each(rename);
        copies.iter_mut().for_each(|(from, _)| rename(from));
        // What is copied or returned at the end lives until then. Copies are made from what the arena holds; a value that
        // lies in another variable is saved there first, so that the order of the copies does not matter.
        let mut late: Vec<(Place, Place)> = Vec::new();
        for (from, to) in copies {
            let from = if matches!(from.root, Root::Variable(_)) {
                let spec = Spec::known(&from.layout.shape, from.dtype);
                let saved = self.piece(&spec)?;
                self.push(None, SmallVec::from_elem(from, 1), SmallVec::from_elem(saved.clone(), 1));
                saved
            } else {
                from
            };
            late.push((from, to));
        }
        for p in &mut self.plan.results {
            if let Root::Variable(v) = p.root
                && self.plan.written[v]
                && !taken.values().any(|&t| t == v)
            {
                // The old value of a variable that is overwritten by a late copy.
                let spec = Spec::known(&p.layout.shape, p.dtype);
                let bytes = crate::tensor::byte_len(&p.layout.shape, p.dtype)?;
                let now = self.plan.instructions.len();
                self.pieces.push(Piece { bytes, first: now, last: usize::MAX });
                let saved = Place {
                    root: Root::Arena(self.pieces.len() - 1),
                    layout: Layout::contiguous(&p.layout.shape),
                    dtype: spec.dtype,
                };
                let reuse = SmallVec::from_elem(None, 1);
                self.plan.instructions.push(Instruction {
                    op: None,
                    inputs: SmallVec::from_elem(p.clone(), 1),
                    outputs: SmallVec::from_elem(saved.clone(), 1),
                    reuse,
                    access: Access::default(),
                    frozen: false,
                });
                *p = saved;
            }
        }
        for (from, to) in late {
            self.push(None, SmallVec::from_elem(from, 1), SmallVec::from_elem(to, 1));
        }
        for p in &self.plan.results {
            if let Root::Arena(k) = p.root {
                self.pieces[k].last = usize::MAX;
            }
        }
        self.freeze(&taken);
        self.reuse_inputs(end, &taken);
        self.lay_out(&taken);
        self.check()?;
        Ok(self.plan)
    }

    /// May the instruction that makes piece `k` write it straight into variable `v`, although it may read the variable?
    /// Only element by element, in place.
    fn reads_in_place(&self, at: usize, v: usize, k: usize) -> bool {
        let x = &self.plan.instructions[at];
        let reads: Vec<usize> = x
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, p)| p.root == Root::Variable(v))
            .map(|(i, _)| i)
            .collect();
        let (Some(op), [read]) = (&x.op, reads.as_slice()) else { return reads.is_empty() };
        let mut reuse: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, x.inputs.len());
        reuse[*read] = x.outputs.iter().position(|p| p.root == Root::Arena(k));
        reuse[*read].is_some() && op.in_place(&reuse).is_some()
    }

    /// Finds the instructions whose results hold from run to run; their pieces are kept for good.
    fn freeze(&mut self, taken: &HashMap<usize, usize>) {
        let mut kept = vec![false; self.pieces.len()];
        for x in &mut self.plan.instructions {
            let holds = |p: &Place| match p.root {
                Root::Const(_) => true,
                Root::Variable(v) => !self.plan.written[v],
                Root::Arena(k) => kept[k],
                Root::Input(_) => false,
            };
            let own = |p: &Place| matches!(p.root, Root::Arena(k) if !taken.contains_key(&k));
            let effect = x.op.as_ref().is_some_and(|op| op.traits().effect);
            x.frozen =
                !effect && !x.inputs.is_empty() && x.inputs.iter().all(holds) && x.outputs.iter().all(own);
            if !x.frozen {
                continue;
            }
            for p in &x.inputs {
                if let Root::Variable(v) = p.root
                    && !self.plan.frozen.contains(&v)
                {
                    self.plan.frozen.push(v);
                }
            }
            for p in &x.outputs {
                if let Root::Arena(k) = p.root {
                    kept[k] = true;
                    (self.pieces[k].first, self.pieces[k].last) = (0, usize::MAX);
                }
            }
        }
    }

    /// Lets elementwise instructions overwrite inputs that nobody reads again.
    fn reuse_inputs(&mut self, _end: usize, taken: &HashMap<usize, usize>) {
        for at in 0..self.plan.instructions.len() {
            let x = &self.plan.instructions[at];
            let Some(op) = x.op.clone() else { continue };
            if op.name() != "fused" {
                continue;
            }
            let mut reuse: SmallVec<[Option<usize>; 4]> = SmallVec::from_elem(None, x.inputs.len());
            let mut merged: Vec<(usize, usize)> = Vec::new();
            let mut free: SmallVec<[usize; 2]> = (0..x.outputs.len()).collect();
            for (i, input) in x.inputs.iter().enumerate() {
                let same =
                    |o: usize| x.outputs[o].layout == input.layout && x.outputs[o].dtype == input.dtype;
                match input.root {
                    // The variable that an output became.
                    Root::Variable(_) => {
                        if let Some(o) = (0..x.outputs.len()).find(|&o| x.outputs[o].root == input.root) {
                            reuse[i] = Some(o);
                            free.retain(|f| *f != o);
                        }
                    }
                    Root::Arena(k) if self.pieces[k].last == at && !taken.contains_key(&k) => {
                        let twice = x.inputs.iter().filter(|p| p.root == input.root).count() > 1;
                        let target = free
                            .iter()
                            .copied()
                            .find(|&o| same(o) && matches!(x.outputs[o].root, Root::Arena(_)));
                        if let Some(o) = target
                            && !twice
                            && self.pieces[k].bytes > 4096
                            && let Root::Arena(new) = x.outputs[o].root
                        {
                            let mut one: SmallVec<[Option<usize>; 4]> =
                                SmallVec::from_elem(None, x.inputs.len());
                            one[i] = Some(o);
                            if op.in_place(&one).is_some() {
                                reuse[i] = Some(o);
                                free.retain(|f| *f != o);
                                merged.push((k, new));
                            }
                        }
                    }
                    _ => {}
                }
            }
            if reuse.iter().all(Option::is_none) {
                continue;
            }
            let Some(op) = op.in_place(&reuse) else { continue };
            let x = &mut self.plan.instructions[at];
            x.op = Some(op);
            x.reuse = reuse;
            // The new value goes on in the old piece.
            for (old, new) in merged {
                self.pieces[old].last = self.pieces[new].last;
                self.pieces[new].bytes = 0;
                let rename = |p: &mut Place| {
                    if p.root == Root::Arena(new) {
                        p.root = Root::Arena(old);
                    }
                };
                for x in &mut self.plan.instructions[at..] {
                    x.inputs.iter_mut().chain(x.outputs.iter_mut()).for_each(rename);
                }
                self.plan.results.iter_mut().for_each(rename);
            }
        }
    }

    /// Gives every piece an offset: large ones first, each at the lowest place that is free while it lives.
    fn lay_out(&mut self, taken: &HashMap<usize, usize>) {
        let mut order: Vec<usize> =
            (0..self.pieces.len()).filter(|k| !taken.contains_key(k) && self.pieces[*k].bytes > 0).collect();
        order.sort_by_key(|&k| (std::cmp::Reverse(self.pieces[k].bytes), k));
        let mut placed: Vec<(usize, usize, usize, usize)> = Vec::new(); // offset, end, first, last
        let mut offsets = vec![(0, 0); self.pieces.len()];
        for k in order {
            let p = &self.pieces[k];
            let size = p.bytes.next_multiple_of(ALIGN);
            let mut at = 0;
            // `placed` is sorted by offset: walk over those that live at the same time.
            for &(offset, end, first, last) in &placed {
                if p.first > last || first > p.last {
                    continue;
                }
                if at + size <= offset {
                    break;
                }
                at = at.max(end);
            }
            offsets[k] = (at, p.bytes);
            let entry = (at, at + size, p.first, p.last);
            let where_to = placed.partition_point(|e| e.0 <= at);
            placed.insert(where_to, entry);
            self.plan.arena_bytes = self.plan.arena_bytes.max(at + size);
        }
        self.plan.pieces = offsets;
    }

    /// Works out what each instruction touches, and that nothing overlaps.
    fn check(&mut self) -> Result<()> {
        let regions: Vec<(Vec<Region>, Vec<Region>)> = self
            .plan
            .instructions
            .iter()
            .map(|x| {
                let reads = x.inputs.iter().zip(&x.reuse).filter(|(_, r)| r.is_none());
                (
                    reads.map(|(p, _)| self.plan.region(p)).collect(),
                    x.outputs.iter().map(|p| self.plan.region(p)).collect(),
                )
            })
            .collect();
        for (i, (reads, writes)) in regions.into_iter().enumerate() {
            let access = Access::new(reads, writes);
            let Some(access) = access else {
                return Err(Error::internal(
                    "plan",
                    format!("instruction {i} overlaps itself:\n{}", self.plan.dump()),
                ));
            };
            self.plan.instructions[i].access = access;
        }
        Ok(())
    }
}

impl Plan {
    /// The bytes of a value's memory. Parts of the workspace: arena, variables, constants, arguments.
    pub(crate) fn region(&self, p: &Place) -> Region {
        let bytes = |v: &Spec| v.shape.len().unwrap_or(0) * v.dtype.size();
        match p.root {
            Root::Arena(k) => Region { part: 0, offset: self.pieces[k].0, len: self.pieces[k].1 },
            Root::Variable(v) => Region { part: 1 + v, offset: 0, len: bytes(self.variables[v].spec()) },
            Root::Const(c) => Region {
                part: 1 + self.variables.len() + c,
                offset: 0,
                len: self.constants[c].storage().bytes().len(),
            },
            Root::Input(i) => Region {
                part: 1 + self.variables.len() + self.constants.len() + i,
                offset: 0,
                len: bytes(&self.inputs[i]),
            },
        }
    }
}
