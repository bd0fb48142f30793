//! A run killed at each of its durable writes, one by one, in waves, and while it asks again: it goes on as if nothing had happened,
//! and at most the reply that was being written is asked for once more.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

use support::{AskTwice, Memory, answers, completion, dear, run, subjects};
use tunebench_judge::{Again, Draw, Server, Settings, tasks};
use tunebench_spec::{ChatRequest, Judgement};

/// Tells this test binary, run again as a child, where and how to judge.
const FOLDER: &str = "TUNEBENCH_JUDGE_TEST_FOLDER";
const HOW: &str = "TUNEBENCH_JUDGE_TEST_HOW";
const KILL: &str = "TUNEBENCH_KILL_AT_WRITE";
/// What was answered, a prompt a line, whether the answer was kept or not.
const ANSWERED: &str = "answered.txt";

/// Answers, and the number of judgements that need a second reply.
const ANSWERS: usize = 6;
const VAGUE: usize = 2;

/// Vague about a few answers at first, but not when it is asked once more.
fn reply(request: &ChatRequest, is_vague: bool) -> String {
    let prompt = request.messages[0].content.as_str();
    let number: usize = prompt.rsplit(' ').next().unwrap().parse().unwrap();
    let needs_more = number < VAGUE && !prompt.starts_with("a number for");
    completion(if is_vague || needs_more { "well" } else { "0.5" }, "stop")
}

fn judge_as(how: &str, folder: &Path) -> Vec<Judgement> {
    let log = folder.join(ANSWERED);
    let is_vague = how == "vague";
    let server = Memory::new(move |_, request| {
        let mut log = std::fs::OpenOptions::new().append(true).create(true).open(&log).unwrap();
        writeln!(log, "{}", request.messages[0].content).unwrap();
        Ok(reply(request, is_vague))
    });
    let (items, generations) = answers(ANSWERS);
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
    let asked = match how {
        "batches" | "again in batches" => Server::Batches { server: &server, journal: folder },
        _ => Server::Each(&server),
    };
    let again = if how.starts_with("again") { Again::Unscored } else { Again::Failed };
    run(&AskTwice, &tasks, asked, &Settings { again, ..dear(1e6) }, folder).judgements
}

/// No test by itself, but what the others run as a child.
#[test]
fn the_child_judges() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Path::new(&folder);
    let judgements = judge_as(&std::env::var(HOW).unwrap(), folder);
    std::fs::write(folder.join("judgements.json"), serde_json::to_string(&judgements).unwrap()).unwrap();
}

fn child(how: &str, folder: &Path, kill: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_judges", "--nocapture"]).env(FOLDER, folder).env(HOW, how);
    if let Some(kill) = kill {
        command.env(KILL, kill);
    }
    command.output().unwrap()
}

/// A folder in which to begin: where it is asked again, with replies that said nothing.
fn begun(how: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    if how.starts_with("again") {
        judge_as("vague", folder.path());
        std::fs::remove_file(folder.path().join(ANSWERED)).unwrap();
    }
    folder
}

fn judged(folder: &Path) -> Vec<Judgement> {
    serde_json::from_str(&std::fs::read_to_string(folder.join("judgements.json")).unwrap()).unwrap()
}

fn answered(folder: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let text = std::fs::read_to_string(folder.join(ANSWERED)).unwrap();
    text.lines().for_each(|prompt| *counts.entry(prompt.to_owned()).or_default() += 1);
    counts
}

#[test]
fn a_kill_at_any_write_takes_at_most_the_reply_being_written() {
    for how in ["each", "batches", "again", "again in batches"] {
        let whole = begun(how);
        assert!(child(how, whole.path(), None).status.success());
        let (expected, needed) = (judged(whole.path()), answered(whole.path()));
        assert!(expected.iter().all(|j| j.score == Some(0.5)), "{how}: {expected:?}");
        let writes = ANSWERS + VAGUE;
        assert_eq!((needed.len(), needed.values().sum::<usize>()), (writes, writes), "{how}");

        for number in 1..=writes {
            for moment in [["before", "torn"][number % 2], "after"] {
                let folder = begun(how);
                let kill = format!("{number}:{moment}");
                let killed = child(how, folder.path(), Some(&kill));
                assert!(killed.status.code().is_none() || cfg!(not(unix)), "{how}, {kill}: {killed:?}");
                let resumed = child(how, folder.path(), None);
                assert!(resumed.status.success(), "{how}, {kill}: {resumed:?}");
                assert_eq!(judged(folder.path()), expected, "{how}, {kill}");
                let answered = answered(folder.path());
                let again: usize = answered.values().map(|n| n - 1).sum();
                assert_eq!(
                    (answered.len(), again),
                    (writes, usize::from(moment != "after")),
                    "{how}, {kill}: {answered:?}"
                );
            }
        }
    }
}
