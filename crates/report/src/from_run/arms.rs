//! The arms of a run with what they scored, took, learned and forgot, and their differences.

use tunebench_analysis::arm_cost::ArmCost;
use tunebench_analysis::estimates::{ArmScore, JudgeScores, Mean, PairScore};
use tunebench_analysis::evidence::Note;
use tunebench_analysis::forgetting::{Change, changes};
use tunebench_analysis::run::Run;
use tunebench_spec::LossLog;
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_statistics as statistics;

use crate::data::{self, Arm, CategoryScore, Forgetting, Interval, Pair, Scope, Score, Text, Verdict};
use crate::error::Error;

/// All arms and base models of a run, and others that were judged or answered though no training is recorded of them.
///
/// # Errors
/// When the losses of an arm were measured on different text.
pub fn arms(
    run: &Run,
    scores: &JudgeScores,
    costs: &[ArmCost],
    losses: &[LossLog],
    answered: &[&str],
) -> Result<Vec<Arm>, Error> {
    let (held_out, general) = (changes(run, losses, HELD_OUT)?, changes(run, losses, GENERAL)?);
    let listed = run.arms.iter().map(|arm| arm.name.as_str());
    let unlisted = answered.iter().copied().filter(|name| run.arm(name).is_none());
    let of = |name: &str| {
        let score = scores.arms.iter().find(|score| score.arm == name);
        let cost = costs.iter().find(|cost| cost.arm == name);
        let change = |changes: &[Change]| changes.iter().find(|change| change.arm == name).cloned();
        let finite = |value: f64| Some(value).filter(|value| value.is_finite());
        let mut arm = Arm {
            name: name.to_owned(),
            seeds: score.map_or(0, |score| score.seeds as u32),
            items: score.map_or(0, |score| score.counts.items as u32),
            score: score.and_then(of_score),
            letters: score.map(|score| score.letters.clone()).unwrap_or_default(),
            cost_usd: cost.and_then(|cost| cost.judge_usd),
            held_out_nats_per_token: change(&held_out).and_then(|change| finite(change.after.nats_per_token)),
            held_out_bits_per_byte: change(&held_out).and_then(|change| finite(change.after.bits_per_byte)),
            forgetting: change(&general).and_then(|change| {
                Some(Forgetting {
                    before_bits_per_byte: finite(change.before.bits_per_byte)?,
                    after_bits_per_byte: finite(change.after.bits_per_byte)?,
                })
            }),
            ..Arm::default()
        };
        if let Some(found) = run.arm(name) {
            arm.base.clone_from(&found.record.base);
            arm.tuner.clone_from(&found.record.tuner);
            arm.dataset.clone_from(&found.record.dataset);
            arm.additional_params = Some(found.record.additional_params);
            arm.trainable_params = found.is_trained().then_some(found.record.trainable_params);
            arm.train_hours = found.mean(|training| training.train_seconds / 3600.0).and_then(finite);
            arm.peak_memory_bytes = found.peak_bytes();
        }
        arm
    };
    Ok(listed.chain(unlisted).map(of).collect())
}

fn of_score(score: &ArmScore) -> Option<Score> {
    let mean = score.macro_average.as_ref().ok()?;
    Some(Score { mean: mean.mean, interval: interval(mean), scope: scope(score.scope) })
}

fn interval(mean: &Mean) -> Option<Interval> {
    mean.interval.as_ref().ok().copied().map(ends)
}

fn ends(found: statistics::Interval) -> Interval {
    Interval { low: found.low, high: found.high }
}

fn scope(scope: statistics::Scope) -> Scope {
    match scope {
        statistics::Scope::ItemsAndTrainings => Scope::ItemsAndTrainings,
        statistics::Scope::ItemsOnly => Scope::ItemsOnly,
    }
}

/// The differences of the macro averages.
pub fn pairs(scores: &JudgeScores) -> Vec<Pair> {
    let of = |pair: &PairScore| {
        let (verdict, within_margin) = verdict(pair.verdict);
        Pair {
            first: pair.first.clone(),
            second: pair.second.clone(),
            difference: pair.difference,
            interval: pair.interval.map(ends),
            adjusted_p: pair.p_adjusted,
            verdict,
            within_margin,
        }
    };
    scores.pairs.iter().map(of).collect()
}

/// And whether a difference is surely below the margin.
fn verdict(verdict: statistics::Verdict) -> (Verdict, bool) {
    use statistics::{Side, Verdict as Found};
    match verdict {
        Found::Different { higher: Side::First, within_margin } => (Verdict::FirstBetter, within_margin),
        Found::Different { higher: Side::Second, within_margin } => (Verdict::SecondBetter, within_margin),
        Found::Equivalent => (Verdict::Equivalent, true),
        Found::CannotTell => (Verdict::NotToldApart, false),
    }
}

/// The mean of each arm in each category that has one.
pub fn categories(scores: &JudgeScores) -> Vec<CategoryScore> {
    let of_arm = |arm: &ArmScore| {
        let of = |(category, mean): &(String, Mean)| CategoryScore {
            category: category.clone(),
            arm: arm.arm.clone(),
            mean: mean.mean,
            interval: interval(mean),
            items: mean.items as u32,
        };
        arm.categories.iter().map(of).collect::<Vec<_>>()
    };
    // The categories stand in the order in which they first occur: the paper's, as in `analyze scores`.
    let mut all: Vec<CategoryScore> = scores.arms.iter().flat_map(of_arm).collect();
    let place = |name: &str| scores.categories.iter().position(|known| known == name);
    all.sort_by_key(|score| place(&score.category));
    all
}

/// What must be known of the costs: whose are not all that was trained for them.
pub fn cost_notes(run: &Run) -> Vec<Text> {
    let is_chained = |arm: &&tunebench_analysis::run::Arm| {
        arm.is_trained() && run.arm(&arm.record.base).is_some_and(|parent| parent.is_trained())
    };
    let chained: Vec<&str> = run.arms.iter().filter(is_chained).map(|arm| arm.name.as_str()).collect();
    let names = chained.join(", ");
    let text = || {
        Text::new(
            format!("Start from another arm, whose own training is not in their time, memory and money: {names}."),
            format!("以下各组从另一组出发，其用时、内存和费用不含前一组的训练：{names}。"),
        )
    };
    (!chained.is_empty()).then(text).into_iter().collect()
}

/// What must be known of the scores.
pub fn notes(scores: &JudgeScores, judges: &[&str], margin: f64, about: &[Note]) -> Vec<data::Text> {
    let mut notes = Vec::new();
    if judges.len() > 1 {
        let (judge, others) = (&scores.judge, judges.iter().filter(|judge| **judge != scores.judge).copied());
        let others = others.collect::<Vec<_>>().join(", ");
        notes.push(Text::new(
            format!("Scores, differences and the headline are by the judge {judge}; what {others} gave is under \"More numbers\" and beside each answer."),
            format!("得分、差异和结论均依据评判 {judge}；{others} 的评分见“更多数据”和各条回答旁。"),
        ));
    }
    notes.push(Text::new(
        format!("A difference of less than {margin} counts as none that matters."),
        format!("小于 {margin} 的差异视为无关紧要。"),
    ));
    if !scores.unjudged.is_empty() {
        let (names, n) = (scores.unjudged.join(", "), scores.categories.len());
        notes.push(Text::new(
            format!("This judge scored no answer in: {names}. The mean is over the other {n} categories."),
            format!("该评判在以下类别中没有给出任何得分：{names}。均值只计其余 {n} 个类别。"),
        ));
    }
    for arm in &scores.arms {
        match &arm.macro_average {
            Err(why) => notes.push(format!("{}: no mean over the categories: {why}.", arm.arm).into()),
            Ok(Mean { interval: Err(why), .. }) => notes.push(format!("{}: no interval: {why}.", arm.arm).into()),
            Ok(_) => {}
        }
    }
    notes.extend(about.iter().map(|note| Text::new(note.english.as_str(), note.chinese.as_str())));
    let is_said = |note: &&String| about.iter().any(|known| known.english == **note);
    notes.extend(scores.notes.iter().filter(|note| !is_said(note)).map(|note| note.as_str().into()));
    notes
}
