//! Two answers compared in both orders, and the shares that are drawn of what could be judged.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use support::{AskOnce, Memory, answers, completion, run, settings, subjects};
use tunebench_judge::{Draw, Pairs, Server, pairs, tasks};
use tunebench_spec::Generation;

fn arm(name: &str, seed: u64, answer: &str, generations: &[Generation]) -> Vec<Generation> {
    let as_arm =
        |g: &Generation| Generation { arm: name.into(), seed, answer: format!("{answer} {}", g.item), ..g.clone() };
    generations.iter().map(as_arm).collect()
}

#[test]
fn each_answer_meets_each_rivals_in_both_orders() {
    let (items, generations) = answers(2);
    let [own, first, second] =
        [("a", "good"), ("b", "bad"), ("c", "good")].map(|(name, say)| arm(name, 1, say, &generations));
    let subjects = subjects(&items);
    let Pairs { tasks, without_rival } = pairs(&own, &[&first, &second[..1]], &subjects, &Draw::default()).unwrap();
    assert_eq!(without_rival, 1, "the second rival did not answer the second item");
    // Says of two good answers that the first is better: it is led by the order.
    let server = Memory::new(|_, request| {
        let (first, second) = request.messages[0].content.split_once(" or ").unwrap();
        let score = match (first.starts_with("good"), second.starts_with("good")) {
            (true, _) => "1",
            (false, true) => "0",
            (false, false) => "0.5",
        };
        Ok(completion(score, "stop"))
    });
    let folder = tempfile::tempdir().unwrap();
    let outcome = run(&AskOnce, &tasks, Server::Each(&server), &settings(), folder.path());
    let rows: Vec<_> = outcome
        .judgements
        .iter()
        .map(|j| (j.item.as_str(), j.arm.as_str(), j.rival.as_str(), j.rival_seed, j.swapped, j.score.unwrap()))
        .collect();
    assert_eq!(
        rows,
        [
            ("item 0", "a", "b", 1, false, 1.0),
            ("item 0", "a", "b", 1, true, 1.0),
            ("item 0", "a", "c", 1, false, 1.0),
            ("item 0", "a", "c", 1, true, 0.0), // the flip is to be seen
            ("item 1", "a", "b", 1, false, 1.0),
            ("item 1", "a", "b", 1, true, 1.0),
        ]
    );
    assert!(outcome.judgements.iter().all(|j| j.judge_hash == "the judge" && j.answer_hash.len() == 64));
    assert_eq!(server.asked.lock().unwrap()[1], "bad item 0 or good item 0");

    // The other way round it is the same questions, and nothing is paid for twice.
    let back = pairs(&first, &[&own], &subjects, &Draw::default()).unwrap().tasks;
    let outcome = run(&AskOnce, &back, Server::Each(&server), &settings(), folder.path());
    assert_eq!(
        (server.count(), outcome.progress.paid, outcome.progress.replayed),
        (5, 0, 4),
        "two equal answers are one question"
    );
    assert!(outcome.judgements.iter().all(|j| j.score == Some(0.0) && j.rival == "a"));
}

#[test]
fn what_is_drawn_depends_on_the_item_and_the_seed_alone() {
    let (items, generations) = answers(1000);
    let subjects = subjects(&items);
    let drawn = |generations: &[Generation], draw: Draw| -> Vec<(String, u32)> {
        tasks(generations, &subjects, &draw).unwrap().iter().map(|t| (t.item.id.clone(), t.repeat)).collect()
    };
    let draw = Draw { seed: 7, share: 0.3, repeats: 3, repeat_share: 0.2 };
    let all = drawn(&generations, draw);
    let judged = all.iter().filter(|(_, repeat)| *repeat == 0).count();
    let repeated = all.iter().filter(|(_, repeat)| *repeat == 2).count();
    assert!((250..350).contains(&judged) && (40..80).contains(&repeated), "{judged}, {repeated}");
    assert_eq!(all.len(), judged + 2 * repeated);

    // A part of the items, in another order, under another arm: the same ones.
    let mut part: Vec<Generation> = arm("other", 9, "x", &generations[..500]);
    part.reverse();
    let mut few = drawn(&part, draw);
    let mut expected: Vec<_> = all.iter().filter(|(id, _)| part.iter().any(|g| g.item == *id)).cloned().collect();
    few.sort();
    expected.sort();
    assert_eq!(few, expected);
    // A larger share holds the smaller one; another seed draws others.
    let larger = drawn(&generations, Draw { share: 0.6, ..draw });
    assert!(all.iter().all(|row| larger.contains(row)) && larger.len() > all.len());
    assert_ne!(drawn(&generations, Draw { seed: 8, ..draw }), all);
    // Nothing, and everything, are what they say.
    assert_eq!(drawn(&generations, Draw { share: 0.0, ..draw }).len(), 0);
    assert_eq!(drawn(&generations, Draw { repeats: 2, ..Draw::default() }).len(), 2000);
}
