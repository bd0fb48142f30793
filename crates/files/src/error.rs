//! What can go wrong with a file, and with which.

use std::path::{Path, PathBuf};

/// Why a file or a folder cannot be written or read. What to do about damage, only the caller can say.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    /// A file that is not the JSON it should be, or a value that has no JSON form.
    #[error("{}: damaged: {source}", path.display())]
    Json { path: PathBuf, source: serde_json::Error },
    /// A whole line, counted from 1, that is not the JSON it should be.
    #[error("{}:{line}: damaged: {source}", path.display())]
    Line { path: PathBuf, line: u64, source: serde_json::Error },
    #[error("{}: another process is writing to it; let it end first", path.display())]
    Locked { path: PathBuf },
}

impl Error {
    /// The file or folder it happened to.
    pub fn path(&self) -> &Path {
        match self {
            Self::Io { path, .. } | Self::Json { path, .. } | Self::Line { path, .. } | Self::Locked { path } => path,
        }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Json { path, source }
    }
}
