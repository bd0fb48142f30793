//! A small run folder: three arms of two seeds, one of them with a grid, and the base they start from, on twelve items, by
//! two judges. Questions are Chinese and English, and some texts would be markup, if they were let.

use std::path::Path;

use tunebench_results::{write_arms, write_generations, write_judgements, write_losses, write_steps};
use tunebench_spec::random::Stream;
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, LossLog, StepLog};

pub const ITEMS: usize = 12;
pub const SEEDS: [u64; 2] = [4, 5];
pub const FULL: &str = "full <b>全</b>";
pub const LORA: &str = "lora";
pub const GRID: &str = "lora & grid";
pub const BASE: &str = "small";
/// The trained arms and their mean scores.
pub const ARMS: [(&str, f64); 3] = [(FULL, 0.7), (LORA, 0.45), (GRID, 0.4)];
pub const JUDGES: [&str; 2] = ["asked", "reference"];
pub const HOSTILE: &str = "</script><img src=x onerror='window.ran = 1'> 你好 \u{202e}";
/// Steps of the training that the curve of [`LORA`] shows.
pub const LONG: u64 = 1000;

/// The rows of every frame, to be changed before they are written.
pub struct Rows {
    pub arms: Vec<ArmRecord>,
    pub steps: Vec<StepLog>,
    pub losses: Vec<LossLog>,
    pub generations: Vec<Generation>,
    pub judgements: Vec<Judgement>,
}

impl Rows {
    pub fn write(&self, dir: &Path) {
        write_arms(dir, &self.arms).unwrap();
        write_steps(dir, &self.steps).unwrap();
        write_losses(dir, &self.losses).unwrap();
        write_generations(dir, &self.generations).unwrap();
        write_judgements(dir, &self.judgements).unwrap();
        std::fs::write(dir.join("study.toml"), STUDY).unwrap();
    }
}

const STUDY: &str = r#"
[study]
name = "十二题 <i>"

[[model]]
id = "small"
source = "small"

[[dataset]]
id = "chinese"
plugin = "belle"
source = "chinese.jsonl"

[[arm]]
name = "lora"
base = "small"
tuner = "lora-attention"
dataset = "chinese"
"#;

pub fn rows() -> Rows {
    let mut rows = Rows {
        arms: vec![record(BASE, 1, 0)],
        steps: Vec::new(),
        losses: Vec::new(),
        generations: Vec::new(),
        judgements: Vec::new(),
    };
    for (i, (arm, _)) in ARMS.iter().enumerate() {
        for seed in SEEDS {
            let n_steps = if *arm == LORA { LONG } else { 30 };
            let mut record = record(arm, seed, n_steps);
            if *arm == GRID {
                record.candidate = "learning_rate=0.0004".into();
                if seed == SEEDS[0] {
                    let losing = |rate: &str| {
                        let candidate = format!("learning_rate={rate}");
                        ArmRecord { candidate, selected: false, evaluated: false, steps: 10, ..record.clone() }
                    };
                    let all = [losing("0.0001"), losing("0.0002")];
                    rows.losses.extend(all.iter().flat_map(|record| losses(record, 1.5)));
                    rows.arms.extend(all);
                }
            }
            let of_step = |step: u64| StepLog {
                arm: record.arm.clone(),
                candidate: record.candidate.clone(),
                seed,
                step,
                epoch: step as f64 / 10.0,
                loss: 1.0 + 2.0 / step as f64,
                learning_rate: 1e-4,
                grad_norm: 1.0,
                tokens: 100,
                seconds: 1.0,
            };
            rows.steps.extend((1..=n_steps).map(of_step));
            rows.losses.extend(losses(&record, 1.0 + 0.1 * i as f64));
            rows.arms.push(record);
        }
    }
    answer(&mut rows, BASE, 1, 0.2);
    for (arm, mean) in ARMS {
        SEEDS.iter().for_each(|seed| answer(&mut rows, arm, *seed, mean));
    }
    rows
}

fn record(arm: &str, seed: u64, steps: u64) -> ArmRecord {
    let is_trained = steps > 0;
    let is_full = arm == FULL;
    let tuner = match (is_trained, is_full) {
        (false, _) => "none",
        (true, true) => "ft",
        (true, false) => "lora-attention",
    };
    ArmRecord {
        arm: arm.into(),
        candidate: String::new(),
        selected: true,
        base: if is_trained { BASE.into() } else { String::new() },
        tuner: tuner.into(),
        options: if is_trained && !is_full { r#"{"r":8}"#.into() } else { "{}".into() },
        dataset: if is_trained { "chinese".into() } else { String::new() },
        template: "belle".into(),
        recipe: format!(r#"{{"epochs":{{"value":{},"origin":"study"}}}}"#, if is_full { 2.0 } else { 3.0 }),
        examples: 100,
        skipped_examples: 0,
        held_out_examples: 10,
        seed,
        engine: "fast".into(),
        precision: "bf16".into(),
        computed_by: "avx2, 2 threads".into(),
        model_params: 1_000_000,
        trainable_params: if is_full { 1_000_000 } else { 8_192 },
        additional_params: if is_full || !is_trained { 0 } else { 8_192 },
        epochs: 2.0,
        steps,
        kept_step: steps,
        tokens: 3_000,
        train_seconds: if is_full { 300.0 } else { 100.0 },
        hours_per_epoch: 0.05,
        tokens_per_second: 20.0,
        peak_rss_bytes: 1 << 30,
        predicted_seconds: Some(90.0),
        predicted_peak_bytes: Some(1 << 30),
        final_loss: is_trained.then_some(1.0),
        identity: format!("{arm} {seed}"),
        evaluated: true,
    }
}

/// Before and after, on both texts.
fn losses(record: &ArmRecord, after: f64) -> Vec<LossLog> {
    let of = |set: &str, step: u64, loss: f64| LossLog {
        arm: record.arm.clone(),
        candidate: record.candidate.clone(),
        seed: record.seed,
        step,
        set: set.into(),
        set_hash: format!("{set} of {BASE}"),
        loss,
        bits_per_byte: loss / 2.0,
        tokens: 100,
        bytes: 300,
        is_final: step > 0,
    };
    let steps = record.steps;
    vec![of(HELD_OUT, 0, 3.0), of(HELD_OUT, steps, after), of(GENERAL, 0, 2.0), of(GENERAL, steps, 2.1 + after / 100.0)]
}

fn answer(rows: &mut Rows, arm: &str, seed: u64, mean: f64) {
    for i in 0..ITEMS {
        let question = if i % 2 == 0 { format!("第 {i} 题？{HOSTILE}") } else { format!("Question {i}?") };
        let generation = Generation {
            arm: arm.into(),
            seed,
            item: format!("items.jsonl:{}", i + 1),
            item_hash: format!("content {i}"),
            prompt_hash: format!("prompt {i}"),
            category: if i < 6 { "open qa".into() } else { "数学".into() },
            prompt: format!("Human: \n{question}\n\nAssistant: \n"),
            answer: format!("{arm} answers {i}: {HOSTILE}"),
            reference: (i % 3 > 0).then(|| format!("reference {i}")),
            prompt_tokens: 8,
            new_tokens: 10 + i as u64,
            finish: "stop".into(),
            seconds: 0.5,
        };
        for judge in JUDGES {
            let mut random = Stream::named(seed + i as u64, &format!("{arm} {judge}"));
            // An item is as easy for one arm as for another.
            let ease = 0.1 * Stream::named(i as u64, "ease").normal();
            let score = (mean + ease + 0.03 * random.normal()).clamp(0.0, 1.0);
            let is_scored = !(arm == LORA && seed == SEEDS[1] && i == 7);
            rows.judgements.push(Judgement {
                judge_hash: format!("rubric of {judge}"),
                score: is_scored.then_some(score),
                status: if is_scored { JudgementStatus::Scored } else { JudgementStatus::Unscored },
                reason: if is_scored { String::new() } else { "the reply holds no number".into() },
                reply: if judge == "asked" { format!("I give {score:.2} {HOSTILE}") } else { String::new() },
                ..Judgement::begin(&generation, judge, 0)
            });
        }
        rows.generations.push(generation);
    }
}
