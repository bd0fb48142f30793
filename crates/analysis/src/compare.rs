//! Two arms compared item by item: the difference, how sure it is, and what the data could have shown at all.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_results::{MACRO_AVERAGE, MICRO_AVERAGE, item_scores};
use tunebench_spec::Judgement;

use crate::error::{Error, Result};
use crate::run::{Run, judged_title, judges, ordered_categories};
use crate::statistics::{self, Paired};
use crate::table::{Cell, Table};

/// Seed of the resampling: the same scores give the same table.
const SEED: u64 = 1;

const COLUMNS: [(&str, usize); 10] = [
    ("category", 0),
    ("items", 0),
    ("mean_a", 3),
    ("mean_b", 3),
    ("difference", 3),
    ("ci_low", 3),
    ("ci_high", 3),
    ("p", 4),
    ("p_holm", 4),
    ("detectable", 3),
];

/// One table per judge: `a` minus `b` in each category and on average, over the items scored for both.
///
/// # Errors
/// When the frames cannot be read, an arm has no judgements, or no item was scored for both.
pub fn compare(dir: &Path, a: &str, b: &str) -> Result<Vec<Table>> {
    let run = Run::open(dir)?;
    let judgements: Vec<Judgement> = run.frames.read()?;
    let known = run.in_order(judgements.iter().map(|judgement| judgement.arm.as_str()));
    if let Some(arm) = [a, b].into_iter().find(|arm| !known.contains(arm)) {
        return Err(Error::UnknownArm { arm: arm.to_owned(), known: known.join(", ") });
    }

    let judges = judges(judgements.iter().map(|judgement| judgement.judge.as_str()));
    let pairs = judges.iter().map(|judge| (judge, Pairs::of(&judgements, judge, a, b)));
    let tables: Vec<Table> = pairs
        .filter(|(_, pairs)| !pairs.by_category.is_empty())
        .map(|(judge, pairs)| pairs.table(judged_title(&format!("{a} minus {b}"), judge, &judges), a, b))
        .collect();
    if tables.is_empty() {
        return Err(Error::NothingInCommon(a.to_owned(), b.to_owned()));
    }
    Ok(tables)
}

/// The scores of `a` and `b` for each item that has both.
struct Pairs {
    by_category: BTreeMap<String, Vec<(f64, f64)>>,
    /// Items of either arm left out because one of the two scores is missing.
    left_out: usize,
}

impl Pairs {
    fn of(judgements: &[Judgement], judge: &str, a: &str, b: &str) -> Self {
        let chosen = judgements.iter().filter(|j| j.judge == judge && (j.arm == a || j.arm == b));
        let scores = item_scores(&chosen.cloned().collect::<Vec<_>>());
        let of = |arm: &str, item: &str| scores.get(&(arm.to_owned(), judge.to_owned(), item.to_owned()));

        let mut by_category: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        let mut items: Vec<&str> = scores.keys().map(|(_, _, item)| item.as_str()).collect();
        items.sort_unstable();
        items.dedup();
        let mut left_out = 0;
        for item in items {
            let pair = of(a, item).zip(of(b, item)).and_then(|(a, b)| Some((&a.category, a.score?, b.score?)));
            match pair {
                Some((category, a, b)) => by_category.entry(category.clone()).or_default().push((a, b)),
                None => left_out += 1,
            }
        }
        Self { by_category, left_out }
    }

    fn table(&self, title: String, a: &str, b: &str) -> Table {
        let names = ordered_categories(self.by_category.keys().map(String::as_str));
        let strata: Vec<&[(f64, f64)]> = names.iter().map(|name| self.by_category[*name].as_slice()).collect();
        let all: Vec<(f64, f64)> = strata.concat();

        let by_category: Vec<Option<Paired>> = strata.iter().map(|stratum| differences(&[stratum])).collect();
        let p_values: Vec<f64> = by_category.iter().flatten().map(|paired| paired.p).collect();
        let adjusted = statistics::holm(&p_values);

        let mut table = Table::new(title, &COLUMNS);
        for (((name, stratum), paired), p_holm) in names.iter().zip(&strata).zip(&by_category).zip(adjusted) {
            table.rows.extend(paired.as_ref().map(|paired| row(name, &[stratum], paired, p_holm.into())));
        }
        for (name, strata) in [(MACRO_AVERAGE, strata.as_slice()), (MICRO_AVERAGE, &[all.as_slice()])] {
            table.rows.extend(differences(strata).map(|paired| row(name, strata, &paired, Cell::Missing)));
        }
        table.notes.push(format!("a is {a}, b is {b}; ci: 95 % interval of the difference, paired bootstrap."));
        table
            .notes
            .push("p: two-sided sign-flip permutation test; p_holm: adjusted for the number of categories.".into());
        table
            .notes
            .push("detectable: the true difference that this many items would show 4 times in 5 at p < 0.05.".into());
        if self.left_out > 0 {
            table.notes.push(format!("{} items without a score for one of the two are left out.", self.left_out));
        }
        table
    }
}

fn differences(strata: &[&[(f64, f64)]]) -> Option<Paired> {
    let strata: Vec<Vec<f64>> = strata.iter().map(|pairs| pairs.iter().map(|(a, b)| a - b).collect()).collect();
    statistics::paired(&strata, SEED)
}

fn row(name: &str, strata: &[&[(f64, f64)]], paired: &Paired, p_holm: Cell) -> Vec<Cell> {
    let mean = |value: fn(&(f64, f64)) -> f64| {
        let means = strata.iter().map(|pairs| pairs.iter().map(value).sum::<f64>() / pairs.len() as f64);
        means.sum::<f64>() / strata.len() as f64
    };
    vec![
        name.into(),
        paired.n.into(),
        mean(|pair| pair.0).into(),
        mean(|pair| pair.1).into(),
        paired.mean.into(),
        paired.low.into(),
        paired.high.into(),
        paired.p.into(),
        p_holm,
        paired.detectable.into(),
    ]
}
