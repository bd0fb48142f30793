//! Norms as the decoder describes them, with their weights.

use candle_core::{D, DType, Tensor};
use tunebench_spec::decoder::{self, NormKind};

use crate::Error;
use crate::graph::ops;
use crate::reference::weight::{Pass, Weight};

/// A norm over the last axis.
pub(crate) struct Norm {
    pub weight: Weight,
    /// Of a layer norm.
    pub bias: Option<Weight>,
    pub of: decoder::Norm,
}

impl Norm {
    /// # Shapes
    /// `x [n, d] -> [n, d]`.
    pub fn apply(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
        let weight = self.weight.get(pass);
        let normed = match self.of.kind {
            NormKind::Rms { unit_offset: false } => ops::rms_norm(x, &weight, self.of.eps)?,
            NormKind::Rms { unit_offset: true } => ops::rms_norm(x, &(weight + 1.0)?, self.of.eps)?,
            NormKind::Layer => {
                let x = x.to_dtype(DType::F32)?;
                let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let std = (centred.sqr()?.mean_keepdim(D::Minus1)? + self.of.eps)?.sqrt()?;
                centred.broadcast_div(&std)?.broadcast_mul(&weight)?
            }
        };
        let normed = match &self.bias {
            Some(bias) => normed.broadcast_add(&bias.get(pass))?,
            None => normed,
        };
        Ok(normed.to_dtype(x.dtype())?)
    }

    pub fn is_trained(&self) -> bool {
        self.weight.is_trained() || self.bias.as_ref().is_some_and(Weight::is_trained)
    }
}
