//! `chatgpt`: a chat model scores each answer from 0 to 1, asked in the form of BELLE's evaluation.
//!
//! ```toml
//! [eval]
//! judge = "chatgpt"
//! judge_options = { model = "gpt-3.5-turbo", temperature = 0.0, max_tokens = 3000, seed = 1 }
//! ```
//!
//! One request per answer: the rubric, the question, the reference where the category has one, and the answer
//! ([`prompt`]). The score is read from the reply ([`score`]); a reply that leaves any doubt stays unscored.
//! The rubric is the item's own; for items without one it is the option `rubric`, else the built-in one of the
//! category ([`rubric`]). The verdict's reason tells which.

pub mod prompt;
pub mod rubric;
pub mod score;

use tunebench_plugin_api::prelude::*;

/// What a study may set.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub model: String,
    /// From 0 to 2.
    pub temperature: f64,
    /// Most tokens in the reply.
    pub max_tokens: u32,
    /// Asks the server to repeat itself; best effort on its side.
    pub seed: Option<u64>,
    /// The instruction for items that bring none. It should ask for a line `得分:` with a number from 0 to 1.
    pub rubric: Option<String>,
}

impl Default for Options {
    /// BELLE's values.
    fn default() -> Self {
        Self { model: "gpt-3.5-turbo".into(), temperature: 0.0, max_tokens: 3000, seed: None, rubric: None }
    }
}

/// The judge.
pub struct ChatGpt {
    options: Options,
}

impl Judge for ChatGpt {
    const NAME: &'static str = "chatgpt";
    const DESCRIPTION: &'static str = "A chat model scores each answer, asked in the form of BELLE's evaluation";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        let faults = [
            (options.model.trim().is_empty(), "`model` is empty; name a chat model"),
            (!(0.0..=2.0).contains(&options.temperature), "`temperature` must be from 0 to 2"),
            (options.max_tokens == 0, "`max_tokens` must be at least 1"),
            (
                options.rubric.as_ref().is_some_and(|r| r.trim().is_empty()),
                "`rubric` is empty; leave it out for the built-in ones",
            ),
        ];
        match faults.iter().find(|fault| fault.0) {
            Some((_, fault)) => Err(Error::new(*fault)),
            None => Ok(Self { options }),
        }
    }

    fn step(&self, item: &Example, answer: &str, replies: &[ChatReply]) -> Result<JudgeStep> {
        let (rubric, origin) = self.rubric(item);
        let Some(reply) = replies.first() else {
            if item.question().trim().is_empty() {
                return Ok(JudgeStep::Unscored { reason: "the item has no question".into() });
            }
            let message = ChatMessage { role: "user".into(), content: prompt::prompt(item, rubric, answer) };
            let Options { model, temperature, max_tokens, seed, .. } = self.options.clone();
            return Ok(JudgeStep::Ask {
                request: ChatRequest { model, messages: vec![message], temperature, max_tokens, seed },
            });
        };
        Ok(match score::read(&reply.content, reply.finish_reason == "length") {
            Ok(score) => JudgeStep::Verdict { score, reason: format!("score read from the reply; rubric: {origin}") },
            Err(fault) => JudgeStep::Unscored { reason: fault.to_string() },
        })
    }
}

impl ChatGpt {
    /// The instruction for an item, and where it comes from.
    fn rubric<'a>(&'a self, item: &'a Example) -> (&'a str, &'static str) {
        match (&item.rubric, &self.options.rubric) {
            (Some(rubric), _) if !rubric.trim().is_empty() => (rubric, "the item's"),
            (_, Some(rubric)) => (rubric, "the study's"),
            _ => (rubric::built_in(item.category.as_deref().unwrap_or_default()), "built in"),
        }
    }
}

export_plugin!(judge: ChatGpt);
