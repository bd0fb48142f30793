//! One decoder layer as described: attention and MLP, each under its norms.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `n = b·t`, `d` hidden width, `f` intermediate width,
//! `h` heads, `k` key/value heads, `e` head width, `s` keys.

use candle_core::Tensor;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, Norm as NormSpec, NormKind, NormPlacement};
use tunebench_spec::names::Role;

use crate::Error;
use crate::graph::ops;
use crate::reference::build::Builder;
use crate::reference::linear::Linear;
use crate::reference::norm::Norm;
use crate::reference::virtual_tokens::Prefix;
use crate::reference::weight::Pass;

/// What all layers of one pass share.
pub(crate) struct Context<'a> {
    pub pass: Pass<'a>,
    pub rows: usize,
    pub width: usize,
    /// Cosines and sines `[t, e/2]` or `[b, t, e/2]`, where positions are rotary.
    pub rotation: Option<[Tensor; 2]>,
    /// Broadcasts to `[b, 1, t, s]`; and that of layers with a window, where there are any.
    pub mask: Tensor,
    pub window_mask: Option<Tensor>,
    /// What stands in front of the rows; none where a row goes on from a cache.
    pub prefix: Option<Prefix>,
}

impl Context<'_> {
    /// What the first layer takes, `[n, d]`, from the embeddings of all tokens.
    pub fn embedded(&self, x: &Tensor) -> Result<Tensor, Error> {
        self.prefix.as_ref().map_or_else(|| Ok(x.clone()), |prefix| prefix.embedded(x, self.rows))
    }
}

pub(crate) struct Layer {
    /// Counted from 0.
    index: usize,
    attention_norm: Norm,
    attention: Attention,
    /// Of what attention and MLP add, where the decoder has them.
    post_attention_norm: Option<Norm>,
    mlp_norm: Norm,
    mlp: Mlp,
    post_mlp_norm: Option<Norm>,
}

struct Attention {
    q: Linear,
    k: Linear,
    v: Linear,
    o: Linear,
    /// Of queries and of keys, by head.
    qk_norm: Option<[Norm; 2]>,
    heads: usize,
    kv_heads: usize,
    scale: f64,
    has_window: bool,
}

struct Mlp {
    gate: Option<Linear>,
    up: Linear,
    down: Linear,
    activation: Activation,
}

impl Layer {
    pub fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let mut norm = |role| build.norm(shape, role, index, shape.norm);
        let attention_norm = norm(Role::AttentionNorm)?;
        let mlp_norm = norm(Role::MlpNorm)?;
        let has_post = shape.norm_placement == NormPlacement::PreAndPost;
        let mut post = |role| has_post.then(|| norm(role)).transpose();
        let (post_attention_norm, post_mlp_norm) = (post(Role::PostAttentionNorm)?, post(Role::PostMlpNorm)?);
        let attention = Attention::new(build, shape, index)?;
        let mlp = Mlp::new(build, shape, index)?;
        Ok(Self { index, attention_norm, attention, post_attention_norm, mlp_norm, mlp, post_mlp_norm })
    }

    /// `attend` takes the rotated queries, the rotated keys and the values of this pass's tokens, the mask and the scale
    /// of scores, and yields the attention output.
    ///
    /// # Shapes
    /// `x [n, d] -> [n, d]`; `attend`: `q [b, h, t, e]`, `k`, `v` `[b, k, t, e]` -> `[b, h, t, e]`.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context<'_>,
        attend: impl FnOnce([&Tensor; 3], &Tensor, f64) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let pass = context.pass;
        let normed = self.attention_norm.apply(x, pass)?;
        let added = self.attention.forward(&normed, self.index, context, attend)?;
        let x = (x + post(&self.post_attention_norm, added, pass)?)?;
        let added = self.mlp.forward(&self.mlp_norm.apply(&x, pass)?, pass)?;
        Ok((x + post(&self.post_mlp_norm, added, pass)?)?)
    }

    /// Whether anything in it is trained.
    pub fn is_trained(&self) -> bool {
        let norms = [&self.attention_norm, &self.mlp_norm].into_iter();
        let mut norms = norms.chain(&self.post_attention_norm).chain(&self.post_mlp_norm);
        norms.any(Norm::is_trained) || self.attention.is_trained() || self.mlp.is_trained()
    }
}

fn post(norm: &Option<Norm>, x: Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
    norm.as_ref().map_or(Ok(x.clone()), |norm| norm.apply(&x, pass))
}

impl Attention {
    fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let of = &shape.attention;
        let head_norm = NormSpec { kind: NormKind::Rms { unit_offset: false }, ..shape.norm };
        let mut qk_norm = || -> Result<[Norm; 2], Error> {
            let mut norm = |role| build.norm(shape, role, index, head_norm);
            Ok([norm(Role::QueryNorm)?, norm(Role::KeyNorm)?])
        };
        let qk_norm = of.qk_norm.then(&mut qk_norm).transpose()?;
        let mut linear = |role| build.linear(shape, role, index);
        Ok(Self {
            q: linear(Role::Query)?,
            k: linear(Role::Key)?,
            v: linear(Role::Value)?,
            o: linear(Role::Output)?,
            qk_norm,
            heads: of.heads,
            kv_heads: of.kv_heads,
            scale: of.score_scale(),
            has_window: of.window_of(index).is_some(),
        })
    }

    fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        context: &Context<'_>,
        attend: impl FnOnce([&Tensor; 3], &Tensor, f64) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let &Context { pass, rows: b, width: t, .. } = context;
        let by_head = |x: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor, Error> {
            let width = x.dim(1)? / heads;
            let x = match norm {
                Some(norm) => norm.apply(&x.reshape((b * t * heads, width))?, pass)?,
                None => x,
            };
            Ok(x.reshape((b, t, heads, width))?.transpose(1, 2)?.contiguous()?)
        };
        let rotate = |x: Tensor| match &context.rotation {
            Some([cos, sin]) => ops::rope(&x, cos, sin),
            None => Ok(x),
        };
        let [q_norm, k_norm] = self.qk_norm.as_ref().map_or([None, None], |[q, k]| [Some(q), Some(k)]);
        let q = rotate(by_head(self.q.apply(x, pass)?, self.heads, q_norm)?)?;
        let keys = rotate(by_head(self.k.apply(x, pass)?, self.kv_heads, k_norm)?)?;
        let values = by_head(self.v.apply(x, pass)?, self.kv_heads, None)?;
        let [keys, values] = match &context.prefix {
            Some(prefix) => prefix.keys_values(layer, [keys, values])?,
            None => [keys, values],
        };
        let mask = context.window_mask.as_ref().filter(|_| self.has_window).unwrap_or(&context.mask);
        let attn_out = attend([&q, &keys, &values], mask, self.scale)?;
        self.o.apply(&attn_out.transpose(1, 2)?.reshape((b * t, ()))?, pass) // [n, h e]
    }

    fn is_trained(&self) -> bool {
        [&self.q, &self.k, &self.v, &self.o].iter().any(|l| l.is_trained())
            || self.qk_norm.iter().flatten().any(Norm::is_trained)
    }
}

impl Mlp {
    fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let gate = shape.mlp.gated.then(|| build.linear(shape, Role::Gate, index)).transpose()?;
        let (up, down) = (build.linear(shape, Role::Up, index)?, build.linear(shape, Role::Down, index)?);
        Ok(Self { gate, up, down, activation: shape.mlp.activation })
    }

    fn forward(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
        let up = self.up.apply(x, pass)?;
        let gate = self.gate.as_ref().map(|gate| gate.apply(x, pass)).transpose()?;
        let hidden = match (gate, self.activation) {
            (Some(gate), Activation::Silu) => ops::swiglu(&gate, &up)?,
            (Some(gate), activation) => (ops::activate(&gate, activation)? * up)?,
            (None, activation) => ops::activate(&up, activation)?,
        };
        self.down.apply(&hidden, pass)
    }

    fn is_trained(&self) -> bool {
        self.gate.iter().chain([&self.up, &self.down]).any(Linear::is_trained)
    }
}
