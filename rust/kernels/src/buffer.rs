//! Memory: aligned, pooled buffers, and a workspace that hands out checked, disjoint parts of several.

use std::alloc::{Layout, alloc, dealloc};
use std::any::Any;
use std::ptr::NonNull;
use std::sync::Mutex;

use crate::pages::{self, HUGE};

/// Every buffer starts on a cache line, so that kernels may use aligned vectors of any width.
pub const ALIGN: usize = 64;

/// Buffers up to this size are kept for reuse when they are dropped …
const POOLED: usize = 64 << 20;
/// … as long as all kept ones together stay below this.
const POOL_BYTES: usize = 512 << 20;
/// Above this, requests are compared with the memory that is free: the system would promise more than it has.
const CHECKED: usize = 1 << 30;

/// Memory could not be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AllocError {
    /// How many bytes were asked for.
    pub bytes: usize,
}

enum Owner {
    /// Ours; the number is the allocated size.
    System(usize),
    /// Somebody else's memory, kept alive by this value.
    External(#[allow(dead_code)] Box<dyn Any + Send + Sync>),
}

/// An owned block of bytes, aligned to [`ALIGN`] unless it came from outside.
pub struct Buffer {
    ptr: NonNull<u8>,
    len: usize,
    owner: Owner,
}

// SAFETY: a Buffer owns its memory exclusively (external owners are Send + Sync); access goes through borrows.
unsafe impl Send for Buffer {}
// SAFETY: shared access is read-only.
unsafe impl Sync for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

/// Dropped buffers by size class: class k holds blocks of exactly `class_size(k)` bytes.
struct FreeList {
    classes: Vec<Vec<usize>>,
    bytes: usize,
}

static FREE: Mutex<FreeList> = Mutex::new(FreeList { classes: Vec::new(), bytes: 0 });

/// The class of a request and the size of its blocks: four classes per power of two, so that at most a quarter of a
/// block is not used.
fn class_of(len: usize) -> (usize, usize) {
    let len = len.max(ALIGN);
    let power = usize::BITS as usize - 1 - (len - 1).max(1).leading_zeros() as usize;
    let quarter = (1usize << power) / 4;
    let steps = (len - (1 << power)).div_ceil(quarter.max(1));
    let size = (1usize << power) + steps * quarter;
    (power * 4 + steps, size.next_multiple_of(ALIGN))
}

impl Buffer {
    /// A zeroed buffer of `len` bytes.
    pub fn zeroed(len: usize) -> Result<Buffer, AllocError> {
        if let Some(mut buffer) = Buffer::recycled(len) {
            buffer.bytes_mut().fill(0);
            return Ok(buffer);
        }
        Buffer::fresh(len)
    }

    /// A buffer of `len` bytes with unspecified (but initialised) contents.
    pub fn scratch(len: usize) -> Result<Buffer, AllocError> {
        Buffer::recycled(len).map_or_else(|| Buffer::fresh(len), Ok)
    }

    /// A block that was dropped before, if there is one of this size.
    fn recycled(len: usize) -> Option<Buffer> {
        if len == 0 || len > POOLED {
            return None;
        }
        let (class, size) = class_of(len);
        let mut free = FREE.lock().ok()?;
        let address = free.classes.get_mut(class).and_then(Vec::pop)?;
        free.bytes -= size;
        let ptr = NonNull::new(address as *mut u8)?;
        Some(Buffer { ptr, len, owner: Owner::System(size) })
    }

    /// A new block of zeros: from [`HUGE`] bytes on, pages of its own that the system has cleared.
    fn fresh(len: usize) -> Result<Buffer, AllocError> {
        if len == 0 {
            return Ok(Buffer { ptr: NonNull::<u128>::dangling().cast(), len, owner: Owner::System(0) });
        }
        let size = if len > POOLED { len } else { class_of(len).1 };
        let error = AllocError { bytes: len };
        if size > CHECKED && available_memory().is_some_and(|free| size > free) {
            return Err(error);
        }
        if size >= HUGE {
            let ptr = pages::map(size).ok_or(error)?;
            return Ok(Buffer { ptr, len, owner: Owner::System(size) });
        }
        let layout = Layout::from_size_align(size, ALIGN).map_err(|_| error)?;
        // SAFETY: the layout has a size above zero. Blocks may come recycled from the allocator: every byte is
        // initialised once.
        let ptr = unsafe {
            let ptr = NonNull::new(alloc(layout)).ok_or(error)?;
            ptr.as_ptr().write_bytes(0, size);
            ptr
        };
        Ok(Buffer { ptr, len, owner: Owner::System(size) })
    }

    /// Memory of somebody else (an array of another library), kept alive by `owner`. It is never written unless it is
    /// this buffer's alone, which [`Buffer::is_external`] lets callers rule out.
    ///
    /// # Safety
    /// `ptr` must point to `len` initialised bytes that stay valid and are not written by others while `owner` lives.
    pub unsafe fn from_external(ptr: NonNull<u8>, len: usize, owner: Box<dyn Any + Send + Sync>) -> Buffer {
        Buffer { ptr, len, owner: Owner::External(owner) }
    }

    /// Does the memory belong to somebody else? Then it must be copied before it is written.
    pub fn is_external(&self) -> bool {
        matches!(self.owner, Owner::External(_))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: ptr points to len initialised bytes owned by self (dangling but aligned when len is 0).
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }

    /// The bytes, writable.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        assert!(!self.is_external(), "external memory is read-only");
        // SAFETY: as in `bytes`, and &mut self makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Owner::System(size) = self.owner else { return };
        if size == 0 {
            return;
        }
        if size <= POOLED
            && let Ok(mut free) = FREE.lock()
            && free.bytes + size <= POOL_BYTES
        {
            let (class, class_size) = class_of(self.len);
            if class_size == size {
                if free.classes.len() <= class {
                    free.classes.resize_with(class + 1, Vec::new);
                }
                free.classes[class].push(self.ptr.as_ptr() as usize);
                free.bytes += size;
                return;
            }
        }
        // SAFETY: allocated in `fresh` with exactly this size, and this was its only owner.
        unsafe {
            if size >= HUGE {
                pages::unmap(self.ptr, size);
            } else {
                dealloc(self.ptr.as_ptr(), Layout::from_size_align_unchecked(size, ALIGN));
            }
        }
    }
}

/// Bytes of memory and swap that are free, where the system tells.
fn available_memory() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| {
        let line = text.lines().find(|l| l.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok()
    };
    Some((field("MemAvailable:")? + field("SwapFree:").unwrap_or(0)) * 1024)
}

/// A range of bytes in one part of a [`Workspace`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Which part.
    pub part: usize,
    /// First byte.
    pub offset: usize,
    /// Number of bytes.
    pub len: usize,
}

impl Region {
    fn overlaps(&self, other: &Region) -> bool {
        self.part == other.part
            && self.len > 0
            && other.len > 0
            && self.offset < other.offset + other.len
            && other.offset < self.offset + self.len
    }
}

/// What one instruction reads and writes, checked once to be free of conflicts.
#[derive(Clone, Debug, Default)]
pub struct Access {
    reads: Vec<Region>,
    writes: Vec<Region>,
}

impl Access {
    /// The access, unless a write overlaps anything else.
    pub fn new(reads: Vec<Region>, writes: Vec<Region>) -> Option<Access> {
        for (i, w) in writes.iter().enumerate() {
            if reads.iter().any(|r| r.overlaps(w)) || writes[..i].iter().any(|other| other.overlaps(w)) {
                return None;
            }
        }
        Some(Access { reads, writes })
    }
}

/// Several blocks of memory that one program works on.
#[derive(Debug)]
pub struct Workspace<'a> {
    parts: Vec<Part>,
    life: std::marker::PhantomData<&'a mut [u8]>,
}

#[derive(Debug, Clone, Copy)]
struct Part {
    ptr: *mut u8,
    len: usize,
    writable: bool,
}

impl<'a> Workspace<'a> {
    /// An empty workspace; parts are numbered in the order in which they are added.
    pub fn with_capacity(parts: usize) -> Workspace<'a> {
        Workspace { parts: Vec::with_capacity(parts), life: std::marker::PhantomData }
    }

    /// Adds memory to read and write.
    pub fn add_mut(&mut self, part: &'a mut [u8]) {
        self.parts.push(Part { ptr: part.as_mut_ptr(), len: part.len(), writable: true });
    }

    /// Adds memory to read.
    pub fn add(&mut self, part: &'a [u8]) {
        self.parts.push(Part { ptr: part.as_ptr().cast_mut(), len: part.len(), writable: false });
    }

    /// Calls `body` with the parts that an access names: what it reads, then what it writes. Panics if a region lies
    /// outside of its part or writes to a part that is only for reading.
    pub fn with<T>(&mut self, access: &Access, body: impl FnOnce(&[&[u8]], &mut [&mut [u8]]) -> T) -> T {
        let check = |r: &Region, write: bool| {
            let part = self.parts[r.part];
            assert!(r.len <= part.len && r.offset <= part.len - r.len, "a region outside of its memory");
            assert!(!write || part.writable, "a write to memory that is only for reading");
            // SAFETY: inside the part, as was just checked.
            unsafe { part.ptr.add(r.offset) }
        };
        // SAFETY: the parts are borrowed for 'a and self exclusively for this call; no write overlaps anything
        // (Access::new), so the exclusive slices are disjoint from all others.
        let reads: smallvec::SmallVec<[&[u8]; 8]> = access
            .reads
            .iter()
            .map(|r| unsafe { std::slice::from_raw_parts(check(r, false), r.len) })
            .collect();
        let mut writes: smallvec::SmallVec<[&mut [u8]; 4]> =
            // SAFETY: as above.
            access.writes.iter().map(|r| unsafe { std::slice::from_raw_parts_mut(check(r, true), r.len) }).collect();
        body(&reads, &mut writes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_beyond_memory_are_errors() {
        assert!(Buffer::zeroed(10usize.pow(15)).is_err());
        assert!(Buffer::scratch(usize::MAX / 2).is_err());
        assert!(Buffer::zeroed(1 << 20).unwrap().bytes().iter().all(|&b| b == 0));
    }

    #[test]
    fn classes_hold_what_they_promise() {
        for len in (1..5000).chain([1 << 20, (1 << 20) + 1, POOLED]) {
            let (class, size) = class_of(len);
            assert!(size >= len && size % ALIGN == 0, "{len} {size}");
            assert_eq!(class_of(len).0, class);
        }
        let first = Buffer::scratch(100_000).unwrap();
        let address = first.bytes().as_ptr() as usize;
        assert_eq!(address % ALIGN, 0);
        drop(first);
    }

    #[test]
    fn workspaces_hand_out_disjoint_parts() {
        let (mut a, b) = ([0u8; 8], [7u8; 4]);
        let r = |part, offset, len| Region { part, offset, len };
        assert!(Access::new(vec![r(0, 0, 4)], vec![r(0, 3, 2)]).is_none());
        assert!(Access::new(vec![], vec![r(0, 0, 4), r(0, 2, 4)]).is_none());
        let access = Access::new(vec![r(1, 0, 4), r(0, 4, 4)], vec![r(0, 0, 4)]).unwrap();
        let mut w = Workspace::with_capacity(2);
        w.add_mut(&mut a);
        w.add(&b);
        w.with(&access, |reads, writes| writes[0].copy_from_slice(reads[0]));
        assert_eq!(a, [7, 7, 7, 7, 0, 0, 0, 0]);
    }
}
