//! Bottleneck adapters (Houlsby et al. 2019, arXiv 1902.00751) behind the attention and behind the MLP of every layer.
//!
//! At o_proj and down_proj, before the residual sum: `h = W0 x; y = h + U f(D h + d) + u`. `U`, `d` and `u` begin at
//! zero, so that the first answer is the base model's; the paper's near-zero `U` makes it almost that. As in the paper,
//! the norms are trained too. `f` is not linear, so nothing can be merged.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

/// Standard deviation of the paper's initial weights.
const INIT_STD: f64 = 0.01;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    /// Width of the bottleneck, the paper's `m`.
    bottleneck_size: usize,
    activation: Activation,
}

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", rename_all = "lowercase")]
enum Activation {
    Gelu,
    Relu,
}

impl Default for Options {
    fn default() -> Self {
        Self { bottleneck_size: 64, activation: Activation::Gelu }
    }
}

struct Houlsby(Options);

impl Tuner for Houlsby {
    const NAME: &'static str = "houlsby";
    const DESCRIPTION: &'static str = "bottleneck adapters behind attention and MLP, and the norms";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.bottleneck_size == 0 {
            return Err(Error::new("bottleneck_size must be at least 1"));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for norm in model.weights.iter().filter(|w| w.shape.len() == 1) {
            plan.weights.insert(norm.name.clone(), WeightPlan::Trainable { lr_scale: 1.0 });
        }
        for w in model.linears().filter(|w| ["output", "down"].contains(&w.role())) {
            let (d, m) = (w.out_features(), self.0.bottleneck_size);
            let params = vec![
                Param::new("adapter_down", [m, d], Init::Normal { mean: 0.0, std: INIT_STD }),
                Param::new("adapter_down_bias", [m], Init::Zeros),
                Param::new("adapter_up", [d, m], Init::Zeros),
                Param::new("adapter_up_bias", [d], Init::Zeros),
            ];
            plan.adapt(w, params);
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let h = ops.base(x); // [t, d]
        let down = h.matmul(ops.param("adapter_down").t()) + ops.param("adapter_down_bias"); // [t, m]
        let inner = match self.0.activation {
            Activation::Gelu => down.gelu(),
            Activation::Relu => down.relu(),
        };
        Ok(h + inner.matmul(ops.param("adapter_up").t()) + ops.param("adapter_up_bias"))
    }
}

export_plugin!(tuner: Houlsby);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn begins_at_the_base_model_and_does_not_fold_in() {
        for activation in ["gelu", "relu"] {
            let report = check_tuner::<Houlsby>(json!({ "activation": activation })).unwrap();
            assert!(report.sites.len() == 4 && report.starts_at_base && !report.merges, "{report:?}");
        }
    }
}
