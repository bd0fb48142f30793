//! New parameters: what a tuner adds to a model, and how it begins.

use serde::{Deserialize, Serialize};

use crate::graph::DType;

/// One new parameter of an adapted weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ParamSpec {
    /// Unique within the site, e.g. `lora_A`.
    pub name: String,
    pub shape: Vec<usize>,
    #[serde(default = "f32_dtype")]
    pub dtype: DType,
    pub init: Init,
    #[serde(default = "one")]
    pub lr_scale: f64,
}

/// How a new parameter begins. `fan_in` is the length of the last axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Init {
    Zeros,
    Ones,
    /// Uniform in ±sqrt(6 / ((1 + a²) fan_in)): PyTorch's `kaiming_uniform_`; PEFT uses a = √5.
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
    /// By the tuner's own recorded graphs over the base weight and the parameters listed before it.
    Computed,
}

fn one() -> f64 {
    1.0
}

fn f32_dtype() -> DType {
    DType::F32
}

impl ParamSpec {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().map(|&d| d as u64).product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
