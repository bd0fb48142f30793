//! The five loops around a microkernel: over slabs of columns and rows, blocks, pieces of `k`, panels and tiles.

use std::marker::PhantomData;
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
/// Tasks that a product is cut into where it can be, so that threads end together.
const TASKS: usize = 16;

/// Elements that a product over `k` steps holds packed of its left operand at once, at most, and of a right one that was not packed
/// beforehand.
pub fn slabs(k: usize) -> [usize; 2] {
    [MOST_ROWS, NC].map(|block| SLAB.max(block * k))
}

/// What [`gemm`](super::gemm()) was asked for: parts of a result, each by terms of its own.
#[derive(Clone, Copy)]
pub struct Product<'p, 'a, E> {
    pub parts: &'p [Columns<'a, E>],
    pub threads: Threads,
}

/// Columns of a result over some of its rows, which are a product of their own: the sum of its terms, zero where there are
/// none, times `scale`.
pub struct Columns<'a, E> {
    /// The first of them, and how many they are.
    pub first: usize,
    pub count: usize,
    /// From and to.
    pub rows: [usize; 2],
    pub terms: Vec<Term<'a, E>>,
    pub scale: f32,
    pub store: Store,
}

/// A term of a sum, `a [m, k] x b [k, n]` with `m` the rows of the whole result.
pub struct Term<'a, E> {
    pub a: Matrix<'a, E>,
    pub b: Rhs<'a, E>,
    /// The rows that it is added to, ranges from and to; all where none are said. What `a` holds in other rows changes nothing.
    pub rows: Option<&'a [[usize; 2]]>,
}

impl<'a, E> Term<'a, E> {
    /// Of all rows.
    pub fn new(a: Matrix<'a, E>, b: impl Into<Rhs<'a, E>>) -> Self {
        Self { a, b: b.into(), rows: None }
    }
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
    tiles: Tiles,
}

impl<'a, E: Element> Ready<'a, E> {
    /// Rows `from..to` of a term, whose operands are found at `a` and `b`.
    fn new<K: Kernel>(term: &Term<'_, E>, a: Arc<Lhs>, b: Right<'a, E>, rows: [usize; 2]) -> Self {
        Self { a, b, k: term.a.cols, tiles: Tiles::new::<K>(term.rows, rows) }
    }
}

/// Which rows of each tile a term is added to, a bit each; all of all where there are none.
struct Tiles(Option<Vec<u64>>);

impl Tiles {
    /// Of the tiles of rows `from..to`.
    fn new<K: Kernel>(ranges: Option<&[[usize; 2]]>, [from, to]: [usize; 2]) -> Self {
        const { assert!(K::MR <= 64, "a bit for each row of a tile") };
        let Some(ranges) = ranges else { return Self(None) };
        let mut tiles = vec![0u64; (to - from).div_ceil(K::MR)];
        for row in ranges.iter().flat_map(|[first, end]| (*first).max(from)..(*end).min(to)) {
            tiles[(row - from) / K::MR] |= 1 << ((row - from) % K::MR);
        }
        Self(Some(tiles))
    }

    /// Of the tile that begins with `row`, a multiple of `MR` counted from the first tile; of so many rows that are there.
    fn own<K: Kernel>(&self, row: usize, rows: usize) -> Own {
        let Some(tiles) = &self.0 else { return Own::All };
        let all = u64::MAX >> (64 - rows.min(K::MR));
        match tiles[row / K::MR] {
            0 => Own::None,
            own if own == all => Own::All,
            own => Own::Some(own),
        }
    }
}

/// Rows of a tile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    All,
    None,
    /// A bit for each.
    Some(u64),
}

impl Own {
    /// Has `add` add to a tile of sums, rows `stride` apart, and puts the rows that are not its own back as they were: so that
    /// not even a number that is not finite, or the sign of a zero, comes to them. `kept` holds a tile.
    #[inline(always)]
    fn guard<K: Kernel>(self, tile: &mut [f32], stride: usize, kept: &mut [f32], add: impl FnOnce(*mut f32)) {
        let own = match self {
            Self::All => return add(tile.as_mut_ptr()),
            Self::None => return,
            Self::Some(own) => own,
        };
        let others = || (0..K::MR).filter(|row| own & 1 << row == 0);
        for row in others() {
            kept[row * K::NR..][..K::NR].copy_from_slice(&tile[row * stride..][..K::NR]);
        }
        add(tile.as_mut_ptr());
        for row in others() {
            tile[row * stride..][..K::NR].copy_from_slice(&kept[row * K::NR..][..K::NR]);
        }
    }
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
struct Lefts<'a, K, E> {
    rows: [usize; 2],
    /// By where a matrix begins, its strides and its columns.
    kept: Vec<([usize; 4], Arc<Lhs>)>,
    /// Whose numbers they are, and which kernel reads them.
    of: PhantomData<(&'a [E], K)>,
}

impl<'a, K: Kernel, E: Element> Lefts<'a, K, E> {
    fn new() -> Self {
        Self { rows: [0, 0], kept: Vec::new(), of: PhantomData }
    }

    /// Some rows of `a`; those of other rows are let go.
    fn get(&mut self, a: &Matrix<'a, E>, rows: [usize; 2], threads: Threads) -> Arc<Lhs> {
        if self.rows != rows {
            *self = Self { rows, ..Self::new() };
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
            const { assert!(K::MC <= MOST_ROWS, "blocks that `slabs` does not know") };
            let (n, [from, to]) = (part.count, part.rows);
            assert!(part.first + n <= out.cols, "columns outside of a product's result");
            assert!(from <= to && to <= m, "rows outside of a product's result");
            assert!(part.terms.first().is_none_or(|term| term.rows.is_none()), "a sum begins with all its rows");
            for Term { a, b, .. } in &part.terms {
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
        let mut lefts = Lefts::<K, E>::new();
        self.parts.iter().for_each(|part| self.run_by_slabs::<K, O>(part, &mut lefts, &out));
    }

    /// Few rows, all in one block: each piece of a right operand is read once, by whoever multiplies it, so nothing of it is
    /// packed beforehand, and the parts need not wait for each other.
    fn run_at_once<K: Kernel, O: Element>(&self, m: usize, out: &Shared<'_, O>) {
        let mut lefts = Lefts::<K, E>::new();
        let mut ready = |part: &Columns<'a, E>| -> Vec<Ready<'a, E>> {
            let mut ready = |term: &Term<'a, E>| {
                let left = lefts.get(&term.a, part.rows, self.threads);
                Ready::new::<K>(term, left, term.b.right::<K>(), part.rows)
            };
            part.terms.iter().map(&mut ready).collect()
        };
        let ready: Vec<Vec<Ready<'a, E>>> = self.parts.iter().map(&mut ready).collect();
        let nc = columns_of_block::<K>(m, self.parts.iter().map(|part| part.count).sum());
        let has_rows = |part: &usize| self.parts[*part].rows[0] < self.parts[*part].rows[1];
        let blocks_of = |part: usize| (0..self.parts[part].count).step_by(nc).map(move |first| (part, first));
        let blocks: Vec<(usize, usize)> = (0..self.parts.len()).filter(has_rows).flat_map(blocks_of).collect();
        each(self.threads, blocks.len(), |index| {
            let (number, first) = blocks[index];
            let part = &self.parts[number];
            let (rows, cols) = (part.rows, [first, part.count.min(first + nc)]);
            multiply_block::<K, E, O>(&ready[number], &Block { rows, cols, first_row: rows[0] }, part, out);
        });
    }

    /// Packs `B` slab by slab and, under each, `A` slab by slab; a slab of either has at most [`SLAB`] elements, or
    /// the rows or columns of one block.
    fn run_by_slabs<K: Kernel, O: Element>(
        &self,
        part: &Columns<'a, E>,
        lefts: &mut Lefts<'a, K, E>,
        out: &Shared<'_, O>,
    ) {
        let (n, threads, [from, to]) = (part.count, self.threads, part.rows);
        let k: usize = part.terms.iter().map(|term| term.a.cols.next_multiple_of(K::K_PAD)).sum();
        let slab = |block: usize| (SLAB / k.max(1) / block * block).max(block);
        let rights: Vec<Right<'_, E>> = part.terms.iter().map(|term| term.b.right::<K>()).collect();
        let are_ready = rights.iter().all(Right::is_ready);
        let (slab_m, slab_n) = (slab(K::MC), if are_ready { n } else { slab(NC) });
        for n0 in (0..n).step_by(slab_n.max(1)) {
            let n1 = n.min(n0 + slab_n);
            // Once for all blocks of rows.
            let packed = part
                .terms
                .iter()
                .zip(&rights)
                .map(|(Term { a, .. }, b)| (!b.is_ready()).then(|| pack_b::<K, E>(b, a.cols, [n0, n1], threads)));
            let packed: Vec<Option<Panels>> = packed.collect();
            for m0 in (from..to).step_by(slab_m) {
                let m1 = to.min(m0 + slab_m);
                let rights = rights.iter().zip(&packed).map(|(b, here)| match here {
                    Some(panels) => Right::Panels { panels, origin: n0 },
                    None => *b,
                });
                let ready = part.terms.iter().zip(rights).map(|(term, b)| {
                    let left = lefts.get(&term.a, [m0, m1], threads);
                    Ready::new::<K>(term, left, b, [m0, m1])
                });
                let ready: Vec<Ready<'_, E>> = ready.collect();
                let nc = columns_of_block::<K>(m1 - m0, n1 - n0);
                let blocks_across = (n1 - n0).div_ceil(nc);
                each(threads, (m1 - m0).div_ceil(K::MC) * blocks_across, |index| {
                    let rows = m0 + index / blocks_across * K::MC;
                    let cols = n0 + index % blocks_across * nc;
                    let (rows, cols) = ([rows, m1.min(rows + K::MC)], [cols, n1.min(cols + nc)]);
                    multiply_block::<K, E, O>(&ready, &Block { rows, cols, first_row: m0 }, part, out);
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

/// Rows and columns of a block of a part of the result, and the row with which the packed panels of `A` begin.
struct Block {
    rows: [usize; 2],
    cols: [usize; 2],
    first_row: usize,
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
fn multiply_block<K: Kernel, E: Element, O: Element>(
    terms: &[Ready<'_, E>],
    block: &Block,
    part: &Columns<'_, E>,
    out: &Shared<'_, O>,
) {
    let Block { rows: [r0, r1], cols: [c0, c1], first_row } = *block;
    let width = (c1 - c0).next_multiple_of(K::NR);
    let height = (r1 - r0).next_multiple_of(K::MR);
    // Panels that are not multiplied as they lie are made here.
    let is_made = |b: &Right<'_, E>| !b.is_ready() && !b.is_multiplied_narrow::<K>(r1 - r0);
    let longest = terms.iter().filter(|term| is_made(&term.b)).map(|term| piece_of_k::<K>(term.k)).max();
    let piece = longest.unwrap_or(0) * PIECE;
    let kept = if terms.iter().any(|term| term.tiles.0.is_some()) { K::MR * K::NR } else { 0 };
    with_accumulators(width * height + room::<K::Packed>(piece) + room::<f32>(kept), |memory| {
        let (sums, memory) = memory.split_at_mut(width * height);
        let mut memory = Arena(memory);
        let (piece, kept) = (memory.take::<K::Packed>(piece), memory.take::<f32>(kept));
        let mut is_first = true;
        K::enter();
        for Ready { a, b, k, tiles } in terms {
            let own = |i: usize| tiles.own::<K>(r0 - first_row + i, r1 - r0 - i);
            if (0..r1 - r0).step_by(K::MR).all(|i| own(i) == Own::None) {
                continue;
            }
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
                            own(0).guard::<K>(&mut sums[j..], width, kept, |sums| {
                                // SAFETY: as below, for the one tile that so few rows are.
                                unsafe { K::microkernel_narrow(steps, left, r1 - r0, right, sums, width, !is_first) }
                            });
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
                            own(i).guard::<K>(&mut sums[i * width + j..], width, kept, |sums| {
                                // SAFETY: both operands hold `steps` more steps from `k0`, the left one in whole panels or
                                // in rows that the kernel reads by so many, and the sums a whole tile at `(i, j)`; the CPU
                                // has the kernel's instructions, since its level was not above the best one.
                                unsafe { K::microkernel(steps, left, r1 - r0 - i, right, sums, width, !is_first) }
                            });
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
            let out = unsafe { out.row(r, part.first + c0, part.first + c1) };
            K::store(out, sums, part.scale, part.store);
        }
    });
}

/// Steps of the pieces that `k` is cut into.
fn piece_of_k<K: Kernel>(k: usize) -> usize {
    k.div_ceil(k.div_ceil(K::KC).max(1)).next_multiple_of(K::K_PAD)
}
