//! What can go wrong with a run folder, each with the file it happened to and what to do.

use std::path::PathBuf;

/// The result of reading, writing or querying frames.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error about a run folder or one of its files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} is not a run folder; give the folder that a study wrote", .0.display())]
    NotAFolder(PathBuf),
    #[error("{}: there is no such file; run the study to write it", .0.display())]
    Missing(PathBuf),
    /// A frame that cannot be written.
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{}: not a readable Parquet file ({why}); run the study again to rewrite it", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{}: written by another program, or damaged: its metadata has no `{key}`; run the study again to rewrite it", path.display())]
    Foreign { path: PathBuf, key: &'static str },
    #[error("{}: format version {found} is newer than {known}, the newest this tunebench reads; update tunebench", path.display())]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error(
        "{}: format version {found}, this tunebench reads {known}: written by an earlier tunebench; run the study again to write \
         them anew, nothing that is finished is trained again", path.display()
    )]
    Older { path: PathBuf, found: u32, known: u32 },
    #[error("{}: format version is `{found}`, which is not a version; run the study again to rewrite it", path.display())]
    BadVersion { path: PathBuf, found: String },
    #[error("{}: column `{column}` is missing; run the study again to rewrite it", path.display())]
    MissingColumn { path: PathBuf, column: &'static str },
    #[error("{}: column `{column}` {why}; run the study again to rewrite it", path.display())]
    BadColumn { path: PathBuf, column: &'static str, why: String },
    #[error("{}: cannot be encoded as Parquet: {why}", path.display())]
    Encode { path: PathBuf, why: String },
    #[error("category `{0}` in the judgements has the name of an average; rename it in the evaluation data")]
    ReservedCategory(String),
    /// A line of the file of marks that is none.
    #[error("{0}; mend or remove that line")]
    Label(tunebench_files::Error),
    #[error("{}:{line}: the mark {score} is not from 0 to 1; mend or remove that line", path.display())]
    LabelRange { path: PathBuf, line: usize, score: f64 },
    #[error("query: {why}\n{tables}")]
    Query { why: String, tables: String },
}
