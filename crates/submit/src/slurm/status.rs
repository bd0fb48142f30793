//! What became of the jobs of a submission, as far as Slurm's queue knows it: accounting may be off.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::slurm::commands::run;
use crate::slurm::folder;
use crate::slurm::jobs::{Job, Jobs};
use crate::slurm::scripts::log_name;
use crate::submission::MOST_TASKS;

/// A submission at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub study: String,
    /// In their order, the join at the end.
    pub jobs: Vec<JobStatus>,
}

/// A job and its tasks, by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobStatus {
    pub job: Job,
    pub tasks: Vec<TaskStatus>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its number in the array; none for the join.
    pub task: Option<u32>,
    pub state: State,
    /// Where it runs, or ran last.
    pub node: Option<String>,
    /// Why it waits, or ended as it did, in Slurm's word, as `Dependency`.
    pub reason: Option<String>,
    /// How long it has run since its last start, as `1-02:03:04`.
    pub elapsed: Option<String>,
    /// What it says is written here.
    pub log: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Running,
    /// Neither: being set up, cleared up, suspended. Slurm's word.
    Other(String),
    /// Slurm's word, as COMPLETED, FAILED, TIMEOUT or CANCELLED; it forgets some minutes later.
    Ended(String),
    /// No longer in the queue: ended before that. What it did is in the run folder.
    Gone,
}

/// Slurm's words for a job that will not run again.
const ENDED: &[&str] = &[
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "REVOKED",
    "TIMEOUT",
];

/// What the queue says of the jobs that were last submitted from a run folder.
///
/// # Errors
/// [`Error::NotSubmitted`], and when squeue is missing or fails.
pub fn status(out: &Path) -> Result<Status, Error> {
    let jobs = Jobs::read(out)?.ok_or_else(|| Error::NotSubmitted { folder: out.to_owned() })?;
    let rows = queue(&jobs)?;
    let folder = folder(out);
    let tasks_of = |job: &Job| {
        let numbers: Vec<Option<u32>> =
            job.tasks.map_or(vec![None], |tasks| (0..tasks.min(MOST_TASKS)).map(Some).collect());
        let row = |task: Option<u32>| rows.iter().find(|row| row.job == job.id && row.task == task);
        let log = |task| folder.join(log_name(&jobs.study, &job.stage, job.id, task));
        numbers.into_iter().map(|task| Row::status(row(task), task, log(task))).collect()
    };
    let of_job = |job: &Job| JobStatus { job: job.clone(), tasks: tasks_of(job) };
    Ok(Status { study: jobs.study.clone(), jobs: jobs.jobs.iter().map(of_job).collect() })
}

/// The jobs that are not done.
pub(crate) fn open_jobs(jobs: &Jobs) -> Result<Vec<u64>, Error> {
    let open: BTreeSet<u64> = queue(jobs)?.iter().filter(|row| row.state.is_open()).map(|row| row.job).collect();
    Ok(open.into_iter().collect())
}

impl State {
    /// Whether it runs or will run.
    pub fn is_open(&self) -> bool {
        !matches!(self, Self::Ended(_) | Self::Gone)
    }

    fn parse(word: &str) -> Self {
        match word {
            "PENDING" => Self::Pending,
            "RUNNING" => Self::Running,
            word if ENDED.contains(&word) => Self::Ended(word.to_owned()),
            word => Self::Other(word.to_owned()),
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Running => f.write_str("running"),
            Self::Other(word) | Self::Ended(word) => f.write_str(&word.to_lowercase()),
            Self::Gone => f.write_str("gone"),
        }
    }
}

/// A line for each task: `JOB_TASK`, stage, state, node, and why.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for JobStatus { job, tasks } in &self.jobs {
            for task in tasks {
                let id = task.task.map_or(job.id.to_string(), |number| format!("{}_{number}", job.id));
                write!(f, "{id:<12} {:<16} {:<10}", job.stage, task.state.to_string())?;
                for (before, value) in [(" on ", &task.node), (" for ", &task.elapsed), (": ", &task.reason)] {
                    if let Some(value) = value {
                        write!(f, "{before}{value}")?;
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

/// A line of squeue.
#[derive(Debug)]
struct Row {
    job: u64,
    task: Option<u32>,
    state: State,
    node: Option<String>,
    elapsed: Option<String>,
    reason: Option<String>,
}

/// Job, task, state, nodes, elapsed, reason.
const FORMAT: &str = "%F|%K|%T|%N|%M|%r";

impl Row {
    /// What is no such line is none: squeue says clusters on lines of their own.
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.trim().splitn(6, '|');
        let mut next = || fields.next().map(str::trim);
        let (job, task, state) = (next()?.parse().ok()?, next()?.parse().ok(), State::parse(next()?));
        let mut word = |without: &[&str]| next().filter(|word| !without.contains(word)).map(str::to_owned);
        Some(Self { job, task, state, node: word(&[""]), elapsed: word(&["", "0:00"]), reason: word(&["", "None"]) })
    }

    fn status(row: Option<&Self>, task: Option<u32>, log: PathBuf) -> TaskStatus {
        let Some(row) = row else {
            return TaskStatus { task, state: State::Gone, node: None, reason: None, elapsed: None, log };
        };
        let Self { state, node, reason, elapsed, .. } = row;
        TaskStatus {
            task,
            state: state.clone(),
            node: node.clone(),
            reason: reason.clone(),
            elapsed: elapsed.clone(),
            log,
        }
    }
}

/// What squeue knows of the jobs.
fn queue(jobs: &Jobs) -> Result<Vec<Row>, Error> {
    if jobs.jobs.is_empty() {
        return Ok(Vec::new());
    }
    let ids = jobs.jobs.iter().map(|job| job.id.to_string()).collect::<Vec<_>>().join(",");
    let cluster = jobs.jobs.iter().find_map(|job| job.cluster.as_ref()).map(|cluster| format!("--clusters={cluster}"));
    let words = ["--noheader", "--array", "--states=all", &format!("--jobs={ids}"), &format!("--format={FORMAT}")];
    let arguments: Vec<&OsStr> = cluster.iter().map(OsStr::new).chain(words.map(OsStr::new)).collect();
    match run("squeue", &arguments) {
        Ok(said) => Ok(said.lines().filter_map(Row::parse).collect()),
        // Its answer where it has forgotten all of them.
        Err(Error::Command { fault, .. }) if fault.contains("Invalid job id") => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue() {
        let lines = "CLUSTER: bench\n12|0|RUNNING|n1|3:20|None\n12|1|PENDING||0:00|Resources\n\
             12|2|CANCELLED||0:00|None\n13|N/A|COMPLETING|n2|1-00:00:01|Nodes required | are down\n\nnonsense\n";
        let rows: Vec<Row> = lines.lines().filter_map(Row::parse).collect();
        let said: Vec<String> = rows
            .iter()
            .map(|r| format!("{} {:?} {} {:?} {:?} {:?}", r.job, r.task, r.state, r.node, r.elapsed, r.reason))
            .collect();
        assert_eq!(
            said,
            [
                r#"12 Some(0) running Some("n1") Some("3:20") None"#,
                r#"12 Some(1) pending None None Some("Resources")"#,
                "12 Some(2) cancelled None None None",
                r#"13 None completing Some("n2") Some("1-00:00:01") Some("Nodes required | are down")"#,
            ]
        );
        assert_eq!(rows.iter().map(|row| row.state.is_open()).collect::<Vec<_>>(), [true, true, false, true]);
    }
}
