//! `tunebench query`: SQL over a run's frames.

use anyhow::Result;
use tunebench_analysis as analysis;

use crate::args::Query;
use crate::output::{OutputFormat, print, print_tables};

pub fn run(args: &Query) -> Result<()> {
    let table = analysis::query(&args.dir, &args.sql)?;
    match OutputFormat::of(args.json, args.markdown) {
        OutputFormat::Json => print(&table.to_json()),
        format => print_tables(&[table], format),
    }
}
