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
    #[error("nothing is judged yet, so there is nothing to compare; run the study to its end")]
    NothingJudged,
    #[error("no judge of this run compares two answers; add one as [[eval.panel]], or with `tunebench judge`")]
    NothingCompared,
    #[error("no judge is named `{}`; the judges are: {}", .judge.escape_debug(), .known.escape_debug())]
    UnknownJudge { judge: String, known: String },
    #[error("{}", .0)]
    OtherKinds(String),
    #[error("`{}` is compared with itself; name two arms", .0.escape_debug())]
    SameArm(String),
    #[error("no item was scored by the same judge for all of: {}; nothing can be compared", .0.escape_debug())]
    NothingInCommon(String),
    /// `rows` names the arms, each with the number of its rows.
    #[error(
        "judgements by `{}` do not say which {what} they are of ({}), so they cannot be paired; judge again with `tunebench study`",
        .judge.escape_debug(), .rows.escape_debug()
    )]
    Unidentified { judge: String, what: &'static str, rows: String },
    #[error(
        "`{}` judged the same items by another model, options or rubric for some answers than for the rest ({}): these scores \
         do not measure the same; judge again with `tunebench study`, or compare only arms that were judged alike",
        .judge.escape_debug(), .rows.escape_debug()
    )]
    MixedJudges { judge: String, rows: String },
    #[error(
        "the same items were asked with another prompt or other generation settings for some answers than for the rest ({}): \
         these answers are not comparable; answer and judge again with `tunebench study`, or compare only arms that were asked alike",
        .rows.escape_debug()
    )]
    MixedPrompts { rows: String },
    #[error(
        "the {set} losses were measured on different text ({}), so they cannot be compared; measure again with `tunebench study`",
        .rows.escape_debug()
    )]
    MixedTexts { set: String, rows: String },
    #[error("the margin is {0}; give a difference of scores above 0 and below 1, such as 0.02")]
    BadMargin(f64),
    #[error("the scores cannot be compared: {0}")]
    Statistics(Box<tunebench_statistics::Error>),
    #[error("the built-in figures of the paper: {0}")]
    Paper(#[from] toml::de::Error),
}

impl From<tunebench_statistics::Error> for Error {
    fn from(error: tunebench_statistics::Error) -> Self {
        Self::Statistics(Box::new(error))
    }
}
