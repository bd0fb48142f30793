//! An outcome in English sentences.

use tunebench_statistics::{Enough, Scope};

use super::outcome::Outcome;
use crate::arm_cost::ArmCost;
use crate::estimates::{PairScore, verdict_words};

/// What the sentences are about beside the outcome.
pub struct Words<'a> {
    pub costs: &'a [ArmCost],
    pub margin: f64,
    /// Arms of the group that were trained once.
    pub single: &'a [String],
}

impl Words<'_> {
    /// One sentence, or two where something would settle it.
    pub fn headline(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::Winner { best, next, among, pair } => self.winner(best, next, *among, pair),
            Outcome::Alike { arms, is_different } => self.alike(arms, *is_different),
            Outcome::Undecided { best, rival, pair, enough } => {
                format!(
                    "Nothing can be said yet: {} {}",
                    self.undecided(best, rival, pair.as_ref()),
                    self.settles(*enough)
                )
            }
            Outcome::NoRivals { best, trained, .. } => {
                let alone = match trained {
                    1 => format!("{best} is the only trained arm with a score"),
                    _ => "no two arms share model and data".to_owned(),
                };
                format!(
                    "Nothing can be said yet: {alone}, so no methods can be compared; add an arm with the same base and dataset."
                )
            }
            Outcome::NoScores => {
                "Nothing can be said yet: no trained arm has a score in every category; run the study to its end."
                    .to_owned()
            }
        }
    }

    /// How sure the headline is.
    pub fn certainty(&self, outcome: &Outcome) -> String {
        match outcome {
            Outcome::NoScores => String::new(),
            Outcome::NoRivals { against_base: None, .. } => String::new(),
            Outcome::NoRivals { against_base: Some(pair), .. } => {
                format!("Against the model it comes from: {}", self.pair(pair))
            }
            _ if self.single.is_empty() => {
                "The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds."
                    .to_owned()
            }
            _ => format!(
                "The intervals are over items only: {} {} trained once, and how much another training would move that is not \
                 known; give the study `seeds = 3` or more.",
                listed(self.single),
                if self.single.len() == 1 { "was" } else { "were" }
            ),
        }
    }

    /// A difference with its verdict and what it costs.
    pub fn pair(&self, pair: &PairScore) -> String {
        let words = verdict_words(pair.verdict, &pair.first, &pair.second, self.margin);
        let (higher, lower) = by_height(pair);
        let time = self.time(higher, lower).map_or_else(String::new, |words| format!("; {higher} {words}"));
        format!("{higher} minus {lower}: {:+.3} ({}): {words}{time}.", pair.difference.abs(), interval(pair))
    }

    fn winner(&self, best: &str, next: &str, among: usize, pair: &PairScore) -> String {
        let among = if among > 2 { format!(", the next best of {among} arms") } else { String::new() };
        let cost = self.time(best, next).map_or_else(String::new, |words| format!(" and {words}"));
        format!(
            "On your data{} {best} scores {:.3} higher than {next}{among} ({}){cost}.",
            so_far(pair.scope == Some(Scope::ItemsOnly)),
            pair.difference.abs(),
            interval(pair)
        )
    }

    /// Of arms that are as good, the one that takes least is the one to have.
    fn alike(&self, arms: &[String], is_different: bool) -> String {
        let is_single = arms.iter().any(|arm| self.single.contains(arm));
        let what = if is_different { "differ by less than" } else { "cannot be told apart within" };
        let seconds = |arm: &&String| self.seconds(arm).unwrap_or(f64::INFINITY);
        let cheapest = arms.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        let dearest = arms.iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b)));
        let cost = cheapest.zip(dearest).map_or_else(String::new, |(cheap, dear)| {
            let of_whom = if arms.len() > 2 { format!(" of {dear}") } else { String::new() };
            match seconds(&cheap) / seconds(&dear) {
                ratio if !ratio.is_finite() || cheap == dear => String::new(),
                ratio if ratio > 0.9 => "; they take about as long".to_owned(),
                ratio => format!("; {cheap} costs {} the time{of_whom}", part(ratio)),
            }
        });
        format!("On your data{} {} {what} {}{cost}.", so_far(is_single), listed(arms), self.margin)
    }

    fn undecided(&self, best: &str, rival: &str, pair: Option<&PairScore>) -> String {
        match pair.filter(|pair| pair.interval.is_some()) {
            Some(pair) => format!(
                "{best} scores {:.3} higher than {rival} ({}), which is neither surely a difference nor surely within {}.",
                pair.difference.abs(),
                interval(pair),
                self.margin
            ),
            None => format!("how far {best} and {rival} would differ on other items is not known."),
        }
    }

    fn settles(&self, enough: Option<Enough>) -> String {
        match enough {
            Some(Enough { seeds, items: Some(items), scope: Scope::ItemsAndTrainings }) => {
                format!("{seeds} seeds and {items} items would show a difference of {}.", self.margin)
            }
            Some(Enough { items: Some(items), .. }) => {
                format!(
                    "It takes more than one seed, and at least {items} items, to show a difference of {}.",
                    self.margin
                )
            }
            _ => "More seeds and more items would settle it; how many cannot be said from these scores.".to_owned(),
        }
    }

    fn seconds(&self, arm: &str) -> Option<f64> {
        self.costs.iter().find(|cost| cost.arm == arm)?.train_seconds.filter(|seconds| *seconds > 0.0)
    }

    /// `takes 2.9 times as long`.
    fn time(&self, arm: &str, than: &str) -> Option<String> {
        Some(match self.seconds(arm)? / self.seconds(than)? {
            ratio if (0.9..=1.1).contains(&ratio) => "takes about as long".to_owned(),
            ratio if ratio > 1.0 => format!("takes {ratio:.1} times as long"),
            ratio => format!("takes {} the time", part(ratio)),
        })
    }
}

/// What a headline about arms that were trained once begins with.
fn so_far(is_single: bool) -> &'static str {
    if is_single { ", as far as single trainings tell," } else { "" }
}

/// The arm that scores higher, and the other.
fn by_height(pair: &PairScore) -> (&str, &str) {
    if pair.difference < 0.0 { (&pair.second, &pair.first) } else { (&pair.first, &pair.second) }
}

/// The interval of the difference, as of the higher arm minus the other.
fn interval(pair: &PairScore) -> String {
    let Some((interval, scope)) = pair.interval.zip(pair.scope) else { return "no interval".to_owned() };
    let (low, high) = match pair.difference < 0.0 {
        true => (-interval.high, -interval.low),
        false => (interval.low, interval.high),
    };
    format!("95 % interval {low:.3} to {high:.3}, {scope}")
}

/// `half`, `a third of`, `12 % of`.
fn part(ratio: f64) -> String {
    const PARTS: [(f64, f64, &str); 4] =
        [(0.46, 0.54, "half"), (0.30, 0.37, "a third of"), (0.23, 0.27, "a quarter of"), (0.18, 0.22, "a fifth of")];
    let known = PARTS.iter().find(|(low, high, _)| (*low..=*high).contains(&ratio));
    known.map_or_else(|| format!("{:.0} % of", 100.0 * ratio), |(_, _, words)| (*words).to_owned())
}

/// `A, B and C`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
