//! A run as stages of trainings that may be made at once, each after all of the one before: what a scheduler of jobs is told.
//!
//! An arm that starts from another is a stage later. A grid takes a stage for each round: its rungs, and then what is chosen with
//! its other seeds. What each stage is made of is known before any of it is done; which candidate it is need not be.

use std::collections::BTreeMap;

use tunebench_model::{MemoryNeed, QuantisedWeights};

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
        let answering = time.answering_seconds_at_most.unwrap_or(0.0) / seeds.max(1) as f64;
        let mut stage = ends.get(first.plan.arm.base.as_str()).map_or(0, |end| end + 1);
        // A task measures the losses of its training, and may be the first to measure those of the base model.
        let computed = |data: &ArmData<'_>, share: f64, calibration: &mut Calibration| {
            let losses = data.loss_seconds(calibration, context.backend)?;
            let training = data.seconds(calibration, context.backend)?;
            let seconds = |(training, losses)| training * share + losses * (data.measurements(share) + 1.0);
            Ok::<_, StudyError>(training.zip(losses).map(seconds))
        };
        let task = |data: &ArmData<'_>, what: String, computed: Option<f64>, share: f64, answering: f64| TaskAhead {
            name: format!("{name}{what}"),
            seconds: computed.map(|seconds| seconds + answering),
            answering_seconds: answering,
            memory: memory(context, data, &data.plan.quantised),
            parameters: data.plan.shape.params(),
            trained: data.plan.recorded.plan.trainable_params(&data.plan.shape),
            tokens: (data.tokens as f64 * share) as u64,
            steps: (data.steps as f64 * share).ceil() as u64,
        };
        let whole = computed(first, 1.0, &mut calibration)?;
        if candidates.len() > 1 {
            let rungs = context.study.selection.as_ref().map(|selection| selection.rungs(candidates.len()));
            let rungs = rungs.unwrap_or_default();
            let (mut left, mut before) = (candidates.len(), 0.0);
            let at_the_end = [(1.0, 1)];
            let shares: Vec<(f64, usize)> = rungs.iter().map(|rung| (rung.share, rung.survivors)).collect();
            for (share, survivors) in if shares.is_empty() { at_the_end.to_vec() } else { shares } {
                for data in candidates.iter().take(left) {
                    let seconds = computed(data, share - before, &mut calibration)?;
                    put(stage, task(data, format!(" [{}]", data.plan.candidate.name()), seconds, share - before, 0.0));
                }
                (left, before) = (survivors, share);
                stage += 1;
            }
            // The chosen one goes on from where it was compared.
            let seconds = computed(first, 1.0 - before, &mut calibration)?;
            put(stage, task(first, " [chosen]".to_owned(), seconds, 1.0 - before, answering));
        } else {
            put(stage, task(first, String::new(), whole, 1.0, answering));
        }
        for number in 1..seeds {
            put(stage, task(first, format!(" (seed {})", number + 1), whole, 1.0, answering));
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
    // Base models only answer; like the largest arm, if each answer is as long as it may be.
    let all = || stages.iter().flat_map(|stage| &stage.tasks);
    let answering = all().map(|task| task.answering_seconds).fold(0.0, f64::max);
    let (memory, parameters) =
        all().fold((PROCESS, 0), |most, task| (most.0.max(task.memory), most.1.max(task.parameters)));
    for id in preparation.answering_bases() {
        let name = id.to_owned();
        let seconds = Some(answering);
        let task = TaskAhead {
            name,
            seconds,
            answering_seconds: answering,
            memory,
            parameters,
            trained: 0,
            tokens: 0,
            steps: 0,
        };
        match stages.first_mut() {
            Some(first) => first.tasks.push(task),
            None => stages.push(StageAhead { tasks: vec![task] }),
        }
    }
    Ok(stages)
}

/// Bytes at the peak of training or of answering, whichever is more; with all of a file that is mapped, so that nothing of it is
/// read twice. `quantised` are those weights that answer so.
fn memory(context: &StudyContext, data: &ArmData<'_>, quantised: &QuantisedWeights) -> u64 {
    let shape = &data.plan.shape;
    let generation = context.study.eval.as_ref().map(|eval| &eval.generation);
    let answering = generation.map_or(0, |generation| {
        let need = context.backend.answering_memory(shape, quantised, generation.batch_size, shape.context());
        let keeps = data.keeps_base(context.backend);
        let stored = (quantised, data.plan.plain);
        let kept = kept_beside_answers(need, shape, stored, context.backend).filter(|_| keeps);
        (need + kept.unwrap_or(0)).whole()
    });
    data.memory(context.backend).map_or(0, MemoryNeed::whole).max(answering) + PROCESS
}
