//! Rows that are held out: by content, the same for all who read the source.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeSet;
use std::convert::Infallible;

use tunebench_dataset::{Apart, ContentKey, HoldOut, Selection, Wanted, content_key, select, select_apart};
use tunebench_spec::{Example, Role, Row, Turn};

fn turn(role: Role, content: &str) -> Turn {
    Turn::new(role, content)
}

fn example(id: &str, content: usize) -> Example {
    let turns = vec![turn(Role::User, &format!("q{content}")), turn(Role::Assistant, &format!("a{content}"))];
    Example { id: id.into(), turns, category: None, reference: None, rubric: None }
}

/// Rows in this order of contents, under ids by their place.
fn rows(contents: &[usize]) -> Vec<Result<Row, Infallible>> {
    let row = |(place, content): (usize, &usize)| Ok(Row::Example(example(&format!("m:{place}"), *content)));
    contents.iter().enumerate().map(row).collect()
}

fn share(seed: u64, share: f64, most: usize) -> Apart {
    Apart::Share(HoldOut::new(seed, share, most).unwrap())
}

fn selection(contents: &[usize], wanted: Wanted, apart: &Apart) -> Selection {
    select_apart(rows(contents), 1, wanted, apart).unwrap()
}

fn keys(examples: &[Example]) -> Vec<ContentKey> {
    examples.iter().map(content_key).collect()
}

fn key_set(examples: &[Example]) -> BTreeSet<ContentKey> {
    keys(examples).into_iter().collect()
}

const N: usize = 4000;

fn plain() -> Vec<usize> {
    (0..N).collect()
}

#[test]
fn a_share_is_held_out_and_not_learnt() {
    for (seed, part) in [(1, 0.1), (2, 0.1), (1, 0.5), (9, 0.01)] {
        let found = selection(&plain(), Wanted::All, &share(seed, part, N));
        let learnt = key_set(found.first(Wanted::All).unwrap());
        let held_out = key_set(&found.source.held_out);
        assert!(learnt.is_disjoint(&held_out));
        assert_eq!((learnt.len() as u64, held_out.len() as u64), (found.source.usable, found.source.held_out_total));
        assert_eq!(learnt.len() + held_out.len(), N);
        // A binomial count, within five standard deviations.
        let (mean, deviation) = (part * N as f64, (part * (1.0 - part) * N as f64).sqrt());
        assert!((held_out.len() as f64 - mean).abs() < 5.0 * deviation, "{seed} {part}: {}", held_out.len());
    }
    let by_seed = |seed| key_set(&selection(&plain(), Wanted::All, &share(seed, 0.1, N)).source.held_out);
    assert_ne!(by_seed(1), by_seed(2));
}

#[test]
fn a_rows_place_and_company_decide_nothing() {
    let apart = share(3, 0.1, N);
    let whole = selection(&plain(), Wanted::All, &apart);
    let backwards: Vec<usize> = plain().into_iter().rev().collect();
    // The same rows in the same order, whatever the order of the source; ids are those of the rows as read.
    assert_eq!(keys(&selection(&backwards, Wanted::All, &apart).source.held_out), keys(&whole.source.held_out));
    let half: Vec<usize> = (0..N / 2).collect();
    let of_half = key_set(&selection(&half, Wanted::All, &apart).source.held_out);
    assert!(of_half.is_subset(&key_set(&whole.source.held_out)) && !of_half.is_empty());
    // A larger share holds the smaller one.
    let larger = key_set(&selection(&plain(), Wanted::All, &share(3, 0.3, N)).source.held_out);
    assert!(key_set(&whole.source.held_out).is_subset(&larger));
}

#[test]
fn equal_rows_go_the_same_way_and_are_measured_once() {
    let twice: Vec<usize> = plain().into_iter().chain(plain()).collect();
    let apart = share(3, 0.1, N);
    let (once, twice) = (selection(&plain(), Wanted::All, &apart), selection(&twice, Wanted::All, &apart));
    assert_eq!(keys(&twice.source.held_out), keys(&once.source.held_out));
    assert_eq!(
        (twice.source.held_out_total, twice.source.usable),
        (2 * once.source.held_out_total, 2 * once.source.usable)
    );
}

#[test]
fn subsets_stay_nested_among_what_is_left() {
    let apart = share(3, 0.1, 7);
    let whole = selection(&plain(), Wanted::All, &apart);
    let all = keys(whole.first(Wanted::All).unwrap());
    for size in [1, 50, 999] {
        let wanted = Wanted::First(size);
        let smaller = selection(&plain(), wanted, &apart);
        assert_eq!(keys(smaller.first(wanted).unwrap()), all[..size as usize]);
        // Whatever is learnt, the same is held out.
        assert_eq!(keys(&smaller.source.held_out), keys(&whole.source.held_out));
    }
    // What is left comes in the order that it has without a share held out.
    let mut untouched = keys(select(rows(&plain()), 1, Wanted::All).unwrap().first(Wanted::All).unwrap());
    untouched.retain(|key| all.contains(key));
    assert_eq!(untouched, all);
}

#[test]
fn no_more_are_kept_than_asked_for_and_those_are_the_first() {
    let all = selection(&plain(), Wanted::First(1), &share(3, 0.1, N));
    let few = selection(&plain(), Wanted::First(1), &share(3, 0.1, 10));
    assert_eq!(keys(&few.source.held_out), keys(&all.source.held_out)[..10]);
    assert_eq!(few.source.held_out_total, all.source.held_out_total);
}

#[test]
fn what_another_set_holds_is_not_learnt() {
    let other: Vec<Example> = (10..20).map(|content| example("other", content)).collect();
    let found = selection(&plain(), Wanted::All, &Apart::Keys(key_set(&other)));
    assert_eq!((found.source.held_out_total, found.source.usable, found.source.held_out.len()), (10, N as u64 - 10, 0));
    assert!(key_set(found.first(Wanted::All).unwrap()).is_disjoint(&key_set(&other)));
    let nothing = selection(&plain(), Wanted::All, &Apart::Keys(BTreeSet::new()));
    assert_eq!((nothing.source.held_out_total, nothing.source.usable), (0, N as u64));
}

#[test]
fn a_key_is_that_of_roles_and_texts_alone() {
    let base = example("a", 1);
    let same = Example { id: "b".into(), category: Some("c".into()), reference: Some("r".into()), ..base.clone() };
    assert_eq!(content_key(&base), content_key(&same));
    let conversations = [
        vec![turn(Role::User, "ab")],
        vec![turn(Role::Assistant, "ab")],
        vec![turn(Role::System, "ab")],
        vec![turn(Role::User, "a"), turn(Role::User, "b")],
        vec![turn(Role::User, ""), turn(Role::User, "ab")],
        vec![turn(Role::User, "ab"), turn(Role::User, "")],
        vec![],
    ];
    let different: BTreeSet<ContentKey> =
        conversations.iter().map(|turns| content_key(&Example { turns: turns.clone(), ..base.clone() })).collect();
    assert_eq!(different.len(), conversations.len());
    // Held-out sets are part of what a published number means: the key never changes.
    let want = "e9f74a7de07e41fef7adfcd7e1582dc493944a481e7058722c0b4244219c5806";
    assert_eq!(content_key(&base).to_string(), want);
}

#[test]
fn what_cannot_be_held_out_is_an_error() {
    for part in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
        assert!(HoldOut::new(1, part, 10).unwrap_err().to_string().contains("above 0 and below 1"), "{part}");
    }
    assert!(HoldOut::new(1, 0.1, 0).is_err());
    let few: Vec<usize> = (0..100).collect();
    let found = selection(&few, Wanted::All, &share(3, 0.2, 10));
    let error = found.first(Wanted::First(100)).unwrap_err().to_string();
    let (left, apart) = (found.source.usable, found.source.held_out_total);
    assert!(apart > 0);
    assert!(error.contains(&format!("but {left} are left to learn from, since {apart} are held out")), "{error}");
    let all = Apart::Keys(few.iter().map(|content| content_key(&example("x", *content))).collect());
    let error = selection(&few, Wanted::All, &all).first(Wanted::All).unwrap_err().to_string();
    assert!(error.contains("all 100 examples of the dataset are held out"), "{error}");
}
