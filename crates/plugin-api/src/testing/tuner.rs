//! A tuner, tried: its plan for a model, and the maths of every site, recorded and computed.

use serde_json::Value;

use super::op::Op;
use super::site::SiteCheck;
use super::{options, plan, tiny_model, virtual_tokens};
use crate::{Error, Model, Result, Tuner};

/// What a tuner does to the model it was tried on.
#[derive(Clone, Debug, PartialEq)]
pub struct TunerReport {
    /// Names of the adapted weights, in the order of the model.
    pub sites: Vec<String>,
    /// In front of every example.
    pub virtual_tokens: usize,
    /// Elements of the trainable weights, and of the parameters of sites and virtual tokens.
    pub trainable_params: u64,
    /// Whether every site yields what the base weight alone would, while its parameters have their initial values.
    /// With virtual tokens there is always something that the base model does not see.
    pub starts_at_base: bool,
    /// Whether every site can be folded into its base weight; virtual tokens cannot. Without that no other arm can
    /// start from this one.
    pub merges: bool,
}

/// Tries a tuner on [`tiny_model`].
///
/// It must decide every weight and adapt only linear ones. At each adapted weight `forward` must yield `[t, out]`,
/// record the same operations when asked again, and stay finite; with all parameters moved a little from their
/// initial values, each must have a gradient, which must agree with finite differences; what `merge` yields must be
/// the same map as `forward`; and computed initial values must have the shapes of their parameters. Virtual tokens must
/// be `[count, width]`, with gradients likewise. What [`Tuner::REQUIRES`] names must be there.
///
/// # Errors
/// The first fault: the weight, the method, and what was found instead of what.
pub fn check_tuner<T: Tuner>(options: Value) -> Result<TunerReport> {
    check_tuner_on::<T>(&tiny_model(), options)
}

/// As [`check_tuner`], on a model of the author's choice. It should be as tiny, since all is computed by plain loops.
///
/// # Errors
/// As [`check_tuner`].
pub fn check_tuner_on<T: Tuner>(model: &Model, options: Value) -> Result<TunerReport> {
    if let Some((name, version)) = T::REQUIRES.iter().find(|(name, version)| !Op::is_known(name, *version)) {
        return Err(Error::new(format!("it requires operation `{name}` in version {version}, which is not there")));
    }
    let tuner = T::new(self::options(&options)?)?;
    let plan = plan::checked(&tuner, model).map_err(|e| Error::new(format!("plan: {e}")))?;
    let sites = plan::sites(&plan, model);
    let mut report = TunerReport {
        sites: sites.iter().map(|site| site.weight.name.clone()).collect(),
        virtual_tokens: plan.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count),
        trainable_params: plan::trainable_params(&plan, model),
        starts_at_base: plan.virtual_tokens.is_none(),
        merges: plan.virtual_tokens.is_none(),
    };
    if let Some(tokens) = &plan.virtual_tokens {
        virtual_tokens::check(&tuner, tokens, model)?;
    }
    for site in &sites {
        let checked = SiteCheck::new(&tuner, site).and_then(|check| {
            report.starts_at_base &= check.starts_at_base()?;
            report.merges &= check.merges();
            check.check_moved()
        });
        checked.map_err(|e| Error::new(format!("{}: {e}", site.weight.name.trim_end_matches(".weight"))))?;
    }
    Ok(report)
}
