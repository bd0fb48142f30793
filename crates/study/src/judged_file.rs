//! What judges said of one model's answers, kept as the result of a piece of work: whoever joins the frames reads it.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tunebench_spec::{Judgement, JudgementStatus};

use crate::error::StudyError;
use crate::judgements::Judgements;
use crate::model_key::ModelKey;
use crate::run_folder;

#[derive(Serialize, Deserialize)]
struct JudgedFile {
    judgements: Vec<Judgement>,
    /// Why not all could be judged.
    #[serde(default)]
    stopped: Option<String>,
}

/// Keeps what was said, by the name of the piece of work.
///
/// # Errors
/// When the file cannot be written.
pub fn write(root: &Path, piece: &str, said: &Judgements) -> Result<(), StudyError> {
    let Judgements { judgements, stopped } = said;
    let file = JudgedFile { judgements: judgements.clone(), stopped: stopped.clone() };
    Ok(tunebench_files::write_json(&run_folder::judgements(root, piece), &file)?)
}

/// What was said, under the model's present name; none while the piece is not done.
///
/// # Errors
/// When the file is damaged.
pub fn read(root: &Path, piece: &str, model: &ModelKey) -> Result<Option<Judgements>, StudyError> {
    let path = run_folder::judgements(root, piece);
    if !path.exists() {
        return Ok(None);
    }
    let JudgedFile { mut judgements, stopped } = tunebench_files::read_json(&path).map_err(damaged)?;
    for row in &mut judgements {
        (row.arm, row.seed) = (model.arm.clone(), model.seed);
    }
    Ok(Some(Judgements { judgements, stopped }))
}

/// Takes away the files of what was not judged to the end, so that it is asked about again.
///
/// # Errors
/// When a file is damaged or cannot be removed.
pub fn forget_unfinished(root: &Path) -> Result<(), StudyError> {
    for entry in fs::read_dir(root.join("work"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with("judgements-") || !name.ends_with(".json") {
            continue;
        }
        let file: JudgedFile = tunebench_files::read_json(&path).map_err(damaged)?;
        let is_whole = file.judgements.iter().all(|row| row.status != JudgementStatus::Failed);
        if file.stopped.is_some() || !is_whole {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

fn damaged(source: tunebench_files::Error) -> StudyError {
    StudyError::Damaged { source, remedy: "delete the file; its replies are kept and are read again" }
}
