//! A folder with a small study in it that runs in this process, and what its runs told.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;
use tunebench_host::Registry;
use tunebench_model::backend::FAST;
use tunebench_results::{Frames, Record};
use tunebench_study::{Event, Observer, RunOptions, Stop, Study, StudyError, TokenCache};

use crate::support;
use crate::tiny::{self, lines, tokenizer};

/// Rows in `rows.jsonl`.
pub const ROWS: usize = 40;
/// Items in `questions.jsonl`.
pub const ITEMS: usize = 4;

const STUDY: &str = r#"
[study]
name = "small"
seed = 3
template = "plain"
HEADER
[recipe]
RECIPE
TABLES
MODEL
[[dataset]]
id = "rows"
plugin = "belle"
source = "rows.jsonl"
[[dataset]]
id = "questions"
plugin = "belle"
source = "questions.jsonl"
[eval]
items = "questions"
judge = "reference"
EVAL
"#;

/// What tests vary of the study: lines of TOML.
#[derive(Clone, Copy)]
pub struct Draft<'a> {
    /// Of `[study]`.
    pub header: &'a str,
    /// Of `[recipe]`.
    pub recipe: &'a str,
    /// `[selection]`, `[grid.NAME]`, more datasets, and the arms.
    pub tables: &'a str,
    /// Of `[eval]`.
    pub eval: &'a str,
    /// That the model has.
    pub positions: usize,
}

impl Default for Draft<'_> {
    fn default() -> Self {
        Self {
            header: "",
            recipe: "epochs = 1\nmax_steps = 4\nbatch_size = 4\nmax_length = 48\nwarmup_steps = 0\nlearning_rate = 1e-2",
            tables: "",
            eval: "generation = { max_new_tokens = 4, batch_size = 2 }",
            positions: 96,
        }
    }
}

/// An arm of the rows, named like its tuner.
pub fn arm(tuner: &str, more: &str) -> String {
    format!("[[arm]]\nname = \"{tuner}\"\nbase = \"tiny\"\ntuner = \"{tuner}\"\ndataset = \"rows\"\n{more}\n")
}

/// An arm of the rows over a model or another arm.
pub fn arm_over(name: &str, base: &str, tuner: &str) -> String {
    format!("[[arm]]\nname = \"{name}\"\nbase = \"{base}\"\ntuner = \"{tuner}\"\ndataset = \"rows\"\n")
}

/// A row that is learnt from: no two are equal, and not all are equally long.
pub fn row(number: usize) -> serde_json::Value {
    json!({ "instruction": format!("row {number}"), "output": "ab".repeat(1 + number % 5) })
}

pub fn question(number: usize) -> serde_json::Value {
    json!({ "instruction": format!("question {number}?"), "output": format!("answer {number}") })
}

/// A choice among the candidates of a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    pub arm: String,
    pub candidate: String,
    pub loss: Option<f64>,
    pub edges: Vec<String>,
}

/// What a run told, in its order.
#[derive(Debug, Default)]
pub struct Told {
    pub lines: Vec<String>,
    pub choices: Vec<Choice>,
    steps: usize,
    stop_after: Option<usize>,
}

impl Told {
    /// What follows this in the lines that begin with it.
    pub fn of(&self, begin: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix(begin)).collect()
    }

    /// The trainings that were begun, as `MODEL: STEPS`.
    pub fn trainings(&self) -> Vec<&str> {
        self.of("train ")
    }
}

impl Observer for Told {
    fn on_event(&mut self, event: &Event<'_>) {
        self.steps += usize::from(matches!(event, Event::Step { .. }));
        if let Event::CandidateChosen { arm, candidate, loss, edges } = event {
            let (arm, candidate) = ((*arm).to_owned(), (*candidate).to_owned());
            self.choices.push(Choice { arm, candidate, loss: *loss, edges: edges.to_vec() });
        }
        self.lines.extend(shown(event));
    }

    fn stop(&self) -> Stop {
        if self.stop_after.is_some_and(|steps| self.steps >= steps) { Stop::Soon } else { Stop::No }
    }
}

/// What an event says, without what takes time; nothing of one that says no more than others do.
pub fn shown(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::SourceRead { dataset, usable, skips } => format!("read {dataset}: {usable}, {}", skips.total()),
        Event::SourceRemark { dataset, remark } => format!("{dataset}: {remark}"),
        Event::Tokenized { dataset, stats } => format!("tokenized {dataset}: {}", stats.examples),
        Event::ItemsSkipped(skips) => format!("no items: {skips}"),
        Event::NotAsked { model, items, of, first, .. } => format!("not asked of {model}: {items} of {of}, {first}"),
        Event::PreparationFailed(error) => format!("not prepared: {error}"),
        Event::ArmLeftOut(error) => format!("left out: {error}"),
        Event::ArmForecast(forecast) => format!("forecast {}: {}", forecast.model, forecast.steps),
        Event::FramesLost(error) => format!("frames lost: {error}"),
        Event::RowsDropped { arms } => format!("dropped {}", arms.join(", ")),
        Event::Overlap { dataset, overlap } => {
            format!("overlap {dataset}: {} and {} of {}", overlap.exact, overlap.near, overlap.rows)
        }
        Event::HeldOut { dataset, removed, measured, left_out } => {
            format!("held out {dataset}: {removed}, {measured} measured, {left_out} left out")
        }
        Event::RecipeFitted { arm, fitted } => format!("fitted {arm}: {fitted}"),
        Event::EndNotLearnt { arm, examples, of } => format!("no end {arm}: {examples} of {of}"),
        Event::EndCutOff { arm, examples, learnt, .. } => format!("end cut {arm}: {examples}, {learnt} learnt"),
        Event::TextChecked { of, check } => format!("text of {of}: {} findings", check.sentences().len()),
        Event::TemplateRemark { remark } => format!("template: {remark}"),
        Event::RecipeWarning { arm, warning } => format!("warning {arm}: {warning}"),
        Event::FileReadAgain { arm, said } => format!("read again {arm}: {said}"),
        Event::RanksIdle { arm, lanes, ranks } => format!("idle {arm}: {lanes} of {ranks}"),
        Event::JudgeCannotScore { judge, items, unscorable } => {
            format!("{judge} cannot score {} of {items}", unscorable.total())
        }
        Event::ModelRemark { model, remark } => format!("remark on {model}: {remark}"),
        Event::OtherLevel { model, before, now } => format!("level {model}: {before}, {now}"),
        Event::Receipt { receipt, .. } if receipt.passed => return None,
        Event::Receipt { receipt, .. } => format!("not moving: {}", receipt.still),
        Event::CandidateChosen { arm, candidate, .. } => format!("chosen {arm}: {candidate}"),
        Event::CandidateDiverged { model, .. } => format!("diverged {model}"),
        Event::BaseStarted { model } => format!("base {model}"),
        Event::VariantStarted { model, of, form } => format!("form {model}: {} of {of}", form.name()),
        Event::ArmStarted { model, number, count } => format!("arm {number}/{count} {model}"),
        Event::AlreadyTrained { model } => format!("already trained {model}"),
        Event::ExamplesSkipped { model, skips } => format!("skipped {model}: {skips}"),
        Event::ExamplesTruncated { model, examples, .. } => format!("cut {model}: {examples}"),
        Event::TrainingStarted { model, steps } => format!("train {model}: {steps}"),
        Event::Step { step, .. } => format!("step {}", step.step),
        Event::Loss { loss, .. } => format!("loss on {}", loss.set),
        Event::Trained { record, .. } => format!("trained {}", record.arm),
        Event::BoardFailed { model, error } => format!("board failed {model}: {error}"),
        Event::GenerationStarted { items, done, .. } => format!("answer {items}, {done} done"),
        Event::AnsweringTogether { models, items, done } => {
            format!(
                "answer together {}: {items}, {done} done",
                models.iter().map(|of| of.to_string()).collect::<Vec<_>>().join(", ")
            )
        }
        Event::AnsweringApart { error } => format!("answer apart: {error}"),
        Event::Generated { done, .. } => format!("answered {done}"),
        Event::JudgingStarted { judgements, .. } => format!("judge {judgements}"),
        Event::JudgingNote(note) => format!("note: {note}"),
        Event::JudgingFinished { judgements, .. } => format!("judged {}", judgements.len()),
        Event::ModelFailed { model, error } => format!("failed {model}: {error}"),
        Event::ModelFinished { model } => format!("finished {model}"),
        Event::Elsewhere { model, by } => format!("elsewhere {model}: {by}"),
        Event::JoinedElsewhere => "joined elsewhere".to_owned(),
        Event::JudgeRemark { judge, remark } => format!("{judge}: {remark}"),
        Event::JudgingForecast { forecast } => format!("{} takes {} requests", forecast.judge, forecast.requests),
        Event::JudgingTogether { judge } => format!("{judge} judges together"),
        Event::TokensFound { dataset, .. } => format!("tokens of {dataset} found"),
        Event::TokensLost { dataset, error } => format!("tokens of {dataset} lost: {error}"),
        Event::TokensKept { dataset, .. } => format!("tokens of {dataset} kept"),
        Event::TokensDeleted { deleted, .. } => format!("tokens deleted: {} files", deleted.files),
        Event::Reading { .. } | Event::Tokenizing { .. } => return None,
        Event::Judged(_) | Event::JudgeProbed { .. } | Event::WorkKnown { .. } => return None,
    })
}

/// The folder.
pub struct Workbench {
    folder: TempDir,
    cache: Option<TokenCache>,
}

/// The model of studies here, in place of `MODEL`.
fn with_model(study: &str, positions: usize) -> String {
    let model = tiny::model(1).replace("_embeddings = 96", &format!("_embeddings = {positions}"));
    study.replace("MODEL", &model)
}

impl Workbench {
    pub fn new(draft: Draft<'_>) -> Self {
        let bench = Self::with_rows("");
        bench.draft(draft);
        bench
    }

    /// A study in full, over the rows and questions that are here.
    pub fn with_rows(study: &str) -> Self {
        let bench = Self::from_study(study, 0);
        bench.write("rows.jsonl", &lines((0..ROWS).map(row)));
        bench.write("questions.jsonl", &lines((0..ITEMS).map(question)));
        bench
    }

    /// A study in full, with a tokenizer and without data; `MODEL` is a model with so many positions.
    pub fn from_study(study: &str, positions: usize) -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap(), cache: None };
        bench.write("tokenizer.json", &tokenizer().to_string());
        bench.write("tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
        bench.write("study.toml", &with_model(study, positions));
        bench
    }

    /// Writes the study anew.
    pub fn draft(&self, draft: Draft<'_>) {
        let parts =
            [("HEADER", draft.header), ("RECIPE", draft.recipe), ("TABLES", draft.tables), ("EVAL", draft.eval)];
        let study = with_model(STUDY, draft.positions);
        self.write("study.toml", &parts.into_iter().fold(study, |text, (name, part)| text.replace(name, part)));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// The study, opened.
    pub fn open(&self) -> Study {
        let mut plugins = Registry::default();
        for package in ["tuner-ft", "tuner-lora-attention", "tuner-lora-all-linear", "dataset-belle", "judge-reference"]
        {
            plugins.add(&support::plugin(package)).unwrap();
        }
        let study = Study::open(&self.path("study.toml"), plugins, FAST).unwrap();
        match &self.cache {
            Some(cache) => study.with_token_cache(cache.clone()),
            None => study,
        }
    }

    /// Keeps the tokens of large sources from now on, in the folder `cache`, in so many bytes.
    pub fn keep_tokens(&mut self, most_bytes: u64) {
        self.cache = Some(TokenCache { folder: self.path("cache"), most_bytes });
    }

    /// Runs the study into a folder, to the end.
    pub fn run(&self, out: &str) -> Told {
        let (result, told) = self.try_run(out, &[]);
        result.unwrap_or_else(|error| panic!("{error}: {told:#?}"));
        told
    }

    /// How a run of these arms ended, all when there is none.
    pub fn try_run(&self, out: &str, only: &[&str]) -> (Result<(), StudyError>, Told) {
        self.run_as(out, only, Told::default())
    }

    /// What a run would do.
    #[allow(clippy::result_large_err)] // an error ends the test
    pub fn dry_run(&self, out: &str) -> Result<(), StudyError> {
        let options = RunOptions { dry_run: true, ..RunOptions::default() };
        self.open().run(&self.path(out), &options, &mut Told::default())
    }

    /// A run that is told to stop after so many optimizer steps.
    pub fn run_steps(&self, out: &str, steps: usize) -> (Result<(), StudyError>, Told) {
        self.run_as(out, &[], Told { stop_after: Some(steps), ..Told::default() })
    }

    fn run_as(&self, out: &str, only: &[&str], mut told: Told) -> (Result<(), StudyError>, Told) {
        let options =
            RunOptions { only: only.iter().map(|name| (*name).to_owned()).collect(), ..RunOptions::default() };
        let result = self.open().run(&self.path(out), &options, &mut told);
        (result, told)
    }

    /// The ids of the rows that an arm learns from.
    pub fn learnt(&self, arm: &str) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        let mut take = |labels: tunebench_study::ArmLabels| -> Result<(), Box<StudyError>> {
            ids.extend(labels.examples.into_iter().map(|example| example.id));
            Ok(())
        };
        self.open().labels(Some(arm), usize::MAX, &mut |_: &Event<'_>| {}, &mut take).unwrap();
        ids
    }

    /// The rows of a frame.
    pub fn rows<R: Record>(&self, out: &str) -> Vec<R> {
        Frames::open(&self.path(out)).unwrap().read().unwrap()
    }
}

/// The bytes of the trained values of a training, by file.
pub fn result(out: &Path, identity: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = out.join("work").join(format!("train-{}", &identity[..16])).join("result");
    let mut files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let named = |file: PathBuf| (file.strip_prefix(&folder).unwrap().to_owned(), fs::read(&file).unwrap());
    files.into_iter().map(named).collect()
}
