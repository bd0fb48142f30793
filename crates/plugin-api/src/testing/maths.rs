//! Recorded maths over parameters, tried with numbers: twice the same, finite, and with a gradient to each parameter.

use super::array::Array;
use super::evaluate::{Evaluation, Values};
use super::graph::Graph;
use super::op::Op;
use super::random::Random;
use crate::{Error, Init, Param, Result};

/// How far parameters are moved from their initial values: the standard deviation.
const MOVED: f64 = 0.05;
/// Step of the finite difference; in f64 its error is some 1e-9 of a smooth function's slope.
const STEP: f64 = 1e-5;

/// What a method of a tuner yields, over parameters at their initial values.
pub struct Maths<'a> {
    /// The method, for messages.
    pub method: &'static str,
    pub graph: Graph,
    pub params: &'a [Param],
    pub initial: Values,
}

impl Maths<'_> {
    /// The first output.
    pub fn output(&self) -> Result<Array> {
        if let Some((name, _)) = self.initial.params.iter().find(|(_, value)| !value.is_finite()) {
            return Err(Error::new(format!("the initial value of parameter `{name}` is not finite")));
        }
        let output = self.graph.value(&self.initial)?;
        if !output.is_finite() {
            return Err(Error::new(format!("`{}` is not finite at the parameters' initial values", self.method)));
        }
        Ok(output)
    }

    /// Some values near the initial ones, and what is computed there: it must hold for any. `upstream` weighs the
    /// outputs whose gradients are taken.
    pub fn check_moved(&self, random: &mut Random, upstream: &Array) -> Result<(Values, Array)> {
        let mut at = self.initial.clone();
        for value in at.params.values_mut() {
            value.data.iter_mut().for_each(|v| *v += MOVED * random.normal());
        }
        let found = self.graph.evaluated(&at, upstream)?;
        if !found.output.is_finite() {
            let fault = "is not finite with parameters a little off their initial values";
            return Err(Error::new(format!("`{}` {fault}", self.method)));
        }
        // Gradients end at `detach`: what is behind one must not move when parameters do.
        let held = self.graph.with_detached_held(&at)?;
        self.params.iter().try_for_each(|param| self.check_gradient(&held, param, &at, upstream, &found))?;
        Ok((at, found.output))
    }

    /// Whether a parameter has a gradient, and one that tells how the output moves.
    fn check_gradient(
        &self,
        held: &Graph,
        param: &Param,
        at: &Values,
        upstream: &Array,
        found: &Evaluation,
    ) -> Result<()> {
        let name = &param.name;
        let gradient = &found.gradients[name];
        if !gradient.is_finite() {
            return Err(Error::new(format!("the gradient of parameter `{name}` is not finite")));
        }
        // Below this a gradient is only rounding.
        let rounding = 1e-12 * (1.0 + found.output.largest());
        if param.lr_scale > 0.0 && gradient.largest() <= rounding {
            let cause = format!("`{}` does not use it, or only behind `detach`", self.method);
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
                    "parameter `{name}`, element {index}: its gradient is {slope}, a finite difference says \
                     {difference}; the maths has a jump or a kink there"
                )));
            }
        }
        Ok(())
    }
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

/// What `record` records, the same both times.
pub fn twice(method: &str, record: impl Fn() -> Result<Option<Graph>>) -> Result<Option<Graph>> {
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
pub fn drawn(param: &Param, random: &mut Random) -> Option<Array> {
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
