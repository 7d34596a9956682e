//! Chains of elementwise ops become one op that touches memory once.
//!
//! A node joins the group of its consumers if all of them are in one group of the same shape: then nothing outside can
//! lie between them, and the group runs where its last node stood. Intermediate values that are wanted in the end (a
//! moment of Adam, an activation) become further outputs.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::Ir;
use crate::dtype::DType;
use crate::op::{Binary, Lane, Unary};
use crate::ops::fused::{Access, Fused, Step};
use crate::trace::{Node, NodeKind, Port};

/// Longer chains would spill out of the first-level cache.
const MOST: usize = 48;

/// What a node computes in, if a chain can run it.
fn computes_in(ir: &Ir, node: &Node) -> Option<DType> {
    let NodeKind::Op(op) = &node.kind else { return None };
    let dtype = |i: usize| {
        let p = node.inputs[i];
        ir.nodes[p.node as usize].specs[p.output as usize].dtype
    };
    let float = |d: DType| matches!(d, DType::F32 | DType::F64).then_some(d);
    match op.traits().lane? {
        Lane::Unary(Unary::BitNot) => None,
        Lane::Unary(_) => float(dtype(0)),
        Lane::Binary(f) => {
            use Binary::*;
            if matches!(f, BitAnd | BitOr | BitXor | Shl | Shr | Nextafter) { None } else { float(dtype(0)) }
        }
        Lane::Select => float(dtype(1)),
        // Numbers that a float32 holds exactly enough: what the cast itself would round, the load rounds alike.
        Lane::Cast(to) if dtype(0) != DType::F64 && dtype(0) != DType::F32 => float(to),
        // At the end of a chain, whose result is rounded as it is stored.
        Lane::Cast(DType::BF16) if dtype(0) == DType::F32 => Some(DType::F32),
        Lane::Cast(_) => None,
    }
}

/// Does the node give what the chain it ends holds with more bits?
fn narrows(ir: &Ir, node: &Node) -> bool {
    let p = node.inputs[0];
    node.specs[0].dtype == DType::BF16
        && matches!(&node.kind, NodeKind::Op(op) if matches!(op.traits().lane, Some(Lane::Cast(_))))
        && ir.nodes[p.node as usize].specs[p.output as usize].dtype == DType::F32
}

/// Groups the nodes and replaces each group by one node.
pub(super) fn run(ir: Ir) -> Ir {
    let n = ir.nodes.len();
    let mut consumers: Vec<SmallVec<[u32; 4]>> = vec![SmallVec::new(); n];
    for (i, node) in ir.nodes.iter().enumerate() {
        for p in &node.inputs {
            consumers[p.node as usize].push(i as u32);
        }
    }
    let mut wanted = vec![false; n];
    for p in ir.roots() {
        wanted[p.node as usize] = true;
    }
    // Consumers come later, so they have their group when a node is looked at.
    let mut group: Vec<Option<u32>> = vec![None; n];
    let mut size = vec![0usize; n];
    for i in (0..n).rev() {
        let node = &ir.nodes[i];
        let Some(wide) = computes_in(&ir, node) else { continue };
        let mut joint = consumers[i].first().and_then(|&c| group[c as usize]);
        for &c in &consumers[i] {
            if group[c as usize] != joint || joint.is_none() {
                joint = None;
                break;
            }
        }
        let fits = joint.is_some_and(|g| {
            let sink = &ir.nodes[g as usize];
            sink.specs[0].shape == node.specs[0].shape
                && computes_in(&ir, sink) == Some(wide)
                && size[g as usize] < MOST
        });
        // A cast of something that the same chain computes would skip its rounding; only loads and stores convert.
        let sink = if fits && !narrows(&ir, node) { joint.unwrap_or(i as u32) } else { i as u32 };
        group[i] = Some(sink);
        size[sink as usize] += 1;
    }
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    for (i, g) in group.iter().enumerate() {
        if let Some(g) = g {
            members.entry(*g).or_default().push(i as u32);
        }
    }
    let mut out = Ir { inputs: ir.inputs.clone(), ..Ir::default() };
    let mut moved: HashMap<Port, Port> = HashMap::with_capacity(n);
    for (i, node) in ir.nodes.iter().enumerate() {
        let at = i as u32;
        match group[i] {
            Some(g) if g != at => continue,
            Some(_) => {
                if let Some((fused, ports)) = build(&ir, &members[&at], &wanted, &moved) {
                    out.nodes.push(fused);
                    let place = (out.nodes.len() - 1) as u32;
                    for (o, p) in ports.into_iter().enumerate() {
                        moved.insert(p, Port { node: place, output: o as u32 });
                    }
                    continue;
                }
                // What cannot be planned runs as it was, member by member.
                for &m in &members[&at] {
                    copy_node(&ir, m, &mut out, &mut moved);
                }
            }
            None => copy_node(&ir, at, &mut out, &mut moved),
        }
        let _ = node;
    }
    (out.outputs, out.assigns, out.effects) = (ir.outputs, ir.assigns, ir.effects);
    out.redirect(|p| moved[&p]);
    out
}

fn copy_node(ir: &Ir, i: u32, out: &mut Ir, moved: &mut HashMap<Port, Port>) {
    let mut node = ir.nodes[i as usize].clone();
    for p in &mut node.inputs {
        *p = moved[p];
    }
    let place = out.nodes.len() as u32;
    for output in 0..node.specs.len() as u32 {
        moved.insert(Port { node: i, output }, Port { node: place, output });
    }
    out.nodes.push(node);
}

/// The fused node of a group and the old ports of its outputs.
fn build(
    ir: &Ir,
    members: &[u32],
    wanted: &[bool],
    moved: &HashMap<Port, Port>,
) -> Option<(Node, Vec<Port>)> {
    let sink = *members.last()?;
    let node = &ir.nodes[sink as usize];
    let shape = node.specs[0].shape.dims()?;
    let wide = computes_in(ir, node)? == DType::F64;
    let mut steps: Vec<Step> = Vec::new();
    let mut value: HashMap<Port, usize> = HashMap::new();
    let (mut inputs, mut ports): (Vec<(DType, Access)>, SmallVec<[Port; 4]>) = (Vec::new(), SmallVec::new());
    let mut outputs: Vec<(Port, usize)> = Vec::new();
    for &m in members {
        let node = &ir.nodes[m as usize];
        let NodeKind::Op(op) = &node.kind else { return None };
        let mut args: SmallVec<[usize; 3]> = SmallVec::new();
        for &p in &node.inputs {
            if let Some(&v) = value.get(&p) {
                args.push(v);
                continue;
            }
            let source = &ir.nodes[p.node as usize];
            let scalar = match &source.kind {
                NodeKind::Const(t) if t.shape().iter().product::<usize>() == 1 => {
                    t.to_f64().ok()?.first().copied()
                }
                _ => None,
            };
            if let Some(c) = scalar {
                steps.push(Step::Const(c));
            } else {
                // Look through repetition: the chain repeats by itself.
                let mut from = p;
                while let NodeKind::Op(op) = &ir.nodes[from.node as usize].kind
                    && op.name() == "broadcast_to"
                {
                    from = ir.nodes[from.node as usize].inputs[0];
                }
                let spec = &ir.nodes[from.node as usize].specs[from.output as usize];
                let access = access(&spec.shape.dims()?, &shape)?;
                steps.push(Step::Load(inputs.len()));
                inputs.push((spec.dtype, access));
                ports.push(*moved.get(&from)?);
            }
            value.insert(p, steps.len() - 1);
            args.push(steps.len() - 1);
        }
        let step = match op.traits().lane? {
            Lane::Unary(f) => Some(Step::Unary(f, args[0])),
            Lane::Binary(f) => Some(Step::Binary(f, args[0], args[1])),
            Lane::Select => Some(Step::Ternary(crate::op::Ternary::Select, args[0], args[1], args[2])),
            Lane::Cast(_) => None,
        };
        let port = Port { node: m, output: 0 };
        let result = match step {
            Some(step) => {
                steps.push(step);
                steps.len() - 1
            }
            None => args[0],
        };
        value.insert(port, result);
        if wanted[m as usize] || m == sink {
            outputs.push((port, result));
        }
    }
    let dtypes: Vec<DType> = outputs.iter().map(|(p, _)| ir.nodes[p.node as usize].specs[0].dtype).collect();
    for (o, (_, value)) in outputs.iter().enumerate() {
        steps.push(Step::Store { output: o, value: *value });
    }
    let specs = outputs.iter().map(|(p, _)| ir.nodes[p.node as usize].specs[0].clone()).collect();
    let fused = Fused::new(&shape, wide, inputs, dtypes, steps).ok()?;
    Some((
        Node { kind: NodeKind::Op(Arc::new(fused)), inputs: ports, specs },
        outputs.into_iter().map(|(p, _)| p).collect(),
    ))
}

/// How a contiguous input of shape `from` is read by a chain over `to`.
fn access(from: &[usize], to: &[usize]) -> Option<Access> {
    let count: usize = from.iter().product();
    if from == to
        || (count == to.iter().product::<usize>()
            && from.iter().filter(|&&d| d != 1).eq(to.iter().filter(|&&d| d != 1)))
    {
        return Some(Access::Contiguous);
    }
    if count == 1 {
        return Some(Access::Scalar);
    }
    let lead = to.len().checked_sub(from.len())?;
    let full: SmallVec<[usize; 6]> = std::iter::repeat_n(1, lead).chain(from.iter().copied()).collect();
    let first = full.iter().position(|&d| d != 1)?;
    let last = full.iter().rposition(|&d| d != 1)?;
    let middle = full[first..=last] == to[first..=last];
    if middle && to[last + 1..].iter().all(|&d| d == 1) {
        return Some(Access::Row { period: count });
    }
    if middle && to[..first].iter().all(|&d| d == 1) {
        return Some(Access::Column { inner: to[last + 1..].iter().product() });
    }
    let mut strides = vec![0usize; to.len()];
    let mut step = 1;
    for i in (0..to.len()).rev() {
        if full[i] != 1 {
            if full[i] != to[i] {
                return None;
            }
            strides[i] = step;
        }
        step *= full[i];
    }
    Some(Access::Strided { shape: to.to_vec(), strides })
}
