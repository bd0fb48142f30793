//! Self-attention of a layer: projections, rotation, softmax attention, output projection; forward and backward.

use tunebench_kernels::Store;
use tunebench_kernels::attention::{self, AttentionSpec, Heads, Saved};
use tunebench_kernels::ops::HeadColumns;
use tunebench_kernels::ops::head_order::{blocks_of_heads, heads_of_blocks};
use tunebench_kernels::ops::rope::{RopeTables, Rotation, rope};
use tunebench_spec::decoder::QkvLayout;

use super::fused_linear::FusedLinear;
use super::pass::{BackwardPass, Pass};
use super::prefix::Prefix;
use super::qk_norm::{QkNorm, QkNormActs};
use super::storage::{Storage, resize};
use crate::Error;

/// The attention of one layer.
pub(super) struct Attention<E> {
    /// Of the layer, counted from 0.
    pub layer: usize,
    pub spec: AttentionSpec,
    pub qkv: FusedLinear<E>,
    /// How queries, keys and values lie in the outputs of `qkv`.
    pub layout: QkvLayout,
    pub qk_norm: Option<QkNorm>,
    pub o: FusedLinear<E>,
}

/// What the backward pass reads of the forward pass.
#[derive(Default)]
pub(super) struct AttentionActs<E> {
    /// Queries, keys and values, the first two rotated by their positions; `[n, (h+2k) e]`.
    pub qkv: Vec<E>,
    qk_norm: QkNormActs<E>,
    /// Attention's output, before the output projection, `[n, h e]`; and the log-sum-exp of the scores, `[h, n]`.
    pub attn_out: Vec<E>,
    pub lse: Vec<f32>,
    /// LoRA's hidden values at the projections, `[n, R]`.
    pub qkv_lora: Vec<E>,
    pub o_lora: Vec<E>,
}

/// Buffers that the attention of every layer uses in turn.
#[derive(Default)]
pub(super) struct AttentionScratch<E> {
    /// `[n, h e]` and `[n, (h+2k) e]`.
    d_attn_out: Vec<E>,
    d_qkv: Vec<E>,
    /// What `qkv` yields, or its gradient, where that lies head by head; `[n, (h+2k) e]`.
    by_head: Vec<E>,
}

/// Where attention finds keys and values: in the pass's own tokens, or in a cache.
pub(super) trait KeyValues<E> {
    /// Attends the queries of `qkv [n, (h+2k) e]`, to `attn_out [n, h e]`; and fills `lse [h, n]` where a backward pass
    /// will want it.
    fn attend(&mut self, pass: &Pass<'_, E>, spec: &AttentionSpec, qkv: &[E], attn_out: &mut [E], lse: &mut [f32]);
}

/// Each token's own example, causally.
pub(super) struct OwnTokens;

impl<E: Storage> KeyValues<E> for OwnTokens {
    fn attend(&mut self, pass: &Pass<'_, E>, spec: &AttentionSpec, qkv: &[E], attn_out: &mut [E], lse: &mut [f32]) {
        attention::forward(pass.level, spec, pass.seq_ends, qkv, attn_out, lse);
    }
}

impl<E: Storage> Attention<E> {
    pub fn is_trained(&self) -> bool {
        self.is_input_trained() || self.o.is_trained()
    }

    /// Whether anything is trained before scores are made.
    fn is_input_trained(&self) -> bool {
        self.qkv.is_trained() || self.qk_norm.as_ref().is_some_and(QkNorm::is_trained)
    }

    /// `out += attention(x)`, both `[n, d]`, where `x` is the normed residual stream.
    pub fn forward(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        acts: &mut AttentionActs<E>,
        scratch: &mut AttentionScratch<E>,
        keys_values: &mut impl KeyValues<E>,
        out: &mut [E],
    ) -> Result<(), Error> {
        let heads = self.spec.heads;
        let n = x.len() / self.qkv.in_features();
        resize(&mut acts.qkv, n * self.qkv.out_features());
        self.project(pass, x, acts, scratch)?;
        if let Some(norm) = &self.qk_norm {
            norm.forward(pass, heads, &mut acts.qkv, &mut acts.qk_norm);
        }
        rope(pass.level, &mut acts.qkv, queries_and_keys(heads), self.rope(pass), Rotation::Forward);
        if let Some(prefix) = pass.prefix {
            prefix.put_keys_values(self.layer, heads, pass.seq_ends, &mut acts.qkv);
        }
        resize(&mut acts.attn_out, n * self.o.in_features());
        resize(&mut acts.lse, n * heads.heads);
        keys_values.attend(pass, &self.spec, &acts.qkv, &mut acts.attn_out, &mut acts.lse);
        self.o.forward(pass, &self.o.fwd(pass), &acts.attn_out, out, Store::Add, &mut acts.o_lora)
    }

    /// Queries, keys and values of `x [n, d]`, to `acts.qkv`, blocks of each.
    fn project(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        acts: &mut AttentionActs<E>,
        scratch: &mut AttentionScratch<E>,
    ) -> Result<(), Error> {
        let AttentionActs { qkv, qkv_lora, .. } = acts;
        let weights = self.qkv.fwd(pass);
        if self.layout != QkvLayout::ByHead {
            return self.qkv.forward(pass, &weights, x, qkv, Store::Set, qkv_lora);
        }
        resize(&mut scratch.by_head, qkv.len());
        self.qkv.forward(pass, &weights, x, &mut scratch.by_head, Store::Set, qkv_lora)?;
        blocks_of_heads(&scratch.by_head, [self.spec.heads.heads, self.spec.heads.head_dim], qkv);
        Ok(())
    }

    fn rope<'a>(&self, pass: &'a Pass<'_, E>) -> &'a RopeTables {
        pass.rope.of(self.spec.window.is_some())
    }

    /// From the gradient `dy [n, d]` of what was added to the residual stream to the gradients of what is trained here;
    /// and to that of the input `x`, set in `dx [n, d]` if it is given.
    pub fn backward(
        &self,
        back: &mut BackwardPass<'_, E>,
        x: &[E],
        acts: &AttentionActs<E>,
        dy: &[E],
        scratch: &mut AttentionScratch<E>,
        dx: Option<&mut [f32]>,
    ) -> Result<(), Error> {
        let (pass, heads) = (back.pass, self.spec.heads);
        let AttentionScratch { d_attn_out, d_qkv, by_head } = scratch;
        let goes_on = dx.is_some() || self.is_input_trained() || pass.prefix.is_some_and(Prefix::is_in_layers);
        resize(d_attn_out, acts.attn_out.len());
        let wanted = goes_on.then_some(d_attn_out.as_mut_slice());
        self.o.backward(back, &self.o.bwd(pass)?, &acts.attn_out, dy, &acts.o_lora, wanted)?;
        if !goes_on {
            return Ok(());
        }
        resize(d_qkv, acts.qkv.len());
        let saved = Saved { qkv: &acts.qkv, out: &acts.attn_out, lse: &acts.lse };
        attention::backward(pass.level, &self.spec, pass.seq_ends, saved, d_attn_out, d_qkv);
        if let Some(prefix) = pass.prefix {
            prefix.take_keys_values(self.layer, heads, pass.seq_ends, d_qkv, back.d_prefix);
        }
        rope(pass.level, d_qkv, queries_and_keys(heads), self.rope(pass), Rotation::Inverse);
        if let Some(norm) = &self.qk_norm {
            norm.backward(back, heads, &acts.qk_norm, d_qkv);
        }
        let d_projected = if self.layout == QkvLayout::ByHead {
            resize(by_head, d_qkv.len());
            heads_of_blocks(d_qkv, [heads.heads, heads.head_dim], by_head);
            by_head
        } else {
            d_qkv
        };
        self.qkv.backward(back, &self.qkv.bwd(pass)?, x, d_projected, &acts.qkv_lora, dx)
    }
}

/// Queries and keys, in rows of queries, keys and values.
fn queries_and_keys(Heads { heads: h, kv_heads: k, head_dim }: Heads) -> HeadColumns {
    HeadColumns { row: (h + 2 * k) * head_dim, first: 0, heads: h + k, head_dim }
}
