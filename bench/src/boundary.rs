//! What the boundary between host and plugins costs: loading a file, recording a tuner, a row of a dataset, a judge's
//! step, each with the plugin on a thread and in a process of its own; and a training step with recorded graphs beside
//! one with the same computation as a checkpoint holds it, when no plugin is asked.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tunebench_host::{Isolation, Launcher, LockFile, Options, Registry};
use tunebench_kernels::SimdLevel;
use tunebench_model::fast::{self, Batch};
use tunebench_model::{DropoutKey, Tuning, Weights};
use tunebench_spec::decoder::Dims;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Example};

use crate::figures::median;
use crate::tokens::SEED;

/// Options of `boundary`.
#[derive(clap::Args)]
pub struct Args {
    /// Times that each thing is done; medians are printed.
    #[arg(long, default_value_t = 9)]
    repeats: usize,
}

/// Rows that a dataset is read for.
const ROWS: usize = 20_000;
/// Steps of a judge that needs no model.
const STEPS: usize = 2_000;
/// Training steps of each kind.
const TRAINED: usize = 60;

/// A line for each thing.
pub fn measure(args: &Args) -> Result<Vec<Value>> {
    ensure!(args.repeats > 0, "--repeats must be at least 1");
    let executable = std::env::current_exe().context("where this executable is")?;
    let folder = executable.parent().unwrap_or(Path::new("."));
    let program = folder.join(format!("tunebench{}", std::env::consts::EXE_SUFFIX));
    let isolation = Isolation::Process(program);
    let files = Registry::files_in(folder)?;
    ensure!(!files.is_empty(), "no plugin beside this program; `cargo xtask plugins` builds them");

    // A library is opened once in a process, so each file gives one number.
    let mut thread = Registry::default();
    let mut loads = Vec::new();
    for file in &files {
        loads.push(timed(|| Ok(thread.add(file).map(|_| ())?))?.1 * 1e3);
    }
    let mut process = Registry::new(LockFile::default(), Launcher { isolation, ..Launcher::default() });
    for file in &files {
        process.add(file)?;
    }
    let both = [&thread, &process];

    let shape = Decoder::preset("llama-7b")?;
    let mut lines = vec![line("loading a plugin file", "ms", &[median(loads)])];
    for tuner in ["ft", "lora-attention", "lora-all-linear"] {
        let record = |registry: &Registry| recorded(registry, tuner, &shape).map(|_| ());
        let seconds = repeated(args.repeats, both, record)?;
        lines.push(line(&format!("recording {tuner} for LLaMA 7B"), "ms", &seconds.map(|s| s * 1e3)));
    }
    let file = rows_file()?;
    let seconds = repeated(args.repeats.min(3), both, |registry| read_rows(registry, file.path()))?;
    lines.push(line("a row of a dataset", "us", &seconds.map(|s| s * 1e6 / ROWS as f64)));
    let seconds = repeated(args.repeats.min(3), both, judge)?;
    lines.push(line("a step of a judge", "us", &seconds.map(|s| s * 1e6 / STEPS as f64)));
    lines.extend(training(&thread)?);
    Ok(lines)
}

fn line(what: &str, unit: &str, values: &[f64]) -> Value {
    json!({ "what": what, "unit": unit, "thread": values.first(), "process": values.get(1) })
}

/// Median seconds on a thread and in a process, taken in turn.
fn repeated(repeats: usize, both: [&Registry; 2], what: impl Fn(&Registry) -> Result<()>) -> Result<[f64; 2]> {
    let mut seconds = [vec![], vec![]];
    for _ in 0..repeats {
        for (registry, seconds) in both.into_iter().zip(&mut seconds) {
            seconds.push(timed(|| what(registry))?.1);
        }
    }
    Ok(seconds.map(median))
}

fn timed<T>(what: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let start = Instant::now();
    let value = what()?;
    Ok((value, start.elapsed().as_secs_f64()))
}

/// From options to graphs: what a study does once an arm.
fn recorded(registry: &Registry, tuner: &str, shape: &Decoder) -> Result<RecordedPlan> {
    Ok(registry.tuner(tuner, &Options::new())?.record(shape)?)
}

fn rows_file() -> Result<tempfile::NamedTempFile> {
    let mut file = tempfile::Builder::new().suffix(".jsonl").tempfile().context("making a file")?;
    for i in 0..ROWS {
        let (instruction, output) =
            (format!("Question number {i}: what is it?"), format!("It is answer {i}. ").repeat(8));
        writeln!(file, "{}", json!({ "instruction": instruction, "input": "", "output": output }))?;
    }
    file.flush()?;
    Ok(file)
}

fn read_rows(registry: &Registry, file: &Path) -> Result<()> {
    let mut dataset = registry.dataset("belle", &[PathBuf::from(file)], &Options::new())?;
    let mut count = 0;
    while dataset.next()?.is_some() {
        count += 1;
    }
    ensure!(count == ROWS, "{count} rows instead of {ROWS}");
    Ok(())
}

fn judge(registry: &Registry) -> Result<()> {
    let judge = registry.judge("reference", &Options::new())?;
    let item = Example {
        id: "1".into(),
        turns: vec![],
        category: Some("closed qa".into()),
        reference: Some("It is answer 1.".into()),
        rubric: None,
    };
    for _ in 0..STEPS {
        judge.step(&item, "I think that it is answer 1.", &[])?;
    }
    Ok(())
}

/// A step of a small model whose LoRA was recorded here, in turn with one whose LoRA was read as from a checkpoint.
fn training(registry: &Registry) -> Result<Vec<Value>> {
    let shape = Decoder::llama(Dims {
        vocab_size: 512,
        hidden_size: 64,
        intermediate_size: 160,
        num_hidden_layers: 4,
        heads: 4,
        kv_heads: 2,
        head_dim: 16,
    });
    let fresh = recorded(registry, "lora-all-linear", &shape)?;
    let read: RecordedPlan = serde_json::from_str(&serde_json::to_string(&fresh)?)?;
    let weights = Weights::init(&shape, SEED)?;
    let tokens: Vec<u32> = (0..128).map(|i| (i * 37) % 512).collect();
    let batch = Batch::new([(&tokens[..], &[true; 128][..])], 0)?;
    let options = fast::Options { level: SimdLevel::chosen()?, recompute: false, packed: true };
    let mut models = Vec::new();
    for recorded in [fresh, read] {
        let tuning = Tuning::init(&shape, &weights, recorded, SEED)?;
        let model = fast::Model::<half::bf16>::new(&shape, weights.clone(), tuning, options)?;
        models.push((model.gradients(), fast::Workspace::default(), model));
    }
    let key = DropoutKey::for_batch(SEED, 0, vec![0], batch.seq_ends());
    let mut seconds = [vec![], vec![]];
    for _ in 0..TRAINED {
        for ((gradients, work, model), seconds) in models.iter_mut().zip(&mut seconds) {
            gradients.clear();
            seconds.push(timed(|| Ok(model.loss_and_gradients(&batch, &key, gradients, work)?))?.1);
        }
    }
    let [fresh, read] = seconds.map(|s| median(s) * 1e3);
    Ok(vec![
        line("a training step, LoRA recorded by its plugin", "ms", &[fresh]),
        line("the same, LoRA read from a checkpoint", "ms", &[read]),
    ])
}
