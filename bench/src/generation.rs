//! Greedy answers of a fixed length, by what answers a study's prompts.
//!
//! [`answers`] is where the model is put together and run; the rest of this file prepares its input.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tunebench_generate::{Prompt, Sampling, Settings, answer};
use tunebench_model::Tuning;
use tunebench_model::backend::{self, Backend, FAST, Parts};

use crate::figures::{median, peak_rss_mib};
use crate::floors::multiplied_weights;
use crate::grouped::{self, Seconds};
use crate::model::{Choice, Held, Model, Tuner};
use crate::tokens;

/// Options of `generate`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: Choice,
    #[command(flatten)]
    held: Held,
    /// Prompts, answered together.
    #[arg(long, default_value_t = 64)]
    batch: usize,
    /// Tokens of a prompt.
    #[arg(long, default_value_t = 64)]
    prompt: usize,
    /// Tokens of an answer.
    #[arg(long, default_value_t = 64)]
    new: usize,
    /// So many adapters of the tuner over the model, each of which answers all prompts: at once, and one after another.
    #[arg(long, value_name = "N", requires = "tuner")]
    adapters: Option<usize>,
    #[arg(long, value_enum, requires = "adapters")]
    tuner: Option<Tuner>,
    /// Runs that count, after one that does not.
    #[arg(long, default_value_t = 3)]
    repeats: usize,
    #[arg(long, default_value = FAST.name(), value_parser = backend::named)]
    engine: &'static dyn Backend,
    /// Tokens of the prompts, as `shared` writes them; the same are drawn when it is not given.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// Answers the prompts a few times and prints the speed of the median run.
pub fn measure(args: &Args) -> Result<Value> {
    let counts = [args.batch, args.prompt, args.new, args.repeats];
    ensure!(counts.iter().all(|n| *n > 0), "--batch, --prompt, --new and --repeats must be at least 1");
    let model = args.model.load_as(&args.held)?;
    let saved = if args.held.quantise.is_some() { model.saved_bytes() } else { 0 };
    let weight_bytes = args.model.bytes_of(multiplied_weights(&model.shape))? - saved;
    let positions = model.shape.context();
    ensure!(args.prompt + args.new <= positions, "prompt and answer are longer than the model's {positions} positions");
    let tokens = tokens::read_or_draw(args.data.as_deref(), model.shape.vocab_size, args.batch * args.prompt)?;
    let prompts =
        tokens.chunks_exact(args.prompt).zip(0..).map(|(t, key)| Prompt { tokens: t.to_vec(), key, adapter: 0 });
    let prompts: Vec<Prompt> = prompts.collect();
    if let (Some(count), Some(tuner)) = (args.adapters, args.tuner) {
        ensure!(count > 0, "--adapters must be at least 1");
        let adapters = grouped::adapters(&model, tuner, count)?;
        let of = grouped::measure(args.engine, &model, &adapters, &prompts, &settings(args.new), args.repeats)?;
        let Seconds { together, one_by_one } = of;
        return Ok(json!({
            "batch": args.batch, "prompt": args.prompt, "new": args.new, "adapters": count, "tuner": tuner.name(),
            "seconds": together, "one_by_one_seconds": one_by_one,
            "new_tokens_per_s": (count * args.batch * args.new) as f64 / together, "peak_rss_mib": peak_rss_mib(),
            "weight_bytes": weight_bytes, "quantise": args.held.quantise,
        }));
    }
    let seconds = median(answers(args.engine, model, &prompts, args.new, args.repeats)?);
    Ok(json!({
        "batch": args.batch, "prompt": args.prompt, "new": args.new, "seconds": seconds,
        "new_tokens_per_s": (args.batch * args.new) as f64 / seconds, "peak_rss_mib": peak_rss_mib(),
        "weight_bytes": weight_bytes, "quantise": args.held.quantise,
    }))
}

/// Greedy answers of this length.
fn settings(new: usize) -> Settings {
    let sampling = Sampling::Greedy;
    Settings { max_new_tokens: new, sampling, stop_tokens: vec![], top_logprobs: None, constraint: None }
}

/// Seconds of each of `repeats` runs of the backend over all prompts, after one that is not counted. Nothing ends an
/// answer before it has `new` tokens.
fn answers(backend: &dyn Backend, model: Model, prompts: &[Prompt], new: usize, repeats: usize) -> Result<Vec<f64>> {
    let Model { shape, weights } = model;
    let model = backend.generator(Parts { shape: &shape, weights, tuning: Tuning::none() })?;
    let settings = settings(new);
    let prompts: Vec<&Prompt> = prompts.iter().collect();
    let mut seconds = Vec::with_capacity(repeats);
    for run in 0..=repeats {
        let begin = Instant::now();
        let mut lengths = Vec::with_capacity(prompts.len());
        answer(model.as_ref(), &prompts, &settings, prompts.len(), &mut |_, answer| -> Result<()> {
            lengths.push(answer.tokens.len());
            Ok(())
        })?;
        let taken = begin.elapsed().as_secs_f64();
        ensure!(lengths == vec![new; prompts.len()], "an answer is not {new} tokens long");
        if run > 0 {
            seconds.push(taken);
        }
    }
    Ok(seconds)
}
