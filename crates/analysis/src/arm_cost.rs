//! What one arm cost, in time, memory, parameters and money, and what it scored for that.

use crate::estimates::ArmScore;
use crate::evidence::Evidence;
use crate::run::{Arm, Run};

/// What an arm cost and scored.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmCost {
    pub arm: String,
    /// Trainings that stand for the arm.
    pub seeds: usize,
    /// Of one training, mean over the trainings; none for a base model, as with all figures of training.
    pub train_seconds: Option<f64>,
    pub tokens_per_second: Option<f64>,
    /// Largest over the trainings.
    pub peak_memory_bytes: Option<u64>,
    pub trainable_params: u64,
    pub additional_params: u64,
    /// Of all judgements that have a price.
    pub judge_usd: Option<f64>,
    /// Judgements, and those of them that have no price.
    pub judgements: usize,
    pub unpriced: usize,
    pub macro_average: Option<f64>,
    /// Of all trainings, those of losing candidates included.
    pub total_train_seconds: f64,
    /// Candidates that were not chosen, and what training them took.
    pub losing: usize,
    pub losing_seconds: f64,
}

/// In the study's order, by one judge, who gave `scores`; none of those where nothing is judged yet.
pub fn arm_costs(run: &Run, evidence: &Evidence, judge: &str, scores: &[ArmScore]) -> Vec<ArmCost> {
    let average = |arm: &Arm| {
        let score = scores.iter().find(|score| score.arm == arm.name)?;
        score.macro_average.as_ref().ok().map(|average| average.mean)
    };
    let of = |arm: &Arm| {
        let all_prices = evidence.prices(judge, &arm.name);
        let prices: Vec<f64> = all_prices.iter().flatten().copied().collect();
        let losing_seconds: f64 = arm.losing.iter().map(|training| training.train_seconds).sum();
        let own: f64 = arm.trainings.iter().map(|training| training.train_seconds).sum();
        ArmCost {
            arm: arm.name.clone(),
            seeds: arm.trainings.len(),
            train_seconds: arm.mean(|training| training.train_seconds),
            tokens_per_second: arm.mean(|training| training.tokens_per_second),
            peak_memory_bytes: arm.peak_bytes(),
            trainable_params: arm.record.trainable_params,
            additional_params: arm.record.additional_params,
            judge_usd: (!prices.is_empty()).then(|| prices.iter().sum()),
            judgements: all_prices.len(),
            unpriced: all_prices.len() - prices.len(),
            macro_average: average(arm),
            total_train_seconds: own + losing_seconds,
            losing: arm.losing.len(),
            losing_seconds,
        }
    };
    run.arms.iter().map(of).collect()
}
