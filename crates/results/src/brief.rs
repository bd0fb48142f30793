//! Rows without their words: what a large frame is compared by, at a small part of its memory.

use tunebench_spec::JudgementStatus;

use crate::column::record;

/// A [`tunebench_spec::Judgement`] without reason, reply and request.
#[derive(Clone, Debug, PartialEq)]
pub struct BriefJudgement {
    pub arm: String,
    pub seed: u64,
    pub item_hash: String,
    pub category: String,
    pub judge: String,
    pub judge_hash: String,
    pub repeat: u32,
    pub score: Option<f64>,
    pub status: JudgementStatus,
    pub cost_usd: Option<f64>,
}

/// A [`tunebench_spec::Generation`] without prompt, answer and reference.
#[derive(Clone, Debug, PartialEq)]
pub struct BriefGeneration {
    pub arm: String,
    pub seed: u64,
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
    repeat: u32, "", "as in judgements";
    score: Option<f64>, "score 0..1", "as in judgements";
    status: JudgementStatus, "", "as in judgements";
    cost_usd: Option<f64>, "US dollars", "as in judgements";
});

record!("generations", BriefGeneration {
    arm: String, "", "as in generations";
    seed: u64, "", "as in generations";
    item_hash: String, "", "as in generations";
    prompt_hash: String, "", "as in generations";
    category: String, "", "as in generations";
    new_tokens: u64, "tokens", "as in generations";
    finish: String, "", "as in generations";
});
