//! The LLaMA-family decoder: embedding, layers of attention and SwiGLU under RMS norms, and the head.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `n = b·t`, `d` hidden width, `v` vocabulary,
//! `h` heads, `k` key/value heads, `e` head width.

use candle_core::{Device, Tensor};
use tunebench_spec::ModelShape;

use crate::reference::batch::Batch;
use crate::reference::linear::{Builder, Linear, Params, Pass, Weight};
use crate::reference::virtual_tokens::{Front, VirtualTokens};
use crate::graph::ops;
use crate::{Error, Tuning, Weights, rotary};

pub(crate) const EMBEDDING: &str = "model.embed_tokens.weight";

/// A model ready to run, on one device, in f32.
pub struct Llama {
    pub(crate) shape: ModelShape,
    pub(crate) device: Device,
    pub(crate) embedding: Weight,
    pub(crate) layers: Vec<Layer>,
    pub(crate) norm: Weight,
    pub(crate) head: Linear,
    virtual_tokens: Option<VirtualTokens>,
    frequencies: Vec<f32>,
    params: Params,
}

/// One decoder layer.
pub(crate) struct Layer {
    /// Counted from 0.
    index: usize,
    attention_norm: Weight,
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    mlp_norm: Weight,
    gate: Linear,
    up: Linear,
    down: Linear,
}

/// What all layers of one pass share.
pub(crate) struct Context<'a> {
    pub pass: Pass<'a>,
    pub rows: usize,
    pub width: usize,
    /// `[t, e/2]` or `[b, t, e/2]`.
    pub cos: Tensor,
    pub sin: Tensor,
    /// Broadcasts to `[b, 1, t, s]`.
    pub mask: Tensor,
    /// What stands in front of the rows; none where a row goes on from a cache.
    pub front: Option<Front>,
    pub heads: usize,
    pub kv_heads: usize,
    pub norm_eps: f64,
}

impl Llama {
    /// Puts a model together: base weights, and what `tuning` trains or adapts of them.
    ///
    /// # Errors
    /// [`Error::Missing`] when a weight is not there; candle's errors when the device has no room.
    pub fn new(shape: &ModelShape, weights: &Weights, tuning: &Tuning, device: &Device) -> Result<Self, Error> {
        shape.check().map_err(|source| Error::Config { path: "shape".into(), source })?;
        let mut build = Builder::new(weights, tuning, device);
        let embedding = build.weight(EMBEDDING)?;
        let layers = (0..shape.num_hidden_layers).map(|i| Layer::new(&mut build, i)).collect::<Result<_, _>>()?;
        let norm = build.weight("model.norm.weight")?;
        let head = if shape.tie_word_embeddings {
            Linear::plain(embedding.share())
        } else {
            build.linear("lm_head.weight")?
        };
        let virtual_tokens = build.virtual_tokens()?;
        let (shape, device, frequencies, params) =
            (shape.clone(), device.clone(), rotary::frequencies(shape), build.params);
        Ok(Self { shape, device, embedding, layers, norm, head, virtual_tokens, frequencies, params })
    }

    /// Dimensions of the model.
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }

    /// Positions for an example's own tokens: the model's without those of virtual tokens.
    pub fn positions(&self) -> usize {
        self.shape.max_position_embeddings.saturating_sub(self.virtual_count())
    }

    pub(crate) fn virtual_count(&self) -> usize {
        self.virtual_tokens.as_ref().map_or(0, |tokens| tokens.count)
    }

    /// Where it runs.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// All trained tensors. Writing to a variable changes the model.
    pub fn params(&self) -> &Params {
        &self.params
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
        let x = ops::rms_norm(&self.run(&batch.behind(count))?, &self.norm.get(Pass::Eval), self.shape.rms_norm_eps)?;
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
        self.logits_of(&self.run(&batch.behind(count))?, &batch.indices_behind(count, indices))
    }

    pub(crate) fn logits_of(&self, x: &Tensor, indices: &[u32]) -> Result<Tensor, Error> {
        let x = x.index_select(&Tensor::new(indices, &self.device)?, 0)?;
        let x = ops::rms_norm(&x, &self.norm.get(Pass::Eval), self.shape.rms_norm_eps)?;
        self.head.apply(&x, Pass::Eval)
    }

    /// Through all layers, without the last norm: `[n, d]`; the rows are behind their virtual tokens already.
    pub(crate) fn run(&self, batch: &Batch) -> Result<Tensor, Error> {
        let context = self.context(batch, Pass::Eval)?;
        let mut x = context.embedded(&self.embed(batch.tokens())?)?;
        for layer in &self.layers {
            x = layer.forward(&x, &context, |q, k, v| Ok(ops::attention(q, k, v, &context.mask)?))?;
        }
        Ok(x)
    }

    /// Rows of the embedding, values only: `[n] -> [n, d]`.
    pub(crate) fn embed(&self, tokens: &[u32]) -> Result<Tensor, Error> {
        if let Some(token) = tokens.iter().find(|t| **t as usize >= self.shape.vocab_size) {
            return Err(Error::Batch(format!(
                "token {token} is not in the vocabulary of {}; was it made by another model's tokenizer?",
                self.shape.vocab_size
            )));
        }
        Ok(self.embedding.get(Pass::Eval).index_select(&Tensor::new(tokens, &self.device)?, 0)?)
    }

    pub(crate) fn context<'a>(&self, batch: &Batch, pass: Pass<'a>) -> Result<Context<'a>, Error> {
        let positions = batch.positions();
        let (mut cos, mut sin) = rotary::tables(&self.frequencies, positions, &self.device)?;
        if positions.len() != batch.width() {
            let dims = (batch.rows(), batch.width(), self.frequencies.len());
            (cos, sin) = (cos.reshape(dims)?, sin.reshape(dims)?);
        }
        let mask = batch.mask(&self.device)?;
        let front = self.virtual_tokens.as_ref().map(|tokens| tokens.front(pass)).transpose()?;
        Ok(Context { front, ..self.context_of(pass, [batch.rows(), batch.width()], [cos, sin], mask) })
    }

    /// The context of one new token in each row, at its position and with its own mask `[b, 1, 1, s]`.
    pub(crate) fn step_context(&self, positions: &[u32], mask: Tensor) -> Result<Context<'static>, Error> {
        let (cos, sin) = rotary::tables(&self.frequencies, positions, &self.device)?;
        let tables = [cos.unsqueeze(1)?, sin.unsqueeze(1)?];
        Ok(self.context_of(Pass::Eval, [positions.len(), 1], tables, mask))
    }

    fn context_of<'a>(
        &self,
        pass: Pass<'a>,
        [rows, width]: [usize; 2],
        [cos, sin]: [Tensor; 2],
        mask: Tensor,
    ) -> Context<'a> {
        let (heads, kv_heads) = (self.shape.num_attention_heads, self.shape.num_key_value_heads);
        Context { pass, rows, width, cos, sin, mask, front: None, heads, kv_heads, norm_eps: self.shape.rms_norm_eps }
    }
}

impl Context<'_> {
    /// What the first layer takes, `[n, d]`, from the embeddings of all places.
    pub fn embedded(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.front.as_ref().map_or_else(|| Ok(x.clone()), |front| front.embedded(x, self.rows))
    }
}

impl Layer {
    fn new(build: &mut Builder<'_>, index: usize) -> Result<Self, Error> {
        let name = |part: &str| format!("model.layers.{index}.{part}.weight");
        Ok(Self {
            index,
            attention_norm: build.weight(&name("input_layernorm"))?,
            q: build.linear(&name("self_attn.q_proj"))?,
            k: build.linear(&name("self_attn.k_proj"))?,
            v: build.linear(&name("self_attn.v_proj"))?,
            o: build.linear(&name("self_attn.o_proj"))?,
            mlp_norm: build.weight(&name("post_attention_layernorm"))?,
            gate: build.linear(&name("mlp.gate_proj"))?,
            up: build.linear(&name("mlp.up_proj"))?,
            down: build.linear(&name("mlp.down_proj"))?,
        })
    }

    /// `attend` takes the turned queries, the turned keys and the values of this pass's tokens and yields what
    /// the heads have read.
    ///
    /// # Shapes
    /// `x [n, d] -> [n, d]`; `attend`: `q [b, h, t, e]`, `k`, `v` `[b, k, t, e]` -> `[b, h, t, e]`.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context<'_>,
        attend: impl FnOnce(&Tensor, &Tensor, &Tensor) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let &Context { pass, rows: b, width: t, heads: h, kv_heads: k, norm_eps, .. } = context;
        let normed = ops::rms_norm(x, &self.attention_norm.get(pass), norm_eps)?;
        let by_head = |x: Tensor, heads: usize| -> Result<Tensor, Error> {
            let width = x.dim(1)? / heads;
            Ok(x.reshape((b, t, heads, width))?.transpose(1, 2)?.contiguous()?)
        };
        let q = ops::rope(&by_head(self.q.apply(&normed, pass)?, h)?, &context.cos, &context.sin)?;
        let keys = ops::rope(&by_head(self.k.apply(&normed, pass)?, k)?, &context.cos, &context.sin)?;
        let values = by_head(self.v.apply(&normed, pass)?, k)?;
        let [keys, values] = match &context.front {
            Some(front) => front.keys_values(self.index, [keys, values])?,
            None => [keys, values],
        };
        let read = attend(&q, &keys, &values)?.transpose(1, 2)?.reshape((b * t, ()))?; // [n, h e]
        let x = (x + self.o.apply(&read, pass)?)?;

        let normed = ops::rms_norm(&x, &self.mlp_norm.get(pass), norm_eps)?;
        let mid = ops::swiglu(&self.gate.apply(&normed, pass)?, &self.up.apply(&normed, pass)?)?;
        Ok((x + self.down.apply(&mid, pass)?)?)
    }

    /// Whether anything in it is trained.
    pub fn is_trained(&self) -> bool {
        let linears = [&self.q, &self.k, &self.v, &self.o, &self.gate, &self.up, &self.down];
        linears.iter().any(|l| l.is_trained()) || self.attention_norm.is_trained() || self.mlp_norm.is_trained()
    }
}
