//! Rows of several examples and steps of so many tokens: every example once, within the limits, the same however a run
//! is interrupted, and the same computation as without.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;
use tunebench_dataset::Tokenized;
use tunebench_model::backend::BatchLayout;
use tunebench_model::backend::REFERENCE;
use tunebench_model::{Batch, DropoutKey, Gradients, ReferenceModel, Targets, Tuning};
use tunebench_spec::random::Stream;
use tunebench_spec::{Recipe, StepLog};
use tunebench_testkit::compare::{bits, error};
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{ALL, adapted, lora};
use tunebench_train::batches::{MicroBatch, Steps};
use tunebench_train::{Job, Outcome, Progress, load_result, steps, train};

const SEED: u64 = 7;
const MAX_LENGTH: usize = 1024;

/// Examples of these lengths, all but the first two tokens learnt.
fn of_lengths(lengths: impl IntoIterator<Item = usize>) -> Vec<Tokenized> {
    let mut stream = Stream::new(3, &[]);
    let example = |length: usize| Tokenized {
        tokens: (0..length).map(|_| 3 + stream.below(93) as u32).collect(),
        is_label: (0..length).map(|i| i >= 2).collect(),
    };
    lengths.into_iter().map(example).collect()
}

/// Lengths as instructions have them: log-normal, cut at `MAX_LENGTH`.
fn instructions(count: usize, median: f64, spread: f64) -> Vec<Tokenized> {
    let mut stream = Stream::new(5, &[]);
    let length = |_| ((median * (spread * stream.normal()).exp()) as usize).clamp(3, MAX_LENGTH);
    of_lengths((0..count).map(length).collect::<Vec<_>>())
}

fn recipe(packing: bool, batch_size: usize, batch_tokens: usize) -> Recipe {
    Recipe {
        epochs: 2.0,
        packing,
        batch_size,
        batch_tokens,
        max_length: MAX_LENGTH,
        micro_batch_tokens: 1500,
        ..Recipe::base()
    }
}

const LAYOUTS: [BatchLayout; 2] = [BatchLayout::Padded, BatchLayout::Packed];

/// Packing, batch size, token budget.
const SETTINGS: [(bool, usize, usize); 6] =
    [(false, 4, 0), (true, 1, 0), (true, 4, 0), (false, 4, 4096), (true, 4, 4096), (true, 1, 1024)];

fn all_steps(examples: &[Tokenized], recipe: &Recipe, layout: BatchLayout) -> Vec<Vec<MicroBatch>> {
    let mut steps = Steps::new(&examples, recipe, SEED, layout);
    (0..steps.total).map(|step| steps.step(step)).collect()
}

/// The examples of a step in its order, whatever micro-batches they are in.
fn by_step_index(micro_batches: &[MicroBatch]) -> Vec<usize> {
    let pairs = micro_batches.iter().flat_map(|p| p.step_indices.iter().copied().zip(p.examples.iter().copied()));
    let found: BTreeMap<u64, usize> = pairs.collect();
    assert!(found.keys().copied().eq(0..found.len() as u64), "indices count from 0: {found:?}");
    found.into_values().collect()
}

fn tokens(examples: &[Tokenized], chosen: &[usize]) -> usize {
    chosen.iter().map(|&i| examples[i].tokens.len()).sum()
}

#[test]
fn an_epoch_takes_every_example_once_whatever_fills_its_steps() {
    let few = of_lengths([MAX_LENGTH + 5, 3, 700, 700, 300, 20, 1024, 1, 4, 500, 500, 24]);
    for examples in [few, instructions(700, 120.0, 0.9), of_lengths([9])] {
        for (packing, batch_size, batch_tokens) in SETTINGS {
            let recipe = recipe(packing, batch_size, batch_tokens);
            let plan = Steps::new(&examples, &recipe, SEED, BatchLayout::Padded);
            for layout in LAYOUTS {
                let (mut seen, mut ends) = (vec![0; examples.len()], 0);
                for (step, micro_batches) in all_steps(&examples, &recipe, layout).iter().enumerate() {
                    by_step_index(micro_batches).into_iter().for_each(|example| seen[example] += 1);
                    // At the end of each epoch all have been seen equally often, and nowhere else.
                    let done = plan.epochs(step as u64 + 1);
                    let is_end = seen.iter().all(|count| *count == seen[0]);
                    assert_eq!(done.fract() == 0.0, is_end, "{recipe:?}: {done} epochs after step {step}");
                    assert!(!is_end || done == f64::from(seen[0]), "{done} epochs");
                    ends += usize::from(is_end);
                }
                assert_eq!((ends, seen), (2, vec![2; examples.len()]), "{recipe:?}");
            }
        }
    }
}

#[test]
fn rows_and_steps_keep_within_their_tokens() {
    let examples = instructions(900, 200.0, 1.2);
    for (packing, batch_size, batch_tokens) in SETTINGS {
        let recipe = recipe(packing, batch_size, batch_tokens);
        let steps = all_steps(&examples, &recipe, BatchLayout::Packed);
        let chosen: Vec<Vec<usize>> = steps.iter().map(|micro_batches| by_step_index(micro_batches)).collect();
        for (step, chosen) in chosen.iter().enumerate() {
            let count = tokens(&examples, chosen);
            let most = match batch_tokens {
                0 if packing => batch_size * MAX_LENGTH,
                0 => usize::MAX,
                budget => budget,
            };
            assert!(count <= most, "step {step}: {count} tokens of at most {most}");
            assert!(packing || batch_tokens > 0 || chosen.len() <= batch_size);
        }
        // Nothing that would still fit was left for the next step.
        if batch_tokens > 0 && !packing {
            let per_epoch = chosen.len() / 2;
            for pair in chosen[..per_epoch - 1].windows(2) {
                assert!(tokens(&examples, &pair[0]) + tokens(&examples, &pair[1][..1]) > batch_tokens);
            }
        }
    }
    // A longer example than either limit allows is alone.
    let examples = of_lengths([2000, 10, 10]);
    for (recipe, expected) in [(recipe(true, 1, 0), 2), (recipe(false, 1, 1024), 2), (recipe(true, 1, 1024), 2)] {
        let recipe = Recipe { epochs: 1.0, ..recipe };
        // The two short ones are together unless the long one stands between them.
        let steps = all_steps(&examples, &recipe, BatchLayout::Packed);
        assert!(steps.len() == expected || !recipe.packing && steps.len() == 3, "{steps:?}");
        assert!(
            steps
                .iter()
                .map(|micro_batches| by_step_index(micro_batches))
                .all(|chosen| chosen == [0] || !chosen.contains(&0))
        );
    }
}

#[test]
fn packed_micro_batches_are_runs_of_a_step_that_fit() {
    let examples = instructions(300, 200.0, 1.0);
    for (packing, batch_size, batch_tokens) in SETTINGS {
        let recipe = Recipe { micro_batch_tokens: 800, ..recipe(packing, batch_size, batch_tokens) };
        let padded = all_steps(&examples, &recipe, BatchLayout::Padded);
        let packed = all_steps(&examples, &recipe, BatchLayout::Packed);
        assert_eq!(padded.len(), packed.len());
        for (padded, packed) in padded.iter().zip(&packed) {
            assert_eq!(by_step_index(padded), by_step_index(packed), "a layout changes micro-batches, not steps");
            let indices: Vec<u64> = packed.iter().flat_map(|p| p.step_indices.clone()).collect();
            assert!(indices.is_sorted());
            for micro_batch in packed {
                assert!(micro_batch.examples.len() == 1 || tokens(&examples, &micro_batch.examples) <= 800);
            }
            for pair in packed.windows(2) {
                assert!(tokens(&examples, &pair[0].examples) + tokens(&examples, &pair[1].examples[..1]) > 800);
            }
        }
    }
}

#[test]
fn packed_rows_are_nearly_full() {
    // Many instructions, ones of very different lengths with many cut, few and short ones.
    for (count, median, spread, least) in
        [(20_000, 150.0, 0.8, 0.99), (3000, 220.0, 1.1, 0.98), (1000, 90.0, 0.6, 0.95)]
    {
        let examples = instructions(count, median, spread);
        let recipe = recipe(true, 1, 0);
        let rows: Vec<Vec<usize>> =
            all_steps(&examples, &recipe, BatchLayout::Packed).iter().map(|p| by_step_index(p)).collect();
        let filled: usize = rows.iter().map(|row| tokens(&examples, row)).sum();
        let fill = filled as f64 / (rows.len() * MAX_LENGTH) as f64;
        assert!(fill > least, "{count} examples of some {median} tokens: {fill}");
        // No epoch repeats the rows of another, and rows of few examples do not gather at one end.
        assert_ne!(rows[..10], rows[rows.len() / 2..][..10]);
        let half = rows.len() / 4;
        let mean = |rows: &[Vec<usize>]| rows.iter().map(Vec::len).sum::<usize>() as f64 / rows.len() as f64;
        let (first, second) = (mean(&rows[..half]), mean(&rows[half..2 * half]));
        assert!((first / second - 1.0).abs() < 0.25, "{first} examples a row, then {second}");
    }
}

#[test]
fn steps_do_not_depend_on_what_was_asked_before() {
    let examples = instructions(150, 150.0, 0.8);
    for (packing, batch_size, batch_tokens) in SETTINGS {
        let recipe = recipe(packing, batch_size, batch_tokens);
        for layout in LAYOUTS {
            let whole = all_steps(&examples, &recipe, layout);
            assert_eq!(all_steps(&examples, &recipe, layout), whole);
            for start in [1, whole.len() / 2, whole.len() - 1] {
                let mut resumed = Steps::new(&examples, &recipe, SEED, layout);
                let rest: Vec<_> = (start..whole.len()).map(|step| resumed.step(step as u64)).collect();
                assert_eq!(rest, whole[start..], "from step {start}");
            }
            let other = Steps::new(&examples, &recipe, SEED + 1, layout).step(0);
            assert_ne!(other, whole[0], "another seed, another order");
        }
    }
}

#[test]
fn fractions_of_epochs_and_a_limit_end_the_steps() {
    let examples = instructions(400, 150.0, 0.8);
    for (packing, batch_size, batch_tokens) in SETTINGS {
        let with = |epochs, max_steps| Recipe { epochs, max_steps, ..recipe(packing, batch_size, batch_tokens) };
        let total =
            |epochs, max_steps| Steps::new(&examples, &with(epochs, max_steps), SEED, BatchLayout::Padded).total;
        let one = total(1.0, 0);
        assert_eq!(total(0.5, 0), one.div_ceil(2));
        assert!((one + 1..total(2.0, 0)).contains(&total(1.5, 0)));
        assert_eq!([total(3.0, 5), total(1e12, one as usize + 3), total(0.5, 10_000)], [5, one + 3, one.div_ceil(2)]);
        assert_eq!(total(1.0, 0), with(1.0, 0).total_steps(400).unwrap_or(one), "as known from the number alone");
        // Half of an epoch is half of its steps.
        let recipe = with(1.5, 0);
        let steps = Steps::new(&examples, &recipe, SEED, BatchLayout::Padded);
        let last = steps.epochs(steps.total);
        assert!((1.5..1.6).contains(&last), "{last}");
    }
    for (packing, batch_size, batch_tokens) in SETTINGS {
        let recipe = recipe(packing, batch_size, batch_tokens);
        let mut none = Steps::new(&[], &recipe, SEED, BatchLayout::Packed);
        assert_eq!((none.total, none.epochs(0), none.step(0)), (0, 0.0, vec![]));
    }
}

/// What a run leaves, but for the seconds: steps and trained bits.
type Left = (Vec<StepLog>, BTreeMap<String, Vec<u32>>);

fn left(dir: &Path) -> Left {
    let log = steps(dir).unwrap().into_iter().map(|s| StepLog { seconds: 0.0, ..s }).collect();
    let result = load_result(dir, &model("tiny").0).unwrap();
    (log, result.values().iter().map(|(name, t)| (name.clone(), bits(t))).collect())
}

/// Trains, and breaks off after each of the steps `stops`, going on from the checkpoint.
fn run(examples: &[Tokenized], recipe: &Recipe, stops: &[u64]) -> Left {
    let dir = tempfile::tempdir().unwrap();
    for stop in stops.iter().copied().chain([u64::MAX]) {
        let (shape, weights) = model("tiny");
        let tuning = Tuning::init(&shape, &weights, adapted(&shape, &ALL, lora, 0.1), 5).unwrap();
        let job = Job {
            arm: "arm",
            candidate: "",
            shape: &shape,
            weights,
            tuning,
            examples: &examples,
            held_out: &[],
            recipe,
            seed: SEED,
            backend: REFERENCE,
            dir: dir.path(),
            until: None,
        };
        let mut on_progress = |progress: Progress<'_>| match progress {
            Progress::Step(step) if step.step == stop => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        };
        let outcome = train(job, &mut on_progress).unwrap();
        assert_eq!(outcome == Outcome::Finished, stop == u64::MAX);
    }
    left(dir.path())
}

fn tiny_recipe() -> Recipe {
    Recipe { learning_rate: 1e-2, batch_size: 3, warmup_ratio: 0.3, max_length: 16, ..recipe(false, 3, 0) }
}

#[test]
fn rows_of_one_example_train_as_no_rows_do() {
    // No two of them fit into a row.
    let examples = of_lengths([9, 12, 16, 10, 9, 14, 11, 13, 15, 9, 10]);
    let plain = run(&examples, &tiny_recipe(), &[]);
    assert_eq!(plain.0.len(), 8);
    assert_eq!(run(&examples, &Recipe { packing: true, ..tiny_recipe() }, &[]), plain);
}

#[test]
fn runs_by_length_go_on_where_they_stopped() {
    let examples = of_lengths([9, 3, 16, 10, 4, 14, 5, 6, 15, 4, 7, 3, 8]);
    for (packing, batch_tokens) in [(true, 0), (false, 24), (true, 32)] {
        let recipe = Recipe { packing, batch_tokens, ..tiny_recipe() };
        let whole = run(&examples, &recipe, &[]);
        let log = &whole.0;
        let total = log.len() as u64;
        assert!(total >= 4, "{total} steps");
        assert_eq!(log[log.len() - 1].epoch, 2.0);
        assert_eq!(log.iter().map(|s| s.tokens).sum::<u64>(), 2 * 104);
        for step in log {
            let expected = recipe.learning_rate_at(step.step - 1, total);
            // A number read back from the log may differ in its last digit.
            let is_same = (step.learning_rate - expected).abs() <= 1e-15;
            assert!(is_same, "by the true number of steps: {} for {expected}", step.learning_rate);
        }
        assert_eq!(run(&examples, &recipe, &[1, total / 2, total - 1]), whole);
    }
}

#[test]
fn a_packed_step_has_the_gradients_of_its_examples() {
    let examples = of_lengths([9, 3, 16, 10, 4, 14, 5, 6, 15, 4, 7, 3, 8]);
    let recipe = Recipe { packing: true, batch_size: 2, micro_batch_tokens: 1000, ..tiny_recipe() };
    let (shape, weights) = model("tiny");
    let tuning = Tuning::init(&shape, &weights, adapted(&shape, &ALL, lora, 0.1), 5).unwrap();
    let llama = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    let compute = |chosen: &[usize], indices: &[u64], step: u64| -> (f64, Gradients) {
        let rows: Vec<&[u32]> = chosen.iter().map(|&i| examples[i].tokens.as_slice()).collect();
        let marks: Vec<&[bool]> = chosen.iter().map(|&i| examples[i].is_label.as_slice()).collect();
        let batch = Batch::right_padded(&rows).unwrap();
        let targets = Targets::new(&batch, &marks).unwrap();
        llama.loss_and_gradients(&batch, &targets, &DropoutKey::new(1, step, indices.to_vec())).unwrap()
    };
    for layout in LAYOUTS {
        for (step, micro_batches) in all_steps(&examples, &recipe, layout).iter().enumerate() {
            let [micro_batch] = &micro_batches[..] else { panic!("one micro-batch: {micro_batches:?}") };
            let (loss, gradients) = compute(&micro_batch.examples, &micro_batch.step_indices, step as u64);
            let (mut expected_loss, mut expected) = (0.0, Gradients::new());
            for (example, index) in micro_batch.examples.iter().zip(&micro_batch.step_indices) {
                let (loss, gradients) = compute(&[*example], &[*index], step as u64);
                expected_loss += loss;
                for (name, gradient) in gradients {
                    let sum = expected.remove(&name).map_or(Ok(gradient.clone()), |sum| sum + gradient);
                    expected.insert(name, sum.unwrap());
                }
            }
            // Sums of a few f32 products in another order.
            assert!((loss / expected_loss - 1.0).abs() < 1e-6, "{loss} for {expected_loss}");
            assert!(gradients.keys().eq(expected.keys()));
            for (name, expected) in &expected {
                assert!(error(&gradients[name], expected) < 1e-5, "{name} of step {step}");
            }
        }
    }
}
