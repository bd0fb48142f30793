//! What an arm's training starts from; and the base that the last piece of work was over, kept for the next one over the same,
//! so that its files are read, quantised and packed once.

use serde::{Deserialize, Serialize};
use tunebench_model::{Tuning, Weights};
use tunebench_spec::Decoder;

use crate::error::StudyError;
use crate::model_files::ModelFiles;

/// What an arm's training starts from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Base {
    /// Weights in files, whose content the identity names.
    Files { files: ModelFiles, identity: String },
    /// Fresh weights.
    Init { seed: u64 },
    /// Another arm of the same run folder.
    Arm { identity: String },
}

impl Base {
    /// Whether files still have the content that they are named by.
    ///
    /// # Errors
    /// [`StudyError::BaseChanged`] when they have not, or when they cannot be read.
    pub fn check(&self) -> Result<(), StudyError> {
        match self {
            Self::Files { files, identity } if files.identity()? != *identity => {
                Err(StudyError::BaseChanged { files: files.to_string() })
            }
            Self::Files { .. } | Self::Init { .. } | Self::Arm { .. } => Ok(()),
        }
    }
}

/// One base at most, with what the engine has made of it.
#[derive(Default)]
pub struct SharedBase {
    /// Whether what is opened now stays.
    keeps: bool,
    held: Option<Held>,
}

struct Held {
    base: Base,
    shape: Decoder,
    weights: Weights,
    /// What an adapter of a base model has that cannot be folded in.
    tuning: Tuning,
}

impl SharedBase {
    /// Nothing yet, and nothing that is opened stays.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether the next piece of work leaves its base for those after it. One that does not needs the memory: it takes what is
    /// held, and what was made of that goes.
    pub fn set_keeps(&mut self, keeps: bool) {
        self.keeps = keeps;
    }

    /// This base, if it is held: a copy, or itself where nothing stays.
    pub fn find(&mut self, base: &Base, shape: &Decoder) -> Option<(Weights, Tuning)> {
        let is_it = |held: &Held| held.base == *base && held.shape == *shape;
        if self.keeps {
            let held = self.held.as_ref().filter(|held| is_it(held))?;
            return Some((held.weights.clone(), held.tuning.clone()));
        }
        let held = self.held.take_if(|held| is_it(held))?;
        Some((held.weights.unkept(), held.tuning))
    }

    /// Lets go of what is held, unless it is this base.
    pub fn hold_only(&mut self, base: &Base, shape: &Decoder) {
        self.held.take_if(|held| held.base != *base || held.shape != *shape);
    }

    /// Lets go of what is held: memory is needed for something else.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// What is held, for a single use.
    pub fn once(&mut self) -> Self {
        Self { keeps: false, held: self.held.take() }
    }

    /// Holds a base that was opened, where it is to stay.
    pub fn keep(&mut self, base: &Base, shape: &Decoder, weights: Weights, tuning: &Tuning) -> Weights {
        if !self.keeps {
            return weights;
        }
        let (base, shape, weights) = (base.clone(), shape.clone(), weights.kept());
        self.held = Some(Held { base, shape, weights: weights.clone(), tuning: tuning.clone() });
        weights
    }
}
