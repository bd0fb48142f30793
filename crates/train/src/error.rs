//! What can go wrong while training.

use std::path::{Path, PathBuf};

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error(transparent)]
    Level(#[from] tunebench_kernels::LevelError),
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: damaged: {fault}; delete the folder that holds it to train again", path.display())]
    Damaged { path: PathBuf, fault: String },
    #[error("nothing to train: the plan freezes every weight")]
    NothingTrained,
    #[error("nothing to train on: no example has a label token")]
    NoLabels,
    #[error("step {step}: the loss is {loss}; lower the learning rate or look at the data (tunebench labels)")]
    Diverged { step: u64, loss: f64 },
    #[error("step {step}: the gradient of `{name}` is not finite; lower the learning rate")]
    BadGradient { step: u64, name: String },
    #[error("no gradient reaches `{name}`: the tuner trains it, but its maths does not use it")]
    NoGradient { name: String },
    #[error("a thread of the training step panicked; this is a fault of tunebench")]
    ThreadPanicked,
    #[error("not an adapter that PEFT knows: {0}")]
    NotPeft(String),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, fault: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), fault: fault.to_string() }
    }
}
