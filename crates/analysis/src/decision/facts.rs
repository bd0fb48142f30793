//! What the sentences of any language are made of.

use tunebench_statistics::Interval;

use crate::arm_cost::ArmCost;
use crate::estimates::PairScore;

/// A decision in words.
#[derive(Clone, Debug, PartialEq)]
pub struct Sentences {
    /// What was found among the arms that share model and data.
    pub headline: String,
    /// How sure that is; empty where there is nothing to be sure of.
    pub certainty: String,
    /// Why, and what else there is to know, a sentence each.
    pub reasons: Vec<String>,
}

/// Beside the outcome: costs, the margin, and which arms were trained once.
pub struct Facts<'a> {
    pub costs: &'a [ArmCost],
    pub margin: f64,
    /// Arms of the group that were trained once.
    pub single: &'a [String],
}

/// How one time stands to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ratio {
    /// Within a tenth.
    Alike,
    /// So many times as long.
    Times(f64),
    /// Such a part.
    Part(f64),
}

impl Facts<'_> {
    /// Training time of one arm to that of another; none where one was not trained.
    pub fn ratio(&self, arm: &str, than: &str) -> Option<Ratio> {
        Some(match self.seconds(arm)? / self.seconds(than)? {
            ratio if (0.9..=1.1).contains(&ratio) => Ratio::Alike,
            ratio if ratio > 1.0 => Ratio::Times(ratio),
            ratio => Ratio::Part(ratio),
        })
    }

    /// The arm that takes least time, and the one that takes most.
    pub fn extremes<'n>(&self, arms: &'n [String]) -> Option<(&'n str, &'n str)> {
        let seconds = |arm: &&String| self.seconds(arm).unwrap_or(f64::INFINITY);
        let least = arms.iter().min_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
        let most = arms.iter().max_by(|a, b| seconds(a).total_cmp(&seconds(b)))?;
        (least != most).then_some((least.as_str(), most.as_str()))
    }

    fn seconds(&self, arm: &str) -> Option<f64> {
        self.costs.iter().find(|cost| cost.arm == arm)?.train_seconds.filter(|seconds| *seconds > 0.0)
    }
}

/// The arm that scores higher, and the other.
pub fn by_height(pair: &PairScore) -> (&str, &str) {
    if pair.difference < 0.0 { (&pair.second, &pair.first) } else { (&pair.first, &pair.second) }
}

/// The interval of the difference, as of the higher arm minus the other.
pub fn interval_by_height(pair: &PairScore) -> Option<Interval> {
    let interval = pair.interval?;
    Some(match pair.difference < 0.0 {
        true => Interval { low: -interval.high, high: -interval.low, ..interval },
        false => interval,
    })
}
