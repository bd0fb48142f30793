//! A decision in English.

use tunebench_statistics::{Enough, Scope};

use super::facts::{Facts, Ratio, by_height, interval_by_height};
use super::outcome::Outcome;
use crate::estimates::{PairScore, verdict_words};

/// One sentence, or two where something would settle it.
pub fn headline(outcome: &Outcome, facts: &Facts) -> String {
    match outcome {
        Outcome::Winner { best, next, among, pair } => {
            let among = if *among > 2 { format!(", the next best of {among} arms") } else { String::new() };
            let cost = time(facts, best, next).map_or_else(String::new, |words| format!(" and {words}"));
            format!(
                "On your data{} {best} scores {:.3} higher than {next}{among} ({}){cost}.",
                so_far(pair.scope == Some(Scope::ItemsOnly)),
                pair.difference.abs(),
                interval(pair)
            )
        }
        Outcome::Alike { arms, is_different } => alike(facts, arms, *is_different),
        Outcome::Undecided { best, rival, pair, enough } => format!(
            "Nothing can be said yet: {} {}",
            undecided(facts, best, rival, pair.as_ref()),
            settles(facts, *enough)
        ),
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
pub fn certainty(outcome: &Outcome, facts: &Facts) -> String {
    match outcome {
        Outcome::NoScores | Outcome::NoRivals { against_base: None, .. } => String::new(),
        Outcome::NoRivals { against_base: Some(found), .. } => {
            format!("Against the model it comes from: {}", pair(found, facts))
        }
        _ if facts.single.is_empty() => {
            "The intervals are over items and trainings: they hold for new questions of these kinds and for new seeds."
                .to_owned()
        }
        _ => format!(
            "The intervals are over items only: {} {} trained once, and how much another training would move that is not \
             known; give the study `seeds = 3` or more.",
            listed(facts.single),
            if facts.single.len() == 1 { "was" } else { "were" }
        ),
    }
}

/// A difference with its verdict and what it costs.
pub fn pair(pair: &PairScore, facts: &Facts) -> String {
    let words = verdict_words(pair.verdict, &pair.first, &pair.second, facts.margin);
    let (higher, lower) = by_height(pair);
    let time = time(facts, higher, lower).map_or_else(String::new, |words| format!("; {higher} {words}"));
    format!("{higher} minus {lower}: {:+.3} ({}): {words}{time}.", pair.difference.abs(), interval(pair))
}

/// That there are more groups of arms than the one that the headline is about.
pub fn more_groups(n: usize) -> String {
    format!(
        "{n} more groups of arms share model and data; the headline is about the largest, the table has every pair."
    )
}

/// That an arm of another group has the highest score of all.
pub fn best_of_all(best: &str, score: f64, in_group: &str, is_told_apart: bool) -> String {
    let words = if is_told_apart { "higher than" } else { "not told apart from" };
    format!("Of all arms {best} has the highest score ({score:.3}), {words} {in_group}.")
}

/// Of arms that are as good, the one that takes least is the one to have.
fn alike(facts: &Facts, arms: &[String], is_different: bool) -> String {
    let is_single = arms.iter().any(|arm| facts.single.contains(arm));
    let what = if is_different { "differ by less than" } else { "cannot be told apart within" };
    let cost = facts.extremes(arms).and_then(|(least, most)| {
        let of_whom = if arms.len() > 2 { format!(" of {most}") } else { String::new() };
        Some(match facts.ratio(least, most)? {
            Ratio::Part(ratio) => format!("; {least} costs {} the time{of_whom}", part(ratio)),
            _ => "; they take about as long".to_owned(),
        })
    });
    format!("On your data{} {} {what} {}{}.", so_far(is_single), listed(arms), facts.margin, cost.unwrap_or_default())
}

fn undecided(facts: &Facts, best: &str, rival: &str, pair: Option<&PairScore>) -> String {
    match pair.filter(|pair| pair.interval.is_some()) {
        Some(pair) => format!(
            "{best} scores {:.3} higher than {rival} ({}), which is neither surely a difference nor surely within {}.",
            pair.difference.abs(),
            interval(pair),
            facts.margin
        ),
        None => format!("how far {best} and {rival} would differ on other items is not known."),
    }
}

fn settles(facts: &Facts, enough: Option<Enough>) -> String {
    match enough {
        Some(Enough { seeds, items: Some(items), scope: Scope::ItemsAndTrainings }) => {
            format!("{seeds} seeds and {items} items would show a difference of {}.", facts.margin)
        }
        Some(Enough { items: Some(items), .. }) => {
            format!(
                "It takes more than one seed, and at least {items} items, to show a difference of {}.",
                facts.margin
            )
        }
        _ => "More seeds and more items would settle it; how many cannot be said from these scores.".to_owned(),
    }
}

/// `takes 2.9 times as long`.
fn time(facts: &Facts, arm: &str, than: &str) -> Option<String> {
    Some(match facts.ratio(arm, than)? {
        Ratio::Alike => "takes about as long".to_owned(),
        Ratio::Times(ratio) => format!("takes {ratio:.1} times as long"),
        Ratio::Part(ratio) => format!("takes {} the time", part(ratio)),
    })
}

/// What a headline about arms that were trained once begins with.
fn so_far(is_single: bool) -> &'static str {
    if is_single { ", as far as single trainings tell," } else { "" }
}

fn interval(pair: &PairScore) -> String {
    match interval_by_height(pair).zip(pair.scope) {
        Some((interval, scope)) => format!("95 % interval {:.3} to {:.3}, {scope}", interval.low, interval.high),
        None => "no interval".to_owned(),
    }
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
