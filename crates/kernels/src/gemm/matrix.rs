//! Matrices in memory, as operands and results of products.

use crate::{Element, Store};

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
}

impl<E: Element> Matrix<'_, E> {
    /// Its numbers, row after row.
    pub fn to_f32(&self) -> Vec<f32> {
        let at = |i: usize, j: usize| self.data[i * self.row_stride + j * self.col_stride].to_f32();
        (0..self.rows).flat_map(|i| (0..self.cols).map(move |j| at(i, j))).collect()
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

    /// Sets or adds `values`, row after row.
    pub fn put(&mut self, values: &[f32], store: Store) {
        assert!(values.len() == self.rows * self.cols, "values that do not fill the matrix");
        for (row, values) in self.data.chunks_mut(self.stride).zip(values.chunks(self.cols.max(1))) {
            for (to, from) in row.iter_mut().zip(values) {
                let before = if store == Store::Add { to.to_f32() } else { 0.0 };
                *to = E::from_f32(before + from);
            }
        }
    }
}

fn fits(length: usize, rows: usize, cols: usize, stride: usize) -> bool {
    cols <= stride && (rows == 0 || cols == 0 || (rows - 1) * stride + cols <= length)
}
