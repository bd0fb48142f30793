//! What is to be done: stages of tasks, one after the other, and the join at the end.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// The exit status of a program that SIGTERM stopped in the middle of its work, which it has kept and would go on with: 128 and
/// the signal's number, as a shell has it. Whoever started it starts it again.
pub const STOPPED: u8 = 143;

/// The most tasks of a stage: Slurm's own bound of arrays is 4,000,001, and clusters set less.
pub(crate) const MOST_TASKS: u32 = 1_000_000;

/// A study to be done by the nodes of a cluster, which all see the same paths.
#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    /// The study's name: what the jobs are called by.
    pub study: String,
    /// The executable `tunebench`, as nodes see it. Absolute, like the other paths.
    pub program: PathBuf,
    /// The study file.
    pub file: PathBuf,
    /// The run folder.
    pub out: PathBuf,
    /// What each call of `study` is given besides, as `--engine fast`.
    pub arguments: Vec<String>,
    /// In their order: each begins when all tasks of the one before have ended, well or not.
    pub stages: Vec<Stage>,
    /// What the last job needs, which judges what is not judged, joins the frames and makes the report.
    pub join: Resources,
}

/// Tasks that may run at once: one depth of the chain of arms, or a round of a grid. A task is a worker that ends after one
/// model, whichever it finds open.
#[derive(Clone, Debug, PartialEq)]
pub struct Stage {
    pub name: String,
    pub tasks: u32,
    /// What each task needs.
    pub needs: Resources,
}

/// What a task needs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resources {
    pub cpus: u32,
    /// In bytes.
    pub memory: u64,
    /// How long it is expected to run.
    pub seconds: f64,
}

impl Submission {
    /// Whether it can be said to a cluster at all.
    ///
    /// # Errors
    /// [`Error::Value`] with the first value that cannot.
    pub fn check(&self) -> Result<(), Error> {
        for (what, path) in
            [("the program", &self.program), ("the study file", &self.file), ("the run folder", &self.out)]
        {
            utf8(what, path)?;
            if !path.is_absolute() {
                return Err(Error::value(
                    format!("{what} `{}`", path.display()),
                    "a job starts in a folder of its own; give an absolute path",
                ));
            }
        }
        let words = [&self.study].into_iter().chain(&self.arguments).chain(self.stages.iter().map(|stage| &stage.name));
        if let Some(word) = words.into_iter().find(|word| word.contains('\0')) {
            return Err(Error::value(format!("{word:?}"), "holds a NUL, which no command line can"));
        }
        if self.stages.is_empty() {
            return Err(Error::value(
                format!("study `{}`", self.study),
                "has no work to submit; run it with `tunebench study`",
            ));
        }
        for stage in &self.stages {
            if stage.tasks == 0 {
                return Err(Error::value(format!("stage `{}`", stage.name), "has no tasks; leave it out"));
            }
            if stage.tasks > MOST_TASKS {
                let fault = format!("has {} tasks, and no cluster takes more than {MOST_TASKS} at once", stage.tasks);
                return Err(Error::value(format!("stage `{}`", stage.name), fault));
            }
            stage.needs.check(&stage.name)?;
        }
        self.join.check("join")
    }

    /// The command of a task: a worker that does one model's pieces. What asks servers is left to the join, because nodes
    /// that compute often see none.
    pub(crate) fn task(&self) -> Result<Vec<&str>, Error> {
        self.study_command(&["--worker", "--models", "1", "--leave-judging"])
    }

    /// The command of a worker that stays until nothing is left.
    pub(crate) fn worker(&self) -> Result<Vec<&str>, Error> {
        self.study_command(&["--worker", "--leave-judging"])
    }

    /// The command that judges what is left and joins the frames.
    pub(crate) fn join(&self) -> Result<Vec<&str>, Error> {
        self.study_command(&["--join"])
    }

    /// The command that makes the report.
    pub(crate) fn report(&self) -> Result<Vec<&str>, Error> {
        Ok(vec![utf8("the program", &self.program)?, "report", utf8("the run folder", &self.out)?])
    }

    fn study_command<'a>(&'a self, flags: &[&'a str]) -> Result<Vec<&'a str>, Error> {
        let mut words = vec![utf8("the program", &self.program)?, "study", utf8("the study file", &self.file)?];
        words.extend(["--out", utf8("the run folder", &self.out)?]);
        words.extend(flags);
        words.extend(self.arguments.iter().map(String::as_str));
        Ok(words)
    }
}

impl Resources {
    /// The memory with room for a forecast that is off, in MiB.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "saturates"
    )]
    pub(crate) fn mebibytes(&self, factor: f64) -> u64 {
        ((self.memory as f64 * factor / f64::from(1 << 20)).ceil() as u64).max(1)
    }

    fn check(&self, of: &str) -> Result<(), Error> {
        let fault = match self {
            Self { cpus: 0, .. } => "asks for no CPU",
            Self { memory: 0, .. } => "asks for no memory, which Slurm reads as all of a node's",
            Self { seconds, .. } if !seconds.is_finite() || *seconds < 0.0 => "its time is no number of seconds",
            _ => return Ok(()),
        };
        Err(Error::value(format!("stage `{of}`"), fault))
    }
}

/// A path as text.
///
/// # Errors
/// [`Error::Value`] for a path that is none.
pub(crate) fn utf8<'a>(what: &str, path: &'a Path) -> Result<&'a str, Error> {
    let no_text = || Error::value(format!("{what} {path:?}"), "is not UTF-8, so that no script can name it; rename it");
    path.to_str().ok_or_else(no_text)
}
