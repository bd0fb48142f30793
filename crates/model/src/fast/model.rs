//! The model put together, and a training step's pass through it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::mem::swap;

use tunebench_kernels::SimdLevel;
use tunebench_kernels::attention::Heads;
use tunebench_kernels::ops::embedding::{gather, scatter_add};
use tunebench_kernels::ops::rope::tables;
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_spec::ModelShape;

use super::batch::Batch;
use super::build::Builder;
use super::group::Group;
use super::head::{self, Head};
use super::layer::{Geometry, Layer, Norm, Saved, Scratch, Within, room};
use super::linear::{Pass, Site, Weight};
use super::values::{self, Gradients, Moments, Storage, Trained};
use super::virtual_tokens::{Front, VirtualTokens};
use crate::dropout::Draw;
use crate::reference::model::EMBEDDING;
use crate::{Error, Tuning, Weights, rotary};

/// How a model is computed; changes no number but by rounding.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub level: SimdLevel,
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
    virtual_tokens: Option<VirtualTokens>,
    frequencies: Vec<f32>,
    pub(super) trained: Vec<Trained<E>>,
    /// The first layer in which something is trained; nothing is led back below it. 0 with virtual tokens; 0 and below if
    /// the embedding is trained.
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
        let mut build = Builder::new(weights, tuning, options);
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
        let virtual_tokens = build.virtual_tokens()?;
        let lowest = match virtual_tokens {
            Some(_) => 0,
            None => layers.iter().position(Layer::is_trained).unwrap_or(layers.len()),
        };
        let (shape, frequencies, trained) = (shape.clone(), rotary::frequencies(shape), build.trained);
        Ok(Self { shape, options, embedding, layers, norm, head, virtual_tokens, frequencies, trained, lowest })
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Positions for an example's own tokens: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        self.shape.max_position_embeddings.saturating_sub(self.virtual_count())
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
        let (batch, front) = (&*batch.behind(self.virtual_count()), self.front(None)?);
        let (pass, g) = (self.pass(&batch.ends, None, front.as_ref()), self.geometry(&batch.positions));
        self.through(&pass, &g, batch, work)?;
        self.head().loss(&pass, &g, &work.x, batch, &mut work.head)
    }

    /// Scores of the next token after the tokens at `indices`: `[m, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn logits(&self, batch: &Batch, indices: &[usize], work: &mut Workspace<E>) -> Result<Vec<f32>, Error> {
        let (count, front) = (self.virtual_count(), self.front(None)?);
        let (indices, batch) = (batch.indices_behind(count, indices), &*batch.behind(count));
        let (pass, g) = (self.pass(&batch.ends, None, front.as_ref()), self.geometry(&batch.positions));
        self.through(&pass, &g, batch, work)?;
        let mut logits = Vec::new();
        self.head().logits(&pass, &g, &work.x, &indices, &mut work.head, &mut logits)?;
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
        let batch = &*batch.behind(self.virtual_count());
        let draw = Draw { ends: batch.ends.clone(), ..draw.clone() };
        let front = self.front(Some(&draw))?;
        let (pass, g) = (self.pass(&batch.ends, Some(&draw), front.as_ref()), self.geometry(&batch.positions));
        let (n, count) = (batch.len(), self.layers.len());
        let lowest = if matches!(self.embedding, Weight::Trained(_)) { 0 } else { self.lowest };
        self.embed(&pass, batch, &mut work.x)?;
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
        room(&mut work.scratch.d_front, front.as_ref().map_or(0, Front::len));
        work.scratch.d_front.fill(0.0);
        let is_front_below = front.as_ref().is_some_and(|front| !front.is_in_layers());
        for i in (lowest..count).rev() {
            let Workspace { saved, scratch, x, dx, inputs, .. } = &mut *work;
            let saved = &mut saved[place(i).min(kept - 1)];
            if self.options.recompute {
                swap(&mut saved.x, &mut inputs[i]);
                self.layers[i].forward(&pass, &g, saved, scratch, &mut Within, x)?;
            }
            let is_lowest = i == lowest && matches!(self.embedding, Weight::Frozen(_)) && !is_front_below;
            self.layers[i].backward(&pass, &g, saved, scratch, dx, is_lowest, gradients)?;
        }
        if let (Some(tokens), Some(front)) = (&self.virtual_tokens, &front) {
            front.take_embeddings(&batch.ends, g.hidden, &mut work.dx, &mut work.scratch.d_front);
            tokens.backward(&self.trained, pass.draw, &work.scratch.d_front, gradients)?;
        }
        if let Weight::Trained(slot) = self.embedding {
            scatter_add(self.options.level, &work.dx, g.hidden, &batch.tokens, gradients.sum(slot));
        }
        Ok(loss)
    }

    pub(super) fn pass<'a>(
        &'a self,
        ends: &'a [usize],
        draw: Option<&'a Draw>,
        front: Option<&'a Front<E>>,
    ) -> Pass<'a, E> {
        Pass { level: self.options.level, trained: &self.trained, ends, draw, front }
    }

    pub(super) fn virtual_count(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    /// What virtual tokens hold in a pass with these draws.
    pub(super) fn front(&self, draw: Option<&Draw>) -> Result<Option<Front<E>>, Error> {
        self.virtual_tokens.as_ref().map(|tokens| tokens.front(&self.trained, draw)).transpose()
    }

    pub(super) fn geometry(&self, positions: &[u32]) -> Geometry {
        let ModelShape { hidden_size, intermediate_size, rms_norm_eps, head_dim, .. } = self.shape;
        let (heads, kv_heads) = (self.shape.num_attention_heads, self.shape.num_key_value_heads);
        Geometry {
            hidden: hidden_size,
            intermediate: intermediate_size,
            heads: Heads { heads, kv_heads, head_dim },
            eps: rms_norm_eps as f32,
            rope: tables(&self.frequencies, positions),
        }
    }

    pub(super) fn head(&self) -> Head<'_, E> {
        Head { norm: &self.norm, group: &self.head }
    }

    pub(super) fn embed(&self, pass: &Pass<'_, E>, batch: &Batch, x: &mut Vec<E>) -> Result<(), Error> {
        batch.check(self.shape.vocab_size)?;
        let d = self.shape.hidden_size;
        room(x, batch.len() * d);
        gather(self.embedding.values(pass.trained), d, &batch.tokens, x);
        if let Some(front) = pass.front {
            front.put_embeddings(pass.ends, d, x);
        }
        Ok(())
    }

    /// Through all layers, keeping nothing: `work.x [n, d]`.
    fn through(&self, pass: &Pass<'_, E>, g: &Geometry, batch: &Batch, work: &mut Workspace<E>) -> Result<(), Error> {
        self.embed(pass, batch, &mut work.x)?;
        work.saved.resize_with(work.saved.len().max(1), Saved::default);
        let Workspace { saved, scratch, x, .. } = work;
        for layer in &self.layers {
            swap(&mut saved[0].x, x);
            layer.forward(pass, g, &mut saved[0], scratch, &mut Within, x)?;
        }
        Ok(())
    }
}
