//! The product of a study: its records as Parquet files that any Parquet reader opens.
//!
//! A run folder holds one file per frame: `arms`, `steps`, `losses`, `receipts`, `generations`, `judgements`, `probes`, and `scores`, which
//! is derived from the judgements. Each frame's columns are declared once, in [`frames`]; the file's metadata carries the format
//! version and what each column means. [`Frames::query`] answers SQL over all of them.
//!
//! - [`column`]: how a field of a record becomes a column and comes back
//! - [`frames`]: the declared columns of each frame
//! - [`brief`]: rows of two of them without their words
//! - [`labels`]: people's marks of answers, beside the frames
//! - [`scores`]: the derived frame: what each arm scored in each category
//! - [`win_rates`]: a score of each answer from verdicts on two of them
//! - [`store`]: the files
//! - [`seal`]: how damage to them is found
//! - [`query`]: SQL over the frames

pub mod brief;
pub mod column;
pub mod error;
pub mod frames;
pub mod labels;
pub mod query;
pub mod scores;
pub mod seal;
pub mod store;
pub mod win_rates;

pub use brief::{BriefGeneration, BriefJudgement, ServedJudgement};
pub use column::{ColumnSpec, Record};
pub use error::{Error, Result};
pub use frames::{FRAMES, Frame};
pub use labels::{LABELS_FILE, read_labels};
pub use scores::{ItemKey, ItemScore, MACRO_AVERAGE, MICRO_AVERAGE, ScoreRow, derive_scores, item_scores};
pub use store::{
    FORMAT_VERSION, Frames, write_arms, write_generations, write_judgements, write_losses, write_probes,
    write_receipts, write_steps,
};
