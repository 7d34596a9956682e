//! Big patterns: a product or convolution, plus bias, then an activation, becomes one op with an epilogue.

use std::any::Any;
use std::sync::Arc;

use super::Ir;
use crate::op::{Lane, Op, Unary};
use crate::ops::matmul::MatMul;
use crate::trace::{NodeKind, Port};

/// Rewrites the last node of every match; the nodes before it are dropped as dead afterwards.
pub(super) fn run(ir: &mut Ir) {
    let uses = ir.uses();
    let once = |p: Port| uses.get(&p) == Some(&1);
    for i in 0..ir.nodes.len() {
        let NodeKind::Op(op) = &ir.nodes[i].kind else { continue };
        let inputs = ir.nodes[i].inputs.clone();
        match op.traits().lane {
            Some(Lane::Binary(f)) if f.name() == "add" => {
                // x·w + b, either way round.
                for (product, bias) in [(inputs[0], inputs[1]), (inputs[1], inputs[0])] {
                    if !once(product) || ir.nodes[i].specs[0] != ir.nodes[product.node as usize].specs[0] {
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
            Some(Lane::Unary(f)) if once(inputs[0]) => {
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

/// The op with a bias, if it can take one and `bias` is one value per column.
fn with_bias(ir: &Ir, product: Port, bias: Port) -> Option<Arc<dyn Op>> {
    let op = ir.op(product.node)?;
    let out = &ir.nodes[product.node as usize].specs[0];
    let spec = &ir.nodes[bias.node as usize].specs[bias.output as usize];
    let one_per_column =
        spec.shape.rank() == 1 && spec.shape[0] == *out.shape.last()? && spec.dtype == out.dtype;
    if !one_per_column || !matches!(out.dtype, crate::dtype::DType::F32 | crate::dtype::DType::F64) {
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
