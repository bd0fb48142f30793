//! Any recorded graph in the fast engine: run by candle at its site, in f32, and differentiated there.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use tunebench_kernels::product::Matrix;
use tunebench_spec::Graph;
use tunebench_spec::graph::DType as Precision;

use super::linear::Pass;
use super::values::{Gradients, Storage};
use crate::Error;
use crate::attach::seeded;
use crate::site::{self, Dropout, Inputs};

/// A graph and where its parameters are among the trained tensors.
pub(super) struct GraphSite {
    /// Among the sites of the model, in order of their names; keys its dropout.
    pub number: u64,
    pub forward: Graph,
    /// By parameter name: trained tensor, shape, and the precision it is used in.
    pub params: BTreeMap<String, (usize, Vec<usize>, Precision)>,
    /// Of the weight: `[out, in]`.
    pub dims: [usize; 2],
}

impl GraphSite {
    /// The site's output `[n, out]`, f32.
    pub fn forward<E: Storage>(&self, pass: &Pass<'_, E>, weight: &[E], x: &[E]) -> Result<Vec<f32>, Error> {
        let params = self.params.iter().map(|(name, (slot, dims, precision))| {
            Ok((name.clone(), site::rounded(&tensor(pass.trained[*slot].full(), dims)?, *precision)?))
        });
        let params = params.collect::<Result<_, Error>>()?;
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
        let mut vars = BTreeMap::new();
        for (name, (slot, dims, _)) in &self.params {
            vars.insert(name.clone(), Var::from_tensor(&tensor(pass.trained[*slot].full(), dims)?)?);
        }
        let params = self
            .params
            .iter()
            .map(|(name, (_, _, precision))| Ok((name.clone(), site::rounded(vars[name].as_tensor(), *precision)?)));
        let params = params.collect::<Result<_, Error>>()?;
        let y = self.run(pass, x.as_tensor(), weight, &params)?;
        let dy = Tensor::from_vec(dy.to_f32(), y.dims(), &Device::Cpu)?;
        let found = seeded(&y.contiguous()?, dy)?.backward()?;
        for (name, (slot, ..)) in &self.params {
            if let Some(gradient) = found.get(&vars[name]) {
                let sum = gradients.sum(*slot);
                sum.iter_mut().zip(flat(gradient)?).for_each(|(to, from)| *to += from);
            }
        }
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
        let dropout = match pass.draw {
            Some(draw) => Dropout::On(draw, self.number),
            None => Dropout::Off,
        };
        Ok(site::run(&self.forward, &Inputs { x: Some(x), weight: &weight, params, dropout })?.contiguous()?)
    }
}

fn input<E: Storage>(x: &[E], width: usize) -> Result<Tensor, Error> {
    let values: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
    Ok(Tensor::from_vec(values, (x.len() / width, width), &Device::Cpu)?)
}

fn tensor(values: &[f32], dims: &[usize]) -> Result<Tensor, Error> {
    Ok(Tensor::from_slice(values, dims, &Device::Cpu)?)
}

fn flat(x: &Tensor) -> Result<Vec<f32>, Error> {
    Ok(x.flatten_all()?.to_vec1()?)
}
