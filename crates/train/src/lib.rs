//! Training: a plan, examples and a recipe become trained values, with a checkpoint to go on from and a log of steps.
//!
//! - [`train`]: the loop: batches, gradients, clipping, AdamW, schedule
//! - [`batches`]: which examples make a step, and the micro-batches in which they are computed
//! - [`checkpoint`]: what is kept on disk, whole or not at all
//! - [`peft`]: a trained LoRA as a PEFT folder
//!
//! Everything drawn at random depends on the seed, the step and the index within it alone, so a run that was killed and goes on
//! from its checkpoint yields the bytes of one that was not.

pub mod batches;
pub mod checkpoint;
mod error;
mod packing;
pub mod peft;
mod run;

pub use checkpoint::{load_result, steps};
pub use error::Error;
pub use run::{Job, Outcome, train};
