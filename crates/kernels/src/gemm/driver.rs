//! The five loops around a microkernel: over slabs of columns and rows, blocks, pieces of `k`, panels and tiles.

use std::sync::Arc;

use half::bf16;
use rayon::prelude::*;

use super::kernel::{ARows, Kernel};
use super::matrix::{Matrix, MatrixMut};
use super::panels::{Panels, Shared, Threads, with_accumulators};
use super::pieces::{PIECE, Right};
use super::rhs::Rhs;
use crate::arena::{Arena, room};
use crate::prefetch::prefetch;
use crate::simd::dispatch::visit_level;
use crate::{Element, SimdLevel, Store};

/// Elements of packed operands that exist at once, of each side: 8 MiB in f32.
const SLAB: usize = 1 << 21;
/// Most columns of a block, the work of one task.
const NC: usize = 256;
/// Most rows of a block, of any kernel.
const MOST_ROWS: usize = 144;

/// Elements that a product over `k` steps holds packed of its left operand at once, at most, and of a right one that was not packed
/// beforehand.
pub fn slabs(k: usize) -> [usize; 2] {
    [MOST_ROWS, NC].map(|block| SLAB.max(block * k))
}
/// Tasks that a product is cut into where it can be, so that threads end together.
const TASKS: usize = 16;

/// What [`gemm`](super::gemm()) was asked for: some columns of a result, each part by terms of its own.
#[derive(Clone, Copy)]
pub struct Product<'p, 'a, E> {
    pub parts: &'p [Part<'p, 'a, E>],
    pub scale: f32,
    pub threads: Threads,
}

/// So many columns of a result, from `first` on: the sum of its terms, zero where there are none.
pub struct Part<'p, 'a, E> {
    pub first: usize,
    pub columns: usize,
    pub terms: &'p [(Matrix<'a, E>, Rhs<'a, E>)],
    pub store: Store,
}

/// Computes the product by the kernel of the level.
pub fn run<E: Element, O: Element>(level: SimdLevel, product: Product<'_, '_, E>, out: MatrixMut<'_, O>) {
    visit_level!(level, E, K => product.run::<K, O>(out))
}

/// A term ready to be multiplied.
struct Ready<'a, E> {
    a: Arc<Lhs>,
    b: Right<'a, E>,
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
unsafe impl Send for Lhs {}
// SAFETY: as above.
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

/// Left operands over the same rows: parts of a product, and slabs of columns, share them.
struct Lefts {
    rows: [usize; 2],
    /// By where a matrix begins, its strides and its columns.
    kept: Vec<([usize; 4], Arc<Lhs>)>,
}

impl Lefts {
    fn new() -> Self {
        Self { rows: [0, 0], kept: Vec::new() }
    }

    /// Some rows of `a`; those of other rows are let go.
    fn get<K: Kernel, E: Element>(&mut self, a: &Matrix<'_, E>, rows: [usize; 2], threads: Threads) -> Arc<Lhs> {
        if self.rows != rows {
            *self = Self { rows, kept: Vec::new() };
        }
        let key = [a.data.as_ptr() as usize, a.row_stride, a.col_stride, a.cols];
        if let Some((_, found)) = self.kept.iter().find(|(other, _)| *other == key) {
            return found.clone();
        }
        let made = Arc::new(Lhs::new::<K, E>(a, rows, threads));
        self.kept.push((key, made.clone()));
        made
    }
}

/// Rows `from..to` of `a`, packed.
fn pack_a<K: Kernel, E: Element>(a: &Matrix<'_, E>, [from, to]: [usize; 2], threads: Threads) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::MR, a.cols.next_multiple_of(K::K_PAD));
    panels.fill(threads, |lane, packed| K::pack_a(a, from + lane, to, packed));
    panels
}

impl<'a, E: Element> Product<'_, 'a, E> {
    fn run<K: Kernel, O: Element>(self, mut out: MatrixMut<'_, O>) {
        let m = out.rows;
        for part in self.parts {
            let n = part.columns;
            assert!(part.first + n <= out.cols, "columns outside of a product's result");
            for (a, b) in part.terms {
                assert!(a.rows == m && b.dims() == [a.cols, n], "the shapes of a product do not fit");
                if let Rhs::Packed(b) = b {
                    assert!(b.is_for::<K, E>(), "an operand packed for another kernel");
                }
            }
        }
        if m == 0 {
            return;
        }
        let out = Shared::new(&mut out);
        if m <= K::MC {
            return self.run_at_once::<K, O>(m, &out);
        }
        let mut lefts = Lefts::new();
        self.parts.iter().for_each(|part| self.run_by_slabs::<K, O>(part, m, &mut lefts, &out));
    }

    /// Few rows, all in one block: each piece of a right operand is read once, by whoever multiplies it, so nothing of it is
    /// packed beforehand, and the parts need not wait for each other.
    fn run_at_once<K: Kernel, O: Element>(&self, m: usize, out: &Shared<'_, O>) {
        let mut lefts = Lefts::new();
        let mut ready = |part: &Part<'_, 'a, E>| -> Vec<Ready<'a, E>> {
            let mut term = |(a, b): &(Matrix<'a, E>, Rhs<'a, E>)| {
                let left = lefts.get::<K, E>(a, [0, m], self.threads);
                Ready { a: left, b: b.right::<K>(), k: a.cols }
            };
            part.terms.iter().map(&mut term).collect()
        };
        let ready: Vec<Vec<Ready<'a, E>>> = self.parts.iter().map(&mut ready).collect();
        let nc = columns_of_block::<K>(m, self.parts.iter().map(|part| part.columns).sum());
        let blocks_of = |part: usize| (0..self.parts[part].columns).step_by(nc).map(move |first| (part, first));
        let blocks: Vec<(usize, usize)> = (0..self.parts.len()).flat_map(blocks_of).collect();
        each(self.threads, blocks.len(), |index| {
            let (part, first) = blocks[index];
            let Part { first: offset, columns, store, .. } = self.parts[part];
            let block = Block { rows: [0, m], cols: [first, columns.min(first + nc)], first_row: 0, offset };
            multiply_block::<K, E, O>(&ready[part], &block, self.scale, out, store);
        });
    }

    /// Packs `B` slab by slab and, under each, `A` slab by slab; a slab of either has at most [`SLAB`] elements, or
    /// the rows or columns of one block.
    fn run_by_slabs<K: Kernel, O: Element>(
        &self,
        part: &Part<'_, '_, E>,
        m: usize,
        lefts: &mut Lefts,
        out: &Shared<'_, O>,
    ) {
        let (n, threads) = (part.columns, self.threads);
        let k: usize = part.terms.iter().map(|t| t.0.cols.next_multiple_of(K::K_PAD)).sum();
        let slab = |block: usize| (SLAB / k.max(1) / block * block).max(block);
        let rights: Vec<Right<'_, E>> = part.terms.iter().map(|(_, b)| b.right::<K>()).collect();
        let are_ready = rights.iter().all(Right::is_ready);
        let (slab_m, slab_n) = (slab(K::MC), if are_ready { n } else { slab(NC) });
        for n0 in (0..n).step_by(slab_n.max(1)) {
            let n1 = n.min(n0 + slab_n);
            // Once for all blocks of rows.
            let packed = part
                .terms
                .iter()
                .zip(&rights)
                .map(|((a, _), b)| (!b.is_ready()).then(|| pack_b::<K, E>(b, a.cols, [n0, n1], threads)));
            let packed: Vec<Option<Panels>> = packed.collect();
            for m0 in (0..m).step_by(slab_m) {
                let m1 = m.min(m0 + slab_m);
                let rights = rights.iter().zip(&packed).map(|(b, here)| match here {
                    Some(panels) => Right::Panels { panels, origin: n0 },
                    None => *b,
                });
                let ready = part.terms.iter().zip(rights).map(|((a, _), b)| Ready {
                    a: lefts.get::<K, E>(a, [m0, m1], threads),
                    b,
                    k: a.cols,
                });
                let ready: Vec<Ready<'_, E>> = ready.collect();
                let nc = columns_of_block::<K>(m1 - m0, n1 - n0);
                let blocks_across = (n1 - n0).div_ceil(nc);
                each(threads, (m1 - m0).div_ceil(K::MC) * blocks_across, |index| {
                    let rows = m0 + index / blocks_across * K::MC;
                    let cols = n0 + index % blocks_across * nc;
                    let (rows, cols) = ([rows, m1.min(rows + K::MC)], [cols, n1.min(cols + nc)]);
                    let block = Block { rows, cols, first_row: m0, offset: part.first };
                    multiply_block::<K, E, O>(&ready, &block, self.scale, out, part.store);
                });
            }
        }
    }
}

/// Does `work(0)` to `work(count - 1)`.
fn each(threads: Threads, count: usize, work: impl Fn(usize) + Sync + Send) {
    if threads == Threads::All && count > 1 {
        (0..count).into_par_iter().with_max_len(1).for_each(work);
    } else {
        (0..count).for_each(work);
    }
}

/// Columns `from..to` of `b [k, n]`, packed.
fn pack_b<K: Kernel, E: Element>(b: &Right<'_, E>, k: usize, [from, to]: [usize; 2], threads: Threads) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::NR, k.next_multiple_of(K::K_PAD));
    panels.fill_by(threads, PIECE / K::NR, |lane, packed| {
        b.put::<K>([from + lane, to.min(from + lane + PIECE)], [0, k], packed);
    });
    panels
}

/// Columns of a block of an `m x n` result: at most about [`NC`], and few enough that there are [`TASKS`] blocks where
/// they can be had, and all alike.
fn columns_of_block<K: Kernel>(m: usize, n: usize) -> usize {
    let wanted = TASKS.max(rayon::current_num_threads()).div_ceil(m.div_ceil(K::MC));
    let across = n.div_ceil(NC).max(wanted);
    // Narrower rather than wider: a few tasks more are shared more evenly than a few less.
    (n.div_ceil(across) / K::NR * K::NR).max(K::NR)
}

/// Rows and columns of a block of a part of the result; the row with which the packed panels of `A` begin, and the column of
/// the result with which the part does.
struct Block {
    rows: [usize; 2],
    cols: [usize; 2],
    first_row: usize,
    offset: usize,
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
fn multiply_block<K: Kernel, E: Element, O: Element>(
    terms: &[Ready<'_, E>],
    block: &Block,
    scale: f32,
    out: &Shared<'_, O>,
    store: Store,
) {
    let Block { rows: [r0, r1], cols: [c0, c1], first_row, offset } = *block;
    let width = (c1 - c0).next_multiple_of(K::NR);
    let height = (r1 - r0).next_multiple_of(K::MR);
    // Panels that are not multiplied as they lie are made here.
    let is_made = |b: &Right<'_, E>| !b.is_ready() && !b.is_multiplied_narrow::<K>(r1 - r0);
    let longest = terms.iter().filter(|term| is_made(&term.b)).map(|term| piece_of_k::<K>(term.k)).max();
    let piece = longest.unwrap_or(0) * PIECE;
    with_accumulators(width * height + room::<K::Packed>(piece), |memory| {
        let (sums, memory) = memory.split_at_mut(width * height);
        let piece = Arena(memory).take::<K::Packed>(piece);
        let mut is_first = true;
        K::enter();
        for Ready { a, b, k } in terms {
            let kc = piece_of_k::<K>(*k);
            for k0 in (0..*k).step_by(kc.max(1)) {
                let k1 = (*k).min(k0 + kc);
                let steps = (k1 - k0).next_multiple_of(K::K_STEP);
                let length = (k1 - k0).next_multiple_of(K::K_PAD) * K::NR;
                for first in (0..width).step_by(PIECE) {
                    let panels = (width - first).min(PIECE) / K::NR;
                    let piece = &mut piece[..if is_made(b) { panels * length } else { 0 }];
                    if is_made(b) {
                        b.put::<K>([c0 + first, c1.min(c0 + first + PIECE)], [k0, k1], piece);
                    }
                    for j in (first..first + panels * K::NR).step_by(K::NR) {
                        if let Right::Narrow(panels) = b
                            && b.is_multiplied_narrow::<K>(r1 - r0)
                        {
                            let right: *const bf16 = panels.at(c0 + j, k0);
                            prefetch(right.wrapping_add(k.next_multiple_of(K::K_PAD) * K::NR), steps * K::NR);
                            let left = a.at::<K>(r0 - first_row, k0);
                            // SAFETY: as below, for the one tile that so few rows are.
                            unsafe {
                                let sums = sums.as_mut_ptr().add(j);
                                K::microkernel_narrow(steps, left, r1 - r0, right, sums, width, !is_first);
                            }
                            continue;
                        }
                        let right = match b {
                            Right::Panels { panels, origin } => panels.at(c0 - origin + j, k0),
                            _ => piece[(j - first) / K::NR * length..].as_ptr(),
                        };
                        // The next panel comes in while this one is multiplied; it is read too fast for memory otherwise.
                        let next = right.wrapping_add(k.next_multiple_of(K::K_PAD) * K::NR);
                        let share = if b.is_ready() { (steps * K::NR).div_ceil(height / K::MR) } else { 0 };
                        for i in (0..height).step_by(K::MR) {
                            prefetch(next.wrapping_add(i / K::MR * share), share);
                            let left = a.at::<K>(r0 - first_row + i, k0);
                            // SAFETY: both operands hold `steps` more steps from `k0`, the left one in whole panels or
                            // in rows that the kernel reads by so many, and the sums a whole tile at `(i, j)`; the CPU
                            // has the kernel's instructions, since its level was not above the best one.
                            unsafe {
                                let sums = sums.as_mut_ptr().add(i * width + j);
                                K::microkernel(steps, left, r1 - r0 - i, right, sums, width, !is_first);
                            }
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
            let out = unsafe { out.row(r, offset + c0, offset + c1) };
            K::store(out, sums, scale, store);
        }
    });
}

/// Steps of the pieces that `k` is cut into.
fn piece_of_k<K: Kernel>(k: usize) -> usize {
    k.div_ceil(k.div_ceil(K::KC).max(1)).next_multiple_of(K::K_PAD)
}
