//! `tunebench submit` and `status`: a study as jobs of a cluster, and what became of them.

use std::ffi::OsString;
use std::path::{PathBuf, absolute};

use anyhow::{Context as _, Result, anyhow};
use tunebench_forecast::job_stages;
use tunebench_kernels::machine::threads;
use tunebench_submit::{Submission, kubernetes, slurm};

use crate::args::{Shared, StatusArgs, SubmitArgs};
use crate::jobs;
use crate::output::{Terminal, print, printable, status};
use crate::plugin_files;
use crate::signals::Signals;

pub fn run(args: &SubmitArgs, shared: &Shared, signals: &Signals) -> Result<()> {
    let study = plugin_files::open_study(&args.file, shared)?;
    let name = study.definition().study.name.clone();
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from("runs").join(&name));
    let stages = study.stages(&args.only, &mut Terminal::new(signals.clone()))?;
    let cores = args.cpus.unwrap_or_else(|| u32::try_from(threads::products()).unwrap_or(1));
    let (mut stages, join) = job_stages(&stages, cores);
    if let Some(cpus) = args.cpus {
        stages.iter_mut().for_each(|stage| stage.needs.cpus = cpus);
    }
    let submission = Submission {
        study: name,
        program: std::env::current_exe().context("where this executable is")?,
        file: absolute(&args.file)?,
        out: absolute(&out)?,
        arguments: jobs::passed_on(shared, &args.only, args.lost_after)?
            .into_iter()
            .map(text)
            .collect::<Result<_>>()?,
        stages,
        join,
    };
    if args.kubernetes {
        return print(&kubernetes::manifest(&submission, &kubernetes_options(args)?)?);
    }
    let options = slurm_options(args);
    if args.dry_run {
        for script in slurm::scripts(&submission, &options)? {
            print(&format!("# {}\n{}\n", script.name, script.text))?;
        }
        return Ok(());
    }
    // What failed is tried again, as by `study`.
    tunebench_study::failures::forget(&out)?;
    let submitted = slurm::submit(&submission, &options)?;
    for job in &submitted.jobs {
        let tasks = job.tasks.map_or_else(String::new, |tasks| format!(", {tasks} tasks"));
        print(&printable(&format!("{}: job {}{tasks}\n", job.stage, job.id)))?;
    }
    status(format!(
        "scripts and logs: {}; `tunebench status {}` shows how far it is",
        submitted.folder.display(),
        out.display()
    ));
    Ok(())
}

/// How far a run is, which process works on what, and what Slurm says of its jobs.
pub fn show(args: &StatusArgs) -> Result<()> {
    print(&tunebench_watch::snapshot(&args.dir)?)?;
    let out = absolute(&args.dir)?;
    match slurm::status(&out) {
        Ok(jobs) => print(&format!("\n{}", printable(&jobs.to_string()))),
        Err(tunebench_submit::Error::NotSubmitted { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A word as a script can have it.
fn text(word: OsString) -> Result<String> {
    word.into_string().map_err(|word| anyhow!("{} is not UTF-8, so that no script can name it", word.display()))
}

fn slurm_options(args: &SubmitArgs) -> slurm::Options {
    let of = &args.slurm_options;
    slurm::Options {
        partition: of.partition.clone(),
        account: of.account.clone(),
        qos: of.qos.clone(),
        constraint: of.constraint.clone(),
        extra: of.extra.clone(),
        time_limit: of.time_limit.map(|minutes| f64::from(minutes) * 60.0),
        at_once: of.at_once,
        ..slurm::Options::default()
    }
}

fn kubernetes_options(args: &SubmitArgs) -> Result<kubernetes::Options> {
    let of = &args.kubernetes_options;
    let given = || of.image.clone().zip(of.claim.clone()).zip(of.mount.clone());
    let ((image, claim), mount) = given().context("--kubernetes needs --image, --claim and --mount")?;
    let (namespace, secret) = (of.namespace.clone(), of.secret.clone());
    Ok(kubernetes::Options { namespace, secret, ..kubernetes::Options::new(image, claim, mount) })
}
