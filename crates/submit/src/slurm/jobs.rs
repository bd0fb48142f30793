//! The jobs of a submission, as they are kept in the run folder.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tunebench_files as files;

use crate::error::Error;
use crate::slurm::folder;

/// A job that was submitted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The stage's name; `join` for the last.
    pub stage: String,
    /// Slurm's number.
    pub id: u64,
    /// The cluster, where sbatch named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Tasks of its array; none for the join.
    pub tasks: Option<u32>,
    /// The file's name in the folder of scripts.
    pub script: String,
}

/// All jobs of a submission, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Jobs {
    pub study: String,
    pub jobs: Vec<Job>,
}

impl Jobs {
    /// What was submitted from this run folder last.
    ///
    /// # Errors
    /// When the file is damaged or cannot be read.
    pub fn read(out: &Path) -> Result<Option<Self>, Error> {
        match files::read_json(&path(out)) {
            Ok(jobs) => Ok(Some(jobs)),
            Err(files::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub fn write(&self, out: &Path) -> Result<(), Error> {
        Ok(files::write_json(&path(out), self)?)
    }
}

fn path(out: &Path) -> PathBuf {
    folder(out).join("jobs.json")
}
