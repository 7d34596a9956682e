//! The epoch loop: programs over a loader, without a word to Python in between.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rkeras_kernels::par;

use crate::error::{Error, Result};
use crate::loader::Loader;
use crate::program::Program;
use crate::tensor::Tensor;

/// When to come back although the epoch goes on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Until<'a> {
    /// After this many batches.
    pub steps: Option<usize>,
    /// At the first batch that ends after this time.
    pub time: Option<Duration>,
    /// When this is set.
    pub stop: Option<&'a AtomicBool>,
}

/// Runs for each batch the program for its number of rows. What the programs return is written to consecutive rows of
/// `collect`, from row `filled` on. Returns the number of batches done; less than asked for only at the end of the
/// loader, when time is up or when stopped.
pub fn run(
    programs: &mut BTreeMap<usize, &mut Program>,
    loader: &mut Loader,
    until: Until<'_>,
    mut collect: Option<(&mut [Tensor], &mut usize)>,
) -> Result<usize> {
    let _session = par::Session::new();
    let begin = Instant::now();
    let mut done = 0;
    while until.steps.is_none_or(|steps| done < steps) {
        let Some(rows) = loader.next_rows() else { break };
        let program = programs
            .get_mut(&rows)
            .ok_or_else(|| Error::internal("epoch", format!("no program for a batch of {rows} rows")))?;
        let Some(batch) = loader.next_batch()? else { break };
        let inputs: Vec<&Tensor> = batch.iter().collect();
        match &mut collect {
            None => program.run_into(&inputs, &mut [])?,
            Some((tensors, filled)) => {
                let mut parts: Vec<&mut [u8]> = Vec::with_capacity(tensors.len());
                for t in tensors.iter_mut() {
                    let row = t.shape()[1..].iter().product::<usize>() * t.dtype().size();
                    let bytes = t.bytes_mut().ok_or_else(|| Error::internal("epoch", "a shared result"))?;
                    parts.push(&mut bytes[**filled * row..][..rows * row]);
                }
                program.run_into(&inputs, &mut parts)?;
                **filled += rows;
            }
        }
        done += 1;
        let late = until.time.is_some_and(|t| begin.elapsed() >= t);
        if late || until.stop.is_some_and(|s| s.load(Ordering::Relaxed)) {
            break;
        }
    }
    Ok(done)
}
