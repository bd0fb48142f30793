//! What can go wrong with a study, and what of it fails one arm alone.

use std::fmt::Display;
use std::path::PathBuf;

use tunebench_host::HostError;
use tunebench_kernels::machine::memory::MemoryLimit;

use crate::memory;

/// Why a study cannot be planned, run or opened again. A message says what is wrong, where, and what to do; it quotes
/// its source.
#[derive(Debug, thiserror::Error)]
pub enum StudyError {
    /// A plugin refused, or broke: [`HostError::is_fault`].
    #[error(transparent)]
    Plugin(#[from] HostError),
    #[error("arm `{arm}`: it starts from `{parent}`, which failed")]
    ParentFailed { arm: String, parent: String },
    /// What is wrong with one arm.
    #[error("arm `{arm}`: {source}")]
    Arm { arm: String, source: Box<Self> },
    /// What is wrong with a model, a dataset, a file or another place.
    #[error("{place}: {source}")]
    At { place: String, source: Box<Self> },
    /// The study asks for what cannot be.
    #[error("{0}")]
    Invalid(String),
    /// What the study names is not on this machine, or not yet.
    #[error("{0}")]
    Absent(String),
    #[error(
        "the study names the plugin file {0}, which may run any code; if you trust it, run `tunebench plugins add {0}`, \
         or give it with --plugin",
        path.display()
    )]
    UntrustedPlugin { path: PathBuf },
    #[error("no arm `{name}`; there are: {known}")]
    UnknownArm { name: String, known: String },
    #[error(
        "training takes {} at its peak, and there is {limit}. {}",
        memory::shown(*needed),
        memory::REMEDY
    )]
    TooLarge { needed: u64, limit: Box<MemoryLimit> },
    #[error(
        "`{0}` is a model as the study names it, and no arm of this run was trained on it, so the run folder has nothing of it to open"
    )]
    NothingTrained(String),
    #[error("{}: its training is not finished", folder.display())]
    Unfinished { folder: PathBuf },
    /// `files` are a model's, its adapter's too.
    #[error("{files}: the files are not those the arm was trained on; bring those back or run the study again")]
    BaseChanged { files: String },
    #[error("{}: another run is writing to it; let it end first", folder.display())]
    Busy { folder: PathBuf },
    /// The folder holds another text of the study than a worker was given.
    #[error(
        "{}: it holds another version of this study, which a worker cannot change; start `study` without --worker first, or give \
         all workers the same file",
        folder.display()
    )]
    OtherVersion { folder: PathBuf },
    #[error("stopped; what was computed is kept, run the study again to go on")]
    Stopped,
    /// Another process took this work over, because it had no sign of this one for too long.
    #[error("another process took this work over, as nothing was heard of this one for too long; it goes on there")]
    ClaimLost,
    /// What another process noted.
    #[error("{error} (on {by}; run `study` without --worker to try it again)")]
    FailedElsewhere { error: String, by: String },
    /// Asked to join what is there, and this is not.
    #[error("`{model}`: {pieces} not done yet; workers (`study --worker`), or `study` by itself, go on with it")]
    Unjoined { model: String, pieces: String },
    #[error(
        "{}: it holds the study `{found}`, and this is `{name}`: its frames would be lost; give this one another folder with --out",
        folder.display()
    )]
    OtherStudy { folder: PathBuf, found: String, name: String },
    #[error(
        "arm `{arm}`: it has no candidate yet that is the arm, because work on its grid, or on what it starts from, failed"
    )]
    Undecided { arm: String },
    /// Of the ranks of a run one could not do what all were to do.
    #[error("rank {rank}: {error}")]
    OfRank { rank: usize, error: String },
    #[error("{}: answers are missing after answering", path.display())]
    AnswersMissing { path: PathBuf },
    /// Not all answers of a model could be judged; the others have the status failed, and a later run judges them.
    #[error("`{model}`: judging stopped: {reason}")]
    JudgingStopped { model: String, reason: String },
    /// The end of a run in which something failed.
    #[error(
        "{} failed; what is done is kept, run the study again to go on: {}",
        .0.len(),
        .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    )]
    Failed(Vec<Self>),
    /// A file of the run folder that is not what was written.
    #[error("{source}; {remedy}")]
    Damaged { source: tunebench_files::Error, remedy: &'static str },
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error(transparent)]
    Definition(#[from] tunebench_spec::study::StudyError),
    #[error(transparent)]
    Shape(#[from] tunebench_spec::decoder::ConfigError),
    #[error(transparent)]
    Hub(#[from] tunebench_hub::Error),
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error(transparent)]
    Dataset(#[from] tunebench_dataset::Error),
    #[error(transparent)]
    Training(#[from] tunebench_train::Error),
    /// Between the ranks of a run.
    #[error(transparent)]
    Exchange(#[from] tunebench_exchange::Error),
    #[error(transparent)]
    Adapter(#[from] tunebench_peft::Error),
    #[error(transparent)]
    Export(#[from] tunebench_export::Error),
    #[error(transparent)]
    Generation(#[from] tunebench_generate::Error),
    #[error(transparent)]
    Judging(#[from] tunebench_judge::JudgeError),
    #[error(transparent)]
    LocalChat(#[from] tunebench_local_chat::Error),
    #[error(transparent)]
    Board(#[from] tunebench_tensorboard::Error),
    #[error(transparent)]
    Results(#[from] tunebench_results::Error),
}

impl StudyError {
    /// Whether this fails the arm it is about, and what starts from that, and nothing else: a plugin broke while it
    /// worked. Anything else that is found before work begins is wrong with the study, and ends the run.
    pub fn fails_its_arm_only(&self) -> bool {
        match self {
            Self::Plugin(error) => error.is_fault(),
            Self::ParentFailed { .. } => true,
            Self::Arm { source, .. } | Self::At { source, .. } => source.fails_its_arm_only(),
            _ => false,
        }
    }

    /// Whether this is so on this machine alone, as far as can be told: another one may do the work.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            // Of another rank nothing is known but that the ranks together could not.
            Self::TooLarge { .. } | Self::OfRank { .. } => true,
            Self::Arm { source, .. } | Self::At { source, .. } => source.is_of_this_machine(),
            _ => false,
        }
    }

    /// Whether the ranks of a run can do nothing together any more: one has ended, or is out of step.
    pub fn is_of_ranks_apart(&self) -> bool {
        use tunebench_exchange::Error::Differs; // all come to it, and may go on together
        match self {
            Self::Exchange(error) => !matches!(error, Differs { .. }),
            Self::Training(error) => !error.is_of_all_ranks(),
            Self::Arm { source, .. } | Self::At { source, .. } => source.is_of_ranks_apart(),
            _ => false,
        }
    }

    /// Whether a file of a run is not there, which on another machine than its writer's may change.
    pub fn is_unseen(&self) -> bool {
        let is_missing = |error: &std::io::Error| error.kind() == std::io::ErrorKind::NotFound;
        match self {
            Self::Unfinished { .. } => true,
            Self::Io(error) => is_missing(error),
            Self::Files(tunebench_files::Error::Io { source, .. }) => is_missing(source),
            Self::Arm { source, .. } | Self::At { source, .. } => source.is_unseen(),
            _ => false,
        }
    }

    /// Whether something that the study names is not here, which hinders nobody from planning it.
    pub fn is_absence(&self) -> bool {
        match self {
            Self::Absent(_) => true,
            Self::Arm { source, .. } | Self::At { source, .. } => source.is_absence(),
            _ => false,
        }
    }
}

/// Says where an error happened.
pub(crate) trait Locate<T> {
    /// Puts `PLACE: ` in front, but for the end that the user asked for.
    fn at(self, place: impl Display) -> Result<T, StudyError>;

    /// Puts ``arm `NAME`: `` in front, but for what says so already, and for the end that the user asked for.
    fn in_arm(self, arm: &str) -> Result<T, StudyError>;
}

impl<T, E: Into<StudyError>> Locate<T> for Result<T, E> {
    fn at(self, place: impl Display) -> Result<T, StudyError> {
        self.map_err(|error| match error.into() {
            StudyError::Stopped => StudyError::Stopped,
            error => StudyError::At { place: place.to_string(), source: Box::new(error) },
        })
    }

    fn in_arm(self, arm: &str) -> Result<T, StudyError> {
        self.map_err(|error| match error.into() {
            named @ (StudyError::ParentFailed { .. } | StudyError::Stopped) => named,
            error => StudyError::Arm { arm: arm.to_owned(), source: Box::new(error) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(is_broken: bool) -> StudyError {
        let [plugin, operation, reason] = ["stress", "reading rows", "because"].map(str::to_owned);
        match is_broken {
            true => HostError::Panicked { plugin, operation, reason }.into(),
            false => HostError::Refused { plugin, operation, reason }.into(),
        }
    }

    #[test]
    fn only_what_a_plugin_broke_fails_its_arm_alone() {
        let within = |error: StudyError| Err::<(), _>(error).at("dataset `x`").in_arm("a").unwrap_err();
        let parent = || StudyError::ParentFailed { arm: "b".into(), parent: "a".into() };
        for (error, want) in [
            (plugin(true), true),
            (plugin(false), false),
            (parent(), true),
            (StudyError::Invalid("no".into()), false),
            (std::io::Error::other("no").into(), false),
        ] {
            assert_eq!(error.fails_its_arm_only(), want, "{error}");
            let error = within(error);
            assert_eq!(error.fails_its_arm_only(), want, "{error}");
        }
        assert!(!StudyError::Failed(vec![plugin(true)]).fails_its_arm_only());
    }

    #[test]
    fn messages_say_each_thing_once() {
        let error = Err::<(), _>(plugin(false)).at("dataset `x`").in_arm("a").unwrap_err();
        assert_eq!(error.to_string(), "arm `a`: dataset `x`: plugin `stress`: reading rows: because");
        let parent = StudyError::ParentFailed { arm: "b".into(), parent: "a".into() };
        let parent = Err::<(), _>(parent).in_arm("b").unwrap_err();
        assert_eq!(parent.to_string(), "arm `b`: it starts from `a`, which failed");
        assert_eq!(
            StudyError::Failed(vec![error, parent]).to_string(),
            "2 failed; what is done is kept, run the study again to go on: arm `a`: dataset `x`: plugin `stress`: \
             reading rows: because; arm `b`: it starts from `a`, which failed"
        );
    }
}
