//! Keras in Rust, for CPUs: tensors, ops, gradients and compiled steps for Rust programs, without Python.
//!
//! ```
//! use rkeras::{Graph, Program, Tensor, Value, Variable, gradient, ops, read, trace};
//!
//! # fn main() -> rkeras::Result<()> {
//! // A step of gradient descent on (w·x - y)², traced once and run as a program.
//! let w = Variable::new("w", &Tensor::from_slice(&[1], &[0f32])?, true)?;
//! let graph = Graph::new();
//! let x = graph.input(rkeras::Spec::known(&[1], rkeras::DType::F32));
//! let loss = trace::with_mode(trace::Mode::Graph(graph.clone()), || -> rkeras::Result<Value> {
//!     let kernel = read(&w)?;
//!     let target = Value::from(Tensor::from_slice(&[1], &[6f32])?);
//!     let error = ops::elementwise::subtract(&ops::elementwise::multiply(&kernel, &x)?, &target)?;
//!     let loss = ops::elementwise::multiply(&error, &error)?;
//!     let slope = gradient(None, &[(loss.clone(), None)], std::slice::from_ref(&kernel))?[0].clone().expect("w is used");
//!     let rate = Value::from(Tensor::scalar(0.1, rkeras::DType::F32)?);
//!     trace::assign(&w, &ops::elementwise::subtract(&kernel, &ops::elementwise::multiply(&slope, &rate)?)?)?;
//!     Ok(loss)
//! })?;
//! let mut step = Program::compile(&graph, &[loss], "descent")?;
//! for _ in 0..50 {
//!     step.run(&[&Tensor::from_slice(&[1], &[2f32])?])?;
//! }
//! assert!((w.tensor().to_vec::<f32>()?[0] - 3.0).abs() < 1e-4);
//! # Ok(())
//! # }
//! ```
//!
//! Layers, losses, optimizers and `.keras` files in Rust follow; today this crate re-exports the core.

pub use rkeras_core::autodiff::gradient;
pub use rkeras_core::dtype::{DType, Element};
pub use rkeras_core::error::{Error, Result};
pub use rkeras_core::ops;
pub use rkeras_core::program::Program;
pub use rkeras_core::shape::{Shape, Spec};
pub use rkeras_core::tensor::Tensor;
pub use rkeras_core::trace::{self, Graph, Tape, Value, read};
pub use rkeras_core::variable::Variable;
