//! Aligned memory.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Every buffer starts on a cache line, so that kernels may use aligned vectors of any width.
pub const ALIGN: usize = 64;

/// Memory could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError {
    /// How many bytes were asked for.
    pub bytes: usize,
}

/// An owned block of bytes, aligned to [`ALIGN`].
#[derive(Debug)]
pub struct Buffer {
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: a Buffer owns its memory exclusively; access goes through & and &mut borrows.
unsafe impl Send for Buffer {}
// SAFETY: shared access is read-only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A zeroed buffer of `len` bytes.
    pub fn zeroed(len: usize) -> Result<Buffer, AllocError> {
        if len == 0 {
            return Ok(Buffer { ptr: NonNull::dangling(), len });
        }
        let layout = Layout::from_size_align(len, ALIGN).map_err(|_| AllocError { bytes: len })?;
        // SAFETY: the layout has a size above zero.
        let ptr = unsafe { alloc_zeroed(layout) };
        Ok(Buffer { ptr: NonNull::new(ptr).ok_or(AllocError { bytes: len })?, len })
    }

    /// A buffer of `len` bytes with unspecified (but initialised) contents.
    pub fn scratch(len: usize) -> Result<Buffer, AllocError> {
        Buffer::zeroed(len)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: ptr points to len initialised bytes owned by self (dangling but aligned when len is 0).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes, writable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: allocated in `zeroed` with exactly this layout.
            unsafe { dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(self.len, ALIGN)) }
        }
    }
}
