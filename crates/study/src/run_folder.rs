//! What a run keeps, and where. Work is named by the hash of all that it depends on, so finished work is found
//! again, changed work gets a new name, and nothing is ever overwritten by something else.
//!
//! ```text
//! OUT/study.toml             the study as it was run
//! OUT/*.parquet              the frames: all that an analyst needs
//! OUT/judges.json            judges that were added to those of the study
//! OUT/labels.jsonl           people's marks of answers, a line each
//! OUT/work/train-ID/         one training: checkpoint, steps.jsonl, losses.jsonl, result, arm.json when finished
//! OUT/work/losses-ID.json    one model's losses on texts that nobody learns from
//! OUT/work/answers-ID.jsonl  one model's generations, a line each as they come
//! OUT/work/items.jsonl       the evaluation items, so that answers can be judged again without the study's data
//! OUT/work/local_models.json where models are that a judge may ask, as local:ID
//! OUT/work/replies.jsonl     every reply of a judge model, with its request
//! OUT/work/batches/          what is known of a judge's batches that were sent
//! ```

use std::path::{Path, PathBuf};

use tunebench_files as files;
use tunebench_spec::Study;

use crate::error::{Locate, StudyError};

/// A run folder, locked while a study writes to it.
pub struct RunFolder {
    root: PathBuf,
    _lock: files::Lock,
}

impl RunFolder {
    /// Opens or makes the folder for writing.
    ///
    /// # Errors
    /// When it cannot be made, or another run is writing to it.
    pub fn open(root: &Path) -> Result<Self, StudyError> {
        let work = root.join("work");
        files::create_folder(&work).at(format_args!("run folder {}", root.display()))?;
        let lock = files::Lock::acquire(&work.join("lock")).map_err(|error| match error {
            files::Error::Locked { .. } => StudyError::Busy { folder: root.to_owned() },
            error => error.into(),
        })?;
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of an arm's training.
    pub fn training(&self, identity: &str) -> PathBuf {
        training(&self.root, identity)
    }

    /// The file of a model's generations.
    pub fn generations(&self, identity: &str) -> PathBuf {
        self.root.join(answers_log(identity))
    }

    /// The file of a judge model's replies.
    pub fn replies(&self) -> PathBuf {
        self.root.join("work/replies.jsonl")
    }

    /// What is known of a judge's batches that were sent.
    pub fn batches(&self) -> PathBuf {
        self.root.join("work/batches")
    }
}

/// The study as it was run.
///
/// # Errors
/// When it is not there, or no study.
pub fn study(root: &Path) -> Result<Study, StudyError> {
    let file = root.join("study.toml");
    let text = std::fs::read_to_string(&file).at(format_args!("{}: no run folder", file.display()))?;
    Study::from_toml(&text).at(file.display())
}

/// The evaluation items within a run folder.
pub fn items(root: &Path) -> PathBuf {
    root.join("work/items.jsonl")
}

/// Where the models are that our own engine runs for a judge, within a run folder.
pub fn local_models(root: &Path) -> PathBuf {
    root.join("work/local_models.json")
}

/// The judges that were added to those of the study, within a run folder.
pub fn judges(root: &Path) -> PathBuf {
    root.join("judges.json")
}

/// People's marks within a run folder.
pub fn labels(root: &Path) -> PathBuf {
    root.join("labels.jsonl")
}

/// The folder of an arm's training within a run folder.
pub fn training(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("train-{}", short(identity)))
}

/// Where a training logs its steps, relative to the run folder.
pub fn steps_log(identity: &str) -> String {
    format!("work/train-{}/steps.jsonl", short(identity))
}

/// Where a model's generations are, relative to the run folder.
pub fn answers_log(identity: &str) -> String {
    format!("work/answers-{}.jsonl", short(identity))
}

/// The file of a model's losses within a run folder.
pub fn losses(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("losses-{}.json", short(identity)))
}

fn short(identity: &str) -> &str {
    identity.get(..16).unwrap_or(identity)
}
