//! Why a study cannot be submitted, or is not known to be.

use std::path::PathBuf;

/// A fault with what it is about and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value that no script can say, or no cluster can give.
    #[error("{what}: {fault}")]
    Value { what: String, fault: String },
    #[error("`{command}` is not on PATH; run this where Slurm's commands are, as a login node of the cluster")]
    NoCommand { command: &'static str },
    #[error("`{command}` cannot be run: {source}")]
    Start { command: &'static str, source: std::io::Error },
    #[error("`{command}` failed: {fault}")]
    Command { command: &'static str, fault: String },
    #[error("stage `{stage}` was not taken: {fault}; {before}")]
    Stage { stage: String, fault: Box<Error>, before: String },
    #[error(
        "{}: jobs of an earlier submission are not done: {jobs}; wait for them, or end them by `scancel {jobs}`", folder.display()
    )]
    Queued { folder: PathBuf, jobs: String },
    #[error("{}: nothing was submitted from here; `tunebench submit FILE --out {} --slurm` does", folder.display(), folder.display())]
    NotSubmitted { folder: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
}

impl Error {
    pub(crate) fn value(what: impl Into<String>, fault: impl Into<String>) -> Self {
        Self::Value { what: what.into(), fault: fault.into() }
    }
}
