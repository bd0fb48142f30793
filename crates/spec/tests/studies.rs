//! Study files: what they say, and what is wrong with them.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_spec::Study;

const GOOD: &str = r#"
[study]
name = "s"
seed = 7
[[model]]
id = "m"
source = "preset:llama-7b"
[[dataset]]
id = "d"
plugin = "belle"
source = ["a.json", "b.json"]
examples = 10
[[arm]]
name = "first"
base = "m"
tuner = "ft"
dataset = "d"
[[arm]]
name = "second"
base = "first"
tuner = "lora-attention"
dataset = "d"
options = { r = 4 }
recipe = { learning_rate = 1e-3 }
[eval]
items = "d"
judge = "reference"
"#;

#[test]
fn a_study_reads_and_writes_back() {
    let study = Study::from_toml(GOOD).unwrap();
    assert_eq!(study.root_model(study.arm("second").unwrap()), "m");
    assert_eq!(study.dataset("d").unwrap().source.paths(), ["a.json", "b.json"]);
    assert_eq!(Study::from_toml(&study.to_toml().unwrap()).unwrap(), study);
}

#[test]
fn each_fault_is_named() {
    for (from, to, expected) in [
        ("base = \"m\"", "base = \"nothing\"", "no model or earlier arm `nothing`"),
        ("base = \"m\"", "base = \"second\"", "second"),
        ("dataset = \"d\"", "dataset = \"e\"", "no dataset `e`; there are: d"),
        ("name = \"second\"", "name = \"first\"", "`first` is defined twice"),
        ("name = \"second\"", "name = \"m\"", "`m` is defined twice"),
        ("seed = 7", "sead = 7", "sead"),
        ("learning_rate = 1e-3", "learnig_rate = 1.0", "learnig_rate"),
        ("source = \"preset:llama-7b\"", "source = \"init:\"", "go together"),
        ("items = \"d\"", "items = \"x\"", "no dataset `x`"),
        ("[eval]", "[eval]\nrepeats = 0", "at least 1"),
        ("[study]", "[study", "TOML parse error"),
        ("seed = 7", "seed = 7\nseeds = 4000000000", "at most 1000 trainings of an arm"),
        ("name = \"first\"", "name = \"\"", "arm ``: a name must say something, on one line"),
        ("name = \"first\"", "name = \"a\\nb\"", "arm `a\\nb`: a name must say something"),
        ("name = \"s\"", "name = \"../x\"", "[study]: name = \"../x\" is a path"),
        ("name = \"s\"", "name = \"..\"", "is a path"),
        ("name = \"s\"", "name = \"a\\\\b\"", "is a path"),
        ("name = \"s\"", "name = \" \"", "study ` `: a name must say something"),
    ] {
        assert!(GOOD.contains(from));
        let error = Study::from_toml(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

/// The trainings of an arm: as often as it says, as its parent is trained, or as the study says.
#[test]
fn seeds_follow_the_parent() {
    for (study, first, second, want) in [
        ("", "", "", Ok([1, 1])),
        ("seeds = 3", "", "", Ok([3, 3])),
        ("seeds = 3", "seeds = 1", "", Ok([1, 3])),
        ("", "seeds = 4", "", Ok([4, 4])),
        ("seeds = 2", "", "seeds = 5", Err("`first`, which it starts from, has 2")),
        ("seeds = 2", "seeds = 1", "seeds = 5", Ok([1, 5])),
        ("seeds = 0", "", "", Err("[study]: seeds must be at least 1")),
    ] {
        let text = GOOD
            .replacen("seed = 7", &format!("seed = 7\n{study}"), 1)
            .replacen("name = \"first\"", &format!("name = \"first\"\n{first}"), 1)
            .replacen("name = \"second\"", &format!("name = \"second\"\n{second}"), 1);
        let found = Study::from_toml(&text).map(|study| {
            let seeds = |name: &str| study.seeds(study.arm(name).unwrap());
            assert_eq!(study.training_seed(study.arm("first").unwrap(), 0), 7);
            assert_eq!(study.training_seed(study.arm("second").unwrap(), 2), 9);
            [seeds("first"), seeds("second")]
        });
        match (found, want) {
            (Ok(found), Ok(want)) => assert_eq!(found, want, "{text}"),
            (Err(found), Err(want)) => assert!(found.to_string().contains(want), "{found}"),
            (found, want) => panic!("{found:?}, not {want:?}"),
        }
    }
}

const SELECTION: &str = "[selection]\nshare = 0.1\n[eval]";

#[test]
fn a_grid_makes_each_combination_of_its_values() {
    let grid =
        "[arm.grid]\nlearning_rate = [1e-4, 2e-4]\n\"options.r\" = [8, 64, 16]\n[selection]\nshare = 0.1\n[eval]";
    let study = Study::from_toml(&GOOD.replacen("[eval]", grid, 1)).unwrap();
    let arm = study.arm("second").unwrap();
    let candidates = study.candidates(arm).unwrap();
    let names: Vec<String> = candidates.iter().map(tunebench_spec::grid::Candidate::name).collect();
    assert_eq!(
        names,
        [
            "learning_rate=0.0001 options.r=8",
            "learning_rate=0.0001 options.r=64",
            "learning_rate=0.0001 options.r=16",
            "learning_rate=0.0002 options.r=8",
            "learning_rate=0.0002 options.r=64",
            "learning_rate=0.0002 options.r=16",
        ]
    );
    assert_eq!(candidates[4].recipe.learning_rate, Some(2e-4));
    assert_eq!(candidates[4].options["r"], 64);
    // The edges of a chosen one, by value and not by place.
    let edges = |index: usize| study.grid(arm).unwrap().edges(&candidates[index]);
    assert_eq!(edges(2), ["learning_rate = 0.0001 is the smallest of its grid"]);
    assert_eq!(edges(4).len(), 2, "{:?}", edges(4));
    // An arm without a grid is one candidate without values.
    assert_eq!(study.candidates(study.arm("first").unwrap()).unwrap().len(), 1);
    assert_eq!(Study::from_toml(&study.to_toml().unwrap()).unwrap(), study);
}

#[test]
fn arms_share_a_named_grid() {
    let text = GOOD
        .replacen("[[model]]", "[grid.rates]\nlearning_rate = [1e-4, 2e-4]\n[[model]]", 1)
        .replacen("name = \"first\"", "name = \"first\"\ngrid = \"rates\"", 1)
        .replacen("name = \"second\"", "name = \"second\"\ngrid = \"rates\"", 1)
        .replacen("[eval]", SELECTION, 1);
    let study = Study::from_toml(&text).unwrap();
    assert!(study.arms.iter().all(|arm| study.candidates(arm).unwrap().len() == 2));
}

#[test]
fn each_fault_of_a_grid_or_selection_is_named() {
    let grid = |values: &str| format!("[arm.grid]\n{values}\n{SELECTION}");
    for (to, expected) in [
        ("[arm.grid]\nlearning_rate = [1e-4]\n[eval]".to_owned(), "a grid needs [selection]"),
        (grid("learnig_rate = [1e-4]"), "learnig_rate"),
        (grid("learning_rate = [\"fast\"]"), "invalid type"),
        (grid("learning_rate = []"), "`learning_rate` has no values"),
        (grid("learning_rate = [1e-4, 1e-4]"), "twice"),
        (grid("epochs = [1, 1.0]"), "twice"),
        (grid(""), "it has no values"),
        (
            grid(
                "epochs = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]\nlearning_rate = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10]\n\"options.r\" = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]",
            ),
            "more than 1000",
        ),
        ("[selection]\n[eval]".to_owned(), "it needs share"),
        ("[selection]\nshare = 0.1\ndataset = \"d\"\n[eval]".to_owned(), "two ways"),
        ("[selection]\nshare = 0.6\n[eval]".to_owned(), "at most 0.5"),
        ("[selection]\nshare = nan\n[eval]".to_owned(), "share must be"),
        ("[selection]\ndataset = \"x\"\n[eval]".to_owned(), "no dataset `x`"),
        // What is asked must choose nothing.
        ("[selection]\ndataset = \"d\"\n[eval]".to_owned(), "are the evaluation items"),
        ("[selection]\nshare = 0.1\nreduction_factor = 1\n[eval]".to_owned(), "at least 2"),
        ("[selection]\nshare = 0.1\nleast_steps = 0.0\n[eval]".to_owned(), "least_steps"),
    ] {
        let error = Study::from_toml(&GOOD.replacen("[eval]", &to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}

const VARIANT: &str = "[[arm]]\nname = \"four bits\"\nof = \"first\"\nas = \"Q4_K_M\"\n[eval]";

#[test]
fn an_arm_may_be_another_in_another_form() {
    let text = GOOD.replace("[eval]", VARIANT);
    let study = Study::from_toml(&text).unwrap();
    assert_eq!(study.arms.len(), 2, "those that are trained");
    assert_eq!(study.arm_names(), ["first", "four bits", "second"]);
    assert_eq!(study.variant("four bits").unwrap().form.name(), "Q4_K_M");
    assert_eq!(study.trained_arm("four bits").unwrap().name, "first");
    assert_eq!(Study::from_toml(&study.to_toml().unwrap()).unwrap(), study);
    // A study without one is written as before there were any.
    assert!(!Study::from_toml(GOOD).unwrap().to_toml().unwrap().contains("of ="));
}

#[test]
fn each_fault_of_a_form_is_named() {
    for (from, to, expected) in [
        ("of = \"first\"", "of = \"none\"", "arm `four bits`: no arm that is trained `none`; there are: first, second"),
        ("of = \"first\"", "of = \"four bits\"", "no arm that is trained `four bits`"),
        ("of = \"first\"\n", "", "give both, or none"),
        ("as = \"Q4_K_M\"\n", "", "give both, or none"),
        ("as = \"Q4_K_M\"", "as = \"Q3\"", "Q3"),
        ("as = \"Q4_K_M\"", "as = \"merged\"\ntuner = \"ft\"\nseeds = 2", "leave out: tuner, seeds"),
        ("name = \"four bits\"", "name = \"second\"", "`second` is defined twice"),
        ("base = \"first\"", "base = \"four bits\"", "`four bits` is an arm in another form"),
        ("tuner = \"ft\"", "tuner = \"merged\"", "a form of an arm and no tuner"),
        ("base = \"first\"\n", "", "missing field `base`"),
    ] {
        let text = GOOD.replace("[eval]", VARIANT);
        assert!(text.contains(from), "{from}");
        let error = Study::from_toml(&text.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{from} -> {to}: {error}");
    }
}
