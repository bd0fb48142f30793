//! A submission as scripts for `sbatch`.

use std::path::Path;

use crate::error::Error;
use crate::shell;
use crate::slurm::folder;
use crate::submission::{Resources, STOPPED, Submission, utf8};

/// What a cluster wants to know beside the study, and how much room is left for forecasts that are off.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub partition: Option<String>,
    pub account: Option<String>,
    pub qos: Option<String>,
    pub constraint: Option<String>,
    /// Options of `sbatch` as they are, one each, as `--gres=gpu:1`. They come last, so they win over all others.
    pub extra: Vec<String>,
    /// What the forecast time is multiplied by.
    pub time_factor: f64,
    /// What the forecast memory is multiplied by.
    pub memory_factor: f64,
    /// The longest that the partition lets a job run, in seconds. A task that needs longer is stopped in time and requeued,
    /// and goes on from its checkpoint.
    pub time_limit: Option<f64>,
    /// The most tasks of a stage that may run at once; the partition's own limits hold anyway.
    pub at_once: Option<u32>,
}

impl Default for Options {
    /// No option of the cluster's, and half as much time and a quarter more memory than forecast.
    fn default() -> Self {
        Self {
            partition: None,
            account: None,
            qos: None,
            constraint: None,
            extra: Vec::new(),
            time_factor: 1.5,
            memory_factor: 1.25,
            time_limit: None,
            at_once: None,
        }
    }
}

/// A script, not yet submitted. Each depends on the one before.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// The stage's name; `join` for the last.
    pub stage: String,
    /// Tasks of its array; none for the join.
    pub tasks: Option<u32>,
    /// The file's name in the folder of scripts.
    pub name: String,
    pub text: String,
}

/// How long before the end of its time a task is told, in seconds.
pub(crate) const WARNING: u32 = 120;
/// The least time that is asked for, in minutes: what starting takes on a busy file system must not decide.
const LEAST_MINUTES: u64 = 10;
/// How often a task is requeued by its script at least, before it gives up.
const RESTARTS: f64 = 20.0;

/// The scripts of a submission in their order, the join at the end. Nothing is written or run.
///
/// # Errors
/// [`Error::Value`] for what no script can say.
pub fn scripts(submission: &Submission, options: &Options) -> Result<Vec<Script>, Error> {
    submission.check()?;
    options.check()?;
    let mut scripts = Vec::new();
    for (number, stage) in submission.stages.iter().enumerate() {
        let array = format!("0-{}", stage.tasks - 1);
        let array = options.at_once.map_or(array.clone(), |most| format!("{array}%{most}"));
        let about = format!("stage {} of {}, tasks {array}", number + 1, submission.stages.len());
        let head = head(submission, options, &stage.name, &about, Some(&array), &stage.needs)?;
        scripts.push(Script {
            stage: stage.name.clone(),
            tasks: Some(stage.tasks),
            name: format!("{number}-{}.sbatch", label(&stage.name)),
            text: head + &body(&[submission.task()?], options, &stage.needs, true),
        });
    }
    let head = head(submission, options, "join", "joins what the stages did", None, &submission.join)?;
    let commands = [submission.join()?, submission.report()?];
    let text = head + &body(&commands, options, &submission.join, false);
    scripts.push(Script { stage: "join".into(), tasks: None, name: "join.sbatch".into(), text });
    Ok(scripts)
}

impl Options {
    fn check(&self) -> Result<(), Error> {
        for (what, factor) in [("the time's factor", self.time_factor), ("the memory's factor", self.memory_factor)] {
            if !factor.is_finite() || factor < 1.0 {
                return Err(Error::value(
                    format!("{what} {factor}"),
                    "leaves less than what is forecast; 1 or more is meant",
                ));
            }
        }
        let least = f64::from(2 * WARNING);
        if let Some(limit) = self.time_limit.filter(|limit| limit.is_nan() || *limit < least) {
            let fault = format!(
                "leaves no time to work: a task is stopped {WARNING} s before its end; at least {least} s are meant"
            );
            return Err(Error::value(format!("the time limit {limit} s"), fault));
        }
        if self.at_once == Some(0) {
            return Err(Error::value("tasks at once", "0 of them would never begin"));
        }
        let named = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("constraint", &self.constraint),
        ];
        for (what, value) in named {
            if let Some(value) = value.as_ref().filter(|value| value.is_empty() || value.chars().any(char::is_control))
            {
                return Err(Error::value(format!("{what} {value:?}"), "is no name"));
            }
        }
        for option in &self.extra {
            if !option.starts_with('-') || option.chars().any(char::is_control) {
                return Err(Error::value(format!("{option:?}"), "is no option of sbatch on one line, as --gres=gpu:1"));
            }
        }
        Ok(())
    }
}

/// What Slurm reads.
fn head(
    submission: &Submission,
    options: &Options,
    stage: &str,
    about: &str,
    array: Option<&str>,
    needs: &Resources,
) -> Result<String, Error> {
    let log = log_pattern(&submission.out, array.is_some())?;
    let mut lines = vec![
        "#!/bin/bash".to_owned(),
        format!("# Study {}: {about}. Made by `tunebench submit`.", label(&submission.study)),
        directive("job-name", &job_name(&submission.study, stage)),
    ];
    lines.extend(array.map(|array| directive("array", array)));
    for (option, value) in [
        ("partition", &options.partition),
        ("account", &options.account),
        ("qos", &options.qos),
        ("constraint", &options.constraint),
    ] {
        lines.extend(value.as_ref().map(|value| directive(option, value)));
    }
    lines.extend([
        directive("nodes", "1"),
        directive("ntasks", "1"),
        directive("cpus-per-task", &needs.cpus.to_string()),
        directive("mem", &format!("{}M", needs.mebibytes(options.memory_factor))),
        directive("time", &time(minutes(needs.seconds, options))),
        "#SBATCH --requeue".to_owned(),
        "#SBATCH --open-mode=append".to_owned(),
        format!("#SBATCH --signal=B:USR1@{WARNING}"),
        directive("output", &log),
    ]);
    lines.extend(options.extra.iter().map(|option| format!("#SBATCH {option}")));
    Ok(lines.join("\n") + "\n")
}

/// What a node runs: commands one after the other, as long as they succeed; then what is to happen with a task that was
/// stopped.
fn body(commands: &[Vec<&str>], options: &Options, needs: &Resources, is_array: bool) -> String {
    let calls = commands.iter().map(|words| format!("run {}", shell::command(words)));
    let calls = calls.collect::<Vec<_>>().join("\n[ \"$status\" = 0 ] && ");
    // The last task of an array to start has the array's own number as its job, so that one is no name of a task.
    let task = if is_array { "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID" } else { "$SLURM_JOB_ID" };
    let restarts = restarts(needs.seconds, options);
    format!(
        r#"
set -u
export RAYON_NUM_THREADS="$SLURM_CPUS_PER_TASK"

# {WARNING} s before the time is up Slurm sends USR1 to this shell alone, which asks the program to end. When Slurm itself ends
# a task it sends TERM to all of its processes: the program has its own then, and a second would end it before it has saved.
{run}trap stop USR1
trap : TERM

echo "$(date '+%F %T') on $(hostname): start ${{SLURM_RESTART_COUNT:-0}}"
{calls}
echo "$(date '+%F %T') ended with status $status"

# Stopped with work left ({STOPPED}), or out of time: once more, unless Slurm has done so, or a user has cancelled the task.
task="{task}"
if [ "$status" = {STOPPED} ] || {{ [ -n "$warned" ] && [ "$status" != 0 ]; }}; then
  if [ "${{SLURM_RESTART_COUNT:-0}}" -ge {restarts} ]; then
    echo "requeued {restarts} times already; submit the study again to go on"
  elif [ "$(squeue --noheader --jobs="$task" --states=RUNNING --format=%T)" = RUNNING ]; then
    trap '' TERM
    scontrol requeue "$task" || echo "could not be requeued; submit the study again to go on"
  fi
fi
exit "$status"
"#,
        run = shell::RUN,
    )
}

/// An option with a value, quoted as sbatch reads it: between double quotes, in which a backslash makes the next
/// character itself.
fn directive(option: &str, value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c);
    if value.chars().all(is_plain) {
        return format!("#SBATCH --{option}={value}");
    }
    format!("#SBATCH --{option}=\"{}\"", value.replace('\\', r"\\").replace('"', "\\\""))
}

/// The log files of a job as sbatch writes a pattern: `%` begins a field, and a backslash turns all of them off.
fn log_pattern(out: &Path, is_array: bool) -> Result<String, Error> {
    let folder = folder(out);
    let text = utf8("the run folder", &folder)?;
    if text.contains('\\') || text.chars().any(char::is_control) {
        return Err(Error::value(
            format!("the run folder {out:?}"),
            "Slurm cannot name logs in it, for a backslash or a control character; take another folder",
        ));
    }
    let task = if is_array { "%A_%a" } else { "%j" };
    Ok(format!("{}/%x-{task}.log", text.replace('%', "%%")))
}

/// The file that [`log_pattern`] becomes.
pub(crate) fn log_name(study: &str, stage: &str, job: u64, task: Option<u32>) -> String {
    let task = task.map_or(job.to_string(), |task| format!("{job}_{task}"));
    format!("{}-{task}.log", job_name(study, stage))
}

fn job_name(study: &str, stage: &str) -> String {
    format!("{}-{}", label(study), label(stage))
}

/// A name as a part of a file's name and of a line.
fn label(name: &str) -> String {
    let keep = |c: char| if c.is_alphanumeric() || "._-".contains(c) { c } else { '_' };
    let label: String = name.chars().map(keep).take(60).collect();
    if label.is_empty() { "study".into() } else { label }
}

/// Minutes that are asked for: what is forecast with its room, and the warning.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn minutes(seconds: f64, options: &Options) -> u64 {
    let whole = ((seconds * options.time_factor + f64::from(WARNING)) / 60.0).ceil() as u64;
    let most = options.time_limit.map_or(u64::MAX, |limit| (limit / 60.0).floor() as u64);
    whole.max(LEAST_MINUTES).min(most)
}

/// How often a script requeues its task: twice what the time limit makes necessary.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn restarts(seconds: f64, options: &Options) -> u32 {
    let pieces = options.time_limit.map_or(1.0, |limit| seconds * options.time_factor / (limit - f64::from(WARNING)));
    (2.0 * pieces).ceil().max(RESTARTS) as u32
}

/// Minutes as days-hours:minutes:seconds.
fn time(minutes: u64) -> String {
    format!("{}-{:02}:{:02}:00", minutes / (24 * 60), minutes / 60 % 24, minutes % 60)
}
