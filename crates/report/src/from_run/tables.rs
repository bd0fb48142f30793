//! Tables of the analyses, with their numbers as numbers and headings in both languages.

use std::path::Path;

use tunebench_analysis::estimates::{ArmScore, arm_scores, scope_words};
use tunebench_analysis::evidence::Evidence;
use tunebench_analysis::lint::Finding;
use tunebench_analysis::run::Run;
use tunebench_analysis::{self as analysis, Cell as Given};
use tunebench_spec::LossLog;

use super::headings;
use crate::data::{Cell, Table, Text};
use crate::error::Error;
use crate::numbers;

/// What stands where there is no value.
const MISSING: &str = "–";

/// The tables of a run, what a reader must know first in front.
pub fn tables(run: &Run, dir: &Path, findings: &[Finding]) -> Result<Vec<Table>, Error> {
    let mut given =
        vec![analysis::cost(dir)?, analysis::factors(dir)?, analysis::scaling(dir)?, analysis::lengths(dir)?];
    if run.has::<LossLog>() {
        given.push(analysis::forgetting(dir)?);
    }
    given.push(analysis::ledger(dir)?);
    let found = std::iter::once(of_findings(findings));
    Ok(found.chain(given.iter().flatten().map(of)).collect())
}

/// How good the judges are.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn of_judges(dir: &Path) -> Result<Vec<Table>, Error> {
    let given = [analysis::agreement(dir)?, analysis::calibration(dir)?, analysis::judges(dir)?];
    Ok(given.iter().flatten().map(of).collect())
}

/// What judges that compare two answers say of every two arms; nothing where there is none.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn of_pairs(dir: &Path) -> Result<Vec<Table>, Error> {
    match analysis::pairs(dir) {
        Err(analysis::Error::NothingCompared) => Ok(Vec::new()),
        found => Ok(found?.iter().map(of).collect()),
    }
}

/// What the judges but the first gave; nothing where there is no other.
///
/// # Errors
/// When the judgements cannot be compared.
pub fn other_judges(run: &Run, evidence: &Evidence, others: &[&str]) -> Result<Option<Table>, Error> {
    let columns = [("judge", 0), ("arm", 0), ("macro_average", 3), ("ci_low", 3), ("ci_high", 3), ("interval_over", 0)];
    let mut table = analysis::Table::new("Mean scores by the other judges", &columns);
    for judge in others {
        let judged = evidence.of(judge, &evidence.arm_names())?;
        let row = |arm: &ArmScore| -> Vec<Given> {
            let mean = arm.macro_average.as_ref().ok();
            let interval = mean.and_then(|mean| mean.interval.as_ref().ok());
            vec![
                (*judge).into(),
                arm.arm.as_str().into(),
                mean.map(|mean| mean.mean).into(),
                interval.map(|interval| interval.low).into(),
                interval.map(|interval| interval.high).into(),
                interval.map(|_| scope_words(arm)).into(),
            ]
        };
        table.rows.extend(arm_scores(run, &judged)?.iter().map(row));
    }
    Ok((!others.is_empty()).then(|| of(&table)))
}

fn of_findings(findings: &[Finding]) -> Table {
    let columns = [("finding", 0), ("arms", 0), ("values", 0), ("why", 0)];
    let mut table = analysis::Table::new("What makes this comparison unfair, or less sure than it looks", &columns);
    table.rows = findings
        .iter()
        .map(|finding| {
            let arms = finding.arms.join(", ");
            [&finding.what, &arms, &finding.values, &finding.why].map(|text| text.as_str().into()).to_vec()
        })
        .collect();
    let mut table = of(&table);
    table.notes.push(match findings.len() {
        0 => Text::new(
            "Nothing was found: arms of one base and data set differ in the method alone.",
            "没有发现问题：基座与数据相同的组只有方法不同。",
        ),
        n => Text::new(
            format!("{n} findings. Settings are compared among arms that share base and data set."),
            format!("共 {n} 条。只比较基座与数据相同的组的设置。"),
        ),
    });
    table
}

/// A table of an analysis.
fn of(given: &analysis::Table) -> Table {
    let heading = |column: &analysis::Column| Text::new(readable(&column.name), headings::heading(&column.name));
    let row = |cells: &Vec<Given>| {
        cells.iter().zip(&given.columns).map(|(cell, column)| of_cell(cell, column.decimals)).collect()
    };
    Table {
        title: Text::new(given.title.as_str(), headings::title(&given.title)),
        columns: given.columns.iter().map(heading).collect(),
        rows: given.rows.iter().map(row).collect(),
        notes: given.notes.iter().map(|note| note.as_str().into()).collect(),
    }
}

fn of_cell(cell: &Given, decimals: usize) -> Cell {
    match cell {
        Given::Missing => Cell::text(MISSING),
        Given::Text(text) if text.is_empty() => Cell::text(MISSING),
        Given::Text(text) => Cell::text(text.as_str()),
        Given::Integer(number) => {
            let shown = u64::try_from(*number).map_or_else(|_| number.to_string(), numbers::grouped);
            Cell::number(shown, *number as f64)
        }
        Given::Number(number) if number.is_finite() => Cell::number(numbers::fixed(*number, decimals), *number),
        Given::Number(number) => Cell::text(number.to_string()),
    }
}

/// A column's name with spaces, which break over lines.
fn readable(name: &str) -> String {
    name.replace('_', " ")
}
