//! The five loops around a microkernel: over slabs of columns and rows, blocks, pieces of `k`, panels and tiles.

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use rayon::prelude::*;

use super::kernel::{ARows, Kernel};
use super::matrix::{Matrix, MatrixMut};
use super::panels::{Panels, Shared, Threads, with_accumulators};
use super::rhs::{Rhs, pack_b};
use crate::simd::dispatch::visit_level;
use crate::{Element, SimdLevel, Store};

/// Elements of packed operands that exist at once, of each side: 8 MiB in f32.
const SLAB: usize = 1 << 21;
/// Most columns of a block, the work of one task.
const NC: usize = 256;
/// Tasks that a product is cut into where it can be, so that threads end together.
const TASKS: usize = 16;

/// What [`gemm`](super::gemm()) was asked for.
pub struct Product<'p, 'a, 'o, E, O> {
    pub terms: &'p [(Matrix<'a, E>, Rhs<'a, E>)],
    pub scale: f32,
    pub store: Store,
    pub threads: Threads,
    pub out: MatrixMut<'o, O>,
}

/// Computes the product by the kernel of the level.
pub fn run<E: Element, O: Element>(level: SimdLevel, product: Product<'_, '_, '_, E, O>) {
    visit_level!(level, E, K => product.run::<K>())
}

/// A term ready to be multiplied, `B` packed from the column `origin` on.
struct Ready<'a> {
    a: Lhs,
    b: &'a Panels,
    origin: usize,
    k: usize,
}

/// The left operand: whole panels of rows where they lie, and the rest packed; or all of it packed.
struct Lhs {
    /// The first row (of `Packed`), and how far apart rows are; used for rows below `packed_from`.
    rows: *const u8,
    stride: usize,
    packed_from: usize,
    panels: Panels,
}

// SAFETY: the rows are those of a shared slice that outlives the product.
unsafe impl Sync for Lhs {}

/// Rows this many bytes apart, or a multiple, share too few sets of the first cache to be read side by side.
const CROWDED: usize = 4096;

impl Lhs {
    /// Rows `from..to` of `a`.
    fn new<K: Kernel, E: Element>(a: &Matrix<'_, E>, [from, to]: [usize; 2], threads: Threads) -> Self {
        let bytes = size_of::<E>();
        let in_place = K::READS_A_IN_PLACE
            && E::IS_BF16
            && a.col_stride == 1
            && a.cols.is_multiple_of(K::K_STEP)
            && !(a.row_stride * bytes).is_multiple_of(CROWDED);
        let whole = if (to - from).is_multiple_of(K::MR_STEP) { 1 } else { K::MR };
        let packed_from = if in_place { (to - from) / whole * whole } else { 0 };
        let rows = a.data[(from * a.row_stride).min(a.data.len())..].as_ptr().cast();
        let panels = pack_a::<K, E>(a, [from + packed_from, to], threads);
        Self { rows, stride: a.row_stride, packed_from, panels }
    }

    /// The rows of the tile that begins with `row`, a multiple of `MR` within the operand, from step `k` on.
    fn at<K: Kernel>(&self, row: usize, k: usize) -> ARows<K::Packed> {
        if row < self.packed_from {
            let first = self.rows.cast::<K::Packed>().wrapping_add(row * self.stride + k);
            return ARows { first, row_stride: self.stride, block_stride: K::K_PAD };
        }
        K::panel(self.panels.at(row - self.packed_from, k))
    }
}

/// Rows `from..to` of `a`, packed.
fn pack_a<K: Kernel, E: Element>(a: &Matrix<'_, E>, [from, to]: [usize; 2], threads: Threads) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::MR, a.cols.next_multiple_of(K::K_PAD));
    panels.fill(threads, |lane, packed| K::pack_a(a, from + lane, to, packed));
    panels
}

impl<E: Element, O: Element> Product<'_, '_, '_, E, O> {
    /// Packs `B` slab by slab and, under each, `A` slab by slab; a slab of either has at most [`SLAB`] elements, or
    /// the rows or columns of one block.
    fn run<K: Kernel>(mut self) {
        let (m, n) = (self.out.rows, self.out.cols);
        for (a, b) in self.terms {
            assert!(a.rows == m && b.dims() == [a.cols, n], "the shapes of a product do not fit");
            if let Rhs::Packed(b) = b {
                assert!(b.is_for::<K, E>(), "an operand packed for another kernel");
            }
        }
        if m == 0 || n == 0 {
            return;
        }
        let threads = self.threads;
        let k: usize = self.terms.iter().map(|t| t.0.cols.next_multiple_of(K::K_PAD)).sum();
        let slab = |block: usize| (SLAB / k.max(1) / block * block).max(block);
        let is_plain = self.terms.iter().any(|t| matches!(t.1, Rhs::Plain(_)));
        let (slab_m, slab_n) = (slab(K::MC), if is_plain { slab(NC) } else { n });
        let out = Shared::new(&mut self.out);
        for n0 in (0..n).step_by(slab_n) {
            let n1 = n.min(n0 + slab_n);
            let packed = self.terms.iter().map(|(_, b)| match b {
                Rhs::Plain(b) => Some(pack_b::<K, E>(b, [n0, n1], threads)),
                Rhs::Packed(_) => None,
            });
            let packed: Vec<Option<Panels>> = packed.collect();
            for m0 in (0..m).step_by(slab_m) {
                let m1 = m.min(m0 + slab_m);
                let ready = self.terms.iter().zip(&packed).map(|((a, b), here)| {
                    let (b, origin) = match (b, here) {
                        (Rhs::Packed(b), _) => (&b.panels, 0),
                        (_, Some(here)) => (here, n0),
                        (Rhs::Plain(_), None) => unreachable!("plain operands are packed above"),
                    };
                    Ready { a: Lhs::new::<K, E>(a, [m0, m1], threads), b, origin, k: a.cols }
                });
                let ready: Vec<Ready<'_>> = ready.collect();
                let nc = columns_of_block::<K>(m1 - m0, n1 - n0);
                let blocks_across = (n1 - n0).div_ceil(nc);
                let run_block = |index: usize| {
                    let rows = m0 + index / blocks_across * K::MC;
                    let cols = n0 + index % blocks_across * nc;
                    let block =
                        Block { rows: [rows, m1.min(rows + K::MC)], cols: [cols, n1.min(cols + nc)], first_row: m0 };
                    multiply_block::<K, O>(&ready, &block, self.scale, &out, self.store);
                };
                let blocks = (m1 - m0).div_ceil(K::MC) * blocks_across;
                if threads == Threads::All && blocks > 1 {
                    (0..blocks).into_par_iter().with_max_len(1).for_each(run_block);
                } else {
                    (0..blocks).for_each(run_block);
                }
            }
        }
    }
}

/// Columns of a block of an `m x n` result: at most about [`NC`], and few enough that there are [`TASKS`] blocks where
/// they can be had, and all alike.
fn columns_of_block<K: Kernel>(m: usize, n: usize) -> usize {
    let wanted = TASKS.div_ceil(m.div_ceil(K::MC));
    let across = n.div_ceil(NC).max(wanted);
    // Narrower rather than wider: a few tasks more are shared more evenly than a few less.
    (n.div_ceil(across) / K::NR * K::NR).max(K::NR)
}

/// Asks for `count` numbers to be brought near; wherever they are, nothing else happens.
fn prefetch<P>(from: *const P, count: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..(count * size_of::<P>()).div_ceil(64) {
        // SAFETY: the instruction is on every x86-64, and any address will do.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(from.cast::<i8>().wrapping_add(64 * line)) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, count);
}

/// Rows and columns of a block of the result, and the row with which the packed panels of `A` begin.
struct Block {
    rows: [usize; 2],
    cols: [usize; 2],
    first_row: usize,
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
fn multiply_block<K: Kernel, O: Element>(
    terms: &[Ready<'_>],
    block: &Block,
    scale: f32,
    out: &Shared<'_, O>,
    store: Store,
) {
    let Block { rows: [r0, r1], cols: [c0, c1], first_row } = *block;
    let width = (c1 - c0).next_multiple_of(K::NR);
    let height = (r1 - r0).next_multiple_of(K::MR);
    with_accumulators(width * height, |sums| {
        let mut is_first = true;
        K::enter();
        for Ready { a, b, origin, k } in terms {
            let kc = k.div_ceil(k.div_ceil(K::KC).max(1)).next_multiple_of(K::K_PAD);
            for k0 in (0..*k).step_by(kc.max(1)) {
                let steps = kc.min(k - k0).next_multiple_of(K::K_STEP);
                for j in (0..width).step_by(K::NR) {
                    let right: *const K::Packed = b.at(c0 - origin + j, k0);
                    // The next panel comes in while this one is multiplied; it is read too fast for memory otherwise.
                    let next = right.wrapping_add(k.next_multiple_of(K::K_PAD) * K::NR);
                    let share = (steps * K::NR).div_ceil(height / K::MR);
                    for i in (0..height).step_by(K::MR) {
                        prefetch(next.wrapping_add(i / K::MR * share), share);
                        let left = a.at::<K>(r0 - first_row + i, k0);
                        // SAFETY: both operands hold `steps` more steps from `k0`, the left one in whole panels or in
                        // rows that the kernel reads by so many, and the sums a whole tile at `(i, j)`; the CPU has the
                        // kernel's instructions, since its level was not above the best one.
                        unsafe {
                            let sums = sums.as_mut_ptr().add(i * width + j);
                            K::microkernel(steps, left, r1 - r0 - i, right, sums, width, !is_first);
                        }
                    }
                }
                is_first = false;
            }
        }
        K::leave();
        if is_first {
            sums.fill(0.0);
        }
        for r in r0..r1 {
            let sums = &sums[(r - r0) * width..][..c1 - c0];
            // SAFETY: blocks do not overlap, and each is stored by one task.
            let out = unsafe { out.row(r, c0, c1) };
            K::store(out, sums, scale, store);
        }
    });
}
