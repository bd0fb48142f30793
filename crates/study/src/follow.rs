//! A rank that follows: it prepares the study as the first one does, and trains and answers with it, but decides nothing and
//! writes nothing of a run that another rank writes. What goes wrong is the first rank's to tell.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tunebench_model::backend::Backend;

use crate::answering_together;
use crate::base::SharedBase;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::patience::patiently;
use crate::preparation::Preparation;
use crate::prepared_arm::PreparedArm;
use crate::ranks::{Order, Ranks};
use crate::run_folder;
use crate::training;

/// Does what the first rank says, to the end.
///
/// # Errors
/// When ranks are apart: one has ended, or is out of step.
pub fn follow<'a>(
    mut preparation: Preparation<'a>,
    out: &'a Path,
    ranks: &mut Ranks<'_>,
    observer: &dyn Observer,
) -> Result<(), StudyError> {
    let mut quiet = Quiet(observer);
    let (evaluation, backend) = (preparation.evaluation.clone(), preparation.backend());
    let mut follower = Follower { evaluation, backend, out, base: RefCell::default(), models: BTreeMap::new() };
    loop {
        match ranks.follow()? {
            Order::Round { found } => {
                let round = preparation.round(out, &mut quiet);
                let is_same = round.and_then(|round| {
                    let is_same = round.name()? == found;
                    follower.models = round.models.into_iter().map(|model| (model.key().clone(), model)).collect();
                    Ok(is_same)
                });
                left(ranks.is_all(is_same).map(drop))?;
            }
            Order::Train { model, identity } => {
                let (model, mut base) = (follower.model(&model, &identity), follower.base.borrow_mut());
                let arm = model.and_then(|model| {
                    base.set_keeps(model.keeps_base(backend)?);
                    arm(model)
                });
                left(training::follow(arm, backend, out, &mut base, ranks, observer))?;
            }
            Order::Answer { model, identity } => {
                let model = follower.model(&model, &identity);
                left(follower.answer(model, ranks, &mut quiet))?;
            }
            Order::End => return Ok(()),
        }
    }
}

/// What the others know, or the first rank tells, need not be told here.
fn left(result: Result<(), StudyError>) -> Result<(), StudyError> {
    result.or_else(|error| if error.is_of_ranks_apart() { Err(error) } else { Ok(()) })
}

struct Follower<'a> {
    evaluation: Option<Arc<Evaluation<'a>>>,
    backend: &'static dyn Backend,
    out: &'a Path,
    /// That of the last piece of work.
    base: RefCell<SharedBase>,
    /// Those of the round.
    models: BTreeMap<ModelKey, EvaluatedModel<'a>>,
}

impl<'a> Follower<'a> {
    /// A model of the round, as the first rank means it.
    fn model(&self, key: &ModelKey, identity: &str) -> Result<&EvaluatedModel<'a>, StudyError> {
        let found = self.models.get(key).filter(|model| model.identity() == identity);
        found.ok_or_else(|| {
            StudyError::Invalid(format!("`{key}` is not here as rank 0 has it; all ranks need the same files"))
        })
    }

    fn answer(
        &self,
        model: Result<&EvaluatedModel<'a>, StudyError>,
        ranks: &mut Ranks<'_>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        let opened = model.and_then(|model| {
            let evaluation = self.evaluation.as_deref();
            let evaluation = evaluation.ok_or_else(|| StudyError::Invalid("the study has no [eval]".to_owned()))?;
            let request = evaluation.request(model.encoder(), model.key());
            let path = run_folder::generations(self.out, &request.identity(model.identity())?);
            let mut base = self.base.borrow_mut();
            base.set_keeps(answering_together::keeps_base(&[model], evaluation, self.backend)?);
            Ok((request, path, patiently(observer, || model.generator(self.backend, self.out, &mut base))?))
        });
        let (request, path, generator) = ranks.agree(opened)?;
        request.generate(generator.as_ref(), &path, ranks, observer)?;
        // The first rank judges now, perhaps by a model on the same machine.
        if self.evaluation.as_ref().is_some_and(|evaluation| evaluation.has_local_judge()) {
            self.base.borrow_mut().let_go();
        }
        Ok(())
    }
}

fn arm<'m, 'a>(model: &'m EvaluatedModel<'a>) -> Result<&'m PreparedArm<'a>, StudyError> {
    match model {
        EvaluatedModel::Arm(arm) => Ok(arm),
        EvaluatedModel::Base { key, .. } => Err(StudyError::NothingTrained(key.arm.clone())),
        EvaluatedModel::Variant(variant) => Err(StudyError::NothingTrained(variant.key.arm.clone())),
    }
}

/// Says nothing, and hears the user.
pub struct Quiet<'o>(pub &'o dyn Observer);

impl Observer for Quiet<'_> {
    fn on_event(&mut self, _: &Event<'_>) {}

    fn stop(&self) -> Stop {
        self.0.stop()
    }
}
