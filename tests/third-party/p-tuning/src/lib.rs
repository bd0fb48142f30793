//! P-tuning (Liu et al. 2021, arXiv 2103.10385), with an MLP for an encoder as PEFT has it: embeddings in front of
//! every example are `P = W3 relu(W2 relu(W1 E + b1) + b2) + b3`, `E [num_virtual_tokens, d]`, and all of it is trained.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    num_virtual_tokens: usize,
    /// Inner width of the encoder; none for the model's own.
    encoder_hidden_size: Option<usize>,
}

impl Default for Options {
    fn default() -> Self {
        Self { num_virtual_tokens: 20, encoder_hidden_size: None }
    }
}

struct PTuning(Options);

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

impl Tuner for PTuning {
    const NAME: &'static str = "p-tuning";
    const DESCRIPTION: &'static str = "P-tuning: embeddings in front of every example, made by a trained MLP";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.num_virtual_tokens == 0 || options.encoder_hidden_size == Some(0) {
            return Err(Error::new("num_virtual_tokens and encoder_hidden_size must be at least 1"));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        if model.kv_width == 0 {
            return Err(Error::new("this host knows no virtual tokens; update tunebench"));
        }
        let (count, d) = (self.0.num_virtual_tokens, model.hidden_size);
        let h = self.0.encoder_hidden_size.unwrap_or(d);
        let mut params = vec![Param::new("embedding", [count, d], Init::Normal { mean: 0.0, std: 1.0 })];
        // PEFT's names of the layers: ReLUs are between them.
        for (name, dims) in [("mlp_head_0", [h, d]), ("mlp_head_2", [h, h]), ("mlp_head_4", [d, h])] {
            params.extend(linear(name, dims));
        }
        let virtual_tokens = Some(VirtualTokens { kind: VirtualKind::Embeddings, count, params });
        let recipe = Recipe { learning_rate: Some(1e-3), ..Recipe::default() };
        Ok(TunePlan { virtual_tokens, recipe, ..TunePlan::frozen(model) })
    }

    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _tokens: &VirtualTokens) -> Result<Tensor<'o>> {
        let x = apply(ops, "mlp_head_0", ops.param("embedding")).relu();
        let x = apply(ops, "mlp_head_2", x).relu();
        Ok(apply(ops, "mlp_head_4", x))
    }
}

export_plugin!(tuner: PTuning);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn trains_an_embedding_and_its_mlp() {
        let report = check_tuner::<PTuning>(json!({ "num_virtual_tokens": 5, "encoder_hidden_size": 12 })).unwrap();
        let mlp = (16 * 12 + 12) + (12 * 12 + 12) + (12 * 16 + 16);
        assert_eq!((report.sites.len(), report.trainable_params), (0, 5 * 16 + mlp));
    }
}
