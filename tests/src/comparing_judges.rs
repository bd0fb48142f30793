//! A judge of two answers, as it is built, in this process and in one of its own; and what judges are told that are given
//! one answer too many or too few.

use serde_json::json;
use tunebench_host::{Isolation, Launcher, LockFile, Registry};
use tunebench_spec::{Example, JudgeStep};

use crate::plugins::options;
use crate::support;

fn registry(isolation: Isolation) -> Registry {
    let mut registry = Registry::new(LockFile::default(), Launcher { isolation, ..Launcher::default() });
    for package in ["longer", "frozen-judge"] {
        registry.add(&support::third_party(package)).unwrap();
    }
    registry
}

#[test]
fn two_answers_are_compared_in_this_process_and_in_another() {
    let item: Example =
        serde_json::from_value(json!({ "id": "1", "turns": [{ "role": "user", "content": "2+2?" }] })).unwrap();
    for isolation in [Isolation::InProcess, Isolation::Process(support::executable())] {
        let registry = registry(isolation);
        let longer = registry.judge("longer", &options(json!({ "tie": 1 }))).unwrap();
        let older = registry.judge("frozen-contains", &options(json!({}))).unwrap();
        assert_eq!((longer.compares(), older.compares()), (true, false));

        let mut scores = Vec::new();
        for answers in [["it is 4", "4"], ["4", "it is 4"], ["4", "5"], ["", "4."], ["", ""]] {
            scores.push(match longer.compare(&item, answers, &[]).unwrap() {
                JudgeStep::Score { score, .. } => Some(score),
                JudgeStep::Unscored { .. } => None,
                JudgeStep::Ask { .. } => panic!("it asks nobody"),
            });
        }
        assert_eq!(scores, [Some(1.0), Some(0.0), Some(0.5), Some(0.0), None]);

        for (error, want) in [
            (longer.step(&item, "4", &[]), "plugin `longer`: judging: it compares two answers, and one was given"),
            (
                older.compare(&item, ["4", "5"], &[]),
                "plugin `frozen-contains`: judging: it scores one answer at a time",
            ),
        ] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
        // A refusal of the host is no fault of the plugin: it goes on.
        assert!(longer.compare(&item, ["4", "5"], &[]).is_ok() && older.step(&item, "4", &[]).is_ok());
    }
}
