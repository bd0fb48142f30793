//! bf16 by AMX: four tiles of 16 x 16 sums, each instruction adding 32 steps of `k`.
//!
//! The intrinsics are not stable Rust; the instructions are written out.

use std::arch::asm;

use half::bf16;

use super::matrix::Matrix;
use super::micro::{Kernel, Rows};
use super::pack16;
use crate::{Element, Level};

/// What `ldtilecfg` reads: palette 1, eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

/// Tiles of the whole: 2 x 2.
pub struct Amx;

impl Kernel for Amx {
    type Packed = bf16;
    const ROWS: usize = 32;
    const COLUMNS: usize = 32;
    const DEPTH: usize = 32;
    const STEP: usize = 32;
    const LONGEST: usize = 2048;
    const BLOCK_ROWS: usize = 128;
    const LEVEL: Level = Level::Amx;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
        pack16::rows::<E, 32>(a, lane, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
        pack16::pairs::<E, 32>(b, lane, end, packed);
    }

    fn enter() {
        // SAFETY: this kernel runs only where the level is AMX, so the process may use the tiles; the configuration is
        // 64 bytes, aligned.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, preserves_flags, readonly)) };
    }

    fn leave() {
        // SAFETY: as above; the tiles' state is given back, so that switches of threads stay cheap.
        unsafe { asm!("tilerelease", options(nostack, preserves_flags, nomem)) };
    }

    const READS_ROWS: bool = true;

    unsafe fn tile(depth: usize, a: Rows<bf16>, _: usize, b: *const bf16, sums: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's.
        unsafe { add_tiles(depth, a, b, sums, stride, add) }
    }
}

/// A tile of [`Amx`].
///
/// # Safety
/// As [`Kernel::tile`]: `depth` is a multiple of 32, and the tiles are configured.
unsafe fn add_tiles(
    depth: usize,
    Rows { first, row, block }: Rows<bf16>,
    b: *const bf16,
    sums: *mut f32,
    stride: usize,
    add: bool,
) {
    let below = sums.wrapping_add(16 * stride);
    // SAFETY: the caller's: `depth / 32` blocks of 2 KiB in both panels, and 32 x 32 sums, rows `stride` apart.
    unsafe {
        if add {
            asm!(
                "tileloadd tmm0, [{c} + {s}]", "tileloadd tmm1, [{c} + {s} + 64]",
                "tileloadd tmm2, [{d} + {s}]", "tileloadd tmm3, [{d} + {s} + 64]",
                c = in(reg) sums, d = in(reg) below, s = in(reg) 4 * stride, options(nostack, preserves_flags, readonly)
            );
        } else {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, preserves_flags, nomem)
            );
        }
        asm!(
            "2:",
            "tileloadd tmm4, [{a} + {row}]",
            "tileloadd tmm6, [{b} + {pair}]",
            "tileloadd tmm7, [{b} + {pair} + 64]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tileloadd tmm5, [{under} + {row}]",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "add {a}, {block}",
            "add {under}, {block}",
            "add {b}, 2048",
            "dec {n}",
            "jnz 2b",
            a = inout(reg) first => _, under = inout(reg) first.wrapping_add(16 * row) => _, b = inout(reg) b => _,
            n = inout(reg) depth / 32 => _, block = in(reg) 2 * block,
            row = in(reg) 2 * row, pair = in(reg) 128usize, options(nostack, readonly)
        );
        asm!(
            "tilestored [{c} + {s}], tmm0", "tilestored [{c} + {s} + 64], tmm1",
            "tilestored [{d} + {s}], tmm2", "tilestored [{d} + {s} + 64], tmm3",
            c = in(reg) sums, d = in(reg) below, s = in(reg) 4 * stride, options(nostack, preserves_flags)
        );
    }
}
