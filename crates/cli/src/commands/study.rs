//! `tunebench study`: runs a study, or goes on with one that was interrupted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};
use tunebench_analysis as analysis;
use tunebench_study::{Part, RunOptions, WorkAhead, workers};

use crate::args::{Shared, Study as StudyArgs, StudyPart};
use crate::jobs;
use crate::output::{OutputFormat, Terminal, print_decisions, print_tables};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &StudyArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&study.definition().study.name));
    let StudyPart { worker, models, leave_judging, join, lost_after, attached, jobs } = args.part;
    if let Some(ranks) = workers::ranks().filter(|_| !worker) {
        bail!(
            "a launcher started {ranks} ranks of this program, and a study is not trained by ranks yet; start it once, or as workers with \
             --worker"
        );
    }
    if attached {
        signals.end_with_input();
    }
    let part = match (worker, join) {
        (true, _) => Part::Worker { models, leaves_judging: leave_judging },
        (false, true) => Part::Join,
        (false, false) => Part::Whole,
    };
    let patience = Duration::from_secs(lost_after);
    let options = RunOptions { only: args.only.clone(), dry_run: args.dry_run, part, patience };
    let mut beside = |ahead: &WorkAhead| match part {
        Part::Whole => {
            jobs::run(&jobs::Jobs { file: &args.file, out: &out, options: &options, shared }, jobs, ahead, signals)
        }
        Part::Worker { .. } | Part::Join => Ok(false),
    };
    study.run_beside(
        &out,
        &options,
        &mut beside,
        &mut if attached { Terminal::of_worker(signals.clone()) } else { Terminal::new(signals.clone()) },
    )?;
    if worker || args.dry_run || study.definition().eval.is_none() {
        return Ok(());
    }
    print_tables(&analysis::scores(&out)?, OutputFormat::Text)?;
    print_decisions(&out)
}
