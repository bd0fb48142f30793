//! What each arm scored and how sure that is, and what every two arms' difference comes to: the numbers under the tables.

use tunebench_statistics::{
    Adjustment, Average, Contrast, Estimate, Interval, Scope, Side, Verdict, estimate, pairwise, verdict,
};

use crate::counts::{Counts, counts};
use crate::error::Result;
use crate::evidence::{Evidence, Judged};
use crate::run::Run;
use crate::sample::Sample;

/// Level of all tests.
pub const ALPHA: f64 = 0.05;
/// A difference that does not matter, where nobody says another: two hundredths of the score's range.
pub const MARGIN: f64 = 0.02;

/// A mean and how sure it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Mean {
    pub mean: f64,
    /// 95 %; or a sentence that says why there is none.
    pub interval: Result<Interval, String>,
    /// Items that all trainings of the arm have a score for.
    pub items: usize,
}

/// What one judge gave an arm.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmScore {
    pub arm: String,
    pub is_base: bool,
    /// Trainings with a score; 1 of a base model.
    pub seeds: usize,
    /// Over the categories in which the judge scored any arm of the run; or why there is none.
    pub macro_average: Result<Mean, String>,
    /// What the intervals are over.
    pub scope: Scope,
    /// Arms that share a letter cannot be told apart; empty where no groups could be formed.
    pub letters: String,
    /// Over all items.
    pub micro_average: Result<Mean, String>,
    /// Category and its mean, of those that have one.
    pub categories: Vec<(String, Mean)>,
    pub counts: Counts,
}

/// Two arms, the first minus the second.
#[derive(Clone, Debug, PartialEq)]
pub struct PairScore {
    pub first: String,
    pub second: String,
    pub difference: f64,
    pub interval: Option<Interval>,
    pub scope: Option<Scope>,
    /// By itself; and adjusted for the number of pairs by Tukey's method.
    pub p: Option<f64>,
    pub p_adjusted: Option<f64>,
    /// By the adjusted p, and the margin.
    pub verdict: Verdict,
}

/// Everything that one judge says of the arms of a run.
#[derive(Clone, Debug)]
pub struct JudgeScores {
    pub judge: String,
    /// In the study's order; those with a judgement.
    pub arms: Vec<ArmScore>,
    /// Of the macro averages, by first arm and then second; empty where no macro averages can be compared.
    pub pairs: Vec<PairScore>,
    /// Categories in which it scored some arm, and in which it scored none.
    pub categories: Vec<String>,
    pub unjudged: Vec<String>,
    /// What was left out, and why something is missing, a sentence each.
    pub notes: Vec<String>,
}

/// What one judge says of all arms.
///
/// # Errors
/// When judgements or prompts cannot be compared, or `margin` is none.
pub fn judge_scores(run: &Run, evidence: &Evidence, judge: &str, margin: f64) -> Result<JudgeScores> {
    let judged = evidence.of(judge, &evidence.arm_names())?;
    of_judged(run, &judged, margin)
}

/// The scores of each arm, which are not compared yet: without letters.
///
/// # Errors
/// When the statistics refuse the scores.
pub fn arm_scores(run: &Run, judged: &Judged) -> Result<Vec<ArmScore>> {
    let sample = Sample::of(run, judged)?;
    Ok(counts(judged).into_iter().map(|counts| arm_score(run, judged, sample.as_ref(), counts)).collect())
}

/// As [`judge_scores`], of the arms of `judged`.
///
/// # Errors
/// When `margin` is none.
pub fn of_judged(run: &Run, judged: &Judged, margin: f64) -> Result<JudgeScores> {
    let mut found = JudgeScores {
        judge: judged.judge.clone(),
        arms: arm_scores(run, judged)?,
        pairs: Vec::new(),
        categories: judged.categories.clone(),
        unjudged: judged.unjudged.clone(),
        notes: judged.notes.clone(),
    };
    let whole: Vec<String> =
        found.arms.iter().filter(|arm| arm.macro_average.is_ok()).map(|arm| arm.arm.clone()).collect();
    if whole.len() > 1 {
        let whole_only = Judged {
            arms: whole.clone(),
            verdicts: judged.verdicts.iter().filter(|v| whole.iter().any(|arm| *arm == *v.arm)).cloned().collect(),
            ..judged.clone()
        };
        if let Some(sample) = Sample::of(run, &whole_only)? {
            compare_all(&mut found, &sample, margin)?;
        }
    }
    Ok(found)
}

fn compare_all(found: &mut JudgeScores, sample: &Sample, margin: f64) -> Result<()> {
    let all = match pairwise(&sample.scores, Average::Macro, |a, b| sample.seeds_of(a, b)) {
        Ok(all) => all,
        Err(why) => {
            found.notes.push(format!("The arms are not compared: {why}."));
            return Ok(());
        }
    };
    let names = sample.scores.arms();
    let letters = all.letters(Adjustment::Tukey, ALPHA).letters;
    for (name, letters) in names.iter().zip(letters) {
        if let Some(arm) = found.arms.iter_mut().find(|arm| arm.arm == *name) {
            arm.letters = letters;
        }
    }
    for pair in &all.pairs {
        found.pairs.push(PairScore {
            first: names[pair.first].clone(),
            second: names[pair.second].clone(),
            difference: pair.contrast.difference,
            interval: interval(&pair.contrast),
            scope: pair.contrast.inference.as_ref().ok().map(|known| known.scope),
            p: pair.contrast.test.map(|test| test.p),
            p_adjusted: pair.p_tukey,
            verdict: verdict(&pair.contrast, pair.p_tukey, margin, ALPHA)?,
        });
    }
    Ok(())
}

/// The 95 % interval of a difference.
pub fn interval(contrast: &Contrast) -> Option<Interval> {
    contrast.inference.as_ref().ok().map(|known| known.interval)
}

/// A verdict in a few words, with the arms' names.
pub fn verdict_words(verdict: Verdict, first: &str, second: &str, margin: f64) -> String {
    match verdict {
        Verdict::Different { higher, within_margin } => {
            let name = if higher == Side::First { first } else { second };
            let small = if within_margin { format!(", by less than {margin}") } else { String::new() };
            format!("{name} is higher{small}")
        }
        Verdict::Equivalent => format!("equivalent within {margin}"),
        Verdict::CannotTell => "cannot tell".to_owned(),
    }
}

/// What an interval is over, in words.
pub fn scope_words(arm: &ArmScore) -> &'static str {
    match (arm.is_base, arm.scope) {
        (true, _) => "items (not trained)",
        (false, Scope::ItemsAndTrainings) => "items and trainings",
        (false, Scope::ItemsOnly) => "items only",
    }
}

fn arm_score(run: &Run, judged: &Judged, sample: Option<&Sample>, counts: Counts) -> ArmScore {
    let is_base = run.arm(&counts.arm).is_some_and(|arm| !arm.is_trained());
    let place = sample.and_then(|sample| Some((sample, sample.index(&counts.arm).ok()?)));
    let Some((sample, place)) = place else {
        let why = || Err("no answer has a score".to_owned());
        return ArmScore {
            arm: counts.arm.clone(),
            is_base,
            seeds: counts.seeds,
            macro_average: why(),
            scope: Scope::ItemsOnly,
            letters: String::new(),
            micro_average: why(),
            categories: Vec::new(),
            counts,
        };
    };
    let of = |average| estimate(&sample.scores, place, average).map(mean).map_err(|why| why.to_string());
    let category = |name: &String| {
        let index = sample.scores.categories().iter().position(|known| known == name)?;
        let found = of(Average::Category(index)).ok()?;
        Some((name.clone(), Mean { items: *counts.complete.get(name)?, ..found }))
    };
    let categories = judged.categories.iter().filter_map(category).collect();
    ArmScore {
        arm: counts.arm.clone(),
        is_base,
        seeds: sample.seeds[place],
        macro_average: sample.macro_average().and_then(of),
        scope: if sample.seeds[place] > 1 { Scope::ItemsAndTrainings } else { Scope::ItemsOnly },
        letters: String::new(),
        micro_average: of(Average::Micro),
        categories,
        counts,
    }
}

fn mean(found: Estimate) -> Mean {
    let interval = found.inference.map(|known| known.interval).map_err(|why| why.to_string());
    Mean { mean: found.mean, interval, items: found.items.used }
}
