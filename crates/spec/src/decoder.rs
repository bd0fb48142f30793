//! A decoder as plain data: what a model computes and what its weights are called, without knowing any family.
//!
//! A family (`crates/model/src/families`) makes one from a `config.json` or a GGUF header; both engines interpret it; tuners
//! and exports see the weights by name and role. On the wire (study files, `arm.json`, identities) it is one flat object in
//! Hugging Face's words, with only what differs from LLaMA beside LLaMA's keys.
//!
//! Letters in shapes: `d` hidden, `f` intermediate, `h` heads, `k` key/value heads, `e` head width, `v` vocabulary.

use serde::{Deserialize, Serialize};

use crate::config_error::check_positive;
pub use crate::config_error::{ConfigError, MAX_DIM};
use crate::names::{Names, Role};
pub use crate::positions::{Longrope, Positions, RopeScaling, Rotary, Yarn};

/// What a decoder computes, layer by layer the same but for its window of attention.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoder {
    /// Whose `config.json` and GGUF metadata it has: the name of a family.
    pub family: String,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub max_position_embeddings: usize,
    pub embedding: Embedding,
    pub norm: Norm,
    pub norm_placement: NormPlacement,
    pub positions: Positions,
    pub attention: Attention,
    pub mlp: Mlp,
    /// Whether the output head is the embedding matrix.
    pub tie_word_embeddings: bool,
    /// `c · tanh(logit / c)` in place of each of the head's scores (Gemma 2).
    pub logit_softcap: Option<f64>,
    pub names: Names,
}

/// From a token to the residual stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Embedding {
    /// What its rows are multiplied with (Gemma: the root of the hidden size).
    pub scale: Option<f64>,
    /// Whether a norm follows it (BLOOM).
    pub norm: bool,
}

/// A norm over the hidden width.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub kind: NormKind,
    /// Added to the mean square, or to the variance.
    pub eps: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / rms(x) · w`, or `· (1 + w)` with `unit_offset` (Zhang & Sennrich 2019; Gemma).
    Rms { unit_offset: bool },
    /// `(x - mean) / std · w + b` (Ba et al. 2016).
    Layer,
}

/// Where norms stand in a layer. A last one is always in front of the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormPlacement {
    /// Before attention and before the MLP.
    Pre,
    /// Before them, and of what they add to the residual stream (Gemma 2).
    PreAndPost,
    /// Before attention and before the MLP, which both read the layer's input: `x + attn(norm1(x)) + mlp(norm2(x))`
    /// (GPT-NeoX).
    Parallel,
}

/// Self-attention, causal.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    pub heads: usize,
    /// Fewer than `heads` for grouped queries.
    pub kv_heads: usize,
    /// Not always hidden/heads.
    pub head_dim: usize,
    /// Whether q, k and v have biases; and the output projection.
    pub qkv_bias: bool,
    pub output_bias: bool,
    /// Whether queries and keys are normed by head before they are rotated (Qwen3): by RMS, with the offset that the other
    /// norms have.
    pub qk_norm: bool,
    /// Whether queries, keys and values have a weight each.
    pub qkv: QkvLayout,
    pub window: Option<Window>,
    /// What scores are multiplied with; one over the root of `head_dim` where it is not given.
    pub scale: Option<f64>,
    /// `c · tanh(score / c)` in place of each score (Gemma 2).
    pub softcap: Option<f64>,
}

/// How the weights of queries, keys and values are kept. A fused one is a single weight of [`Role::QueryKeyValue`], with one
/// bias and one adapter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QkvLayout {
    /// Three weights.
    #[default]
    Separate,
    /// One: the rows of all queries, then of all keys, then of all values (Phi-3).
    Blocks,
    /// One: for each head its rows of queries, of keys and of values (BLOOM, GPT-NeoX).
    ByHead,
}

/// A sliding window: a query sees the keys less than `size` positions behind it, its own included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub size: usize,
    /// Layers that see everything all the same, in order.
    pub full_layers: Vec<usize>,
}

/// The feed-forward part of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mlp {
    pub intermediate_size: usize,
    /// `down(act(gate(x)) · up(x))`, or without a gate `down(act(up(x)))`.
    pub gated: bool,
    pub activation: Activation,
    pub bias: bool,
    /// Whether gate and up are a single weight of [`Role::GateUp`], the rows of the gate first (Phi-3).
    pub fused_gate_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    Silu,
    /// By the error function.
    Gelu,
    /// By the hyperbolic tangent, as `gelu_new` and `gelu_pytorch_tanh` are.
    GeluTanh,
    Relu,
}

/// Nor has one more layers; listing the weights of so many would itself fill memory.
const MAX_LAYERS: usize = 4096;

impl Attention {
    /// Causal attention without biases, norms or a window.
    pub fn plain(heads: usize, kv_heads: usize, head_dim: usize) -> Self {
        Self {
            heads,
            kv_heads,
            head_dim,
            qkv_bias: false,
            output_bias: false,
            qk_norm: false,
            qkv: QkvLayout::Separate,
            window: None,
            scale: None,
            softcap: None,
        }
    }

    /// Width of a token's queries over all heads, `h · e`.
    pub fn q_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Width of a token's keys, or of its values, over all heads: `k · e`.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// What scores are multiplied with.
    pub fn score_scale(&self) -> f64 {
        self.scale.unwrap_or_else(|| 1.0 / (self.head_dim as f64).sqrt())
    }

    /// The window of layer `layer`, counted from 0; none where it sees everything.
    pub fn window_of(&self, layer: usize) -> Option<usize> {
        let window = self.window.as_ref()?;
        (!window.full_layers.contains(&layer)).then_some(window.size)
    }
}

impl Decoder {
    /// A decoder as LLaMA is (Touvron et al. 2023): RMS norms, rotary positions, SwiGLU, no biases.
    pub fn llama(dims: Dims) -> Self {
        let Dims { vocab_size, hidden_size, intermediate_size, num_hidden_layers, heads, kv_heads, head_dim } = dims;
        Self {
            family: "llama".into(),
            vocab_size,
            hidden_size,
            num_hidden_layers,
            max_position_embeddings: 2048,
            embedding: Embedding::default(),
            norm: Norm { kind: NormKind::Rms { unit_offset: false }, eps: 1e-6 },
            norm_placement: NormPlacement::Pre,
            positions: Positions::Rotary(Rotary::plain(10000.0)),
            attention: Attention::plain(heads, kv_heads, head_dim),
            mlp: Mlp {
                intermediate_size,
                gated: true,
                activation: Activation::Silu,
                bias: false,
                fused_gate_up: false,
            },
            tie_word_embeddings: false,
            logit_softcap: None,
            names: Names::default(),
        }
    }

    /// The shape of a well-known model.
    ///
    /// # Errors
    /// [`ConfigError::Preset`] lists the known names.
    pub fn preset(name: &str) -> Result<Self, ConfigError> {
        let Some(&(_, hidden_size, intermediate_size, layers, heads)) = PRESETS.iter().find(|p| p.0 == name) else {
            let known = PRESETS.map(|p| p.0).join(", ");
            return Err(ConfigError::Preset { name: name.into(), known });
        };
        Ok(Self::llama(Dims {
            vocab_size: 32000,
            hidden_size,
            intermediate_size,
            num_hidden_layers: layers,
            heads,
            kv_heads: heads,
            head_dim: hidden_size / heads,
        }))
    }

    /// Whether the dimensions fit together.
    ///
    /// # Errors
    /// [`ConfigError::Unsupported`] says which do not.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fault = |why: String| Err(ConfigError::Unsupported(why));
        let Attention { heads, kv_heads, head_dim, .. } = self.attention;
        let dims = [
            ("vocab_size", self.vocab_size, MAX_DIM),
            ("hidden_size", self.hidden_size, MAX_DIM),
            ("intermediate_size", self.mlp.intermediate_size, MAX_DIM),
            ("num_hidden_layers", self.num_hidden_layers, MAX_LAYERS),
            ("num_attention_heads", heads, MAX_DIM),
            ("num_key_value_heads", kv_heads, MAX_DIM),
            ("head_dim", head_dim, MAX_DIM),
            ("max_position_embeddings", self.max_position_embeddings, MAX_DIM),
            ("sliding_window", self.attention.window.as_ref().map_or(1, |w| w.size), MAX_DIM),
        ];
        if let Some((name, value, most)) = dims.into_iter().find(|(_, value, most)| !(1..=*most).contains(value)) {
            return fault(format!("{name} ({value}) must be from 1 to {most}"));
        }
        if heads * head_dim > MAX_DIM {
            return fault(format!("num_attention_heads x head_dim must be at most {MAX_DIM}"));
        }
        if !heads.is_multiple_of(kv_heads) {
            return fault(format!(
                "num_attention_heads ({heads}) must be a multiple of num_key_value_heads ({kv_heads})"
            ));
        }
        if self.attention.qkv == QkvLayout::ByHead && heads != kv_heads {
            return fault("a `query_key_value` by head needs as many key/value heads as heads".into());
        }
        if self.mlp.fused_gate_up && !self.mlp.gated {
            return fault("`fused_gate_up` needs an MLP with a gate".into());
        }
        match &self.positions {
            Positions::Rotary(rotary) => rotary.check(head_dim)?,
            Positions::Learned { offset } if *offset > MAX_DIM => {
                return fault(format!("position_offset ({offset}) must be at most {MAX_DIM}"));
            }
            Positions::Learned { .. } | Positions::Alibi => {}
        }
        let positive = [
            ("rms_norm_eps", self.norm.eps),
            ("attention scale", self.attention.score_scale()),
            ("attention soft cap", self.attention.softcap.unwrap_or(1.0)),
            ("embedding scale", self.embedding.scale.unwrap_or(1.0)),
            ("final_logit_softcapping", self.logit_softcap.unwrap_or(1.0)),
        ];
        check_positive(&positive)?;
        self.names.check(&self.roles()).map_err(ConfigError::Unsupported)
    }

    /// How much of each head is rotated, where positions are rotary: an even number, `head_dim` at most.
    pub fn rotary_dim(&self) -> usize {
        match &self.positions {
            Positions::Rotary(rotary) => rotary.rotary_dim.unwrap_or(self.attention.head_dim),
            Positions::Learned { .. } | Positions::Alibi => 0,
        }
    }

    /// The most tokens of a text: positions that the model computes, virtual tokens included. Below
    /// `max_position_embeddings` where LongRoPE would turn longer texts in another way.
    pub fn context(&self) -> usize {
        let longest = self.max_position_embeddings;
        match &self.positions {
            Positions::Rotary(Rotary { scaling: Some(RopeScaling::Longrope(longrope)), .. }) => {
                longest.min(longrope.original_max_position_embeddings)
            }
            _ => longest,
        }
    }

    /// The kind of norm of queries and keys, where they are normed.
    pub fn qk_norm_kind(&self) -> NormKind {
        match self.norm.kind {
            NormKind::Layer => NormKind::Rms { unit_offset: false },
            rms => rms,
        }
    }

    /// Width of a token's keys, or of its values, over all heads: `k · e`.
    pub fn kv_width(&self) -> usize {
        self.attention.kv_width()
    }

    /// Output and input width of a linear role, `None` for any other.
    pub fn linear(&self, role: Role) -> Option<[usize; 2]> {
        let (d, f) = (self.hidden_size, self.mlp.intermediate_size);
        let (q, kv) = (self.attention.q_width(), self.kv_width());
        Some(match role {
            Role::Query => [q, d],
            Role::Key | Role::Value => [kv, d],
            Role::QueryKeyValue => [q + 2 * kv, d],
            Role::GateUp => [2 * f, d],
            Role::Output => [d, q],
            Role::Gate | Role::Up => [f, d],
            Role::Down => [d, f],
            Role::Head => [self.vocab_size, d],
            _ => return None,
        })
    }

    /// Whether the weights of this role come with a bias.
    pub fn has_bias(&self, role: Role) -> bool {
        match role {
            Role::Query | Role::Key | Role::Value | Role::QueryKeyValue => self.attention.qkv_bias,
            Role::Output => self.attention.output_bias,
            Role::Gate | Role::Up | Role::GateUp | Role::Down => self.mlp.bias,
            Role::QueryNorm | Role::KeyNorm | Role::Embedding | Role::PositionEmbedding | Role::Head => false,
            Role::EmbeddingNorm
            | Role::AttentionNorm
            | Role::PostAttentionNorm
            | Role::MlpNorm
            | Role::PostMlpNorm
            | Role::FinalNorm => self.norm.kind == NormKind::Layer,
        }
    }

    /// The roles that this decoder has, each once, outer ones around those of a layer.
    pub fn roles(&self) -> Vec<Role> {
        let is_fused = self.attention.qkv != QkvLayout::Separate;
        let is_there = |role: &Role| match role {
            Role::Query | Role::Key | Role::Value => !is_fused,
            Role::QueryKeyValue => is_fused,
            Role::GateUp => self.mlp.fused_gate_up,
            Role::Up => !self.mlp.fused_gate_up,
            Role::PositionEmbedding => matches!(self.positions, Positions::Learned { .. }),
            Role::EmbeddingNorm => self.embedding.norm,
            Role::QueryNorm | Role::KeyNorm => self.attention.qk_norm,
            Role::Gate => self.mlp.gated && !self.mlp.fused_gate_up,
            Role::PostAttentionNorm | Role::PostMlpNorm => self.norm_placement == NormPlacement::PreAndPost,
            Role::Head => !self.tie_word_embeddings,
            _ => true,
        };
        Role::ALL.into_iter().filter(is_there).collect()
    }

    fn shape_of(&self, role: Role) -> Vec<usize> {
        let d = self.hidden_size;
        match role {
            Role::Embedding => vec![self.vocab_size, d],
            Role::PositionEmbedding => {
                let offset = if let Positions::Learned { offset } = self.positions { offset } else { 0 };
                vec![self.max_position_embeddings + offset, d]
            }
            Role::QueryNorm | Role::KeyNorm => vec![self.attention.head_dim],
            role => self.linear(role).map_or_else(|| vec![d], |dims| dims.to_vec()),
        }
    }

    /// Name of a weight of this role, in layer `layer` where it is one of a layer's.
    pub fn weight_name(&self, role: Role, layer: usize) -> String {
        format!("{}.weight", self.names.path(role, layer))
    }

    /// Name of the bias beside it.
    pub fn bias_name(&self, role: Role, layer: usize) -> String {
        format!("{}.bias", self.names.path(role, layer))
    }

    /// Every weight in the order of a checkpoint; the head is absent when tied.
    pub fn weights(&self) -> Vec<Weight> {
        let roles = self.roles();
        let of = |role: Role, layer: Option<usize>| {
            let at = layer.unwrap_or(0);
            let shape = self.shape_of(role);
            let bias = self.has_bias(role).then(|| Weight {
                name: self.bias_name(role, at),
                shape: shape[..1].to_vec(),
                role,
                part: Part::Bias,
                layer,
            });
            let weight = Weight { name: self.weight_name(role, at), shape, role, part: Part::Weight, layer };
            std::iter::once(weight).chain(bias)
        };
        let (before, rest): (Vec<Role>, Vec<Role>) =
            roles.iter().filter(|r| !r.is_in_layer()).partition(|r| r.is_embedding());
        let inside = |layer| roles.iter().filter(|r| r.is_in_layer()).flat_map(move |&role| of(role, Some(layer)));
        let outer = |roles: Vec<Role>| roles.into_iter().flat_map(|role| of(role, None)).collect::<Vec<_>>();
        let mut all = outer(before);
        all.extend((0..self.num_hidden_layers).flat_map(inside));
        all.extend(outer(rest));
        all
    }

    /// Number of parameters.
    pub fn params(&self) -> u64 {
        self.weights().iter().map(Weight::len).sum()
    }
}

/// The numbers that any decoder has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dims {
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub intermediate_size: usize,
    pub num_hidden_layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

/// Presets: name, hidden, intermediate, layers, heads. LLaMA 1 (Touvron et al. 2023, table 2).
const PRESETS: [(&str, usize, usize, usize, usize); 4] = [
    ("llama-7b", 4096, 11008, 32, 32),
    ("llama-13b", 5120, 13824, 40, 40),
    ("llama-33b", 6656, 17920, 60, 52),
    ("llama-65b", 8192, 22016, 80, 64),
];

/// One weight of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weight {
    /// As in a checkpoint of its family.
    pub name: String,
    pub shape: Vec<usize>,
    /// What it is for.
    pub role: Role,
    pub part: Part,
    /// Counted from 0; none outside the layers.
    pub layer: Option<usize>,
}

/// Whether it multiplies or is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Weight,
    Bias,
}

impl Weight {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is the matrix of a linear map within a layer: what an adapter can stand at.
    pub fn is_adaptable(&self) -> bool {
        self.part == Part::Weight && self.role.is_linear() && self.layer.is_some()
    }
}
