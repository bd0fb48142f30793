//! The host's operations, by the names and attributes that a plugin calls them with.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::array::Array;
use crate::Dim;

/// One operation of the host, by the name and attributes that a plugin calls it with.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// The site's input, `[t, in]`.
    #[serde(skip)]
    Input,
    /// Numbers at hand; recorded by nobody, put in place of what a finite difference must not move.
    #[serde(skip)]
    Held(Array),
    Base,
    Weight,
    Param {
        name: String,
    },
    Matmul,
    Add,
    Sub,
    Mul,
    Div,
    Scale {
        by: f64,
    },
    Offset {
        by: f64,
    },
    Sum {
        axis: usize,
    },
    Mean {
        axis: usize,
    },
    Norm {
        axis: usize,
    },
    Transpose,
    Reshape {
        #[serde(deserialize_with = "dims")]
        shape: Vec<Dim>,
    },
    Cast {
        dtype: Precision,
    },
    Dropout {
        p: f64,
    },
    Gelu,
    Silu,
    Relu,
    Sigmoid,
    Tanh,
    Exp,
    Sqrt,
    Detach,
}

/// What a `cast` may name.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    F32,
    F16,
    BF16,
}

fn dims<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Dim>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Axis {
        Length(usize),
        Word(String),
    }
    let axes = Vec::<Axis>::deserialize(deserializer)?.into_iter().map(|axis| match axis {
        Axis::Length(n) => Ok(Dim::Fixed(n)),
        Axis::Word(word) if word == "tokens" => Ok(Dim::Tokens),
        Axis::Word(word) => Err(serde::de::Error::custom(format!("no axis is called {word:?}"))),
    });
    axes.collect()
}

impl Op {
    /// # Errors
    /// When there is no such operation, or its attributes are not its own.
    pub fn parse(name: &str, attributes: &str) -> Result<Self, String> {
        let mut object: Map<String, Value> = serde_json::from_str(attributes).map_err(|e| format!("`{name}`: {e}"))?;
        object.insert("op".into(), name.into());
        serde_json::from_value(Value::Object(object)).map_err(|e| format!("`{name}`: {e}"))
    }

    /// Every operation is in its first version so far.
    pub fn is_known(name: &str, version: u32) -> bool {
        // With each attribute that any operation needs, a known name parses and an unknown one does not.
        let all = r#"{"name":"","by":1,"axis":0,"shape":[],"dtype":"f32","p":0}"#;
        version == 1 && Self::parse(name, all).is_ok()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Held(_) => "held",
            Self::Base => "base",
            Self::Weight => "weight",
            Self::Param { .. } => "param",
            Self::Matmul => "matmul",
            Self::Add => "add",
            Self::Sub => "sub",
            Self::Mul => "mul",
            Self::Div => "div",
            Self::Scale { .. } => "scale",
            Self::Offset { .. } => "offset",
            Self::Sum { .. } => "sum",
            Self::Mean { .. } => "mean",
            Self::Norm { .. } => "norm",
            Self::Transpose => "transpose",
            Self::Reshape { .. } => "reshape",
            Self::Cast { .. } => "cast",
            Self::Dropout { .. } => "dropout",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Relu => "relu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Exp => "exp",
            Self::Sqrt => "sqrt",
            Self::Detach => "detach",
        }
    }

    pub fn arity(&self) -> usize {
        match self {
            Self::Input | Self::Held(_) | Self::Weight | Self::Param { .. } => 0,
            Self::Matmul | Self::Add | Self::Sub | Self::Mul | Self::Div => 2,
            _ => 1,
        }
    }
}
