//! The study engine: plans, runs and resumes a study, and tells an [`Observer`] what happens. It prints nothing.
//!
//! ```text
//! study file ─ context ─ arm_plan ─ preparation ─ work (a graph of named pieces) ─ run ─ frames
//!                           │            │                                          │
//!                         memory   base_model, examples, identity      executor: training, generations, judgements
//! ```
//!
//! - [`context`]: a study file with its folder and plugins; [`arm_plan`]: what each arm trains, from shapes alone, and
//!   the [`memory`] that takes
//! - [`base_model`]: base models as a study names them, from their [`model_files`], with a [`model_encoder`]; [`base`]: what
//!   trainings start from, opened once for the pieces of work over it
//! - [`hub_files`]: what comes from the hub, downloaded where it is not in the cache
//! - [`examples`]: datasets through their plugins, each read (`source.rs`) and tokenized ([`training_set`]) once, or found in
//!   the [`token_cache`] by the content of its files (`file_content.rs`)
//! - [`arm_recipe`]: an arm's recipe, fitted to its data; [`losses`]: text that nobody learns from, and losses on it
//! - [`prepared_arm`]: a training ready to be done, named by [`identity`] and [`model_key`]; [`preparation`]: all of them, and
//!   the [`evaluation`]
//! - [`variant`]: a training in another form
//! - [`selection`]: which candidate of a grid is the arm; [`candidates`]: those in a run folder
//! - [`work`]: the order of work as plain data; [`work_ahead`]: how much of it there is, and how many processes gain by it;
//!   [`stages`](mod@stages): what a scheduler of jobs is told
//! - [`run`](mod@run): a run of it, whose loop is `round.rs`; [`joining`]: frames of what is done; [`workers`]: which of several processes does what, with [`failures`] noted for the others;
//!   [`executor`]: one piece of work, for one [`evaluated_model`]
//! - [`training`], [`generations`], [`judgements`] with their [`judged_file`]: the three kinds of work; [`prompts`]: what
//!   models are asked, tokenized once; `answering_together.rs`: several models that answer in one batch, `companions.rs` which
//!   may, and `company.rs` who waits for whom
//! - [`judges`]: the judges of a study, [`judge_servers`]: whom they ask, [`judge_cost`]: what that takes; [`together`]: those
//!   that wait for all answers
//! - [`judge_again`]: judging what a run folder holds, again or by another judge; [`judge_probes`] and [`changed_answers`]: whether a
//!   judge minds what it should; [`human_labels`]: people's marks
//! - [`calibration`]: how fast this machine is; [`forecast`]: what a study will take, and how many [`items`](mod@items) it asks
//! - [`board`]: TensorBoard's files; [`progress_file`]: how far a run is, for whoever watches it
//! - [`run_folder`]: what is kept where, named by content; [`trained_arm`]: a trained arm, opened again; [`adapter_export`]: its
//!   adapter for PEFT
//! - [`arm_record`], [`frames`]: the rows that come of it
//! - [`arm_export`]: a trained arm, written for other programs
//! - [`labels`](mod@labels), [`chat`]: the tokens an arm learns from; a trained arm that answers; [`servable`](mod@servable): models for a
//!   server
//! - [`observer`]: what is told, and in [`wording`] how; [`error`]: what can go wrong

#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod adapter_export;
mod answering_together;
pub mod arm_export;
pub mod arm_plan;
pub mod arm_recipe;
pub mod arm_record;
pub mod base;
pub mod base_model;
pub mod board;
pub mod calibration;
pub mod candidates;
pub mod changed_answers;
pub mod chat;
mod companions;
mod company;
pub mod context;
pub mod error;
pub mod evaluated_model;
pub mod evaluation;
pub mod examples;
pub mod executor;
pub mod failures;
mod file_content;
mod follow;
pub mod forecast;
pub mod frames;
pub mod generations;
pub mod hub_files;
pub mod human_labels;
pub mod identity;
pub mod items;
pub mod joining;
pub mod judge_again;
pub mod judge_cost;
pub mod judge_probes;
pub mod judge_servers;
pub mod judged_file;
pub mod judgements;
pub mod judges;
pub mod labels;
pub mod losses;
pub mod memory;
pub mod model_encoder;
pub mod model_files;
pub mod model_key;
pub mod observer;
mod patience;
pub mod preparation;
pub mod prepared_arm;
pub mod progress_file;
pub mod prompts;
pub mod ranks;
mod round;
pub mod run;
pub mod run_folder;
pub mod selection;
pub mod servable;
mod sessions;
mod source;
pub mod stages;
mod stored_weights;
pub mod together;
pub mod token_cache;
pub mod trained_arm;
pub mod training;
pub mod training_set;
pub mod variant;
pub mod wording;
pub mod work;
pub mod work_ahead;
pub mod workers;

use std::path::Path;
use tunebench_exchange::{Alone, Exchange};
use tunebench_model::backend::Backend;

use tunebench_host::Registry;

pub use tunebench_dataset::OverlapReport;
pub use tunebench_export::{Difference, Report};
pub use tunebench_judge::Again;

pub use adapter_export::{AdapterBase, AdapterExport};
pub use arm_plan::PlanReport;
pub use base::Base;
pub use chat::Chat;
pub use context::StudyContext;
pub use error::StudyError;
pub use forecast::{ArmTime, StudyForecast};
pub use hub_files::{Download, OnDownload};
pub use items::Items;
pub use judge_cost::{JudgingForecast, Tokens};
pub use labels::{ArmLabels, ExampleLabels};
pub use model_key::ModelKey;
pub use observer::{ArmForecast, Event, Observer, Stop};
pub use run::{Beside, RunOptions};
pub use servable::{Servable, servable};
pub use stages::{StageAhead, TaskAhead};
pub use token_cache::TokenCache;
pub use trained_arm::TrainedArm;
pub use work::{Piece, PieceKind, WorkGraph};
pub use work_ahead::WorkAhead;
pub use workers::Part;

/// A study, opened: from here it is planned and run.
pub struct Study {
    context: StudyContext,
}

impl Study {
    /// Opens a study file. `plugins` are those it may name without listing their files; `engine` trains and answers.
    ///
    /// # Errors
    /// When the file cannot be read or is no study, or a plugin file is refused.
    pub fn open(file: &Path, plugins: Registry, backend: &'static dyn Backend) -> Result<Self, StudyError> {
        Ok(Self { context: StudyContext::open(file, plugins, backend)? })
    }

    /// What the file says.
    pub fn definition(&self) -> &tunebench_spec::Study {
        &self.context.study
    }

    /// What the user should know of the plugins that were loaded for it, each once.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.context.plugins.warnings()
    }

    /// What each arm trains, in the study's order, before a weight is read.
    ///
    /// # Errors
    /// What is wrong with the study, or what a plugin broke.
    pub fn plan(&self) -> Result<Vec<PlanReport>, StudyError> {
        arm_plan::reports(&self.context, &arm_plan::plan(&self.context)?.whole()?)
    }

    /// Keeps what is measured of this machine in a file, so that it is measured once.
    #[must_use]
    pub fn with_calibration(mut self, file: std::path::PathBuf) -> Self {
        self.context.calibration_file = Some(file);
        self
    }

    /// Tells of downloads from the hub.
    #[must_use]
    pub fn with_downloads(mut self, on_download: OnDownload) -> Self {
        self.context.hub = hub_files::HubFiles::new(on_download);
        self
    }

    /// Downloads all that the study takes from the hub and that is not in its cache; what is there, and where.
    ///
    /// # Errors
    /// What is missing, refused or broken.
    pub fn fetch(&self) -> Result<Vec<(String, Vec<std::path::PathBuf>)>, StudyError> {
        self.context.fetch()
    }

    /// Keeps the tokens of large datasets in a folder, so that they are made once.
    #[must_use]
    pub fn with_token_cache(mut self, cache: TokenCache) -> Self {
        self.context.token_cache = Some(cache);
        self
    }

    /// What the study will take on this machine, from its data: every row is read and tokenized for it, unless an earlier run
    /// did that. What is to be said beforehand comes with it; how far reading is, `observer` hears.
    ///
    /// # Errors
    /// What is wrong with the study or its data.
    pub fn forecast(&self, observer: &mut dyn Observer) -> Result<StudyForecast, StudyError> {
        self.context.must_be_here()?;
        let plans = arm_plan::plan(&self.context)?;
        let mut notes = Notes { warnings: Vec::new(), observer };
        plans.tell(&mut notes);
        let plans = plans.whole()?;
        let preparation = preparation::Preparation::new(&self.context, &plans, Vec::new(), &[], &mut notes)?;
        preparation.remarks(&mut notes);
        preparation.forecast(notes.warnings)
    }

    /// A run of `only` these arms and what they start from, all when empty, as stages of work that may be done at once.
    ///
    /// # Errors
    /// What is wrong with the study or its data.
    pub fn stages(&self, only: &[String], observer: &mut dyn Observer) -> Result<Vec<StageAhead>, StudyError> {
        self.context.must_be_here()?;
        let plans = arm_plan::plan(&self.context)?.whole()?;
        let mut notes = Notes { warnings: Vec::new(), observer };
        let preparation = preparation::Preparation::new(&self.context, &plans, Vec::new(), only, &mut notes)?;
        stages::stages(&self.context, &preparation)
    }

    /// Asks each judge's server one small question.
    ///
    /// # Errors
    /// What is wrong with the study's evaluation, or why a server cannot be used.
    pub fn probe(&self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let Some(eval) = &self.context.study.eval else { return Ok(()) };
        self.context.must_be_here()?;
        let mut datasets = examples::Datasets::new(&self.context);
        evaluation::Evaluation::open(&self.context, eval, &mut datasets, observer)?.probe(observer)
    }

    /// As [`labels::labels`]; `observer` hears how far reading is.
    ///
    /// # Errors
    /// As [`labels::labels`].
    pub fn labels<E: From<StudyError>>(
        &self,
        only: Option<&str>,
        show: usize,
        observer: &mut dyn Observer,
        take: &mut dyn FnMut(ArmLabels) -> Result<(), E>,
    ) -> Result<(), E> {
        labels::labels(&self.context, only, show, &mut Notes { warnings: Vec::new(), observer }, take)
    }

    /// The work of a run of `only` these arms and what they start from, all when empty, as far as it is known from what is in
    /// the run folder `out`; nothing of it is done.
    ///
    /// # Errors
    /// As [`run::work`].
    pub fn work(&self, out: &Path, only: &[String], observer: &mut dyn Observer) -> Result<WorkGraph, StudyError> {
        run::work(&self.context, out, only, observer)
    }

    /// Runs the study into the folder `out`, or goes on with a run of it.
    ///
    /// # Errors
    /// As [`run::run`].
    pub fn run(&self, out: &Path, options: &RunOptions, observer: &mut dyn Observer) -> Result<(), StudyError> {
        run::run(&self.context, out, options, &mut Alone, &mut |_| Ok(false), observer)
    }

    /// As [`Study::run`], by all ranks of an exchange together, or by one with workers: `beside` has them do their part.
    ///
    /// # Errors
    /// As [`run::run`], and those of `beside`.
    pub fn run_together(
        &self,
        out: &Path,
        options: &RunOptions,
        exchange: &mut dyn Exchange,
        beside: &mut run::Beside<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        run::run(&self.context, out, options, exchange, beside, observer)
    }
}

/// Collects what is to be said before a run, and tells no more than how far reading is.
struct Notes<'o> {
    warnings: Vec<String>,
    observer: &'o mut dyn Observer,
}

impl Observer for Notes<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        self.warnings.extend(wording::beforehand(event));
        if wording::is_about_reading(event) {
            self.observer.on_event(event);
        }
    }

    fn stop(&self) -> Stop {
        self.observer.stop()
    }
}
