//! What of a decoder the fast engine computes; the rest is left to the reference engine, by name.

use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Activation, ConfigError, NormKind, NormPlacement, Positions};

/// Whether this engine computes such a decoder. Known from the shape alone, so before a weight is read.
///
/// # Errors
/// [`ConfigError::Unsupported`] names what it has no passes for.
pub fn check_supported(shape: &Decoder) -> Result<(), ConfigError> {
    let (attention, mlp) = (&shape.attention, &shape.mlp);
    let lacks = [
        (shape.norm.kind != NormKind::Rms { unit_offset: false }, "norms other than plain RMS norms"),
        (shape.norm_placement != NormPlacement::Pre, "norms behind attention and MLP"),
        (!matches!(shape.positions, Positions::Rotary { .. }), "positions other than rotary ones"),
        (shape.embedding.scale.is_some() || shape.embedding.norm, "scaled or normed embeddings"),
        (attention.qkv_bias || attention.output_bias || mlp.bias, "biases"),
        (attention.qk_norm, "norms of queries and keys"),
        (attention.window.is_some(), "sliding windows"),
        (attention.scale.is_some(), "a scale of attention scores of its own"),
        (attention.softcap.is_some(), "a soft cap of attention scores"),
        (!mlp.gated, "an MLP without a gate"),
        (mlp.activation != Activation::Silu, "activations other than SiLU"),
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
