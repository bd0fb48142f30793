//! DoRA (Liu et al. 2024, arXiv 2402.09353): weight-decomposed low-rank adaptation.
//!
//! `h = m / ‖W0 + s B A‖ · (W0 x + s B A x)`, the norm taken per output row and without a gradient through it, as
//! PEFT does; `m` begins as that norm, so that the first answer is the base model's.

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

struct Dora(Options);

impl Dora {
    /// `W0 + s B A`, `[out, in]`.
    fn adapted<'o>(&self, ops: &'o Ops<'o>) -> Tensor<'o> {
        let s = self.0.lora_alpha / self.0.r as f64;
        ops.weight() + s * ops.param("lora_B").matmul(ops.param("lora_A"))
    }

    /// `m / ‖W0 + s B A‖`, `[out, 1]`.
    fn magnitude<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Tensor<'o> {
        let out = site.weight.out_features();
        let m = ops.param("lora_magnitude_vector").reshape(&[Dim::Fixed(out), Dim::Fixed(1)]);
        m / self.adapted(ops).norm(1).detach()
    }
}

impl Tuner for Dora {
    const NAME: &'static str = "dora";
    const DESCRIPTION: &'static str = "DoRA on every linear layer";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        if options.r == 0 || !(0.0..1.0).contains(&options.lora_dropout) {
            return Err(Error::new("r must be at least 1 and lora_dropout at least 0 and below 1"));
        }
        Ok(Self(options))
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for w in model.linears() {
            let (out, r) = (w.out_features(), self.0.r);
            let a = Param::new("lora_A", [r, w.in_features()], Init::KaimingUniform { a: 5f64.sqrt() });
            let b = Param::new("lora_B", [out, r], Init::Zeros);
            let m = Param::new("lora_magnitude_vector", [out], Init::Computed);
            plan.adapt(w, vec![a, b, m]);
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let s = self.0.lora_alpha / self.0.r as f64;
        let (a, b) = (ops.param("lora_A"), ops.param("lora_B"));
        let m = self.magnitude(ops, site).t(); // [1, out]
        let dropped = x.dropout(self.0.lora_dropout);
        let low = s * dropped.matmul(a.t()).matmul(b.t()); // [t, out]
        Ok(ops.base(x) + (m - 1.0) * ops.base(dropped) + m * low)
    }

    fn merge<'o>(&self, ops: &'o Ops<'o>, site: &Site) -> Result<Option<Tensor<'o>>> {
        Ok(Some(self.magnitude(ops, site) * self.adapted(ops)))
    }

    fn init<'o>(&self, ops: &'o Ops<'o>, site: &Site, _param: &str) -> Result<Tensor<'o>> {
        Ok(self.adapted(ops).norm(1).reshape(&[Dim::Fixed(site.weight.out_features())]))
    }
}

export_plugin!(tuner: Dora);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn begins_at_the_base_model_and_folds_in() {
        let report = check_tuner::<Dora>(json!({ "r": 4 })).unwrap();
        assert_eq!(report.sites.len(), 14);
        assert!(report.starts_at_base && report.merges);
        let error = check_tuner::<Dora>(json!({ "r": 0 })).unwrap_err();
        assert!(error.message().contains("r must be at least 1"), "{error}");
    }
}
