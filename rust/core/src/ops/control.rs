//! Control flow over traced functions: scan, while_loop, cond.
//!
//! The functions' arguments are the values the caller passes, followed by those the trace captured.

use std::sync::Arc;

use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::op::*;
use crate::ops::elementwise as ew;
use crate::ops::{concat, reshape, slice};
use crate::shape::{Dim, Shape, Spec, agree};
use crate::tensor::{Tensor, View, ViewMut};
use crate::trace::{self, Function, GraphBody, NodeKind, Port, Value, push};

/// Folds a function over the first axis: (carries, slices of xs, captured) -> (new carries, ys). Inputs are the first
/// carries, the xs, the captured values; outputs the last carries and the stacked ys.
#[derive(Clone, Debug)]
pub struct Scan {
    /// The step.
    pub body: Function,
    /// The number of carries.
    pub carries: usize,
    /// The number of xs.
    pub xs: usize,
    /// The number of steps.
    pub length: usize,
    /// From the last slice to the first.
    pub reverse: bool,
}

/// Repeats variables = body(variables, captured by body) while cond(variables, captured by cond). Inputs are the
/// variables, what cond captured, what body captured; outputs the variables in the end.
#[derive(Clone, Debug)]
pub struct WhileLoop {
    /// Whether to go on: one truth value.
    pub cond: Function,
    /// The step.
    pub body: Function,
    /// How many values cond captured.
    pub cond_count: usize,
    /// The loop ends after so many steps at the latest.
    pub maximum_iterations: Option<usize>,
}

/// true_fn() or false_fn(), as input 0 says; then follow what the first captured and what the second did.
#[derive(Clone, Debug)]
pub struct Cond {
    /// Where true.
    pub true_fn: Function,
    /// Where false.
    pub false_fn: Function,
    /// How many values true_fn captured.
    pub true_count: usize,
}

/// A function ready to run many times on tensors: nodes that no result needs are left out, and every intermediate
/// result is dropped after its last use, so that its memory serves the next.
struct Runner {
    body: GraphBody,
    results: Vec<Port>,
    needed: Vec<bool>,
    /// Nodes whose results are last used by the node of this position.
    drops: Vec<Vec<u32>>,
}

impl Runner {
    fn new(f: &Function) -> Runner {
        let body = f.graph().lock().clone();
        let n = body.nodes.len();
        let (mut needed, mut last) = (vec![false; n], vec![usize::MAX; n]);
        for port in f.outputs() {
            needed[port.node as usize] = true;
        }
        for &node in &body.effects {
            needed[node as usize] = true;
        }
        let mut drops = vec![Vec::new(); n];
        for i in (0..n).rev() {
            if !needed[i] {
                continue;
            }
            for port in &body.nodes[i].inputs {
                let used = port.node as usize;
                needed[used] = true;
                if last[used] == usize::MAX {
                    last[used] = i;
                    drops[i].push(port.node);
                }
            }
        }
        for port in f.outputs() {
            for list in &mut drops {
                list.retain(|&node| node != port.node);
            }
        }
        Runner { body, results: f.outputs().to_vec(), needed, drops }
    }

    fn run(&self, args: &[Tensor]) -> Result<Vec<Tensor>> {
        let mut values: Vec<Outputs<Tensor>> = vec![Outputs::new(); self.body.nodes.len()];
        for (i, node) in self.body.nodes.iter().enumerate() {
            if !self.needed[i] {
                continue;
            }
            values[i] = match &node.kind {
                NodeKind::Input(at) => Outputs::from_elem(args[*at].clone(), 1),
                NodeKind::Const(t) => Outputs::from_elem(t.clone(), 1),
                NodeKind::Read(variable) => Outputs::from_elem(variable.tensor(), 1),
                NodeKind::Op(op) => {
                    let x: Vec<&Tensor> =
                        node.inputs.iter().map(|p| &values[p.node as usize][p.output as usize]).collect();
                    trace::eval(op.as_ref(), &x)?
                }
            };
            for &done in &self.drops[i] {
                values[done as usize].clear();
            }
        }
        Ok(self.results.iter().map(|p| values[p.node as usize][p.output as usize].clone()).collect())
    }
}

fn owned(x: &View<'_>) -> Result<Tensor> {
    Tensor::from_bytes(x.shape(), x.dtype, x.raw())
}

fn owned_all(x: &[View<'_>]) -> Result<Vec<Tensor>> {
    x.iter().map(owned).collect()
}

fn fits(a: &Spec, b: &Spec) -> bool {
    a.dtype == b.dtype
        && a.shape.rank() == b.shape.rank()
        && a.shape.iter().zip(b.shape.iter()).all(|(&a, &b)| agree(a, b))
}

fn check(who: &str, what: &str, got: &Spec, want: &Spec) -> Result<()> {
    if fits(got, want) {
        return Ok(());
    }
    Err(Error::value(who, format!("{what} of {want}"), format!("{got}"))
        .hint("the values that go from step to step, or out of either branch, keep their shape and dtype"))
}

/// What is known of a value that fits both.
fn meet(a: &Spec, b: &Spec) -> Spec {
    Spec::new(Shape::new(a.shape.iter().zip(b.shape.iter()).map(|(&a, &b)| a.and(b))), a.dtype)
}

/// Checks what a function is given.
fn check_args<'a>(who: &str, what: &str, f: &Function, given: impl Iterator<Item = &'a Spec>) -> Result<()> {
    let (want, given): (Vec<Spec>, Vec<&Spec>) = (f.input_specs(), given.collect());
    if want.len() != given.len() {
        return Err(Error::value(
            who,
            format!("{} inputs for {what}, captured values included", want.len()),
            format!("{}", given.len()),
        ));
    }
    given.iter().zip(&want).try_for_each(|(got, want)| check(who, &format!("an input for {what}"), got, want))
}

fn count(who: &str, name: &str, value: i64) -> Result<usize> {
    usize::try_from(value).map_err(|_| Error::value(who, format!("{name} of at least 0"), format!("{value}")))
}

fn slice_of(x: &Spec) -> Spec {
    Spec::new(Shape(x.shape[1..].into()), x.dtype)
}

fn stack_of(x: &Spec, length: usize) -> Spec {
    let dims: Vec<Dim> = std::iter::once(Some(length)).chain(x.shape.iter().copied()).collect();
    Spec::new(Shape::new(dims), x.dtype)
}

fn write(t: &Tensor, out: &mut [u8]) {
    if !out.is_empty() {
        t.view().copy_to(out);
    }
}

impl Scan {
    fn run(&self, x: &[View<'_>], y: &mut [ViewMut<'_>]) -> Result<()> {
        let runner = Runner::new(&self.body);
        let (first, rest) = x.split_at(self.carries);
        let (xs, captured) = rest.split_at(self.xs);
        let mut carries = owned_all(first)?;
        let captured = owned_all(captured)?;
        for step in 0..self.length {
            let at = if self.reverse { self.length - 1 - step } else { step };
            let mut args = std::mem::take(&mut carries);
            for v in xs {
                let bytes = v.raw().len() / self.length;
                args.push(Tensor::from_bytes(&v.shape()[1..], v.dtype, &v.raw()[at * bytes..][..bytes])?);
            }
            args.extend(captured.iter().cloned());
            carries = runner.run(&args)?;
            for (t, out) in carries.drain(self.carries..).zip(&mut y[self.carries..]) {
                let bytes = out.bytes.len() / self.length;
                write(&t, &mut out.bytes[at * bytes..][..bytes]);
            }
        }
        for (t, out) in carries.iter().zip(y) {
            write(t, out.bytes);
        }
        Ok(())
    }

    /// The values of every carry before every step, stacked, for those that `wanted` names.
    fn carries_before(&self, cx: &Vjp<'_>, wanted: &[usize]) -> Result<Vec<Value>> {
        // A carry that is also a y (the state of a recurrent layer that returns sequences) has been stacked already.
        let ports = self.body.outputs();
        let stacked = |c: usize| {
            let y = (self.carries..ports.len()).find(|&y| ports[y] == ports[c])?;
            (self.length > 0).then(|| cx.y[y].clone())
        };
        let missing: Vec<usize> = wanted.iter().copied().filter(|&c| stacked(c).is_none()).collect();
        let mut again = Vec::new();
        if !missing.is_empty() {
            let (body, captures) = Function::trace(&self.body.input_specs(), |args| {
                let mut out = self.body.call(args)?;
                out.truncate(self.carries);
                out.extend(missing.iter().map(|&c| args[c].clone()));
                Ok(out)
            })?;
            no_captures(&captures)?;
            let op: Arc<dyn Op> = Arc::new(Scan { body, ..self.clone() });
            again = push(&op, cx.x)?.into_iter().skip(self.carries).collect();
        }
        let mut again = again.into_iter();
        let mut out = Vec::new();
        for &c in wanted {
            out.push(match stacked(c) {
                None => {
                    again.next().ok_or_else(|| Error::internal("scan", "a carry that was not stacked"))?
                }
                Some(after) => {
                    let mut one = vec![1];
                    one.extend(cx.x[c].shape().iter().map(|d| d.map_or(-1, |d| d as i64)));
                    let (first, n) = (reshape::reshape(&cx.x[c], &one)?, self.length as i64);
                    if self.reverse {
                        concat::concatenate(&[slice::slice_axis(&after, 0, 1, n)?, first], 0)?
                    } else {
                        concat::concatenate(&[first, slice::slice_axis(&after, 0, 0, n - 1)?], 0)?
                    }
                }
            });
        }
        Ok(out)
    }
}

fn no_captures(captures: &[Value]) -> Result<()> {
    if captures.is_empty() {
        Ok(())
    } else {
        Err(Error::internal("control flow", "a derived function that captures values"))
    }
}

impl Op for Scan {
    fn name(&self) -> &'static str {
        "scan"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("body", Attr::Function(self.body.clone())),
            ("carries", Attr::Int(self.carries as i64)),
            ("xs", Attr::Int(self.xs as i64)),
            ("length", Attr::Int(self.length as i64)),
            ("reverse", Attr::Bool(self.reverse)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let (c, out) = (self.carries, self.body.output_specs());
        if out.len() < c || x.len() < c + self.xs {
            return Err(Error::value(
                "scan",
                format!("{c} carries and {} xs, and a step that gives {c} new carries", self.xs),
                format!("{} inputs, {} results of the step", x.len(), out.len()),
            ));
        }
        for xs in &x[c..c + self.xs] {
            if !xs.shape.first().is_some_and(|&n| agree(n, Some(self.length))) {
                return Err(Error::value(
                    "scan",
                    format!("xs whose first axis has length {}", self.length),
                    xs.shape.to_string(),
                ));
            }
        }
        let slices: Vec<Spec> = x[c..c + self.xs].iter().map(slice_of).collect();
        check_args("scan", "the step", &self.body, x[..c].iter().chain(&slices).chain(&x[c + self.xs..]))?;
        for (new, old) in out.iter().zip(&x[..c]) {
            check("scan", "a new carry", new, old)?;
        }
        let carries = out.iter().zip(&x[..c]).map(|(new, old)| meet(new, old));
        Ok(carries.chain(out[c..].iter().map(|y| stack_of(y, self.length))).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        if let Err(error) = self.run(x, y) {
            faults.fail(error);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    /// A scan in the other direction, which repeats each step from its stored carries and hands back the gradients.
    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let (c, inputs, outputs) = (self.carries, self.body.input_specs(), self.body.output_specs());
        let float = |specs: &[Spec], i: usize| specs[i].dtype.is_float();
        // What goes from step to step backwards: gradients of float carries, sums over captured values.
        let carries: Vec<usize> = (0..c).filter(|&i| float(&inputs, i)).collect();
        let captured: Vec<usize> = (c + self.xs..inputs.len()).filter(|&i| cx.needs[i]).collect();
        // What each step gives: gradients of slices of xs.
        let sliced: Vec<usize> = (c..c + self.xs).filter(|&i| cx.needs[i]).collect();
        // What each step reads beside them: its carries, its slices of xs, gradients of ys that there are.
        let seeds: Vec<usize> =
            (c..outputs.len()).filter(|&i| float(&outputs, i) && cx.dy[i].is_some()).collect();

        let back = cx.engine.vjp_of(&self.body)?;
        let mut specs: Vec<Spec> = carries.iter().chain(&captured).map(|&i| inputs[i].clone()).collect();
        specs.extend(inputs[..c + self.xs].iter().cloned());
        specs.extend(seeds.iter().map(|&i| outputs[i].clone()));
        specs.extend(inputs[c + self.xs..].iter().cloned());
        let (body, captures) = Function::trace(&specs, |args| {
            let (dcarries, rest) = args.split_at(carries.len());
            let (sums, rest) = rest.split_at(captured.len());
            let (x, rest) = rest.split_at(c + self.xs);
            let (dy, fixed) = rest.split_at(seeds.len());
            let mut all: Vec<Value> = x.iter().chain(fixed).cloned().collect();
            for (i, spec) in outputs.iter().enumerate() {
                let known = carries.iter().position(|&j| j == i).map(|j| &dcarries[j]);
                let known = known.or_else(|| seeds.iter().position(|&j| j == i).map(|j| &dy[j]));
                all.push(match known {
                    Some(dy) => dy.clone(),
                    None => Value::zeros_like(&Value::Spec(spec.clone()))?,
                });
            }
            let dx = back.call(&all)?;
            let mut out: Vec<Value> = carries.iter().map(|&i| dx[i].clone()).collect();
            for (sum, &i) in sums.iter().zip(&captured) {
                out.push(ew::add(sum, &dx[i])?);
            }
            out.extend(sliced.iter().map(|&i| dx[i].clone()));
            Ok(out)
        })?;
        no_captures(&captures)?;

        let mut args: Vec<Value> = carries.iter().map(|&i| cx.dy(i)).collect::<Result<_>>()?;
        for &i in &captured {
            args.push(Value::zeros_like(&cx.x[i])?);
        }
        args.extend(self.carries_before(cx, &(0..c).collect::<Vec<_>>())?);
        args.extend(cx.x[c..c + self.xs].iter().cloned());
        for &i in &seeds {
            args.push(cx.dy(i)?);
        }
        args.extend(cx.x[c + self.xs..].iter().cloned());
        let op: Arc<dyn Op> = Arc::new(Scan {
            body,
            carries: carries.len() + captured.len(),
            xs: c + self.xs + seeds.len(),
            length: self.length,
            reverse: !self.reverse,
        });
        let dx = push(&op, &args)?;
        let mut out = vec![None; cx.x.len()];
        for (&i, dx) in carries.iter().chain(&captured).chain(&sliced).zip(dx) {
            out[i] = cx.needs[i].then_some(dx);
        }
        Ok(out)
    }

    fn functions(&self) -> Vec<&Function> {
        vec![&self.body]
    }
}

impl WhileLoop {
    fn variables(&self) -> usize {
        self.body.outputs().len()
    }

    fn run(&self, x: &[View<'_>], y: &mut [ViewMut<'_>]) -> Result<()> {
        let (cond, body) = (Runner::new(&self.cond), Runner::new(&self.body));
        let (variables, captured) = x.split_at(self.variables());
        let (for_cond, for_body) = captured.split_at(self.cond_count);
        let (mut variables, for_cond, for_body) =
            (owned_all(variables)?, owned_all(for_cond)?, owned_all(for_body)?);
        let mut steps = 0;
        while self.maximum_iterations.is_none_or(|most| steps < most) {
            let args: Vec<Tensor> = variables.iter().chain(&for_cond).cloned().collect();
            if !truth(&cond.run(&args)?[0]) {
                break;
            }
            let mut args = std::mem::take(&mut variables);
            args.extend(for_body.iter().cloned());
            variables = body.run(&args)?;
            steps += 1;
        }
        for (t, out) in variables.iter().zip(y) {
            write(t, out.bytes);
        }
        Ok(())
    }
}

fn truth(t: &Tensor) -> bool {
    t.contiguous().is_ok_and(|t| t.view().raw().first() == Some(&1))
}

/// Checks that a function gives one truth value.
fn check_truth(who: &str, spec: &Spec) -> Result<()> {
    check(who, "one truth value", spec, &Spec::known(&[], DType::Bool))
}

impl Op for WhileLoop {
    fn name(&self) -> &'static str {
        "while_loop"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("cond", Attr::Function(self.cond.clone())),
            ("body", Attr::Function(self.body.clone())),
            ("cond_count", Attr::Int(self.cond_count as i64)),
            ("maximum_iterations", Attr::Int(self.maximum_iterations.map_or(-1, |n| n as i64))),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        let (n, out, test) = (self.variables(), self.body.output_specs(), self.cond.output_specs());
        if x.len() < n + self.cond_count || test.len() != 1 {
            return Err(Error::value(
                "while_loop",
                format!("{n} loop variables, {} captured values, one truth value of cond", self.cond_count),
                format!("{} inputs, {} results of cond", x.len(), test.len()),
            ));
        }
        check_truth("while_loop", &test[0])?;
        let (variables, captured) = x.split_at(n);
        let (for_cond, for_body) = captured.split_at(self.cond_count);
        check_args("while_loop", "cond", &self.cond, variables.iter().chain(for_cond))?;
        check_args("while_loop", "body", &self.body, variables.iter().chain(for_body))?;
        for (new, old) in out.iter().zip(variables) {
            check("while_loop", "a new loop variable", new, old)?;
        }
        Ok(out.iter().zip(variables).map(|(new, old)| meet(new, old)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        if let Err(error) = self.run(x, y) {
            faults.fail(error);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Missing(
            "the number of steps is not known beforehand, so nothing can be stored for the way back; use scan",
        )
    }

    fn functions(&self) -> Vec<&Function> {
        vec![&self.cond, &self.body]
    }
}

impl Cond {
    fn run(&self, x: &[View<'_>], y: &mut [ViewMut<'_>]) -> Result<()> {
        let (yes, no) = x[1..].split_at(self.true_count);
        let (f, args) = if x[0].raw()[0] != 0 { (&self.true_fn, yes) } else { (&self.false_fn, no) };
        for (t, out) in Runner::new(f).run(&owned_all(args)?)?.iter().zip(y) {
            write(t, out.bytes);
        }
        Ok(())
    }
}

impl Op for Cond {
    fn name(&self) -> &'static str {
        "cond"
    }

    fn attrs(&self) -> Attrs {
        Attrs(vec![
            ("true_fn", Attr::Function(self.true_fn.clone())),
            ("false_fn", Attr::Function(self.false_fn.clone())),
            ("true_count", Attr::Int(self.true_count as i64)),
        ])
    }

    fn infer(&self, x: &[Spec]) -> Result<Outputs<Spec>> {
        if x.len() <= self.true_count {
            return Err(Error::value(
                "cond",
                format!("a truth value and at least {} captured values", self.true_count),
                format!("{} inputs", x.len()),
            ));
        }
        check_truth("cond", &x[0])?;
        check_args("cond", "true_fn", &self.true_fn, x[1..=self.true_count].iter())?;
        check_args("cond", "false_fn", &self.false_fn, x[self.true_count + 1..].iter())?;
        let (yes, no) = (self.true_fn.output_specs(), self.false_fn.output_specs());
        if yes.len() != no.len() {
            return Err(Error::value(
                "cond",
                "branches that give alike structures",
                format!("{} and {} results", yes.len(), no.len()),
            ));
        }
        for (a, b) in yes.iter().zip(&no) {
            check("cond", "a result of false_fn", b, a)?;
        }
        Ok(yes.iter().zip(&no).map(|(a, b)| meet(a, b)).collect())
    }

    fn eval(&self, x: &[View<'_>], y: &mut [ViewMut<'_>], faults: &Faults) {
        if let Err(error) = self.run(x, y) {
            faults.fail(error);
        }
    }

    fn grad(&self) -> Grad {
        Grad::Rule
    }

    /// The gradient of the branch that was taken; zeros for what the other captured.
    fn vjp(&self, cx: &Vjp<'_>) -> Result<Vec<Option<Value>>> {
        let wanted: Vec<usize> = (1..cx.x.len()).filter(|&i| cx.needs[i]).collect();
        let dy: Vec<Value> = (0..cx.y.len()).map(|i| cx.dy(i)).collect::<Result<_>>()?;
        let branch = |f: &Function, start: usize| -> Result<Function> {
            let back = cx.engine.vjp_of(f)?;
            let own = start..start + f.input_specs().len();
            let (f, captures) = Function::trace(&back.input_specs(), |args| {
                let dx = back.call(args)?;
                let gradient = |&i: &usize| {
                    if own.contains(&i) {
                        return Ok(dx[i - start].clone());
                    }
                    Value::zeros_like(&Value::Spec(cx.x[i].spec()))
                };
                wanted.iter().map(gradient).collect()
            })?;
            no_captures(&captures)?;
            Ok(f)
        };
        let (yes, no) = cx.x[1..].split_at(self.true_count);
        let op: Arc<dyn Op> = Arc::new(Cond {
            true_fn: branch(&self.true_fn, 1)?,
            false_fn: branch(&self.false_fn, 1 + self.true_count)?,
            true_count: yes.len() + dy.len(),
        });
        let args: Vec<Value> = cx.x[..1].iter().chain(yes).chain(&dy).chain(no).chain(&dy).cloned().collect();
        let dx = push(&op, &args)?;
        let mut out = vec![None; cx.x.len()];
        for (&i, dx) in wanted.iter().zip(dx) {
            out[i] = Some(dx);
        }
        Ok(out)
    }

    fn functions(&self) -> Vec<&Function> {
        vec![&self.true_fn, &self.false_fn]
    }
}

/// Traces the function of a sample.
fn traced(specs: &[Spec], body: impl FnOnce(&[Value]) -> Result<Vec<Value>>) -> Function {
    Function::trace(specs, body).expect("samples can be traced").0
}

/// Two recurrent cells: one gives its state as y, the other keeps a second state and a counter to itself.
fn scan_samples() -> Vec<Sample> {
    let f = |shape: &[usize]| Spec::known(shape, DType::F64);
    let cell = traced(&[f(&[2, 3]), f(&[2, 4]), f(&[4, 3]), f(&[3, 3])], |a| {
        let x = crate::ops::matmul::matmul(&a[1], &a[2], false, false)?;
        let h = crate::ops::matmul::matmul(&a[0], &a[3], false, false)?;
        let h = ew::tanh(&ew::add(&x, &h)?)?;
        Ok(vec![h.clone(), h])
    });
    let two = traced(&[f(&[3]), f(&[]), Spec::known(&[], DType::I32), f(&[3]), f(&[3])], |a| {
        let gate = ew::sigmoid(&ew::multiply(&a[3], &a[4])?)?;
        let state = ew::add(&ew::multiply(&a[0], &gate)?, &ew::multiply(&a[3], &a[1])?)?;
        let total = crate::ops::reduce::mean(&state, None, false)?;
        let steps = ew::add(&a[2], &Tensor::from_slice(&[], &[1i32])?.into())?;
        Ok(vec![state.clone(), total, steps, ew::sin(&state)?])
    });
    let draw = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
    let mut out = Vec::new();
    for (length, reverse) in [(5, false), (5, true), (1, false), (0, false)] {
        let op = Scan { body: cell.clone(), carries: 1, xs: 1, length, reverse };
        out.push(Sample::new(op, vec![draw(&[2, 3]), draw(&[length, 2, 4]), draw(&[4, 3]), draw(&[3, 3])]));
        let op = Scan { body: two.clone(), carries: 3, xs: 1, length, reverse };
        let counter = Draw::Int(vec![], 0, 3);
        out.push(Sample::new(op, vec![draw(&[3]), draw(&[]), counter, draw(&[length, 3]), draw(&[3])]));
    }
    out
}

/// Doubling until the sum passes a captured bound.
fn while_samples() -> Vec<Sample> {
    let f = |shape: &[usize]| Spec::known(shape, DType::F64);
    let cond = traced(&[f(&[3]), f(&[])], |a| {
        let total = crate::ops::reduce::sum(&ew::absolute(&a[0])?, None, false)?;
        Ok(vec![ew::less(&total, &a[1])?])
    });
    let body = traced(&[f(&[3])], |a| Ok(vec![ew::scale(&a[0], 2.0)?]));
    [None, Some(2), Some(0)]
        .map(|maximum_iterations| {
            let op = WhileLoop { cond: cond.clone(), body: body.clone(), cond_count: 1, maximum_iterations };
            let draw = |shape: &[usize], lo, hi| Draw::Float64(shape.to_vec(), lo, hi);
            Sample::new(op, vec![draw(&[3], -1.0, 1.0), draw(&[], 30.0, 40.0)])
        })
        .into()
}

fn cond_samples() -> Vec<Sample> {
    let f = |shape: &[usize]| Spec::known(shape, DType::F64);
    let yes = traced(&[f(&[2, 3]), f(&[3])], |a| Ok(vec![ew::multiply(&a[0], &a[1])?, ew::sin(&a[0])?]));
    let no = traced(&[f(&[2, 3])], |a| Ok(vec![ew::exp(&a[0])?, ew::square(&a[0])?]));
    let draw = |shape: &[usize]| Draw::Float64(shape.to_vec(), -1.0, 1.0);
    let pick = |truth: u8| Tensor::from_bytes(&[], DType::Bool, &[truth]).expect("one byte");
    [1, 0]
        .map(|truth| {
            let op = Cond { true_fn: yes.clone(), false_fn: no.clone(), true_count: 2 };
            Sample::new(op, vec![Draw::Fixed(pick(truth)), draw(&[2, 3]), draw(&[3]), draw(&[2, 3])])
        })
        .into()
}

/// The ops of this file.
pub fn ops() -> Vec<OpDef> {
    vec![
        OpDef {
            name: "scan",
            make: |a| {
                let mut number = |name| a.int(name).and_then(|n| count("scan", name, n));
                let (carries, xs, length) = (number("carries")?, number("xs")?, number("length")?);
                let reverse = a.opt_bool("reverse")?.unwrap_or(false);
                Ok(Arc::new(Scan { body: a.function("body")?, carries, xs, length, reverse }))
            },
            samples: scan_samples,
        },
        OpDef {
            name: "while_loop",
            make: |a| {
                let most = a.opt_int("maximum_iterations")?;
                Ok(Arc::new(WhileLoop {
                    cond: a.function("cond")?,
                    body: a.function("body")?,
                    cond_count: count("while_loop", "cond_count", a.opt_int("cond_count")?.unwrap_or(0))?,
                    maximum_iterations: most.and_then(|n| usize::try_from(n).ok()),
                }))
            },
            samples: while_samples,
        },
        OpDef {
            name: "cond",
            make: |a| {
                Ok(Arc::new(Cond {
                    true_fn: a.function("true_fn")?,
                    false_fn: a.function("false_fn")?,
                    true_count: count("cond", "true_count", a.int("true_count")?)?,
                }))
            },
            samples: cond_samples,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autodiff::gradient;
    use crate::ops::gather;
    use crate::trace::{Mode, Tape, push1, with_mode};
    use crate::variable::Variable;

    fn vector(data: &[f64]) -> Value {
        Tensor::from_slice(&[data.len()], data).unwrap().into()
    }

    fn numbers(v: &Value) -> Vec<f64> {
        v.tensor().unwrap().to_f64().unwrap()
    }

    fn number() -> Spec {
        Spec::known(&[], DType::F64)
    }

    /// carry, x -> carry x + w, carry (not the new one, so that the way back has to repeat the steps).
    fn chain(length: usize, reverse: bool) -> Scan {
        let body = traced(&[number(), number(), number()], |a| {
            Ok(vec![ew::add(&ew::multiply(&a[0], &a[1])?, &a[2])?, a[0].clone()])
        });
        Scan { body, carries: 1, xs: 1, length, reverse }
    }

    fn run(op: impl Op, inputs: &[Value]) -> Result<Vec<Value>> {
        let op: Arc<dyn Op> = Arc::new(op);
        Ok(push(&op, inputs)?.into_vec())
    }

    #[test]
    fn scans_in_both_directions() {
        let inputs = [
            Tensor::scalar(1.0, DType::F64).unwrap().into(),
            vector(&[2.0, 3.0]),
            Value::from(Tensor::scalar(1.0, DType::F64).unwrap()),
        ];
        let out = run(chain(2, false), &inputs).unwrap();
        assert_eq!((numbers(&out[0]), numbers(&out[1])), (vec![10.0], vec![1.0, 3.0]));
        let out = run(chain(2, true), &inputs).unwrap();
        assert_eq!((numbers(&out[0]), numbers(&out[1])), (vec![9.0], vec![4.0, 1.0]));
    }

    #[test]
    fn says_what_does_not_fit() {
        let one: Value = Tensor::scalar(1.0, DType::F64).unwrap().into();
        let short = run(chain(3, false), &[one.clone(), vector(&[2.0, 3.0]), one.clone()]).unwrap_err();
        assert!(short.to_string().contains("first axis has length 3"), "{short}");
        let few = run(chain(2, false), &[one.clone(), vector(&[2.0, 3.0])]).unwrap_err();
        assert!(few.to_string().contains("3 inputs for the step"), "{few}");
        let single: Value = Tensor::scalar(1.0, DType::F32).unwrap().into();
        let dtype = run(chain(2, false), &[single, vector(&[2.0, 3.0]), one]).unwrap_err();
        assert!(dtype.to_string().contains("float32"), "{dtype}");
    }

    #[test]
    fn a_fault_inside_keeps_its_message() {
        let body = traced(&[vector(&[0.0; 3]).spec(), Spec::known(&[], DType::I32)], |a| {
            Ok(vec![a[0].clone(), gather::gather(&a[0], &a[1], 0)?])
        });
        let at = Tensor::from_slice(&[2], &[1i32, 7]).unwrap().into();
        let op = Scan { body, carries: 1, xs: 1, length: 2, reverse: false };
        let error = run(op, &[vector(&[1.0, 2.0, 3.0]), at]).unwrap_err();
        assert!(error.to_string().starts_with("gather:"), "{error}");
        // The next call starts clean.
        assert!(ew::exp(&vector(&[1.0])).is_ok());
    }

    #[test]
    fn bodies_capture_variables_and_their_gradients() {
        let w = Variable::new("w", &Tensor::scalar(3.0, DType::F64).unwrap(), true).unwrap();
        let tape = Tape::new(true);
        tape.start();
        let (body, captured) = Function::trace(&[number(), number()], |a| {
            Ok(vec![ew::multiply(&ew::add(&a[0], &a[1])?, &trace::read(&w)?)?])
        })
        .unwrap();
        assert!(matches!(captured[..], [Value::Tensor(_)]));
        let mut inputs = vec![Value::from(Tensor::scalar(0.0, DType::F64).unwrap()), vector(&[1.0, 1.0])];
        inputs.extend(captured);
        let out = run(Scan { body, carries: 1, xs: 1, length: 2, reverse: false }, &inputs).unwrap();
        tape.stop();
        // ((0 + 1) w + 1) w = w² + w.
        assert_eq!(numbers(&out[0]), [12.0]);
        let dw = gradient(Some(&tape), &[(out[0].clone(), None)], &[Value::Tensor(w.tensor())]).unwrap();
        assert_eq!(numbers(dw[0].as_ref().unwrap()), [7.0]);
    }

    #[test]
    fn infers_bodies_that_use_inferred_values() {
        let outer = Value::Spec(Spec::new(Shape::new([None, Some(3)]), DType::F32));
        let (body, captured) =
            with_mode(Mode::Spec, || Function::trace(&[outer.spec()], |a| Ok(vec![ew::add(&a[0], &outer)?])))
                .unwrap();
        assert_eq!(captured.len(), 1);
        let op = Scan { body, carries: 1, xs: 0, length: 4, reverse: false };
        let out = run(op, &[outer.clone(), captured[0].clone()]).unwrap();
        assert_eq!(out[0].spec(), outer.spec());
    }

    #[test]
    fn loops_until_the_condition_fails_or_the_bound_is_reached() {
        for sample in while_samples() {
            let x = vector(&[1.0, -1.0, 0.5]);
            let bound = Value::from(Tensor::scalar(30.0, DType::F64).unwrap());
            let most = match sample.op.attrs().0.last() {
                Some((_, Attr::Int(n))) => *n,
                _ => unreachable!("maximum_iterations comes last"),
            };
            let y = push(&sample.op, &[x, bound]).unwrap();
            let factor = if most < 0 { 16.0 } else { f64::from(1 << most) };
            assert_eq!(numbers(&y[0]), [factor, -factor, 0.5 * factor]);
        }
    }

    #[test]
    fn only_the_taken_branch_runs() {
        // The other branch would look outside of its tensor.
        let int = Spec::known(&[], DType::I32);
        let yes = traced(std::slice::from_ref(&int), |a| Ok(vec![a[0].clone()]));
        let table = Value::from(Tensor::from_slice(&[2], &[1i32, 2]).unwrap());
        let no = traced(&[int], |a| Ok(vec![gather::gather(&table, &a[0], 0)?]));
        let op = Cond { true_fn: yes, false_fn: no, true_count: 1 };
        let five: Value = Tensor::from_slice(&[], &[5i32]).unwrap().into();
        let pick = |t: u8| Value::from(Tensor::from_bytes(&[], DType::Bool, &[t]).unwrap());
        let y = push1(op.clone(), &[pick(1), five.clone(), five.clone()]).unwrap();
        assert_eq!(numbers(&y), [5.0]);
        assert!(push1(op.clone(), &[pick(0), five.clone(), five.clone()]).is_err());
        // The condition has to be a truth value.
        assert!(push1(op, &[five.clone(), five.clone(), five]).is_err());
    }
}
