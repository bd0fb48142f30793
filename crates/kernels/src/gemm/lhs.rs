//! The left operand of a product: read where it lies where a kernel can, packed otherwise, once for all who read the same rows.

use std::marker::PhantomData;
use std::sync::Arc;

use super::kernel::{ARows, Kernel};
use super::matrix::Matrix;
use super::panels::{Panels, Threads};
use crate::Element;

/// The left operand: whole panels of rows where they lie, and the rest packed; or all of it packed.
pub struct Lhs {
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
    pub fn at<K: Kernel>(&self, row: usize, k: usize) -> ARows<K::Packed> {
        if row < self.packed_from {
            let first = self.rows.cast::<K::Packed>().wrapping_add(row * self.stride + k);
            return ARows { first, row_stride: self.stride, block_stride: K::K_PAD };
        }
        K::panel(self.panels.at(row - self.packed_from, k))
    }
}

/// Left operands over the same rows: parts of a product, and slabs of columns, share them.
pub struct Lefts<'a, K, E> {
    rows: [usize; 2],
    /// By where a matrix begins, its strides and its columns.
    kept: Vec<([usize; 4], Arc<Lhs>)>,
    /// Whose numbers they are, and which kernel reads them.
    of: PhantomData<(&'a [E], K)>,
}

impl<'a, K: Kernel, E: Element> Lefts<'a, K, E> {
    pub fn new() -> Self {
        Self { rows: [0, 0], kept: Vec::new(), of: PhantomData }
    }

    /// Some rows of `a`; those of other rows are let go.
    pub fn get(&mut self, a: &Matrix<'a, E>, rows: [usize; 2], threads: Threads) -> Arc<Lhs> {
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
