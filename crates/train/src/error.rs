//! What can go wrong while training.

use std::path::{Path, PathBuf};

/// Why training cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
    /// Tokens that cannot be read.
    #[error(transparent)]
    Dataset(#[from] tunebench_dataset::Error),
    #[error(transparent)]
    Files(tunebench_files::Error),
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
    #[error(
        "nothing is held out: early_stopping_patience and load_best_model_at_end go by the loss on the set `{}`, which this \
         training does not have; hold examples out, or turn both off",
        tunebench_spec::records::HELD_OUT
    )]
    NoHeldOut,
    #[error("the loss on the set `{set}` cannot be measured: {fault}")]
    HeldOut { set: String, fault: &'static str },
    #[error("the loss on the set `{set}` is {loss}: the model has diverged; lower the learning rate")]
    HeldOutDiverged { set: String, loss: f64 },
    /// Steps cannot be taken back.
    #[error(
        "{}: {done} steps are done, and the held-out loss was not measured after step {until}, where the training is to \
         stop; delete the folder to train again",
        dir.display()
    )]
    PastStop { dir: PathBuf, done: u64, until: u64 },
    /// Between ranks.
    #[error(transparent)]
    Exchange(#[from] tunebench_exchange::Error),
    #[error("what ranks compare cannot be written: {0}; this is a fault of tunebench")]
    Compared(serde_json::Error),
    /// What the first of several ranks found, which it has told the others.
    #[error(transparent)]
    ToldToAll(Box<Self>),
    /// As the others hear it.
    #[error("{0}")]
    OfFirst(String),
}

/// A file of ours that is not what we wrote is damaged: the folder's remedy is said with it.
impl From<tunebench_files::Error> for Error {
    fn from(error: tunebench_files::Error) -> Self {
        use tunebench_files::Error::{Json, Line};
        match error {
            Json { path, source } => Self::damaged(&path, source),
            Line { path, line, source } => Self::damaged(&path, format!("line {line}: {source}")),
            error => Self::Files(error),
        }
    }
}

impl Error {
    /// Whether the numbers of the training ran away, as they would again.
    pub fn is_divergence(&self) -> bool {
        use tunebench_model::Error::NotFinite; // of a checkpoint: what trains is given the model's weights
        if let Self::ToldToAll(error) = self {
            return error.is_divergence();
        }
        matches!(
            self,
            Self::Diverged { .. }
                | Self::BadGradient { .. }
                | Self::HeldOutDiverged { .. }
                | Self::Model(NotFinite { .. })
        )
    }

    /// Whether all ranks come to it by themselves, so that none waits for another.
    pub fn is_of_all_ranks(&self) -> bool {
        use tunebench_model::Error::NoGradient;
        matches!(
            self,
            Self::ToldToAll(_)
                | Self::OfFirst(_)
                | Self::NothingTrained
                | Self::NoLabels
                | Self::NoHeldOut
                | Self::HeldOut { .. }
                | Self::Diverged { .. }
                | Self::BadGradient { .. }
                | Self::HeldOutDiverged { .. }
                | Self::Model(NoGradient { .. })
                | Self::Exchange(tunebench_exchange::Error::Differs { .. })
        )
    }

    /// What a backend says of a step (from 1), with its number where the reader would ask for it.
    pub(crate) fn in_step(step: u64, error: tunebench_model::Error) -> Self {
        match error {
            tunebench_model::Error::BadGradient { name } => Self::BadGradient { step, name },
            error => Self::Model(error),
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn damaged(path: &Path, fault: impl ToString) -> Self {
        Self::Damaged { path: path.to_owned(), fault: fault.to_string() }
    }
}
