//! The differentiable pieces of the model, each with its value by candle's quickest means and its derivative in
//! candle operations, on any device.
//!
//! Products are in the precision of what goes in, f32 or bf16; all else is computed in f32 and rounded once.
//!
//! Letters in shapes: `n` tokens, `d` width, `b` rows of a batch, `h` heads, `k` key/value heads, `t` queries,
//! `s` keys, `e` head width, `v` vocabulary.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops::{rms_norm as fused_rms_norm, sigmoid, softmax_last_dim};
use candle_nn::rotary_emb::rope as fused_rope;
use tunebench_spec::decoder::Activation;

use crate::graph::attach::{attach1, attach2, attach3, is_tracked};

/// `x` in f32; itself where it is so already.
fn full(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// `x Wᵀ`. A frozen weight gets no gradient formed.
///
/// # Shapes
/// `x [n, in]`, `w [out, in]` -> `[n, out]`.
pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let (needs_x, needs_w) = (is_tracked(x), is_tracked(w));
    let (xv, wv) = (x.detach(), w.detach());
    let y = xv.matmul(&wv.t()?)?;
    attach2([x, w], y, move |g| {
        let dx = needs_x.then(|| g.matmul(&wv)).transpose()?;
        let dw = needs_w.then(|| g.t()?.matmul(&xv)).transpose()?;
        Ok([dx, dw])
    })
}

/// `x / sqrt(mean(x²) + eps) · w`, the weight in f32.
///
/// # Shapes
/// `x [n, d]`, `w [d]` -> `[n, d]`.
pub(crate) fn rms_norm(x: &Tensor, w: &Tensor, eps: f64) -> Result<Tensor> {
    let (needs_x, needs_w) = (is_tracked(x), is_tracked(w));
    let (xv, wv, dtype) = (x.detach(), w.detach(), x.dtype());
    let y = fused_rms_norm(&full(&xv)?, &wv, eps as f32)?.to_dtype(x.dtype())?;
    attach2([x, w], y, move |g| {
        let (xv, g) = (full(&xv)?, full(g)?);
        let width = xv.dim(D::Minus1)? as f64;
        let r = (xv.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?.recip()?; // [n, 1]
        let dw = needs_w.then(|| (&g * xv.broadcast_mul(&r)?)?.sum(0)).transpose()?;
        if !needs_x {
            return Ok([None, dw]);
        }
        // r (g·w - x r² mean(g·w·x))
        let gw = g.broadcast_mul(&wv)?;
        let c = ((&gw * &xv)?.sum_keepdim(D::Minus1)? * (r.sqr()? / width)?)?; // [n, 1]
        let dx = (gw - xv.broadcast_mul(&c)?)?.broadcast_mul(&r)?;
        Ok([Some(dx.to_dtype(dtype)?), dw])
    })
}

/// `silu(gate) · up`.
///
/// # Shapes
/// Both `[n, f]` -> `[n, f]`.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gv, uv) = (gate.detach(), up.detach());
    let dtype = gate.dtype();
    let y = (full(&gv)?.silu()? * full(&uv)?)?.to_dtype(dtype)?;
    attach2([gate, up], y, move |g| {
        let (gv, uv, g) = (full(&gv)?, full(&uv)?, full(g)?);
        let s = sigmoid(&gv)?;
        let silu = (&gv * &s)?;
        // silu' = s + silu - silu s
        let slope = ((&s + &silu)? - (&silu * &s)?)?;
        Ok([Some(((&g * &uv)? * slope)?.to_dtype(dtype)?), Some((g * silu)?.to_dtype(dtype)?)])
    })
}

/// An activation, elementwise.
pub(crate) fn activate(x: &Tensor, by: Activation) -> Result<Tensor> {
    let full = full(x)?;
    let y = match by {
        Activation::Silu => full.silu(),
        Activation::Gelu => full.gelu_erf(),
        Activation::GeluTanh => full.gelu(),
        Activation::Relu => full.relu(),
    };
    y?.to_dtype(x.dtype())
}

/// `cap · tanh(x / cap)`, elementwise.
pub(crate) fn soft_cap(x: &Tensor, cap: f64) -> Result<Tensor> {
    (x / cap)?.tanh()? * cap
}

/// Turns each half-split pair `(x_i, x_{i+r/2})` by its position's angle; what is behind the first `r` stays.
///
/// # Shapes
/// `x [b, h, t, e]` contiguous; `cos`, `sin` `[t, r/2]`, or `[b, t, r/2]` where rows differ, `r` at most `e`.
pub(crate) fn rope(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let y = turned(&x.detach(), cos, sin)?;
    let (cos, sin) = (cos.clone(), sin.clone());
    // The transpose of a rotation turns back.
    attach1(x, y, move |g| turned(&g.contiguous()?, &cos, &sin.neg()?))
}

fn turned(x: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (e, r) = (x.dim(D::Minus1)?, 2 * cos.dim(D::Minus1)?);
    let turned = |x: &Tensor| fused_rope(&full(x)?, cos, sin)?.to_dtype(x.dtype());
    if r == e {
        return turned(x);
    }
    let first = turned(&x.narrow(D::Minus1, 0, r)?.contiguous()?)?;
    Tensor::cat(&[&first, &x.narrow(D::Minus1, r, e - r)?.contiguous()?], D::Minus1)?.contiguous()
}

/// How scores of attention are made of products.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scores {
    /// What products are multiplied with.
    pub scale: f64,
    /// `c · tanh(score / c)` in place of each, before the mask.
    pub softcap: Option<f64>,
}

/// Softmax attention of queries over the keys that `mask` leaves, heads sharing keys in groups of `h/k`.
///
/// # Shapes
/// `q [b, h, t, e]`, contiguous; `keys`, `values` `[b, k, s, e]`; `mask` broadcasts to `[b, h, t, s]`, added to scores,
/// -inf where a query does not see a key, with a key left for each query -> `[b, h, t, e]`.
pub(crate) fn attention(q: &Tensor, keys: &Tensor, values: &Tensor, mask: &Tensor, scores: Scores) -> Result<Tensor> {
    let Scores { scale, softcap } = scores;
    let dtype = q.dtype();
    let (b, h, t, e) = q.dims4()?;
    let (_, k, s, _) = keys.dims4()?;
    // The queries of all heads that share a key head stand below each other: one product a key head.
    let grouped = move |x: &Tensor| x.reshape((b, k, h / k * t, x.dim(D::Minus1)?));
    let (qv, kv, vv) = ((grouped(&q.detach())? * scale)?, keys.detach(), values.detach());
    let products = full(&qv.matmul(&kv.t()?)?)?; // [b, k, h/k t, s]
    let capped = softcap.map(|cap| (&products / cap)?.tanh()).transpose()?; // over the cap
    let scores = match (&capped, softcap) {
        (Some(capped), Some(cap)) => (capped * cap)?,
        _ => products,
    };
    let scores = scores.reshape((b, h, t, s))?.broadcast_add(mask)?;
    let p = grouped(&softmax_last_dim(&scores)?)?.to_dtype(q.dtype())?; // [b, k, h/k t, s]
    let y = p.matmul(&vv)?.reshape((b, h, t, e))?;
    attach3([q, keys, values], y, move |g| {
        let g = grouped(&g.contiguous()?)?;
        let dv = p.t()?.matmul(&g)?;
        let p = full(&p)?;
        let dp = (full(&g.matmul(&vv.t()?)?)? * &p)?;
        let ds = (&dp - p.broadcast_mul(&dp.sum_keepdim(D::Minus1)?)?)?;
        let ds = match &capped {
            Some(capped) => (&ds - (&ds * capped.sqr()?)?)?, // tanh' = 1 - tanh²
            None => ds,
        }
        .to_dtype(dtype)?;
        let dq = (ds.matmul(&kv)? * scale)?.reshape((b, h, t, e))?;
        let dk = ds.t()?.matmul(&qv)?;
        Ok([Some(dq), Some(dk), Some(dv)])
    })
}

/// Cross-entropies of `labels` under `logits`, in nats; the second value is their sum, a scalar with a gradient.
///
/// # Shapes
/// `logits [n, v]` f32, `labels [n]` u32 -> `[n]` and `[]`.
pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<(Tensor, Tensor)> {
    let values = logits.detach();
    let labels = labels.unsqueeze(1)?; // [n, 1]
    let p = softmax_last_dim(&values)?;
    // -log p[label] by way of the largest, whose p cannot vanish: log Σ exp = max - log p[max].
    let behind = (values.max_keepdim(1)? - values.gather(&labels, 1)?)?;
    let losses = (behind - p.max_keepdim(1)?.log()?)?.squeeze(1)?;
    let sum = losses.sum_all()?;
    let total = attach1(logits, sum, move |g| {
        let minus_one = labels.to_dtype(DType::F32)?.ones_like()?.neg()?;
        p.scatter_add(&labels, &minus_one, 1)?.broadcast_mul(g)
    })?;
    Ok((losses, total))
}

/// Euclidean norm along an axis, kept with length 1; the gradient at the zero vector is zero, as PyTorch's.
pub(crate) fn norm(x: &Tensor, axis: usize) -> Result<Tensor> {
    let xv = x.detach();
    let y = xv.sqr()?.sum_keepdim(axis)?.sqrt()?;
    let length = y.clone();
    attach1(x, y, move |g| {
        let zeros = length.zeros_like()?;
        let ratio = length.eq(0.0)?.where_cond(&zeros, &(g / &length)?)?;
        xv.broadcast_mul(&ratio)
    })
}

/// `x · mask` where no gradient is wanted for the mask.
pub(crate) fn masked(x: &Tensor, mask: Tensor) -> Result<Tensor> {
    let y = (x.detach() * &mask)?;
    attach1(x, y, move |g| g * &mask)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn a_zero_vector_has_norm_zero_with_gradient_zero() {
        let x = Var::new(&[[0f32, 0.0], [3.0, 4.0]], &Device::Cpu).unwrap();
        let y = norm(&x, 1).unwrap();
        assert_eq!(y.to_vec2::<f32>().unwrap(), [[0.0], [5.0]]);
        let gradients = y.sum_all().unwrap().backward().unwrap();
        assert_eq!(gradients.get(&x).unwrap().to_vec2::<f32>().unwrap(), [[0.0, 0.0], [0.6, 0.8]]);
    }

    #[test]
    fn scores_far_apart_give_a_finite_loss() {
        let logits = Var::new(&[[1e4f32, -1e4, 0.0], [-1e4, 1e4, 1e4]], &Device::Cpu).unwrap();
        let (losses, sum) = cross_entropy(&logits, &Tensor::new(&[1u32, 1], &Device::Cpu).unwrap()).unwrap();
        assert_eq!(losses.to_vec1::<f32>().unwrap(), [2e4, 2f32.ln()]);
        let gradients = sum.backward().unwrap();
        assert_eq!(gradients.get(&logits).unwrap().to_vec2::<f32>().unwrap(), [[1.0, -1.0, 0.0], [0.0, -0.5, 0.5]]);
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() {
        let x = Var::ones((2, 3), DType::F32, &Device::Cpu).unwrap();
        let w = Tensor::ones((4, 3), DType::F32, &Device::Cpu).unwrap();
        let gradients = linear(&x, &w).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&w).is_none());
        assert_eq!(gradients.get(&x).unwrap().to_vec2::<f32>().unwrap(), [[4.0; 3]; 2]);
    }
}
