//! `[eval]` of a study file: what is asked, who judges the answers, and whom judges ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `[eval]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Eval {
    /// Id of the dataset whose items are answered.
    pub items: String,
    /// Plugin name of the judge.
    pub judge: String,
    /// What frames call the judge; its plugin's name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_name: Option<String>,
    #[serde(default)]
    pub judge_options: BTreeMap<String, Value>,
    /// How often each answer is judged.
    #[serde(default = "one")]
    pub repeats: u32,
    /// As [`JudgeSettings::repeat_share`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_share: Option<f64>,
    /// As [`JudgeSettings::baseline`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Base models that answer too, for comparison.
    #[serde(default)]
    pub bases: Vec<String>,
    #[serde(default)]
    pub generation: GenerationSettings,
    #[serde(default)]
    pub chat: ChatSettings,
    /// Further judges of the same answers: `[[eval.panel]]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub panel: Vec<JudgeSettings>,
}

impl Eval {
    /// All judges of the study, the first one first; those of the panel ask the first one's server where they name none.
    pub fn judges(&self) -> Vec<JudgeSettings> {
        let first = JudgeSettings {
            judge: self.judge.clone(),
            name: self.judge_name.clone(),
            judge_options: self.judge_options.clone(),
            repeats: self.repeats,
            repeat_share: self.repeat_share,
            share: None,
            baseline: self.baseline.clone(),
            chat: Some(self.chat.clone()),
        };
        let panel = self.panel.iter().map(|judge| JudgeSettings {
            chat: Some(judge.chat.clone().unwrap_or_else(|| self.chat.clone())),
            ..judge.clone()
        });
        std::iter::once(first).chain(panel).collect()
    }
}

/// `[[eval.panel]]`: a judge, what it judges and whom it asks. `tunebench judge` adds such a one to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgeSettings {
    /// Plugin name.
    pub judge: String,
    /// What frames call it; its plugin's name when absent. Each judge of a study has its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub judge_options: BTreeMap<String, Value>,
    /// How often each answer is judged.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub repeats: u32,
    /// The share of the items, drawn by the study's seed, that are judged more than once; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat_share: Option<f64>,
    /// The share of the items, drawn by the study's seed, that it judges at all; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// Of a judge that compares two answers: the arm or base model that all others are compared with. Each arm with each
    /// other when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// Whom it asks; the study's `[eval.chat]` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatSettings>,
}

impl JudgeSettings {
    /// What frames call it.
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.judge)
    }

    /// What nobody may say of a judge.
    ///
    /// # Errors
    /// What is wrong, and what to write.
    pub fn check(&self) -> Result<(), String> {
        let is_share = |share: Option<f64>| share.is_none_or(|share| share > 0.0 && share <= 1.0);
        let faults = [
            (self.repeats == 0, "repeats must be at least 1"),
            (!is_share(self.repeat_share), "repeat_share must be above 0 and at most 1"),
            (!is_share(self.share), "share must be above 0 and at most 1"),
            (self.name().trim().is_empty(), "the judge has no name; leave the name out for its plugin's"),
        ];
        faults.iter().find(|fault| fault.0).map_or(Ok(()), |fault| Err(fault.1.to_owned()))
    }
}

/// `[eval.generation]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationSettings {
    pub max_new_tokens: usize,
    /// 0 is greedy.
    pub temperature: f64,
    pub batch_size: usize,
    /// Of what is drawn when `temperature` is above 0; the study's when absent. It has nothing to do with training.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
}

impl Default for GenerationSettings {
    fn default() -> Self {
        Self { max_new_tokens: 256, temperature: 0.0, batch_size: 16, seed: None }
    }
}

/// `[eval.chat]`: the server a judge's requests go to. Keys are read from the environment, never from here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChatSettings {
    /// The address before `/chat/completions` or `/messages`; `local:MODEL` for a model of the study, or the path of one,
    /// that our own engine runs.
    pub base_url: String,
    /// Whose requests and replies; by the address when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Dialect>,
    /// Name of the environment variable that holds the key; the dialect's usual one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_variable: Option<String>,
    /// Further headers, as Azure and OpenRouter want them. `${NAME}` is replaced by the environment variable.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is added to the address, as Azure's `api-version`. `${NAME}` is replaced by the environment variable.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// As few as this at most; what the server states when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests in flight at once, at most.
    pub concurrency: u32,
    /// Attempts after the first.
    pub retries: u32,
    pub timeout_seconds: u64,
    /// Of a model that our own engine runs and that brings no chat template: the name of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// By the server's batch API: half the price, within a day.
    #[serde(skip_serializing_if = "is_false")]
    pub batch: bool,
    /// The run is a failure when more than this share of the judgements is.
    pub max_failed_share: f64,
    /// Stop asking when this many US dollars are spent; needs both prices, given here or known of the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_usd: Option<f64>,
    /// Before any discount for batches; the model's known price when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_million_prompt_tokens: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd_per_million_completion_tokens: Option<f64>,
}

impl Default for ChatSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".into(),
            dialect: None,
            key_variable: None,
            headers: BTreeMap::new(),
            query: BTreeMap::new(),
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrency: 16,
            retries: 5,
            timeout_seconds: 120,
            template: None,
            batch: false,
            max_failed_share: 0.02,
            budget_usd: None,
            usd_per_million_prompt_tokens: None,
            usd_per_million_completion_tokens: None,
        }
    }
}

/// The words in which a chat server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    /// Chat completions, as OpenAI and most others have them.
    OpenAi,
    /// Messages, as Anthropic has them.
    Anthropic,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn one() -> u32 {
    1
}

fn is_one(value: &u32) -> bool {
    *value == 1
}
