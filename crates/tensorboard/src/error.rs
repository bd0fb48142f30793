//! What can go wrong with an event file, and with which.

use std::path::{Path, PathBuf};

/// Why an event file cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    /// More than a torn last record, all that a kill can leave.
    #[error(
        "{}: damaged at byte {at}, where no whole record begins; delete the file, it is made of the logs again",
        path.display()
    )]
    Damaged { path: PathBuf, at: u64 },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
