//! The recorded graphs of an adapted site: a small graph over named host operations.
//!
//! A tuner writes `forward`, `merge` and parameter initialisers once against opaque handles; the host records
//! them as a [`Graph`], which is checked for shapes before anything is loaded and is saved in the checkpoint,
//! so that a trained model opens without its plugin. Node `i` may only read nodes before it.

use serde::{Deserialize, Serialize};

/// The length of one axis: known, or the number of tokens in whatever batch comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Dim {
    Fixed(usize),
    Tokens(TokensDim),
}

/// The word that stands for the token axis in a saved graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TokensDim {
    #[serde(rename = "tokens")]
    Tokens,
}

impl Dim {
    /// The token axis.
    pub const TOKENS: Self = Self::Tokens(TokensDim::Tokens);
}

impl std::fmt::Display for Dim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Fixed(n) => write!(f, "{n}"),
            Self::Tokens(_) => f.write_str("t"),
        }
    }
}

/// `[t, 64]` for messages.
pub fn show_shape(shape: &[Dim]) -> String {
    let dims: Vec<String> = shape.iter().map(ToString::to_string).collect();
    format!("[{}]", dims.join(", "))
}

/// One operation. Element-wise operations of two inputs broadcast as NumPy does; reductions keep their axis
/// with length 1. Axes count from 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum Op {
    /// The site's input, `[t, in]`.
    Input,
    /// The host's own product of its input with the frozen base weight: `x [t, in] -> x W^T [t, out]`.
    Base,
    /// The base weight itself, `[out, in]`.
    Weight,
    /// A parameter of this site.
    Param {
        name: String,
    },
    /// `[.., m, k] x [k, n] -> [.., m, n]`, both of two axes.
    Matmul,
    Add,
    Sub,
    Mul,
    Div,
    Scale {
        by: f64,
    },
    /// Add a constant to every element.
    Offset {
        by: f64,
    },
    Sum {
        axis: usize,
    },
    Mean {
        axis: usize,
    },
    /// Euclidean norm along an axis.
    Norm {
        axis: usize,
    },
    /// Swap the two axes.
    Transpose,
    Reshape {
        shape: Vec<Dim>,
    },
    /// Round to another precision and carry on: `f32`, `f16` or `bf16`.
    Cast {
        dtype: DType,
    },
    /// Zero each element with probability `p` and scale the rest by `1/(1-p)`; identity outside training.
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
    /// The value, with no gradient through it.
    Detach,
}

/// Precisions a parameter or a cast may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    F32,
    F16,
    BF16,
}

/// One step of a [`Graph`]: an operation, the earlier nodes it reads, and the shape it yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    #[serde(flatten)]
    pub op: Op,
    /// Indices of earlier nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<usize>,
    /// Saved under another name: `reshape` has a `shape` beside it.
    #[serde(rename = "yields")]
    pub shape: Vec<Dim>,
}

/// A recorded computation; `output` names the node whose value it yields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    pub nodes: Vec<Node>,
    pub output: usize,
}

impl Graph {
    /// Whether every node reads only nodes before it and `output` exists. A graph from a file must pass.
    pub fn is_well_formed(&self) -> bool {
        let reads_back = |(i, n): (usize, &Node)| n.inputs.iter().all(|&j| j < i);
        self.output < self.nodes.len() && self.nodes.iter().enumerate().all(reads_back)
    }
}
