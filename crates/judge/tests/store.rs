//! What is kept of what was paid for: old files, replies that say nothing, what is asked again, and replay.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use std::path::Path;

use support::{AskOnce, AskTwice, Memory, URL, answers, completion, dear, run, settings, subjects};
use tunebench_chat::{BatchServer, ChatError, ChatServer, Failure, NamedRequest, RawResponse};
use tunebench_judge::{Again, Draw, Judge, JudgeError, Outcome, Server, Settings, tasks};
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatRequest, JudgementStatus as Status};

fn judge_all(by: &dyn Judge, n: usize, server: Server<'_>, settings: &Settings, folder: &Path) -> Outcome {
    let (items, generations) = answers(n);
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
    run(by, &tasks, server, settings, folder)
}

fn answers_by<'a>(memory: &'a Memory, in_batches: bool, folder: &'a Path) -> Server<'a> {
    if in_batches { Server::Batches { server: memory, journal: folder } } else { Server::Each(memory) }
}

fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.join("replies.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// As the first version of this file was written: a whole line, byte for byte.
const FIRST_LINE: &str = r#"{"hash":"074e49c260dc8fa6109f9e654c895eddacf8ebf79c56b1437798f614e6f6e188","base_url":"http://127.0.0.1:45275/v1","repeat":0,"ask":0,"request":{"model":"test-model","messages":[{"role":"user","content":"answer 0"}],"temperature":0.0,"max_tokens":50},"response":"{\"choices\":[{\"finish_reason\":\"stop\",\"message\":{\"content\":\"0.0\",\"role\":\"assistant\"}}],\"model\":\"test-model-0301\",\"usage\":{\"completion_tokens\":10,\"prompt_tokens\":100}}","request_id":"","seconds":0.002019721}"#;

#[test]
fn replies_of_the_first_version_are_found_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("replies.jsonl"), format!("{FIRST_LINE}\n")).unwrap();
    let url = "http://127.0.0.1:45275/v1";
    let outcome = judge_all(&AskOnce, 1, Server::Replay { url }, &dear(0.0), folder.path());
    let judgement = &outcome.judgements[0];
    assert_eq!((judgement.score, judgement.model.as_str()), (Some(0.0), "test-model-0301"));
    assert_eq!((judgement.seconds, judgement.cost_usd), (0.002_019_721, Some(1.2)));
    assert_eq!((outcome.progress.replayed, outcome.progress.spent_usd), (1, Some(1.2)));
}

#[test]
fn what_is_known_of_a_reply_comes_along_with_it() {
    struct Adapts;
    impl ChatServer for Adapts {
        fn url(&self) -> &str {
            URL
        }
        fn concurrency(&self) -> usize {
            2
        }
        fn send(&self, _: &ChatRequest, _: &str) -> Result<RawResponse, Failure> {
            let body = r#"{"model":"m-1","system_fingerprint":"fp","choices":[{"message":{"content":"1"},"finish_reason":"stop"}],
                "usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
            let adapted = "temperature left out".to_owned();
            Ok(RawResponse { body: body.into(), adapted, request_id: "req".into(), seconds: 2.5, batch: true, lost: 0 })
        }
        fn stop(&self, _: ChatError) {}
        fn stopped(&self) -> Option<ChatError> {
            None
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let fresh = judge_all(&AskOnce, 3, Server::Each(&Adapts), &settings(), folder.path());
    let replayed = judge_all(&AskOnce, 3, Server::Replay { url: URL }, &settings(), folder.path());
    assert_eq!(fresh.judgements, replayed.judgements);
    let judgement = &replayed.judgements[2];
    let known = [&judgement.asked_model, &judgement.model, &judgement.fingerprint, &judgement.adapted];
    assert_eq!(known, ["test-model", "m-1", "fp", "temperature left out"]);
    assert!(judgement.batch && judgement.seconds == 2.5 && judgement.rubric_hash.is_empty());
    assert_eq!(judgement.judge_hash, "the judge");
}

/// Bodies that are paid for and say nothing, and what is said of them.
fn nothings() -> [(String, &'static str); 6] {
    [
        (completion("", "stop"), "content"),
        (completion("   ", "stop"), "content"),
        (completion("", "length"), "its limit of tokens before it said anything"),
        (completion("0.5", "content_filter"), "the reply was filtered (finish_reason `content_filter`)"),
        (r#"{"choices":[{"message":{"content":null,"refusal":"No."}}],"usage":{"prompt_tokens":100,"completion_tokens":10}}"#.into(), "the model refused: No."),
        (r#"{"choices":[{"message":{"content":"0."#.into(), "not JSON"),
    ]
}

#[test]
fn a_reply_that_says_nothing_is_kept_and_asked_for_again_on_request() {
    for (body, reason) in nothings() {
        let folder = tempfile::tempdir().unwrap();
        let silent = {
            let body = body.clone();
            Memory::new(move |_, _| Ok(body.clone()))
        };
        let first = judge_all(&AskOnce, 2, Server::Each(&silent), &dear(1e6), folder.path());
        let failed = &first.judgements[0];
        assert_eq!((failed.status, failed.score, first.progress.paid), (Status::Failed, None, 2), "{body}");
        assert!(failed.reason.contains(reason), "{body}: {}", failed.reason);
        let spent = first.progress.spent_usd.unwrap();
        assert!(spent >= 2.2, "it was paid for: {spent}");
        assert!(matches!(first.failed, Some(JudgeError::TooManyFailed { failed: 2, total: 2, count: 2, .. })));
        assert_eq!(lines(folder.path())[0]["response"], body.as_str(), "as it came");

        // A later run does not ask again by itself.
        let clear = Memory::says("1");
        let second = judge_all(&AskOnce, 2, Server::Each(&clear), &dear(1e6), folder.path());
        assert_eq!((second.judgements, clear.count()), (first.judgements, 0), "{body}");
        // On request it does: one more line of the same name, and all of them count as spent.
        let again = Settings { again: Again::Unscored, ..dear(1e6) };
        let third = judge_all(&AskOnce, 2, Server::Each(&clear), &again, folder.path());
        assert_eq!((third.progress.scored, third.progress.asked_again, clear.count()), (2, 2, 2), "{body}");
        assert!((third.progress.spent_usd.unwrap() - spent - 2.4).abs() < 1e-9);
        let kept = lines(folder.path());
        assert_eq!((kept.len(), &kept[0]["hash"], &kept[0]["response"]), (4, &kept[2]["hash"], &body.as_str().into()));
        assert_eq!((kept[0].get("attempt"), kept[2].get("attempt")), (None, Some(&1.into())));
        // The newest wins, also in later runs, and what is scored is not asked again.
        let last = judge_all(&AskOnce, 2, Server::Each(&clear), &again, folder.path());
        assert_eq!((last.judgements, clear.count()), (third.judgements, 2));
        assert_eq!(last.progress.spent_usd, third.progress.spent_usd);
    }
}

#[test]
fn what_the_judge_could_not_read_is_asked_for_again_from_its_first_question() {
    for in_batches in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let vague = Memory::says("well");
        let asked = answers_by(&vague, in_batches, folder.path());
        let first = judge_all(&AskTwice, 3, asked, &settings(), folder.path());
        assert_eq!((first.progress.unscored, vague.count(), first.unscored_share()), (3, 6, 1.0));
        assert_eq!(first.failed, None);

        let clear = Memory::new(|_, request| match request.messages[0].content.as_str() {
            "answer 1" => Err(Failure::Request("HTTP 400: no".into())),
            "answer 2" => Ok(completion("well again", "stop")),
            _ => Ok(completion("0.75", "stop")),
        });
        let again = Settings { again: Again::Unscored, ..settings() };
        let asked = answers_by(&clear, in_batches, folder.path());
        let second = judge_all(&AskTwice, 3, asked, &again, folder.path());
        let scores: Vec<_> = second.judgements.iter().map(|j| j.score).collect();
        assert_eq!(scores, [Some(0.75), None, Some(0.75)], "{in_batches}");
        assert_eq!((clear.count(), second.progress.asked_again), (4, 3));
        // What could not be asked again stays what it was, and says so.
        let (before, after) = (&first.judgements[1], &second.judgements[1]);
        assert_eq!((after.status, &after.reply), (Status::Unscored, &before.reply));
        assert_eq!(after.reason, format!("{}; asked again: HTTP 400: no", before.reason));
    }
}

#[test]
fn what_is_no_reply_at_all_is_kept_and_asked_again_by_the_next_run() {
    for in_batches in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let clear = Memory::says("1");
        let lost = Memory::new(|_, _| Ok("<html>please log in</html>".into()));
        let first = judge_all(&AskOnce, 2, answers_by(&lost, in_batches, folder.path()), &settings(), folder.path());
        assert_eq!((first.progress.failed, lost.count(), lines(folder.path()).len()), (2, 2, 2), "once each");
        let replayed = judge_all(&AskOnce, 2, Server::Replay { url: URL }, &settings(), folder.path());
        assert_eq!(replayed.judgements, first.judgements);
        let second = judge_all(&AskOnce, 2, answers_by(&clear, in_batches, folder.path()), &settings(), folder.path());
        assert_eq!((second.progress.scored, second.progress.asked_again, clear.count()), (2, 2, 2));
    }
}

#[test]
fn replay_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Memory::says("well");
    judge_all(&AskOnce, 2, Server::Each(&server), &settings(), folder.path());
    for again in [Again::Failed, Again::Unscored] {
        let settings = Settings { again, ..settings() };
        let outcome = judge_all(&AskOnce, 3, Server::Replay { url: URL }, &settings, folder.path());
        assert_eq!((outcome.progress.unscored, outcome.progress.failed, outcome.progress.replayed), (2, 1, 2));
        assert_eq!(outcome.judgements[2].reason, "not asked: replay");
        assert_eq!(outcome.stopped, None);
    }
    let outcome = judge_all(&AskOnce, 1, Server::None, &settings(), folder.path());
    assert_eq!(outcome.judgements[0].reason, "not asked: there is no chat server");
}

#[test]
fn a_budget_without_a_price_asks_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Memory::says("1");
    let settings = Settings { budget_usd: Some(1.0), ..settings() };
    let outcome = judge_all(&AskOnce, 2, Server::Each(&server), &settings, folder.path());
    assert_eq!(outcome.stopped, Some(JudgeError::UnknownPrice { model: "test-model".into() }));
    assert_eq!((server.count(), outcome.progress.spent_usd), (0, None));
}

#[test]
fn a_model_of_our_own_engine_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Memory::says("1");
    let local = ChatSettings { base_url: "local:some-model".into(), budget_usd: Some(0.0), ..ChatSettings::default() };
    let outcome = judge_all(&AskOnce, 2, Server::Each(&server), &Settings::of(&local).unwrap(), folder.path());
    assert_eq!((outcome.progress.scored, outcome.progress.spent_usd, outcome.stopped), (2, Some(0.0), None));
    assert_eq!(outcome.judgements[0].cost_usd, Some(0.0));
}

#[test]
fn two_judges_of_one_store_share_its_budget() {
    let folder = tempfile::tempdir().unwrap();
    // The first paid 2.4 USD at its prices; the second knows its own alone.
    judge_all(&AskOnce, 2, Server::Each(&Memory::says("1")), &dear(1e6), folder.path());
    struct Elsewhere(Memory);
    impl ChatServer for Elsewhere {
        fn url(&self) -> &str {
            "memory:elsewhere"
        }
        fn concurrency(&self) -> usize {
            1
        }
        fn send(&self, request: &ChatRequest, name: &str) -> Result<RawResponse, Failure> {
            self.0.send(request, name)
        }
        fn stop(&self, reason: ChatError) {
            self.0.stop(reason);
        }
        fn stopped(&self) -> Option<ChatError> {
            self.0.stopped()
        }
    }
    let other = Elsewhere(Memory::says("0"));
    let outcome = judge_all(&AskOnce, 5, Server::Each(&other), &dear(5.0), folder.path());
    assert!(matches!(outcome.stopped, Some(JudgeError::Budget { .. })));
    assert_eq!((outcome.progress.paid, other.0.count()), (2, 2), "{:?}", outcome.progress);
    assert!((outcome.progress.spent_usd.unwrap() - 4.8).abs() < 1e-9);
}

/// A batch server that is never to be asked.
struct Never;

impl BatchServer for Never {
    fn url(&self) -> &str {
        URL
    }

    fn answer(
        &self,
        _: &[NamedRequest],
        _: &Path,
        _: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError> {
        Err(ChatError::Ended("asked".into()))
    }
}

#[test]
fn a_changed_model_is_said_whoever_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server =
        Memory::new(|before, _| Ok(completion("1", "stop").replace("0301", if before < 3 { "0301" } else { "0613" })));
    let outcome = judge_all(&AskOnce, 5, Server::Each(&server), &settings(), folder.path());
    let note = "`test-model` was answered under 2 models, so the judge changed: `test-model-0301` in 3 judgements, \
                `test-model-0613` in 2 judgements";
    assert_eq!(outcome.notes, [note]);
    let never = Server::Batches { server: &Never, journal: folder.path() };
    let outcome = judge_all(&AskOnce, 5, never, &settings(), folder.path());
    assert_eq!((outcome.notes, outcome.stopped), (vec![note.to_owned()], None));
}
