//! Studies that cannot be, are stopped, or of which little can come: what is refused before anything is trained, what is
//! told, and what is left.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tunebench_spec::{ArmRecord, Judgement, JudgementStatus, StepLog};
use tunebench_study::StudyError;

use crate::remains::{assert_alike, remains};
use crate::study::Study;
use crate::support;
use crate::tiny::lines;
use crate::workbench::{Draft, ITEMS, ROWS, Workbench, arm, question, row};

#[test]
fn a_folder_holds_one_study() {
    let ft = arm("ft", "");
    let bench = Workbench::new(Draft { tables: &ft, ..Draft::default() });
    bench.run("out");
    let before = remains(&bench.path("out"));
    let text = fs::read_to_string(bench.path("study.toml")).unwrap();
    bench.write("study.toml", &text.replace("name = \"small\"", "name = \"another\""));
    let (result, told) = bench.try_run("out", &[]);
    let error = result.unwrap_err();
    assert!(matches!(&error, StudyError::OtherStudy { found, name, .. } if found == "small" && name == "another"));
    let error = error.to_string();
    assert!(["`small`", "`another`", "--out"].iter().all(|part| error.contains(part)), "{error}");
    assert!(told.lines.is_empty(), "it is said before anything else: {told:?}");
    assert_alike(&remains(&bench.path("out")), &before, "refused");
}

#[test]
fn a_chained_arm_names_the_parent_that_failed() {
    let child = |name: &str, base: &str| {
        format!("[[arm]]\nname = \"{name}\"\nbase = \"{base}\"\ntuner = \"ft\"\ndataset = \"rows\"\n")
    };
    let reckless = arm("lora-attention", "recipe = { learning_rate = 1e30 }");
    let tables = [reckless, child("child", "lora-attention"), child("grandchild", "child"), arm("ft", "")].concat();
    let bench = Workbench::new(Draft { header: "seeds = 2", tables: &tables, ..Draft::default() });
    let (result, told) = bench.try_run("out", &[]);
    let Err(StudyError::Failed(errors)) = result else { panic!("{result:?}") };
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    assert_eq!(errors.len(), 6, "{errors:?}");
    for number in [1, 2] {
        let of = |name: &str| format!("arm `{name} (seed {number} of 2)`: ");
        let begins = |begin: &str| errors.iter().any(|error| error.starts_with(begin));
        assert!(begins(&(of("lora-attention") + "step ")), "{errors:?}");
        assert!(begins(&format!("{}it starts from `lora-attention (seed {number} of 2)`", of("child"))), "{errors:?}");
        assert!(begins(&format!("{}it starts from `child (seed {number} of 2)`", of("grandchild"))), "{errors:?}");
    }
    assert_eq!(told.of("finished "), ["ft (seed 1 of 2)", "ft (seed 2 of 2)"]);
    let arms: Vec<ArmRecord> = bench.rows("out");
    assert!(arms.len() == 2 && arms.iter().all(|row| row.arm == "ft"), "{arms:?}");
}

/// What the study says of the warm-up, in either way, replaces both of what the tuner says: LoRA recommends 100 steps, full
/// fine-tuning a share of 0.03.
#[test]
fn a_warm_up_that_is_stated_is_the_one_that_is_made() {
    // Tuner, of the study, of the arm, and the steps of the warm-up out of forty.
    for (tuner, study, own, warmup) in [
        ("lora-attention", "warmup_ratio = 0.1", "", 4),
        ("lora-attention", "warmup_steps = 6", "", 6),
        ("lora-attention", "", "", 4),
        ("lora-attention", "warmup_steps = 0", "", 0),
        ("ft", "warmup_steps = 5", "", 5),
        ("ft", "warmup_ratio = 0.2", "", 8),
        ("ft", "", "", 2),
        ("ft", "warmup_steps = 5", "warmup_ratio = 0.2", 8),
        ("lora-attention", "warmup_ratio = 0.2", "warmup_steps = 3", 3),
    ] {
        let recipe = format!(
            "epochs = 1\nbatch_size = 1\nmax_length = 48\nlearning_rate = 1e-3\nschedule = \"linear\"\n{study}"
        );
        let tables = arm(tuner, &format!("recipe = {{ {own} }}"));
        let bench = Workbench::new(Draft { recipe: &recipe, tables: &tables, ..Draft::default() });
        bench.run("out");
        let steps: Vec<StepLog> = bench.rows("out");
        let place = format!("{tuner}: {study}, {own}");
        assert_eq!(steps.len(), ROWS, "{place}");
        for (step, index) in steps.iter().zip(0_i32..) {
            let left = f64::from(ROWS as i32 - warmup);
            let want = match index < warmup {
                true => 1e-3 * f64::from(index) / f64::from(warmup),
                false => 1e-3 * (1.0 - f64::from(index - warmup) / left),
            };
            assert!((step.learning_rate - want).abs() < 1e-12, "{place}: {step:?}, not {want}");
        }
    }
}

#[test]
fn a_judge_that_can_score_nothing_is_refused_before_anything_is_trained() {
    let ft = arm("ft", "");
    let bench = Workbench::new(Draft { tables: &ft, ..Draft::default() });
    let bare =
        |number: usize| json!({ "question": format!("question {number}?"), "class": "open qa", "std_answer": "" });
    bench.write("questions.jsonl", &lines((0..ITEMS).map(bare)));
    let (result, told) = bench.try_run("out", &[]);
    let error = result.unwrap_err().to_string();
    assert!(
        error.contains("judge `reference` can score none of the 4 items") && error.contains("reference answer"),
        "{error}"
    );
    assert!(told.trainings().is_empty() && !bench.path("out").exists(), "{told:?}");

    // Of some it is told, and they are unscored in the end.
    bench.write("questions.jsonl", &lines([question(0), bare(1), question(2), bare(3)]));
    let told = bench.run("out");
    assert_eq!(told.of("reference cannot score "), ["2 of 4"]);
    let judgements: Vec<Judgement> = bench.rows("out");
    let scored: Vec<bool> = judgements.iter().map(|j| j.status == JudgementStatus::Scored).collect();
    assert_eq!(scored.iter().filter(|scored| **scored).count(), 2, "{judgements:?}");
}

#[test]
fn items_that_are_training_rows_are_told() {
    let near = "What is the name of the mountain that is the highest of all on this continent?";
    let rows = (0..10).map(row).chain([json!({ "instruction": format!("{near} Please."), "output": "It." })]);
    let ft = arm("ft", "");
    let recipe = Draft::default().recipe.replace("max_length = 48", "max_length = 160");
    let bench = Workbench::new(Draft { recipe: &recipe, tables: &ft, positions: 256, ..Draft::default() });
    bench.write("rows.jsonl", &lines(rows));
    let asked =
        [row(3), json!({ "instruction": "ROW   7", "output": "x" }), json!({ "instruction": near, "output": "y" })];
    bench.write("questions.jsonl", &lines(asked.into_iter().chain([question(0)])));
    let told = bench.run("out");
    assert_eq!(told.of("overlap rows: "), ["2 and 1 of 11"]);
    let first = |begin: &str| told.lines.iter().position(|line| line.starts_with(begin)).unwrap();
    assert!(first("overlap ") < first("train "), "{told:?}");
}

#[test]
fn a_recipe_of_which_little_can_come_is_told_and_followed() {
    let ft = arm("ft", "");
    let warned = |recipe: &str| {
        let bench = Workbench::new(Draft { recipe, tables: &ft, ..Draft::default() });
        let told = bench.run("out");
        assert!(told.of("fitted ").iter().all(|line| !line.contains("batch_size")), "stated values stay: {told:?}");
        told.of("warning ft: ").iter().map(|line| (*line).to_owned()).collect::<Vec<_>>()
    };
    let few = warned("epochs = 2\nbatch_size = 64\nwarmup_steps = 10\nmax_length = 48");
    let parts = [
        "warm-up of 10 steps",
        "2 optimizer steps",
        "batch of 64 is larger than the 40 examples",
        "gone through 2 times",
    ];
    assert!(few.len() == 4 && few.iter().zip(parts).all(|(line, part)| line.contains(part)), "{few:?}");
    assert_eq!(warned("epochs = 3\nbatch_size = 4\nwarmup_steps = 3\nmax_length = 48"), [""; 0]);
}

/// One arm of some thousand steps, enough for a signal to come while it is trained.
fn long() -> Study {
    let study = Study::new();
    let text = fs::read_to_string(study.path("study.toml")).unwrap();
    let (begin, rest) = text.split_once("[[arm]]").unwrap();
    let (_, eval) = rest.split_once("[eval]").unwrap();
    let arm = "[[arm]]\nname = \"full\"\nbase = \"tiny\"\ntuner = \"ft\"\ndataset = \"few\"\n";
    let begin = begin.replace("epochs = 2", "epochs = 500").replace("checkpoint_steps = 2", "checkpoint_steps = 0");
    study.write("study.toml", &format!("{begin}{arm}[eval]{eval}"));
    study
}

fn signal(child: &Child) {
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
}

/// The log of the steps of the only training in a run folder.
fn log(study: &Study, out: &str) -> Option<PathBuf> {
    let work = fs::read_dir(study.path(out).join("work")).ok()?;
    work.map(|entry| entry.unwrap().path().join("steps.jsonl")).find(|log| log.is_file())
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(60), "{what} never came");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_training_at_a_checkpoint_and_it_goes_on_to_the_same_bytes() {
    let study = long();
    let steps = |out: &str| log(&study, out).map_or(0, |log| fs::read_to_string(log).unwrap().lines().count());
    let start = |out: &str| {
        let mut command = study.command(&["study", "study.toml", "--out", out]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let child = start("out");
    wait_until("the tenth step", || steps("out") >= 10);
    signal(&child);
    let ended = child.wait_with_output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{said}");
    assert!(said.contains("stopped") && said.contains("run the study again to go on"), "{said}");
    let done = steps("out");
    assert!((10..1500).contains(&done), "{done} steps before it was stopped");
    let progress = fs::read_to_string(study.path("out/work/progress.json")).unwrap();
    assert!(progress.contains("\"interrupted\""), "{progress}");

    study.run(&["study", "study.toml", "--out", "out"]);
    study.run(&["study", "study.toml", "--out", "whole"]);
    assert_alike(&remains(&study.path("out")), &remains(&study.path("whole")), "stopped and gone on");
    assert_eq!(steps("out"), 1500);
}

/// The first signal waits for the step that is under way, here for a plugin that never comes back.
#[cfg(target_os = "linux")]
#[test]
fn a_second_signal_ends_at_once() {
    let study = Study::new();
    let sick = "tuner = \"stress\"\noptions = { misdeed = \"endless-plan\" }";
    study.edit("study.toml", "tuner = \"ft\"", sick);
    let plugin = support::third_party("stress-tuner");
    let mut command = study.command(&["plan", "study.toml", "--plugin", plugin.to_str().unwrap()]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // With a plugin loaded it listens: that comes first.
    let maps = format!("/proc/{}/maps", child.id());
    wait_until("a plugin", || fs::read_to_string(&maps).is_ok_and(|maps| maps.contains("tunebench-plugin")));
    signal(&child);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(child.try_wait().unwrap(), None, "the first signal waits");
    signal(&child);
    let begin = Instant::now();
    let ended = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    assert_eq!(ended.status.code(), Some(130), "{}", String::from_utf8_lossy(&ended.stderr));
}
