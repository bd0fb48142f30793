//! PEFT adapter folders: read as PEFT computes them, written as PEFT writes them.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tunebench_model::{ReferenceModel, Tuning, Weights};
use tunebench_peft::{Error, Kind, kind, load, save};
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Op, VirtualKind, WeightPlan};
use tunebench_testkit::compare::{bits, error};
use tunebench_testkit::golden::{self, Rows, model, path, section, tensors};
use tunebench_testkit::methods::{adapted, behind, both, frozen, full, ia3, ia3_input, lora, recorded, rslora};
use tunebench_testkit::values;

const ADAPTERS: [(&str, &str); 2] = [("tiny-peft", "lora_all_linear"), ("tiny-peft-dora", "dora")];

/// Whether a model gives the logits that PEFT computed for the rows of `tiny`.
fn assert_logits(what: &str, shape: &Decoder, weights: &Weights, tuning: &Tuning, expected: &Tensor) {
    let llama = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let (batch, _) = Rows::tiny().batch();
    for (row, length) in batch.lengths().iter().enumerate() {
        let at: Vec<u32> = (0..*length).map(|i| batch.index(row, i)).collect();
        let expected = expected.get(row).unwrap().narrow(0, 0, *length).unwrap();
        let off = error(&llama.logits(&batch, &at).unwrap(), &expected);
        assert!(off < 1e-5, "{what}, row {row}: off by {off}");
    }
}

/// The logits of every token of the rows of `tiny`.
fn logits(shape: &Decoder, weights: &Weights, tuning: &Tuning) -> Tensor {
    let llama = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let (batch, _) = Rows::tiny().batch();
    let at = |(row, length): (usize, &usize)| (0..*length).map(|i| batch.index(row, i)).collect::<Vec<_>>();
    let at: Vec<u32> = batch.lengths().iter().enumerate().flat_map(at).collect();
    llama.logits(&batch, &at).unwrap()
}

fn config(dir: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(dir.join("adapter_config.json")).unwrap()).unwrap()
}

#[test]
fn adapters_made_by_peft_answer_as_in_peft() {
    for (folder, method) in ADAPTERS {
        let (shape, weights) = model("tiny");
        let adapter = load(&path(folder), &shape).unwrap();
        assert_eq!(adapter.inspection.kind, if method == "dora" { Kind::Dora } else { Kind::Lora });
        let tuning = adapter.tuning(&shape).unwrap();
        let expected = &tensors(&format!("tiny/{method}.safetensors"))[&format!("{method}.logits")];
        assert_logits(method, &shape, &weights, &tuning, expected);
        let (merged, rest) = adapter.applied(&shape, weights).unwrap();
        assert!(rest.values().is_empty());
        for (name, expected) in section(&format!("tiny/{method}.safetensors"), &format!("merged.{method}.")) {
            assert!(error(&merged.get(&name).unwrap(), &expected) < 1e-6, "{method}: {name}");
        }
    }
}

#[test]
fn what_is_written_is_what_peft_writes() {
    for (folder, method) in ADAPTERS {
        let (shape, _) = model("tiny");
        let values = section(&format!("tiny/{method}.safetensors"), &format!("{method}.param."));
        let tuning = Tuning::new(&shape, recorded(&shape, method), values).unwrap();
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &shape, "tiny", &tuning).unwrap();

        let read = |dir: &Path| candle_core::safetensors::load(dir.join("adapter_model.safetensors"), &Device::Cpu);
        let (found, expected) = (read(dir.path()).unwrap(), read(&path(folder)).unwrap());
        assert_eq!(found.len(), expected.len());
        for (name, expected) in &expected.into_iter().collect::<BTreeMap<_, _>>() {
            assert_eq!(bits(&found[name]), bits(expected), "{method}: {name}");
        }
        let (found, expected) = (config(dir.path()), golden::json(&format!("{folder}/adapter_config.json")));
        for (key, value) in found.as_object().unwrap() {
            let expected = if key == "base_model_name_or_path" { &Value::from("tiny") } else { &expected[key] };
            assert_eq!(value, expected, "{method}: {key}");
        }
        for key in ["peft_type", "target_modules", "r", "lora_alpha", "use_dora", "base_model_name_or_path"] {
            assert!(found.get(key).is_some(), "{key}");
        }
        let again = load(dir.path(), &shape).unwrap().tuning(&shape).unwrap();
        for (name, value) in tuning.values() {
            assert_eq!(bits(value), bits(&again.values()[name]), "{name}");
        }
    }
}

/// (IA)³ at PEFT's targets for a LLaMA.
fn peft_ia3(shape: &Decoder) -> RecordedPlan {
    both(adapted(shape, &["k_proj", "v_proj"], ia3, 0.0), adapted(shape, &["down_proj"], ia3_input, 0.0))
}

/// Each kind as a tuner would record it, and what it is to PEFT.
fn kinds(shape: &Decoder) -> Vec<(&'static str, RecordedPlan, Kind)> {
    let prompts = |kind, projected| behind(frozen(shape), shape, kind, projected);
    let (embeddings, prefix) = (VirtualKind::Embeddings, VirtualKind::KeysValues);
    vec![
        ("LoRA", adapted(shape, &["q_proj", "up_proj"], lora, 0.1), Kind::Lora),
        ("rsLoRA", adapted(shape, &["q_proj", "o_proj"], rslora, 0.0), Kind::Lora),
        ("DoRA", recorded(shape, "dora"), Kind::Dora),
        ("IA3", peft_ia3(shape), Kind::Ia3),
        ("prompt tuning", prompts(embeddings, false), Kind::PromptTuning),
        ("P-tuning", prompts(embeddings, true), Kind::PTuning),
        ("prefix tuning", prompts(prefix, false), Kind::PrefixTuning),
        ("prefix tuning by an MLP", prompts(prefix, true), Kind::PrefixTuning),
    ]
}

#[test]
fn every_kind_comes_back_as_it_was_written() {
    let (shape, weights) = model("tiny");
    for (what, recorded, expected) in kinds(&shape) {
        assert_eq!(kind(&shape, &recorded).unwrap(), expected, "{what}");
        let tuning = values::moved(&shape, &weights, recorded);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(save(dir.path(), &shape, "tiny", &tuning).unwrap(), expected, "{what}");
        assert_eq!(config(dir.path())["peft_type"], expected.peft_type(), "{what}");

        let adapter = load(dir.path(), &shape).unwrap();
        assert_eq!((adapter.inspection.kind, adapter.inspection.base.as_deref()), (expected, Some("tiny")), "{what}");
        assert_eq!(adapter.inspection.remarks, Vec::<String>::new(), "{what}");
        let expected = logits(&shape, &weights, &tuning);
        let off = error(&logits(&shape, &weights, &adapter.tuning(&shape).unwrap()), &expected);
        assert!(off < 2e-6, "{what}: beside the weights, off by {off}");
        let (applied, rest) = adapter.applied(&shape, weights.clone()).unwrap();
        let off = error(&logits(&shape, &applied, &rest), &expected);
        assert!(off < 5e-6, "{what}: applied, off by {off}");
        let off = error(&logits(&shape, &weights, &Tuning::none()), &expected);
        assert!(off > 1e-3, "{what}: it says nothing ({off})");
    }
}

/// What PEFT itself computed, under the names of the tuners that record the same.
#[test]
fn numbers_of_peft_are_written_as_peft_has_them() {
    let (shape, weights) = model("tiny");
    let rows = Rows::tiny();
    let report = golden::json("tiny/adapters.json");
    for (method, recorded) in
        [("ia3", peft_ia3(&shape)), ("rslora", adapted(&shape, &tunebench_testkit::methods::ALL, rslora, 0.0))]
    {
        let values = section(&format!("tiny/{method}.safetensors"), &format!("{method}.param."));
        let tuning = Tuning::new(&shape, recorded, values).unwrap();
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &shape, "tiny", &tuning).unwrap();
        let (applied, rest) = load(dir.path(), &shape).unwrap().applied(&shape, weights.clone()).unwrap();
        let expected = report["methods"][method]["loss"].as_f64().unwrap();
        let labels = rows.is_label.iter().flatten().filter(|is_label| **is_label).count() as f64;
        let sum = tunebench_testkit::engines::reference_gradients(&shape, &applied, &rest, &rows).0;
        let found = sum / labels;
        assert!((found - expected).abs() < 2e-6 * expected, "{method}: {found} for {expected}");
    }
    for method in ["prompt_tuning", "prefix_tuning"] {
        let kind = if method == "prompt_tuning" { VirtualKind::Embeddings } else { VirtualKind::KeysValues };
        let values = section("tiny/virtual_tokens.safetensors", &format!("{method}.param."));
        let tuning = Tuning::new(&shape, behind(frozen(&shape), &shape, kind, false), values).unwrap();
        let dir = tempfile::tempdir().unwrap();
        save(dir.path(), &shape, "tiny", &tuning).unwrap();
        let expected = &tensors("tiny/virtual_tokens.safetensors")[&format!("{method}.logits")];
        let read = load(dir.path(), &shape).unwrap().tuning(&shape).unwrap();
        assert_logits(method, &shape, &weights, &read, expected);
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
    save(dir.path(), &shape, "tiny", &tuning).unwrap();
    assert_eq!(config(dir.path())["target_modules"], json!(["model.layers.1.self_attn.q_proj"]));
    load(dir.path(), &shape).unwrap();
}

#[test]
fn what_peft_could_not_compute_is_not_written() {
    let (shape, _) = model("tiny");
    let refused = |plan: &RecordedPlan| match kind(&shape, plan).unwrap_err() {
        Error::NotPeft(why) => why,
        other => panic!("{other}"),
    };
    assert!(refused(&full(&shape)).contains("trained as a whole"));
    assert!(refused(&RecordedPlan::default()).contains("no weight is adapted"));

    // Parameters of the right names, but another computation: a LoRA with a function between its matrices.
    let mut plan = adapted(&shape, &["q_proj"], lora, 0.0);
    for node in plan.graphs.iter_mut().flat_map(|graphs| &mut graphs.forward.nodes) {
        if let Op::Scale { .. } = node.op {
            node.op = Op::Tanh;
        }
    }
    assert!(refused(&plan).contains("none of LoRA, DoRA and (IA)³; export merged instead"));
    plan.graphs.iter_mut().for_each(|graphs| graphs.merge = None);
    assert!(refused(&plan).contains("only tunebench opens it"));

    // LoRA whose merge leaves the scale out.
    let mut plan = adapted(&shape, &["q_proj"], lora, 0.0);
    for node in plan.graphs.iter_mut().flat_map(|graphs| &mut graphs.merge.as_mut().unwrap().nodes) {
        if let Op::Scale { by } = &mut node.op {
            *by = 1.0;
        }
    }
    assert!(refused(&plan).contains("differs from the tuner's own merge"));

    let two = both(adapted(&shape, &["q_proj"], lora, 0.0), adapted(&shape, &["v_proj"], ia3, 0.0));
    assert!(refused(&two).contains("a PEFT folder holds one kind"));
    let behind_it = behind(adapted(&shape, &["q_proj"], lora, 0.0), &shape, VirtualKind::Embeddings, false);
    assert!(refused(&behind_it).contains("virtual tokens are trained and"));

    // A linear with a bias: PEFT's (IA)³ scales it, ours does not.
    let (qwen, _) = model("qwen2");
    let with_bias = adapted(&qwen, &["v_proj"], ia3, 0.0);
    assert!(kind(&qwen, &with_bias).unwrap_err().to_string().contains("has a bias, which PEFT's (IA)³ would scale"));
    assert_eq!(kind(&qwen, &adapted(&qwen, &["v_proj", "down_proj"], ia3_input, 0.0)).unwrap(), Kind::Ia3);
}

/// An (IA)³ made elsewhere scales the biases of a model that has them.
#[test]
fn biases_are_scaled_as_peft_does() {
    let (shape, weights) = model("qwen2");
    let dir = tempfile::tempdir().unwrap();
    let out = shape.kv_width();
    let l = Tensor::arange(1f32, 1.0 + out as f32, &Device::Cpu).unwrap().reshape((out, 1)).unwrap();
    let name = |layer: usize| format!("base_model.model.model.layers.{layer}.self_attn.v_proj.ia3_l");
    let tensors = HashMap::from([(name(0), l.clone()), (name(1), l.clone())]);
    candle_core::safetensors::save(&tensors, dir.path().join("adapter_model.safetensors")).unwrap();
    let config = json!({ "peft_type": "IA3", "target_modules": ["v_proj"], "feedforward_modules": [] });
    fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    let (applied, _) = load(dir.path(), &shape).unwrap().applied(&shape, weights.clone()).unwrap();
    let bias = "model.layers.1.self_attn.v_proj.bias";
    let expected = (weights.get(bias).unwrap() * l.flatten_all().unwrap()).unwrap();
    assert_eq!(bits(&applied.get(bias).unwrap()), bits(&expected));
}

#[test]
fn older_names_half_precision_and_patterns_are_read() {
    let (shape, _) = model("tiny");
    let dir = tempfile::tempdir().unwrap();
    let tensors = candle_core::safetensors::load(path("tiny-peft/adapter_model.safetensors"), &Device::Cpu).unwrap();
    let dtypes = [candle_core::DType::F16, candle_core::DType::BF16, candle_core::DType::F32];
    let renamed: HashMap<String, Tensor> = tensors
        .into_iter()
        .zip(dtypes.iter().cycle())
        .map(|((name, t), dtype)| (name.replace(".weight", ".default.weight"), t.to_dtype(*dtype).unwrap()))
        .collect();
    candle_core::safetensors::save(&renamed, dir.path().join("adapter_model.safetensors")).unwrap();
    let mut config = golden::json("tiny-peft/adapter_config.json");
    config["alpha_pattern"] = json!({ "q_proj": 4, r"layers\.[1-9]\.mlp\.(up|gate)_proj": 2 });
    fs::write(dir.path().join("adapter_config.json"), config.to_string()).unwrap();
    let tuning = load(dir.path(), &shape).unwrap().tuning(&shape).unwrap();
    let scale = |weight: &str| {
        let graph = &tuning.recorded().graphs_of(weight).unwrap().forward;
        graph.nodes.iter().find_map(|n| if let Op::Scale { by } = n.op { Some(by) } else { None }).unwrap()
    };
    assert_eq!(scale("model.layers.0.self_attn.q_proj.weight"), 1.0);
    assert_eq!(scale("model.layers.1.mlp.up_proj.weight"), 0.5);
    assert_eq!(scale("model.layers.0.mlp.up_proj.weight"), 2.0);
}
