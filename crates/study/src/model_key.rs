//! Which model work is done for: a base model as it came, or one training of an arm.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A base model, or a training of an arm: by arm, grid candidate and seed, as the frames have it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ModelKey {
    /// Name of the arm, or id of the base model.
    pub arm: String,
    /// The values that a grid gave it; empty without a grid.
    pub candidate: String,
    /// Of the training; of a base model that of the study.
    pub seed: u64,
    /// Which of the arm's trainings it is, from 1, and out of how many.
    pub number: u32,
    pub of: u32,
}

impl ModelKey {
    /// A model that there is once.
    pub fn single(arm: &str, seed: u64) -> Self {
        Self { arm: arm.to_owned(), candidate: String::new(), seed, number: 1, of: 1 }
    }
}

/// `arm`, with ` [learning_rate=0.0002]` where a grid gave it values, and ` (seed 2 of 3)` where it is trained more than once.
impl fmt::Display for ModelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.arm)?;
        if !self.candidate.is_empty() {
            write!(f, " [{}]", self.candidate)?;
        }
        if self.of > 1 {
            write!(f, " (seed {} of {})", self.number, self.of)?;
        }
        Ok(())
    }
}
