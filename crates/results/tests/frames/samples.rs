//! Small records that the tests of this crate share.

use tunebench_spec::{ArmRecord, Generation, GradientReceipt, Judgement, JudgementStatus, LossLog, Probe, StepLog};

pub fn arm(name: &str) -> ArmRecord {
    ArmRecord {
        arm: name.into(),
        candidate: "learning_rate=0.0002 options.r=8".into(),
        selected: true,
        base: "small".into(),
        tuner: "lora-attention".into(),
        options: r#"{"r":8}"#.into(),
        dataset: "chinese".into(),
        template: "belle".into(),
        recipe: r#"{"epochs":{"value":4.0,"origin":"tuner"}}"#.into(),
        examples: 2000,
        skipped_examples: 3,
        held_out_examples: 20,
        seed: u64::MAX,
        engine: "fast".into(),
        precision: "bf16".into(),
        computed_by: "avx2, 2 threads".into(),
        model_params: 1_000_000,
        trainable_params: 8192,
        additional_params: 8192,
        epochs: 4.0,
        steps: 63,
        kept_step: 63,
        tokens: 100_000,
        train_seconds: 90.5,
        hours_per_epoch: 0.006,
        tokens_per_second: 1104.9,
        peak_rss_bytes: 1 << 30,
        predicted_seconds: Some(80.0),
        predicted_peak_bytes: None,
        final_loss: Some(f64::NAN),
        identity: "ab".repeat(32),
        evaluated: true,
    }
}

pub fn step(arm: &str, step: u64, loss: f64) -> StepLog {
    StepLog {
        arm: arm.into(),
        candidate: String::new(),
        seed: 1,
        step,
        epoch: step as f64 / 10.0,
        loss,
        learning_rate: 2e-4,
        grad_norm: 1.5,
        tokens: 512,
        seconds: 0.25,
    }
}

pub fn loss(arm: &str, step: u64, is_final: bool) -> LossLog {
    LossLog {
        arm: arm.into(),
        candidate: String::new(),
        seed: 1,
        step,
        set: "general".into(),
        set_hash: "ef".repeat(32),
        loss: 2.0,
        bits_per_byte: 0.75,
        tokens: 4000,
        bytes: 15_000,
        is_final,
    }
}

pub fn receipt(arm: &str, passed: bool) -> GradientReceipt {
    GradientReceipt {
        arm: arm.into(),
        candidate: String::new(),
        seed: 1,
        step: 3,
        tensors: 8,
        gradients_first: 4,
        gradients: if passed { 8 } else { 7 },
        moved: 8,
        still: if passed { String::new() } else { "idle".into() },
        frozen: 20,
        frozen_unchanged: true,
        loss_before: Some(4.5),
        loss_after: passed.then_some(2.5),
        passed,
    }
}

pub fn generation(arm: &str, item: &str, reference: Option<&str>) -> Generation {
    Generation {
        arm: arm.into(),
        seed: 1,
        item: item.into(),
        item_hash: format!("content of {item}"),
        prompt_hash: format!("prompt of {item}"),
        category: "open qa".into(),
        prompt: "Human: \n你好\n\nAssistant: \n".into(),
        answer: "回答\0\u{1b}[31m".into(),
        reference: reference.map(str::to_owned),
        prompt_tokens: 9,
        new_tokens: 12,
        finish: "stop".into(),
        seconds: 0.5,
    }
}

/// A judgement scored when `score` is some, and with the given status otherwise.
pub fn judgement(arm: &str, category: &str, item: &str, repeat: u32, score: Result<f64, JudgementStatus>) -> Judgement {
    Judgement {
        rubric_hash: String::new(),
        answer_hash: String::new(),
        rival: String::new(),
        rival_seed: 0,
        rival_answer_hash: String::new(),
        swapped: false,
        asked_model: String::new(),
        fingerprint: String::new(),
        adapted: String::new(),
        batch: false,
        arm: arm.into(),
        seed: 1,
        item: item.into(),
        item_hash: format!("content of {item}"),
        category: category.into(),
        judge: "reference".into(),
        judge_hash: "cd".repeat(32),
        repeat,
        score: score.ok(),
        status: score.err().unwrap_or(JudgementStatus::Scored),
        reason: String::new(),
        reply: "得分: 0.5".into(),
        request_hash: String::new(),
        model: String::new(),
        cost_usd: score.ok().map(|_| 0.001),
        seconds: 0.1,
    }
}

/// What the judge said of an answer that was changed, beside 0.5 for the answer as it was.
pub fn probe(arm: &str, item: &str, probe: &str, score: Result<f64, JudgementStatus>) -> Probe {
    Probe {
        judge: "reference".into(),
        judge_hash: "cd".repeat(32),
        arm: arm.into(),
        seed: 1,
        item: item.into(),
        item_hash: format!("content of {item}"),
        category: "extract".into(),
        probe: probe.into(),
        original: Some(0.5),
        score: score.ok(),
        status: score.err().unwrap_or(JudgementStatus::Scored),
        reason: String::new(),
        cost_usd: score.ok().map(|_| 0.001),
    }
}
