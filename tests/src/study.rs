//! Whole studies by the real executable: a small one of every tuner and a chain, run again, changed and reused; and
//! what it says to bad input.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support;
use crate::tiny::{self, lines, tokenizer};

/// A folder with a study of five arms over data of its own, seconds to run.
pub struct Study {
    folder: TempDir,
}

const STUDY: &str = r#"
[study]
name = "small"
seed = 3
plugins = ["DORA"]
[recipe]
epochs = 2
batch_size = 4
max_length = 64
learning_rate = 1e-2
warmup_steps = 0
checkpoint_steps = 2
MODEL
[[dataset]]
id = "few"
plugin = "belle"
source = "train.jsonl"
examples = 12
max_skipped_share = 0.1
[[dataset]]
id = "sums"
plugin = "math"
source = "sums.jsonl"
[[dataset]]
id = "questions"
plugin = "belle"
source = ["questions.json", "rubrics.json"]
[[arm]]
name = "full"
base = "tiny"
tuner = "ft"
dataset = "few"
[[arm]]
name = "attention"
base = "tiny"
tuner = "lora-attention"
dataset = "few"
[[arm]]
name = "all"
base = "tiny"
tuner = "lora-all-linear"
dataset = "few"
[[arm]]
name = "stranger"
base = "tiny"
tuner = "dora"
dataset = "few"
[[arm]]
name = "all, then sums"
base = "all"
tuner = "lora-all-linear"
dataset = "sums"
[eval]
items = "questions"
judge = "reference"
bases = ["tiny"]
generation = { max_new_tokens = 8, batch_size = 2 }
"#;

impl Study {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let study = Self { folder };
        let rows = (0..20).map(|i| json!({"instruction": format!("第{i}题"), "input": "", "output": format!("答{i}")}));
        study.write("train.jsonl", &lines(rows.chain([json!({"instruction": "没有答案", "input": "", "output": ""})])));
        let sums =
            (1..9).map(|i| json!({"question": format!("{i}+1?"), "answer": format!("{i}+1={}\n#### {0}", i + 1)}));
        study.write("sums.jsonl", &lines(sums));
        let question = |q: &str, a: &str, class: &str| json!({"question": q, "std_answer": a, "class": class});
        study.write(
            "questions.json",
            &lines([
                question("2+1?", "3", "math"),
                question("苹果是什么？", "水果", "classification"),
                question("写一句话", "", "generation"),
                question(&"很长".repeat(200), "x", "closed QA"),
            ]),
        );
        let classes = ["math", "classification", "generation", "closed\u{a0}qa"];
        study.write("rubrics.json", &lines(classes.map(|c| json!({"class": c, "prompt": "打分"}))));
        study.write("tokenizer.json", &tokenizer().to_string());
        study.write("tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
        let dora = support::third_party("dora");
        let dora = dora.to_str().unwrap();
        study.write("study.toml", &STUDY.replace("MODEL", &tiny::model(2)).replace("DORA", dora));
        study.run(&["plugins", "add", dora]);
        study
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn edit(&self, name: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(name)).unwrap();
        assert!(text.contains(from), "{name} has no {from}");
        self.write(name, &text.replacen(from, to, 1));
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(support::executable());
        command.args(arguments).current_dir(self.folder.path()).env("TUNEBENCH_HOME", self.path("home"));
        command
    }

    /// Runs to the end and expects success; what it said.
    pub fn run(&self, arguments: &[&str]) -> String {
        said(self.command(arguments).output().unwrap(), 0)
    }

    /// Expects failure; the error.
    pub fn fails(&self, arguments: &[&str]) -> String {
        said(self.command(arguments).output().unwrap(), 1)
    }

    pub fn query(&self, sql: &str) -> Value {
        serde_json::from_str(&self.run(&["query", "out", sql, "--json"])).unwrap()
    }
}

fn said(output: Output, status: i32) -> String {
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(status), "{text}");
    assert!(!text.contains("panicked"), "{text}");
    text
}

/// Every file of trained values below a folder, with the hash of its bytes.
fn results(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "safetensors") {
                let bytes = tunebench_spec::hash::of_bytes(&fs::read(&path).unwrap());
                found.push((path.strip_prefix(folder).unwrap().to_owned(), bytes));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_study_runs_resumes_and_reuses() {
    let study = Study::new();
    let said = study.run(&["study", "study.toml", "--out", "out"]);
    // Of the long question one knows before anything is trained.
    let (before, _) = said.split_once("[1/").unwrap();
    assert!(before.contains("1 of 4 items cannot be asked of `tiny`") && before.contains("questions.json:4"), "{said}");

    let arms = study.query("SELECT arm, tuner, additional_params, steps, skipped_examples FROM arms");
    let rows = arms["rows"].as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|row| row["arm"].as_str().unwrap()).collect();
    assert_eq!(names, ["tiny", "full", "attention", "all", "stranger", "all, then sums"]);
    assert!(rows[1..].iter().all(|row| row["steps"].as_u64().unwrap() >= 4), "{arms}");
    assert_eq!(rows[1]["skipped_examples"], 1, "the row without an answer is counted: {arms}");
    for frame in ["arms", "steps", "generations", "judgements", "scores"] {
        let count = study.query(&format!("SELECT COUNT(*) AS n FROM {frame}"));
        assert!(count["rows"][0]["n"].as_u64().unwrap() > 0, "{frame}: {count}");
    }
    let unscored = study.query("SELECT item, reason FROM judgements WHERE arm = 'full' AND status = 'unscored'");
    let text = unscored.to_string();
    assert!(text.contains("positions") && text.contains("questions.json:4"), "the long item is not asked: {text}");
    let scores = study.run(&["analyze", "scores", "out"]);
    assert!(scores.contains("all, then sums") && scores.contains("others"), "{scores}");

    // A second run does nothing again and changes nothing.
    let before = results(&study.path("out"));
    assert!(before.len() >= 5, "{before:?}");
    let again = study.run(&["study", "study.toml", "--out", "out"]);
    assert_eq!(again.matches("already trained").count(), 5, "{again}");
    assert_eq!(results(&study.path("out")), before);

    // Another rank makes another arm; the rest is reused, and what starts from it is trained again.
    study.edit("study.toml", "name = \"all\"\nbase = \"tiny\"", "name = \"all\"\noptions = { r = 2 }\nbase = \"tiny\"");
    let changed = study.run(&["study", "study.toml", "--out", "out"]);
    assert_eq!(changed.matches("already trained").count(), 3, "{changed}");

    study.edit("study.toml", "options = { r = 2 }\n", "");
    study.run(&["study", "study.toml", "--out", "out"]);

    // A trained arm answers and is exported without its plugin or its study.
    fs::remove_file(study.path("study.toml")).unwrap();
    study.run(&["export", "merged", "out", "stranger", "merged"]);
    study.run(&["export", "adapter", "out", "stranger", "adapter"]);
    for file in ["merged/model.safetensors", "merged/tokenizer.json", "adapter/adapter_config.json"] {
        assert!(study.path(file).is_file(), "{file}");
    }
    let error = study.fails(&["export", "adapter", "out", "full", "whole"]);
    assert!(error.contains("export merged instead"), "{error}");
}

#[test]
fn a_failing_arm_takes_only_its_children_along() {
    let study = Study::new();
    let reckless = "name = \"all\"\nrecipe = { learning_rate = 1e30 }\nbase = \"tiny\"";
    study.edit("study.toml", "name = \"all\"\nbase = \"tiny\"", reckless);
    let error = study.fails(&["study", "study.toml", "--out", "out"]);
    assert!(error.contains("2 failed") && error.contains("lower the learning rate"), "{error}");
    let arms = || study.query("SELECT arm FROM arms").to_string();
    assert!(arms().contains("stranger") && !arms().contains("all, then sums"), "{}", arms());

    // Another run of one arm leaves the rows of the others; data that only they need may be gone.
    fs::remove_file(study.path("sums.jsonl")).unwrap();
    study.run(&["study", "study.toml", "--out", "out", "--only", "full"]);
    assert!(arms().contains("stranger") && arms().contains("full") && arms().contains("tiny"), "{}", arms());
}

/// However examples are put into steps, each is trained on whole and once an epoch.
#[test]
fn packed_rows_and_token_budgets_train_on_the_same_tokens() {
    let study = Study::new();
    study.edit("study.toml", "max_length = 64", "max_length = 96");
    let arms = |recipe: &str| {
        study.edit("study.toml", "batch_size = 4", recipe);
        study.run(&["study", "study.toml", "--out", "out", "--only", "all"]);
        let found = study.query("SELECT tokens, steps FROM arms WHERE arm = 'all'");
        study.edit("study.toml", recipe, "batch_size = 4");
        (found["rows"][0]["tokens"].as_u64().unwrap(), found["rows"][0]["steps"].as_u64().unwrap())
    };
    let (tokens, steps) = arms("batch_size = 4");
    assert_eq!(steps, 6, "12 examples, 4 a step, twice");
    // Of at most 96 tokens, so that some hold several examples.
    let rows = arms("batch_size = 1\npacking = true");
    assert_eq!(rows.0, tokens);
    assert!((tokens.div_ceil(96)..24).contains(&rows.1), "{} rows of {tokens} tokens", rows.1);
    for recipe in
        ["batch_tokens = 96", "batch_tokens = 96\npacking = true", "batch_size = 4\ngradient_checkpointing = true"]
    {
        let (found, steps) = arms(recipe);
        assert_eq!(found, tokens, "{recipe}");
        assert!((1..24).contains(&steps), "{recipe}: {steps} steps");
    }
}

#[test]
fn only_some_arms_can_be_run() {
    let study = Study::new();
    study.run(&["study", "study.toml", "--out", "out", "--only", "all, then sums"]);
    let arms = study.query("SELECT arm FROM arms").to_string();
    assert!(arms.contains("all, then sums") && !arms.contains("full"), "{arms}");
    let error = study.fails(&["study", "study.toml", "--only", "nothing"]);
    assert!(error.contains("nothing") && error.contains("attention"), "{error}");
    let dry = study.run(&["study", "study.toml", "--out", "dry", "--dry-run"]);
    assert!(dry.contains("to be trained") && !study.path("dry").exists(), "{dry}");
}

#[test]
fn an_exported_adapter_over_an_exported_model_is_the_arm() {
    let study = Study::new();
    study.run(&["study", "study.toml", "--out", "first", "--only", "full"]);
    study.run(&["export", "merged", "first", "full", "model"]);
    let text = fs::read_to_string(study.path("study.toml")).unwrap();
    let (start, rest) = text.split_once("[[model]]").unwrap();
    let (_, rest) = rest.split_once("[[dataset]]").unwrap();
    let with = |models: &str| {
        study.write(
            "study.toml",
            &format!("{start}{models}[[dataset]]{}", rest.replace("base = \"tiny\"", "base = \"m\"")),
        );
    };
    with("[[model]]\nid = \"m\"\nsource = \"model\"\n[[model]]\nid = \"tiny\"\nsource = \"model\"\n");
    study.run(&["study", "study.toml", "--out", "out", "--only", "stranger"]);
    study.run(&["export", "adapter", "out", "stranger", "adapter"]);
    with(
        "[[model]]\nid = \"m\"\nsource = \"model\"\n\
         [[model]]\nid = \"tiny\"\nsource = \"model\"\nadapter = \"adapter\"\n",
    );
    // Two arms that begin with the same weights, one by the adapter and one as a child of the arm it was exported from.
    study.edit("study.toml", "name = \"attention\"\nbase = \"m\"", "name = \"attention\"\nbase = \"tiny\"");
    let child = "base = \"stranger\"\ntuner = \"lora-attention\"\ndataset = \"few\"";
    study.edit("study.toml", "base = \"all\"\ntuner = \"lora-all-linear\"\ndataset = \"sums\"", child);
    study.run(&["study", "study.toml", "--out", "out"]);
    let first_loss = |arm: &str| {
        let found = study.query(&format!("SELECT loss FROM steps WHERE arm = '{arm}' AND step = 1"));
        found["rows"][0]["loss"].as_f64().unwrap()
    };
    let [by_adapter, by_arm, without] = ["attention", "all, then sums", "full"].map(first_loss);
    assert!((by_adapter - by_arm).abs() < 1e-5, "{by_adapter} {by_arm}");
    assert!((by_adapter - without).abs() > 1e-3, "{by_adapter} {without}");

    study.write("adapter/adapter_model.safetensors", "not tensors");
    let error = study.fails(&["study", "study.toml", "--out", "other"]);
    assert!(error.contains("adapter_model.safetensors"), "{error}");
}

#[test]
fn labels_show_what_is_learnt() {
    let study = Study::new();
    let text = study.run(&["labels", "study.toml", "--arm", "full"]);
    assert!(text.contains("12 examples") && text.contains("Assistant: "), "{text}");
    assert!(study.fails(&["labels", "study.toml", "--arm", "x"]).contains("no arm `x`"));
}

#[test]
fn the_papers_arms_have_the_papers_parameters() {
    let paper = support::repository("data/studies/paper.toml");
    let study = Study::new();
    let plan: Value = serde_json::from_str(&study.run(&["plan", paper.to_str().unwrap(), "--json"])).unwrap();
    let rows = plan["arms"].as_array().unwrap();
    let additional: Vec<u64> = rows.iter().map(|r| r["additional_params"].as_u64().unwrap()).collect();
    let (small, large) = (17_891_328, 28_016_640);
    assert_eq!(additional, [small, small, small, large, 0, 0, small, 0]);
    let trainable: Vec<u64> = rows.iter().map(|r| r["trainable_params"].as_u64().unwrap()).collect();
    assert_eq!(trainable[4..], [6_738_415_616, 6_738_415_616, small, 6_738_415_616]);
}

/// What no run could survive fails the plan; what is only not here yet is told.
#[test]
fn a_plan_fails_where_the_study_would() {
    let study = Study::new();
    for (from, to, want) in [
        ("seed = 3", "seed = 3\ntemplate = \"bele\"", "unknown template `bele`"),
        ("seed = 3", "seed = 3\ntemplate = \"model\"", "no chat template"),
        ("plugin = \"math\"", "plugin = \"maths\"", "`maths`"),
        ("plugin = \"math\"", "plugin = \"math\"\ncolumns = { question = \"nobody\" }", "nobody"),
        ("judge = \"reference\"", "judge = \"refrence\"", "`refrence`"),
        ("examples = 12", "examples = 1200", "1200"),
    ] {
        study.edit("study.toml", from, to);
        let error = study.fails(&["plan", "study.toml"]);
        assert!(error.contains(want), "{to}: {error}");
        study.edit("study.toml", to, from);
    }
    study.edit("study.toml", "sums.jsonl", "elsewhere.jsonl");
    let plan = study.run(&["plan", "study.toml"]);
    assert!(plan.contains("Time is not predicted: ") && plan.contains("elsewhere.jsonl: no such file"), "{plan}");
}

/// A study may come from anywhere: that it names a plugin file is not enough to run it.
#[test]
fn a_plugin_that_a_study_names_must_have_been_added() {
    let study = Study::new();
    study.run(&["plan", "study.toml"]);
    study.edit("study.toml", "plugins = [", "#");
    study.run(&["plan", "study.toml"]); // an added plugin needs no mention
    study.edit("study.toml", "#", "plugins = [");
    fs::remove_dir_all(study.path("home")).unwrap();
    let error = study.fails(&["plan", "study.toml"]);
    assert!(error.contains("which may run any code") && error.contains("plugins add /"), "{error}");
    study.run(&["plan", "study.toml", "--plugin", support::third_party("dora").to_str().unwrap()]);
}

#[test]
fn bad_input_gets_one_clear_error() {
    for (from, to, expected) in [
        ("tuner = \"ft\"", "tuner = \"fft\"", "no tuner plugin `fft`; there are: dora, ft"),
        ("tuner = \"ft\"", "tuner = \"ft\"\noptions = { r = 8 }", "unknown field `r`"),
        ("tuner = \"lora-attention\"", "tuner = \"lora-attention\"\noptions = { targets = [\"up_proj\"] }", "up_proj"),
        ("source = \"train.jsonl\"", "source = \"missing.jsonl\"", "missing.jsonl: no such file"),
        ("source = \"train.jsonl\"", "source = \"${NO_SUCH_VARIABLE}/x\"", "NO_SUCH_VARIABLE is not set"),
        ("examples = 12", "examples = 1000", "1000"),
        ("plugin = \"math\"", "plugin = \"maths\"", "no dataset plugin `maths`"),
        ("source = \"sums.jsonl\"", "source = \"empty.jsonl\"", "empty.jsonl is empty"),
        ("judge = \"reference\"", "judge = \"reference\"\njudge_options = { metric = 1 }", "unknown field `metric`"),
        ("vocab_size = 300", "vocab_size = 100", "token"),
        ("plugins = [", "plugins = [\"study.toml\", ", "study.toml"),
        ("learning_rate = 1e-2", "learning_rate = 1e30", "lower the learning rate"),
        ("max_length = 64", "max_length = 8", "nothing to learn within max_length = 8"),
        ("template = \"belle\"", "template = \"vicuna\"", "vicuna"),
        ("source = \"init:\"\ntokenizer", "source = \"nowhere\"\nhint = \"get it there\"\ntokenizer", "get it there"),
    ] {
        let study = Study::new();
        study.write("empty.jsonl", "");
        study.edit("study.toml", "name = \"small\"", "name = \"small\"\ntemplate = \"belle\"");
        if to.contains("nowhere") {
            let text = fs::read_to_string(study.path("study.toml")).unwrap();
            let (start, rest) = text.split_once("[model.shape]").unwrap();
            let (_, end) = rest.split_once("[[dataset]]").unwrap();
            study.write("study.toml", &format!("{start}[[dataset]]{end}"));
        }
        study.edit("study.toml", from, to);
        let error = study.fails(&["study", "study.toml", "--out", "out"]);
        assert!(error.contains("error: ") && error.contains(expected), "{to}: {error}");
    }
}
