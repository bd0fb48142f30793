//! PEFT adapter folders: read as PEFT computes them, written as PEFT writes them.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;
use tunebench_model::{ReferenceModel, Tuning};
use tunebench_spec::WeightPlan;
use tunebench_testkit::compare::{bits, error};
use tunebench_testkit::golden::{Rows, json, model, path, section, tensors};
use tunebench_testkit::methods::{adapted, full, lora, recorded};
use tunebench_train::peft;

const ADAPTERS: [(&str, &str); 2] = [("tiny-peft", "lora_all_linear"), ("tiny-peft-dora", "dora")];

#[test]
fn adapters_made_by_peft_answer_as_in_peft() {
    for (folder, method) in ADAPTERS {
        let (shape, weights) = model("tiny");
        let tuning = peft::load(&path(folder), &shape).unwrap();
        let llama = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let rows = Rows::tiny();
        let (batch, _) = rows.batch();
        let expected = &tensors(&format!("tiny/{method}.safetensors"))[&format!("{method}.logits")];
        for (row, length) in batch.lengths().iter().enumerate() {
            let at: Vec<u32> = (0..*length).map(|i| batch.index(row, i)).collect();
            let expected = expected.get(row).unwrap().narrow(0, 0, *length).unwrap();
            assert!(error(&llama.logits(&batch, &at).unwrap(), &expected) < 5e-6, "{method}");
        }
        let merged = tuning.merge(&shape, weights).unwrap();
        for (name, expected) in section(&format!("tiny/{method}.safetensors"), &format!("merged.{method}.")) {
            assert!(error(&merged.get(&name).unwrap(), &expected) < 1e-6, "{method}: {name}");
        }
    }
}

#[test]
fn what_is_written_is_what_peft_writes() {
    for (folder, method) in ADAPTERS {
        let (shape, weights) = model("tiny");
        let values = section(&format!("tiny/{method}.safetensors"), &format!("{method}.param."));
        let tuning = Tuning::new(&shape, recorded(&shape, method), values).unwrap();
        let dir = tempfile::tempdir().unwrap();
        peft::save(dir.path(), &shape, &weights, "tiny", &tuning).unwrap();

        let read = |dir: &Path| candle_core::safetensors::load(dir.join("adapter_model.safetensors"), &Device::Cpu);
        let (found, expected) = (read(dir.path()).unwrap(), read(&path(folder)).unwrap());
        assert_eq!(found.len(), expected.len());
        for (name, expected) in &expected.into_iter().collect::<BTreeMap<_, _>>() {
            assert_eq!(bits(&found[name]), bits(expected), "{method}: {name}");
        }
        let config = fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
        let (found, expected): (Value, Value) =
            (serde_json::from_str(&config).unwrap(), json(&format!("{folder}/adapter_config.json")));
        for (key, value) in found.as_object().unwrap() {
            let expected = if key == "base_model_name_or_path" { &Value::from("tiny") } else { &expected[key] };
            assert_eq!(value, expected, "{method}: {key}");
        }
        for key in ["peft_type", "target_modules", "r", "lora_alpha", "use_dora", "base_model_name_or_path"] {
            assert!(found.get(key).is_some(), "{key}");
        }

        let again = peft::load(dir.path(), &shape).unwrap();
        for (name, value) in tuning.values() {
            assert_eq!(bits(value), bits(&again.values()[name]), "{name}");
        }
    }
}

#[test]
fn one_layer_of_several_is_named_in_full() {
    let (shape, weights) = model("tiny");
    let mut plan = adapted(&shape, &["q_proj"], lora, 0.0);
    let other = "model.layers.0.self_attn.q_proj.weight";
    plan.plan.weights.insert(other.into(), WeightPlan::Frozen);
    plan.sites.remove(other);
    let tuning = Tuning::init(&shape, &weights, plan, 0).unwrap();
    let dir = tempfile::tempdir().unwrap();
    peft::save(dir.path(), &shape, &weights, "tiny", &tuning).unwrap();
    let config: Value =
        serde_json::from_str(&fs::read_to_string(dir.path().join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["target_modules"], serde_json::json!(["model.layers.1.self_attn.q_proj"]));
}

#[test]
fn what_peft_could_not_compute_is_not_written() {
    let (shape, weights) = model("tiny");
    let dir = tempfile::tempdir().unwrap();
    let save = |tuning: &Tuning| peft::save(dir.path(), &shape, &weights, "tiny", tuning).unwrap_err().to_string();
    let begin = |plan| Tuning::init(&shape, &weights, plan, 0).unwrap();
    assert!(save(&begin(full(&shape))).contains("trained as a whole"));
    assert!(save(&Tuning::none()).contains("no weight is adapted"));

    // Parameters of the right names, but another computation: LoRA whose merge leaves the scale out.
    let mut plan = adapted(&shape, &["q_proj"], lora, 0.0);
    for graphs in &mut plan.graphs {
        for node in &mut graphs.merge.as_mut().unwrap().nodes {
            if let tunebench_spec::Op::Scale { by } = &mut node.op {
                *by = 1.0;
            }
        }
    }
    let values = begin(plan.clone()).values().clone().into_iter().map(|(name, v)| (name, (v + 0.5).unwrap()));
    let tuning = Tuning::new(&shape, plan, values.collect()).unwrap();
    assert!(save(&tuning).contains("differs from the tuner's own merge"));
}

#[test]
fn adapters_that_compute_otherwise_are_refused() {
    let cases: [(&str, Value, &str); 9] = [
        ("peft_type", "IA3".into(), "peft_type is IA3"),
        ("bias", "all".into(), "`bias` = all"),
        ("fan_in_fan_out", true.into(), "fan_in_fan_out"),
        ("modules_to_save", vec!["lm_head"].into(), "modules_to_save"),
        ("init_lora_weights", "pissa".into(), "changes the base weights"),
        ("r", 16.into(), "has rank 4"),
        ("use_dora", true.into(), "lora_magnitude_vector"),
        ("alora_invocation_tokens", vec![1, 2].into(), "alora_invocation_tokens"),
        ("lora_dropout", 2.into(), "dropout"),
    ];
    let (shape, _) = model("tiny");
    for (key, value, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::copy(path("tiny-peft/adapter_model.safetensors"), dir.path().join("adapter_model.safetensors")).unwrap();
        let mut config = json("tiny-peft/adapter_config.json");
        config[key] = value;
        fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
        let error = peft::load(dir.path(), &shape).unwrap_err().to_string();
        assert!(error.contains(expected), "{key}: {error}");
    }
    let missing = peft::load(&path("tiny"), &shape).unwrap_err().to_string();
    assert!(missing.contains("adapter_config.json"), "{missing}");
}

#[test]
fn older_names_and_patterns_are_read() {
    let (shape, _) = model("tiny");
    let dir = tempfile::tempdir().unwrap();
    let tensors = candle_core::safetensors::load(path("tiny-peft/adapter_model.safetensors"), &Device::Cpu).unwrap();
    let renamed: HashMap<String, Tensor> =
        tensors.into_iter().map(|(name, t)| (name.replace(".weight", ".default.weight"), t)).collect();
    candle_core::safetensors::save(&renamed, dir.path().join("adapter_model.safetensors")).unwrap();
    let mut config = json("tiny-peft/adapter_config.json");
    config["alpha_pattern"] = serde_json::json!({ "q_proj": 4, "layers.1.mlp.up_proj": 2 });
    fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    let tuning = peft::load(dir.path(), &shape).unwrap();
    let scale = |weight: &str| {
        let graph = &tuning.recorded().graphs_of(weight).unwrap().forward;
        let found = graph.nodes.iter().find_map(|n| match n.op {
            tunebench_spec::Op::Scale { by } => Some(by),
            _ => None,
        });
        found.unwrap()
    };
    assert_eq!(scale("model.layers.0.self_attn.q_proj.weight"), 1.0);
    assert_eq!(scale("model.layers.1.mlp.up_proj.weight"), 0.5);
    assert_eq!(scale("model.layers.0.mlp.up_proj.weight"), 2.0);
}
