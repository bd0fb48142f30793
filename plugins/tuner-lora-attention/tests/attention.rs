//! The tuner tried by the authors' kit: its maths, its merge, its first output.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use tunebench_plugin_api::serde_json::json;
use tunebench_plugin_api::testing::check_tuner;
use tuner_lora_attention::LoraAttention;

#[test]
fn every_variant_begins_at_the_base_model_and_folds_in() {
    for (options, sites) in [
        (json!({}), 8),
        (json!({ "targets": ["v_proj"], "r": 2, "lora_dropout": 0.0 }), 2),
        (json!({ "use_rslora": true, "init_lora_weights": "gaussian" }), 8),
        (json!({ "rank_pattern": { "q_proj": 4 }, "alpha_pattern": { "o_proj": 1 } }), 8),
    ] {
        let report = check_tuner::<LoraAttention>(options.clone()).unwrap();
        assert!(report.sites.iter().all(|name| name.contains("self_attn")), "{options}: {report:?}");
        assert_eq!((report.sites.len(), report.starts_at_base, report.merges), (sites, true, true), "{options}");
    }
}

#[test]
fn ranks_that_no_lora_has_are_refused() {
    for (options, r) in [
        (json!({ "r": 0 }), 0),
        (json!({ "r": 1_000_000_000 }), 1_000_000_000),
        (json!({ "rank_pattern": { "q_proj": 65537 } }), 65537),
    ] {
        let refused = check_tuner::<LoraAttention>(options).unwrap_err().to_string();
        assert!(refused.contains(&format!("r = {r} must be at least 1 and at most 65536")), "{refused}");
    }
}
