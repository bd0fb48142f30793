//! One decoder layer, forward and backward.

use tunebench_kernels::attention::{self, AttentionSpec, Heads};
use tunebench_kernels::gemm::Store;
use tunebench_kernels::ops::HeadColumns;
use tunebench_kernels::ops::reduce::{copy, narrow};
use tunebench_kernels::ops::rms_norm::{rms_norm, rms_norm_backward, rms_norm_recompute, rms_norm_weight_gradient};
use tunebench_kernels::ops::rope::{RopeTables, Rotation, rope};
use tunebench_kernels::ops::swiglu::{swiglu, swiglu_backward};

use super::group::Group;
use super::linear::Pass;
use super::values::{Gradients, Storage, Trained};
use super::virtual_tokens::Front;
use crate::Error;

/// A norm's weight `[d]`, f32: frozen, or a trained tensor.
pub(super) enum Norm {
    Frozen(Vec<f32>),
    Trained(usize),
}

impl Norm {
    pub fn values<'a, E: Storage>(&'a self, trained: &'a [Trained<E>]) -> &'a [f32] {
        match self {
            Self::Frozen(values) => values,
            Self::Trained(slot) => trained[*slot].full(),
        }
    }

    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Trained(_))
    }

    /// Adds the gradient of a trained weight, from the norm's input, what it was divided by, and its output's gradient.
    pub fn backward<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &[E],
        inverse: &[f32],
        dy: &[f32],
        gradients: &mut Gradients,
    ) {
        if let Self::Trained(slot) = self {
            rms_norm_weight_gradient(pass.level, x, inverse, dy, gradients.sum(*slot));
        }
    }
}

/// One decoder layer: its linear weights in groups that read one input.
pub(super) struct Layer<E> {
    /// Counted from 0.
    pub index: usize,
    pub attention_norm: Norm,
    pub qkv: Group<E>,
    pub o: Group<E>,
    pub mlp_norm: Norm,
    pub gate_up: Group<E>,
    pub down: Group<E>,
}

/// What the backward pass reads of a layer's forward pass.
pub(super) struct Saved<E> {
    /// The layer's input, and what stands between attention and MLP; `[n, d]`.
    pub x: Vec<E>,
    pub middle: Vec<E>,
    /// One over the root mean square of either; `[n]`.
    inverse: [Vec<f32>; 2],
    /// Queries, keys and values, the first two turned by their positions; `[n, (h+2k) e]`.
    pub qkv: Vec<E>,
    /// What the heads have read, `[n, h e]`, and the log of each softmax's denominator, `[h, n]`.
    pub read: Vec<E>,
    lse: Vec<f32>,
    /// `[n, 2f]`.
    gate_up: Vec<E>,
    /// Of each group with LoRA, `[n, R]`.
    low: [Vec<E>; 4],
}

impl<E> Default for Saved<E> {
    fn default() -> Self {
        Self {
            x: Vec::new(),
            middle: Vec::new(),
            inverse: Default::default(),
            qkv: Vec::new(),
            read: Vec::new(),
            lse: Vec::new(),
            gate_up: Vec::new(),
            low: Default::default(),
        }
    }
}

/// Buffers that every layer uses in turn.
pub(super) struct Scratch<E> {
    /// `[n, d]`.
    pub normed: Vec<E>,
    /// `[n, f]`.
    mid: Vec<E>,
    d_mid: Vec<E>,
    /// The gradient of the residual stream rounded for products, `[n, d]`; of what the heads read; of q, k, v.
    rounded: Vec<E>,
    d_read: Vec<E>,
    d_qkv: Vec<E>,
    /// The gradient of a norm's output, `[n, d]`.
    d_normed: Vec<f32>,
    /// The gradient of the virtual tokens' value, `[c, w]`.
    pub d_front: Vec<f32>,
}

impl<E> Default for Scratch<E> {
    fn default() -> Self {
        Self {
            normed: Vec::new(),
            mid: Vec::new(),
            d_mid: Vec::new(),
            rounded: Vec::new(),
            d_read: Vec::new(),
            d_qkv: Vec::new(),
            d_normed: Vec::new(),
            d_front: Vec::new(),
        }
    }
}

/// Widths, and the angles of the batch's positions.
pub(super) struct Geometry {
    pub hidden: usize,
    pub intermediate: usize,
    pub heads: Heads,
    pub eps: f32,
    pub rope: RopeTables,
}

impl Geometry {
    /// Columns of q, k and v beside each other.
    pub fn qkv(&self) -> usize {
        (self.heads.heads + 2 * self.heads.kv_heads) * self.heads.head_dim
    }

    /// The columns of q and k, which are rotated.
    fn rotated(&self) -> HeadColumns {
        let Heads { heads, kv_heads, head_dim } = self.heads;
        HeadColumns { row: self.qkv(), first: 0, heads: heads + kv_heads, head_dim }
    }
}

/// How attention reads: over the pass's own keys and values, or over a cache's.
pub(super) trait Attend<E> {
    /// `saved.qkv` is there; fills `saved.read` (and `lse` where the backward pass will want it).
    fn attend(&mut self, pass: &Pass<'_, E>, heads: Heads, saved: &mut Saved<E>) -> Result<(), Error>;
}

/// Over the pass's own tokens, causal within each example.
pub(super) struct Within;

impl<E: Storage> Attend<E> for Within {
    fn attend(&mut self, pass: &Pass<'_, E>, heads: Heads, saved: &mut Saved<E>) -> Result<(), Error> {
        let spec = AttentionSpec::causal(heads);
        attention::forward(pass.level, &spec, pass.ends, &saved.qkv, &mut saved.read, &mut saved.lse);
        Ok(())
    }
}

/// `values` with room for exactly `n`; what it holds means nothing.
pub(super) fn room<T: Default + Clone>(values: &mut Vec<T>, n: usize) {
    values.resize(n, T::default());
}

impl<E: Storage> Layer<E> {
    pub fn groups_mut(&mut self) -> [&mut Group<E>; 4] {
        [&mut self.qkv, &mut self.o, &mut self.gate_up, &mut self.down]
    }

    pub fn is_trained(&self) -> bool {
        let groups = [&self.qkv, &self.o, &self.gate_up, &self.down];
        groups.iter().any(|g| g.is_trained()) || self.attention_norm.is_trained() || self.mlp_norm.is_trained()
    }

    /// From `saved.x [n, d]` to the next layer's input `out [n, d]`, leaving in `saved` what backward reads.
    pub fn forward(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        saved: &mut Saved<E>,
        scratch: &mut Scratch<E>,
        attend: &mut impl Attend<E>,
        out: &mut Vec<E>,
    ) -> Result<(), Error> {
        let (d, f) = (g.hidden, g.intermediate);
        let n = saved.x.len() / d;
        let Heads { heads: h, head_dim: e, .. } = g.heads;

        room(&mut scratch.normed, n * d);
        room(&mut saved.inverse[0], n);
        let weight = self.attention_norm.values(pass.trained);
        rms_norm(pass.level, &saved.x, weight, g.eps, &mut scratch.normed, &mut saved.inverse[0]);
        room(&mut saved.qkv, n * g.qkv());
        self.qkv.forward(pass, &scratch.normed, &mut saved.qkv, Store::Set, &mut saved.low[0])?;
        rope(pass.level, &mut saved.qkv, g.rotated(), &g.rope, Rotation::Forward);
        if let Some(front) = pass.front {
            front.put_keys_values(self.index, g.heads, pass.ends, &mut saved.qkv);
        }
        room(&mut saved.read, n * h * e);
        room(&mut saved.lse, n * h);
        attend.attend(pass, g.heads, saved)?;
        room(&mut saved.middle, n * d);
        copy(&saved.x, &mut saved.middle);
        self.o.forward(pass, &saved.read, &mut saved.middle, Store::Add, &mut saved.low[1])?;

        room(&mut saved.inverse[1], n);
        let weight = self.mlp_norm.values(pass.trained);
        rms_norm(pass.level, &saved.middle, weight, g.eps, &mut scratch.normed, &mut saved.inverse[1]);
        room(&mut saved.gate_up, n * 2 * f);
        self.gate_up.forward(pass, &scratch.normed, &mut saved.gate_up, Store::Set, &mut saved.low[2])?;
        room(&mut scratch.mid, n * f);
        swiglu(pass.level, &saved.gate_up, &mut scratch.mid, f);
        room(out, n * d);
        copy(&saved.middle, out);
        self.down.forward(pass, &scratch.mid, out, Store::Add, &mut saved.low[3])
    }

    /// From the gradient `dx [n, d]` of the layer's output to that of its input, in place; unless `is_lowest`, when
    /// nothing below is trained and the input's gradient is not completed.
    #[allow(clippy::too_many_arguments)]
    pub fn backward(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        saved: &mut Saved<E>,
        scratch: &mut Scratch<E>,
        dx: &mut [f32],
        is_lowest: bool,
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        self.mlp_backward(pass, g, saved, scratch, dx, gradients)?;
        self.attention_backward(pass, g, saved, scratch, dx, is_lowest, gradients)
    }

    fn mlp_backward(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        saved: &mut Saved<E>,
        scratch: &mut Scratch<E>,
        dx: &mut [f32],
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let (d, f) = (g.hidden, g.intermediate);
        let n = saved.x.len() / d;

        room(&mut scratch.rounded, n * d);
        narrow(pass.level, dx, &mut scratch.rounded);
        room(&mut scratch.mid, n * f);
        if self.down.is_trained() {
            swiglu(pass.level, &saved.gate_up, &mut scratch.mid, f);
        }
        room(&mut scratch.d_mid, n * f);
        let (mid, d_mid) = (&scratch.mid, &mut scratch.d_mid);
        self.down.backward(pass, mid, &scratch.rounded, &saved.low[3], gradients, Some(d_mid))?;
        // The gradient of gate and up takes their place.
        swiglu_backward(pass.level, &mut saved.gate_up, &scratch.d_mid, f);

        let weight = self.mlp_norm.values(pass.trained);
        room(&mut scratch.normed, n * d);
        rms_norm_recompute(pass.level, &saved.middle, weight, &saved.inverse[1], &mut scratch.normed);
        room(&mut scratch.d_normed, n * d);
        let (normed, d_normed) = (&scratch.normed, &mut scratch.d_normed);
        self.gate_up.backward(pass, normed, &saved.gate_up, &saved.low[2], gradients, Some(d_normed))?;
        self.mlp_norm.backward(pass, &saved.middle, &saved.inverse[1], &scratch.d_normed, gradients);
        rms_norm_backward(pass.level, &saved.middle, weight, &saved.inverse[1], &scratch.d_normed, dx, Store::Add);
        Ok(())
    }

    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        pass: &Pass<'_, E>,
        g: &Geometry,
        saved: &mut Saved<E>,
        scratch: &mut Scratch<E>,
        dx: &mut [f32],
        is_lowest: bool,
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        let d = g.hidden;
        let n = saved.x.len() / d;
        let Heads { heads: h, head_dim: e, .. } = g.heads;
        // What the norm below would still need.
        let is_last = is_lowest && !self.attention_norm.is_trained();
        let is_in_layers = pass.front.is_some_and(Front::is_in_layers);
        let is_done = is_last && !self.qkv.is_trained() && !is_in_layers;

        narrow(pass.level, dx, &mut scratch.rounded);
        room(&mut scratch.d_read, n * h * e);
        let d_read = (!is_done).then_some(&mut scratch.d_read);
        self.o.backward(
            pass,
            &saved.read,
            &scratch.rounded,
            &saved.low[1],
            gradients,
            d_read.map(Vec::as_mut_slice),
        )?;
        if is_done {
            return Ok(());
        }
        room(&mut scratch.d_qkv, n * g.qkv());
        let forward = attention::Saved { qkv: &saved.qkv, out: &saved.read, lse: &saved.lse };
        let spec = AttentionSpec::causal(g.heads);
        attention::backward(pass.level, &spec, pass.ends, forward, &scratch.d_read, &mut scratch.d_qkv);
        if let Some(front) = pass.front {
            let (d_qkv, d_front) = (&mut scratch.d_qkv, &mut scratch.d_front);
            front.take_keys_values(self.index, g.heads, pass.ends, d_qkv, d_front);
        }
        rope(pass.level, &mut scratch.d_qkv, g.rotated(), &g.rope, Rotation::Inverse);

        let weight = self.attention_norm.values(pass.trained);
        rms_norm_recompute(pass.level, &saved.x, weight, &saved.inverse[0], &mut scratch.normed);
        room(&mut scratch.d_normed, n * d);
        let (normed, d_normed) = (&scratch.normed, (!is_last).then_some(scratch.d_normed.as_mut_slice()));
        self.qkv.backward(pass, normed, &scratch.d_qkv, &saved.low[0], gradients, d_normed)?;
        if is_last {
            return Ok(());
        }
        self.attention_norm.backward(pass, &saved.x, &saved.inverse[0], &scratch.d_normed, gradients);
        if !is_lowest {
            rms_norm_backward(pass.level, &saved.x, weight, &saved.inverse[0], &scratch.d_normed, dx, Store::Add);
        }
        Ok(())
    }
}
