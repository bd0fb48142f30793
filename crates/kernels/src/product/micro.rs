//! The inner kernels, one for each way of multiplying: a tile of the result, summed over `k` in registers.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

use half::bf16;

use super::matrix::{Matrix, Store};
use super::pack;
#[cfg(target_arch = "x86_64")]
use super::pack16;
#[cfg(target_arch = "x86_64")]
pub use super::tile::Amx;
use crate::vectorised::vectorised;
use crate::{Element, Level};

/// Where a kernel finds the rows of `A`.
#[derive(Clone, Copy)]
pub struct Rows<P> {
    pub first: *const P,
    /// For kernels of pairs: how far apart rows are, and [`Kernel::DEPTH`] steps of a row and the next. Others read packed
    /// panels only, step after step.
    pub row: usize,
    pub block: usize,
}

/// A way of multiplying packed panels.
pub trait Kernel {
    /// What operands are packed as.
    type Packed: Copy + Send + Sync;
    /// Rows and columns of a tile: lanes of a panel of `A` and of `B`.
    const ROWS: usize;
    const COLUMNS: usize;
    /// Panels are padded with zeros to a multiple of so many steps of `k`.
    const DEPTH: usize;
    /// Steps of `k` multiplied together.
    const STEP: usize;
    /// Most steps of `k` between writes of a tile: a panel of `B` so long stays in the first cache.
    const LONGEST: usize;
    /// Rows of a block, the work of one task; their panels of `A` stay in the second cache.
    const BLOCK_ROWS: usize;
    const LEVEL: Level;

    /// Packs rows `lane..lane + ROWS` of `a [m, k]`; rows from `end` on are zero.
    fn pack_a<E: Element>(a: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [Self::Packed]);

    /// As [`Kernel::pack_a`], columns of `b` by its transpose `[n, k]`.
    fn pack_b<E: Element>(b: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [Self::Packed]);

    /// Before and after the tiles of a block, on the thread that computes them.
    fn enter() {}
    fn leave() {}

    /// Whether `A` can be read where it lies, when its rows do.
    const READS_ROWS: bool = false;
    /// A tile of fewer than [`Kernel::ROWS`] rows is computed by so many at a time.
    const FEWEST_ROWS: usize = Self::ROWS;

    /// `sums = A B`, or `sums += A B` over `depth` steps, of the first `rows` rows at least; rows of `sums` are `stride`
    /// apart.
    ///
    /// # Safety
    /// `depth` is a multiple of [`Kernel::STEP`]; `a` and `b` point to so many steps of panels (`a` of `rows` rows, rounded
    /// up to a multiple of [`Kernel::FEWEST_ROWS`]), `sums` to a tile; the CPU has the level of the kernel.
    unsafe fn tile(
        depth: usize,
        a: Rows<Self::Packed>,
        rows: usize,
        b: *const Self::Packed,
        sums: *mut f32,
        stride: usize,
        add: bool,
    );

    /// The rows of a packed panel, from a step that is a multiple of [`Kernel::DEPTH`] on.
    fn panel(first: *const Self::Packed) -> Rows<Self::Packed> {
        Rows { first, row: Self::DEPTH, block: Self::ROWS * Self::DEPTH }
    }

    /// Rounds sums into the result.
    fn store<O: Element>(out: &mut [O], sums: &[f32], scale: f32, store: Store) {
        match store {
            Store::Set => set(Self::LEVEL, out, sums, scale),
            Store::Add => add(Self::LEVEL, out, sums, scale),
        }
    }
}

vectorised! {
    fn set<O>(out: &mut [O], sums: &[f32], scale: f32) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = O::from_f32(sum * scale);
        }
    }
}

vectorised! {
    fn add<O>(out: &mut [O], sums: &[f32], scale: f32) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = O::from_f32(out.to_f32() + sum * scale);
        }
    }
}

/// f32, plain Rust.
pub struct Portable;

impl Kernel for Portable {
    type Packed = f32;
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;
    const DEPTH: usize = 1;
    const STEP: usize = 1;
    const LONGEST: usize = 512;
    const BLOCK_ROWS: usize = 64;
    const LEVEL: Level = Level::Portable;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [f32]) {
        pack::lanes::<E, 4>(Self::LEVEL, a, lane, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [f32]) {
        pack::lanes::<E, 8>(Self::LEVEL, b, lane, end, packed);
    }

    unsafe fn tile(depth: usize, a: Rows<f32>, _: usize, b: *const f32, sums: *mut f32, stride: usize, add: bool) {
        let mut tile = [[0f32; 8]; 4];
        // SAFETY: the caller's: panels of `depth` steps.
        let (a, b) =
            unsafe { (std::slice::from_raw_parts(a.first, 4 * depth), std::slice::from_raw_parts(b, 8 * depth)) };
        for (a, b) in a.as_chunks::<4>().0.iter().zip(b.as_chunks::<8>().0) {
            for (row, a) in tile.iter_mut().zip(a) {
                for (sum, b) in row.iter_mut().zip(b) {
                    *sum += a * b;
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            // SAFETY: the caller's: a tile of sums.
            let sums = unsafe { std::slice::from_raw_parts_mut(sums.add(i * stride), 8) };
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum = if add { *sum + value } else { *value };
            }
        }
    }
}

/// A kernel of f32 fused multiply-adds over `$rows` rows and `$vectors` vectors of columns.
#[cfg(target_arch = "x86_64")]
macro_rules! fma_kernel {
    ($(#[$doc:meta])* $name:ident, $features:literal, $level:expr, rows $rows:literal, vectors $vectors:literal of $lanes:literal,
     longest $longest:literal, block $block:literal, $zero:ident $load:ident $store:ident $set1:ident $fma:ident $add:ident) => {
        $(#[$doc])*
        pub struct $name;

        impl Kernel for $name {
            type Packed = f32;
            const ROWS: usize = $rows;
            const COLUMNS: usize = $vectors * $lanes;
            const DEPTH: usize = 1;
            const STEP: usize = 1;
            const LONGEST: usize = $longest;
            const BLOCK_ROWS: usize = $block;
            const LEVEL: Level = $level;

            fn pack_a<E: Element>(a: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [f32]) {
                pack::lanes::<E, $rows>(Self::LEVEL, a, lane, end, packed);
            }

            fn pack_b<E: Element>(b: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [f32]) {
                pack::lanes::<E, { $vectors * $lanes }>(Self::LEVEL, b, lane, end, packed);
            }

            unsafe fn tile(depth: usize, a: Rows<f32>, _: usize, b: *const f32, sums: *mut f32, stride: usize, add: bool) {
                #[target_feature(enable = $features)]
                unsafe fn tile(depth: usize, a: *const f32, b: *const f32, sums: *mut f32, stride: usize, add: bool) {
                    // SAFETY: the caller's: `depth` steps of both panels and a whole tile of sums.
                    unsafe {
                        let mut tile = [[$zero(); $vectors]; $rows];
                        let (mut a, mut b) = (a, b);
                        for _ in 0..depth {
                            let mut right = [$zero(); $vectors];
                            for (v, right) in right.iter_mut().enumerate() {
                                *right = $load(b.add(v * $lanes));
                            }
                            for (i, row) in tile.iter_mut().enumerate() {
                                let left = $set1(*a.add(i));
                                for (sum, right) in row.iter_mut().zip(right) {
                                    *sum = $fma(left, right, *sum);
                                }
                            }
                            (a, b) = (a.add($rows), b.add($vectors * $lanes));
                        }
                        for (i, row) in tile.iter().enumerate() {
                            for (v, value) in row.iter().enumerate() {
                                let place = sums.add(i * stride + v * $lanes);
                                let value = if add { $add($load(place), *value) } else { *value };
                                $store(place, value);
                            }
                        }
                    }
                }
                // SAFETY: the caller's.
                unsafe { tile(depth, a.first, b, sums, stride, add) }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
fma_kernel!(
    /// f32 by AVX2: 12 of 16 registers are sums.
    Avx2, "avx2,fma", Level::Avx2, rows 6, vectors 2 of 8, longest 384, block 96,
    _mm256_setzero_ps _mm256_loadu_ps _mm256_storeu_ps _mm256_set1_ps _mm256_fmadd_ps _mm256_add_ps
);
#[cfg(target_arch = "x86_64")]
fma_kernel!(
    /// f32 by AVX-512: 24 of 32 registers are sums.
    Avx512, "avx512f", Level::Avx512, rows 12, vectors 2 of 16, longest 384, block 144,
    _mm512_setzero_ps _mm512_loadu_ps _mm512_storeu_ps _mm512_set1_ps _mm512_fmadd_ps _mm512_add_ps
);

/// bf16 by AVX-512: each instruction adds two products to each of 16 sums.
#[cfg(target_arch = "x86_64")]
pub struct Avx512Bf16;

#[cfg(target_arch = "x86_64")]
impl Kernel for Avx512Bf16 {
    type Packed = bf16;
    const ROWS: usize = 12;
    const COLUMNS: usize = 32;
    const DEPTH: usize = 32;
    const STEP: usize = 2;
    const LONGEST: usize = 1536;
    const BLOCK_ROWS: usize = 144;
    const LEVEL: Level = Level::Avx512Bf16;

    fn pack_a<E: Element>(a: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
        pack16::rows::<E, 12>(a, lane, end, packed);
    }

    fn pack_b<E: Element>(b: &Matrix<'_, E>, lane: usize, end: usize, packed: &mut [bf16]) {
        pack16::pairs::<E, 32>(b, lane, end, packed);
    }

    const READS_ROWS: bool = true;
    const FEWEST_ROWS: usize = 4;

    unsafe fn tile(depth: usize, a: Rows<bf16>, rows: usize, b: *const bf16, sums: *mut f32, stride: usize, add: bool) {
        // SAFETY: the caller's.
        unsafe {
            match rows {
                ..=4 => add_pairs::<4>(depth, a, b, sums, stride, add),
                5..=8 => add_pairs::<8>(depth, a, b, sums, stride, add),
                _ => add_pairs::<12>(depth, a, b, sums, stride, add),
            }
        }
    }
}

/// The first `R` rows of a tile of [`Avx512Bf16`].
///
/// # Safety
/// As [`Kernel::tile`]: `depth` is even, and the CPU has the instructions.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn add_pairs<const R: usize>(
    depth: usize,
    Rows { first, row, block }: Rows<bf16>,
    b: *const bf16,
    sums: *mut f32,
    stride: usize,
    add: bool,
) {
    // SAFETY: the caller's.
    unsafe {
        let mut tile = [[_mm512_setzero_ps(); 2]; R];
        for k in (0..depth).step_by(32) {
            let a = first.add(k / 32 * block);
            // From four places each row is reached by adding `row` none, one or two times.
            let places = [0, 3, 6, 9].map(|i| a.wrapping_add(i * row));
            for pair in 0..16.min((depth - k) / 2) {
                let right = b.add(32 * (k + 2 * pair));
                let right =
                    [0, 32].map(|v| std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(right.add(v).cast())));
                for (i, sums) in tile.iter_mut().enumerate() {
                    let left = places[i / 3].add(i % 3 * row + 2 * pair).cast::<i32>().read_unaligned();
                    let left = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(left));
                    for (sum, right) in sums.iter_mut().zip(right) {
                        *sum = _mm512_dpbf16_ps(*sum, left, right);
                    }
                }
            }
        }
        for (i, row) in tile.iter().enumerate() {
            for (v, value) in row.iter().enumerate() {
                let place = sums.add(i * stride + v * 16);
                let value = if add { _mm512_add_ps(_mm512_loadu_ps(place), *value) } else { *value };
                _mm512_storeu_ps(place, value);
            }
        }
    }
}
