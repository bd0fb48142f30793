//! Prompt tuning (Lester et al. 2021, arXiv 2104.08691): embeddings in front of every example, and nothing else, are
//! trained: `h = [P; E(x)]` with `P [num_virtual_tokens, d]`.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    num_virtual_tokens: usize,
    /// Standard deviation of the beginning. LLaMA's own embeddings begin at 0.02; PEFT's random start has 1.
    init_std: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { num_virtual_tokens: 20, init_std: 0.02 }
    }
}

struct PromptTuning(Options);

impl Tuner for PromptTuning {
    const NAME: &'static str = "prompt-tuning";
    const DESCRIPTION: &'static str = "Prompt tuning: trained embeddings in front of every example";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.num_virtual_tokens == 0 || !(options.init_std.is_finite() && options.init_std >= 0.0) {
            return Err(Error::new("num_virtual_tokens must be at least 1 and init_std at least 0"));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        if model.kv_width == 0 {
            return Err(Error::new("this host knows no virtual tokens; update tunebench"));
        }
        let count = self.0.num_virtual_tokens;
        let init = Init::Normal { mean: 0.0, std: self.0.init_std };
        let params = vec![Param::new("embedding", [count, model.hidden_size], init)];
        let virtual_tokens = Some(VirtualTokens { kind: VirtualKind::Embeddings, count, params });
        // So few numbers take a large rate: Lester et al. use 0.3 with Adafactor, PEFT's examples 0.03 with AdamW.
        let recipe = Recipe { learning_rate: Some(1e-2), ..Recipe::default() };
        Ok(TunePlan { virtual_tokens, recipe, ..TunePlan::frozen(model) })
    }

    fn virtual_tokens<'o>(&self, ops: &'o Ops<'o>, _tokens: &VirtualTokens) -> Result<Tensor<'o>> {
        Ok(ops.param("embedding"))
    }
}

export_plugin!(tuner: PromptTuning);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn trains_embeddings_only() {
        let report = check_tuner::<PromptTuning>(json!({ "num_virtual_tokens": 5 })).unwrap();
        assert_eq!((report.sites.len(), report.trainable_params), (0, 5 * 16));
    }
}
