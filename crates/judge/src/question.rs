//! What a judge is: a pure function from a question and the replies so far to its next step.

use tunebench_spec::{ChatReply, Example, JudgeStep};

/// What a judge is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    pub item: &'a Example,
    /// The answer to judge or, of two that are compared, the one that is shown first.
    pub answer: &'a str,
    /// The other one; none for a judge that marks a single answer.
    pub rival: Option<&'a str>,
}

/// A judge: its next step given a question and the replies so far. Pure: the same input gives the same step.
pub trait Judge: Sync {
    /// The name that its judgements carry.
    fn name(&self) -> &str;

    /// # Errors
    /// Why the judge itself failed; the judgement then is `failed` and made again in a later run.
    fn step(&self, question: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String>;
}
