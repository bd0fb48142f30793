//! Weights in use: frozen, trained, or a linear weight adapted at its site; and recorded maths in use.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use tunebench_spec::graph::DType as Precision;
use tunebench_spec::{self as spec, Graph, ParamSpec, WeightPlan};

use crate::dropout::{DropoutKey, SiteId};
use crate::graph::site::{self, Dropout, Inputs};
use crate::tuning::param_name;
use crate::reference::virtual_tokens::VirtualTokens;
use crate::graph::ops;
use crate::{Error, Tuning, Weights};

/// What a forward pass is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass<'a> {
    /// Values only: nothing is dropped, no gradient is kept.
    Eval,
    /// Gradients will follow; dropout by this key.
    Train(&'a DropoutKey),
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

/// Recorded maths with its parameters: the adaptation of a linear weight, or virtual tokens.
pub(crate) struct Site {
    id: SiteId,
    graph: Graph,
    /// By parameter name, and the precision it is used in.
    params: BTreeMap<String, (Var, Precision)>,
}

impl Site {
    /// What the maths yields over `x [n, in]` and `weight [out, in]`, where it has them.
    pub fn run(&self, x: Option<&Tensor>, weight: Option<&Tensor>, pass: Pass<'_>) -> Result<Tensor, Error> {
        let value = |(var, precision): &(Var, Precision)| match pass {
            Pass::Train(_) => site::rounded(var.as_tensor(), *precision),
            Pass::Eval => site::rounded(&var.as_detached_tensor(), *precision),
        };
        let params = self.params.iter().map(|(name, p)| Ok((name.clone(), value(p)?)));
        let params = params.collect::<Result<_, Error>>()?;
        let dropout = match pass {
            Pass::Train(key) => Dropout::On(key, self.id),
            Pass::Eval => Dropout::Off,
        };
        Ok(site::run(&self.graph, &Inputs { x, weight, params: &params, dropout })?.contiguous()?)
    }
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
        match &self.site {
            None => Ok(ops::linear(x, &weight)?),
            Some(site) => site.run(Some(x), Some(&weight), pass),
        }
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
    sites: BTreeMap<String, SiteId>,
    pub params: Params,
}

impl<'a> Builder<'a> {
    pub fn new(weights: &'a Weights, tuning: &'a Tuning, device: &'a Device) -> Self {
        Self { weights, tuning, device, sites: SiteId::all(tuning.recorded()), params: Params::new() }
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
        Ok(Linear { weight, site: Some(self.site(name, specs, &graphs.forward)?) })
    }

    pub fn virtual_tokens(&mut self) -> Result<Option<VirtualTokens>, Error> {
        let recorded = self.tuning.recorded();
        let (Some(tokens), Some(graph)) = (&recorded.plan.virtual_tokens, &recorded.virtual_tokens) else {
            return Ok(None);
        };
        let site = self.site(spec::VirtualTokens::NAME, &tokens.params, graph)?;
        Ok(Some(VirtualTokens { kind: tokens.kind, count: tokens.count, site }))
    }

    fn site(&mut self, name: &str, specs: &[ParamSpec], graph: &Graph) -> Result<Site, Error> {
        let mut params = BTreeMap::new();
        for spec in specs {
            let var = self.trained(&param_name(name, &spec.name), spec.lr_scale)?;
            params.insert(spec.name.clone(), (var, spec.dtype));
        }
        let missing = || Error::Plan { weight: name.into(), fault: "no maths was recorded".into() };
        let id = self.sites.get(name).copied().ok_or_else(missing)?;
        Ok(Site { id, graph: graph.clone(), params })
    }

    fn trained(&mut self, name: &str, lr_scale: f64) -> Result<Var, Error> {
        let var = Var::from_tensor(&self.tuning.value(name)?.to_device(self.device)?)?;
        self.params.insert(name.into(), Param { var: var.clone(), lr_scale });
        Ok(var)
    }
}
