//! Blocks of up to 32x32 elements of a product of bfloat16 matrices, by tiles (AMX).
//!
//! A has its rows at a stride, k contiguous; B lies in panels of 16 columns: per pair of k 16 columns of two values.

use std::arch::asm;

/// Rows and columns of a block.
pub(in crate::gemm) const BLOCK: usize = 32;
/// Columns of a panel.
pub(in crate::gemm) const PANEL: usize = 16;
/// Steps of k per tile.
pub(in crate::gemm) const STEP: usize = 32;

/// A finished block, row by row.
#[repr(C, align(64))]
pub(in crate::gemm) struct Block(pub [f32; BLOCK * BLOCK]);

/// The operands of a block.
#[derive(Clone, Copy)]
pub(super) struct Operands {
    pub a: *const u16,
    /// From row to row of A, in bytes.
    pub a_stride: usize,
    /// Rows of A, up to [`BLOCK`].
    pub rows: usize,
    pub b: *const u16,
    /// From one panel of B to the next, in elements.
    pub panel: usize,
    /// One or two.
    pub panels: usize,
    /// Steps of [`STEP`] along k, at least one.
    pub steps: usize,
}

/// The tile registers of this thread while a task runs; released when it is dropped, so that no other work, and no switch
/// of threads, carries them.
pub(in crate::gemm) struct Tiles {
    rows: (usize, usize),
}

/// What `ldtilecfg` reads.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    pub(in crate::gemm) fn new() -> Tiles {
        Tiles { rows: (0, 0) }
    }

    /// Tiles 0 to 3 are C, two rows of two; 4 and 5 A; 6 and 7 B.
    pub(in crate::gemm) fn shape(&mut self, rows: usize) {
        let rows = (rows.min(PANEL), rows.saturating_sub(PANEL));
        if rows == self.rows {
            return;
        }
        let (first, second) = (rows.0 as u8, rows.1.max(1) as u8);
        let mut config =
            Config { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        config.bytes[..8].fill(64);
        config.rows[..8].copy_from_slice(&[first, first, second, second, first, second, 16, 16]);
        // SAFETY: a valid configuration; the caller of `block` has found the instructions.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        self.rows = rows;
    }

    /// Computes a block.
    ///
    /// # Safety
    /// [`crate::isa::Narrow::Amx`] is there, and so are the elements of the operands.
    pub(super) unsafe fn block(&mut self, o: &Operands, out: &mut Block) {
        self.shape(o.rows);
        let second = o.a.wrapping_byte_add(PANEL * o.a_stride);
        let b = (o.b, o.b.wrapping_add(o.panel));
        macro_rules! run {
            ($zero:literal, $first:literal, $right:literal, $below:literal, $both:literal, $store:literal) => {
                asm!(
                    $zero,
                    "2:",
                    "tileloadd tmm4, [{a} + {stride}]",
                    "tileloadd tmm6, [{b} + {line}]",
                    "tdpbf16ps tmm0, tmm4, tmm6",
                    $right,
                    $below,
                    $both,
                    $first,
                    "add {a}, 64",
                    "add {a2}, 64",
                    "add {b}, 1024",
                    "add {b2}, 1024",
                    "dec {n}",
                    "jnz 2b",
                    "tilestored [{out} + 2*{line}], tmm0",
                    $store,
                    a = inout(reg) o.a => _,
                    a2 = inout(reg) second => _,
                    b = inout(reg) b.0 => _,
                    b2 = inout(reg) b.1 => _,
                    n = inout(reg) o.steps => _,
                    stride = in(reg) o.a_stride,
                    line = in(reg) 64usize,
                    out = in(reg) out.0.as_mut_ptr(),
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack),
                )
            };
        }
        // SAFETY: the caller's promise; the tiles have the rows that exist, and `out` has room for two by two of them.
        unsafe {
            match (o.rows > PANEL, o.panels > 1) {
                (true, true) => run!(
                    "tilezero tmm0
                     tilezero tmm1
                     tilezero tmm2
                     tilezero tmm3",
                    "",
                    "tileloadd tmm7, [{b2} + {line}]
                     tdpbf16ps tmm1, tmm4, tmm7",
                    "tileloadd tmm5, [{a2} + {stride}]
                     tdpbf16ps tmm2, tmm5, tmm6",
                    "tdpbf16ps tmm3, tmm5, tmm7",
                    "tilestored [{out} + 2*{line} + 64], tmm1
                     tilestored [{out} + 2*{line} + 2048], tmm2
                     tilestored [{out} + 2*{line} + 2112], tmm3"
                ),
                (false, true) => run!(
                    "tilezero tmm0
                     tilezero tmm1",
                    "",
                    "tileloadd tmm7, [{b2} + {line}]
                     tdpbf16ps tmm1, tmm4, tmm7",
                    "",
                    "",
                    "tilestored [{out} + 2*{line} + 64], tmm1"
                ),
                (true, false) => run!(
                    "tilezero tmm0
                     tilezero tmm2",
                    "",
                    "",
                    "tileloadd tmm5, [{a2} + {stride}]
                     tdpbf16ps tmm2, tmm5, tmm6",
                    "",
                    "tilestored [{out} + 2*{line} + 2048], tmm2"
                ),
                (false, false) => run!("tilezero tmm0", "", "", "", "", ""),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        if self.rows != (0, 0) {
            // SAFETY: tiles were configured, so the instruction is there.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
        }
    }
}
