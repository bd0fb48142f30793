//! A weight that is several in one is one site, as it is one module to PEFT.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_model::Weights;
use tunebench_peft::{load, save};
use tunebench_spec::decoder::QkvLayout;
use tunebench_spec::names::Role;
use tunebench_testkit::compare::error;
use tunebench_testkit::golden::model;
use tunebench_testkit::methods::{adapted, dora, ia3, lora};
use tunebench_testkit::values;

#[test]
fn a_fused_weight_is_one_site() {
    for layout in [QkvLayout::Blocks, QkvLayout::ByHead] {
        let (mut shape, _) = model("tiny");
        shape.attention.qkv = layout;
        shape.attention.kv_heads = shape.attention.heads;
        shape.mlp.fused_gate_up = true;
        let fused = [(Role::QueryKeyValue, "self_attn.qkv_proj"), (Role::GateUp, "mlp.gate_up_proj")];
        shape.names = shape.names.clone().with(&fused);
        shape.check().unwrap();
        let weights = Weights::init(&shape, 1).unwrap();
        for method in [lora, dora, ia3] {
            let plan = adapted(&shape, &["qkv_proj", "gate_up_proj"], method, 0.0);
            assert_eq!(plan.sites.len(), 2 * shape.num_hidden_layers, "{layout:?}");
            let tuning = values::moved(&shape, &weights, plan);
            let dir = tempfile::tempdir().unwrap();
            save(dir.path(), &shape, "fused", &tuning).unwrap();
            let (applied, _) = load(dir.path(), &shape).unwrap().applied(&shape, weights.clone()).unwrap();
            let merged = tuning.merge(&shape, weights.clone()).unwrap();
            for (name, expected) in merged.iter() {
                assert!(error(&applied.get(name).unwrap(), &expected) < 1e-6, "{layout:?}: {name}");
            }
        }
    }
}
