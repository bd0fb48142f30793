//! Rows without their words: what a large frame is compared by, at a small part of its memory.

use tunebench_spec::JudgementStatus;

use crate::column::record;

/// A [`tunebench_spec::Judgement`] without reason, reply and request, and without what its server was told.
#[derive(Clone, Debug, PartialEq)]
pub struct BriefJudgement {
    pub arm: String,
    pub seed: u64,
    pub item_hash: String,
    pub category: String,
    pub judge: String,
    pub judge_hash: String,
    pub answer_hash: String,
    pub rival: String,
    pub rival_seed: u64,
    pub rival_answer_hash: String,
    pub swapped: bool,
    pub repeat: u32,
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub asked_model: String,
    pub model: String,
    pub fingerprint: String,
    pub cost_usd: Option<f64>,
}

/// What the server of a [`tunebench_spec::Judgement`] was asked and said, without the verdict.
#[derive(Clone, Debug, PartialEq)]
pub struct ServedJudgement {
    pub judge: String,
    pub status: JudgementStatus,
    pub reason: String,
    pub asked_model: String,
    pub model: String,
    pub fingerprint: String,
    pub adapted: String,
    pub batch: bool,
    pub cost_usd: Option<f64>,
    pub seconds: f64,
}

/// A [`tunebench_spec::Generation`] without prompt, answer and reference.
#[derive(Clone, Debug, PartialEq)]
pub struct BriefGeneration {
    pub arm: String,
    pub seed: u64,
    pub item: String,
    pub item_hash: String,
    pub prompt_hash: String,
    pub category: String,
    pub new_tokens: u64,
    pub finish: String,
}

record!("judgements", BriefJudgement {
    arm: String, "", "as in judgements";
    seed: u64, "", "as in judgements";
    item_hash: String, "", "as in judgements";
    category: String, "", "as in judgements";
    judge: String, "", "as in judgements";
    judge_hash: String, "", "as in judgements";
    answer_hash: String, "", "as in judgements";
    rival: String, "", "as in judgements";
    rival_seed: u64, "", "as in judgements";
    rival_answer_hash: String, "", "as in judgements";
    swapped: bool, "", "as in judgements";
    repeat: u32, "", "as in judgements";
    score: Option<f64>, "score 0..1", "as in judgements";
    status: JudgementStatus, "", "as in judgements";
    asked_model: String, "", "as in judgements";
    model: String, "", "as in judgements";
    fingerprint: String, "", "as in judgements";
    cost_usd: Option<f64>, "US dollars", "as in judgements";
});

record!("judgements", ServedJudgement {
    judge: String, "", "as in judgements";
    status: JudgementStatus, "", "as in judgements";
    reason: String, "", "as in judgements";
    asked_model: String, "", "as in judgements";
    model: String, "", "as in judgements";
    fingerprint: String, "", "as in judgements";
    adapted: String, "", "as in judgements";
    batch: bool, "", "as in judgements";
    cost_usd: Option<f64>, "US dollars", "as in judgements";
    seconds: f64, "seconds", "as in judgements";
});

record!("generations", BriefGeneration {
    arm: String, "", "as in generations";
    seed: u64, "", "as in generations";
    item: String, "", "as in generations";
    item_hash: String, "", "as in generations";
    prompt_hash: String, "", "as in generations";
    category: String, "", "as in generations";
    new_tokens: u64, "tokens", "as in generations";
    finish: String, "", "as in generations";
});
