//! A linear weight in use, and what is trained at it.

use std::sync::Arc;

use tunebench_kernels::SimdLevel;
use tunebench_kernels::gemm::{Matrix, PackedRhs, Rhs};
use tunebench_spec::random::Stream;

use super::graph::GraphSite;
use super::values::{Storage, Trained};
use super::virtual_tokens::Front;
use crate::dropout::Draw;

/// What all sites of one pass share.
pub(super) struct Pass<'a, E> {
    pub level: SimdLevel,
    pub trained: &'a [Trained<E>],
    /// Where each example ends.
    pub ends: &'a [usize],
    /// The draws of dropout; none outside training.
    pub draw: Option<&'a Draw>,
    /// What the virtual tokens in front of each example hold.
    pub front: Option<&'a Front<E>>,
}

/// A weight `[out, in]`: frozen, trained itself, or no longer there because it is packed.
pub(super) enum Weight<E> {
    Frozen(Arc<Vec<E>>),
    Trained(usize),
}

impl<E: Storage> Weight<E> {
    pub fn values<'a>(&'a self, trained: &'a [Trained<E>]) -> &'a [E] {
        match self {
            Self::Frozen(values) => values,
            Self::Trained(slot) => trained[*slot].rounded(),
        }
    }
}

/// A linear map `x [n, in] -> x Wᵀ [n, out]`, adapted or not.
pub(super) struct Linear<E> {
    pub out_features: usize,
    pub in_features: usize,
    pub weight: Weight<E>,
    /// `Wᵀ [in, out]` as the forward pass reads it and `W [out, in]` as the backward pass does, where they are kept.
    pub forward: Option<PackedRhs>,
    pub back: Option<PackedRhs>,
    pub site: Site,
}

/// What a tuner adds at a weight.
pub(super) enum Site {
    Plain,
    Lora(Lora),
    Graph(Box<GraphSite>),
}

/// `y += s · dropout(x) Aᵀ Bᵀ`.
pub(super) struct Lora {
    /// Trained tensors `[r, in]` and `[out, r]`.
    pub a: usize,
    pub b: usize,
    pub rank: usize,
    pub scale: f32,
    pub dropout: Option<SiteDropout>,
}

/// Which draws a dropout takes.
pub(super) struct SiteDropout {
    pub p: f64,
    /// Number of the site and of the node in its graph.
    pub place: [u64; 2],
}

impl<E: Storage> Linear<E> {
    pub fn is_trained(&self) -> bool {
        matches!(self.weight, Weight::Trained(_)) || !matches!(self.site, Site::Plain)
    }

    /// `Wᵀ [in, out]`.
    pub fn right<'a>(&'a self, trained: &'a [Trained<E>]) -> Rhs<'a, E> {
        match &self.forward {
            Some(packed) => packed.into(),
            None => self.matrix(trained).t().into(),
        }
    }

    /// `W [out, in]`, for the gradient of the input.
    pub fn right_back<'a>(&'a self, trained: &'a [Trained<E>]) -> Rhs<'a, E> {
        match &self.back {
            Some(packed) => packed.into(),
            None => self.matrix(trained).into(),
        }
    }

    /// `[out, in]`.
    pub fn matrix<'a>(&'a self, trained: &'a [Trained<E>]) -> Matrix<'a, E> {
        Matrix::new(self.weight.values(trained), self.out_features, self.in_features)
    }

    /// Packs the weight for the forward pass, and lets the plain one go.
    pub fn pack(&mut self, level: SimdLevel, trained: &[Trained<E>]) {
        self.forward = Some(PackedRhs::new(level, self.matrix(trained).t()));
        let needs_plain = matches!(self.site, Site::Graph(_));
        if let (Weight::Frozen(values), false) = (&mut self.weight, needs_plain) {
            *values = Arc::default();
        }
    }

    /// Packs the weight, if it stays as it is, for both passes, and lets the plain one go.
    pub fn pack_frozen(&mut self, level: SimdLevel) {
        if matches!(self.weight, Weight::Frozen(_)) && !matches!(self.site, Site::Graph(_)) {
            self.back = Some(PackedRhs::new(level, self.matrix(&[])));
            self.pack(level, &[]);
        }
    }
}

impl Lora {
    /// Which of its input's numbers are dropped in this pass.
    pub fn drops<E>(&self, pass: &Pass<'_, E>) -> Option<(f64, Vec<Stream>)> {
        let (drops, draw) = (self.dropout.as_ref().filter(|d| d.p > 0.0)?, pass.draw?);
        Some((drops.p, draw.streams(drops.place)))
    }

    /// `[r, in]`.
    pub fn a<'a, E: Storage>(&self, pass: &Pass<'a, E>, width: usize) -> Matrix<'a, E> {
        Matrix::new(pass.trained[self.a].rounded(), self.rank, width)
    }

    /// `[out, r]`.
    pub fn b<'a, E: Storage>(&self, pass: &Pass<'a, E>, out_features: usize) -> Matrix<'a, E> {
        Matrix::new(pass.trained[self.b].rounded(), out_features, self.rank)
    }
}
