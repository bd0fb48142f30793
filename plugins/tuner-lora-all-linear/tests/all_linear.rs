//! The tuner tried by the authors' kit: its maths, its merge, its first output.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use tunebench_plugin_api::serde_json::json;
use tunebench_plugin_api::testing::check_tuner;
use tuner_lora_all_linear::LoraAllLinear;

#[test]
fn every_choice_of_targets_begins_at_the_base_model_and_folds_in() {
    // r (in + out) of the seven linear weights of each of the two layers; "paper" leaves out o_proj.
    for (options, sites, widths) in [(json!({}), 14, 296), (json!({ "targets": "paper", "r": 4 }), 12, 256)] {
        let report = check_tuner::<LoraAllLinear>(options.clone()).unwrap();
        assert_eq!((report.sites.len(), report.starts_at_base, report.merges), (sites, true, true), "{options}");
        let r = options["r"].as_u64().unwrap_or(8);
        assert_eq!(report.trainable_params, 2 * r * widths, "{options}");
    }
}
