//! `tunebench analyze`: tables from a run folder.

use anyhow::Result;
use tunebench_analysis as analysis;

use crate::args::{Analysis, Analyze};
use crate::output::{OutputFormat, print_tables};

pub fn run(args: &Analyze) -> Result<()> {
    let tables = match &args.analysis {
        Analysis::Scores { dir } => analysis::scores(dir)?,
        Analysis::Compare { dir, a, b } => analysis::compare(dir, a, b)?,
        Analysis::Cost { dir } => analysis::cost(dir)?,
        Analysis::Curves { dir } => analysis::curves(dir)?,
        Analysis::Lengths { dir } => analysis::lengths(dir)?,
        Analysis::Paper => analysis::paper()?,
    };
    print_tables(&tables, OutputFormat::of(args.json, args.markdown))
}
