//! What rows must have in common to be compared, and which of them have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tunebench_spec::JudgementStatus;

use super::rows::Verdict;
use crate::error::{Error, Result};

/// Refuses verdicts that do not say what they are of, and scores of one item under different judges.
///
/// # Errors
/// [`Error::Unidentified`], [`Error::MixedJudges`].
pub fn check_judges(judge: &str, verdicts: &[&Verdict]) -> Result<()> {
    let no_item = verdicts.iter().filter(|verdict| verdict.item.is_empty());
    refuse_unidentified(judge, "item", no_item.map(|verdict| &*verdict.arm))?;
    // A judge that could not be asked may not be known.
    let scored = || verdicts.iter().filter(|verdict| verdict.status == JudgementStatus::Scored);
    let no_judge = scored().filter(|verdict| verdict.judge_hash.is_empty());
    refuse_unidentified(judge, "judge", no_judge.map(|verdict| &*verdict.arm))?;
    let rows = scored().map(|verdict| Row { arm: &verdict.arm, of: (&verdict.item, ""), hash: &verdict.judge_hash });
    match outliers(&rows.collect::<Vec<_>>()) {
        Some(rows) => Err(Error::MixedJudges { judge: judge.to_owned(), rows }),
        None => Ok(()),
    }
}

/// # Errors
/// [`Error::Unidentified`] when there is any row.
pub fn refuse_unidentified<'a>(judge: &str, what: &'static str, arms: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for arm in arms {
        *counts.entry(arm).or_default() += 1;
    }
    if counts.is_empty() {
        return Ok(());
    }
    let rows = counts.iter().map(|(arm, n)| format!("`{arm}`: {n} rows")).collect::<Vec<_>>().join(", ");
    Err(Error::Unidentified { judge: judge.to_owned(), what, rows })
}

/// A row whose `hash` must be that of every other row of the same thing.
pub struct Row<'a> {
    pub arm: &'a str,
    pub of: (&'a str, &'a str),
    pub hash: &'a str,
}

/// The arms whose rows have another hash than most rows of the same thing, with their numbers; where as many have one as
/// have the other, the rows of both.
pub fn outliers(rows: &[Row]) -> Option<String> {
    let mut hashes: BTreeMap<(&str, &str), BTreeMap<&str, usize>> = BTreeMap::new();
    for row in rows {
        *hashes.entry(row.of).or_default().entry(row.hash).or_default() += 1;
    }
    let is_outlier = |row: &&Row| {
        let counts = &hashes[&row.of];
        let most = counts.values().copied().max().unwrap_or(0);
        let is_tie = counts.values().filter(|n| **n == most).count() > 1;
        counts.len() > 1 && (is_tie || counts[row.hash] < most)
    };
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows.iter().filter(is_outlier) {
        *counts.entry(row.arm).or_default() += 1;
    }
    let total = |arm| rows.iter().filter(|row| row.arm == arm).count();
    let words: Vec<String> = counts.iter().map(|(arm, n)| format!("`{arm}`: {n} of {} rows", total(*arm))).collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The items that every training was judged on, and what is said of the others.
///
/// # Errors
/// [`Error::NothingInCommon`].
pub fn common_items<'a>(verdicts: &[&'a Verdict], arms: &[&str]) -> Result<(BTreeSet<&'a str>, Vec<String>)> {
    let mut trainings: BTreeMap<(&str, u64), BTreeSet<&str>> = BTreeMap::new();
    for verdict in verdicts {
        trainings.entry((&verdict.arm, verdict.seed)).or_default().insert(&verdict.item);
    }
    let all: BTreeSet<&str> = trainings.values().flatten().copied().collect();
    let is_common = |item: &&str| trainings.values().all(|items| items.contains(item));
    let common: BTreeSet<&str> = all.iter().copied().filter(is_common).collect();
    if common.is_empty() {
        return Err(Error::NothingInCommon(arms.join(", ")));
    }
    let n_left_out = all.len() - common.len();
    if n_left_out == 0 {
        return Ok((common, Vec::new()));
    }
    let lacks = trainings.iter().filter(|(_, items)| items.len() < all.len());
    let lacking = lacks.map(|((arm, seed), items)| format!("{arm} (seed {seed}) lacks {}", all.len() - items.len()));
    let note = format!(
        "{n_left_out} of {} items were not judged for every training and are left out for all: {}.",
        all.len(),
        lacking.collect::<Vec<_>>().join(", ")
    );
    Ok((common, vec![note]))
}

/// The judgements of an answer numbered from 0, and how many had a number that another one had.
pub fn numbered(mut verdicts: Vec<Verdict>) -> (Vec<Verdict>, usize) {
    let mut seen: BTreeMap<(Arc<str>, u64, Arc<str>), BTreeSet<u32>> = BTreeMap::new();
    let mut n_repeated = 0;
    for verdict in &mut verdicts {
        let numbers = seen.entry((verdict.arm.clone(), verdict.seed, verdict.item.clone())).or_default();
        if numbers.contains(&verdict.repeat) {
            n_repeated += 1;
            verdict.repeat = numbers.last().map_or(0, |last| last + 1);
        }
        numbers.insert(verdict.repeat);
    }
    (verdicts, n_repeated)
}
