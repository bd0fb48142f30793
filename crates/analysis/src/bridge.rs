//! From one judge to another, over the answers that both judged: how scores move, and which conclusions do.

use std::collections::BTreeSet;
use std::path::Path;

use tunebench_statistics::{
    Average, Bridge, BridgeSettings, Conclusion, Error as Refusal, Interval, NoInterval, ProbePair, ProbeShift,
    bridge as between, probe_shifts,
};

use crate::error::{Error, Result};
use crate::estimates::ALPHA;
use crate::evidence::{Evidence, Judged, Verdict};
use crate::marks::{AnswerKey, MarkedTwice, common, item_numbers, marks};
use crate::run::{Run, ordered_categories};
use crate::sample::Sample;
use crate::table::{Cell, Table};

/// Two judges of one run.
#[derive(Clone, Debug)]
pub struct Judges {
    pub from: String,
    pub to: String,
    /// Names of the arms that both judged, by their index in the bridge.
    pub arms: Vec<String>,
    pub bridge: Bridge,
    /// Of what the scores of arms are: macro average or, where a category is missing, micro average.
    pub average: Average,
    /// Category, answers, and means by the two, with the shift over items.
    pub categories: Vec<(String, f64, f64, ProbeShift)>,
    /// Answers that only one of them scored.
    pub left_out: usize,
}

/// What the change from one judge to another does.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, a judge is not known, both give other kinds of scores, they have no
/// answer in common, or judgements do not measure the same.
pub fn bridge(dir: &Path, from: &str, to: &str) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let found = judges(&run, &evidence, from, to)?;
    Ok(vec![of_arms(&found), of_pairs(&found), of_categories(&found), of_words(&found)])
}

/// The numbers of [`bridge`].
///
/// # Errors
/// As [`bridge`].
pub fn judges(run: &Run, evidence: &Evidence, from: &str, to: &str) -> Result<Judges> {
    for judge in [from, to] {
        if !evidence.judges.iter().any(|known| known == judge) {
            return Err(Error::UnknownJudge { judge: judge.to_owned(), known: evidence.judges.join(", ") });
        }
    }
    if from == to {
        return Err(Error::OtherKinds(format!("`{}` is the same judge twice; name two", from.escape_debug())));
    }
    let (kind_from, kind_to) = (evidence.kind(from), evidence.kind(to));
    if kind_from.title() != kind_to.title() {
        let name = |judge: &str, title: Option<String>| {
            format!("`{}` gives {}", judge.escape_debug(), title.unwrap_or_else(|| "marks".to_owned()))
        };
        let words = [name(from, kind_from.title()), name(to, kind_to.title())].join(", and ");
        return Err(Error::OtherKinds(format!("{words}: such scores cannot be set beside each other")));
    }
    let (old, new) = (marks(evidence, from)?, marks(evidence, to)?);
    let twice = common(&old, &new);
    let left_out = old.len() + new.len() - 2 * twice.len();
    let keys: BTreeSet<&AnswerKey> = twice.iter().map(|answer| &answer.key).collect();
    let names = run.in_order(twice.iter().map(|answer| &*answer.key.0));
    if names.is_empty() {
        return Err(Error::NothingInCommon(format!("the judges {from}, {to}")));
    }
    let old = sample(run, evidence, from, &names, &keys)?;
    let new = sample(run, evidence, to, &names, &keys)?;
    let average = match (old.macro_average(), new.macro_average()) {
        (Ok(_), Ok(_)) => Average::Macro,
        _ => Average::Micro,
    };
    let settings = BridgeSettings { average, alpha: ALPHA, error_ratio: 1.0 };
    let found = between(&old.scores, &new.scores, settings, |a, b| old.seeds_of(a, b))?;
    Ok(Judges {
        from: from.to_owned(),
        to: to.to_owned(),
        arms: old.scores.arms().to_vec(),
        bridge: found,
        average,
        categories: by_category(&twice)?,
        left_out,
    })
}

/// The scores of one judge for the answers of both, put in one order.
fn sample(run: &Run, evidence: &Evidence, judge: &str, arms: &[&str], keys: &BTreeSet<&AnswerKey>) -> Result<Sample> {
    let mut judged: Judged = evidence.of(judge, arms)?;
    let key = |verdict: &Verdict| (verdict.arm.clone(), verdict.seed, verdict.item.clone());
    judged.verdicts.retain(|verdict| verdict.score.is_some() && keys.contains(&key(verdict)));
    judged.verdicts.sort_by_key(|verdict| (key(verdict), verdict.repeat));
    let seen: BTreeSet<String> = judged.verdicts.iter().map(|verdict| verdict.category.to_string()).collect();
    judged.categories = ordered_categories(seen.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    Sample::of(run, &judged)?.ok_or_else(|| Error::NothingInCommon(arms.join(", ")))
}

fn by_category(twice: &[MarkedTwice]) -> Result<Vec<(String, f64, f64, ProbeShift)>> {
    let numbers = item_numbers(twice.iter().map(|answer| &answer.key));
    let names = ordered_categories(twice.iter().map(|answer| &*answer.category));
    let pairs = |name: &str| -> Vec<ProbePair> {
        let own = twice.iter().filter(|answer| &*answer.category == name);
        own.filter_map(|answer| {
            let item = *numbers.get(&answer.key.2)?;
            Some(ProbePair { item, original: answer.first, changed: answer.second })
        })
        .collect()
    };
    let all: Vec<Vec<ProbePair>> = names.iter().map(|name| pairs(name)).collect();
    let shifts = probe_shifts(&all)?;
    let mean =
        |pairs: &[ProbePair], value: fn(&ProbePair) -> f64| pairs.iter().map(value).sum::<f64>() / pairs.len() as f64;
    let found = names.iter().zip(&all).zip(shifts).map(|((name, pairs), shift)| {
        ((*name).to_owned(), mean(pairs, |pair| pair.original), mean(pairs, |pair| pair.changed), shift)
    });
    Ok(found.collect())
}

/// What a conclusion does, in words.
fn words(conclusion: Conclusion) -> &'static str {
    match conclusion {
        Conclusion::Same => "the same",
        Conclusion::Lost => "no longer told apart",
        Conclusion::Gained => "now told apart",
        Conclusion::Reversed => "reversed",
    }
}

fn ends<T>(inference: &Result<T, NoInterval>, interval: impl Fn(&T) -> Interval) -> [Cell; 2] {
    let known = inference.as_ref().ok().map(interval);
    [known.map(|interval| interval.low).into(), known.map(|interval| interval.high).into()]
}

/// Arms by their place under a judge: 1 is the highest.
fn places(means: &[f64]) -> Vec<usize> {
    means.iter().map(|mean| 1 + means.iter().filter(|other| *other > mean).count()).collect()
}

impl Judges {
    fn ranks(&self) -> (Vec<usize>, Vec<usize>) {
        let of = |value: fn(&tunebench_statistics::ArmShift) -> f64| {
            places(&self.bridge.arms.iter().map(value).collect::<Vec<_>>())
        };
        (of(|arm| arm.old.mean), of(|arm| arm.new.mean))
    }

    fn title(&self, words: &str) -> String {
        format!("From {} to {}: {words}", self.from, self.to)
    }

    /// What to write when a judge is retired, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let (from, to) = (&self.from, &self.to);
        let n = self.bridge.pairs.len();
        let same = self.bridge.pairs.iter().filter(|pair| pair.conclusion == Conclusion::Same).count();
        let (old, new) = self.ranks();
        let order = if old == new { "the same".to_owned() } else { "another".to_owned() };
        let mut sentences = vec![format!(
            "{to} stands for {from}, which is no longer used: over {} answers that both judged, the order of the arms is {order}, \
             and {same} of {n} comparisons of two arms come to the same conclusion.",
            self.bridge.answers
        )];
        match &self.bridge.equating {
            Ok(line) => {
                let interval = |known: &Result<tunebench_statistics::Uncertainty, NoInterval>| {
                    known.as_ref().map_or_else(ToString::to_string, |known| {
                        format!("95 % interval {:.3} to {:.3}", known.interval.low, known.interval.high)
                    })
                };
                sentences.push(format!(
                    "A mark by {to} is {:.3} ({}) + {:.3} ({}) times that by {from}, on average: 0.5 becomes {:.3}.",
                    line.intercept,
                    interval(&line.intercept_uncertainty),
                    line.slope,
                    interval(&line.slope_uncertainty),
                    line.new_mark(0.5)
                ));
            }
            Err(why) => sentences.push(format!("There is no line from one judge's marks to the other's: {why}.")),
        }
        sentences.push(format!(
            "Scores by {from} and by {to} are on different scales and do not belong in one table; compare arms that one judge \
             judged."
        ));
        if self.left_out > 0 {
            sentences.push(format!("{} answers that only one of them scored are left out.", self.left_out));
        }
        sentences
    }
}

fn of_arms(found: &Judges) -> Table {
    let columns = [
        ("arm", 0),
        ("from", 3),
        ("to", 3),
        ("shift", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("place_from", 0),
        ("place_to", 0),
    ];
    let mut table = Table::new(found.title("how scores move"), &columns);
    let (old, new) = found.ranks();
    for (i, arm) in found.bridge.arms.iter().enumerate() {
        let [low, high] = ends(&arm.shift.inference, |known| known.interval);
        table.rows.push(vec![
            found.arms.get(i).map_or("", String::as_str).into(),
            arm.old.mean.into(),
            arm.new.mean.into(),
            arm.shift.mean.into(),
            low,
            high,
            old.get(i).copied().into(),
            new.get(i).copied().into(),
        ]);
    }
    let average = if found.average == Average::Macro { "macro" } else { "micro" };
    table.notes.push(format!(
        "Of {average} averages over the {} answers that both judged. shift: the second judge's minus the first's, with its 95 % \
         interval; place: 1 is the highest.",
        found.bridge.answers
    ));
    table
}

fn of_pairs(found: &Judges) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("from", 3),
        ("p_from", 4),
        ("to", 3),
        ("p_to", 4),
        ("shift", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("conclusion", 0),
    ];
    let mut table = Table::new(found.title("which conclusions change"), &columns);
    let name = |place: usize| found.arms.get(place).map_or("", String::as_str);
    for pair in &found.bridge.pairs {
        let [low, high] = ends(&pair.shift.inference, |known| known.interval);
        table.rows.push(vec![
            name(pair.first).into(),
            name(pair.second).into(),
            pair.old.difference.into(),
            pair.old.test.map(|test| test.p).into(),
            pair.new.difference.into(),
            pair.new.test.map(|test| test.p).into(),
            pair.shift.difference.into(),
            low,
            high,
            words(pair.conclusion).into(),
        ]);
    }
    table.notes.push(
        "Differences of first and second arm under each judge, each pair tested by itself at 5 %; shift: how far the difference \
         moved."
            .into(),
    );
    table
}

fn of_categories(found: &Judges) -> Table {
    let columns =
        [("category", 0), ("answers", 0), ("from", 3), ("to", 3), ("shift", 3), ("ci_low", 3), ("ci_high", 3)];
    let mut table = Table::new(found.title("by category"), &columns);
    for (category, old, new, shift) in &found.categories {
        let [low, high] = ends(&shift.shift.uncertainty, |known| known.interval);
        table.rows.push(vec![
            category.as_str().into(),
            shift.shift.values.into(),
            (*old).into(),
            (*new).into(),
            shift.shift.mean.into(),
            low,
            high,
        ]);
    }
    table.notes.push("Means over answers of all arms; ci: 95 % interval of the shift over items.".into());
    table
}

fn of_words(found: &Judges) -> Table {
    let mut table = Table::new(found.title("what to write"), &[("sentence", 0)]).with_prose(&["sentence"]);
    table.rows = found.sentences().into_iter().map(|sentence| vec![sentence.into()]).collect();
    let refused: Option<&Refusal> = found.bridge.equating.as_ref().err();
    table.notes.extend(refused.map(|why| format!("No line: {why}.")));
    table
}
