//! The check of a plan's virtual tokens: their maths over parameters alone, recorded, and computed for numbers.

use super::array::Array;
use super::evaluate::Values;
use super::graph::record_without_input;
use super::maths::{Maths, drawn, twice};
use super::random::Random;
use super::shapes::fixed;
use crate::{Model, Result, Site, Tuner, VirtualKind, VirtualTokens, Weight};

/// Whether the tuner makes of the parameters what the plan says: `[count, width]`, finite, with gradients.
pub fn check<T: Tuner>(tuner: &T, tokens: &VirtualTokens, model: &Model) -> Result<()> {
    let width = match tokens.kind {
        VirtualKind::Embeddings => model.hidden_size,
        VirtualKind::KeysValues => model.layers * 2 * model.kv_width,
    };
    let shape = [tokens.count, width];
    // A place without a weight: only parameters can be read there.
    let weight = Weight {
        name: "virtual_tokens".into(),
        shape: vec![],
        layer: None,
        module: String::new(),
        linear: false,
        role: String::new(),
    };
    let site = Site { weight, params: tokens.params.clone() };
    let graph = twice("`virtual_tokens`", || {
        record_without_input(&site, site.params.len(), &fixed(&shape), |ops| {
            tuner.virtual_tokens(ops, tokens).map(Some)
        })
    })?;
    let Some(graph) = graph else { return Err("`virtual_tokens` yields nothing".into()) };
    let mut random = Random::named("virtual_tokens");
    let params = tokens.params.iter().filter_map(|param| Some((param.name.clone(), drawn(param, &mut random)?)));
    let initial = Values { x: Array::zeros(&[0, 0]), weight: Array::zeros(&[0, 0]), params: params.collect() };
    let maths = Maths { method: "virtual_tokens", graph, params: &tokens.params, initial };
    maths.output()?;
    let upstream = Array::filled(&shape, || random.normal());
    maths.check_moved(&mut random, &upstream).map(|_| ())
}
