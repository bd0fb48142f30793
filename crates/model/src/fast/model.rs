//! The model put together, and a training step's pass through it.

use std::borrow::Cow;

use tunebench_kernels::machine::memory;
use tunebench_kernels::ops::rope::{RopeTables, tables};
use tunebench_kernels::optim::adamw::AdamW;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::Positions;

use super::activation_store::ActivationStore;
use super::attention::OwnTokens;
use super::batch::Batch;
use super::build::{Builder, Options, Packing};
use super::embedding::{Embedding, EmbeddingActs};
use super::gradients::Gradients;
use super::grouped_lora::refusal;
use super::head::{Head, HeadScratch};
use super::layer::{Layer, Scratch};
use super::pass::{BackwardPass, Pass, Rope};
use super::prefix::{Prefix, VirtualTokens};
use super::storage::{Storage, resize};
use super::trained::{self, TrainedTensor};
use crate::dropout::DropoutKey;
use crate::optim::{AdamWState, ParamOptions};
use crate::rotary::{self, Rotation};
use crate::{Error, Tuning, Weights};

/// A model that trains, with weights and activations stored as `E`.
pub struct Model<E> {
    pub(super) shape: Decoder,
    pub(super) options: Options,
    pub(super) embedding: Embedding<E>,
    pub(super) layers: Vec<Layer<E>>,
    pub(super) head: Head<E>,
    virtual_tokens: Option<VirtualTokens>,
    /// None where positions are not rotary.
    rotation: Option<Rotation>,
    pub(super) trained: Vec<TrainedTensor<E>>,
    /// How many adapters rows choose from, where there are several in place of one tuning; else 0.
    pub(super) adapters: usize,
    /// Where backpropagation stops: 0 when the embedding or virtual tokens are trained.
    first_trained_layer: usize,
    /// Whether a layer's weights are asked for while the one before is computed: they are in files, and more than there is memory.
    reads_ahead: bool,
}

/// Buffers of a pass, used again by the next.
#[derive(Default)]
pub struct Workspace<E> {
    embedding: EmbeddingActs<E>,
    activations: ActivationStore<E>,
    scratch: Scratch<E>,
    head: HeadScratch<E>,
    /// The residual stream after the last layer, and its gradient; `[n, d]`.
    x: Vec<E>,
    dx: Vec<f32>,
    /// The gradient of the virtual tokens' value, `[c, w]`.
    d_prefix: Vec<f32>,
}

impl<E: Storage> Model<E> {
    /// Puts a model together: base weights, and what `tuning` trains or adapts of them.
    ///
    /// # Errors
    /// [`Error::Config`] when the dimensions do not fit together; [`Error::Missing`] when a weight is not there;
    /// [`Error::Plan`] when the plan cannot be used.
    pub fn new(shape: &Decoder, weights: Weights, tuning: Tuning, options: Options) -> Result<Self, Error> {
        let packing = if options.packed { Packing::Both } else { Packing::None };
        Self::build(shape, weights.mapped_bytes(), Builder::new(shape, weights, tuning, options, packing))
    }

    /// As [`Model::new`] and [`Model::pack`], each weight packed as it comes.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn answering(shape: &Decoder, weights: Weights, tuning: Tuning, options: Options) -> Result<Self, Error> {
        let build = |weights| Builder::new(shape, weights, tuning, options, Packing::Forward);
        let mut model = Self::build(shape, weights.mapped_bytes(), build(weights))?;
        model.pack();
        Ok(model)
    }

    /// Puts a model together that answers for several adapters over one base, each row for one of them: see
    /// [`Model::prefill_adapted`]. A row's numbers are the bytes of the model with its adapter alone.
    ///
    /// # Errors
    /// As [`Model::new`]; [`Error::Plan`] says of a tuning why it answers alone, which all do but LoRA over frozen weights.
    pub fn grouped(shape: &Decoder, weights: Weights, tunings: Vec<Tuning>, options: Options) -> Result<Self, Error> {
        for (number, tuning) in tunings.iter().enumerate() {
            if let Some(why) = refusal(tuning.recorded()) {
                let fault = format!("{why}, so it answers alone");
                return Err(Error::Plan { weight: format!("adapter {number}"), fault });
            }
        }
        let (adapters, mapped) = (tunings.len(), weights.mapped_bytes());
        let mut model = Self::build(shape, mapped, Builder::grouped(shape, weights, tunings, options))?;
        model.pack();
        Ok(Self { adapters, ..model })
    }

    /// With what `build` has, of which so many bytes are in files.
    fn build(shape: &Decoder, mapped_bytes: u64, mut build: Builder<E>) -> Result<Self, Error> {
        let invalid = |source| Error::Config { path: "shape".into(), source };
        shape.check().map_err(invalid)?;
        let reads_ahead = memory::available().is_some_and(|free| mapped_bytes > free / 10 * 9);
        let options = build.options();
        let embedding = build.embedding()?;
        let layers = (0..shape.num_hidden_layers).map(|i| build.layer(i)).collect::<Result<Vec<_>, _>>()?;
        let head = build.head(&embedding.tokens)?;
        let virtual_tokens = build.virtual_tokens()?;
        let is_trained_below = embedding.is_trained() || virtual_tokens.is_some();
        let first_trained_layer = match is_trained_below {
            true => 0,
            false => layers.iter().position(Layer::is_trained).unwrap_or(layers.len()),
        };
        let (shape, rotation, trained) = (shape.clone(), rotary::rotation(shape), build.trained);
        Ok(Self {
            shape,
            options,
            embedding,
            layers,
            head,
            virtual_tokens,
            rotation,
            trained,
            adapters: 0,
            first_trained_layer,
            reads_ahead,
        })
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &Decoder {
        &self.shape
    }

    /// Number of virtual tokens in front of each example.
    pub fn virtual_tokens(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    /// Positions for an example's own tokens: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        self.shape.context().saturating_sub(self.virtual_tokens())
    }

    /// Names and shapes of the trained tensors, in the order in which the model was built: that of their [`Gradients`]
    /// and of their optimizer states.
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
        Gradients::new(self.trained.iter().map(|t| (t.name.as_str(), t.len())))
    }

    /// One step of AdamW over all trained tensors, by their gradients and optimizer states; `step` says its numbers for a
    /// tensor's options.
    pub fn update(&mut self, gradients: &Gradients, states: &mut [AdamWState], step: impl Fn(ParamOptions) -> AdamW) {
        trained::update(self.options.level, &mut self.trained, gradients, states, step);
    }

    /// Sum over the labels of the cross-entropy, in nats, nothing dropped.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn loss(&self, batch: &Batch, work: &mut Workspace<E>) -> Result<f64, Error> {
        let mut sum = 0.0;
        self.each_loss(batch, &mut |loss| sum += loss, work)?;
        Ok(sum)
    }

    /// Shows the cross-entropy of each label, in their order: what is added up of them is the same to the bit however
    /// examples are cut into batches.
    ///
    /// # Errors
    /// As [`Model::loss`].
    pub fn each_loss(
        &self,
        batch: &Batch,
        each: &mut (dyn FnMut(f64) + Send),
        work: &mut Workspace<E>,
    ) -> Result<(), Error> {
        // As in [`Model::loss_and_gradients`].
        rayon::scope(|_| self.show_losses(batch, each, work))
    }

    fn show_losses(
        &self,
        batch: &Batch,
        each: &mut (dyn FnMut(f64) + Send),
        work: &mut Workspace<E>,
    ) -> Result<(), Error> {
        self.check(batch)?;
        if batch.labels() == 0 {
            return Ok(());
        }
        let prefix = self.prefix(None)?;
        let pass = self.pass(batch, None, prefix.as_ref());
        work.activations.keep_none();
        self.forward(&pass, batch, work)?;
        self.head.each_loss(&pass, &work.x, batch, each, &mut work.head)
    }

    /// Logits of the next token after the examples' own tokens at `indices`: `[m, v]`, row after row.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn logits(&self, batch: &Batch, indices: &[usize], work: &mut Workspace<E>) -> Result<Vec<f32>, Error> {
        self.check(batch)?;
        let prefix = self.prefix(None)?;
        let pass = self.pass(batch, None, prefix.as_ref());
        work.activations.keep_none();
        self.forward(&pass, batch, work)?;
        let indices: Vec<usize> = indices.iter().map(|i| batch.index_behind_prefix(*i)).collect();
        let mut logits = Vec::new();
        self.head.logits(&pass, &work.x, &indices, &mut work.head, &mut logits)?;
        Ok(logits)
    }

    /// [`Model::loss`] with dropout, and the gradients of that sum added to `gradients`.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary or `key` is not that of the batch; [`Error::AnswersOnly`]
    /// after [`Model::pack`].
    pub fn loss_and_gradients(
        &self,
        batch: &Batch,
        key: &DropoutKey,
        gradients: &mut Gradients,
        work: &mut Workspace<E>,
    ) -> Result<f64, Error> {
        // On a thread of the pool: from outside, each parallel piece would begin and end with a change of threads.
        rayon::scope(|_| self.differentiate(batch, key, gradients, work))
    }

    fn differentiate(
        &self,
        batch: &Batch,
        key: &DropoutKey,
        gradients: &mut Gradients,
        work: &mut Workspace<E>,
    ) -> Result<f64, Error> {
        self.check(batch)?;
        if key.examples() != batch.examples() || key.seq_ends() != batch.seq_ends() {
            let (examples, others) = (batch.examples(), key.examples());
            return Err(Error::Batch(format!("a dropout key of {others} other examples for a batch of {examples}")));
        }
        if batch.labels() == 0 {
            return Ok(0.0);
        }
        let prefix = self.prefix(Some(key))?;
        let pass = self.pass(batch, Some(key), prefix.as_ref());
        match self.options.recompute {
            true => work.activations.recompute(self.layers.len(), self.first_trained_layer),
            false => work.activations.keep_all(self.layers.len(), self.first_trained_layer),
        }
        self.forward(&pass, batch, work)?;
        self.backward(&pass, batch, gradients, work)
    }

    /// Through all layers to `work.x [n, d]`, keeping of them what `work.activations` was told to.
    fn forward(&self, pass: &Pass<'_, E>, batch: &Batch, work: &mut Workspace<E>) -> Result<(), Error> {
        // Whose rows these would be is not said here.
        if self.adapters > 0 {
            return Err(Error::AnswersOnly);
        }
        let Workspace { embedding, activations, scratch, x, .. } = work;
        self.embedding.forward(pass, batch, embedding, x);
        for (i, layer) in self.layers.iter().enumerate() {
            self.read_ahead(i + 1);
            layer.forward(pass, activations.forward(i, x), scratch, &mut OwnTokens, x)?;
        }
        Ok(())
    }

    /// Has the system begin to read a layer, if there is such and memory does not hold all.
    fn read_ahead(&self, layer: usize) {
        if let Some(layer) = self.layers.get(layer).filter(|_| self.reads_ahead) {
            layer.will_need();
        }
    }

    /// The loss of `work.x`, and from it back to the lowest that is trained.
    fn backward(
        &self,
        pass: &Pass<'_, E>,
        batch: &Batch,
        gradients: &mut Gradients,
        work: &mut Workspace<E>,
    ) -> Result<f64, Error> {
        let Workspace { embedding, activations, scratch, head, x, dx, d_prefix } = work;
        let (count, first) = (self.layers.len(), self.first_trained_layer);
        resize(dx, batch.len() * self.shape.hidden_size);
        resize(d_prefix, pass.prefix.map_or(0, Prefix::len));
        d_prefix.fill(0.0);
        let back = &mut BackwardPass { pass, gradients, d_prefix };
        let is_below_head = first < count || self.embedding.is_trained();
        let loss = self.head.backward(back, x, batch, head, is_below_head.then_some(dx.as_mut_slice()))?;
        let is_below_layers = self.embedding.is_trained() || pass.prefix.is_some_and(|prefix| !prefix.is_in_layers());
        for i in (first..count).rev() {
            self.read_ahead(i.wrapping_sub(1));
            let acts = activations.backward(i);
            if self.options.recompute {
                self.layers[i].forward(pass, acts, scratch, &mut OwnTokens, x)?;
            }
            self.layers[i].backward(back, acts, scratch, dx, i == first && !is_below_layers)?;
        }
        self.embedding.backward(back, batch, embedding, dx);
        if let Some(tokens) = &self.virtual_tokens {
            tokens.backward(&self.trained, pass.dropout, back.d_prefix, back.gradients)?;
        }
        Ok(loss)
    }

    /// A pass over a batch.
    pub(super) fn pass<'a>(
        &'a self,
        batch: &'a Batch,
        dropout: Option<&'a DropoutKey>,
        prefix: Option<&'a Prefix<E>>,
    ) -> Pass<'a, E> {
        let rope = match &self.rotation {
            None => Rope { global: RopeTables::default(), local: None },
            Some(Rotation { frequencies, factor, local }) => Rope {
                global: tables(frequencies, *factor, batch.positions()),
                local: local.as_ref().map(|frequencies| tables(frequencies, 1.0, batch.positions())),
            },
        };
        let (level, trained) = (self.options.level, &self.trained);
        Pass { level, trained, seq_ends: batch.seq_ends(), rope, dropout, prefix, adapters: None }
    }

    /// What virtual tokens hold in a pass with this key.
    pub(super) fn prefix(&self, key: Option<&DropoutKey>) -> Result<Option<Prefix<E>>, Error> {
        self.virtual_tokens.as_ref().map(|tokens| tokens.prefix(&self.trained, key)).transpose()
    }

    pub(super) fn check(&self, batch: &Batch) -> Result<(), Error> {
        batch.check(self.shape.vocab_size, self.virtual_tokens(), self.learned_positions())
    }

    /// Positions that there are rows for, where positions are learned.
    pub(super) fn learned_positions(&self) -> Option<usize> {
        matches!(self.shape.positions, Positions::Learned { .. }).then_some(self.shape.max_position_embeddings)
    }
}
