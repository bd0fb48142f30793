//! What a run tells whoever watches it, as it happens.

use std::path::Path;

use tunebench_dataset::overlap::OverlapReport;
use tunebench_dataset::{Skips, TextCheck, TokenStats};
use tunebench_spec::fit::{Fitted, RecipeWarning};
use tunebench_spec::study::Form;
use tunebench_spec::{ArmRecord, Generation, GradientReceipt, Judgement, LossLog, StepLog};

use crate::error::StudyError;
use crate::judge_cost::JudgingForecast;
use crate::model_key::ModelKey;
use crate::token_cache::Held;
use crate::work::WorkGraph;

/// Something that happened. A model is an arm, or a base model as it came.
#[derive(Debug)]
pub enum Event<'a> {
    /// So many rows of a dataset's source were read so far.
    Reading {
        dataset: &'a str,
        rows: u64,
    },
    /// So many of a dataset's examples were tokenized so far, or compared with what they should not be like.
    Tokenizing {
        dataset: &'a str,
        done: u64,
        of: u64,
    },
    /// The tokens of a dataset are there from an earlier run.
    TokensFound {
        dataset: &'a str,
        path: &'a Path,
        bytes: u64,
    },
    /// The tokens of a dataset were there, and are made anew.
    TokensLost {
        dataset: &'a str,
        error: &'a tunebench_dataset::Error,
    },
    /// The tokens of a dataset are kept for later runs.
    TokensKept {
        dataset: &'a str,
        path: &'a Path,
        bytes: u64,
    },
    /// Tokens of earlier runs were deleted, for they may not take more than so many bytes.
    TokensDeleted {
        deleted: Held,
        limit: u64,
    },
    /// A dataset's source was read to its end, now or in an earlier run.
    SourceRead {
        dataset: &'a str,
        usable: u64,
        skips: &'a Skips,
    },
    /// What a user should know of how a dataset's files were read, or of what in them was not used.
    SourceRemark {
        dataset: &'a str,
        remark: &'a str,
    },
    /// A dataset's examples were tokenized for the arms that learn from it alike.
    Tokenized {
        dataset: &'a str,
        stats: &'a TokenStats,
    },
    /// Rows of the evaluation set are no items.
    ItemsSkipped(&'a Skips),
    /// A plugin broke over an arm before work began; the run goes on without it and what starts from it.
    PreparationFailed(&'a StudyError),
    /// An arm that is not to be run cannot be prepared either; its rows leave the frames.
    ArmLeftOut(&'a StudyError),
    /// In a dry run: what would be done for a training.
    ArmForecast(ArmForecast<'a>),
    /// The frames of an earlier run cannot be read and are made anew.
    FramesLost(&'a tunebench_results::Error),

    /// Rows of an earlier run whose models are not, or no longer, as the study describes leave the frames.
    RowsDropped {
        arms: &'a [String],
    },

    /// Training examples of a dataset that are evaluation items too, or nearly.
    Overlap {
        dataset: &'a str,
        overlap: &'a OverlapReport,
    },
    /// Rows of a source are kept from training, to measure the held-out loss on; some may be left out there, because they
    /// are evaluation items too, or too long.
    HeldOut {
        dataset: &'a str,
        removed: u64,
        measured: u64,
        left_out: u64,
    },
    /// What the user should know of a base model: of its adapter.
    ModelRemark {
        model: &'a str,
        remark: &'a str,
    },
    /// What became of the text of a dataset, or of what else is named, on its way into tokens.
    TextChecked {
        of: &'a str,
        check: &'a TextCheck,
    },
    /// Items that a model cannot be asked, so that its scores are of fewer; the first of them, and why.
    NotAsked {
        model: &'a str,
        items: u64,
        of: u64,
        first: &'a str,
        why: &'a str,
    },
    /// What is to be known of a template with a model's tokenizer.
    TemplateRemark {
        remark: &'a str,
    },
    /// Examples of an arm whose end is cut off, so that they do not teach where an answer ends; `learnt` others do.
    EndCutOff {
        arm: &'a str,
        examples: u64,
        learnt: u64,
        max_length: usize,
    },
    /// A value that nobody states was adapted to the number of examples.
    RecipeFitted {
        arm: &'a str,
        fitted: &'a Fitted,
    },
    /// Whole examples of an arm that do not teach where an answer ends: its template writes no end, so the model will not.
    EndNotLearnt {
        arm: &'a str,
        examples: u64,
        of: u64,
    },
    /// Little can come of a recipe with this data.
    RecipeWarning {
        arm: &'a str,
        warning: RecipeWarning,
    },
    /// An arm's trainings fit into memory, but not with all of the model's file: `said` is what follows.
    FileReadAgain {
        arm: &'a str,
        said: &'a str,
    },
    /// A step of an arm's trainings is cut into fewer lanes than there are ranks: the others wait.
    RanksIdle {
        arm: &'a str,
        lanes: usize,
        ranks: usize,
    },
    /// The judge can score none of the answers to some items, whatever they are: how many of `items`, with its reasons.
    JudgeCannotScore {
        judge: &'a str,
        items: usize,
        unscorable: &'a Skips,
    },
    /// What is known of the model that a judge asks, and should be known beforehand: that it is gone, or soon will be.
    JudgeRemark {
        judge: &'a str,
        remark: &'a str,
    },
    /// A judge's server was asked a small question, and works.
    JudgeProbed {
        judge: &'a str,
        said: &'a str,
    },
    /// Of an arm's grid this candidate has the least held-out loss, in nats per token; `edges` says which of its values are
    /// the largest or smallest there were.
    CandidateChosen {
        arm: &'a str,
        candidate: &'a str,
        loss: Option<f64>,
        edges: &'a [String],
    },
    /// The training of a candidate broke off because a loss or a gradient was not finite.
    CandidateDiverged {
        model: &'a ModelKey,
        why: &'a str,
    },

    /// What a judge will take, before it is asked anything.
    JudgingForecast {
        forecast: &'a JudgingForecast,
    },
    /// All models have answered, and a judge begins that judges all their answers at once.
    JudgingTogether {
        judge: &'a str,
    },
    /// Work on a base model begins, as it came.
    BaseStarted {
        model: &'a ModelKey,
    },
    /// Work on a training in another form begins.
    VariantStarted {
        model: &'a ModelKey,
        of: &'a ModelKey,
        form: Form,
    },
    /// Work on a training begins, number `number` (from 1) of the `count` that are known.
    ArmStarted {
        model: &'a ModelKey,
        number: usize,
        count: usize,
    },
    /// The training is there from before.
    AlreadyTrained {
        model: &'a ModelKey,
    },
    /// Rows or examples of the training data that cannot be learnt from.
    ExamplesSkipped {
        model: &'a ModelKey,
        skips: &'a Skips,
    },
    /// Examples whose end was cut off, and how many tokens that cost.
    ExamplesTruncated {
        model: &'a ModelKey,
        examples: u64,
        lost_tokens: u64,
        max_length: usize,
    },
    /// Training begins, to be `steps` steps long.
    TrainingStarted {
        model: &'a ModelKey,
        steps: u64,
    },
    Step {
        model: &'a ModelKey,
        step: &'a StepLog,
    },
    /// A training that had begun by one level of CPU instructions goes on by another, which rounds otherwise.
    OtherLevel {
        model: &'a ModelKey,
        before: &'a str,
        now: &'a str,
    },
    /// The first steps are made, and whether everything moves that is to.
    Receipt {
        model: &'a ModelKey,
        receipt: &'a GradientReceipt,
    },
    /// A loss on text that is not learnt from was measured.
    Loss {
        model: &'a ModelKey,
        loss: &'a LossLog,
    },
    Trained {
        model: &'a ModelKey,
        record: &'a ArmRecord,
    },
    /// Its events for TensorBoard could not all be written; the training itself is whole.
    BoardFailed {
        model: &'a ModelKey,
        error: &'a StudyError,
    },
    /// Generation begins, or goes on where an earlier run was interrupted: `done` of `items` are answered.
    GenerationStarted {
        model: &'a ModelKey,
        items: usize,
        done: usize,
    },
    /// Several models begin to answer in one batch, or go on with it: `done` of `items`, those of all of them, are answered.
    AnsweringTogether {
        models: &'a [&'a ModelKey],
        items: usize,
        done: usize,
    },
    /// What went wrong with that; each answers by itself now.
    AnsweringApart {
        error: &'a StudyError,
    },
    /// `done` of the items are answered, this one last.
    Generated {
        done: usize,
        generation: &'a Generation,
    },
    JudgingStarted {
        judge: &'a str,
        judgements: usize,
    },
    Judged(&'a tunebench_judge::Progress),
    /// A remark on the store of replies.
    JudgingNote(&'a str),
    JudgingFinished {
        judge: &'a str,
        judgements: &'a [Judgement],
    },
    /// Another process does work on a model.
    Elsewhere {
        model: &'a ModelKey,
        by: &'a str,
    },
    /// Another process joins the frames, or did.
    JoinedElsewhere,
    /// A model's work failed; the run goes on without it and what starts from it.
    ModelFailed {
        model: &'a ModelKey,
        error: &'a StudyError,
    },
    /// All work on a model is done, and its rows are in the frames.
    ModelFinished {
        model: &'a ModelKey,
    },
    /// The work that is known, before any of it is done; more may follow from what comes of it.
    WorkKnown {
        graph: &'a WorkGraph,
    },
}

/// What would be done for a training.
#[derive(Clone, Copy, Debug)]
pub struct ArmForecast<'a> {
    pub model: &'a ModelKey,
    pub is_trained: bool,
    /// The step after which it is compared with other candidates before it goes on.
    pub until: Option<u64>,
    pub stats: &'a TokenStats,
    pub steps: u64,
    pub trainable_params: u64,
}

/// Whether the run is to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    No,
    /// As soon as what was computed is kept.
    Soon,
}

/// Hears of events, in their order and on the thread that runs the study.
pub trait Observer {
    fn on_event(&mut self, event: &Event<'_>);

    /// Whether the run is to end early; asked after each optimizer step, each answer and each piece of work.
    fn stop(&self) -> Stop {
        Stop::No
    }
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn on_event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
