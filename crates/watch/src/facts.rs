//! All that is known of a run folder at one moment, before anything is made of it.

use std::collections::BTreeMap;

use tunebench_spec::progress::Progress;

use crate::log::{ItemLog, TrainingLog};
use crate::process::Process;

/// The log of a piece.
#[derive(Debug)]
pub enum Log {
    Training(TrainingLog),
    Items(ItemLog),
}

/// All that is known of a folder.
pub struct Facts<'a> {
    /// None where no study has begun.
    pub progress: Option<&'a Progress>,
    /// By the piece's name.
    pub logs: BTreeMap<&'a str, &'a Log>,
    pub process: Process,
    /// Bytes that the machine has.
    pub total_memory: Option<u64>,
    pub now_unix_seconds: f64,
    /// When the study wrote something last.
    pub last_change_unix_seconds: Option<f64>,
    /// What could not be read, in words.
    pub troubles: Vec<String>,
}
