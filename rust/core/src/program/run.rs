//! Running a program: lock the variables, walk the instructions, hand out the results.

use std::time::Instant;

use rkeras_kernels::buffer::Workspace;
use rkeras_kernels::flush::FlushDenormals;
use rkeras_kernels::par;
use smallvec::SmallVec;

use super::Program;
use crate::error::{Error, Result};
use crate::tensor::{Tensor, View, ViewMut};

impl Program {
    /// Runs it on tensors of exactly the specs it was compiled for.
    pub fn run(&mut self, inputs: &[&Tensor]) -> Result<Vec<Tensor>> {
        let mut results = Vec::with_capacity(self.plan.outputs.len());
        for spec in &self.plan.outputs {
            let dims = spec.shape.dims().ok_or_else(|| Error::internal("run", "an unknown size"))?;
            results.push(Tensor::scratch(&dims, spec.dtype)?);
        }
        {
            let mut out: Vec<&mut [u8]> = Vec::with_capacity(results.len());
            for t in &mut results {
                out.push(t.bytes_mut().ok_or_else(|| Error::internal("run", "a shared result"))?);
            }
            self.run_into(inputs, &mut out)?;
        }
        Ok(results)
    }

    /// Runs it and writes the results to the given bytes.
    pub fn run_into(&mut self, inputs: &[&Tensor], results: &mut [&mut [u8]]) -> Result<()> {
        let alone = self.pace.alone().then(par::Alone::new);
        let _session = alone.is_none().then(par::Session::new);
        let _flush = FlushDenormals::new();
        self.check_inputs(inputs)?;
        let inputs: SmallVec<[Tensor; 4]> = inputs.iter().map(|t| t.contiguous()).collect::<Result<_>>()?;
        let plan = &self.plan;
        // In the order of their numbers, so that two programs never wait for each other.
        let mut guards: Vec<_> = (0..plan.variables.len()).collect();
        guards.sort_unstable_by_key(|&v| plan.variables[v].id());
        let mut guards: Vec<_> = guards.into_iter().map(|v| (v, plan.variables[v].lock())).collect();
        guards.sort_unstable_by_key(|(v, _)| *v);
        for (v, guard) in &mut guards {
            if plan.written[*v] && guard.bytes_mut().is_none() {
                // Somebody holds the old value: it stays as it is, and we go on in a copy.
                let mut copy = Tensor::scratch(guard.shape(), guard.dtype())?;
                guard
                    .view()
                    .copy_to(copy.bytes_mut().ok_or_else(|| Error::internal("run", "a shared copy"))?);
                **guard = copy;
            }
        }
        // What depends on variables alone holds until one of them is written.
        let versions: Vec<u64> = plan.frozen.iter().map(|&v| plan.variables[v].version()).collect();
        let holds = self.frozen.as_ref() == Some(&versions);
        let begin = Instant::now();
        self.frozen = None;
        {
            let mut w = Workspace::with_capacity(1 + guards.len() + plan.constants.len() + inputs.len());
            w.add_mut(self.arena.bytes_mut().ok_or_else(|| Error::internal("run", "a shared arena"))?);
            for (v, guard) in &mut guards {
                if plan.written[*v] {
                    w.add_mut(guard.bytes_mut().ok_or_else(|| Error::internal("run", "a shared variable"))?);
                } else {
                    w.add(guard.view().raw());
                }
            }
            for c in &plan.constants {
                w.add(c.storage().bytes());
            }
            for x in &inputs {
                w.add(x.view().raw());
            }
            for (i, x) in plan.instructions.iter().enumerate() {
                if x.frozen && holds {
                    continue;
                }
                let begin = self.times.is_some().then(Instant::now);
                w.with(&x.access, |reads, writes| {
                    let mut reads = reads.iter();
                    let mut views: SmallVec<[View<'_>; 8]> = SmallVec::new();
                    for (p, reuse) in x.inputs.iter().zip(&x.reuse) {
                        let bytes =
                            if reuse.is_some() { &[][..] } else { reads.next().copied().unwrap_or(&[]) };
                        views.push(View { dtype: p.dtype, layout: &p.layout, bytes });
                    }
                    match &x.op {
                        Some(op) => {
                            let mut outs: SmallVec<[ViewMut<'_>; 4]> = SmallVec::new();
                            for (p, bytes) in x.outputs.iter().zip(writes.iter_mut()) {
                                outs.push(ViewMut { dtype: p.dtype, shape: &p.layout.shape, bytes });
                            }
                            op.eval(&views, &mut outs, &self.faults);
                        }
                        None => views[0].copy_to(writes[0]),
                    }
                });
                if let (Some(begin), Some(times)) = (begin, &mut self.times) {
                    times[i] += begin.elapsed().as_nanos() as u64;
                }
            }
            for (p, out) in plan.results.iter().zip(results.iter_mut()) {
                let region = plan.region(p);
                let access = rkeras_kernels::buffer::Access::new(vec![region], vec![])
                    .ok_or_else(|| Error::internal("run", "a result that overlaps itself"))?;
                w.with(&access, |reads, _| {
                    View { dtype: p.dtype, layout: &p.layout, bytes: reads[0] }.copy_to(out)
                });
            }
        }
        for (v, guard) in &mut guards {
            if plan.written[*v] {
                **guard = guard.alias();
                plan.variables[*v].touch();
            }
        }
        self.stats.runs += 1;
        if par::threads() > 1 {
            self.pace.took(begin.elapsed());
        }
        self.faults.take(&self.name)?;
        // Only now: what failed must fail again.
        self.frozen = Some(versions);
        Ok(())
    }

    fn check_inputs(&self, inputs: &[&Tensor]) -> Result<()> {
        let fits = inputs.len() == self.plan.inputs.len()
            && inputs.iter().zip(&self.plan.inputs).all(|(t, s)| {
                t.dtype() == s.dtype
                    && t.shape().len() == s.shape.rank()
                    && t.shape().iter().zip(s.shape.iter()).all(|(&a, &b)| Some(a) == b)
            });
        if fits {
            return Ok(());
        }
        let words = |specs: Vec<String>| format!("({})", specs.join("; "));
        Err(Error::value(
            format!("program {:?}", self.name),
            words(self.plan.inputs.iter().map(|s| s.to_string()).collect()),
            words(inputs.iter().map(|t| t.spec().to_string()).collect()),
        ))
    }
}
