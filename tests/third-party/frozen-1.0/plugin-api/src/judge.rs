//! The judge contract: one pure step at a time.

use serde::de::DeserializeOwned;

use crate::{ChatReply, Example, JudgeStep, Result};

/// Scores answers. A judge is a pure function: it is called with the replies so far and says what to do next, so
/// that the host can replay old replies without paying again. One that needs no chat model answers at once.
pub trait Judge: Sized + Send + Sync + 'static {
    /// The name studies use.
    const NAME: &'static str;
    /// One line for lists.
    const DESCRIPTION: &'static str;
    /// What a study may set. Derive `Deserialize` with `deny_unknown_fields`, so that a typo is an error.
    type Options: DeserializeOwned;

    /// # Errors
    /// When the options make no sense.
    fn new(options: Self::Options) -> Result<Self>;

    /// The next step for `answer` to `item`, given the replies so far (none at first).
    ///
    /// # Errors
    /// Only for faults of the judge itself; an answer that cannot be scored is [`JudgeStep::Unscored`].
    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep>;
}
