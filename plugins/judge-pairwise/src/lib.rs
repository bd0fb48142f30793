//! `pairwise`: a chat model says which of two answers to a question is better.
//!
//! ```toml
//! [eval]
//! judge = "pairwise"
//! judge_options = { model = "gpt-6-luna", reasoning_effort = "low" }
//! ```
//!
//! The model reads the question, the reference where the category has one, and answers A and B, each between marks with a
//! nonce that no answer can have ([`prompt`]). It replies with a JSON object of reason and verdict, or in words, which the
//! crate `marks` reads strictly ([`marks::choice`]); an unread reply is answered once with the request for the verdict
//! alone. The score is the first answer's: 1 where it is better, 0.5 for a tie, 0 where the other is. Models prefer what
//! they are shown first or last, so the host asks in both orders and counts the verdicts that flip.
//!
//! A preference by degrees, P(A) / (P(A) + P(B)), from a server that gives log-probabilities:
//!
//! ```toml
//! judge_options = { model = "local-model", scoring = "logprobs" }
//! ```
//!
//! Two answers that are the same words are a tie, and nobody is asked. The rubric of an item is for scores, so it is not
//! shown; `rubric` says otherwise than our words what makes an answer the better one.

pub mod options;
pub mod prompt;

use marks::asking::{Unread, asked_again, is_cut_off, json_schema, reference, step, with_logprobs};
use marks::logprobs::{NoMark, expected};
use marks::nonce::nonce;
use marks::{Language, choice};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::json;

pub use options::{Options, Scoring};
use prompt::Verdict;

/// The judge.
pub struct Pairwise {
    options: Options,
}

impl Judge for Pairwise {
    const NAME: &'static str = "pairwise";
    const DESCRIPTION: &'static str = "A chat model says which of two answers is better";
    const COMPARES: bool = true;
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        options.check()?;
        Ok(Self { options })
    }

    fn compare(&self, item: &Example, answers: [&str; 2], replies: &[ChatReply]) -> Result<JudgeStep> {
        if item.question().trim().is_empty() {
            return Ok(JudgeStep::Unscored { reason: "the item has no question".into() });
        }
        let [a, b] = answers.map(str::trim);
        if a == b {
            return Ok(JudgeStep::Verdict { score: 0.5, reason: "the answers are the same words".into() });
        }
        Ok(self.ask(item, answers, replies))
    }
}

impl Pairwise {
    fn ask(&self, item: &Example, answers: [&str; 2], replies: &[ChatReply]) -> JudgeStep {
        let language = self.options.language.unwrap_or_else(|| Language::of(item.question()));
        let rubric = self.options.rubric.as_deref();
        let [a, b] = answers;
        let shown = [&item.id, rubric.unwrap_or_default(), item.question(), reference(item).unwrap_or_default(), a, b];
        let nonce = nonce(&shown);
        let [first, again] = match (self.options.scoring, self.options.is_structured()) {
            (Scoring::Logprobs, _) => [Verdict::Letter, Verdict::Letter],
            (Scoring::Sampled, true) => [Verdict::Object, Verdict::Alone],
            (Scoring::Sampled, false) => [Verdict::Brackets, Verdict::Alone],
        };
        let prompt = prompt::prompt(item, answers, &nonce, language, rubric, first.demand(language));
        let request = |messages, verdict| {
            let mut request = self.options.asking.request(messages);
            request.response_format = (verdict == Verdict::Object).then(|| {
                let verdicts = json!({ "type": "string", "enum": ["A", "B", "tie"] });
                json_schema("comparison", json!({ "reason": { "type": "string" }, "verdict": verdicts }))
            });
            if verdict == Verdict::Letter {
                with_logprobs(&self.options.asking, &mut request);
            }
            request
        };
        step(
            replies,
            || request(vec![ChatMessage::new("user", &prompt)], first),
            |reply| request(asked_again(&prompt, reply, again.demand(language)), again),
            |reply, asked_alone| match first {
                Verdict::Letter => read_letter(reply),
                _ => {
                    let (nonces, cut_off) = ([nonce.as_str()], is_cut_off(reply));
                    let options = marks::Options {
                        answers: &[a, b, item.question(), reference(item).unwrap_or_default()],
                        nonces: &nonces,
                        cut_off,
                        asked_alone,
                        ..marks::Options::default()
                    };
                    choice::read(&reply.content, &options)
                        .map(|score| (score, "verdict read from the reply".to_owned()))
                        .map_err(|fault| Unread::AskAgain(fault.to_string()))
                }
            },
        )
    }
}

fn read_letter(reply: &ChatReply) -> std::result::Result<(f64, String), Unread> {
    let letter = |token: &str| match token {
        "a" => Some(1.0),
        "b" => Some(0.0),
        _ => None,
    };
    match expected(reply, letter) {
        Ok(found) => {
            Ok((found.mean.clamp(0.0, 1.0), format!("probability of A among A and B, mass {:.3}", found.mass)))
        }
        Err(NoMark::NoLogprobs) => Err(Unread::GiveUp(NoMark::NoLogprobs.to_string())),
        Err(fault) => Err(Unread::AskAgain(fault.to_string())),
    }
}

export_plugin!(judge: Pairwise);
