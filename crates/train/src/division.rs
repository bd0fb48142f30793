//! How the trained numbers of a model are divided among ranks: each owns a part of the line of them, whole chunks, and moves
//! those alone.

use std::ops::Range;

use tunebench_model::backend::Trainable;
use tunebench_model::flat::Flat;

/// Numbers of a chunk: what is added up by itself for the norm, whoever owns it.
pub(crate) const CHUNK: usize = 1 << 16;

/// Numbers of each part that are on their way at once.
pub(crate) const WINDOW: usize = 1 << 22;

/// Who owns what.
pub(crate) struct Division {
    flat: Flat,
    parts: Vec<Range<usize>>,
}

impl Division {
    /// Of a model, among so many ranks.
    pub fn new(model: &dyn Trainable, size: usize) -> Self {
        let flat = Flat::new(model.params().into_iter().map(|(_, dims)| dims.iter().product()));
        let chunks = flat.len().div_ceil(CHUNK);
        let border = |rank: usize| (rank * chunks / size * CHUNK).min(flat.len());
        let parts = (0..size).map(|rank| border(rank)..border(rank + 1)).collect();
        Self { flat, parts }
    }

    pub fn flat(&self) -> &Flat {
        &self.flat
    }

    /// What a rank owns.
    pub fn part(&self, rank: usize) -> Range<usize> {
        self.parts[rank].clone()
    }

    /// What a rank owns of a tensor.
    pub fn of_tensor(&self, rank: usize, index: usize) -> Range<usize> {
        let (part, tensor) = (&self.parts[rank], self.flat.tensor(index));
        let start = part.start.clamp(tensor.start, tensor.end);
        start..part.end.clamp(start, tensor.end)
    }

    /// Through all parts at once, some numbers of each at a time: what each window has of each rank's part.
    pub fn windows(&self) -> impl Iterator<Item = Vec<Range<usize>>> {
        let count = self.parts.iter().map(Range::len).max().unwrap_or(0).div_ceil(WINDOW);
        (0..count).map(|index| self.window(index))
    }

    fn window(&self, index: usize) -> Vec<Range<usize>> {
        let of = |part: &Range<usize>| {
            let start = (part.start + index * WINDOW).min(part.end);
            start..(start + WINDOW).min(part.end)
        };
        self.parts.iter().map(of).collect()
    }

    /// Chunks of each rank's part.
    pub fn chunks(&self) -> Vec<usize> {
        self.parts.iter().map(|part| part.len().div_ceil(CHUNK)).collect()
    }
}
