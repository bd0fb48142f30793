//! The plain data that crosses the boundary as JSON: models and plans, conversations. `chat.rs` has what judges ask.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The model a tuner plans for: all its weights by name and shape, known before any is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    pub layers: usize,
    pub hidden_size: usize,
    /// Width of a token's keys, or of its values, over all heads of a layer; 0 from a host older than API 1.1.
    #[serde(default)]
    pub kv_width: usize,
    /// The `model_type` of its `config.json`: `llama`, `bloom`; empty from a host older than API 1.3.
    #[serde(default)]
    pub family: String,
    pub weights: Vec<Weight>,
}

/// One weight of the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Weight {
    /// As in a Hugging Face checkpoint: `model.layers.0.self_attn.q_proj.weight`.
    pub name: String,
    /// `[out, in]` for a linear weight, `[vocabulary, hidden]` for an embedding, `[hidden]` for a norm.
    pub shape: Vec<usize>,
    /// Counted from 0; none for embedding, final norm and head.
    pub layer: Option<usize>,
    /// The part of the name within its layer: `self_attn.q_proj`.
    pub module: String,
    /// Whether the weight is a product inside a layer, which a tuner may adapt.
    pub linear: bool,
    /// What it is for, whatever its family calls it: `query`, `key`, `value`, `query_key_value` (the three in one),
    /// `output` (of attention), `gate`, `up`, `gate_up` (both in one), `down`, `head`, `embedding`, and others of norms and
    /// positions; more may come. Its bias has the same. Empty from a host older than API 1.3.
    #[serde(default)]
    pub role: String,
}

/// Linear roles of attention, and LLaMA's names of them, by which a host older than API 1.3 is understood.
const ATTENTION: [(&str, &str); 5] = [
    ("query", "q_proj"),
    ("key", "k_proj"),
    ("value", "v_proj"),
    ("query_key_value", "query_key_value"),
    ("output", "o_proj"),
];
/// Those of the MLP.
const MLP: [(&str, &str); 4] =
    [("gate", "gate_proj"), ("up", "up_proj"), ("gate_up", "gate_up_proj"), ("down", "down_proj")];

impl Model {
    /// The weights that may be adapted: the linear products of all layers.
    pub fn linears(&self) -> impl Iterator<Item = &Weight> {
        self.weights.iter().filter(|w| w.linear)
    }
}

impl Weight {
    /// `q_proj` of `self_attn.q_proj`.
    pub fn target(&self) -> &str {
        self.module.rsplit('.').next().unwrap_or(&self.module)
    }

    /// What it is for, as [`Weight::role`] says, or by its name from an older host.
    pub fn role(&self) -> &str {
        if !self.role.is_empty() {
            return &self.role;
        }
        let mut known = ATTENTION.iter().chain(&MLP);
        known.find(|(_, name)| *name == self.target()).map_or("", |(role, _)| role)
    }

    /// Whether it is a linear product of attention: of queries, keys, values, the three in one, or of the output.
    pub fn is_attention(&self) -> bool {
        self.linear && ATTENTION.iter().any(|(role, _)| *role == self.role())
    }

    /// Whether it is a linear product of the MLP.
    pub fn is_mlp(&self) -> bool {
        self.linear && MLP.iter().any(|(role, _)| *role == self.role())
    }

    /// Rows of a linear weight: the width of what it yields.
    pub fn out_features(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Columns of a linear weight: the width of what it takes.
    pub fn in_features(&self) -> usize {
        self.shape.last().copied().unwrap_or(0)
    }
}

/// What a tuner decides: something for every weight, and the recipe it recommends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TunePlan {
    pub weights: BTreeMap<String, WeightPlan>,
    /// What stands in front of every example, if anything does. Since API 1.1; an older host, whose [`Model::kv_width`] is
    /// 0, passes over it in silence, so refuse to plan for such a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<VirtualTokens>,
    #[serde(default)]
    pub recipe: Recipe,
}

/// Trained places in front of every example: prompt tuning, P-tuning, prefix tuning. Real tokens come after them and
/// see all of them; their values are what [`crate::Tuner::virtual_tokens`] makes of the parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualTokens {
    pub kind: VirtualKind,
    pub count: usize,
    /// Their init cannot be [`Init::Computed`].
    pub params: Vec<Param>,
}

/// What is given of a virtual token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VirtualKind {
    /// Its embedding, `[hidden_size]`; from there it is a token like any other.
    Embeddings,
    /// Its key and value in every layer, `[layers * 2 * kv_width]`: of each layer the keys of all heads, then their
    /// values, as PEFT lays them out. Keys are used as they are, not turned by their position.
    KeysValues,
}

/// What happens to one weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum WeightPlan {
    Frozen,
    /// `lr_scale` multiplies the learning rate.
    Trainable {
        lr_scale: f64,
    },
    /// The weight stays frozen; its product becomes [`crate::Tuner::forward`] over these parameters.
    Adapted {
        params: Vec<Param>,
    },
}

impl TunePlan {
    /// Every weight frozen.
    pub fn frozen(model: &Model) -> Self {
        Self::all(model, &WeightPlan::Frozen)
    }

    /// Every weight trainable.
    pub fn trainable(model: &Model) -> Self {
        Self::all(model, &WeightPlan::Trainable { lr_scale: 1.0 })
    }

    /// Adapts one weight by new parameters.
    pub fn adapt(&mut self, weight: &Weight, params: Vec<Param>) {
        self.weights.insert(weight.name.clone(), WeightPlan::Adapted { params });
    }

    fn all(model: &Model, plan: &WeightPlan) -> Self {
        let weights = model.weights.iter().map(|w| (w.name.clone(), plan.clone())).collect();
        Self { weights, ..Self::default() }
    }
}

/// A new parameter of an adapted weight or of virtual tokens; kept and trained in f32.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    pub name: String,
    pub shape: Vec<usize>,
    pub init: Init,
    #[serde(default = "one")]
    pub lr_scale: f64,
}

fn one() -> f64 {
    1.0
}

impl Param {
    /// A parameter that learns at the study's rate.
    pub fn new(name: &str, shape: impl Into<Vec<usize>>, init: Init) -> Self {
        Self { name: name.into(), shape: shape.into(), init, lr_scale: 1.0 }
    }
}

/// How a parameter begins. The host draws, so that a study's seed decides.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Init {
    Zeros,
    Ones,
    /// Uniform in ±sqrt(6 / ((1 + a²) fan_in)), fan_in being the last axis: PyTorch's `kaiming_uniform_`.
    KaimingUniform {
        a: f64,
    },
    Normal {
        mean: f64,
        std: f64,
    },
    Uniform {
        low: f64,
        high: f64,
    },
    /// By [`crate::Tuner::init`], over the base weight and the parameters listed before this one.
    Computed,
}

/// What a tuner recommends for training; a study may override each value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Recipe {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Examples per optimiser step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_steps: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_grad_norm: Option<f64>,
    /// In tokens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_prompt: Option<bool>,
}

/// How the learning rate falls after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    Cosine,
    Linear,
    Constant,
}

/// One adapted weight, as its forward pass is recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Site {
    pub weight: Weight,
    /// The parameters the plan gave it.
    pub params: Vec<Param>,
}

/// One axis of a shape: a length, or the number of tokens in whatever batch comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    Fixed(usize),
    Tokens,
}

/// Who speaks in a [`Turn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    System,
    User,
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turn {
    pub role: Role,
    pub content: String,
    /// Whether an answer may be learnt from. Since API 1.3; an older host would learn it all the same, so a row that holds
    /// a turn with `false` is an error there.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub is_learnt: bool,
}

fn yes() -> bool {
    true
}

fn is_yes(value: &bool) -> bool {
    *value
}

impl Turn {
    /// A message.
    pub fn new(role: Role, content: impl Into<String>) -> Self {
        Self { role, content: content.into(), is_learnt: true }
    }

    /// The same message, not to be learnt.
    #[must_use]
    pub fn not_learnt(self) -> Self {
        Self { is_learnt: false, ..self }
    }
}

/// One conversation. For training, assistant turns are the labels; for evaluation the last turn is the user's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// Stable name of the row within its source, e.g. `train.jsonl:17`.
    pub id: String,
    pub turns: Vec<Turn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<String>,
    /// A good answer, for a judge to compare with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The instruction to a judge that belongs to this item's category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rubric: Option<String>,
}

impl Example {
    /// The text of the last user turn: the question of an evaluation item.
    pub fn question(&self) -> &str {
        self.turns.iter().rev().find(|t| t.role == Role::User).map_or("", |t| t.content.as_str())
    }
}

/// What a dataset yields per row. Skips are counted and reported, never silent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Row {
    Example(Example),
    /// Where the row is, and why it cannot be used.
    Skip {
        place: String,
        reason: String,
    },
}
