//! The declared columns of every frame: name, type, unit, meaning.
//!
//! Names and order are the file format. A column that is added, renamed or removed, or whose meaning changes, raises
//! [`crate::FORMAT_VERSION`].

use tunebench_spec::{ArmRecord, Generation, GradientReceipt, Judgement, JudgementStatus, LossLog, Probe, StepLog};

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
pub const FRAMES: [Frame; 8] = [
    Frame::of::<ArmRecord>(),
    Frame::of::<StepLog>(),
    Frame::of::<LossLog>(),
    Frame::of::<GradientReceipt>(),
    Frame::of::<Generation>(),
    Frame::of::<Judgement>(),
    Frame::of::<Probe>(),
    Frame::of::<ScoreRow>(),
];

record!("arms", ArmRecord {
    arm: String, "", "name of the arm in the study; a row for each of its trainings, in the study's order";
    candidate: String, "", "the values that a grid gave this training, as learning_rate=0.0002 options.r=8; empty without a grid";
    selected: bool, "", "whether the training stands for its arm: no grid, or the candidate that was chosen";
    base: String, "", "the model or arm it starts from";
    tuner: String, "", "plugin that says what is trained";
    options: String, "", "the tuner's options as a JSON object";
    dataset: String, "", "id of the training set";
    template: String, "", "how a conversation becomes text";
    recipe: String, "", "the recipe as a JSON object: of each field its value and origin (default, tuner, fitted, study, arm or grid)";
    examples: u64, "examples", "training examples used per epoch";
    skipped_examples: u64, "examples", "training examples left out, for example without a label token";
    held_out_examples: u64, "examples", "examples of the source kept from training, to measure the held-out loss";
    seed: u64, "", "seed of every random choice of the training";
    engine: String, "", "reference or fast";
    precision: String, "", "what the engine computes in";
    computed_by: String, "", "level of CPU instructions, ranks and threads of its training, one after another where it was resumed by others; empty without a training";
    model_params: u64, "parameters", "parameters of the model, adapters excluded";
    trainable_params: u64, "parameters", "parameters that training changes";
    additional_params: u64, "parameters", "parameters added by adapters";
    epochs: f64, "epochs", "passes over the training set";
    steps: u64, "steps", "optimizer steps";
    kept_step: u64, "steps", "step whose weights are the result: the last one, but with load_best_model_at_end";
    tokens: u64, "tokens", "tokens trained on, padding excluded, all epochs together";
    train_seconds: f64, "seconds", "wall time of training";
    hours_per_epoch: f64, "hours", "wall time of one epoch";
    tokens_per_second: f64, "tokens/second", "training throughput, padding excluded";
    peak_rss_bytes: u64, "bytes", "largest resident memory of the process while it trained";
    predicted_seconds: Option<f64>, "seconds", "wall time of training as predicted before it began; null where it could not be";
    predicted_peak_bytes: Option<u64>, "bytes", "memory at the peak of training as predicted before it began; null where it could not be";
    final_loss: Option<f64>, "nats/token", "mean loss of the last tenth of the steps, per label token; null for a base model";
    identity: String, "", "SHA-256 of all that the training depends on";
    evaluated: bool, "", "whether its model takes part in the evaluation";
});

record!("steps", StepLog {
    arm: String, "", "name of the arm";
    candidate: String, "", "as in arms";
    seed: u64, "", "seed of the training";
    step: u64, "steps", "optimizer step, from 1";
    epoch: f64, "epochs", "epochs done after this step";
    loss: f64, "nats/token", "mean over the label tokens of the whole accumulated batch";
    learning_rate: f64, "1", "learning rate of the step";
    grad_norm: f64, "1", "global gradient norm before clipping";
    tokens: u64, "tokens", "tokens of the step, padding excluded";
    seconds: f64, "seconds", "wall time of the step";
});

record!("losses", LossLog {
    arm: String, "", "name of the arm";
    candidate: String, "", "as in arms";
    seed: u64, "", "seed of the training";
    step: u64, "steps", "optimizer steps done; 0 is the plain base model";
    set: String, "", "held_out: rows kept from training; general: a fixed text of general language";
    set_hash: String, "", "SHA-256 of the tokens it was measured on; losses of other ones are not comparable";
    loss: f64, "nats/token", "mean over the label tokens";
    bits_per_byte: f64, "bits/byte", "sum over the label tokens per UTF-8 byte of their text; comparable over tokenizers";
    tokens: u64, "tokens", "label tokens";
    bytes: u64, "bytes", "UTF-8 bytes of the text that the labels are";
    is_final: bool, "", "whether it is the loss of the training's result, not of a state on the way";
});

record!("receipts", GradientReceipt {
    arm: String, "", "name of the arm";
    candidate: String, "", "as in arms";
    seed: u64, "", "seed of the training";
    step: u64, "steps", "step after which the receipt was drawn up: 3, or the last of a shorter training";
    tensors: u64, "tensors", "tensors that are trained";
    gradients_first: u64, "tensors", "of them with a gradient other than zero in the first step; LoRA's A has none there, as B is zero";
    gradients: u64, "tensors", "of them with a gradient other than zero in one of the steps";
    moved: u64, "tensors", "of them that had moved by then, a bit at least";
    still: String, "", "first few trained tensors without a gradient, or that did not move, not even by the end; empty where all did";
    frozen: u64, "tensors", "tensors of the model that are frozen";
    frozen_unchanged: bool, "", "whether their bytes were the same before the first step and after the last of these";
    loss_before: Option<f64>, "nats/token", "loss of the first example of the first step, nothing dropped, before it; null where it has no label";
    loss_after: Option<f64>, "nats/token", "the same after the training's last step; null before that";
    passed: bool, "", "whether all that is trained had a gradient and moved, nothing else did, and the loss is another at the end";
});

record!("generations", Generation {
    arm: String, "", "name of the arm";
    seed: u64, "", "seed of the training whose model answered";
    item: String, "", "id of the evaluation item";
    item_hash: String, "", "SHA-256 of the item's turns, category and reference: the same question has it under any id";
    prompt_hash: String, "", "SHA-256 of the prompt and the settings of generation";
    category: String, "", "category of the item";
    prompt: String, "", "text given to the model, template included";
    answer: String, "", "what the model answered";
    reference: Option<String>, "", "reference answer of the item; null when it has none";
    prompt_tokens: u64, "tokens", "length of the prompt";
    new_tokens: u64, "tokens", "length of the answer";
    finish: String, "", "stop at an end-of-sequence token, length at the limit, not_asked where the model could not be asked";
    seconds: f64, "seconds", "wall time of the answer: since the one before it; of models that answer in one batch, their share by rows";
});

record!("judgements", Judgement {
    arm: String, "", "name of the arm";
    seed: u64, "", "seed of the training whose model answered";
    item: String, "", "id of the evaluation item";
    item_hash: String, "", "as in generations";
    category: String, "", "category of the item";
    judge: String, "", "name of the judge; its plugin's unless the study gives another";
    judge_hash: String, "", "SHA-256 of the judge: plugin, options, server, and the item's rubric";
    rubric_hash: String, "", "SHA-256 of the item's own rubric; empty without one";
    answer_hash: String, "", "SHA-256 of the answer";
    rival: String, "", "of a judge that compares: the arm or base model whose answer stood against this one";
    rival_seed: u64, "", "seed of the training whose model gave the rival's answer";
    rival_answer_hash: String, "", "SHA-256 of the rival's answer";
    swapped: bool, "", "of a judge that compares: whether this arm's answer was shown second";
    repeat: u32, "", "number of this judgement among those of one answer, from 0";
    score: Option<f64>, "score 0..1", "the verdict; against a rival 1 for better, 0.5 for a tie, 0 for worse; null unless status is scored";
    status: JudgementStatus, "", "scored, unscored (the judge could not tell) or failed (it could not be asked)";
    reason: String, "", "why, in the judge's words";
    reply: String, "", "the judge model's last reply; empty when none was asked";
    request_hash: String, "", "SHA-256 of the last request; empty when none was sent";
    asked_model: String, "", "the judge model that was asked for; empty when none was asked";
    model: String, "", "the judge model as its server named it; empty when none was asked";
    fingerprint: String, "", "the server's system_fingerprint; empty where it gives none";
    adapted: String, "", "what the server refused and was left out of the request or renamed";
    batch: bool, "", "whether the last reply came from a batch";
    cost_usd: Option<f64>, "US dollars", "price of the requests; null where the study gives no prices";
    seconds: f64, "seconds", "wall time of the judgement";
});

record!("probes", Probe {
    judge: String, "", "as in judgements";
    judge_hash: String, "", "as in judgements";
    arm: String, "", "name of the arm";
    seed: u64, "", "seed of the training whose model answered";
    item: String, "", "id of the evaluation item";
    item_hash: String, "", "as in generations";
    category: String, "", "category of the item";
    probe: String, "", "how the answer was changed: claimed, padded, shuffled, other, empty or position";
    original: Option<f64>, "score 0..1", "the verdict on the answer as it was; null where it has none";
    score: Option<f64>, "score 0..1", "the verdict on the changed answer; null unless status is scored";
    status: JudgementStatus, "", "as in judgements";
    reason: String, "", "why, in the judge's words";
    cost_usd: Option<f64>, "US dollars", "price of the requests; null where the study gives no prices";
});

record!("scores", ScoreRow {
    arm: String, "", "name of the arm";
    seed: u64, "", "seed of the training whose model answered; a row for each";
    judge: String, "", "name of the judge";
    category: String, "", "category of the items, or `macro average` or `micro average` over all";
    items: u64, "items", "items with a judgement";
    scored: u64, "items", "items with at least one score";
    unscored: u64, "items", "items the judge could not tell";
    failed: u64, "items", "items without a score for which the judge could not be asked";
    mean_score: Option<f64>, "score 0..1", "mean over scored items, repeats of an item averaged first; null when there is none";
    lower_bound: f64, "score 0..1", "mean over all items with every item without a score counted as 0";
    upper_bound: f64, "score 0..1", "mean over all items with every item without a score counted as 1";
});
