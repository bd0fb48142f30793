//! Where a model runs, in which precision, and what it keeps for the backward pass.

use candle_core::{DType, Device, Tensor};

/// The precision of products and of what goes from one to the next. Norms, softmax, rotations, activations, biases, losses and
/// what is trained are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    BF16,
}

impl Precision {
    /// Candle's word for it.
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::BF16 => DType::BF16,
        }
    }
}

/// How a model computes.
#[derive(Clone, Debug)]
pub struct Compute {
    pub device: Device,
    pub precision: Precision,
    /// Whether a layer's graph is made anew in the backward pass, of which the forward pass keeps its input alone.
    pub recompute: bool,
}

impl Compute {
    /// f32 on a device, all graphs kept.
    pub fn full(device: &Device) -> Self {
        Self { device: device.clone(), precision: Precision::F32, recompute: false }
    }

    /// A frozen tensor as it is kept: matrices in the precision of products, vectors (norms and biases) in f32.
    pub(crate) fn frozen(&self, tensor: &Tensor) -> candle_core::Result<Tensor> {
        let dtype = if tensor.rank() < 2 { DType::F32 } else { self.precision.dtype() };
        // Rounded before it travels.
        tensor.to_dtype(dtype)?.to_device(&self.device)
    }
}
