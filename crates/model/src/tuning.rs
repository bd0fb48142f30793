//! What is trained of a model: the plan with its recorded graphs, and the values of all it trains.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor};
use tunebench_spec::decoder::{Part, Weight};
use tunebench_spec::plan::{RecordedPlan, SiteGraphs};
use tunebench_spec::random::Stream;
use tunebench_spec::{Decoder, Dim, Init, ParamSpec, VirtualTokens, WeightPlan};

use crate::graph::site::{self, Dropout, Inputs};
use crate::optim::ParamOptions;
use crate::weights::Stored;
use crate::{Error, Weights};

/// A recorded plan that fits a model, and a value for each weight and parameter that it trains.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    recorded: RecordedPlan,
    /// By [`param_name`] for the parameters of adapted weights and of virtual tokens, by the weight's own name for
    /// trainable ones.
    values: BTreeMap<String, Tensor>,
}

/// The name of a parameter among all trained tensors: `…q_proj.lora_A` for `lora_A` at `…q_proj.weight`, and
/// `virtual_tokens.embedding` for `embedding` of [`VirtualTokens::NAME`].
pub fn param_name(weight: &str, param: &str) -> String {
    format!("{}.{param}", weight.strip_suffix(".weight").unwrap_or(weight))
}

impl Tuning {
    /// Nothing is trained: the model as it is.
    pub fn none() -> Self {
        Self::default()
    }

    /// The beginning of training: trainable weights as they are, parameters by their init, random ones from `seed`.
    ///
    /// # Errors
    /// [`Error::Plan`] or [`Error::Graph`] names the weight where plan, graphs and model do not fit.
    pub fn init(shape: &Decoder, weights: &Weights, recorded: RecordedPlan, seed: u64) -> Result<Self, Error> {
        check(shape, &recorded)?;
        let mut values = BTreeMap::new();
        for (weight, plan) in &recorded.plan.weights {
            match plan {
                WeightPlan::Frozen => {}
                WeightPlan::Trainable { .. } => {
                    values.insert(weight.clone(), weights.get(weight)?);
                }
                WeightPlan::Adapted { params } => {
                    let graphs = graphs_of(&recorded, weight)?;
                    // A weight is looked at, which may be gigabytes in other bits, only where a parameter begins from it.
                    let is_read = params.iter().any(|param| param.init == Init::Computed);
                    let base = is_read.then(|| weights.get(weight)).transpose()?;
                    for (name, value) in init_params(weight, base.as_ref(), params, graphs, seed)? {
                        values.insert(param_name(weight, &name), value);
                    }
                }
            }
        }
        for param in recorded.plan.virtual_tokens.iter().flat_map(|tokens| &tokens.params) {
            let name = param_name(VirtualTokens::NAME, &param.name);
            let value = drawn(&param.init, &param.shape, Stream::named(seed, &name))?;
            values.insert(name, site::rounded(&value, param.dtype)?);
        }
        Ok(Self { recorded, values })
    }

    /// Trained values, e.g. from a file, with the plan they belong to.
    ///
    /// # Errors
    /// As [`Tuning::init`]; [`Error::Missing`], [`Error::Shape`], [`Error::Type`] or [`Error::Unexpected`] names
    /// the tensor that does not fit.
    pub fn new(shape: &Decoder, recorded: RecordedPlan, values: BTreeMap<String, Tensor>) -> Result<Self, Error> {
        check(shape, &recorded)?;
        let place = || "trained values".to_string();
        let expected = shapes(shape, &recorded);
        for (name, expected) in &expected {
            let (name, expected) = (name.clone(), expected.clone());
            let Some(tensor) = values.get(&name) else { return Err(Error::Missing { place: place(), name, expected }) };
            let found = tensor.dims().to_vec();
            if found != expected {
                return Err(Error::Shape { place: place(), name, expected, found });
            }
            if tensor.dtype() != DType::F32 {
                let (found, supported) = (format!("{:?}", tensor.dtype()), "F32".into());
                return Err(Error::Type { place: place(), name, found, supported });
            }
        }
        match values.iter().find(|(name, _)| !expected.contains_key(*name)) {
            Some((name, t)) => Err(Error::Unexpected { place: place(), name: name.clone(), found: t.dims().to_vec() }),
            None => Ok(Self { recorded, values }),
        }
    }

    /// The plan and its graphs.
    pub fn recorded(&self) -> &RecordedPlan {
        &self.recorded
    }

    /// Everything trained, by name.
    pub fn values(&self) -> &BTreeMap<String, Tensor> {
        &self.values
    }

    /// The values of the parameters at an adapted weight, by parameter name.
    pub(crate) fn params_at(&self, weight: &str, params: &[ParamSpec]) -> Result<BTreeMap<String, Tensor>, Error> {
        let value = |p: &ParamSpec| -> Result<Tensor, Error> {
            Ok(site::rounded(self.value(&param_name(weight, &p.name))?, p.dtype)?)
        };
        params.iter().map(|p| Ok((p.name.clone(), value(p)?))).collect()
    }

    /// The virtual tokens in front of every example as their graph makes them, `[count, width]`; none where there are none.
    ///
    /// # Errors
    /// When the graph cannot be run.
    pub fn virtual_tokens(&self) -> Result<Option<Tensor>, Error> {
        let (Some(tokens), Some(graph)) = (&self.recorded.plan.virtual_tokens, &self.recorded.virtual_tokens) else {
            return Ok(None);
        };
        let params = self.params_at(VirtualTokens::NAME, &tokens.params)?;
        let inputs = Inputs { x: None, weight: None, params: &params, dropout: Dropout::Off };
        Ok(Some(site::run(graph, &inputs)?.contiguous()?))
    }

    /// As [`Tuning::value`], letting go of it.
    pub(crate) fn take_value(&mut self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::Missing { place: "trained values".into(), name: name.into(), expected: vec![] };
        self.values.remove(name).ok_or_else(missing)
    }

    pub(crate) fn value(&self, name: &str) -> Result<&Tensor, Error> {
        let missing = || Error::Missing { place: "trained values".into(), name: name.into(), expected: vec![] };
        self.values.get(name).ok_or_else(missing)
    }

    /// The model with the tuning folded into its weights: trained weights in place of the old, adapted ones by
    /// the tuner's merge.
    ///
    /// # Errors
    /// [`Error::Plan`] when an adapted weight has no merge, or when there are virtual tokens.
    pub fn merge(&self, shape: &Decoder, weights: Weights) -> Result<Weights, Error> {
        if self.recorded.plan.virtual_tokens.is_some() {
            let fault = "they stand in front of every example and cannot be folded into the weights";
            return Err(plan_fault(VirtualTokens::NAME, fault));
        }
        let mut merged = weights.into_stored();
        for (weight, plan) in &self.recorded.plan.weights {
            let value = match plan {
                WeightPlan::Frozen => continue,
                WeightPlan::Trainable { .. } => self.value(weight)?.clone(),
                WeightPlan::Adapted { params } => {
                    let Some(graph) = &graphs_of(&self.recorded, weight)?.merge else {
                        return Err(plan_fault(weight, "its tuner cannot fold the adaptation into the weight"));
                    };
                    let base = merged.get(weight).ok_or_else(|| plan_fault(weight, "the model has no such weight"))?;
                    let base = &base.tensor().to_dtype(DType::F32)?;
                    let params = self.params_at(weight, params)?;
                    let inputs = Inputs { x: None, weight: Some(base), params: &params, dropout: Dropout::Off };
                    site::run(graph, &inputs)?.contiguous()?
                }
            };
            merged.insert(weight.clone(), Stored::Plain(value));
        }
        Weights::of_stored(shape, merged)
    }

    /// Splits off what needs no adapter: the base with its trained weights in place, and the tuning of the rest.
    ///
    /// # Errors
    /// When a trained weight does not fit.
    pub fn apply(self, shape: &Decoder, base: Weights) -> Result<(Weights, Self), Error> {
        let Self { mut recorded, mut values } = self;
        let mut weights = base.into_stored();
        for (name, plan) in &mut recorded.plan.weights {
            if let WeightPlan::Trainable { .. } = plan {
                *plan = WeightPlan::Frozen;
                weights.extend(values.remove_entry(name).map(|(name, value)| (name, Stored::Plain(value))));
            }
        }
        Ok((Weights::of_stored(shape, weights)?, Self { recorded, values }))
    }
}

/// Names and shapes of all that a plan trains.
pub fn shapes(shape: &Decoder, recorded: &RecordedPlan) -> BTreeMap<String, Vec<usize>> {
    let model: BTreeMap<String, Vec<usize>> = shape.weights().into_iter().map(|w| (w.name, w.shape)).collect();
    let mut all = BTreeMap::new();
    for (weight, plan) in &recorded.plan.weights {
        match plan {
            WeightPlan::Frozen => {}
            WeightPlan::Trainable { .. } => {
                all.extend(model.get_key_value(weight).map(|(n, s)| (n.clone(), s.clone())))
            }
            WeightPlan::Adapted { params } => {
                all.extend(params.iter().map(|p| (param_name(weight, &p.name), p.shape.clone())));
            }
        }
    }
    let params = recorded.plan.virtual_tokens.iter().flat_map(|tokens| &tokens.params);
    all.extend(params.map(|p| (param_name(VirtualTokens::NAME, &p.name), p.shape.clone())));
    all
}

/// How the optimizer treats each tensor that a plan trains, by name. Norms and biases of the model are not decayed, as
/// by transformers' Trainer; its other weights and all parameters of adapters and of virtual tokens are.
pub fn options(shape: &Decoder, recorded: &RecordedPlan) -> BTreeMap<String, ParamOptions> {
    let model: BTreeMap<String, Weight> = shape.weights().into_iter().map(|w| (w.name.clone(), w)).collect();
    let of_params = |owner: &str, params: &[ParamSpec]| -> Vec<(String, ParamOptions)> {
        let options = |p: &ParamSpec| ParamOptions { lr_scale: p.lr_scale, is_decayed: true };
        params.iter().map(|p| (param_name(owner, &p.name), options(p))).collect()
    };
    let mut all = BTreeMap::new();
    for (name, plan) in &recorded.plan.weights {
        match plan {
            WeightPlan::Frozen => {}
            WeightPlan::Trainable { lr_scale } => {
                let is_decayed = model.get(name).is_some_and(|w| w.part == Part::Weight && !w.role.is_norm());
                all.insert(name.clone(), ParamOptions { lr_scale: *lr_scale, is_decayed });
            }
            WeightPlan::Adapted { params } => all.extend(of_params(name, params)),
        }
    }
    let params = recorded.plan.virtual_tokens.iter().map(|tokens| tokens.params.as_slice());
    all.extend(params.flat_map(|params| of_params(VirtualTokens::NAME, params)));
    all
}

/// Whether plan and graphs fit each other and the model. Weights that the plan leaves out are frozen.
fn check(shape: &Decoder, recorded: &RecordedPlan) -> Result<(), Error> {
    let model: BTreeMap<String, Weight> = shape.weights().into_iter().map(|w| (w.name.clone(), w)).collect();
    for (weight, plan) in &recorded.plan.weights {
        let Some(of) = model.get(weight) else { return Err(plan_fault(weight, "the model has no such weight")) };
        let WeightPlan::Adapted { params } = plan else { continue };
        let (true, &[out_features, in_features]) = (of.role.is_linear(), of.shape.as_slice()) else {
            return Err(plan_fault(weight, "only linear weights can be adapted"));
        };
        check_params(weight, params)?;
        check_graphs(weight, [out_features, in_features], params, graphs_of(recorded, weight)?)?;
    }
    check_virtual(shape, recorded)
}

fn check_virtual(shape: &Decoder, recorded: &RecordedPlan) -> Result<(), Error> {
    let fault = |fault: &str| plan_fault(VirtualTokens::NAME, fault);
    let (tokens, graph) = match (&recorded.plan.virtual_tokens, &recorded.virtual_tokens) {
        (None, None) => return Ok(()),
        (Some(tokens), Some(graph)) => (tokens, graph),
        (Some(_), None) => return Err(fault("no maths was recorded for them")),
        (None, Some(_)) => return Err(fault("there is maths for them, but none is planned")),
    };
    tokens.check(shape).map_err(|e| fault(&e))?;
    check_params(VirtualTokens::NAME, &tokens.params)?;
    if let Some(param) = tokens.params.iter().find(|p| p.init == Init::Computed) {
        return Err(fault(&format!("no maths says how `{}` begins", param.name)));
    }
    site::check_virtual(graph, tokens, shape)
}

fn check_params(weight: &str, params: &[ParamSpec]) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for ParamSpec { name, shape, .. } in params {
        // `weight` would share its name with the frozen weight itself.
        if name.is_empty() || name == "weight" || !seen.insert(name) {
            return Err(plan_fault(weight, &format!("parameter name `{name}` is empty, reserved or used twice")));
        }
        let count = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        if count.is_none_or(|n| n == 0 || n > 1 << 31) {
            return Err(plan_fault(weight, &format!("parameter `{name}` has the impossible shape {shape:?}")));
        }
    }
    Ok(())
}

fn check_graphs(weight: &str, linear: [usize; 2], params: &[ParamSpec], graphs: &SiteGraphs) -> Result<(), Error> {
    site::check(weight, linear, &graphs.forward, params, &[Dim::TOKENS, Dim::Fixed(linear[0])])?;
    if let Some(merge) = &graphs.merge {
        site::check_without_input(weight, linear, merge, params, &linear)?;
    }
    for (i, param) in params.iter().enumerate().filter(|(_, p)| p.init == Init::Computed) {
        let Some(graph) = graphs.inits.get(&param.name) else {
            return Err(plan_fault(weight, &format!("no maths says how `{}` begins", param.name)));
        };
        site::check_without_input(weight, linear, graph, &params[..i], &param.shape)?;
    }
    Ok(())
}

fn graphs_of<'a>(recorded: &'a RecordedPlan, weight: &str) -> Result<&'a SiteGraphs, Error> {
    recorded.graphs_of(weight).ok_or_else(|| plan_fault(weight, "it is adapted, but no maths was recorded for it"))
}

fn plan_fault(weight: &str, fault: &str) -> Error {
    Error::Plan { weight: weight.into(), fault: fault.into() }
}

/// The first values of a site's parameters, in their order: a computed one may read those before it.
fn init_params(
    weight: &str,
    base: Option<&Tensor>,
    params: &[ParamSpec],
    graphs: &SiteGraphs,
    seed: u64,
) -> Result<BTreeMap<String, Tensor>, Error> {
    let mut values = BTreeMap::new();
    for param in params {
        let value = match &param.init {
            Init::Computed => {
                let Some(graph) = graphs.inits.get(&param.name) else {
                    return Err(plan_fault(weight, &format!("no maths says how `{}` begins", param.name)));
                };
                let inputs = Inputs { x: None, weight: base, params: &values, dropout: Dropout::Off };
                site::run(graph, &inputs)?.contiguous()?
            }
            init => drawn(init, &param.shape, Stream::named(seed, &param_name(weight, &param.name)))?,
        };
        values.insert(param.name.clone(), site::rounded(&value, param.dtype)?);
    }
    Ok(values)
}

fn drawn(init: &Init, shape: &[usize], mut stream: Stream) -> Result<Tensor, Error> {
    let fan_in = shape.last().copied().unwrap_or(1) as f64;
    let bound = |a: f64| (6.0 / ((1.0 + a * a) * fan_in)).sqrt();
    let mut draw = || match *init {
        Init::Zeros | Init::Computed => 0.0,
        Init::Ones => 1.0,
        Init::KaimingUniform { a } => bound(a) * (2.0 * stream.uniform() - 1.0),
        Init::Uniform { low, high } => low + (high - low) * stream.uniform(),
        Init::Normal { mean, std } => mean + std * stream.normal(),
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| draw() as f32).collect();
    Ok(Tensor::from_vec(values, shape, &Device::Cpu)?)
}
