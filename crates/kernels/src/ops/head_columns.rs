//! Attention heads where they lie: some columns of wider rows.

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
    /// Numbers of a row's heads together.
    pub(super) fn width(self) -> usize {
        self.heads * self.head_dim
    }

    /// Whether the columns lie inside a row, and `length` numbers are whole rows.
    pub(super) fn fits(self, length: usize) -> bool {
        self.first + self.width() <= self.row && (length == 0 || self.row > 0 && length.is_multiple_of(self.row))
    }

    /// The heads of one row.
    #[inline(always)]
    pub(super) fn of<T>(self, row: &[T]) -> &[T] {
        &row[self.first..self.first + self.width()]
    }

    /// The heads of one row, to write.
    #[inline(always)]
    pub(super) fn of_mut<T>(self, row: &mut [T]) -> &mut [T] {
        &mut row[self.first..self.first + self.width()]
    }
}
