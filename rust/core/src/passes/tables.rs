//! Products of rows that were looked up: where a table has fewer rows than there are look-ups (an embedding of
//! characters before a recurrent layer), the table is multiplied instead of what was looked up.
//!
//! With rows E\[ids\] of a table E: E\[ids\] W = (E W)\[ids\]; and with S the rows of D added up by ids, E\[ids\]ᵀ D = Eᵀ S, the rows
//! of D Wᵀ added up by ids are S Wᵀ, and the rows of D add up to those of S.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use smallvec::smallvec;

use super::Ir;
use super::frozen::{Rebuild, per_channel, spec};
use crate::dtype::DType;
use crate::op::{Binary, Lane, Op, Unary};
use crate::ops::cast::Cast;
use crate::ops::gather::{Gather, ScatterAdd};
use crate::ops::matmul::MatMul;
use crate::ops::reshape::Reshape;
use crate::shape::{Shape, Spec};
use crate::trace::{NodeKind, Port};

/// Rows (of the last axis of `from`) to be added up by `ids` into a table of so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sum {
    from: Port,
    ids: Port,
    rows: usize,
}

/// What a node becomes.
enum Change {
    /// A look-up in the product of the table.
    Lookup { table: Port, ids: Port },
    /// A product of the table with sums.
    Outer { table: Port, sum: Sum },
    /// A product of sums, or several added up.
    Inner(Inner),
}

enum Inner {
    Product { node: u32, sum: Sum },
    Total { node: u32, parts: Vec<Inner> },
}

impl Inner {
    fn sums(&self) -> Vec<Sum> {
        match self {
            Inner::Product { sum, .. } => vec![*sum],
            Inner::Total { parts, .. } => parts.iter().flat_map(Inner::sums).collect(),
        }
    }
}

/// Rewrites products with look-ups and their gradients.
pub(super) fn run(ir: &Ir) -> Ir {
    let uses = ir.uses();
    let changes: Vec<Option<Change>> = (0..ir.nodes.len()).map(|i| change(ir, i, &uses)).collect();
    let mut wanted: HashSet<Sum> = HashSet::new();
    for change in changes.iter().flatten() {
        match change {
            Change::Lookup { .. } => {}
            Change::Outer { sum, .. } => drop(wanted.insert(*sum)),
            Change::Inner(inner) => wanted.extend(inner.sums()),
        }
    }
    let by_source: HashMap<Port, Sum> = wanted.iter().map(|s| (s.from, *s)).collect();
    let mut new = Rebuild::new(ir);
    let mut sums: HashMap<Sum, Port> = HashMap::new();
    for (i, change) in changes.into_iter().enumerate() {
        let node = &ir.nodes[i];
        let made = match change {
            Some(Change::Lookup { table, ids }) => {
                let mut inputs = node.inputs.clone();
                inputs[0] = table;
                let inputs = inputs.iter().map(|p| new.moved[p]).collect();
                let rows = spec(ir, table).shape[0];
                let columns = node.specs[0].shape[node.specs[0].shape.rank() - 1];
                let product = Spec::new(Shape::new([rows, columns]), node.specs[0].dtype);
                let product = new.push(op_of(ir, i), inputs, product);
                let ids = new.moved[&ids];
                new.push(Arc::new(Gather { axis: 0 }), smallvec![product, ids], node.specs[0].clone())
            }
            Some(Change::Outer { table, sum }) => {
                let added = add_up(ir, &mut new, &mut sums, sum);
                let table = new.moved[&table];
                new.push(op_of(ir, i), smallvec![table, added], node.specs[0].clone())
            }
            Some(Change::Inner(inner)) => build(ir, &mut new, &mut sums, &inner, &node.specs[0]),
            None => match bias(ir, i, &by_source) {
                // The sums exist by now, or their rows do.
                Some(sum) if new.moved.contains_key(&sum.ids) => {
                    let added = add_up(ir, &mut new, &mut sums, sum);
                    let from = spec(ir, sum.from);
                    let mut dims = vec![1; from.shape.rank()];
                    let last = dims.len() - 1;
                    dims[last - 1] = sum.rows as i64;
                    dims[last] = from.shape[last].map_or(-1, |d| d as i64);
                    let shape = Shape::new(dims.iter().map(|&d| Some(d as usize)));
                    let as_before = Spec::new(shape, from.dtype);
                    let added = new.push(Arc::new(Reshape { shape: dims }), smallvec![added], as_before);
                    new.push(op_of(ir, i), smallvec![added], node.specs[0].clone())
                }
                _ => {
                    new.copy(i);
                    continue;
                }
            },
        };
        new.moved.insert(Port { node: i as u32, output: 0 }, made);
    }
    new.finish()
}

/// The products that [`run`] would rewrite if they were of float32: where they are not yet, they should become it.
pub(super) fn products(ir: &Ir) -> HashSet<u32> {
    let mut found = HashSet::new();
    for (i, node) in ir.nodes.iter().enumerate() {
        if ir.downcast::<MatMul>(i as u32).is_some() && lookup(ir, behind(ir, node.inputs[0])).is_some() {
            found.insert(i as u32);
        } else if few_sums(ir, i).is_some() {
            let mut rows = vec![node.inputs[0]];
            while let Some(p) = rows.pop() {
                let node = behind(ir, p).node;
                if ir.downcast::<MatMul>(node).is_some() {
                    found.insert(node);
                } else if ir.op(node).is_some_and(|op| op.traits().lane == Some(Lane::Binary(Binary::Add))) {
                    rows.extend(&ir.nodes[node as usize].inputs);
                }
            }
        }
    }
    found
}

/// The value behind conversions and reshapes.
fn behind(ir: &Ir, p: Port) -> Port {
    let mut p = p;
    while ir.downcast::<Reshape>(p.node).is_some() || ir.downcast::<Cast>(p.node).is_some() {
        p = ir.nodes[p.node as usize].inputs[0];
    }
    p
}

fn op_of(ir: &Ir, i: usize) -> Arc<dyn Op> {
    match &ir.nodes[i].kind {
        NodeKind::Op(op) => op.clone(),
        _ => unreachable!("only ops are rewritten"),
    }
}

/// The value behind reshapes that keep the last axis.
fn rows_of(ir: &Ir, p: Port) -> Port {
    let mut p = p;
    while ir.downcast::<Reshape>(p.node).is_some() {
        let from = ir.nodes[p.node as usize].inputs[0];
        if spec(ir, from).shape.last() != spec(ir, p).shape.last() {
            break;
        }
        p = from;
    }
    p
}

/// A table of `rows` rows pays for being worked on itself: there are at least twice as many ids.
fn few_rows(ir: &Ir, rows: usize, ids: Port) -> Option<bool> {
    let ids = &spec(ir, ids).shape;
    Some(ids.rank() > 0 && 2 * rows <= ids.len()?)
}

/// (table, ids) of a look-up in a matrix of few rows.
fn lookup(ir: &Ir, p: Port) -> Option<(Port, Port)> {
    let gather = ir.downcast::<Gather>(p.node)?;
    let [table, ids] = ir.nodes[p.node as usize].inputs[..] else { return None };
    let of = &spec(ir, table).shape;
    (gather.axis == 0 && of.rank() == 2 && few_rows(ir, of[0]?, ids)?).then_some((table, ids))
}

/// The same, if products with the table are of floats.
fn float_lookup(ir: &Ir, p: Port) -> Option<(Port, Port)> {
    lookup(ir, p).filter(|(table, _)| matches!(spec(ir, *table).dtype, DType::F32 | DType::F64))
}

/// (ids, rows) of rows that are added up into a table of few rows.
fn few_sums(ir: &Ir, i: usize) -> Option<(Port, usize)> {
    let scatter = ir.downcast::<ScatterAdd>(i as u32)?;
    let (ids, rows) = (ir.nodes[i].inputs[1], usize::try_from(scatter.size).ok()?);
    let table = scatter.axis == 0 && ir.nodes[i].specs[0].shape.rank() == 2;
    (table && few_rows(ir, rows, ids)?).then_some((ids, rows))
}

/// A product with a matrix on its right, the left side not transposed.
fn plain_product(ir: &Ir, node: u32) -> Option<&MatMul> {
    let inputs = &ir.nodes[node as usize].inputs;
    ir.downcast::<MatMul>(node).filter(|m| !m.transpose_a && spec(ir, inputs[1]).shape.rank() == 2)
}

/// `from` has one row for each of `ids`.
fn one_each(ir: &Ir, from: Port, ids: Port) -> bool {
    let (from, ids) = (&spec(ir, from).shape, &spec(ir, ids).shape);
    from.rank() == ids.rank() + 1 && from.0[..ids.rank()] == ids.0[..]
}

fn change(ir: &Ir, i: usize, uses: &HashMap<Port, usize>) -> Option<Change> {
    let inputs = &ir.nodes[i].inputs;
    if let Some(m) = ir.downcast::<MatMul>(i as u32) {
        if plain_product(ir, i as u32).is_some() {
            let (table, ids) = float_lookup(ir, inputs[0])?;
            return Some(Change::Lookup { table, ids });
        }
        if !m.transpose_a || m.transpose_b || m.bias || m.activation.is_some() {
            return None;
        }
        let (table, ids) = float_lookup(ir, rows_of(ir, inputs[0]))?;
        let from = rows_of(ir, inputs[1]);
        let rows = spec(ir, table).shape[0]?;
        let matrices = spec(ir, inputs[0]).shape.rank() == 2 && spec(ir, inputs[1]).shape.rank() == 2;
        let good = matrices && one_each(ir, from, ids);
        return good.then_some(Change::Outer { table, sum: Sum { from, ids, rows } });
    }
    let (ids, rows) = few_sums(ir, i)?;
    inner(ir, inputs[0], ids, rows, uses).map(Change::Inner)
}

/// The sums of rows that are products, or totals of products, and nothing else.
fn inner(ir: &Ir, p: Port, ids: Port, rows: usize, uses: &HashMap<Port, usize>) -> Option<Inner> {
    let node = p.node;
    let inputs = &ir.nodes[node as usize].inputs;
    let float = matches!(spec(ir, p).dtype, DType::F32 | DType::F64);
    if uses.get(&p) != Some(&1) || !float || !one_each(ir, p, ids) {
        return None;
    }
    if plain_product(ir, node).is_some_and(|m| !m.bias && m.activation.is_none()) {
        let from = inputs[0];
        return one_each(ir, from, ids).then_some(Inner::Product { node, sum: Sum { from, ids, rows } });
    }
    let lane = ir.op(node)?.traits().lane;
    if lane == Some(Lane::Unary(Unary::Bfloat16)) {
        // Rounded once, after they are added up.
        return Some(Inner::Total { node, parts: vec![inner(ir, inputs[0], ids, rows, uses)?] });
    }
    let add = lane == Some(Lane::Binary(Binary::Add));
    if !add || inputs.iter().any(|&x| spec(ir, x) != spec(ir, p)) {
        return None;
    }
    let parts = inputs.iter().map(|&x| inner(ir, x, ids, rows, uses)).collect::<Option<_>>()?;
    Some(Inner::Total { node, parts })
}

/// A sum over all rows of what is added up anyway.
fn bias(ir: &Ir, i: usize, by_source: &HashMap<Port, Sum>) -> Option<Sum> {
    let [from] = ir.nodes[i].inputs[..] else { return None };
    let here = Port { node: i as u32, output: 0 };
    let sum = ir.op(i as u32)?.name() == "sum" && per_channel(ir, here, spec(ir, from));
    by_source.get(&from).copied().filter(|_| sum)
}

fn add_up(ir: &Ir, new: &mut Rebuild<'_>, sums: &mut HashMap<Sum, Port>, sum: Sum) -> Port {
    if let Some(&made) = sums.get(&sum) {
        return made;
    }
    let from = spec(ir, sum.from);
    let columns = from.shape[from.shape.rank() - 1];
    let out = Spec::new(Shape::new([Some(sum.rows), columns]), from.dtype);
    let inputs = smallvec![new.moved[&sum.from], new.moved[&sum.ids]];
    let made = new.push(Arc::new(ScatterAdd { axis: 0, size: sum.rows as i64 }), inputs, out);
    sums.insert(sum, made);
    made
}

fn build(ir: &Ir, new: &mut Rebuild<'_>, sums: &mut HashMap<Sum, Port>, inner: &Inner, out: &Spec) -> Port {
    match inner {
        Inner::Product { node, sum } => {
            let added = add_up(ir, new, sums, *sum);
            let right = new.moved[&ir.nodes[*node as usize].inputs[1]];
            new.push(op_of(ir, *node as usize), smallvec![added, right], out.clone())
        }
        Inner::Total { node, parts } => {
            let parts = parts.iter().map(|part| build(ir, new, sums, part, out)).collect();
            new.push(op_of(ir, *node as usize), parts, out.clone())
        }
    }
}
