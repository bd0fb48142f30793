//! Workers side by side on this machine: processes of this program, each with its share of cores and memory.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, absolute};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use tunebench_kernels::machine::{memory, threads};
use tunebench_study::memory::shown;
use tunebench_study::{RunOptions, StudyError, WorkAhead};

use crate::args::Shared;
use crate::output::{status, warn};
use crate::signals::Signals;

/// How often workers and signals are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What workers work on.
pub struct Jobs<'a> {
    pub file: &'a Path,
    pub out: &'a Path,
    pub options: &'a RunOptions,
    pub shared: &'a Shared,
}

/// Starts workers, shows what they say, and returns when all have ended. `asked` is how many, else as many as gain by it; whether
/// there were any.
pub fn run(jobs: &Jobs<'_>, asked: Option<u32>, ahead: &WorkAhead, signals: &Signals) -> Result<bool, Box<StudyError>> {
    let cores = threads::products();
    let there = memory::limit().map(|limit| limit.bytes);
    let count = asked.map_or_else(|| ahead.jobs(cores, there), |count| count as usize);
    if count < 2 {
        return Ok(false);
    }
    if let (Some(there), Some(needed)) = (jobs.shared.backend.memory_limit().map(|limit| limit.bytes), ahead.memory)
        && needed.saturating_mul(count as u64) > there
    {
        return Err(Box::new(StudyError::Invalid(format!(
            "--jobs {count}: a training takes up to {}, so many at once take more than the {} there are; ask for fewer",
            shown(needed),
            shown(there)
        ))));
    }
    status(format!(
        "{count} workers side by side, {} of {cores} threads each; times of trainings are measured so, and --jobs 1 measures each alone",
        (cores / count).max(1)
    ));
    let mut workers = Vec::new();
    for number in 1..=count {
        match start(jobs, count, cores, there) {
            Ok(worker) => workers.push((number, worker)),
            Err(error) => {
                workers.iter_mut().for_each(|(_, worker): &mut (usize, Child)| drop(worker.stdin.take()));
                workers.into_iter().for_each(|(_, mut worker)| drop(worker.wait()));
                return Err(Box::new(StudyError::Invalid(format!("starting a worker: {error}"))));
            }
        }
    }
    std::thread::scope(|scope| {
        for (number, worker) in &mut workers {
            let (number, lines) = (*number, worker.stderr.take());
            scope.spawn(move || {
                for line in lines.into_iter().flat_map(|lines| BufReader::new(lines).lines()).map_while(Result::ok) {
                    status(format!("{number}: {line}"));
                }
            });
        }
        // One that cannot be asked counts as ended; what came of it is asked below.
        while workers.iter_mut().any(|(_, worker)| matches!(worker.try_wait(), Ok(None))) {
            if signals.received().is_some() {
                workers.iter_mut().for_each(|(_, worker)| drop(worker.stdin.take()));
            }
            sleep(LOOK_INTERVAL);
        }
    });
    for (number, mut worker) in workers {
        match worker.wait() {
            // What it could not do was noted, and is told by whoever joins.
            Ok(code) if code.code().is_some() => {}
            Ok(code) => warn(&format!("worker {number} was ended by the system ({code}); what it left is done now")),
            Err(error) => warn(&format!("worker {number}: {error}")),
        }
    }
    if signals.received().is_some() { Err(Box::new(StudyError::Stopped)) } else { Ok(true) }
}

/// One worker of so many.
fn start(jobs: &Jobs<'_>, count: usize, cores: usize, there: Option<u64>) -> std::io::Result<Child> {
    let Jobs { file, out, options, shared } = jobs;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("study").arg(file).arg("--out").arg(out).args(["--worker", "--attached"]);
    command.args(passed_on(shared, &options.only, options.patience.as_secs())?);
    command.envs(threads::environment((cores / count).max(1)));
    if let Some(there) = there {
        command.envs([memory::share(there, count)]);
    }
    // Its standard input tells it when this process has ended, however that came.
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
}

/// What a process that works on the same run is given besides, wherever it is started.
pub fn passed_on(shared: &Shared, only: &[String], lost_after: u64) -> std::io::Result<Vec<OsString>> {
    let mut words: Vec<OsString> = Vec::new();
    for plugin in &shared.plugins {
        words.extend(["--plugin".into(), absolute(plugin)?.into()]);
    }
    words.extend(only.iter().flat_map(|arm| ["--only".into(), arm.into()]));
    words.extend(shared.isolate.then(|| "--isolate".into()));
    words.extend(["--plugin-timeout".into(), shared.plugin_timeout.to_string().into()]);
    words.extend(["--lost-after".into(), lost_after.to_string().into()]);
    words.extend(["--engine".into(), shared.backend.argument().into()]);
    Ok(words)
}
