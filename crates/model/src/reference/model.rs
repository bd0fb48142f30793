//! The decoder put together from its description: embedding, layers, last norm and head, in plain candle operations.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `n = b·t`, `d` hidden width, `v` vocabulary,
//! `h` heads, `k` key/value heads, `e` head width.

use candle_core::{DType, Device, Tensor};
use tunebench_kernels::attention::KeyBias;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::Positions;
use tunebench_spec::names::Role;

use crate::graph::ops::{self, Scores};
use crate::reference::batch::Batch;
use crate::reference::build::Builder;
use crate::reference::compute::{Compute, Precision};
use crate::reference::context::{Context, Rotation};
use crate::reference::layer::Layer;
use crate::reference::linear::Linear;
use crate::reference::norm::Norm;
use crate::reference::virtual_tokens::VirtualTokens;
use crate::reference::weight::{Params, Pass, Weight};
use crate::{Error, Tuning, Weights, rotary};

/// A model ready to run, on one device, in one precision.
pub struct ReferenceModel {
    pub(crate) shape: Decoder,
    pub(crate) compute: Compute,
    pub(crate) embedding: Weight,
    position_embedding: Option<Weight>,
    embedding_norm: Option<Norm>,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Norm,
    pub(crate) head: Linear,
    virtual_tokens: Option<VirtualTokens>,
    /// None where positions are not rotary.
    rotary: Option<rotary::Rotation>,
    /// Of each head; none where positions are not ALiBi's.
    slopes: Vec<f32>,
    params: Params,
    frozen: Vec<Tensor>,
}

impl ReferenceModel {
    /// [`ReferenceModel::with`] in f32 on a device, as which it is the reference.
    ///
    /// # Errors
    /// As [`ReferenceModel::with`].
    pub fn new(shape: &Decoder, weights: &Weights, tuning: &Tuning, device: &Device) -> Result<Self, Error> {
        Self::with(shape, weights, tuning, Compute::full(device))
    }

    /// Puts a model together: base weights, and what `tuning` trains or adapts of them.
    ///
    /// # Errors
    /// [`Error::Missing`] when a weight is not there; candle's errors when the device has no room.
    pub fn with(shape: &Decoder, weights: &Weights, tuning: &Tuning, compute: Compute) -> Result<Self, Error> {
        let invalid = |source| Error::Config { path: "shape".into(), source };
        shape.check().map_err(invalid)?;
        let mut build = Builder::new(shape, weights, tuning, &compute);
        let embedding = build.weight(&shape.weight_name(Role::Embedding, 0))?;
        let has_learned = matches!(shape.positions, Positions::Learned { .. });
        let position_name = shape.weight_name(Role::PositionEmbedding, 0);
        let position_embedding = has_learned.then(|| build.weight(&position_name)).transpose()?;
        let norm = |build: &mut Builder<'_>, role| build.norm(shape, role, 0, shape.norm);
        let embedding_norm = shape.embedding.norm.then(|| norm(&mut build, Role::EmbeddingNorm)).transpose()?;
        let layers =
            (0..shape.num_hidden_layers).map(|i| Layer::new(&mut build, shape, i)).collect::<Result<_, _>>()?;
        let norm = norm(&mut build, Role::FinalNorm)?;
        let head = match shape.tie_word_embeddings {
            true => Linear::plain(embedding.share()),
            false => build.linear(shape, Role::Head, 0)?,
        };
        let virtual_tokens = build.virtual_tokens()?;
        Ok(Self {
            shape: shape.clone(),
            embedding,
            position_embedding,
            embedding_norm,
            layers,
            norm,
            head,
            virtual_tokens,
            rotary: rotary::rotation(shape),
            slopes: slopes(shape),
            params: build.params,
            frozen: build.frozen,
            compute,
        })
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &Decoder {
        &self.shape
    }

    /// Positions for an example's own tokens: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        self.shape.context().saturating_sub(self.virtual_count())
    }

    pub(crate) fn virtual_count(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.compute.device
    }

    /// In what it computes products.
    pub fn precision(&self) -> Precision {
        self.compute.precision
    }

    /// All trained tensors. Writing to a variable changes the model.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// All that is not trained, in no order that means anything.
    pub(crate) fn frozen(&self) -> &[Tensor] {
        &self.frozen
    }

    /// What the last layer yields, normed.
    ///
    /// # Shapes
    /// `[b, t, d]`; at padding the values mean nothing.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn hidden(&self, batch: &Batch) -> Result<Tensor, Error> {
        let count = self.virtual_count();
        let x = self.norm.apply(&self.run(&batch.with_prefix(count))?, Pass::Eval)?;
        let x = x.reshape((batch.rows(), count + batch.width(), self.shape.hidden_size))?;
        Ok(x.narrow(1, count, batch.width())?)
    }

    /// Scores of the next token after each of the tokens at `indices` (see [`Batch::index`]).
    ///
    /// # Shapes
    /// `indices [m] -> [m, v]`.
    ///
    /// # Errors
    /// [`Error::Batch`] when a token is not in the vocabulary.
    pub fn logits(&self, batch: &Batch, indices: &[u32]) -> Result<Tensor, Error> {
        let count = self.virtual_count();
        self.logits_of(&self.run(&batch.with_prefix(count))?, &batch.indices_with_prefix(count, indices))
    }

    pub(crate) fn logits_of(&self, x: &Tensor, indices: &[u32]) -> Result<Tensor, Error> {
        let x = x.index_select(&Tensor::new(indices, &self.compute.device)?, 0)?;
        let x = self.norm.apply(&x, Pass::Eval)?;
        self.capped(&self.head.apply(&x, Pass::Eval)?)
    }

    /// The head's scores in f32, under the decoder's soft cap, where it has one.
    pub(crate) fn capped(&self, logits: &Tensor) -> Result<Tensor, Error> {
        let logits = logits.to_dtype(DType::F32)?;
        Ok(self.shape.logit_softcap.map_or_else(|| Ok(logits.clone()), |cap| ops::soft_cap(&logits, cap))?)
    }

    /// Through all layers, without the last norm: `[n, d]`; the rows are behind their virtual tokens already.
    pub(crate) fn run(&self, batch: &Batch) -> Result<Tensor, Error> {
        let context = self.context(batch, Pass::Eval)?;
        let mut x = self.embedded(&self.embed(batch.tokens())?, batch.positions(), &context)?;
        for layer in &self.layers {
            x = layer.forward(&x, &context, within)?;
        }
        Ok(x)
    }

    /// Rows of the embedding matrix, values only: `[n] -> [n, d]`.
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Tensor, Error> {
        if let Some(token) = tokens.iter().find(|t| **t as usize >= self.shape.vocab_size) {
            return Err(Error::Batch(format!(
                "token {token} is not in the vocabulary of {}; was it made by another model's tokenizer?",
                self.shape.vocab_size
            )));
        }
        let rows = self.embedding.get(Pass::Eval).index_select(&Tensor::new(tokens, &self.compute.device)?, 0)?;
        Ok(rows.to_dtype(self.compute.precision.dtype())?)
    }

    /// The residual stream's beginning from rows of the embedding matrix: scaled, behind virtual tokens, with learned
    /// positions, normed, where there are any.
    ///
    /// # Shapes
    /// `x [n, d] -> [n, d]`; `positions [n]`, or `[t]` where all rows have the same.
    pub(crate) fn embedded(&self, x: &Tensor, positions: &[u32], context: &Context<'_>) -> Result<Tensor, Error> {
        let pass = context.pass;
        let scaled = self
            .shape
            .embedding
            .scale
            .map_or_else(|| Ok(x.clone()), |scale| (x.to_dtype(DType::F32)? * scale)?.to_dtype(x.dtype()))?;
        let mut x = context.embedded(&scaled)?;
        if let (Some(weight), Positions::Learned { offset }) = (&self.position_embedding, &self.shape.positions) {
            let most = self.shape.max_position_embeddings;
            if let Some(beyond) = positions.iter().find(|at| **at as usize >= most) {
                return Err(Error::Batch(format!("position {beyond} of a model that has learned {most} positions")));
            }
            let rows = x.dim(0)? / positions.len().max(1);
            let index: Vec<u32> = positions.iter().map(|p| p + *offset as u32).collect();
            let index = Tensor::new(index.repeat(rows), &self.compute.device)?;
            x = (&x + weight.get(pass).index_select(&index, 0)?.to_dtype(x.dtype())?)?;
        }
        match &self.embedding_norm {
            Some(norm) => norm.apply(&x, pass),
            None => Ok(x),
        }
    }

    pub(crate) fn context<'a>(&self, batch: &Batch, pass: Pass<'a>) -> Result<Context<'a>, Error> {
        let positions = batch.positions();
        let shaped = |table: Tensor| match positions.len() == batch.width() {
            true => Ok(table),
            false => table.reshape((batch.rows(), batch.width(), ())),
        };
        let mask = |window| batch.mask(window, &self.slopes, &self.compute.device);
        Ok(Context {
            pass,
            rows: batch.rows(),
            width: batch.width(),
            rotation: self.rotation(positions, shaped)?,
            mask: mask(None)?,
            window_mask: self.window().map(|size| mask(Some(size))).transpose()?,
            prefix: self.virtual_tokens.as_ref().map(|tokens| tokens.prefix(pass)).transpose()?,
        })
    }

    /// The context of one new token in each row, at its position, which sees keys `0..longest` up to itself.
    pub(crate) fn step_context(&self, positions: &[u32], longest: usize) -> Result<Context<'static>, Error> {
        let rows = positions.len();
        let mask = |window: Option<usize>| -> Result<Tensor, Error> {
            let sees = |at: usize, key: usize| key <= at && window.is_none_or(|size| key + size > at);
            let row = |at: &u32, slope: f32| {
                let at = *at as usize;
                let fall = move |key: usize| slope * (key as f32 - at as f32);
                (0..longest).map(move |key| if sees(at, key) { fall(key) } else { f32::NEG_INFINITY })
            };
            let slopes = if self.slopes.is_empty() { &[0.0][..] } else { &self.slopes };
            let of_heads = |at| slopes.iter().flat_map(move |slope| row(at, *slope));
            let mask: Vec<f32> = positions.iter().flat_map(of_heads).collect();
            Ok(Tensor::from_vec(mask, (rows, slopes.len(), 1, longest), &self.compute.device)?)
        };
        let rotation = self.rotation(positions, |table| table.unsqueeze(1))?;
        Ok(Context {
            pass: Pass::Eval,
            rows,
            width: 1,
            rotation,
            mask: mask(None)?,
            window_mask: self.window().map(|size| mask(Some(size))).transpose()?,
            prefix: None,
        })
    }

    /// Tables at `positions`, in the shape that `shaped` gives those `[positions, r/2]`.
    fn rotation(
        &self,
        positions: &[u32],
        shaped: impl Fn(Tensor) -> candle_core::Result<Tensor>,
    ) -> Result<Option<Rotation>, Error> {
        let Some(rotary) = &self.rotary else { return Ok(None) };
        let tables = |frequencies: &[f32], factor| -> Result<[Tensor; 2], Error> {
            let (cos, sin) = rotary::tables(frequencies, factor, positions, &self.compute.device)?;
            Ok([shaped(cos)?, shaped(sin)?])
        };
        let local = rotary.local.as_ref().map(|frequencies| tables(frequencies, 1.0)).transpose()?;
        Ok(Some(Rotation { global: tables(&rotary.frequencies, rotary.factor)?, local }))
    }

    fn window(&self) -> Option<usize> {
        self.shape.attention.window.as_ref().map(|window| window.size)
    }
}

/// Attention among a pass's own tokens.
pub(crate) fn within([q, k, v]: [&Tensor; 3], mask: &Tensor, scores: Scores) -> Result<Tensor, Error> {
    Ok(ops::attention(q, k, v, mask, scores)?)
}

/// How fast the scores of each head fall with distance; none where positions are not ALiBi's.
fn slopes(shape: &Decoder) -> Vec<f32> {
    let heads = shape.attention.heads;
    match shape.positions {
        Positions::Alibi => (0..heads).map(|head| KeyBias::Alibi.slope(head, heads)).collect(),
        Positions::Rotary(_) | Positions::Learned { .. } => Vec::new(),
    }
}
