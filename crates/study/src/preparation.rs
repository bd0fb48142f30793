//! A study made ready: every arm is prepared before the first is trained, so that what is wrong with a later one is said
//! at once, and each source is read and tokenized for all of them together.

use std::collections::{BTreeMap, BTreeSet};

use crate::arm_plan::ArmPlan;
use crate::base_model::BaseModels;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::examples::Datasets;
use crate::observer::{Event, Observer};
use crate::prepared_arm::{PreparedArm, Preparer};
use crate::work::{WorkGraph, chosen_arms};

/// A study, ready to be run.
pub struct Preparation<'a> {
    context: &'a StudyContext,
    base_models: BaseModels<'a>,
    pub evaluation: Option<Evaluation<'a>>,
    /// The arms to be run, in the study's order.
    pub arms: Vec<PreparedArm<'a>>,
    /// By name, of every arm that could be prepared and of the base models that answer too: one that is not to be run
    /// stays in the frames if it is there as the study describes it.
    pub identities: BTreeMap<String, String>,
    /// Arms that are left out because a plugin broke.
    pub failures: Vec<StudyError>,
}

/// A study with its work in order.
pub struct Ready<'a> {
    pub evaluation: Option<Evaluation<'a>>,
    /// What there is work for.
    pub models: Vec<EvaluatedModel<'a>>,
    pub graph: WorkGraph,
    /// The names of all models of the study, as the frames have them.
    pub order: Vec<String>,
    /// As [`Preparation::identities`].
    pub identities: BTreeMap<String, String>,
    /// As [`Preparation::failures`].
    pub failures: Vec<StudyError>,
}

impl<'a> Preparation<'a> {
    /// Opens the evaluation and prepares every planned arm. `broken` could not be planned; `only` names the arms to be
    /// run, all when it is empty.
    ///
    /// # Errors
    /// What is wrong with the study.
    pub fn new(
        context: &'a StudyContext,
        plans: &'a [ArmPlan<'a>],
        broken: Vec<(&str, StudyError)>,
        only: &[String],
        observer: &mut dyn Observer,
    ) -> Result<Self, StudyError> {
        let chosen = chosen_arms(&context.study, only)?;
        let mut datasets = Datasets::new(context);
        let eval = context.study.eval.as_ref();
        let evaluation = eval.map(|eval| Evaluation::open(context, eval, &mut datasets, observer)).transpose()?;
        let mut this = Self {
            context,
            base_models: BaseModels::new(context),
            evaluation,
            arms: Vec::new(),
            identities: BTreeMap::new(),
            failures: Vec::new(),
        };
        let broken = broken.into_iter().filter(|(name, _)| chosen.contains(name));
        broken.for_each(|(_, error)| this.fail(error, observer));
        this.prepare(plans, &chosen, datasets, observer)?;
        Ok(this)
    }

    /// Opens the base models that answer too, for comparison, and puts the work in order. With `only` some arms, base
    /// models are not evaluated.
    ///
    /// # Errors
    /// When a base model or its tokenizer cannot be opened.
    pub fn ready(mut self, only: &[String]) -> Result<Ready<'a>, StudyError> {
        let study = &self.context.study;
        let (template, seed) = (&study.study.template, study.study.seed);
        let mut models = Vec::new();
        for id in self.evaluation.iter().flat_map(Evaluation::bases) {
            let model = self.base_models.open(id)?;
            self.identities.insert(id.to_owned(), model.identity.clone());
            if only.is_empty() {
                let encoder = self.base_models.encoder(id, template)?;
                models.push(EvaluatedModel::Base { model, encoder, seed });
            }
        }
        let compared = self.evaluation.iter().flat_map(Evaluation::bases);
        let order = compared.chain(study.arms.iter().map(|arm| arm.name.as_str())).map(str::to_owned).collect();
        models.extend(self.arms.into_iter().map(EvaluatedModel::Arm));
        let mut ids = BTreeMap::new();
        for model in &models {
            ids.insert(model.name().to_owned(), model.work_ids(self.evaluation.as_ref())?);
        }
        let graph = WorkGraph::new(study, &ids);
        let Self { evaluation, identities, failures, .. } = self;
        Ok(Ready { evaluation, models, graph, order, identities, failures })
    }

    fn prepare(
        &mut self,
        plans: &'a [ArmPlan<'a>],
        chosen: &BTreeSet<&str>,
        datasets: Datasets<'a>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        let mut preparer = Preparer::new(self.context, datasets);
        for plan in plans {
            let name = plan.arm.name.as_str();
            let is_chosen = chosen.contains(name);
            match preparer.prepare(&mut self.base_models, plan, observer) {
                Ok(prepared) => {
                    self.identities.insert(name.to_owned(), prepared.identity.clone());
                    self.arms.extend(is_chosen.then_some(prepared));
                }
                Err(error) if is_chosen && error.fails_its_arm_only() => self.fail(error, observer),
                Err(error) if is_chosen => return Err(error),
                Err(error) => observer.on_event(&Event::ArmLeftOut(&error)),
            }
        }
        Ok(())
    }

    /// Notes an arm that a plugin broke over.
    fn fail(&mut self, error: StudyError, observer: &mut dyn Observer) {
        observer.on_event(&Event::PreparationFailed(&error));
        self.failures.push(error);
    }
}
