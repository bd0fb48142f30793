//! Does a piece of work: one of training, measuring, answering and judging. Its result is in the run folder, where whoever needs
//! it finds it by name.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::sync::Arc;

use tunebench_model::backend::{Backend, Generator};
use tunebench_spec::Generation;

use crate::answering_together::{self, Member};
use crate::base::SharedBase;
use crate::calibration::Calibration;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::frames::ArmRows;
use crate::judged_file;
use crate::judgements::Judgements;
use crate::memory;
use crate::model_key::ModelKey;
use crate::observer::Observer;
use crate::ranks::{Order, Ranks};
use crate::run_folder::RunFolder;
use crate::trained_arm;
use crate::work::{Piece, PieceKind};

/// What does pieces of work, and where.
pub struct Executor<'a> {
    backend: &'static dyn Backend,
    evaluation: Option<Arc<Evaluation<'a>>>,
    folder: RunFolder,
    calibration: RefCell<Calibration>,
    ranks: RefCell<Ranks<'a>>,
    /// That of the last piece of work.
    base: RefCell<SharedBase>,
    models: BTreeMap<ModelKey, EvaluatedModel<'a>>,
}

impl<'a> Executor<'a> {
    /// For pieces of work in this folder; `calibration` predicts what trainings take, and `ranks`, of which this is the first,
    /// train and answer together.
    pub fn new(
        backend: &'static dyn Backend,
        evaluation: Option<Arc<Evaluation<'a>>>,
        folder: RunFolder,
        calibration: Calibration,
        ranks: Ranks<'a>,
    ) -> Self {
        let (calibration, ranks) = (RefCell::new(calibration), RefCell::new(ranks));
        let base = RefCell::default();
        Self { backend, evaluation, folder, calibration, ranks, base, models: BTreeMap::new() }
    }

    /// Has the other ranks look what can be done; whether all find this.
    ///
    /// # Errors
    /// When one cannot look, or has ended.
    pub fn is_seen_by_all(&self, found: &str) -> Result<bool, StudyError> {
        let mut ranks = self.ranks.borrow_mut();
        ranks.lead(&Order::Round { found: found.to_owned() })?;
        ranks.is_all(Ok(true))
    }

    /// Takes the models of a round, in place of those it had.
    pub fn take(&mut self, models: Vec<EvaluatedModel<'a>>) {
        self.models = models.into_iter().map(|model| (model.key().clone(), model)).collect();
    }

    /// Does a piece of work, or finds it done.
    ///
    /// # Errors
    /// When the work fails.
    pub fn execute(&self, piece: &Piece, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let model = self.model(&piece.model)?;
        match piece.kind {
            PieceKind::Train => {
                let (mut calibration, mut ranks) = (self.calibration.borrow_mut(), self.ranks.borrow_mut());
                let mut base = self.base_for(model)?;
                model.train(self.backend, &self.folder, &mut base, &mut calibration, &mut ranks, observer)
            }
            PieceKind::Measure => model.measure(self.backend, &self.folder, &mut *self.base_for(model)?),
            PieceKind::Answer => self.answer(model, &piece.id, observer),
            PieceKind::Judge => {
                if self.judgements(piece)?.is_some() {
                    return Ok(());
                }
                if self.evaluation()?.has_local_judge() {
                    self.let_base_go();
                }
                let said = self.evaluation()?.judge(&self.answers(model)?, &self.folder, observer)?;
                judged_file::write(self.folder.root(), &piece.id, &said)
            }
        }
    }

    /// The base of the last piece of work, for one on this model.
    fn base_for(&self, model: &EvaluatedModel<'_>) -> Result<RefMut<'_, SharedBase>, StudyError> {
        let mut base = self.base.borrow_mut();
        base.set_keeps(model.keeps_base(self.backend)?);
        Ok(base)
    }

    /// Lets go of the base of the last piece of work: memory is needed for something else.
    pub fn let_base_go(&self) {
        self.base.borrow_mut().let_go();
    }

    /// Whether a piece need not be done any more.
    ///
    /// # Errors
    /// When what it left cannot be read.
    pub fn is_done(&self, piece: &Piece) -> Result<bool, StudyError> {
        let model = self.model(&piece.model)?;
        match piece.kind {
            PieceKind::Train => model.is_trained(&self.folder),
            PieceKind::Measure => model.is_measured(self.backend, self.folder.root()),
            PieceKind::Answer => {
                let request = self.evaluation()?.request(model.encoder(), model.key());
                Ok(request.finished(&self.folder.generations(&piece.id))?.is_some())
            }
            PieceKind::Judge => Ok(self.judgements(piece)?.is_some()),
        }
    }

    /// What was said in a piece of judging; none while it is not done.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn judgements(&self, piece: &Piece) -> Result<Option<Judgements>, StudyError> {
        judged_file::read(self.folder.root(), &piece.id, &piece.model)
    }

    /// The run folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The rows of a model in all frames, by the pieces of work on it that are done.
    ///
    /// # Errors
    /// When what they wrote cannot be read.
    pub fn rows(&self, pieces: &[Piece]) -> Result<ArmRows, StudyError> {
        let Some(first) = pieces.first() else { return Ok(ArmRows::default()) };
        let model = self.model(&first.model)?;
        let mut rows = model.rows(self.backend, self.folder.root())?;
        for piece in pieces {
            match piece.kind {
                PieceKind::Train | PieceKind::Measure => {}
                PieceKind::Answer => rows.generations = self.answers(model)?,
                PieceKind::Judge => {
                    rows.judgements = self.judgements(piece)?.map(|said| said.judgements).unwrap_or_default();
                }
            }
        }
        Ok(rows)
    }

    /// Drops what was prepared for a model, its tokens above all.
    pub fn forget(&mut self, model: &ModelKey) {
        self.models.remove(model);
    }

    /// Has a model answer; it is opened only when answers are missing.
    fn answer(&self, model: &EvaluatedModel<'_>, id: &str, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let request = self.evaluation()?.request(model.encoder(), model.key());
        let path = self.folder.generations(id);
        if request.finished(&path)?.is_some() {
            return Ok(());
        }
        let mut ranks = self.ranks.borrow_mut();
        ranks.lead(&Order::Answer { model: model.key().clone(), identity: model.identity().to_owned() })?;
        let answering = ranks.agree(self.generator(model))?;
        request.generate(answering.as_ref(), &path, &mut ranks, observer)?;
        self.answers(model).map(drop)
    }

    fn generator(&self, model: &EvaluatedModel<'_>) -> Result<Box<dyn Generator>, StudyError> {
        let mut base = self.base.borrow_mut();
        base.set_keeps(answering_together::keeps_base(&[model], self.evaluation()?, self.backend)?);
        model.generator(self.backend, self.folder.root(), &mut base)
    }

    /// Whether two models can answer in one batch; ranks answer a model together, one after the other.
    pub fn answers_with(&self, model: &ModelKey, other: &ModelKey) -> bool {
        let models = (self.models.get(model), self.models.get(other));
        let (Some(model), Some(other)) = models else { return false };
        self.ranks.borrow().is_alone() && answering_together::is_possible(model, other, self.backend)
    }

    /// Has models that can answer in one batch do so.
    ///
    /// # Errors
    /// When that cannot be done, or does not work for one of them.
    pub fn answer_together(&self, pieces: &[&Piece], observer: &mut dyn Observer) -> Result<(), StudyError> {
        let (evaluation, root) = (self.evaluation()?, self.folder.root());
        let models = pieces.iter().map(|piece| self.model(&piece.model)).collect::<Result<Vec<_>, _>>()?;
        let mut members = Vec::with_capacity(models.len());
        for (model, piece) in models.iter().zip(pieces) {
            let request = evaluation.request(model.encoder(), model.key());
            members.push(Member { request, path: self.folder.generations(&piece.id) });
        }
        let model = {
            let mut base = self.base.borrow_mut();
            base.set_keeps(answering_together::keeps_base(&models, evaluation, self.backend)?);
            answering_together::open(&models, self.backend, root, &mut base)?
        };
        answering_together::generate(model.as_ref(), &members, observer)
    }

    /// Whether the items are fewer than so many batches.
    ///
    /// # Errors
    /// When the study has no evaluation.
    pub fn has_fewer_items_than(&self, batches: usize) -> Result<bool, StudyError> {
        let evaluation = self.evaluation()?;
        Ok(evaluation.items().len() < batches.saturating_mul(evaluation.batch_size()))
    }

    /// Whether these models can answer in one batch within the memory there is, their adapters beside each other.
    ///
    /// # Errors
    /// When the study has no evaluation, or the files of a base model cannot be read.
    pub fn have_room_together(&self, pieces: &[&Piece]) -> Result<bool, StudyError> {
        let models = pieces.iter().map(|piece| self.model(&piece.model)).collect::<Result<Vec<_>, _>>()?;
        let need = answering_together::memory(&models, self.evaluation()?, self.backend)?;
        Ok(memory::exceeded(need, self.backend).is_none())
    }

    /// The seconds that a model's training took; none of one that is not trained.
    ///
    /// # Errors
    /// When its record cannot be read.
    pub fn train_seconds(&self, model: &ModelKey) -> Result<Option<f64>, StudyError> {
        let EvaluatedModel::Arm(arm) = self.model(model)? else { return Ok(None) };
        Ok(trained_arm::finished(self.folder.root(), &arm.identity)?.map(|file| file.record.train_seconds))
    }

    /// A model's answers, all of them.
    fn answers(&self, model: &EvaluatedModel<'_>) -> Result<Vec<Generation>, StudyError> {
        let request = self.evaluation()?.request(model.encoder(), model.key());
        let path = self.folder.generations(&request.identity(model.identity())?);
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
