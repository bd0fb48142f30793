//! Microkernels, one for each way of multiplying: an `MR x NR` tile of the result, summed over `k` in registers.
//!
//! The words are those of BLIS (Van Zee and van de Geijn 2015, "BLIS: a framework for rapidly instantiating BLAS
//! functionality"): `MR`, `NR`, `KC` and `MC` are constants of a [`Kernel`], `NC` is the driver's. Where ours differ:
//!
//! - Panels hold all of `k`, not `KC` steps of it: operands are packed once, and the loop over `KC` is inside the block.
//! - `NC` are the columns of a task's block; what BLIS bounds by it, the packed operands that exist at once, are slabs
//!   of a fixed number of elements.
//! - Sums of an `MC x NC` block are kept in f32 beside the result, which is written once, when all of `k` is summed.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512_bf16;
#[cfg(target_arch = "x86_64")]
mod fma;
mod portable;

use half::bf16;

use super::matrix::Matrix;
use crate::prefetch::Ahead;
use crate::quant::{Piece, QuantTensor};
use crate::simd::multiversion::multiversion;
use crate::{Element, SimdLevel, Store};

/// Where a kernel finds the rows of `A`.
#[derive(Clone, Copy)]
pub struct ARows<P> {
    pub first: *const P,
    /// For kernels of pairs: how far apart rows are, and [`Kernel::K_PAD`] steps of a row and the next. Others read packed
    /// panels only, step after step.
    pub row_stride: usize,
    pub block_stride: usize,
}

/// A tile of sums.
#[derive(Clone, Copy)]
pub struct CTile {
    pub first: *mut f32,
    /// How far apart rows are.
    pub ldc: usize,
    /// How many rows and columns are wanted, at least; of others of the tile, sums mean nothing.
    pub rows: usize,
    pub cols: usize,
    /// Whether it is added to, and set otherwise.
    pub add: bool,
}

/// Panels of a right operand that few rows are multiplied with at once.
#[derive(Clone, Copy)]
pub struct Few<P> {
    pub first: *const P,
    pub panels: usize,
    /// How far apart they are.
    pub apart: usize,
    /// Whether they come from memory, and others like them behind; from a cache otherwise.
    pub is_in_memory: bool,
}

/// A way of multiplying packed panels: a type of [`dispatch`](crate::simd::dispatch) as products use it.
pub trait Kernel {
    /// What operands are packed as.
    type Packed: Element;
    /// Rows of a tile: lanes of a panel of `A`.
    const MR: usize;
    /// Columns of a tile: lanes of a panel of `B`.
    const NR: usize;
    /// Panels are padded with zeros to a multiple of so many steps of `k`.
    const K_PAD: usize;
    /// Steps of `k` that are multiplied together (BLIS's KR).
    const K_STEP: usize;
    /// Most steps of `k` between writes of a tile: a panel of `B` so long stays in the first cache.
    const KC: usize;
    /// Rows of a block, the work of one task; their panels of `A` stay in the second cache.
    const MC: usize;
    const LEVEL: SimdLevel;

    /// Packs rows `first..first + MR` of `a [m, k]`; rows from `end` on are zero.
    fn pack_a<E: Element>(a: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [Self::Packed]);

    /// As [`Kernel::pack_a`], columns of `b` by its transpose `[n, k]`.
    fn pack_b<E: Element>(b: &Matrix<'_, E>, first: usize, end: usize, packed: &mut [Self::Packed]);

    /// Rows of a quantised matrix as a panel of a right operand, where the kernel has a way of its own: whether it was done.
    fn pack_quantised(_: &QuantTensor, _: Piece, _: &mut [Self::Packed]) -> bool {
        false
    }

    /// Before and after the tiles of a block, on the thread that computes them.
    fn enter() {}
    fn leave() {}

    /// Whether `A` can be read where it lies, when its rows do.
    const READS_A_IN_PLACE: bool = false;
    /// A tile of fewer than [`Kernel::MR`] rows reads so many at a time, where it reads them in place.
    const MR_STEP: usize = Self::MR;

    /// `c = A B`, or `c += A B` over `k` steps; `next` is asked for on the way.
    ///
    /// # Safety
    /// `k` is a multiple of [`Kernel::K_STEP`]; `a` and `b` point to so many steps of panels (`a` of `c.rows` rows, rounded
    /// up to a multiple of [`Kernel::MR_STEP`]), `c` to a tile; the CPU has the level of the kernel.
    unsafe fn microkernel(k: usize, a: &ARows<Self::Packed>, b: *const Self::Packed, c: &CTile, next: Ahead);

    /// Up to so many rows read a panel that is held as bf16 as it is: fewer read and written than to widen it first.
    const NARROW_ROWS: usize = 0;

    /// [`Kernel::microkernel`] of at most [`Kernel::NARROW_ROWS`] rows, `b` held as bf16.
    ///
    /// # Safety
    /// As [`Kernel::microkernel`].
    unsafe fn microkernel_narrow(_k: usize, _a: &ARows<Self::Packed>, _b: *const bf16, _c: &CTile, _next: Ahead) {
        unreachable!("no rows are so few");
    }

    /// With how many panels a tile that is all of a block is multiplied at once: of few rows, one panel has fewer sums than a CPU can
    /// add to while it waits for one. None where there is no kernel for it.
    fn few_panels(_rows: usize) -> usize {
        0
    }

    /// [`Kernel::microkernel`] of at most [`Kernel::few_panels`].
    ///
    /// # Safety
    /// As [`Kernel::microkernel`], of each panel.
    unsafe fn microkernel_few(_k: usize, _a: &ARows<Self::Packed>, _b: &Few<Self::Packed>, _c: &CTile) {
        unreachable!("no rows are so few");
    }

    /// The rows of a packed panel, from a step that is a multiple of [`Kernel::K_PAD`] on.
    fn panel(first: *const Self::Packed) -> ARows<Self::Packed> {
        ARows { first, row_stride: Self::K_PAD, block_stride: Self::MR * Self::K_PAD }
    }

    /// Numbers of one kind as another: what panels that are held as bf16 are narrowed and widened by.
    fn convert<A: Element, B: Element>(from: &[A], to: &mut [B]) {
        convert(Self::LEVEL, from, to);
    }

    /// Rounds sums into the result.
    fn store<O: Element>(out: &mut [O], sums: &[f32], scale: f32, store: Store) {
        match store {
            Store::Set => set(Self::LEVEL, out, sums, scale),
            Store::Add => add(Self::LEVEL, out, sums, scale),
        }
    }
}

multiversion! {
    fn convert<A, B>(from: &[A], to: &mut [B]) {
        for (to, from) in to.iter_mut().zip(from) {
            *to = B::from_f32(from.to_f32());
        }
    }
}

multiversion! {
    fn set<O>(out: &mut [O], sums: &[f32], scale: f32) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = O::from_f32(sum * scale);
        }
    }
}

multiversion! {
    fn add<O>(out: &mut [O], sums: &[f32], scale: f32) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = O::from_f32(out.to_f32() + sum * scale);
        }
    }
}
