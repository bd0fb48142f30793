//! bf16 by AMX: four tiles of 16 x 16 sums, each instruction adding 32 steps of `k`.
//!
//! The intrinsics are not stable Rust; the instructions are written out.

use std::arch::asm;

use half::bf16;

use super::{ARows, CTile, Kernel};
use crate::gemm::matrix::Matrix;
use crate::gemm::pack_bf16::{pack_pairs, pack_rows};
use crate::prefetch::Ahead;
use crate::quant::{Piece, QuantTensor};
use crate::simd::dispatch::Amx;
use crate::{Element, SimdLevel};

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

/// A tile of the result is 2 x 2 of the CPU's.
impl Kernel for Amx {
    type Packed = bf16;
    const MR: usize = 32;
    const NR: usize = 32;
    const K_PAD: usize = 32;
    const K_STEP: usize = 32;
    const KC: usize = 2048;
    const MC: usize = 128;
    const LEVEL: SimdLevel = SimdLevel::Amx;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [bf16]) {
        pack_rows::<E, 32>(a, first, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [bf16]) {
        pack_pairs::<E, 32>(b, first, end, packed);
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

    fn pack_quantised(tensor: &QuantTensor, piece: Piece, panel: &mut [bf16]) -> bool {
        tensor.pack_pairs::<32>(piece, panel)
    }

    const READS_A_IN_PLACE: bool = true;

    unsafe fn microkernel(k: usize, a: &ARows<bf16>, b: *const bf16, c: &CTile, mut next: Ahead) {
        next.part(1);
        // SAFETY: the caller's.
        unsafe { add_tiles(k, a, b, c) }
    }
}

/// A tile of [`Amx`].
///
/// # Safety
/// As [`Kernel::microkernel`]: `k` is a multiple of 32, and the tiles are configured.
unsafe fn add_tiles(
    k: usize,
    &ARows { first, row_stride, block_stride }: &ARows<bf16>,
    b: *const bf16,
    &CTile { first: c, ldc, add, .. }: &CTile,
) {
    let below = c.wrapping_add(16 * ldc);
    // SAFETY: the caller's: `k / 32` blocks of 2 KiB in both panels, and 32 x 32 sums, rows `ldc` apart.
    unsafe {
        if add {
            asm!(
                "tileloadd tmm0, [{c} + {s}]", "tileloadd tmm1, [{c} + {s} + 64]",
                "tileloadd tmm2, [{d} + {s}]", "tileloadd tmm3, [{d} + {s} + 64]",
                c = in(reg) c, d = in(reg) below, s = in(reg) 4 * ldc, options(nostack, preserves_flags, readonly)
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
            a = inout(reg) first => _, under = inout(reg) first.wrapping_add(16 * row_stride) => _, b = inout(reg) b => _,
            n = inout(reg) k / 32 => _, block = in(reg) 2 * block_stride,
            row = in(reg) 2 * row_stride, pair = in(reg) 128usize, options(nostack, readonly)
        );
        asm!(
            "tilestored [{c} + {s}], tmm0", "tilestored [{c} + {s} + 64], tmm1",
            "tilestored [{d} + {s}], tmm2", "tilestored [{d} + {s} + 64], tmm3",
            c = in(reg) c, d = in(reg) below, s = in(reg) 4 * ldc, options(nostack, preserves_flags)
        );
    }
}
