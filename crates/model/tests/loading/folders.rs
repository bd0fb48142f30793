//! Hugging Face folders: reading, refusing, saving.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Weights, open, save};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Positions, RopeScaling, Rotary};

use crate::{golden, refusal};

/// Every weight is there, f32, and equal to what candle reads from the folder's safetensors files.
fn check_against_candle(folder: &Path) {
    let source = open(folder).unwrap();
    let weights = source.weights().unwrap();
    let mut reference = HashMap::new();
    for file in source.files().iter().filter(|f| f.extension().is_some_and(|e| e == "safetensors")) {
        reference.extend(candle_core::safetensors::load(file, &Device::Cpu).unwrap());
    }
    assert_eq!(weights.len(), source.shape.weights().len());
    for expected in source.shape.weights() {
        let found = weights.get(&expected.name).unwrap();
        assert_eq!((found.dims(), found.dtype()), (expected.shape.as_slice(), DType::F32), "{}", expected.name);
        assert_eq!(numbers(&found), numbers(&reference[&expected.name]), "{}", expected.name);
    }
}

pub(crate) fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn one_file_in_f32() {
    check_against_candle(&golden("tiny"));
}

#[test]
fn shards_in_bf16_with_new_configuration_keys() {
    let folder = golden("tiny-llama3");
    check_against_candle(&folder);
    let source = open(&folder).unwrap();
    assert!(source.shape.tie_word_embeddings);
    assert!(matches!(
        source.shape.positions,
        Positions::Rotary(Rotary { scaling: Some(RopeScaling::Llama3 { factor: 8.0, .. }), .. })
    ));
    let files: Vec<String> =
        source.files().iter().map(|f| f.file_name().unwrap().to_str().unwrap().to_string()).collect();
    let shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    assert_eq!(files, ["config.json", shards[0], shards[1], "model.safetensors.index.json"]);
}

#[test]
fn f16_and_redundant_tensors() {
    let dir = tempfile::tempdir().unwrap();
    let mut tensors = tiny();
    for tensor in tensors.values_mut() {
        *tensor = tensor.to_dtype(DType::F16).unwrap();
    }
    let frequencies = Tensor::zeros(6, DType::F32, &Device::Cpu).unwrap();
    tensors.insert("model.layers.0.self_attn.rotary_emb.inv_freq".into(), frequencies);
    write_tiny(dir.path(), &tensors);
    check_against_candle(dir.path());
}

/// Half the bytes, each number the nearest that bf16 has, and a configuration that says so.
#[test]
fn models_are_saved_in_bf16_too() {
    let dir = tempfile::tempdir().unwrap();
    let source = open(&golden("tiny")).unwrap();
    let weights = source.weights().unwrap();
    let size = |float| {
        save(dir.path(), &source.shape, &weights, None, float).unwrap();
        fs::metadata(dir.path().join("model.safetensors")).unwrap().len() as f64
    };
    let ratio = size(Float::F32) / size(Float::BF16);
    assert!((1.8..=2.0).contains(&ratio), "{ratio}");
    assert!(fs::read_to_string(dir.path().join("config.json")).unwrap().contains("\"torch_dtype\": \"bfloat16\""));
    let found = open(dir.path()).unwrap().weights().unwrap();
    for ((name, exact), (_, rounded)) in weights.iter().zip(found.iter()) {
        let nearest: Vec<f32> = numbers(&exact).into_iter().map(|v| half::bf16::from_f32(v).to_f32()).collect();
        assert_eq!(numbers(&rounded), nearest, "{name}");
    }
}

#[test]
fn saved_models_open_again_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    for (name, folder) in [("a", golden("tiny")), ("b", golden("tiny-llama3"))] {
        let source = open(&folder).unwrap();
        let weights = source.weights().unwrap();
        let (saved, again) = (dir.path().join(name), dir.path().join(name).join("again"));
        save(&saved, &source.shape, &weights, None, Float::F32).unwrap();
        assert_eq!(names(&saved), ["config.json", "model.safetensors"]);
        save(&again, &source.shape, &weights, None, Float::F32).unwrap();
        save(&again, &source.shape, &weights, None, Float::F32).unwrap();

        let reopened = open(&saved).unwrap();
        assert_eq!(reopened.shape, source.shape);
        let found = reopened.weights().unwrap();
        for ((name, a), (_, b)) in weights.iter().zip(found.iter()) {
            assert_eq!(numbers(&a), numbers(&b), "{name}");
        }
        let file = tunebench_model::formats::safetensors::TensorFile::open(&saved.join("model.safetensors")).unwrap();
        assert_eq!(file.note("format"), Some("pt"));
        for file in ["config.json", "model.safetensors"] {
            assert_eq!(fs::read(saved.join(file)).unwrap(), fs::read(again.join(file)).unwrap(), "{file}");
        }
    }
}

#[test]
fn fresh_weights_are_seeded_and_scaled() {
    let shape = Decoder { num_hidden_layers: 8, ..open(&golden("tiny")).unwrap().shape };
    let (weights, same, other) =
        (Weights::init(&shape, 1).unwrap(), Weights::init(&shape, 1).unwrap(), Weights::init(&shape, 2).unwrap());
    let std = |name: &str| {
        let values = numbers(&weights.get(name).unwrap());
        (values.iter().map(|v| v * v).sum::<f32>() / values.len() as f32).sqrt()
    };
    assert_eq!(weights.len(), shape.weights().len());
    for (name, tensor) in weights.iter() {
        let values = numbers(&tensor);
        assert_eq!(values, numbers(&same.get(name).unwrap()), "{name}");
        if name.ends_with("norm.weight") {
            assert!(values.iter().all(|v| *v == 1.0), "{name}");
            continue;
        }
        assert_ne!(values, numbers(&other.get(name).unwrap()), "{name}");
        // 2 * 8 layers: sqrt(16).
        let small = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
        let expected = if small { 0.02 / 4.0 } else { 0.02 };
        assert!((std(name) / expected - 1.0).abs() < 0.1, "{name}: {}", std(name));
    }
    let first = |name: &str| numbers(&weights.get(name).unwrap())[0];
    assert_ne!(first("model.layers.0.mlp.up_proj.weight"), first("model.layers.1.mlp.up_proj.weight"));
    let mut headless = shape;
    headless.attention.head_dim = 0;
    assert!(refusal(Weights::init(&headless, 1)).contains("head_dim (0)"));
}

/// The tiny model's tensors, for tests that change them.
fn tiny() -> BTreeMap<String, Tensor> {
    open(&golden("tiny")).unwrap().weights().unwrap().into_map()
}

fn write_tiny(dir: &Path, tensors: &BTreeMap<String, Tensor>) {
    fs::copy(golden("tiny/config.json"), dir.join("config.json")).unwrap();
    let tensors: HashMap<&str, Tensor> = tensors.iter().map(|(n, t)| (n.as_str(), t.clone())).collect();
    candle_core::safetensors::save(&tensors, dir.join("model.safetensors")).unwrap();
}

#[test]
fn tensors_that_do_not_fit_are_named() {
    type Change = fn(&mut BTreeMap<String, Tensor>);
    const UP: &str = "model.layers.1.mlp.up_proj.weight";
    let faults: [(Change, &[&str]); 4] = [
        (|t| drop(t.remove(UP)), &[UP, "missing", "[56, 32]"]),
        (|t| drop(t.insert(UP.into(), t[UP].t().unwrap().contiguous().unwrap())), &[UP, "[32, 56]", "[56, 32]"]),
        (|t| drop(t.insert(UP.into(), t[UP].to_dtype(DType::I64).unwrap())), &[UP, "model.safetensors", "I64", "BF16"]),
        (
            |t| drop(t.insert("model.layers.0.self_attn.q_proj.bias".into(), t["model.norm.weight"].clone())),
            &["q_proj.bias", "[32]", "no place"],
        ),
    ];
    for (change, words) in faults {
        let dir = tempfile::tempdir().unwrap();
        let mut tensors = tiny();
        change(&mut tensors);
        write_tiny(dir.path(), &tensors);
        let message = refusal(open(dir.path()));
        assert!(message.contains(dir.path().to_str().unwrap()), "{message}");
        for word in words {
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }
}

/// Numbers that are none are told with file and tensor, however they are stored.
#[test]
fn weights_that_are_no_numbers_are_named() {
    const DOWN: &str = "model.layers.1.mlp.down_proj.weight";
    for float in [DType::F32, DType::F16, DType::BF16] {
        for (number, shown) in [(f32::NAN, "the number NaN"), (f32::NEG_INFINITY, "the number -inf")] {
            let dir = tempfile::tempdir().unwrap();
            let mut tensors: BTreeMap<String, Tensor> =
                tiny().into_iter().map(|(name, tensor)| (name, tensor.to_dtype(float).unwrap())).collect();
            let (mut values, shape) = (numbers(&tensors[DOWN]), tensors[DOWN].shape().clone());
            *values.last_mut().unwrap() = number;
            let damaged = Tensor::from_vec(values, shape, &Device::Cpu).unwrap().to_dtype(float).unwrap();
            tensors.insert(DOWN.into(), damaged);
            write_tiny(dir.path(), &tensors);
            let message = refusal(open(dir.path()).unwrap().weights());
            let words = ["model.safetensors: ", DOWN, shown, "are damaged, or the training that made them diverged"];
            assert!(words.iter().all(|word| message.contains(word)), "{float:?}: {message}");
        }
    }
}

/// What a clone without Git LFS has in place of its large files.
#[test]
fn pointers_of_git_lfs_are_not_taken_for_files() {
    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1234\n";
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    for name in ["config.json", "model.safetensors"] {
        fs::copy(golden("tiny").join(name), path(name)).unwrap();
    }
    fs::write(path("tokenizer.json"), POINTER).unwrap();
    fs::write(path("model.gguf"), POINTER).unwrap();
    let of_tokenizer = refusal(open(dir.path()).unwrap().tokenizer());
    fs::write(path("model.safetensors"), POINTER).unwrap();
    let messages = [of_tokenizer, refusal(open(dir.path())), refusal(open(&path("model.gguf")))];
    for (name, message) in ["tokenizer.json", "model.safetensors", "model.gguf"].into_iter().zip(messages) {
        let words = [name, "is a Git LFS pointer", "git lfs pull"];
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn folders_that_are_not_models_say_what_is_missing() {
    type Change = fn(&Path);
    const INDEX: &str = "model.safetensors.index.json";
    const FIRST: &str = "model-00001-of-00002.safetensors";
    const SECOND: &str = "model-00002-of-00002.safetensors";
    fn edit(dir: &Path, file: &str, from: &str, to: &str) {
        let text = fs::read_to_string(dir.join(file)).unwrap();
        assert!(text.contains(from));
        fs::write(dir.join(file), text.replace(from, to)).unwrap();
    }
    let faults: [(Change, &[&str]); 9] = [
        (|d| fs::remove_file(d.join("config.json")).unwrap(), &["config.json", "not found"]),
        (|d| fs::remove_file(d.join(INDEX)).unwrap(), &["model.safetensors", "not found", INDEX]),
        (|d| fs::remove_file(d.join(SECOND)).unwrap(), &[SECOND, "not found", "names it for tensor `"]),
        (|d| edit(d, INDEX, SECOND, "../elsewhere.safetensors"), &[INDEX, "../elsewhere", "not a file here"]),
        (|d| edit(d, INDEX, SECOND, FIRST), &["is missing; expected shape"]),
        (|d| edit(d, INDEX, "weight_map", "weight"), &[INDEX, "weight_map"]),
        (|d| fs::write(d.join(INDEX), "{").unwrap(), &[INDEX, "not JSON"]),
        (
            |d| edit(d, "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 9999999"),
            &["num_hidden_layers"],
        ),
        (|d| fs::write(d.join(SECOND), fs::read(d.join(FIRST)).unwrap()).unwrap(), &["another shard"]),
    ];
    for (change, words) in faults {
        let dir = tempfile::tempdir().unwrap();
        for name in names(&golden("tiny-llama3")) {
            fs::copy(golden("tiny-llama3").join(&name), dir.path().join(&name)).unwrap();
        }
        open(dir.path()).unwrap();
        change(dir.path());
        let message = refusal(open(dir.path()));
        for word in words {
            assert!(message.contains(word), "{message} lacks {word}");
        }
    }
    assert!(refusal(open(Path::new("no/such/place"))).contains("not found"));
    assert!(refusal(open(&golden("tiny/config.json"))).contains("neither"));
}

/// A checkpoint that says that its head is the embedding, and has one all the same: as transformers 5 takes it.
#[test]
fn a_head_beside_a_tied_embedding_is_used_where_it_differs() {
    let (folder, head, embedding) = (golden("qwen2"), "lm_head.weight", "model.embed_tokens.weight");
    let stored = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
    let config = fs::read_to_string(folder.join("config.json")).unwrap();
    assert!(config.contains("\"tie_word_embeddings\": true") && !stored.contains_key(head));
    let with = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let dir = tempfile::tempdir().unwrap();
        let mut tensors = stored.clone();
        change(&mut tensors);
        fs::write(dir.path().join("config.json"), &config).unwrap();
        candle_core::safetensors::save(&tensors, dir.path().join("model.safetensors")).unwrap();
        let source = open(dir.path()).unwrap();
        (source.shape.tie_word_embeddings, source.notes().to_vec(), source.weights().unwrap())
    };
    let other = (&stored[embedding] * 1.5).unwrap();
    let (is_tied, notes, weights) = with(&|tensors| drop(tensors.insert(head.into(), other.clone())));
    assert!(!is_tied && notes.len() == 1 && notes[0].contains("a head of its own, `lm_head.weight`"), "{notes:?}");
    assert_eq!(numbers(&weights.get(head).unwrap()), numbers(&other));

    let (is_tied, notes, weights) = with(&|tensors| drop(tensors.insert(head.into(), stored[embedding].clone())));
    assert!(is_tied && notes.is_empty() && weights.get(head).is_err(), "{notes:?}");

    // The head alone is both.
    let (is_tied, notes, weights) = with(&|tensors| {
        let only = tensors.remove(embedding).unwrap();
        tensors.insert(head.into(), only);
    });
    assert!(is_tied && notes.is_empty(), "{notes:?}");
    assert_eq!(numbers(&weights.get(embedding).unwrap()), numbers(&stored[embedding]));
}

/// Checkpoints of the bare model lack the prefix of the whole one; some have buffers that nothing reads.
#[test]
fn names_without_the_models_prefix_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let folder = golden("tiny");
    let stored = tiny();
    let bare: HashMap<String, Tensor> = stored
        .iter()
        .map(|(name, tensor)| (name.strip_prefix("model.").unwrap_or(name).to_owned(), tensor.clone()))
        .collect();
    let write = |tensors: &HashMap<String, Tensor>| {
        fs::copy(folder.join("config.json"), dir.path().join("config.json")).unwrap();
        candle_core::safetensors::save(tensors, dir.path().join("model.safetensors")).unwrap();
        open(dir.path())
    };
    let weights = write(&bare).unwrap().weights().unwrap();
    for (name, tensor) in &stored {
        assert_eq!(numbers(&weights.get(name).unwrap()), numbers(tensor), "{name}");
    }
    let mut twice: HashMap<String, Tensor> = stored.clone().into_iter().collect();
    twice.insert("norm.weight".into(), stored["model.norm.weight"].clone());
    let refused = refusal(write(&twice));
    assert!(refused.contains("`model.norm.weight` and `norm.weight`") && refused.contains("same weight"), "{refused}");
}

/// What a configuration asks for and training does not do is said.
#[test]
fn dropout_that_a_configuration_asks_for_is_a_note() {
    let dir = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(golden("tiny/config.json")).unwrap();
    fs::copy(golden("tiny/model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    for (share, notes) in [("0.0", 0), ("0.1", 1)] {
        let config =
            config.replacen('{', &format!("{{\n \"attention_dropout\": {share}, \"resid_pdrop\": {share},"), 1);
        let mut config: serde_json::Value = serde_json::from_str(&config).unwrap();
        config["attention_dropout"] = share.parse::<f64>().unwrap().into();
        fs::write(dir.path().join("config.json"), config.to_string()).unwrap();
        let found = open(dir.path()).unwrap().notes().to_vec();
        assert_eq!(found.len(), notes, "{found:?}");
        assert!(found.iter().all(|note| note.contains("`attention_dropout` 0.1, `resid_pdrop` 0.1")), "{found:?}");
    }
}
