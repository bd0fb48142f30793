//! The five loops around a microkernel: over slabs of columns and rows, blocks, pieces of `k`, panels and tiles.

use super::block::{Block, Ready, multiply_block};
use super::kernel::Kernel;
use super::lhs::Lefts;
use super::matrix::MatrixMut;
use super::panels::{Panels, Shared, Threads};
use super::pieces::{PIECE, Right};
use super::product::{Columns, Product, Term};
use super::rhs::Rhs;
use crate::simd::dispatch::visit_level;
use crate::tasks;
use crate::{Element, SimdLevel};

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

/// Computes the product by the kernel of the level.
pub fn run<E: Element, O: Element>(level: SimdLevel, product: Product<'_, '_, E>, out: MatrixMut<'_, O>) {
    visit_level!(level, E, K => product.run::<K, O>(out))
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
    /// the rows or columns of one block. Of `B`, what is left as it lies needs no slabs.
    fn run_by_slabs<K: Kernel, O: Element>(
        &self,
        part: &Columns<'a, E>,
        lefts: &mut Lefts<'a, K, E>,
        out: &Shared<'_, O>,
    ) {
        let (n, threads, [from, to]) = (part.count, self.threads, part.rows);
        let k: usize = part.terms.iter().map(|term| term.a.cols.next_multiple_of(K::K_PAD)).sum();
        let rights: Vec<Right<'_, E>> = part.terms.iter().map(|term| term.b.right::<K>()).collect();
        // Over so many steps that a slab would not stay in a cache, numbers that are only widened are so for each block anew.
        let is_left = |b: &Right<'_, E>| b.is_ready() || matches!(b, Right::Narrow(_)) && NC * k > SLAB;
        let slab = |unit: usize, least: usize| (SLAB / k.max(1) / unit * unit).max(least);
        let slab_n = if rights.iter().all(is_left) { n } else { slab(PIECE, NC) };
        let slab_m = slab(K::MC, K::MC);
        for n0 in (0..n).step_by(slab_n.max(1)) {
            let n1 = n.min(n0 + slab_n);
            // Once for all blocks of rows.
            let packed = part
                .terms
                .iter()
                .zip(&rights)
                .map(|(Term { a, .. }, b)| (!is_left(b)).then(|| pack_b::<K, E>(b, a.cols, [n0, n1], threads)));
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
                let (mc, nc) = (rows_of_block::<K>(m1 - m0), columns_of_block::<K>(m1 - m0, n1 - n0));
                let blocks_across = (n1 - n0).div_ceil(nc);
                each(threads, (m1 - m0).div_ceil(mc) * blocks_across, |index| {
                    let rows = m0 + index / blocks_across * mc;
                    let cols = n0 + index % blocks_across * nc;
                    let (rows, cols) = ([rows, m1.min(rows + mc)], [cols, n1.min(cols + nc)]);
                    multiply_block::<K, E, O>(&ready, &Block { rows, cols, first_row: m0 }, part, out);
                });
            }
        }
    }
}

/// Does `work(0)` to `work(count - 1)`.
fn each(threads: Threads, count: usize, work: impl Fn(usize) + Sync + Send) {
    if threads == Threads::All && count > 1 {
        tasks::each(count, work);
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

/// Rows of a block of `m` rows: at most [`Kernel::MC`], and all alike.
fn rows_of_block<K: Kernel>(m: usize) -> usize {
    m.div_ceil(m.div_ceil(K::MC)).next_multiple_of(K::MR)
}

/// Columns of a block of an `m x n` result: at most about [`NC`], and few enough that there are [`TASKS`] blocks where
/// they can be had, and all alike.
fn columns_of_block<K: Kernel>(m: usize, n: usize) -> usize {
    let wanted = TASKS.max(rayon::current_num_threads()).div_ceil(m.div_ceil(K::MC));
    let across = n.div_ceil(NC).max(wanted);
    // Few rows are multiplied with some panels together, where each thread has two blocks of them at least.
    let least = (n / K::NR / (2 * rayon::current_num_threads())).clamp(1, K::few_panels(m).max(1)) * K::NR;
    // Narrower rather than wider: a few tasks more are shared more evenly than a few less.
    (n.div_ceil(across) / K::NR * K::NR).max(least)
}
