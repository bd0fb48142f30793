//! A recorded graph in use, with its parameters.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use tunebench_spec::Graph;
use tunebench_spec::graph::DType as Precision;

use crate::Error;
use crate::dropout::SiteId;
use crate::graph::site::{self, Dropout, Inputs};
use crate::reference::weight::Pass;

/// A recorded graph with its parameters: the adaptation of a linear weight, or virtual tokens.
pub(crate) struct Site {
    pub id: SiteId,
    pub graph: Graph,
    /// By parameter name, and the precision it is used in.
    pub params: BTreeMap<String, (Var, Precision)>,
}

impl Site {
    /// What the graph yields over `x [n, in]` and `weight [out, in]`, where it has them: in f32 but for the base product, then in
    /// the precision of `x`.
    pub fn run(&self, x: Option<&Tensor>, weight: Option<&Tensor>, pass: Pass<'_>) -> Result<Tensor, Error> {
        let value = |(var, precision): &(Var, Precision)| match pass {
            Pass::Train(_) => site::rounded(var.as_tensor(), *precision),
            Pass::Eval => site::rounded(&var.as_detached_tensor(), *precision),
        };
        let params = self.params.iter().map(|(name, p)| Ok((name.clone(), value(p)?)));
        let params = params.collect::<Result<_, Error>>()?;
        let dropout = match pass {
            Pass::Train(key) => Dropout::On(key, self.id),
            Pass::Eval => Dropout::Off,
        };
        let dtype = x.map_or(DType::F32, Tensor::dtype);
        let full = x.map(|x| x.to_dtype(DType::F32)).transpose()?;
        let inputs = Inputs { x: full.as_ref(), weight, params: &params, dropout };
        Ok(site::run(&self.graph, &inputs)?.to_dtype(dtype)?.contiguous()?)
    }
}
