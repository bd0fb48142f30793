//! Any recorded graph in the fast engine: run by candle at its site, in f32, and differentiated there.
//!
//! A graph's parameters are trained tensors of the model; candle gets copies of them.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use tunebench_kernels::gemm::Matrix;
use tunebench_spec::Graph;
use tunebench_spec::graph::DType as Precision;

use super::linear::Pass;
use super::values::{Gradients, Storage, Trained};
use crate::Error;
use crate::graph::attach::seeded;
use crate::graph::site::{self, Dropout, Inputs};

/// Parameters by name.
pub(super) type Params = BTreeMap<String, Param>;
/// Trained tensor, shape, and the precision it is used in.
type Param = (usize, Vec<usize>, Precision);

/// A graph and where its parameters are among the trained tensors.
pub(super) struct GraphSite {
    /// Among the sites of the model, in order of their names; keys its dropout.
    pub number: u64,
    pub forward: Graph,
    pub params: Params,
    /// Of the weight: `[out, in]`.
    pub dims: [usize; 2],
}

impl GraphSite {
    /// The site's output `[n, out]`, f32.
    pub fn forward<E: Storage>(&self, pass: &Pass<'_, E>, weight: &[E], x: &[E]) -> Result<Vec<f32>, Error> {
        let params = values(&self.params, pass.trained)?;
        self.run(pass, &input(x, self.dims[1])?, weight, &params).and_then(|y| flat(&y))
    }

    /// Adds the gradients of the parameters; yields that of the input, `[n, in]`, f32.
    pub fn backward<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        weight: &[E],
        x: &[E],
        dy: Matrix<'_, E>,
        gradients: &mut Gradients,
    ) -> Result<Vec<f32>, Error> {
        let x = Var::from_tensor(&input(x, self.dims[1])?)?;
        let vars = variables(&self.params, pass.trained)?;
        let params = rounded(&self.params, &vars)?;
        let y = self.run(pass, x.as_tensor(), weight, &params)?;
        let dy = Tensor::from_vec(dy.to_f32(), y.dims(), &Device::Cpu)?;
        let found = seeded(&y.contiguous()?, dy)?.backward()?;
        collect(&self.params, &vars, &found, gradients)?;
        match found.get(&x) {
            Some(dx) => flat(dx),
            None => Ok(vec![0.0; x.elem_count()]),
        }
    }

    fn run<E: Storage>(
        &self,
        pass: &Pass<'_, E>,
        x: &Tensor,
        weight: &[E],
        params: &BTreeMap<String, Tensor>,
    ) -> Result<Tensor, Error> {
        let weight = weight.iter().map(|w| w.to_f32()).collect();
        let weight = Tensor::from_vec(weight, &self.dims, &Device::Cpu)?;
        let dropout = Dropout::of(pass.draw, self.number);
        Ok(site::run(&self.forward, &Inputs { x: Some(x), weight: Some(&weight), params, dropout })?.contiguous()?)
    }
}

fn input<E: Storage>(x: &[E], width: usize) -> Result<Tensor, Error> {
    let values: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    Ok(Tensor::from_vec(values, (x.len() / width, width), &Device::Cpu)?)
}

/// The parameters' values as the graph uses them.
pub(super) fn values<E: Storage>(params: &Params, trained: &[Trained<E>]) -> Result<BTreeMap<String, Tensor>, Error> {
    let value = |(name, (slot, dims, precision)): (&String, &Param)| {
        Ok((name.clone(), site::rounded(&tensor(&trained[*slot], dims)?, *precision)?))
    };
    params.iter().map(value).collect()
}

/// The same to be differentiated by, and [`rounded`] to be used.
pub(super) fn variables<E: Storage>(params: &Params, trained: &[Trained<E>]) -> Result<BTreeMap<String, Var>, Error> {
    let var = |(name, (slot, dims, _)): (&String, &Param)| {
        Ok((name.clone(), Var::from_tensor(&tensor(&trained[*slot], dims)?)?))
    };
    params.iter().map(var).collect()
}

/// Variables as the graph uses them.
pub(super) fn rounded(params: &Params, vars: &BTreeMap<String, Var>) -> Result<BTreeMap<String, Tensor>, Error> {
    let round = |(name, (.., precision)): (&String, &Param)| {
        Ok((name.clone(), site::rounded(vars[name].as_tensor(), *precision)?))
    };
    params.iter().map(round).collect()
}

/// Adds what was found of the parameters' gradients.
pub(super) fn collect(
    params: &Params,
    vars: &BTreeMap<String, Var>,
    found: &GradStore,
    gradients: &mut Gradients,
) -> Result<(), Error> {
    for (name, (slot, ..)) in params {
        if let Some(gradient) = found.get(&vars[name]) {
            let sum = gradients.sum(*slot);
            sum.iter_mut().zip(flat(gradient)?).for_each(|(to, from)| *to += from);
        }
    }
    Ok(())
}

fn tensor<E: Storage>(trained: &Trained<E>, dims: &[usize]) -> Result<Tensor, Error> {
    Ok(Tensor::from_slice(trained.full(), dims, &Device::Cpu)?)
}

pub(super) fn flat(x: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(x.flatten_all()?.to_vec1()?)
}
