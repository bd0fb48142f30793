//! The tokens that an arm learns from, before a step is made.

use tunebench_dataset::{LabelDump, Skips, TokenStats, Tokenization, Unusable, labels};
use tunebench_spec::Example;

use crate::arm_plan::{self, ArmPlan};
use crate::base_model::BaseModels;
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::examples::Datasets;
use crate::observer::Observer;
use crate::work::known_arm;

/// What an arm learns from.
#[derive(Clone, Debug)]
pub struct ArmLabels {
    pub arm: String,
    /// Longest example in tokens.
    pub max_length: usize,
    /// Rows of the source that are no examples.
    pub row_skips: Skips,
    pub stats: TokenStats,
    /// The first examples in full.
    pub examples: Vec<ExampleLabels>,
}

/// One example, token by token, or why it has none.
#[derive(Clone, Debug)]
pub struct ExampleLabels {
    pub id: String,
    pub labels: Result<LabelDump, Unusable>,
}

/// The labels of each arm, or of `only` this one, with the first `show` examples in full; `take` gets one arm after the
/// other.
///
/// # Errors
/// When there is no such arm, something of it cannot be planned or read, or what `take` reports.
pub fn labels<E: From<StudyError>>(
    context: &StudyContext,
    only: Option<&str>,
    show: usize,
    observer: &mut dyn Observer,
    take: &mut dyn FnMut(ArmLabels) -> Result<(), E>,
) -> Result<(), E> {
    let plans = arm_plan::plan(context).and_then(arm_plan::Plans::whole)?;
    let only = only.map(|name| known_arm(&context.study, name)).transpose()?;
    let (mut models, mut datasets) = (BaseModels::new(context), Datasets::new(context));
    for plan in plans.iter().filter(|plan| only.is_none_or(|arm| arm.name == plan.arm.name)) {
        let found = labels_of(plan, show, &mut models, &mut datasets, observer).in_arm(&plan.arm.name)?;
        take(found)?;
    }
    Ok(())
}

fn labels_of<'a>(
    plan: &ArmPlan<'a>,
    show: usize,
    models: &mut BaseModels<'a>,
    datasets: &mut Datasets<'a>,
    observer: &mut dyn Observer,
) -> Result<ArmLabels, StudyError> {
    let encoder = &models.encoder(plan.root_model, plan.template)?.encoder;
    let found = datasets.examples(&plan.arm.dataset, observer)?;
    let examples = found.all().at(format_args!("dataset `{}`", plan.arm.dataset))?;
    let recipe = plan.recipe(Some(examples.len() as u64))?.recipe;
    let settings = (&recipe).into();
    let mut tokenization = Tokenization::new(encoder, settings);
    for example in examples {
        tokenization.add(example);
    }
    let shown =
        |example: &Example| ExampleLabels { id: example.id.clone(), labels: labels::dump(encoder, settings, example) };
    Ok(ArmLabels {
        arm: plan.arm.name.clone(),
        max_length: recipe.max_length,
        row_skips: found.skips().clone(),
        stats: tokenization.stats().clone(),
        examples: examples.iter().take(show).map(shown).collect(),
    })
}
