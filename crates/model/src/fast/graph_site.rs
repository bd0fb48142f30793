//! Any recorded graph in the fast engine: run by candle at its site, in f32, and differentiated there.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use tunebench_kernels::gemm::Matrix;
use tunebench_spec::Graph;

use super::frozen_matrix::FrozenMatrix;
use super::graph_params::{GraphParams, flat};
use super::pass::{BackwardPass, Pass};
use super::storage::Storage;
use crate::Error;
use crate::dropout::SiteId;
use crate::graph::attach::seeded;
use crate::graph::site::{self, Dropout, Inputs};

/// A weight adapted by a graph that is not fused.
pub(super) struct GraphSite<E> {
    pub id: SiteId,
    pub graph: Graph,
    pub params: GraphParams,
    /// Frozen, `[out, in]`.
    pub weight: FrozenMatrix<E>,
    pub dims: [usize; 2],
}

impl<E: Storage> GraphSite<E> {
    /// The site's output `[n, out]` from `x [n, in]`, f32.
    pub fn forward(&self, pass: &Pass<'_, E>, x: &[E]) -> Result<Vec<f32>, Error> {
        flat(&self.run(pass, &self.input(x)?, &self.params.values(pass.trained)?)?)
    }

    /// Adds the gradients of the parameters; yields that of the input, `[n, in]`, f32.
    pub fn backward(&self, back: &mut BackwardPass<'_, E>, x: &[E], dy: Matrix<'_, E>) -> Result<Vec<f32>, Error> {
        let pass = back.pass;
        let x = Var::from_tensor(&self.input(x)?)?;
        let vars = self.params.variables(pass.trained)?;
        let y = self.run(pass, &x, &self.params.rounded(&vars)?)?;
        let dy = Tensor::from_vec(dy.to_f32(), y.dims(), &Device::Cpu)?;
        let found = seeded(&y.contiguous()?, dy)?.backward()?;
        self.params.add_gradients(&vars, &found, back.gradients)?;
        match found.get(&x) {
            Some(dx) => flat(dx),
            None => Ok(vec![0.0; x.elem_count()]),
        }
    }

    fn input(&self, x: &[E]) -> Result<Tensor, Error> {
        let values: Vec<f32> = x.iter().map(|x| x.to_f32()).collect();
        Ok(Tensor::from_vec(values, (x.len() / self.dims[1], self.dims[1]), &Device::Cpu)?)
    }

    fn run(&self, pass: &Pass<'_, E>, x: &Tensor, params: &BTreeMap<String, Tensor>) -> Result<Tensor, Error> {
        // One at a time: it is let go when the site is done.
        let weight = Tensor::from_vec(self.weight.to_f32(pass.level), &self.dims, &Device::Cpu)?;
        let dropout = Dropout::of(pass.dropout, self.id);
        Ok(site::run(&self.graph, &Inputs { x: Some(x), weight: Some(&weight), params, dropout })?.contiguous()?)
    }
}
