//! Trained tensors as one line of numbers, end to end in the order of their parameters: what ranks divide among
//! themselves, whatever the tensors are.

use std::ops::Range;

/// Where each tensor lies.
#[derive(Clone, Debug)]
pub struct Flat {
    /// The first number behind each.
    ends: Vec<usize>,
}

/// What a part of the line has of one tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Of the tensor.
    pub index: usize,
    /// Numbers of the tensor.
    pub inside: Range<usize>,
    /// The same, counted from where the part begins.
    pub at: Range<usize>,
}

impl Flat {
    /// Tensors of so many numbers.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let ends = lengths.into_iter().scan(0, |end, length| {
            *end += length;
            Some(*end)
        });
        Self { ends: ends.collect() }
    }

    /// Numbers altogether.
    pub fn len(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of a tensor; none of one that is not there.
    pub fn tensor(&self, index: usize) -> Range<usize> {
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).copied().unwrap_or(0);
        start..self.ends.get(index).copied().unwrap_or(start)
    }

    /// What `part` has of each tensor that it has numbers of, in their order.
    pub fn pieces(&self, part: Range<usize>) -> impl Iterator<Item = Piece> {
        let first = self.ends.partition_point(|end| *end <= part.start);
        let pieces = (first..self.ends.len()).map_while(move |index| {
            let tensor = self.tensor(index);
            let (start, end) = (tensor.start.max(part.start), tensor.end.min(part.end));
            let piece = |from: usize| start.saturating_sub(from)..end.saturating_sub(from);
            (tensor.start < part.end).then(|| Piece { index, inside: piece(tensor.start), at: piece(part.start) })
        });
        pieces.filter(|piece| !piece.inside.is_empty())
    }

    /// The numbers of a tensor, counted from its first, that `part` has.
    pub fn overlap(&self, index: usize, part: &Range<usize>) -> Range<usize> {
        let tensor = self.tensor(index);
        let (start, end) = (tensor.start.max(part.start), tensor.end.min(part.end));
        if start < end { start - tensor.start..end - tensor.start } else { 0..0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_at_tensors() {
        let flat = Flat::new([3, 0, 4, 1]);
        let found = |part| flat.pieces(part).map(|p| (p.index, p.inside, p.at)).collect::<Vec<_>>();
        assert_eq!(flat.len(), 8);
        assert_eq!(found(0..8), [(0, 0..3, 0..3), (2, 0..4, 3..7), (3, 0..1, 7..8)]);
        assert_eq!(found(2..5), [(0, 2..3, 0..1), (2, 0..2, 1..3)]);
        assert_eq!(found(4..6), [(2, 1..3, 0..2)]);
        assert!([0..0, 1..1, 3..3, 8..8].into_iter().all(|part| found(part).is_empty()));
        assert_eq!([0, 1, 2, 3].map(|i| flat.overlap(i, &(2..5))), [2..3, 0..0, 0..2, 0..0]);
        assert_eq!((flat.tensor(2), flat.tensor(9)), (3..7, 0..0));
    }
}
