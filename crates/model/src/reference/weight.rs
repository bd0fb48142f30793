//! One tensor in use, frozen or trained, and what a pass is for.

use std::collections::BTreeMap;

use candle_core::{Tensor, Var};

use crate::dropout::DropoutKey;
use crate::optim::ParamOptions;

/// What a forward pass is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pass<'a> {
    /// Values only: nothing is dropped, no gradient is kept.
    Eval,
    /// Gradients will follow; dropout by this key.
    Train(&'a DropoutKey),
}

/// A tensor that an optimizer updates.
#[derive(Clone, Debug)]
pub struct Param {
    pub var: Var,
    pub options: ParamOptions,
}

/// All trained tensors by name.
pub type Params = BTreeMap<String, Param>;

/// One tensor of the model.
pub(crate) enum Weight {
    Frozen(Tensor),
    Trained(Var),
}

impl Weight {
    /// The tensor, seen by autograd when a gradient is wanted of it.
    pub fn get(&self, pass: Pass<'_>) -> Tensor {
        match (self, pass) {
            (Self::Frozen(tensor), _) => tensor.clone(),
            (Self::Trained(var), Pass::Train(_)) => var.as_tensor().clone(),
            (Self::Trained(var), Pass::Eval) => var.as_detached_tensor(),
        }
    }

    pub fn is_trained(&self) -> bool {
        matches!(self, Self::Trained(_))
    }

    /// The same tensor in a second place.
    pub fn share(&self) -> Self {
        match self {
            Self::Frozen(tensor) => Self::Frozen(tensor.clone()),
            Self::Trained(var) => Self::Trained(var.clone()),
        }
    }
}
