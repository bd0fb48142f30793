//! Some columns of wider rows: where heads lie, or the outputs of one weight among several.

/// Columns `first..first + count` of rows of `row` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowColumns {
    /// Numbers of a row.
    pub row: usize,
    pub first: usize,
    pub count: usize,
}

impl RowColumns {
    /// Whether the columns lie inside a row, and `length` numbers are whole rows.
    pub(super) fn fits(self, length: usize) -> bool {
        self.first + self.count <= self.row && (length == 0 || self.row > 0 && length.is_multiple_of(self.row))
    }

    /// Rows of `length` numbers.
    pub(super) fn rows(self, length: usize) -> usize {
        length / self.row.max(1)
    }

    /// Those of one row.
    #[inline(always)]
    pub(super) fn of<T>(self, row: &[T]) -> &[T] {
        &row[self.first..self.first + self.count]
    }

    /// Those of one row, to write.
    #[inline(always)]
    pub(super) fn of_mut<T>(self, row: &mut [T]) -> &mut [T] {
        &mut row[self.first..self.first + self.count]
    }
}

/// Some heads of each row, beside each other: columns `first..first + heads · head_dim` of rows of `row` numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadColumns {
    /// Numbers of a row.
    pub row: usize,
    /// The column with which the first head begins.
    pub first: usize,
    pub heads: usize,
    /// Numbers of a head.
    pub head_dim: usize,
}

impl HeadColumns {
    /// The same as plain columns.
    pub fn columns(self) -> RowColumns {
        RowColumns { row: self.row, first: self.first, count: self.heads * self.head_dim }
    }
}
