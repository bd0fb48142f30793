//! From one judge to the next: both over the same answers, what the change did to scores, and whether a conclusion
//! changes.
//!
//! The difference of two judges' marks of an answer is a score like any other. So each arm's shift is [`estimate`] of
//! it, and the change of a difference of arms is [`contrast`] of it, paired by answer: what answers share falls out,
//! and the interval is over items and trainings. Repeats of a judge count by their mean.

use crate::Error;
use crate::average::Average;
use crate::contrast::{Contrast, contrast};
use crate::equating::{Equating, JudgedTwice, equate};
use crate::estimate::{Estimate, estimate};
use crate::mean_squares::Seeds;
use crate::scores::{Observation, Scores};

/// Two judges over the same answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Bridge {
    /// Answers that both judged, and that one of them did.
    pub answers: usize,
    pub left_out: usize,
    /// By arm.
    pub arms: Vec<ArmShift>,
    /// By first arm, then second.
    pub pairs: Vec<PairShift>,
    /// The old judge's marks in the new one's; or why there is no line.
    pub equating: Result<Equating, Error>,
}

/// An arm under both judges, over the answers of both.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmShift {
    pub old: Estimate,
    pub new: Estimate,
    /// New minus old.
    pub shift: Estimate,
}

/// Two arms under both judges.
#[derive(Clone, Debug, PartialEq)]
pub struct PairShift {
    pub first: usize,
    pub second: usize,
    pub old: Contrast,
    pub new: Contrast,
    /// The new difference minus the old.
    pub shift: Contrast,
    pub conclusion: Conclusion,
}

/// What the new judge's test says beside the old one's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conclusion {
    /// Both tell the arms apart, the same one higher; or neither does.
    Same,
    /// Only the old one tells them apart.
    Lost,
    /// Only the new one does.
    Gained,
    /// Both do, and another arm is higher.
    Reversed,
}

/// How a bridge is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BridgeSettings {
    pub average: Average,
    /// Level of the tests that make a conclusion; each pair by itself.
    pub alpha: f64,
    /// Variance of the new judge's errors over the old one's, for [`equate`]; 1 where nothing is known.
    pub error_ratio: f64,
}

/// Compares the judges. `seeds` says for each pair of arms how its trainings belong together.
///
/// # Errors
/// Other arms or categories in one than in the other; no answer that both judged, or none in a category or arm; what
/// [`estimate`] and [`contrast`] refuse.
pub fn bridge(
    old: &Scores,
    new: &Scores,
    settings: BridgeSettings,
    seeds: impl Fn(usize, usize) -> Seeds,
) -> Result<Bridge, Error> {
    if old.arms() != new.arms() {
        return Err(Error::DifferentStudies { what: "arms" });
    }
    if old.categories() != new.categories() {
        return Err(Error::DifferentStudies { what: "categories" });
    }
    let (shared, left_out) = shared(old, new)?;
    if shared.is_empty() {
        return Err(Error::NoSharedAnswer);
    }
    let with = |score: fn(&Shared) -> f64| {
        let observations = shared.iter().map(|answer| Observation { score: score(answer), ..answer.place }).collect();
        Scores::new(old.arms().to_vec(), old.categories().to_vec(), observations)
    };
    let (before, after, change) =
        (with(|answer| answer.old)?, with(|answer| answer.new)?, with(|answer| answer.new - answer.old)?);
    let of_arm = |arm: usize| {
        let estimate = |scores: &Scores| estimate(scores, arm, settings.average);
        Ok(ArmShift { old: estimate(&before)?, new: estimate(&after)?, shift: estimate(&change)? })
    };
    let count = old.arms().len();
    let mut pairs = Vec::new();
    for first in 0..count {
        for second in first + 1..count {
            let contrast = |scores: &Scores| contrast(scores, first, second, settings.average, seeds(first, second));
            let (old, new, shift) = (contrast(&before)?, contrast(&after)?, contrast(&change)?);
            let conclusion = conclusion(&old, &new, settings.alpha);
            pairs.push(PairShift { first, second, old, new, shift, conclusion });
        }
    }
    let twice = |answer: &Shared| JudgedTwice { item: answer.place.item, old: answer.old, new: answer.new };
    Ok(Bridge {
        answers: shared.len(),
        left_out,
        arms: (0..count).map(of_arm).collect::<Result<_, Error>>()?,
        pairs,
        equating: equate(&shared.iter().map(twice).collect::<Vec<_>>(), settings.error_ratio),
    })
}

fn conclusion(old: &Contrast, new: &Contrast, alpha: f64) -> Conclusion {
    let tells = |contrast: &Contrast| contrast.test.is_some_and(|test| test.p < alpha);
    match (tells(old), tells(new)) {
        (true, true) if (old.difference > 0.0) != (new.difference > 0.0) => Conclusion::Reversed,
        (true, true) | (false, false) => Conclusion::Same,
        (true, false) => Conclusion::Lost,
        (false, true) => Conclusion::Gained,
    }
}

/// An answer that both judged.
struct Shared {
    place: Observation,
    old: f64,
    new: f64,
}

/// Answers of both judges; and how many only one of them judged.
fn shared(old: &Scores, new: &Scores) -> Result<(Vec<Shared>, usize), Error> {
    let mut both = Vec::new();
    let mut judged = 0;
    for arm in 0..old.arms().len() {
        let (before, after) = (old.table(arm)?, new.table(arm)?);
        judged += before.answers() + after.answers();
        for (seed, row) in before.seeds.iter().zip(&before.rows) {
            let Ok(training) = after.seeds.binary_search(seed) else { continue };
            for (cell, item) in row.iter().zip(old.items()) {
                let Ok(place) = new.items().binary_search_by_key(&item.item, |item| item.item) else { continue };
                let other = after.rows[training][place];
                if cell.repeats == 0 || other.repeats == 0 {
                    continue;
                }
                if new.items()[place].category != item.category {
                    return Err(Error::DifferentStudies { what: "an item's categories" });
                }
                let (item, category) = (item.item, item.category);
                let place = Observation { arm, seed: *seed, item, category, repeat: 0, score: 0.0 };
                both.push(Shared { place, old: cell.mean, new: other.mean });
            }
        }
    }
    let left_out = judged - 2 * both.len();
    Ok((both, left_out))
}
