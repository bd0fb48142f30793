//! What a judge that compares two answers gave: its verdicts as a score of each answer, its win rate.
//!
//! Such a judge prefers the answer that it reads first, or the last, so that a verdict in one order alone is worth little.
//! The two orders of a pair are averaged first, and count as one; a pair that lacks a verdict in one of them has none.

use std::collections::{BTreeMap, BTreeSet};

use tunebench_spec::JudgementStatus;

/// One verdict on two answers to one item. `T` names arms and items.
#[derive(Clone, Debug, PartialEq)]
pub struct Duel<T> {
    pub arm: T,
    pub seed: u64,
    pub rival: T,
    pub rival_seed: u64,
    pub item: T,
    /// Whether the arm's answer was shown second.
    pub swapped: bool,
    pub repeat: u32,
    /// Of the arm's answer: 1 it wins, 0.5 a tie, 0 it loses.
    pub score: Option<f64>,
    pub status: JudgementStatus,
}

/// With whom arms are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rivals<T> {
    /// All with this one, which has no score of its own.
    Baseline(T),
    /// Each with each other.
    All,
}

/// What the comparisons of one answer come to.
#[derive(Clone, Debug, PartialEq)]
pub struct WinRate<T> {
    pub arm: T,
    pub seed: u64,
    pub item: T,
    pub repeat: u32,
    /// Mean over the rivals, each of both orders; null when one of them lacks a verdict.
    pub score: Option<f64>,
    pub status: JudgementStatus,
}

/// The win rates of one judge.
#[derive(Clone, Debug, PartialEq)]
pub struct WinRates<T> {
    pub rivals: Rivals<T>,
    pub rates: Vec<WinRate<T>>,
    /// Pairs of answers that were compared, repeats apart, and those of them that lack a verdict in an order.
    pub pairs: usize,
    pub incomplete: usize,
}

/// An answer: arm and seed.
type Side<T> = (T, u64);
/// Of one answer, the verdicts in both orders by rival.
type Met<'a, T> = BTreeMap<Side<T>, [Vec<&'a Duel<T>>; 2]>;

/// With whom the arms of these comparisons are compared; none without any.
pub fn rivals<T: Clone + Ord>(duels: &[Duel<T>]) -> Option<Rivals<T>> {
    let named: BTreeSet<&T> = duels.iter().map(|duel| &duel.rival).collect();
    let first = named.first()?;
    let is_baseline = named.len() == 1 && duels.iter().all(|duel| duel.arm != **first);
    Some(if is_baseline { Rivals::Baseline((*first).clone()) } else { Rivals::All })
}

/// The same verdict as of the other answer.
pub fn mirrored<T: Clone>(duel: &Duel<T>) -> Duel<T> {
    Duel {
        arm: duel.rival.clone(),
        seed: duel.rival_seed,
        rival: duel.arm.clone(),
        rival_seed: duel.seed,
        swapped: !duel.swapped,
        score: duel.score.map(|score| 1.0 - score),
        ..duel.clone()
    }
}

/// Each verdict once, however often it stands there: as of either answer.
pub fn distinct<T: Clone + Ord>(duels: &[Duel<T>]) -> Vec<Duel<T>> {
    let mut seen = BTreeSet::new();
    let is_new = |duel: &&Duel<T>| {
        let first = (duel.arm.clone(), duel.seed, duel.rival.clone(), duel.rival_seed, duel.swapped);
        let other = (duel.rival.clone(), duel.rival_seed, duel.arm.clone(), duel.seed, !duel.swapped);
        seen.insert((first.min(other), duel.item.clone(), duel.repeat))
    };
    duels.iter().filter(is_new).cloned().collect()
}

/// The win rate of each answer, by arm, seed, item and repeat; none without comparisons.
pub fn win_rates<T: Clone + Ord>(duels: &[Duel<T>]) -> Option<WinRates<T>> {
    let rivals = rivals(duels)?;
    let once = distinct(duels);
    let mut sides = once.clone();
    if rivals == Rivals::All {
        sides.extend(once.iter().map(mirrored));
    }
    let mut of_arm: BTreeMap<T, BTreeSet<T>> = BTreeMap::new();
    let mut answers: BTreeMap<(T, u64, T, u32), Met<T>> = BTreeMap::new();
    for duel in &sides {
        of_arm.entry(duel.arm.clone()).or_default().insert(duel.rival.clone());
        let key = (duel.arm.clone(), duel.seed, duel.item.clone(), duel.repeat);
        let orders = answers.entry(key).or_default().entry((duel.rival.clone(), duel.rival_seed)).or_default();
        orders[usize::from(duel.swapped)].push(duel);
    }
    let (mut pairs, mut incomplete) = (0, 0);
    let mut rates = Vec::new();
    for ((arm, seed, item, repeat), met) in &answers {
        let mut by_rival: BTreeMap<&T, Vec<f64>> = BTreeMap::new();
        let mut is_complete = true;
        for ((rival, _), orders) in met {
            // Each pair has two sides where each arm is compared with each other.
            let is_first = matches!(rivals, Rivals::Baseline(_)) || (arm, seed) <= (rival, seed);
            pairs += usize::from(is_first);
            match of_pair(orders) {
                Some(score) => by_rival.entry(rival).or_default().push(score),
                None => {
                    is_complete = false;
                    incomplete += usize::from(is_first);
                }
            }
        }
        let has_all = of_arm.get(arm).is_some_and(|rivals| rivals.iter().all(|rival| by_rival.contains_key(rival)));
        let scores: Vec<f64> = by_rival.values().filter_map(|scores| mean(scores)).collect();
        let score = mean(&scores).filter(|_| is_complete && has_all);
        let failed = met.values().flatten().flatten().any(|duel| duel.status == JudgementStatus::Failed);
        let status = match (score, failed) {
            (Some(_), _) => JudgementStatus::Scored,
            (None, true) => JudgementStatus::Failed,
            (None, false) => JudgementStatus::Unscored,
        };
        rates.push(WinRate { arm: arm.clone(), seed: *seed, item: item.clone(), repeat: *repeat, score, status });
    }
    Some(WinRates { rivals, rates, pairs, incomplete })
}

/// Mean of the two orders; none where one of them has no verdict.
fn of_pair<T>(orders: &[Vec<&Duel<T>>; 2]) -> Option<f64> {
    let of = |duels: &Vec<&Duel<T>>| {
        let scores: Vec<f64> = duels.iter().filter_map(|duel| duel.score).filter(|score| score.is_finite()).collect();
        mean(&scores)
    };
    Some(f64::midpoint(of(&orders[0])?, of(&orders[1])?))
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
