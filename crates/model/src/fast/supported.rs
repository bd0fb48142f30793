//! What of a decoder the fast engine computes; the rest is left to the reference engine, by name.

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, ConfigError, NormKind, NormPlacement, Positions, QkvLayout};

use crate::rotary;

/// Whether this engine computes such a decoder. Known from the description alone, so before a weight is read.
///
/// # Errors
/// [`ConfigError::Unsupported`] names what it has no passes for.
pub fn check_supported(shape: &Decoder) -> Result<(), ConfigError> {
    let rotary = rotary::rotation(shape);
    let lacks = [
        (shape.norm.kind != NormKind::Rms { unit_offset: false }, "norms other than plain RMS norms"),
        (shape.norm_placement == NormPlacement::PreAndPost, "norms behind attention and MLP"),
        (shape.norm_placement == NormPlacement::Parallel, "attention and MLP side by side"),
        (!matches!(shape.positions, Positions::Rotary { .. }), "positions other than rotary ones"),
        (shape.embedding.scale.is_some() || shape.embedding.norm, "scaled or normed embeddings"),
        (rotary.as_ref().is_some_and(|r| r.factor != 1.0), "attention factor of rotary positions"),
        (rotary.is_some_and(|r| r.local.is_some()), "rotary base of its own for layers with a window"),
        (shape.rotary_dim() != shape.attention.head_dim, "heads that are rotated in part"),
        (shape.attention.qkv != QkvLayout::Separate, "fused weight of queries, keys and values"),
        (shape.mlp.fused_gate_up, "fused weight of gate and up"),
        (shape.attention.softcap.is_some(), "a soft cap of attention scores"),
        (shape.logit_softcap.is_some(), "a soft cap of the head's scores"),
        (!shape.mlp.gated, "an MLP without a gate"),
        (shape.mlp.activation != Activation::Silu, "activations other than SiLU"),
    ];
    let found: Vec<&str> = lacks.into_iter().filter(|(lacks, _)| *lacks).map(|(_, what)| what).collect();
    match found.as_slice() {
        [] => Ok(()),
        found => Err(ConfigError::Unsupported(format!(
            "the fast engine has no {}; use `--engine reference`",
            found.join(", ")
        ))),
    }
}
