//! A decoder on the wire: one flat object in Hugging Face's words. LLaMA has the first twelve keys and no other, so that
//! its study files, `arm.json`s and identities are what they were when it was the only family.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::decoder::{
    Activation, Attention, ConfigError, Decoder, Embedding, Mlp, Norm, NormKind, NormPlacement, Positions, QkvLayout,
    RopeScaling, Rotary, Window,
};
use crate::names::Names;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: usize,
    head_dim: usize,
    max_position_embeddings: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_theta: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_scaling: Option<RopeScaling>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rotary_dim: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rope_local_base_freq: Option<f64>,
    /// Of whichever norm it is.
    rms_norm_eps: f64,
    tie_word_embeddings: bool,

    #[serde(default = "llama", skip_serializing_if = "is_llama")]
    family: String,
    #[serde(default, skip_serializing_if = "is_default")]
    layer_norm: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    norm_unit_offset: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    post_norm: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    parallel_residual: bool,
    /// Learned positions, and the row of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position_offset: Option<usize>,
    #[serde(default, skip_serializing_if = "is_default")]
    alibi: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    qkv_bias: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    output_bias: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    qk_norm: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    qkv_layout: QkvLayout,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sliding_window: Option<usize>,
    #[serde(default, skip_serializing_if = "is_default")]
    full_attention_layers: Vec<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attention_scale: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attn_logit_softcapping: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    final_logit_softcapping: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    plain_mlp: bool,
    #[serde(default = "silu", skip_serializing_if = "is_silu")]
    hidden_act: Activation,
    #[serde(default, skip_serializing_if = "is_default")]
    mlp_bias: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    fused_gate_up: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    embedding_scale: Option<f64>,
    #[serde(default, skip_serializing_if = "is_default")]
    embedding_norm: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    names: Names,
}

impl Serialize for Decoder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Flat::from(self.clone()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Decoder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Flat::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

fn llama() -> String {
    "llama".into()
}

fn is_llama(family: &str) -> bool {
    family == "llama"
}

fn silu() -> Activation {
    Activation::Silu
}

fn is_silu(activation: &Activation) -> bool {
    *activation == Activation::Silu
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Decoder> for Flat {
    fn from(decoder: Decoder) -> Self {
        let Decoder { embedding, norm, norm_placement, positions, attention, mlp, .. } = decoder;
        let (rotary, position_offset) = match positions {
            Positions::Rotary(rotary) => (Some(rotary), None),
            Positions::Learned { offset } => (None, Some(offset)),
            Positions::Alibi => (None, None),
        };
        let (rope_theta, alibi) = (rotary.as_ref().map(|r| r.theta), rotary.is_none() && position_offset.is_none());
        let (rope_scaling, rotary_dim, rope_local_base_freq) =
            rotary.map_or((None, None, None), |r| (r.scaling, r.rotary_dim, r.local_theta));
        let (sliding_window, full_attention_layers) = match attention.window {
            Some(Window { size, full_layers }) => (Some(size), full_layers),
            None => (None, vec![]),
        };
        Self {
            vocab_size: decoder.vocab_size,
            hidden_size: decoder.hidden_size,
            intermediate_size: mlp.intermediate_size,
            num_hidden_layers: decoder.num_hidden_layers,
            num_attention_heads: attention.heads,
            num_key_value_heads: attention.kv_heads,
            head_dim: attention.head_dim,
            max_position_embeddings: decoder.max_position_embeddings,
            rope_theta,
            rope_scaling,
            rotary_dim,
            rope_local_base_freq,
            rms_norm_eps: norm.eps,
            tie_word_embeddings: decoder.tie_word_embeddings,
            family: decoder.family,
            layer_norm: norm.kind == NormKind::Layer,
            norm_unit_offset: norm.kind == NormKind::Rms { unit_offset: true },
            post_norm: norm_placement == NormPlacement::PreAndPost,
            parallel_residual: norm_placement == NormPlacement::Parallel,
            position_offset,
            alibi,
            qkv_bias: attention.qkv_bias,
            output_bias: attention.output_bias,
            qk_norm: attention.qk_norm,
            qkv_layout: attention.qkv,
            sliding_window,
            full_attention_layers,
            attention_scale: attention.scale,
            attn_logit_softcapping: attention.softcap,
            final_logit_softcapping: decoder.logit_softcap,
            plain_mlp: !mlp.gated,
            hidden_act: mlp.activation,
            mlp_bias: mlp.bias,
            fused_gate_up: mlp.fused_gate_up,
            embedding_scale: embedding.scale,
            embedding_norm: embedding.norm,
            names: decoder.names,
        }
    }
}

impl TryFrom<Flat> for Decoder {
    type Error = ConfigError;

    fn try_from(flat: Flat) -> Result<Self, ConfigError> {
        let positions = match (flat.rope_theta, flat.position_offset, flat.alibi) {
            (Some(theta), None, false) => Positions::Rotary(Rotary {
                theta,
                scaling: flat.rope_scaling,
                rotary_dim: flat.rotary_dim,
                local_theta: flat.rope_local_base_freq,
            }),
            (None, Some(offset), false) => Positions::Learned { offset },
            (None, None, true) => Positions::Alibi,
            _ => {
                let why = "positions: give one of `rope_theta`, `position_offset` and `alibi = true`";
                return Err(ConfigError::Unsupported(why.into()));
            }
        };
        let kind = match (flat.layer_norm, flat.norm_unit_offset) {
            (true, true) => {
                let why = "`norm_unit_offset` is for RMS norms, not with `layer_norm`";
                return Err(ConfigError::Unsupported(why.into()));
            }
            (true, false) => NormKind::Layer,
            (false, unit_offset) => NormKind::Rms { unit_offset },
        };
        let norm_placement = match (flat.post_norm, flat.parallel_residual) {
            (true, true) => {
                let why = "give one of `post_norm` and `parallel_residual`";
                return Err(ConfigError::Unsupported(why.into()));
            }
            (true, false) => NormPlacement::PreAndPost,
            (false, true) => NormPlacement::Parallel,
            (false, false) => NormPlacement::Pre,
        };
        let full_layers = flat.full_attention_layers;
        Ok(Self {
            family: flat.family,
            vocab_size: flat.vocab_size,
            hidden_size: flat.hidden_size,
            num_hidden_layers: flat.num_hidden_layers,
            max_position_embeddings: flat.max_position_embeddings,
            embedding: Embedding { scale: flat.embedding_scale, norm: flat.embedding_norm },
            norm: Norm { kind, eps: flat.rms_norm_eps },
            norm_placement,
            positions,
            attention: Attention {
                heads: flat.num_attention_heads,
                kv_heads: flat.num_key_value_heads,
                head_dim: flat.head_dim,
                qkv_bias: flat.qkv_bias,
                output_bias: flat.output_bias,
                qk_norm: flat.qk_norm,
                qkv: flat.qkv_layout,
                window: flat.sliding_window.map(|size| Window { size, full_layers }),
                scale: flat.attention_scale,
                softcap: flat.attn_logit_softcapping,
            },
            mlp: Mlp {
                intermediate_size: flat.intermediate_size,
                gated: !flat.plain_mlp,
                activation: flat.hidden_act,
                bias: flat.mlp_bias,
                fused_gate_up: flat.fused_gate_up,
            },
            tie_word_embeddings: flat.tie_word_embeddings,
            logit_softcap: flat.final_logit_softcapping,
            names: flat.names,
        })
    }
}
