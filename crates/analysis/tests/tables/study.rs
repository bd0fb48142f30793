//! A small study on disk, whose numbers can be checked by hand.

use tempfile::TempDir;
use tunebench_results::{write_arms, write_generations, write_judgements, write_steps};
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, StepLog};

pub fn arm(name: &str, steps: u64, additional_params: u64) -> ArmRecord {
    ArmRecord {
        arm: name.into(),
        base: "small".into(),
        tuner: "ft".into(),
        dataset: "chinese".into(),
        examples: 100,
        skipped_examples: 0,
        seed: 1,
        engine: "fast".into(),
        model_params: 1_000_000,
        trainable_params: if additional_params > 0 { additional_params } else { 1_000_000 },
        additional_params,
        epochs: 2.0,
        steps,
        tokens: 36_000,
        train_seconds: 90.0 * steps as f64,
        hours_per_epoch: 0.25,
        tokens_per_second: 20.0,
        peak_rss_bytes: 3 << 29,
        final_loss: (steps > 0).then_some(1.25),
        identity: "00".repeat(32),
        evaluated: true,
    }
}

pub fn step(arm: &str, step: u64, loss: f64) -> StepLog {
    StepLog { arm: arm.into(), step, epoch: 0.0, loss, learning_rate: 5e-6, grad_norm: 1.0, tokens: 100, seconds: 1.0 }
}

pub fn generation(arm: &str, item: &str, new_tokens: u64, finish: &str) -> Generation {
    Generation {
        arm: arm.into(),
        item: item.into(),
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
        arm: arm.into(),
        item: item.into(),
        category: category.into(),
        judge: "reference".into(),
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
