//! Submissions of which nobody knows whether they were made.

use std::fs;

use serde_json::Value;
use tunebench_chat::BatchServer;
use tunebench_scripted_server::{BatchProvider, BatchScript, Making};

use crate::support::{DIALECTS, Told, assert_billed_once, client, requests};

#[test]
fn a_response_that_is_lost_is_looked_up_and_nothing_is_paid_for_twice() {
    for dialect in DIALECTS {
        for (making, list_lag) in [
            (Making::MadeButHangUp, 0),
            (Making::MadeButHangUp, 1),
            (Making::MadeButStatus(500), 0),
            (Making::MadeButStatus(529), 1),
            (Making::HangUp, 0),
            (Making::Refused(503), 0),
        ] {
            let shown = format!("{dialect:?} {making:?} {list_lag}");
            let making = move |n: usize| if n == 1 { making.clone() } else { Making::Made };
            let script = BatchScript { making: Box::new(making), list_lag, page: 1, ..BatchScript::default() };
            let provider = BatchProvider::start(dialect, script);
            let folder = tempfile::tempdir().unwrap();
            let (told, ended) = Told::ask(&client(&provider.settings(), 2), &requests(0..6), folder.path());
            ended.unwrap();
            assert_eq!(told.0.len(), 6, "{shown}");
            assert_billed_once(&provider, 0..6);
        }
    }
}

#[test]
fn a_refusal_ends_the_run_and_is_no_batch() {
    for dialect in DIALECTS {
        for status in [400, 401, 403, 404] {
            let making = move |n: usize| if n == 0 { Making::Refused(status) } else { Making::Made };
            let provider =
                BatchProvider::start(dialect, BatchScript { making: Box::new(making), ..BatchScript::default() });
            let folder = tempfile::tempdir().unwrap();
            let client = client(&provider.settings(), 9);
            let (told, ended) = Told::ask(&client, &requests(0..2), folder.path());
            let error = ended.unwrap_err().to_string();
            assert!(told.0.is_empty() && error.contains(&format!("HTTP {status}: it is not made")), "{error}");
            let (told, ended) = Told::ask(&client, &requests(0..2), folder.path());
            ended.unwrap();
            assert_eq!(told.0.len(), 2);
            assert_billed_once(&provider, 0..2);
        }
    }
}

#[test]
fn too_large_a_batch_is_made_smaller() {
    for dialect in DIALECTS {
        let making = |n: usize| if n == 0 { Making::Refused(413) } else { Making::Made };
        let provider =
            BatchProvider::start(dialect, BatchScript { making: Box::new(making), ..BatchScript::default() });
        let folder = tempfile::tempdir().unwrap();
        let (told, ended) = Told::ask(&client(&provider.settings(), 9), &requests(0..5), folder.path());
        ended.unwrap();
        assert_eq!((told.0.len(), provider.ledger(|ledger| ledger.batches.len())), (5, 3));
        assert_billed_once(&provider, 0..5);
    }
}

/// A journal as a kill leaves it that came before the batch's number: of the submission, all that was noted before.
fn cut_before_submitted(from: &std::path::Path, to: &std::path::Path) {
    let text = fs::read_to_string(from.join("batches.jsonl")).unwrap();
    let mut kept = String::new();
    for line in text.lines().take_while(|line| !line.contains("\"submitted\"")) {
        let mut value: Value = serde_json::from_str(line).unwrap();
        // As if all that the server has had come later.
        value.as_object_mut().unwrap().remove("newest");
        kept.push_str(&format!("{value}\n"));
    }
    fs::write(to.join("batches.jsonl"), kept).unwrap();
}

#[test]
fn ours_is_told_from_strangers_batches_of_the_same_size() {
    for dialect in DIALECTS {
        for polls in [0, 3] {
            let provider = BatchProvider::start(dialect, BatchScript { polls, page: 2, ..BatchScript::default() });
            let [strangers, ours, cut] = [(); 3].map(|()| tempfile::tempdir().unwrap());
            let client = client(&provider.settings(), 2);
            Told::ask(&client, &requests(10..14), strangers.path()).1.unwrap();
            // Is sent, and never looked at.
            let asked = requests(0..2);
            client.answer(&asked, ours.path(), &mut |_, _| false).unwrap();
            Told::ask(&client, &requests(14..18), strangers.path()).1.unwrap();
            cut_before_submitted(ours.path(), cut.path());
            let (told, ended) = Told::ask(&client, &asked, cut.path());
            ended.unwrap();
            assert_eq!([0, 1].map(|n| told.text(n)), ["0", "1"]);
            assert_billed_once(&provider, (0..2).chain(10..18));
        }
    }
}

#[test]
fn what_cannot_be_known_is_said_and_nothing_is_sent() {
    for dialect in DIALECTS {
        let provider = BatchProvider::start(dialect, BatchScript::default());
        let [ours, cut] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let asked = requests(0..2);
        Told::ask(&client(&provider.settings(), 2), &asked, ours.path()).1.unwrap();
        cut_before_submitted(ours.path(), cut.path());
        let silent = BatchProvider::start(dialect, BatchScript { lists: false, ..BatchScript::default() });
        let journal = cut.path().join("batches.jsonl");
        let moved = fs::read_to_string(&journal).unwrap().replace(&provider.server.base_url, &silent.server.base_url);
        fs::write(&journal, moved).unwrap();
        let (told, ended) = Told::ask(&client(&silent.settings(), 2), &asked, cut.path());
        let error = ended.unwrap_err().to_string();
        assert!(
            error.contains("whether the server has it cannot be seen") && error.contains("paid for twice"),
            "{error}"
        );
        assert!(told.0.is_empty() && silent.server.seen().iter().all(|seen| seen.method == "GET"));
    }
}

#[test]
fn a_batch_that_is_gone_is_said_and_asked_again_when_its_lines_are_removed() {
    for dialect in DIALECTS {
        let provider = BatchProvider::start(dialect, BatchScript::default());
        let folder = tempfile::tempdir().unwrap();
        let (client, asked) = (client(&provider.settings(), 2), requests(0..2));
        client.answer(&asked, folder.path(), &mut |_, _| false).unwrap();
        provider.ledger(|ledger| ledger.batches.clear());
        let (told, ended) = Told::ask(&client, &asked, folder.path());
        let error = ended.unwrap_err().to_string();
        let journal = folder.path().join("batches.jsonl");
        let text = fs::read_to_string(&journal).unwrap();
        let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let token = first["token"].as_str().unwrap();
        let hint = format!("remove the lines with {token} from {}", journal.display());
        assert!(told.0.is_empty() && error.contains("HTTP 404") && error.contains(&hint), "{error}");
        assert_eq!(provider.ledger(|ledger| ledger.makings), 1, "nothing is paid for twice by itself");

        let rest: String = text.lines().filter(|line| !line.contains(token)).collect();
        fs::write(&journal, rest).unwrap();
        let (told, ended) = Told::ask(&client, &asked, folder.path());
        ended.unwrap();
        assert_eq!(told.0.len(), 2);
    }
}

#[test]
fn a_journal_has_one_writer() {
    let provider = BatchProvider::start(DIALECTS[0], BatchScript::default());
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (client(&provider.settings(), 2), client(&provider.settings(), 2));
    let asked = requests(0..2);
    let mut seen = None;
    one.answer(&asked, folder.path(), &mut |_, _| {
        seen = Some(Told::ask(&other, &asked, folder.path()).1.unwrap_err().to_string());
        true
    })
    .unwrap();
    assert!(seen.unwrap().contains("journal of batches"));
    assert_billed_once(&provider, 0..2);
}
