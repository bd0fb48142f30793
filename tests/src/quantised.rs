//! Models in four bits: arms over them beside the same over the plain model, what is planned of them, and what is refused.

use serde_json::json;
use tunebench_model::Weights;
use tunebench_model::formats::safetensors::Float;
use tunebench_spec::study::Quantise;
use tunebench_spec::{ArmRecord, Decoder, Generation, LossLog};
use tunebench_study::{AdapterBase, StudyError, adapter_export, trained_arm};
use tunebench_testkit::compare::error;

use crate::adapters::logits;
use crate::workbench::{ITEMS, Workbench, arm_over as arm};

const STUDY: &str = r#"
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
fn shape() -> Decoder {
    let flat = json!({
        "vocab_size": 300, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 32, "max_position_embeddings": 96, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": true,
    });
    serde_json::from_value(flat).unwrap()
}

fn bench(arms: &[String]) -> Workbench {
    let bench = Workbench::with_rows(&STUDY.replace("ARMS", &arms.concat()));
    let weights = Weights::init(&shape(), 1).unwrap();
    tunebench_model::save(&bench.path("model"), &shape(), &weights, None, Float::BF16).unwrap();
    bench
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
        trained_arm::open(&bench.path("out"), identity).unwrap().weights.quantised_bytes().len()
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
    // Packed for both passes, bf16 takes four bytes a number; the source, which stays for the next arm, as many at most.
    let saved = bytes("lora") - bytes("qlora");
    assert!(saved > 7 * linear && saved < 8 * linear, "{saved} of {linear} numbers");
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
    let file = crate::support::repository("tests/golden/gguf/mixed-k.gguf");
    let study = std::fs::read_to_string(twice.path("study.toml")).unwrap();
    twice.write(
        "study.toml",
        &study.replace("source = \"model\"", &format!("source = {:?}", file.display().to_string())),
    );
    let said = refused(&twice);
    assert!(said.contains("in few bits already") && said.contains("model `nf4`"), "{said}");
}
