//! Puts a model's parts together: from weights by name and a tuning, to linears, norms, sites and trained tensors.

use std::collections::BTreeMap;
use std::sync::Arc;

use tunebench_kernels::SimdLevel;
use tunebench_kernels::attention::{AttentionSpec, Heads, KeyBias};
use tunebench_kernels::gemm::{Matrix, PackedRhs};
use tunebench_kernels::ops::activation::Activation;
use tunebench_spec::decoder::{self, NormPlacement, Positions, QkvLayout};
use tunebench_spec::names::Role;
use tunebench_spec::{self as spec, Decoder, ParamSpec, WeightPlan};

use super::attention::Attention;
use super::embedding::{Embedding, PositionTable, Table};
use super::frozen_matrix::{FrozenMatrix, numbers};
use super::fused_linear::FusedLinear;
use super::fusion;
use super::graph_params::{GraphParam, GraphParams};
use super::graph_site::GraphSite;
use super::grouped_lora::GroupedLora;
use super::head::Head;
use super::layer::{Layer, MlpInput, Norms};
use super::linear::{Linear, LinearWeight, Lora, LoraDropout, Map};
use super::mlp::Mlp;
use super::norm::{Norm, NormKind};
use super::prefix::VirtualTokens;
use super::qk_norm::QkNorm;
use super::storage::Storage;
use super::trained::{Slot, TrainedTensor, Vector};
use crate::dropout::{DropoutNode, SiteId};
use crate::optim::ParamOptions;
use crate::prepared::{Form, Prepared, Purpose};
use crate::tuning::{self, param_name};
use crate::weights::Stored;
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

/// What frozen weights of products that are plain numbers are packed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    Forward,
    Both,
}

/// Takes the weights of a model one by one, letting each go, and notes what of them is trained.
pub(super) struct Builder<E> {
    shape: Decoder,
    weights: BTreeMap<String, Stored>,
    /// What was made of them for other models, where that is kept.
    prepared: Option<Prepared>,
    packing: Packing,
    tuning: Tuning,
    /// In place of `tuning`, those of several adapters that rows choose from.
    grouped: Vec<Tuning>,
    sites: BTreeMap<String, SiteId>,
    param_options: BTreeMap<String, ParamOptions>,
    pub trained: Vec<TrainedTensor<E>>,
    options: Options,
}

impl<E: Storage> Builder<E> {
    pub fn new(shape: &Decoder, weights: Weights, tuning: Tuning, options: Options, packing: Packing) -> Self {
        let sites = SiteId::all(tuning.recorded());
        let prepared = weights.prepared().cloned();
        let (weights, param_options) = (weights.into_stored(), tuning::options(shape, tuning.recorded()));
        let (shape, trained, grouped) = (shape.clone(), Vec::new(), Vec::new());
        Self { shape, weights, prepared, packing, tuning, grouped, sites, param_options, trained, options }
    }

    /// Of several adapters over weights that are all frozen, to answer.
    pub fn grouped(shape: &Decoder, weights: Weights, grouped: Vec<Tuning>, options: Options) -> Self {
        Self { grouped, ..Self::new(shape, weights, Tuning::none(), options, Packing::Forward) }
    }

    pub fn options(&self) -> Options {
        self.options
    }

    pub fn embedding(&mut self) -> Result<Embedding<E>, Error> {
        let tokens = self.table(Role::Embedding)?;
        let positions = match self.shape.positions {
            Positions::Learned { offset } => {
                Some(PositionTable { table: self.table(Role::PositionEmbedding)?, offset: offset as u32 })
            }
            Positions::Rotary { .. } | Positions::Alibi => None,
        };
        let norm = self.shape.embedding.norm.then(|| self.norm(Role::EmbeddingNorm, 0)).transpose()?;
        let scale = self.shape.embedding.scale.map(|scale| scale as f32);
        Ok(Embedding { tokens, width: self.shape.hidden_size, scale, positions, norm })
    }

    fn table(&mut self, role: Role) -> Result<Table<E>, Error> {
        let name = &self.shape.weight_name(role, 0);
        let base = self.take(name)?;
        match self.is_trainable(name) {
            false => Ok(Table::Frozen(self.rows(name, base)?)),
            true => Ok(Table::Trained(self.trained_weight(name, base)?)),
        }
    }

    /// A frozen matrix whose rows are looked up.
    fn rows(&self, name: &str, base: Stored) -> Result<FrozenMatrix<E>, Error> {
        let form = self.form(Purpose::Rows);
        if let Some(rows) = self.prepared.as_ref().and_then(|prepared| prepared.find(name, form)) {
            return Ok(FrozenMatrix::Plain(rows));
        }
        let matrix = FrozenMatrix::new(self.options.level, base)?;
        if let (FrozenMatrix::Plain(rows), Some(prepared)) = (&matrix, &self.prepared) {
            prepared.keep(name, form, rows);
        }
        Ok(matrix)
    }

    pub fn layer(&mut self, index: usize) -> Result<Layer<E>, Error> {
        let attention_norms = self.norms([Role::AttentionNorm, Role::PostAttentionNorm], index)?;
        let mlp_norms = self.norms([Role::MlpNorm, Role::PostMlpNorm], index)?;
        let mlp_reads = match self.shape.norm_placement {
            NormPlacement::Pre | NormPlacement::PreAndPost => MlpInput::Attended,
            NormPlacement::Parallel => MlpInput::Layer,
        };
        let (attention, mlp) = (self.attention(index)?, self.mlp(index)?);
        Ok(Layer { attention_norms, attention, mlp_norms, mlp, mlp_reads })
    }

    /// The norm before a part, and the one behind it where the decoder has such.
    fn norms(&mut self, [before, after]: [Role; 2], layer: usize) -> Result<Norms, Error> {
        let has_after = self.shape.norm_placement == NormPlacement::PreAndPost;
        let before = self.norm(before, layer)?;
        Ok(Norms { before, after: has_after.then(|| self.norm(after, layer)).transpose()? })
    }

    fn attention(&mut self, index: usize) -> Result<Attention<E>, Error> {
        let layout = self.shape.attention.qkv;
        let roles: &[Role] = match layout {
            QkvLayout::Separate => &[Role::Query, Role::Key, Role::Value],
            QkvLayout::Blocks | QkvLayout::ByHead => &[Role::QueryKeyValue],
        };
        let (qkv, o) = (self.fused(roles, index)?, self.fused(&[Role::Output], index)?);
        let decoder::Attention { heads, kv_heads, head_dim, scale, softcap, qk_norm, .. } = self.shape.attention;
        let qk_norm = if qk_norm { Some(self.qk_norm(index)?) } else { None };
        let mut spec = AttentionSpec::causal(Heads { heads, kv_heads, head_dim });
        spec.scale = scale.map_or(spec.scale, |scale| scale as f32);
        spec.window = self.shape.attention.window_of(index);
        spec.softcap = softcap.map(|cap| cap as f32);
        spec.key_bias = match self.shape.positions {
            Positions::Alibi => KeyBias::Alibi,
            Positions::Rotary { .. } | Positions::Learned { .. } => KeyBias::None,
        };
        Ok(Attention { layer: index, spec, qkv, layout, qk_norm, o })
    }

    fn qk_norm(&mut self, layer: usize) -> Result<QkNorm, Error> {
        let offset = weight_offset(self.shape.qk_norm_kind());
        let [q, k] = [Role::QueryNorm, Role::KeyNorm].map(|role| self.shape.weight_name(role, layer));
        Ok(QkNorm { q: self.vector(&q, offset)?, k: self.vector(&k, offset)?, eps: self.shape.norm.eps as f32 })
    }

    fn mlp(&mut self, layer: usize) -> Result<Mlp<E>, Error> {
        let decoder::Mlp { gated, fused_gate_up, activation, .. } = self.shape.mlp;
        let roles: &[Role] = match (gated, fused_gate_up) {
            (_, true) => &[Role::GateUp],
            (true, false) => &[Role::Gate, Role::Up],
            (false, false) => &[Role::Up],
        };
        let activation = match activation {
            decoder::Activation::Silu => Activation::Silu,
            decoder::Activation::Gelu => Activation::Gelu,
            decoder::Activation::GeluTanh => Activation::GeluTanh,
            decoder::Activation::Relu => Activation::Relu,
        };
        Ok(Mlp { gate_up: self.fused(roles, layer)?, down: self.fused(&[Role::Down], layer)?, activation })
    }

    /// The last norm and the head, which is `embedding` where they are tied.
    pub fn head(&mut self, embedding: &Table<E>) -> Result<Head<E>, Error> {
        let norm = self.norm(Role::FinalNorm, 0)?;
        let linear = if self.shape.tie_word_embeddings {
            let (name, dims) =
                (self.shape.weight_name(Role::Embedding, 0), [self.shape.vocab_size, self.shape.hidden_size]);
            let weight = match embedding {
                Table::Frozen(matrix) => self.product(&name, dims, || Ok(matrix.clone()))?,
                Table::Trained(slot) => LinearWeight::Trained(*slot),
            };
            Linear::new(dims, Map::Product { weight, lora: None }, None)
        } else {
            self.linear(Role::Head, 0)?
        };
        let linear = self.with_grouped(vec![linear], &[Role::Head], 0)?;
        let softcap = self.shape.logit_softcap.map(|cap| cap as f32);
        Ok(Head { norm, linear, softcap })
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

    fn norm(&mut self, role: Role, layer: usize) -> Result<Norm, Error> {
        let decoder::Norm { kind, eps } = self.shape.norm;
        let weight = self.vector(&self.shape.weight_name(role, layer), weight_offset(kind))?;
        let kind = match kind {
            decoder::NormKind::Rms { .. } => NormKind::Rms,
            decoder::NormKind::Layer => NormKind::Layer { bias: self.vector(&self.shape.bias_name(role, layer), 0.0)? },
        };
        Ok(Norm { weight, kind, eps: eps as f32 })
    }

    /// A weight of one axis, with `offset` added to each of its numbers.
    fn vector(&mut self, name: &str, offset: f32) -> Result<Vector, Error> {
        let base = self.take(name)?;
        if self.is_trainable(name) {
            return Ok(Vector::Trained { slot: self.trained_small(name)?, offset });
        }
        let mut values = numbers::<f32>(self.options.level, &base)?;
        values.iter_mut().for_each(|value| *value += offset);
        Ok(Vector::Frozen(values))
    }

    fn fused(&mut self, roles: &[Role], layer: usize) -> Result<FusedLinear<E>, Error> {
        let linears = roles.iter().map(|role| self.linear(*role, layer)).collect::<Result<_, _>>()?;
        self.with_grouped(linears, roles, layer)
    }

    /// Maps of one input, fused, with what several adapters do at them.
    fn with_grouped(&mut self, linears: Vec<Linear<E>>, roles: &[Role], layer: usize) -> Result<FusedLinear<E>, Error> {
        let fused = FusedLinear::new(linears);
        let names: Vec<String> = roles.iter().map(|role| self.shape.weight_name(*role, layer)).collect();
        let grouped = GroupedLora::new(&mut self.grouped, &names, fused.in_features())?;
        Ok(fused.with_grouped(grouped))
    }

    fn linear(&mut self, role: Role, layer: usize) -> Result<Linear<E>, Error> {
        let name = &self.shape.weight_name(role, layer);
        let base = self.take(name)?;
        let &[out_features, in_features] = base.dims().as_slice() else {
            return Err(Error::Plan { weight: name.into(), fault: "it is not a matrix".into() });
        };
        let dims = [out_features, in_features];
        let map = match self.tuning.recorded().plan.weights.get(name).cloned() {
            Some(WeightPlan::Trainable { .. }) => {
                let weight = LinearWeight::Trained(self.trained_weight(name, base)?);
                Map::Product { weight, lora: None }
            }
            Some(WeightPlan::Adapted { params }) => self.adapted(name, dims, base, &params)?,
            Some(WeightPlan::Frozen) | None => {
                let weight = self.product(name, dims, || FrozenMatrix::new(self.options.level, base))?;
                Map::Product { weight, lora: None }
            }
        };
        let bias = self.shape.has_bias(role).then(|| self.shape.bias_name(role, layer));
        let bias = bias.map(|name| self.vector(&name, 0.0)).transpose()?;
        Ok(Linear::new(dims, map, bias))
    }

    /// The frozen weight `[out, in]` of a product: packed as this model wants it, if it is plain numbers. `matrix` is made where
    /// it was not packed for another model.
    fn product(
        &self,
        name: &str,
        [rows, cols]: [usize; 2],
        matrix: impl FnOnce() -> Result<FrozenMatrix<E>, Error>,
    ) -> Result<LinearWeight<E>, Error> {
        let is_both = self.packing == Packing::Both;
        if self.packing == Packing::None {
            return Ok(LinearWeight::Frozen(matrix()?));
        }
        let found = |of: Purpose| self.prepared.as_ref()?.find::<PackedRhs>(name, self.form(of));
        let (fwd, bwd) = (found(Purpose::Forward), if is_both { found(Purpose::Backward) } else { None });
        if let Some(fwd) = &fwd
            && bwd.is_some() == is_both
        {
            return Ok(LinearWeight::Packed { fwd: fwd.clone(), bwd });
        }
        let matrix = matrix()?;
        let FrozenMatrix::Plain(values) = &matrix else { return Ok(LinearWeight::Frozen(matrix)) };
        let matrix = Matrix::new(values, rows, cols);
        let packed = |of: Purpose, matrix: Matrix<'_, E>| {
            let packed = Arc::new(PackedRhs::new(self.options.level, matrix));
            if let Some(prepared) = &self.prepared {
                prepared.keep(name, self.form(of), &packed);
            }
            packed
        };
        let fwd = fwd.unwrap_or_else(|| packed(Purpose::Forward, matrix.t()));
        let bwd = is_both.then(|| bwd.unwrap_or_else(|| packed(Purpose::Backward, matrix)));
        Ok(LinearWeight::Packed { fwd, bwd })
    }

    fn form(&self, purpose: Purpose) -> Form {
        Form { purpose, is_bf16: E::IS_BF16, level: self.options.level }
    }

    /// The map of an adapted weight: with LoRA's term where its graph is that, by candle else.
    fn adapted(&mut self, name: &str, dims: [usize; 2], base: Stored, specs: &[ParamSpec]) -> Result<Map<E>, Error> {
        let Some(graph) = self.tuning.recorded().graphs_of(name).map(|graphs| graphs.forward.clone()) else {
            return Err(Error::Plan { weight: name.into(), fault: "it is adapted, but no maths was recorded".into() });
        };
        let id = self.site_id(name)?;
        let params = self.params(name, specs)?;
        let weight = || FrozenMatrix::new(self.options.level, base);
        let Some(form) = fusion::lora(&graph, specs) else {
            let weight = weight()?;
            return Ok(Map::Graph(GraphSite { id, graph, params, weight, dims }));
        };
        let (a, b) = (params.0[&form.a].slot, params.0[&form.b].slot);
        let dropout = form.dropout.filter(|(_, p)| *p > 0.0);
        let dropout = dropout.map(|(node, p)| LoraDropout { p, node: DropoutNode { site: id, node } });
        let lora = Lora { a, b, rank: form.rank, scale: form.scale as f32, dropout, offset: 0 };
        Ok(Map::Product { weight: self.product(name, dims, weight)?, lora: Some(lora) })
    }

    fn params(&mut self, site: &str, specs: &[ParamSpec]) -> Result<GraphParams, Error> {
        let mut params = BTreeMap::new();
        for spec in specs {
            let slot = self.trained_small(&param_name(site, &spec.name))?;
            params.insert(spec.name.clone(), GraphParam { slot, shape: spec.shape.clone(), precision: spec.dtype });
        }
        Ok(GraphParams(params))
    }

    /// A weight of the model that is trained; `base` is let go before its value is taken.
    fn trained_weight(&mut self, name: &str, base: Stored) -> Result<Slot, Error> {
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

    fn take(&mut self, name: &str) -> Result<Stored, Error> {
        let missing = || Error::Missing { place: "weights".into(), name: name.into(), expected: vec![] };
        self.weights.remove(name).ok_or_else(missing)
    }
}

/// What is added to a norm's weight.
fn weight_offset(kind: decoder::NormKind) -> f32 {
    match kind {
        decoder::NormKind::Rms { unit_offset: true } => 1.0,
        decoder::NormKind::Rms { unit_offset: false } | decoder::NormKind::Layer => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use tunebench_kernels::SimdLevel;

    use super::*;
    use crate::fast::{Batch, Model, Workspace};

    fn shape(tie_word_embeddings: bool) -> Decoder {
        let mut shape = Decoder::preset("llama-7b").unwrap();
        (shape.hidden_size, shape.num_hidden_layers, shape.vocab_size) = (32, 2, 64);
        (shape.mlp.intermediate_size, shape.tie_word_embeddings) = (48, tie_word_embeddings);
        (shape.attention.heads, shape.attention.kv_heads, shape.attention.head_dim) = (2, 2, 16);
        shape
    }

    const OPTIONS: Options = Options { level: SimdLevel::Portable, recompute: false, packed: true };

    fn trains<E: Storage>(shape: &Decoder, weights: &Weights) -> Model<E> {
        Model::new(shape, weights.clone(), Tuning::none(), OPTIONS).unwrap()
    }

    fn answers<E: Storage>(shape: &Decoder, weights: &Weights) -> Model<E> {
        Model::answering(shape, weights.clone(), Tuning::none(), Options { packed: false, ..OPTIONS }).unwrap()
    }

    /// All that is packed for the forward pass.
    fn packed<E: Storage>(model: &Model<E>) -> Vec<Arc<PackedRhs>> {
        let fused = model
            .layers
            .iter()
            .flat_map(|layer| [&layer.attention.qkv, &layer.attention.o, &layer.mlp.gate_up, &layer.mlp.down]);
        let linears = fused.chain([&model.head.linear]).flat_map(|fused| fused.linears());
        let packed = |linear: &Linear<E>| match &linear.map {
            Map::Product { weight: LinearWeight::Packed { fwd, .. }, .. } => fwd.clone(),
            _ => panic!("it is not packed"),
        };
        linears.map(packed).collect()
    }

    fn shared(one: &[Arc<PackedRhs>], other: &[Arc<PackedRhs>]) -> usize {
        assert_eq!((one.len(), other.len()), (15, 15));
        one.iter().zip(other).filter(|(one, other)| Arc::ptr_eq(one, other)).count()
    }

    fn logits<E: Storage>(model: &Model<E>) -> Vec<f32> {
        let batch = Batch::unlabelled([[3, 1, 4, 1, 5].as_slice()], 0).unwrap();
        model.logits(&batch, &[0, 4], &mut Workspace::default()).unwrap()
    }

    #[test]
    fn models_over_kept_weights_share_what_is_packed_of_them() {
        for shape in [shape(true), shape(false)] {
            let apart = Weights::init(&shape, 7).unwrap();
            let (first, second) = (trains::<bf16>(&shape, &apart), answers::<bf16>(&shape, &apart));
            assert_eq!(shared(&packed(&first), &packed(&second)), 0);
            let expected = logits(&first);
            assert_eq!(logits(&second), expected);

            let kept = apart.kept();
            // Whichever comes first.
            let second = answers::<bf16>(&shape, &kept);
            let first = trains::<bf16>(&shape, &kept);
            assert_eq!(shared(&packed(&first), &packed(&second)), 15);
            assert_eq!(shared(&packed(&first), &packed(&trains::<bf16>(&shape, &kept.clone()))), 15);
            assert!(logits(&first) == expected && logits(&second) == expected);
            let (Table::Frozen(one), Table::Frozen(other)) = (&first.embedding.tokens, &second.embedding.tokens) else {
                panic!("nothing is trained");
            };
            assert!(
                matches!((one, other), (FrozenMatrix::Plain(one), FrozenMatrix::Plain(other)) if Arc::ptr_eq(one, other))
            );

            // Of other numbers nothing can be shared; what was kept goes with the copies that have it.
            assert_eq!(shared(&packed(&first), &packed(&trains::<f32>(&shape, &kept))), 0);
            assert_eq!(shared(&packed(&first), &packed(&trains::<bf16>(&shape, &kept.unkept()))), 0);
        }
    }
}
