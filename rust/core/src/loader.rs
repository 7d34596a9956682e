//! Batches of rows gathered from arrays, in an order that depends on seed and epoch alone.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use rayon::prelude::*;
use rkeras_kernels::random::{State, permutation};

use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// Batches from this size on are gathered by a thread while the one before is computed; smaller ones are gathered in
/// less time than a hand-over takes.
const PREFETCH_BYTES: usize = 4 << 20;
/// Copies from this size on are spread over threads.
const PARALLEL_BYTES: usize = 1 << 20;

/// A source of batches.
#[derive(Debug)]
pub struct Loader {
    arrays: Vec<Tensor>,
    rows: usize,
    batch_size: usize,
    shuffle: bool,
    seed: u64,
    drop_last: bool,
    order: Option<std::sync::Arc<Vec<i64>>>,
    next: usize,
    ahead: Option<Ahead>,
}

#[derive(Debug)]
struct Ahead {
    batches: Receiver<Result<Vec<Tensor>>>,
    worker: Option<JoinHandle<()>>,
}

impl Loader {
    /// Batches of `batch_size` rows of all arrays, which have the same number of rows.
    pub fn new(
        arrays: Vec<Tensor>,
        batch_size: usize,
        shuffle: bool,
        seed: u64,
        drop_last: bool,
    ) -> Result<Loader> {
        let rows = arrays.first().and_then(|a| a.shape().first().copied());
        let Some(rows) = rows else {
            return Err(Error::value("Loader", "at least one array with rows", "none"));
        };
        if let Some(other) = arrays.iter().find(|a| a.shape().first() != Some(&rows)) {
            return Err(Error::value(
                "Loader",
                format!("arrays of {rows} rows each"),
                format!("shape {}", other.spec().shape),
            ));
        }
        if batch_size == 0 {
            return Err(Error::value("Loader", "a batch_size of at least 1", "0"));
        }
        let arrays = arrays.iter().map(Tensor::contiguous).collect::<Result<_>>()?;
        let mut loader =
            Loader { arrays, rows, batch_size, shuffle, seed, drop_last, order: None, next: 0, ahead: None };
        loader.start(0);
        Ok(loader)
    }

    /// Rows in all.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Batches per epoch.
    pub fn batches(&self) -> usize {
        if self.drop_last { self.rows / self.batch_size } else { self.rows.div_ceil(self.batch_size) }
    }

    /// Rows of batch number `index`.
    pub fn batch_rows(&self, index: usize) -> usize {
        self.batch_size.min(self.rows.saturating_sub(index * self.batch_size))
    }

    /// Rows of the batch that [`Loader::next_batch`] gives next; `None` at the end.
    pub fn next_rows(&self) -> Option<usize> {
        (self.next < self.batches()).then(|| self.batch_rows(self.next))
    }

    /// Rows of the batches given so far in this epoch.
    pub fn rows_given(&self) -> usize {
        self.rows.min(self.next * self.batch_size)
    }

    /// Begins an epoch.
    pub fn start(&mut self, epoch: u64) {
        self.next = 0;
        self.ahead = None;
        self.order = self.shuffle.then(|| {
            let mut order = vec![0i64; self.rows];
            permutation(State { key: self.seed, counter: epoch }, &mut order);
            std::sync::Arc::new(order)
        });
    }

    /// The next batch; `None` at the end of the epoch.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Tensor>>> {
        if self.next >= self.batches() {
            return Ok(None);
        }
        let Some(order) = &self.order else {
            // Rows side by side need no copy.
            let (start, len) = (self.next * self.batch_size, self.batch_rows(self.next));
            self.next += 1;
            return Ok(Some(
                self.arrays.iter().map(|a| a.with_layout(a.layout().slice(0, start, len, 1))).collect(),
            ));
        };
        let row_bytes: usize = self.arrays.iter().map(row_bytes).sum();
        if row_bytes * self.batch_size < PREFETCH_BYTES {
            let (start, len) = (self.next * self.batch_size, self.batch_rows(self.next));
            self.next += 1;
            return gather(&self.arrays, &order[start..start + len]).map(Some);
        }
        if self.ahead.is_none() {
            self.ahead = Some(self.look_ahead(order.clone()));
        }
        self.next += 1;
        let received = self.ahead.as_ref().map(|a| a.batches.recv());
        match received {
            Some(Ok(batch)) => batch.map(Some),
            _ => Err(Error::internal("Loader", "the prefetch thread ended early")),
        }
    }

    /// A thread that gathers the batches from the current one on.
    fn look_ahead(&self, order: std::sync::Arc<Vec<i64>>) -> Ahead {
        let (send, batches) = sync_channel(1);
        let arrays = self.arrays.clone();
        let ranges: Vec<(usize, usize)> =
            (self.next..self.batches()).map(|b| (b * self.batch_size, self.batch_rows(b))).collect();
        let work = move || {
            for (start, len) in ranges {
                if send.send(gather(&arrays, &order[start..start + len])).is_err() {
                    return; // the epoch was abandoned
                }
            }
        };
        let worker = std::thread::Builder::new().name("rkeras-loader".into()).spawn(work).ok();
        Ahead { batches, worker }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // Closing the channel ends the thread at its next batch.
        let (_, closed) = sync_channel(0);
        self.batches = closed;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

fn row_bytes(a: &Tensor) -> usize {
    a.shape()[1..].iter().product::<usize>() * a.dtype().size()
}

fn gather(arrays: &[Tensor], rows: &[i64]) -> Result<Vec<Tensor>> {
    arrays
        .iter()
        .map(|a| {
            let mut shape: crate::shape::Dims = a.shape().into();
            shape[0] = rows.len();
            let mut out = Tensor::scratch(&shape, a.dtype())?;
            let (size, view) = (row_bytes(a), a.view());
            let from = view.raw();
            let to = out.bytes_mut().ok_or_else(|| Error::internal("Loader", "a shared batch"))?;
            if size == 0 {
                return Ok(out);
            }
            let copy =
                |(to, &row): (&mut [u8], &i64)| to.copy_from_slice(&from[row as usize * size..][..size]);
            if to.len() >= PARALLEL_BYTES {
                to.par_chunks_mut(size).with_min_len((1 << 16) / size + 1).zip(rows).for_each(copy);
            } else {
                to.chunks_mut(size).zip(rows).for_each(copy);
            }
            Ok(out)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_seen(loader: &mut Loader) -> Vec<f32> {
        let mut seen = Vec::new();
        while let Some(batch) = loader.next_batch().unwrap() {
            assert_eq!(batch[0].shape()[0], batch[1].shape()[0]);
            let labels = batch[1].to_vec::<i32>().unwrap();
            for (row, label) in batch[0].to_vec::<f32>().unwrap().chunks(2).zip(labels) {
                assert_eq!(row[0] as i32, label);
                seen.push(row[0]);
            }
        }
        seen
    }

    #[test]
    fn every_row_once_in_an_order_of_seed_and_epoch() {
        let x: Vec<f32> = (0..21).flat_map(|i| [i as f32, 0.5]).collect();
        let y: Vec<i32> = (0..21).collect();
        let arrays =
            || vec![Tensor::from_slice(&[21, 2], &x).unwrap(), Tensor::from_slice(&[21], &y).unwrap()];
        let mut plain = Loader::new(arrays(), 8, false, 1, false).unwrap();
        assert_eq!((plain.batches(), plain.batch_rows(2)), (3, 5));
        assert!(rows_seen(&mut plain).windows(2).all(|w| w[1] == w[0] + 1.0));
        let (mut a, mut b) = (
            Loader::new(arrays(), 8, true, 1, false).unwrap(),
            Loader::new(arrays(), 4, true, 1, false).unwrap(),
        );
        let (first, second) = (rows_seen(&mut a), rows_seen(&mut b));
        assert_eq!(first, second);
        a.start(1);
        let next = rows_seen(&mut a);
        assert_ne!(first, next);
        let sorted = |mut v: Vec<f32>| {
            v.sort_by(f32::total_cmp);
            v
        };
        assert_eq!(sorted(next), sorted(first));
    }
}
