//! Nested subsets of a source that is read once.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::cell::Cell;
use std::convert::Infallible;

use tunebench_dataset::{Error, Selection, Skips, Wanted, select};
use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Row};

/// `n` rows, every fourth of them unusable.
fn rows(n: usize) -> impl Iterator<Item = Result<Row, Infallible>> {
    (0..n).map(|index| {
        Ok(match index % 4 {
            3 => Row::Skip { place: format!("m:{index}"), reason: format!("fault {}", index % 8) },
            _ => Row::Example(example(index)),
        })
    })
}

fn example(index: usize) -> Example {
    Example { id: format!("m:{index}"), turns: vec![], category: None, reference: None, rubric: None }
}

fn selection(n_rows: usize, seed: u64, wanted: Wanted) -> Selection {
    select(rows(n_rows), seed, wanted).unwrap()
}

fn ids(examples: &[Example]) -> Vec<String> {
    examples.iter().map(|e| e.id.clone()).collect()
}

fn chosen(n_rows: usize, seed: u64, wanted: Wanted) -> Vec<String> {
    ids(selection(n_rows, seed, wanted).first(wanted).unwrap())
}

#[test]
fn smaller_sets_are_the_beginning_of_larger_ones() {
    for seed in [0, 1, 42, u64::MAX] {
        let whole = selection(400, seed, Wanted::All);
        let all = ids(whole.first(Wanted::All).unwrap());
        assert_eq!(all.len(), 300);
        for size in [1, 2, 7, 64, 150, 299, 300] {
            let wanted = Wanted::First(size);
            assert_eq!(chosen(400, seed, wanted), all[..size as usize], "seed {seed} size {size}");
            assert_eq!(ids(whole.first(wanted).unwrap()), all[..size as usize], "seed {seed} size {size}");
        }
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 300, "every example once");
    }
}

/// The order is that of (hash of seed and row number, row number), whatever is kept.
#[test]
fn the_order_is_that_of_the_rows_hashes() {
    let mut order: Vec<(u64, usize)> =
        (0..400).filter(|i| i % 4 != 3).map(|i| (Stream::new(7, &[i as u64]).next_u64(), i)).collect();
    order.sort_unstable();
    let want: Vec<String> = order.iter().map(|(_, i)| format!("m:{i}")).collect();
    assert_eq!(chosen(400, 7, Wanted::All), want);
    assert_eq!(chosen(400, 7, Wanted::First(33)), want[..33]);
}

#[test]
fn the_seed_decides_the_order() {
    assert_eq!(chosen(100, 5, Wanted::First(20)), chosen(100, 5, Wanted::First(20)));
    assert_ne!(chosen(100, 5, Wanted::First(20)), chosen(100, 6, Wanted::First(20)));
    // Both halves of the source are drawn from: 150 of 300 are expected, within five standard deviations.
    let early = |id: &String| id[2..].parse::<usize>().unwrap() < 2000;
    let n_early = chosen(4000, 9, Wanted::First(300)).iter().filter(|id| early(id)).count();
    assert!((107..=193).contains(&n_early), "{n_early} of 300 from the first half");
}

#[test]
fn rows_added_at_the_end_move_no_other() {
    let before = chosen(100, 3, Wanted::All);
    let mut after = chosen(140, 3, Wanted::All);
    after.retain(|id| before.contains(id));
    assert_eq!(after, before);
}

#[test]
fn the_source_is_read_once_and_to_its_end() {
    let read = Cell::new(0);
    let counted = rows(400).inspect(|_| read.set(read.get() + 1));
    let selection = select(counted, 1, Wanted::First(10)).unwrap();
    assert_eq!((read.get(), selection.first(Wanted::First(10)).unwrap().len()), (400, 10));
}

#[test]
fn skips_are_counted_by_reason_with_the_first_place() {
    let selection = selection(24, 0, Wanted::First(2));
    assert_eq!((selection.source.usable, selection.source.skips.total()), (18, 6));
    assert_eq!(selection.source.skips.to_string(), "6 skipped: fault 3 (3, first at m:3); fault 7 (3, first at m:7)");
}

#[test]
fn kinds_of_faults_without_end_are_counted_together() {
    let mut skips = Skips::default();
    for index in 0..1000 {
        skips.add(&format!("m:{index}"), &format!("fault {index:04}"));
    }
    assert_eq!(skips.total(), 1000);
    assert_eq!(skips.reasons.len(), 101);
    assert_eq!(skips.reasons["other reasons"].count, 900);
    assert_eq!(skips.reasons["other reasons"].first_place, "m:100");
}

#[test]
fn what_cannot_be_chosen_is_an_error() {
    let error = |n_rows, wanted| selection(n_rows, 0, wanted).first(wanted).unwrap_err().to_string();
    let too_few = error(8, Wanted::First(7));
    assert!(too_few.contains("7 examples are asked for but the dataset has 6 (2 skipped"), "{too_few}");
    assert!(error(0, Wanted::All).contains("no usable row (0 skipped)"));
    assert!(error(8, Wanted::First(0)).contains("at least 1"));
    assert_eq!((Wanted::from(None), Wanted::from(Some(3))), (Wanted::All, Wanted::First(3)));
    assert!(Wanted::All > Wanted::First(u64::MAX) && Wanted::First(2) > Wanted::First(1));

    // More than were kept is no shorter set, but an error.
    let few = selection(40, 0, Wanted::First(5));
    for wanted in [Wanted::First(6), Wanted::All] {
        assert!(matches!(few.first(wanted), Err(Error::NotKept { kept: 5, .. })), "{wanted:?}");
    }
}

#[test]
fn a_source_that_breaks_off_is_an_error() {
    let broken = [Ok(Row::Example(example(0))), Err("the disk is gone")];
    assert_eq!(select(broken, 0, Wanted::All).unwrap_err(), "the disk is gone");
}
