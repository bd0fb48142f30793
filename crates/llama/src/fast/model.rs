//! The model put together, and a training step's pass through it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem::swap;
use std::sync::Arc;

use candle_core::Tensor;
use tunebench_kernels::Level;
use tunebench_kernels::adamw::AdamW;
use tunebench_kernels::attention::Heads;
use tunebench_kernels::embedding::{gather, scatter_add};
use tunebench_kernels::rope::tables;
use tunebench_spec::model::LINEARS;
use tunebench_spec::{ModelShape, WeightPlan};

use super::batch::Batch;
use super::fusion;
use super::graph::GraphSite;
use super::group::Group;
use super::head::{self, Head};
use super::layer::{Geometry, Layer, Norm, Saved, Scratch, Within, room};
use super::linear::{Linear, Lora, Pass, Site, SiteDropout, Weight};
use super::values::{self, Gradients, Moments, Storage, Trained};
use crate::dropout::Draw;
use crate::model::EMBEDDING;
use crate::tuning::param_name;
use crate::{Error, Tuning, Weights, rotary};

/// How a model is computed; changes no number but by rounding.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub level: Level,
    /// Keep each layer's input only, and compute the layer again on the way back.
    pub recompute: bool,
    /// Keep frozen linear weights as the products of both passes read them instead of as they are: twice the bytes, and
    /// nothing to pack in each pass.
    pub packed: bool,
}

/// A model that trains, with weights and activations stored as `E`.
pub struct Model<E> {
    pub(super) shape: ModelShape,
    pub(super) options: Options,
    pub(super) embedding: Weight<E>,
    pub(super) layers: Vec<Layer<E>>,
    pub(super) norm: Norm,
    pub(super) head: Group<E>,
    frequencies: Vec<f32>,
    pub(super) trained: Vec<Trained<E>>,
    /// The first layer in which something is trained; nothing is led back below it. 0 and below if the embedding is.
    lowest: usize,
}

/// Buffers of a pass, used again by the next.
pub struct Workspace<E> {
    saved: Vec<Saved<E>>,
    /// Of each layer, where layers are computed again: `[n, d]`.
    inputs: Vec<Vec<E>>,
    pub(super) scratch: Scratch<E>,
    pub(super) head: head::Scratch<E>,
    /// The residual stream after the last layer, and its gradient; `[n, d]`.
    pub(super) x: Vec<E>,
    dx: Vec<f32>,
}

impl<E> Default for Workspace<E> {
    fn default() -> Self {
        Self {
            saved: Vec::new(),
            inputs: Vec::new(),
            scratch: Scratch::default(),
            head: head::Scratch::default(),
            x: Vec::new(),
            dx: Vec::new(),
        }
    }
}

impl<E: Storage> Model<E> {
    /// Puts a model together: base weights, and what `tuning` trains or adapts of them.
    ///
    /// # Errors
    /// [`Error::Missing`] when a weight is not there; [`Error::Plan`] when the plan cannot be used.
    pub fn new(shape: &ModelShape, weights: Weights, tuning: Tuning, options: Options) -> Result<Self, Error> {
        shape.check().map_err(|source| Error::Config { path: "shape".into(), source })?;
        let mut build = Builder { weights: weights.into_map(), tuning, trained: Vec::new(), options };
        let embedding = build.weight(EMBEDDING)?;
        let layers = (0..shape.num_hidden_layers).map(|i| build.layer(i)).collect::<Result<Vec<_>, _>>()?;
        let norm = build.norm("model.norm.weight")?;
        let head = if shape.tie_word_embeddings {
            let weight = match &embedding {
                Weight::Frozen(values) => Weight::Frozen(values.clone()),
                Weight::Trained(slot) => Weight::Trained(*slot),
            };
            let (out_features, in_features) = (shape.vocab_size, shape.hidden_size);
            build.linear_of([out_features, in_features], weight, Site::Plain)
        } else {
            build.linear("lm_head.weight")?
        };
        let head = Group { linears: vec![head] };
        let lowest = layers.iter().position(Layer::is_trained).unwrap_or(layers.len());
        let (frequencies, trained) = (rotary::frequencies(shape), build.trained);
        Ok(Self { shape: shape.clone(), options, embedding, layers, norm, head, frequencies, trained, lowest })
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Names and shapes of the trained tensors, in the order of their [`Gradients`].
    pub fn trained(&self) -> impl Iterator<Item = (&str, &[usize])> {
        self.trained.iter().map(|t| (t.name.as_str(), t.dims.as_slice()))
    }

    /// The numbers of trained tensor number `slot` as they are now, f32, row-major.
    ///
    /// # Panics
    /// When there is no such tensor.
    pub fn value(&self, slot: usize) -> Cow<'_, [f32]> {
        self.trained[slot].values()
    }

    /// Room for the gradients of all trained tensors.
    pub fn gradients(&self) -> Gradients {
        Gradients::new(&self.trained)
    }

    /// One step of AdamW over all trained tensors; `step` says its numbers for a tensor's factor of the learning rate.
    pub fn update(
        &mut self,
        gradients: &Gradients,
        moments: &mut BTreeMap<String, Moments>,
        step: impl Fn(f64) -> AdamW,
    ) {
        values::update(self.options.level, &mut self.trained, gradients, moments, step);
    }

    /// Sum over the labels of the cross-entropy, in nats, nothing dropped.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn loss(&self, batch: &Batch, work: &mut Workspace<E>) -> Result<f64, Error> {
        let (pass, g) = (self.pass(&batch.ends, None), self.geometry(&batch.positions));
        self.through(&pass, &g, batch, work)?;
        self.head().loss(&pass, &g, &work.x, batch, &mut work.head)
    }

    /// Scores of the next token after the tokens at `indices`: `[m, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn logits(&self, batch: &Batch, indices: &[usize], work: &mut Workspace<E>) -> Result<Vec<f32>, Error> {
        let (pass, g) = (self.pass(&batch.ends, None), self.geometry(&batch.positions));
        self.through(&pass, &g, batch, work)?;
        let mut logits = Vec::new();
        self.head().logits(&pass, &g, &work.x, indices, &mut work.head, &mut logits)?;
        Ok(logits)
    }

    /// [`Model::loss`] with dropout, and the gradients of that sum added to `gradients`.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary or `draw` does not number the examples.
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        draw: &Draw,
        gradients: &mut Gradients,
        work: &mut Workspace<E>,
    ) -> Result<f64, Error> {
        // On a thread of the pool: from outside, each parallel piece would begin and end with a change of threads.
        rayon::scope(|_| self.differentiate(batch, draw, gradients, work))
    }

    fn differentiate(
        &self,
        batch: &Batch,
        draw: &Draw,
        gradients: &mut Gradients,
        work: &mut Workspace<E>,
    ) -> Result<f64, Error> {
        if draw.rows.len() != batch.examples() {
            return Err(Error::Batch(format!("{} examples, but draws for {}", batch.examples(), draw.rows.len())));
        }
        if batch.labels() == 0 {
            batch.check(self.shape.vocab_size)?;
            return Ok(0.0);
        }
        let draw = Draw { ends: batch.ends.clone(), ..draw.clone() };
        let (pass, g) = (self.pass(&batch.ends, Some(&draw)), self.geometry(&batch.positions));
        let (n, count) = (batch.len(), self.layers.len());
        let lowest = if matches!(self.embedding, Weight::Trained(_)) { 0 } else { self.lowest };
        self.embed(batch, &mut work.x)?;
        let kept = if self.options.recompute { 1 } else { count - lowest + 1 };
        work.saved.resize_with(kept, Saved::default);
        work.inputs.resize_with(if self.options.recompute { count } else { 0 }, Vec::new);
        // Where a layer keeps what it leaves: those below the lowest trained one share the first place.
        let place = |layer: usize| if self.options.recompute || layer < lowest { 0 } else { layer - lowest + 1 };
        for (i, layer) in self.layers.iter().enumerate() {
            let Workspace { saved, scratch, x, inputs, .. } = &mut *work;
            let saved = &mut saved[place(i).min(kept - 1)];
            if self.options.recompute && i >= lowest {
                inputs[i].clone_from(x);
            }
            swap(&mut saved.x, x);
            layer.forward(&pass, &g, saved, scratch, &mut Within, x)?;
        }

        room(&mut work.dx, n * g.hidden);
        let is_below = lowest < count || matches!(self.embedding, Weight::Trained(_));
        let Workspace { x, dx, head, .. } = &mut *work;
        let loss = self.head().backward(&pass, &g, x, batch, is_below, dx, head, gradients)?;
        for i in (lowest..count).rev() {
            let Workspace { saved, scratch, x, dx, inputs, .. } = &mut *work;
            let saved = &mut saved[place(i).min(kept - 1)];
            if self.options.recompute {
                swap(&mut saved.x, &mut inputs[i]);
                self.layers[i].forward(&pass, &g, saved, scratch, &mut Within, x)?;
            }
            let is_lowest = i == lowest && matches!(self.embedding, Weight::Frozen(_));
            self.layers[i].backward(&pass, &g, saved, scratch, dx, is_lowest, gradients)?;
        }
        if let Weight::Trained(slot) = self.embedding {
            scatter_add(self.options.level, &work.dx, g.hidden, &batch.tokens, gradients.sum(slot));
        }
        Ok(loss)
    }

    pub(super) fn pass<'a>(&'a self, ends: &'a [usize], draw: Option<&'a Draw>) -> Pass<'a, E> {
        Pass { level: self.options.level, trained: &self.trained, ends, draw }
    }

    pub(super) fn geometry(&self, positions: &[u32]) -> Geometry {
        let ModelShape { hidden_size, intermediate_size, rms_norm_eps, head_dim, .. } = self.shape;
        let (heads, kv_heads) = (self.shape.num_attention_heads, self.shape.num_key_value_heads);
        let (cos, sin) = tables(&self.frequencies, positions);
        Geometry {
            hidden: hidden_size,
            intermediate: intermediate_size,
            heads: Heads { heads, kv_heads, width: head_dim },
            eps: rms_norm_eps as f32,
            cos,
            sin,
        }
    }

    pub(super) fn head(&self) -> Head<'_, E> {
        Head { norm: &self.norm, group: &self.head }
    }

    pub(super) fn embed(&self, batch: &Batch, x: &mut Vec<E>) -> Result<(), Error> {
        batch.check(self.shape.vocab_size)?;
        room(x, batch.len() * self.shape.hidden_size);
        gather(self.embedding.values(&self.trained), self.shape.hidden_size, &batch.tokens, x);
        Ok(())
    }

    /// Through all layers, keeping nothing: `work.x [n, d]`.
    fn through(&self, pass: &Pass<'_, E>, g: &Geometry, batch: &Batch, work: &mut Workspace<E>) -> Result<(), Error> {
        self.embed(batch, &mut work.x)?;
        work.saved.resize_with(work.saved.len().max(1), Saved::default);
        let Workspace { saved, scratch, x, .. } = work;
        for layer in &self.layers {
            swap(&mut saved[0].x, x);
            layer.forward(pass, g, &mut saved[0], scratch, &mut Within, x)?;
        }
        Ok(())
    }
}

/// Takes the weights of a model one by one, letting each go, and notes what of them is trained.
struct Builder<E> {
    weights: BTreeMap<String, Tensor>,
    tuning: Tuning,
    trained: Vec<Trained<E>>,
    options: Options,
}

impl<E: Storage> Builder<E> {
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

    fn weight(&mut self, name: &str) -> Result<Weight<E>, Error> {
        let base = self.take(name)?;
        let Some(lr_scale) = self.lr_scale(name) else { return Ok(Weight::Frozen(Arc::new(E::take(&base)?))) };
        drop(base);
        let value = self.tuning.take_value(name)?;
        Ok(Weight::Trained(self.push(Trained::weight(name, &value, lr_scale)?)))
    }

    fn norm(&mut self, name: &str) -> Result<Norm, Error> {
        let base = self.take(name)?;
        let Some(lr_scale) = self.lr_scale(name) else { return Ok(Norm::Frozen(f32::take(&base)?)) };
        let value = self.tuning.take_value(name)?;
        Ok(Norm::Trained(self.push(Trained::small(name, &value, lr_scale)?)))
    }

    fn layer(&mut self, index: usize) -> Result<Layer<E>, Error> {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        let attention_norm = self.norm(&name("input_layernorm"))?;
        let mlp_norm = self.norm(&name("post_attention_layernorm"))?;
        let [q, k, v, o, gate, up, down] = LINEARS.map(name);
        let mut group = |names: &[String]| -> Result<Group<E>, Error> {
            Ok(Group { linears: names.iter().map(|name| self.linear(name)).collect::<Result<_, _>>()? })
        };
        let (qkv, o, gate_up, down) = (group(&[q, k, v])?, group(&[o])?, group(&[gate, up])?, group(&[down])?);
        Ok(Layer { attention_norm, qkv, o, mlp_norm, gate_up, down })
    }

    fn linear(&mut self, name: &str) -> Result<Linear<E>, Error> {
        let dims = self.weights.get(name).map(|t| t.dims().to_vec()).unwrap_or_default();
        let weight = self.weight(name)?;
        let &[out_features, in_features] = dims.as_slice() else {
            return Err(Error::Plan { weight: name.into(), fault: "it is not a matrix".into() });
        };
        let site = self.site(name, [out_features, in_features])?;
        Ok(self.linear_of([out_features, in_features], weight, site))
    }

    fn linear_of(&self, [out_features, in_features]: [usize; 2], weight: Weight<E>, site: Site) -> Linear<E> {
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
        let mut slots = BTreeMap::new();
        for spec in &params {
            let value = self.tuning.take_value(&param_name(name, &spec.name))?;
            let trained = Trained::small(&param_name(name, &spec.name), &value, spec.lr_scale)?;
            let slot = self.push(trained);
            slots.insert(spec.name.clone(), (slot, spec.shape.clone(), spec.dtype));
        }
        let Some(form) = fusion::lora(&graphs.forward, &params) else {
            return Ok(Site::Graph(Box::new(GraphSite { number, forward: graphs.forward, params: slots, dims })));
        };
        let dropout = form.dropout.map(|(node, p)| SiteDropout { p, place: [number, node as u64] });
        let (a, b) = (slots[&form.a].0, slots[&form.b].0);
        Ok(Site::Lora(Lora { a, b, rank: form.rank, scale: form.scale as f32, dropout }))
    }
}
