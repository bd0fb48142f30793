//! Training steps, by the loop that trains a study's arms.
//!
//! [`steps`] is where an engine is chosen and run; the rest of this file prepares its input and sums up what it says.

use std::ops::ControlFlow;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tunebench_dataset::Tokenized;
use tunebench_exchange::{Exchange as _, from_environment};
use tunebench_model::backend::BatchLayout;
use tunebench_model::backend::{self, Backend, FAST};
use tunebench_model::{Tuning, fast};
use tunebench_spec::Schedule;
use tunebench_spec::{Decoder, Recipe};
use tunebench_train::batches::Steps;
use tunebench_train::{Job, Progress, train_in_ranks};

use crate::figures::{median, peak_rss_mib};
use crate::floors::{multiplied_weights, step_flop_per_token};
use crate::model::{Choice, Held, Model, Tuner};
use crate::timed::Timed;
use crate::tokens;
use crate::tokens::SEED;

/// Options of `train`.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    model: Choice,
    #[command(flatten)]
    held: Held,
    #[arg(long, value_enum)]
    tuner: Tuner,
    /// Rows of a step.
    #[arg(long, default_value_t = 4)]
    batch: usize,
    /// Tokens of a row.
    #[arg(long, default_value_t = 256)]
    seq: usize,
    /// Steps that count.
    #[arg(long, default_value_t = 6)]
    steps: usize,
    /// Steps before them.
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    #[arg(long, default_value = FAST.name(), value_parser = backend::named)]
    engine: &'static dyn Backend,
    /// Keep no layer's values; compute them again for the gradients.
    #[arg(long)]
    recompute: bool,
    /// Runs of pieces that ranks compute at once; started by `mpirun`, each rank is one of them.
    #[arg(long, default_value_t = 1)]
    lanes: usize,
    /// Tokens of a piece of a step; 4096 where it is not given.
    #[arg(long)]
    micro_batch_tokens: Option<usize>,
    /// Tokens to train on, as `shared` writes them; the same are drawn when it is not given.
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
}

/// What was seen of the steps, warm-up included.
struct Seen {
    losses: Vec<f64>,
    seconds: Vec<f64>,
    peak_rss_mib: f64,
    /// Of each step's seconds: that its ranks moved bytes, and that this one waited for others.
    exchange: Vec<[f64; 2]>,
    ranks: usize,
    rank: usize,
}

/// Trains and prints the speed of the median step; of several ranks the first does.
pub fn measure(args: &Args) -> Result<Option<Value>> {
    let total = args.warmup + args.steps;
    ensure!(args.steps > 0 && args.batch > 0 && args.seq > 1, "there is nothing to learn in no step, row or label");
    ensure!(args.lanes > 0, "--lanes 0 would add no gradients; 1 is the least");
    let model = args.model.load_as(&args.held)?;
    let positions = model.shape.context();
    ensure!(args.seq <= positions, "--seq {}, but the model has {positions} positions", args.seq);
    let is_trained_whole = args.tuner == Tuner::Ft && args.held.quantise.is_some();
    ensure!(!is_trained_whole, "--quantise with --tuner ft would train the numbers themselves; take a LoRA");
    let tuning = args.tuner.start(&model)?;
    let recipe = recipe(args, &tuning, total);
    let tokens = tokens::read_or_draw(args.data.as_deref(), model.shape.vocab_size, total * args.batch * args.seq)?;
    let (recorded, quantised) = (tuning.recorded(), model.weights.quantised());
    let sizes = [args.batch * args.seq, 0];
    let planned = fast::memory::training(&model.shape, recorded, &quantised, sizes, args.recompute);
    let planned = planned.peak(args.engine.memory_limit().as_ref());
    let flop_per_token = args.tuner.flop_per_weight() * multiplied_weights(&model.shape);
    let trainable = tuning.recorded().plan.trainable_params(&model.shape);
    // Where weights are trained they are what is trained.
    let beside = if args.tuner == Tuner::Ft { 0 } else { trainable };
    let step_flop = step_flop_per_token(&model.shape, flop_per_token, beside, args.seq);
    let seen = steps(args.engine, args.recompute, model, tuning, &recipe, rows(&tokens, args.seq, &recipe, total))?;
    if seen.rank > 0 {
        return Ok(None);
    }
    let step_s = median(seen.seconds[args.warmup..].to_vec());
    let [moving, waiting] = [0, 1].map(|i| median(seen.exchange[args.warmup..].iter().map(|of| of[i]).collect()));
    Ok(Some(json!({
        "ranks": seen.ranks, "lanes": args.lanes, "exchange_s": moving, "waiting_s": waiting, "exchange_share": moving / step_s,
        "tuner": args.tuner.name(), "batch": args.batch, "seq": args.seq, "recompute": args.recompute,
        "quantise": args.held.quantise,
        "step_s": step_s, "tokens_per_s": (args.batch * args.seq) as f64 / step_s,
        "peak_rss_mib": seen.peak_rss_mib, "planned_mib": planned as f64 / f64::from(1 << 20), "trainable": trainable,
        "flop_per_token": flop_per_token, "step_flop_per_token": step_flop, "losses": seen.losses,
    })))
}

/// Trains to the end. Peak memory is taken after the last step, before the result is written.
fn steps(
    backend: &dyn Backend,
    recompute: bool,
    model: Model,
    tuning: Tuning,
    recipe: &Recipe,
    examples: Vec<Tokenized>,
) -> Result<Seen> {
    let folder = tempfile::tempdir().context("making a folder")?;
    let Model { shape, weights } = model;
    let shape: &Decoder = &shape;
    let recipe = &Recipe { gradient_checkpointing: recompute, ..recipe.clone() };
    let (arm, dir, examples) = ("bench", folder.path(), &examples);
    let job = Job {
        arm,
        candidate: "",
        shape,
        weights,
        tuning,
        examples,
        held_out: &[],
        recipe,
        seed: SEED,
        backend,
        dir,
        until: None,
    };
    let mut exchange = Timed::new(from_environment()?);
    let (ranks, rank) = (exchange.size(), exchange.rank());
    let mut seen = Seen { losses: vec![], seconds: vec![], peak_rss_mib: 0.0, exchange: vec![], ranks, rank };
    // Progress is heard while the exchange is in use, so its times are taken from what it shares.
    let times = exchange.times();
    let trained = train_in_ranks(job, &mut exchange, &mut |progress| {
        if let Progress::Step(step) = progress {
            seen.losses.push(step.loss);
            seen.seconds.push(step.seconds);
            seen.peak_rss_mib = peak_rss_mib();
            seen.exchange.push(times.take());
        }
        ControlFlow::Continue(())
    });
    if let Err(error) = &trained {
        // A rank that only left would be all that the others hear of it.
        exchange.abort(&error.to_string());
    }
    trained?;
    Box::new(exchange).finish()?;
    Ok(seen)
}

/// The tuner's own learning rate, held constant; one epoch of whole batches, and no checkpoint but the last.
fn recipe(args: &Args, tuning: &Tuning, total: usize) -> Recipe {
    Recipe {
        epochs: 1.0,
        batch_size: args.batch,
        schedule: Schedule::Constant,
        warmup_steps: 0,
        warmup_ratio: 0.0,
        weight_decay: 0.0,
        max_grad_norm: 1.0,
        max_length: args.seq,
        mask_prompt: false,
        max_steps: total,
        checkpoint_steps: 0,
        lanes: args.lanes,
        micro_batch_tokens: args.micro_batch_tokens.unwrap_or(Recipe::base().micro_batch_tokens),
        ..Recipe::base().with(&tuning.recorded().plan.recipe)
    }
}

/// Rows of `seq` tokens, all of them labels, laid out so that training, which shuffles, sees them in their order.
fn rows(tokens: &[u32], seq: usize, recipe: &Recipe, total: usize) -> Vec<Tokenized> {
    let row = |tokens: &[u32]| Tokenized { tokens: tokens.to_vec(), is_label: (0..seq).map(|i| i > 0).collect() };
    let mut rows: Vec<Tokenized> = tokens.chunks_exact(seq).map(row).collect();
    let in_order = rows.clone();
    let mut steps = Steps::new(&in_order, recipe, SEED, BatchLayout::Packed);
    for step in 0..total {
        for micro_batch in steps.step(step as u64) {
            for (example, index) in micro_batch.examples.into_iter().zip(micro_batch.step_indices) {
                rows[example] = in_order[step * recipe.batch_size + index as usize].clone();
            }
        }
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_sees_the_rows_in_their_order() {
        let tokens: Vec<u32> = (0..60).collect();
        let recipe = Recipe { epochs: 1.0, batch_size: 4, ..Recipe::base() };
        let rows = rows(&tokens, 5, &recipe, 3);
        let mut steps = Steps::new(&rows, &recipe, SEED, BatchLayout::Packed);
        for step in 0..3 {
            let mut seen = vec![0; 4];
            for micro_batch in steps.step(step) {
                for (example, index) in micro_batch.examples.into_iter().zip(micro_batch.step_indices) {
                    seen[index as usize] = rows[example].tokens[0];
                }
            }
            let first = step as u32 * 20;
            assert_eq!(seen, [first, first + 5, first + 10, first + 15]);
        }
        assert_eq!(rows[0].is_label, [false, true, true, true, true]);
    }
}
