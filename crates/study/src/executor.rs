//! Does a piece of work: one of training, answering and judging.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use tunebench_model::backend::{Backend, Parts};
use tunebench_spec::{Generation, Judgement};

use crate::calibration::Calibration;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::frames::ArmRows;
use crate::judgements::Judgements;
use crate::model_key::ModelKey;
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
    evaluation: Option<Arc<Evaluation<'a>>>,
    folder: RunFolder,
    calibration: RefCell<Calibration>,
    models: BTreeMap<ModelKey, EvaluatedModel<'a>>,
}

impl<'a> Executor<'a> {
    /// For pieces of work in this folder; `calibration` predicts what trainings take.
    pub fn new(
        backend: &'static dyn Backend,
        evaluation: Option<Arc<Evaluation<'a>>>,
        folder: RunFolder,
        calibration: Calibration,
    ) -> Self {
        Self { backend, evaluation, folder, calibration: RefCell::new(calibration), models: BTreeMap::new() }
    }

    /// Takes the models of a round, in place of those it had.
    pub fn take(&mut self, models: Vec<EvaluatedModel<'a>>) {
        self.models = models.into_iter().map(|model| (model.key().clone(), model)).collect();
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
            PieceKind::Train => {
                model.train(self.backend, &self.folder, &mut self.calibration.borrow_mut(), observer)?
            }
            PieceKind::Measure => model.measure(self.backend, &self.folder)?,
            PieceKind::Answer => outcome.generations = self.answer(model, &piece.id, observer)?,
            PieceKind::Judge => {
                let found = self.evaluation()?.judge(&outcome.generations, &self.folder, observer)?;
                Judgements { judgements: outcome.judgements, stopped: outcome.stopped } = found;
            }
        }
        Ok(())
    }

    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The rows of a trained model in `arms` and `steps`.
    ///
    /// # Errors
    /// When what training wrote cannot be read.
    pub fn rows(&self, model: &ModelKey) -> Result<ArmRows, StudyError> {
        self.model(model)?.rows(self.backend, self.folder.root())
    }

    /// Drops what was prepared for a model, its tokens above all.
    pub fn forget(&mut self, model: &ModelKey) {
        self.models.remove(model);
    }

    /// A model's generations; it is opened only when some are missing.
    fn answer(
        &self,
        model: &EvaluatedModel<'_>,
        id: &str,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Generation>, StudyError> {
        let request = self.evaluation()?.request(model.encoder(), model.key());
        let path = self.folder.generations(id);
        if let Some(found) = request.finished(&path)? {
            return Ok(found);
        }
        let (shape, weights, tuning) = model.load(self.folder.root())?;
        let answering = self.backend.generator(Parts { shape: &shape, weights, tuning })?;
        request.generate(answering.as_ref(), &path, observer)?;
        request.finished(&path)?.ok_or(StudyError::AnswersMissing { path })
    }

    /// The model that a piece is about.
    ///
    /// # Errors
    /// When there is none.
    pub fn model(&self, key: &ModelKey) -> Result<&EvaluatedModel<'a>, StudyError> {
        self.models.get(key).ok_or_else(|| StudyError::Invalid(format!("no work was prepared for `{key}`")))
    }

    /// Whether models are evaluated at all.
    pub fn has_evaluation(&self) -> bool {
        self.evaluation.is_some()
    }

    /// What models are evaluated by.
    ///
    /// # Errors
    /// When the study has no evaluation.
    pub fn evaluation(&self) -> Result<&Evaluation<'a>, StudyError> {
        self.evaluation.as_deref().ok_or_else(|| StudyError::Invalid("the study has no [eval]".to_owned()))
    }
}
