//! Graph in, equal graph out: what happens between a trace and a program.

mod frozen;
mod fuse;
mod patterns;
mod simplify;
mod tables;
mod widen;

use std::collections::HashMap;

use crate::error::Result;
use crate::shape::Spec;
use crate::trace::{Graph, Node, NodeKind, Port, Value};
use crate::variable::Variable;

/// A graph under transformation: nodes in an order in which they can run, and what is wanted of them.
#[derive(Clone, Debug, Default)]
pub struct Ir {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// What the program returns.
    pub outputs: Vec<Port>,
    /// What variables hold in the end.
    pub assigns: Vec<(Variable, Port)>,
    /// Nodes that run for their effect.
    pub effects: Vec<u32>,
    /// The arguments of the program, used or not.
    pub inputs: Vec<Spec>,
}

/// Which passes run; tests switch them off one by one.
#[derive(Clone, Copy, Debug)]
pub struct Passes {
    /// Fold constants, share equal nodes, drop identities.
    pub simplify: bool,
    /// Hold bfloat16 as rounded float32.
    pub widen: bool,
    /// Whether products of bfloat16 are left to the processor; `None`: large ones, if it has instructions for them.
    pub products: Option<bool>,
    /// Big patterns: products and convolutions with bias and activation.
    pub patterns: bool,
    /// Chains of elementwise ops.
    pub fuse: bool,
}

impl Passes {
    /// All of them.
    pub const ALL: Passes =
        Passes { simplify: true, widen: true, products: None, patterns: true, fuse: true };
    /// None of them.
    pub const NONE: Passes =
        Passes { simplify: false, widen: false, products: None, patterns: false, fuse: false };
}

impl Ir {
    /// What a trace recorded.
    pub fn new(graph: &Graph, outputs: &[Value]) -> Result<Ir> {
        let outputs = outputs.iter().map(|v| graph.import(v)).collect::<Result<_>>()?;
        let body = graph.lock();
        Ok(Ir {
            nodes: body.nodes.clone(),
            outputs,
            assigns: body.assigns.clone(),
            effects: body.effects.clone(),
            inputs: body.inputs.iter().map(|&i| body.nodes[i as usize].specs[0].clone()).collect(),
        })
    }

    /// Runs the passes.
    pub fn optimize(mut self, passes: Passes) -> Result<Ir> {
        self.drop_dead();
        if passes.simplify {
            self = simplify::run(self)?;
            self.drop_dead();
        }
        if passes.widen {
            let products = match passes.products {
                None => crate::ops::matmul::multiplies_bfloat16().then_some(widen::LEAST),
                Some(all) => all.then_some(0),
            };
            if let (Some(least), true) = (products, passes.patterns) {
                // These products keep their type, and so take their bias and activation up before.
                let others = widen::others(&self, least);
                patterns::epilogues(&mut self, |ir, node| widen::keeps(ir, node, &others));
                self.drop_dead();
            }
            self = widen::run(self, products)?;
            self.drop_dead();
        }
        if passes.patterns {
            frozen::pads(&mut self);
            self = frozen::norms(&self);
            self.drop_dead();
            patterns::run(&mut self);
            self.drop_dead();
            self = tables::run(&self);
            self.drop_dead();
            self = patterns::bias_grads(&self);
            self.drop_dead();
            self = frozen::packs(&self);
            self.drop_dead();
            frozen::tails(&mut self);
            self.drop_dead();
        }
        if passes.fuse {
            self = fuse::run(self);
            self.drop_dead();
        }
        Ok(self)
    }

    /// Everything that is wanted.
    pub fn roots(&self) -> impl Iterator<Item = Port> + '_ {
        let effects = self.effects.iter().map(|&node| Port { node, output: 0 });
        self.outputs.iter().copied().chain(self.assigns.iter().map(|(_, p)| *p)).chain(effects)
    }

    /// Drops nodes that nothing wanted depends on. Arguments stay, so that positions keep their meaning.
    pub fn drop_dead(&mut self) {
        let mut live = vec![false; self.nodes.len()];
        for p in self.roots() {
            live[p.node as usize] = true;
        }
        for i in (0..self.nodes.len()).rev() {
            if live[i] {
                for p in &self.nodes[i].inputs {
                    live[p.node as usize] = true;
                }
            }
        }
        let mut moved = vec![u32::MAX; self.nodes.len()];
        let mut kept = Vec::with_capacity(self.nodes.len());
        for (i, mut node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if live[i] {
                for p in &mut node.inputs {
                    p.node = moved[p.node as usize];
                }
                moved[i] = kept.len() as u32;
                kept.push(node);
            }
        }
        self.nodes = kept;
        self.redirect(|p| Port { node: moved[p.node as usize], ..p });
    }

    /// Rewrites the ports of everything wanted.
    pub(crate) fn redirect(&mut self, f: impl Fn(Port) -> Port) {
        for p in &mut self.outputs {
            *p = f(*p);
        }
        for (_, p) in &mut self.assigns {
            *p = f(*p);
        }
        for n in &mut self.effects {
            *n = f(Port { node: *n, output: 0 }).node;
        }
    }

    /// How many uses each port has.
    pub(crate) fn uses(&self) -> HashMap<Port, usize> {
        let mut uses = HashMap::with_capacity(self.nodes.len());
        for p in self.nodes.iter().flat_map(|n| n.inputs.iter().copied()).chain(self.roots()) {
            *uses.entry(p).or_insert(0) += 1;
        }
        uses
    }

    /// The op of a node, if it is one.
    pub(crate) fn op(&self, node: u32) -> Option<&std::sync::Arc<dyn crate::op::Op>> {
        match &self.nodes[node as usize].kind {
            NodeKind::Op(op) => Some(op),
            _ => None,
        }
    }

    /// The op of a node, if it is one of type `T`.
    pub(crate) fn downcast<T: 'static>(&self, node: u32) -> Option<&T> {
        let any: &dyn std::any::Any = self.op(node)?.as_ref();
        any.downcast_ref::<T>()
    }
}
