//! Large blocks straight from the system, on huge pages where it has them.
//!
//! The allocator would clear such a block itself before anybody can ask for huge pages, and a page that has been
//! touched keeps its size: the advice has to come before the first byte is written.

use std::ptr::NonNull;

/// The size of a huge page, and the alignment of every block from here.
pub const HUGE: usize = 2 << 20;

/// A zeroed block of `size` bytes that starts on a huge page; none if the system has no such memory.
#[cfg(target_os = "linux")]
pub fn map(size: usize) -> Option<NonNull<u8>> {
    let used = whole_pages(size)?;
    let room = used.checked_add(HUGE)?;
    let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, of nothing that exists.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), room, access, kind, -1, 0) };
    if start == libc::MAP_FAILED {
        return None;
    }
    let start = start.cast::<u8>();
    let before = start.align_offset(HUGE);
    // SAFETY: all three ranges are parts of the mapping just made, and nobody else knows of it; the first and the last
    // are given back, and the advice changes no contents. An advice that is refused costs speed only.
    unsafe {
        let block = start.add(before);
        if before > 0 {
            libc::munmap(start.cast(), before);
        }
        if HUGE > before {
            libc::munmap(block.add(used).cast(), HUGE - before);
        }
        libc::madvise(block.cast(), used, libc::MADV_HUGEPAGE);
        NonNull::new(block)
    }
}

/// Gives a block back.
///
/// # Safety
/// `block` came from [`map`] with this very `size`, and nothing refers to it any more.
#[cfg(target_os = "linux")]
pub unsafe fn unmap(block: NonNull<u8>, size: usize) {
    // SAFETY: a whole mapping, by the caller's promise.
    unsafe { libc::munmap(block.as_ptr().cast(), whole_pages(size).unwrap_or(size)) };
}

/// The size in whole small pages; none if it is beyond all addresses.
#[cfg(target_os = "linux")]
fn whole_pages(size: usize) -> Option<usize> {
    // SAFETY: asks for a constant of the system.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok()?;
    size.checked_next_multiple_of(page)
}

/// A zeroed block of `size` bytes, aligned like a huge page.
#[cfg(not(target_os = "linux"))]
pub fn map(size: usize) -> Option<NonNull<u8>> {
    let layout = std::alloc::Layout::from_size_align(size, HUGE).ok()?;
    // SAFETY: callers ask for large blocks, never for none.
    NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) })
}

/// Gives a block back.
///
/// # Safety
/// `block` came from [`map`] with this very `size`, and nothing refers to it any more.
#[cfg(not(target_os = "linux"))]
pub unsafe fn unmap(block: NonNull<u8>, size: usize) {
    // SAFETY: the layout with which it was allocated, by the caller's promise.
    unsafe { std::alloc::dealloc(block.as_ptr(), std::alloc::Layout::from_size_align_unchecked(size, HUGE)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_zeroed_aligned_and_can_be_written_to_its_last_byte() {
        for size in [HUGE, HUGE + 1, 3 * HUGE + 12345] {
            let block = map(size).unwrap();
            assert_eq!(block.as_ptr() as usize % HUGE, 0);
            // SAFETY: the block has `size` bytes, is ours, and is given back once.
            unsafe {
                let bytes = std::slice::from_raw_parts_mut(block.as_ptr(), size);
                assert!(bytes.iter().all(|&b| b == 0));
                bytes.fill(1);
                unmap(block, size);
            }
        }
        assert!(map(usize::MAX - HUGE).is_none());
    }
}
