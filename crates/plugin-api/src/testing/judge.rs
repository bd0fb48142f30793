//! A judge, tried: one conversation, with the chat model's replies given.

use serde_json::Value;

use super::options;
use crate::{ChatCompletionRequest, ChatReply, ChatRequest, Error, Example, Judge, JudgeStep, Result};

/// How a judge came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRun {
    /// What it asked by [`JudgeStep::Ask`], in order.
    pub requests: Vec<ChatRequest>,
    /// All that it asked, in order: by [`JudgeStep::Chat`], and by [`JudgeStep::Ask`] in the words of the former.
    pub chats: Vec<ChatCompletionRequest>,
    /// Its verdict, or why there is none; never a request.
    pub step: JudgeStep,
}

/// Lets a judge score `answer` to `item`; each request gets the next of `replies`, as a reply that ended by itself.
/// Not all of them need be asked for.
///
/// # Errors
/// When the judge refuses, when a step is another one the second time, when there is no reply left to what it asks,
/// when its score is not from 0 to 1, or when it is one that compares.
pub fn judge<J: Judge>(options: Value, item: &Example, answer: &str, replies: &[&str]) -> Result<JudgeRun> {
    let replies: Vec<ChatReply> = replies.iter().copied().map(ChatReply::new).collect();
    judge_replies::<J>(options, item, answer, &replies)
}

/// As [`judge`], with whole replies: cut off, with reasoning, with log-probabilities.
///
/// # Errors
/// As [`judge`].
pub fn judge_replies<J: Judge>(
    options: Value,
    item: &Example,
    answer: &str,
    replies: &[ChatReply],
) -> Result<JudgeRun> {
    if J::COMPARES {
        return Err(Error::new("this judge says that it compares; try it by `testing::compare`"));
    }
    let judge = J::new(self::options(&options)?)?;
    play(replies, |given| judge.step(item, answer, given))
}

/// Lets a judge compare two answers to `item`, in this order alone; otherwise as [`judge_replies`].
///
/// # Errors
/// As [`judge`], or when it is none that compares.
pub fn compare<J: Judge>(
    options: Value,
    item: &Example,
    answers: [&str; 2],
    replies: &[ChatReply],
) -> Result<JudgeRun> {
    if !J::COMPARES {
        return Err(Error::new("this judge scores one answer at a time; one that compares says `COMPARES`"));
    }
    let judge = J::new(self::options(&options)?)?;
    play(replies, |given| judge.compare(item, answers, given))
}

/// Asks for steps until one is the end.
fn play(replies: &[ChatReply], next: impl Fn(&[ChatReply]) -> Result<JudgeStep>) -> Result<JudgeRun> {
    let (mut requests, mut chats) = (Vec::new(), Vec::<ChatCompletionRequest>::new());
    loop {
        let given = &replies[..chats.len()];
        let number = chats.len() + 1;
        let step = next(given)?;
        if let JudgeStep::Verdict { score, reason } = &step
            && !(0.0..=1.0).contains(score)
        {
            return Err(Error::new(format!("the score is {score}, which is not from 0 to 1: {reason}")));
        }
        let again = next(given)?;
        if step != again {
            return Err(Error::new(format!("step {number} was {step:?}, then {again:?}; a judge must be pure")));
        }
        let asked = match &step {
            JudgeStep::Ask { request } => format!("{request:?}"),
            JudgeStep::Chat { request } => format!("{request:?}"),
            JudgeStep::Verdict { .. } | JudgeStep::Unscored { .. } => return Ok(JudgeRun { requests, chats, step }),
        };
        if number > replies.len() {
            let given = replies.len();
            return Err(Error::new(format!("request {number} has no reply, only {given} given; it asks {asked}")));
        }
        match step {
            JudgeStep::Ask { request } => {
                requests.push(request.clone());
                chats.push(request.into());
            }
            JudgeStep::Chat { request } => chats.push(request),
            JudgeStep::Verdict { .. } | JudgeStep::Unscored { .. } => {}
        }
    }
}
