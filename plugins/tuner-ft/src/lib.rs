//! Full fine-tuning: every weight trainable, by the recipe of Sun et al. (2023), table 2.

use tunebench_plugin_api::prelude::*;

/// Trains all weights.
pub struct FullFineTuning;

/// There is nothing to choose.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {}

impl Tuner for FullFineTuning {
    const NAME: &'static str = "ft";
    const DESCRIPTION: &'static str = "full fine-tuning: every weight is trained";
    type Options = Options;

    fn new(_: Options) -> Result<Self> {
        Ok(Self)
    }

    fn plan(&self, model: &Model) -> Result<TunePlan> {
        let mut plan = TunePlan::trainable(model);
        plan.recipe = Recipe {
            learning_rate: Some(5e-6),
            epochs: Some(3.0),
            batch_size: Some(32),
            schedule: Some(Schedule::Cosine),
            warmup_ratio: Some(0.03),
            max_length: Some(1024),
            ..Recipe::default()
        };
        Ok(plan)
    }
}

export_plugin!(tuner: FullFineTuning);
