//! The judge contract: one pure step at a time.

use serde::de::DeserializeOwned;

use crate::{ChatReply, Error, Example, JudgeStep, Result};

/// Scores answers, or compares two of them. A judge is a pure function: it is called with the replies so far and says
/// what to do next, so that the host can replay old replies without paying again. One that needs no chat model answers at
/// once.
///
/// A judge writes [`Judge::step`] to score one answer at a time, or says [`Judge::COMPARES`] and writes
/// [`Judge::compare`]; never both.
pub trait Judge: Sized + Send + Sync + 'static {
    /// The name studies use.
    const NAME: &'static str;
    /// One line for lists.
    const DESCRIPTION: &'static str;
    /// Whether it compares two answers to the same item, by [`Judge::compare`], where others score one. Since API 1.2;
    /// an older host cannot use such a judge.
    const COMPARES: bool = false;
    /// What a study may set. Derive `Deserialize` with `deny_unknown_fields`, so that a typo is an error.
    type Options: DeserializeOwned;

    /// # Errors
    /// When the options make no sense.
    fn new(options: Self::Options) -> Result<Self>;

    /// The next step for `answer` to `item`, given the replies so far (none at first).
    ///
    /// # Errors
    /// Only for faults of the judge itself; an answer that cannot be scored is [`JudgeStep::Unscored`].
    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        let _ = (item, answer, replies);
        Err(Error::new("this judge does not write `step`, which scores an answer"))
    }

    /// The next step of comparing two answers to `item`, given the replies so far. The score says how much better
    /// `answers[0]` is: 1 it wins, 0.5 a tie, 0 it loses. The host asks in both orders, so leave the order as it is given.
    /// Since API 1.2.
    ///
    /// # Errors
    /// As [`Judge::step`].
    fn compare(&self, item: &Example, answers: [&str; 2], replies: &[ChatReply]) -> Result<JudgeStep> {
        let _ = (item, answers, replies);
        Err(Error::new("this judge does not write `compare`, which compares two answers"))
    }
}
