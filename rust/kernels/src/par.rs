//! The only threads of computation in the project.
//!
//! A region runs `chunks` independent pieces of work. How the work is cut is a function of its shape, chosen by
//! the caller; which thread runs a chunk has no influence on the result.
//!
//! The chunks are dealt in contiguous blocks, one per thread, so that a thread meets the same rows again in the
//! next region and finds them in its cache. A thread that is done helps the others: on a busy machine, where a
//! worker may not be running at all, the caller finishes the region alone instead of waiting.
//!
//! Hand-off is by atomics. Waiting goes from spinning (tens of microseconds) over yielding to parking; measured
//! against parking at once (23 µs to wake a core) and against pure spinning (up to 8 ms when the core it waits for
//! is shared), see the architecture page.

use crate::buffer::AllocError;
use crate::flush;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, AtomicUsize, Ordering::*, fence};
use std::sync::{Mutex, Once};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// More threads than this are never used; the tickets of a region are an array of this size.
pub const MAX_THREADS: usize = 128;

/// Busy-waiting before a thread starts to yield: tens of microseconds, longer than the pieces of a small step differ. Each
/// yield hands the core to whoever wants it; with a tenth of this, processes of the lowest priority took 38 % of the
/// machine from a small network's training (now 6 %), and those of the same priority 5 % more than now.
const SPINS: u32 = 2000;
/// Yielding before an idle worker parks.
const LINGER: Duration = Duration::from_micros(100);
/// The same while a training step runs ([`Session`]): the next region is microseconds away.
const LINGER_IN_SESSION: Duration = Duration::from_millis(1);

/// The next chunk of one block: epoch in the high half, so that a late thread cannot take work of a region it
/// has not seen; index in the low half.
#[repr(align(128))]
struct Ticket(AtomicU64);

/// The index part of a ticket.
const INDEX: u64 = 0xffff_ffff;
/// A ticket that nobody can draw: its index is past every end.
const CLOSED: u64 = u64::MAX;

/// The epoch part of a ticket.
fn stamp(epoch: u64) -> u64 {
    epoch << 32
}

/// What a region consists of. Written only while no region runs; a thread that read it while it changed fails to
/// draw a ticket, because the epoch of the tickets has moved on.
struct Region {
    call: AtomicPtr<()>,
    data: AtomicPtr<()>,
    chunks: AtomicUsize,
    blocks: AtomicUsize,
    /// The floating-point mode of the caller, which all its chunks run in.
    mode: AtomicU64,
}

struct Pool {
    region: Region,
    tickets: [Ticket; MAX_THREADS],
    /// The current region; workers wait for it to change.
    epoch: AtomicU64,
    /// Chunks finished.
    done: AtomicUsize,
    /// A region is running.
    busy: AtomicBool,
    /// Workers that park or are about to.
    sleeping: [AtomicBool; MAX_THREADS],
    workers: Mutex<Vec<Thread>>,
    worker_count: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// 0 stands for "not chosen yet".
static THREADS: AtomicUsize = AtomicUsize::new(0);
static SESSIONS: AtomicUsize = AtomicUsize::new(0);
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

thread_local! {
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// The number of threads that regions use: `RKERAS_NUM_THREADS`, or as many as the machine lets us run.
pub fn threads() -> usize {
    match THREADS.load(Relaxed) {
        0 => {
            let given = std::env::var("RKERAS_NUM_THREADS").ok().and_then(|v| v.trim().parse::<usize>().ok());
            let n = given.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get()));
            let n = n.clamp(1, MAX_THREADS);
            let _ = THREADS.compare_exchange(0, n, Relaxed, Relaxed);
            THREADS.load(Relaxed)
        }
        n => n,
    }
}

/// Sets the number of threads (at least one) for the regions that follow.
pub fn set_threads(n: usize) {
    THREADS.store(n.clamp(1, MAX_THREADS), Relaxed);
}

/// While one lives, workers stay awake between regions. Training steps and epochs hold one.
#[derive(Debug)]
pub struct Session(());

impl Session {
    /// Keeps the workers awake until it is dropped.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Session {
        SESSIONS.fetch_add(1, Relaxed);
        Session(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        SESSIONS.fetch_sub(1, Relaxed);
    }
}

/// While it lives, regions that this thread starts are run by this thread alone.
#[derive(Debug)]
pub struct Alone {
    before: bool,
    /// It belongs to its thread.
    here: std::marker::PhantomData<*const ()>,
}

impl Alone {
    /// Sends nobody for help until it is dropped.
    #[allow(clippy::new_without_default)]
    pub fn new() -> Alone {
        Alone { before: INSIDE.replace(true), here: std::marker::PhantomData }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

/// Runs `work(0)`, …, `work(chunks - 1)`, possibly on several threads, and returns when all are done. Inside of
/// another region, and when another thread's region is running, the chunks run one after the other. A panic in a
/// chunk comes out here after the others have finished.
pub fn run(chunks: usize, work: impl Fn(usize) + Sync) {
    let threads = threads().min(chunks);
    if threads <= 1 || INSIDE.get() {
        for chunk in 0..chunks {
            work(chunk);
        }
        return;
    }
    let pool = pool();
    if pool.busy.swap(true, Acquire) {
        for chunk in 0..chunks {
            work(chunk);
        }
        return;
    }
    pool.run(chunks, threads, &work);
}

/// [`run`] of work that may find no memory: the others finish, then the largest request that failed is the error.
pub(crate) fn try_run(
    chunks: usize,
    work: impl Fn(usize) -> Result<(), AllocError> + Sync,
) -> Result<(), AllocError> {
    let missing = AtomicUsize::new(0);
    run(chunks, |chunk| {
        if let Err(e) = work(chunk) {
            missing.fetch_max(e.bytes.max(1), Relaxed);
        }
    });
    match missing.into_inner() {
        0 => Ok(()),
        bytes => Err(AllocError { bytes }),
    }
}

/// The first chunk of block `b` when `chunks` are dealt to `blocks`.
fn block_start(chunks: usize, blocks: usize, b: usize) -> usize {
    b * chunks / blocks
}

/// The pool of this process. After a fork the child has no workers, so it starts a pool of its own.
fn pool() -> &'static Pool {
    static AT_FORK: Once = Once::new();
    AT_FORK.call_once(|| {
        extern "C" fn forget() {
            POOL.store(std::ptr::null_mut(), Release);
        }
        #[cfg(unix)]
        // SAFETY: the handler only stores to an atomic.
        unsafe {
            libc::pthread_atfork(None, None, Some(forget));
        }
    });
    let mut p = POOL.load(Acquire);
    if p.is_null() {
        let fresh = Box::into_raw(Box::new(Pool::new()));
        match POOL.compare_exchange(std::ptr::null_mut(), fresh, AcqRel, Acquire) {
            Ok(_) => p = fresh,
            Err(other) => {
                // SAFETY: `fresh` was not shared with anybody.
                drop(unsafe { Box::from_raw(fresh) });
                p = other;
            }
        }
    }
    // SAFETY: pools are never freed once they are published.
    unsafe { &*p }
}

unsafe fn call<F: Fn(usize) + Sync>(data: *const (), chunk: usize) {
    // SAFETY: `data` is the closure of the region that the chunk was drawn from; it lives until the region ends.
    unsafe { (*data.cast::<F>())(chunk) }
}

impl Pool {
    fn new() -> Pool {
        Pool {
            region: Region {
                call: AtomicPtr::new(std::ptr::null_mut()),
                data: AtomicPtr::new(std::ptr::null_mut()),
                chunks: AtomicUsize::new(0),
                blocks: AtomicUsize::new(0),
                mode: AtomicU64::new(flush::mode()),
            },
            tickets: [const { Ticket(AtomicU64::new(0)) }; MAX_THREADS],
            epoch: AtomicU64::new(0),
            done: AtomicUsize::new(0),
            busy: AtomicBool::new(false),
            sleeping: [const { AtomicBool::new(false) }; MAX_THREADS],
            workers: Mutex::new(Vec::new()),
            worker_count: AtomicUsize::new(0),
            panic: Mutex::new(None),
        }
    }

    fn run<F: Fn(usize) + Sync>(&'static self, chunks: usize, threads: usize, work: &F) {
        self.hire(threads - 1);
        let epoch = self.epoch.load(Relaxed) + 1;
        // Close the tickets of the last region before its description changes: a thread that comes late and reads
        // the new description must not draw with an old ticket. Pairs with the fence in `work`.
        for b in 0..self.region.blocks.load(Relaxed) {
            self.tickets[b].0.store(CLOSED, Relaxed);
        }
        fence(Release);
        let function: unsafe fn(*const (), usize) = call::<F>;
        self.region.call.store(function as *mut (), Relaxed);
        self.region.data.store(std::ptr::from_ref(work).cast_mut().cast(), Relaxed);
        self.region.chunks.store(chunks, Relaxed);
        self.region.blocks.store(threads, Relaxed);
        self.region.mode.store(flush::mode(), Relaxed);
        self.done.store(0, Relaxed);
        for b in 0..threads {
            self.tickets[b].0.store(stamp(epoch) | block_start(chunks, threads, b) as u64, Release);
        }
        // SeqCst orders this against the workers' "about to park" flags, so that none sleeps through it.
        self.epoch.store(epoch, SeqCst);
        for w in 0..threads - 1 {
            if self.sleeping[w].load(SeqCst)
                && let Ok(workers) = self.workers.lock()
            {
                workers[w].unpark();
            }
        }
        INSIDE.set(true);
        self.work(epoch, 0);
        INSIDE.set(false);
        let mut spins = 0u32;
        while self.done.load(Acquire) < chunks {
            spins += 1;
            if spins < SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
        let panic = self.panic.lock().ok().and_then(|mut p| p.take());
        self.busy.store(false, Release);
        if let Some(payload) = panic {
            resume_unwind(payload);
        }
    }

    /// Takes chunks of the region `epoch` until none is left, first from the own block, then from the others.
    fn work(&self, epoch: u64, me: usize) {
        let chunks = self.region.chunks.load(Relaxed);
        let blocks = self.region.blocks.load(Relaxed);
        let function = self.region.call.load(Relaxed);
        let data = self.region.data.load(Relaxed);
        let mode = self.region.mode.load(Relaxed);
        fence(Acquire);
        if me > 0 {
            flush::set_mode(mode);
        }
        for b in 0..blocks {
            let b = (me + b) % blocks;
            let end = block_start(chunks, blocks, b + 1) as u64;
            let mut finished = 0;
            loop {
                let ticket = self.tickets[b].0.load(Acquire);
                if ticket & !INDEX != stamp(epoch) || ticket & INDEX >= end {
                    break;
                }
                if self.tickets[b].0.compare_exchange_weak(ticket, ticket + 1, AcqRel, Relaxed).is_err() {
                    continue;
                }
                let chunk = (ticket & INDEX) as usize;
                // SAFETY: the ticket is of this epoch, so the region read above is the running one, and it ends
                // only after `done` has counted this chunk.
                let result = catch_unwind(AssertUnwindSafe(|| unsafe {
                    let function: unsafe fn(*const (), usize) = std::mem::transmute(function);
                    function(data, chunk);
                }));
                if let (Err(payload), Ok(mut slot)) = (result, self.panic.lock()) {
                    slot.get_or_insert(payload);
                }
                finished += 1;
            }
            if finished > 0 {
                self.done.fetch_add(finished, Release);
            }
        }
    }

    /// Sees to it that there are `n` workers.
    fn hire(&'static self, n: usize) {
        if self.worker_count.load(Acquire) >= n {
            return;
        }
        let Ok(mut workers) = self.workers.lock() else { return };
        while workers.len() < n {
            let w = workers.len();
            let seen = self.epoch.load(Acquire);
            let spawned = std::thread::Builder::new()
                .name(format!("rkeras-{}", w + 1))
                .spawn(move || self.serve(w, seen));
            match spawned {
                Ok(handle) => workers.push(handle.thread().clone()),
                // Fewer threads are slower, not wrong: the caller takes all chunks that nobody else does. The parked
                // caller's own handle stands in, so that indices stay valid.
                Err(_) => workers.push(std::thread::current()),
            }
        }
        self.worker_count.store(workers.len(), Release);
    }

    fn serve(&self, w: usize, mut seen: u64) {
        INSIDE.set(true);
        loop {
            seen = self.wait(w, seen);
            if w + 1 < self.region.blocks.load(Relaxed) {
                self.work(seen, w + 1);
            }
        }
    }

    /// Waits for an epoch after `seen`.
    fn wait(&self, w: usize, seen: u64) -> u64 {
        for _ in 0..SPINS * 4 {
            let now = self.epoch.load(Acquire);
            if now != seen {
                return now;
            }
            std::hint::spin_loop();
        }
        let begin = Instant::now();
        loop {
            for _ in 0..16 {
                std::thread::yield_now();
                let now = self.epoch.load(Acquire);
                if now != seen {
                    return now;
                }
            }
            let linger = if SESSIONS.load(Relaxed) > 0 { LINGER_IN_SESSION } else { LINGER };
            if begin.elapsed() > linger {
                break;
            }
        }
        self.sleeping[w].store(true, SeqCst);
        loop {
            let now = self.epoch.load(SeqCst);
            if now != seen {
                self.sleeping[w].store(false, Relaxed);
                return now;
            }
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_chunk_runs_once_for_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            set_threads(threads);
            for chunks in [0, 1, 2, 7, 100, 1000] {
                let counts: Vec<AtomicU32> = (0..chunks).map(|_| AtomicU32::new(0)).collect();
                for _ in 0..20 {
                    run(chunks, |i| {
                        counts[i].fetch_add(1, Relaxed);
                        // A region inside of a region runs in place.
                        run(2, |_| ());
                    });
                }
                assert!(counts.iter().all(|c| c.load(Relaxed) == 20));
            }
        }
    }

    #[test]
    fn panics_come_out_and_the_pool_goes_on() {
        let caught = catch_unwind(|| run(50, |i| assert!(i != 13, "chunk thirteen")));
        assert!(caught.is_err());
        let sum = AtomicUsize::new(0);
        run(10, |i| {
            sum.fetch_add(i, Relaxed);
        });
        assert_eq!(sum.into_inner(), 45);
    }
}
