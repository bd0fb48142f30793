//! An adapter in PEFT's terms, with its numbers.
//!
//! Letters in shapes: `r` rank, `c` virtual tokens, `w` numbers of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use candle_core::Tensor;

/// The kinds of adapter that are read and written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Rank-stabilised LoRA, too: it is a scale.
    Lora,
    Dora,
    Ia3,
    PromptTuning,
    PTuning,
    PrefixTuning,
}

impl Kind {
    /// As `adapter_config.json` spells it.
    pub fn peft_type(self) -> &'static str {
        match self {
            Self::Lora | Self::Dora => "LORA",
            Self::Ia3 => "IA3",
            Self::PromptTuning => "PROMPT_TUNING",
            Self::PTuning => "P_TUNING",
            Self::PrefixTuning => "PREFIX_TUNING",
        }
    }

    /// Whether it stands in front of every example, and is not part of any weight.
    pub fn is_virtual(self) -> bool {
        matches!(self, Self::PromptTuning | Self::PTuning | Self::PrefixTuning)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lora => "LoRA",
            Self::Dora => "DoRA",
            Self::Ia3 => "(IA)³",
            Self::PromptTuning => "prompt tuning",
            Self::PTuning => "P-tuning",
            Self::PrefixTuning => "prefix tuning",
        })
    }
}

/// An adapter. Sites are by the name of their weight, `model.layers.0.self_attn.q_proj.weight`.
#[derive(Clone, Debug)]
pub enum Form {
    Lora(BTreeMap<String, LoraSite>),
    Ia3(BTreeMap<String, Ia3Site>),
    Virtual(VirtualForm),
}

/// `W x + s B A dropout(x)` (Hu et al. 2021), with magnitudes `m / ‖W + s B A‖` times that (Liu et al. 2024).
#[derive(Clone, Debug)]
pub struct LoraSite {
    /// `[r, in]` and `[out, r]`, f32.
    pub a: Tensor,
    pub b: Tensor,
    /// `[out]`; DoRA's.
    pub magnitude: Option<Tensor>,
    /// `s`: alpha over the rank, or over its root.
    pub scale: f64,
    pub dropout: f64,
}

impl LoraSite {
    /// `r`.
    pub fn rank(&self) -> usize {
        self.a.dims().first().copied().unwrap_or(0)
    }
}

/// `l ⊙ (W x)` or `W (l ⊙ x)` (Liu et al. 2022).
#[derive(Clone, Debug)]
pub struct Ia3Site {
    /// `[out]`, or `[in]` where it scales the input, f32.
    pub l: Tensor,
    /// A feed-forward module of PEFT's.
    pub scales_input: bool,
}

/// Virtual tokens as PEFT keeps them: what an encoder made of them, without the encoder.
#[derive(Clone, Debug)]
pub struct VirtualForm {
    /// One of the three.
    pub kind: Kind,
    /// `[c, w]`, f32; of prefix tuning, of each layer the keys of all heads and then their values.
    pub value: Tensor,
}

impl Form {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Lora(sites) if sites.values().any(|site| site.magnitude.is_some()) => Kind::Dora,
            Self::Lora(_) => Kind::Lora,
            Self::Ia3(_) => Kind::Ia3,
            Self::Virtual(tokens) => tokens.kind,
        }
    }

    /// The adapted weights; none of virtual tokens.
    pub fn weights(&self) -> BTreeSet<&str> {
        match self {
            Self::Lora(sites) => sites.keys().map(String::as_str).collect(),
            Self::Ia3(sites) => sites.keys().map(String::as_str).collect(),
            Self::Virtual(_) => BTreeSet::new(),
        }
    }
}

/// The module of a weight, as PEFT names it: without `.weight`.
pub(crate) fn module(weight: &str) -> &str {
    weight.strip_suffix(".weight").unwrap_or(weight)
}
