//! Everything that can go wrong with a model: its files, its weights, its forward pass.

use std::path::{Path, PathBuf};

use tunebench_spec::decoder::ConfigError;

/// Why a model cannot be opened, read, run or written. Messages name the file, and the tensor where one is at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is written.
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not found; {hint}", path.display())]
    NotFound { path: PathBuf, hint: String },
    #[error("{}: {source}", path.display())]
    Config { path: PathBuf, source: ConfigError },
    /// The bytes contradict the format.
    #[error("{}: damaged or cut short: {fault}; fetch or convert it again", path.display())]
    Corrupt { path: PathBuf, fault: String },
    /// The file is sound, but asks for what is not built.
    #[error("{}: {what}", path.display())]
    Unsupported { path: PathBuf, what: String },
    #[error("`{weight}` cannot be quantised: {fault}")]
    Quantise { weight: String, fault: String },
    #[error("{place}: tensor `{name}` is missing; expected shape {expected:?}")]
    Missing { place: String, name: String, expected: Vec<usize> },
    #[error("{place}: tensor `{name}` has shape {found:?}, expected {expected:?}")]
    Shape { place: String, name: String, expected: Vec<usize>, found: Vec<usize> },
    /// Ignoring it would quietly compute another model.
    #[error("{place}: tensor `{name}` of shape {found:?} has no place in this architecture")]
    Unexpected { place: String, name: String, found: Vec<usize> },
    #[error("{place}: tensor `{name}` is of type {found}; supported: {supported}")]
    Type { place: String, name: String, found: String, supported: String },
    /// A weight of a file, a trained one too.
    #[error(
        "{}: tensor `{name}` has the number {number}; the weights are damaged, or the training that made them diverged",
        path.display()
    )]
    NotFinite { path: PathBuf, name: String, number: f32 },
    #[error("{}: {fault}", path.display())]
    Tokenizer { path: PathBuf, fault: String },
    #[error("the tuning plan does not fit the model at `{weight}`: {fault}")]
    Plan { weight: String, fault: String },
    /// Recorded graphs, perhaps from a damaged file.
    #[error("the recorded maths at `{weight}` cannot be run: {fault}")]
    Graph { weight: String, fault: String },
    /// A backward pass through a model that keeps its weights for the forward pass alone.
    #[error("the model was packed to answer only; build it anew to train it")]
    AnswersOnly,
    /// Tokens that the model cannot take.
    #[error("{0}")]
    Batch(String),
    #[error("the gradient of `{name}` is not finite; lower the learning rate")]
    BadGradient { name: String },
    #[error("no gradient reaches `{name}`: the tuner trains it, but its maths does not use it")]
    NoGradient { name: String },
    /// Where ranks divide the numbers of trained tensors.
    #[error("not all numbers of trained tensor {index} are with this rank; this is a fault of tunebench")]
    OtherRanks { index: usize },
    #[error("a thread of the training step panicked; this is a fault of tunebench")]
    ThreadPanicked,
    /// A graphics card that is not there, or whose driver does not answer.
    #[error("graphics card {ordinal} cannot be used: {source}; `nvidia-smi -L` lists the cards that there are, from 0")]
    Card { ordinal: usize, source: Box<candle_core::Error> },
    #[error(transparent)]
    Level(#[from] tunebench_kernels::LevelError),
    #[error("tensor operation failed: {0}")]
    Candle(#[from] candle_core::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn corrupt(path: &Path, fault: impl Into<String>) -> Self {
        Self::Corrupt { path: path.to_path_buf(), fault: fault.into() }
    }

    pub(crate) fn unsupported(path: &Path, what: impl Into<String>) -> Self {
        Self::Unsupported { path: path.to_path_buf(), what: what.into() }
    }

    pub(crate) fn tokenizer(path: &Path, fault: impl Into<String>) -> Self {
        Self::Tokenizer { path: path.to_path_buf(), fault: fault.into() }
    }
}
