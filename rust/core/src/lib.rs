//! The core of rkeras: tensors, ops, reverse-mode autodiff, compiled programs.
//!
//! Start with [`op`] (the contract), then one whole op ([`ops::softmax`]), then [`trace`] and [`autodiff`].
#![forbid(unsafe_code)]

pub mod autodiff;
pub mod dtype;
pub mod epoch;
pub mod error;
pub mod layout;
pub mod loader;
pub mod op;
pub mod ops;
pub mod passes;
pub mod program;
pub mod shape;
pub mod storage;
pub mod tensor;
pub mod trace;
pub mod variable;

/// The instruction set in use and the number of threads: facts of the machine, passed through for front ends.
pub mod machine {
    pub use rkeras_kernels::isa::level;
    pub use rkeras_kernels::par::{set_threads, threads};
}
