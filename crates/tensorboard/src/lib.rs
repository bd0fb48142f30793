//! Training logs as the event files that TensorBoard reads, under the tags that Hugging Face's trainer gives them.
//!
//! The same logs are the same bytes: times are the caller's start and the seconds that the logs say. So a file that
//! still holds the beginning of what belongs into it is gone on with, and everything else is written anew; nothing in
//! an event file needs to survive a kill, because the logs that it is made of do.
//!
//! ```
//! use tunebench_spec::StepLog;
//! use tunebench_tensorboard::TrainingEvents;
//!
//! fn go_on(folder: &std::path::Path, logged: &[StepLog], next: &StepLog) -> Result<(), tunebench_tensorboard::Error> {
//!     let recipe = ("recipe".to_owned(), "2e-4, four epochs".to_owned());
//!     let mut events = TrainingEvents::begin(folder, 1_700_000_000.0, logged, &[], &[recipe])?;
//!     events.step(next) // after each optimizer step
//! }
//! ```

mod error;
mod event;
mod event_file;
mod record;
mod training;

pub use error::Error;
pub use event_file::{EventFile, Opened};
pub use training::{Loss, TrainingEvents, write_training};
