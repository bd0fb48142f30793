//! What a running study says of itself: the file `work/progress.json` of its folder, for whoever watches it.
//!
//! The study writes the whole file whenever its work changes. How far a piece is stands in the log that the piece
//! writes anyway. A reader meets files of other versions: fields that it does not know are passed over, and all but
//! the study's name, its process and the names of the pieces may be missing.

use serde::{Deserialize, Serialize};

/// Where the file is, within the folder of a run.
pub const FILE: &str = "work/progress.json";

/// A study and the state of all its work.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The study's name.
    pub study: String,
    /// The process that runs it, or ran it last.
    pub process: u32,
    /// The name of the machine it runs on, as its kernel says it (`/proc/sys/kernel/hostname`): the process is looked for
    /// there only.
    #[serde(default)]
    pub host: String,
    /// When this run of the study began, seconds since 1970-01-01 UTC.
    #[serde(default)]
    pub started_unix_seconds: u64,
    /// When that process began to work on it, seconds since 1970-01-01 UTC: others may have begun before. 0 where it is not known.
    #[serde(default)]
    pub process_unix_seconds: u64,
    #[serde(default)]
    pub state: RunState,
    /// In the order in which they are worked on.
    #[serde(default)]
    pub pieces: Vec<PieceProgress>,
    /// The last warnings and errors, oldest first.
    #[serde(default)]
    pub messages: Vec<String>,
}

/// How it stands with a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    #[default]
    Running,
    /// All its work is done.
    Finished,
    /// It came to its end, and some of the work failed.
    Failed,
    /// It was told to stop, and left off at a checkpoint.
    Interrupted,
}

/// One piece of work: something that is done whole, and found again by its name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PieceProgress {
    /// Its name, unique within the study.
    pub id: String,
    /// What is done: `train`, `measure`, `select`, `answer` or `judge`.
    #[serde(default)]
    pub kind: String,
    #[serde(default)]
    pub arm: String,
    #[serde(default)]
    pub seed: u64,
    /// What of a grid it is, such as `learning_rate = 0.0002`; empty outside a grid.
    #[serde(default)]
    pub candidate: String,
    #[serde(default)]
    pub state: PieceState,
    /// Optimizer steps of a training, items of anything else; null where nobody knows beforehand.
    #[serde(default)]
    pub total: Option<u64>,
    /// How long all of it takes, as was predicted before it began.
    #[serde(default)]
    pub predicted_seconds: Option<f64>,
    /// The file that grows by a line for each step or item, relative to the folder of the run.
    #[serde(default)]
    pub log: Option<String>,
    /// Why it failed or was skipped.
    #[serde(default)]
    pub error: Option<String>,
    /// The process that does it or did it last: the machine's name, its number, and the job of a scheduler that it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub by: String,
}

/// How it stands with a piece of work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PieceState {
    #[default]
    Waiting,
    Running,
    Done,
    Failed,
    /// It could not be done, because something that it needs failed, or it need not be.
    Skipped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_of_other_versions() {
        let text = r#"{"study":"s","process":7,"later":{"x":1},"pieces":[{"id":"a","colour":"red"}]}"#;
        let progress: Progress = serde_json::from_str(text).unwrap();
        assert_eq!((progress.study.as_str(), progress.process, progress.state), ("s", 7, RunState::Running));
        let piece = &progress.pieces[0];
        assert_eq!((piece.id.as_str(), piece.state, piece.total, &piece.log), ("a", PieceState::Waiting, None, &None));
    }

    #[test]
    fn is_read_as_it_was_written() {
        let piece = PieceProgress {
            id: "train-1".into(),
            kind: "train".into(),
            arm: "lora".into(),
            seed: 3,
            candidate: "learning_rate = 0.0002".into(),
            state: PieceState::Failed,
            total: Some(120),
            predicted_seconds: Some(61.5),
            log: Some("work/train-1/steps.jsonl".into()),
            error: Some("no memory".into()),
            by: "n1, process 7".into(),
        };
        let progress = Progress {
            study: "s".into(),
            process: 7,
            host: "h".into(),
            started_unix_seconds: 1_700_000_000,
            process_unix_seconds: 1_700_000_300,
            state: RunState::Interrupted,
            pieces: vec![piece],
            messages: vec!["one".into()],
        };
        let text = serde_json::to_string(&progress).unwrap();
        assert!(text.contains(r#""state":"interrupted""#) && text.contains(r#""state":"failed""#), "{text}");
        assert_eq!(serde_json::from_str::<Progress>(&text).unwrap(), progress);
    }
}
