//! What weights and activations are stored as, and the buffers that hold them.

use candle_core::{DType, Tensor};
use half::bf16;
use tunebench_kernels::Element;
use tunebench_kernels::optim::adamw::{self, Weights};

use crate::Error;

/// What weights and activations are stored as. A trained f32 weight is kept whole: in bf16 as the rounded number, which
/// is what products read, and the 16 bits that rounding took.
pub trait Storage: Element {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>);
    fn join(high: &[Self], low: &[i16]) -> Vec<f32>;
    fn master<'a>(high: &'a mut [Self], low: &'a mut [i16]) -> Weights<'a>;
    /// A tensor's numbers in order.
    ///
    /// # Errors
    /// When candle cannot convert them.
    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error>;
    /// Adds the bytes of these numbers to `out`.
    fn put(values: &[Self], out: &mut Vec<u8>);
    /// The numbers that these bytes are.
    fn get(bytes: &[u8], values: &mut [Self]);
}

impl Storage for f32 {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>) {
        (values, Vec::new())
    }

    fn join(high: &[Self], _: &[i16]) -> Vec<f32> {
        high.to_vec()
    }

    fn master<'a>(high: &'a mut [Self], _: &'a mut [i16]) -> Weights<'a> {
        Weights::Full(high)
    }

    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error> {
        Ok(tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    }

    fn put(values: &[Self], out: &mut Vec<u8>) {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn get(bytes: &[u8], values: &mut [Self]) {
        let (bytes, _) = bytes.as_chunks();
        values.iter_mut().zip(bytes).for_each(|(value, bytes)| *value = Self::from_le_bytes(*bytes));
    }
}

impl Storage for bf16 {
    fn split(values: Vec<f32>) -> (Vec<Self>, Vec<i16>) {
        let (mut high, mut low) = (vec![bf16::ZERO; values.len()], vec![0; values.len()]);
        adamw::split(&values, &mut high, &mut low);
        (high, low)
    }

    fn join(high: &[Self], low: &[i16]) -> Vec<f32> {
        let mut values = vec![0.0; high.len()];
        adamw::join(high, low, &mut values);
        values
    }

    fn master<'a>(high: &'a mut [Self], low: &'a mut [i16]) -> Weights<'a> {
        Weights::Split { high, low }
    }

    fn take(tensor: &Tensor) -> Result<Vec<Self>, Error> {
        Ok(tensor.to_dtype(DType::BF16)?.flatten_all()?.to_vec1()?)
    }

    fn put(values: &[Self], out: &mut Vec<u8>) {
        out.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }

    fn get(bytes: &[u8], values: &mut [Self]) {
        let (bytes, _) = bytes.as_chunks();
        values.iter_mut().zip(bytes).for_each(|(value, bytes)| *value = Self::from_le_bytes(*bytes));
    }
}

/// Makes `values` exactly `n` long; what it then holds means nothing.
pub(super) fn resize<T: Default + Clone>(values: &mut Vec<T>, n: usize) {
    values.resize(n, T::default());
}
