//! What the stages write, one record a row: the meaning of the frames in Parquet.

use serde::{Deserialize, Serialize};

/// One trained arm, or a base model as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    pub arm: String,
    /// The model or arm it starts from.
    pub base: String,
    pub tuner: String,
    pub dataset: String,
    /// Training examples used per epoch.
    pub examples: u64,
    pub skipped_examples: u64,
    pub seed: u64,
    /// `reference` or `fast`.
    pub engine: String,
    pub model_params: u64,
    pub trainable_params: u64,
    pub additional_params: u64,
    pub epochs: f64,
    pub steps: u64,
    /// Tokens trained on, padding excluded, all epochs together.
    pub tokens: u64,
    pub train_seconds: f64,
    pub hours_per_epoch: f64,
    pub tokens_per_second: f64,
    pub peak_rss_bytes: u64,
    /// Mean loss of the last tenth of the steps, nats per label token; null for a base model.
    pub final_loss: Option<f64>,
    /// SHA-256 of all that the arm depends on.
    pub identity: String,
    /// Whether the arm takes part in the evaluation.
    pub evaluated: bool,
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    pub arm: String,
    /// From 1.
    pub step: u64,
    /// Epochs done after this step.
    pub epoch: f64,
    /// Mean over the label tokens of the whole accumulated batch, nats.
    pub loss: f64,
    pub learning_rate: f64,
    /// Global norm before clipping.
    pub grad_norm: f64,
    /// Tokens of this step, padding excluded.
    pub tokens: u64,
    pub seconds: f64,
}

/// One answer of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub arm: String,
    pub item: String,
    pub category: String,
    /// The text given to the model, template included.
    pub prompt: String,
    pub answer: String,
    pub reference: Option<String>,
    pub prompt_tokens: u64,
    pub new_tokens: u64,
    /// `stop` at an end-of-sequence token, `length` at the limit.
    pub finish: String,
    pub seconds: f64,
}

/// Whether a judgement carries a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JudgementStatus {
    Scored,
    /// The judge could not tell; `reason` says why.
    Unscored,
    /// The judge could not be asked; a later run tries again.
    Failed,
}

/// One verdict on one answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub arm: String,
    pub item: String,
    pub category: String,
    pub judge: String,
    /// From 0, when an answer is judged several times.
    pub repeat: u32,
    /// In 0..=1; null unless `status` is scored.
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub reason: String,
    /// The judge model's last reply, as it came; empty when none was asked.
    pub reply: String,
    /// SHA-256 of the last request; empty when none was sent.
    pub request_hash: String,
    /// The judge model, as its server named it; empty when none was asked.
    pub model: String,
    /// US dollars, where the study gives prices; null otherwise.
    pub cost_usd: Option<f64>,
    pub seconds: f64,
}

impl Judgement {
    /// The judgement of an answer before anything is known of it: failed, with no score and no reason.
    pub fn begin(generation: &Generation, judge: &str, repeat: u32) -> Self {
        Self {
            arm: generation.arm.clone(),
            item: generation.item.clone(),
            category: generation.category.clone(),
            judge: judge.to_owned(),
            repeat,
            score: None,
            status: JudgementStatus::Failed,
            reason: String::new(),
            reply: String::new(),
            request_hash: String::new(),
            model: String::new(),
            cost_usd: None,
            seconds: 0.0,
        }
    }
}
