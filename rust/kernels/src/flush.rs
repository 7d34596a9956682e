//! Numbers too small to be normal count as zero while a program runs.
//!
//! A processor computes with denormal numbers a hundred times slower than with others, and training makes them: a
//! moment of Adam whose gradient stays away shrinks by a tenth each step until it lies below 1e-38, and there it stays.
//! TensorFlow and XLA set the same mode. The mode belongs to a thread, so whoever runs a region hands it on
//! ([`crate::par`]); it is put back at the end, because the thread is Python's.

use std::marker::PhantomData;

/// Denormal results and operands are zero while one lives; it belongs to the thread that made it.
#[derive(Debug)]
pub struct FlushDenormals {
    before: u64,
    thread: PhantomData<*const ()>,
}

impl FlushDenormals {
    /// Sets the mode of this thread.
    #[allow(clippy::new_without_default)]
    #[inline]
    pub fn new() -> FlushDenormals {
        let before = mode();
        set_mode(before | FLUSH);
        FlushDenormals { before, thread: PhantomData }
    }
}

impl Drop for FlushDenormals {
    #[inline]
    fn drop(&mut self) {
        set_mode(self.before);
    }
}

/// Flush to zero and denormals are zero.
#[cfg(target_arch = "x86_64")]
const FLUSH: u64 = 0x8040;
/// Flush to zero, of operands and results.
#[cfg(target_arch = "aarch64")]
const FLUSH: u64 = 1 << 24;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const FLUSH: u64 = 0;

/// The floating-point mode of this thread.
#[inline]
pub(crate) fn mode() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut csr = 0u32;
        // SAFETY: it stores the register where it is told.
        unsafe { std::arch::asm!("stmxcsr [{}]", in(reg) &mut csr, options(nostack, preserves_flags)) };
        // Without the flags of exceptions that have happened, so that equal modes compare equal.
        u64::from(csr & !0x3f)
    }
    #[cfg(target_arch = "aarch64")]
    {
        let fpcr: u64;
        // SAFETY: it reads a register.
        unsafe { std::arch::asm!("mrs {}, fpcr", out(reg) fpcr, options(nomem, nostack, preserves_flags)) };
        fpcr
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    0
}

/// Makes `new` the floating-point mode of this thread.
#[inline]
pub(crate) fn set_mode(new: u64) {
    #[cfg(target_arch = "x86_64")]
    {
        let csr = new as u32;
        // SAFETY: only the treatment of denormals is ever changed, on which no Rust code relies; `csr` is valid.
        unsafe { std::arch::asm!("ldmxcsr [{}]", in(reg) &csr, options(nostack, readonly, preserves_flags)) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: as above.
    unsafe {
        std::arch::asm!("msr fpcr, {}", in(reg) new, options(nomem, nostack, preserves_flags))
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = new;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint::black_box;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    fn tiny() -> f32 {
        black_box(1e-30f32) * black_box(1e-10f32)
    }

    #[test]
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    fn the_mode_holds_on_all_threads_of_a_region_and_ends_with_the_guard() {
        assert!(tiny() > 0.0);
        {
            let _flush = FlushDenormals::new();
            assert_eq!(tiny(), 0.0);
            let zeros = AtomicUsize::new(0);
            crate::par::run(64, |_| {
                zeros.fetch_add(usize::from(tiny() == 0.0), Relaxed);
            });
            assert_eq!(zeros.into_inner(), 64);
        }
        assert!(tiny() > 0.0);
        let kept = AtomicUsize::new(0);
        crate::par::run(64, |_| {
            kept.fetch_add(usize::from(tiny() > 0.0), Relaxed);
        });
        assert_eq!(kept.into_inner(), 64);
    }
}
