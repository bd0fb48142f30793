//! TensorBoard's event files of trainings, beside the frames: `OUT/tensorboard/ARM/seed-N/`.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tunebench_spec::{LossLog, StepLog};
use tunebench_tensorboard::{Loss, TrainingEvents};

use crate::error::StudyError;
use crate::model_key::ModelKey;
use crate::run_folder;

/// The event file of a training that goes on.
pub struct Board(TrainingEvents);

impl Board {
    /// Writes what is logged so far, and goes on from there; `recipe` is shown as text.
    ///
    /// # Errors
    /// When the logs cannot be read, or the file cannot be written.
    pub fn begin(root: &Path, model: &ModelKey, identity: &str, recipe: &str) -> Result<Self, StudyError> {
        let training = run_folder::training(root, identity);
        let start = start_unix_seconds(&training)?;
        let steps = tunebench_train::steps(&training)?;
        let losses: Vec<Loss> = tunebench_train::losses(&training)?.iter().map(event).collect();
        let text = [("recipe".to_owned(), recipe.to_owned())];
        Ok(Self(TrainingEvents::begin(&folder(root, model), start, &steps, &losses, &text)?))
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn step(&mut self, step: &StepLog) -> Result<(), StudyError> {
        Ok(self.0.step(step)?)
    }

    /// # Errors
    /// When the file cannot be written.
    pub fn loss(&mut self, loss: &LossLog) -> Result<(), StudyError> {
        Ok(self.0.loss(&event(loss))?)
    }
}

fn event(loss: &LossLog) -> Loss {
    let LossLog { step, set, loss, bits_per_byte, .. } = loss.clone();
    Loss { step, set, loss, bits_per_byte: Some(bits_per_byte), seconds: 0.0 }
}

/// When the training first began, seconds since 1970; kept, so that the same logs are the same events.
fn start_unix_seconds(training: &Path) -> Result<f64, StudyError> {
    let file = training.join("begun.json");
    if file.exists() {
        return Ok(tunebench_files::read_json(&file)?);
    }
    tunebench_files::create_folder(training)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()) as f64;
    tunebench_files::write_json(&file, &now)?;
    Ok(now)
}

/// TensorBoard calls a run by its folder, so that has the names of the study, without what a file system minds.
fn folder(root: &Path, model: &ModelKey) -> PathBuf {
    let ModelKey { arm, candidate, seed, .. } = model;
    let folder = root.join("tensorboard").join(file_name(arm));
    let folder = if candidate.is_empty() { folder } else { folder.join(file_name(candidate)) };
    folder.join(format!("seed-{seed}"))
}

fn file_name(name: &str) -> String {
    let is_kept = |c: char| c.is_alphanumeric() || "-_+=(), .".contains(c);
    let kept: String = name.chars().map(|c| if is_kept(c) { c } else { '_' }).take(80).collect();
    // Neither the folder above nor a hidden one.
    if kept.starts_with('.') { format!("_{kept}") } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leads_elsewhere() {
        for (name, want) in
            [("a/b", "a_b"), ("..", "_.."), ("全参数 (2000)", "全参数 (2000)"), ("a\0\u{1b}[1m", "a___1m")]
        {
            assert_eq!(file_name(name), want);
        }
    }
}
