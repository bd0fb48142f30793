//! LoRA (Hu et al. 2021, arXiv 2106.09685) as a tunebench tuner: the start of one of your own.
//!
//! At an adapted weight `W0 [out, in]`: `h = W0 x + s B A dropout(x)` with `A [r, in]` random, `B [out, r]` zero and
//! `s = alpha / r`.

use tunebench_plugin_api::prelude::*;

/// What a study may set: `options = { r = 4 }`.
#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
pub struct Options {
    /// Rank.
    r: usize,
    alpha: f64,
    dropout: f64,
    /// Which linear weights of each layer.
    targets: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let targets = ["q_proj", "v_proj"].map(String::from).to_vec();
        Self {
            r: 8,
            alpha: 16.0,
            dropout: 0.05,
            targets,
        }
    }
}

/// The tuner.
pub struct Lora(Options);

impl Lora {
    fn scale(&self) -> f64 {
        self.0.alpha / self.0.r as f64
    }
}

impl Tuner for Lora {
    const NAME: &'static str = "my-plugin";
    const DESCRIPTION: &'static str = "LoRA on the query and value projections";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.r == 0 {
            return Err("r must be at least 1".into());
        }
        Ok(Self(options))
    }

    /// What happens to every weight, and the recipe that a study trains by unless it says otherwise.
    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let Options { r, targets, .. } = &self.0;
        let mut plan = TunePlan::frozen(model);
        for weight in model
            .linears()
            .filter(|w| targets.iter().any(|t| t == w.target()))
        {
            let a = Param::new(
                "lora_A",
                [*r, weight.in_features()],
                Init::KaimingUniform { a: 5f64.sqrt() },
            );
            let b = Param::new("lora_B", [weight.out_features(), *r], Init::Zeros);
            plan.adapt(weight, vec![a, b]);
        }
        if plan == TunePlan::frozen(model) {
            return Err(Error::new(format!(
                "the model has none of the targets {}",
                targets.join(", ")
            )));
        }
        plan.recipe = Recipe {
            learning_rate: Some(2e-4),
            ..Recipe::default()
        };
        Ok(plan)
    }

    /// `x [t, in] -> [t, out]`.
    fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B")); // [r, in], [out, r]
        let low = x.dropout(self.0.dropout).matmul(a.t()); // [t, r]
        Ok(ops.base(x) + self.scale() * low.matmul(b.t()))
    }

    /// `W0 + s B A`, `[out, in]`.
    fn merge<'o>(&self, ops: &'o Ops<'o>, _site: &Site) -> Result<Option<Tensor<'o>>> {
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
        Ok(Some(ops.weight() + self.scale() * b.matmul(a)))
    }
}

export_plugin!(tuner: Lora);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn begins_at_the_base_model_and_folds_in() {
        let report = check_tuner::<Lora>(json!({ "r": 4 })).unwrap();
        assert_eq!(report.sites.len(), 4); // two targets in each of two layers
        assert!(report.starts_at_base && report.merges);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        for (options, message) in [
            (json!({ "r": 0 }), "r must be at least 1"),
            (json!({ "rank": 4 }), "unknown field `rank`"),
            (json!({ "targets": ["qkv"] }), "none of the targets qkv"),
        ] {
            let error = check_tuner::<Lora>(options).unwrap_err();
            assert!(error.message().contains(message), "{error}");
        }
    }
}
