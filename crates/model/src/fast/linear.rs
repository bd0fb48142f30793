//! A linear weight in use, and what adapts it.

use std::sync::Arc;

use tunebench_kernels::SimdLevel;
use tunebench_kernels::gemm::{Matrix, PackedRhs, Rhs};
use tunebench_spec::random::Stream;

use super::frozen_matrix::FrozenMatrix;
use super::graph_site::GraphSite;
use super::pass::Pass;
use super::storage::Storage;
use super::trained::{Slot, TrainedTensor, Vector};
use crate::Error;
use crate::dropout::DropoutNode;

/// A weight `[out, in]` of a product.
pub(super) enum LinearWeight<E> {
    /// Frozen, as it is; perhaps shared with the embedding.
    Frozen(FrozenMatrix<E>),
    /// Frozen, as the products of the forward pass (`Wᵀ [in, out]`) and the backward pass (`W [out, in]`) read it. A model
    /// that only answers has no use for the second. Other models over the same weights may share them.
    Packed {
        fwd: Arc<PackedRhs>,
        bwd: Option<Arc<PackedRhs>>,
    },
    Trained(Slot),
}

/// A linear map `x [n, in] -> [n, out]`, with a bias where the decoder has one.
pub(super) struct Linear<E> {
    pub in_features: usize,
    pub out_features: usize,
    /// The first of its columns among the outputs of the linears fused with it.
    pub offset: usize,
    pub map: Map<E>,
    /// `[out]`, added after what an adapter yields: no adapter sees it, as in PEFT.
    pub bias: Option<Vector>,
}

/// How a linear map is computed.
pub(super) enum Map<E> {
    /// `x Wᵀ`, and LoRA's term beside it.
    Product { weight: LinearWeight<E>, lora: Option<Lora> },
    /// By a recorded graph over the frozen weight.
    Graph(GraphSite<E>),
}

/// The term `s · dropout(x) Aᵀ Bᵀ` of a product (Hu et al. 2021).
pub(super) struct Lora {
    /// `[r, in]` and `[out, r]`.
    pub a: Slot,
    pub b: Slot,
    pub rank: usize,
    /// `s`.
    pub scale: f32,
    pub dropout: Option<LoraDropout>,
    /// The first of its columns among the hidden values `s · dropout(x) Aᵀ` of the linears fused with it.
    pub offset: usize,
}

pub(super) struct LoraDropout {
    /// Above 0.
    pub p: f64,
    pub node: DropoutNode,
}

impl<E: Storage> Linear<E> {
    /// A map of its own; [`super::fused_linear::FusedLinear::new`] gives it its place among others.
    pub fn new([out_features, in_features]: [usize; 2], map: Map<E>, bias: Option<Vector>) -> Self {
        Self { in_features, out_features, offset: 0, map, bias }
    }

    pub fn is_trained(&self) -> bool {
        let is_map_trained = match &self.map {
            Map::Product { weight, lora } => matches!(weight, LinearWeight::Trained(_)) || lora.is_some(),
            Map::Graph(_) => true,
        };
        is_map_trained || self.bias.as_ref().is_some_and(Vector::is_trained)
    }

    /// `W [out, in]` of a product, unless it is packed or quantised.
    pub fn unpacked<'a>(&'a self, trained: &'a [TrainedTensor<E>]) -> Option<Matrix<'a, E>> {
        let Map::Product { weight, .. } = &self.map else { return None };
        let values = match weight {
            LinearWeight::Frozen(FrozenMatrix::Plain(values)) => values,
            LinearWeight::Frozen(FrozenMatrix::Quantised(_)) | LinearWeight::Packed { .. } => return None,
            LinearWeight::Trained(slot) => trained[*slot].rounded(),
        };
        Some(self.matrix(values))
    }

    fn matrix<'a>(&self, values: &'a [E]) -> Matrix<'a, E> {
        Matrix::new(values, self.out_features, self.in_features)
    }

    /// Has the system begin to read its weight, where that is in a file and not in memory.
    pub fn will_need(&self) {
        match &self.map {
            Map::Product { weight: LinearWeight::Frozen(weight), .. } => weight.will_need(),
            Map::Graph(site) => site.weight.will_need(),
            Map::Product { .. } => {}
        }
    }

    fn dims(&self) -> [usize; 2] {
        [self.out_features, self.in_features]
    }

    /// Packs the weight of a product for the forward pass alone, if it is plain numbers.
    pub fn pack_for_answers(&mut self, level: SimdLevel, trained: &[TrainedTensor<E>]) {
        let Some(fwd) = self.unpacked(trained).map(|matrix| PackedRhs::new(level, matrix.t())) else { return };
        if let Map::Product { weight, .. } = &mut self.map {
            *weight = LinearWeight::Packed { fwd: Arc::new(fwd), bwd: None };
        }
    }

    /// `Wᵀ [in, out]`, for the outputs.
    pub fn fwd<'a>(&'a self, trained: &'a [TrainedTensor<E>]) -> Rhs<'a, E> {
        match &self.map {
            Map::Product { weight: LinearWeight::Packed { fwd, .. }, .. } => fwd.as_ref().into(),
            Map::Product { weight: LinearWeight::Trained(slot), .. } => {
                self.matrix(trained[*slot].rounded()).t().into()
            }
            Map::Product { weight: LinearWeight::Frozen(weight), .. } => weight.transposed_rhs(self.dims()),
            Map::Graph(site) => site.weight.transposed_rhs(self.dims()),
        }
    }

    /// `W [out, in]`, for the gradient of the input.
    ///
    /// # Errors
    /// [`Error::AnswersOnly`] when it was packed for the forward pass alone.
    pub fn bwd<'a>(&'a self, trained: &'a [TrainedTensor<E>]) -> Result<Rhs<'a, E>, Error> {
        Ok(match &self.map {
            Map::Product { weight: LinearWeight::Packed { bwd, .. }, .. } => {
                bwd.as_deref().ok_or(Error::AnswersOnly)?.into()
            }
            Map::Product { weight: LinearWeight::Trained(slot), .. } => self.matrix(trained[*slot].rounded()).into(),
            Map::Product { weight: LinearWeight::Frozen(weight), .. } => weight.rhs(self.dims()),
            Map::Graph(site) => site.weight.rhs(self.dims()),
        })
    }
}

impl Lora {
    /// What is dropped of its input in this pass: the probability, and the draws of each example.
    pub fn drops<E>(&self, pass: &Pass<'_, E>) -> Option<(f64, Vec<Stream>)> {
        let (LoraDropout { p, node }, key) = (self.dropout.as_ref()?, pass.dropout?);
        Some((*p, key.streams(*node)))
    }

    /// `[r, in]`.
    pub fn a<'a, E: Storage>(&self, pass: &Pass<'a, E>, in_features: usize) -> Matrix<'a, E> {
        Matrix::new(pass.trained[self.a].rounded(), self.rank, in_features)
    }

    /// `[out, r]`.
    pub fn b<'a, E: Storage>(&self, pass: &Pass<'a, E>, out_features: usize) -> Matrix<'a, E> {
        Matrix::new(pass.trained[self.b].rounded(), out_features, self.rank)
    }
}
