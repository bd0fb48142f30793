//! Checks for an author's own tests: whether a plugin keeps its contract, without the host and without a model.
//!
//! | what | check |
//! |---|---|
//! | a tuner | [`check_tuner`] plans for a tiny model, records every site and computes it: shapes, gradients, merge |
//! | a dataset | [`read_rows`] reads texts in memory, and goes on from every position |
//! | a judge | [`judge`] plays a conversation with given replies, [`judge_replies`] with all that a reply can hold |
//! | a judge of two answers | [`compare`] does so with both |
//!
//! Each calls what the host would call, with options as a study gives them, and fails by one [`Error`] that says
//! where, what, and what was expected. The front page of this crate has an example of each.

mod array;
mod backward;
mod dataset;
mod evaluate;
mod forward;
mod graph;
mod judge;
mod maths;
mod model;
mod op;
mod plan;
mod random;
mod shapes;
mod site;
mod tuner;
mod virtual_tokens;

pub use array::Array;
pub use dataset::read_rows;
pub use evaluate::{Evaluation, Values, evaluate};
pub use judge::{JudgeRun, compare, judge, judge_replies};
pub use model::tiny_model;
pub use tuner::{TunerReport, check_tuner, check_tuner_on};

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, Result};

/// Options as the host reads them: from the JSON of a study's table.
fn options<T: DeserializeOwned>(given: &Value) -> Result<T> {
    serde_json::from_value(given.clone()).map_err(|e| Error::new(format!("options: {e}")))
}
