//! A run as stages of trainings that may be made at once, each after all of the one before: what a scheduler of jobs is told.
//!
//! An arm that starts from another is a stage later. A grid takes a stage for each round: its rungs, and then what is chosen with
//! its other seeds. What each stage is made of is known before any of it is done; which candidate it is need not be.

use std::collections::BTreeMap;

use tunebench_model::{MemoryNeed, QuantisedWeights};
use tunebench_spec::Decoder;
use tunebench_spec::grid::Rung;

use crate::calibration::Calibration;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::forecast::{arm_time, variant_time};
use crate::memory::kept_beside_answers;
use crate::preparation::Preparation;
use crate::prepared_arm::ArmData;

/// What may be done at once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StageAhead {
    pub tasks: Vec<TaskAhead>,
}

/// The work on one model.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskAhead {
    /// The arm, with what tells it from others of it.
    pub name: String,
    /// On this machine with all its threads; none where that cannot be said.
    pub seconds: Option<f64>,
    /// Of these, for its answers.
    pub answering_seconds: f64,
    /// Bytes at its peak.
    pub memory: u64,
    /// Parameters of its model, and of those that are trained.
    pub parameters: u64,
    pub trained: u64,
    /// Tokens that are learnt from, and the steps that takes.
    pub tokens: u64,
    pub steps: u64,
}

/// Bytes that a process takes beside a model: the program, plugins, rows.
const PROCESS: u64 = 300 << 20;

/// The end of a training, as the rung at which one is left.
const END: Rung = Rung { share: 1.0, survivors: 1 };

/// The stages of a whole run, from nothing.
///
/// # Errors
/// When the engine cannot be measured.
pub(crate) fn stages(context: &StudyContext, preparation: &Preparation<'_>) -> Result<Vec<StageAhead>, StudyError> {
    let mut calibration = Calibration::open(context.calibration_file.clone());
    let mut stages: Vec<StageAhead> = Vec::new();
    let mut put = |stage: usize, task: TaskAhead| {
        if stages.len() <= stage {
            stages.resize(stage + 1, StageAhead::default());
        }
        stages[stage].tasks.push(task);
    };
    let evaluation = preparation.evaluation.as_deref();
    // The stage in which each arm's trainings end.
    let mut ends: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, candidates) in preparation.chosen_arms() {
        let first = &candidates[0];
        let seeds = first.plan.seeds.len();
        let time = arm_time(context, first, 1, 0, evaluation, &mut calibration)?;
        let answering = time.answering_seconds_at_most.map(|seconds| seconds / seeds.max(1) as f64);
        let mut stage = ends.get(first.plan.arm.base.as_str()).map_or(0, |end| end + 1);
        // Of a training behind a rung, or from its beginning, as far as another. A task measures the losses of that, and may be the
        // first to measure those of the base model.
        let mut task = |data: &ArmData<'_>, what: String, (from, to): (Option<Rung>, Rung), answering: Option<f64>| {
            let (from, to) = (from.map_or(0, |rung| rung.step(data.steps)), to.step(data.steps));
            let share = to.saturating_sub(from) as f64 / data.steps.max(1) as f64;
            let measurements = data.measurements(from, to) + u64::from(to > from);
            let losses = data.loss_seconds(&data.plan.quantised, &mut calibration, context.backend)?;
            let training = data.seconds(&mut calibration, context.backend)?;
            let seconds = || Some(training? * share + losses? * measurements as f64 + answering?);
            Ok::<_, StudyError>(TaskAhead {
                name: format!("{name}{what}"),
                seconds: seconds(),
                answering_seconds: answering.unwrap_or(0.0),
                memory: memory(context, data, &data.plan.quantised),
                parameters: data.plan.shape.params(),
                trained: data.plan.recorded.plan.trainable_params(&data.plan.shape),
                tokens: (data.tokens as f64 * share) as u64,
                steps: to.saturating_sub(from),
            })
        };
        if candidates.len() > 1 {
            let rungs = context.study.selection.as_ref().map(|selection| selection.rungs(candidates.len()));
            let mut rungs = rungs.unwrap_or_default();
            // Of several that come through all rungs, each goes on to its end.
            if rungs.last().is_none_or(|rung| rung.survivors > 1) {
                rungs.push(END);
            }
            let (mut left, mut before) = (candidates.len(), None);
            for to in rungs {
                for data in candidates.iter().take(left) {
                    put(stage, task(data, format!(" [{}]", data.plan.candidate.name()), (before, to), Some(0.0))?);
                }
                (left, before) = (to.survivors, Some(to));
                stage += 1;
            }
            // The chosen one goes on from where it was compared.
            put(stage, task(first, " [chosen]".to_owned(), (before, END), answering)?);
        } else {
            put(stage, task(first, String::new(), (None, END), answering)?);
        }
        for number in 1..seeds {
            put(stage, task(first, format!(" (seed {})", number + 1), (None, END), answering)?);
        }
        ends.insert(name, stage);
    }
    for variant in preparation.chosen_variants() {
        let Some((_, candidates)) = preparation.chosen_arms().find(|(name, _)| *name == variant.of) else { continue };
        let first = &candidates[0];
        let time = variant_time(context, &variant.name, first, evaluation, &mut calibration)?;
        let seeds = first.plan.seeds.len();
        let of_one = |seconds: Option<f64>| seconds.map(|seconds| seconds / seeds.max(1) as f64);
        let (losses, answering) = (of_one(time.loss_seconds), of_one(time.answering_seconds_at_most));
        for number in 0..seeds {
            put(
                ends.get(variant.of.as_str()).map_or(0, |end| end + 1),
                TaskAhead {
                    name: format!("{} (seed {})", variant.name, number + 1),
                    // It too may be the first to measure the base model.
                    seconds: losses.zip(answering).map(|(losses, answering)| 2.0 * losses + answering),
                    answering_seconds: answering.unwrap_or(0.0),
                    // In another form it is plain numbers.
                    memory: memory(context, first, &QuantisedWeights::new()),
                    parameters: first.plan.shape.params(),
                    trained: 0,
                    tokens: 0,
                    steps: 0,
                },
            );
        }
    }
    let times = preparation.base_times(&mut calibration)?;
    for model in preparation.answering_bases().filter_map(|id| preparation.base_model(id)) {
        let answering =
            times.iter().find(|time| time.arm == model.id()).and_then(|time| time.answering_seconds_at_most);
        let task = TaskAhead {
            name: model.id().to_owned(),
            // Its losses are measured by who trains over it.
            seconds: answering,
            answering_seconds: answering.unwrap_or(0.0),
            memory: answering_memory(context, &model.shape, &model.quantised()?).whole() + PROCESS,
            parameters: model.shape.params(),
            trained: 0,
            tokens: 0,
            steps: 0,
        };
        put(0, task);
    }
    Ok(stages)
}

/// Bytes at the peak of training or of answering, whichever is more; with all of a file that is mapped, so that nothing of it is
/// read twice. `quantised` are those weights that answer so.
fn memory(context: &StudyContext, data: &ArmData<'_>, quantised: &QuantisedWeights) -> u64 {
    let shape = &data.plan.shape;
    let answering = context.study.eval.as_ref().map_or(0, |_| {
        let need = answering_memory(context, shape, quantised);
        let keeps = data.keeps_base(context.backend);
        let stored = (quantised, data.plan.plain);
        let kept = kept_beside_answers(need, shape, stored, context.backend).filter(|_| keeps);
        (need + kept.unwrap_or(0)).whole()
    });
    data.memory(context.backend).map_or(0, MemoryNeed::whole).max(answering) + PROCESS
}

/// What answering takes of a model of this shape; nothing in a study without an evaluation.
fn answering_memory(context: &StudyContext, shape: &Decoder, quantised: &QuantisedWeights) -> MemoryNeed {
    context.study.eval.as_ref().map_or(MemoryNeed::default(), |eval| {
        context.backend.answering_memory(shape, quantised, eval.generation.batch_size, shape.context())
    })
}
