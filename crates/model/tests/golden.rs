//! The model against PyTorch, transformers and PEFT: logits, losses, every gradient, merged weights.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use candle_core::{DType, Device, Tensor};
use serde_json::Value;
use tunebench_model::{Batch, DropoutKey, ReferenceModel, Targets, Tuning, rotary};
use tunebench_testkit::compare::{assert_all_close, bits, error, flat};
use tunebench_testkit::golden::{self, FAMILIES, Rows, cases, floats, json, model, path, section, tensors};
use tunebench_testkit::methods::{full, recorded};

/// Of f32 against f32 in another order of summation, relative to the largest element.
const LOGITS: f64 = 2e-6;
const LOSS: f64 = 1e-6;
/// What passes the softmax of the attention is a difference of nearly equal terms.
fn gradient(name: &str) -> f64 {
    if ["q_proj", "k_proj", "qkv_proj", "query_key_value"].iter().any(|part| name.contains(part)) { 2e-5 } else { 1e-5 }
}
const MERGED: f64 = 1e-6;

fn no_dropout(rows: usize) -> DropoutKey {
    DropoutKey::new(0, 0, (0..rows as u64).collect())
}

fn tuned(family: &str, method: &str) -> (ReferenceModel, Tuning) {
    let (shape, weights) = model(family);
    let recorded = recorded(&shape, method);
    let tuning = match method {
        "ft" => Tuning::init(&shape, &weights, recorded, 0).unwrap(),
        _ => {
            let values = section(&format!("{family}/{method}.safetensors"), &format!("{method}.param."));
            Tuning::new(&shape, recorded, values).unwrap()
        }
    };
    (ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap(), tuning)
}

/// Logits of the real tokens, row after row.
fn real(logits: &Tensor, lengths: &[usize]) -> Tensor {
    let rows: Vec<Tensor> =
        lengths.iter().enumerate().map(|(i, n)| logits.get(i).unwrap().narrow(0, 0, *n).unwrap()).collect();
    Tensor::cat(&rows, 0).unwrap()
}

fn indices(batch: &Batch) -> Vec<u32> {
    let rows = batch.lengths().iter().enumerate();
    rows.flat_map(|(row, n)| (0..*n).map(move |i| (row, i))).map(|(row, i)| batch.index(row, i)).collect()
}

#[test]
fn logits_are_those_of_transformers_whatever_the_padding() {
    for family in FAMILIES {
        let (shape, weights) = model(family);
        let model = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        let rows = Rows::of(family);
        let expected = &tensors(&format!("{family}/fixtures.safetensors"))["logits"];
        let right = Batch::right_padded(&rows.tokens).unwrap();
        let expected = real(expected, right.lengths());
        for batch in [right, Batch::left_padded(&rows.tokens).unwrap()] {
            let found = model.logits(&batch, &indices(&batch)).unwrap();
            let worst = error(&found, &expected);
            assert!(worst <= LOGITS, "{family}: {worst:e}");
        }
    }
}

#[test]
fn losses_and_every_gradient_are_those_of_pytorch_and_peft() {
    for (family, method) in cases() {
        let (report, what) = (json(&format!("{family}/fixtures.json")), format!("{family}, {method}"));
        let (model, _) = tuned(family, &method);
        let (batch, targets) = Rows::of(family).batch();
        let labels = targets.len() as f64;
        assert_eq!(targets.len() as u64, report["label_tokens"].as_u64().unwrap());
        let file = format!("{family}/{method}.safetensors");

        let (sum, gradients) = model.loss_and_gradients(&batch, &targets, &no_dropout(3)).unwrap();
        let expected = report["methods"][&method]["loss"].as_f64().unwrap();
        assert!((sum / labels / expected - 1.0).abs() <= LOSS, "{what}: loss {} for {expected}", sum / labels);
        assert_eq!(sum, model.loss(&batch, &targets).unwrap(), "{what}: the loss without gradients");

        let shape = model.shape();
        let seen = |(name, g): (String, Tensor)| Some((name.clone(), golden::seen(shape, &name, &g)?));
        let gradients = gradients.into_iter().map(|(n, g)| (n, (g / labels).unwrap())).filter_map(seen).collect();
        let expected = section(&file, &format!("{method}.grad.")).into_iter().filter_map(seen).collect();
        assert_all_close(&what, &gradients, &expected, gradient);

        let logits = real(&tensors(&file)[&format!("{method}.logits")], batch.lengths());
        let worst = error(&model.logits(&batch, &indices(&batch)).unwrap(), &logits);
        assert!(worst <= LOGITS, "{what}: logits {worst:e}");
    }
}

#[test]
fn pieces_of_a_batch_add_up_to_the_whole() {
    for family in FAMILIES {
        let (model, _) = tuned(family, "lora_all_linear");
        let rows = Rows::of(family);
        let (batch, targets) = rows.batch();
        let (whole, expected) = model.loss_and_gradients(&batch, &targets, &no_dropout(3)).unwrap();
        let (mut sum, mut gradients) = (0.0, std::collections::BTreeMap::<String, Tensor>::new());
        for i in 0..3 {
            let batch = Batch::right_padded(&rows.tokens[i..=i]).unwrap();
            let targets = Targets::new(&batch, &rows.is_label[i..=i]).unwrap();
            let (loss, found) = model.loss_and_gradients(&batch, &targets, &no_dropout(1)).unwrap();
            sum += loss;
            for (name, gradient) in found {
                let sum = gradients.get(&name).map_or(gradient.clone(), |so_far| (so_far + &gradient).unwrap());
                gradients.insert(name, sum);
            }
        }
        assert!((sum / whole - 1.0).abs() < 1e-6, "{family}");
        assert_all_close(family, &gradients, &expected, gradient);
    }
}

#[test]
fn merged_weights_are_those_of_peft_and_compute_the_same() {
    for (family, method) in cases().filter(|(_, method)| ["lora_all_linear", "dora"].contains(&method.as_str())) {
        let (model, tuning) = tuned(family, &method);
        let (shape, weights) = golden::model(family);
        let merged = tuning.merge(&shape, weights).unwrap();
        let expected = section(&format!("{family}/{method}.safetensors"), &format!("merged.{method}."));
        assert!(expected.len() >= 2);
        for (name, expected) in &expected {
            let worst = error(&merged.get(name).unwrap(), expected);
            assert!(worst <= MERGED, "{family}, {method} {name}: {worst:e}");
        }
        let merged = ReferenceModel::new(&shape, &merged, &Tuning::none(), &Device::Cpu).unwrap();
        let (batch, _) = Rows::of(family).batch();
        let at = indices(&batch);
        let apart = error(&merged.logits(&batch, &at).unwrap(), &model.logits(&batch, &at).unwrap());
        assert!(apart <= 5e-6, "{family}, {method}: {apart:e}");
    }
}

#[test]
fn an_adapter_that_has_learnt_nothing_changes_nothing() {
    let (shape, weights) = model("tiny");
    let (batch, _) = Rows::tiny().batch();
    let base = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
    let base = base.logits(&batch, &indices(&batch)).unwrap();
    let tuning = Tuning::init(&shape, &weights, recorded(&shape, "lora_all_linear"), 7).unwrap();
    let lora = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    assert_eq!(bits(&lora.logits(&batch, &indices(&batch)).unwrap()), bits(&base));

    // DoRA's magnitudes begin at the norms of the rows, computed by its own recorded graphs.
    let tuning = Tuning::init(&shape, &weights, recorded(&shape, "dora"), 7).unwrap();
    let dora = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    assert!(error(&dora.logits(&batch, &indices(&batch)).unwrap(), &base) < 1e-6);
}

#[test]
fn rope_scaling_and_a_tied_head_are_those_of_transformers() {
    let (shape, weights) = model("tiny-llama3");
    assert!(path("tiny-llama3/model.safetensors.index.json").exists() && shape.tie_word_embeddings);
    let fixtures = tensors("tiny-llama3/fixtures.safetensors");
    let frequencies = Tensor::new(rotary::rotation(&shape).unwrap().frequencies, &Device::Cpu).unwrap();
    assert!(error(&frequencies, &fixtures["inv_freq"]) < 1e-7);

    let ids: Vec<Vec<i64>> = fixtures["input_ids"].to_dtype(DType::I64).unwrap().to_vec2().unwrap();
    let row: Vec<u32> = ids[0].iter().map(|i| *i as u32).collect();
    let batch = Batch::right_padded(std::slice::from_ref(&row)).unwrap();
    let targets = Targets::new(&batch, &[vec![true; row.len()]]).unwrap();
    assert_eq!(targets.len(), 39, "the first token is no label");
    let model = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
    let found = model.logits(&batch, &[37, 38, 39]).unwrap();
    let worst = error(&found, &fixtures["last_logits"].get(0).unwrap());
    assert!(worst <= 5e-6, "{worst:e}");
    let expected = json("tiny-llama3/fixtures.json")["loss"].as_f64().unwrap();
    assert!((model.loss(&batch, &targets).unwrap() / 39.0 / expected - 1.0).abs() <= LOSS);
}

#[test]
fn a_tied_head_and_the_embedding_share_one_gradient() {
    // Nudge the shared matrix along its own gradient: the loss must change by what the gradient says.
    let (shape, weights) = model("tiny-llama3");
    let tuning = Tuning::init(&shape, &weights, full(&shape), 0).unwrap();
    let model = ReferenceModel::new(&shape, &weights, &tuning, &Device::Cpu).unwrap();
    let batch = Batch::right_padded(&[[5u32, 9, 30, 5, 77, 8]]).unwrap();
    let targets = Targets::new(&batch, &[[true; 6]]).unwrap();
    let (loss, gradients) = model.loss_and_gradients(&batch, &targets, &no_dropout(1)).unwrap();
    assert_eq!(gradients.len(), model.params().len());
    let name = "model.embed_tokens.weight";
    let gradient = &gradients[name];
    let square: f64 = flat(gradient).iter().map(|g| f64::from(*g).powi(2)).sum();
    let by = 0.02 / square;
    let var = &model.params()[name].var;
    var.set(&(var.as_tensor() - (gradient * by).unwrap()).unwrap()).unwrap();
    let fell = loss - model.loss(&batch, &targets).unwrap();
    assert!((fell / 0.02 - 1.0).abs() < 0.05, "fell by {fell}");
}

/// Scores at the last token and the mean loss of a text, against what transformers says of it.
fn compare(model: &ReferenceModel, text: &Value, scores: &[f64], tolerance: f64) {
    let read = |v: &Value| v.as_u64().unwrap() as u32;
    let ids = text.get("ids").unwrap_or(&text["input_ids"]);
    let row: Vec<u32> = ids.as_array().unwrap().iter().map(read).collect();
    let batch = Batch::right_padded(std::slice::from_ref(&row)).unwrap();
    let targets = Targets::new(&batch, &[vec![true; row.len()]]).unwrap();
    let loss = model.loss(&batch, &targets).unwrap() / targets.len() as f64;
    let expected = text["loss"].as_f64().unwrap();
    assert!((loss / expected - 1.0).abs() < tolerance, "loss {loss} for {expected}");
    let found = model.logits(&batch, &[row.len() as u32 - 1]).unwrap();
    let found = found.narrow(1, 0, scores.len()).unwrap().squeeze(0).unwrap();
    let expected: Vec<f32> = scores.iter().map(|v| *v as f32).collect();
    let worst = error(&found, &Tensor::new(expected, &Device::Cpu).unwrap());
    assert!(worst < tolerance, "scores off by {worst:e}");
}

#[test]
fn quantised_files_score_as_in_transformers() {
    let expected = json("gguf/expected.json");
    for file in ["mixed.gguf", "mixed-k.gguf"] {
        let (shape, weights) = model(&format!("gguf/{file}"));
        let model = ReferenceModel::new(&shape, &weights, &Tuning::none(), &Device::Cpu).unwrap();
        let text = &expected["files"][file];
        compare(&model, text, &floats(&text["last_logits"]), 1e-5);
    }
}

#[test]
fn a_published_model_scores_as_in_transformers() {
    let Some(folder) = std::env::var_os("TUNEBENCH_SMOLLM2") else {
        println!("skipped: TUNEBENCH_SMOLLM2 does not name a folder");
        return;
    };
    let source = tunebench_model::open(folder.as_ref()).unwrap();
    let model = ReferenceModel::new(&source.shape, &source.weights().unwrap(), &Tuning::none(), &Device::Cpu).unwrap();
    let expected = json("smollm2.json");
    let texts = expected["texts"].as_object().unwrap();
    assert_eq!(texts.len(), 2);
    for text in texts.values() {
        compare(&model, text, &floats(&text["last_logits_first_16"]), 2e-5);
    }
}
