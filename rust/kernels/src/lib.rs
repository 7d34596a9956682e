//! Parallel SIMD kernels of rkeras: slices in, slices out.
//!
//! This crate knows nothing of tensors, graphs or dtypes as values. It holds all SIMD code and all
//! threads of computation of the project; the instruction set is chosen once at run time ([`isa`]) and
//! every parallel split depends on the shape of the work, never on the number of threads ([`par`]).

pub mod attention;
pub mod buffer;
pub mod conv;
pub mod convert;
pub mod copy;
pub mod flush;
pub mod gather;
pub mod gemm;
pub mod isa;
mod lanes;
pub mod linalg;
pub mod map;
pub mod norm;
mod pages;
pub mod par;
pub mod pooling;
mod pooling_blocks;
mod pooling_forward;
pub mod random;
pub mod reduce;
pub mod rnn;
pub mod scan;
mod shared;
pub mod softmax;
pub mod sort;
mod unroll;
pub mod vm;
mod vm_adam;
