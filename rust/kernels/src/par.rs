//! The only threads of computation in the project.
//!
//! A region runs `chunks` independent pieces of work. How the work is cut is a function of its shape,
//! chosen by the caller with the grain sizes below; which thread runs a chunk is decided here and has no
//! influence on the result.

/// Runs `work(0)`, …, `work(chunks - 1)`, possibly on several threads, and returns when all are done.
pub fn run(chunks: usize, work: impl Fn(usize) + Sync) {
    for chunk in 0..chunks {
        work(chunk);
    }
}

/// The number of threads that regions use.
pub fn threads() -> usize {
    1
}

/// Sets the number of threads (at least one) for the regions that follow.
pub fn set_threads(_threads: usize) {}
