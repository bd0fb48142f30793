//! The checks of one adapted weight: its maths, recorded twice, and computed for numbers.

use std::collections::BTreeMap;

use super::array::Array;
use super::evaluate::{Evaluation, Values, forward};
use super::graph::{Graph, Op, record_without_input};
use super::random::Random;
use super::shapes::fixed;
use crate::{Error, Init, Param, Result, Site, Tuner};

/// Tokens of the input that sites are computed for.
const TOKENS: usize = 3;
/// How far parameters are moved from their initial values: the standard deviation.
const MOVED: f64 = 0.05;
/// Step of the finite difference; in f64 its error is some 1e-9 of a smooth function's slope.
const STEP: f64 = 1e-5;

/// An adapted weight with its maths, and numbers to compute it for.
pub struct SiteCheck<'a> {
    site: &'a Site,
    forward: Graph,
    merge: Option<Graph>,
    /// With the parameters' initial values.
    initial: Values,
}

impl<'a> SiteCheck<'a> {
    /// Records the site and begins its parameters.
    pub fn new<T: Tuner>(tuner: &T, site: &'a Site) -> Result<Self> {
        let (out, width) = (site.weight.out_features(), site.weight.in_features());
        let Some(forward) = twice("`forward`", || forward(tuner, site).map(Some))? else {
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
            if !value.is_finite() {
                return Err(Error::new(format!("the initial value of parameter `{}` is not finite", param.name)));
            }
            initial.params.insert(param.name.clone(), value);
        }
        Ok(Self { site, forward, merge, initial })
    }

    /// Whether it can be folded into the base weight.
    pub fn merges(&self) -> bool {
        self.merge.is_some()
    }

    /// Whether its first output is that of the base weight.
    pub fn starts_at_base(&self) -> Result<bool> {
        let output = self.forward.value(&self.initial)?;
        if !output.is_finite() {
            return Err("`forward` is not finite at the parameters' initial values".into());
        }
        Ok(is_same(&output, &self.initial.x.matmul(&self.initial.weight.transposed())))
    }

    /// What must hold for any values of the parameters, at some near the initial ones.
    pub fn check_moved(&self) -> Result<()> {
        let mut random = Random::named(&format!("{} moved", self.site.weight.name));
        let mut at = self.initial.clone();
        for value in at.params.values_mut() {
            value.data.iter_mut().for_each(|v| *v += MOVED * random.normal());
        }
        let upstream = Array::filled(&[TOKENS, self.site.weight.out_features()], || random.normal());
        let found = self.forward.evaluated(&at, &upstream)?;
        if !found.output.is_finite() {
            return Err("`forward` is not finite with parameters a little off their initial values".into());
        }
        self.check_merge(&at, &found.output)?;
        // Gradients end at `detach`: what is behind one must not move when parameters do.
        let held = self.forward.with_detached_held(&at)?;
        self.site.params.iter().try_for_each(|param| check_gradient(&held, param, &at, &upstream, &found))
    }

    fn check_merge(&self, at: &Values, output: &Array) -> Result<()> {
        let Some(merge) = &self.merge else { return Ok(()) };
        let merged = at.x.matmul(&merge.value(at)?.transposed());
        if is_same(&merged, output) {
            return Ok(());
        }
        let pairs = merged.data.into_iter().zip(output.data.iter().copied());
        let (found, expected) =
            pairs.max_by(|x, y| (x.0 - x.1).abs().total_cmp(&(y.0 - y.1).abs())).unwrap_or_default();
        Err(Error::new(format!(
            "`merge` is another map than `forward`: with the merged weight an output is {found}, expected {expected}"
        )))
    }
}

/// What `record` records, the same both times.
fn twice(method: &str, record: impl Fn() -> Result<Option<Graph>>) -> Result<Option<Graph>> {
    let named = |e: Error| Error::new(format!("{method}: {e}"));
    let first = record().map_err(named)?;
    let second = record().map_err(named)?;
    if first == second {
        return Ok(first);
    }
    let op = |graph: &Option<Graph>, i: usize| Some(graph.as_ref()?.nodes.get(i)?.op.clone());
    let most = [&first, &second].into_iter().flatten().map(|graph| graph.nodes.len()).max().unwrap_or_default();
    let changed = (0..most).find(|&i| op(&first, i) != op(&second, i)).map(|i| {
        let show = |graph| op(graph, i).map_or("nothing".into(), |op| format!("{op:?}"));
        format!(": operation {} was {}, then {}", i + 1, show(&first), show(&second))
    });
    let changed = changed.unwrap_or_default();
    Err(named(format!("recorded again it is not the same{changed}; it must be pure").into()))
}

/// An initial value that the host draws; none when it is to be computed.
fn drawn(param: &Param, random: &mut Random) -> Option<Array> {
    let shape = &param.shape;
    let mut between = |low: f64, high: f64| Array::filled(shape, || low + (high - low) * random.uniform());
    Some(match param.init {
        Init::Zeros => Array::zeros(shape),
        Init::Ones => Array::filled(shape, || 1.0),
        Init::KaimingUniform { a } => {
            let fan_in = shape.last().copied().unwrap_or(1) as f64;
            let bound = (6.0 / ((1.0 + a * a) * fan_in)).sqrt();
            between(-bound, bound)
        }
        Init::Uniform { low, high } => between(low, high),
        Init::Normal { mean, std } => Array::filled(shape, || mean + std * random.normal()),
        Init::Computed => return None,
    })
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

/// Whether a parameter has a gradient, and one that tells how the output moves.
fn check_gradient(held: &Graph, param: &Param, at: &Values, upstream: &Array, found: &Evaluation) -> Result<()> {
    let name = &param.name;
    let gradient = &found.gradients[name];
    if !gradient.is_finite() {
        return Err(Error::new(format!("the gradient of parameter `{name}` is not finite")));
    }
    // Below this a gradient is only rounding.
    let rounding = 1e-12 * (1.0 + found.output.largest());
    if param.lr_scale > 0.0 && gradient.largest() <= rounding {
        let cause = "`forward` does not use it, or only behind `detach`";
        return Err(Error::new(format!("parameter `{name}` has a gradient of zero: {cause}")));
    }
    let last = gradient.data.len() - 1;
    for index in [0, last / 2, last] {
        let moved = |by: f64| -> Result<f64> {
            let mut at = at.clone();
            if let Some(value) = at.params.get_mut(name) {
                value.data[index] += by;
            }
            Ok(held.value(&at)?.zip(upstream, |y, u| y * u).data.iter().sum())
        };
        let difference = (moved(STEP)? - moved(-STEP)?) / (2.0 * STEP);
        let slope = gradient.data[index];
        let scale = gradient.largest() + found.output.largest();
        if difference.is_nan() || (slope - difference).abs() > 1e-5 * scale {
            return Err(Error::new(format!(
                "parameter `{name}`, element {index}: its gradient is {slope}, a finite difference says {difference}; \
                 the maths has a jump or a kink there"
            )));
        }
    }
    Ok(())
}

impl Graph {
    /// The graph with what `detach` yields at `at` kept as it is.
    fn with_detached_held(&self, at: &Values) -> Result<Self> {
        let mut held = self.clone();
        for (node, value) in held.nodes.iter_mut().zip(self.values(at)?) {
            if node.op == Op::Detach {
                (node.op, node.inputs) = (Op::Held(value), vec![]);
            }
        }
        Ok(held)
    }
}

/// Equal but for rounding.
fn is_same(a: &Array, b: &Array) -> bool {
    a.zip(b, |a, b| a - b).largest() <= 1e-9 * b.largest()
}
