//! Virtual tokens in the reference path: their value in a pass, in front of every row.
//!
//! Letters in shapes: `c` virtual tokens, `w` numbers of each, `b` rows, `t` places of a row with the virtual ones,
//! `k` key/value heads, `e` head width, `d` hidden width.

use candle_core::{Tensor, Var};
use tunebench_spec::VirtualKind;

use crate::Error;
use crate::graph::attach::seeded;
use crate::reference::site::Site;
use crate::reference::weight::Pass;

/// Virtual tokens of a model.
pub(crate) struct VirtualTokens {
    pub kind: VirtualKind,
    pub count: usize,
    /// The graph of their value and its parameters.
    pub site: Site,
}

/// Their value in one pass.
pub(crate) struct Prefix {
    kind: VirtualKind,
    count: usize,
    /// `[c, w]`, as the graph has made it.
    value: Tensor,
    /// The same as a leaf, which layers read: it gathers gradients before they go through the graph.
    pub leaf: Tensor,
}

impl VirtualTokens {
    pub fn prefix(&self, pass: Pass<'_>) -> Result<Prefix, Error> {
        let value = self.site.run(None, None, pass)?;
        let leaf = match pass {
            Pass::Eval => value.clone(),
            Pass::Train(_) => Var::from_tensor(&value.detach())?.into_inner(),
        };
        Ok(Prefix { kind: self.kind, count: self.count, value, leaf })
    }
}

impl Prefix {
    /// Whether every layer reads it, not the first alone.
    pub fn is_in_layers(&self) -> bool {
        self.kind == VirtualKind::KeysValues
    }

    /// `x [b t, d]` with the embeddings in front of each of `b` rows; as it is where layers read the value.
    pub fn embedded(&self, x: &Tensor, rows: usize) -> Result<Tensor, Error> {
        if self.is_in_layers() {
            return Ok(x.clone());
        }
        let (n, d) = x.dims2()?;
        let prefix = self.leaf.unsqueeze(0)?.broadcast_as((rows, self.count, d))?.to_dtype(x.dtype())?;
        let rest = x.reshape((rows, n / rows, d))?.narrow(1, self.count, n / rows - self.count)?;
        Ok(Tensor::cat(&[&prefix, &rest], 1)?.reshape((n, d))?)
    }

    /// Keys and values `[b, k, t, e]` of layer `layer` with the given ones in prefix; as they are where the value is
    /// embeddings.
    pub fn keys_values(&self, layer: usize, [keys, values]: [Tensor; 2]) -> Result<[Tensor; 2], Error> {
        if !self.is_in_layers() {
            return Ok([keys, values]);
        }
        let (b, k, t, e) = keys.dims4()?;
        let put = |part: usize, x: &Tensor| -> Result<Tensor, Error> {
            let prefix = self.leaf.narrow(1, (2 * layer + part) * k * e, k * e)?; // [c, k e]
            let prefix = prefix.reshape((self.count, k, e))?.transpose(0, 1)?.unsqueeze(0)?;
            let prefix = prefix.broadcast_as((b, k, self.count, e))?.to_dtype(x.dtype())?;
            Ok(Tensor::cat(&[&prefix, &x.narrow(2, self.count, t - self.count)?], 2)?.contiguous()?)
        };
        Ok([put(0, &keys)?, put(1, &values)?])
    }

    /// A scalar whose backward leads the `gradient [c, w]` of the value to the parameters.
    pub fn seeded(&self, gradient: Tensor) -> Result<Tensor, Error> {
        Ok(seeded(&self.value, gradient)?)
    }
}
