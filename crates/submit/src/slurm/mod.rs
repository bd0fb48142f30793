//! A study under Slurm: an array job for each stage, each after the one before, and a job that joins.
//!
//! ```text
//! DIR/work/slurm/0-STAGE.sbatch       a script for each stage, as it was submitted
//! DIR/work/slurm/join.sbatch          the last one
//! DIR/work/slurm/jobs.json            the jobs, each written down before the next is submitted
//! DIR/work/slurm/NAME-JOB_TASK.log    what a task said, over all its restarts
//! ```
//!
//! - `scripts`: what is submitted, as text
//! - `commands`: Slurm's own programs
//! - `jobs`: what was submitted, kept
//! - `submit`, `status`

mod commands;
mod jobs;
mod scripts;
mod status;
mod submit;

pub use jobs::Job;
pub(crate) use scripts::WARNING;
pub use scripts::{Options, Script, scripts};
pub use status::{JobStatus, State, Status, TaskStatus, status};
pub use submit::{Submitted, submit};

use std::path::{Path, PathBuf};

/// Where all of it is kept in a run folder.
fn folder(out: &Path) -> PathBuf {
    out.join("work/slurm")
}
