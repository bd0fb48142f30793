//! Rank-stabilised LoRA (Kalajdzievski 2023, arXiv 2312.03732) on every linear weight of every layer.
//!
//! `h = W0 x + s B A dropout(x)` with `s = lora_alpha / sqrt(r)`, where LoRA has `lora_alpha / r`: so neither the
//! answers nor the gradients shrink as the rank grows. Options, parameters and their beginnings are PEFT's for
//! `use_rslora`.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    r: usize,
    lora_alpha: f64,
    lora_dropout: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { r: 8, lora_alpha: 16.0, lora_dropout: 0.05 }
    }
}

struct RsLora(Options);

impl RsLora {
    fn scale(&self) -> f64 {
        self.0.lora_alpha / (self.0.r as f64).sqrt()
    }
}

impl Tuner for RsLora {
    const NAME: &'static str = "rslora";
    const DESCRIPTION: &'static str = "rank-stabilised LoRA on every linear layer";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.r == 0 {
            return Err(Error::new("r must be at least 1"));
        }
        if !(0.0..1.0).contains(&options.lora_dropout) {
            return Err(Error::new(format!("lora_dropout = {} must be at least 0 and below 1", options.lora_dropout)));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for w in model.linears() {
            let a = Param::new("lora_A", [self.0.r, w.in_features()], Init::KaimingUniform { a: 5f64.sqrt() });
            let b = Param::new("lora_B", [w.out_features(), self.0.r], Init::Zeros);
            plan.adapt(w, vec![a, b]);
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
        let low = x.dropout(self.0.lora_dropout).matmul(a.t()); // [t, r]
        Ok(ops.base(x) + self.scale() * low.matmul(b.t()))
    }

    fn merge<'o>(&self, ops: &'o Ops<'o>, _site: &Site) -> Result<Option<Tensor<'o>>> {
        Ok(Some(ops.weight() + self.scale() * ops.param("lora_B").matmul(ops.param("lora_A"))))
    }
}

export_plugin!(tuner: RsLora);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn begins_at_the_base_model_and_folds_in() {
        let report = check_tuner::<RsLora>(json!({ "r": 4 })).unwrap();
        assert!(report.sites.len() == 14 && report.starts_at_base && report.merges, "{report:?}");
    }
}
