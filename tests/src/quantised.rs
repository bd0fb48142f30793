//! Models in four bits: arms over them beside the same over the plain model, what is planned of them, and what is refused.

use std::process::Command;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tunebench_model::formats::gguf::{self, Content, GgufType};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Tokenizer, Weights};
use tunebench_spec::study::Quantise;
use tunebench_spec::{ArmRecord, Decoder, Generation, LossLog};
use tunebench_study::{AdapterBase, Event, StudyError, adapter_export, trained_arm};
use tunebench_testkit::compare::error;
use tunebench_testkit::methods::{adapted, lora};
use tunebench_testkit::values;

use crate::adapters::logits;
use crate::support;
use crate::tiny;
use crate::workbench::{ITEMS, Workbench, arm_over as arm};

/// Of a model as it is and in four bits.
pub const STUDY: &str = r#"
[study]
name = "quantised"
seed = 3
template = "plain"
[selection]
share = 0.1
[recipe]
epochs = 1
max_steps = 4
batch_size = 4
max_length = 48
warmup_steps = 0
learning_rate = 1e-2
[[model]]
id = "plain"
source = "model"
tokenizer = "tokenizer.json"
[[model]]
id = "nf4"
source = "model"
tokenizer = "tokenizer.json"
quantise = "nf4"
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
bases = ["plain", "nf4"]
generation = { max_new_tokens = 8, batch_size = 2 }
"#;

/// A model of 64 numbers a row.
pub fn shape() -> Decoder {
    let flat = json!({
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 96, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    });
    serde_json::from_value(flat).unwrap()
}

/// The study with these arms.
pub fn bench(arms: &[String]) -> Workbench {
    let bench = Workbench::with_rows(&STUDY.replace("ARMS", &arms.concat()));
    save_model(&bench, 1);
    bench
}

/// Fresh weights, bf16, where the study finds its model.
pub fn save_model(bench: &Workbench, seed: u64) {
    let weights = Weights::init(&shape(), seed).unwrap();
    tunebench_model::save(&bench.path("model"), &shape(), &weights, None, Float::BF16).unwrap();
}

#[test]
fn an_arm_over_four_bits_stands_beside_the_same_over_the_plain_model() {
    let arms = [
        arm("lora", "plain", "lora-all-linear"),
        arm("qlora", "nf4", "lora-all-linear"),
        arm("then attention", "qlora", "lora-attention"),
    ];
    let bench = bench(&arms);
    let told = bench.run("out");
    assert_eq!(told.trainings().len(), 3, "{told:?}");
    let losses: Vec<LossLog> = bench.rows("out");
    let before = |arm: &str| losses.iter().find(|loss| loss.arm == arm && loss.step == 0).unwrap().loss;
    let apart = (before("lora") - before("qlora")).abs();
    assert!(apart > 1e-7 && apart < 0.05, "four bits change a loss, and little: {apart}");
    let last = |arm: &str| losses.iter().find(|loss| loss.arm == arm && loss.is_final).unwrap().loss;
    assert!(last("qlora") < before("qlora") && (last("lora") - last("qlora")).abs() < 0.05);
    for name in ["plain", "nf4", "lora", "qlora", "then attention"] {
        assert_eq!(bench.rows::<Generation>("out").iter().filter(|row| row.arm == name).count(), ITEMS, "{name}");
    }

    // What an adapter was folded into is plain numbers; what it left alone stays in its bits.
    let arms: Vec<ArmRecord> = bench.rows("out");
    let opened = |name: &str| {
        let identity = &arms.iter().find(|row| row.arm == name).unwrap().identity;
        trained_arm::open(&bench.path("out"), identity).unwrap().weights.quantised().len()
    };
    assert_eq!([opened("lora"), opened("qlora"), opened("then attention")], [0, 14, 0]);

    // PEFT's adapter of it stands over the model in four bits, and is opened so.
    let identity = &arms.iter().find(|row| row.arm == "qlora").unwrap().identity;
    let (out, dir) = (bench.path("out"), bench.path("exported"));
    let saved = adapter_export::save(&out, identity, &dir, &dir).unwrap();
    assert!(matches!(saved.base, AdapterBase::Original(_, Some(Quantise::Nf4))), "{saved:?}");
    let trained = trained_arm::open(&out, identity).unwrap();
    let expected = logits(&trained.file.shape, &trained.weights, &trained.tuning);
    let (shape, weights, tuning) = adapter_export::open(&dir, &saved).unwrap();
    let off = error(&logits(&shape, &weights, &tuning), &expected);
    assert!(off < 1e-5, "off by {off}");

    // A second run finds everything.
    assert!(bench.run("out").trainings().is_empty());
}

#[test]
fn a_plan_counts_four_bits() {
    let bench = bench(&[arm("lora", "plain", "lora-attention"), arm("qlora", "nf4", "lora-attention")]);
    let study = bench.open();
    let reports = study.plan().unwrap();
    let bytes = |name: &str| reports.iter().find(|report| report.arm == name).unwrap().memory_bytes.unwrap();
    let linear: u64 = shape().weights().iter().filter(|weight| weight.name.contains("proj")).map(|w| w.len()).sum();
    // Packed for both passes, bf16 takes four bytes a number; the source, which stays for the next arm, two.
    let saved = bytes("lora") - bytes("qlora");
    assert!(saved > 5 * linear && saved < 6 * linear, "{saved} of {linear} numbers");
}

#[test]
fn speed_is_measured_in_the_bits_that_a_model_has() {
    let bench = bench(&[arm("lora", "plain", "lora-attention"), arm("qlora", "nf4", "lora-attention")]);
    let file = bench.path("speed.json");
    let forecast = bench.open().with_calibration(file.clone()).forecast(&mut |_: &Event<'_>| {}).unwrap();
    let mut trained = forecast.arms.iter().filter(|arm| arm.trainings > 0.0);
    assert!(trained.all(|arm| arm.training_seconds.is_some_and(|seconds| seconds > 0.0)));
    // The two differ in nothing else.
    let measured: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(["training", "answering"].map(|of| measured[of].as_object().unwrap().len()), [2, 2], "{measured}");
}

#[test]
fn what_cannot_be_quantised_is_refused_before_anything_is_trained() {
    let refused = |bench: &Workbench| {
        let error: StudyError = bench.try_run("out", &[]).0.unwrap_err();
        assert!(!bench.path("out/arms.parquet").exists());
        error.to_string()
    };
    let whole = bench(&[arm("ft", "nf4", "ft")]);
    let said = refused(&whole);
    assert!(said.contains("`ft`") && said.contains("without quantise"), "{said}");

    let narrow = bench(&[arm("lora", "nf4", "lora-attention")]);
    let shape = Decoder { hidden_size: 32, ..shape() };
    let weights = Weights::init(&shape, 1).unwrap();
    std::fs::remove_dir_all(narrow.path("model")).unwrap();
    tunebench_model::save(&narrow.path("model"), &shape, &weights, None, Float::BF16).unwrap();
    let said = refused(&narrow);
    assert!(said.contains("model `nf4`") && said.contains("whole blocks of 64"), "{said}");

    let twice = bench(&[arm("lora", "nf4", "lora-attention")]);
    let file = support::repository("tests/golden/gguf/mixed-k.gguf");
    let study = std::fs::read_to_string(twice.path("study.toml")).unwrap();
    twice.write(
        "study.toml",
        &study.replace("source = \"model\"", &format!("source = {:?}", file.display().to_string())),
    );
    let said = refused(&twice);
    assert!(said.contains("in few bits already") && said.contains("model `nf4`"), "{said}");
}

/// Writes a model as a GGUF file of 8 bits a number, with a tokenizer that llama.cpp has; studies here name their own.
fn write_gguf(bench: &Workbench, shape: &Decoder, weights: &Weights) {
    let mut spaced = tiny::tokenizer();
    let replace = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
    spaced["model"]["vocab"]["▁"] = 257.into();
    let prepend = json!({ "type": "Prepend", "prepend": "▁" });
    spaced["normalizer"] = json!({ "type": "Sequence", "normalizers": [prepend, replace(" ", "▁")] });
    let strip = json!({ "type": "Strip", "content": " ", "start": 1, "stop": 0 });
    let decoders = [replace("▁", " "), json!({ "type": "ByteFallback" }), json!({ "type": "Fuse" }), strip];
    spaced["decoder"] = json!({ "type": "Sequence", "decoders": decoders });
    std::fs::create_dir(bench.path("spaced")).unwrap();
    bench.write("spaced/tokenizer.json", &spaced.to_string());
    bench.write("spaced/tokenizer_config.json", r#"{"eos_token": "</s>"}"#);
    let tokenizer = Tokenizer::from_file(&bench.path("spaced/tokenizer.json")).unwrap();
    let kind = GgufType::Q8_0;
    let (padding, name, chat_template, from) = (None, "m", None, None);
    let content = Content { shape, weights, tokenizer: &tokenizer, padding, kind, name, chat_template, from };
    gguf::write(&bench.path("model.gguf"), &content).unwrap();
}

const ADAPTED: &str = r#"
[[model]]
id = "blocks"
source = "model.gguf"
tokenizer = "tokenizer.json"
[[model]]
id = "with adapter"
source = "model.gguf"
tokenizer = "tokenizer.json"
adapter = "adapter"
[[dataset]]
id = "rows"
plugin = "belle"
source = "rows.jsonl"
"#;

/// What of a file stays in it is planned as it is when the arm is opened: not what an adapter or an arm between is folded into.
#[test]
fn a_plan_counts_what_stays_in_blocks_under_an_adapter() {
    let arms = [
        arm("plain", "blocks", "lora-attention"),
        arm("over", "with adapter", "lora-attention"),
        arm("then", "over", "lora-attention"),
    ];
    let header = &STUDY[..STUDY.find("[[model]]").unwrap()].replace("[selection]\nshare = 0.1\n", "");
    let bench = Workbench::with_rows(&format!("{header}{ADAPTED}{}", arms.concat()));
    let weights = Weights::init(&shape(), 1).unwrap();
    write_gguf(&bench, &shape(), &weights);
    let tuning = values::moved(&shape(), &weights, adapted(&shape(), &["v_proj", "up_proj"], lora, 0.0));
    tunebench_peft::save(&bench.path("adapter"), &shape(), "m", &tuning).unwrap();

    let study = bench.open();
    let reports = study.plan().unwrap();
    bench.run("out");
    let arms: Vec<ArmRecord> = bench.rows("out");
    let mut found = Vec::new();
    for name in ["plain", "over", "then"] {
        let report = reports.iter().find(|report| report.arm == name).unwrap();
        let identity = &arms.iter().find(|row| row.arm == name).unwrap().identity;
        let weights = trained_arm::open(&bench.path("out"), identity).unwrap().weights;
        assert_eq!(report.mapped_bytes, Some(weights.mapped_bytes()), "{name}");
        let total = report.own_memory_bytes.unwrap() + weights.mapped_bytes();
        assert_eq!((report.memory_bytes, report.fits), (Some(total), Some(true)), "{name}");
        found.push((weights.quantised().len(), weights.mapped_bytes()));
    }
    // Embedding and seven maps in each of two layers, of which two are folded into, and then the rest of attention; queries and
    // keys lie in another order in the file, so they are copied.
    let counts: Vec<usize> = found.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [15, 11, 5], "{found:?}");
    assert!(found[0].1 > found[1].1 && found[1].1 > found[2].1 && found[2].1 > 0, "{found:?}");
}

/// Most of it is maps of the MLP, zeros, which attention's adapters are trained beside.
fn large_shape() -> Decoder {
    let flat = json!({
        "vocab_size": 300, "hidden_size": 512, "intermediate_size": 16384, "num_hidden_layers": 8,
        "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 128, "max_position_embeddings": 96,
        "rope_theta": 10000.0, "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    });
    serde_json::from_value(flat).unwrap()
}

fn large_weights() -> Weights {
    let shape = large_shape();
    let small = Decoder { mlp: tunebench_spec::decoder::Mlp { intermediate_size: 32, ..shape.mlp }, ..shape.clone() };
    let drawn = Weights::init(&small, 1).unwrap();
    // Views of one number: the file is large, and memory is not.
    let zero = Tensor::zeros((1, 1), DType::F32, &Device::Cpu).unwrap();
    let tensor = |name: &str, dims: &[usize]| match name.contains("mlp") {
        true => zero.broadcast_as(dims).unwrap(),
        false => drawn.get(name).unwrap(),
    };
    let all = shape.weights().into_iter().map(|weight| (weight.name.clone(), tensor(&weight.name, &weight.shape)));
    Weights::new(&shape, all.collect()).unwrap()
}

/// A process that may have so many GiB, as `TUNEBENCH_MEMORY_GIB` says it; whether it went well, and all that it said.
fn within(bench: &Workbench, gib: &str, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(support::executable());
    command.args(arguments).current_dir(bench.path("")).env("HOME", bench.path("home"));
    let output = command.env("TUNEBENCH_HOME", bench.path("home")).env("TUNEBENCH_MEMORY_GIB", gib).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn a_file_that_is_larger_than_memory_is_trained_over_and_what_must_be_there_is_not() {
    const GIB: f64 = (1u64 << 30) as f64;
    let header = &STUDY[..STUDY.find("[[model]]").unwrap()].replace("[selection]\nshare = 0.1\n", "");
    let header = header.replace("learning_rate", "micro_batch_tokens = 96\nlearning_rate");
    let [model, rows] =
        [&ADAPTED[..ADAPTED.find("[[model]]\nid = \"with").unwrap()], &ADAPTED[ADAPTED.find("[[dataset]]").unwrap()..]];
    let bench = Workbench::with_rows(&format!("{header}{model}{rows}{}", arm("lora", "blocks", "lora-attention")));
    write_gguf(&bench, &large_shape(), &large_weights());
    let file = std::fs::metadata(bench.path("model.gguf")).unwrap().len() as f64 / GIB;
    let planned = |gib: &str| -> Value {
        let (ok, said) = within(&bench, gib, &["plan", "study.toml", "--json"]);
        assert!(ok, "{said}");
        serde_json::from_str(&said[said.find('{').unwrap()..=said.rfind('}').unwrap()]).unwrap()
    };
    let row = |of: &Value, what: &str| of["arms"][0][what].as_u64().unwrap() as f64 / GIB;

    // Less than the file has of blocks alone, and more than must be there.
    let ample = planned("64");
    let (own, mapped) = (row(&ample, "own_memory_bytes"), row(&ample, "mapped_bytes"));
    assert!(own < mapped && mapped < file, "{own} and {mapped} of {file}");
    assert_eq!(row(&ample, "memory_bytes"), own + mapped);
    let between = format!("{:.3}", (own + mapped) / 2.0);
    let narrow = planned(&between);
    assert_eq!(narrow["arms"][0]["fits"], true);
    let most: f64 = between.parse().unwrap();
    assert!((row(&narrow, "memory_bytes") - most).abs() < 1e-6, "{narrow}");
    let warning = "find no room beside";
    let (ok, said) = within(&bench, &between, &["plan", "study.toml"]);
    assert!(ok && said.matches(warning).count() == 1, "{said}");
    let (ok, said) = within(&bench, &between, &["study", "study.toml", "--out", "out"]);
    assert!(ok && said.matches(warning).count() == 1, "{said}");
    let arms: Vec<ArmRecord> = bench.rows("out");
    let predicted = arms.iter().find(|row| row.arm == "lora").unwrap().predicted_peak_bytes.unwrap();
    assert!((predicted as f64 / GIB - most).abs() < 1e-6, "{predicted}");

    let below = format!("{:.3}", own * 0.6);
    assert_eq!(planned(&below)["arms"][0]["fits"], false);
    for arguments in [&["plan", "study.toml"][..], &["study", "study.toml", "--out", "refused"]] {
        let (ok, said) = within(&bench, &below, arguments);
        assert!(said.contains("training takes") && !said.contains(warning), "{said}");
        assert_eq!(ok, arguments[0] == "plan", "{said}");
    }
    let (ok, said) = within(&bench, "64", &["study", "study.toml", "--out", "ample"]);
    assert!(ok && !said.contains(warning), "{said}");
    let arms: Vec<ArmRecord> = bench.rows("ample");
    let lora = arms.iter().find(|row| row.arm == "lora").unwrap();
    let (predicted, measured) = (lora.predicted_peak_bytes.unwrap() as f64, lora.peak_rss_bytes as f64);
    assert!((predicted / measured - 1.0).abs() < 0.15, "{predicted} for {measured}");
}
