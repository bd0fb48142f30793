//! Weights in use: frozen, trained, or a linear weight adapted at its site.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use tunebench_spec::graph::DType as Precision;
use tunebench_spec::{Graph, WeightPlan};

use crate::dropout::Draw;
use crate::site::{self, Dropout, Inputs};
use crate::tuning::param_name;
use crate::{Error, Tuning, Weights, ops};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass<'a> {
    /// Values only: nothing is dropped, no gradient is kept.
    Eval,
    /// Gradients will follow; dropout by these draws.
    Train(&'a Draw),
}

/// A tensor that an optimiser updates.
#[derive(Clone, Debug)]
pub struct Param {
    pub var: Var,
    /// Multiplies the learning rate.
    pub lr_scale: f64,
}

/// All trained tensors by name.
pub type Params = BTreeMap<String, Param>;

/// One tensor of the model.
pub(crate) enum Weight {
    Frozen(Tensor),
    Trained(Var),
}

impl Weight {
    /// The tensor, seen by autograd when a gradient is wanted of it.
    pub fn get(&self, pass: Pass<'_>) -> Tensor {
        match (self, pass) {
            (Self::Frozen(tensor), _) => tensor.clone(),
            (Self::Trained(var), Pass::Train(_)) => var.as_tensor().clone(),
            (Self::Trained(var), Pass::Eval) => var.as_detached_tensor(),
        }
    }

    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Trained(_))
    }

    /// The same tensor in a second place.
    pub fn share(&self) -> Self {
        match self {
            Self::Frozen(tensor) => Self::Frozen(tensor.clone()),
            Self::Trained(var) => Self::Trained(var.clone()),
        }
    }
}

/// A linear map `x [n, in] -> [n, out]`, adapted or not.
pub(crate) struct Linear {
    weight: Weight,
    site: Option<Site>,
}

/// The adaptation of a linear weight.
struct Site {
    /// Its number among the sites of the model, in order of their names; keys its dropout.
    number: u64,
    forward: Graph,
    /// By parameter name, and the precision it is used in.
    params: BTreeMap<String, (Var, Precision)>,
}

impl Linear {
    /// The map by a weight that no site adapts: a tied head.
    pub fn plain(weight: Weight) -> Self {
        Self { weight, site: None }
    }

    /// # Shapes
    /// `x [n, in] -> [n, out]`.
    pub fn apply(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
        let weight = self.weight.get(pass);
        let Some(site) = &self.site else { return Ok(ops::linear(x, &weight)?) };
        let value = |(var, precision): &(Var, Precision)| match pass {
            Pass::Train(_) => site::rounded(var.as_tensor(), *precision),
            Pass::Eval => site::rounded(&var.as_detached_tensor(), *precision),
        };
        let params = site.params.iter().map(|(name, p)| Ok((name.clone(), value(p)?)));
        let params = params.collect::<Result<_, Error>>()?;
        let dropout = match pass {
            Pass::Train(draw) => Dropout::On(draw, site.number),
            Pass::Eval => Dropout::Off,
        };
        let y = site::run(&site.forward, &Inputs { x: Some(x), weight: &weight, params: &params, dropout })?;
        Ok(y.contiguous()?)
    }

    pub fn is_trained(&self) -> bool {
        self.weight.is_trained() || self.site.is_some()
    }
}

/// Takes the weights of a model one by one to the device, and notes what of them is trained.
pub(crate) struct Builder<'a> {
    weights: &'a Weights,
    tuning: &'a Tuning,
    device: &'a Device,
    pub params: Params,
}

impl<'a> Builder<'a> {
    pub fn new(weights: &'a Weights, tuning: &'a Tuning, device: &'a Device) -> Self {
        Self { weights, tuning, device, params: Params::new() }
    }

    pub fn weight(&mut self, name: &str) -> Result<Weight, Error> {
        match self.tuning.recorded().plan.weights.get(name) {
            Some(WeightPlan::Trainable { lr_scale }) => Ok(Weight::Trained(self.trained(name, *lr_scale)?)),
            _ => Ok(Weight::Frozen(self.weights.get(name)?.to_device(self.device)?)),
        }
    }

    pub fn linear(&mut self, name: &str) -> Result<Linear, Error> {
        let recorded = self.tuning.recorded();
        let weight = self.weight(name)?;
        let Some(WeightPlan::Adapted { params: specs }) = recorded.plan.weights.get(name) else {
            return Ok(Linear { weight, site: None });
        };
        let Some(graphs) = recorded.graphs_of(name) else {
            return Err(Error::Plan { weight: name.into(), fault: "it is adapted, but no maths was recorded".into() });
        };
        let mut params = BTreeMap::new();
        for spec in specs {
            let var = self.trained(&param_name(name, &spec.name), spec.lr_scale)?;
            params.insert(spec.name.clone(), (var, spec.dtype));
        }
        let number = recorded.sites.keys().take_while(|site| site.as_str() < name).count() as u64;
        Ok(Linear { weight, site: Some(Site { number, forward: graphs.forward.clone(), params }) })
    }

    fn trained(&mut self, name: &str, lr_scale: f64) -> Result<Var, Error> {
        let var = Var::from_tensor(&self.tuning.value(name)?.to_device(self.device)?)?;
        self.params.insert(name.into(), Param { var: var.clone(), lr_scale });
        Ok(var)
    }
}
