//! The third-party tuners, as they are built: the fast engine against the reference path, and ten steps of LoRA+.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::{Device, Tensor};
use half::bf16;
use serde_json::{Value, json};
use tunebench_host::Registry;
use tunebench_model::backend::BatchLayout;
use tunebench_model::backend::{FAST, REFERENCE};
use tunebench_model::fast::{Cache, Model, Options, memory};
use tunebench_model::{QuantisedWeights, ReferenceModel, Tuning, Weights};
use tunebench_peft::Kind;
use tunebench_spec::plan::RecordedPlan;
use tunebench_spec::{Decoder, Op, Recipe, Schedule};
use tunebench_testkit::compare::{assert_all_close, assert_moved_alike, assert_rounded, error};
use tunebench_testkit::engines::{fast_gradients, levels, reference_gradients};
use tunebench_testkit::golden::{self, Rows, in_order, section};
use tunebench_testkit::{kink, values};
use tunebench_train::batches::Steps;
use tunebench_train::{Job, load_result, steps, train};

use crate::support;

/// Tuner, which has its package's name, and its options.
fn cases() -> [(&'static str, Value); 8] {
    let lora = |dropout: f64| json!({ "r": 4, "lora_alpha": 8.0, "lora_dropout": dropout });
    [
        ("dora", lora(0.1)),
        ("rslora", lora(0.0)),
        ("rslora", lora(0.1)),
        ("lora-plus", lora(0.1)),
        ("ia3", json!({})),
        ("ia3", json!({ "target_modules": ["q_proj", "gate_proj"], "feedforward_modules": ["gate_proj"] })),
        ("houlsby", json!({ "bottleneck_size": 4 })),
        ("houlsby", json!({ "bottleneck_size": 4, "activation": "relu" })),
    ]
}

fn record(file: &Path, tuner: &str, options: Value, shape: &Decoder) -> RecordedPlan {
    let mut registry = Registry::default();
    registry.add(file).unwrap();
    registry.tuner(tuner, &serde_json::from_value(options).unwrap()).unwrap().record(shape).unwrap()
}

/// A tuning that has moved. Where a graph has a ReLU its biases are so large that each unit is on, or off, whatever a token
/// says: no rounding of bf16, an eightieth of a number of 4 at the most, brings it to the other side of the kink.
fn moved(shape: &Decoder, weights: &Weights, recorded: RecordedPlan) -> Tuning {
    let has_relu = recorded.graphs.iter().any(|graphs| graphs.forward.nodes.iter().any(|node| node.op == Op::Relu));
    let moved = values::moved(shape, weights, recorded);
    values::with(shape, &moved, |name, value| {
        if !has_relu || !name.ends_with("down_bias") {
            return value.clone();
        }
        let biases = (0..value.elem_count()).map(|unit| if unit % 2 == 0 { 4.0 } else { -4.0 });
        Tensor::from_iter(biases.map(|b: f64| b as f32), &Device::Cpu).unwrap()
    })
}

/// How near to the kink of ReLU inputs come in [`moved`]: far more than bf16 takes from them.
const MARGIN: f64 = 1.0;

#[test]
fn the_fast_engine_computes_what_the_reference_path_does() {
    let (shape, weights) = golden::model("tiny");
    let (weights, rows) = (values::halved(&shape, &weights), Rows::tiny());
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let tuning = moved(&shape, &weights, recorded);
        assert!(kink::keeps_margin(MARGIN, &shape, &weights, &tuning, &rows), "{tuner} {given}");
        let (loss, expected) = reference_gradients(&shape, &weights, &tuning, &rows);
        let (rounded, half) = values::in_bf16(&shape, &weights, &tuning);
        let (half_loss, half_expected) = reference_gradients(&shape, &rounded, &half, &rows);
        for (level, (recompute, packed)) in
            levels().into_iter().flat_map(|l| [(false, false), (true, false), (false, true)].map(|kept| (l, kept)))
        {
            let options = Options { level, recompute, packed };
            let what = format!("{tuner} {given}, {}, recompute {recompute}, packed {packed}", level.name());
            // The tolerances of crates/model/tests/fast.rs, for its reasons.
            let (found, gradients) = fast_gradients::<f32>(&shape, &weights, &tuning, &rows, options);
            assert!((found - loss).abs() < 1e-5 * loss, "{what}, f32: loss {found} for {loss}");
            assert_all_close(&format!("{what}, f32"), &gradients, &expected, |_| 3e-5);
            let (found, gradients) = fast_gradients::<bf16>(&shape, &rounded, &half, &rows, options);
            let off = (found - half_loss).abs() / half_loss;
            assert!(off < 5e-3, "{what}, bf16: loss {found} for {half_loss}");
            assert_rounded(&format!("{what}, bf16"), &shape, &gradients, &half_expected);
        }
    }
}

#[test]
fn the_first_answer_is_the_base_models() {
    let (shape, weights) = golden::model("tiny");
    let (batch, targets) = Rows::tiny().batch();
    let loss = |tuning: &Tuning| {
        ReferenceModel::new(&shape, &weights, tuning, &Device::Cpu).unwrap().loss(&batch, &targets).unwrap()
    };
    let base = loss(&Tuning::none());
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let found = loss(&Tuning::init(&shape, &weights, recorded, 3).unwrap());
        assert!((found - base).abs() < 1e-6 * base, "{tuner} {given}: {found} for {base}");
    }
}

/// Also where nothing can be merged: the graphs run for each new token.
#[test]
fn adapted_models_answer_token_by_token_as_they_read_a_whole_text() {
    let (shape, weights) = golden::model("tiny");
    let text: Vec<u32> = (0..12).map(|i| (i * 37 + 11) % 96).collect();
    for (tuner, given) in cases() {
        let recorded = record(&support::third_party(tuner), tuner, given.clone(), &shape);
        let tuning = moved(&shape, &weights, recorded);
        let whole = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
        let padded = tunebench_model::Batch::right_padded(std::slice::from_ref(&text)).unwrap();
        for level in levels() {
            let options = Options { level, recompute: false, packed: false };
            let mut model = Model::<f32>::new(&shape, weights.clone(), tuning.clone(), options).unwrap();
            model.pack();
            let (mut cache, mut scores) = (Cache::new(&model), Vec::new());
            model.prefill(&mut cache, &[&text[..5]], &mut scores).unwrap();
            for (n, token) in text.iter().enumerate().skip(5) {
                let expected = whole.logits(&padded, &[padded.index(0, n - 1)]).unwrap();
                let found = Tensor::from_slice(&scores, expected.dims(), &Device::Cpu).unwrap();
                let off = error(&found, &expected);
                assert!(off < 1e-5, "{tuner} {given}, {}: after {n} tokens off by {off}", level.name());
                model.step(&mut cache, &[*token], &mut scores).unwrap();
            }
        }
    }
}

/// A site that is not recognised as LoRA costs its candle tensors: so memory tells.
#[test]
fn a_third_party_lora_is_recognised_as_lora() {
    let shape = Decoder::preset("llama-7b").unwrap();
    let bytes = |file: &Path, tuner: &str| {
        let recorded = record(file, tuner, json!({ "r": 16, "lora_dropout": 0.1 }), &shape);
        memory::training(&shape, &recorded, &QuantisedWeights::new(), [512, 0], true).own
    };
    let ours = bytes(&support::plugin("tuner-lora-all-linear"), "lora-all-linear");
    for tuner in ["rslora", "lora-plus"] {
        assert_eq!(bytes(&support::third_party(tuner), tuner), ours, "{tuner}");
    }
    assert!(bytes(&support::third_party("dora"), "dora") > ours + (1 << 28), "and DoRA is not");
}

#[test]
fn ten_steps_of_lora_plus_are_those_of_pytorch() {
    let (shape, weights) = golden::model("tiny");
    let report = &golden::json("tiny/adapters.json")["methods"]["lora_plus"];
    let options = json!({
        "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0, "loraplus_lr_ratio": report["loraplus_lr_ratio"],
    });
    let recorded = record(&support::third_party("lora-plus"), "lora-plus", options, &shape);
    let begin = section("tiny/lora_all_linear.safetensors", "lora_all_linear.param.");
    let tuning = Tuning::new(&shape, recorded, begin).unwrap();
    let recipe = Recipe {
        learning_rate: report["peak_learning_rate"].as_f64().unwrap(),
        epochs: 1.0,
        batch_size: 3,
        schedule: Schedule::Cosine,
        warmup_steps: 2,
        weight_decay: 0.01,
        max_grad_norm: 1.0,
        ..Recipe::base()
    };
    let examples = in_order("tiny", |examples| {
        let mut steps = Steps::new(&examples, &recipe, 3, BatchLayout::Padded);
        let chosen = |step| steps.step(step).into_iter().flat_map(|micro_batch| micro_batch.examples).collect();
        (0..10).map(chosen).collect()
    });
    // The reference adds in another order; the fast engine computes in bf16, as in crates/train/tests/golden.rs.
    for (backend, loss, is_exact) in [(REFERENCE, 2e-6, true), (FAST, 0.02, false)] {
        let dir = tempfile::tempdir().unwrap();
        let job = Job {
            arm: "lora-plus",
            candidate: "",
            shape: &shape,
            weights: weights.clone(),
            tuning: tuning.clone(),
            examples: &examples,
            held_out: &[],
            recipe: &recipe,
            seed: 3,
            backend,
            dir: dir.path(),
            until: None,
        };
        train(job, &mut |_| ControlFlow::Continue(())).unwrap();
        let log = steps(dir.path()).unwrap();
        for (key, tolerance, found) in [
            ("losses", loss, log.iter().map(|s| s.loss).collect::<Vec<_>>()),
            ("grad_norms", 10.0 * loss, log.iter().map(|s| s.grad_norm).collect()),
            ("learning_rates", 1e-12, log.iter().map(|s| s.learning_rate).collect()),
        ] {
            let expected: Vec<f64> = serde_json::from_value(report[key].clone()).unwrap();
            assert_eq!(found.len(), expected.len());
            for (step, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let is_close = (found - expected).abs() <= tolerance * expected;
                assert!(is_close, "{backend:?}, {key} of step {step}: {found} for {expected}");
            }
        }
        let result = load_result(dir.path(), &shape).unwrap();
        let expected = section("tiny/lora_plus.safetensors", "lora_plus.final.");
        let what = format!("{backend:?}");
        assert_moved_alike(&what, tuning.values(), result.values(), &expected);
        if is_exact {
            assert_all_close(&what, result.values(), &expected, |_| 2e-5);
        }
    }
}

/// Every kind that PEFT knows, as a stranger's tuner records it, is written and read again; another is refused from its plan.
#[test]
fn third_party_adapters_are_written_for_peft_and_what_peft_does_not_know_is_not() {
    let (shape, weights) = golden::model("tiny");
    let rows = Rows::tiny();
    let loss = |weights: &Weights, tuning: &Tuning| reference_gradients(&shape, weights, tuning, &rows).0;
    let lora = || json!({ "r": 4, "lora_alpha": 8.0, "lora_dropout": 0.0 });
    let prompts = || json!({ "num_virtual_tokens": 4 });
    for (tuner, given, want) in [
        ("rslora", lora(), Ok(Kind::Lora)),
        ("lora-plus", lora(), Ok(Kind::Lora)),
        ("dora", lora(), Ok(Kind::Dora)),
        ("ia3", json!({}), Ok(Kind::Ia3)),
        ("prompt-tuning", prompts(), Ok(Kind::PromptTuning)),
        ("p-tuning", json!({ "num_virtual_tokens": 4, "encoder_hidden_size": 20 }), Ok(Kind::PTuning)),
        ("prefix-tuning", prompts(), Ok(Kind::PrefixTuning)),
        ("prefix-tuning", json!({ "num_virtual_tokens": 4, "prefix_projection": true }), Ok(Kind::PrefixTuning)),
        ("houlsby", json!({}), Err("is trained as a whole")),
    ] {
        let recorded = record(&support::third_party(tuner), tuner, given, &shape);
        let kind = match (tunebench_peft::kind(&shape, &recorded), want) {
            (Ok(kind), Ok(want)) if kind == want => kind,
            (Err(error), Err(why)) if error.to_string().contains(why) => continue,
            (found, want) => panic!("{tuner}: {found:?}, not {want:?}"),
        };
        let tuning = moved(&shape, &weights, recorded);
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(tunebench_peft::save(dir.path(), &shape, "tiny", &tuning).unwrap(), kind);
        let config = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
        let config: Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["peft_type"], kind.peft_type(), "{tuner}");
        // PEFT scales by alpha / r, whatever the tuner called it.
        let alpha = if tuner == "rslora" { 16.0 } else { 8.0 };
        assert!(
            kind.is_virtual() || kind == Kind::Ia3 || config["lora_alpha"].as_f64() == Some(alpha),
            "{tuner}: {config}"
        );
        let (applied, rest) =
            tunebench_peft::load(dir.path(), &shape).unwrap().applied(&shape, weights.clone()).unwrap();
        let (found, expected) = (loss(&applied, &rest), loss(&weights, &tuning));
        assert!((found - expected).abs() < 2e-6 * expected, "{tuner}: {found} for {expected}");
    }
}
