//! What all layers of one pass share: masks, rotations, and what stands in front.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `s` keys, `n = b·t`, `d` hidden width, `h` heads, `r` how much of a
//! head is rotated.

use candle_core::Tensor;

use crate::Error;
use crate::reference::virtual_tokens::Prefix;
use crate::reference::weight::Pass;

/// What all layers of one pass share.
pub(crate) struct Context<'a> {
    pub pass: Pass<'a>,
    pub rows: usize,
    pub width: usize,
    /// None where positions are not rotary.
    pub rotation: Option<Rotation>,
    /// Broadcasts to `[b, h, t, s]`; and that of layers with a window, where there are any.
    pub mask: Tensor,
    pub window_mask: Option<Tensor>,
    /// What stands in front of the rows; none where a row goes on from a cache.
    pub prefix: Option<Prefix>,
}

/// Cosines and sines, `[t, r/2]` or `[b, t, r/2]`.
pub(crate) struct Rotation {
    pub global: [Tensor; 2],
    /// Those of layers with a window, where they have their own.
    pub local: Option<[Tensor; 2]>,
}

impl Rotation {
    pub fn of(&self, has_window: bool) -> &[Tensor; 2] {
        self.local.as_ref().filter(|_| has_window).unwrap_or(&self.global)
    }
}

impl Context<'_> {
    /// What the first layer takes, `[n, d]`, from the embeddings of all tokens.
    pub fn embedded(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.prefix.as_ref().map_or_else(|| Ok(x.clone()), |prefix| prefix.embedded(x, self.rows))
    }

    pub fn mask(&self, has_window: bool) -> &Tensor {
        self.window_mask.as_ref().filter(|_| has_window).unwrap_or(&self.mask)
    }
}
