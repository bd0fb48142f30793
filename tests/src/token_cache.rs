//! Tokens of large sources, kept from run to run: found by content, made again when they are damaged, the same whoever
//! makes them, and never more than may be.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::SystemTime;

use serde_json::json;

use crate::study::Study;
use crate::tiny::{self, lines};
use crate::workbench::{Draft, Told, Workbench, arm, question, row};

/// More than a MiB, of which a few are learnt from, one of them an evaluation item.
fn large(changed: char) -> String {
    let text = "abc ".repeat(200);
    let filler =
        |number: usize| json!({ "instruction": format!("{number}{changed}"), "output": format!("{text}{number}") });
    lines((0..40).map(row).chain([question(1)]).chain((0..1400).map(filler)))
}

const RECIPE: &str = "max_steps = 1\nbatch_size = 4\nmax_length = 48\nwarmup_steps = 0\nlearning_rate = 1e-2";

fn bench() -> Workbench {
    let tables = arm("lora-attention", "");
    let bench = Workbench::new(Draft { recipe: RECIPE, tables: &tables, ..Draft::default() });
    bench.write("rows.jsonl", &large('a'));
    bench
}

/// The names of the trainings in a run folder: they hold the identity of the tokens.
fn trainings(bench: &Workbench, out: &str) -> Vec<String> {
    let work = fs::read_dir(bench.path(out).join("work")).unwrap();
    let names = work.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("train-")).collect();
    names.sort();
    names
}

fn about_tokens(told: &Told) -> Vec<&str> {
    told.of("tokens ")
}

/// The files in the cache of this kind.
fn kept(bench: &Workbench, kind: &str) -> Vec<PathBuf> {
    let found = fs::read_dir(bench.path("cache")).unwrap().map(|entry| entry.unwrap().path());
    found.filter(|path| path.to_str().unwrap().ends_with(kind)).collect()
}

#[test]
fn kept_tokens_are_those_that_a_run_makes() {
    let mut bench = bench();
    let in_memory = bench.run("memory");
    assert_eq!(about_tokens(&in_memory), [""; 0]);
    bench.keep_tokens(u64::MAX);
    let made = bench.run("made");
    assert_eq!(about_tokens(&made), ["of rows kept"]);
    let found = bench.run("found");
    assert_eq!(about_tokens(&found), ["of rows found"]);
    // What else is told of rows and tokens is the same, what overlaps too.
    let rest = |told: &Told| -> Vec<String> {
        told.lines.iter().filter(|line| !line.starts_with("tokens ")).cloned().collect()
    };
    assert!(!in_memory.of("overlap rows: 1 and 0 of 1441").is_empty(), "{in_memory:#?}");
    for told in [&made, &found] {
        assert_eq!(rest(told), rest(&in_memory));
    }
    let expected = trainings(&bench, "memory");
    assert_eq!(expected.len(), 1);
    assert_eq!([trainings(&bench, "made"), trainings(&bench, "found")], [expected.clone(), expected]);
    let learnt = bench.learnt("lora-attention");
    assert_eq!(learnt.len(), 1441);
}

/// Files of the same name, length and time with other content are other files.
#[test]
fn what_changes_the_tokens_is_not_found() {
    let mut bench = bench();
    bench.keep_tokens(u64::MAX);
    bench.run("first");
    let source = bench.path("rows.jsonl");
    let time = fs::metadata(&source).unwrap().modified().unwrap();
    bench.write("rows.jsonl", &large('b'));
    File::options().append(true).open(&source).unwrap().set_modified(time).unwrap();
    assert_eq!(about_tokens(&bench.run("other rows")), ["of rows kept"]);
    assert_ne!(trainings(&bench, "other rows"), trainings(&bench, "first"));
    let tables = arm("lora-attention", "");
    let shorter = RECIPE.replace("48", "40");
    for (what, draft) in [
        ("seed", Draft { header: "seeds = 2", recipe: RECIPE, tables: &tables, ..Draft::default() }),
        ("length", Draft { recipe: &shorter, tables: &tables, ..Draft::default() }),
    ] {
        bench.draft(draft);
        let expected = if what == "seed" { "of rows found" } else { "of rows kept" };
        assert_eq!(about_tokens(&bench.run(what)), [expected], "{what}");
    }
    // What was known of the source is known still.
    assert_eq!((kept(&bench, ".tokens").len(), kept(&bench, ".source.json").len()), (3, 2));
}

#[test]
fn damaged_tokens_are_made_again_and_that_is_said() {
    let mut bench = bench();
    bench.keep_tokens(u64::MAX);
    bench.run("first");
    let file = kept(&bench, ".tokens").pop().unwrap();
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for (number, bytes) in [&whole[..whole.len() / 2], &changed, b""].into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let told = bench.run(&format!("run {number}"));
        let about = about_tokens(&told);
        assert!(about[0].starts_with("of rows lost: ") && about[0].contains("damaged"), "{about:?}");
        assert_eq!(about[1..], ["of rows kept"]);
        assert!(fs::read(&file).unwrap() == whole);
    }
    // What is small and cannot be read is made again as well.
    for kind in [".source.json", ".overlap.json"] {
        fs::write(kept(&bench, kind).pop().unwrap(), "{").unwrap();
        bench.run(kind);
        assert_eq!(trainings(&bench, kind), trainings(&bench, "first"));
    }
}

#[test]
fn several_runs_may_make_the_same_tokens_at_once() {
    let mut bench = bench();
    bench.keep_tokens(u64::MAX);
    std::thread::scope(|scope| {
        let runs: Vec<_> = ["a", "b", "c"].map(|out| scope.spawn(|| drop(bench.run(out)))).into_iter().collect();
        runs.into_iter().for_each(|run| run.join().unwrap());
    });
    assert_eq!((kept(&bench, ".tokens").len(), kept(&bench, ".partial").len()), (1, 0));
    assert_eq!([trainings(&bench, "b"), trainings(&bench, "c")], [trainings(&bench, "a"), trainings(&bench, "a")]);
}

#[test]
fn no_more_is_kept_than_may_be() {
    let mut bench = bench();
    bench.keep_tokens(u64::MAX);
    bench.run("first");
    let first = kept(&bench, ".tokens").pop().unwrap();
    // As if that had been long ago; and a file that a killed run left, and one that is none of ours.
    fs::write(bench.path("cache").join(".x.tokens.partial"), "left over").unwrap();
    fs::write(bench.path("cache").join("notes.txt"), "mine").unwrap();
    for path in kept(&bench, "") {
        File::options().append(true).open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    }
    bench.write("rows.jsonl", &large('b'));
    bench.keep_tokens(1);
    let told = bench.run("second");
    assert_eq!(about_tokens(&told)[0], "of rows kept");
    assert!(about_tokens(&told)[1].starts_with("deleted: "), "{:?}", about_tokens(&told));
    let left = kept(&bench, ".tokens");
    assert!(left.len() == 1 && left[0] != first, "{left:?}");
    assert_eq!((kept(&bench, ".partial").len(), kept(&bench, "notes.txt").len()), (0, 1));
}

/// Killed at each of its writes into the cache, a run leaves nothing that a later one would take for whole.
#[test]
fn a_kill_leaves_no_tokens_that_are_not_whole() {
    let study = Study::new();
    study.write("rows.jsonl", &large('a'));
    let text = format!(
        "[study]\nname = \"killed\"\nseed = 3\n[recipe]\n{RECIPE}\n{}\n[[dataset]]\nid = \"rows\"\nplugin = \"belle\"\n\
         source = \"rows.jsonl\"\n{}",
        tiny::model(1),
        arm("lora-attention", "")
    );
    study.write("study.toml", &text);
    let arguments = ["study", "study.toml", "--dry-run"];
    let run = |cache: &str, kill: Option<&str>| {
        let mut command = study.command(&arguments);
        command.env("TUNEBENCH_CACHE", study.path(cache));
        command.envs(kill.map(|kill| ("TUNEBENCH_KILL_AT_WRITE", kill)));
        command.output().unwrap()
    };
    let said = |output: std::process::Output| {
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stderr).unwrap();
        text.lines().filter(|line| line.contains("to be trained")).map(str::to_owned).collect::<Vec<_>>()
    };
    let expected = said(run("whole", None));
    assert!(expected[0].contains("1441 examples"), "{expected:?}");
    let mut kills = 0;
    loop {
        let kill = format!("{}:{}", kills / 2 + 1, ["torn", "after"][kills % 2]);
        if run(&kill, Some(&kill)).status.success() {
            break;
        }
        for _ in 0..2 {
            assert_eq!(said(run(&kill, None)), expected, "killed at {kill}");
        }
        kills += 1;
    }
    assert!(kills >= 4, "the run was killed {kills} times only");
}
