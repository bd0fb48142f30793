//! A judge, tried: one conversation, with the chat model's replies given.

use serde_json::Value;

use super::options;
use crate::{ChatReply, ChatRequest, Error, Example, Judge, JudgeStep, Result};

/// How a judge came to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgeRun {
    /// What it asked, in order.
    pub requests: Vec<ChatRequest>,
    /// Its verdict, or why there is none; never [`JudgeStep::Ask`].
    pub step: JudgeStep,
}

/// Lets a judge score `answer` to `item`; each request gets the next of `replies`, as a reply that ended by itself.
/// Not all of them need be asked for.
///
/// # Errors
/// When the judge refuses, when a step is another one the second time, when there is no reply left to what it asks,
/// or when its score is not from 0 to 1.
pub fn judge<J: Judge>(options: Value, item: &Example, answer: &str, replies: &[&str]) -> Result<JudgeRun> {
    let judge = J::new(self::options(&options)?)?;
    let reply = |text: &&str| ChatReply { content: (*text).into(), finish_reason: "stop".into() };
    let replies: Vec<ChatReply> = replies.iter().map(reply).collect();
    let mut requests = Vec::new();
    loop {
        let given = &replies[..requests.len()];
        let number = requests.len() + 1;
        let step = judge.step(item, answer, given)?;
        if let JudgeStep::Verdict { score, reason } = &step
            && !(0.0..=1.0).contains(score)
        {
            return Err(Error::new(format!("the score is {score}, which is not from 0 to 1: {reason}")));
        }
        let again = judge.step(item, answer, given)?;
        if step != again {
            return Err(Error::new(format!("step {number} was {step:?}, then {again:?}; a judge must be pure")));
        }
        let JudgeStep::Ask { request } = step else { return Ok(JudgeRun { requests, step }) };
        if number > replies.len() {
            let given = replies.len();
            return Err(Error::new(format!("request {number} has no reply, only {given} given; it asks {request:?}")));
        }
        requests.push(request);
    }
}
