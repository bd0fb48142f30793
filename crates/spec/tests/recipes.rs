//! Recipes: schedules as transformers computes them, step counts, overrides; and the counter-based randomness.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::random::Stream;
use tunebench_spec::{Recipe, RecipeOverrides, Schedule};

#[test]
fn cosine_with_warm_up_is_transformers() {
    // transformers.get_cosine_schedule_with_warmup(num_warmup_steps=2, num_training_steps=10), base rate 1
    let expected = [0.0, 0.5, 1.0, 0.961_939_8, 0.853_553_4, 0.691_341_7, 0.5, 0.308_658_3, 0.146_446_6, 0.038_060_2];
    let recipe = Recipe { learning_rate: 1.0, warmup_steps: 2, ..Recipe::base() };
    for (step, expected) in expected.into_iter().enumerate() {
        let found = recipe.learning_rate_at(step as u64, 10);
        assert!((found - expected).abs() < 1e-6, "step {step}: {found} for {expected}");
    }
}

#[test]
fn linear_reaches_zero_and_constant_stays() {
    let at = |schedule, step| Recipe { learning_rate: 2.0, schedule, ..Recipe::base() }.learning_rate_at(step, 4);
    assert_eq!([0, 1, 2, 3, 4].map(|s| at(Schedule::Linear, s)), [2.0, 1.5, 1.0, 0.5, 0.0]);
    assert_eq!([0, 4].map(|s| at(Schedule::Constant, s)), [2.0, 2.0]);
}

#[test]
fn steps_are_whole_batches_of_every_epoch() {
    for (examples, batch_size, epochs, max_steps, expected) in
        [(10, 4, 1.0, 0, 3), (10, 4, 3.0, 0, 9), (8, 4, 0.5, 0, 1), (10, 4, 3.0, 5, 5), (0, 4, 3.0, 0, 0)]
    {
        let recipe = Recipe { batch_size, epochs, max_steps, ..Recipe::base() };
        assert_eq!(recipe.total_steps(examples), Some(expected), "{examples} {batch_size} {epochs} {max_steps}");
    }
}

#[test]
fn steps_that_depend_on_lengths_are_not_guessed_from_a_number() {
    for (packing, batch_tokens) in [(true, 0), (false, 4096), (true, 4096)] {
        let recipe = Recipe { packing, batch_tokens, ..Recipe::base() };
        assert_eq!((recipe.check(), recipe.steps_per_epoch(100), recipe.total_steps(100)), (Ok(()), None, None));
    }
}

#[test]
fn settings_that_are_off_leave_a_recipe_its_json() {
    let json = serde_json::to_value(Recipe::base()).unwrap();
    let off = [
        "packing",
        "batch_tokens",
        "lanes",
        "eval_steps",
        "early_stopping_patience",
        "early_stopping_threshold",
        "load_best_model_at_end",
    ];
    assert!(off.iter().all(|name| json.get(name).is_none()), "{json}");
    assert_eq!(serde_json::from_value::<Recipe>(json).unwrap(), Recipe::base());
    let recipe = Recipe {
        packing: true,
        batch_tokens: 2048,
        lanes: 4,
        eval_steps: 10,
        early_stopping_patience: 3,
        early_stopping_threshold: 0.01,
        load_best_model_at_end: true,
        ..Recipe::base()
    };
    assert_eq!(recipe.check(), Ok(()));
    let json = serde_json::to_value(&recipe).unwrap();
    let [packing, tokens, lanes] = ["packing", "batch_tokens", "lanes"].map(|name| &json[name]);
    assert_eq!((packing, tokens, lanes), (&true.into(), &2048.into(), &4.into()));
    assert_eq!((&json["eval_steps"], &json["early_stopping_threshold"]), (&10.into(), &0.01.into()));
    assert_eq!(serde_json::from_value::<Recipe>(json).unwrap(), recipe);
}

#[test]
fn warm_up_ratio_counts_only_without_steps() {
    let ratio = Recipe { warmup_ratio: 0.03, ..Recipe::base() };
    assert_eq!(ratio.warmup(101), 4);
    assert_eq!(Recipe { warmup_steps: 7, ..ratio }.warmup(101), 7);
}

#[test]
fn a_patch_changes_what_it_names() {
    let patch = RecipeOverrides { epochs: Some(4.0), mask_prompt: Some(false), ..RecipeOverrides::default() };
    let recipe = Recipe::base().with(&patch);
    assert_eq!(recipe, Recipe { epochs: 4.0, mask_prompt: false, ..Recipe::base() });
}

#[test]
fn streams_depend_on_their_key_alone() {
    let draw = |seed, words: &[u64]| Stream::new(seed, words).next_u64();
    assert_eq!(draw(1, &[2, 3]), draw(1, &[2, 3]));
    let different = [draw(1, &[2, 3]), draw(1, &[3, 2]), draw(2, &[2, 3]), draw(1, &[2])];
    let distinct: std::collections::BTreeSet<u64> = different.into_iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn draws_have_the_moments_they_should() {
    let mut stream = Stream::named(1, "moments");
    let n = 20_000;
    let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
    let mean = normal.iter().sum::<f64>() / f64::from(n);
    let variance = normal.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
    assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    let mut counts = [0; 5];
    (0..n).for_each(|_| counts[stream.below(5) as usize] += 1);
    assert!(counts.iter().all(|c| (3_700..4_300).contains(c)), "{counts:?}");
}

#[test]
fn values_that_mean_nothing_are_refused_by_name() {
    assert_eq!(Recipe::base().check(), Ok(()));
    let bad = [
        (Recipe { learning_rate: -1.0, ..Recipe::base() }, "learning_rate"),
        (Recipe { learning_rate: f64::NAN, ..Recipe::base() }, "learning_rate"),
        (Recipe { epochs: 0.0, ..Recipe::base() }, "epochs"),
        (Recipe { epsilon: 0.0, ..Recipe::base() }, "epsilon"),
        (Recipe { beta2: 1.0, ..Recipe::base() }, "beta2"),
        (Recipe { max_grad_norm: f64::NAN, ..Recipe::base() }, "max_grad_norm"),
        (Recipe { weight_decay: -0.1, ..Recipe::base() }, "weight_decay"),
        (Recipe { warmup_ratio: 1.5, ..Recipe::base() }, "warmup_ratio"),
        (Recipe { batch_size: 0, ..Recipe::base() }, "batch_size"),
        (Recipe { max_length: 1, ..Recipe::base() }, "max_length"),
        (Recipe { batch_tokens: 1023, ..Recipe::base() }, "batch_tokens = 1023"),
        (Recipe { early_stopping_patience: 2, ..Recipe::base() }, "set eval_steps"),
        (Recipe { load_best_model_at_end: true, ..Recipe::base() }, "set eval_steps"),
        (Recipe { early_stopping_threshold: -0.1, ..Recipe::base() }, "early_stopping_threshold"),
        (Recipe { early_stopping_threshold: 0.1, eval_steps: 5, ..Recipe::base() }, "early_stopping_patience"),
    ];
    for (recipe, name) in bad {
        let error = recipe.check().unwrap_err();
        assert!(error.contains(name), "{name}: {error}");
    }
}
