//! What a plan must be, whatever the tuner: checked by the host, and by the kit in an author's tests.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Init, Model, Param, Result, TunePlan, Weight, WeightPlan};

/// No parameter of a real tuner has more elements.
const LARGEST_PARAM: u64 = 1 << 31;
/// Nor has any weight, or the virtual tokens, more of them.
const MOST_PARAMS: usize = 64;
/// What stands for the name of a weight in messages about virtual tokens.
const VIRTUAL_TOKENS: &str = "virtual_tokens";

impl TunePlan {
    /// Whether it speaks of every weight of `model`, of no other, and only asks for what can be. How many virtual tokens
    /// there may be depends on the model's positions, which the host knows.
    ///
    /// # Errors
    /// The first fault: the weight, the parameter, and what is wrong with it.
    pub fn check(&self, model: &Model) -> Result<()> {
        let weights: BTreeMap<&str, &Weight> = model.weights.iter().map(|w| (w.name.as_str(), w)).collect();
        if let Some(name) = weights.keys().find(|name| !self.weights.contains_key(**name)) {
            return Err(format!("the plan does not say what happens to `{name}`").into());
        }
        for (name, fate) in &self.weights {
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
        let Some(tokens) = &self.virtual_tokens else { return Ok(()) };
        check_params(VIRTUAL_TOKENS, &tokens.params)?;
        match tokens.params.iter().find(|p| p.init == Init::Computed) {
            Some(p) => Err(format!("`{VIRTUAL_TOKENS}`: `{}` cannot be computed; give it an init", p.name).into()),
            None => Ok(()),
        }
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
