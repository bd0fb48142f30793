//! A submission to Slurm: one job after the other, each written down before the next.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use tunebench_files as files;

use crate::error::Error;
use crate::slurm::commands::run;
use crate::slurm::folder;
use crate::slurm::jobs::{Job, Jobs};
use crate::slurm::scripts::{Options, Script, scripts};
use crate::slurm::status::open_jobs;
use crate::submission::Submission;

/// What was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Where scripts and logs are.
    pub folder: PathBuf,
    /// In their order, the join at the end.
    pub jobs: Vec<Job>,
}

/// Writes the scripts into the run folder and submits them. When one is not taken, those before are cancelled.
///
/// # Errors
/// Those of [`scripts`]; [`Error::NoCommand`] without Slurm; [`Error::Queued`] while jobs of an earlier submission from this
/// folder are not done; [`Error::Stage`] with the stage that was not taken and what became of those before it; and when the
/// folder cannot be written.
pub fn submit(submission: &Submission, options: &Options) -> Result<Submitted, Error> {
    let scripts = scripts(submission, options)?;
    let out = &submission.out;
    let folder = folder(out);
    files::create_folder(&folder)?;
    let _lock = files::Lock::acquire(&folder.join("lock"))?;
    if let Some(earlier) = Jobs::read(out)? {
        let open = open_jobs(&earlier)?;
        if !open.is_empty() {
            return Err(Error::Queued { folder: out.clone(), jobs: join(&open, " ") });
        }
    }
    for script in &scripts {
        files::write_file(&folder.join(&script.name), |file| file.write_all(script.text.as_bytes()))?;
    }
    let mut jobs = Jobs { study: submission.study.clone(), jobs: Vec::new() };
    jobs.write(out)?;
    for script in &scripts {
        let previous = jobs.jobs.last().map(|job| job.id);
        let written = submit_one(&folder, script, previous).and_then(|job| {
            jobs.jobs.push(job);
            jobs.write(out)
        });
        if let Err(fault) = written {
            if jobs.jobs.is_empty() && matches!(fault, Error::NoCommand { .. }) {
                return Err(fault);
            }
            let before = cancel(out, jobs);
            return Err(Error::Stage { stage: script.stage.clone(), fault: Box::new(fault), before });
        }
    }
    Ok(Submitted { folder, jobs: jobs.jobs })
}

/// Submits a script that begins when all tasks of `previous` have ended.
fn submit_one(folder: &Path, script: &Script, previous: Option<u64>) -> Result<Job, Error> {
    let dependency = previous.map(|id| format!("--dependency=afterany:{id}"));
    let path = folder.join(&script.name);
    let mut arguments = vec![OsStr::new("--parsable")];
    arguments.extend(dependency.as_ref().map(OsStr::new));
    arguments.push(path.as_os_str());
    let said = run("sbatch", &arguments)?;
    // A number, and on some sites the cluster; what plugins of a site say stands before.
    let answer = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or_default();
    let (id, cluster) = answer.split_once(';').map_or((answer, None), |(id, cluster)| (id, Some(cluster.to_owned())));
    let no_id =
        || Error::Command { command: "sbatch", fault: format!("it said `{answer}` where a job's number was to be") };
    let id = id.parse().map_err(|_| no_id())?;
    Ok(Job { stage: script.stage.clone(), id, cluster, tasks: script.tasks, script: script.name.clone() })
}

/// Cancels what was submitted, and says so.
fn cancel(out: &Path, mut jobs: Jobs) -> String {
    if jobs.jobs.is_empty() {
        return "nothing was submitted".to_owned();
    }
    let ids: Vec<u64> = jobs.jobs.iter().map(|job| job.id).collect();
    let cluster = jobs.jobs.iter().find_map(|job| job.cluster.as_ref()).map(|cluster| format!("--clusters={cluster}"));
    let words: Vec<String> = cluster.into_iter().chain(ids.iter().map(u64::to_string)).collect();
    let arguments: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    match run("scancel", &arguments) {
        Ok(_) => {
            jobs.jobs.clear();
            // They are cancelled; a file that still names them only has Slurm asked about them once more.
            let _ = jobs.write(out);
            format!("the jobs before it ({}) are cancelled", join(&ids, ", "))
        }
        Err(error) => format!("the jobs before it stay, because {error}; end them by `scancel {}`", join(&ids, " ")),
    }
}

fn join(ids: &[u64], between: &str) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(between)
}
