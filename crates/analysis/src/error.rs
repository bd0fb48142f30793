//! Why an analysis has no answer.

/// The result of an analysis.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an analysis.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Results(#[from] tunebench_results::Error),
    #[error("no arm `{}` has judgements; the arms that do: {}", .arm.escape_debug(), .known.escape_debug())]
    UnknownArm { arm: String, known: String },
    #[error("`{}` and `{}` have no item that the same judge scored for both; nothing can be compared", .0.escape_debug(), .1.escape_debug())]
    NothingInCommon(String, String),
    #[error("the built-in figures of the paper: {0}")]
    Paper(#[from] toml::de::Error),
}
