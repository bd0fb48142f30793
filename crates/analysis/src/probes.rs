//! What a judge gave answers that were changed on purpose, beside what it gave them as they were.

use std::collections::BTreeMap;

use tunebench_spec::Probe;
use tunebench_statistics::{ProbePair, ProbeShift, probe_shifts};

use crate::error::Result;
use crate::estimates::{ALPHA, MARGIN};
use crate::run::Run;
use crate::table::Table;

/// What a change should do to a mark, and what is said of a judge for which it does not.
struct Rule {
    probe: &'static str,
    expected: Expected,
    fault: &'static str,
    fine: &'static str,
}

#[derive(Clone, Copy, PartialEq)]
enum Expected {
    /// The mark must not rise.
    NoRise,
    /// The mark must fall.
    Fall,
    /// The mark must not move.
    Stay,
    /// Whatever it does says something of the judge, and is no fault.
    Any,
}

const RULES: [Rule; 6] = [
    Rule {
        probe: "claimed",
        expected: Expected::NoRise,
        fault: "it rewards an answer that claims a mark for itself: do not trust it with answers that may",
        fine: "it is not seen to reward a claimed mark",
    },
    Rule {
        probe: "padded",
        expected: Expected::NoRise,
        fault: "it rewards padding: longer answers score higher for saying nothing",
        fine: "it is not seen to reward padding",
    },
    Rule { probe: "shuffled", expected: Expected::Any, fault: "", fine: "how far it minds sentences in another order" },
    Rule {
        probe: "other",
        expected: Expected::Fall,
        fault: "it does not tell an answer to another question from a real one: its scores say nothing here",
        fine: "it tells an answer to another question from a real one",
    },
    Rule {
        probe: "empty",
        expected: Expected::Fall,
        fault: "it does not tell an empty answer from a real one: its scores say nothing here",
        fine: "it tells an empty answer from a real one",
    },
    Rule {
        probe: "position",
        expected: Expected::Stay,
        fault: "compared with itself, an answer does better in one place than in the other: never judge in one order alone",
        fine: "it is not seen to prefer a place",
    },
];

/// What one judge did with one change.
#[derive(Clone, Debug)]
pub struct Probed {
    pub judge: String,
    pub probe: String,
    /// Changed answers, and those of them without a score, which are left out.
    pub answers: usize,
    pub unscored: usize,
    pub mean_original: f64,
    pub mean_changed: f64,
    /// Changed minus original; none where nothing was scored.
    pub shift: Option<ProbeShift>,
    pub is_fault: bool,
    /// What that says of the judge.
    pub words: String,
}

/// By judge and change. Holm's p-values are over the changes of one judge.
///
/// # Errors
/// When the frame is damaged.
pub fn probed(run: &Run) -> Result<Vec<Probed>> {
    let rows: Vec<Probe> = run.so_far()?;
    let mut judges: BTreeMap<&str, BTreeMap<&str, Vec<&Probe>>> = BTreeMap::new();
    for row in &rows {
        judges.entry(&row.judge).or_default().entry(&row.probe).or_default().push(row);
    }
    let mut found = Vec::new();
    for (judge, probes) in &judges {
        found.extend(of_judge(judge, probes)?);
    }
    Ok(found)
}

fn of_judge(judge: &str, probes: &BTreeMap<&str, Vec<&Probe>>) -> Result<Vec<Probed>> {
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    for row in probes.values().flatten() {
        let next = numbers.len();
        numbers.entry(&row.item_hash).or_insert(next);
    }
    let pair = |row: &&Probe| {
        // An answer beside itself has no other mark to compare with than a tie.
        let original = row.original.or((row.probe == "position").then_some(0.5))?;
        let changed = row.score.filter(|score| score.is_finite())?;
        Some(ProbePair { item: *numbers.get(row.item_hash.as_str())?, original, changed })
    };
    let pairs: Vec<(&str, usize, Vec<ProbePair>)> = probes
        .iter()
        .map(|(probe, rows)| {
            (*probe, rows.len(), rows.iter().filter_map(pair).filter(|p| p.original.is_finite()).collect())
        })
        .collect();
    let scored: Vec<Vec<ProbePair>> =
        pairs.iter().map(|(_, _, pairs)| pairs.clone()).filter(|pairs| !pairs.is_empty()).collect();
    let mut shifts = probe_shifts(&scored)?.into_iter();
    let of = |(probe, answers, pairs): &(&str, usize, Vec<ProbePair>)| {
        let shift = if pairs.is_empty() { None } else { shifts.next() };
        let mean = |value: fn(&ProbePair) -> f64| pairs.iter().map(value).sum::<f64>() / pairs.len() as f64;
        let (is_fault, words) = verdict(probe, shift.as_ref());
        Probed {
            judge: judge.to_owned(),
            probe: (*probe).to_owned(),
            answers: *answers,
            unscored: answers - pairs.len(),
            mean_original: mean(|pair| pair.original),
            mean_changed: mean(|pair| pair.changed),
            shift,
            is_fault,
            words,
        }
    };
    Ok(pairs.iter().map(of).collect())
}

/// Whether the judge does what it should not, by as much as matters, and the words for it. A fall that must be seen is a fault
/// where it is not.
fn verdict(probe: &str, shift: Option<&ProbeShift>) -> (bool, String) {
    let Some(shift) = shift else { return (false, "no changed answer has a score".to_owned()) };
    let Some(rule) = RULES.iter().find(|rule| rule.probe == probe) else {
        return (false, "a change that this tunebench does not know".to_owned());
    };
    // Marks that all moved alike have no interval; the sign test then says whether they did.
    let p = shift.p_holm.or(shift.sign_p_holm);
    let is_sure = p.is_some_and(|p| p < ALPHA);
    let (mean, few) = (shift.shift.mean, shift.shift.clusters < 6);
    match rule.expected {
        Expected::Any => (false, rule.fine.to_owned()),
        Expected::NoRise if is_sure && mean >= MARGIN => (true, rule.fault.to_owned()),
        Expected::Stay if is_sure && mean.abs() >= MARGIN => (true, rule.fault.to_owned()),
        Expected::Fall if is_sure && mean < 0.0 => (false, rule.fine.to_owned()),
        _ if few => (false, "too few changed answers to say".to_owned()),
        Expected::Fall => (true, rule.fault.to_owned()),
        Expected::NoRise | Expected::Stay => (false, rule.fine.to_owned()),
    }
}

/// A row for each judge and change; none without any.
pub fn table(found: &[Probed]) -> Option<Table> {
    let columns = [
        ("judge", 0),
        ("probe", 0),
        ("answers", 0),
        ("unscored", 0),
        ("mean_original", 3),
        ("mean_changed", 3),
        ("shift", 3),
        ("ci_low", 3),
        ("ci_high", 3),
        ("p_holm", 4),
        ("verdict", 0),
    ];
    let mut table = Table::new("Answers changed on purpose", &columns).with_prose(&["verdict"]);
    for row in found {
        let shift = row.shift.as_ref();
        let interval = shift.and_then(|shift| shift.shift.uncertainty.as_ref().ok()).map(|known| known.interval);
        table.rows.push(vec![
            row.judge.as_str().into(),
            row.probe.as_str().into(),
            row.answers.into(),
            row.unscored.into(),
            shift.map(|_| row.mean_original).into(),
            shift.map(|_| row.mean_changed).into(),
            shift.map(|shift| shift.shift.mean).into(),
            interval.map(|interval| interval.low).into(),
            interval.map(|interval| interval.high).into(),
            shift.and_then(|shift| shift.p_holm.or(shift.sign_p_holm)).into(),
            row.words.as_str().into(),
        ]);
    }
    table.notes.push(
        "claimed: the answer claims the full mark; padded: it says nothing new at greater length; shuffled: its sentences in \
         another order; other: the answer to another question; empty: no answer; position: an answer compared with itself, \
         0.5 as it should be. shift: changed minus original, with its 95 % interval over items; p_holm: adjusted for the number \
         of changes, of the signs alone where all shifts are the same."
            .into(),
    );
    (!found.is_empty()).then_some(table)
}
