//! Causal self-attention over packed sequences (varlen), forward and backward, without a matrix of all scores; and that
//! of new tokens against a cache.
//!
//! Scores are computed transposed, a strip of queries against a block of keys, so that the softmax runs down columns:
//! everything about a query is a lane of a vector (the online softmax of Dao et al. 2022, "FlashAttention"). The
//! backward pass recomputes the strips from the log-sum-exp of each query.
//!
//! Blocks begin where a sequence begins and are summed in an order that depends on the sequence alone. So a sequence's
//! results are the same bytes whatever stands beside it, and however many threads work.
//!
//! Read [`forward()`] and [`backward()`] for the loops, `score_tile` and `score_shape` for what a score is, `kernel` for
//! what each level does between two products.

mod backward;
mod decode;
mod dots;
mod forward;
mod heads;
mod kernel;
mod kv_blocks;
mod operands;
mod score_shape;
mod score_tile;
mod softmax;

pub use backward::{Saved, backward};
pub use decode::{PagedCache, decode};
pub use forward::forward;
pub use heads::{AttentionSpec, Heads, KeyBias};
pub use kernel::BLOCK;
