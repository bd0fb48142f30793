//! Scores as people would have given them: the judge's own error, seen in people's marks, taken out of the averages and put
//! into their intervals.

use std::collections::BTreeMap;

use tunebench_statistics::calibration::{
    Calibration, CorrectedContrast, CorrectedEstimate, ErrorModel, LEAST_LABELS, Label, Sampling, Tuning,
    corrected_contrast, corrected_estimate,
};
use tunebench_statistics::distributions::t_quantile;
use tunebench_statistics::spread::CONFIDENCE;
use tunebench_statistics::{Average, Error as Refusal, Interval};

use crate::error::Result;
use crate::evidence::{Judged, Kind, Note};
use crate::people::People;
use crate::run::Run;
use crate::sample::Sample;

/// An arm's average, corrected.
#[derive(Clone, Debug, PartialEq)]
pub struct Corrected {
    pub arm: String,
    /// None for the reason that it says.
    pub estimate: Result<CorrectedEstimate, Refusal>,
}

impl Corrected {
    /// The corrected mean with its interval; none of a mean without one, which too few labels leave.
    pub fn known(&self) -> Option<(f64, Interval)> {
        let estimate = self.estimate.as_ref().ok()?;
        let known = estimate.corrected.inference.as_ref().ok()?;
        Some((estimate.corrected.mean, known.interval))
    }

    /// Half the width of the interval that the judge's part alone would have.
    pub fn judge_half_width(&self) -> Option<f64> {
        let known = self.estimate.as_ref().ok()?.corrected.inference.as_ref().ok()?;
        let part = known.spread.judge?;
        Some(t_quantile((1.0 - CONFIDENCE) / 2.0, part.df) * part.variance.sqrt())
    }

    /// How many more marks of people halve the judge's part, which falls with the root of their number.
    pub fn to_halve(&self) -> Option<usize> {
        Some(3 * self.estimate.as_ref().ok()?.judge.labels)
    }
}

/// Two arms' difference, corrected.
#[derive(Clone, Debug, PartialEq)]
pub struct CorrectedPair {
    pub first: String,
    pub second: String,
    pub contrast: Result<CorrectedContrast, Refusal>,
}

impl CorrectedPair {
    pub fn known(&self) -> Option<(f64, Interval)> {
        let contrast = self.contrast.as_ref().ok()?;
        let known = contrast.corrected.inference.as_ref().ok()?;
        Some((contrast.corrected.difference, known.interval))
    }
}

/// What people's marks do to one judge's scores.
#[derive(Clone, Debug, PartialEq)]
pub struct Correction {
    pub judge: String,
    /// Answers with marks of people that the judge scored, of the arms compared.
    pub labels: usize,
    /// By arm.
    pub by_arm: BTreeMap<String, usize>,
    /// Whose marks correct an arm.
    pub error_model: ErrorModel,
    pub average: Average,
    /// In the order of the sample; empty where there are too few labels.
    pub arms: Vec<Corrected>,
    pub pairs: Vec<CorrectedPair>,
}

impl Correction {
    /// Whether anything is corrected.
    pub fn is_made(&self) -> bool {
        self.arms.iter().any(|arm| arm.known().is_some())
    }

    pub fn arm(&self, name: &str) -> Option<&Corrected> {
        self.arms.iter().find(|arm| arm.arm == name)
    }

    /// Two arms' difference, and whether they stand the other way round in it.
    pub fn pair(&self, first: &str, second: &str) -> Option<(&CorrectedPair, bool)> {
        let found = |a: &str, b: &str| self.pairs.iter().find(|pair| pair.first == a && pair.second == b);
        found(first, second).map(|pair| (pair, false)).or_else(|| found(second, first).map(|pair| (pair, true)))
    }

    /// The difference of two arms with the judge's own error in its interval; none where it is not corrected.
    pub fn difference(&self, first: &str, second: &str) -> Option<Note> {
        let (pair, is_turned) = self.pair(first, second)?;
        let (difference, interval) = pair.known()?;
        let (difference, low, high) = match is_turned {
            true => (-difference, -interval.high, -interval.low),
            false => (difference, interval.low, interval.high),
        };
        let n = self.labels;
        let (unsure, unsure_zh) = match low <= 0.0 && high >= 0.0 {
            true => (", so that there may be no difference", "，因此可能并无差别"),
            false => ("", ""),
        };
        Some(Note::new(
            format!(
                "Corrected by {n} marks of people, {first} minus {second} is {difference:+.3} (95 % interval {low:.3} to {high:.3}, with \
                 the judge's own error in it){unsure}."
            ),
            format!(
                "用 {n} 个人工评分校正后，{first} 减 {second} 为 {difference:+.3}（95 % 区间 {low:.3} 至 {high:.3}，含评判自身的误差）{unsure_zh}。"
            ),
        ))
    }

    /// What a reader must know of the judge's own error.
    pub fn note(&self) -> Note {
        let n = self.labels;
        if !self.is_made() {
            let why = self.arms.iter().find_map(|arm| why_none(&arm.estimate));
            let (en, zh) = match (n, why) {
                (0, _) => ("nobody marked these answers".to_owned(), "没有人工评分".to_owned()),
                (n, Some(why)) if n >= LEAST_LABELS => (
                    format!("{n} marks of people do not correct it: {why}"),
                    format!("{n} 个人工评分不足以校正：{why}"),
                ),
                (n, _) => (
                    format!("{n} marks of people are fewer than the {LEAST_LABELS} that correct a score"),
                    format!("人工评分只有 {n} 个，少于校正所需的 {LEAST_LABELS} 个"),
                ),
            };
            return Note::new(
                format!(
                    "The intervals leave the judge's own error out: {en}. `tunebench judge calibrate` takes marks, and `tunebench analyze \
                     calibration` says what they come to."
                ),
                format!(
                    "区间不含评判自身的误差：{zh}。可用 `tunebench judge calibrate` 录入人工评分，用 `tunebench analyze calibration` 查看结果。"
                ),
            );
        }
        let (whose, whose_zh) = match self.error_model {
            ErrorModel::OfEachArm => ("each arm by its own", "各组用自己的评分"),
            ErrorModel::SharedByArms => (
                "all arms by all of them, as if the judge erred alike in all",
                "各组共用全部评分，假定评判对各组的误差相同",
            ),
        };
        Note::new(
            format!(
                "Corrected by {n} marks of people ({whose}): the corrected intervals contain items, trainings and the judge's own \
                 error, the others leave that error out."
            ),
            format!(
                "已用 {n} 个人工评分校正（{whose_zh}）：校正后的区间包含题目、训练和评判自身的误差，其余区间不含评判误差。"
            ),
        )
    }
}

fn why_none(estimate: &Result<CorrectedEstimate, Refusal>) -> Option<String> {
    match estimate {
        Err(why) => Some(why.to_string()),
        Ok(found) => found.corrected.inference.as_ref().err().map(ToString::to_string),
    }
}

/// What people's marks do to the scores of `judged`; none of a judge that does not mark, as people did.
///
/// An arm is corrected by its own marks where every arm has [`LEAST_LABELS`] of them, and else by those of all arms.
///
/// # Errors
/// When the statistics refuse the scores.
pub fn correction(run: &Run, judged: &Judged, kind: &Kind, people: &People) -> Result<Option<Correction>> {
    if kind.is_win_rates() {
        return Ok(None);
    }
    let Some(sample) = Sample::of(run, judged)? else { return Ok(None) };
    let labels = labels(&sample, judged, people);
    let names = sample.scores.arms();
    let mut by_arm: BTreeMap<String, usize> = names.iter().map(|name| (name.clone(), 0)).collect();
    for label in &labels {
        if let Some(count) = names.get(label.arm).and_then(|name| by_arm.get_mut(name)) {
            *count += 1;
        }
    }
    let error_model = match by_arm.values().all(|count| *count >= LEAST_LABELS) {
        true => ErrorModel::OfEachArm,
        false => ErrorModel::SharedByArms,
    };
    let average = sample.macro_average().unwrap_or(Average::Micro);
    let mut found = Correction {
        judge: judged.judge.clone(),
        labels: labels.len(),
        by_arm,
        error_model,
        average,
        arms: Vec::new(),
        pairs: Vec::new(),
    };
    if labels.len() < LEAST_LABELS {
        return Ok(Some(found));
    }
    let calibration =
        Calibration { labels: &labels, sampling: Sampling::Equal, tuning: Tuning::Regression, error_model };
    for (place, name) in names.iter().enumerate() {
        let estimate = corrected_estimate(&sample.scores, place, average, &calibration);
        found.arms.push(Corrected { arm: name.clone(), estimate });
        for (other, second) in names.iter().enumerate().skip(place + 1) {
            let seeds = sample.seeds_of(place, other);
            let contrast = corrected_contrast(&sample.scores, place, other, average, seeds, &calibration);
            found.pairs.push(CorrectedPair { first: name.clone(), second: second.clone(), contrast });
        }
    }
    Ok(Some(found))
}

/// People's marks of the answers that the judge scored, as the statistics take them.
fn labels(sample: &Sample, judged: &Judged, people: &People) -> Vec<Label> {
    let scored: std::collections::BTreeSet<(&str, u64, &str)> = judged
        .verdicts
        .iter()
        .filter(|verdict| verdict.score.is_some())
        .map(|verdict| (&*verdict.arm, verdict.seed, &*verdict.item))
        .collect();
    let label = |((arm, seed, item), marked): (&crate::marks::AnswerKey, &crate::marks::Marked)| {
        let is_scored = scored.contains(&(&**arm, *seed, &**item));
        let arm = sample.index(arm).ok().filter(|_| is_scored)?;
        Some(Label { arm, seed: *seed, item: sample.item(item)?, human: marked.mean() })
    };
    people.marks.iter().filter_map(label).collect()
}
