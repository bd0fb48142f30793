//! What the numbers of a study say: tables, paired statistics and small plots, from the frames of a run folder.
//!
//! Every analysis returns [`Table`]s of plain data, which print to a terminal, as Markdown and as JSON. Columns are named
//! like those of the frames, units in names.
//!
//! - [`scores`]: the average of each arm and its scores by category (the paper's Tables 4 and 5)
//! - [`compare`]: two arms, paired by item, with interval, p-values and the smallest difference the data could show
//! - [`cost`], [`curves`], [`lengths`]: what it cost, how the loss fell, whether long answers score higher
//! - [`query`]: SQL, as a table
//! - [`paper`]: the figures of Sun et al. 2023
//! - [`statistics`]: the arithmetic, apart from any frame

pub mod compare;
pub mod cost;
pub mod curves;
pub mod error;
pub mod escape;
pub mod lengths;
pub mod paper;
pub mod query;
mod render;
mod run;
pub mod scores;
pub mod statistics;
pub mod table;

pub use compare::compare;
pub use cost::cost;
pub use curves::curves;
pub use error::{Error, Result};
pub use lengths::lengths;
pub use paper::paper;
pub use query::query;
pub use scores::scores;
pub use table::{Cell, Column, Table};
