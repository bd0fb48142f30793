//! Puts a model's parts together: from weights by name and a tuning, to linears, norms, sites and trained tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use tunebench_kernels::SimdLevel;
use tunebench_kernels::attention::{AttentionSpec, Heads};
use tunebench_spec::decoder;
use tunebench_spec::names::Role;
use tunebench_spec::{self as spec, Decoder, ParamSpec, WeightPlan};

use super::attention::Attention;
use super::embedding::Embedding;
use super::fused_linear::FusedLinear;
use super::fusion;
use super::graph_params::{GraphParam, GraphParams};
use super::graph_site::GraphSite;
use super::head::Head;
use super::layer::Layer;
use super::linear::{Linear, LinearWeight, Lora, LoraDropout, Map};
use super::mlp::Mlp;
use super::norm::RmsNorm;
use super::prefix::VirtualTokens;
use super::qk_norm::QkNorm;
use super::storage::Storage;
use super::trained::{Slot, TrainedTensor, Vector};
use crate::dropout::{DropoutNode, SiteId};
use crate::optim::ParamOptions;
use crate::tuning::{self, param_name};
use crate::{Error, Tuning, Weights};

/// How a model is computed; changes no number but by rounding.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub level: SimdLevel,
    /// Keep each layer's input only, and compute the layer again in the backward pass.
    pub recompute: bool,
    /// Keep frozen linear weights as the products of both passes read them instead of as they are: twice the bytes, and
    /// nothing to pack in each pass.
    pub packed: bool,
}

/// Takes the weights of a model one by one, letting each go, and notes what of them is trained.
pub(super) struct Builder<E> {
    shape: Decoder,
    weights: BTreeMap<String, Tensor>,
    tuning: Tuning,
    sites: BTreeMap<String, SiteId>,
    param_options: BTreeMap<String, ParamOptions>,
    pub trained: Vec<TrainedTensor<E>>,
    options: Options,
}

impl<E: Storage> Builder<E> {
    pub fn new(shape: &Decoder, weights: Weights, tuning: Tuning, options: Options) -> Self {
        let sites = SiteId::all(tuning.recorded());
        let (weights, param_options) = (weights.into_map(), tuning::options(shape, tuning.recorded()));
        Self { shape: shape.clone(), weights, tuning, sites, param_options, trained: Vec::new(), options }
    }

    pub fn embedding(&mut self) -> Result<Embedding<E>, Error> {
        let name = &self.shape.weight_name(Role::Embedding, 0);
        let base = self.take(name)?;
        match self.is_trainable(name) {
            false => Ok(Embedding::Frozen(Arc::new(E::take(&base)?))),
            true => Ok(Embedding::Trained(self.trained_weight(name, base)?)),
        }
    }

    pub fn layer(&mut self, index: usize) -> Result<Layer<E>, Error> {
        let attention_norm = self.norm(Role::AttentionNorm, index)?;
        let mlp_norm = self.norm(Role::MlpNorm, index)?;
        let attention = self.attention(index)?;
        let gate_up = self.fused(&[Role::Gate, Role::Up], index)?;
        let mlp = Mlp { gate_up, down: self.fused(&[Role::Down], index)? };
        Ok(Layer { attention_norm, attention, mlp_norm, mlp })
    }

    fn attention(&mut self, index: usize) -> Result<Attention<E>, Error> {
        let qkv = self.fused(&[Role::Query, Role::Key, Role::Value], index)?;
        let o = self.fused(&[Role::Output], index)?;
        let decoder::Attention { heads, kv_heads, head_dim, scale, qk_norm, .. } = self.shape.attention;
        let qk_norm = if qk_norm { Some(self.qk_norm(index)?) } else { None };
        let mut spec = AttentionSpec::causal(Heads { heads, kv_heads, head_dim });
        spec.scale = scale.map_or(spec.scale, |scale| scale as f32);
        spec.window = self.shape.attention.window_of(index);
        Ok(Attention { layer: index, spec, qkv, qk_norm, o })
    }

    fn qk_norm(&mut self, layer: usize) -> Result<QkNorm, Error> {
        let [q, k] = [Role::QueryNorm, Role::KeyNorm].map(|role| self.shape.weight_name(role, layer));
        Ok(QkNorm { q: self.vector(&q)?, k: self.vector(&k)?, eps: self.shape.norm.eps as f32 })
    }

    /// The last norm and the head, which is `embedding` where they are tied.
    pub fn head(&mut self, embedding: &Embedding<E>) -> Result<Head<E>, Error> {
        let norm = self.norm(Role::FinalNorm, 0)?;
        let linear = if self.shape.tie_word_embeddings {
            let dims = [self.shape.vocab_size, self.shape.hidden_size];
            self.packed(Linear::new(dims, Map::Product { weight: embedding.tied(), lora: None }, None))
        } else {
            self.linear(Role::Head, 0)?
        };
        Ok(Head { norm, linear: FusedLinear::new(vec![linear]) })
    }

    pub fn virtual_tokens(&mut self) -> Result<Option<VirtualTokens>, Error> {
        let recorded = self.tuning.recorded();
        let (Some(tokens), Some(graph)) = (recorded.plan.virtual_tokens.clone(), recorded.virtual_tokens.clone())
        else {
            return Ok(None);
        };
        let (name, id) = (spec::VirtualTokens::NAME, self.site_id(spec::VirtualTokens::NAME)?);
        let params = self.params(name, &tokens.params)?;
        Ok(Some(VirtualTokens { kind: tokens.kind, count: tokens.count, id, graph, params }))
    }

    fn norm(&mut self, role: Role, layer: usize) -> Result<RmsNorm, Error> {
        let name = self.shape.weight_name(role, layer);
        Ok(RmsNorm { weight: self.vector(&name)?, eps: self.shape.norm.eps as f32 })
    }

    fn vector(&mut self, name: &str) -> Result<Vector, Error> {
        let base = self.take(name)?;
        if !self.is_trainable(name) {
            return Ok(Vector::Frozen(f32::take(&base)?));
        }
        Ok(Vector::Trained(self.trained_small(name)?))
    }

    fn fused(&mut self, roles: &[Role], layer: usize) -> Result<FusedLinear<E>, Error> {
        let linears = roles.iter().map(|role| self.linear(*role, layer)).collect::<Result<_, _>>()?;
        Ok(FusedLinear::new(linears))
    }

    fn linear(&mut self, role: Role, layer: usize) -> Result<Linear<E>, Error> {
        let name = &self.shape.weight_name(role, layer);
        let base = self.take(name)?;
        let &[out_features, in_features] = base.dims() else {
            return Err(Error::Plan { weight: name.into(), fault: "it is not a matrix".into() });
        };
        let dims = [out_features, in_features];
        let map = match self.tuning.recorded().plan.weights.get(name).cloned() {
            Some(WeightPlan::Trainable { .. }) => {
                let weight = LinearWeight::Trained(self.trained_weight(name, base)?);
                Map::Product { weight, lora: None }
            }
            Some(WeightPlan::Adapted { params }) => {
                let weight = Arc::new(E::take(&base)?);
                drop(base);
                self.adapted(name, dims, weight, &params)?
            }
            Some(WeightPlan::Frozen) | None => {
                Map::Product { weight: LinearWeight::Plain(Arc::new(E::take(&base)?)), lora: None }
            }
        };
        let bias = self.shape.has_bias(role).then(|| self.shape.bias_name(role, layer));
        let bias = bias.map(|name| self.vector(&name)).transpose()?;
        Ok(self.packed(Linear::new(dims, map, bias)))
    }

    /// The map of an adapted weight: with LoRA's term where its graph is that, by candle else.
    fn adapted(
        &mut self,
        name: &str,
        dims: [usize; 2],
        weight: Arc<Vec<E>>,
        specs: &[ParamSpec],
    ) -> Result<Map<E>, Error> {
        let Some(graph) = self.tuning.recorded().graphs_of(name).map(|graphs| graphs.forward.clone()) else {
            return Err(Error::Plan { weight: name.into(), fault: "it is adapted, but no maths was recorded".into() });
        };
        let id = self.site_id(name)?;
        let params = self.params(name, specs)?;
        let Some(form) = fusion::lora(&graph, specs) else {
            return Ok(Map::Graph(GraphSite { id, graph, params, weight, dims }));
        };
        let (a, b) = (params.0[&form.a].slot, params.0[&form.b].slot);
        let dropout = form.dropout.filter(|(_, p)| *p > 0.0);
        let dropout = dropout.map(|(node, p)| LoraDropout { p, node: DropoutNode { site: id, node } });
        let lora = Lora { a, b, rank: form.rank, scale: form.scale as f32, dropout, offset: 0 };
        Ok(Map::Product { weight: LinearWeight::Plain(weight), lora: Some(lora) })
    }

    fn params(&mut self, site: &str, specs: &[ParamSpec]) -> Result<GraphParams, Error> {
        let mut params = BTreeMap::new();
        for spec in specs {
            let slot = self.trained_small(&param_name(site, &spec.name))?;
            params.insert(spec.name.clone(), GraphParam { slot, shape: spec.shape.clone(), precision: spec.dtype });
        }
        Ok(GraphParams(params))
    }

    fn packed(&self, mut linear: Linear<E>) -> Linear<E> {
        if self.options.packed {
            linear.pack_for_training(self.options.level);
        }
        linear
    }

    /// A weight of the model that is trained; `base` is let go before its value is taken.
    fn trained_weight(&mut self, name: &str, base: Tensor) -> Result<Slot, Error> {
        drop(base);
        let value = self.tuning.take_value(name)?;
        let tensor = TrainedTensor::weight(name, &value, self.param_options(name)?)?;
        Ok(self.push(tensor))
    }

    fn trained_small(&mut self, name: &str) -> Result<Slot, Error> {
        let value = self.tuning.take_value(name)?;
        let tensor = TrainedTensor::small(name, &value, self.param_options(name)?)?;
        Ok(self.push(tensor))
    }

    fn param_options(&self, name: &str) -> Result<ParamOptions, Error> {
        let unplanned = || Error::Plan { weight: name.into(), fault: "it is not among what the plan trains".into() };
        self.param_options.get(name).copied().ok_or_else(unplanned)
    }

    fn push(&mut self, tensor: TrainedTensor<E>) -> Slot {
        self.trained.push(tensor);
        self.trained.len() - 1
    }

    fn site_id(&self, name: &str) -> Result<SiteId, Error> {
        let missing = || Error::Plan { weight: name.into(), fault: "no maths was recorded".into() };
        self.sites.get(name).copied().ok_or_else(missing)
    }

    fn is_trainable(&self, name: &str) -> bool {
        matches!(self.tuning.recorded().plan.weights.get(name), Some(WeightPlan::Trainable { .. }))
    }

    fn take(&mut self, name: &str) -> Result<Tensor, Error> {
        let missing = || Error::Missing { place: "weights".into(), name: name.into(), expected: vec![] };
        self.weights.remove(name).ok_or_else(missing)
    }
}
