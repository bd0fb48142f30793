//! Training: a plan, examples and a recipe become trained values, with a checkpoint to go on from and a log of steps.
//!
//! - [`train`]: the loop: batches, gradients, clipping, AdamW, schedule; [`train_in_ranks`]: the same by several processes,
//!   with the same bytes (`sums.rs` says why)
//! - [`measure`]: losses on examples that are held out, of a model in training or of one as it is; what they decide of
//!   the training, its end and its best state, is in `stopping.rs`
//! - [`batches`]: which examples make a step, and the micro-batches in which they are computed
//! - [`checkpoint`]: what is kept on disk, whole or not at all
//! - [`receipt`](fn@receipt): whether what is to move does move, and nothing else
//!
//! Everything drawn at random depends on the seed, the step and the index within it alone, so a run that was killed and goes on
//! from its checkpoint yields the bytes of one that was not.

pub mod batches;
pub mod checkpoint;
mod divided;
mod division;
mod error;
mod greeting;
mod held_out;
mod job;
mod loss_log;
mod packing;
mod probe;
mod ranks;
mod receipt;
mod run;
mod start;
mod stopping;
mod sums;

pub use checkpoint::{kept_step, load_plan, load_result, steps, steps_done};
pub use error::Error;
pub use held_out::{HeldOut, SetLoss, measure};
pub use job::{Job, OnProgress, Outcome, Progress};
pub use loss_log::losses;
pub use receipt::receipt;
pub use run::{train, train_in_ranks};
pub use sums::lanes_memory;
