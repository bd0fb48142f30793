//! Matrix products: `C = s Σ A B`, or `C += …`, over all threads or on the calling one.
//!
//! A product is a sum of terms, so that an adapted layer is one product, `x Wᵀ + low Bᵀ`, and so is the gradient that
//! several weights send back to their common input. Both operands are packed into panels, rounded to what the
//! level multiplies (f32, or pairs of bf16), zero-padded, and multiplied tile by tile in f32 accumulators (the scheme of
//! Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication"). A right operand that is used
//! again can be [`Packed`] once.
//!
//! An element of the result is summed along `k` in an order that depends on the terms' `k` alone. So a row's result is
//! the same bytes whatever rows stand beside it, and however many threads work.

mod matrix;
pub(crate) mod micro;
mod pack;
#[cfg(target_arch = "x86_64")]
pub(crate) mod pack16;
pub(crate) mod panels;
mod peak;
#[cfg(target_arch = "x86_64")]
mod tile;

#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};

use rayon::prelude::*;

pub use matrix::{Matrix, MatrixMut, Store};
use micro::{Kernel, Rows};
use panels::{Panels, Shared};
pub use peak::peak;

use crate::{Element, Level};

/// Elements of packed operands that exist at once, of each side: 8 MiB in f32.
const PACKED: usize = 1 << 21;
/// Most columns of a block, the work of one task.
const BLOCK_COLUMNS: usize = 256;
/// Tasks that a product is cut into where it can be, so that threads end together.
const TASKS: usize = 16;

/// Sets or adds to `out` the scaled sum of the products of `terms`, over all threads.
///
/// # Shapes
/// Each term `[m, k] x [k, n]`, `k` its own; `out [m, n]`.
pub fn product<'a, E: Element, B: Copy + Into<Right<'a, E>>, O: Element>(
    level: Level,
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    multiply(level, terms, scale, out, store, true);
}

/// [`product`] on the calling thread alone, for work that is split over threads already.
pub fn product_here<'a, E: Element, B: Copy + Into<Right<'a, E>>, O: Element>(
    level: Level,
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    multiply(level, terms, scale, out, store, false);
}

fn multiply<'a, E: Element, B: Copy + Into<Right<'a, E>>, O: Element>(
    level: Level,
    terms: &[(Matrix<'a, E>, B)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
    is_parallel: bool,
) {
    let terms: Vec<_> = terms.iter().map(|&(a, b)| (a, b.into())).collect();
    with_kernel::<E, _>(level, Product { terms: &terms, scale, store, is_parallel, out });
}

/// The right operand of a term, `[k, n]`.
#[derive(Clone, Copy)]
pub enum Right<'a, E> {
    Plain(Matrix<'a, E>),
    Packed(&'a Packed),
}

impl<'a, E> From<Matrix<'a, E>> for Right<'a, E> {
    fn from(matrix: Matrix<'a, E>) -> Self {
        Self::Plain(matrix)
    }
}

impl<'a, E> From<&'a Packed> for Right<'a, E> {
    fn from(packed: &'a Packed) -> Self {
        Self::Packed(packed)
    }
}

impl<E: Element> Right<'_, E> {
    fn dims(&self) -> [usize; 2] {
        match self {
            Self::Plain(b) => [b.rows, b.cols],
            Self::Packed(b) => [b.k, b.n],
        }
    }
}

/// A right operand `[k, n]` as the kernels of one level and one kind of number read it.
pub struct Packed {
    panels: Panels,
    k: usize,
    n: usize,
    kernel: Level,
    is_bf16: bool,
}

impl Packed {
    /// Packs `b [k, n]` over all threads.
    pub fn new<E: Element>(level: Level, b: Matrix<'_, E>) -> Self {
        with_kernel::<E, _>(level, Pack { b, before: None })
    }

    /// [`Packed::new`] into `slot`, in the memory of what it held if that was of the same kind and shape.
    pub fn renew<'s, E: Element>(slot: &'s mut Option<Self>, level: Level, b: Matrix<'_, E>) -> &'s Self {
        let before = slot.take();
        slot.insert(with_kernel::<E, _>(level, Pack { b, before }))
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        self.panels.bytes()
    }
}

/// Work that is done with the kernel of a level.
trait Job<E> {
    type Done;
    fn run<K: Kernel>(self) -> Self::Done;
}

fn with_kernel<E: Element, J: Job<E>>(level: Level, job: J) -> J::Done {
    match (level.min(Level::best()), E::IS_BF16) {
        #[cfg(target_arch = "x86_64")]
        (Level::Amx, true) => job.run::<micro::Amx>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Bf16, true) => job.run::<micro::Avx512Bf16>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Amx | Level::Avx512Bf16 | Level::Avx512, _) => job.run::<micro::Avx512>(),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => job.run::<micro::Avx2>(),
        _ => job.run::<micro::Portable>(),
    }
}

struct Pack<'a, E> {
    b: Matrix<'a, E>,
    before: Option<Packed>,
}

impl<E: Element> Job<E> for Pack<'_, E> {
    type Done = Packed;

    fn run<K: Kernel>(self) -> Packed {
        let Matrix { rows: k, cols: n, .. } = self.b;
        let is_same = |p: &Packed| (p.k, p.n, p.kernel, p.is_bf16) == (k, n, K::LEVEL, E::IS_BF16);
        let mut packed = self.before.filter(is_same).unwrap_or_else(|| {
            let panels = Panels::owned::<K::Packed>(n, K::COLUMNS, k.next_multiple_of(K::DEPTH));
            Packed { panels, k, n, kernel: K::LEVEL, is_bf16: E::IS_BF16 }
        });
        fill_b::<K, E>(&mut packed.panels, &self.b, [0, n], true);
        packed
    }
}

/// Columns `from..to` of `b`, packed.
fn pack_b<K: Kernel, E: Element>(b: &Matrix<'_, E>, [from, to]: [usize; 2], is_parallel: bool) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::COLUMNS, b.rows.next_multiple_of(K::DEPTH));
    fill_b::<K, E>(&mut panels, b, [from, to], is_parallel);
    panels
}

fn fill_b<K: Kernel, E: Element>(panels: &mut Panels, b: &Matrix<'_, E>, [from, to]: [usize; 2], is_parallel: bool) {
    let turned = b.t();
    panels.fill(is_parallel, |lane, packed| K::pack_b(&turned, from + lane, to, packed));
}

/// Rows `from..to` of `a`, packed.
fn pack_a<K: Kernel, E: Element>(a: &Matrix<'_, E>, [from, to]: [usize; 2], is_parallel: bool) -> Panels {
    let mut panels = Panels::lent::<K::Packed>(to - from, K::ROWS, a.cols.next_multiple_of(K::DEPTH));
    panels.fill(is_parallel, |lane, packed| K::pack_a(a, from + lane, to, packed));
    panels
}

struct Product<'p, 'a, 'o, E, O> {
    terms: &'p [(Matrix<'a, E>, Right<'a, E>)],
    scale: f32,
    store: Store,
    is_parallel: bool,
    out: MatrixMut<'o, O>,
}

/// A term ready to be multiplied, `B` packed from the column `origin` on.
struct Ready<'a> {
    a: Left,
    b: &'a Panels,
    origin: usize,
    k: usize,
}

/// The left operand: whole panels of rows where they lie, and the rest packed; or all of it packed.
struct Left {
    /// The first row (of `Packed`), and how far apart rows are; used for rows below `packed_from`.
    rows: *const u8,
    stride: usize,
    packed_from: usize,
    panels: Panels,
}

// SAFETY: the rows are those of a shared slice that outlives the product.
unsafe impl Sync for Left {}

/// Rows this many bytes apart, or a multiple, share too few places of the first cache to be read side by side.
const CROWDED: usize = 4096;

impl Left {
    /// Rows `from..to` of `a`.
    fn new<K: Kernel, E: Element>(a: &Matrix<'_, E>, [from, to]: [usize; 2], is_parallel: bool) -> Self {
        let bytes = size_of::<E>();
        let in_place = K::READS_ROWS
            && E::IS_BF16
            && a.col_stride == 1
            && a.cols.is_multiple_of(K::STEP)
            && !(a.row_stride * bytes).is_multiple_of(CROWDED);
        let whole = if (to - from).is_multiple_of(K::FEWEST_ROWS) { 1 } else { K::ROWS };
        let packed_from = if in_place { (to - from) / whole * whole } else { 0 };
        let rows = a.data[(from * a.row_stride).min(a.data.len())..].as_ptr().cast();
        let panels = pack_a::<K, E>(a, [from + packed_from, to], is_parallel);
        Self { rows, stride: a.row_stride, packed_from, panels }
    }

    /// The rows of the tile that begins with `row`, a multiple of `ROWS` within the operand, from step `k` on.
    fn at<K: Kernel>(&self, row: usize, k: usize) -> Rows<K::Packed> {
        if row < self.packed_from {
            let first = self.rows.cast::<K::Packed>().wrapping_add(row * self.stride + k);
            return Rows { first, row: self.stride, block: K::DEPTH };
        }
        K::panel(self.panels.at(row - self.packed_from, k))
    }
}

impl<E: Element, O: Element> Job<E> for Product<'_, '_, '_, E, O> {
    type Done = ();

    /// Packs `B` slab by slab and, under each, `A` slab by slab; a slab of either has at most [`PACKED`] elements, or
    /// the rows or columns of one block.
    fn run<K: Kernel>(mut self) {
        let (m, n) = (self.out.rows, self.out.cols);
        for (a, b) in self.terms {
            assert!(a.rows == m && b.dims() == [a.cols, n], "the shapes of a product do not fit");
            if let Right::Packed(b) = b {
                assert!(b.kernel == K::LEVEL && b.is_bf16 == E::IS_BF16, "an operand packed for another kernel");
            }
        }
        if m == 0 || n == 0 {
            return;
        }
        let is_parallel = self.is_parallel;
        let k: usize = self.terms.iter().map(|t| t.0.cols.next_multiple_of(K::DEPTH)).sum();
        let slab = |block: usize| (PACKED / k.max(1) / block * block).max(block);
        let is_plain = self.terms.iter().any(|t| matches!(t.1, Right::Plain(_)));
        let (slab_m, slab_n) = (slab(K::BLOCK_ROWS), if is_plain { slab(BLOCK_COLUMNS) } else { n });
        let out = Shared::new(&mut self.out);
        for n0 in (0..n).step_by(slab_n) {
            let n1 = n.min(n0 + slab_n);
            let packed = self.terms.iter().map(|(_, b)| match b {
                Right::Plain(b) => Some(pack_b::<K, E>(b, [n0, n1], is_parallel)),
                Right::Packed(_) => None,
            });
            let packed: Vec<Option<Panels>> = packed.collect();
            for m0 in (0..m).step_by(slab_m) {
                let m1 = m.min(m0 + slab_m);
                let ready = self.terms.iter().zip(&packed).map(|((a, b), here)| {
                    let (b, origin) = match (b, here) {
                        (Right::Packed(b), _) => (&b.panels, 0),
                        (_, Some(here)) => (here, n0),
                        (Right::Plain(_), None) => unreachable!("plain operands are packed above"),
                    };
                    Ready { a: Left::new::<K, E>(a, [m0, m1], is_parallel), b, origin, k: a.cols }
                });
                let ready: Vec<Ready<'_>> = ready.collect();
                let across = columns_of_block::<K>(m1 - m0, n1 - n0);
                let blocks_across = (n1 - n0).div_ceil(across);
                let block = |index: usize| {
                    let rows = m0 + index / blocks_across * K::BLOCK_ROWS;
                    let cols = n0 + index % blocks_across * across;
                    let place = Place {
                        rows: [rows, m1.min(rows + K::BLOCK_ROWS)],
                        cols: [cols, n1.min(cols + across)],
                        first_row: m0,
                    };
                    multiply_block::<K, O>(&ready, &place, self.scale, &out, self.store);
                };
                let blocks = (m1 - m0).div_ceil(K::BLOCK_ROWS) * blocks_across;
                if is_parallel && blocks > 1 {
                    (0..blocks).into_par_iter().with_max_len(1).for_each(block);
                } else {
                    (0..blocks).for_each(block);
                }
            }
        }
    }
}

/// Columns of a block of an `m x n` result: few enough that there are [`TASKS`] blocks where they can be had, and all
/// alike.
fn columns_of_block<K: Kernel>(m: usize, n: usize) -> usize {
    let wanted = TASKS.div_ceil(m.div_ceil(K::BLOCK_ROWS));
    let across = n.div_ceil(BLOCK_COLUMNS).max(wanted);
    // Narrower rather than wider: a few tasks more are shared more evenly than a few less.
    (n.div_ceil(across) / K::COLUMNS * K::COLUMNS).max(K::COLUMNS)
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

/// Where a block lies in the result, and the row with which the packed panels of `A` begin.
struct Place {
    rows: [usize; 2],
    cols: [usize; 2],
    first_row: usize,
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
fn multiply_block<K: Kernel, O: Element>(
    terms: &[Ready<'_>],
    place: &Place,
    scale: f32,
    out: &Shared<'_, O>,
    store: Store,
) {
    let Place { rows: [r0, r1], cols: [c0, c1], first_row } = *place;
    let width = (c1 - c0).next_multiple_of(K::COLUMNS);
    let height = (r1 - r0).next_multiple_of(K::ROWS);
    panels::with_accumulators(width * height, |sums| {
        let mut is_first = true;
        K::enter();
        for Ready { a, b, origin, k } in terms {
            let piece = k.div_ceil(k.div_ceil(K::LONGEST).max(1)).next_multiple_of(K::DEPTH);
            for k0 in (0..*k).step_by(piece.max(1)) {
                let depth = piece.min(k - k0).next_multiple_of(K::STEP);
                for j in (0..width).step_by(K::COLUMNS) {
                    let right: *const K::Packed = b.at(c0 - origin + j, k0);
                    // The next panel comes in while this one is multiplied; it is read too fast for memory otherwise.
                    let next = right.wrapping_add(k.next_multiple_of(K::DEPTH) * K::COLUMNS);
                    let share = (depth * K::COLUMNS).div_ceil(height / K::ROWS);
                    for i in (0..height).step_by(K::ROWS) {
                        prefetch(next.wrapping_add(i / K::ROWS * share), share);
                        let left = a.at::<K>(r0 - first_row + i, k0);
                        // SAFETY: both operands hold `depth` more steps from `k0`, the left one in whole panels or in
                        // rows that the kernel reads by so many, and the sums a whole tile at `(i, j)`; the CPU has the
                        // kernel's instructions, since its level was not above the best one.
                        unsafe {
                            let sums = sums.as_mut_ptr().add(i * width + j);
                            K::tile(depth, left, r1 - r0 - i, right, sums, width, !is_first);
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
