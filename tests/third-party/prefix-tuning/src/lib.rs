//! Prefix tuning (Li & Liang 2021, arXiv 2101.00190): every layer attends to trained keys and values in front of every
//! example. They are `P [num_virtual_tokens, layers · 2 · kv]` itself or, with `prefix_projection`, the paper's
//! `P = W2 tanh(W1 E + b1) + b2` with `E [num_virtual_tokens, kv]`, as PEFT has it.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    num_virtual_tokens: usize,
    /// Whether keys and values are made by an MLP.
    prefix_projection: bool,
    /// Its inner width; none for that of a layer's keys.
    encoder_hidden_size: Option<usize>,
    /// Standard deviation of the embedding's beginning; PEFT has 1. Small keys and values first take attention from
    /// the example without saying anything.
    init_std: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { num_virtual_tokens: 20, prefix_projection: false, encoder_hidden_size: None, init_std: 0.02 }
    }
}

struct PrefixTuning(Options);

/// A linear layer `[out, in]` as PyTorch begins it: weight and bias uniform in ±1/√in.
fn linear(name: &str, [out, width]: [usize; 2]) -> [Param; 2] {
    let bound = 1.0 / (width as f64).sqrt();
    let param = |part: &str, shape: Vec<usize>| {
        Param::new(&format!("{name}_{part}"), shape, Init::Uniform { low: -bound, high: bound })
    };
    [param("weight", vec![out, width]), param("bias", vec![out])]
}

/// `x Wᵀ + b`.
fn apply<'o>(ops: &'o Ops<'o>, name: &str, x: Tensor<'o>) -> Tensor<'o> {
    x.matmul(ops.param(&format!("{name}_weight")).t()) + ops.param(&format!("{name}_bias"))
}

impl Tuner for PrefixTuning {
    const NAME: &'static str = "prefix-tuning";
    const DESCRIPTION: &'static str =
        "Prefix tuning: trained keys and values in every layer, in front of every example";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.num_virtual_tokens == 0 || options.encoder_hidden_size == Some(0) {
            return Err(Error::new("num_virtual_tokens and encoder_hidden_size must be at least 1"));
        }
        if !(options.init_std.is_finite() && options.init_std >= 0.0) {
            return Err(Error::new("init_std must be at least 0"));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let (count, kv) = (self.0.num_virtual_tokens, model.kv_width);
        if kv == 0 {
            return Err(Error::new("this host does not say how wide keys and values are; update tunebench"));
        }
        let width = model.layers * 2 * kv;
        let init = Init::Normal { mean: 0.0, std: self.0.init_std };
        let mut params = vec![];
        if self.0.prefix_projection {
            let h = self.0.encoder_hidden_size.unwrap_or(kv);
            params.push(Param::new("embedding", [count, kv], init));
            // PEFT's names of the layers: a tanh is between them.
            params.extend([linear("transform_0", [h, kv]), linear("transform_2", [width, h])].concat());
        } else {
            params.push(Param::new("embedding", [count, width], init));
        }
        let virtual_tokens = Some(VirtualTokens { kind: VirtualKind::KeysValues, count, params });
        let recipe = Recipe { learning_rate: Some(1e-2), ..Recipe::default() };
        Ok(TunePlan { virtual_tokens, recipe, ..TunePlan::frozen(model) })
    }

    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _tokens: &VirtualTokens) -> Result<Tensor<'o>> {
        let embedding = ops.param("embedding");
        if !self.0.prefix_projection {
            return Ok(embedding);
        }
        Ok(apply(ops, "transform_2", apply(ops, "transform_0", embedding).tanh()))
    }
}

export_plugin!(tuner: PrefixTuning);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn trains_keys_and_values_with_and_without_an_mlp() {
        let params = |options| check_tuner::<PrefixTuning>(options).unwrap().trainable_params;
        let (width, kv) = (2 * 2 * 8, 8);
        assert_eq!(params(json!({ "num_virtual_tokens": 5 })), 5 * width);
        let mlp = (kv * kv + kv) + (kv * width + width);
        assert_eq!(params(json!({ "num_virtual_tokens": 5, "prefix_projection": true })), 5 * kv + mlp);
    }
}
