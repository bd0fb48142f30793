//! The tokens that an arm learns from, before a step is made.

use tunebench_dataset::{LabelDump, Skips, TokenStats, Unusable, labels, skipped_share};
use tunebench_spec::Example;
use tunebench_spec::study::Dataset;

use crate::arm_plan::{self, ArmPlan};
use crate::base_model::BaseModels;
use crate::context::StudyContext;
use crate::error::{Locate, StudyError};
use crate::examples::Datasets;
use crate::observer::{Event, Observer, Stop};
use crate::work::known_arm;

/// What an arm learns from.
#[derive(Clone, Debug)]
pub struct ArmLabels {
    pub arm: String,
    /// How its conversations are written: the name of a template, or `model`.
    pub template: String,
    /// What is to be known of how its files were read.
    pub of_source: Vec<String>,
    /// What is to be known of that template with the model's tokenizer, and of the rows with both.
    pub remarks: Vec<String>,
    /// Why it should not be trained as it is.
    pub faults: Vec<String>,
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
    if let Some(variant) = only.and_then(|name| context.study.variant(name)) {
        let said =
            format!("`{}` is `{}` in another form, and learns nothing itself; name that one", variant.name, variant.of);
        return Err(StudyError::Invalid(said).into());
    }
    let only = only.map(|name| known_arm(&context.study, name)).transpose()?;
    let (mut models, mut datasets) = (BaseModels::new(context), Datasets::new(context));
    for plan in plans.iter().filter(|plan| only.is_none_or(|arm| arm.name == plan.arm.name)) {
        let found = labels_of(context, plan, show, &mut models, &mut datasets, observer).in_arm(&plan.arm.name)?;
        take(found)?;
    }
    Ok(())
}

fn labels_of<'a>(
    context: &StudyContext,
    plan: &ArmPlan<'a>,
    show: usize,
    models: &mut BaseModels<'a>,
    datasets: &mut Datasets<'a>,
    observer: &mut dyn Observer,
) -> Result<ArmLabels, StudyError> {
    let (encoder, id) = (models.encoder(plan.root_model, plan.form)?, &plan.arm.dataset);
    let mut of_source = Vec::new();
    let count = datasets.count(id, &mut Remarks { remarks: &mut of_source, observer })?;
    let recipe = plan.recipe(Some(count))?.recipe;
    let settings = (&recipe).into();
    let set = datasets.tokens(id, &encoder, settings, observer)?;
    let examples = datasets.first(id, show as u64, observer)?;
    let (model_encoder, encoder) = (&encoder, &encoder.encoder);
    let shown =
        |example: &Example| ExampleLabels { id: example.id.clone(), labels: labels::dump(encoder, settings, example) };
    let stats = &set.stats;
    let model = context.study.model(plan.root_model);
    let mut remarks = model.map(|model| model_encoder.remarks(model)).unwrap_or_default();
    remarks.extend(stats.text.sentences());
    let mut faults = faults(stats, recipe.max_length);
    let most = context.study.dataset(&plan.arm.dataset).map_or(1.0, Dataset::max_skipped_share);
    let skipped = skipped_share::check(&stats.skips, stats.examples, most).err().filter(|_| stats.examples > 0);
    faults.extend(skipped.map(|error| error.to_string()));
    Ok(ArmLabels {
        arm: plan.arm.name.clone(),
        of_source,
        template: plan.form.template.to_owned(),
        remarks,
        faults,
        max_length: recipe.max_length,
        row_skips: set.row_skips.clone(),
        stats: stats.clone(),
        examples: examples.iter().map(shown).collect(),
    })
}

/// Why an arm should not be trained on these tokens.
fn faults(stats: &TokenStats, max_length: usize) -> Vec<String> {
    let mut faults = Vec::new();
    if stats.examples == 0 {
        faults.push(format!("nothing can be learnt: {}", stats.skips));
    } else if stats.with_end == 0 && stats.without_end == 0 {
        faults.push(format!(
            "the end of an answer is learnt from no example: max_length {max_length} cuts it off all {}; raise it",
            stats.examples
        ));
    } else if stats.without_end > 0 {
        faults.push(format!(
            "the end of the answer is not learnt from {} of {} examples, which are whole: the template writes none of the tokens \
             at which answering stops, so the model will write on; use one that ends them",
            stats.without_end, stats.examples
        ));
    }
    if let Some(outside) = &stats.text.outside {
        faults.push(format!("{} rows cannot be trained on this model: first {outside}", stats.text.outside_rows));
    }
    faults
}

/// Collects what is to be known of how files were read, and passes all on.
struct Remarks<'o> {
    remarks: &'o mut Vec<String>,
    observer: &'o mut dyn Observer,
}

impl Observer for Remarks<'_> {
    fn on_event(&mut self, event: &Event<'_>) {
        if let Event::SourceRemark { remark, .. } = event {
            self.remarks.push((*remark).to_owned());
        }
        self.observer.on_event(event);
    }

    fn stop(&self) -> Stop {
        self.observer.stop()
    }
}
