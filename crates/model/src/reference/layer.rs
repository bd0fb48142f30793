//! One decoder layer as described: attention and MLP, each under its norms.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `n = b·t`, `d` hidden width, `h` heads, `k` key/value heads,
//! `e` head width, `r` how much of it is rotated.

use candle_core::Tensor;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::NormPlacement;
use tunebench_spec::names::Role;

use crate::Error;
use crate::graph::ops::Scores;
use crate::reference::attention::Attention;
use crate::reference::build::Builder;
use crate::reference::context::Context;
use crate::reference::mlp::Mlp;
use crate::reference::norm::Norm;
use crate::reference::weight::Pass;

pub(crate) struct Layer {
    /// Counted from 0.
    index: usize,
    placement: NormPlacement,
    attention_norm: Norm,
    attention: Attention,
    /// Of what attention and MLP add, where the decoder has them.
    post_attention_norm: Option<Norm>,
    mlp_norm: Norm,
    mlp: Mlp,
    post_mlp_norm: Option<Norm>,
}

impl Layer {
    pub fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let placement = shape.norm_placement;
        let mut norm = |role| build.norm(shape, role, index, shape.norm);
        let attention_norm = norm(Role::AttentionNorm)?;
        let mlp_norm = norm(Role::MlpNorm)?;
        let mut post = |role| (placement == NormPlacement::PreAndPost).then(|| norm(role)).transpose();
        let (post_attention_norm, post_mlp_norm) = (post(Role::PostAttentionNorm)?, post(Role::PostMlpNorm)?);
        let attention = Attention::new(build, shape, index)?;
        let mlp = Mlp::new(build, shape, index)?;
        Ok(Self { index, placement, attention_norm, attention, post_attention_norm, mlp_norm, mlp, post_mlp_norm })
    }

    /// `attend` takes the rotated queries, the rotated keys and the values of this pass's tokens, the mask and how scores
    /// are made, and yields the attention output.
    ///
    /// # Shapes
    /// `x [n, d] -> [n, d]`; `attend`: `q [b, h, t, e]`, `k`, `v` `[b, k, t, e]` -> `[b, h, t, e]`.
    pub fn forward(
        &self,
        x: &Tensor,
        context: &Context<'_>,
        attend: impl FnOnce([&Tensor; 3], &Tensor, Scores) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let pass = context.pass;
        let normed = self.attention_norm.apply(x, pass)?;
        let added = self.attention.forward(&normed, self.index, context, attend)?;
        let added = post(&self.post_attention_norm, added, pass)?;
        let attended = (x + added)?;
        let read = if self.placement == NormPlacement::Parallel { x } else { &attended };
        let added = self.mlp.forward(&self.mlp_norm.apply(read, pass)?, pass)?;
        Ok((&attended + post(&self.post_mlp_norm, added, pass)?)?)
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
