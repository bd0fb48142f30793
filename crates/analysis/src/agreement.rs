//! How far judges agree with each other, with themselves, and with people.

use std::path::Path;

use tunebench_statistics::agreement::{
    Alpha, Bins, BlandAltman, Correlation, CorrelationKind, Kappa, KappaWeights, MeasurementLevel, RawAgreement,
    bland_altman, cohens_kappa, correlation, krippendorff_alpha, raw_agreement,
};
use tunebench_statistics::{Bootstrap, Error as Refusal, Interval};

use crate::error::Result;
use crate::evidence::{Evidence, Kind};
use crate::marks::{MarkedTwice, Marks, common, marks, values};
use crate::people::{PEOPLE, people};
use crate::run::{Run, ordered_categories};
use crate::table::{Cell, Table};

/// Marks within this count as the same: a tenth of the scale.
pub const TOLERANCE: f64 = 0.1;
/// Equal parts of the scale that kappa puts marks into.
const BINS: usize = 5;
/// Answers times draws of a bootstrap, at most about this; never fewer draws than [`LEAST_DRAWS`].
const MOST_DRAWN: usize = 4_000_000;
const LEAST_DRAWS: usize = 200;

/// Two raters over the answers that both gave marks, repeats averaged first.
#[derive(Clone, Debug)]
pub struct Agreement {
    pub first: String,
    pub second: String,
    pub answers: usize,
    /// Each is none for the reason that it says.
    pub alpha: Result<Alpha, Refusal>,
    pub kappa: Result<Kappa, Refusal>,
    pub correlation: Result<Correlation, Refusal>,
    /// First minus second.
    pub difference: Result<BlandAltman, Refusal>,
    pub within: Result<RawAgreement, Refusal>,
}

/// One judge over the answers that it gave several marks.
#[derive(Clone, Debug)]
pub struct SelfAgreement {
    pub judge: String,
    pub answers: usize,
    pub marks: usize,
    pub alpha: Result<Alpha, Refusal>,
    /// Standard deviation of one mark around its answer's mean.
    pub deviation: f64,
    /// Answers whose marks are all the same.
    pub constant: usize,
}

/// Between every two judges, and between judges and people, over all and by category; and of each judge with itself.
///
/// # Errors
/// When `dir` is not a run folder, a frame or the file of marks is damaged, nothing is judged, or a judge's judgements do not
/// measure the same.
pub fn agreement(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    let people = people(&evidence);
    let raters = raters(&evidence)?;
    let (found, by_category) = agreements(&evidence, &raters);
    let mut table = between(&found);
    table.notes.extend(together(&evidence, &raters));
    table.notes.extend(people.notes().into_iter().map(|note| note.english));
    let with_itself: Vec<SelfAgreement> =
        raters.iter().filter_map(|rater| with_itself(&rater.name, &rater.marks)).collect();
    Ok(vec![table, by_categories(&by_category), of_repeats(&with_itself)])
}

/// A judge, or people, with the marks given.
pub struct Rater {
    pub name: String,
    pub marks: Marks,
}

/// People where there are any, then the judges but the panel, which agrees with its own members.
///
/// # Errors
/// When a judge's judgements do not measure the same.
pub fn raters(evidence: &Evidence) -> Result<Vec<Rater>> {
    let mut raters = Vec::new();
    let people = people(evidence);
    if !people.marks.is_empty() {
        raters.push(Rater { name: PEOPLE.to_owned(), marks: people.marks });
    }
    for judge in evidence.judge_names() {
        if !matches!(evidence.kind(judge), Kind::Panel { .. }) {
            raters.push(Rater { name: judge.to_owned(), marks: marks(evidence, judge)? });
        }
    }
    Ok(raters)
}

/// Of every two that give the same kind of score and have answers in common; then the same by category.
pub fn agreements(evidence: &Evidence, raters: &[Rater]) -> (Vec<Agreement>, Vec<(String, Agreement)>) {
    let (mut all, mut by_category) = (Vec::new(), Vec::new());
    for (i, first) in raters.iter().enumerate() {
        for second in raters.iter().skip(i + 1).filter(|second| are_alike(evidence, &first.name, &second.name)) {
            let twice = common(&first.marks, &second.marks);
            if twice.is_empty() {
                continue;
            }
            all.push(of_pairs(&first.name, &second.name, &twice));
            for category in ordered_categories(twice.iter().map(|answer| &*answer.category)) {
                let own: Vec<MarkedTwice> =
                    twice.iter().filter(|answer| &*answer.category == category).cloned().collect();
                by_category.push((category.to_owned(), of_pairs(&first.name, &second.name, &own)));
            }
        }
    }
    (all, by_category)
}

/// Whether their scores are of one kind: both marks, or win rates against the same.
fn are_alike(evidence: &Evidence, first: &str, second: &str) -> bool {
    match (evidence.kind(first), evidence.kind(second)) {
        (Kind::Marks, Kind::Marks) => true,
        (Kind::WinRates { rivals: one, .. }, Kind::WinRates { rivals: other, .. }) => one == other,
        _ => false,
    }
}

fn of_pairs(first: &str, second: &str, twice: &[MarkedTwice]) -> Agreement {
    let pairs = values(twice);
    let items: Vec<Vec<Option<f64>>> = pairs.iter().map(|(one, other)| vec![Some(*one), Some(*other)]).collect();
    let kappa = || cohens_kappa(&pairs, &Bins::equal(BINS, 0.0, 1.0)?, KappaWeights::Quadratic);
    Agreement {
        first: first.to_owned(),
        second: second.to_owned(),
        answers: pairs.len(),
        alpha: krippendorff_alpha(&items, MeasurementLevel::Interval, draws(items.len())),
        kappa: kappa(),
        correlation: correlation(&pairs, CorrelationKind::Spearman),
        difference: bland_altman(&pairs),
        within: raw_agreement(&pairs, TOLERANCE),
    }
}

/// A judge's repeats; none where no answer has two marks.
pub fn with_itself(judge: &str, marks: &Marks) -> Option<SelfAgreement> {
    let repeated: Vec<&Vec<f64>> = marks.values().map(|marked| &marked.marks).filter(|marks| marks.len() > 1).collect();
    let items: Vec<Vec<Option<f64>>> =
        repeated.iter().map(|marks| marks.iter().map(|mark| Some(*mark)).collect()).collect();
    let squares: f64 = repeated
        .iter()
        .map(|marks| {
            let mean = marks.iter().sum::<f64>() / marks.len() as f64;
            marks.iter().map(|mark| (mark - mean).powi(2)).sum::<f64>()
        })
        .sum();
    let n_marks: usize = repeated.iter().map(|marks| marks.len()).sum();
    let df = n_marks - repeated.len();
    (!repeated.is_empty()).then(|| SelfAgreement {
        judge: judge.to_owned(),
        answers: repeated.len(),
        marks: n_marks,
        alpha: krippendorff_alpha(&items, MeasurementLevel::Interval, draws(items.len())),
        deviation: (squares / df as f64).sqrt(),
        constant: repeated.iter().filter(|marks| marks.windows(2).all(|two| two[0] == two[1])).count(),
    })
}

/// As many draws as a few seconds allow.
fn draws(answers: usize) -> Bootstrap {
    let usual = Bootstrap::default();
    Bootstrap { draws: (MOST_DRAWN / answers.max(1)).clamp(LEAST_DRAWS, usual.draws), ..usual }
}

/// Alpha of all that mark, over every answer that two of them did.
fn together(evidence: &Evidence, raters: &[Rater]) -> Option<String> {
    let marking: Vec<&Rater> = raters.iter().filter(|rater| evidence.kind(&rater.name).is_marks()).collect();
    if marking.len() < 3 {
        return None;
    }
    let keys: std::collections::BTreeSet<_> = marking.iter().flat_map(|rater| rater.marks.keys()).collect();
    let of = |key| marking.iter().map(|rater| rater.marks.get(key).map(crate::marks::Marked::mean)).collect();
    let items: Vec<Vec<Option<f64>>> = keys.into_iter().map(of).collect();
    let alpha = krippendorff_alpha(&items, MeasurementLevel::Interval, draws(items.len())).ok()?;
    let interval = alpha
        .interval
        .as_ref()
        .map_or_else(ToString::to_string, |i| format!("95 % interval {:.3} to {:.3}", i.low, i.high));
    let names: Vec<&str> = marking.iter().map(|rater| rater.name.as_str()).collect();
    Some(format!(
        "All together ({}): alpha {:.3} over {} answers that at least two of them gave a mark ({interval}).",
        names.join(", "),
        alpha.alpha,
        alpha.items
    ))
}

fn low(interval: Option<Interval>) -> Cell {
    interval.map(|interval| interval.low).into()
}

fn high(interval: Option<Interval>) -> Cell {
    interval.map(|interval| interval.high).into()
}

fn between(found: &[Agreement]) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("answers", 0),
        ("alpha", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("kappa", 3),
        ("correlation", 3),
        ("difference", 3),
        ("difference_low", 3),
        ("difference_high", 3),
        ("limits_low", 3),
        ("limits_high", 3),
        ("within_percent", 1),
    ];
    let mut table = Table::new("How far judges agree", &columns);
    for pair in found {
        let alpha = pair.alpha.as_ref().ok();
        let interval = alpha.and_then(|alpha| alpha.interval.as_ref().ok().copied());
        let difference = pair.difference.as_ref().ok();
        let known = difference.and_then(|found| found.bias.uncertainty.as_ref().ok()).map(|known| known.interval);
        let limits = difference.and_then(|found| found.limits.as_ref().ok());
        table.rows.push(vec![
            pair.first.as_str().into(),
            pair.second.as_str().into(),
            pair.answers.into(),
            alpha.map(|alpha| alpha.alpha).into(),
            low(interval),
            high(interval),
            pair.kappa.as_ref().ok().map(|kappa| kappa.kappa).into(),
            pair.correlation.as_ref().ok().map(|found| found.r).into(),
            difference.map(|found| found.bias.mean).into(),
            low(known),
            high(known),
            limits.map(|limits| limits.low).into(),
            limits.map(|limits| limits.high).into(),
            pair.within.as_ref().ok().map(|within| 100.0 * within.share).into(),
        ]);
        let refusals = [pair.alpha.as_ref().err(), pair.kappa.as_ref().err(), pair.correlation.as_ref().err()];
        let mut why: Vec<String> = refusals.into_iter().flatten().map(ToString::to_string).collect();
        why.dedup();
        table.notes.extend(why.iter().map(|why| format!("{} and {}: {why}.", pair.first, pair.second)));
    }
    if found.is_empty() {
        table.notes.push(
            "No two judges gave the same answers scores of one kind, and nobody marked any: nothing says how far this judge can \
             be trusted. Add a judge as [[eval.panel]], or mark answers."
                .into(),
        );
        return table;
    }
    table.notes.push(format!(
        "alpha: Krippendorff's, 1 for agreement and 0 for chance; ci: its 95 % interval over answers. kappa: Cohen's, of marks in \
         {BINS} equal parts of the scale, weighted by squares. correlation: Spearman's. difference: first minus second, with its \
         95 % interval; limits: between which 95 % of the differences of single answers lie. within_percent: marks that are \
         {TOLERANCE} apart or less."
    ));
    table.notes.push("Repeats of a judge are averaged first.".into());
    table
}

fn by_categories(found: &[(String, Agreement)]) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("category", 0),
        ("answers", 0),
        ("alpha", 3),
        ("correlation", 3),
        ("difference", 3),
        ("difference_low", 3),
        ("difference_high", 3),
    ];
    let mut table = Table::new("How far judges agree, by category", &columns);
    for (category, pair) in found {
        let difference = pair.difference.as_ref().ok();
        let known = difference.and_then(|found| found.bias.uncertainty.as_ref().ok()).map(|known| known.interval);
        table.rows.push(vec![
            pair.first.as_str().into(),
            pair.second.as_str().into(),
            category.as_str().into(),
            pair.answers.into(),
            pair.alpha.as_ref().ok().map(|alpha| alpha.alpha).into(),
            pair.correlation.as_ref().ok().map(|found| found.r).into(),
            difference.map(|found| found.bias.mean).into(),
            low(known),
            high(known),
        ]);
    }
    table
}

fn of_repeats(found: &[SelfAgreement]) -> Table {
    let columns = [
        ("judge", 0),
        ("answers", 0),
        ("marks", 0),
        ("alpha", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("standard_deviation", 4),
        ("same_percent", 1),
    ];
    let mut table = Table::new("How far a judge agrees with itself", &columns);
    for judge in found {
        let alpha = judge.alpha.as_ref().ok();
        let interval = alpha.and_then(|alpha| alpha.interval.as_ref().ok().copied());
        table.rows.push(vec![
            judge.judge.as_str().into(),
            judge.answers.into(),
            judge.marks.into(),
            alpha.map(|alpha| alpha.alpha).into(),
            low(interval),
            high(interval),
            judge.deviation.into(),
            (100.0 * judge.constant as f64 / judge.answers as f64).into(),
        ]);
    }
    table.notes.push(match found.is_empty() {
        true => "No answer was judged twice by one judge; `repeats = 2`, with `repeat_share`, tells how far it repeats itself.".into(),
        false => "answers: those with several marks of the judge. standard_deviation: of one mark around its answer's mean. \
                  same_percent: answers whose marks are all the same."
            .into(),
    });
    table
}
