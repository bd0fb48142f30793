//! Whether longer answers score higher, which says as much about the judge as about the arms, what of the arms' differences
//! is length, and which answers were cut.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_statistics::{Error as Refusal, Line, line};

use crate::error::Result;
use crate::evidence::{Answer, Evidence};
use crate::run::{Run, mean};
use crate::table::Table;

/// Bins of [`score_by_length`]: fifths of all answers.
const BINS: usize = 5;

/// An item as an arm answered it: means over its trainings.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    pub new_tokens: f64,
    pub score: f64,
}

/// An arm's answers.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmLengths {
    pub arm: String,
    pub answers: usize,
    /// Items that its model could not be asked, which are no answers.
    pub not_asked: usize,
    pub truncated: usize,
    pub mean_new_tokens: Option<f64>,
    /// The items that have a score.
    pub points: Vec<Point>,
    /// Score against new tokens; or why there is no slope.
    pub line: Result<Line, Refusal>,
}

/// What length explains of the scores of all arms.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// Change of score per new token within an arm, one slope for all.
    pub slope: f64,
    /// Part of the variance within arms that length explains.
    pub r_squared: f64,
    /// Of all arms together: where the adjusted means are taken.
    pub common_new_tokens: f64,
    /// Arm, mean score, and mean score adjusted to the common length.
    pub arms: Vec<(String, f64, f64)>,
}

/// For each judge how long the answers of each arm are, how the score goes with that, and the arms' means at one length; one
/// table without scores when nothing is judged yet.
///
/// # Errors
/// When `dir` is not a run folder, its arms are missing, a frame is damaged, or judgements or prompts cannot be compared.
pub fn lengths(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::so_far(&run)?;
    let mut judges = evidence.judge_names();
    if judges.is_empty() {
        judges.push("");
    }
    let mut tables = Vec::new();
    for judge in &judges {
        let arms = arm_lengths(&run, &evidence, judge)?;
        let title = |title| evidence.title(title, judge);
        tables.push(summary(&arms, title("Length of the answers and their score")));
        if arms.iter().any(|arm| !arm.points.is_empty()) {
            tables.push(score_by_length(&arms, title("Score by length of the answer, as in the paper's Figure 1")));
            tables.push(adjusted(&explained(&arms), title("What length explains of the scores")));
        }
    }
    Ok(tables)
}

/// In the study's order, for each arm that answered.
///
/// # Errors
/// As [`lengths`].
pub fn arm_lengths(run: &Run, evidence: &Evidence, judge: &str) -> Result<Vec<ArmLengths>> {
    let names = run.in_order(evidence.answered());
    let answers = evidence.answers(&names)?;
    let is_judged = evidence.judges.iter().any(|known| known == judge);
    let judged = is_judged.then(|| evidence.of(judge, &evidence.arm_names())).transpose()?;
    let mut scores: BTreeMap<(&str, u64, &str), Vec<f64>> = BTreeMap::new();
    for verdict in judged.iter().flat_map(|judged| &judged.verdicts) {
        let key = (&*verdict.arm, verdict.seed, &*verdict.item);
        scores.entry(key).or_default().extend(verdict.score);
    }

    let of = |name: &&str| {
        let all: Vec<&Answer> = answers.iter().copied().filter(|answer| &*answer.arm == *name).collect();
        let own: Vec<&Answer> = all.iter().copied().filter(|answer| answer.was_asked).collect();
        let mut items: BTreeMap<&str, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
        for answer in &own {
            let score = scores.get(&(*name, answer.seed, &*answer.item)).and_then(|scores| mean(scores));
            if let Some(score) = score {
                let (tokens, scores) = items.entry(&answer.item).or_default();
                tokens.push(answer.new_tokens as f64);
                scores.push(score);
            }
        }
        let point =
            |(tokens, scores): &(Vec<f64>, Vec<f64>)| Some(Point { new_tokens: mean(tokens)?, score: mean(scores)? });
        let points: Vec<Point> = items.values().filter_map(point).collect();
        let (tokens, scores): (Vec<f64>, Vec<f64>) = points.iter().map(|point| (point.new_tokens, point.score)).unzip();
        ArmLengths {
            arm: (*name).to_owned(),
            answers: own.len(),
            not_asked: all.len() - own.len(),
            truncated: own.iter().filter(|answer| answer.truncated).count(),
            mean_new_tokens: mean(&own.iter().map(|answer| answer.new_tokens as f64).collect::<Vec<_>>()),
            line: line(&tokens, &scores),
            points,
        }
    };
    Ok(names.iter().map(of).collect())
}

/// One slope within arms for all, and each arm's mean at the common length; none when no arm's answers differ in length.
pub fn explained(arms: &[ArmLengths]) -> Option<Explained> {
    let means = |arm: &ArmLengths| {
        let (tokens, scores): (Vec<f64>, Vec<f64>) = arm.points.iter().map(|p| (p.new_tokens, p.score)).unzip();
        Some((mean(&tokens)?, mean(&scores)?))
    };
    let with_means: Vec<(&ArmLengths, (f64, f64))> = arms.iter().filter_map(|arm| Some((arm, means(arm)?))).collect();
    let deviations = || {
        let of = |(arm, (x, y)): &(&ArmLengths, (f64, f64))| {
            let (x, y) = (*x, *y);
            arm.points.iter().map(move |point| (point.new_tokens - x, point.score - y)).collect::<Vec<_>>()
        };
        with_means.iter().flat_map(of)
    };
    let (xx, xy, yy) = deviations().fold((0.0, 0.0, 0.0), |(xx, xy, yy), (x, y)| (xx + x * x, xy + x * y, yy + y * y));
    let all: Vec<f64> = arms.iter().flat_map(|arm| &arm.points).map(|point| point.new_tokens).collect();
    let common_new_tokens = mean(&all)?;
    if xx <= 0.0 || yy <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    let adjusted =
        |(arm, (x, y)): &(&ArmLengths, (f64, f64))| (arm.arm.clone(), *y, y - slope * (x - common_new_tokens));
    Some(Explained {
        slope,
        r_squared: xy * xy / (xx * yy),
        common_new_tokens,
        arms: with_means.iter().map(adjusted).collect(),
    })
}

fn summary(arms: &[ArmLengths], title: String) -> Table {
    let columns = [
        ("arm", 0),
        ("answers", 0),
        ("truncated", 0),
        ("truncated_percent", 1),
        ("mean_new_tokens", 1),
        ("items", 0),
        ("slope_per_100_tokens", 4),
        ("ci_low", 4),
        ("ci_high", 4),
        ("r_squared", 3),
    ];
    let mut table = Table::new(title, &columns);
    for arm in arms {
        let line = arm.line.as_ref().ok();
        let interval = line.and_then(|line| line.uncertainty.as_ref().ok()).map(|known| known.interval);
        table.rows.push(vec![
            arm.arm.as_str().into(),
            arm.answers.into(),
            arm.truncated.into(),
            (arm.answers > 0).then(|| 100.0 * arm.truncated as f64 / arm.answers as f64).into(),
            arm.mean_new_tokens.into(),
            arm.points.len().into(),
            line.map(|line| 100.0 * line.slope).into(),
            interval.map(|interval| 100.0 * interval.low).into(),
            interval.map(|interval| 100.0 * interval.high).into(),
            line.and_then(|line| line.r_squared).into(),
        ]);
    }
    table.notes.push(
        "truncated: cut at the limit of new tokens. slope: change of score per 100 new tokens over the items that have a score, \
         trainings averaged first; ci: its 95 % interval over items."
            .into(),
    );
    let not_asked = arms.iter().filter(|arm| arm.not_asked > 0);
    table.notes.extend(not_asked.map(|arm| format!("{}: {} items could not be asked.", arm.arm, arm.not_asked)));
    let judged = arms.iter().filter(|arm| !arm.points.is_empty());
    let refusals = judged.filter_map(|arm| {
        let why = match &arm.line {
            Ok(line) => return line.uncertainty.as_ref().err().map(|why| format!("{}: {why}.", arm.arm)),
            Err(Refusal::ConstantX { x }) => {
                format!("every answer has {x} new tokens, and nothing can be said about a constant")
            }
            Err(why) => why.to_string(),
        };
        Some(format!("{}: no slope of score against length, {why}.", arm.arm))
    });
    table.notes.extend(refusals);
    table
}

/// Fifths of all answers by length: the mean score of each arm in each.
fn score_by_length(arms: &[ArmLengths], title: String) -> Table {
    let columns = [("arm", 0), ("new_tokens", 0), ("items", 0), ("mean_score", 3)];
    let mut table = Table::new(title, &columns);
    let mut lengths: Vec<f64> = arms.iter().flat_map(|arm| &arm.points).map(|point| point.new_tokens).collect();
    lengths.sort_by(f64::total_cmp);
    let mut bounds: Vec<f64> =
        (1..=BINS).filter_map(|bin| lengths.get((bin * lengths.len()).div_ceil(BINS).max(1) - 1).copied()).collect();
    bounds.dedup();
    for arm in arms {
        let mut above = f64::NEG_INFINITY;
        for bound in &bounds {
            let in_bin = arm.points.iter().filter(|point| point.new_tokens > above && point.new_tokens <= *bound);
            let scores: Vec<f64> = in_bin.map(|point| point.score).collect();
            let words =
                if above.is_finite() { format!("over {above:.0} to {bound:.0}") } else { format!("to {bound:.0}") };
            table.rows.push(vec![arm.arm.as_str().into(), words.into(), scores.len().into(), mean(&scores).into()]);
            above = *bound;
        }
    }
    table.notes.push(
        "The lengths are cut so that each range holds a fifth of all arms' items, as far as equal lengths allow."
            .into(),
    );
    table
}

fn adjusted(explained: &Option<Explained>, title: String) -> Table {
    let columns = [("arm", 0), ("micro_average", 3), ("at_common_length", 3), ("change", 3)];
    let mut table = Table::new(title, &columns);
    let Some(found) = explained else {
        table.notes.push("In no arm do both lengths and scores differ, so length can explain nothing.".into());
        return table;
    };
    for (arm, score, at_common) in &found.arms {
        table.rows.push(vec![arm.as_str().into(), (*score).into(), (*at_common).into(), (at_common - score).into()]);
    }
    table.notes.push(format!(
        "Within arms, length explains {:.1} % of the variance of the scores ({:+.4} per 100 new tokens, one slope for all arms).",
        100.0 * found.r_squared,
        100.0 * found.slope
    ));
    table.notes.push(format!(
        "at_common_length: the mean as it would be with answers of {:.1} new tokens, the mean of all arms, were that slope the \
         effect of length alone.",
        found.common_new_tokens
    ));
    table
}
