//! What each arm of a study trains, known before a weight is read: from shapes and the tuners' plans alone.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Serialize;
use tunebench_host::HostError;
use tunebench_kernels::machine;
use tunebench_model::fast;
use tunebench_spec::plan::Recorded;
use tunebench_spec::study::{Arm, Model};
use tunebench_spec::{Engine, ModelShape, Recipe};

use super::setup::Setup;

/// One arm, planned.
pub struct ArmPlan<'a> {
    pub arm: &'a Arm,
    pub shape: ModelShape,
    pub recorded: Recorded,
    pub recipe: Recipe,
}

impl ArmPlan<'_> {
    /// How a conversation becomes text for this arm.
    pub fn template<'a>(&'a self, setup: &'a Setup) -> &'a str {
        self.arm.template.as_deref().unwrap_or(&setup.study.study.template)
    }

    /// Bytes of memory at the peak of training by this engine, where that can be said beforehand.
    pub fn memory(&self, engine: Engine) -> Option<u64> {
        let Recipe {
            micro_batch_tokens, max_length, batch_tokens, batch_size, gradient_checkpointing, packing, ..
        } = self.recipe;
        let count = self.recorded.plan.virtual_count();
        let longest = count + max_length;
        // By tokens or in packed rows, examples may be as many as their tokens, each behind virtual ones.
        let step = match (batch_tokens, packing) {
            (0, false) => batch_size.saturating_mul(longest),
            (0, true) => batch_size.saturating_mul(max_length).saturating_mul(1 + count),
            (tokens, _) => tokens.saturating_mul(1 + count),
        };
        let tokens = step.min(micro_batch_tokens.max(longest));
        let bytes = || fast::memory::training(&self.shape, &self.recorded, tokens, gradient_checkpointing);
        (engine == Engine::Fast).then(bytes)
    }

    /// The seed of its order, its new parameters and its dropout.
    pub fn seed(&self, setup: &Setup) -> u64 {
        self.arm.seed.unwrap_or(setup.study.study.seed)
    }
}

/// What `tunebench plan` says of an arm.
#[derive(Serialize)]
pub struct PlanRow {
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

/// The arms of a study, planned; and those whose plugin broke over that, with what starts from them.
pub struct Plans<'a> {
    pub arms: Vec<ArmPlan<'a>>,
    /// Name, and why.
    pub broken: Vec<(&'a str, anyhow::Error)>,
}

impl<'a> Plans<'a> {
    /// All of them, when none is broken.
    pub fn whole(self) -> Result<Vec<ArmPlan<'a>>> {
        self.broken.into_iter().next().map_or(Ok(self.arms), |(_, error)| Err(error))
    }
}

/// An arm cannot be prepared because the one that it starts from could not.
#[derive(Debug)]
pub struct BaseFailed(pub String);

impl std::fmt::Display for BaseFailed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "it starts from `{}`, which failed", self.0)
    }
}

impl std::error::Error for BaseFailed {}

/// Whether a plugin broke, here or in the arm that this one starts from, so that what needs it fails and the rest may go
/// on; anything else is wrong with the study.
pub fn is_fault(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<BaseFailed>() || cause.downcast_ref().is_some_and(HostError::is_fault))
}

/// Plans every arm, chained ones too: a parent's adapters are folded into its weights before a child trains.
pub fn plan(setup: &Setup) -> Result<Plans<'_>> {
    let mut shapes = BTreeMap::new();
    for model in &setup.study.models {
        shapes.insert(model.id.as_str(), shape(setup, model).with_context(|| format!("model `{}`", model.id))?);
    }
    let mut plans = Plans { arms: Vec::new(), broken: Vec::new() };
    for arm in &setup.study.arms {
        let shape = shapes[setup.study.root_model(arm)].clone();
        match plan_arm(setup, arm, shape, &plans).with_context(|| format!("arm `{}`", arm.name)) {
            Ok(planned) => plans.arms.push(planned),
            Err(error) if is_fault(&error) => plans.broken.push((&arm.name, error)),
            Err(error) => return Err(error),
        }
    }
    Ok(plans)
}

/// The plan as rows.
pub fn rows(setup: &Setup, plans: &[ArmPlan<'_>]) -> Vec<PlanRow> {
    plans.iter().map(|plan| row(setup, plan)).collect()
}

fn plan_arm<'a>(setup: &Setup, arm: &'a Arm, shape: ModelShape, before: &Plans<'_>) -> Result<ArmPlan<'a>> {
    if before.broken.iter().any(|(name, _)| *name == arm.base) {
        return Err(BaseFailed(arm.base.clone()).into());
    }
    if let Some(parent) = before.arms.iter().find(|p| p.arm.name == arm.base) {
        check_foldable(parent)?;
    }
    let recorded = setup.plugins.tuner(&arm.tuner, &arm.options)?.record(&shape)?;
    let recipe = Recipe::base().patched(&recorded.plan.recipe).patched(&setup.study.recipe).patched(&arm.recipe);
    recipe.check().map_err(|e| anyhow!("recipe: {e}"))?;
    let (length, positions) = (recipe.max_length, shape.max_position_embeddings);
    let count = recorded.plan.virtual_count();
    let room = positions.saturating_sub(count);
    let taken = if count > 0 { format!(", of which {count} virtual tokens leave {room}") } else { String::new() };
    ensure!(
        length <= room,
        "recipe: max_length = {length}, but the model has {positions} positions{taken}; lower it to {room} or less"
    );
    ensure!(recorded.plan.trainable_params(&shape) > 0, "tuner `{}` trains nothing of this model", arm.tuner);
    Ok(ArmPlan { arm, shape, recorded, recipe })
}

fn check_foldable(parent: &ArmPlan<'_>) -> Result<()> {
    ensure!(
        parent.recorded.plan.virtual_tokens.is_none(),
        "it starts from `{}`, whose tuner `{}` puts virtual tokens in front of every example; those cannot be folded \
         into the weights",
        parent.arm.name,
        parent.arm.tuner
    );
    let unmergeable = parent.recorded.graphs.iter().any(|g| g.merge.is_none());
    ensure!(
        !unmergeable,
        "it starts from `{}`, whose tuner `{}` cannot be folded into the weights (it implements no merge)",
        parent.arm.name,
        parent.arm.tuner
    );
    Ok(())
}

fn shape(setup: &Setup, model: &Model) -> Result<ModelShape> {
    if let Some(name) = model.source.strip_prefix("preset:") {
        return Ok(ModelShape::preset(name)?);
    }
    if let Some(shape) = &model.shape {
        shape.check()?;
        return Ok(shape.clone());
    }
    let path = setup.path(&model.source, model.hint.as_deref())?;
    Ok(tunebench_model::open(&path)?.shape)
}

fn row(setup: &Setup, plan: &ArmPlan<'_>) -> PlanRow {
    let model_params = plan.shape.params();
    let additional_params = plan.recorded.plan.additional_params();
    let trainable_params = plan.recorded.plan.trainable_params(&plan.shape);
    let total_params = model_params + additional_params;
    let examples = setup.study.dataset(&plan.arm.dataset).and_then(|d| d.examples);
    PlanRow {
        arm: plan.arm.name.clone(),
        base: plan.arm.base.clone(),
        tuner: plan.arm.tuner.clone(),
        dataset: plan.arm.dataset.clone(),
        model_params,
        total_params,
        trainable_params,
        additional_params,
        trainable_percent: 100.0 * trainable_params as f64 / total_params.max(1) as f64,
        examples,
        steps: examples.and_then(|n| plan.recipe.total_steps(n)),
        epochs: plan.recipe.epochs,
        batch_size: plan.recipe.batch_size,
        learning_rate: plan.recipe.learning_rate,
        memory_bytes: plan.memory(setup.engine),
        fits: plan.memory(setup.engine).zip(machine::memory::total()).map(|(needed, total)| needed <= total),
    }
}
