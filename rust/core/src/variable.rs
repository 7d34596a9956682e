//! Variables: named, mutable buffers that outlive a step — weights, optimizer slots, metric state, seeds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::error::{Error, Result};
use crate::shape::Spec;
use crate::tensor::{Tensor, fresh_key};

/// A shared handle on one mutable tensor. Clones are the same variable.
#[derive(Clone, Debug)]
pub struct Variable(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    id: u64,
    name: Mutex<String>,
    spec: Spec,
    value: Mutex<Tensor>,
    version: AtomicU64,
    trainable: AtomicBool,
}

impl Variable {
    /// A variable that starts with `value`.
    pub fn new(name: impl Into<String>, value: &Tensor, trainable: bool) -> Result<Variable> {
        let value = value.contiguous()?.alias();
        Ok(Variable(Arc::new(Inner {
            id: fresh_key(),
            name: Mutex::new(name.into()),
            spec: value.spec(),
            value: Mutex::new(value),
            version: AtomicU64::new(0),
            trainable: AtomicBool::new(trainable),
        })))
    }

    /// A number that no other variable has.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The name.
    pub fn name(&self) -> String {
        self.0.name.lock().map(|n| n.clone()).unwrap_or_default()
    }

    /// Renames it.
    pub fn set_name(&self, name: impl Into<String>) {
        if let Ok(mut own) = self.0.name.lock() {
            *own = name.into();
        }
    }

    /// Shape and dtype, which never change.
    pub fn spec(&self) -> &Spec {
        &self.0.spec
    }

    /// Is it watched by gradient tapes?
    pub fn trainable(&self) -> bool {
        self.0.trainable.load(Ordering::Relaxed)
    }

    /// Sets whether gradient tapes watch it.
    pub fn set_trainable(&self, on: bool) {
        self.0.trainable.store(on, Ordering::Relaxed);
    }

    /// How often it has been written; packed copies of it are remade when this moves.
    pub fn version(&self) -> u64 {
        self.0.version.load(Ordering::Acquire)
    }

    /// The value as it is now; later assignments do not change what is returned.
    pub fn tensor(&self) -> Tensor {
        self.lock().clone()
    }

    /// Replaces the value.
    pub fn set(&self, value: &Tensor) -> Result<()> {
        if value.spec() != self.0.spec {
            return Err(Error::value(
                format!("Variable {:?}", self.name()),
                format!("a value of {}", self.0.spec),
                format!("{}", value.spec()),
            ));
        }
        let value = value.contiguous()?.alias();
        *self.lock() = value;
        self.touch();
        Ok(())
    }

    /// Marks it as written.
    pub fn touch(&self) {
        self.0.version.fetch_add(1, Ordering::Release);
    }

    /// Exclusive access, for programs that update it in place. Whoever writes through the guard gives the
    /// tensor a new key ([`Tensor::alias`]) and calls [`Variable::touch`].
    pub fn lock(&self) -> MutexGuard<'_, Tensor> {
        // A panic while a tensor is being swapped leaves a whole tensor behind either way.
        self.0.value.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl PartialEq for Variable {
    fn eq(&self, other: &Variable) -> bool {
        self.0.id == other.0.id
    }
}
