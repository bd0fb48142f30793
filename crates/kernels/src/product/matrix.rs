//! Matrices in memory, as operands and results of products.

use crate::Element;

/// A matrix to read: element `(i, j)` lies at `i·row_stride + j·col_stride`, and one of the strides is 1.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a, E> {
    pub(super) data: &'a [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) row_stride: usize,
    pub(super) col_stride: usize,
}

impl<'a, E: Element> Matrix<'a, E> {
    /// Row-major, `[rows, cols]`.
    pub fn new(data: &'a [E], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Row-major, rows `stride` apart: some columns of a wider matrix whose first wanted element is `data[0]`.
    pub fn strided(data: &'a [E], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, stride), "a matrix larger than its data");
        Self { data, rows, cols, row_stride: stride, col_stride: 1 }
    }

    /// Transposed; nothing is moved.
    pub fn t(self) -> Self {
        let Self { data, rows, cols, row_stride, col_stride } = self;
        Self { data, rows: cols, cols: rows, row_stride: col_stride, col_stride: row_stride }
    }

    /// Columns `from..to`.
    pub(super) fn columns(self, from: usize, to: usize) -> Self {
        Self { data: &self.data[(from * self.col_stride).min(self.data.len())..], cols: to - from, ..self }
    }

    /// Rows `from..to`.
    pub(super) fn columns_of_rows(self, from: usize, to: usize) -> Self {
        self.t().columns(from, to).t()
    }
}

/// A matrix to write, row-major.
#[derive(Debug)]
pub struct MatrixMut<'a, E> {
    pub(super) data: &'a mut [E],
    pub(super) rows: usize,
    pub(super) cols: usize,
    pub(super) stride: usize,
}

impl<'a, E: Element> MatrixMut<'a, E> {
    /// `[rows, cols]`.
    pub fn new(data: &'a mut [E], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows `stride` apart: some columns of a wider matrix whose first wanted element is `data[0]`.
    pub fn strided(data: &'a mut [E], rows: usize, cols: usize, stride: usize) -> Self {
        assert!(fits(data.len(), rows, cols, stride), "a matrix larger than its data");
        Self { data, rows, cols, stride }
    }
}

fn fits(length: usize, rows: usize, cols: usize, stride: usize) -> bool {
    cols <= stride && (rows == 0 || cols == 0 || (rows - 1) * stride + cols <= length)
}

/// What becomes of the values that were there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// They are replaced.
    Set,
    /// The product is added to them.
    Add,
}
