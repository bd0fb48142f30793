//! What a run keeps, and where. Work is named by the hash of all that it depends on, so finished work is found
//! again, changed work gets a new name, and nothing is ever overwritten by something else.
//!
//! ```text
//! OUT/study.toml             the study as it was run
//! OUT/*.parquet              the frames: all that an analyst needs
//! OUT/judges.json            judges that were added to those of the study
//! OUT/labels.jsonl           people's marks of answers, a line each
//! OUT/work/train-ID/         one training: checkpoint, steps.jsonl, losses.jsonl, sessions.json (what computes it), result, arm.json when
//!                            finished
//! OUT/work/losses-ID.json    one model's losses on texts that nobody learns from
//! OUT/work/answers-ID.jsonl  one model's generations, a line each as they come
//! OUT/work/answers-ID.rank-N.jsonl  those that another rank makes, until the first one takes them over
//! OUT/work/items.jsonl       the evaluation items, so that answers can be judged again without the study's data
//! OUT/work/local_models.json where models are that a judge may ask, as local:ID
//! OUT/work/judgements-ID.json what judges said of one model's answers
//! OUT/work/failed-ID.json    a piece of work that failed, and why; the next run tries it again
//! OUT/work/claims/           which process does which piece of work
//! OUT/work/joined.json       what was joined into the frames last
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
    _locks: Vec<files::Lock>,
}

/// Who else may write to a run folder meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Alone,
    /// Workers.
    WithWorkers,
    /// One of those workers: another run, and other workers.
    AsWorker,
}

impl RunFolder {
    /// Opens or makes the folder for writing.
    ///
    /// # Errors
    /// When it cannot be made, or somebody is writing to it with whom it is not shared.
    pub fn open(root: &Path, sharing: Sharing) -> Result<Self, StudyError> {
        let work = root.join("work");
        files::create_folder(&work).at(format_args!("run folder {}", root.display()))?;
        let (run, workers) = (work.join("lock"), work.join("workers.lock"));
        let locked = match sharing {
            Sharing::Alone => vec![files::Lock::acquire(&run), files::Lock::acquire(&workers)],
            Sharing::WithWorkers => vec![files::Lock::acquire(&run), files::Lock::share(&workers)],
            Sharing::AsWorker => vec![files::Lock::share(&workers)],
        };
        let locks = locked.into_iter().collect::<Result<_, _>>().map_err(|error| match error {
            files::Error::Locked { .. } => StudyError::Busy { folder: root.to_owned() },
            error => error.into(),
        })?;
        Ok(Self { root: root.to_owned(), _locks: locks })
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
        generations(&self.root, identity)
    }

    /// The file of a judge model's replies.
    pub fn replies(&self) -> PathBuf {
        self.root.join("work/replies.jsonl")
    }

    /// The right to write the frames, which is waited for.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn frames(&self) -> Result<files::Lock, StudyError> {
        Ok(files::Lock::wait(&self.root.join("work/frames.lock"))?)
    }

    /// What is known of a judge's batches that were sent.
    pub fn batches(&self) -> PathBuf {
        self.root.join("work/batches")
    }
}

/// Whether workers are at it.
///
/// # Errors
/// When their lock cannot be opened.
pub fn has_workers(root: &Path) -> Result<bool, StudyError> {
    let lock = root.join("work/workers.lock");
    if !lock.exists() {
        return Ok(false);
    }
    match files::Lock::acquire(&lock) {
        Ok(_) => Ok(false),
        Err(files::Error::Locked { .. }) => Ok(true),
        Err(error) => Err(error.into()),
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

/// What the judges said of a model's answers, within a run folder.
pub fn judgements(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("judgements-{}.json", short(identity)))
}

/// Why a piece of work failed, within a run folder.
pub fn failure(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("failed-{}.json", short(identity)))
}

/// What of a run was joined last, within a run folder.
pub fn joined(root: &Path) -> PathBuf {
    root.join("work/joined.json")
}

/// Forgets what was joined, so that it is done again.
///
/// # Errors
/// When the file cannot be removed.
pub fn forget_joined(root: &Path) -> Result<(), StudyError> {
    match std::fs::remove_file(joined(root)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// Where processes say which piece of work they do, within a run folder.
pub fn claims(root: &Path) -> PathBuf {
    root.join("work/claims")
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

/// The file of a model's generations within a run folder.
pub fn generations(root: &Path, identity: &str) -> PathBuf {
    root.join(answers_log(identity))
}

/// The file of a model's losses within a run folder.
pub fn losses(root: &Path, identity: &str) -> PathBuf {
    root.join("work").join(format!("losses-{}.json", short(identity)))
}

/// The beginning of a name of 64 digits, which tells it from all others of a run.
pub fn short(identity: &str) -> &str {
    identity.get(..16).unwrap_or(identity)
}
