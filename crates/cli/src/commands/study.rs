//! `tunebench study`: runs a study, or goes on with one that was interrupted.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tunebench_analysis as analysis;
use tunebench_exchange::{Alone, from_environment};
use tunebench_kernels::machine::threads;
use tunebench_study::{Part, RunOptions, StudyError, WorkAhead};

use crate::args::{Shared, Study as StudyArgs, StudyPart};
use crate::jobs;
use crate::output::{OutputFormat, Terminal, print_decisions, print_tables, status};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &StudyArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    // Workers that a launcher starts beside each other are no ranks of one training.
    let mut exchange = if args.part.worker { Box::new(Alone) } else { from_environment()? };
    let (ranks, is_first) = (exchange.size(), exchange.is_first());
    let open = if is_first { plugin_files::open_study } else { plugin_files::open_quietly };
    let opened = open(&args.file, shared);
    let is_open = exchange.gather(&[u8::from(opened.is_ok())])?;
    // One tells what is wrong: the first that has something to tell.
    if let Some(teller) = is_open.iter().position(|is_open| is_open[..] != [1]) {
        let is_teller = exchange.rank() == teller;
        exchange.finish()?;
        return if is_teller { opened.map(drop) } else { Ok(()) };
    }
    let study = opened?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&study.definition().study.name));
    let StudyPart { worker, models, leave_judging, join, lost_after, attached, jobs } = args.part;
    if ranks > 1 && is_first {
        let threads = threads::products();
        status(format!("{ranks} ranks train and answer together, the first by {threads} threads"));
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
    let terminal = if attached { Terminal::of_worker(signals.clone()) } else { Terminal::new(signals.clone()) };
    let mut terminal = if is_first { terminal } else { Terminal::of_worker(signals.clone()) };
    let result = match jobs.filter(|_| ranks > 1) {
        Some(_) => Err(StudyError::Invalid(format!("--jobs is for one process, and {ranks} ranks were started"))),
        None => study.run_together(&out, &options, exchange.as_mut(), &mut beside, &mut terminal),
    };
    match &result {
        Err(error) if error.is_of_ranks_apart() => exchange.abort(&error.to_string()),
        _ => exchange.finish()?,
    }
    // What went wrong on this rank, or on all, the first one tells.
    if !is_first {
        return Ok(());
    }
    result?;
    if worker || args.dry_run || study.definition().eval.is_none() {
        return Ok(());
    }
    print_tables(&analysis::scores(&out)?, OutputFormat::Text)?;
    print_decisions(&out)
}
