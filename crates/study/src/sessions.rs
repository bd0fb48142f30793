//! By what a training is computed, from one resumption to the next: times of trainings are comparable where they are computed alike,
//! and another level of CPU instructions rounds otherwise.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_kernels::SimdLevel;
use tunebench_kernels::machine::threads;

use crate::error::StudyError;
use crate::run_folder;

/// A stretch of a training that was computed by one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Of CPU instructions.
    pub level: String,
    pub ranks: usize,
    /// Of each rank.
    pub threads: usize,
}

impl Session {
    /// This process and others like it, so many altogether.
    ///
    /// # Errors
    /// When the environment asks for a level that there is not.
    pub fn of(ranks: usize) -> Result<Self, StudyError> {
        let level = SimdLevel::chosen().map_err(tunebench_model::Error::from)?.name().to_owned();
        Ok(Self { level, ranks, threads: threads::products() })
    }
}

/// `avx2, 2 threads` or `avx2, 4 ranks of 1 thread`.
impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { level, ranks, threads } = self;
        write!(f, "{level}, ")?;
        if *ranks > 1 {
            write!(f, "{ranks} ranks of ")?;
        }
        write!(f, "{threads} thread{}", if *threads == 1 { "" } else { "s" })
    }
}

/// All that computed a training.
pub fn shown(sessions: &[Session]) -> String {
    sessions.iter().map(ToString::to_string).collect::<Vec<_>>().join("; then ")
}

/// Notes by what a training goes on, before it does; all that computed it, this last. What computed steps that are not kept is
/// forgotten.
///
/// # Errors
/// When the file cannot be read or written.
pub fn begin(root: &Path, identity: &str, now: Session) -> Result<Vec<Session>, StudyError> {
    let training = run_folder::training(root, identity);
    let file = training.join("sessions.json");
    let is_new = tunebench_train::steps_done(&training)? == 0 || !file.exists();
    let mut sessions: Vec<Session> = if is_new { Vec::new() } else { tunebench_files::read_json(&file)? };
    if sessions.last() != Some(&now) {
        sessions.push(now);
        tunebench_files::create_folder(&training)?;
        tunebench_files::write_json(&file, &sessions)?;
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_in_words() {
        let session = |level: &str, ranks, threads| Session { level: level.into(), ranks, threads };
        let all = [session("avx2", 1, 2), session("avx512", 4, 1)];
        assert_eq!(shown(&all), "avx2, 2 threads; then avx512, 4 ranks of 1 thread");
    }
}
