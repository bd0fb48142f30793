//! Why a model cannot answer chat requests.

use std::path::PathBuf;

/// What went wrong, where, and what to do. What fails one request alone is its [`tunebench_chat::Failure`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error("{model}: {source}")]
    Dataset { model: String, source: tunebench_dataset::Error },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{model} has no name by content: {source}")]
    Identity { model: String, source: serde_json::Error },
    #[error(
        "{model} brings no chat template, so how its conversations are written is not known; name the template that it was \
         tuned with, e.g. template = \"chatml\". There are: {known}"
    )]
    NoTemplate { model: String, known: String },
    #[error("{model}: its chat template cannot be used: {fault}; name another, one of: {known}")]
    Template { model: String, fault: String, known: String },
    #[error("{model} takes {needed} to answer, and this process may have {limit}; take a smaller model")]
    Memory { model: String, needed: String, limit: String },
}
