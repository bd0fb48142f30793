//! What each arm of a study trains, known before a weight is read: from shapes and the tuners' plans alone.

use std::collections::BTreeMap;

use serde::Serialize;
use tunebench_model::backend::Backend;
use tunebench_model::families;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::study::{Arm, Model};
use tunebench_spec::{Decoder, Recipe};

use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::memory;

/// One arm, planned.
pub struct ArmPlan<'a> {
    pub arm: &'a Arm,
    pub shape: Decoder,
    pub recorded: RecordedPlan,
    pub recipe: Recipe,
    /// How a conversation becomes text for this arm.
    pub template: &'a str,
    /// The seed of its order, its new parameters and its dropout.
    pub seed: u64,
    /// The model that its chain of bases begins with.
    pub root_model: &'a str,
}

impl ArmPlan<'_> {
    /// Bytes of memory at the peak of training by this engine, where that can be said beforehand.
    pub fn memory(&self, backend: &'static dyn Backend) -> Option<u64> {
        memory::training(&self.shape, &self.recorded, &self.recipe, backend)
    }
}

/// What is known of an arm before it is run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanReport {
    pub arm: String,
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
    /// Bytes of memory at the peak of training, predicted; none for the reference engine.
    pub memory_bytes: Option<u64>,
    /// Whether this machine has so much; none where one of the two is not known.
    pub fits: Option<bool>,
}

impl PlanReport {
    /// What to say of an arm whose training takes more memory than this machine has.
    pub fn too_large(&self) -> Option<String> {
        let (needed, total) = (self.memory_bytes?, memory::of_machine()?);
        (needed > total).then(|| StudyError::TooLarge { needed, total }.to_string())
    }
}

/// The arms of a study, planned; and those whose plugin broke over that, with what starts from them.
pub struct Plans<'a> {
    pub arms: Vec<ArmPlan<'a>>,
    /// Name, and why.
    pub broken: Vec<(&'a str, StudyError)>,
}

impl<'a> Plans<'a> {
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
    for model in &study.models {
        let place = format_args!("model `{}`", model.id);
        let shape = shape(context, model).at(place)?;
        context.backend.check(&shape).at(place)?;
        shapes.insert(model.id.as_str(), shape);
    }
    let mut plans = Plans { arms: Vec::new(), broken: Vec::new() };
    for arm in &study.arms {
        let shape = shapes[study.root_model(arm)].clone();
        match plan_arm(context, arm, shape, &plans).in_arm(&arm.name) {
            Ok(planned) => plans.arms.push(planned),
            Err(error) if error.fails_its_arm_only() => plans.broken.push((&arm.name, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(plans)
}

/// What is known of each planned arm, in their order.
pub fn reports(context: &StudyContext, plans: &[ArmPlan<'_>]) -> Vec<PlanReport> {
    plans.iter().map(|plan| report(context, plan)).collect()
}

fn plan_arm<'a>(
    context: &'a StudyContext,
    arm: &'a Arm,
    shape: Decoder,
    before: &Plans<'_>,
) -> Result<ArmPlan<'a>, StudyError> {
    if before.broken.iter().any(|(name, _)| *name == arm.base) {
        return Err(StudyError::ParentFailed { arm: arm.name.clone(), parent: arm.base.clone() });
    }
    if let Some(parent) = before.arms.iter().find(|p| p.arm.name == arm.base) {
        check_foldable(parent)?;
    }
    let recorded = context.plugins.tuner(&arm.tuner, &arm.options)?.record(&shape)?;
    let recipe = Recipe::base().with(&recorded.plan.recipe).with(&context.study.recipe).with(&arm.recipe);
    check(&shape, &recorded, &recipe).map_err(|fault| StudyError::Invalid(format!("recipe: {fault}")))?;
    if recorded.plan.trainable_params(&shape) == 0 {
        return Err(StudyError::Invalid(format!("tuner `{}` trains nothing of this model", arm.tuner)));
    }
    let header = &context.study.study;
    let template = arm.template.as_deref().unwrap_or(&header.template);
    let (seed, root_model) = (arm.seed.unwrap_or(header.seed), context.study.root_model(arm));
    Ok(ArmPlan { arm, shape, recorded, recipe, template, seed, root_model })
}

/// Whether the recipe can be followed by this model.
fn check(shape: &Decoder, recorded: &RecordedPlan, recipe: &Recipe) -> Result<(), String> {
    recipe.check().map_err(|e| e.to_string())?;
    let (length, positions) = (recipe.max_length, shape.max_position_embeddings);
    let count = recorded.plan.virtual_count();
    let room = positions.saturating_sub(count);
    if length <= room {
        return Ok(());
    }
    let taken = if count > 0 { format!(", of which {count} virtual tokens leave {room}") } else { String::new() };
    Err(format!("max_length = {length}, but the model has {positions} positions{taken}; lower it to {room} or less"))
}

fn check_foldable(parent: &ArmPlan<'_>) -> Result<(), StudyError> {
    let whose = format!("it starts from `{}`, whose tuner `{}`", parent.arm.name, parent.arm.tuner);
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
    let path = context.path(&model.source, model.hint.as_deref())?;
    Ok(tunebench_model::open(&path)?.shape)
}

fn report(context: &StudyContext, plan: &ArmPlan<'_>) -> PlanReport {
    let ArmPlan { arm, shape, recorded, recipe, .. } = plan;
    let model_params = shape.params();
    let additional_params = recorded.plan.additional_params();
    let trainable_params = recorded.plan.trainable_params(shape);
    let total_params = model_params + additional_params;
    let examples = context.study.dataset(&arm.dataset).and_then(|d| d.examples);
    let memory_bytes = plan.memory(context.backend);
    PlanReport {
        arm: arm.name.clone(),
        base: arm.base.clone(),
        tuner: arm.tuner.clone(),
        dataset: arm.dataset.clone(),
        model_params,
        total_params,
        trainable_params,
        additional_params,
        trainable_percent: 100.0 * trainable_params as f64 / total_params.max(1) as f64,
        examples,
        steps: examples.and_then(|n| recipe.total_steps(n)),
        epochs: recipe.epochs,
        batch_size: recipe.batch_size,
        learning_rate: recipe.learning_rate,
        memory_bytes,
        fits: memory_bytes.zip(memory::of_machine()).map(|(needed, total)| needed <= total),
    }
}
