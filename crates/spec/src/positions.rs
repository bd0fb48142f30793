//! How positions enter a decoder, and what is done to rotary ones for long contexts, in transformers' words.

use serde::{Deserialize, Serialize};

use crate::config_error::{ConfigError, MAX_DIM, check_positive};

/// How a token's position enters.
#[derive(Clone, Debug, PartialEq)]
pub enum Positions {
    /// Queries and keys are rotated (Su et al. 2021), halves of a head against each other.
    Rotary(Rotary),
    /// A learned row for each position is added to the embedding; the first is row `offset` (OPT: 2).
    Learned { offset: usize },
    /// Scores fall linearly with distance, each head by its own slope (Press et al. 2022).
    Alibi,
}

/// Rotary positions: pair `i` of a head turns by `theta^(-2i / rotary_dim)` radians a position.
#[derive(Clone, Debug, PartialEq)]
pub struct Rotary {
    pub theta: f64,
    pub scaling: Option<RopeScaling>,
    /// How much of each head is rotated, its first numbers, where it is not all of it (GPT-NeoX, some Phi-3).
    pub rotary_dim: Option<usize>,
    /// The base of layers with a window, whose frequencies are not scaled; where it is none these are as all (Gemma 3).
    pub local_theta: Option<f64>,
}

impl Rotary {
    /// Whole heads, turned by one base in all layers.
    pub fn plain(theta: f64) -> Self {
        Self { theta, scaling: None, rotary_dim: None, local_theta: None }
    }

    /// Whether heads of this width can be rotated so.
    pub(crate) fn check(&self, head_dim: usize) -> Result<(), ConfigError> {
        let width = self.rotary_dim.unwrap_or(head_dim);
        let fault = |why: String| Err(ConfigError::Unsupported(why));
        if !width.is_multiple_of(2) {
            return match self.rotary_dim {
                Some(_) => fault(format!("the rotated part of a head ({width}) must be even")),
                None => fault(format!("head_dim ({head_dim}) must be even for rotary positions")),
            };
        }
        if !(2..=head_dim).contains(&width) {
            return fault(format!("the rotated part of a head ({width}) must be from 2 to head_dim ({head_dim})"));
        }
        check_positive(&[("rope_theta", self.theta), ("rope_local_base_freq", self.local_theta.unwrap_or(1.0))])?;
        self.scaling.as_ref().map_or(Ok(()), |scaling| scaling.check(width / 2))
    }
}

/// Changes to the rotary frequencies for contexts longer than pre-training's, with the keys that transformers gives them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// All frequencies divided by `factor`.
    Linear { factor: f64 },
    /// A larger base for texts beyond `max_position_embeddings`, by their length (NTK). No engine goes beyond, and up to
    /// there it changes nothing.
    Dynamic { factor: f64 },
    /// LLaMA 3.1: low frequencies divided by `factor`, high ones kept, a smooth blend between.
    Llama3 { factor: f64, low_freq_factor: f64, high_freq_factor: f64, original_max_position_embeddings: usize },
    /// Low frequencies divided by `factor`, high ones kept, a linear blend between; and cosines and sines multiplied with
    /// an attention factor (Peng et al. 2023).
    Yarn(Yarn),
    /// Each frequency divided by a number of its own, and an attention factor (Ding et al. 2024; Phi-3).
    Longrope(Longrope),
}

/// What YaRN is made of; where something is not given, the paper's value holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Yarn {
    pub factor: f64,
    pub original_max_position_embeddings: usize,
    /// Turns within the original context above which a frequency is kept, 32; and below which it is divided, 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_fast: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_slow: Option<f64>,
    /// What cosines and sines are multiplied with; `0.1 · ln(factor) + 1` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
    /// Both given: the attention factor is the quotient of `0.1 · mscale · ln(factor) + 1` by them (DeepSeek).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mscale: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mscale_all_dim: Option<f64>,
    /// Whether the blend ends at whole pairs; so unless it is `false` (gpt-oss).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncate: Option<bool>,
}

/// What LongRoPE is made of. Texts beyond the original context would take `long_factor`, all of their positions; the engines
/// end there, because a cache and a packed batch cannot know how long a text will be.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Longrope {
    /// A divisor for each pair, of texts up to the original context; and of longer ones.
    pub short_factor: Vec<f64>,
    pub long_factor: Vec<f64>,
    pub original_max_position_embeddings: usize,
    /// How much longer the context is than the original; their quotient where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// What cosines and sines are multiplied with; `sqrt(1 + ln(factor) / ln(original))` where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
}

impl RopeScaling {
    /// Whether its numbers can be used for a head of which `pairs` pairs are rotated.
    fn check(&self, pairs: usize) -> Result<(), ConfigError> {
        let fault = |why: String| Err(ConfigError::Unsupported(why));
        let (factor, original) = match self {
            Self::Linear { factor } | Self::Dynamic { factor } => (*factor, None),
            Self::Llama3 { factor, original_max_position_embeddings: original, .. } => (*factor, Some(*original)),
            Self::Yarn(yarn) => (yarn.factor, Some(yarn.original_max_position_embeddings)),
            Self::Longrope(longrope) => {
                (longrope.factor.unwrap_or(1.0), Some(longrope.original_max_position_embeddings))
            }
        };
        check_positive(&[("rope scaling factor", factor)])?;
        if original.is_some_and(|original| !(2..=MAX_DIM).contains(&original)) {
            return fault(format!("original_max_position_embeddings of rope scaling must be from 2 to {MAX_DIM}"));
        }
        match self {
            Self::Linear { .. } | Self::Dynamic { .. } => Ok(()),
            Self::Llama3 { low_freq_factor, high_freq_factor, .. } => {
                check_positive(&[("low_freq_factor", *low_freq_factor), ("high_freq_factor", *high_freq_factor)])?;
                if low_freq_factor >= high_freq_factor {
                    return fault(format!(
                        "low_freq_factor ({low_freq_factor}) must be below high_freq_factor ({high_freq_factor})"
                    ));
                }
                Ok(())
            }
            Self::Yarn(yarn) => check_positive(&[
                ("beta_fast", yarn.beta_fast.unwrap_or(1.0)),
                ("beta_slow", yarn.beta_slow.unwrap_or(1.0)),
                ("attention_factor", yarn.attention_factor.unwrap_or(1.0)),
            ]),
            Self::Longrope(longrope) => {
                for (name, factors) in
                    [("short_factor", &longrope.short_factor), ("long_factor", &longrope.long_factor)]
                {
                    if factors.len() != pairs {
                        return fault(format!("{name} has {} numbers for {pairs} rotated pairs", factors.len()));
                    }
                    factors.iter().try_for_each(|factor| check_positive(&[(name, *factor)]))?;
                }
                check_positive(&[("attention_factor", longrope.attention_factor.unwrap_or(1.0))])
            }
        }
    }
}
