//! Arms compared two by two by judges that compare answers: win rates, what of them is length, and all arms on one scale.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_statistics::preference::{
    BradleyTerry, LengthControlled, LengthPair, WinRate, bradley_terry, length_controlled_win_rate, position_effect,
    win_rate,
};
use tunebench_statistics::{Bootstrap, Error as Refusal, holm, letters};

use crate::comparisons::{Comparisons, comparisons};
use crate::error::{Error, Result};
use crate::estimates::ALPHA;
use crate::evidence::{Evidence, Kind};
use crate::run::{Run, mean};
use crate::table::{Cell, Table};

/// Precision of the prior of lengths' coefficients, and of strengths where an arm won or lost everything: a deviation of 3.2
/// in log-odds.
const RIDGE: f64 = 0.1;

/// Two arms by one judge.
#[derive(Clone, Debug)]
pub struct PairRate {
    pub first: String,
    pub second: String,
    pub rate: WinRate,
    /// Share of pairs of answers whose winner changed with the order; none where none was judged in both.
    pub flipped: Option<f64>,
    /// Comparisons that are ties.
    pub ties: f64,
    /// The win rate at equal length; or why there is none.
    pub controlled: Result<LengthControlled, Refusal>,
}

/// All pairs by one judge.
#[derive(Clone, Debug)]
pub struct Pairs {
    pub judge: String,
    pub arms: Vec<String>,
    pub pairs: Vec<PairRate>,
    /// Strengths of all arms; or why there are none.
    pub strengths: Result<BradleyTerry, Refusal>,
    /// By arm: those that share a letter cannot be told apart.
    pub letters: Vec<String>,
    pub without_score: usize,
}

/// For each judge that compares answers: its win rates, the same as a matrix, and strengths.
///
/// # Errors
/// When `dir` is not a run folder, a frame is damaged, no judge compares answers, or judgements do not measure the same.
pub fn pairs(dir: &Path) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let evidence = Evidence::read(&run)?;
    if evidence.comparing().is_empty() {
        return Err(Error::NothingCompared);
    }
    pair_tables(&evidence)
}

/// The tables of [`pairs`]; none where no judge compares answers.
///
/// # Errors
/// When judgements do not measure the same.
pub fn pair_tables(evidence: &Evidence) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for judge in evidence.comparing() {
        let found = of_judge(evidence, judge)?;
        let title = |title: &str| evidence.title(title, judge);
        let mut rates = rates(&found, title("Who wins"));
        rates.notes.extend(evidence.about(judge).into_iter().map(|note| note.english));
        tables.push(rates);
        tables.push(matrix(&found, title("Win rates, row against column")));
        tables.push(strengths(evidence, &found, title("Strengths of the arms")));
    }
    Ok(tables)
}

/// What one judge says of every two arms that it compared.
///
/// # Errors
/// When its judgements do not measure the same.
pub fn of_judge(evidence: &Evidence, judge: &str) -> Result<Pairs> {
    let found = comparisons(evidence, judge)?;
    let lengths = lengths(evidence, &found);
    let mut pairs = Vec::new();
    for first in 0..found.arms.len() {
        for second in first + 1..found.arms.len() {
            // Against a baseline, the baseline stands second, as in the scores.
            let is_baseline = evidence.kind(judge).baseline() == found.arms.get(first).map(String::as_str);
            let (first, second) = if is_baseline { (second, first) } else { (first, second) };
            if let Ok(rate) = win_rate(&found.rows, first, second) {
                pairs.push(pair(&found, &lengths, (first, second), rate));
            }
        }
    }
    let strengths = strengths_of(&found);
    let letters = strengths.as_ref().map_or_else(|_| Vec::new(), |fitted| letters_of(fitted, found.arms.len()));
    let (arms, without_score) = (found.arms, found.without_score);
    Ok(Pairs { judge: judge.to_owned(), arms, pairs, strengths, letters, without_score })
}

/// By arm and item, the mean length of the trainings' answers.
fn lengths(evidence: &Evidence, found: &Comparisons) -> BTreeMap<(usize, usize), f64> {
    let arms: BTreeMap<&str, usize> = found.arms.iter().enumerate().map(|(i, name)| (name.as_str(), i)).collect();
    let items: BTreeMap<&str, usize> = found.items.iter().enumerate().map(|(i, item)| (item.as_str(), i)).collect();
    let mut tokens: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for answer in evidence.all_answers().iter().filter(|answer| answer.was_asked) {
        if let (Some(arm), Some(item)) = (arms.get(&*answer.arm), items.get(&*answer.item)) {
            tokens.entry((*arm, *item)).or_default().push(answer.new_tokens as f64);
        }
    }
    tokens.into_iter().filter_map(|(key, tokens)| Some((key, mean(&tokens)?))).collect()
}

fn pair(
    found: &Comparisons,
    lengths: &BTreeMap<(usize, usize), f64>,
    (first, second): (usize, usize),
    rate: WinRate,
) -> PairRate {
    let own: Vec<_> = found
        .rows
        .iter()
        .filter(|row| [(first, second), (second, first)].contains(&(row.shown_first, row.shown_second)))
        .copied()
        .collect();
    let controlled = || {
        let length = |arm: usize, item: usize| lengths.get(&(arm, item)).copied();
        let (pairs, _) = LengthPair::from_comparisons(&own, first, second, length)?;
        length_controlled_win_rate(&pairs, RIDGE, Bootstrap::default())
    };
    let ties = own.iter().filter(|row| row.preference == 0.5).count();
    PairRate {
        first: found.arms.get(first).cloned().unwrap_or_default(),
        second: found.arms.get(second).cloned().unwrap_or_default(),
        flipped: position_effect(&own).ok().map(|effect| effect.flipped as f64 / effect.pairs as f64),
        ties: ties as f64 / own.len() as f64,
        controlled: controlled(),
        rate,
    }
}

/// Without a prior, or, where an arm won or lost everything, with a weak one.
fn strengths_of(found: &Comparisons) -> Result<BradleyTerry, Refusal> {
    bradley_terry(found.arms.len(), &found.rows, 0.0).or_else(|_| bradley_terry(found.arms.len(), &found.rows, RIDGE))
}

/// Arms are told apart where the test of their difference, adjusted by Holm's method for all pairs, says so.
fn letters_of(fitted: &BradleyTerry, arms: usize) -> Vec<String> {
    let mut tested: Vec<((usize, usize), f64)> = Vec::new();
    for first in 0..arms {
        for second in first + 1..arms {
            let Some(difference) = fitted.difference(first, second) else { continue };
            if let Ok(known) = &difference.uncertainty {
                tested.push(((first, second), known.p(difference.strength)));
            }
        }
    }
    let adjusted = holm(&tested.iter().map(|(_, p)| *p).collect::<Vec<_>>());
    let told: Vec<(usize, usize)> =
        tested.iter().zip(&adjusted).filter(|(_, p)| **p < ALPHA).map(|((pair, _), _)| *pair).collect();
    letters(&fitted.order, |a, b| told.contains(&(a.min(b), a.max(b)))).letters
}

fn rates(found: &Pairs, title: String) -> Table {
    let columns = [
        ("first", 0),
        ("second", 0),
        ("items", 0),
        ("wins", 0),
        ("ties", 0),
        ("losses", 0),
        ("win_rate", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("at_equal_length", 3),
        ("equal_low", 3),
        ("equal_high", 3),
        ("longer_by_tokens", 1),
        ("tied_percent", 1),
        ("flipped_percent", 1),
    ];
    let mut table = Table::new(title, &columns);
    for pair in &found.pairs {
        let interval = pair.rate.rate.uncertainty.as_ref().ok().map(|known| known.interval);
        let controlled = pair.controlled.as_ref().ok();
        let equal = controlled.and_then(|found| found.interval.as_ref().ok());
        table.rows.push(vec![
            pair.first.as_str().into(),
            pair.second.as_str().into(),
            pair.rate.rate.clusters.into(),
            pair.rate.wins.into(),
            pair.rate.ties.into(),
            pair.rate.losses.into(),
            pair.rate.rate.mean.into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            controlled.map(|found| found.win_rate).into(),
            equal.map(|interval| interval.low).into(),
            equal.map(|interval| interval.high).into(),
            controlled.map(|found| found.mean_length_difference).into(),
            (100.0 * pair.ties).into(),
            pair.flipped.map(|flipped| 100.0 * flipped).into(),
        ]);
        let name = format!("{} against {}", pair.first, pair.second);
        if pair.rate.one_order > 0 {
            let n = pair.rate.one_order;
            table
                .notes
                .push(format!("{name}: {n} items were judged in one order only, and what the order does is in them."));
        }
        table
            .notes
            .extend(pair.controlled.as_ref().err().map(|why| format!("{name}: no win rate at equal length: {why}.")));
    }
    if found.without_score > 0 {
        table.notes.push(format!("{} comparisons have no verdict, and are left out.", found.without_score));
    }
    table.notes.push(
        "win_rate: of the first over items, ties half, both orders averaged first; ci: its 95 % interval over items. \
         at_equal_length: as it would be if both answers were as long (AlpacaEval 2's regression). flipped_percent: pairs of \
         answers whose winner changed with the order."
            .into(),
    );
    table
}

/// Rows and columns are arms; what one wins, the other loses.
fn matrix(found: &Pairs, title: String) -> Table {
    let columns: Vec<(&str, usize)> =
        std::iter::once(("arm", 0)).chain(found.arms.iter().map(|arm| (arm.as_str(), 3))).collect();
    let mut table = Table::new(title, &columns);
    let rate = |row: &String, column: &String| {
        found.pairs.iter().find_map(|pair| match (&pair.first == row, &pair.second == column) {
            (true, true) => Some(pair.rate.rate.mean),
            _ if &pair.first == column && &pair.second == row => Some(1.0 - pair.rate.rate.mean),
            _ => None,
        })
    };
    for row in &found.arms {
        let cells = found.arms.iter().map(|column| Cell::from(rate(row, column)));
        table.rows.push(std::iter::once(row.as_str().into()).chain(cells).collect());
    }
    table
}

fn strengths(evidence: &Evidence, found: &Pairs, title: String) -> Table {
    let columns = [("arm", 0), ("strength", 3), ("ci_low", 3), ("ci_high", 3), ("group", 0), ("comparisons", 0)];
    let mut table = Table::new(title, &columns);
    let fitted = match &found.strengths {
        Ok(fitted) => fitted,
        Err(why) => {
            table.notes.push(format!("There are no strengths: {why}."));
            return table;
        }
    };
    for place in &fitted.order {
        let (Some(arm), Some(Some(strength))) = (found.arms.get(*place), fitted.strengths.get(*place)) else {
            continue;
        };
        let interval = strength.uncertainty.as_ref().ok().map(|known| known.interval);
        table.rows.push(vec![
            arm.as_str().into(),
            strength.strength.into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            found.letters.get(*place).map_or("", String::as_str).into(),
            strength.comparisons.into(),
        ]);
    }
    table.notes.push(
        "strength: Bradley and Terry's, in log-odds of winning against an arm of strength 0, the mean; ci: its 95 % interval over \
         items. Arms that share a letter cannot be told apart (Holm's method over all pairs, 5 %); the strongest group is a."
            .into(),
    );
    if fitted.ridge > 0.0 {
        table.notes.push(
            "An arm won or lost everything, so that no strength fits best: a weak prior (a deviation of 3.2) holds them together."
                .into(),
        );
    }
    if matches!(evidence.kind(&found.judge), Kind::WinRates { .. }) && evidence.kind(&found.judge).baseline().is_some()
    {
        table.notes.push("Arms were compared with one only, so that two others are compared through it.".into());
    }
    table
}
