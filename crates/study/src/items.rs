//! How much a study asks, for those who reckon with it.

use serde::Serialize;

/// What the models of a study are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Items {
    /// Items that the judge can score at all, and their categories.
    pub scorable: usize,
    pub categories: usize,
    /// Judgements of each answer.
    pub repeats: usize,
}
