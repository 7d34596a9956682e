//! Folds what is known, shares what is equal, drops what changes nothing.

use std::collections::HashMap;

use super::Ir;
use crate::error::Result;
use crate::op::Lane;
use crate::tensor::Tensor;
use crate::trace::{self, Node, NodeKind, Port};
use smallvec::SmallVec;

/// Folded results above this size are not kept in the program.
const FOLD_BYTES: usize = 1 << 16;

/// One pass over the nodes in order; earlier nodes are final when later ones are looked at.
pub(super) fn run(ir: Ir) -> Result<Ir> {
    let mut out = Ir { inputs: ir.inputs.clone(), ..Ir::default() };
    // Where each old port went.
    let mut moved: HashMap<Port, Port> = HashMap::with_capacity(ir.nodes.len());
    let mut known: HashMap<String, u32> = HashMap::with_capacity(ir.nodes.len());
    for (i, mut node) in ir.nodes.into_iter().enumerate() {
        for p in &mut node.inputs {
            *p = moved[p];
        }
        let count = node.specs.len() as u32;
        let mut go = |to: &dyn Fn(u32) -> Port| {
            for output in 0..count {
                moved.insert(Port { node: i as u32, output }, to(output));
            }
        };
        if let Some(same) = identity(&node, &out) {
            go(&|_| same);
            continue;
        }
        let mut folded = Vec::new();
        if let Some(tensors) = fold(&node, &out)? {
            folded = tensors;
        }
        if !folded.is_empty() {
            let mut places: SmallVec<[Port; 1]> = SmallVec::new();
            for t in folded {
                places.push(Port { node: constant(&mut out, &mut known, t), output: 0 });
            }
            go(&|o| places[o as usize]);
            continue;
        }
        let key = match &node.kind {
            NodeKind::Op(op) if !op.traits().effect => Some(format!("{op:?}{:?}", node.inputs)),
            NodeKind::Const(t) => Some(const_key(t)),
            NodeKind::Read(v) => Some(format!("read {}", v.id())),
            _ => None,
        };
        let place = match key.as_ref().and_then(|k| known.get(k)) {
            Some(&place) => place,
            None => {
                out.nodes.push(node);
                let place = (out.nodes.len() - 1) as u32;
                if let Some(key) = key {
                    known.insert(key, place);
                }
                place
            }
        };
        go(&|output| Port { node: place, output });
    }
    (out.outputs, out.assigns, out.effects) = (ir.outputs, ir.assigns, ir.effects);
    out.redirect(|p| moved[&p]);
    Ok(out)
}

/// Small constants are equal if their elements are, large ones if they are the same tensor.
fn const_key(t: &Tensor) -> String {
    match t.shape().iter().product::<usize>() {
        0..=8 => format!(
            "const {:?} {:?} {:?}",
            t.dtype(),
            t.shape(),
            t.to_f64().unwrap_or_default().iter().map(|x| x.to_bits()).collect::<Vec<_>>()
        ),
        _ => format!("const #{}", t.key()),
    }
}

fn constant(out: &mut Ir, known: &mut HashMap<String, u32>, t: Tensor) -> u32 {
    *known.entry(const_key(&t)).or_insert_with(|| {
        let specs = SmallVec::from_elem(t.spec(), 1);
        out.nodes.push(Node { kind: NodeKind::Const(t), inputs: SmallVec::new(), specs });
        (out.nodes.len() - 1) as u32
    })
}

/// The results of an op on constants, if they are small.
fn fold(node: &Node, out: &Ir) -> Result<Option<Vec<Tensor>>> {
    let NodeKind::Op(op) = &node.kind else { return Ok(None) };
    let size: usize =
        node.specs.iter().map(|s| s.shape.len().unwrap_or(usize::MAX).saturating_mul(s.dtype.size())).sum();
    if op.traits().effect || node.inputs.is_empty() || (size > FOLD_BYTES && !op.traits().view) {
        return Ok(None);
    }
    let mut tensors: SmallVec<[&Tensor; 4]> = SmallVec::new();
    for p in &node.inputs {
        match &out.nodes[p.node as usize].kind {
            NodeKind::Const(t) => tensors.push(t),
            _ => return Ok(None),
        }
    }
    // A fault that the data shows belongs to the run, not to the compiler.
    Ok(trace::eval(op.as_ref(), &tensors).ok().map(|outputs| outputs.into_iter().collect()))
}

/// The input that a node merely repeats.
fn identity(node: &Node, out: &Ir) -> Option<Port> {
    let NodeKind::Op(op) = &node.kind else { return None };
    let first = *node.inputs.first()?;
    let spec = |p: Port| &out.nodes[p.node as usize].specs[p.output as usize];
    let traits = op.traits();
    if op.name() == "stop_gradient" {
        return Some(first);
    }
    // Views that keep shape and order: reshape and broadcast to the same shape.
    if traits.view && matches!(op.name(), "reshape" | "broadcast_to") && spec(first) == &node.specs[0] {
        return Some(first);
    }
    match traits.lane {
        Some(Lane::Cast(_)) if spec(first) == &node.specs[0] => Some(first),
        Some(Lane::Binary(f)) => {
            let second = node.inputs[1];
            let constant = |p: Port| match &out.nodes[p.node as usize].kind {
                NodeKind::Const(t) if t.shape().iter().all(|&d| d == 1) => t.to_f64().ok()?.first().copied(),
                _ => None,
            };
            let keeps = |p: Port| spec(p) == &node.specs[0];
            let (a, b) = (constant(first), constant(second));
            if keeps(first) && b.is_some_and(|b| is_neutral(f.name(), b, true)) {
                return Some(first);
            }
            if keeps(second) && a.is_some_and(|a| is_neutral(f.name(), a, false)) {
                return Some(second);
            }
            None
        }
        _ => None,
    }
}

/// Does `x ∘ c` (or `c ∘ x`) give x? Adding 0 turns -0 into 0, which no law of ours distinguishes.
fn is_neutral(op: &str, c: f64, right: bool) -> bool {
    match op {
        "multiply" => c == 1.0,
        "add" => c == 0.0,
        "subtract" => right && c == 0.0,
        "divide" | "power" => right && c == 1.0,
        _ => false,
    }
}
