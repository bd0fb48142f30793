//! Does a piece of work: one of training, answering and judging.

use std::collections::BTreeMap;

use tunebench_model::backend::{Backend, Parts};
use tunebench_spec::{Generation, Judgement};

use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::frames::ArmRows;
use crate::judgements::Judgements;
use crate::observer::Observer;
use crate::run_folder::RunFolder;
use crate::work::{Piece, PieceKind};

/// What came of the pieces of one model so far.
#[derive(Default)]
pub struct ArmOutcome {
    pub generations: Vec<Generation>,
    pub judgements: Vec<Judgement>,
    /// Why not all of its answers could be judged.
    pub stopped: Option<String>,
}

/// What does pieces of work, and where.
pub struct Executor<'a> {
    backend: &'static dyn Backend,
    evaluation: Option<Evaluation<'a>>,
    folder: RunFolder,
    models: BTreeMap<String, EvaluatedModel<'a>>,
}

impl<'a> Executor<'a> {
    /// For pieces of work on these models.
    pub fn new(
        backend: &'static dyn Backend,
        evaluation: Option<Evaluation<'a>>,
        folder: RunFolder,
        models: Vec<EvaluatedModel<'a>>,
    ) -> Self {
        let models = models.into_iter().map(|model| (model.name().to_owned(), model)).collect();
        Self { backend, evaluation, folder, models }
    }

    /// Does a piece of work, or finds it done. What it yields joins the outcome of the model's earlier pieces, from which
    /// it takes what it needs; what it needs of other models is in the run folder.
    ///
    /// # Errors
    /// When the work fails.
    pub fn execute(
        &self,
        piece: &Piece,
        outcome: &mut ArmOutcome,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        let model = self.model(&piece.model)?;
        match piece.kind {
            PieceKind::Train => model.train(self.backend, &self.folder, observer)?,
            PieceKind::Answer => outcome.generations = self.answer(model, &piece.id, observer)?,
            PieceKind::Judge => {
                let found = self.evaluation()?.judge(&outcome.generations, &self.folder, observer)?;
                Judgements { judgements: outcome.judgements, stopped: outcome.stopped } = found;
            }
        }
        Ok(())
    }

    /// The rows of a trained model in `arms` and `steps`.
    ///
    /// # Errors
    /// When what training wrote cannot be read.
    pub fn rows(&self, model: &str) -> Result<ArmRows, StudyError> {
        self.model(model)?.rows(self.backend, self.folder.root())
    }

    /// Drops what was prepared for a model, its tokens above all.
    pub fn forget(&mut self, model: &str) {
        self.models.remove(model);
    }

    /// A model's generations; it is opened only when some are missing.
    fn answer(
        &self,
        model: &EvaluatedModel<'_>,
        id: &str,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generation>, StudyError> {
        let request = self.evaluation()?.request(model.encoder());
        let path = self.folder.generations(id);
        if let Some(found) = request.finished(&path, model.name())? {
            return Ok(found);
        }
        let (shape, weights, tuning) = model.load(self.folder.root())?;
        let answering = self.backend.generator(Parts { shape: &shape, weights, tuning })?;
        request.generate(answering.as_ref(), &path, model.name(), observer)?;
        request.finished(&path, model.name())?.ok_or(StudyError::AnswersMissing { path })
    }

    fn model(&self, name: &str) -> Result<&EvaluatedModel<'a>, StudyError> {
        self.models.get(name).ok_or_else(|| StudyError::Invalid(format!("no work was prepared for `{name}`")))
    }

    fn evaluation(&self) -> Result<&Evaluation<'a>, StudyError> {
        self.evaluation.as_ref().ok_or_else(|| StudyError::Invalid("the study has no [eval]".to_owned()))
    }
}
