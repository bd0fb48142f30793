//! `tunebench analyze`: tables from a run folder.

use anyhow::Result;
use tunebench_analysis as analysis;

use crate::args::{Analysis, Analyze};
use crate::output::{OutputFormat, print_tables};

pub fn run(args: &Analyze) -> Result<()> {
    let tables = match &args.analysis {
        Analysis::Scores { dir } => analysis::scores(dir)?,
        Analysis::Compare { dir, a, b, margin } => analysis::compare(dir, a, b, *margin)?,
        Analysis::Decision { dir, margin } => analysis::decision(dir, *margin)?,
        Analysis::Factors { dir } => analysis::factors(dir)?,
        Analysis::Scaling { dir } => analysis::scaling(dir)?,
        Analysis::Forgetting { dir } => analysis::forgetting(dir)?,
        Analysis::Cost { dir } => analysis::cost(dir)?,
        Analysis::Curves { dir } => analysis::curves(dir)?,
        Analysis::Lengths { dir } => analysis::lengths(dir)?,
        Analysis::Ledger { dir } => analysis::ledger(dir)?,
        Analysis::Agreement { dir } => analysis::agreement(dir)?,
        Analysis::Judges { dir } => analysis::judges(dir)?,
        Analysis::Calibration { dir } => analysis::calibration(dir)?,
        Analysis::Pairs { dir } => analysis::pairs(dir)?,
        Analysis::Bridge { dir, from, to } => analysis::bridge(dir, from, to)?,
        Analysis::Lint { dir: Some(dir) } => analysis::lint(dir)?,
        Analysis::Lint { dir: None } => analysis::lint_paper()?,
        Analysis::Paper => analysis::paper()?,
    };
    print_tables(&tables, OutputFormat::of(args.json, args.markdown))
}
