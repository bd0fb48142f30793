//! A small study on disk, whose numbers can be checked by hand.

use tempfile::TempDir;
use tunebench_results::{write_arms, write_generations, write_judgements, write_steps};
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, LossLog, StepLog};

/// One training with seed 1; a base model as it is without steps.
pub fn arm(name: &str, steps: u64, additional_params: u64) -> ArmRecord {
    let is_trained = steps > 0;
    ArmRecord {
        arm: name.into(),
        candidate: String::new(),
        selected: true,
        base: if is_trained { "small".into() } else { String::new() },
        tuner: match (is_trained, additional_params) {
            (false, _) => "none".into(),
            (true, 0) => "ft".into(),
            (true, _) => "lora".into(),
        },
        options: if additional_params > 0 { r#"{"r":8}"#.into() } else { "{}".into() },
        dataset: if is_trained { "chinese".into() } else { String::new() },
        template: "belle".into(),
        recipe: recipe(&[("learning_rate", "0.0002", "tuner"), ("epochs", "2.0", "study")]),
        examples: 100,
        skipped_examples: 0,
        held_out_examples: 10,
        seed: 1,
        engine: "fast".into(),
        precision: "bf16".into(),
        computed_by: "avx2, 2 threads".into(),
        model_params: 1_000_000,
        trainable_params: if additional_params > 0 { additional_params } else { 1_000_000 },
        additional_params,
        epochs: 2.0,
        steps,
        kept_step: steps,
        tokens: 36_000,
        train_seconds: 90.0 * steps as f64,
        hours_per_epoch: 90.0 * steps as f64 / 3600.0 / 2.0,
        tokens_per_second: 20.0,
        peak_rss_bytes: 3 << 29,
        predicted_seconds: None,
        predicted_peak_bytes: None,
        final_loss: is_trained.then_some(1.25),
        identity: "00".repeat(32),
        evaluated: true,
    }
}

/// A recipe column: name, value as JSON, origin.
pub fn recipe(settings: &[(&str, &str, &str)]) -> String {
    let field =
        |(name, value, origin): &(&str, &str, &str)| format!(r#""{name}":{{"value":{value},"origin":"{origin}"}}"#);
    format!("{{{}}}", settings.iter().map(field).collect::<Vec<_>>().join(","))
}

pub fn step(arm: &str, step: u64, loss: f64) -> StepLog {
    StepLog {
        arm: arm.into(),
        candidate: String::new(),
        seed: 1,
        step,
        epoch: 0.0,
        loss,
        learning_rate: 5e-6,
        grad_norm: 1.0,
        tokens: 100,
        seconds: 1.0,
    }
}

/// A loss in bits per byte, of the plain base where `step` is 0 and of the result elsewhere.
pub fn loss(arm: &str, seed: u64, step: u64, set: &str, bits_per_byte: f64) -> LossLog {
    LossLog {
        arm: arm.into(),
        candidate: String::new(),
        seed,
        step,
        set: set.into(),
        set_hash: format!("{set} of small"),
        loss: 2.0 * bits_per_byte,
        bits_per_byte,
        tokens: 1000,
        bytes: 2885,
        is_final: step > 0,
    }
}

pub fn generation(arm: &str, item: &str, new_tokens: u64, finish: &str) -> Generation {
    Generation {
        arm: arm.into(),
        seed: 1,
        item: item.into(),
        item_hash: format!("content of {item}"),
        prompt_hash: format!("prompt of {item}"),
        category: "extract".into(),
        prompt: "?".into(),
        answer: "a|b\u{1b}[2J\n好".into(),
        reference: None,
        prompt_tokens: 1,
        new_tokens,
        finish: finish.into(),
        seconds: 1.0,
    }
}

/// `NaN` stands for a judgement without a score.
pub fn judgement(arm: &str, category: &str, item: &str, score: f64) -> Judgement {
    let scored = !score.is_nan();
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
        judge_hash: "rubric 1".into(),
        repeat: 0,
        score: scored.then_some(score),
        status: if scored { JudgementStatus::Scored } else { JudgementStatus::Unscored },
        reason: String::new(),
        reply: String::new(),
        request_hash: String::new(),
        model: String::new(),
        cost_usd: scored.then_some(0.001),
        seconds: 0.0,
    }
}

/// Three arms listed out of alphabetical order, the last untrained; `lora` has one item without a score.
pub fn study() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    write_arms(path, &[arm("lora", 20, 8192), arm("full | 全", 40, 0), arm("base", 0, 0)]).unwrap();
    write_steps(path, &(1..=20).map(|n| step("lora", n, 4.0 - n as f64 / 10.0)).collect::<Vec<_>>()).unwrap();
    let scores = [
        ("lora", [0.5, 0.75, 1.0, f64::NAN, 0.25]),
        ("full | 全", [0.75, 1.0, 1.0, 0.5, 0.25]),
        ("base", [0.0, 0.25, 0.0, 0.0, 0.25]),
    ];
    let items = [("extract", "1"), ("extract", "2"), ("open qa", "3"), ("open qa", "4"), ("zoology", "5")];
    let judged = |(arm, scores): (&str, [f64; 5])| {
        let row = |((category, item), score): ((&str, &str), f64)| judgement(arm, category, item, score);
        items.into_iter().zip(scores).map(row).collect::<Vec<_>>()
    };
    write_judgements(path, &scores.into_iter().flat_map(judged).collect::<Vec<_>>()).unwrap();
    let answered = |(arm, length): (&str, u64)| {
        let finish = |i: usize| if i == 4 && arm == "lora" { "length" } else { "stop" };
        (0..5).map(|i| generation(arm, items[i].1, length * (i as u64 + 1), finish(i))).collect::<Vec<_>>()
    };
    let answers: Vec<Generation> =
        [("lora", 100), ("full | 全", 20), ("base", 10)].into_iter().flat_map(answered).collect();
    write_generations(path, &answers).unwrap();
    dir
}
