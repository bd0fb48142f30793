//! Judging against a real HTTP server on a local port: replies, retries, stops, replay and what a kill leaves.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use support::{AskOnce, answers, go_on, request, subjects};
use tempfile::TempDir;
use tunebench_chat::{Chat, ChatError};
use tunebench_judge::{Draw, Judge, JudgeError, Outcome, Question, Server, Settings, judge, tasks};
use tunebench_scripted_server::{Response, Server as Scripted};
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatReply, JudgeStep, JudgementStatus as Status};

fn run_with(by: &dyn Judge, n: usize, repeats: u32, settings: &ChatSettings, folder: &Path) -> Outcome {
    let (items, generations) = answers(n);
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw { repeats, ..Draw::default() }).unwrap();
    let mut calls = 0;
    let chat = match Chat::new(settings) {
        Err(ChatError::MissingKey { .. }) => None,
        chat => Some(chat.unwrap()),
    };
    let server = chat.as_ref().map_or(Server::None, |chat| Server::Each(chat));
    let how = Settings::of(settings).unwrap();
    let outcome = judge(by, &tasks, server, &how, &folder.join("replies.jsonl"), &mut |state| {
        calls += 1;
        assert_eq!((state.done, state.total), (calls, tasks.len()));
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(calls, tasks.len(), "progress is told after each judgement");
    assert_eq!(outcome.judgements.len(), tasks.len(), "one judgement per task, whatever happens");
    outcome
}

fn run(n: usize, settings: &ChatSettings, folder: &TempDir) -> Outcome {
    run_with(&AskOnce, n, 1, settings, folder.path())
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn replies_become_scores_in_the_order_of_the_items() {
    // Later items are answered faster, so that order must come from the run and not from the clock.
    let server = Scripted::start(|_, seen| {
        let i: u64 = seen.prompt().trim_start_matches("answer ").parse().unwrap();
        Response { delay: Duration::from_millis(60 - 10 * i), ..Response::reply(&format!("0.{i}")) }
    });
    let settings = ChatSettings {
        concurrency: 3,
        usd_per_million_prompt_tokens: Some(1.0),
        usd_per_million_completion_tokens: Some(2.0),
        ..server.settings()
    };
    let outcome = run(6, &settings, &folder());
    for (i, judgement) in outcome.judgements.iter().enumerate() {
        assert_eq!(judgement.item, format!("item {i}"));
        assert_eq!((judgement.score, judgement.status), (Some(i as f64 / 10.0), Status::Scored));
        assert_eq!((judgement.judge.as_str(), judgement.category.as_str()), ("ask-once", "math"));
        assert_eq!((judgement.reply.as_str(), judgement.model.as_str()), (&*format!("0.{i}"), "test-model-0301"));
        assert_eq!(judgement.request_hash.len(), 64);
        assert!(judgement.seconds > 0.0);
        assert!((judgement.cost_usd.unwrap() - 120e-6).abs() < 1e-12);
    }
    assert!((outcome.progress.spent_usd.unwrap() - 720e-6).abs() < 1e-12);
    assert_eq!((outcome.progress.paid, outcome.progress.scored, outcome.stopped), (6, 6, None));
    let seen = &server.seen()[0];
    assert_eq!((seen.path.as_str(), &seen.authorization), ("/v1/chat/completions", &None));
    assert_eq!(seen.body["max_tokens"], 50);
    assert_eq!(seen.body.get("seed"), None, "what the judge leaves open is not sent");
}

#[test]
fn the_key_is_sent_and_kept_nowhere() {
    // cargo sets CARGO_PKG_NAME for tests: a variable whose value is known without setting one.
    let key = env!("CARGO_PKG_NAME");
    let server = Scripted::start(move |before, _| match before {
        0 => Response::reply(&format!("your key is {key}")),
        _ => Response::new(400, format!(r#"{{"error":{{"message":"bad key {key}"}}}}"#)),
    });
    let settings = ChatSettings { key_variable: Some("CARGO_PKG_NAME".into()), ..server.settings() };
    let folder = folder();
    let outcome = run(2, &settings, &folder);
    assert_eq!(server.seen()[0].authorization, Some(format!("Bearer {key}")));
    let kept = std::fs::read_to_string(folder.path().join("replies.jsonl")).unwrap();
    assert!(kept.contains("your key is [key]"), "{kept}");
    assert!(!kept.contains(key), "{kept}");
    assert_eq!(outcome.judgements[1].reason, "HTTP 400: bad key [key]");
}

#[test]
fn a_rate_limit_is_waited_out() {
    const WAIT: &[(&str, &str)] = &[("retry-after-ms", "150"), ("retry-after", "60")];
    let limited = r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#;
    let server = Scripted::start(move |before, _| match before {
        0 => Response::new(429, limited).with_headers(WAIT),
        _ => Response::reply("1"),
    });
    let start = std::time::Instant::now();
    let outcome = run(1, &server.settings(), &folder());
    assert_eq!(outcome.judgements[0].score, Some(1.0));
    assert_eq!(server.count(), 2);
    // Not the minute of the other header.
    assert!((150..60_000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
}

#[test]
fn a_faulty_server_is_given_up_and_asked_again_in_the_next_run() {
    const SOON: &[(&str, &str)] = &[("retry-after-ms", "1")];
    let server = Scripted::start(|before, _| match before {
        0..3 => Response::new(503, "overloaded").with_headers(SOON),
        _ => Response::reply("0.5"),
    });
    let settings = ChatSettings { retries: 2, ..server.settings() };
    let folder = folder();
    let first = run(1, &settings, &folder);
    assert_eq!(first.judgements[0].status, Status::Failed);
    assert_eq!(first.judgements[0].reason, "gave up after attempt 3: HTTP 503: overloaded");
    assert_eq!((server.count(), first.stopped), (3, None));
    let second = run(1, &settings, &folder);
    assert_eq!(second.judgements[0].score, Some(0.5), "a failure is never kept");
}

#[test]
fn a_server_that_is_down_ends_the_run() {
    let server = Scripted::start(|_, _| Response::new(500, ""));
    let settings = ChatSettings { retries: 0, ..server.settings() };
    let outcome = run(15, &settings, &folder());
    assert!(
        matches!(outcome.stopped, Some(JudgeError::Chat(ChatError::Unreachable { failures: 10, .. }))),
        "{:?}",
        outcome.stopped
    );
    assert_eq!(server.count(), 10);
    assert!(outcome.judgements[14].reason.starts_with("not asked: "));
}

#[test]
fn what_every_request_would_meet_stops_the_run_at_once() {
    let quota = r#"{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}"#;
    for (status, body, part) in [
        (429, quota, "You exceeded your current quota"),
        (401, r#"{"error":{"message":"Incorrect API key"}}"#, "Incorrect API key"),
        (404, r#"{"detail":"Not Found"}"#, "HTTP 404: Not Found"),
        (307, "", "HTTP 307"),
    ] {
        let server = Scripted::start(move |before, _| match before {
            0 => Response::reply("1"),
            _ => Response::new(status, body),
        });
        let outcome = run(5, &server.settings(), &folder());
        assert_eq!(server.count(), 2, "{status}");
        let stopped = outcome.stopped.unwrap();
        assert!(
            matches!(stopped, JudgeError::Chat(ChatError::Refused { .. })) && stopped.to_string().contains(part),
            "{stopped}"
        );
        assert_eq!(outcome.judgements[0].score, Some(1.0), "what was scored remains");
        assert!(outcome.judgements[2..].iter().all(|j| j.reason.starts_with("not asked: ")));
    }
}

#[test]
fn what_is_no_reply_fails_its_judgement_only() {
    let huge = "x".repeat((8 << 20) + 1);
    for (body, part) in [
        ("{\"choices\":[{\"mess", "not JSON"),
        (r#"{"choices":[]}"#, "no choices"),
        (r#"{"choices":[{"message":{"content":null,"refusal":"No."}}]}"#, "the model refused: No."),
        (huge.as_str(), "not JSON: xxx"),
    ] {
        let body = body.to_owned();
        let server = Scripted::start(move |before, _| match before {
            0 => Response::new(200, body.clone()),
            _ => Response::reply("1"),
        });
        let folder = folder();
        let outcome = run(2, &server.settings(), &folder);
        assert_eq!(outcome.progress.paid, 2, "what was paid for is kept");
        let failed = &outcome.judgements[0];
        assert_eq!((failed.status, failed.score), (Status::Failed, None));
        assert!(failed.reason.contains(part), "{}", failed.reason);
        assert_eq!(outcome.judgements[1].score, Some(1.0));
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn a_slow_server_times_out() {
    let server = Scripted::start(|_, _| Response { delay: Duration::from_secs(5), ..Response::reply("1") });
    let settings = ChatSettings { retries: 0, timeout_seconds: 1, ..server.settings() };
    let outcome = run(1, &settings, &folder());
    let reason = &outcome.judgements[0].reason;
    assert!(reason.starts_with("gave up after attempt 1: no complete response within 1 s"), "{reason}");
}

#[test]
fn a_server_without_tls_is_not_spoken_to_over_https() {
    let server = Scripted::start(|_, _| Response::reply("1"));
    let base_url = server.base_url.replace("http://", "https://");
    let outcome = run(1, &ChatSettings { base_url, retries: 0, ..server.settings() }, &folder());
    let failed = &outcome.judgements[0];
    assert_eq!((failed.status, server.count()), (Status::Failed, 0));
    assert!(failed.reason.contains("tls handshake"), "{}", failed.reason);
}

#[test]
fn a_second_run_pays_nothing_and_says_the_same() {
    let server = Scripted::start(|before, _| Response::reply(&format!("0.{before}")));
    let folder = folder();
    let first = run_with(&AskOnce, 3, 2, &server.settings(), folder.path());
    assert_eq!(server.count(), 6, "each repeat is asked");
    let second = run_with(&AskOnce, 3, 2, &server.settings(), folder.path());
    assert_eq!(server.count(), 6);
    assert_eq!(second.judgements, first.judgements);
    assert_eq!((second.progress.paid, second.progress.replayed), (0, 6));
}

#[test]
fn equal_requests_in_flight_are_paid_once() {
    let server = Scripted::start(|_, _| Response { delay: Duration::from_millis(50), ..Response::reply("1") });
    let (items, mut generations) = answers(4);
    generations.iter_mut().for_each(|g| g.answer = "the same".into());
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
    let settings = ChatSettings { concurrency: 4, ..server.settings() };
    let folder = folder();
    let (chat, how) = (Chat::new(&settings).unwrap(), Settings::of(&settings).unwrap());
    let replies = folder.path().join("replies.jsonl");
    let outcome = judge(&AskOnce, &tasks, Server::Each(&chat), &how, &replies, &mut go_on).unwrap();
    assert_eq!(server.count(), 1);
    assert!(outcome.judgements.iter().all(|j| j.score == Some(1.0)));
}

#[test]
fn a_kill_loses_at_most_the_line_being_written() {
    let server = Scripted::start(|_, _| Response::reply("1"));
    let folder = folder();
    let path = folder.path().join("replies.jsonl");
    run(3, &server.settings(), &folder);
    let whole = std::fs::read_to_string(&path).unwrap();
    assert_eq!(whole.lines().count(), 3);
    let mut cuts: Vec<usize> = (whole.len() - 40..whole.len()).collect();
    cuts.push(whole.trim_end().rfind('\n').unwrap() + 2);
    for cut in cuts {
        std::fs::write(&path, &whole.as_bytes()[..cut]).unwrap();
        let before = server.count();
        let outcome = run(3, &server.settings(), &folder);
        assert_eq!(server.count() - before, 1, "cut at {cut}");
        assert!(outcome.notes[0].contains("torn last line"), "{:?}", outcome.notes);
        assert!(outcome.judgements.iter().all(|j| j.score == Some(1.0)));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
    // A damaged line within is reported by its number and asked again.
    std::fs::write(&path, whole.replacen("\"hash\"", "\"hush\"", 1)).unwrap();
    let before = server.count();
    let outcome = run(3, &server.settings(), &folder);
    assert!(outcome.notes[0].contains("replies.jsonl:1: unusable reply"), "{:?}", outcome.notes);
    assert_eq!(server.count() - before, 1);
}

#[test]
fn the_budget_is_never_passed() {
    let server = Scripted::start(|_, _| Response::reply("1"));
    let dear = |budget| ChatSettings {
        concurrency: 3,
        usd_per_million_prompt_tokens: Some(1e4), // a reply costs 100 × 0.01 + 10 × 0.02 = 1.2 USD
        usd_per_million_completion_tokens: Some(2e4),
        budget_usd: Some(budget),
        ..server.settings()
    };
    let folder = folder();
    let first = run(10, &dear(4.0), &folder);
    assert!(matches!(first.stopped, Some(JudgeError::Budget { .. })), "{:?}", first.stopped);
    assert!(first.progress.spent_usd.unwrap() <= 4.0);
    assert_eq!((first.progress.scored, first.progress.failed), (server.count(), 10 - server.count()));
    assert!(first.progress.scored >= 2);
    // Earlier spending counts, and earlier replies are still used.
    let second = run(10, &dear(4.0), &folder);
    assert_eq!((second.progress.paid, second.progress.scored), (0, first.progress.scored));
    assert_eq!(run(10, &dear(100.0), &folder).progress.scored, 10);
    assert_eq!(server.count(), 10);
}

#[test]
fn a_reply_that_cannot_be_used_counts_against_the_budget() {
    let server = Scripted::start(|_, _| Response::new(200, r#"{"choices":[]}"#));
    let settings = ChatSettings {
        usd_per_million_prompt_tokens: Some(0.0),
        usd_per_million_completion_tokens: Some(2e4), // at most 50 × 0.02 = 1 USD a request
        budget_usd: Some(2.5),
        ..server.settings()
    };
    let outcome = run(5, &settings, &folder());
    assert!(matches!(outcome.stopped, Some(JudgeError::Budget { .. })), "{:?}", outcome.stopped);
    assert_eq!(server.count(), 2);
}

#[test]
fn what_was_lost_on_its_way_counts_against_the_budget_and_in_later_runs() {
    let lost = || Response { hangs_up: true, ..Response::reply("1") };
    let server = Scripted::start(move |before, _| if before < 4 { lost() } else { Response::reply("1") });
    let settings = ChatSettings {
        usd_per_million_prompt_tokens: Some(0.0),
        usd_per_million_completion_tokens: Some(2e4), // at most 50 × 0.02 = 1 USD a request; 0.2 as it is
        budget_usd: Some(4.5),
        retries: 1,
        ..server.settings()
    };
    let folder = folder();
    let outcome = run(5, &settings, &folder);
    let reason = &outcome.judgements[0].reason;
    assert!(reason.starts_with("gave up after attempt 2") && reason.contains("(2 may have been billed"), "{reason}");
    assert!(matches!(outcome.stopped, Some(JudgeError::Budget { .. })), "{:?}", outcome.stopped);
    assert_eq!((server.count(), outcome.progress.paid, outcome.progress.spent_usd), (4, 0, Some(4.0)));

    // The next run knows what that may have cost, and asks again.
    let next = run(5, &settings, &folder);
    assert_eq!((server.count(), next.stopped, next.progress.spent_usd), (4, outcome.stopped, Some(4.0)));
    let next = run(5, &ChatSettings { budget_usd: Some(9.0), ..settings }, &folder);
    assert_eq!((server.count(), next.progress.scored, next.progress.asked_again), (9, 5, 0));
    assert!((next.progress.spent_usd.unwrap() - 5.0).abs() < 1e-9, "{:?}", next.progress);
}

/// Given the number of replies so far.
type Step = fn(usize) -> Result<JudgeStep, String>;

struct Fixed(Step);

impl Judge for Fixed {
    fn step(&self, _: &Question<'_>, replies: &[ChatReply]) -> Result<JudgeStep, String> {
        (self.0)(replies.len())
    }

    fn name(&self) -> &str {
        "fixed"
    }
}

fn score(score: f64) -> Result<JudgeStep, String> {
    Ok(JudgeStep::Score { score, reason: "because".into() })
}

#[test]
fn a_judge_without_a_model_needs_neither_key_nor_server() {
    let settings =
        ChatSettings { key_variable: Some("TUNEBENCH_TEST_VARIABLE_NOBODY_SETS".into()), ..ChatSettings::default() };
    let cases: [(Step, Option<f64>, Status, &str); 7] = [
        (|_| score(0.0), Some(0.0), Status::Scored, "because"),
        (|_| score(1.0), Some(1.0), Status::Scored, "because"),
        (|_| score(1.5), None, Status::Unscored, "gave 1.5, which is not from 0 to 1"),
        (|_| score(-0.1), None, Status::Unscored, "gave -0.1"),
        (|_| score(f64::NAN), None, Status::Unscored, "gave NaN"),
        (|_| Ok(JudgeStep::Unscored { reason: "empty".into() }), None, Status::Unscored, "empty"),
        (|_| Err("it panicked".into()), None, Status::Failed, "the judge itself failed: it panicked"),
    ];
    for (step, score, status, reason) in cases {
        let outcome = run_with(&Fixed(step), 1, 1, &settings, folder().path());
        let judgement = &outcome.judgements[0];
        assert_eq!((judgement.score, judgement.status), (score, status), "{reason}");
        assert!(judgement.reason.contains(reason), "{}", judgement.reason);
        assert_eq!((judgement.reply.as_str(), judgement.request_hash.as_str()), ("", ""));
        assert_eq!((judgement.seconds, judgement.cost_usd, &outcome.stopped), (0.0, None, &None));
    }
}

#[test]
fn a_judge_may_ask_several_times_but_not_for_ever() {
    let server = Scripted::start(|_, _| Response::reply("x"));
    let twice: Step = |replies| match replies {
        2 => score(0.25),
        _ => Ok(JudgeStep::Ask { request: request("the same") }),
    };
    let outcome = run_with(&Fixed(twice), 1, 1, &server.settings(), folder().path());
    assert_eq!((outcome.judgements[0].score, server.count()), (Some(0.25), 2), "asked twice, paid twice");
    let endless = Fixed(|_| Ok(JudgeStep::Ask { request: request("again") }));
    let outcome = run_with(&endless, 1, 1, &server.settings(), folder().path());
    assert_eq!(outcome.judgements[0].reason, "the judge has no score after 8 replies");
    assert_eq!((outcome.judgements[0].status, server.count()), (Status::Unscored, 10));
}

#[test]
fn settings_that_cannot_work_are_refused_at_the_start() {
    let usual = ChatSettings::default;
    for (settings, part) in [
        (ChatSettings { base_url: "ftp://host".into(), ..usual() }, "base_url"),
        (ChatSettings { base_url: "https://user:secret@host/v1".into(), ..usual() }, "base_url"),
        (ChatSettings { requests_per_minute: Some(0), ..usual() }, "requests_per_minute"),
        (ChatSettings { concurrency: 0, ..usual() }, "concurrency"),
        (ChatSettings { timeout_seconds: 0, ..usual() }, "timeout_seconds"),
    ] {
        let error = Chat::new(&settings).err().unwrap();
        assert!(error.to_string().contains(part) && !error.to_string().contains("secret"), "{error}");
    }
    let (prompt, completion) = ("usd_per_million_prompt_tokens", "usd_per_million_completion_tokens");
    let priced = |prompt, completion| ChatSettings {
        usd_per_million_prompt_tokens: prompt,
        usd_per_million_completion_tokens: completion,
        ..usual()
    };
    for (settings, part) in [
        (priced(Some(0.5), None), completion),
        (priced(None, Some(0.5)), prompt),
        (priced(Some(-1.0), Some(1.0)), prompt),
        (priced(Some(1.0), Some(f64::NAN)), completion),
        (ChatSettings { budget_usd: Some(f64::INFINITY), ..usual() }, "budget_usd"),
        (ChatSettings { max_failed_share: 1.1, ..usual() }, "max_failed_share"),
    ] {
        let error = Settings::of(&settings).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    }
    assert!(Settings::of(&priced(Some(0.5), Some(0.0))).is_ok());
    let (items, generations) = answers(1);
    let nothing = subjects(&items[..0]);
    assert!(matches!(tasks(&generations, &nothing, &Draw::default()), Err(JudgeError::UnknownItem { .. })));
}

#[test]
fn two_runs_cannot_judge_into_one_folder() {
    let server = Scripted::start(|_, _| Response::reply("1"));
    let folder = folder();
    let path = folder.path().join("replies.jsonl");
    let held = std::fs::File::create(&path).unwrap();
    held.lock().unwrap();
    let (items, generations) = answers(1);
    let subjects = subjects(&items);
    let work = tasks(&generations, &subjects, &Draw::default()).unwrap();
    let (chat, how) = (Chat::new(&server.settings()).unwrap(), Settings::of(&server.settings()).unwrap());
    let error = judge(&AskOnce, &work, Server::Each(&chat), &how, &path, &mut go_on).unwrap_err();
    assert!(error.to_string().contains("another run"), "{error}");
    drop(held);
    assert!(judge(&AskOnce, &work, Server::Each(&chat), &how, &path, &mut go_on).is_ok());
}
