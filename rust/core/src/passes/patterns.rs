//! Big patterns: a product or convolution, plus bias, then an activation, becomes one op with an epilogue.

use std::any::Any;
use std::collections::HashMap;
use std::sync::Arc;

use smallvec::{SmallVec, smallvec};

use super::Ir;
use super::frozen::{Rebuild, per_channel, spec};
use crate::dtype::DType;
use crate::op::{Binary, Lane, Op, Unary};
use crate::ops::conv::ConvKernelGrad;
use crate::ops::matmul::MatMul;
use crate::ops::norm::{BatchNorm, BatchNormGrad};
use crate::ops::pooling::{Kind, PoolGrad};
use crate::ops::reshape::Reshape;
use crate::shape::Spec;
use crate::trace::{NodeKind, Port};

/// Rewrites the last node of every match; the nodes before it are dropped as dead afterwards.
pub(super) fn run(ir: &mut Ir) {
    epilogues(ir, |_, _| true);
    pool_relu(ir);
    norm_relu(ir);
    norm_rounded(ir);
}

/// Batch norm and its gradient round on the way out.
fn norm_rounded(ir: &mut Ir) {
    let uses = ir.uses();
    let mut moved: HashMap<Port, Port> = HashMap::new();
    for i in 0..ir.nodes.len() {
        for p in &mut ir.nodes[i].inputs {
            *p = *moved.get(p).unwrap_or(p);
        }
        let Some(Lane::Unary(Unary::Bfloat16)) = ir.op(i as u32).and_then(|op| op.traits().lane) else {
            continue;
        };
        let from = ir.nodes[i].inputs[0];
        let norm = ir.downcast::<BatchNorm>(from.node).is_some_and(|n| !n.rounded)
            || ir.downcast::<BatchNormGrad>(from.node).is_some_and(|n| !n.rounded);
        if from.output == 0
            && norm
            && uses.get(&from) == Some(&1)
            && let Some(op) = ir.op(from.node).and_then(|op| op.rounded())
        {
            ir.nodes[from.node as usize].kind = NodeKind::Op(op);
            moved.insert(Port { node: i as u32, output: 0 }, from);
        }
    }
    ir.redirect(|p| *moved.get(&p).unwrap_or(&p));
}

/// Biases, activations and roundings join the products and convolutions before them that `may` take them up.
pub(super) fn epilogues(ir: &mut Ir, may: impl Fn(&Ir, u32) -> bool) {
    let uses = ir.uses();
    let once = |p: Port| uses.get(&p) == Some(&1);
    for i in 0..ir.nodes.len() {
        let NodeKind::Op(op) = &ir.nodes[i].kind else { continue };
        let inputs = ir.nodes[i].inputs.clone();
        match op.traits().lane {
            Some(Lane::Binary(f)) if f.name() == "add" => {
                // x·w + b, either way round.
                for (product, bias) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
                    if !once(product)
                        || !may(ir, product.node)
                        || ir.nodes[i].specs[0] != ir.nodes[product.node as usize].specs[0]
                    {
                        continue;
                    }
                    if is_rounded(ir, product) {
                        continue;
                    }
                    let Some(fused) = with_bias(ir, product, bias) else { continue };
                    let mut inputs = ir.nodes[product.node as usize].inputs.clone();
                    inputs.push(bias);
                    ir.nodes[i].kind = NodeKind::Op(fused);
                    ir.nodes[i].inputs = inputs;
                    break;
                }
            }
            Some(Lane::Unary(Unary::Bfloat16)) if once(inputs[0]) && may(ir, inputs[0].node) => {
                if let Some((fused, inputs)) = rounded(ir, inputs[0], &once) {
                    ir.nodes[i].kind = NodeKind::Op(fused);
                    ir.nodes[i].inputs = inputs;
                }
            }
            Some(Lane::Unary(f)) if once(inputs[0]) && may(ir, inputs[0].node) => {
                let exact = f == Unary::Relu || !is_rounded(ir, inputs[0]);
                if !exact {
                    continue;
                }
                let Some(fused) = ir.op(inputs[0].node).and_then(|op| with_activation(op.as_ref(), f)) else {
                    continue;
                };
                ir.nodes[i].inputs = ir.nodes[inputs[0].node as usize].inputs.clone();
                ir.nodes[i].kind = NodeKind::Op(fused);
            }
            _ => {}
        }
    }
}

/// What gives `p` rounded: the op itself, or a product that was rounded before its bias or its activation.
fn rounded(ir: &Ir, p: Port, once: &impl Fn(Port) -> bool) -> Option<(Arc<dyn Op>, SmallVec<[Port; 4]>)> {
    let node = &ir.nodes[p.node as usize];
    let NodeKind::Op(op) = &node.kind else { return None };
    if let Some(fused) = op.rounded().filter(|_| node.specs.len() == 1 && !is_rounded(ir, p)) {
        return Some((fused, node.inputs.clone()));
    }
    match op.traits().lane? {
        Lane::Binary(Binary::Add) => {
            let [a, b] = node.inputs[..] else { return None };
            [(a, b), (b, a)].into_iter().find_map(|(product, bias)| {
                let fits = once(product)
                    && is_rounded(ir, product)
                    && node.specs[0] == ir.nodes[product.node as usize].specs[0];
                let fused = with_bias(ir, product, bias).filter(|_| fits)?;
                let mut inputs = ir.nodes[product.node as usize].inputs.clone();
                inputs.push(bias);
                Some((fused, inputs))
            })
        }
        Lane::Unary(f) => {
            let product = node.inputs[0];
            let fits = once(product) && is_rounded(ir, product);
            let fused = with_activation(ir.op(product.node)?.as_ref(), f).filter(|_| fits)?;
            Some((fused, ir.nodes[product.node as usize].inputs.clone()))
        }
        _ => None,
    }
}

/// Is it a product or a convolution that rounds every step?
fn is_rounded(ir: &Ir, p: Port) -> bool {
    ir.downcast::<MatMul>(p.node).is_some_and(|m| m.rounded)
        || ir.downcast::<crate::ops::conv::Conv>(p.node).is_some_and(|c| c.rounded)
}

/// The gradient of a bias is summed while the gradient of the kernel reads the same values.
pub(super) fn bias_grads(ir: &Ir) -> Ir {
    // Sums over all but the channels, by what they add up; and the kernel gradients that read the same.
    let mut sums: HashMap<Port, usize> = HashMap::new();
    for (i, node) in ir.nodes.iter().enumerate() {
        if let (NodeKind::Op(op), [dy]) = (&node.kind, &node.inputs[..])
            && op.name() == "sum"
            && per_channel(ir, Port { node: i as u32, output: 0 }, spec(ir, *dy))
        {
            sums.entry(*dy).or_insert(i);
        }
    }
    let mut pairs: HashMap<usize, usize> = HashMap::new();
    for (j, node) in ir.nodes.iter().enumerate() {
        if let Some(grad) = kernel_grad(ir, j)
            && !grad.bias
            && let Some(&i) = sums.get(&node.inputs[1])
            // Both inputs are there when the first of the two runs.
            && (node.inputs[0].node as usize) < i.min(j)
            && sums.remove(&node.inputs[1]).is_some()
        {
            pairs.insert(i.min(j), i.max(j));
        }
    }
    let mut new = Rebuild::new(ir);
    let mut done: Vec<usize> = Vec::new();
    for a in 0..ir.nodes.len() {
        if done.contains(&a) {
            continue;
        }
        let Some(&b) = pairs.get(&a) else {
            new.copy(a);
            continue;
        };
        let (sum, grad) = if kernel_grad(ir, a).is_some() { (b, a) } else { (a, b) };
        let Some(op) = kernel_grad(ir, grad) else { unreachable!("it was found to be one") };
        let both = Arc::new(ConvKernelGrad { bias: true, ..op.clone() });
        // The input of the kernel gradient comes from the forward pass, before either.
        let inputs: SmallVec<[Port; 4]> = ir.nodes[grad].inputs.iter().map(|p| new.moved[p]).collect();
        let kernel = new.push(both, inputs, ir.nodes[grad].specs[0].clone());
        let shape = &ir.nodes[sum].specs[0];
        let channels = shape.shape.last().copied().flatten().unwrap_or(1);
        new.out.nodes[kernel.node as usize].specs.push(Spec::known(&[channels], shape.dtype));
        let dims = shape.shape.iter().map(|d| d.map_or(1, |d| d as i64)).collect();
        let bias = Port { output: 1, ..kernel };
        let bias = new.push(Arc::new(Reshape { shape: dims }), smallvec![bias], shape.clone());
        new.moved.insert(Port { node: grad as u32, output: 0 }, kernel);
        new.moved.insert(Port { node: sum as u32, output: 0 }, bias);
        done.push(b);
    }
    new.finish()
}

fn kernel_grad(ir: &Ir, i: usize) -> Option<&ConvKernelGrad> {
    ir.downcast::<ConvKernelGrad>(i as u32)
}

/// The gradient of max pooling, then that of the relu before it: only maxima above zero get something.
fn pool_relu(ir: &mut Ir) {
    let uses = ir.uses();
    for i in 0..ir.nodes.len() {
        if ir.op(i as u32).and_then(|op| op.traits().lane) != Some(Lane::Binary(Binary::ReluGrad)) {
            continue;
        }
        let [dx, y] = ir.nodes[i].inputs[..] else { continue };
        let Some(op) = ir.op(dx.node).filter(|_| uses.get(&dx) == Some(&1)) else { continue };
        let any: &dyn Any = op.as_ref();
        let Some(pool) = any.downcast_ref::<PoolGrad>().filter(|p| p.pool.kind == Kind::Max && !p.relu)
        else {
            continue;
        };
        let inputs = ir.nodes[dx.node as usize].inputs.clone();
        if inputs[0] != y || ir.nodes[i].specs[0] != ir.nodes[dx.node as usize].specs[0] {
            continue;
        }
        ir.nodes[i].kind = NodeKind::Op(Arc::new(PoolGrad { relu: true, ..pool.clone() }));
        ir.nodes[i].inputs = inputs;
    }
}

/// Batch norm and the relu behind it are one op, and so are their gradients: the relu's is known from the input of the norm,
/// so its own pass over memory falls away.
fn norm_relu(ir: &mut Ir) {
    let uses = ir.uses();
    let once = |p: Port| uses.get(&p) == Some(&1);
    let norm = |ir: &Ir, p: Port| ir.downcast::<BatchNorm>(p.node).filter(|_| p.output == 0).cloned();
    let mut moved: HashMap<Port, Port> = HashMap::new();
    for i in 0..ir.nodes.len() {
        for p in &mut ir.nodes[i].inputs {
            *p = *moved.get(p).unwrap_or(p);
        }
        let here = Port { node: i as u32, output: 0 };
        let Some(op) = ir.op(i as u32) else { continue };
        if op.traits().lane == Some(Lane::Unary(Unary::Relu)) {
            let from = ir.nodes[i].inputs[0];
            let inner = unrounded(ir, from);
            if let Some(of) = norm(ir, inner).filter(|of| !of.relu && once(from) && once(inner)) {
                ir.nodes[inner.node as usize].kind = NodeKind::Op(Arc::new(BatchNorm { relu: true, ..of }));
                if inner == from {
                    moved.insert(here, from);
                } else {
                    // Rounding and relu may trade places.
                    ir.nodes[i].kind = ir.nodes[from.node as usize].kind.clone();
                    ir.nodes[i].inputs = smallvec![inner];
                }
            }
            continue;
        }
        let any: &dyn Any = op.as_ref();
        let Some(grad) = any.downcast_ref::<BatchNormGrad>().filter(|g| !g.of.relu) else { continue };
        let inputs = &ir.nodes[i].inputs;
        // The gradient of the relu: from its output, which is that of the norm by now.
        let gate = inputs[1];
        if ir.op(gate.node).and_then(|op| op.traits().lane) != Some(Lane::Binary(Binary::ReluGrad)) {
            continue;
        }
        let [dy, y] = ir.nodes[gate.node as usize].inputs[..] else { continue };
        let y = unrounded(ir, y);
        let Some(of) = norm(ir, y).filter(|of| of.relu) else { continue };
        let forward = &ir.nodes[y.node as usize];
        let same = forward.inputs[0] == inputs[0]
            && inputs[2] == Port { node: y.node, output: 1 }
            && inputs[3] == Port { node: y.node, output: 2 }
            && ir.nodes[gate.node as usize].specs[0] == ir.nodes[dy.node as usize].specs[dy.output as usize]
            && grad.of.norm.epsilon == of.norm.epsilon;
        if !same {
            continue;
        }
        let mut new = inputs.clone();
        new[1] = dy;
        if of.norm.offset {
            new.push(forward.inputs[forward.inputs.len() - 1]);
        }
        ir.nodes[i].kind = NodeKind::Op(Arc::new(BatchNormGrad { of, rounded: false }));
        ir.nodes[i].inputs = new;
    }
    ir.redirect(|p| *moved.get(&p).unwrap_or(&p));
}

/// What was rounded to give `p`, or `p` itself. Rounding changes no sign, but for numbers that count as zero.
fn unrounded(ir: &Ir, p: Port) -> Port {
    match ir.op(p.node).and_then(|op| op.traits().lane) {
        Some(Lane::Unary(Unary::Bfloat16)) => ir.nodes[p.node as usize].inputs[0],
        _ => p,
    }
}

/// The op with a bias, if it can take one and `bias` is one value per column.
fn with_bias(ir: &Ir, product: Port, bias: Port) -> Option<Arc<dyn Op>> {
    let op = ir.op(product.node)?;
    let out = &ir.nodes[product.node as usize].specs[0];
    let spec = &ir.nodes[bias.node as usize].specs[bias.output as usize];
    let one_per_column =
        spec.shape.rank() == 1 && spec.shape[0] == *out.shape.last()? && spec.dtype == out.dtype;
    if !one_per_column || !matches!(out.dtype, DType::BF16 | DType::F32 | DType::F64) {
        return None;
    }
    let any: &dyn Any = op.as_ref();
    if let Some(m) = any.downcast_ref::<MatMul>()
        && !m.bias
        && m.activation.is_none()
    {
        return Some(Arc::new(MatMul { bias: true, ..m.clone() }));
    }
    if let Some(c) = any.downcast_ref::<crate::ops::conv::Conv>()
        && !c.bias
        && c.activation.is_none()
    {
        return Some(Arc::new(crate::ops::conv::Conv { bias: true, ..c.clone() }));
    }
    None
}

/// The op with an activation at its end, if it can take one.
fn with_activation(op: &dyn Op, f: Unary) -> Option<Arc<dyn Op>> {
    let any: &dyn Any = op;
    if let Some(m) = any.downcast_ref::<MatMul>()
        && m.activation.is_none()
        && f.name() != "logical_not"
    {
        return Some(Arc::new(MatMul { activation: Some(f), ..m.clone() }));
    }
    if let Some(c) = any.downcast_ref::<crate::ops::conv::Conv>()
        && c.activation.is_none()
        && f.name() == "relu"
    {
        return Some(Arc::new(crate::ops::conv::Conv { activation: Some(f), ..c.clone() }));
    }
    None
}
