//! Studies through `crates/study`, by a program of its own: no terminal, no command line.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use tunebench_host::Registry;
use tunebench_model::backend::FAST;
use tunebench_results::Frames;
use tunebench_spec::{ArmRecord, Generation, Judgement, JudgementStatus, StepLog};
use tunebench_study::{Event, PieceKind, RunOptions, Study, StudyError};

use crate::support;
use crate::tiny::{self, lines, tokenizer};
use crate::workbench::shown;

/// Two arms and one that starts from the second, over rows of their own; seconds to run.
const STUDY: &str = r#"
[study]
name = "engine"
seed = 3
template = "plain"
[recipe]
epochs = 1
batch_size = 4
max_length = 48
warmup_steps = 0
learning_rate = 1e-3
MODEL
[[dataset]]
id = "few"
plugin = "stress"
source = "rows.jsonl"
examples = 8
options = { misdeed = "note NOTES" }
[[dataset]]
id = "more"
plugin = "stress"
source = "rows.jsonl"
examples = 12
options = { misdeed = "note NOTES" }
[[dataset]]
id = "questions"
plugin = "stress"
source = "questions.jsonl"
[[arm]]
name = "full"
base = "tiny"
tuner = "ft"
dataset = "few"
[[arm]]
name = "lora"
base = "tiny"
tuner = "lora-attention"
dataset = "few"
evaluate = false
[[arm]]
name = "lora, then more"
base = "lora"
tuner = "TUNER"
dataset = "more"
options = { OPTIONS }
[eval]
items = "questions"
judge = "reference"
bases = ["tiny"]
generation = { max_new_tokens = 4, batch_size = 2 }
"#;

/// A folder with the study and its data.
struct Place {
    folder: TempDir,
}

impl Place {
    /// The third arm is tuned by `tuner` with these options.
    fn new(tuner: &str, options: &str) -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let text = STUDY.replace("MODEL", &tiny::model(1)).replace("TUNER", tuner).replace("OPTIONS", options);
        place.write("study.toml", &text.replace("NOTES", place.path("notes").to_str().unwrap()));
        place.write("rows.jsonl", &lines((0..20).map(|i| json!({ "q": format!("row {i}") }))));
        // The last one is longer than the model can read.
        let long = "long ".repeat(40);
        place.write("questions.jsonl", &lines(["1+1?", "2+2?", &long].map(|q| json!({ "q": q }))));
        place.write("tokenizer.json", &tokenizer().to_string());
        place.write("tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn open(&self) -> Study {
        let mut plugins = Registry::default();
        for package in ["tuner-ft", "tuner-lora-attention", "judge-reference"] {
            plugins.add(&support::plugin(package)).unwrap();
        }
        for package in ["stress-dataset", "stress-tuner"] {
            plugins.add(&support::third_party(package)).unwrap();
        }
        Study::open(&self.path("study.toml"), plugins, FAST).unwrap()
    }

    /// Runs the study into `out`; how that ended, and what was told.
    fn run(&self, only: &[&str]) -> (Result<(), StudyError>, Vec<String>) {
        let mut told = Vec::new();
        let options =
            RunOptions { only: only.iter().map(|name| (*name).to_owned()).collect(), ..RunOptions::default() };
        let result = self.open().run(&self.path("out"), &options, &mut |event: &Event<'_>| told.extend(shown(event)));
        (result, told)
    }

    /// How often the dataset plugin was asked each thing.
    fn notes(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for line in fs::read_to_string(self.path("notes")).unwrap().lines() {
            *counts.entry(line.to_owned()).or_default() += 1;
        }
        counts
    }
}

/// The bytes of every frame.
fn frames(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = fs::read_dir(out).unwrap().map(|entry| entry.unwrap().path());
    let frames = files.filter(|path| path.extension().is_some_and(|e| e == "parquet"));
    frames.map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap())).collect()
}

#[test]
fn a_run_tells_its_observer_what_happens_and_a_second_does_nothing_again() {
    let place = Place::new("lora-attention", "");
    let (result, mut told) = place.run(&[]);
    result.unwrap();
    let begin = |line: &String, begin: &str| line.starts_with(begin);
    assert_eq!(told.iter().filter(|line| begin(line, "warning ")).count(), 3, "so few steps teach nothing: {told:?}");
    told.retain(|line| !begin(line, "warning "));
    let evaluated = ["answer 2, 0 done", "answered 1", "answered 2", "judge 2", "judged 3"];
    let trained = |first: &[&str], steps: u64, name: &str| -> Vec<String> {
        let steps = (1..=steps).map(|step| format!("step {step}"));
        first.iter().map(|s| (*s).to_owned()).chain(steps).chain([format!("trained {name}")]).collect()
    };
    let lines = |lines: &[&str]| -> Vec<String> { lines.iter().map(|line| (*line).to_owned()).collect() };
    let want = [
        lines(&[
            "read questions: 3, 0",
            "read few: 20, 0",
            "tokenized few: 8",
            "tokenized more: 12",
            "not asked of tiny: 1 of 3, questions.jsonl:3",
            "base tiny",
        ]),
        lines(&evaluated),
        lines(&["finished tiny"]),
        trained(&["arm 1/3 full", "train full: 2"], 2, "full"),
        lines(&evaluated),
        lines(&["finished full"]),
        trained(&["arm 2/3 lora", "train lora: 2"], 2, "lora"),
        lines(&["finished lora"]),
        trained(&["arm 3/3 lora, then more", "train lora, then more: 3"], 3, "lora, then more"),
        lines(&evaluated),
        lines(&["finished lora, then more"]),
    ];
    assert_eq!(told, want.concat());

    let out = place.path("out");
    let read = Frames::open(&out).unwrap();
    let arms: Vec<ArmRecord> = read.read().unwrap();
    let names: Vec<(&str, &str, u64)> = arms.iter().map(|a| (a.arm.as_str(), a.base.as_str(), a.steps)).collect();
    let want = [("tiny", "", 0), ("full", "tiny", 2), ("lora", "tiny", 2), ("lora, then more", "lora", 3)];
    assert_eq!(names, want);
    assert_eq!(read.read::<StepLog>().unwrap().len(), 7);
    let generations: Vec<Generation> = read.read().unwrap();
    assert_eq!(generations.iter().filter(|g| g.finish == "not_asked").count(), 3, "the long question, by each model");
    let judgements: Vec<Judgement> = read.read().unwrap();
    let unscored = judgements.iter().filter(|j| j.status == JudgementStatus::Unscored);
    assert_eq!((judgements.len(), unscored.count()), (9, 3));

    let before = frames(&out);
    assert_eq!(before.len(), 7, "{:?}", before.keys());
    let (result, told) = place.run(&[]);
    result.unwrap();
    let done = |line: &String| ["step", "train", "answer"].iter().any(|work| line.starts_with(work));
    assert!(!told.iter().any(done), "{told:?}");
    assert_eq!(told.iter().filter(|line| line.starts_with("already trained")).count(), 3, "{told:?}");
    assert_eq!(frames(&out), before);
}

/// Two arms share a dataset, and a third takes a larger subset of the same source.
#[test]
fn a_source_is_read_once_and_tokenized_once_for_all_arms_that_share_it() {
    let place = Place::new("ft", "");
    let (result, told) = place.run(&[]);
    result.unwrap();
    let notes = place.notes();
    // 20 rows, and their end twice: it ends a batch of rows, and is what the next one consists of.
    assert_eq!(notes, BTreeMap::from([("next".to_owned(), 22), ("open".to_owned(), 1)]));
    let tokenized: Vec<&String> = told.iter().filter(|line| line.starts_with("tokenized")).collect();
    assert_eq!(tokenized, ["tokenized few: 8", "tokenized more: 12"]);
}

#[test]
fn the_work_is_plain_data_before_any_of_it_is_done() {
    let place = Place::new("lora-attention", "");
    let work = |only: &[&str]| {
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        place.open().work(&place.path("none"), &only, &mut |_: &Event<'_>| {}).map_err(Box::new)
    };
    let graph = work(&[]).unwrap();
    assert!(!place.path("out").exists(), "nothing is done");
    let pieces: Vec<_> =
        graph.pieces.iter().map(|p| (p.model.to_string(), p.kind, p.depends_on.clone(), p.total)).collect();
    let child = "lora, then more";
    let want = [
        ("tiny", PieceKind::Answer, vec![], Some(3)),
        ("tiny", PieceKind::Judge, vec![0], Some(3)),
        ("full", PieceKind::Train, vec![], Some(2)),
        ("full", PieceKind::Measure, vec![2], None),
        ("full", PieceKind::Answer, vec![2], Some(3)),
        ("full", PieceKind::Judge, vec![4], Some(3)),
        ("lora", PieceKind::Train, vec![], Some(2)),
        ("lora", PieceKind::Measure, vec![6], None),
        (child, PieceKind::Train, vec![6], Some(3)),
        (child, PieceKind::Measure, vec![8], None),
        (child, PieceKind::Answer, vec![8], Some(3)),
        (child, PieceKind::Judge, vec![10], Some(3)),
    ];
    assert_eq!(pieces, want.map(|(model, kind, before, total)| (model.to_owned(), kind, before, total)));
    let models: Vec<String> = work(&[child]).unwrap().pieces.iter().map(|p| p.model.to_string()).collect();
    assert_eq!(models, ["lora", "lora", child, child, child, child]);
    assert!(matches!(*work(&["x"]).unwrap_err(), StudyError::At { .. }));

    // What is done is found under the names of the pieces.
    place.run(&[]).0.unwrap();
    for piece in &graph.pieces {
        let short = &piece.id[..16];
        match piece.kind {
            PieceKind::Train => assert!(place.path(&format!("out/work/train-{short}/arm.json")).is_file(), "{piece:?}"),
            PieceKind::Measure => assert!(place.path(&format!("out/work/losses-{short}.json")).is_file(), "{piece:?}"),
            PieceKind::Answer => assert!(place.path(&format!("out/work/answers-{short}.jsonl")).is_file(), "{piece:?}"),
            PieceKind::Judge => {}
        }
    }
    assert_eq!(work(&[]).unwrap(), graph);
}

#[test]
fn a_plugin_that_breaks_fails_its_arm_and_the_error_says_which() {
    let place = Place::new("stress", "misdeed = \"panic-in-plan\"");
    let (result, told) = place.run(&[]);
    let Err(StudyError::Failed(errors)) = result else { panic!("{result:?}") };
    assert!(matches!(&errors[..], [StudyError::Arm { arm, .. }] if arm == "lora, then more"), "{errors:?}");
    assert!(
        told.iter().any(|line| line.starts_with("not prepared: arm `lora, then more`: plugin `stress`")),
        "{told:?}"
    );
    assert!(told.contains(&"finished full".to_owned()) && told.contains(&"finished lora".to_owned()), "{told:?}");

    // An arm that cannot be trained takes along what starts from it, and nothing else.
    let text = fs::read_to_string(place.path("study.toml")).unwrap();
    let text = text.replace("tuner = \"stress\"", "tuner = \"ft\"").replace("misdeed = \"panic-in-plan\"", "");
    let reckless = "name = \"lora\"\nrecipe = { learning_rate = 1e30 }";
    place.write("study.toml", &text.replacen("name = \"lora\"", reckless, 1));
    let (result, told) = place.run(&[]);
    let Err(StudyError::Failed(errors)) = result else { panic!("{result:?}") };
    let [StudyError::Arm { arm, .. }, StudyError::ParentFailed { arm: child, parent }] = &errors[..] else {
        panic!("{errors:?}")
    };
    assert_eq!([arm.as_str(), child.as_str(), parent.as_str()], ["lora", "lora, then more", "lora"]);
    assert!(told.contains(&"finished full".to_owned()), "{told:?}");
}
