//! Pieces of right operands as a kernel reads them: some columns over some steps of `k`, packed or widened when a block of the
//! result comes to them, in memory that stays in the first caches.

use half::bf16;

use super::kernel::Kernel;
use super::matrix::Matrix;
use super::panels::Panels;
use crate::Element;
use crate::quant::{GROUP, Piece, QuantMatrix};

/// Where a block finds its right operand.
#[derive(Clone, Copy)]
pub enum Right<'a, E> {
    /// Packed, from the column `origin` on.
    Panels {
        panels: &'a Panels,
        origin: usize,
    },
    /// Packed as bf16, to be widened.
    Narrow(&'a Panels),
    /// As it lies, `[k, n]`.
    Matrix(Matrix<'a, E>),
    Quantised(QuantMatrix<'a>),
}

/// Columns of a piece, a multiple of every kernel's panels: groups of quantised numbers are as wide.
pub const PIECE: usize = GROUP;

/// Steps of `k` of a quantised operand that are plain numbers at a time: few enough to stay in the first cache.
const STEPS: usize = 64;

impl<E: Element> Right<'_, E> {
    /// Whether it is packed as kernels multiply it.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Panels { .. })
    }

    /// Whether so many rows are multiplied with it as it lies, bf16, by a kernel of f32.
    pub fn is_multiplied_narrow<K: Kernel>(&self, rows: usize) -> bool {
        matches!(self, Self::Narrow(_)) && rows <= K::NARROW_ROWS
    }

    /// Panels of the columns `from..to`, at most [`PIECE`] of them, over the steps `k0..k1`, to `packed`: each panel
    /// `packed.len() / panels` long. What is packed already is left where it is.
    pub fn put<K: Kernel>(&self, [from, to]: [usize; 2], [k0, k1]: [usize; 2], packed: &mut [K::Packed]) {
        let length = packed.len() / (to - from).div_ceil(K::NR).max(1);
        let panels = packed.chunks_mut(length.max(1)).zip((from..to).step_by(K::NR));
        match self {
            Self::Panels { .. } => {}
            Self::Narrow(narrow) => panels.for_each(|(panel, lane)| {
                // SAFETY: the panel holds all steps, padded as this piece is.
                let narrow: &[bf16] = unsafe { std::slice::from_raw_parts(narrow.at(lane, k0), length) };
                K::convert(narrow, panel);
            }),
            Self::Matrix(b) => {
                panels.for_each(|(panel, lane)| pack_matrix::<K, E>(b, [lane, to], [k0, k1], panel));
            }
            Self::Quantised(b) => put_quantised::<K, E>(b, [from, to], [k0, k1], packed, length),
        }
    }
}

/// Columns from the first of `lanes` on of `b [k, n]`, over some steps of `k`, as a panel.
pub fn pack_matrix<K: Kernel, E: Element>(
    b: &Matrix<'_, E>,
    [lane, end]: [usize; 2],
    [k0, k1]: [usize; 2],
    panel: &mut [K::Packed],
) {
    let turned = b.t();
    let data = &turned.data[(k0 * turned.col_stride).min(turned.data.len())..];
    K::pack_b(&Matrix { data, cols: k1 - k0, ..turned }, lane, end, panel);
}

/// [`Right::put`] of a quantised operand: [`STEPS`] steps at a time become plain numbers, and these are packed.
fn put_quantised<K: Kernel, E: Element>(
    b: &QuantMatrix<'_>,
    [from, to]: [usize; 2],
    [k0, k1]: [usize; 2],
    packed: &mut [K::Packed],
    length: usize,
) {
    // As wide as the panels of the kernels that have a way of their own.
    let groups = [k0 / GROUP, k1.div_ceil(GROUP)];
    if b.is_turned
        && packed.len() == length
        && k0.is_multiple_of(GROUP)
        && K::pack_quantised(b.tensor, Piece { rows: [from, to], groups }, packed)
    {
        return;
    }
    const WIDTH: usize = STEPS + GROUP;
    const _: () = assert!(WIDTH >= 2 * GROUP);
    let mut plain = [E::default(); WIDTH * WIDTH];
    for first in (k0..k1).step_by(STEPS) {
        let end = k1.min(first + STEPS);
        // Groups lie along the columns of the tensor, and are unpacked whole.
        let (rows, cols) = if b.is_turned { ([from, to], [first, end]) } else { ([first, end], [from, to]) };
        let groups = [cols[0] / GROUP, cols[1].div_ceil(GROUP)];
        let stride = (groups[1] - groups[0]) * GROUP;
        if b.is_turned {
            // Rows are few bytes of many places, which no prefetcher of the CPU follows.
            b.tensor.will_read(Piece { rows: [to, to + PIECE], groups });
        }
        b.tensor.unpack(K::LEVEL, Piece { rows, groups }, &mut plain, stride);
        let matrix = Matrix::strided(&plain[cols[0] % GROUP..], rows[1] - rows[0], cols[1] - cols[0], stride);
        // `[n, k]`, as kernels pack it.
        let turned = if b.is_turned { matrix } else { matrix.t() };
        let steps = (end - first).next_multiple_of(K::K_PAD);
        for (panel, lane) in packed.chunks_mut(length.max(1)).zip((0..to - from).step_by(K::NR)) {
            K::pack_b(&turned, lane, to - from, &mut panel[(first - k0) * K::NR..][..steps * K::NR]);
        }
    }
}
