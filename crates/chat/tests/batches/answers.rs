//! What comes of requests, whatever becomes of them.

use std::sync::Arc;
use std::sync::Mutex;

use serde_json::{Value, json};
use tunebench_chat::{BatchServer, ChatError, Failure, Reply, Unreadable, Usage};
use tunebench_scripted_server::{BatchProvider, BatchScript, Fate, Making};
use tunebench_spec::study::Dialect;

use crate::support::{DIALECTS, Told, assert_billed_once, client, name, request, requests};

/// A provider whose requests have fates by their number and the times they were asked before.
fn provider(dialect: Dialect, fate: impl Fn(usize, u32, &Value) -> Fate + Send + Sync + 'static) -> BatchProvider {
    let fate = move |_: &str, body: &Value, times: u32| {
        let text = body["messages"][0]["content"].as_str().unwrap();
        fate(text.parse().unwrap(), times, body)
    };
    BatchProvider::start(dialect, BatchScript { fate: Box::new(fate), ..BatchScript::default() })
}

fn reply(n: usize) -> Fate {
    Fate::Reply(format!("reply {n}"))
}

#[test]
fn every_request_is_answered_once_in_batches_of_one_model_within_the_limit() {
    for dialect in DIALECTS {
        let provider = provider(dialect, |n, _, _| reply(n));
        let folder = tempfile::tempdir().unwrap();
        let mut asked = requests(0..10);
        asked[4].request.model = "another-model".into();
        asked.push(asked[0].clone());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let observed = seen.clone();
        let client = client(&provider.settings(), 4).with_observer(move |progress| {
            observed.lock().unwrap().push(format!("{} {} of {}", progress.status, progress.done, progress.total));
        });
        let (told, ended) = Told::ask(&client, &asked, folder.path());
        ended.unwrap();
        assert_eq!(
            (0..10).map(|n| told.text(n)).collect::<Vec<_>>(),
            (0..10).map(|n| format!("reply {n}")).collect::<Vec<_>>()
        );
        assert_billed_once(&provider, 0..10);
        let mut sizes: Vec<usize> = provider.ledger(|l| l.batches.iter().map(|batch| batch.requests.len()).collect());
        sizes.sort_unstable();
        assert_eq!(sizes, [1, 1, 4, 4], "{dialect:?}");
        let response = told.0[&name(1)].as_ref().unwrap();
        assert_eq!(
            Reply::read(&response.body).unwrap().usage.map(|usage: Usage| (usage.prompt, usage.completion)),
            Some((100, 10))
        );
        assert_eq!((client.take_remarks(), response.request_id.is_empty()), (Vec::new(), false));
        let seen = seen.lock().unwrap();
        assert!(seen.contains(&"in_progress 0 of 4".to_owned()), "{seen:?}");

        // Nothing lies about but the journal, and nothing is done when nothing is asked.
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(files, ["batches.jsonl"]);
        let count = provider.server.count();
        client.answer(&[], folder.path(), &mut |_, _| panic!("nothing was asked")).unwrap();
        assert_eq!(provider.server.count(), count);
    }
}

#[test]
fn what_did_not_come_is_asked_again_and_what_was_refused_is_not() {
    let error = |status, kind: &str| Fate::Error(status, json!({ "message": "no", "type": kind, "code": kind }));
    for dialect in DIALECTS {
        let provider = provider(dialect, move |n, times, _| match (n, times) {
            (0, 0 | 1) => Fate::Expired,
            (1, 0) => Fate::Cancelled,
            (2, 0) => Fate::Unmentioned,
            (3, 0) => error(429, "rate_limit_error"),
            (4, 0 | 1) => error(529, "overloaded_error"),
            (5, _) => error(400, "invalid_request_error"),
            (6, _) => Fate::Expired,
            (7, _) => error(404, "not_found_error"),
            _ => reply(n),
        });
        let folder = tempfile::tempdir().unwrap();
        let client = client(&provider.settings(), 100);
        let (told, ended) = Told::ask(&client, &requests(0..9), folder.path());
        ended.unwrap();
        for n in [0, 1, 2, 3, 4, 8] {
            assert_eq!(told.text(n), format!("reply {n}"), "{dialect:?}");
        }
        assert_eq!(*told.failure(5), Failure::Request("HTTP 400: no".into()), "{dialect:?}");
        let Failure::Server(reason) = told.failure(6) else { panic!("{:?}", told.failure(6)) };
        assert!(reason.contains("no reply from 4 batches") && reason.contains("expired"), "{reason}");
        assert_eq!(*told.failure(7), Failure::Request("HTTP 404: no".into()), "{dialect:?}");
        assert_billed_once(&provider, [0, 1, 2, 3, 4, 8]);
        let asked = provider.ledger(|ledger| (0..9).map(|n| ledger.asked[&name(n)]).collect::<Vec<_>>());
        assert_eq!(asked, [3, 2, 2, 2, 3, 1, 4, 1, 1], "{dialect:?}");
        let remarks = client.take_remarks();
        assert!(remarks[0].contains("6 requests go into another one"), "{remarks:?}");
    }
}

#[test]
fn a_field_that_is_refused_is_left_out_of_the_next_batch() {
    for dialect in DIALECTS {
        let provider = provider(dialect, |n, _, body| match body.get("temperature") {
            Some(_) => {
                let message = "`temperature` is not supported with this model.";
                let kind = "invalid_request_error";
                Fate::Error(
                    400,
                    json!({ "message": message, "type": kind, "param": "temperature", "code": "unsupported_value" }),
                )
            }
            None => reply(n),
        });
        let folder = tempfile::tempdir().unwrap();
        let (told, ended) = Told::ask(&client(&provider.settings(), 2), &requests(0..3), folder.path());
        ended.unwrap();
        for n in 0..3 {
            assert_eq!(told.text(n), format!("reply {n}"));
            assert_eq!(told.0[&name(n)].as_ref().unwrap().adapted, "temperature left out");
        }
        assert_billed_once(&provider, 0..3);
        // Each was refused once: what is learnt holds for all.
        assert_eq!(provider.ledger(|ledger| ledger.asked.values().max().copied()), Some(2));
    }
}

#[test]
fn lines_that_are_no_results_are_counted_and_downloads_that_break_are_begun_anew() {
    for dialect in DIALECTS {
        let first = match dialect {
            Dialect::OpenAi => json!({ "custom_id": name(0), "response": { "status_code": 200, "body": { "choices": [
                { "message": { "content": "early" }, "finish_reason": "stop" }] } } }),
            Dialect::Anthropic => json!({ "custom_id": name(0), "result": { "type": "succeeded", "message": {
                "type": "message", "content": [{ "type": "text", "text": "early" }], "stop_reason": "end_turn" } } }),
        };
        let stranger = first.to_string().replace(&name(0), "stranger");
        let deep = "[".repeat(200_000);
        let extra =
            [first.to_string(), stranger, "{}".into(), "garbage\u{1b}[31m".into(), deep, "null".into(), String::new()];
        for (broken_downloads, short_downloads) in [(0, 0), (2, 0), (0, 2)] {
            let script = BatchScript {
                extra_lines: extra.to_vec(),
                broken_downloads,
                short_downloads,
                ..BatchScript::default()
            };
            let provider = BatchProvider::start(dialect, script);
            let folder = tempfile::tempdir().unwrap();
            let client = client(&provider.settings(), 100);
            let (told, ended) = Told::ask(&client, &requests(0..3), folder.path());
            ended.unwrap();
            assert_eq!([0, 1, 2].map(|n| told.text(n)), ["early", "1", "2"]);
            assert_billed_once(&provider, 0..3);
            let remarks = client.take_remarks();
            let said = "results passed over: 4 no result, 1 of requests that are not in it, 1 repeated";
            assert!(remarks.len() == 1 && remarks[0].contains(said), "{dialect:?} {broken_downloads}: {remarks:?}");
        }
    }
}

/// What cannot be read may be paid for; so it is kept, and not asked again.
#[test]
fn a_result_that_cannot_be_read_is_handed_on_and_not_asked_again() {
    let script = BatchScript {
        fate: Box::new(|asked, _, _| match asked == name(1) {
            true => Fate::Garbled(format!("{{\"custom_id\":\"{asked}\",\"resp")),
            false => reply(0),
        }),
        ..BatchScript::default()
    };
    let provider = BatchProvider::start(Dialect::OpenAi, script);
    let folder = tempfile::tempdir().unwrap();
    let (told, ended) = Told::ask(&client(&provider.settings(), 100), &requests(0..3), folder.path());
    ended.unwrap();
    let response = told.0[&name(1)].as_ref().unwrap();
    assert!(response.batch && response.body.contains(&name(1)), "{response:?}");
    let read = Reply::read(&response.body);
    let is_paid =
        matches!(&read, Err(Unreadable::Empty { reason, .. }) if reason.contains("in the batch cannot be read"));
    assert!(is_paid, "{read:?}");
    assert_eq!((told.0.len(), provider.ledger(|ledger| ledger.batches.len())), (3, 1));
    assert_billed_once(&provider, 0..3);
}

#[test]
fn what_cannot_be_read_is_told_of_whose_it_is() {
    let cut = format!("{{\"custom_id\":\"{}\",\"resp", name(1));
    let half = "ponse\":{\"body\":{\"choices\":[";
    let null = json!({ "custom_id": name(2), "response": null, "error": null }).to_string();
    // The line of each request in the file, and what is told of it; where none is said, they are replies.
    let rows: [[Option<(&str, &str)>; 3]; 5] = [
        [None, Some((&cut, &cut)), None],
        [None, Some((half, half)), None],
        [None, Some((half, half)), Some((&null, &null))],
        [None, Some((half, "")), Some((half, ""))], // whose is which cannot be told
        [Some(("\u{1b}[31m", "")), Some((&cut, &cut)), Some((half, ""))],
    ];
    for row in rows {
        let lines = row.map(|cell| cell.map(|(line, _)| line.to_owned()));
        let provider =
            provider(Dialect::OpenAi, move |n, _, _| lines[n].clone().map_or_else(|| reply(n), Fate::Garbled));
        let folder = tempfile::tempdir().unwrap();
        let (told, ended) = Told::ask(&client(&provider.settings(), 100), &requests(0..3), folder.path());
        ended.unwrap();
        for (n, cell) in row.into_iter().enumerate() {
            match cell {
                None => assert_eq!(told.text(n), format!("reply {n}")),
                Some((_, text)) => assert_eq!(told.0[&name(n)].as_ref().unwrap().body, text, "{row:?}"),
            }
        }
        assert_billed_once(&provider, 0..3);
    }
}

#[test]
fn results_that_stay_incomplete_end_the_run_and_are_collected_later() {
    for dialect in DIALECTS {
        let script = BatchScript { short_downloads: 7, ..BatchScript::default() };
        let provider = BatchProvider::start(dialect, script);
        let folder = tempfile::tempdir().unwrap();
        let client = client(&provider.settings(), 100);
        let (first, ended) = Told::ask(&client, &requests(0..4), folder.path());
        let error = ended.unwrap_err().to_string();
        assert!(error.contains("replies of 4; they are paid for") && first.0.len() < 4, "{error}");
        let rest: Vec<_> = (0..4).filter(|n| !first.0.contains_key(&name(*n))).collect();
        let (told, ended) = Told::ask(&client, &requests(rest.clone()), folder.path());
        ended.unwrap();
        assert_eq!(told.0.len(), rest.len());
        assert_billed_once(&provider, 0..4);
    }
}

#[test]
fn a_batch_that_is_not_begun_names_the_lines_or_ends_the_run() {
    let error = |code: &str, message: &str, line: Value, param: Value| json!([{ "code": code, "message": message, "line": line, "param": param }]);
    for (errors, answered, refused, whole) in [
        (error("invalid_request", "bad\u{7} line", json!(2), Value::Null), &[0, 2][..], &[1][..], ""),
        (error("unsupported_parameter", "no temperature", Value::Null, json!("temperature")), &[0, 1, 2], &[], ""),
        (error("token_limit_exceeded", "Enqueued token limit reached", Value::Null, Value::Null), &[0, 1, 2], &[], ""),
        (error("model_not_found", "no such model", Value::Null, Value::Null), &[], &[], "was not begun: no such model"),
        (error("odd", "no such line", json!(77), Value::Null), &[], &[], "no such line (line 77)"),
        (Value::from("broken"), &[], &[], "the server does not say why"),
    ] {
        let making = move |n: usize| if n == 0 { Making::Invalid(errors.clone()) } else { Making::Made };
        let provider =
            BatchProvider::start(Dialect::OpenAi, BatchScript { making: Box::new(making), ..BatchScript::default() });
        let folder = tempfile::tempdir().unwrap();
        let client = client(&provider.settings(), 100);
        let (told, ended) = Told::ask(&client, &requests(0..3), folder.path());
        match ended {
            Ok(()) => assert_eq!(whole, ""),
            Err(error) => assert!(!whole.is_empty() && error.to_string().contains(whole), "{error}"),
        }
        answered.iter().for_each(|n| assert_eq!(told.text(*n), n.to_string()));
        for n in refused {
            let failure = format!("{:?}", told.failure(*n));
            assert!(failure.contains(r"bad\\u{7} line"), "{failure}");
        }
        assert_eq!(told.0.len(), answered.len() + refused.len());
        assert_billed_once(&provider, answered.iter().copied());
    }
}

#[test]
fn a_run_that_is_stopped_leaves_its_batches_to_the_next() {
    for dialect in DIALECTS {
        let provider = BatchProvider::start(dialect, BatchScript { polls: 3, ..BatchScript::default() });
        let folder = tempfile::tempdir().unwrap();
        // By whoever is told.
        let mut kept = Vec::new();
        let asked = requests(0..6);
        client(&provider.settings(), 3)
            .answer(&asked, folder.path(), &mut |name, _| {
                kept.push(name.to_owned());
                kept.len() < 2
            })
            .unwrap();
        assert_eq!(kept.len(), 2);
        // By whoever is asked while there is nothing to tell.
        let (mut questions, mut told) = (0, 0);
        let mut goes_on = || {
            questions += 1;
            questions < 2
        };
        let more = requests(6..9);
        client(&provider.settings(), 3)
            .answer_while(
                &more,
                folder.path(),
                &mut |_, _| {
                    told += 1;
                    true
                },
                &mut goes_on,
            )
            .unwrap();
        assert_eq!((questions, told), (2, 0));
        // By whoever has the client.
        let rest: Vec<_> = asked.iter().filter(|named| !kept.contains(&named.name)).cloned().collect();
        let stopped = client(&provider.settings(), 3);
        stopped.stop(ChatError::Ended("enough".into()));
        let (told, ended) = Told::ask(&stopped, &rest, folder.path());
        assert_eq!((told.0.len(), ended), (0, Err(ChatError::Ended("enough".into()))));

        let (told, ended) = Told::ask(&client(&provider.settings(), 3), &[rest, more].concat(), folder.path());
        ended.unwrap();
        assert_eq!(told.0.len(), 7);
        assert_billed_once(&provider, 0..9);
        assert_eq!(provider.ledger(|ledger| ledger.batches.len()), 3);
    }
}

#[test]
fn a_request_that_is_larger_than_a_batch_fails_alone() {
    for dialect in DIALECTS {
        let provider = BatchProvider::start(dialect, BatchScript::default());
        let folder = tempfile::tempdir().unwrap();
        let mut asked = requests(0..3);
        asked[1].request.messages[0].content = "x".repeat(1_000_000);
        let (told, ended) = Told::ask(&client(&provider.settings(), 100), &asked, folder.path());
        ended.unwrap();
        assert_eq!([0, 2].map(|n| told.text(n)), ["0", "2"]);
        let failure = format!("{:?}", told.failure(1));
        assert!(failure.contains("larger than a batch may be"), "{failure}");
    }
}

/// The key is in the environment of each test that cargo runs.
#[test]
fn no_key_is_told_or_kept() {
    let key = env!("CARGO_MANIFEST_DIR");
    for dialect in DIALECTS {
        let fate = |_: &str, _: &Value, _: u32| Fate::Reply(format!("your key is {}", env!("CARGO_MANIFEST_DIR")));
        let provider = BatchProvider::start(dialect, BatchScript { fate: Box::new(fate), ..BatchScript::default() });
        let folder = tempfile::tempdir().unwrap();
        let mut settings = provider.settings();
        settings.key_variable = Some("CARGO_MANIFEST_DIR".into());
        let (told, ended) = Told::ask(&client(&settings, 100), &[request(0)], folder.path());
        ended.unwrap();
        assert_eq!(told.text(0), "your key is [key]");
        let journal = std::fs::read_to_string(folder.path().join("batches.jsonl")).unwrap();
        assert!(!journal.contains(key), "{journal}");
        let headers = provider.server.seen().iter().flat_map(|seen| seen.headers.clone()).collect::<Vec<_>>();
        assert!(headers.iter().any(|(_, value)| value.contains(key)), "it is sent");
    }
}
