//! Why a model is not exported.

use std::path::PathBuf;

/// Messages name the folder or the tensor, and say what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: it {what}, which an export would write over; name a folder that is not there yet", path.display())]
    Source { path: PathBuf, what: String },
    #[error("{}: it is not empty; name a folder that is not there yet, or remove what is in it", path.display())]
    NotEmpty { path: PathBuf },
    #[error("{}: it is {what}; name a folder that is not there yet", path.display())]
    NoFolder { path: PathBuf, what: String },
    /// What was written, or folded, computes another model. Nothing is left of it.
    #[error("{what}: {fault}; nothing was exported, and this is a fault of tunebench or of the tuner")]
    Differs { what: &'static str, fault: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
}

impl Error {
    /// For `map_err` on file operations.
    pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }
}
