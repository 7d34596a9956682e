//! Every registered op against every law: one definition of an op, the same meaning wherever it is read.
//!
//! A law is one test that walks the whole registry and reports all offenders by name, so a new op is covered
//! by being listed. How inputs are drawn is said by the op's own samples.

use std::fmt::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use rkeras_core::autodiff::gradient;
use rkeras_core::dtype::DType;
use rkeras_core::error::Kind;
use rkeras_core::machine;
use rkeras_core::op::{AttrReader, Draw, Grad, Op, OpDef};
use rkeras_core::ops::{elementwise, reduce, registry, reshape};
use rkeras_core::passes::Passes;
use rkeras_core::program::Program;
use rkeras_core::shape::{Shape, Spec, agree};
use rkeras_core::tensor::Tensor;
use rkeras_core::trace::{Function, Graph, Mode, Tape, Value, push, with_mode};

/// Numbers that are the same in every run (a linear congruential generator; quality does not matter here).
struct Numbers(u64);

impl Numbers {
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    fn float(&mut self, lo: f64, hi: f64) -> f64 {
        loop {
            let x = lo + (hi - lo) * self.unit();
            // Differences need room on both sides of a kink at 0.
            if x.abs() >= 0.05 || hi - lo <= 0.2 {
                return x;
            }
        }
    }

    fn draw(&mut self, how: &Draw, float: DType) -> Tensor {
        match how {
            Draw::Float(shape, lo, hi) => self.floats(shape, *lo, *hi, float),
            Draw::Float64(shape, lo, hi) => self.floats(shape, *lo, *hi, DType::F64),
            Draw::Int(shape, lo, hi) => {
                let n: usize = shape.iter().product();
                let data: Vec<i32> =
                    (0..n).map(|_| (*lo as f64 + self.unit() * (hi - lo) as f64).floor() as i32).collect();
                Tensor::from_slice(shape, &data).unwrap()
            }
            Draw::Bool(shape) => {
                let n: usize = shape.iter().product();
                let data: Vec<u8> = (0..n).map(|_| u8::from(self.unit() > 0.5)).collect();
                Tensor::from_bytes(shape, DType::Bool, &data).unwrap()
            }
            Draw::Fixed(t) => t.clone(),
        }
    }

    fn floats(&mut self, shape: &[usize], lo: f64, hi: f64, dtype: DType) -> Tensor {
        let n: usize = shape.iter().product();
        let data: Vec<f64> = (0..n).map(|_| self.float(lo, hi)).collect();
        match dtype {
            DType::F64 => Tensor::from_slice(shape, &data).unwrap(),
            _ => Tensor::from_slice(shape, &data.iter().map(|&x| x as f32).collect::<Vec<_>>()).unwrap(),
        }
    }

    /// Floats of the same shapes as those inputs that have gradients.
    fn directions(&mut self, x: &[Tensor]) -> Vec<Tensor> {
        let floats = x.iter().filter(|t| t.dtype().is_float());
        floats.map(|t| self.floats(t.shape(), -1.0, 1.0, DType::F64)).collect()
    }
}

/// One sample of one op.
struct Case {
    def: OpDef,
    name: String,
    op: Arc<dyn Op>,
    inputs: Vec<Draw>,
}

impl Case {
    fn draw(&self, float: DType) -> (Vec<Tensor>, Numbers) {
        let mut numbers = Numbers(self.name.bytes().map(u64::from).sum());
        (self.inputs.iter().map(|d| numbers.draw(d, float)).collect(), numbers)
    }

    fn eager(&self, x: &[Tensor]) -> Vec<Tensor> {
        tensors(&push(&self.op, &values(x)).unwrap())
    }

    fn differentiable(&self, x: &[Tensor]) -> bool {
        self.op.grad() == Grad::Rule && x.iter().any(|t| t.dtype().is_float())
    }
}

/// Runs a law over the whole registry; panics with the names of all offenders.
fn over_all_ops(law: impl Fn(&Case) -> Result<(), String>) {
    // Some laws change the number of threads, which belongs to the whole process.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut report = String::new();
    let mut cases = 0;
    for def in registry().values() {
        let samples = (def.samples)();
        assert!(!samples.is_empty(), "op {} has no samples", def.name);
        for (i, sample) in samples.into_iter().enumerate() {
            let case =
                Case { def: *def, name: format!("{} {i}", def.name), op: sample.op, inputs: sample.inputs };
            cases += 1;
            let verdict = catch_unwind(AssertUnwindSafe(|| law(&case)));
            if let Err(why) = verdict.unwrap_or_else(|_| Err("panicked, see above".into())) {
                writeln!(report, "{} {:?}: {why}", case.name, case.op.attrs()).unwrap();
            }
        }
    }
    assert!(cases > registry().len(), "only {cases} samples");
    assert!(report.is_empty(), "\n{report}");
}

fn values(x: &[Tensor]) -> Vec<Value> {
    x.iter().cloned().map(Value::Tensor).collect()
}

fn tensors(y: &[Value]) -> Vec<Tensor> {
    y.iter().map(|v| v.tensor().unwrap().clone()).collect()
}

fn specs(x: &[Tensor]) -> Vec<Spec> {
    x.iter().map(Tensor::spec).collect()
}

fn bits(t: &Tensor) -> Vec<u8> {
    t.contiguous().unwrap().view().raw()[..t.shape().iter().product::<usize>() * t.dtype().size()].to_vec()
}

fn same_bits(what: &str, a: &[Tensor], b: &[Tensor]) -> Result<(), String> {
    if a.len() != b.len() {
        return Err(format!("{what}: {} results instead of {}", a.len(), b.len()));
    }
    for (a, b) in a.iter().zip(b) {
        if a.spec() != b.spec() {
            return Err(format!("{what}: {} instead of {}", a.spec(), b.spec()));
        }
        if bits(a) != bits(b) {
            return Err(format!("{what}: {:?} instead of {:?}", a.to_f64().unwrap(), b.to_f64().unwrap()));
        }
    }
    Ok(())
}

fn near(what: &str, a: f64, b: f64, tolerance: f64) -> Result<(), String> {
    let error = (a - b).abs() / (1.0 + a.abs().max(b.abs()));
    if error <= tolerance { Ok(()) } else { Err(format!("{what}: {a} and {b} differ by {error:.1e}")) }
}

/// A number that depends on every float output: their weighted sum.
fn loss(y: &[Value], weights: &[Tensor]) -> Value {
    let mut total: Option<Value> = None;
    for (y, w) in y.iter().zip(weights).filter(|(y, _)| y.dtype().is_float()) {
        let part =
            reduce::sum(&elementwise::multiply(y, &Value::Tensor(w.clone())).unwrap(), None, false).unwrap();
        total = Some(match total {
            Some(t) => elementwise::add(&t, &part).unwrap(),
            None => part,
        });
    }
    total.expect("an op with a gradient rule has a float output")
}

fn weights_for(case: &Case, x: &[Tensor], numbers: &mut Numbers) -> Vec<Tensor> {
    case.eager(x).iter().map(|y| numbers.floats(y.shape(), -1.0, 1.0, DType::F64)).collect()
}

fn value(case: &Case, x: &[Tensor], weights: &[Tensor]) -> f64 {
    let y = push(&case.op, &values(x)).unwrap();
    loss(&y, weights).tensor().unwrap().to_f64().unwrap()[0]
}

fn floats_of(x: &[Value]) -> Vec<Value> {
    x.iter().filter(|v| v.dtype().is_float()).cloned().collect()
}

/// The gradient of the loss by a tape; by the op's reference instead of the op itself if asked for.
fn tape_gradient(case: &Case, x: &[Tensor], weights: &[Tensor], reference: bool) -> Vec<Option<Value>> {
    let tape = Tape::new(false);
    let x: Vec<Value> = x.iter().map(|t| Value::Tensor(t.alias())).collect();
    x.iter().for_each(|v| tape.watch(v));
    tape.start();
    let y = if reference {
        case.op.reference(&x).unwrap().unwrap()
    } else {
        push(&case.op, &x).unwrap().to_vec()
    };
    let total = loss(&y, weights);
    tape.stop();
    gradient(Some(&tape), &[(total, None)], &floats_of(&x)).unwrap()
}

/// The inner product of gradients with a direction; an absent gradient is zero.
fn along(gradients: &[Option<Value>], direction: &[Tensor]) -> f64 {
    let parts = gradients.iter().zip(direction).filter_map(|(g, d)| Some((g.as_ref()?, d)));
    let dot = |(g, d): (&Value, &Tensor)| -> f64 {
        let (g, d) = (g.tensor().unwrap().to_f64().unwrap(), d.to_f64().unwrap());
        g.iter().zip(d).map(|(a, b)| a * b).sum()
    };
    parts.map(dot).sum()
}

fn shifted(x: &[Tensor], direction: &[Tensor], step: f64) -> Vec<Tensor> {
    let mut directions = direction.iter();
    let shift = |t: &Tensor| {
        if !t.dtype().is_float() {
            return t.clone();
        }
        let d = directions.next().unwrap().to_f64().unwrap();
        let moved: Vec<f64> = t.to_f64().unwrap().iter().zip(d).map(|(a, b)| a + step * b).collect();
        Tensor::from_slice(t.shape(), &moved).unwrap()
    };
    x.iter().map(shift).collect()
}

/// How far finite differences step: the error of central differences and that of rounding are both near 1e-10.
const STEP: f64 = 1e-5;
/// The same where results are rounded to float32 or less.
const COARSE_STEP: f64 = 0.03;

#[test]
fn attributes_rebuild_the_op() {
    over_all_ops(|case| {
        let given = case.op.attrs();
        let mut reader =
            AttrReader::new(case.def.name, given.0.iter().map(|(n, a)| (n.to_string(), a.clone())).collect());
        let again = (case.def.make)(&mut reader).map_err(|e| e.to_string())?;
        reader.finish().map_err(|e| e.to_string())?;
        if case.op.name() != case.def.name {
            return Err(format!("calls itself {}", case.op.name()));
        }
        if again.attrs() == given { Ok(()) } else { Err(format!("rebuilt as {:?}", again.attrs())) }
    });
}

#[test]
fn shape_rules_foretell_the_results() {
    over_all_ops(|case| {
        for float in [DType::F32, DType::F64] {
            let (x, _) = case.draw(float);
            let promised =
                Function::trace(&specs(&x), |x| Ok(push(&case.op, x)?.to_vec())).unwrap().0.output_specs();
            let found: Vec<Spec> = case.eager(&x).iter().map(Tensor::spec).collect();
            if promised != found {
                return Err(format!("promised {promised:?}, gave {found:?}"));
            }
        }
        Ok(())
    });
}

/// With sizes unknown, shape rules still succeed and say nothing false.
#[test]
fn shape_rules_take_unknown_sizes() {
    // Sizes that are part of what these ops carry: a traced function, or a list of sizes that must add up.
    const FIXED: &[&str] = &["scan", "while_loop", "cond", "reshape", "split", "broadcast_to"];
    over_all_ops(|case| {
        if FIXED.contains(&case.def.name) {
            return Ok(());
        }
        let (x, _) = case.draw(DType::F32);
        let known: Vec<Spec> = case.eager(&x).iter().map(Tensor::spec).collect();
        let batch = x.first().and_then(|t| t.shape().first().copied());
        // The size of the batch, wherever it leads.
        let vague: Vec<Spec> = x
            .iter()
            .map(|t| {
                let lead = t.shape().first().copied();
                let sizes = t.shape().iter().enumerate();
                let sizes = sizes.map(|(i, &d)| if i == 0 && lead == batch { None } else { Some(d) });
                Spec::new(Shape::new(sizes), t.dtype())
            })
            .collect();
        let graph = Graph::new();
        let symbols: Vec<Value> = vague.iter().map(|s| graph.input(s.clone())).collect();
        let y =
            with_mode(Mode::Graph(graph.clone()), || push(&case.op, &symbols)).map_err(|e| e.to_string())?;
        for (y, k) in y.iter().zip(&known) {
            let spec = y.spec();
            let fits = spec.shape.rank() == k.shape.rank()
                && spec.dtype == k.dtype
                && spec.shape.iter().zip(k.shape.iter()).all(|(&a, &b)| agree(a, b));
            if !fits {
                return Err(format!("{vague:?} gave {spec}, which is no {k}"));
            }
        }
        Ok(())
    });
}

#[test]
fn graphs_and_programs_give_the_eager_bits() {
    over_all_ops(|case| {
        let (x, _) = case.draw(DType::F32);
        let eager = case.eager(&x);
        let (f, captures) = Function::trace(&specs(&x), |x| Ok(push(&case.op, x)?.to_vec())).unwrap();
        assert!(captures.is_empty());
        same_bits("replayed", &tensors(&f.call(&values(&x)).unwrap()), &eager)?;
        for passes in [Passes::NONE, Passes::ALL] {
            let graph = Graph::new();
            let symbols: Vec<Value> = x.iter().map(|t| graph.input(t.spec())).collect();
            let y = with_mode(Mode::Graph(graph.clone()), || push(&case.op, &symbols)).unwrap();
            let mut program = Program::compile_with(&graph, &y, "law", passes).map_err(|e| e.to_string())?;
            let inputs: Vec<&Tensor> = x.iter().collect();
            // Twice: an arena that was used before must not show.
            for _ in 0..2 {
                let compiled = program.run(&inputs).map_err(|e| e.to_string())?;
                same_bits(&format!("compiled with {passes:?}"), &compiled, &eager)?;
            }
        }
        Ok(())
    });
}

#[test]
fn strides_change_nothing() {
    // These add or multiply in the order in which the elements lie.
    const BY_STORAGE: &[&str] = &["sum", "mean", "prod", "logsumexp"];
    over_all_ops(|case| {
        let (x, _) = case.draw(DType::F32);
        // The same values, stored with the axes in the opposite order.
        let turned: Vec<Tensor> = x
            .iter()
            .map(|t| {
                let axes: Vec<i64> = (0..t.shape().len() as i64).rev().collect();
                let turn = |t: &Tensor| reshape::transpose(&Value::Tensor(t.clone()), &axes).unwrap();
                let stored = turn(t).tensor().unwrap().contiguous().unwrap();
                turn(&stored).tensor().unwrap().clone()
            })
            .collect();
        let (found, expected) = (case.eager(&turned), case.eager(&x));
        if BY_STORAGE.contains(&case.def.name) {
            let numbers = |y: &[Tensor]| -> Vec<f64> { y.iter().flat_map(|t| t.to_f64().unwrap()).collect() };
            let pairs = numbers(&found).into_iter().zip(numbers(&expected));
            return pairs.into_iter().try_for_each(|(a, b)| near("on transposed storage", a, b, 1e-6));
        }
        same_bits("on transposed storage", &found, &expected)
    });
}

#[test]
fn threads_change_nothing() {
    let before = machine::threads();
    over_all_ops(|case| {
        let (x, _) = case.draw(DType::F32);
        machine::set_threads(1);
        let one = case.eager(&x);
        for threads in [2, 3, 8] {
            machine::set_threads(threads);
            same_bits(&format!("on {threads} threads"), &case.eager(&x), &one)?;
        }
        Ok(())
    });
    machine::set_threads(before);
}

#[test]
fn gradients_agree_with_differences() {
    over_all_ops(|case| {
        let (x, mut numbers) = case.draw(DType::F64);
        if !case.differentiable(&x) {
            return Ok(());
        }
        let weights = weights_for(case, &x, &mut numbers);
        let direction = numbers.directions(&x);
        let rounded = case.eager(&x).iter().any(|y| y.dtype().is_float() && y.dtype() != DType::F64);
        let (step, tolerance) = if rounded { (COARSE_STEP, 1e-5) } else { (STEP, 1e-7) };
        let ahead = value(case, &shifted(&x, &direction, step), &weights);
        let behind = value(case, &shifted(&x, &direction, -step), &weights);
        let by_tape = tape_gradient(case, &x, &weights, false);
        near("gradient", along(&by_tape, &direction), (ahead - behind) / (2.0 * step), tolerance)?;
        // The same walk on a graph gives the same bits.
        let traced = |x: &[Value]| {
            let total = loss(&push(&case.op, x)?, &weights);
            Ok(gradient(None, &[(total, None)], &floats_of(x))?.into_iter().flatten().collect())
        };
        let (f, captures) = Function::trace(&specs(&x), traced).map_err(|e| e.to_string())?;
        assert!(captures.is_empty());
        let by_graph = tensors(&f.call(&values(&x)).unwrap());
        let by_tape: Vec<Value> = by_tape.into_iter().flatten().collect();
        same_bits("gradient by graph", &by_graph, &tensors(&by_tape))
    });
}

#[test]
fn second_gradients_agree_with_differences() {
    over_all_ops(|case| {
        let (x, mut numbers) = case.draw(DType::F64);
        if !case.differentiable(&x) {
            return Ok(());
        }
        let weights = weights_for(case, &x, &mut numbers);
        let (first, second) = (numbers.directions(&x), numbers.directions(&x));
        let slope = |x: &[Tensor]| along(&tape_gradient(case, x, &weights, false), &first);
        let differences =
            (slope(&shifted(&x, &second, STEP)) - slope(&shifted(&x, &second, -STEP))) / (2.0 * STEP);
        let (outer, inner) = (Tape::new(false), Tape::new(false));
        let x: Vec<Value> = x.iter().map(|t| Value::Tensor(t.alias())).collect();
        let sources = floats_of(&x);
        sources.iter().for_each(|v| {
            outer.watch(v);
            inner.watch(v);
        });
        outer.start();
        inner.start();
        let total = loss(&push(&case.op, &x).unwrap(), &weights);
        inner.stop();
        let g = gradient(Some(&inner), &[(total, None)], &sources).map_err(|e| e.to_string())?;
        let parts: Vec<Value> = g.iter().flatten().cloned().collect();
        let along_first: Vec<Tensor> =
            g.iter().zip(&first).filter(|(g, _)| g.is_some()).map(|(_, d)| d.clone()).collect();
        let slope = loss(&parts, &along_first);
        outer.stop();
        let gg = match gradient(Some(&outer), &[(slope, None)], &sources) {
            // An op may say that there is no second derivative; zero in its stead would be wrong.
            Err(e) if e.kind == Kind::Unsupported => return Ok(()),
            gg => gg.map_err(|e| e.to_string())?,
        };
        near("second gradient", along(&gg, &second), differences, 1e-6)
    });
}

/// Ops that say they select give numbers of bfloat16 for numbers of bfloat16, and ops that have a rounded form give with it
/// what they give without, rounded.
#[test]
fn selections_keep_and_rounded_ops_reach_the_precision_of_bfloat16() {
    let (selected, rounded) = (Mutex::new(0), Mutex::new(0));
    over_all_ops(|case| {
        let (mut x, _) = case.draw(DType::F32);
        let narrow = |t: &Tensor| {
            let v: Vec<f32> = t.to_f64().unwrap().iter().map(|&v| half::bf16::from_f64(v).to_f32()).collect();
            Tensor::from_slice(t.shape(), &v).unwrap()
        };
        for t in x.iter_mut().filter(|t| t.dtype() == DType::F32) {
            *t = narrow(t);
        }
        let traits = case.op.traits();
        if (traits.selects || traits.view) && x.iter().all(|t| t.dtype() != DType::F64) {
            for y in case.eager(&x).iter().filter(|y| y.dtype() == DType::F32) {
                same_bits("an output", &[y.contiguous().unwrap()], &[narrow(y)])?;
                *selected.lock().unwrap() += 1;
            }
        }
        if let Some(op) = case.op.rounded() {
            let y = tensors(&push(&op, &values(&x)).unwrap());
            let plain = case.eager(&x);
            same_bits("the first output", &y[..1], &[narrow(&plain[0])])?;
            same_bits("the others", &y[1..], &plain[1..])?;
            *rounded.lock().unwrap() += 1;
        }
        Ok(())
    });
    assert!(*selected.lock().unwrap() > 30 && *rounded.lock().unwrap() > 10);
}

#[test]
fn fused_ops_equal_their_compositions() {
    let mut compared = Mutex::new(0);
    over_all_ops(|case| {
        let (x, mut numbers) = case.draw(DType::F64);
        let Some(composed) = case.op.reference(&values(&x)) else { return Ok(()) };
        let composed = tensors(&composed.map_err(|e| e.to_string())?);
        let numbers_of = |t: &Tensor| t.to_f64().unwrap();
        for (a, b) in case.eager(&x).iter().zip(&composed) {
            for (a, b) in numbers_of(a).iter().zip(numbers_of(b)) {
                near("value", *a, b, 1e-11)?;
            }
        }
        *compared.lock().unwrap() += 1;
        if !case.differentiable(&x) {
            return Ok(());
        }
        let weights = weights_for(case, &x, &mut numbers);
        let pairs =
            tape_gradient(case, &x, &weights, false).into_iter().zip(tape_gradient(case, &x, &weights, true));
        for (a, b) in pairs {
            let (Some(a), Some(b)) = (a, b) else { return Err("a gradient only one of both has".into()) };
            for (a, b) in numbers_of(a.tensor().unwrap()).iter().zip(numbers_of(b.tensor().unwrap())) {
                near("gradient", *a, b, 1e-9)?;
            }
        }
        Ok(())
    });
    assert!(*compared.get_mut().unwrap() > 0);
}

#[test]
fn ops_without_a_gradient_say_why() {
    over_all_ops(|case| match case.op.grad() {
        Grad::None(why) | Grad::Missing(why) if why.len() < 8 => Err(format!("the reason is {why:?}")),
        _ => Ok(()),
    });
}
