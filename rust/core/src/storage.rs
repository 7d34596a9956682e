//! Shared memory of tensors.

use std::sync::Arc;

/// Raw memory, for those who bring their own (the Python binding).
pub use rkeras_kernels::buffer::Buffer;

use crate::error::Result;

/// A block of bytes that tensors share; written only while one tensor alone holds it.
#[derive(Clone, Debug)]
pub struct Storage(Arc<Buffer>);

impl Storage {
    /// Zeroed memory.
    pub fn zeroed(bytes: usize) -> Result<Storage> {
        Ok(Storage(Arc::new(Buffer::zeroed(bytes)?)))
    }

    /// Memory whose contents are about to be overwritten.
    pub fn scratch(bytes: usize) -> Result<Storage> {
        Ok(Storage(Arc::new(Buffer::scratch(bytes)?)))
    }

    /// A buffer that something else filled.
    pub fn from_buffer(buffer: Buffer) -> Storage {
        Storage(Arc::new(buffer))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The bytes, writable, if nobody else holds this storage and it is not memory of another library.
    pub fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Arc::get_mut(&mut self.0).filter(|b| !b.is_external()).map(Buffer::bytes_mut)
    }

    /// Do both share the same memory?
    pub fn same(&self, other: &Storage) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}
