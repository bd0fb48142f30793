//! Matrix products: `C = s Σ A B`, or `C += …`, over all threads or on the calling one.
//!
//! A product is a sum of terms, so that an adapted layer is one product, `x Wᵀ + low Bᵀ`, and so is the gradient that
//! several weights send back to their common input. Both operands are packed into panels once, rounded to what the
//! level multiplies (f32, or pairs of bf16), zero-padded, and multiplied tile by tile in f32 accumulators (the scheme of
//! Goto and van de Geijn 2008, "Anatomy of high-performance matrix multiplication").
//!
//! An element of the result is summed along `k` in an order that depends on `k` alone. So a row's result is the same
//! bytes whatever rows stand beside it, and however many threads work.

mod matrix;
mod micro;
mod pack;
mod panels;
#[cfg(target_arch = "x86_64")]
mod tile;

use rayon::prelude::*;

pub use matrix::{Matrix, MatrixMut, Store};
use micro::Kernel;
use panels::{Panels, Shared};

use crate::{Element, Level};

/// Elements of packed operands that exist at once, of each side: 8 MiB in f32.
const PACKED: usize = 1 << 21;
/// Longest piece of `k` summed before the result is added to memory, where that is f32.
const LONGEST: usize = 8192;
/// Columns of a block, the work of one task.
const BLOCK_COLUMNS: usize = 256;

/// Sets or adds to `out` the scaled sum of the products of `terms`, over all threads.
///
/// # Shapes
/// Each term `[m, k] x [k, n]`, `k` its own; `out [m, n]`.
pub fn product<E: Element, O: Element>(
    level: Level,
    terms: &[(Matrix<'_, E>, Matrix<'_, E>)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    dispatch(level, terms, scale, out, store, true);
}

/// [`product`] on the calling thread alone, for work that is split over threads already.
pub fn product_here<E: Element, O: Element>(
    level: Level,
    terms: &[(Matrix<'_, E>, Matrix<'_, E>)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
) {
    dispatch(level, terms, scale, out, store, false);
}

fn dispatch<E: Element, O: Element>(
    level: Level,
    terms: &[(Matrix<'_, E>, Matrix<'_, E>)],
    scale: f32,
    out: MatrixMut<'_, O>,
    store: Store,
    is_parallel: bool,
) {
    for (a, b) in terms {
        assert!(a.rows == out.rows && b.cols == out.cols && a.cols == b.rows, "the shapes of a product do not fit");
    }
    let job = Job { terms, scale, store, is_parallel };
    match (level.min(Level::best()), E::IS_BF16) {
        #[cfg(target_arch = "x86_64")]
        (Level::Amx, true) => job.run::<micro::Amx, O>(out),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx512Bf16, true) => job.run::<micro::Avx512Bf16, O>(out),
        #[cfg(target_arch = "x86_64")]
        (Level::Amx | Level::Avx512Bf16 | Level::Avx512, _) => job.run::<micro::Avx512, O>(out),
        #[cfg(target_arch = "x86_64")]
        (Level::Avx2, _) => job.run::<micro::Avx2, O>(out),
        _ => job.run::<micro::Portable, O>(out),
    }
}

struct Job<'a, E> {
    terms: &'a [(Matrix<'a, E>, Matrix<'a, E>)],
    scale: f32,
    store: Store,
    is_parallel: bool,
}

impl<E: Element> Job<'_, E> {
    /// Cuts `k` where the result is f32, so that packed panels stay small; each piece is then packed and multiplied.
    fn run<K: Kernel, O: Element>(&self, mut out: MatrixMut<'_, O>) {
        if out.rows == 0 || out.cols == 0 {
            return;
        }
        let mut store = self.store;
        let mut piece = Vec::with_capacity(self.terms.len());
        let mut length = 0;
        for &(a, b) in self.terms {
            let mut from = 0;
            while from < a.cols {
                let to = if O::IS_BF16 { a.cols } else { a.cols.min(from + LONGEST - length) };
                piece.push((a.columns(from, to), b.columns_of_rows(from, to)));
                length += to - from;
                from = to;
                if !O::IS_BF16 && length == LONGEST {
                    self.multiply::<K, O>(&piece, &mut out, store);
                    (store, length) = (Store::Add, 0);
                    piece.clear();
                }
            }
        }
        if !piece.is_empty() || store == Store::Set {
            self.multiply::<K, O>(&piece, &mut out, store);
        }
    }

    /// Packs `B` slab by slab and, under each, `A` slab by slab; a slab of either is at most [`PACKED`] elements.
    fn multiply<K: Kernel, O: Element>(
        &self,
        terms: &[(Matrix<'_, E>, Matrix<'_, E>)],
        out: &mut MatrixMut<'_, O>,
        store: Store,
    ) {
        let left: Vec<Matrix<'_, E>> = terms.iter().map(|t| t.0).collect();
        let right: Vec<Matrix<'_, E>> = terms.iter().map(|t| t.1.t()).collect();
        let k: usize = left.iter().map(|a| a.cols.next_multiple_of(K::DEPTH)).sum();
        let slab = |lanes: usize| (PACKED / k.max(1)).next_multiple_of(lanes).max(BLOCK_COLUMNS);
        let (slab_m, slab_n) = (slab(K::BLOCK_ROWS), slab(BLOCK_COLUMNS));
        let (m, n) = (out.rows, out.cols);
        let target = Shared::new(out);
        for n0 in (0..n).step_by(slab_n) {
            let n1 = n.min(n0 + slab_n);
            let mut b = Panels::<K::Packed>::new(n1 - n0, K::COLUMNS, k);
            b.fill(self.is_parallel, |panel, lane, packed| K::pack_b(&right, n0 + lane, n1, panel, packed));
            for m0 in (0..m).step_by(slab_m) {
                let m1 = m.min(m0 + slab_m);
                let mut a = Panels::<K::Packed>::new(m1 - m0, K::ROWS, k);
                a.fill(self.is_parallel, |panel, lane, packed| K::pack_a(&left, m0 + lane, m1, panel, packed));
                let block = |index: usize| {
                    let across = (n1 - n0).div_ceil(BLOCK_COLUMNS);
                    let rows = m0 + index / across * K::BLOCK_ROWS;
                    let cols = n0 + index % across * BLOCK_COLUMNS;
                    let place = Place {
                        rows: [rows, m1.min(rows + K::BLOCK_ROWS)],
                        cols: [cols, n1.min(cols + BLOCK_COLUMNS)],
                        origin: [m0, n0],
                    };
                    multiply_block::<K, O>(&a, &b, k, &place, self.scale, &target, store);
                };
                let blocks = (m1 - m0).div_ceil(K::BLOCK_ROWS) * (n1 - n0).div_ceil(BLOCK_COLUMNS);
                if self.is_parallel && blocks > 1 {
                    (0..blocks).into_par_iter().with_max_len(1).for_each(block);
                } else {
                    (0..blocks).for_each(block);
                }
            }
        }
    }
}

/// Where a block lies in the result, and where the packed panels begin.
struct Place {
    rows: [usize; 2],
    cols: [usize; 2],
    origin: [usize; 2],
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
fn multiply_block<K: Kernel, O: Element>(
    a: &Panels<K::Packed>,
    b: &Panels<K::Packed>,
    k: usize,
    place: &Place,
    scale: f32,
    out: &Shared<'_, O>,
    store: Store,
) {
    let Place { rows: [r0, r1], cols: [c0, c1], origin } = *place;
    let width = (c1 - c0).next_multiple_of(K::COLUMNS);
    let height = (r1 - r0).next_multiple_of(K::ROWS);
    panels::with_accumulators(width * height, |sums| {
        let piece = k.div_ceil(k.div_ceil(K::LONGEST).max(1)).next_multiple_of(K::DEPTH).max(K::DEPTH);
        K::enter();
        for k0 in (0..k).step_by(piece) {
            let depth = piece.min(k - k0);
            for j in (0..width).step_by(K::COLUMNS) {
                let right = b.at(c0 - origin[1] + j, k0);
                for i in (0..height).step_by(K::ROWS) {
                    let left = a.at(r0 - origin[0] + i, k0);
                    // SAFETY: both panels hold `depth` more steps from `k0`, and the sums a whole tile at `(i, j)`; the
                    // CPU has the kernel's instructions, since its level was not above the best one.
                    unsafe { K::tile(depth, left, right, sums.as_mut_ptr().add(i * width + j), width, k0 > 0) };
                }
            }
        }
        K::leave();
        if k == 0 {
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
