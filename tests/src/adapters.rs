//! Base models with PEFT adapters: arms over them, what is exported of such arms, and adapters that a plan refuses.

use std::fs;
use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::{Value, json};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Batch, ReferenceModel, Tuning, Weights};
use tunebench_results::Record;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{ArmRecord, Decoder, Generation, GradientReceipt, VirtualKind};
use tunebench_study::{AdapterBase, adapter_export, trained_arm};
use tunebench_testkit::compare::error;
use tunebench_testkit::methods::{adapted, behind, dora, frozen, lora};
use tunebench_testkit::values;

use crate::workbench::{ITEMS, Workbench, arm_over as arm};

const STUDY: &str = r#"
[study]
name = "adapted"
seed = 3
template = "plain"
[recipe]
epochs = 1
max_steps = 4
batch_size = 4
max_length = 48
warmup_steps = 0
learning_rate = 1e-2
[[model]]
id = "m"
source = "model"
tokenizer = "tokenizer.json"
adapter = "adapter"
[[model]]
id = "plain"
source = "model"
tokenizer = "tokenizer.json"
[[dataset]]
id = "rows"
plugin = "belle"
source = "rows.jsonl"
[[dataset]]
id = "questions"
plugin = "belle"
source = "questions.jsonl"
ARMS
[eval]
items = "questions"
judge = "reference"
bases = ["m", "plain"]
generation = { max_new_tokens = 24, batch_size = 2, temperature = 1.0 }
"#;

fn shape() -> Decoder {
    let flat = json!({
        "vocab_size": 300, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 96, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
        "tie_word_embeddings": true,
    });
    serde_json::from_value(flat).unwrap()
}

/// A study over `model/` with `adapter/`, which is what this plan makes of it.
fn bench(arms: &str, plan: RecordedPlan) -> Workbench {
    let bench = Workbench::with_rows(&STUDY.replace("ARMS", arms));
    let shape = shape();
    // As large as trained weights are, so that an adapter makes a difference.
    let weights = Weights::init(&shape, 1)
        .unwrap()
        .iter()
        .map(|(name, t)| (name.to_owned(), (t.as_ref() * 8.0).unwrap()))
        .collect();
    let weights = Weights::new(&shape, weights).unwrap();
    tunebench_model::save(&bench.path("model"), &shape, &weights, None, Float::F32).unwrap();
    let tuning = values::moved(&shape, &weights, plan);
    tunebench_peft::save(&bench.path("adapter"), &shape, "model", &tuning).unwrap();
    bench
}

pub fn logits(shape: &Decoder, weights: &Weights, tuning: &Tuning) -> Tensor {
    let model = ReferenceModel::new(shape, weights, tuning, &Device::Cpu).unwrap();
    let batch = Batch::right_padded(&[[5u32, 99, 42, 7, 230]]).unwrap();
    model.logits(&batch, &[0, 1, 2, 3, 4]).unwrap()
}

/// The weights of a model folder with an adapter.
fn opened(model: &Path, adapter: &Path) -> Tensor {
    let source = tunebench_model::open(model).unwrap();
    let adapter = tunebench_peft::load(adapter, &source.shape).unwrap();
    let (weights, rest) = adapter.applied(&source.shape, source.weights().unwrap()).unwrap();
    logits(&source.shape, &weights, &rest)
}

#[test]
fn an_arm_over_an_adapted_model_is_exported_as_it_answers() {
    let arms = [
        arm("first", "m", "lora-attention"),
        arm("second", "first", "lora-all-linear"),
        arm("whole", "m", "ft"),
        arm("over whole", "whole", "lora-attention"),
    ];
    let plan = adapted(&shape(), &["q_proj", "up_proj"], lora, 0.0);
    let bench = bench(&arms.concat(), plan);
    bench.run("out");
    let out = bench.path("out");
    let records = bench.rows::<ArmRecord>("out");
    let identity = |name: &str| &records.iter().find(|record| record.arm == name).unwrap().identity;
    let model = bench.path("model").canonicalize().unwrap();
    for (name, stacked) in [("first", 2), ("second", 3), ("over whole", 1)] {
        let dir = bench.path(&format!("{name} exported"));
        let saved = adapter_export::save(&out, identity(name), &dir, &dir).unwrap();
        assert_eq!(saved.stacked.len(), stacked, "{saved:?}");
        let base = match &saved.base {
            AdapterBase::Original(path, None) if stacked > 1 => path.clone(),
            AdapterBase::Written(path) if stacked == 1 => path.clone(),
            base => panic!("{name}: {base:?}"),
        };
        assert!(stacked == 1 || base == model, "{base:?}");
        let config: Value =
            serde_json::from_str(&fs::read_to_string(dir.join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!(config["base_model_name_or_path"], base.to_str().unwrap(), "{name}");
        let trained = trained_arm::open(&out, identity(name)).unwrap();
        let expected = logits(&trained.file.shape, &trained.weights, &trained.tuning);
        let off = error(&opened(&base, &dir), &expected);
        assert!(off < 1e-5, "{name}: off by {off}");
        let (shape, weights, tuning) = adapter_export::open(&dir, &saved).unwrap();
        let off = error(&logits(&shape, &weights, &tuning), &expected);
        assert!(off < 1e-5, "{name}: opened again off by {off}");
        // The arm's own adapter over the study's model is another model.
        let own =
            logits(&trained.file.shape, &tunebench_model::open(&model).unwrap().weights().unwrap(), &trained.tuning);
        assert!(error(&own, &expected) > 1e-3, "{name}");
    }
    let refused =
        adapter_export::save(&out, identity("whole"), &bench.path("no"), &bench.path("no")).unwrap_err().to_string();
    assert!(refused.contains("is trained as a whole") && !bench.path("no").exists(), "{refused}");

    let receipts = bench.rows::<GradientReceipt>("out");
    let passed: Vec<&str> = receipts.iter().filter(|of| of.passed && of.step == 3).map(|of| of.arm.as_str()).collect();
    assert_eq!(passed, ["first", "second", "whole", "over whole"], "{receipts:?}");
    assert_eq!(GradientReceipt::FRAME, "receipts");
}

#[test]
fn a_model_behind_virtual_tokens_answers_and_is_not_trained() {
    for kind in [VirtualKind::Embeddings, VirtualKind::KeysValues] {
        let shape = shape();
        let plan = behind(frozen(&shape), &shape, kind, false);
        let bench = bench(&arm("a", "plain", "lora-attention"), plan);
        let told = bench.run("out");
        assert!(told.of("base m").len() == 1, "{told:?}");
        let answers = bench.rows::<Generation>("out");
        let of =
            |name: &str| answers.iter().filter(|row| row.arm == name).map(|row| row.answer.clone()).collect::<Vec<_>>();
        assert!(of("m").len() == ITEMS && of("m") != of("plain"), "{answers:?}");

        let text = fs::read_to_string(bench.path("study.toml")).unwrap();
        bench.write("study.toml", &text.replace("name = \"a\"\nbase = \"plain\"", "name = \"a\"\nbase = \"m\""));
        for refused in [bench.open().plan().map(drop).unwrap_err(), bench.try_run("other", &[]).0.unwrap_err()] {
            let refused = refused.to_string();
            assert!(refused.contains("arm `a`: it starts from model `m`: its adapter is virtual tokens"), "{refused}");
        }
    }
}

#[test]
fn an_adapter_that_cannot_be_used_is_refused_by_the_plan() {
    let bench = bench(&arm("a", "m", "lora-attention"), adapted(&shape(), &["q_proj"], dora, 0.0));
    assert!(bench.open().plan().is_ok());
    let config = bench.path("adapter").join("adapter_config.json");
    let good: Value = serde_json::from_str(&fs::read_to_string(&config).unwrap()).unwrap();
    for (key, value, expected) in [
        ("modules_to_save", json!(["lm_head"]), "there is no tensor of `lm_head`"),
        ("target_modules", json!(["q_proj", "lm_head"]), "is tied to the embeddings"),
        ("target_modules", json!(["q_proj", "v_proj"]), "tensors are missing"),
        ("use_bdlora", json!({ "nblocks": 2 }), "block-diagonal LoRA is not computed here; merge it in Python"),
        ("rank_pattern", json!({ "(": 2 }), "not a regular expression that can be read"),
    ] {
        let mut changed = good.clone();
        changed[key] = value;
        fs::write(&config, changed.to_string()).unwrap();
        let place = "model `m`: adapter ";
        for refused in [bench.open().plan().map(drop).unwrap_err(), bench.dry_run("other").unwrap_err()] {
            let refused = refused.to_string();
            assert!(refused.contains(expected) && refused.contains(place), "{key}: {refused}");
        }
    }
    // A model in place of an adapter, and the other way round.
    fs::write(&config, good.to_string()).unwrap();
    let text = fs::read_to_string(bench.path("study.toml")).unwrap();
    for (from, to, expected) in [
        ("adapter = \"adapter\"", "adapter = \"model\"", "is a whole model and no adapter"),
        (
            "source = \"model\"\ntokenizer = \"tokenizer.json\"\nadapter",
            "source = \"adapter\"\ntokenizer = \"tokenizer.json\"\nadapter",
            "is an adapter and no model; give model as",
        ),
    ] {
        bench.write("study.toml", &text.replacen(from, to, 1));
        let refused = bench.open().plan().map(drop).unwrap_err().to_string();
        assert!(refused.contains(expected), "{refused}");
    }
    // One that names another base is said, not refused.
    bench.write("study.toml", &text);
    let mut other = good.clone();
    other["base_model_name_or_path"] = "huggyllama/llama-7b".into();
    fs::write(&config, other.to_string()).unwrap();
    let told = bench.run("out");
    let said = told.of("remark on m: its adapter says that it was trained on `huggyllama/llama-7b`, and is put on ");
    assert_eq!(said.len(), 1, "{told:?}");
}
