//! Self-attention of a layer, its projections apart or fused.
//!
//! Letters in shapes: `b` rows of a batch, `t` tokens of a row, `n = b·t`, `d` hidden width, `h` heads, `k` key/value heads,
//! `e` head width.

use candle_core::Tensor;
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Norm as NormSpec, QkvLayout};
use tunebench_spec::names::Role;

use crate::Error;
use crate::graph::ops::{self, Scores};
use crate::reference::build::Builder;
use crate::reference::context::Context;
use crate::reference::linear::Linear;
use crate::reference::norm::Norm;
use crate::reference::weight::Pass;

pub(crate) struct Attention {
    qkv: Qkv,
    o: Linear,
    /// Of queries and of keys, by head.
    qk_norm: Option<[Norm; 2]>,
    heads: usize,
    kv_heads: usize,
    head_dim: usize,
    scores: Scores,
    has_window: bool,
}

/// Queries, keys and values: a map each, or one whose rows are laid out so.
enum Qkv {
    Separate([Linear; 3]),
    Fused(Linear, QkvLayout),
}

impl Attention {
    pub fn new(build: &mut Builder<'_>, shape: &Decoder, index: usize) -> Result<Self, Error> {
        let of = &shape.attention;
        let head_norm = NormSpec { kind: shape.qk_norm_kind(), ..shape.norm };
        let mut qk_norm = || -> Result<[Norm; 2], Error> {
            let mut norm = |role| build.norm(shape, role, index, head_norm);
            Ok([norm(Role::QueryNorm)?, norm(Role::KeyNorm)?])
        };
        let qk_norm = of.qk_norm.then(&mut qk_norm).transpose()?;
        let mut linear = |role| build.linear(shape, role, index);
        let qkv = match of.qkv {
            QkvLayout::Separate => Qkv::Separate([linear(Role::Query)?, linear(Role::Key)?, linear(Role::Value)?]),
            layout => Qkv::Fused(linear(Role::QueryKeyValue)?, layout),
        };
        Ok(Self {
            qkv,
            o: linear(Role::Output)?,
            qk_norm,
            heads: of.heads,
            kv_heads: of.kv_heads,
            head_dim: of.head_dim,
            scores: Scores { scale: of.score_scale(), softcap: of.softcap },
            has_window: of.window_of(index).is_some(),
        })
    }

    /// # Shapes
    /// `x [n, d] -> [n, d]`; `attend` as a layer's.
    pub fn forward(
        &self,
        x: &Tensor,
        layer: usize,
        context: &Context<'_>,
        attend: impl FnOnce([&Tensor; 3], &Tensor, Scores) -> Result<Tensor, Error>,
    ) -> Result<Tensor, Error> {
        let &Context { pass, rows: b, width: t, .. } = context;
        let by_head = |x: Tensor, heads: usize, norm: Option<&Norm>| -> Result<Tensor, Error> {
            let x = match norm {
                Some(norm) => norm.apply(&x.reshape((b * t * heads, self.head_dim))?, pass)?,
                None => x,
            };
            Ok(x.reshape((b, t, heads, self.head_dim))?.transpose(1, 2)?.contiguous()?)
        };
        let rotate = |x: Tensor| match &context.rotation {
            Some(rotation) => {
                let [cos, sin] = rotation.of(self.has_window);
                ops::rope(&x, cos, sin)
            }
            None => Ok(x),
        };
        let [q_norm, k_norm] = self.qk_norm.as_ref().map_or([None, None], |[q, k]| [Some(q), Some(k)]);
        let [q, keys, values] = self.project(x, pass)?;
        let q = rotate(by_head(q, self.heads, q_norm)?)?;
        let keys = rotate(by_head(keys, self.kv_heads, k_norm)?)?;
        let values = by_head(values, self.kv_heads, None)?;
        let [keys, values] = match &context.prefix {
            Some(prefix) => prefix.keys_values(layer, [keys, values])?,
            None => [keys, values],
        };
        let attn_out = attend([&q, &keys, &values], context.mask(self.has_window), self.scores)?;
        self.o.apply(&attn_out.transpose(1, 2)?.reshape((b * t, ()))?, pass) // [n, h e]
    }

    /// Queries `[n, h e]`, keys and values `[n, k e]`.
    fn project(&self, x: &Tensor, pass: Pass<'_>) -> Result<[Tensor; 3], Error> {
        let (linear, layout) = match &self.qkv {
            Qkv::Separate([q, k, v]) => return Ok([q.apply(x, pass)?, k.apply(x, pass)?, v.apply(x, pass)?]),
            Qkv::Fused(linear, layout) => (linear, layout),
        };
        let y = linear.apply(x, pass)?;
        let n = y.dim(0)?;
        if *layout == QkvLayout::ByHead {
            let y = y.reshape((n, self.heads, 3, self.head_dim))?;
            let part = |i| y.narrow(2, i, 1)?.contiguous()?.reshape((n, ()));
            return Ok([part(0)?, part(1)?, part(2)?]);
        }
        let (q, kv) = (self.heads * self.head_dim, self.kv_heads * self.head_dim);
        let part = |from, width| y.narrow(1, from, width)?.contiguous();
        Ok([part(0, q)?, part(q, kv)?, part(q + kv, kv)?])
    }

    pub fn is_trained(&self) -> bool {
        let qkv = match &self.qkv {
            Qkv::Separate(linears) => linears.iter().any(Linear::is_trained),
            Qkv::Fused(linear, _) => linear.is_trained(),
        };
        qkv || self.o.is_trained() || self.qk_norm.iter().flatten().any(Norm::is_trained)
    }
}
