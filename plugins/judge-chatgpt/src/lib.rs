//! `chatgpt`: a chat model scores each answer from 0 to 1.
//!
//! ```toml
//! [eval]
//! judge = "chatgpt"
//! judge_options = { model = "gpt-6-luna", reasoning_effort = "low", seed = 1 }
//! ```
//!
//! The model reads a rubric, the question, the reference where the category has one, and the answer ([`prompt`]). Each
//! part stands between marks with a nonce that the answer cannot have, and what a reply repeats of the answer is never
//! read as a mark. It is asked for a JSON object of reason and score; a server without structured output may reply in
//! words, which the crate `marks` reads by a grammar that refuses rather than guesses. An unread reply is answered once
//! with the request for the mark alone; what is then unread stays unscored, with both reasons.
//!
//! The rubric is the item's own; for items without one it is the option `rubric`, else the built-in one of the category
//! ([`rubric`]), in Chinese or English as the question, or as `language` says. The verdict's reason tells which.
//!
//! Marks on another scale, for a rubric that speaks of it:
//!
//! ```toml
//! judge_options = { rubric = "Score the answer from 1 to 10.", scale = [1, 10], structured = false }
//! ```
//!
//! The expected mark instead of one that was drawn, from a server that gives log-probabilities: the sum over the digits
//! 0 to 9 of probability times mark, where they have at least 0.8 of the probability together:
//!
//! ```toml
//! judge_options = { model = "local-model", scoring = "logprobs" }
//! ```
//!
//! As the paper asked, one request per answer, and a temperature of 0, which newer models refuse:
//!
//! ```toml
//! judge_options = { form = "belle", model = "gpt-3.5-turbo" }
//! ```

pub mod options;
pub mod prompt;
pub mod rubric;

use marks::asking::{Unread, asked_again, is_cut_off, json_schema, reference, step, with_logprobs};
use marks::logprobs::{NoMark, expected};
use marks::nonce::nonce;
use marks::{Language, Scale};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{self, json};

pub use options::{Form, Options, Scoring};
use prompt::Mark;

/// Where a rubric comes from that neither the item nor the study brings.
const BUILT_IN: &str = "built in";

/// The judge.
pub struct ChatGpt {
    options: Options,
}

impl Judge for ChatGpt {
    const NAME: &'static str = "chatgpt";
    const DESCRIPTION: &'static str = "A chat model scores each answer by a rubric, as BELLE's evaluation does";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }

    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        if item.question().trim().is_empty() {
            return Ok(JudgeStep::Unscored { reason: "the item has no question".into() });
        }
        Ok(match self.options.form {
            Form::Belle => self.belle(item, answer, replies),
            Form::Delimited => self.delimited(item, answer, replies),
        })
    }
}

impl ChatGpt {
    /// One request, in BELLE's words and with its temperature.
    fn belle(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> JudgeStep {
        let (rubric, origin) = self.rubric(item, rubric::belle);
        let Some(reply) = replies.first() else {
            let prompt = prompt::belle(item, &rubric, answer);
            let mut request = self.options.asking.request(vec![ChatMessage::new("user", prompt)]);
            request.temperature.get_or_insert(0.0);
            return JudgeStep::Chat { request };
        };
        match read_words(reply, &others(item, answer), "", Scale::default(), false) {
            Ok(score) => JudgeStep::Verdict { score, reason: format!("score read from the reply; rubric: {origin}") },
            Err(fault) => JudgeStep::Unscored { reason: fault.to_string() },
        }
    }

    fn delimited(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> JudgeStep {
        let language = self.options.language.unwrap_or_else(|| Language::of(item.question()));
        let (rubric, origin) = self.rubric(item, |category| rubric::built_in(category, language).to_owned());
        if self.options.scale.is_some() && origin == BUILT_IN {
            let reason = "`scale` is set, and neither the item nor the study has a rubric that speaks of it";
            return JudgeStep::Unscored { reason: reason.into() };
        }
        let reference = reference(item).unwrap_or_default();
        let nonce = nonce(&[&item.id, &rubric, item.question(), reference, answer]);
        let (asking, scale) = (&self.options.asking, self.options.scale());
        let [first, again] = match (self.options.scoring, self.options.is_structured()) {
            (Scoring::Logprobs, _) => [Mark::Digit, Mark::Digit],
            (Scoring::Sampled, true) => [Mark::Object, Mark::Alone],
            (Scoring::Sampled, false) => [Mark::Line, Mark::Alone],
        };
        let prompt = prompt::delimited(item, &rubric, answer, &nonce, language, &first.demand(language, scale));
        let request = |messages, mark| {
            let mut request = asking.request(messages);
            request.response_format = (mark == Mark::Object).then(|| schema(scale));
            if mark == Mark::Digit {
                with_logprobs(asking, &mut request);
            }
            request
        };
        step(
            replies,
            || request(vec![ChatMessage::new("user", &prompt)], first),
            |reply| request(asked_again(&prompt, reply, &again.demand(language, scale)), again),
            |reply, asked_alone| match first {
                Mark::Digit => read_digit(reply, origin),
                _ => read_words(reply, &others(item, answer), &nonce, scale, asked_alone)
                    .map(|score| (score, format!("score read from the reply; rubric: {origin}")))
                    .map_err(|fault| Unread::AskAgain(fault.to_string())),
            },
        )
    }

    /// The instruction for an item, and where it comes from; `built_in` gives that of a category.
    fn rubric(&self, item: &Example, built_in: impl Fn(&str) -> String) -> (String, &'static str) {
        match (&item.rubric, &self.options.rubric) {
            (Some(rubric), _) if !rubric.trim().is_empty() => (rubric.clone(), "the item's"),
            (_, Some(rubric)) => (rubric.clone(), "the study's"),
            _ => (built_in(item.category.as_deref().unwrap_or_default()), BUILT_IN),
        }
    }
}

/// What a reply may quote: none of it is the judge's own.
fn others<'a>(item: &'a Example, answer: &'a str) -> [&'a str; 3] {
    [answer, item.question(), reference(item).unwrap_or_default()]
}

fn read_words(
    reply: &ChatReply,
    others: &[&str],
    nonce: &str,
    scale: Scale,
    asked_alone: bool,
) -> std::result::Result<f64, marks::Fault> {
    let nonces = [nonce];
    let cut_off = is_cut_off(reply);
    let options = marks::Options { scale, answers: others, nonces: &nonces, cut_off, asked_alone };
    marks::read(&reply.content, &options)
}

fn read_digit(reply: &ChatReply, origin: &str) -> std::result::Result<(f64, String), Unread> {
    let digit = |token: &str| token.parse::<u8>().ok().filter(|_| token.len() == 1).map(|digit| f64::from(digit) / 9.0);
    match expected(reply, digit) {
        Ok(found) => {
            let (mass, spread) = (found.mass, found.spread);
            let score = found.mean.clamp(0.0, 1.0);
            Ok((
                score,
                format!("expected score over the digits 0 to 9, mass {mass:.3}, spread {spread:.3}; rubric: {origin}"),
            ))
        }
        Err(NoMark::NoLogprobs) => Err(Unread::GiveUp(NoMark::NoLogprobs.to_string())),
        Err(fault) => Err(Unread::AskAgain(fault.to_string())),
    }
}

/// The reason comes first, so that the score follows from it. Not every server takes bounds in a schema, so they are words.
fn schema(Scale { low, high }: Scale) -> serde_json::Value {
    let score = json!({ "type": "number", "description": format!("from {low} (worst) to {high} (best)") });
    json_schema("judgement", json!({ "reason": { "type": "string" }, "score": score }))
}

export_plugin!(judge: ChatGpt);
