//! The declared columns of every frame: name, type, unit, meaning.
//!
//! Names and order are the file format. A column that is added, renamed or removed, or whose meaning changes, raises
//! [`crate::FORMAT_VERSION`].

use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, StepLog};

use crate::column::{ColumnSpec, Record, record};
use crate::scores::ScoreRow;

/// A frame by name, for what does not care which record it holds.
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub name: &'static str,
    pub columns: fn() -> Vec<ColumnSpec>,
}

impl Frame {
    /// The frame of a record type.
    pub const fn of<R: Record>() -> Self {
        Self { name: R::FRAME, columns: R::columns }
    }
}

/// Every frame of a run folder, in the order of the stages that write them.
pub const FRAMES: [Frame; 5] = [
    Frame::of::<ArmRecord>(),
    Frame::of::<StepLog>(),
    Frame::of::<Generation>(),
    Frame::of::<Judgement>(),
    Frame::of::<ScoreRow>(),
];

record!("arms", ArmRecord {
    arm: String, "", "name of the arm in the study; rows are in the study's order";
    base: String, "", "the model or arm it starts from";
    tuner: String, "", "plugin that says what is trained";
    dataset: String, "", "id of the training set";
    examples: u64, "examples", "training examples used per epoch";
    skipped_examples: u64, "examples", "training examples left out, for example without a label token";
    seed: u64, "", "seed of every random choice of the arm";
    engine: String, "", "reference or fast";
    model_params: u64, "parameters", "parameters of the model, adapters excluded";
    trainable_params: u64, "parameters", "parameters that training changes";
    additional_params: u64, "parameters", "parameters added by adapters";
    epochs: f64, "epochs", "passes over the training set";
    steps: u64, "steps", "optimiser steps";
    tokens: u64, "tokens", "tokens trained on, padding excluded, all epochs together";
    train_seconds: f64, "seconds", "wall time of training";
    hours_per_epoch: f64, "hours", "wall time of one epoch";
    tokens_per_second: f64, "tokens/second", "training throughput, padding excluded";
    peak_rss_bytes: u64, "bytes", "largest resident memory of the process while it trained";
    final_loss: Option<f64>, "nats/token", "mean loss of the last tenth of the steps, per label token; null for a base model";
    identity: String, "", "SHA-256 of all that the arm depends on";
    evaluated: bool, "", "whether the arm takes part in the evaluation";
});

record!("steps", StepLog {
    arm: String, "", "name of the arm";
    step: u64, "steps", "optimiser step, from 1";
    epoch: f64, "epochs", "epochs done after this step";
    loss: f64, "nats/token", "mean over the label tokens of the whole accumulated batch";
    learning_rate: f64, "1", "learning rate of the step";
    grad_norm: f64, "1", "global gradient norm before clipping";
    tokens: u64, "tokens", "tokens of the step, padding excluded";
    seconds: f64, "seconds", "wall time of the step";
});

record!("generations", Generation {
    arm: String, "", "name of the arm";
    item: String, "", "id of the evaluation item";
    category: String, "", "category of the item";
    prompt: String, "", "text given to the model, template included";
    answer: String, "", "what the model answered";
    reference: Option<String>, "", "reference answer of the item; null when it has none";
    prompt_tokens: u64, "tokens", "length of the prompt";
    new_tokens: u64, "tokens", "length of the answer";
    finish: String, "", "stop at an end-of-sequence token, length at the limit";
    seconds: f64, "seconds", "wall time of the answer";
});

record!("judgements", Judgement {
    arm: String, "", "name of the arm";
    item: String, "", "id of the evaluation item";
    category: String, "", "category of the item";
    judge: String, "", "plugin that judged";
    repeat: u32, "", "number of this judgement among those of one answer, from 0";
    score: Option<f64>, "score 0..1", "the verdict; null unless status is scored";
    status: JudgementStatus, "", "scored, unscored (the judge could not tell) or failed (it could not be asked)";
    reason: String, "", "why, in the judge's words";
    reply: String, "", "the judge model's last reply; empty when none was asked";
    request_hash: String, "", "SHA-256 of the last request; empty when none was sent";
    model: String, "", "the judge model as its server named it; empty when none was asked";
    cost_usd: Option<f64>, "US dollars", "price of the requests; null where the study gives no prices";
    seconds: f64, "seconds", "wall time of the judgement";
});

record!("scores", ScoreRow {
    arm: String, "", "name of the arm";
    judge: String, "", "plugin that judged";
    category: String, "", "category of the items, or `macro average` or `micro average` over all";
    items: u64, "items", "items with a judgement";
    scored: u64, "items", "items with at least one score";
    unscored: u64, "items", "items the judge could not tell";
    failed: u64, "items", "items without a score for which the judge could not be asked";
    mean_score: Option<f64>, "score 0..1", "mean over scored items, repeats of an item averaged first; null when there is none";
    lower_bound: f64, "score 0..1", "mean over all items with every item without a score counted as 0";
    upper_bound: f64, "score 0..1", "mean over all items with every item without a score counted as 1";
});
