//! A study made ready, round by round: every arm is prepared before the first is trained, so that what is wrong with a
//! later one is said at once, and each source is read and tokenized for all of them together.
//!
//! An arm with a grid is one of its candidates, which is known when those are trained. So a round prepares what is known;
//! what comes of it decides more, until nothing is left to decide. A round is a function of the study and of what the run
//! folder holds, so the rounds are the same however the work is cut or interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use tunebench_dataset::TextCheck;
use tunebench_model::backend::Backend;
use tunebench_spec::hash;
use tunebench_spec::study::{Header, Variant};

use crate::arm_plan::ArmPlan;
use crate::base_model::{BaseModel, BaseModels};
use crate::calibration::Calibration;
use crate::candidates::{self, Decision};
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::evaluated_model::EvaluatedModel;
use crate::evaluation::Evaluation;
use crate::examples::Datasets;
use crate::forecast::{ArmTime, StudyForecast, arm_time, base_time, variant_time};
use crate::model_encoder::{Form, ModelEncoder, check_embeddings};
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer};
use crate::prepared_arm::{ArmData, PreparedArm};
use crate::trained_arm;
use crate::variant::PreparedVariant;
use crate::work::{ModelWork, WorkGraph, chosen_arms};
use crate::work_ahead::WorkAhead;

/// A study, prepared as far as what does not depend on its results.
pub struct Preparation<'a> {
    context: &'a StudyContext,
    base_models: BaseModels<'a>,
    pub evaluation: Option<Arc<Evaluation<'a>>>,
    /// The candidates of each arm that could be prepared, in the study's order.
    arms: Vec<(&'a str, Vec<Arc<ArmData<'a>>>)>,
    /// The arms that are to be run.
    chosen: BTreeSet<&'a str>,
    /// Whether base models answer too.
    with_bases: bool,
    /// How those are asked, and the positions that they leave to text.
    base_encoders: Vec<(&'a str, usize, Arc<ModelEncoder>)>,
    /// The choices among candidates that were told already.
    announced: BTreeSet<String>,
    /// Arms that are left out because a plugin broke, or because none of their candidates can be trained, and what starts
    /// from them; whoever takes them has told of them.
    pub failures: Vec<StudyError>,
    /// The arms of which no candidate can be trained, and those that start from them.
    lost: BTreeSet<&'a str>,
}

/// What can be done with what is known.
pub struct Round<'a> {
    /// What there is work for.
    pub models: Vec<EvaluatedModel<'a>>,
    pub graph: WorkGraph,
    /// All models that are known, in the order of the frames.
    pub order: Vec<ModelKey>,
    /// Of every model that is known: one that is not to be run stays in the frames if it is there as the study describes it.
    pub identities: BTreeMap<ModelKey, String>,
    /// Arms whose candidate is not chosen yet, and those that start from them.
    pub undecided: Vec<String>,
}

impl Round<'_> {
    /// Names what is to be done: by its models, and by how far they are to be trained.
    ///
    /// # Errors
    /// Never in practice: names have a JSON form.
    pub fn name(&self) -> Result<String, StudyError> {
        let models: Vec<_> = self.models.iter().map(|model| (model.key(), model.identity())).collect();
        let pieces: Vec<_> = self.graph.pieces.iter().map(|piece| (&piece.model, &piece.id)).collect();
        Ok(hash::of_json(&(models, pieces))?)
    }
}

impl<'a> Preparation<'a> {
    /// Opens the evaluation and prepares every planned arm. `broken` could not be planned; `only` names the arms to be
    /// run, all when it is empty. With `only` some arms, base models are not evaluated.
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
        if let Some(evaluation) = &evaluation {
            evaluation.check_judges(observer)?;
            datasets.set_apart_from(evaluation.items())?;
        }
        let mut this = Self {
            context,
            base_models: BaseModels::new(context),
            evaluation: evaluation.map(Arc::new),
            arms: Vec::new(),
            chosen,
            with_bases: only.is_empty(),
            base_encoders: Vec::new(),
            announced: BTreeSet::new(),
            failures: Vec::new(),
            lost: BTreeSet::new(),
        };
        for (_, error) in broken.into_iter().filter(|(name, _)| this.chosen.contains(name)) {
            observer.on_event(&Event::PreparationFailed(&error));
            this.failures.push(error);
        }
        this.prepare(plans, &mut datasets, observer)?;
        this.check_questions(observer)?;
        Ok(this)
    }

    /// Whether every model that is to answer can read every item.
    fn check_questions(&mut self, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let Some(evaluation) = self.evaluation.clone() else { return Ok(()) };
        if self.with_bases {
            for id in evaluation.bases() {
                let encoder = self.base_models.encoder(id, header_form(&self.context.study.study))?;
                self.base_encoders.push((id, self.base_models.open(id)?.positions()?, encoder));
            }
        }
        let mut seen = BTreeSet::new();
        let is_new = |(_, positions, encoder): &(_, usize, &Arc<ModelEncoder>)| {
            seen.insert((encoder.identity.clone(), *positions))
        };
        for (model, positions, encoder) in self.encoders().filter(is_new) {
            let mut check = TextCheck::default();
            let (mut items, mut first) = (0, None);
            for (item, prompt) in evaluation.items().iter().zip(evaluation.prompts(encoder, positions).iter()) {
                match prompt {
                    Ok(prompt) => check.add(&encoder.encoder, item, &prompt.tokens, &[]),
                    Err(why) => {
                        items += 1;
                        first.get_or_insert((&item.id, why.to_string()));
                    }
                }
            }
            if let Some((first, why)) = &first {
                let of = evaluation.items().len() as u64;
                observer.on_event(&Event::NotAsked { model, items, of, first, why });
            }
            if !check.sentences().is_empty() {
                observer.on_event(&Event::TextChecked { of: &format!("items asked of `{model}`"), check: &check });
            }
            check_embeddings(&check).at(format_args!("items asked of `{model}`"))?;
        }
        Ok(())
    }

    /// The encoders of what is to be run, with the model that each belongs to and the positions that it leaves to text.
    fn encoders(&self) -> impl Iterator<Item = (&'a str, usize, &Arc<ModelEncoder>)> {
        let arms = self.arms.iter().filter(|(name, _)| self.chosen.contains(name));
        let of_arms = arms.map(|(_, candidates)| {
            let plan = candidates[0].plan;
            (plan.root_model, plan.positions(), &candidates[0].encoder)
        });
        of_arms.chain(self.base_encoders.iter().map(|(id, positions, encoder)| (*id, *positions, encoder)))
    }

    /// Says of each arm that is to be run what was adapted in its recipe, and of what little can come.
    pub fn remarks(&self, observer: &mut dyn Observer) {
        let mut said = BTreeSet::new();
        for (model, _, encoder) in self.encoders() {
            let remarks = self.context.study.model(model).map(|model| encoder.remarks(model));
            for remark in remarks.into_iter().flatten().filter(|remark| said.insert(remark.clone())) {
                observer.on_event(&Event::TemplateRemark { remark: &remark });
            }
        }
        self.base_models.notes().for_each(|(model, remark)| observer.on_event(&Event::ModelRemark { model, remark }));
        for (name, candidates) in self.arms.iter().filter(|(name, _)| self.chosen.contains(name)) {
            candidates.iter().for_each(|data| data.remarks(name, self.context.backend, observer));
        }
    }

    /// Says of each arm that is to be run and has fewer lanes than there are ranks that some of them do nothing in its trainings.
    pub fn idle_ranks(&self, ranks: usize, observer: &mut dyn Observer) {
        for (arm, candidates) in self.chosen_arms() {
            let lanes = candidates.iter().map(|data| data.recipe.recipe.lanes).min().unwrap_or(ranks);
            if lanes < ranks {
                observer.on_event(&Event::RanksIdle { arm, lanes, ranks });
            }
        }
    }

    /// What trains and answers.
    pub fn backend(&self) -> &'static dyn Backend {
        self.context.backend
    }

    /// The arms that are to be run and could be prepared, with their candidates, in the study's order.
    pub(crate) fn chosen_arms(&self) -> impl Iterator<Item = (&'a str, &[Arc<ArmData<'a>>])> {
        let chosen = self.arms.iter().filter(|(name, _)| self.chosen.contains(name));
        chosen.map(|(name, candidates)| (*name, candidates.as_slice()))
    }

    /// The base models that are to answer.
    pub(crate) fn answering_bases(&self) -> impl Iterator<Item = &'a str> {
        self.evaluation.iter().filter(|_| self.with_bases).flat_map(|evaluation| evaluation.bases())
    }

    /// The forms of arms that are to be run.
    pub(crate) fn chosen_variants(&self) -> impl Iterator<Item = &'a Variant> {
        let variants = self.context.study.arms.variants.iter();
        variants.filter(|variant| self.chosen.contains(variant.name.as_str()))
    }

    /// What of it is to be trained in this run folder, as far as that is known.
    pub fn ahead(&self, root: &Path) -> WorkAhead {
        let mut ahead = WorkAhead { has_device: self.context.backend.has_device(), ..WorkAhead::default() };
        for (_, candidates) in self.chosen_arms() {
            for data in candidates {
                let plan = data.plan;
                let starts_from = self.context.study.arm(&plan.arm.base);
                // Of a grid the first training of each candidate is known, and no other.
                let seeds = if candidates.len() > 1 { &plan.seeds[..1] } else { &plan.seeds[..] };
                let trained = seeds.iter().enumerate().filter(|(number, _)| {
                    let training = PreparedArm::new(data, *number, None, self.context.backend);
                    // One that starts from another arm has a name when that one is decided.
                    training.is_ok_and(|arm| matches!(trained_arm::finished(root, &arm.identity), Ok(Some(_))))
                });
                let trained = if starts_from.is_none() { trained.count() } else { 0 };
                let parameters = plan.shape.params();
                if starts_from.is_none() {
                    ahead.trainings += seeds.len() - trained;
                }
                ahead.operations += 6.0 * parameters as f64 * data.tokens as f64 * (seeds.len() - trained) as f64;
                ahead.parameters = ahead.parameters.max(parameters);
                ahead.memory = ahead.memory.max(data.memory(self.context.backend).map(|need| need.own));
            }
        }
        ahead
    }

    /// What the study will take, from nothing. `warnings` are those that were told.
    ///
    /// # Errors
    /// When the file of a base model cannot be read, or the engine cannot be measured.
    pub fn forecast(&self, warnings: Vec<String>) -> Result<StudyForecast, StudyError> {
        let mut calibration = Calibration::open(self.context.calibration_file.clone());
        let (mut arms, mut models, mut evaluated) = (Vec::new(), 0, 0);
        let evaluation = self.evaluation.as_deref();
        for (_, candidates) in self.chosen_arms() {
            for (index, data) in candidates.iter().enumerate() {
                arms.push(arm_time(self.context, data, candidates.len(), index, evaluation, &mut calibration)?);
            }
            let plan = candidates[0].plan;
            if plan.arm.evaluate {
                models += plan.seeds.len() as u64;
                evaluated += 1;
            }
        }
        for variant in self.chosen_variants() {
            let Some((_, candidates)) = self.arms.iter().find(|(name, _)| *name == variant.of) else { continue };
            arms.push(variant_time(self.context, &variant.name, &candidates[0], evaluation, &mut calibration)?);
            models += candidates[0].plan.seeds.len() as u64;
            evaluated += 1;
        }
        arms.extend(self.base_times(&mut calibration)?);
        let bases = evaluation.filter(|_| self.with_bases).map_or(0, |evaluation| evaluation.bases().count() as u64);
        let judging = evaluation.map(|evaluation| evaluation.judging(evaluated + bases, models + bases)).transpose()?;
        let judging = judging.unwrap_or_default();
        let items = evaluation.map(Evaluation::scorable);
        Ok(StudyForecast { arms, items, judging, warnings })
    }

    /// A base model that arms start from or that answers.
    pub(crate) fn base_model(&self, id: &str) -> Option<&BaseModel<'a>> {
        self.base_models.opened(id)
    }

    /// What the base models will take that answer or that arms start from, unless nothing is done with them.
    ///
    /// # Errors
    /// As [`Preparation::forecast`].
    pub(crate) fn base_times(&self, calibration: &mut Calibration) -> Result<Vec<ArmTime>, StudyError> {
        let data = || self.chosen_arms().flat_map(|(_, candidates)| candidates).map(Arc::as_ref);
        let mut ids: Vec<&str> = Vec::new();
        for id in data().map(|data| data.plan.root_model).chain(self.answering_bases()) {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut times = Vec::new();
        for model in ids.into_iter().filter_map(|id| self.base_model(id)) {
            let over = data().filter(|data| data.plan.root_model == model.id());
            let asked = self.base_encoders.iter().find(|(id, ..)| *id == model.id());
            let asked = asked.map(|(_, positions, encoder)| (encoder.as_ref(), *positions));
            let asked = self.evaluation.as_deref().zip(asked);
            let time = base_time(self.context, model, over, asked, calibration)?;
            if time.loss_seconds != Some(0.0) || time.answering_seconds_at_most != Some(0.0) {
                times.push(time);
            }
        }
        Ok(times)
    }

    /// What can be done now, by what is in the run folder.
    ///
    /// # Errors
    /// When a base model or its tokenizer cannot be opened, or a file of the run folder is damaged. An arm without a
    /// candidate that can be trained is told, and joins [`Preparation::failures`] once.
    pub fn round(&mut self, root: &Path, observer: &mut dyn Observer) -> Result<Round<'a>, StudyError> {
        let (mut order, mut models) = (Vec::new(), Vec::new());
        let mut identities = BTreeMap::new();
        let header = &self.context.study.study;
        for id in self.evaluation.iter().flat_map(|evaluation| evaluation.bases()) {
            let model = self.base_models.open(id)?;
            let key = ModelKey::single(id, header.seed);
            identities.insert(key.clone(), model.identity.clone());
            if self.with_bases {
                let encoder = self.base_models.encoder(id, header_form(header))?;
                models.push(EvaluatedModel::Base { key: key.clone(), model, encoder });
            }
            order.push(key);
        }
        let (known, undecided) = self.decide(root, observer)?;
        for model in known {
            order.push(model.key().clone());
            identities.insert(model.key().clone(), model.identity().to_owned());
            if self.chosen.contains(model.key().arm.as_str()) {
                models.push(model);
            }
        }
        let evaluation = self.evaluation.as_deref();
        let backend = self.context.backend;
        let work: Vec<ModelWork> =
            models.iter().map(|model| model.work(evaluation, backend)).collect::<Result<_, _>>()?;
        Ok(Round { models, graph: WorkGraph::new(&work), order, identities, undecided })
    }

    /// The trainings that are known with their other forms, and the arms that are not decided yet.
    fn decide(
        &mut self,
        root: &Path,
        observer: &mut dyn Observer,
    ) -> Result<(Vec<EvaluatedModel<'a>>, Vec<String>), StudyError> {
        let backend = self.context.backend;
        let (mut all, mut undecided) = (Vec::new(), Vec::new());
        // The trainings that stand for each decided arm, by their number.
        let mut decided: BTreeMap<&str, Vec<PreparedArm<'a>>> = BTreeMap::new();
        let mut failed: BTreeMap<&'a str, StudyError> = BTreeMap::new();
        for (name, candidates) in &self.arms {
            let arm = candidates[0].plan.arm;
            if failed.contains_key(arm.base.as_str()) {
                let (arm, parent) = (arm.name.clone(), arm.base.clone());
                failed.insert(*name, StudyError::ParentFailed { arm, parent });
                continue;
            }
            let parents = decided.get(arm.base.as_str());
            if parents.is_none() && self.context.study.arm(&arm.base).is_some() {
                undecided.push((*name).to_owned());
                continue;
            }
            let parent = |number: usize| parents.and_then(|of| of.get(number).or(of.first()));
            let training = |data: &Arc<ArmData<'a>>, number| PreparedArm::new(data, number, parent(number), backend);
            let firsts: Vec<PreparedArm<'a>> =
                candidates.iter().map(|data| training(data, 0)).collect::<Result<_, _>>().in_arm(name)?;
            let Decision { chosen, trainings, failure } =
                candidates::decide(self.context, arm, firsts, root, &mut self.announced, observer).in_arm(name)?;
            if let Some(failure) = failure {
                failed.insert(*name, StudyError::Arm { arm: (*name).to_owned(), source: Box::new(failure) });
                all.extend(trainings.into_iter().map(|arm| EvaluatedModel::Arm(Box::new(arm))));
                continue;
            }
            let Some(chosen) = chosen else {
                undecided.push((*name).to_owned());
                all.extend(trainings.into_iter().map(|arm| EvaluatedModel::Arm(Box::new(arm))));
                continue;
            };
            let first = trainings[chosen].clone();
            all.extend(trainings.into_iter().map(|arm| EvaluatedModel::Arm(Box::new(arm))));
            let mut of_arm = vec![first];
            for number in 1..candidates[chosen].plan.seeds.len() {
                of_arm.push(training(&candidates[chosen], number).in_arm(name)?);
            }
            all.extend(of_arm[1..].iter().cloned().map(|arm| EvaluatedModel::Arm(Box::new(arm))));
            for variant in self.context.study.arms.variants_of(name) {
                for training in &of_arm {
                    let prepared = PreparedVariant::new(variant, training).in_arm(&variant.name)?;
                    all.push(EvaluatedModel::Variant(Box::new(prepared)));
                }
            }
            decided.insert(name, of_arm);
        }
        for variant in &self.context.study.arms.variants {
            if failed.contains_key(variant.of.as_str()) {
                let (arm, parent) = (variant.name.clone(), variant.of.clone());
                failed.insert(&variant.name, StudyError::ParentFailed { arm, parent });
            }
        }
        self.lose(failed, observer);
        Ok((all, undecided))
    }

    /// Tells of the arms that are to be run and cannot be, each once.
    fn lose(&mut self, mut failed: BTreeMap<&'a str, StudyError>, observer: &mut dyn Observer) {
        // In the study's order, in which a parent comes before what starts from it.
        let names = self.context.study.arm_names();
        for name in names.into_iter().filter(|name| self.chosen.contains(name)) {
            let Some(error) = failed.remove(name).filter(|_| self.lost.insert(name)) else { continue };
            let model = ModelKey::single(name, self.context.study.study.seed);
            observer.on_event(&Event::ModelFailed { model: &model, error: &error });
            self.failures.push(error);
        }
    }

    fn prepare(
        &mut self,
        plans: &'a [ArmPlan<'a>],
        datasets: &mut Datasets<'a>,
        observer: &mut dyn Observer,
    ) -> Result<(), StudyError> {
        for of_arm in plans.chunk_by(|a, b| std::ptr::eq(a.arm, b.arm)) {
            let arm = of_arm[0].arm;
            let is_chosen = self.chosen.contains(arm.name.as_str());
            let missing = self.context.study.arm(&arm.base).filter(|parent| !self.is_prepared(&parent.name));
            let prepared = match missing {
                Some(parent) => Err(StudyError::ParentFailed { arm: arm.name.clone(), parent: parent.name.clone() }),
                None => {
                    let models = &mut self.base_models;
                    let data = of_arm.iter().map(|plan| ArmData::new(plan, models, datasets, observer).map(Arc::new));
                    data.collect::<Result<Vec<_>, _>>().in_arm(&arm.name)
                }
            };
            match prepared {
                Ok(candidates) => self.arms.push((&arm.name, candidates)),
                Err(StudyError::Stopped) => return Err(StudyError::Stopped),
                Err(error) if is_chosen && error.fails_its_arm_only() => {
                    observer.on_event(&Event::PreparationFailed(&error));
                    self.failures.push(error);
                }
                Err(error) if is_chosen => return Err(error),
                Err(error) => observer.on_event(&Event::ArmLeftOut(&error)),
            }
        }
        Ok(())
    }

    fn is_prepared(&self, arm: &str) -> bool {
        self.arms.iter().any(|(name, _)| *name == arm)
    }
}

/// How base models are asked: as the study says.
fn header_form(header: &Header) -> Form<'_> {
    Form { template: &header.template, add_bos_token: header.add_bos_token }
}
