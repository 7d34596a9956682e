//! Bfloat16 held as float32 whose numbers are rounded: what computes in float32 anyway need not convert at every op.
//!
//! Every value of dtype bfloat16 becomes a float32 one of the same numbers. An op computes on those, and what it gives is
//! rounded (`round_bfloat16`, an elementwise function) where an op on bfloat16 would round, so the numbers stay the same
//! to the bit. Casts between the two types become roundings or nothing, and patterns and chains meet plain float32.
//! Values are converted back only for what must have bfloat16: arguments, results, variables, ops that carry functions,
//! and products where the processor multiplies bfloat16 itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::{Ir, tables};
use crate::dtype::DType;
use crate::error::Result;
use crate::op::{Lane, Op, Unary};
use crate::ops::cast::Cast;
use crate::ops::elementwise::UnaryOp;
use crate::ops::gather::Gather;
use crate::ops::matmul::MatMul;
use crate::ops::reshape::Reshape;
use crate::shape::Spec;
use crate::trace::{self, Node, NodeKind, Port};

/// Where a value of the old graph is in the new one.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// With its own dtype.
    plain: Option<Port>,
    /// A bfloat16 value as float32.
    wide: Option<Port>,
}

struct Widen {
    out: Ir,
    held: HashMap<Port, Held>,
    /// Float32 values of the new graph that bfloat16 holds exactly.
    exact: HashSet<Port>,
    /// Float32 values of the new graph that it has as bfloat16 too.
    narrowed: HashMap<Port, Port>,
}

/// Multiply-adds from which on a product of bfloat16 is faster than one of float32 with the conversions around it.
pub(super) const LEAST: usize = 8_000_000;

/// A product of bfloat16 that stays one where processors have instructions for it: it is not among the `others`.
pub(super) fn keeps(ir: &Ir, node: u32, others: &HashSet<u32>) -> bool {
    let half = ir.nodes[node as usize].specs[0].dtype == DType::BF16;
    half && ir.downcast::<MatMul>(node).is_some() && !others.contains(&node)
}

/// Products that become float32 in any case: of tables, and of fewer multiply-adds than `least`.
pub(super) fn others(ir: &Ir, least: usize) -> HashSet<u32> {
    let mut found = tables::products(ir);
    let small = |&node: &u32| {
        let n = &ir.nodes[node as usize];
        let size = |p: &Port| ir.nodes[p.node as usize].specs[p.output as usize].shape.len();
        let sizes = [n.inputs.first().and_then(size), n.inputs.get(1).and_then(size), n.specs[0].shape.len()];
        // (rows · k) · (k · columns) · (rows · columns) is a square; a batch of matrices only makes it larger.
        let work = sizes.into_iter().try_fold(1.0, |work, size| Some(work * size? as f64)).map(f64::sqrt);
        ir.downcast::<MatMul>(node).is_some() && work.is_some_and(|work| work < least as f64)
    };
    found.extend((0..ir.nodes.len() as u32).filter(small));
    found
}

/// Rewrites the graph; products of bfloat16 of at least `products` multiply-adds stay what they are, unless a table is
/// multiplied instead; `None`: no products.
pub(super) fn run(ir: Ir, products: Option<usize>) -> Result<Ir> {
    if !ir.nodes.iter().any(|n| n.specs.iter().any(|s| s.dtype == DType::BF16)) {
        return Ok(ir);
    }
    let mut w = Widen {
        out: Ir { inputs: ir.inputs.clone(), ..Ir::default() },
        held: HashMap::with_capacity(ir.nodes.len()),
        exact: HashSet::new(),
        narrowed: HashMap::new(),
    };
    let others = products.map(|least| others(&ir, least));
    for (i, node) in ir.nodes.iter().enumerate() {
        match &node.kind {
            NodeKind::Op(op) => {
                let keep = others.as_ref().is_some_and(|others| !others.contains(&(i as u32)));
                if !w.cast(&ir, i, op)? && !w.widened(&ir, i, op, keep)? {
                    w.as_it_was(node, i)?;
                }
            }
            _ => w.as_it_was(node, i)?,
        }
    }
    let mut roots: HashMap<Port, Port> = HashMap::new();
    for p in ir.roots().collect::<Vec<_>>() {
        let plain = w.plain(p)?;
        roots.insert(p, plain);
    }
    let mut out = w.out;
    (out.outputs, out.assigns, out.effects) = (ir.outputs, ir.assigns, ir.effects);
    out.redirect(|p| roots[&p]);
    Ok(out)
}

fn old(i: usize, output: usize) -> Port {
    Port { node: i as u32, output: output as u32 }
}

impl Widen {
    fn push(&mut self, op: Arc<dyn Op>, inputs: SmallVec<[Port; 4]>, specs: SmallVec<[Spec; 1]>) -> u32 {
        self.out.nodes.push(Node { kind: NodeKind::Op(op), inputs, specs });
        (self.out.nodes.len() - 1) as u32
    }

    fn spec(&self, p: Port) -> &Spec {
        &self.out.nodes[p.node as usize].specs[p.output as usize]
    }

    /// The value as it is, in another dtype.
    fn convert(&mut self, p: Port, dtype: DType) -> Port {
        let spec = Spec::new(self.spec(p).shape.clone(), dtype);
        Port { node: self.push(Arc::new(Cast { dtype }), smallvec![p], smallvec![spec]), output: 0 }
    }

    /// The float32 value rounded, if it is not so already.
    fn rounded(&mut self, p: Port) -> Port {
        if self.exact.contains(&p) {
            return p;
        }
        if let Some((op, table, ids)) = self.small_table(p) {
            let specs = smallvec![self.spec(p).clone()];
            let table = self.rounded(table);
            let p = Port { node: self.push(op, smallvec![table, ids], specs), output: 0 };
            self.exact.insert(p);
            return p;
        }
        let spec = self.spec(p).clone();
        let node = self.push(Arc::new(UnaryOp(Unary::Bfloat16)), smallvec![p], smallvec![spec]);
        let p = Port { node, output: 0 };
        self.exact.insert(p);
        p
    }

    /// The look-up that gives `p`, in a table of no more elements: its rows are rounded before, once each, and the look-up
    /// stays beside what multiplies it.
    fn small_table(&self, p: Port) -> Option<(Arc<dyn Op>, Port, Port)> {
        let node = &self.out.nodes[p.node as usize];
        let NodeKind::Op(op) = &node.kind else { return None };
        let any: &dyn std::any::Any = op.as_ref();
        any.downcast_ref::<Gather>()?;
        let (table, ids) = (node.inputs[0], node.inputs[1]);
        let small = self.spec(table).shape.len()? <= self.spec(p).shape.len()?;
        small.then(|| (op.clone(), table, ids))
    }

    /// A value of the old graph in its own dtype.
    fn plain(&mut self, p: Port) -> Result<Port> {
        let held = self.held[&p];
        match (held.plain, held.wide) {
            (Some(plain), _) => Ok(plain),
            (None, Some(wide)) => {
                let plain = self.narrowed(wide)?;
                self.held.insert(p, Held { plain: Some(plain), ..held });
                Ok(plain)
            }
            (None, None) => unreachable!("a value is held in one way at least"),
        }
    }

    /// A float32 value that bfloat16 holds, as bfloat16: once for all its shapes, since the way back often asks for the
    /// matrix that the way there had as a batch of rows.
    fn narrowed(&mut self, wide: Port) -> Result<Port> {
        if let Some(&plain) = self.narrowed.get(&wide) {
            return Ok(plain);
        }
        let reshape = self.out.downcast::<Reshape>(wide.node).is_some();
        let reshape = self.out.op(wide.node).filter(|_| reshape).cloned();
        let plain = match reshape {
            Some(op) => {
                let from = self.narrowed(self.out.nodes[wide.node as usize].inputs[0])?;
                let specs = op.infer(&[self.spec(from).clone()])?;
                Port { node: self.push(op, smallvec![from], specs), output: 0 }
            }
            None => self.convert(wide, DType::BF16),
        };
        self.narrowed.insert(wide, plain);
        Ok(plain)
    }

    /// A bfloat16 value of the old graph as float32.
    fn wide(&mut self, p: Port) -> Result<Port> {
        let held = self.held[&p];
        if let Some(wide) = held.wide {
            return Ok(wide);
        }
        let plain = self.plain(p)?;
        let wide = match &self.out.nodes[plain.node as usize].kind {
            NodeKind::Const(t) => {
                let t = trace::eval(&Cast { dtype: DType::F32 }, &[t])?.remove(0);
                let specs = smallvec![t.spec()];
                self.out.nodes.push(Node { kind: NodeKind::Const(t), inputs: SmallVec::new(), specs });
                Port { node: (self.out.nodes.len() - 1) as u32, output: 0 }
            }
            _ => self.convert(plain, DType::F32),
        };
        self.exact.insert(wide);
        self.held.insert(p, Held { wide: Some(wide), ..held });
        Ok(wide)
    }

    /// The node with its inputs in their own dtypes.
    fn as_it_was(&mut self, node: &Node, i: usize) -> Result<()> {
        let mut new = node.clone();
        for p in &mut new.inputs {
            *p = self.plain(*p)?;
        }
        if let NodeKind::Const(t) = &new.kind
            && t.dtype() == DType::F32
            && t.shape().iter().product::<usize>() == 1
            && t.to_f64()?.iter().all(|&v| half::bf16::from_f64(v).to_f64() == v)
        {
            self.exact.insert(Port { node: self.out.nodes.len() as u32, output: 0 });
        }
        self.out.nodes.push(new);
        let place = (self.out.nodes.len() - 1) as u32;
        self.mark(place);
        for output in 0..node.specs.len() {
            let plain = Port { node: place, output: output as u32 };
            self.held.insert(old(i, output), Held { plain: Some(plain), wide: None });
        }
        Ok(())
    }

    /// Notes that a new node gives numbers of bfloat16 if its inputs are such and it only selects.
    fn mark(&mut self, place: u32) {
        let node = &self.out.nodes[place as usize];
        let NodeKind::Op(op) = &node.kind else { return };
        let traits = op.traits();
        let is_float = |p: &&Port| self.spec(**p).dtype.is_float();
        if (traits.view || traits.selects)
            && node.inputs.iter().filter(is_float).all(|p| self.exact.contains(p))
        {
            let floats = node.specs.iter().enumerate().filter(|(_, s)| s.dtype == DType::F32);
            let ports: Vec<Port> = floats.map(|(o, _)| Port { node: place, output: o as u32 }).collect();
            self.exact.extend(ports);
        }
    }

    /// A cast from or to bfloat16: is it done?
    fn cast(&mut self, ir: &Ir, i: usize, op: &Arc<dyn Op>) -> Result<bool> {
        let Some(Lane::Cast(to)) = op.traits().lane else { return Ok(false) };
        let node = &ir.nodes[i];
        let from = node.inputs[0];
        let held = match (ir.nodes[from.node as usize].specs[from.output as usize].dtype, to) {
            (DType::BF16, DType::BF16) => self.held[&from],
            (DType::BF16, DType::F32) => Held { plain: Some(self.wide(from)?), wide: None },
            (DType::BF16, _) => {
                let wide = self.wide(from)?;
                Held { plain: Some(self.convert(wide, to)), wide: None }
            }
            (DType::F32, DType::BF16) => {
                let plain = self.plain(from)?;
                Held { plain: None, wide: Some(self.rounded(plain)) }
            }
            // Eight bits fit.
            (DType::Bool | DType::U8 | DType::I8, DType::BF16) => {
                let plain = self.plain(from)?;
                let wide = self.convert(plain, DType::F32);
                self.exact.insert(wide);
                Held { plain: None, wide: Some(wide) }
            }
            _ => return Ok(false),
        };
        self.held.insert(old(i, 0), held);
        Ok(true)
    }

    /// An op that takes or gives bfloat16, on float32 instead: is it done?
    fn widened(&mut self, ir: &Ir, i: usize, op: &Arc<dyn Op>, products: bool) -> Result<bool> {
        let node = &ir.nodes[i];
        let half = |p: &Port| ir.nodes[p.node as usize].specs[p.output as usize].dtype == DType::BF16;
        if !node.inputs.iter().any(half) || op.traits().effect || !op.functions().is_empty() {
            return Ok(false);
        }
        let any: &dyn std::any::Any = op.as_ref();
        if products && any.is::<MatMul>() {
            return Ok(false);
        }
        let op = op.widened().unwrap_or_else(|| op.clone());
        let specs: SmallVec<[Spec; 4]> = node
            .inputs
            .iter()
            .map(|p| {
                let s = &ir.nodes[p.node as usize].specs[p.output as usize];
                Spec::new(s.shape.clone(), if half(p) { DType::F32 } else { s.dtype })
            })
            .collect();
        let Ok(given) = op.infer(&specs) else { return Ok(false) };
        let fits = given.len() == node.specs.len()
            && given.iter().zip(&node.specs).all(|(new, old)| {
                let dtype = if old.dtype == DType::BF16 { DType::F32 } else { old.dtype };
                new.shape == old.shape && new.dtype == dtype
            });
        if !fits {
            return Ok(false);
        }
        let mut inputs: SmallVec<[Port; 4]> = SmallVec::new();
        for p in &node.inputs {
            inputs.push(if half(p) { self.wide(*p)? } else { self.plain(*p)? });
        }
        let place = self.push(op, inputs, given);
        self.mark(place);
        for (output, spec) in node.specs.iter().enumerate() {
            let p = Port { node: place, output: output as u32 };
            let held = if spec.dtype == DType::BF16 {
                Held { plain: None, wide: Some(self.rounded(p)) }
            } else {
                Held { plain: Some(p), wide: None }
            };
            self.held.insert(old(i, output), held);
        }
        Ok(true)
    }
}
