//! LoRA on the attention projections, as it was written for version 1.0.0 of the contract.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    r: usize,
    lora_alpha: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self { r: 8, lora_alpha: 16.0 }
    }
}

struct Lora(Options);

impl Lora {
    fn scale(&self) -> f64 {
        self.0.lora_alpha / self.0.r as f64
    }
}

impl Tuner for Lora {
    const NAME: &'static str = "frozen-lora";
    const DESCRIPTION: &'static str = "LoRA of plugin-api 1.0.0";
    const REQUIRES: &'static [(&'static str, u32)] = &[("matmul", 1)];
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for w in model.linears().filter(|w| w.module.starts_with("self_attn")) {
            let a = Param::new("lora_A", [self.0.r, w.in_features()], Init::KaimingUniform { a: 5f64.sqrt() });
            plan.adapt(w, vec![a, Param::new("lora_B", [w.out_features(), self.0.r], Init::Zeros)]);
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, _site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
        Ok(ops.base(x) + self.scale() * x.matmul(a.t()).matmul(b.t()))
    }

    fn merge<'o>(&self, ops: &'o Ops<'o>, _site: &Site) -> Result<Option<Tensor<'o>>> {
        Ok(Some(ops.weight() + self.scale() * ops.param("lora_B").matmul(ops.param("lora_A"))))
    }
}

export_plugin!(tuner: Lora);
