//! Operands of attention's products: sizes rounded to what a kernel takes, and packing.

use crate::Element;
use crate::gemm::Matrix;
use crate::gemm::kernel::Kernel;

/// Steps of a packed panel.
pub fn round_up_k<K: Kernel>(k: usize) -> usize {
    k.next_multiple_of(K::K_PAD)
}

/// Steps of a sum, as a kernel takes them.
pub fn round_up_kstep<K: Kernel>(k: usize) -> usize {
    k.next_multiple_of(K::K_STEP)
}

/// Rows of whole tiles.
pub fn round_up_rows<K: Kernel>(rows: usize) -> usize {
    rows.next_multiple_of(K::MR)
}

/// Columns of whole tiles.
pub fn round_up_cols<K: Kernel>(cols: usize) -> usize {
    cols.next_multiple_of(K::NR)
}

/// Packs a `[rows, k]` matrix as a left operand, panels of `room` steps each (rounded to the kernel's padding).
pub fn pack_lhs<K: Kernel, E: Element>(
    matrix: Matrix<'_, E>,
    [rows, k]: [usize; 2],
    packed: &mut [K::Packed],
    room: usize,
) {
    let (stride, length) = (K::MR * round_up_k::<K>(room), K::MR * round_up_k::<K>(k));
    for (i, panel) in packed.chunks_mut(stride).take(rows.div_ceil(K::MR)).enumerate() {
        K::pack_a(&matrix, i * K::MR, rows, &mut panel[..length]);
    }
}

/// Packs the transpose of a right operand, `[columns, k]`; panels of `room` steps each (rounded to the padding).
pub fn pack_rhs<K: Kernel, E: Element>(
    matrix: Matrix<'_, E>,
    [columns, k]: [usize; 2],
    packed: &mut [K::Packed],
    room: usize,
) {
    let (stride, length) = (K::NR * round_up_k::<K>(room), K::NR * round_up_k::<K>(k));
    for (i, panel) in packed.chunks_mut(stride).take(columns.div_ceil(K::NR)).enumerate() {
        K::pack_b(&matrix, i * K::NR, columns, &mut panel[..length]);
    }
}
