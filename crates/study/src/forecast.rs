//! What a study will take on this machine: time of every training, its losses, answers and judgements, said before it is paid for.

use std::collections::BTreeMap;

use serde::Serialize;
use tunebench_model::QuantisedWeights;
use tunebench_spec::Decoder;
use tunebench_spec::grid::Rung;

use crate::base_model::BaseModel;
use crate::calibration::Calibration;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::evaluation::Evaluation;
use crate::items::Items;
use crate::judge_cost::JudgingForecast;
use crate::model_encoder::ModelEncoder;
use crate::prepared_arm::ArmData;

/// What an arm will take, or a base model that arms start from or that answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArmTime {
    pub arm: String,
    /// The values of a candidate; empty without a grid.
    pub candidate: String,
    /// Optimizer steps and tokens of one training, all epochs together.
    pub steps: u64,
    pub tokens: u64,
    /// Of one training; none where that cannot be said.
    pub training_seconds: Option<f64>,
    /// How many of such trainings: with every seed without a grid, else the share of one that selection takes.
    pub trainings: f64,
    /// For the losses of all its trainings, on the way and at the end; none where that cannot be said.
    pub loss_seconds: Option<f64>,
    /// For the answers of all its trainings, if each is as long as it may be; none where that cannot be said.
    pub answering_seconds_at_most: Option<f64>,
}

/// What a study will take, from nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StudyForecast {
    pub arms: Vec<ArmTime>,
    /// What is asked; none in a study without an evaluation.
    pub items: Option<Items>,
    /// Of each judge.
    pub judging: Vec<JudgingForecast>,
    /// Warnings and refusals that were found with the data.
    pub warnings: Vec<String>,
}

impl StudyForecast {
    /// Seconds altogether; none where a part cannot be said.
    pub fn seconds(&self) -> Option<f64> {
        let arm = |arm: &ArmTime| {
            Some(arm.training_seconds? * arm.trainings + arm.loss_seconds? + arm.answering_seconds_at_most?)
        };
        let judging: f64 = self.judging.iter().filter_map(|judge| judge.seconds_at_least).sum();
        self.arms.iter().map(arm).sum::<Option<f64>>().map(|sum| sum + judging)
    }
}

/// What one candidate of an arm will take, of `candidates` of them; the first of them is counted as the one that is chosen.
///
/// # Errors
/// When the engine cannot be measured.
pub(crate) fn arm_time(
    context: &StudyContext,
    data: &ArmData<'_>,
    candidates: usize,
    index: usize,
    evaluation: Option<&Evaluation<'_>>,
    calibration: &mut Calibration,
) -> Result<ArmTime, StudyError> {
    let plan = data.plan;
    let rungs = context.study.selection.as_ref().map(|selection| selection.rungs(candidates)).unwrap_or_default();
    let (trainings, measurements) = counted(data, &rungs, index);
    let evaluation = evaluation.filter(|_| index == 0 && plan.arm.evaluate);
    let answering_seconds_at_most = answering(context, data, &plan.quantised, evaluation, calibration)?;
    let once = data.loss_seconds(&plan.quantised, calibration, context.backend)?;
    Ok(ArmTime {
        arm: plan.arm.name.clone(),
        candidate: plan.candidate.name(),
        steps: data.steps,
        tokens: data.tokens,
        training_seconds: data.seconds(calibration, context.backend)?,
        trainings,
        loss_seconds: once.map(|seconds| seconds * measurements as f64),
        answering_seconds_at_most,
    })
}

/// What an arm in another form will take, of which `data` is: losses and answers, by plain numbers.
///
/// # Errors
/// When the engine cannot be measured.
pub(crate) fn variant_time(
    context: &StudyContext,
    name: &str,
    data: &ArmData<'_>,
    evaluation: Option<&Evaluation<'_>>,
    calibration: &mut Calibration,
) -> Result<ArmTime, StudyError> {
    let plain = QuantisedWeights::new();
    let once = data.loss_seconds(&plain, calibration, context.backend)?;
    Ok(ArmTime {
        loss_seconds: once.map(|seconds| seconds * data.plan.seeds.len() as f64),
        answering_seconds_at_most: answering(context, data, &plain, evaluation, calibration)?,
        ..untrained(name)
    })
}

/// What a base model will take: its losses on all that those of these arms over it are measured on, and its answers where it is asked,
/// by this encoder and with so many positions.
///
/// # Errors
/// When the model's file cannot be read, or the engine cannot be measured.
pub(crate) fn base_time<'d>(
    context: &StudyContext,
    model: &BaseModel<'_>,
    over: impl Iterator<Item = &'d ArmData<'d>>,
    asked: Option<(&Evaluation<'_>, (&ModelEncoder, usize))>,
    calibration: &mut Calibration,
) -> Result<ArmTime, StudyError> {
    // Of each set once, at the pace of whichever arm is the fastest there: it has nothing beside the model.
    let mut sets: BTreeMap<String, Option<f64>> = BTreeMap::new();
    for data in over {
        let seconds = data.loss_seconds(&data.plan.quantised, calibration, context.backend)?;
        let known = sets.entry(data.losses.identity(&model.identity, context.backend)?).or_default();
        *known = known.iter().copied().chain(seconds).reduce(f64::min);
    }
    let answering_seconds_at_most = match asked {
        None => Some(0.0),
        Some((evaluation, asked)) => {
            answers(context, (&model.shape, &model.quantised()?), asked, evaluation, calibration)?
        }
    };
    Ok(ArmTime { loss_seconds: sets.into_values().sum(), answering_seconds_at_most, ..untrained(model.id()) })
}

/// What nothing is trained of.
fn untrained(name: &str) -> ArmTime {
    ArmTime {
        arm: name.to_owned(),
        candidate: String::new(),
        steps: 0,
        tokens: 0,
        training_seconds: Some(0.0),
        trainings: 0.0,
        loss_seconds: Some(0.0),
        answering_seconds_at_most: Some(0.0),
    }
}

/// Seconds for the answers of all trainings of an arm, if each is as long as it may be, with these of its weights held quantised;
/// none where that cannot be said.
fn answering(
    context: &StudyContext,
    data: &ArmData<'_>,
    quantised: &QuantisedWeights,
    evaluation: Option<&Evaluation<'_>>,
    calibration: &mut Calibration,
) -> Result<Option<f64>, StudyError> {
    let Some(evaluation) = evaluation else { return Ok(Some(0.0)) };
    let (model, asked) = ((&data.plan.shape, quantised), (data.encoder.as_ref(), data.plan.positions()));
    let of_one = answers(context, model, asked, evaluation, calibration)?;
    Ok(of_one.map(|seconds| seconds * data.plan.seeds.len() as f64))
}

/// Seconds for the answers of one model of this shape, asked by an encoder and with so many positions, if each is as long as it may
/// be; none where that cannot be said.
fn answers(
    context: &StudyContext,
    (shape, quantised): (&Decoder, &QuantisedWeights),
    (encoder, positions): (&ModelEncoder, usize),
    evaluation: &Evaluation<'_>,
    calibration: &mut Calibration,
) -> Result<Option<f64>, StudyError> {
    let settings = &evaluation.settings().generation;
    let prompts = evaluation.prompts(encoder, positions);
    let lengths: Vec<usize> = prompts.iter().flatten().map(|prompt| prompt.tokens.len()).collect();
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len().max(1) as f64;
    let speed = calibration.answering((shape, quantised), mean as usize, settings.batch_size, context.backend)?;
    Ok(speed.map(|speed| speed.seconds(lengths.len() as u64, mean, settings.max_new_tokens as f64)))
}

/// Whole trainings of the candidate at this place of the order, the first being the last one left, and how often their losses are
/// measured, at most: where it is compared, and dropped at one of these rungs, and as its recipe says.
fn counted(data: &ArmData<'_>, rungs: &[Rung], index: usize) -> (f64, u64) {
    let last = rungs.iter().position(|rung| index >= rung.survivors).filter(|_| index > 0);
    let reached = last.map_or(rungs, |last| &rungs[..=last]);
    let (mut from, mut measurements) = (0, 0);
    for to in reached.iter().map(|rung| rung.step(data.steps)).chain(last.is_none().then_some(data.steps)) {
        measurements += data.measurements(from, to);
        from = to;
    }
    if let Some(last) = last {
        return (rungs[last].share, measurements);
    }
    let others = if index == 0 { data.plan.seeds.len().max(1) as u64 - 1 } else { 0 };
    ((1 + others) as f64, measurements + others * data.measurements(0, data.steps))
}
