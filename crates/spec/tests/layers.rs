//! Recipes put together in layers: what one layer says replaces what a less specific one says of the same thing.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::{Recipe, RecipeOverrides, Study};

fn layer(toml: &str) -> RecipeOverrides {
    toml::from_str(toml).unwrap()
}

const LORA: &str = "warmup_steps = 100\nbatch_size = 128";
const FT: &str = "warmup_ratio = 0.03\nbatch_size = 32";

#[test]
fn the_more_specific_warm_up_replaces_both_spellings() {
    // Tuner, study, arm; warm-up in 120 steps.
    let cases = [
        (LORA, "", "", 100),
        (LORA, "warmup_ratio = 0.03", "", 4),
        (LORA, "warmup_ratio = 0.0", "", 0),
        (LORA, "warmup_steps = 0", "", 0),
        (LORA, "warmup_steps = 0\nwarmup_ratio = 0.1", "", 12),
        (LORA, "warmup_ratio = 0.1", "warmup_steps = 7", 7),
        (LORA, "warmup_steps = 7", "warmup_ratio = 0.1", 12),
        (LORA, "", "warmup_ratio = 0.1", 12),
        (FT, "", "", 4),
        (FT, "warmup_steps = 30", "", 30),
        (FT, "warmup_steps = 0", "", 0),
        (FT, "warmup_steps = 30", "warmup_ratio = 0.5", 60),
        (FT, "epochs = 1", "learning_rate = 1.0", 4),
        ("", "", "", 0),
    ];
    for (tuner, study, arm, want) in cases {
        let [tuner, study, arm] = [tuner, study, arm].map(layer);
        let recipe = Recipe::base().with(&tuner).with(&study).with(&arm);
        assert_eq!((recipe.warmup(120), recipe.check()), (want, Ok(())), "{tuner:?} {study:?} {arm:?}");
        // Layers may be laid over each other first, in whatever groups.
        assert_eq!(Recipe::base().with(&tuner.clone().with(&study).with(&arm)), recipe);
        assert_eq!(Recipe::base().with(&tuner).with(&study.with(&arm)), recipe);
    }
}

#[test]
fn the_more_specific_batch_replaces_both_spellings() {
    // Tuner, study; examples and tokens of a step.
    let cases = [
        (LORA, "batch_size = 8", (8, 0)),
        (LORA, "batch_tokens = 4096", (128, 4096)),
        (LORA, "batch_tokens = 0", (128, 0)),
        ("batch_tokens = 4096", "batch_size = 8", (8, 0)),
        ("batch_tokens = 4096", "batch_tokens = 0", (32, 0)),
        ("batch_tokens = 4096", "packing = true", (32, 4096)),
        ("batch_tokens = 4096", "batch_size = 8\nbatch_tokens = 0", (8, 0)),
    ];
    for (tuner, study, want) in cases {
        let [tuner, study] = [tuner, study].map(layer);
        let recipe = Recipe::base().with(&tuner).with(&study);
        assert_eq!((recipe.batch_size, recipe.batch_tokens), want, "{tuner:?} {study:?}");
        let merged = Recipe::base().with(&tuner.clone().with(&study));
        assert_eq!(merged.batch_tokens, recipe.batch_tokens, "{tuner:?} {study:?}");
        assert!(merged.batch_tokens > 0 || merged.batch_size == recipe.batch_size, "{tuner:?} {study:?}");
    }
}

#[test]
fn a_limit_of_steps_leaves_the_epochs() {
    let recipe = Recipe::base().with(&layer("epochs = 5")).with(&layer("max_steps = 3"));
    assert_eq!((recipe.epochs, recipe.max_steps, recipe.total_steps(320)), (5.0, 3, Some(3)));
}

#[test]
fn one_layer_that_says_a_thing_in_two_ways_is_refused() {
    let both = [
        ("warmup_steps = 100\nwarmup_ratio = 0.03", "warmup_steps = 100 and warmup_ratio = 0.03 are given together"),
        ("batch_size = 8\nbatch_tokens = 4096", "batch_size = 8 and batch_tokens = 4096 are given together"),
    ];
    for (text, want) in both {
        let error = toml::from_str::<RecipeOverrides>(text).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("remove one of them"), "{error}");
        let study = format!(
            "[study]\nname = \"s\"\n[[model]]\nid = \"m\"\nsource = \"x\"\n[[dataset]]\nid = \"d\"\nplugin = \"belle\"\n\
             [[arm]]\nname = \"a\"\nbase = \"m\"\ntuner = \"ft\"\ndataset = \"d\"\nrecipe = {{ {} }}",
            text.replace('\n', ", ")
        );
        let error = Study::from_toml(&study).unwrap_err().to_string();
        assert!(error.contains(want) && error.contains("line 14"), "{error}");
    }
    let recipe = Recipe { warmup_steps: 1, warmup_ratio: 0.5, ..Recipe::base() };
    assert!(recipe.check().unwrap_err().contains("warmup_steps = 1 and warmup_ratio = 0.5"));
    let unknown = toml::from_str::<RecipeOverrides>("warm_up = 1").unwrap_err().to_string();
    assert!(unknown.contains("warm_up"), "{unknown}");
    let kept = layer("warmup_ratio = 0.5\nbatch_tokens = 0");
    assert_eq!(layer(&toml::to_string(&kept).unwrap()), kept);
}
