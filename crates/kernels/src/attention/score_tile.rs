//! A tile of scores, a strip of queries against a block of keys, and what the softmax keeps of each query.

use super::heads::AttentionSpec;

/// How a tile of scores, `[keys, queries]`, is read; a query is a lane.
/// What a score is made of beside its product and its scale is put into the tile before (`score_shape`).
#[derive(Clone, Copy, Debug)]
pub struct ScoreTile {
    pub keys: usize,
    /// Query `l` sees the keys up to `last + l`, and of those the last `window`.
    pub last: usize,
    pub window: usize,
    /// The scale of scores, times log2(e).
    pub factor: f32,
}

impl ScoreTile {
    /// The tile of the keys `first..first + keys` and the queries from `query` on, counted from their sequence's
    /// beginning. Its last query sees none of the keys after the tile's.
    pub fn new(spec: &AttentionSpec, keys: usize, first: usize, query: usize) -> Self {
        Self { keys, last: query - first, window: spec.window.unwrap_or(usize::MAX), factor: spec.factor() }
    }

    /// How many of the first keys are outside the window of one of `queries` queries.
    #[inline(always)]
    pub fn outside_window(&self, queries: usize) -> usize {
        (self.last + queries).saturating_sub(self.window)
    }
}

/// What is known of a strip's queries so far.
pub struct OnlineSoftmax<'a> {
    /// The largest score, before scaling.
    pub max: &'a mut [f32],
    /// Exponentials summed.
    pub sum: &'a mut [f32],
    /// What earlier sums have to be multiplied by.
    pub rescale: &'a mut [f32],
}
