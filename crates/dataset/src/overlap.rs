//! Whether a row is an evaluation item, or nearly one: so that what is learnt is not what is asked.
//!
//! Texts are compared in one form ([`normalised`]): Unicode's NFKC in lower case, letters and digits only. A row is an
//! item's *exact* duplicate when the forms are equal, and a *near* one when it holds at least [`NEAR`] of the item's
//! distinct runs of [`RUN`] characters, wherever they stand. That share is never less than Jaccard's similarity of the
//! two sets, so every pair that is near by Jaccard is near here too, and an item inside a longer text is found as well.
//! Items of fewer than [`SHORT`] characters have too few runs to say anything; they can be exact duplicates only.
//!
//! Cost: an item is looked at once, and its runs take about 100 bytes a character in an index from runs to items. A row
//! costs its normal form, a look-up per character, and for each run that is found one addition per item that has it: in
//! all 100 to 250 ns a character, so that a million rows of 300 characters take about a minute, be the items one thousand
//! or ten.

use std::collections::{BTreeSet, HashMap};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tunebench_spec::{Example, Role};
use unicode_normalization::UnicodeNormalization;

/// Characters in a run.
pub const RUN: usize = 5;
/// The share of an item's runs from which on a row is its near duplicate.
pub const NEAR: f64 = 0.8;
/// Items of fewer characters are compared as a whole only.
pub const SHORT: usize = 10;
/// Pairs that a report shows.
pub const MOST_SHOWN: usize = 5;

/// [`RUN`] characters of 21 bits.
type Run = u128;

/// Evaluation items, ready to be compared with.
#[derive(Clone, Debug, Default)]
pub struct Overlap {
    ids: Vec<String>,
    /// Distinct runs of each item; 0 for short ones, which no run leads to.
    n_runs: Vec<u32>,
    /// The first item of each form.
    exact: HashMap<String, u32>,
    /// The items that hold a run, ascending.
    by_run: HashMap<Run, Vec<u32>>,
}

/// How alike two texts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Likeness {
    Exact,
    Near,
}

/// The item that a text is most like.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Match<'a> {
    /// Id of the item.
    pub item: &'a str,
    pub likeness: Likeness,
    /// The share of the item's runs that the text holds, from [`NEAR`] to 1; 1 for an exact duplicate.
    pub similarity: f64,
}

impl Overlap {
    /// Whether there is no item to be like.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The questions of these items; one without a question is like nothing.
    pub fn new<'a>(items: impl IntoIterator<Item = &'a Example>) -> Self {
        let mut overlap = Self::default();
        for item in items {
            overlap.add(&item.id, item.question());
        }
        overlap
    }

    fn add(&mut self, id: &str, text: &str) {
        let (index, form) = (self.ids.len() as u32, normalised(text));
        let runs: BTreeSet<Run> = if is_short(&form) { BTreeSet::new() } else { runs(&form).collect() };
        self.ids.push(id.to_owned());
        self.n_runs.push(runs.len() as u32);
        for run in runs {
            self.by_run.entry(run).or_default().push(index);
        }
        if !form.is_empty() {
            self.exact.entry(form).or_insert(index);
        }
    }

    /// The item that this text is most like, the first of several; none when it is like none.
    pub fn find(&self, text: &str) -> Option<Match<'_>> {
        let form = normalised(text);
        if let Some(index) = self.exact.get(&form) {
            return self.matched(*index as usize, Likeness::Exact, 1.0);
        }
        let mut found: Vec<(Run, &[u32])> =
            runs(&form).filter_map(|run| Some((run, self.by_run.get(&run)?.as_slice()))).collect();
        if found.is_empty() {
            return None;
        }
        // A run counts once, however often the text has it.
        found.sort_unstable_by_key(|(run, _)| *run);
        found.dedup_by_key(|(run, _)| *run);
        let mut counts = vec![0_u32; self.ids.len()];
        for index in found.iter().flat_map(|(_, items)| *items) {
            counts[*index as usize] += 1;
        }
        let similarities = counts.iter().zip(&self.n_runs).enumerate().filter(|(_, (_, n_runs))| **n_runs > 0);
        let similarities = similarities.map(|(index, (count, n_runs))| (index, f64::from(*count) / f64::from(*n_runs)));
        let best = similarities.reduce(|best, other| if other.1 > best.1 { other } else { best });
        best.filter(|(_, similarity)| *similarity >= NEAR)
            .and_then(|(index, similarity)| self.matched(index, Likeness::Near, similarity))
    }

    /// The item that what an example says is most like: each turn of the user by itself, and where there is none, as in
    /// text to pre-train on, each of the assistant. An exact duplicate comes before a near one.
    pub fn find_in(&self, example: &Example) -> Option<Match<'_>> {
        let asks = example.turns.iter().any(|turn| turn.role == Role::User);
        let role = if asks { Role::User } else { Role::Assistant };
        let turns = example.turns.iter().filter(|turn| turn.role == role);
        let key = |found: &Match| (found.likeness == Likeness::Exact, found.similarity);
        turns.filter_map(|turn| self.find(&turn.content)).reduce(
            |best, other| {
                if key(&other) > key(&best) { other } else { best }
            },
        )
    }

    fn matched(&self, index: usize, likeness: Likeness, similarity: f64) -> Option<Match<'_>> {
        Some(Match { item: self.ids.get(index)?, likeness, similarity })
    }
}

/// What was found among the rows that were compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverlapReport {
    /// Rows compared.
    pub rows: u64,
    /// Rows that are an item.
    pub exact: u64,
    /// Rows that are nearly one.
    pub near: u64,
    /// Ids of the items found.
    pub items: BTreeSet<String>,
    /// The first few pairs.
    pub pairs: Vec<OverlapPair>,
}

/// A row and the item that it is like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverlapPair {
    /// Id of the row.
    pub row: String,
    /// Id of the item.
    pub item: String,
    pub likeness: Likeness,
    pub similarity: f64,
}

impl OverlapReport {
    /// Compares a row and counts it; yields what was found, so that the caller may leave the row out.
    pub fn add<'a>(&mut self, overlap: &'a Overlap, example: &Example) -> Option<Match<'a>> {
        self.count(example, overlap.find_in(example))
    }

    /// As [`OverlapReport::add`] of each of them in their order, compared by all threads.
    pub fn add_all(&mut self, overlap: &Overlap, examples: &[Example]) {
        let found: Vec<_> = examples.par_iter().map(|example| overlap.find_in(example)).collect();
        for (example, found) in examples.iter().zip(found) {
            self.count(example, found);
        }
    }

    fn count<'a>(&mut self, example: &Example, found: Option<Match<'a>>) -> Option<Match<'a>> {
        self.rows += 1;
        let found = found?;
        let Match { item, likeness, similarity } = found;
        match likeness {
            Likeness::Exact => self.exact += 1,
            Likeness::Near => self.near += 1,
        }
        self.items.insert(item.to_owned());
        if self.pairs.len() < MOST_SHOWN {
            self.pairs.push(OverlapPair { row: example.id.clone(), item: item.to_owned(), likeness, similarity });
        }
        Some(found)
    }

    /// Rows that are an item or nearly one.
    pub fn found(&self) -> u64 {
        self.exact + self.near
    }
}

/// The one form of a text: NFKC (full-width letters, ligatures and circled numbers become plain ones), lower case,
/// without white space and punctuation. Signs that make another sum of one stay: `+ * / = < > ^ % × ÷`, and where a
/// digit follows `-` and, between digits, `.`
pub fn normalised(text: &str) -> String {
    let mut form = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.nfkc().peekable();
    while let Some(c) = chars.next() {
        let c = if c == '\u{2212}' { '-' } else { c };
        let follows_digit = chars.peek().is_some_and(char::is_ascii_digit);
        let is_kept = match c {
            '+' | '*' | '/' | '=' | '<' | '>' | '^' | '%' | '×' | '÷' => true,
            '-' => follows_digit,
            '.' => follows_digit && before.is_ascii_digit(),
            _ => c.is_alphanumeric(),
        };
        if is_kept {
            form.extend(c.to_lowercase());
        }
        before = c;
    }
    form
}

fn is_short(form: &str) -> bool {
    form.chars().take(SHORT).count() < SHORT
}

/// The runs of a form in their order, repetitions too; none of one that is shorter than a run.
fn runs(form: &str) -> impl Iterator<Item = Run> + '_ {
    const BITS: u32 = 21;
    const MASK: Run = (1 << (BITS * RUN as u32)) - 1;
    let mut run: Run = 0;
    let windows = form.chars().map(move |c| {
        run = ((run << BITS) | Run::from(u32::from(c))) & MASK;
        run
    });
    windows.skip(RUN - 1)
}
