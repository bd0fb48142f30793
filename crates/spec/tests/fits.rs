//! Defaults that fit the size of the data, and what is said of recipes that do not.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::fit::{AIM_STEPS, ENOUGH_STEPS, LEAST_STEPS, fit, warnings};
use tunebench_spec::{Layers, Recipe, RecipeOverrides, RecipeWarning, Study};

/// What the tuners recommend.
const LORA: &str = "learning_rate = 2e-4\nepochs = 4\nbatch_size = 128\nwarmup_steps = 100\nmax_length = 1024";
const FT: &str = "learning_rate = 5e-6\nepochs = 3\nbatch_size = 32\nwarmup_ratio = 0.03\nmax_length = 1024";

fn layer(toml: &str) -> RecipeOverrides {
    toml::from_str(toml).unwrap()
}

fn fitted(tuner: &str, stated: &str, examples: u64) -> (Recipe, Vec<String>) {
    let (tuner, stated) = (layer(tuner), layer(stated));
    let (recipe, changes) = fit(&Layers { tuner: &tuner, stated: &[&RecipeOverrides::default(), &stated] }, examples);
    (recipe, changes.iter().map(ToString::to_string).collect())
}

#[test]
fn what_nobody_states_fits_the_data() {
    // Tuner, stated, examples; batch, warm-up, steps.
    let cases = [
        // Few examples: a batch that makes fifty steps, a warm-up of a tenth.
        (LORA, "", 40, (2, 8, 80)),
        (FT, "", 40, (2, 2, 60)),
        (LORA, "", 200, (16, 5, 52)),
        (LORA, "", 1000, (64, 6, 64)),
        // Not below two examples while that makes twenty steps.
        (LORA, "", 12, (2, 2, 24)),
        (LORA, "", 6, (1, 2, 24)),
        (LORA, "", 3, (1, 1, 12)),
        (LORA, "epochs = 1", 40, (2, 2, 20)),
        (LORA, "epochs = 50", 40, (32, 10, 100)),
        // A batch that makes a hundred steps stays; so does one that is smaller than the smallest fitted one.
        (LORA, "", 3200, (128, 10, 100)),
        ("batch_size = 48", "", 500, (16, 0, 96)),
        ("batch_size = 1", "", 30, (1, 0, 90)),
        // What is stated stays, however unwise.
        (LORA, "batch_size = 128", 40, (128, 0, 4)),
        (LORA, "warmup_steps = 100", 40, (2, 100, 80)),
        (LORA, "warmup_ratio = 0.5", 40, (2, 40, 80)),
        (LORA, "batch_size = 128\nwarmup_steps = 100", 40, (128, 100, 4)),
        // A limit of steps limits what is aimed at.
        (LORA, "max_steps = 10", 40, (16, 1, 10)),
        (LORA, "max_steps = 2", 40, (128, 0, 2)),
        // The paper's sizes.
        (LORA, "", 600_000, (128, 100, 18_752)),
        (LORA, "", 2_000_000, (128, 100, 62_500)),
        (FT, "", 2_000_000, (32, 5_625, 187_500)),
        (LORA, "", 250_000, (128, 100, 7_816)),
    ];
    for (tuner, stated, examples, want) in cases {
        let (recipe, changes) = fitted(tuner, stated, examples);
        let steps = recipe.total_steps(examples).unwrap();
        assert_eq!((recipe.batch_size, recipe.warmup(steps), steps), want, "{tuner} {stated} {examples}");
        assert_eq!(recipe.check(), Ok(()));
        // Only these two fields are ever changed, and each change is said.
        let plain = Recipe::base().with(&layer(tuner)).with(&layer(stated));
        let differ = usize::from(recipe.batch_size != plain.batch_size)
            + usize::from(recipe.warmup(steps) != plain.warmup(steps));
        assert_eq!(changes.len(), differ, "{tuner} {stated} {examples}: {changes:?}");
        let back = Recipe {
            batch_size: plain.batch_size,
            warmup_steps: plain.warmup_steps,
            warmup_ratio: plain.warmup_ratio,
            ..recipe
        };
        assert_eq!(back, plain);
    }
}

#[test]
fn changes_are_said_with_their_reason() {
    let (recipe, changes) = fitted(LORA, "", 40);
    let want = [
        "batch_size = 2 instead of 128: 40 examples would make 4 optimizer steps, now 80",
        "warmup_steps = 8 instead of 100: at most a tenth of the 80 optimizer steps",
    ];
    assert_eq!(changes, want);
    // It learns: the full rate is reached early, and nothing is left to warn of.
    assert_eq!(recipe.learning_rate_at(8, 80), recipe.learning_rate);
    assert_eq!(warnings(&recipe, 40, 80), []);
    let (recipe, changes) = fitted("warmup_ratio = 0.5", "", 6400);
    assert_eq!(
        changes,
        ["warmup_steps = 60 instead of 300 (warmup_ratio = 0.5): at most a tenth of the 600 optimizer steps"]
    );
    assert_eq!((recipe.warmup_steps, recipe.warmup_ratio), (60, 0.0));
}

#[test]
fn steps_that_depend_on_lengths_are_left_alone() {
    for stated in ["packing = true", "batch_tokens = 4096"] {
        assert_eq!(fitted(LORA, stated, 40), (Recipe::base().with(&layer(LORA)).with(&layer(stated)), vec![]));
    }
    assert_eq!(fitted(LORA, "", 0).0.batch_size, 128);
}

#[test]
fn more_data_never_makes_a_smaller_batch() {
    for tuner in [LORA, FT] {
        let mut last = 0;
        for examples in 1..4000 {
            let (recipe, _) = fitted(tuner, "", examples);
            let steps = recipe.total_steps(examples).unwrap();
            assert!(recipe.batch_size >= last, "{examples}");
            assert!(steps >= LEAST_STEPS || recipe.batch_size == 1, "{examples}");
            assert!(steps >= AIM_STEPS || recipe.batch_size <= 2, "{examples}");
            assert!(recipe.warmup(steps) * 10 <= steps, "{examples}");
            last = recipe.batch_size;
        }
        assert_eq!(u64::from(last == layer(tuner).batch_size.unwrap()), 1);
    }
    const { assert!(LEAST_STEPS < AIM_STEPS && AIM_STEPS < ENOUGH_STEPS) };
}

#[test]
fn recipes_from_which_little_can_come_are_named_with_a_remedy() {
    use RecipeWarning::{BatchLargerThanData, FewSteps, MoreEpochsThanSteps, WarmupTooLong};
    // Recipe, examples, steps.
    let newcomer = Recipe::base().with(&layer(LORA));
    let cases = [
        (
            newcomer.clone(),
            40,
            4,
            vec![
                WarmupTooLong { warmup: 100, steps: 4 },
                FewSteps { steps: 4 },
                BatchLargerThanData { batch_size: 128, examples: 40 },
                MoreEpochsThanSteps { epochs: 4.0, steps_per_epoch: 1 },
            ],
        ),
        (newcomer.clone(), 2_000_000, 62_500, vec![]),
        (Recipe { warmup_steps: 19, batch_size: 4, ..newcomer.clone() }, 20, 20, vec![]),
        (
            Recipe { warmup_steps: 20, batch_size: 4, ..newcomer.clone() },
            20,
            20,
            vec![WarmupTooLong { warmup: 20, steps: 20 }],
        ),
        (Recipe { batch_size: 2, ..Recipe::base() }, 12, 18, vec![FewSteps { steps: 18 }]),
        (
            Recipe { batch_size: 4, epochs: 10.0, ..Recipe::base() },
            20,
            50,
            vec![MoreEpochsThanSteps { epochs: 10.0, steps_per_epoch: 5 }],
        ),
        // A limit of steps ends the passes: two of five steps are made.
        (Recipe { batch_size: 2, epochs: 1e6, max_steps: 20, ..Recipe::base() }, 20, 20, vec![]),
        // Where lengths decide, the number of steps that was counted is what there is.
        (Recipe { packing: true, batch_size: 4, epochs: 5.0, ..Recipe::base() }, 100, 25, vec![]),
        (
            Recipe { packing: true, batch_size: 4, epochs: 6.0, ..Recipe::base() },
            100,
            24,
            vec![MoreEpochsThanSteps { epochs: 6.0, steps_per_epoch: 4 }],
        ),
        (Recipe { batch_tokens: 4096, batch_size: 64, ..Recipe::base() }, 40, 30, vec![]),
        // One pass over anything is no repetition.
        (Recipe { epochs: 1.0, batch_size: 1, ..Recipe::base() }, 20, 20, vec![]),
    ];
    for (recipe, examples, steps, want) in cases {
        assert_eq!(warnings(&recipe, examples, steps), want, "{examples} {steps} {recipe:?}");
    }
    let said: Vec<String> = warnings(&newcomer, 40, 4).iter().map(ToString::to_string).collect();
    for (text, remedy) in said.iter().zip(["set warmup_steps to 0", "add examples", "lower batch_size", "lower epochs"])
    {
        assert!(text.contains(remedy), "{text}");
    }
}

/// The paper's study states all that fitting could change and all that the tuners recommend, so that its plan is the
/// paper's whatever the tuners come to recommend.
#[test]
fn the_papers_study_states_its_recipe_itself() {
    let study = Study::from_toml(include_str!("../../../data/studies/paper.toml")).unwrap();
    // Warm-up and steps, by the paper's tables.
    let want = [(100, 18_752), (100, 62_500), (100, 125_000), (100, 62_500), (1_688, 56_250), (5_625, 187_500)];
    let want = want.into_iter().chain([(100, 7_816), (469, 15_626)]);
    let other =
        layer("learning_rate = 9\nepochs = 9\nbatch_size = 9\nwarmup_steps = 9\nmax_length = 9\nschedule = \"linear\"");
    assert_eq!(study.arms.len(), 8);
    for (arm, want) in study.arms.iter().zip(want) {
        let examples = study.dataset(&arm.dataset).unwrap().examples.unwrap();
        let stated = [&study.recipe, &arm.recipe];
        let recommended = layer(if arm.tuner == "ft" { FT } else { LORA });
        for tuner in [&recommended, &other, &RecipeOverrides::default()] {
            for size in [examples, 40] {
                let layers = Layers { tuner, stated: &stated };
                assert_eq!(fit(&layers, size), (layers.recipe(), vec![]), "{}", arm.name);
            }
            let recipe = Layers { tuner, stated: &stated }.recipe();
            let steps = recipe.total_steps(examples).unwrap();
            assert_eq!((recipe.warmup(steps), steps), want, "{}", arm.name);
            assert_eq!(recipe, Layers { tuner: &recommended, stated: &stated }.recipe(), "{}", arm.name);
        }
    }
}

#[test]
fn the_other_studies_state_what_fitting_could_change() {
    let study = Study::from_toml(include_str!("../../../data/studies/smollm2.toml")).unwrap();
    for arm in &study.arms {
        let (tuner, stated) = (layer(LORA), [&study.recipe, &arm.recipe]);
        let (recipe, changes) = fit(&Layers { tuner: &tuner, stated: &stated }, 960);
        assert_eq!((recipe.total_steps(960), recipe.warmup(120), changes), (Some(120), 12, vec![]), "{}", arm.name);
    }
}
