//! Notes of work that failed, for the other processes that work on the same run: they pass over it, and over what starts from
//! it. The next run takes the notes away and tries again.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_files::Owner;

use crate::error::StudyError;
use crate::run_folder;

/// What is noted.
#[derive(Debug, Serialize, Deserialize)]
struct Failure {
    /// The name of the piece.
    piece: String,
    error: String,
    by: Owner,
}

/// Notes that a piece failed, and why.
///
/// # Errors
/// When the note cannot be written.
pub fn note(root: &Path, piece: &str, error: &StudyError, by: &Owner) -> Result<(), StudyError> {
    let failure = Failure { piece: piece.to_owned(), error: error.to_string(), by: by.clone() };
    Ok(tunebench_files::write_json(&run_folder::failure(root, piece), &failure)?)
}

/// Why a piece failed, where that is noted: an error like the one that another process had.
///
/// # Errors
/// When the note cannot be read.
pub fn noted(root: &Path, piece: &str) -> Result<Option<StudyError>, StudyError> {
    let path = run_folder::failure(root, piece);
    if !path.exists() {
        return Ok(None);
    }
    let found: Failure = tunebench_files::read_json(&path)
        .map_err(|source| StudyError::Damaged { source, remedy: "delete the file to try its work again" })?;
    Ok((found.piece == piece).then(|| StudyError::FailedElsewhere { error: found.error, by: shown(&found.by) }))
}

/// Takes all notes away.
///
/// # Errors
/// When one cannot be removed.
pub fn forget(root: &Path) -> Result<(), StudyError> {
    let work = root.join("work");
    for entry in if work.exists() { Some(fs::read_dir(work)?) } else { None }.into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with("failed-") && name.ends_with(".json")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A process, for messages: `n2, process 12, job 7_3`.
pub fn shown(owner: &Owner) -> String {
    let Owner { host, process, job } = owner;
    let job = if job.is_empty() { String::new() } else { format!(", job {job}") };
    format!("{host}, process {process}{job}")
}
