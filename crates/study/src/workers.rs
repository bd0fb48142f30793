//! Several processes on one run: which part of it this one takes, and which piece of work is whose.

use std::path::Path;
use std::time::Duration;

use tunebench_files::{Claim, Claims, Owner, Taken};

use crate::error::StudyError;
use crate::observer::{Event, Observer, Stop};
use crate::run_folder::{self, Sharing, short};
use crate::work::{Piece, PieceKind};

/// What of a run a process takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it, beside its workers if there are any, and what comes together at the end.
    #[default]
    Whole,
    /// Pieces of work that nobody else does, until none is left.
    Worker {
        /// It ends when it has done the work on so many models.
        models: Option<u32>,
        /// Judging is left to others.
        leaves_judging: bool,
    },
    /// What comes together at the end, and judging; what is not trained, measured or answered is told.
    Join,
}

impl Part {
    /// With whom it shares the run folder.
    pub fn sharing(self) -> Sharing {
        match self {
            Self::Whole => Sharing::WithWorkers,
            Self::Worker { .. } => Sharing::AsWorker,
            Self::Join => Sharing::Alone,
        }
    }

    /// Whether it does pieces of this kind.
    pub fn does(self, kind: PieceKind) -> bool {
        match self {
            Self::Whole => true,
            Self::Worker { leaves_judging, .. } => !leaves_judging || kind != PieceKind::Judge,
            Self::Join => kind == PieceKind::Judge,
        }
    }
}

/// How long a process on another machine may give no sign before its work is taken over.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// The job of a scheduler that this process is: of Slurm or of Kubernetes; empty without one.
fn scheduled() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    let slurm = || {
        let array = variable("SLURM_ARRAY_JOB_ID").zip(variable("SLURM_ARRAY_TASK_ID"));
        array.map(|(job, task)| format!("{job}_{task}")).or_else(|| variable("SLURM_JOB_ID"))
    };
    slurm()
        .or_else(|| Some(format!("{}-{}", variable("HOSTNAME")?, variable("JOB_COMPLETION_INDEX")?)))
        .unwrap_or_default()
}

/// This process among those that work on a run.
pub struct Worker {
    pub me: Owner,
    claims: Claims,
}

impl Worker {
    /// In this run folder.
    ///
    /// # Errors
    /// When the folder of claims cannot be made.
    pub fn new(root: &Path, patience: Duration) -> Result<Self, StudyError> {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let me = Owner { host: host.trim().to_owned(), process: std::process::id(), job: scheduled() };
        let claims = Claims::new(&run_folder::claims(root), me.clone(), patience)?;
        Ok(Self { me, claims })
    }

    /// Takes a piece of work, unless another process does it. A training has one claim however far it is to go. One process
    /// judges at a time: a server's limits and the budget are kept by whoever asks.
    ///
    /// # Errors
    /// When a claim cannot be read or written.
    pub fn take(&self, piece: &Piece, training: &str) -> Result<Taken, StudyError> {
        let name = match piece.kind {
            PieceKind::Train => format!("train-{}", short(training)),
            PieceKind::Measure => format!("measure-{}", short(&piece.id)),
            PieceKind::Answer => format!("answer-{}", short(&piece.id)),
            PieceKind::Judge => return self.take_judging(),
        };
        Ok(self.claims.take(&name)?)
    }

    /// Takes judging, unless another process judges.
    ///
    /// # Errors
    /// When the claim cannot be read or written.
    pub fn take_judging(&self) -> Result<Taken, StudyError> {
        Ok(self.claims.take("judge")?)
    }

    /// Takes what comes together at the end, unless another process does that.
    ///
    /// # Errors
    /// When the claim cannot be read or written.
    pub fn take_end(&self) -> Result<Option<Claim>, StudyError> {
        Ok(match self.claims.take("join")? {
            Taken::Mine(claim) => Some(claim),
            Taken::Busy(_) => None,
        })
    }
}

/// Work under a claim: it ends early when the claim is lost.
pub struct Claimed<'o> {
    pub observer: &'o mut dyn Observer,
    pub claim: &'o Claim,
    /// Whether what happens is told.
    pub is_told: bool,
}

/// Work of several pieces at once, each under its claim: it ends early when one of them is lost.
pub struct ClaimedTogether<'o> {
    pub observer: &'o mut dyn Observer,
    pub claims: &'o [&'o Claim],
}

impl Observer for ClaimedTogether<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        self.observer.on_event(event);
    }

    fn stop(&self) -> Stop {
        if self.claims.iter().any(|claim| claim.is_lost()) { Stop::Soon } else { self.observer.stop() }
    }
}

impl Observer for Claimed<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        if self.is_told {
            self.observer.on_event(event);
        }
    }

    fn stop(&self) -> Stop {
        if self.claim.is_lost() { Stop::Soon } else { self.observer.stop() }
    }
}
