//! What a run tells whoever watches it, as it happens.

use tunebench_dataset::{Skips, TokenStats};
use tunebench_spec::{ArmRecord, Generation, Judgement, StepLog};

use crate::error::StudyError;

/// Something that happened. A model is an arm, or a base model as it came.
#[derive(Debug)]
pub enum Event<'a> {
    /// A dataset's source was read to its end.
    SourceRead {
        dataset: &'a str,
        usable: u64,
        skips: &'a Skips,
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
    /// In a dry run: what would be done for an arm.
    ArmForecast(ArmForecast<'a>),
    /// The frames of an earlier run cannot be read and are made anew.
    FramesLost(&'a tunebench_results::Error),

    /// Work on a base model begins, as it came.
    BaseStarted {
        model: &'a str,
    },
    /// Work on an arm begins, number `number` (from 1) of `count`.
    ArmStarted {
        arm: &'a str,
        number: usize,
        count: usize,
    },
    /// The arm's training is there from before.
    AlreadyTrained {
        arm: &'a str,
    },
    /// Rows or examples of the training data that cannot be learnt from.
    ExamplesSkipped {
        arm: &'a str,
        skips: &'a Skips,
    },
    /// Examples whose end was cut off, and how many tokens that cost.
    ExamplesTruncated {
        arm: &'a str,
        examples: u64,
        lost_tokens: u64,
        max_length: usize,
    },
    /// Warm-up is as long as the training, so the learning rate is never reached.
    WarmupTooLong {
        arm: &'a str,
        steps: u64,
        warmup_steps: u64,
    },
    TrainingStarted {
        arm: &'a str,
        steps: u64,
    },
    Step(&'a StepLog),
    Trained(&'a ArmRecord),
    /// Generation begins, or goes on where an earlier run was interrupted: `done` of `items` are answered.
    GenerationStarted {
        model: &'a str,
        items: usize,
        done: usize,
    },
    /// `done` of the items are answered, this one last.
    Generated {
        done: usize,
        generation: &'a Generation,
    },
    JudgingStarted {
        model: &'a str,
        judgements: usize,
    },
    Judged(&'a tunebench_judge::Progress),
    /// A remark on the store of replies.
    JudgingNote(&'a str),
    JudgingFinished {
        model: &'a str,
        judgements: &'a [Judgement],
    },
    /// A model's work failed; the run goes on without it and what starts from it.
    ModelFailed {
        model: &'a str,
        error: &'a StudyError,
    },
    /// All work on a model is done, and its rows are in the frames.
    ModelFinished {
        model: &'a str,
    },
}

/// What would be done for an arm.
#[derive(Clone, Copy, Debug)]
pub struct ArmForecast<'a> {
    pub arm: &'a str,
    pub is_trained: bool,
    pub stats: &'a TokenStats,
    pub steps: u64,
    pub trainable_params: u64,
}

/// Hears of events, in their order and on the thread that runs the study.
pub trait Observer {
    fn on_event(&mut self, event: &Event<'_>);
}

impl<F: FnMut(&Event<'_>)> Observer for F {
    fn on_event(&mut self, event: &Event<'_>) {
        self(event);
    }
}
