//! What each arm of a study trains, known before a weight is read: from shapes and the tuners' plans alone.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;
use tunebench_hub::Wanted;
use tunebench_kernels::machine::memory::MemoryLimit;
use tunebench_model::backend::Backend;
use tunebench_model::{MemoryNeed, QuantisedWeights, families};
use tunebench_peft::Inspection;
use tunebench_spec::fit::{RecipeWarning, warnings};
use tunebench_spec::grid::Candidate;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::study::{Arm, Model, Variant};
use tunebench_spec::{Decoder, Recipe, WeightPlan};

use crate::arm_recipe::{ArmRecipe, Stated, arm_recipe};
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::hub_files::is_address;
use crate::losses;
use crate::memory;
use crate::model_encoder::Form;
use crate::model_files::{ModelFiles, VIRTUAL_BASE};
use crate::observer::{Event, Observer};
use crate::stored_weights::stored_weights;

/// One arm, planned, with the values that a candidate of its grid gives it.
pub struct ArmPlan<'a> {
    pub arm: &'a Arm,
    pub candidate: Candidate,
    pub shape: Decoder,
    pub recorded: RecordedPlan,
    /// The weights of what it starts from that are held quantised, by name.
    pub quantised: QuantisedWeights,
    /// Bytes of the others when it is opened.
    pub plain: u64,
    /// What opening that takes before anything is trained, where something is folded into it.
    opening: MemoryNeed,
    /// The study's and the arm's own words on the recipe.
    stated: (&'a tunebench_spec::RecipeOverrides, &'a tunebench_spec::RecipeOverrides),
    /// How a conversation becomes text for this arm.
    pub form: Form<'a>,
    /// The seeds of its trainings: of their order, new parameters and dropout.
    pub seeds: Vec<u64>,
    /// The model that its chain of bases begins with.
    pub root_model: &'a str,
}

impl ArmPlan<'_> {
    /// Its recipe for so many examples; as the study and the tuner give it where their number is not known.
    ///
    /// # Errors
    /// When it cannot be followed by this model.
    pub fn recipe(&self, examples: Option<u64>) -> Result<ArmRecipe, StudyError> {
        let (study, arm) = self.stated;
        let stated = Stated { study, arm, grid: &self.candidate.recipe };
        let recipe = arm_recipe(&self.recorded.plan.recipe, stated, examples);
        recipe
            .and_then(|recipe| self.check(&recipe.recipe).map(|()| recipe))
            .map_err(|fault| StudyError::Invalid(format!("recipe: {fault}")))
    }

    /// Positions for an example's own tokens: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        self.shape.context().saturating_sub(self.recorded.plan.virtual_count())
    }

    /// Whether the recipe can be followed by this model.
    fn check(&self, recipe: &Recipe) -> Result<(), String> {
        recipe.check().map_err(|e| e.to_string())?;
        let (length, positions, room) = (recipe.max_length, self.shape.context(), self.positions());
        if length <= room {
            return Ok(());
        }
        let count = self.recorded.plan.virtual_count();
        let taken = if count > 0 { format!(", of which {count} virtual tokens leave {room}") } else { String::new() };
        let why = if positions < self.shape.max_position_embeddings {
            " (LongRoPE turns longer texts otherwise, which is not computed)"
        } else {
            ""
        };
        Err(format!(
            "max_length = {length}, but the model has {positions} positions{why}{taken}; lower it to {room} or less"
        ))
    }

    /// What opening its base and training take at the peak, by this engine and recipe, where that can be said beforehand; losses
    /// are measured over `measured` tokens at once.
    pub fn memory(&self, recipe: &Recipe, measured: usize, backend: &'static dyn Backend) -> Option<MemoryNeed> {
        let (need, _) = self.training(recipe, measured, backend)?;
        // It is opened in the machine's memory, whatever trains it.
        let opening = if backend.has_device() { MemoryNeed::default() } else { self.opening };
        Some(MemoryNeed { own: need.own.max(opening.own), mapped: need.mapped.max(opening.mapped) })
    }

    /// Whether its base stays in memory, by this engine and recipe, while it is trained.
    pub fn keeps_base(&self, recipe: &Recipe, measured: usize, backend: &'static dyn Backend) -> bool {
        self.training(recipe, measured, backend).is_some_and(|(_, keeps)| keeps)
    }

    fn training(&self, recipe: &Recipe, measured: usize, backend: &dyn Backend) -> Option<(MemoryNeed, bool)> {
        memory::training(&self.shape, &self.recorded, (&self.quantised, self.plain), recipe, measured, backend)
    }

    /// The tuner's options, a candidate's values in place of the arm's own.
    pub fn options(&self) -> BTreeMap<String, serde_json::Value> {
        options(self.arm, &self.candidate)
    }
}

fn options(arm: &Arm, candidate: &Candidate) -> BTreeMap<String, serde_json::Value> {
    arm.options.iter().chain(&candidate.options).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is known of an arm before it is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    pub arm: String,
    /// The values that a grid gives it; empty without a grid. One of an arm's candidates is trained with all seeds.
    pub candidate: String,
    /// Trainings of the arm.
    pub seeds: u32,
    pub base: String,
    pub tuner: String,
    pub dataset: String,
    /// Parameters of the model itself.
    pub model_params: u64,
    /// With the tuner's own added.
    pub total_params: u64,
    pub trainable_params: u64,
    pub additional_params: u64,
    pub trainable_percent: f64,
    /// Training examples; none when the study takes whatever is there.
    pub examples: Option<u64>,
    /// None when it depends on how many or how long the examples are.
    pub steps: Option<u64>,
    pub epochs: f64,
    pub batch_size: usize,
    pub learning_rate: f64,
    /// What was adapted to the number of examples, and what little can come of.
    pub remarks: Vec<String>,
    /// Bytes of memory at the peak of training, predicted, of a file that is mapped no more than there is room for; none for the
    /// reference engine.
    pub memory_bytes: Option<u64>,
    /// Of these the bytes that must be there.
    pub own_memory_bytes: Option<u64>,
    /// Bytes of a model's file that are mapped, and read again from the disk where there is no room for them.
    pub mapped_bytes: Option<u64>,
    /// Whether there is so much here as must be; none where one of the two is not known.
    pub fits: Option<bool>,
    /// What this engine may take here.
    #[serde(skip)]
    pub limit: Option<MemoryLimit>,
}

impl PlanReport {
    /// What to say of an arm whose training takes more memory than there is.
    pub fn too_large(&self) -> Option<String> {
        let need = self.need()?;
        let limit = self.limit.clone().filter(|limit| need.exceeds(limit))?;
        Some(StudyError::TooLarge { needed: need.required(&limit), limit: Box::new(limit) }.to_string())
    }

    /// What to say of an arm whose training fits, but not with all of its model's file.
    pub fn read_again(&self) -> Option<String> {
        let said = memory::read_again(self.need()?, self.limit.as_ref()?)?;
        Some(format!("warning: {said}"))
    }

    fn need(&self) -> Option<MemoryNeed> {
        Some(MemoryNeed { own: self.own_memory_bytes?, mapped: self.mapped_bytes? })
    }
}

/// The arms of a study, planned, one for each candidate; and those whose plugin broke over that, with what starts from them.
pub struct Plans<'a> {
    pub arms: Vec<ArmPlan<'a>>,
    /// Name, and why.
    pub broken: Vec<(&'a str, StudyError)>,
    /// What is to be said of models, by their ids.
    pub remarks: Vec<(String, String)>,
}

impl<'a> Plans<'a> {
    /// Tells what is to be said of models.
    pub fn tell(&self, observer: &mut dyn Observer) {
        self.remarks.iter().for_each(|(model, remark)| observer.on_event(&Event::ModelRemark { model, remark }));
    }

    /// All of them.
    ///
    /// # Errors
    /// That of the first broken one.
    pub fn whole(self) -> Result<Vec<ArmPlan<'a>>, StudyError> {
        self.broken.into_iter().next().map_or(Ok(self.arms), |(_, error)| Err(error))
    }
}

/// Plans every arm, chained ones too: a parent's adapters are folded into its weights before a child trains.
///
/// # Errors
/// What is wrong with the study; an arm whose plugin broke is in [`Plans::broken`].
pub fn plan(context: &StudyContext) -> Result<Plans<'_>, StudyError> {
    let study = &context.study;
    let mut shapes = BTreeMap::new();
    let (mut quantised, mut floats) = (BTreeMap::new(), BTreeMap::new());
    let mut adapters = BTreeMap::new();
    for model in &study.models {
        let place = format_args!("model `{}`", model.id);
        let shape = shape(context, model).at(place)?;
        if let Some(adapter) = adapter(context, model, &shape).at(place)? {
            adapters.insert(model.id.as_str(), adapter);
        }
        let adapter = adapters.get(model.id.as_str());
        let (blocks, plain) = stored_weights(context, model, adapter, &shape).at(place)?;
        quantised.insert(model.id.as_str(), blocks);
        floats.insert(model.id.as_str(), plain);
        shapes.insert(model.id.as_str(), shape);
    }
    let remarks = |(id, found): (&&str, &Inspection)| {
        found.remarks.iter().map(|remark| (id.to_string(), remark.clone())).collect::<Vec<_>>()
    };
    let remarks = adapters.iter().flat_map(remarks).collect();
    let mut plans = Plans { arms: Vec::new(), broken: Vec::new(), remarks };
    for arm in &study.arms {
        let root = study.root_model(arm);
        if adapters.get(root).is_some_and(|adapter| adapter.kind.is_virtual()) {
            let fault = format!("it starts from model `{root}`: {VIRTUAL_BASE}");
            return Err(StudyError::Invalid(fault)).in_arm(&arm.name);
        }
        let shape = shapes[root].clone();
        // What an adapter of the model or an arm between has changed is plain numbers, in f32 when it is opened.
        let mut held = quantised[root].clone();
        let before = held.len();
        let mut folded: BTreeSet<&str> = BTreeSet::new();
        folded.extend(adapters.get(root).iter().flat_map(|adapter| &adapter.changed).map(String::as_str));
        for parent in study.parents(arm) {
            let changed = plans.arms.iter().filter(|plan| plan.arm.name == parent.name);
            let changed = changed.flat_map(|plan| &plan.recorded.plan.weights);
            for (name, _) in changed.filter(|(_, plan)| **plan != WeightPlan::Frozen) {
                held.remove(name);
                folded.insert(name);
            }
        }
        let opening = memory::opening(&shape, &quantised[root], &floats[root], &folded);
        let plain = memory::plain_bytes(&shape, &held, &floats[root], &folded);
        if held.len() < before {
            let (name, base, count) = (&arm.name, &arm.base, before - held.len());
            let remark = format!(
                "arm `{name}` starts from `{base}`, in which {count} of {before} quantised weights are plain numbers"
            );
            plans.remarks.push((root.to_owned(), remark));
        }
        match plan_arm(context, arm, (&shape, &held, plain, opening), &plans).in_arm(&arm.name) {
            Ok(planned) => {
                plans.remarks.extend(
                    planned.iter().filter_map(|plan| dequantised(plan, &held)).map(|said| (root.to_owned(), said)),
                );
                plans.arms.extend(planned);
            }
            Err(error) if error.fails_its_arm_only() => plans.broken.push((&arm.name, error)),
            Err(error) => return Err(error),
        }
    }
    for variant in &study.arms.variants {
        for parent in plans.arms.iter().filter(|plan| plan.arm.name == variant.of) {
            check_foldable(parent, "is another form of").in_arm(&variant.name)?;
        }
    }
    Ok(plans)
}

/// What is known of each planned arm and candidate, in their order.
///
/// # Errors
/// When a recipe cannot be followed with the data that there is.
pub fn reports(context: &StudyContext, plans: &[ArmPlan<'_>]) -> Result<Vec<PlanReport>, StudyError> {
    let mut reports = Vec::new();
    for of_arm in plans.chunk_by(|a, b| std::ptr::eq(a.arm, b.arm)) {
        let candidates: Vec<PlanReport> =
            of_arm.iter().map(|plan| report(context, plan)).collect::<Result<_, StudyError>>()?;
        let variants = context.study.arms.variants_of(&of_arm[0].arm.name);
        let variants: Vec<PlanReport> = variants.map(|variant| variant_report(variant, &candidates[0])).collect();
        reports.extend(candidates.into_iter().chain(variants));
    }
    Ok(reports)
}

/// Another form of an arm: as many of it as there are trainings, and nothing to train.
fn variant_report(variant: &Variant, of: &PlanReport) -> PlanReport {
    PlanReport {
        arm: variant.name.clone(),
        candidate: String::new(),
        base: of.arm.clone(),
        tuner: variant.form.name().to_owned(),
        total_params: of.model_params,
        trainable_params: 0,
        additional_params: 0,
        trainable_percent: 0.0,
        examples: Some(0),
        steps: Some(0),
        epochs: 0.0,
        learning_rate: 0.0,
        remarks: Vec::new(),
        memory_bytes: None,
        own_memory_bytes: None,
        mapped_bytes: None,
        fits: None,
        limit: None,
        ..of.clone()
    }
}

fn plan_arm<'a>(
    context: &'a StudyContext,
    arm: &'a Arm,
    base: (&Decoder, &QuantisedWeights, u64, MemoryNeed),
    before: &Plans<'_>,
) -> Result<Vec<ArmPlan<'a>>, StudyError> {
    if before.broken.iter().any(|(name, _)| *name == arm.base) {
        return Err(StudyError::ParentFailed { arm: arm.name.clone(), parent: arm.base.clone() });
    }
    for parent in before.arms.iter().filter(|p| p.arm.name == arm.base) {
        check_foldable(parent, "starts from")?;
    }
    let study = &context.study;
    let candidates = study.candidates(arm)?;
    candidates.into_iter().map(|candidate| plan_candidate(context, arm, candidate, base)).collect()
}

fn plan_candidate<'a>(
    context: &'a StudyContext,
    arm: &'a Arm,
    candidate: Candidate,
    (shape, quantised, plain, opening): (&Decoder, &QuantisedWeights, u64, MemoryNeed),
) -> Result<ArmPlan<'a>, StudyError> {
    let recorded = context.plugins.tuner(&arm.tuner, &options(arm, &candidate))?.record(shape)?;
    if recorded.plan.trainable_params(shape) == 0 {
        return Err(StudyError::Invalid(format!("tuner `{}` trains nothing of this model", arm.tuner)));
    }
    let study = &context.study;
    let root = study.root_model(arm);
    if study.model(root).is_some_and(|model| model.quantise.is_some()) {
        let trained = |(_, plan): &(&String, &WeightPlan)| matches!(plan, WeightPlan::Trainable { .. });
        if let Some((name, _)) =
            recorded.plan.weights.iter().filter(trained).find(|(name, _)| quantised.contains_key(*name))
        {
            let fault = format!(
                "tuner `{}` trains `{name}` itself, which model `{root}` has quantised; adapt it (LoRA), or give the arm a model \
                 without quantise",
                arm.tuner
            );
            return Err(StudyError::Invalid(fault));
        }
    }
    let plan = ArmPlan {
        arm,
        candidate,
        shape: shape.clone(),
        recorded,
        quantised: quantised.clone(),
        plain,
        opening,
        stated: (&study.recipe, &arm.recipe),
        form: Form {
            template: arm.template.as_deref().unwrap_or(&study.study.template),
            add_bos_token: arm.add_bos_token.unwrap_or(study.study.add_bos_token),
        },
        seeds: (0..study.seeds(arm)).map(|number| study.training_seed(arm, number)).collect(),
        root_model: root,
    };
    plan.recipe(None)?;
    Ok(plan)
}

fn check_foldable(parent: &ArmPlan<'_>, how: &str) -> Result<(), StudyError> {
    let whose = format!("it {how} `{}`, whose tuner `{}`", parent.arm.name, parent.arm.tuner);
    if parent.recorded.plan.virtual_tokens.is_some() {
        return Err(StudyError::Invalid(format!(
            "{whose} puts virtual tokens in front of every example; those cannot be folded into the weights"
        )));
    }
    if parent.recorded.graphs.iter().any(|g| g.merge.is_none()) {
        return Err(StudyError::Invalid(format!("{whose} cannot be folded into the weights (it implements no merge)")));
    }
    Ok(())
}

/// What the model's adapter is, by its configuration and the names of its tensors.
fn adapter(context: &StudyContext, model: &Model, shape: &Decoder) -> Result<Option<Inspection>, StudyError> {
    let Some(adapter) = &model.adapter else { return Ok(None) };
    let hint = model.hint.as_deref();
    // What is to be fetched yet is looked at when it is here.
    if is_address(adapter) && !context.hub.is_here(adapter, Wanted::Adapter)? {
        return Ok(None);
    }
    let is_named = is_address(&model.source) || model.source.starts_with("preset:");
    let source = if is_named { PathBuf::from(&model.source) } else { context.path(&model.source, hint)? };
    let adapter = context.paths(adapter, Wanted::Adapter, hint)?.into_iter().next();
    ModelFiles { source, adapter, quantise: None }.inspect(shape)
}

fn shape(context: &StudyContext, model: &Model) -> Result<Decoder, StudyError> {
    if let Some(name) = model.source.strip_prefix("preset:") {
        return Ok(Decoder::preset(name)?);
    }
    if let Some(shape) = &model.shape {
        shape.check()?;
        // Exports will need it.
        families::to_config_json(families::ALL, shape)?;
        return Ok(shape.clone());
    }
    let paths = context.paths(&model.source, Wanted::Config, model.hint.as_deref())?;
    match paths.as_slice() {
        [folder] if is_address(&model.source) && folder.is_dir() => Ok(tunebench_model::decoder_of(folder)?),
        [path] => Ok(ModelFiles { source: path.clone(), adapter: None, quantise: None }.open()?.shape),
        _ => Err(StudyError::Invalid(format!("`{}` is not one model", model.source))),
    }
}

/// What to say of an arm that trains weights which a file has in few bits.
fn dequantised(plan: &ArmPlan<'_>, held: &QuantisedWeights) -> Option<String> {
    let trained =
        |(name, how): &(&String, &WeightPlan)| matches!(how, WeightPlan::Trainable { .. }) && held.contains_key(*name);
    let count = plan.recorded.plan.weights.iter().filter(trained).count();
    (count > 0).then(|| {
        let name = &plan.arm.name;
        format!(
            "arm `{name}` trains {count} weights that the file has in few bits; what these stand for is where it begins"
        )
    })
}

fn report(context: &StudyContext, plan: &ArmPlan<'_>) -> Result<PlanReport, StudyError> {
    let ArmPlan { arm, shape, recorded, .. } = plan;
    let model_params = shape.params();
    let additional_params = recorded.plan.additional_params();
    let trainable_params = recorded.plan.trainable_params(shape);
    let total_params = model_params + additional_params;
    let examples = context.study.dataset(&arm.dataset).and_then(|d| d.examples);
    let ArmRecipe { recipe, fitted, .. } = plan.recipe(examples)?;
    let steps = examples.and_then(|n| recipe.total_steps(n));
    let warned = examples.zip(steps).map(|(examples, steps)| warnings(&recipe, examples, steps)).unwrap_or_default();
    let has_held_out = context.study.selection.is_some();
    let measured = recipe.micro_batch_tokens.min(if has_held_out { usize::MAX } else { losses::general_bytes() });
    let need = plan.memory(&recipe, measured, context.backend);
    let limit = context.backend.memory_limit();
    Ok(PlanReport {
        arm: arm.name.clone(),
        candidate: plan.candidate.name(),
        seeds: plan.seeds.len() as u32,
        base: arm.base.clone(),
        tuner: arm.tuner.clone(),
        dataset: arm.dataset.clone(),
        model_params,
        total_params,
        trainable_params,
        additional_params,
        trainable_percent: 100.0 * trainable_params as f64 / total_params.max(1) as f64,
        examples,
        steps,
        epochs: recipe.epochs,
        batch_size: recipe.batch_size,
        learning_rate: recipe.learning_rate,
        remarks: fitted.iter().map(ToString::to_string).chain(warned.iter().map(RecipeWarning::to_string)).collect(),
        memory_bytes: need.map(|need| need.peak(limit.as_ref())),
        own_memory_bytes: need.map(|need| need.own),
        mapped_bytes: need.map(|need| need.mapped),
        fits: need.zip(limit.as_ref()).map(|(need, limit)| !need.exceeds(limit)),
        limit,
    })
}
