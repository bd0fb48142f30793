//! A frozen matrix: plain numbers, or quantised as it is stored.

use std::sync::Arc;

use tunebench_kernels::SimdLevel;
use tunebench_kernels::fingerprint::fingerprint;
use tunebench_kernels::gemm::{Matrix, Rhs};
use tunebench_kernels::ops::embedding::{gather, gather_quantised};
use tunebench_kernels::quant::{QuantTensor, QuantType};

use super::storage::Storage;
use crate::Error;
use crate::weights::Stored;

/// A frozen matrix `[rows, cols]`, perhaps in several places.
#[derive(Clone)]
pub(super) enum FrozenMatrix<E> {
    Plain(Arc<Vec<E>>),
    Quantised(Arc<QuantTensor>),
}

impl<E: Storage> FrozenMatrix<E> {
    /// A weight as it is held; f16, which takes as much, becomes plain.
    pub fn new(level: SimdLevel, stored: Stored) -> Result<Self, Error> {
        match stored {
            Stored::Quantised(tensor) if tensor.kind() != QuantType::F16 => Ok(Self::Quantised(tensor)),
            other => Ok(Self::Plain(Arc::new(numbers(level, &other)?))),
        }
    }

    /// Itself as an operand.
    pub fn rhs(&self, [rows, cols]: [usize; 2]) -> Rhs<'_, E> {
        match self {
            Self::Plain(values) => Matrix::new(values, rows, cols).into(),
            Self::Quantised(tensor) => tensor.matrix().into(),
        }
    }

    /// Its transpose as an operand.
    pub fn transposed_rhs(&self, [rows, cols]: [usize; 2]) -> Rhs<'_, E> {
        match self {
            Self::Plain(values) => Matrix::new(values, rows, cols).t().into(),
            Self::Quantised(tensor) => tensor.matrix().t().into(),
        }
    }

    /// The rows of these numbers, to `out [n, cols]`.
    pub fn gather(&self, level: SimdLevel, cols: usize, rows: &[u32], out: &mut [E]) {
        match self {
            Self::Plain(values) => gather(values, cols, rows, out),
            Self::Quantised(tensor) => gather_quantised(level, tensor, rows, out),
        }
    }

    /// Has the system begin to read it, where it is in a file and not in memory.
    pub fn will_need(&self) {
        if let Self::Quantised(tensor) = self {
            tensor.will_need();
        }
    }

    /// All its numbers, f32.
    pub fn to_f32(&self, level: SimdLevel) -> Vec<f32> {
        match self {
            Self::Plain(values) => values.iter().map(|value| value.to_f32()).collect(),
            Self::Quantised(tensor) => tensor.to_vec::<E>(level).iter().map(|value| value.to_f32()).collect(),
        }
    }

    /// A number that changes when any of its numbers does.
    pub fn fingerprint(&self) -> u64 {
        match self {
            Self::Plain(values) => fingerprint(values),
            Self::Quantised(tensor) => tensor.fingerprint(),
        }
    }
}

/// A weight's numbers, rounded to `E`.
pub(super) fn numbers<E: Storage>(level: SimdLevel, stored: &Stored) -> Result<Vec<E>, Error> {
    match stored {
        Stored::Plain(tensor) => E::take(tensor),
        Stored::Quantised(tensor) => Ok(tensor.to_vec(level)),
    }
}
