//! Whether a plan speaks of every weight, of no other, and only asks for what can be.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Error, Init, Model, Param, Result, Site, TunePlan, Tuner, VirtualTokens, Weight, WeightPlan};

/// No parameter of a real tuner has more elements.
const LARGEST_PARAM: u64 = 1 << 31;
/// Nor has any weight, or the virtual tokens, more of them.
const MOST_PARAMS: usize = 64;
/// No published prefix is longer; a host's model may have room for fewer.
const MOST_VIRTUAL: usize = 4096;

/// The plan for `model`, checked as the host does.
pub fn checked<T: Tuner>(tuner: &T, model: &Model) -> Result<TunePlan> {
    let plan = crosses(&tuner.plan(model)?)?;
    if crosses(&tuner.plan(model)?)? != plan {
        return Err("the second plan for the same model differs from the first; it must be pure".into());
    }
    let weights: BTreeMap<&str, &Weight> = model.weights.iter().map(|w| (w.name.as_str(), w)).collect();
    if let Some(name) = weights.keys().find(|name| !plan.weights.contains_key(**name)) {
        return Err(format!("the plan does not say what happens to `{name}`").into());
    }
    for (name, fate) in &plan.weights {
        let weight = weights.get(name.as_str()).ok_or_else(|| format!("the model has no weight `{name}`"))?;
        match fate {
            WeightPlan::Frozen => {}
            WeightPlan::Trainable { lr_scale } => check_scale(name, *lr_scale)?,
            WeightPlan::Adapted { .. } if !weight.linear => {
                return Err(format!("`{name}` is no linear weight of a layer and cannot be adapted").into());
            }
            WeightPlan::Adapted { params } => check_params(name, params)?,
        }
    }
    plan.virtual_tokens.as_ref().map_or(Ok(()), check_virtual)?;
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

fn check_virtual(tokens: &VirtualTokens) -> Result<()> {
    if !(1..=MOST_VIRTUAL).contains(&tokens.count) {
        return Err(format!("{} virtual tokens; there can be from 1 to {MOST_VIRTUAL}", tokens.count).into());
    }
    check_params("virtual_tokens", &tokens.params)?;
    match tokens.params.iter().find(|p| p.init == Init::Computed) {
        Some(param) => Err(format!("`virtual_tokens`: `{}` cannot be computed; give it an init", param.name).into()),
        None => Ok(()),
    }
}

fn check_params(name: &str, params: &[Param]) -> Result<()> {
    if params.len() > MOST_PARAMS {
        return Err(format!("`{name}`: {} parameters, where {MOST_PARAMS} are the most", params.len()).into());
    }
    let mut names = BTreeSet::new();
    for param in params {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if param.name.is_empty() || param.name == "weight" || !param.name.chars().all(plain) {
            let fault = "parameter names are letters, digits and _, and not `weight`";
            return Err(format!("`{name}`: {fault}; this one is {:?}", param.name).into());
        }
        if !names.insert(&param.name) {
            return Err(format!("`{name}`: two parameters `{}`", param.name).into());
        }
        let size = param.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
        if param.shape.is_empty() || !size.is_some_and(|n| (1..=LARGEST_PARAM).contains(&n)) {
            return Err(
                format!("`{name}`: parameter `{}` has an impossible shape {:?}", param.name, param.shape).into()
            );
        }
        check_scale(name, param.lr_scale)?;
    }
    Ok(())
}

fn check_scale(name: &str, lr_scale: f64) -> Result<()> {
    if lr_scale.is_finite() && lr_scale >= 0.0 {
        return Ok(());
    }
    Err(format!("`{name}`: lr_scale {lr_scale} is not a learning-rate factor").into())
}
