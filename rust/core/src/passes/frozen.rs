//! What gains where weights stand still: batch norm by moving averages is folded into the convolution before it, kernels
//! are packed ahead, and what is added behind a convolution is added on its way out. The factors and packed kernels
//! depend on variables alone, so the program makes them once and again only when a variable has been written.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Ir;
use crate::dtype::DType;
use crate::op::{Binary, Lane, Op, Unary};
use crate::ops::conv::{Conv, Padding, Window};
use crate::ops::conv_packed::{ConvPack, ConvPacked};
use crate::ops::elementwise::BinaryOp;
use crate::ops::pooling::{self, Kind, Pool};
use crate::ops::reshape::Reshape;
use crate::ops::slice::{Pad, PadMode};
use crate::shape::Spec;
use crate::trace::{Node, NodeKind, Port};

/// Which nodes depend on constants and on variables that the graph does not assign, and on nothing else.
pub(crate) fn frozen(ir: &Ir) -> Vec<bool> {
    let assigned: HashSet<u64> = ir.assigns.iter().map(|(v, _)| v.id()).collect();
    let mut frozen = vec![false; ir.nodes.len()];
    for (i, node) in ir.nodes.iter().enumerate() {
        frozen[i] = match &node.kind {
            NodeKind::Const(_) => true,
            NodeKind::Read(v) => !assigned.contains(&v.id()),
            NodeKind::Input(_) => false,
            NodeKind::Op(op) => {
                !op.traits().effect
                    && !node.inputs.is_empty()
                    && node.inputs.iter().all(|p| frozen[p.node as usize])
            }
        };
    }
    frozen
}

/// Nodes are copied in order, with new ones between them.
pub(super) struct Rebuild<'a> {
    from: &'a Ir,
    pub(super) out: Ir,
    pub(super) moved: HashMap<Port, Port>,
}

impl<'a> Rebuild<'a> {
    pub(super) fn new(from: &'a Ir) -> Rebuild<'a> {
        let out = Ir { inputs: from.inputs.clone(), ..Ir::default() };
        Rebuild { from, out, moved: HashMap::with_capacity(from.nodes.len()) }
    }

    /// A new node of one output; its inputs are ports of the new graph.
    pub(super) fn push(&mut self, op: Arc<dyn Op>, inputs: SmallVec<[Port; 4]>, spec: Spec) -> Port {
        self.out.nodes.push(Node { kind: NodeKind::Op(op), inputs, specs: smallvec![spec] });
        Port { node: (self.out.nodes.len() - 1) as u32, output: 0 }
    }

    pub(super) fn copy(&mut self, i: usize) {
        let mut node = self.from.nodes[i].clone();
        for p in &mut node.inputs {
            *p = self.moved[p];
        }
        let place = self.out.nodes.len() as u32;
        for output in 0..node.specs.len() as u32 {
            self.moved.insert(Port { node: i as u32, output }, Port { node: place, output });
        }
        self.out.nodes.push(node);
    }

    pub(super) fn finish(mut self) -> Ir {
        let from = self.from;
        (self.out.outputs, self.out.assigns, self.out.effects) =
            (from.outputs.clone(), from.assigns.clone(), from.effects.clone());
        let moved = self.moved;
        self.out.redirect(|p| moved[&p]);
        self.out
    }
}

pub(super) fn spec(ir: &Ir, p: Port) -> &Spec {
    &ir.nodes[p.node as usize].specs[p.output as usize]
}

fn plain_conv(ir: &Ir, p: Port) -> Option<&Conv> {
    ir.downcast::<Conv>(p.node).filter(|c| !c.bias && c.activation.is_none() && !c.rounded)
}

/// Is that one value per channel of `out`, the last axis?
pub(super) fn per_channel(ir: &Ir, p: Port, out: &Spec) -> bool {
    let s = spec(ir, p);
    let channels = out.shape.last().copied().flatten();
    s.dtype == out.dtype
        && channels.is_some_and(|c| c > 1)
        && s.shape.last().copied().flatten() == channels
        && s.shape.len() == channels
}

/// The two inputs of a node that is such a binary op, both ways round.
fn sides(ir: &Ir, i: usize, f: Binary) -> Option<[(Port, Port); 2]> {
    let op = ir.op(i as u32)?;
    let [a, b] = ir.nodes[i].inputs[..] else { return None };
    (op.traits().lane == Some(Lane::Binary(f))).then_some([(a, b), (b, a)])
}

/// Zeros around the input of a convolution are its padding; around that of a maximum too, where nothing is below zero.
/// Rewrites the last node of a match.
pub(super) fn pads(ir: &mut Ir) {
    let uses = ir.uses();
    for i in 0..ir.nodes.len() {
        let Some(&from) = ir.nodes[i].inputs.first() else { continue };
        let Some(op) = ir.op(from.node).filter(|_| uses.get(&from) == Some(&1)) else { continue };
        let any: &dyn Any = op.as_ref();
        let Some(pad) = any.downcast_ref::<Pad>().filter(|p| p.mode == PadMode::Constant && p.value == 0.0)
        else {
            continue;
        };
        let rank = pad.before.len();
        let own = |v: &[i64]| v[0] == 0 && v[rank - 1] == 0 && v.iter().all(|&p| p >= 0);
        if rank < 3 || !own(&pad.before) || !own(&pad.after) {
            continue;
        }
        let (before, after) = (&pad.before[1..rank - 1], &pad.after[1..rank - 1]);
        let inside = ir.nodes[from.node as usize].inputs[0];
        let Some(op) = ir.op(i as u32) else { continue };
        let any: &dyn Any = op.as_ref();
        let new: Arc<dyn Op> = if let Some(conv) = any.downcast_ref::<Conv>()
            && let Some(window) = wider(&conv.window, before, after)
        {
            Arc::new(Conv { window, ..conv.clone() })
        } else if let Some(Pool(pool)) = any.downcast_ref::<Pool>()
            && pool.kind == Kind::Max
            && ir.op(inside.node).and_then(|op| op.traits().lane) == Some(Lane::Unary(Unary::Relu))
            && before.iter().chain(after).zip(pool.size.iter().chain(&pool.size)).all(|(p, size)| p < size)
            && let Some(window) = wider(&pool.window, before, after)
        {
            Arc::new(Pool(pooling::Geometry { window, ..pool.clone() }))
        } else {
            continue;
        };
        ir.nodes[i].kind = NodeKind::Op(new);
        ir.nodes[i].inputs[0] = inside;
    }
}

/// The window with more zeros around what it moves over, if it had none.
fn wider(window: &Window, before: &[i64], after: &[i64]) -> Option<Window> {
    let padding = Padding::Explicit(before.to_vec(), after.to_vec());
    (window.padding == Padding::Valid).then(|| Window { padding, ..window.clone() })
}

/// conv(x, w) f + s is conv(x, w f) + s, for a factor and an addend per channel.
pub(super) fn norms(ir: &Ir) -> Ir {
    let (uses, frozen) = (ir.uses(), frozen(ir));
    let once = |p: Port| uses.get(&p) == Some(&1);
    let find = |i: usize| {
        let out = &ir.nodes[i].specs[0];
        if !matches!(out.dtype, DType::F32 | DType::F64) {
            return None;
        }
        sides(ir, i, Binary::Add)?.into_iter().find_map(|(scaled, addend)| {
            let (conv, factor) = sides(ir, scaled.node as usize, Binary::Mul)?
                .into_iter()
                .find(|&(conv, _)| plain_conv(ir, conv).is_some())?;
            let kernel = ir.nodes[conv.node as usize].inputs[1];
            let fits = once(scaled)
                && once(conv)
                && spec(ir, conv) == out
                && spec(ir, scaled) == out
                && [factor, addend].iter().all(|&p| per_channel(ir, p, out))
                && [kernel, factor, addend].iter().all(|p| frozen[p.node as usize]);
            fits.then_some((conv, factor, addend))
        })
    };
    let mut new = Rebuild::new(ir);
    for i in 0..ir.nodes.len() {
        let Some((conv, factor, addend)) = find(i) else {
            new.copy(i);
            continue;
        };
        let out = ir.nodes[i].specs[0].clone();
        let channels = out.shape.last().copied().flatten().unwrap_or(1);
        let node = &ir.nodes[conv.node as usize];
        let (x, kernel) = (node.inputs[0], node.inputs[1]);
        let flat = |new: &mut Rebuild<'_>, p: Port| {
            let op = Arc::new(Reshape { shape: vec![channels as i64] });
            new.push(op, smallvec![new.moved[&p]], Spec::known(&[channels], out.dtype))
        };
        let factor = flat(&mut new, factor);
        let kernel_spec = spec(ir, kernel).clone();
        let scaled = smallvec![new.moved[&kernel], factor];
        let kernel = new.push(Arc::new(BinaryOp(Binary::Mul)), scaled, kernel_spec);
        let addend = flat(&mut new, addend);
        let Some(op) = plain_conv(ir, conv) else { unreachable!("it was found to be one") };
        let op = Arc::new(Conv { bias: true, ..op.clone() });
        let to = new.push(op, smallvec![new.moved[&x], kernel, addend], out);
        new.moved.insert(Port { node: i as u32, output: 0 }, to);
    }
    new.finish()
}

/// Convolutions with a frozen kernel take it packed.
pub(super) fn packs(ir: &Ir) -> Ir {
    let frozen = frozen(ir);
    let mut new = Rebuild::new(ir);
    for i in 0..ir.nodes.len() {
        let Some((conv, pack)) = packable(ir, i, &frozen) else {
            new.copy(i);
            continue;
        };
        let node = &ir.nodes[i];
        let kernel = new.moved[&node.inputs[1]];
        let packed = Spec::known(&[pack.packed_len().unwrap_or(0)], pack.dtype);
        let packed = new.push(Arc::new(pack.clone()), smallvec![kernel], packed);
        let mut inputs: SmallVec<[Port; 4]> = smallvec![new.moved[&node.inputs[0]], packed];
        inputs.extend(node.inputs[2..].iter().map(|p| new.moved[p]));
        let (bias, relu) = (conv.bias, conv.activation.is_some());
        let op = Arc::new(ConvPacked { pack, bias, residual: false, relu });
        let to = new.push(op, inputs, node.specs[0].clone());
        new.moved.insert(Port { node: i as u32, output: 0 }, to);
    }
    new.finish()
}

fn packable(ir: &Ir, i: usize, frozen: &[bool]) -> Option<(Conv, ConvPack)> {
    let any: &dyn Any = ir.op(i as u32)?.as_ref();
    let conv = any.downcast_ref::<Conv>()?;
    let [x, kernel] = ir.nodes[i].inputs[..2] else { return None };
    if !frozen[kernel.node as usize] || conv.activation.is_some_and(|f| f != Unary::Relu) {
        return None;
    }
    let dtype = spec(ir, x).dtype;
    let (x, k) = (spec(ir, x).shape.dims()?.to_vec(), spec(ir, kernel).shape.dims()?.to_vec());
    let pack = ConvPack { conv: Conv { bias: false, activation: None, ..conv.clone() }, x, k, dtype };
    pack.packed_len()?;
    Some((conv.clone(), pack))
}

/// Sums and relus behind packed convolutions happen on their way out. Rewrites the last node of a match.
pub(super) fn tails(ir: &mut Ir) {
    let uses = ir.uses();
    let once = |p: Port| uses.get(&p) == Some(&1);
    let packed = |ir: &Ir, p: Port| {
        let any: &dyn Any = ir.op(p.node)?.as_ref();
        any.downcast_ref::<ConvPacked>().filter(|c| !c.relu && once(p)).cloned()
    };
    for i in 0..ir.nodes.len() {
        if let Some(sides) = sides(ir, i, Binary::Add) {
            // Of two convolutions the later one takes the sum of the other.
            let found = sides
                .into_iter()
                .filter(|&(conv, other)| {
                    [conv, other].iter().all(|&p| spec(ir, p) == &ir.nodes[i].specs[0])
                        && packed(ir, conv).is_some_and(|c| !c.residual && !c.pack.conv.rounded)
                })
                .max_by_key(|(conv, _)| conv.node);
            let Some((conv, other)) = found else { continue };
            let Some(op) = packed(ir, conv) else { continue };
            let mut inputs = ir.nodes[conv.node as usize].inputs.clone();
            inputs.push(other);
            ir.nodes[i].kind = NodeKind::Op(Arc::new(ConvPacked { residual: true, ..op }));
            ir.nodes[i].inputs = inputs;
        } else if ir.op(i as u32).and_then(|op| op.traits().lane) == Some(Lane::Unary(Unary::Relu)) {
            let from = ir.nodes[i].inputs[0];
            let Some(op) = packed(ir, from) else { continue };
            ir.nodes[i].inputs = ir.nodes[from.node as usize].inputs.clone();
            ir.nodes[i].kind = NodeKind::Op(Arc::new(ConvPacked { relu: true, ..op }));
        }
    }
}
