//! Nested subsets over a source that can be read, and gone back in, like a plugin's.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_dataset::error::RowsError;
use tunebench_dataset::{Rows, Selection, Wanted, select};
use tunebench_spec::{Example, Row};

/// Rows in memory; remembers where it was sent.
struct Memory {
    rows: Vec<Row>,
    at: usize,
    seeks: Vec<usize>,
}

impl Memory {
    /// `n` rows, every fourth of them unusable.
    fn new(n: usize) -> Self {
        let row = |index: usize| match index % 4 {
            3 => Row::Skip { place: format!("m:{index}"), reason: format!("fault {}", index % 8) },
            _ => Row::Example(example(index)),
        };
        Self { rows: (0..n).map(row).collect(), at: 0, seeks: vec![] }
    }
}

fn example(index: usize) -> Example {
    Example { id: format!("m:{index}"), turns: vec![], category: None, reference: None, rubric: None }
}

impl Rows for Memory {
    fn next(&mut self) -> Result<Option<Row>, RowsError> {
        let row = self.rows.get(self.at).cloned();
        self.at += usize::from(row.is_some());
        Ok(row)
    }

    fn position(&self) -> Vec<u8> {
        self.at.to_le_bytes().to_vec()
    }

    fn seek(&mut self, position: &[u8]) -> Result<(), RowsError> {
        self.at = usize::from_le_bytes(position.try_into()?);
        self.seeks.push(self.at);
        Ok(())
    }
}

fn chosen(n_rows: usize, seed: u64, wanted: Wanted) -> Vec<String> {
    let mut rows = Memory::new(n_rows);
    let selection = select(&mut rows, seed, wanted).unwrap();
    selection.load(&mut rows).unwrap().into_iter().map(|e| e.id).collect()
}

#[test]
fn smaller_sets_are_the_beginning_of_larger_ones() {
    for seed in [0, 1, 42, u64::MAX] {
        let all = chosen(400, seed, Wanted::All);
        assert_eq!(all.len(), 300);
        for size in [1, 2, 7, 64, 150, 299, 300] {
            assert_eq!(chosen(400, seed, Wanted::First(size)), all[..size as usize], "seed {seed} size {size}");
        }
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 300, "every example once");
    }
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
fn the_second_pass_reads_forwards_and_goes_only_where_needed() {
    let mut rows = Memory::new(400);
    let selection = select(&mut rows, 1, Wanted::First(10)).unwrap();
    let mut visited = vec![];
    selection
        .visit(&mut rows, |rank, example| {
            visited.push((rank, example.id));
            Ok::<(), tunebench_dataset::Error>(())
        })
        .unwrap();
    assert!(rows.seeks.is_sorted() && rows.seeks.len() <= 10, "{:?}", rows.seeks);
    let order: Vec<usize> = visited.iter().map(|(_, id)| id[2..].parse().unwrap()).collect();
    assert!(order.is_sorted(), "{order:?}");
    visited.sort();
    let by_rank: Vec<String> = visited.into_iter().map(|(_, id)| id).collect();
    assert_eq!(by_rank, chosen(400, 1, Wanted::First(10)));
    // Three examples in a row need one seek, not three.
    let mut rows = Memory::new(400);
    select(&mut rows, 1, Wanted::All).unwrap().load(&mut rows).unwrap();
    assert_eq!(rows.seeks.len(), 100);
}

#[test]
fn skips_are_counted_by_reason_with_the_first_place() {
    let selection: Selection = select(&mut Memory::new(24), 0, Wanted::All).unwrap();
    assert_eq!((selection.usable, selection.len(), selection.skips.total()), (18, 18, 6));
    assert_eq!(selection.skips.to_string(), "6 skipped: fault 3 (3, first at m:3); fault 7 (3, first at m:7)");
}

#[test]
fn kinds_of_faults_without_end_are_counted_together() {
    let mut skips = tunebench_dataset::Skips::default();
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
    let error = |n_rows, wanted| select(&mut Memory::new(n_rows), 0, wanted).unwrap_err().to_string();
    let too_few = error(8, Wanted::First(7));
    assert!(too_few.contains("7 examples are asked for but the dataset has 6 (2 skipped"), "{too_few}");
    assert!(error(0, Wanted::All).contains("no usable row (0 skipped)"));
    assert!(error(8, Wanted::First(0)).contains("at least 1"));
    assert_eq!((Wanted::from(None), Wanted::from(Some(3))), (Wanted::All, Wanted::First(3)));
}

#[test]
fn a_source_that_changes_in_between_is_an_error() {
    let mut rows = Memory::new(40);
    let selection = select(&mut rows, 0, Wanted::All).unwrap();
    rows.rows[5] = Row::Skip { place: "m:5".into(), reason: "gone".into() };
    assert!(selection.load(&mut rows).unwrap_err().to_string().starts_with("row 6 of the dataset"));
    rows.rows.truncate(5);
    assert!(selection.load(&mut rows).unwrap_err().to_string().starts_with("row 6 of the dataset"));
}
