//! Virtual tokens: trained places in front of every example, as prompt tuning, P-tuning and prefix tuning have them.

use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::graph::Dim;
use crate::param::ParamSpec;

/// What a tuner puts in front of every example. Real tokens come after it: their positions begin at `count`, and each
/// sees all virtual ones. None of them is a label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VirtualTokens {
    pub kind: VirtualKind,
    pub count: usize,
    /// What the tuner's recorded graph makes them of.
    pub params: Vec<ParamSpec>,
}

/// What is given of a virtual token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VirtualKind {
    /// Its embedding, `[hidden]`; from there it is a token like any other (Lester et al. 2021, Liu et al. 2021).
    Embeddings,
    /// Its key and value in every layer (Li & Liang 2021), `[layers · 2 · k · e]`: of each layer the keys of all heads,
    /// then their values. Keys are not turned by their position.
    KeysValues,
}

impl VirtualTokens {
    /// What stands for the name of a weight in messages, and begins the names of the parameters.
    pub const NAME: &'static str = "virtual_tokens";
    /// No published prefix is longer.
    pub const MOST: usize = 4096;

    /// Numbers that are given of one token.
    pub fn width(&self, model: &Decoder) -> usize {
        match self.kind {
            VirtualKind::Embeddings => model.hidden_size,
            VirtualKind::KeysValues => model.num_hidden_layers * 2 * model.kv_width(),
        }
    }

    /// What the recorded graph yields, `[count, width]`.
    pub fn shape(&self, model: &Decoder) -> [Dim; 2] {
        [Dim::Fixed(self.count), Dim::Fixed(self.width(model))]
    }

    /// Whether a model of this shape can have so many.
    ///
    /// # Errors
    /// A sentence with the number and its limit.
    pub fn check(&self, model: &Decoder) -> Result<(), String> {
        // An example needs two positions, to learn from and to answer.
        let most = Self::MOST.min(model.context().saturating_sub(2));
        if (1..=most).contains(&self.count) {
            return Ok(());
        }
        Err(format!("{} virtual tokens; this model can have from 1 to {most}", self.count))
    }
}
