//! (IA)³ (Liu et al. 2022, arXiv 2205.05638): learned vectors rescale keys, values and what the MLP works with inside.
//!
//! `h = l ⊙ (W0 x)` at k_proj and v_proj; `h = W0 (l ⊙ x)` at feed-forward modules, here down_proj. `l` begins at
//! ones, so that the first answer is the base model's. Options, targets and the shapes of `ia3_l` are PEFT's.

#![forbid(unsafe_code)]

use tunebench_plugin_api::prelude::*;

#[derive(Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    target_modules: Vec<String>,
    /// Those of the targets whose input is rescaled instead of their output.
    feedforward_modules: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Self { target_modules: owned(&["k_proj", "v_proj", "down_proj"]), feedforward_modules: owned(&["down_proj"]) }
    }
}

struct Ia3(Options);

impl Ia3 {
    fn is_feedforward(&self, weight: &Weight) -> bool {
        self.0.feedforward_modules.iter().any(|name| name == weight.target())
    }
}

impl Tuner for Ia3 {
    const NAME: &'static str = "ia3";
    const DESCRIPTION: &'static str = "(IA)³: learned vectors rescale keys, values and inner activations";
    type Options = Options;

    fn new(options: Options) -> Result<Self> {
        let Options { target_modules, feedforward_modules } = &options;
        if target_modules.is_empty() {
            return Err(Error::new("target_modules is empty; nothing would be trained"));
        }
        match feedforward_modules.iter().find(|name| !target_modules.contains(name)) {
            Some(name) => Err(Error::new(format!(
                "feedforward_modules names {name:?}, which is not in target_modules; take it out or add it there"
            ))),
            None => Ok(Self(options)),
        }
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::frozen(model);
        for target in &self.0.target_modules {
            let mut weights = model.linears().filter(|w| w.target() == target).peekable();
            if weights.peek().is_none() {
                return Err(Error::new(format!(
                    "target_modules names {target:?}, which is no linear weight of the model"
                )));
            }
            for w in weights {
                let shape = if self.is_feedforward(w) { [1, w.in_features()] } else { [w.out_features(), 1] };
                plan.adapt(w, vec![Param::new("ia3_l", shape, Init::Ones)]);
            }
        }
        Ok(plan)
    }

    fn forward<'o>(&self, ops: &'o Ops<'o>, site: &Site, x: Tensor<'o>) -> Result<Tensor<'o>> {
        let l = ops.param("ia3_l");
        Ok(if self.is_feedforward(&site.weight) { ops.base(x * l) } else { ops.base(x) * l.t() })
    }

    /// The columns rescaled at feed-forward modules, else the rows.
    fn merge<'o>(&self, ops: &'o Ops<'o>, _site: &Site) -> Result<Option<Tensor<'o>>> {
        Ok(Some(ops.weight() * ops.param("ia3_l")))
    }
}

export_plugin!(tuner: Ia3);

#[cfg(test)]
mod tests {
    use tunebench_plugin_api::serde_json::json;
    use tunebench_plugin_api::testing::check_tuner;

    use super::*;

    #[test]
    fn begins_at_the_base_model_and_folds_in() {
        let report = check_tuner::<Ia3>(json!({})).unwrap();
        assert!(report.sites.len() == 6 && report.starts_at_base && report.merges, "{report:?}");
    }
}
