//! The checks of one adapted weight: `forward`, `merge` and initial values, recorded, and computed for numbers.

use std::collections::BTreeMap;

use super::array::Array;
use super::evaluate::{Values, forward};
use super::graph::{Graph, record_without_input};
use super::maths::{Maths, drawn, twice};
use super::random::Random;
use super::shapes::fixed;
use crate::{Error, Param, Result, Site, Tuner};

/// Tokens of the input that sites are computed for.
const TOKENS: usize = 3;

/// An adapted weight with its maths, and numbers to compute it for.
pub struct SiteCheck<'a> {
    site: &'a Site,
    forward: Maths<'a>,
    merge: Option<Graph>,
}

impl<'a> SiteCheck<'a> {
    /// Records the site and begins its parameters.
    pub fn new<T: Tuner>(tuner: &T, site: &'a Site) -> Result<Self> {
        let (out, width) = (site.weight.out_features(), site.weight.in_features());
        let Some(graph) = twice("`forward`", || forward(tuner, site).map(Some))? else {
            return Err("`forward` yields nothing".into());
        };
        let merge = twice("`merge`", || {
            record_without_input(site, site.params.len(), &fixed(&[out, width]), |ops| tuner.merge(ops, site))
        })?;
        let mut random = Random::named(&site.weight.name);
        let spread = 1.0 / (width as f64).sqrt();
        let mut initial = Values {
            x: Array::filled(&[TOKENS, width], || random.normal()),
            weight: Array::filled(&[out, width], || spread * random.normal()),
            params: BTreeMap::new(),
        };
        for (index, param) in site.params.iter().enumerate() {
            let value = match drawn(param, &mut random) {
                Some(value) => value,
                None => computed(tuner, site, index, &initial)?,
            };
            initial.params.insert(param.name.clone(), value);
        }
        Ok(Self { site, forward: Maths { method: "forward", graph, params: &site.params, initial }, merge })
    }

    /// Whether it can be folded into the base weight.
    pub fn merges(&self) -> bool {
        self.merge.is_some()
    }

    /// Whether its first output is that of the base weight.
    pub fn starts_at_base(&self) -> Result<bool> {
        let Values { x, weight, .. } = &self.forward.initial;
        Ok(is_same(&self.forward.output()?, &x.matmul(&weight.transposed())))
    }

    /// What must hold for any values of the parameters, at some near the initial ones.
    pub fn check_moved(&self) -> Result<()> {
        let mut random = Random::named(&format!("{} moved", self.site.weight.name));
        let upstream = Array::filled(&[TOKENS, self.site.weight.out_features()], || random.normal());
        let (at, output) = self.forward.check_moved(&mut random, &upstream)?;
        let Some(merge) = &self.merge else { return Ok(()) };
        let merged = at.x.matmul(&merge.value(&at)?.transposed());
        if is_same(&merged, &output) {
            return Ok(());
        }
        let pairs = merged.data.into_iter().zip(output.data);
        let (found, expected) =
            pairs.max_by(|x, y| (x.0 - x.1).abs().total_cmp(&(y.0 - y.1).abs())).unwrap_or_default();
        Err(Error::new(format!(
            "`merge` is another map than `forward`: with the merged weight an output is {found}, expected {expected}"
        )))
    }
}

/// The initial value that the tuner computes of the weight and the parameters before this one.
fn computed<T: Tuner>(tuner: &T, site: &Site, index: usize, at: &Values) -> Result<Array> {
    let Param { name, shape, .. } = &site.params[index];
    let method = format!("`init` of `{name}`");
    let graph = twice(&method, || {
        record_without_input(site, index, &fixed(shape), |ops| tuner.init(ops, site, name).map(Some))
    })?;
    graph.ok_or_else(|| Error::new(format!("{method} yields nothing")))?.value(at)
}

/// Equal but for rounding.
fn is_same(a: &Array, b: &Array) -> bool {
    a.zip(b, |a, b| a - b).largest() <= 1e-9 * b.largest()
}
