//! `tunebench study`: runs a study, or goes on with one that was interrupted.

use std::path::PathBuf;

use anyhow::Result;
use tunebench_analysis as analysis;
use tunebench_study::RunOptions;

use crate::args::{Shared, Study as StudyArgs};
use crate::output::{OutputFormat, Terminal, print_decisions, print_tables};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &StudyArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&study.definition().study.name));
    let options = RunOptions { only: args.only.clone(), dry_run: args.dry_run };
    study.run(&out, &options, &mut Terminal::new(signals.clone()))?;
    if args.dry_run || study.definition().eval.is_none() {
        return Ok(());
    }
    print_tables(&analysis::scores(&out)?, OutputFormat::Text)?;
    print_decisions(&out)
}
