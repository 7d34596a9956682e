//! Blocks of 32x32 elements of C, in four tiles.

use std::arch::asm;

use super::pack::{STEP_BYTES, TILE, UNIT};
use crate::gemm::narrow::tiles::{Block, Tiles};

/// The product of a unit of A and one of B over `steps` steps. Meanwhile the rows at `c`, `ldc` bytes apart, are asked for:
/// the block is for them.
///
/// # Safety
/// The machine has tiles; the units have that many steps, and there is one.
pub(super) unsafe fn block(
    tiles: &mut Tiles,
    (a, b): (*const u8, *const u8),
    steps: usize,
    (c, ldc): (*const f32, usize),
    out: &mut Block,
) {
    tiles.shape(UNIT);
    // SAFETY: the caller's promise, and `out` has room for two by two tiles.
    unsafe {
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "2:",
            // The smallest products first, where what they add to is smallest; an operand that stays is not loaded again.
            "tileloadd tmm4, [{a} + {line} + 4*{tile}]",
            "tileloadd tmm6, [{b} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line} + {tile}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a} + {line} + 5*{tile}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{c}]",
            "prefetchw [{c} + 124]",
            "add {c}, {ldc}",
            // m·h
            "tileloadd tmm4, [{a} + {line} + 2*{tile}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a} + {line} + 3*{tile}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{c}]",
            "prefetchw [{c} + 124]",
            "add {c}, {ldc}",
            // m·m
            "tileloadd tmm6, [{b} + {line} + 2*{tile}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line} + 3*{tile}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            // h·m
            "tileloadd tmm4, [{a} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{a} + {line} + {tile}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{c}]",
            "prefetchw [{c} + 124]",
            "add {c}, {ldc}",
            // h·l
            "tileloadd tmm6, [{b} + {line} + 4*{tile}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line} + 5*{tile}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "prefetchw [{c}]",
            "prefetchw [{c} + 124]",
            "add {c}, {ldc}",
            // h·h
            "tileloadd tmm6, [{b} + {line}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tileloadd tmm7, [{b} + {line} + {tile}]",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {step}",
            "add {b}, {step}",
            "dec {n}",
            "jnz 2b",
            "tilestored [{out} + 2*{line}], tmm0",
            "tilestored [{out} + 2*{line} + 64], tmm1",
            "tilestored [{out} + 2*{line} + 2048], tmm2",
            "tilestored [{out} + 2*{line} + 2112], tmm3",
            a = inout(reg) a => _,
            b = inout(reg) b => _,
            c = inout(reg) c => _,
            ldc = in(reg) ldc * size_of::<f32>(),
            n = inout(reg) steps => _,
            line = in(reg) 64usize,
            out = in(reg) out.0.as_mut_ptr(),
            tile = const TILE,
            step = const STEP_BYTES,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
}
