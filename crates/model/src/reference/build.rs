//! From weights and tuning to the parts of a model, on its device.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};
use tunebench_spec::decoder::{Norm as NormSpec, NormKind};
use tunebench_spec::names::Role;
use tunebench_spec::{self as spec, Decoder, Graph, ParamSpec, WeightPlan};

use crate::dropout::SiteId;
use crate::optim::ParamOptions;
use crate::reference::compute::Compute;
use crate::reference::linear::Linear;
use crate::reference::norm::Norm;
use crate::reference::site::Site;
use crate::reference::virtual_tokens::VirtualTokens;
use crate::reference::weight::{Param, Params, Weight};
use crate::tuning::{self, param_name};
use crate::{Error, Tuning, Weights};

/// Takes the weights of a model one by one to the device, and notes what of them is trained.
pub(crate) struct Builder<'a> {
    weights: &'a Weights,
    tuning: &'a Tuning,
    compute: &'a Compute,
    sites: BTreeMap<String, SiteId>,
    options: BTreeMap<String, ParamOptions>,
    pub params: Params,
    /// All that is not trained.
    pub frozen: Vec<Tensor>,
}

impl<'a> Builder<'a> {
    pub fn new(shape: &Decoder, weights: &'a Weights, tuning: &'a Tuning, compute: &'a Compute) -> Self {
        let (sites, options) = (SiteId::all(tuning.recorded()), tuning::options(shape, tuning.recorded()));
        Self { weights, tuning, compute, sites, options, params: Params::new(), frozen: Vec::new() }
    }

    pub fn weight(&mut self, name: &str) -> Result<Weight, Error> {
        match self.tuning.recorded().plan.weights.get(name) {
            Some(WeightPlan::Trainable { .. }) => Ok(Weight::Trained(self.trained(name)?)),
            _ => {
                let tensor = self.compute.frozen(&self.weights.get(name)?)?;
                self.frozen.push(tensor.clone());
                Ok(Weight::Frozen(tensor))
            }
        }
    }

    /// The norm of a role, as `of` describes it.
    pub fn norm(&mut self, shape: &Decoder, role: Role, layer: usize, of: NormSpec) -> Result<Norm, Error> {
        let weight = self.weight(&shape.weight_name(role, layer))?;
        let bias = (of.kind == NormKind::Layer).then(|| self.weight(&shape.bias_name(role, layer))).transpose()?;
        Ok(Norm { weight, bias, of })
    }

    /// The linear map of a role, with its bias and its site, where it has them.
    pub fn linear(&mut self, shape: &Decoder, role: Role, layer: usize) -> Result<Linear, Error> {
        let name = shape.weight_name(role, layer);
        let weight = self.weight(&name)?;
        let bias = shape.has_bias(role).then(|| self.weight(&shape.bias_name(role, layer))).transpose()?;
        let recorded = self.tuning.recorded();
        let Some(WeightPlan::Adapted { params: specs }) = recorded.plan.weights.get(&name) else {
            return Ok(Linear { weight, bias, site: None });
        };
        let Some(graphs) = recorded.graphs_of(&name) else {
            return Err(Error::Plan { weight: name, fault: "it is adapted, but no maths was recorded".into() });
        };
        Ok(Linear { weight, bias, site: Some(self.site(&name, specs, &graphs.forward)?) })
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
            let var = self.trained(&param_name(name, &spec.name))?;
            params.insert(spec.name.clone(), (var, spec.dtype));
        }
        let missing = || Error::Plan { weight: name.into(), fault: "no maths was recorded".into() };
        let id = self.sites.get(name).copied().ok_or_else(missing)?;
        Ok(Site { id, graph: graph.clone(), params })
    }

    fn trained(&mut self, name: &str) -> Result<Var, Error> {
        let var = Var::from_tensor(&self.tuning.value(name)?.to_device(&self.compute.device)?)?;
        let unplanned = || Error::Plan { weight: name.into(), fault: "it is not among what the plan trains".into() };
        let options = self.options.get(name).copied().ok_or_else(unplanned)?;
        self.params.insert(name.into(), Param { var: var.clone(), options });
        Ok(var)
    }
}
