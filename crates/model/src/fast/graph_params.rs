//! Parameters of a recorded graph that candle runs: trained tensors of the model, of which candle gets copies.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use tunebench_spec::graph::DType as Precision;

use super::gradients::Gradients;
use super::storage::Storage;
use super::trained::{Slot, TrainedTensor};
use crate::Error;
use crate::graph::site;

/// A graph's parameters by name.
pub(super) struct GraphParams(pub BTreeMap<String, GraphParam>);

/// One parameter of a graph.
pub(super) struct GraphParam {
    pub slot: Slot,
    pub shape: Vec<usize>,
    /// What it is rounded to for use.
    pub precision: Precision,
}

impl GraphParams {
    /// Their values as the graph uses them.
    pub fn values<E: Storage>(&self, trained: &[TrainedTensor<E>]) -> Result<BTreeMap<String, Tensor>, Error> {
        self.map(|_, param| Ok(site::rounded(&param.tensor(trained)?, param.precision)?))
    }

    /// Their values to be differentiated by; [`GraphParams::rounded`] of these is what the graph uses.
    pub fn variables<E: Storage>(&self, trained: &[TrainedTensor<E>]) -> Result<BTreeMap<String, Var>, Error> {
        self.map(|_, param| Ok(Var::from_tensor(&param.tensor(trained)?)?))
    }

    /// Variables as the graph uses them.
    pub fn rounded(&self, vars: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Tensor>, Error> {
        self.map(|name, param| Ok(site::rounded(vars[name].as_tensor(), param.precision)?))
    }

    /// Adds the gradients that `found` has of the variables.
    pub fn add_gradients(
        &self,
        vars: &BTreeMap<String, Var>,
        found: &GradStore,
        gradients: &mut Gradients,
    ) -> Result<(), Error> {
        for (name, param) in &self.0 {
            if let Some(gradient) = found.get(&vars[name]) {
                let sum = gradients.sum(param.slot);
                sum.iter_mut().zip(flat(gradient)?).for_each(|(to, from)| *to += from);
            }
        }
        Ok(())
    }

    fn map<T>(&self, f: impl Fn(&str, &GraphParam) -> Result<T, Error>) -> Result<BTreeMap<String, T>, Error> {
        self.0.iter().map(|(name, param)| Ok((name.clone(), f(name, param)?))).collect()
    }
}

impl GraphParam {
    fn tensor<E: Storage>(&self, trained: &[TrainedTensor<E>]) -> Result<Tensor, Error> {
        Ok(Tensor::from_slice(trained[self.slot].full(), self.shape.as_slice(), &Device::Cpu)?)
    }
}

/// A tensor's numbers in order.
pub(super) fn flat(x: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(x.flatten_all()?.to_vec1()?)
}
