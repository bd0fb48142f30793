//! Linear maps, adapted or not.

use candle_core::{DType, Tensor};

use crate::Error;
use crate::graph::ops;
use crate::reference::site::Site;
use crate::reference::weight::{Pass, Weight};

/// A linear map `x [n, in] -> [n, out]`, adapted or not.
pub(crate) struct Linear {
    pub weight: Weight,
    /// `[out]`, added after what a site yields: no adapter sees it, as in PEFT.
    pub bias: Option<Weight>,
    pub site: Option<Site>,
}

impl Linear {
    /// The map by a weight that no site adapts: a tied head.
    pub fn plain(weight: Weight) -> Self {
        Self { weight, bias: None, site: None }
    }

    /// # Shapes
    /// `x [n, in] -> [n, out]`.
    pub fn apply(&self, x: &Tensor, pass: Pass<'_>) -> Result<Tensor, Error> {
        let weight = self.weight.get(pass).to_dtype(x.dtype())?;
        let y = match &self.site {
            None => ops::linear(x, &weight)?,
            Some(site) => site.run(Some(x), Some(&weight), pass)?,
        };
        match &self.bias {
            Some(bias) => Ok(y.to_dtype(DType::F32)?.broadcast_add(&bias.get(pass))?.to_dtype(x.dtype())?),
            None => Ok(y),
        }
    }

    pub fn is_trained(&self) -> bool {
        let is_trained = |weight: &Weight| weight.is_trained();
        is_trained(&self.weight) || self.bias.as_ref().is_some_and(is_trained) || self.site.is_some()
    }
}
