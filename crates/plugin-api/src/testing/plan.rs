//! The plan of a tuner that is tried, and what is in it.

use crate::{Error, Model, Result, Site, TunePlan, Tuner, Weight, WeightPlan};

/// No published prefix is longer; a host's model may have room for fewer.
const MOST_VIRTUAL: usize = 4096;

/// The plan for `model`, checked as the host does.
pub fn checked<T: Tuner>(tuner: &T, model: &Model) -> Result<TunePlan> {
    let plan = crosses(&tuner.plan(model)?)?;
    if crosses(&tuner.plan(model)?)? != plan {
        return Err("the second plan for the same model differs from the first; it must be pure".into());
    }
    let count = plan.virtual_tokens.as_ref().map_or(1, |tokens| tokens.count);
    if !(1..=MOST_VIRTUAL).contains(&count) {
        return Err(format!("{count} virtual tokens; there can be from 1 to {MOST_VIRTUAL}").into());
    }
    plan.check(model)?;
    Ok(plan)
}

/// The adapted weights, in the order of the model.
pub fn sites(plan: &TunePlan, model: &Model) -> Vec<Site> {
    let site = |weight: &Weight| match plan.weights.get(&weight.name) {
        Some(WeightPlan::Adapted { params }) => Some(Site { weight: weight.clone(), params: params.clone() }),
        _ => None,
    };
    model.weights.iter().filter_map(site).collect()
}

/// Parameters that are trained: those of trainable weights, of sites and of virtual tokens.
pub fn trainable_params(plan: &TunePlan, model: &Model) -> u64 {
    let size = |shape: &[usize]| shape.iter().product::<usize>() as u64;
    let count = |weight: &Weight| match plan.weights.get(&weight.name) {
        Some(WeightPlan::Trainable { .. }) => size(&weight.shape),
        Some(WeightPlan::Adapted { params }) => params.iter().map(|p| size(&p.shape)).sum(),
        _ => 0,
    };
    let tokens = plan.virtual_tokens.iter().flat_map(|tokens| &tokens.params);
    model.weights.iter().map(count).sum::<u64>() + tokens.map(|p| size(&p.shape)).sum::<u64>()
}

/// The plan as it arrives at the host.
fn crosses(plan: &TunePlan) -> Result<TunePlan> {
    let arrived = serde_json::to_value(plan).and_then(serde_json::from_value);
    arrived.map_err(|e| Error::new(format!("the plan is not plain data: {e}; is a number infinite or NaN?")))
}
