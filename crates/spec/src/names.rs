//! What checkpoints call their weights: a role for each, so that nobody takes a name apart again.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a weight is for, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Embedding,
    /// A row for each position.
    PositionEmbedding,
    EmbeddingNorm,
    Query,
    Key,
    Value,
    /// The three in one.
    QueryKeyValue,
    /// Of attention.
    Output,
    /// Of queries by head, before their rotation; and of keys.
    QueryNorm,
    KeyNorm,
    Gate,
    Up,
    /// Gate and up in one.
    GateUp,
    Down,
    /// Before attention; and of its output.
    AttentionNorm,
    PostAttentionNorm,
    /// Before the MLP; and of its output.
    MlpNorm,
    PostMlpNorm,
    /// Before the head.
    FinalNorm,
    /// To the vocabulary.
    Head,
}

impl Role {
    /// In the order in which a checkpoint's weights are listed.
    pub const ALL: [Self; 20] = [
        Self::Embedding,
        Self::PositionEmbedding,
        Self::EmbeddingNorm,
        Self::Query,
        Self::Key,
        Self::Value,
        Self::QueryKeyValue,
        Self::Output,
        Self::QueryNorm,
        Self::KeyNorm,
        Self::Gate,
        Self::Up,
        Self::GateUp,
        Self::Down,
        Self::AttentionNorm,
        Self::PostAttentionNorm,
        Self::MlpNorm,
        Self::PostMlpNorm,
        Self::FinalNorm,
        Self::Head,
    ];

    /// Whether each layer has one.
    pub fn is_in_layer(self) -> bool {
        !self.is_embedding() && !matches!(self, Self::FinalNorm | Self::Head)
    }

    /// Whether it stands before the layers.
    pub fn is_embedding(self) -> bool {
        matches!(self, Self::Embedding | Self::PositionEmbedding | Self::EmbeddingNorm)
    }

    /// A linear map of attention: `lora-attention` tunes these.
    pub fn is_attention(self) -> bool {
        matches!(self, Self::Query | Self::Key | Self::Value | Self::QueryKeyValue | Self::Output)
    }

    /// A linear map of the MLP.
    pub fn is_mlp(self) -> bool {
        matches!(self, Self::Gate | Self::Up | Self::GateUp | Self::Down)
    }

    /// A linear map; the head is one too.
    pub fn is_linear(self) -> bool {
        self.is_attention() || self.is_mlp() || self == Self::Head
    }

    /// Whether what it computes is added to the residual stream; GPT-2 draws these smaller.
    pub fn is_residual(self) -> bool {
        matches!(self, Self::Output | Self::Down)
    }

    pub fn is_norm(self) -> bool {
        !self.is_linear() && !matches!(self, Self::Embedding | Self::PositionEmbedding)
    }
}

/// What the modules of a checkpoint are called. LLaMA's, unless a family says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Names {
    /// In front of a layer's modules; `{}` is its number.
    pub layer: String,
    /// The module of each role, in a layer without that prefix.
    pub modules: BTreeMap<Role, String>,
}

/// LLaMA's, and of what LLaMA lacks the commonest.
const LLAMA: [(Role, &str); 16] = [
    (Role::Embedding, "model.embed_tokens"),
    (Role::Query, "self_attn.q_proj"),
    (Role::Key, "self_attn.k_proj"),
    (Role::Value, "self_attn.v_proj"),
    (Role::Output, "self_attn.o_proj"),
    (Role::QueryNorm, "self_attn.q_norm"),
    (Role::KeyNorm, "self_attn.k_norm"),
    (Role::Gate, "mlp.gate_proj"),
    (Role::Up, "mlp.up_proj"),
    (Role::Down, "mlp.down_proj"),
    (Role::AttentionNorm, "input_layernorm"),
    (Role::MlpNorm, "post_attention_layernorm"),
    (Role::FinalNorm, "model.norm"),
    (Role::Head, "lm_head"),
    (Role::PositionEmbedding, "model.embed_positions"),
    (Role::EmbeddingNorm, "model.embed_layernorm"),
];

impl Default for Names {
    fn default() -> Self {
        Self::new("model.layers.{}", &LLAMA)
    }
}

impl Names {
    /// By a layer's prefix, with `{}` for its number, and a table.
    pub fn new(layer: &str, modules: &[(Role, &str)]) -> Self {
        Self { layer: layer.into(), modules: modules.iter().map(|&(role, name)| (role, name.to_owned())).collect() }
    }

    /// These with other names for some roles.
    #[must_use]
    pub fn with(mut self, modules: &[(Role, &str)]) -> Self {
        self.modules.extend(modules.iter().map(|&(role, name)| (role, name.to_owned())));
        self
    }

    /// The module of a role as its layer knows it, e.g. `self_attn.q_proj`.
    pub fn module(&self, role: Role) -> &str {
        self.modules.get(&role).map_or("", String::as_str)
    }

    /// The module's whole name; `layer` is used where the role is one of a layer's.
    pub fn path(&self, role: Role, layer: usize) -> String {
        let module = self.module(role);
        match role.is_in_layer() {
            true => format!("{}.{module}", self.layer.replacen("{}", &layer.to_string(), 1)),
            false => module.to_owned(),
        }
    }

    /// Whether each of `roles` has a name of its own.
    ///
    /// # Errors
    /// A sentence with the role that has none, or that shares one.
    pub fn check(&self, roles: &[Role]) -> Result<(), String> {
        if self.layer.matches("{}").count() != 1 {
            return Err(format!("the layers' prefix `{}` must have one {{}} for their number", self.layer));
        }
        let mut seen = BTreeMap::new();
        for &role in roles {
            let module = self.module(role);
            if module.is_empty() {
                return Err(format!("no name is given for the weight of {role:?}"));
            }
            if let Some(other) = seen.insert((role.is_in_layer(), module), role) {
                return Err(format!("{other:?} and {role:?} share the name `{module}`"));
            }
        }
        Ok(())
    }
}
