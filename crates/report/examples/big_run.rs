//! Writes a run folder of 20 arms, 5 seeds, 1,000 items and 3 judges, or makes its report and says what that takes.
//! `cargo run -p tunebench-report --example big_run -- write FOLDER`, then the same with `report FOLDER`.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use prose::{ANSWER, ARMS, ITEMS, JUDGES, SEEDS, WORDS, arm_name, prose, vocabulary};
use tunebench_report::data::Language;
use tunebench_results::{write_arms, write_generations, write_judgements, write_losses, write_steps};
use tunebench_spec::random::Stream;
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, LossLog, StepLog, hash};

#[path = "../tests/large/prose.rs"]
mod prose;

const STEPS: u64 = 2_000;
const MARGIN: f64 = 0.02;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["write", folder] => write(Path::new(folder)),
        ["report", folder] => report(Path::new(folder)),
        _ => Err("say `write FOLDER` or `report FOLDER`".into()),
    }
}

/// In a process of its own, so that its peak is not that of making the frames.
fn report(dir: &Path) -> Result<(), Box<dyn Error>> {
    let started = Instant::now();
    let (report, answers) = tunebench_report::of_run(dir, MARGIN, Language::En)?;
    let (filled, memory) = (started.elapsed().as_secs_f64(), peak_memory()?);
    println!("filled in {filled:.2} s, peak memory {memory}");
    let path = dir.join("report.html");
    tunebench_report::write_file(&report, answers, &path)?;
    let megabytes = std::fs::metadata(&path)?.len() as f64 / 1e6;
    println!(
        "written after {:.2} s, {megabytes:.1} MB, peak memory {}",
        started.elapsed().as_secs_f64(),
        peak_memory()?
    );
    Ok(())
}

fn peak_memory() -> Result<String, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().to_owned())
}

fn write(dir: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::create_dir_all(dir)?;
    let trainings = || (0..ARMS).flat_map(|arm| (0..SEEDS).map(move |seed| (arm, seed)));
    write_arms(dir, &trainings().map(|(arm, seed)| record(arm, seed)).collect::<Vec<_>>())?;
    write_steps(dir, &trainings().flat_map(|(arm, seed)| steps(arm, seed)).collect::<Vec<_>>())?;
    write_losses(dir, &trainings().flat_map(|(arm, seed)| losses(arm, seed)).collect::<Vec<_>>())?;
    let vocabulary = vocabulary();
    let mut generations = Vec::with_capacity(ARMS * SEEDS as usize * ITEMS);
    for (arm, seed) in trainings() {
        generations.extend((0..ITEMS).map(|item| generation(arm, seed, item, &vocabulary)));
    }
    write_generations(dir, &generations)?;
    let mut judgements = Vec::with_capacity(generations.len() * JUDGES);
    for (i, generation) in generations.iter().enumerate() {
        judgements.extend((0..JUDGES).map(|judge| judgement(generation, i, judge, &vocabulary)));
    }
    drop(generations);
    write_judgements(dir, &judgements)?;
    println!("{} judgements in {}", judgements.len(), dir.display());
    Ok(())
}

fn record(arm: usize, seed: u64) -> ArmRecord {
    ArmRecord {
        arm: arm_name(arm),
        candidate: String::new(),
        selected: true,
        base: format!("model-{}", arm % 5),
        tuner: format!("tuner-{}", arm % 4),
        options: "{}".into(),
        dataset: "data".into(),
        template: "belle".into(),
        recipe: r#"{"epochs":{"value":3.0,"origin":"study"}}"#.into(),
        examples: 500 * (arm as u64 + 1),
        skipped_examples: 0,
        held_out_examples: 100,
        seed,
        engine: "fast".into(),
        precision: "bf16".into(),
        computed_by: "avx2, 2 threads".into(),
        model_params: 100_000_000,
        trainable_params: 1_000_000 * (arm as u64 + 1),
        additional_params: 1_000_000 * (arm as u64 + 1),
        epochs: 3.0,
        steps: STEPS,
        kept_step: STEPS,
        tokens: 1_000_000,
        train_seconds: 3_600.0 + 100.0 * arm as f64,
        hours_per_epoch: 0.4,
        tokens_per_second: 250.0,
        peak_rss_bytes: 4 << 30,
        predicted_seconds: None,
        predicted_peak_bytes: None,
        final_loss: Some(1.5),
        identity: hash::of_bytes(format!("{arm} {seed}").as_bytes()),
        evaluated: true,
    }
}

fn steps(arm: usize, seed: u64) -> impl Iterator<Item = StepLog> {
    let mut random = Stream::new(seed, &[arm as u64, 1]);
    (1..=STEPS).map(move |step| StepLog {
        arm: arm_name(arm),
        candidate: String::new(),
        seed,
        step,
        epoch: step as f64 / 600.0,
        loss: 1.5 + 2.0 * (-(step as f64) / 200.0).exp() + 0.1 * random.normal(),
        learning_rate: 1e-4,
        grad_norm: 1.0,
        tokens: 500,
        seconds: 1.8,
    })
}

fn losses(arm: usize, seed: u64) -> impl Iterator<Item = LossLog> {
    let of = move |set: &str, step: u64| {
        let loss = 1.5 + 2.0 * (-(step as f64) / 200.0).exp();
        LossLog {
            arm: arm_name(arm),
            candidate: String::new(),
            seed,
            step,
            set: set.into(),
            set_hash: hash::of_bytes(set.as_bytes()),
            loss,
            bits_per_byte: loss / 2.0,
            tokens: 10_000,
            bytes: 30_000,
            is_final: step == STEPS,
        }
    };
    (0..=STEPS).step_by(100).map(move |step| of(HELD_OUT, step)).chain([of(GENERAL, 0), of(GENERAL, STEPS)])
}

fn generation(arm: usize, seed: u64, item: usize, vocabulary: &[String]) -> Generation {
    let mut of_item = Stream::new(3, &[item as u64]);
    let question = prose(&mut of_item, vocabulary, 150);
    let reference = prose(&mut of_item, vocabulary, ANSWER);
    let mut random = Stream::new(seed, &[arm as u64, item as u64]);
    Generation {
        arm: arm_name(arm),
        seed,
        item: format!("items.jsonl:{}", item + 1),
        item_hash: hash::of_bytes(question.as_bytes()),
        prompt_hash: hash::of_bytes(format!("prompt of {question}").as_bytes()),
        category: format!("category {}", item % 9),
        prompt: format!("Human: \n{question}\n\nAssistant: \n"),
        answer: prose(&mut random, vocabulary, ANSWER),
        reference: Some(reference),
        prompt_tokens: 40,
        new_tokens: 60 + random.below(40),
        finish: "stop".into(),
        seconds: 1.0,
    }
}

fn judgement(generation: &Generation, i: usize, judge: usize, vocabulary: &[String]) -> Judgement {
    let mut random = Stream::new(7, &[i as u64, judge as u64]);
    let ease = Stream::named(1, &generation.item_hash).uniform();
    let score = ((0.5 * ease + 0.5 * random.uniform()) * 20.0).round() / 20.0;
    Judgement {
        judge_hash: hash::of_bytes(format!("judge {judge}").as_bytes()),
        score: Some(score),
        status: JudgementStatus::Scored,
        reply: prose(&mut random, vocabulary, WORDS),
        request_hash: hash::of_bytes(format!("{i} {judge}").as_bytes()),
        model: "judge-model-2026".into(),
        cost_usd: Some(0.000_4),
        seconds: 1.2,
        ..Judgement::begin(generation, &format!("judge-{judge}"), 0)
    }
}
