//! `checklist`: a chat model says of each criterion of a list whether the answer meets it; the score is their weighted
//! share.
//!
//! The criteria are lines of the item's rubric that begin with `-`, each with its weight in square brackets if it is not 1:
//!
//! ```text
//! - [2] names Paris
//! - is a whole sentence
//! ```
//!
//! For items whose rubric has none they are the option's:
//!
//! ```toml
//! [eval]
//! judge = "checklist"
//! judge_options = { criteria = ["[2] answers all that is asked", "states no falsehood"] }
//! ```
//!
//! The model reads question, reference where the category has one, answer and criteria, the first three between marks with
//! a nonce that the answer cannot have ([`prompt`]). It replies with a JSON object that has a verdict for each criterion, or
//! with a line each (`1. yes`), which [`marks::checks`] reads; where one criterion is left open it is asked once more, and
//! the answer stays unscored when one still is. An item without criteria is unscored before anybody is asked.

pub mod criteria;
pub mod options;
pub mod prompt;

use criteria::Criterion;
use marks::asking::{Unread, asked_again, is_cut_off, json_schema, reference, step};
use marks::nonce::nonce;
use marks::{Language, checks};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{self, json};

pub use options::Options;
use prompt::Form;

/// The judge.
pub struct Checklist {
    options: Options,
    /// Of items that bring none.
    criteria: Vec<Criterion>,
}

impl Judge for Checklist {
    const NAME: &'static str = "checklist";
    const DESCRIPTION: &'static str = "A chat model says which criteria of a list an answer meets";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        options.check()?;
        let criteria = criteria::of_option(&options.criteria).map_err(Error::new)?;
        Ok(Self { options, criteria })
    }

    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        if item.question().trim().is_empty() {
            return Ok(JudgeStep::Unscored { reason: "the item has no question".into() });
        }
        let own = match criteria::of_rubric(item.rubric.as_deref().unwrap_or_default()) {
            Ok(own) => own,
            Err(reason) => return Ok(JudgeStep::Unscored { reason: format!("the item's rubric: {reason}") }),
        };
        let (criteria, origin) = if own.is_empty() { (&self.criteria, "the study's") } else { (&own, "the item's") };
        if criteria.is_empty() {
            let reason = "the item has no criteria (lines of its rubric that begin with `-`), and the study sets none";
            return Ok(JudgeStep::Unscored { reason: reason.into() });
        }
        Ok(self.ask(item, answer, criteria, origin, replies))
    }
}

impl Checklist {
    fn ask(
        &self,
        item: &Example,
        answer: &str,
        criteria: &[Criterion],
        origin: &str,
        replies: &[ChatReply],
    ) -> JudgeStep {
        let language = self.options.language.unwrap_or_else(|| Language::of(item.question()));
        let first = if self.options.structured { Form::Object } else { Form::Lines };
        let list = criteria::listed(criteria);
        let nonce = nonce(&[&item.id, &list, item.question(), reference(item).unwrap_or_default(), answer]);
        let prompt = prompt::prompt(item, answer, &list, &nonce, language, &first.demand(language, criteria.len()));
        let asking = &self.options.asking;
        step(
            replies,
            || {
                let mut request = asking.request(vec![ChatMessage::new("user", &prompt)]);
                request.response_format = (first == Form::Object).then(schema);
                request
            },
            |reply| asking.request(asked_again(&prompt, reply, &Form::Array.demand(language, criteria.len()))),
            |reply, asked_alone| {
                let answers = [answer, item.question(), reference(item).unwrap_or_default()];
                let nonces = [nonce.as_str()];
                let options = marks::Options {
                    answers: &answers,
                    nonces: &nonces,
                    cut_off: is_cut_off(reply),
                    asked_alone,
                    ..marks::Options::default()
                };
                checks::read(&reply.content, criteria.len(), &options)
                    .map(|met| criteria::score(criteria, &met, origin))
                    .map_err(|fault| Unread::AskAgain(fault.to_string()))
            },
        )
    }
}

/// A list of verdicts; the reason before each, so that the verdict follows from it.
fn schema() -> serde_json::Value {
    let properties = json!({
        "criterion": { "type": "integer" }, "reason": { "type": "string" }, "met": { "type": "boolean" },
    });
    let verdict = json!({
        "type": "object", "properties": properties, "required": ["criterion", "reason", "met"],
        "additionalProperties": false,
    });
    json_schema("checklist", json!({ "verdicts": { "type": "array", "items": verdict } }))
}

export_plugin!(judge: Checklist);
