//! Judging in waves: the same judgements as one by one, money set aside before a batch goes out, and what breaks off.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Duration;

use support::{AskOnce, AskTwice, Memory, URL, answers, completion, dear, run, settings, subjects};
use tunebench_chat::{BatchChat, BatchOptions, BatchServer, ChatError, Failure, NamedRequest, RawResponse};
use tunebench_judge::{Draw, JudgeError, Price, Prices, Server, Settings, Task, judge, pairs, tasks};
use tunebench_scripted_server::{BatchProvider, BatchScript, Fate};
use tunebench_spec::study::Dialect;
use tunebench_spec::{Judgement, JudgementStatus as Status};

fn batches<'a>(server: &'a dyn BatchServer, folder: &'a Path) -> Server<'a> {
    Server::Batches { server, journal: folder }
}

/// Every third answer gets no number at first, every ninth never; every seventh gets no reply.
fn awkward() -> Memory {
    Memory::new(|_, request| {
        let prompt = request.messages[0].content.as_str();
        let number: usize = prompt.rsplit(' ').next().unwrap().parse().unwrap();
        match (prompt.starts_with("a number for"), number) {
            (_, n) if n % 7 == 6 => Err(Failure::Request("HTTP 400: no".into())),
            (false, n) if n % 3 == 0 => Ok(completion("hard to say", "stop")),
            (true, n) if n % 9 == 0 => Ok(completion("", "length")),
            _ => Ok(completion("0.5", "stop")),
        }
    })
}

/// Without what may differ.
fn plain(judgements: &[Judgement]) -> Vec<String> {
    let of = |j: &Judgement| Judgement { seconds: 0.0, batch: false, cost_usd: None, ..j.clone() };
    judgements.iter().map(|j| serde_json::to_string(&of(j)).unwrap()).collect()
}

#[test]
fn waves_make_the_judgements_that_single_requests_make() {
    let (items, generations) = answers(40);
    let (subjects, draw) = (subjects(&items), Draw { repeats: 2, ..Draw::default() });
    let alone = tasks(&generations, &subjects, &draw).unwrap();
    let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let (single, batch) = (awkward(), awkward());
    let prices = dear(1e9);
    let each = run(&AskTwice, &alone, Server::Each(&single), &prices, one.path());
    let waves = run(&AskTwice, &alone, batches(&batch, two.path()), &prices, two.path());
    assert_eq!(plain(&waves.judgements), plain(&each.judgements));
    assert_eq!(batch.count(), single.count());
    assert_eq!(*batch.batches.lock().unwrap(), [80, 24], "what needs a second reply asks together");
    let (scored, failed) = (each.progress.scored, each.progress.failed);
    assert!(scored > 50 && failed > 10 && scored + failed == 80, "{:?}", each.progress);
    // A batch costs half, as far as anybody knows.
    assert_eq!(waves.notes, ["a batch of `test-model` is taken to cost half the stated price"]);
    assert_eq!(each.notes, [""; 0]);
    let (at_once, one_by_one) = (waves.progress.spent_usd.unwrap(), each.progress.spent_usd.unwrap());
    assert!((2.0 * at_once - one_by_one).abs() < 1e-9, "{at_once} {one_by_one}");
    assert!(waves.judgements.iter().all(|j| j.reply.is_empty() || j.batch));

    // What was paid for in a batch is there for whoever asks later, and the other way round.
    let again = run(&AskTwice, &alone, Server::Each(&awkward()), &prices, two.path());
    assert_eq!((again.progress.paid, plain(&again.judgements)), (0, plain(&each.judgements)));
    let again = run(&AskTwice, &alone, batches(&awkward(), one.path()), &prices, one.path());
    assert_eq!((again.progress.paid, plain(&again.judgements)), (0, plain(&each.judgements)));
}

#[test]
fn equal_requests_go_out_once() {
    let (items, mut generations) = answers(5);
    generations.iter_mut().for_each(|g| g.answer = "the same".into());
    let (subjects, rivals) = (subjects(&items), generations.clone());
    let tasks = pairs(&generations, &[&rivals], &subjects, &Draw::default()).unwrap().tasks;
    let (server, folder) = (Memory::says("0.5"), tempfile::tempdir().unwrap());
    let outcome = run(&AskOnce, &tasks, batches(&server, folder.path()), &settings(), folder.path());
    assert_eq!((server.count(), outcome.progress.scored), (1, 10));
}

#[test]
fn a_batch_is_cut_so_that_the_budget_holds() {
    let (items, generations) = answers(10);
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
    let (server, folder) = (Memory::says("1"), tempfile::tempdir().unwrap());
    // In a batch a reply costs 0.6 USD; at most 0.1 for the prompt (8 + 4 + 8 bytes) and 0.5 for 50 tokens.
    let first = run(&AskOnce, &tasks, batches(&server, folder.path()), &dear(2.7), folder.path());
    assert!(matches!(first.stopped, Some(JudgeError::Budget { .. })), "{:?}", first.stopped);
    assert!(first.progress.spent_usd.unwrap() <= 2.7, "{:?}", first.progress);
    assert_eq!((first.progress.scored, server.count()), (4, 4));
    assert!(first.notes[0].contains("a batch was cut to 4 requests: the budget of 2.7 USD"), "{:?}", first.notes);
    assert!(first.judgements[9].reason.starts_with("not asked: the budget"), "{}", first.judgements[9].reason);
    // Where replies cost less than they may, what is over goes into the next batch.
    let generous = Settings { max_cost_usd: Some(2.0), budget_usd: Some(100.0), ..dear(0.0) };
    let second = run(&AskOnce, &tasks, batches(&server, folder.path()), &generous, folder.path());
    assert!(matches!(second.stopped, Some(JudgeError::MaxCost { .. })), "{:?}", second.stopped);
    assert_eq!((second.progress.paid, second.progress.scored), (3, 7));
    let last = run(&AskOnce, &tasks, batches(&server, folder.path()), &dear(100.0), folder.path());
    assert_eq!((last.progress.scored, last.stopped, server.count()), (10, None, 10));
}

/// Answers a part, says things that nobody asked, and breaks off.
struct BreaksOff(usize);

impl BatchServer for BreaksOff {
    fn url(&self) -> &str {
        URL
    }

    fn answer(
        &self,
        requests: &[NamedRequest],
        _: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError> {
        let response = || RawResponse { body: completion("1", "stop"), ..RawResponse::default() };
        assert!(each("no name", Ok(response())));
        assert!(each(&"0".repeat(64), Ok(response())));
        for named in &requests[..self.0.min(requests.len())] {
            assert!(each(&named.name, Ok(response())));
            assert!(each(&named.name, Ok(response())), "told twice");
        }
        Err(ChatError::Ended("the batch is gone".into()))
    }
}

#[test]
fn a_batch_that_breaks_off_loses_nothing_that_came() {
    let (items, generations) = answers(5);
    let subjects = subjects(&items);
    let tasks = tasks(&generations, &subjects, &Draw::default()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let broken = run(&AskOnce, &tasks, batches(&BreaksOff(2), folder.path()), &settings(), folder.path());
    assert_eq!(broken.stopped, Some(JudgeError::Chat(ChatError::Ended("the batch is gone".into()))));
    assert_eq!((broken.progress.scored, broken.progress.paid, broken.progress.failed), (2, 2, 3));
    assert_eq!(broken.judgements[4].reason, "not asked: the batch is gone");
    assert!(matches!(broken.failed, Some(JudgeError::TooManyFailed { failed: 3, total: 5, count: 3, .. })));
    assert_eq!((broken.failed_share(), broken.unscored_share()), (0.6, 0.0));
    let server = Memory::says("1");
    let whole = run(&AskOnce, &tasks, batches(&server, folder.path()), &settings(), folder.path());
    assert_eq!((whole.progress.scored, server.count(), whole.failed), (5, 3, None));
}

#[test]
fn who_looks_on_can_end_a_batch() {
    let (items, generations) = answers(6);
    let subjects = subjects(&items);
    let work: Vec<Task<'_>> = tasks(&generations, &subjects, &Draw::default()).unwrap();
    for in_batches in [false, true] {
        let (server, folder) = (Memory::says("1").waits_from(2), tempfile::tempdir().unwrap());
        let asked = if in_batches { batches(&server, folder.path()) } else { Server::Each(&server) };
        let replies = folder.path().join("replies.jsonl");
        let outcome = judge(&AskOnce, &work, asked, &settings(), &replies, &mut |progress| {
            if progress.paid >= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
        assert_eq!(outcome.stopped, Some(JudgeError::Interrupted));
        let mut judgements = outcome.judgements.iter();
        assert!(judgements.all(|j| j.status == Status::Scored || j.reason.starts_with("not asked: stopped")));
        // One may be on its way when the others are called off; of a batch nobody asks for more.
        let asked = server.count();
        assert!(asked == 2 || (asked == 3 && !in_batches), "{asked}");
        assert_eq!(outcome.progress.scored, asked);
    }
}

/// The next run's client, whose waits are moments.
fn client(provider: &BatchProvider) -> BatchChat {
    let moment = Duration::from_millis(2);
    let options =
        BatchOptions { first_poll: moment, longest_poll: moment, settle: moment, ..BatchOptions::of(Dialect::OpenAi) };
    BatchChat::new(&provider.settings()).unwrap().with_options(options)
}

#[test]
fn what_a_provider_was_sent_is_collected_whatever_may_be_spent_now() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let (items, generations) = answers(8);
        let subjects = subjects(&items);
        let work = tasks(&generations, &subjects, &Draw::default()).unwrap();
        let fate = |_: &str, _: &serde_json::Value, _: u32| Fate::Reply("1".into());
        let provider =
            BatchProvider::start(dialect, BatchScript { fate: Box::new(fate), polls: 300, ..Default::default() });
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let prices = Prices::stated(Price { prompt: 0.01, completion: 0.02 }); // at most 0.6 USD a request
        let spend = |usd| Settings { prices: prices.clone(), max_cost_usd: Some(usd), ..settings() };

        // A batch of five is sent, and nobody waits for it.
        let first = client(&provider);
        let (run, stopped) = std::thread::scope(|scope| {
            scope.spawn(|| {
                while provider.ledger(|ledger| ledger.batches.is_empty()) {
                    std::thread::sleep(Duration::from_millis(1));
                }
                first.stop(ChatError::Ended("enough".into()));
            });
            let server = Server::Batches { server: &first, journal: &journal };
            let outcome = run(&AskOnce, &work, server, &spend(3.05), folder.path());
            (outcome.progress, outcome.stopped)
        });
        assert_eq!((run.paid, stopped), (0, Some(JudgeError::Chat(ChatError::Ended("enough".into())))), "{dialect:?}");
        assert_eq!(provider.billed().len(), 5, "{dialect:?}");

        // The next run may spend nothing, and takes in what is owed.
        let second = client(&provider);
        let server = Server::Batches { server: &second, journal: &journal };
        let outcome = support::run(&AskOnce, &work, server, &spend(0.0), folder.path());
        assert_eq!((outcome.progress.paid, outcome.progress.scored, outcome.progress.failed), (5, 5, 3), "{dialect:?}");
        assert!(matches!(outcome.stopped, Some(JudgeError::MaxCost { .. })), "{:?}", outcome.stopped);
        assert!(outcome.notes[0].starts_with("5 requests that an earlier run sent"), "{:?}", outcome.notes);

        // With money for the rest, all is judged and each was billed once.
        let third = client(&provider);
        let server = Server::Batches { server: &third, journal: &journal };
        let outcome = support::run(&AskOnce, &work, server, &spend(10.0), folder.path());
        assert_eq!((outcome.progress.paid, outcome.progress.scored, outcome.stopped), (3, 8, None), "{dialect:?}");
        let billed = provider.billed();
        assert!(billed.len() == 8 && billed.values().all(|n| *n == 1), "{dialect:?}: {billed:?}");
    }
}

#[test]
fn a_paid_result_that_cannot_be_read_is_kept_and_not_paid_for_again() {
    for dialect in [Dialect::OpenAi, Dialect::Anthropic] {
        let (items, generations) = answers(3);
        let subjects = subjects(&items);
        let work = tasks(&generations, &subjects, &Draw::default()).unwrap();
        let fate = |name: &str, body: &serde_json::Value, _: u32| match body["messages"][0]["content"] == "answer 1" {
            true => Fate::Garbled(format!("{{\"custom_id\":\"{name}\",\"re")),
            false => Fate::Reply("1".into()),
        };
        let provider = BatchProvider::start(dialect, BatchScript { fate: Box::new(fate), ..Default::default() });
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join("journal");
        let prices = Prices::stated(Price { prompt: 0.0, completion: 0.02 }); // at most 0.5 USD a request
        for (paid, replayed) in [(3, 0), (0, 3)] {
            let client = client(&provider);
            let server = Server::Batches { server: &client, journal: &journal };
            let settings = Settings { prices: prices.clone(), ..settings() };
            let outcome = support::run(&AskOnce, &work, server, &settings, folder.path());
            let progress = outcome.progress;
            assert_eq!((progress.paid, progress.replayed, progress.scored, progress.failed), (paid, replayed, 2, 1));
            let reason = &outcome.judgements[1].reason;
            assert!(reason.starts_with("the result in the batch cannot be read: "), "{reason}");
            assert!(progress.spent_usd.unwrap() >= 0.5, "it counts as the most it can have cost: {progress:?}");
            assert!(provider.billed().values().all(|n| *n == 1), "{dialect:?}");
        }
    }
}
