//! What can go wrong while a study is watched.

use std::path::PathBuf;

/// Why a folder cannot be watched. A folder without a run, or with a damaged file, is no error: it is shown as what it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{}: no such folder; give the output folder of a study", path.display())]
    NoFolder { path: PathBuf },
    /// Not a terminal, or one that went away.
    #[error("the terminal cannot be used: {source}; print the state once instead")]
    Terminal { source: std::io::Error },
}
