//! How products of bfloat16 matrices are computed: a choice of its own beside [`super::level`].
//!
//! `RKERAS_ISA=amx|avx512_bf16` asks for one of the two instruction sets; any lower level there means neither.

use std::sync::OnceLock;

/// Instructions for products of bfloat16, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Narrow {
    /// None: operands are widened to float32.
    Widen,
    /// AVX-512 BF16: pairs of products added to float32 lanes.
    Avx512Bf16,
    /// AMX: tiles of 16 rows.
    Amx,
}

/// All that this machine can run, lowest first: what tests iterate over.
pub fn narrow_levels() -> &'static [Narrow] {
    static FOUND: OnceLock<Vec<Narrow>> = OnceLock::new();
    FOUND.get_or_init(|| {
        let mut found = vec![Narrow::Widen];
        if super::detect() == super::Level::Avx512 && dot_instructions() {
            found.push(Narrow::Avx512Bf16);
            if tile_instructions() {
                found.push(Narrow::Amx);
            }
        }
        found
    })
}

/// The choice in force.
pub fn narrow() -> Narrow {
    static CHOICE: OnceLock<Narrow> = OnceLock::new();
    *CHOICE.get_or_init(|| {
        let found = narrow_levels();
        let best = found[found.len() - 1];
        match std::env::var("RKERAS_ISA").as_deref() {
            Ok("portable" | "avx2" | "avx512") => Narrow::Widen,
            Ok("avx512_bf16") => best.min(Narrow::Avx512Bf16),
            // AMD's processors run one `vdpbf16ps` per multiply-add of float32, twice the arithmetic; Intel's (measured on
            // Sapphire Rapids) a quarter as many, half the arithmetic.
            _ if best == Narrow::Avx512Bf16 && !super::made_by_amd() => Narrow::Widen,
            _ => best,
        }
    })
}

#[cfg(target_arch = "x86_64")]
fn dot_instructions() -> bool {
    is_x86_feature_detected!("avx512bf16")
}

/// Whether there are tiles and the system lets this process use them; it is asked once.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn tile_instructions() -> bool {
    const REQUEST_PERMISSION: libc::c_long = 0x1023;
    const TILE_DATA: libc::c_long = 18;
    const BF16: u32 = 1 << 22;
    const TILE: u32 = 1 << 24;
    use std::arch::x86_64::{__cpuid, __cpuid_count};
    if __cpuid(0).eax < 7 || __cpuid_count(7, 0).edx & (BF16 | TILE) != BF16 | TILE {
        return false;
    }
    // SAFETY: the call takes two numbers and changes only what the process may do.
    unsafe { libc::syscall(libc::SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0 }
}

#[cfg(all(target_arch = "x86_64", not(target_os = "linux")))]
fn tile_instructions() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn dot_instructions() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn tile_instructions() -> bool {
    false
}
