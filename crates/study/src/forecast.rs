//! What a study will take on this machine: time of every training, answers and judgements, said before it is paid for.

use serde::Serialize;
use tunebench_model::QuantisedWeights;
use tunebench_spec::grid::Selection;

use crate::calibration::Calibration;
use crate::context::StudyContext;
use crate::error::StudyError;
use crate::evaluation::Evaluation;
use crate::items::Items;
use crate::judge_cost::JudgingForecast;
use crate::prepared_arm::ArmData;

/// What an arm will take.
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
        let arm = |arm: &ArmTime| Some(arm.training_seconds? * arm.trainings + arm.answering_seconds_at_most?);
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
    let (plan, seeds) = (data.plan, data.plan.seeds.len() as f64);
    let share = searched_share(context.study.selection.as_ref(), candidates, index);
    let trainings = if index == 0 { seeds.max(1.0) } else { share };
    let evaluation = evaluation.filter(|_| index == 0 && plan.arm.evaluate);
    let answering_seconds_at_most = answering(context, data, &plan.quantised, evaluation, calibration)?;
    Ok(ArmTime {
        arm: plan.arm.name.clone(),
        candidate: plan.candidate.name(),
        steps: data.steps,
        tokens: data.tokens,
        training_seconds: data.seconds(calibration, context.backend)?,
        trainings,
        answering_seconds_at_most,
    })
}

/// What an arm in another form will take, of which `data` is: answers alone, by plain numbers.
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
    Ok(ArmTime {
        arm: name.to_owned(),
        candidate: String::new(),
        steps: 0,
        tokens: 0,
        training_seconds: Some(0.0),
        trainings: 0.0,
        answering_seconds_at_most: answering(context, data, &QuantisedWeights::new(), evaluation, calibration)?,
    })
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
    let settings = &evaluation.settings().generation;
    let prompts: Vec<usize> = evaluation
        .items()
        .iter()
        .filter_map(|item| Some(data.encoder.encoder.prompt(&item.turns).ok()?.tokens.len()))
        .collect();
    let mean = prompts.iter().sum::<usize>() as f64 / prompts.len().max(1) as f64;
    let speed =
        calibration.answering((&data.plan.shape, quantised), mean as usize, settings.batch_size, context.backend)?;
    let (answers, seeds) = (prompts.len() as u64, data.plan.seeds.len() as f64);
    Ok(speed.map(|speed| seeds * speed.seconds(answers, mean, settings.max_new_tokens as f64)))
}

/// Of a whole training, the share that a candidate is trained which is dropped at its place in the order, the first being
/// the last one left.
fn searched_share(selection: Option<&Selection>, candidates: usize, index: usize) -> f64 {
    let rungs = selection.map(|selection| selection.rungs(candidates)).unwrap_or_default();
    rungs.iter().find(|rung| index >= rung.survivors).map_or(1.0, |rung| rung.share)
}
