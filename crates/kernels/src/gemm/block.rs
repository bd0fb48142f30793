//! A block of a result, the work of one task: terms summed tile by tile over pieces of `k`, then stored.

use std::sync::Arc;

use half::bf16;

use super::kernel::{CTile, Few, Kernel};
use super::lhs::Lhs;
use super::panels::{Shared, with_accumulators};
use super::pieces::{PIECE, Right};
use super::product::{Columns, Term};
use crate::Element;
use crate::arena::{Arena, room};
use crate::prefetch::Ahead;

/// A term ready to be multiplied.
pub struct Ready<'a, E> {
    a: Arc<Lhs>,
    b: Right<'a, E>,
    k: usize,
    tiles: Tiles,
}

impl<'a, E: Element> Ready<'a, E> {
    /// Rows `from..to` of a term, whose operands are found at `a` and `b`.
    pub fn new<K: Kernel>(term: &Term<'_, E>, a: Arc<Lhs>, b: Right<'a, E>, rows: [usize; 2]) -> Self {
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

/// Rows and columns of a block of a part of the result, and the row with which the packed panels of `A` begin.
pub struct Block {
    pub rows: [usize; 2],
    pub cols: [usize; 2],
    pub first_row: usize,
}

/// One block of the result: tiles summed over pieces of `k` that keep a panel of `B` in the first cache, then stored.
pub fn multiply_block<K: Kernel, E: Element, O: Element>(
    terms: &[Ready<'_, E>],
    block: &Block,
    part: &Columns<'_, E>,
    out: &Shared<'_, O>,
) {
    let Block { rows: [r0, r1], cols: [c0, c1], .. } = *block;
    let width = (c1 - c0).next_multiple_of(K::NR);
    let sums = width * (r1 - r0).next_multiple_of(K::MR);
    // Panels of a piece, and a tile.
    let made = terms.iter().filter(|term| block.makes::<K, E>(&term.b)).map(|term| piece_of_k::<K>(term.k)).max();
    let made = made.unwrap_or(0) * PIECE.max(block.few_columns::<K>());
    let kept = if terms.iter().any(|term| term.tiles.0.is_some()) { K::MR * K::NR } else { 0 };
    with_accumulators(sums + room::<K::Packed>(made) + room::<f32>(kept), |memory| {
        let (sums, memory) = memory.split_at_mut(sums);
        let mut memory = Arena(memory);
        let (made, kept) = (memory.take::<K::Packed>(made), memory.take::<f32>(kept));
        let mut sums = Sums { sums, width, is_first: true, made, kept };
        K::enter();
        for term in terms {
            let own = |i: usize| term.tiles.own::<K>(r0 - block.first_row + i, r1 - r0 - i);
            if (0..r1 - r0).step_by(K::MR).all(|i| own(i) == Own::None) {
                continue;
            }
            let kc = piece_of_k::<K>(term.k);
            for k0 in (0..term.k).step_by(kc.max(1)) {
                let steps = [k0, term.k.min(k0 + kc)];
                if block.few_columns::<K>() > 0 && own(0) == Own::All {
                    sums.add_few::<K, E>(term, block, steps);
                } else {
                    sums.add_tiles::<K, E>(term, block, steps);
                }
                sums.is_first = false;
            }
        }
        K::leave();
        if sums.is_first {
            sums.sums.fill(0.0);
        }
        for r in r0..r1 {
            let sums = &sums.sums[(r - r0) * width..][..c1 - c0];
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

impl Block {
    /// Columns that are multiplied at once, where its rows are few.
    fn few_columns<K: Kernel>(&self) -> usize {
        K::few_panels(self.rows[1] - self.rows[0]) * K::NR
    }

    /// Whether panels of `b` are made here, since they are not multiplied as they lie.
    fn makes<K: Kernel, E: Element>(&self, b: &Right<'_, E>) -> bool {
        !b.is_ready() && !b.is_multiplied_narrow::<K>(self.rows[1] - self.rows[0])
    }
}

/// The sums of a block while terms are added to them.
struct Sums<'m, P> {
    /// Whole tiles, `width` columns.
    sums: &'m mut [f32],
    width: usize,
    /// Whether nothing was added yet: what they hold means nothing.
    is_first: bool,
    /// Room for panels that are made here.
    made: &'m mut [P],
    /// Room for a tile, if a term is of some rows only.
    kept: &'m mut [f32],
}

impl<P> Sums<'_, P> {
    /// Some steps of a term, tile by tile.
    fn add_tiles<K: Kernel<Packed = P>, E: Element>(
        &mut self,
        Ready { a, b, k, tiles }: &Ready<'_, E>,
        block: &Block,
        [k0, k1]: [usize; 2],
    ) {
        let Block { rows: [r0, r1], cols: [c0, c1], first_row } = *block;
        let Self { sums, width, is_first, made, kept } = self;
        let (width, add) = (*width, !*is_first);
        let c = |first, row, column| CTile { first, ldc: width, rows: r1 - r0 - row, cols: c1 - c0 - column, add };
        let height = (r1 - r0).next_multiple_of(K::MR);
        let own = |i: usize| tiles.own::<K>(r0 - first_row + i, r1 - r0 - i);
        let steps = (k1 - k0).next_multiple_of(K::K_STEP);
        let length = (k1 - k0).next_multiple_of(K::K_PAD) * K::NR;
        for first in (0..width).step_by(PIECE) {
            let panels = (width - first).min(PIECE) / K::NR;
            let is_made = block.makes::<K, E>(b);
            let made = &mut made[..if is_made { panels * length } else { 0 }];
            if is_made {
                b.put::<K>([c0 + first, c1.min(c0 + first + PIECE)], [k0, k1], made);
            }
            for j in (first..first + panels * K::NR).step_by(K::NR) {
                if let Right::Narrow(panels) = b
                    && b.is_multiplied_narrow::<K>(r1 - r0)
                {
                    let right: *const bf16 = panels.at(c0 + j, k0);
                    let next = Ahead::new(right.wrapping_add(k.next_multiple_of(K::K_PAD) * K::NR), steps * K::NR);
                    let left = a.at::<K>(r0 - first_row, k0);
                    own(0).guard::<K>(&mut sums[j..], width, kept, |sums| {
                        // SAFETY: as below, for the one tile that so few rows are.
                        unsafe { K::microkernel_narrow(steps, &left, right, &c(sums, 0, j), next) }
                    });
                    continue;
                }
                let right = match b {
                    Right::Panels { panels, origin } => panels.at(c0 - origin + j, k0),
                    _ => made[(j - first) / K::NR * length..].as_ptr(),
                };
                // The next panel comes in while this one is multiplied; it is read too fast for memory otherwise.
                let next = right.wrapping_add(k.next_multiple_of(K::K_PAD) * K::NR);
                let share = if b.is_ready() { (steps * K::NR).div_ceil(height / K::MR) } else { 0 };
                for i in (0..height).step_by(K::MR) {
                    let next = Ahead::new(next.wrapping_add(i / K::MR * share), share);
                    let left = a.at::<K>(r0 - first_row + i, k0);
                    own(i).guard::<K>(&mut sums[i * width + j..], width, kept, |sums| {
                        // SAFETY: both operands hold `steps` more steps from `k0`, the left one in whole panels or
                        // in rows that the kernel reads by so many, and the sums a whole tile at `(i, j)`; the CPU
                        // has the kernel's instructions, since its level was not above the best one.
                        unsafe { K::microkernel(steps, &left, right, &c(sums, i, j), next) }
                    });
                }
            }
        }
    }

    /// As [`Sums::add_tiles`], of few rows: some panels of `B` at once, so that no sum is waited for, each asked for
    /// ahead of where it is read.
    fn add_few<K: Kernel<Packed = P>, E: Element>(
        &mut self,
        Ready { a, b, k, .. }: &Ready<'_, E>,
        block: &Block,
        [k0, k1]: [usize; 2],
    ) {
        let Block { rows: [r0, r1], cols: [c0, c1], first_row } = *block;
        let steps = (k1 - k0).next_multiple_of(K::K_STEP);
        let length = (k1 - k0).next_multiple_of(K::K_PAD) * K::NR;
        let columns = block.few_columns::<K>();
        for first in (0..self.width).step_by(columns) {
            let panels = (self.width - first).min(columns) / K::NR;
            let right = match b {
                Right::Panels { panels: packed, origin } => {
                    let apart = k.next_multiple_of(K::K_PAD) * K::NR;
                    Few { first: packed.at(c0 - origin + first, k0), panels, apart, is_in_memory: true }
                }
                _ => {
                    for (p, panel) in self.made.chunks_exact_mut(length).take(panels).enumerate() {
                        let from = c0 + first + p * K::NR;
                        b.put::<K>([from, c1.min(from + K::NR)], [k0, k1], panel);
                    }
                    Few { first: self.made.as_ptr(), panels, apart: length, is_in_memory: false }
                }
            };
            let left = a.at::<K>(r0 - first_row, k0);
            let (rows, cols) = (r1 - r0, c1 - c0 - first);
            let sums =
                CTile { first: self.sums[first..].as_mut_ptr(), ldc: self.width, rows, cols, add: !self.is_first };
            // SAFETY: as of tiles, of each panel.
            unsafe { K::microkernel_few(steps, &left, &right, &sums) };
        }
    }
}
