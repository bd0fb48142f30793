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
    ] {
        assert!(GOOD.contains(from));
        let error = Study::from_toml(&GOOD.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(expected), "{to}: {error}");
    }
}
