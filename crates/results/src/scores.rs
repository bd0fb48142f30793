//! The derived frame: what each training of an arm scored in each category, and what it could have scored.
//!
//! An item without a score is never dropped in silence: it is counted, and the bounds say what the mean would be if all
//! such items had scored 0 or 1. The score of a judge that compares two answers is a win rate ([`crate::win_rates`]).

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::{Judgement, JudgementStatus};

use crate::error::{Error, Result};
use crate::win_rates::{Duel, win_rates};

/// The category of an arm's unweighted mean over its categories, as in Sun et al. 2023.
pub const MACRO_AVERAGE: &str = "macro average";
/// The category of an arm's mean over all its items.
pub const MICRO_AVERAGE: &str = "micro average";

/// What one training of an arm scored in one category by one judge.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreRow {
    pub arm: String,
    pub seed: u64,
    pub judge: String,
    pub category: String,
    /// Items with a judgement: `scored + unscored + failed`.
    pub items: u64,
    pub scored: u64,
    pub unscored: u64,
    pub failed: u64,
    /// In 0..=1. Null when nothing was scored. The macro average is over the categories in which the judge scored any
    /// arm at all; it is null when the arm has no score in one of them, because a mean over fewer is another quantity.
    pub mean_score: Option<f64>,
    pub lower_bound: f64,
    pub upper_bound: f64,
}

/// What the judgements of one answer come to.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemScore {
    pub category: String,
    pub status: JudgementStatus,
    /// Mean over the repeats that carry a score; null when none does.
    pub score: Option<f64>,
}

/// Which answer by whom: the name of the item is its content, or its id where that is not known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ItemKey {
    pub arm: String,
    pub seed: u64,
    pub judge: String,
    pub item: String,
}

impl ItemKey {
    fn of(judgement: &Judgement) -> Self {
        let Judgement { arm, seed, judge, .. } = judgement;
        Self { arm: arm.clone(), seed: *seed, judge: judge.clone(), item: item_of(judgement).to_owned() }
    }
}

/// One entry per answer and judge: repeats averaged; without any score, failed if any repeat failed.
/// An item listed under two categories keeps the first. Of a judge that compares answers, what it said without a rival is
/// left out: it is no win rate.
pub fn item_scores(judgements: &[Judgement]) -> BTreeMap<ItemKey, ItemScore> {
    let mut duels: BTreeMap<&str, Vec<Duel<&str>>> = BTreeMap::new();
    let mut categories: BTreeMap<&str, &str> = BTreeMap::new();
    for judgement in judgements.iter().filter(|judgement| !judgement.rival.is_empty()) {
        let item = item_of(judgement);
        categories.entry(item).or_insert(&judgement.category);
        duels.entry(&judgement.judge).or_default().push(Duel {
            arm: judgement.arm.as_str(),
            seed: judgement.seed,
            rival: judgement.rival.as_str(),
            rival_seed: judgement.rival_seed,
            item,
            swapped: judgement.swapped,
            repeat: judgement.repeat,
            score: judgement.score,
            status: judgement.status,
        });
    }
    let mut repeats: BTreeMap<ItemKey, (&str, Vec<Repeat>)> = BTreeMap::new();
    for judgement in judgements.iter().filter(|judgement| !duels.contains_key(judgement.judge.as_str())) {
        let of_item = repeats.entry(ItemKey::of(judgement)).or_insert((&judgement.category, Vec::new()));
        of_item.1.push((judgement.score, judgement.status));
    }
    for (judge, duels) in &duels {
        for rate in win_rates(duels).into_iter().flat_map(|found| found.rates) {
            let category = categories.get(rate.item).copied().unwrap_or_default();
            let (arm, judge, item) = (rate.arm.to_owned(), (*judge).to_owned(), rate.item.to_owned());
            let key = ItemKey { arm, seed: rate.seed, judge, item };
            repeats.entry(key).or_insert((category, Vec::new())).1.push((rate.score, rate.status));
        }
    }
    let score = |(category, repeats): (&str, Vec<Repeat>)| item_score(category, &repeats);
    repeats.into_iter().map(|(key, repeats)| (key, score(repeats))).collect()
}

/// The score of one judgement of an answer, and how it ended.
type Repeat = (Option<f64>, JudgementStatus);

fn item_score(category: &str, repeats: &[Repeat]) -> ItemScore {
    let scores: Vec<f64> = repeats.iter().filter_map(|(score, _)| *score).filter(|score| score.is_finite()).collect();
    let failed = repeats.iter().any(|(_, status)| *status == JudgementStatus::Failed);
    let status = match (scores.is_empty(), failed) {
        (false, _) => JudgementStatus::Scored,
        (true, true) => JudgementStatus::Failed,
        (true, false) => JudgementStatus::Unscored,
    };
    ItemScore { category: category.to_owned(), status, score: mean(&scores) }
}

/// The content of an item, or its id where that is not known.
fn item_of(judgement: &Judgement) -> &str {
    if judgement.item_hash.is_empty() { &judgement.item } else { &judgement.item_hash }
}

/// The scores of every training, in the order in which they first appear: its categories by name, then the macro and the
/// micro average.
///
/// # Errors
/// When a category has the name of an average.
pub fn derive_scores(judgements: &[Judgement]) -> Result<Vec<ScoreRow>> {
    let reserved = |j: &&Judgement| [MACRO_AVERAGE, MICRO_AVERAGE].contains(&j.category.as_str());
    if let Some(judgement) = judgements.iter().find(reserved) {
        return Err(Error::ReservedCategory(judgement.category.clone()));
    }

    let mut items: BTreeMap<(String, u64, String), BTreeMap<String, Vec<ItemScore>>> = BTreeMap::new();
    for (ItemKey { arm, seed, judge, .. }, item) in item_scores(judgements) {
        items.entry((arm, seed, judge)).or_default().entry(item.category.clone()).or_default().push(item);
    }

    // What a judge can never tell (an offline one, say, of a poem) is left out of every arm's average alike.
    let judged: BTreeSet<(&str, &str)> = items
        .iter()
        .flat_map(|((_, _, judge), categories)| categories.iter().map(move |(name, items)| (judge, name, items)))
        .filter(|(_, _, items)| items.iter().any(|item| item.score.is_some()))
        .map(|(judge, name, _)| (judge.as_str(), name.as_str()))
        .collect();
    let mut seen = BTreeSet::new();
    let own = judgements.iter().map(|j| (j.arm.clone(), j.seed, j.judge.clone()));
    let rivals = judgements.iter().map(|j| (j.rival.clone(), j.rival_seed, j.judge.clone()));
    let order = own.chain(rivals).filter(|key| seen.insert(key.clone()));
    let mut rows = Vec::new();
    for key in order {
        let Some(categories) = items.get(&key) else { continue };
        let (arm, seed, judge) = key;
        let row = |category: &str, items: &[ItemScore]| score_row((&arm, seed, &judge), category, items);
        let by_category: Vec<ScoreRow> = categories.iter().map(|(category, items)| row(category, items)).collect();
        let all: Vec<ItemScore> = categories.values().flatten().cloned().collect();
        let micro = row(MICRO_AVERAGE, &all);
        let counts = |row: &&ScoreRow| judged.contains(&(judge.as_str(), row.category.as_str()));
        let means: Option<Vec<f64>> = by_category.iter().filter(counts).map(|row| row.mean_score).collect();
        let macro_average = macro_row(&by_category, means.and_then(|means| mean(&means)), &micro);
        rows.extend(by_category);
        rows.extend([macro_average, micro]);
    }
    Ok(rows)
}

fn score_row((arm, seed, judge): (&str, u64, &str), category: &str, items: &[ItemScore]) -> ScoreRow {
    let count = |status| items.iter().filter(|item| item.status == status).count() as u64;
    let scores: Vec<f64> = items.iter().filter_map(|item| item.score).collect();
    let bound = |missing: f64| {
        let sum: f64 = items.iter().map(|item| item.score.unwrap_or(missing)).sum();
        sum / items.len() as f64
    };
    ScoreRow {
        arm: arm.to_owned(),
        seed,
        judge: judge.to_owned(),
        category: category.to_owned(),
        items: items.len() as u64,
        scored: count(JudgementStatus::Scored),
        unscored: count(JudgementStatus::Unscored),
        failed: count(JudgementStatus::Failed),
        mean_score: mean(&scores),
        lower_bound: bound(0.0),
        upper_bound: bound(1.0),
    }
}

/// The macro average: bounds over all categories, counts of all items.
fn macro_row(categories: &[ScoreRow], mean_score: Option<f64>, micro: &ScoreRow) -> ScoreRow {
    let over = |value: fn(&ScoreRow) -> f64| categories.iter().map(value).sum::<f64>() / categories.len() as f64;
    ScoreRow {
        category: MACRO_AVERAGE.to_owned(),
        mean_score,
        lower_bound: over(|row| row.lower_bound),
        upper_bound: over(|row| row.upper_bound),
        ..micro.clone()
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
