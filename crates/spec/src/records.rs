//! What the stages write, one record a row: the meaning of the frames in Parquet.

use serde::{Deserialize, Serialize};

use crate::form::Form;

/// One training of an arm, or a base model as it is.
///
/// An arm is trained once for each of its seeds, and, where it has a grid, once for each candidate with the first of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ArmRecord {
    pub arm: String,
    /// The values that a grid gave this training, as `learning_rate=0.0002 options.r=8`; empty without a grid.
    #[serde(default)]
    pub candidate: String,
    /// Whether it stands for its arm: no grid, or the candidate that was chosen.
    #[serde(default = "yes")]
    pub selected: bool,
    /// The model or arm it starts from.
    pub base: String,
    /// A plugin's name; `none` of a base model, and the [form](Form::name) of an arm in another form.
    pub tuner: String,
    /// The tuner's options as a JSON object.
    #[serde(default)]
    pub options: String,
    pub dataset: String,
    #[serde(default)]
    pub template: String,
    /// The recipe as a JSON object: of each field its `value` and `origin` (default, tuner, fitted, study, arm or grid).
    #[serde(default)]
    pub recipe: String,
    /// Training examples used per epoch.
    pub examples: u64,
    pub skipped_examples: u64,
    /// Examples of its source that are kept from training, to measure the held-out loss.
    #[serde(default)]
    pub held_out_examples: u64,
    pub seed: u64,
    /// `reference` or `fast`.
    pub engine: String,
    /// What the engine computes in.
    #[serde(default)]
    pub precision: String,
    /// By what its training was computed: level of CPU instructions, ranks and threads, as `avx2, 2 threads`; where it was resumed
    /// by something else, one after another. Empty without a training.
    #[serde(default)]
    pub computed_by: String,
    pub model_params: u64,
    pub trainable_params: u64,
    pub additional_params: u64,
    pub epochs: f64,
    pub steps: u64,
    /// The step whose weights are the result: the last, but with `load_best_model_at_end`.
    #[serde(default)]
    pub kept_step: u64,
    /// Tokens trained on, padding excluded, all epochs together.
    pub tokens: u64,
    pub train_seconds: f64,
    pub hours_per_epoch: f64,
    pub tokens_per_second: f64,
    pub peak_rss_bytes: u64,
    /// Said before it began; null where it could not be said.
    #[serde(default)]
    pub predicted_seconds: Option<f64>,
    #[serde(default)]
    pub predicted_peak_bytes: Option<u64>,
    /// Mean loss of the last tenth of the steps, nats per label token; null for a base model.
    pub final_loss: Option<f64>,
    /// SHA-256 of all that the training depends on.
    pub identity: String,
    /// Whether it takes part in the evaluation.
    pub evaluated: bool,
}

impl ArmRecord {
    /// Of an arm in another form the form, which stands in place of a tuner: nothing was trained, and `base` is the arm that it
    /// is of. None of any other.
    pub fn form(&self) -> Option<Form> {
        Form::named(&self.tuner)
    }
}

fn yes() -> bool {
    true
}

/// One optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepLog {
    pub arm: String,
    #[serde(default)]
    pub candidate: String,
    #[serde(default)]
    pub seed: u64,
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

/// The held-out rows of a study, as [`LossLog::set`] names them.
pub const HELD_OUT: &str = "held_out";
/// The fixed text of general language.
pub const GENERAL: &str = "general";

/// The loss of a model on text that it does not learn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LossLog {
    pub arm: String,
    #[serde(default)]
    pub candidate: String,
    #[serde(default)]
    pub seed: u64,
    /// Optimizer steps done; 0 is the plain base model.
    pub step: u64,
    /// [`HELD_OUT`] or [`GENERAL`].
    pub set: String,
    /// SHA-256 of the tokens it was measured on: losses of other ones are not comparable.
    pub set_hash: String,
    /// Mean over the label tokens, nats.
    pub loss: f64,
    /// The sum over the label tokens in bits, per UTF-8 byte of their text: comparable over tokenizers.
    pub bits_per_byte: f64,
    /// Label tokens.
    pub tokens: u64,
    /// UTF-8 bytes of the text that the labels are.
    pub bytes: u64,
    /// Whether it is the loss of the result, not of a state on the way.
    pub is_final: bool,
}

/// Whether what a training is to move does move, and nothing else: looked at while its first steps are made, and at its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GradientReceipt {
    pub arm: String,
    #[serde(default)]
    pub candidate: String,
    #[serde(default)]
    pub seed: u64,
    /// The step after which it was drawn up: 3, or the last of a shorter training.
    pub step: u64,
    /// Tensors that are trained.
    pub tensors: u64,
    /// Those of them with a gradient other than zero in the first step. LoRA's `A` has none there, because `B` is zero.
    pub gradients_first: u64,
    /// In one of the steps up to `step`.
    pub gradients: u64,
    /// Those that had moved by then, a bit at least.
    pub moved: u64,
    /// The first few that had no gradient or did not move, not even by the training's end once that is known; empty where
    /// all did.
    pub still: String,
    /// Tensors that are frozen.
    pub frozen: u64,
    /// Whether their bytes were the same before the first step and after `step`.
    pub frozen_unchanged: bool,
    /// Loss of the first example of the first step, nats per label token, nothing dropped: before it.
    pub loss_before: Option<f64>,
    /// The same after the training's last step; null before that.
    pub loss_after: Option<f64>,
    /// Whether all that is trained had a gradient and moved, all else did not, and the loss is another at the end.
    pub passed: bool,
}

/// One answer of one arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Generation {
    pub arm: String,
    /// Of the training whose model answered.
    #[serde(default)]
    pub seed: u64,
    pub item: String,
    /// SHA-256 of the item's turns, category and reference: the same question has it under any id.
    #[serde(default)]
    pub item_hash: String,
    /// SHA-256 of the prompt and the settings of generation.
    #[serde(default)]
    pub prompt_hash: String,
    pub category: String,
    /// The text given to the model, template included.
    pub prompt: String,
    pub answer: String,
    pub reference: Option<String>,
    pub prompt_tokens: u64,
    pub new_tokens: u64,
    /// `stop` at an end-of-sequence token, `length` at the limit, `not_asked` where the model could not be asked.
    pub finish: String,
    /// Since the answer before it, as many are made side by side. Where several models answer in one batch, its time is
    /// divided among them by the rows that they have in it, so that the answers of all add up to it.
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
    /// Of the training whose model answered.
    #[serde(default)]
    pub seed: u64,
    pub item: String,
    /// As [`Generation::item_hash`].
    #[serde(default)]
    pub item_hash: String,
    pub category: String,
    pub judge: String,
    /// SHA-256 of the judge: plugin, options, server, and the rubric of the item. Judgements under different ones do not
    /// measure the same.
    #[serde(default)]
    pub judge_hash: String,
    /// SHA-256 of the item's own rubric; empty without one.
    #[serde(default)]
    pub rubric_hash: String,
    /// SHA-256 of the answer.
    #[serde(default)]
    pub answer_hash: String,
    /// Of a judge that compares: the arm or base model whose answer stood against this one; empty otherwise. The score then
    /// is how much better this arm's is: 1 it wins, 0.5 a tie, 0 it loses.
    #[serde(default)]
    pub rival: String,
    #[serde(default)]
    pub rival_seed: u64,
    /// SHA-256 of the rival's answer.
    #[serde(default)]
    pub rival_answer_hash: String,
    /// Of a judge that compares: whether this arm's answer was shown second.
    #[serde(default)]
    pub swapped: bool,
    /// From 0, when an answer is judged several times.
    pub repeat: u32,
    /// In 0..=1; null unless `status` is scored.
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub reason: String,
    /// The judge model's last reply, as it came; empty when none was asked.
    pub reply: String,
    /// SHA-256 of the last request, its prompt included; empty when none was sent.
    pub request_hash: String,
    /// The judge model that was asked for; empty when none was asked.
    #[serde(default)]
    pub asked_model: String,
    /// The judge model, as its server named it: the snapshot; empty when none was asked.
    pub model: String,
    /// The server's `system_fingerprint`; empty where it gives none.
    #[serde(default)]
    pub fingerprint: String,
    /// What the server refused and was left out or renamed: `temperature left out`; empty where nothing was.
    #[serde(default)]
    pub adapted: String,
    /// Whether the last reply came from a batch.
    #[serde(default)]
    pub batch: bool,
    /// US dollars, where the study gives prices; null otherwise.
    pub cost_usd: Option<f64>,
    pub seconds: f64,
}

impl Judgement {
    /// The judgement of an answer before anything is known of it: failed, with no score and no reason.
    pub fn begin(generation: &Generation, judge: &str, repeat: u32) -> Self {
        Self {
            arm: generation.arm.clone(),
            seed: generation.seed,
            item: generation.item.clone(),
            item_hash: generation.item_hash.clone(),
            category: generation.category.clone(),
            judge: judge.to_owned(),
            judge_hash: String::new(),
            rubric_hash: String::new(),
            answer_hash: crate::hash::of_bytes(generation.answer.as_bytes()),
            rival: String::new(),
            rival_seed: 0,
            rival_answer_hash: String::new(),
            swapped: false,
            repeat,
            score: None,
            status: JudgementStatus::Failed,
            reason: String::new(),
            reply: String::new(),
            request_hash: String::new(),
            asked_model: String::new(),
            model: String::new(),
            fingerprint: String::new(),
            adapted: String::new(),
            batch: false,
            cost_usd: None,
            seconds: 0.0,
        }
    }
}

/// A person's mark of one answer: a line of a run's `labels.jsonl`, by which a judge is calibrated.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    pub arm: String,
    #[serde(default)]
    pub seed: u64,
    /// Id of the item.
    pub item: String,
    /// As [`Judgement::answer_hash`]: a mark is of an answer, not of whatever the arm says later. Empty where a file gives
    /// none; it is then of the answer that is there when the file is read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub answer_hash: String,
    /// In 0..=1.
    pub score: f64,
    /// Who marked it; empty when not said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labeler: String,
}

/// What a judge said of an answer that was changed on purpose, beside what it said of the answer as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub judge: String,
    pub judge_hash: String,
    pub arm: String,
    pub seed: u64,
    pub item: String,
    pub item_hash: String,
    pub category: String,
    /// `claimed`: it claims the full mark; `padded`: it says nothing new at greater length; `shuffled`: its sentences stand in
    /// another order; `other`: it is the answer to another question; `empty`: it says nothing; `position`: compared with
    /// itself.
    pub probe: String,
    /// Of the answer as it was; null where there is none.
    pub original: Option<f64>,
    /// Of the changed answer; null unless `status` is scored.
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub reason: String,
    pub cost_usd: Option<f64>,
}
