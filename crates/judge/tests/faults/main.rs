//! A server that does everything wrong that servers do, a judge that is killed again and again, and nothing lost, asked twice or
//! given away.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod child;
mod script;
mod secrets;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use tunebench_scripted_server::Server as Scripted;
use tunebench_spec::{Judgement, JudgementStatus as Status};

use self::child::Work;
use self::script::{End, Script, end, number};
use self::secrets::{KEY, Secret};

/// Answers to judge. `examples/ten_thousand.rs` does as many as it says.
const JUDGEMENTS: usize = 2000;
const KILLS: usize = 20;

fn child(server: &Scripted, folder: &Path, kill: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_judges", "--nocapture"]);
    // A second of the server's waits is half a millisecond.
    let work = Work { judgements: JUDGEMENTS, speed: 2000.0, concurrency: 12 };
    let output = work.tell(&mut command, server, folder, kill).output().unwrap();
    for said in [&output.stdout, &output.stderr] {
        assert_eq!(Secret::new(KEY).find_in(&String::from_utf8_lossy(said)), None);
    }
    output
}

/// No test by itself, but what the others run as a child.
#[test]
fn the_child_judges() {
    Work::do_what_was_told();
}

fn start() -> (Arc<Script>, Scripted) {
    let script = Arc::new(Script::new(Secret::new(KEY)));
    let for_server = script.clone();
    (script, Scripted::start(move |_, seen| for_server.respond(seen)))
}

/// The judgements, without what another server and another hour change.
fn judgements(folder: &Path) -> (Vec<Judgement>, Vec<String>) {
    let text = std::fs::read_to_string(folder.join("judgements.json")).unwrap();
    let (mut judgements, notes): (Vec<Judgement>, Vec<String>) = serde_json::from_str(&text).unwrap();
    for judgement in &mut judgements {
        assert_eq!(judgement.request_hash.len(), 64);
        (judgement.request_hash, judgement.seconds) = (String::new(), 0.0);
    }
    (judgements, notes)
}

/// The answers whose replies are kept, whole lines alone.
fn kept(folder: &Path) -> BTreeSet<usize> {
    let text = std::fs::read_to_string(folder.join("replies.jsonl")).unwrap_or_default();
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let line = |line: &str| -> usize {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        value["request"]["messages"][0]["content"].as_str().unwrap().rsplit(' ').next().unwrap().parse().unwrap()
    };
    whole.map(line).collect()
}

#[test]
fn nothing_is_lost_asked_twice_or_given_away() {
    // Undisturbed.
    let (script, server) = start();
    let calm = tempfile::tempdir().unwrap();
    let output = child(&server, calm.path(), None);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let (undisturbed, notes) = judgements(calm.path());
    assert_eq!((undisturbed.len(), notes), (JUDGEMENTS, vec![]));
    for (k, judgement) in undisturbed.iter().enumerate() {
        assert_eq!(judgement.adapted, "temperature left out", "{judgement:?}");
        let ended = match end(k) {
            End::Scored(score) => judgement.status == Status::Scored && judgement.score == Some(score),
            End::Unscored => judgement.status == Status::Unscored && judgement.reply.contains("I was asked by [key]"),
            End::Silent(why) => judgement.status == Status::Failed && judgement.reason.contains(why),
        };
        assert!(ended, "{k}: {judgement:?}");
        assert!((judgement.cost_usd.unwrap() - 120e-6).abs() < 1e-12, "what says nothing is paid for too");
    }
    let answered = script.answered();
    assert!(answered.len() == JUDGEMENTS && answered.values().all(|n| *n == 1), "each is paid for once");
    assert!(server.count() > JUDGEMENTS * 3 / 2, "there was much to go wrong: {}", server.count());
    Secret::new(KEY).assert_not_in(calm.path());

    // Killed again and again, in the middle of the replies that a run may still take in.
    let (script, server) = start();
    let folder = tempfile::tempdir().unwrap();
    let writes = JUDGEMENTS / (KILLS + 2);
    let (mut kept_before, mut asked_before) = (BTreeSet::new(), 0);
    for run in 0..=KILLS {
        let kill = (run < KILLS).then(|| format!("{writes}:{}", ["before", "torn", "after"][run % 3]));
        let output = child(&server, folder.path(), kill.as_deref());
        let is_killed = output.status.code().is_none() || cfg!(not(unix));
        assert!(is_killed == kill.is_some(), "{kill:?}: {}", String::from_utf8_lossy(&output.stderr));
        let seen = server.seen();
        let again: Vec<usize> = seen[asked_before..].iter().map(number).filter(|k| kept_before.contains(k)).collect();
        assert_eq!(again, [0; 0], "{kill:?}: asked again though its reply was kept");
        let kept = kept(folder.path());
        assert!(
            kept.is_superset(&kept_before)
                && kept.len() + 2 >= kept_before.len() + writes.min(JUDGEMENTS - kept_before.len())
        );
        (kept_before, asked_before) = (kept, seen.len());
    }
    let (resumed, _) = judgements(folder.path());
    assert_eq!(resumed, undisturbed);
    // What a kill takes is what was in flight.
    let answered = script.answered();
    let twice: usize = answered.values().map(|n| n - 1).sum();
    assert!(answered.len() == JUDGEMENTS && twice <= KILLS * 12, "{twice}");
    Secret::new(KEY).assert_not_in(folder.path());
}
