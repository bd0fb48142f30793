//! Puts a model's parts together: from weights by name and a tuning, to linears, norms, sites and trained tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use tunebench_spec::names::Role;
use tunebench_spec::{self as spec, Decoder, ParamSpec, WeightPlan};

use super::fusion;
use super::graph::{GraphSite, Params};
use super::group::Group;
use super::layer::{Layer, Norm};
use super::linear::{Linear, Lora, Site, SiteDropout, Weight};
use super::model::Options;
use super::values::{Storage, Trained};
use super::virtual_tokens::VirtualTokens;
use crate::tuning::param_name;
use crate::{Error, Tuning, Weights};

/// Takes the weights of a model one by one, letting each go, and notes what of them is trained.
pub(super) struct Builder<E> {
    weights: BTreeMap<String, Tensor>,
    tuning: Tuning,
    pub trained: Vec<Trained<E>>,
    options: Options,
}

impl<E: Storage> Builder<E> {
    pub fn new(weights: Weights, tuning: Tuning, options: Options) -> Self {
        Self { weights: weights.into_map(), tuning, trained: Vec::new(), options }
    }

    fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::Missing { place: "weights".into(), name: name.into(), expected: vec![] };
        self.weights.remove(name).ok_or_else(missing)
    }

    fn lr_scale(&self, name: &str) -> Option<f64> {
        match self.tuning.recorded().plan.weights.get(name) {
            Some(WeightPlan::Trainable { lr_scale }) => Some(*lr_scale),
            _ => None,
        }
    }

    fn push(&mut self, trained: Trained<E>) -> usize {
        self.trained.push(trained);
        self.trained.len() - 1
    }

    pub fn weight(&mut self, name: &str) -> Result<Weight<E>, Error> {
        let base = self.take(name)?;
        let Some(lr_scale) = self.lr_scale(name) else { return Ok(Weight::Frozen(Arc::new(E::take(&base)?))) };
        drop(base);
        let value = self.tuning.take_value(name)?;
        Ok(Weight::Trained(self.push(Trained::weight(name, &value, lr_scale)?)))
    }

    pub fn norm(&mut self, name: &str) -> Result<Norm, Error> {
        let base = self.take(name)?;
        let Some(lr_scale) = self.lr_scale(name) else { return Ok(Norm::Frozen(f32::take(&base)?)) };
        let value = self.tuning.take_value(name)?;
        Ok(Norm::Trained(self.push(Trained::small(name, &value, lr_scale)?)))
    }

    pub fn layer(&mut self, shape: &Decoder, index: usize) -> Result<Layer<E>, Error> {
        let name = |role| shape.weight_name(role, index);
        let attention_norm = self.norm(&name(Role::AttentionNorm))?;
        let mlp_norm = self.norm(&name(Role::MlpNorm))?;
        let [q, k, v, o] = [Role::Query, Role::Key, Role::Value, Role::Output].map(name);
        let [gate, up, down] = [Role::Gate, Role::Up, Role::Down].map(name);
        let mut group = |names: &[String]| -> Result<Group<E>, Error> {
            Ok(Group { linears: names.iter().map(|name| self.linear(name)).collect::<Result<_, _>>()? })
        };
        let (qkv, o, gate_up, down) = (group(&[q, k, v])?, group(&[o])?, group(&[gate, up])?, group(&[down])?);
        Ok(Layer { index, attention_norm, qkv, o, mlp_norm, gate_up, down })
    }

    pub fn linear(&mut self, name: &str) -> Result<Linear<E>, Error> {
        let dims = self.weights.get(name).map(|t| t.dims().to_vec()).unwrap_or_default();
        let weight = self.weight(name)?;
        let &[out_features, in_features] = dims.as_slice() else {
            return Err(Error::Plan { weight: name.into(), fault: "it is not a matrix".into() });
        };
        let site = self.site(name, [out_features, in_features])?;
        Ok(self.linear_of([out_features, in_features], weight, site))
    }

    pub fn linear_of(&self, [out_features, in_features]: [usize; 2], weight: Weight<E>, site: Site) -> Linear<E> {
        let mut linear = Linear { out_features, in_features, weight, forward: None, back: None, site };
        if self.options.packed {
            linear.pack_frozen(self.options.level);
        }
        linear
    }

    fn site(&mut self, name: &str, dims: [usize; 2]) -> Result<Site, Error> {
        let recorded = self.tuning.recorded();
        let Some(WeightPlan::Adapted { params }) = recorded.plan.weights.get(name) else { return Ok(Site::Plain) };
        let (params, graphs) = (params.clone(), recorded.graphs_of(name).cloned());
        let number = recorded.sites.keys().take_while(|site| site.as_str() < name).count() as u64;
        let Some(graphs) = graphs else {
            return Err(Error::Plan { weight: name.into(), fault: "it is adapted, but no maths was recorded".into() });
        };
        let slots = self.params(name, &params)?;
        let Some(form) = fusion::lora(&graphs.forward, &params) else {
            return Ok(Site::Graph(Box::new(GraphSite { number, forward: graphs.forward, params: slots, dims })));
        };
        let dropout = form.dropout.map(|(node, p)| SiteDropout { p, place: [number, node as u64] });
        let (a, b) = (slots[&form.a].0, slots[&form.b].0);
        Ok(Site::Lora(Lora { a, b, rank: form.rank, scale: form.scale as f32, dropout }))
    }

    fn params(&mut self, name: &str, specs: &[ParamSpec]) -> Result<Params, Error> {
        let mut slots = Params::new();
        for spec in specs {
            let name = param_name(name, &spec.name);
            let value = self.tuning.take_value(&name)?;
            let slot = self.push(Trained::small(&name, &value, spec.lr_scale)?);
            slots.insert(spec.name.clone(), (slot, spec.shape.clone(), spec.dtype));
        }
        Ok(slots)
    }

    pub fn virtual_tokens(&mut self) -> Result<Option<VirtualTokens>, Error> {
        let recorded = self.tuning.recorded();
        let number = recorded.sites.len() as u64;
        let (Some(tokens), Some(graph)) = (recorded.plan.virtual_tokens.clone(), recorded.virtual_tokens.clone())
        else {
            return Ok(None);
        };
        let params = self.params(spec::VirtualTokens::NAME, &tokens.params)?;
        Ok(Some(VirtualTokens { kind: tokens.kind, count: tokens.count, number, graph, params }))
    }
}
