//! Adapters that compute otherwise, or are not whole, are refused by a sentence that names what is wrong and what to do.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tunebench_model::Weights;
use tunebench_peft::{Kind, folder, inspect, load};
use tunebench_testkit::golden::{self, model, path};

type Tensors = HashMap<String, Tensor>;

/// The golden LoRA of every linear weight, as PEFT wrote it.
fn lora() -> (Value, Tensors) {
    let tensors = candle_core::safetensors::load(path("tiny-peft/adapter_model.safetensors"), &Device::Cpu).unwrap();
    (golden::json("tiny-peft/adapter_config.json"), tensors)
}

fn write(dir: &Path, config: &Value, tensors: &Tensors) {
    fs::create_dir_all(dir).unwrap();
    candle_core::safetensors::save(tensors, dir.join(folder::TENSORS)).unwrap();
    fs::write(dir.join(folder::CONFIG), config.to_string()).unwrap();
}

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap()
}

/// What is said of a configuration and tensors, over `model`.
fn said(over: &str, config: &Value, tensors: &Tensors) -> String {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), config, tensors);
    match inspect(dir.path(), &model(over).0) {
        Ok(found) => format!("fine: {}", found.kind),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_that_change_what_is_computed_are_refused_by_name() {
    let cases: [(&str, Value, &str); 41] = [
        ("peft_type", "LOHA".into(), "only LORA, IA3, PROMPT_TUNING, PREFIX_TUNING, P_TUNING are read"),
        ("peft_type", Value::Null, "`peft_type` = null"),
        ("task_type", "SEQ_CLS".into(), "of task type CAUSAL_LM"),
        ("task_type", Value::Null, "fine: LoRA"),
        ("fan_in_fan_out", true.into(), "set it to false"),
        ("bias", "all".into(), "fine: LoRA"), // no model weight beside the adapter: no bias was trained
        ("lora_bias", true.into(), "`lora_bias` = true: biases of `lora_B` are not read; merge it in Python"),
        ("modules_to_save", json!(["lm_head"]), "there is no tensor of `lm_head.weight`"),
        ("use_qalora", true.into(), "QALoRA"),
        ("use_bdlora", json!({ "nblocks": 2 }), "block-diagonal"),
        ("layer_replication", json!([[0, 1], [0, 2]]), "another model than the base"),
        ("target_parameters", json!(["experts.w"]), "bare parameters"),
        ("trainable_token_indices", json!([1, 2]), "rows of the embeddings"),
        ("alora_invocation_tokens", json!([1, 2]), "waits for a phrase"),
        ("arrow_config", json!({ "top_k": 3 }), "routing"),
        ("kasa_config", json!({ "beta": 1.0 }), "KaSA"),
        ("monteclora_config", json!({ "num_samples": 8 }), "samples"),
        ("megatron_config", json!({ "x": 1 }), "Megatron"),
        ("init_lora_weights", "pissa".into(), "replaces the base weights"),
        ("init_lora_weights", "pissa_niter_4".into(), "replaces the base weights"),
        ("init_lora_weights", "olora".into(), "replaces the base weights"),
        ("init_lora_weights", "gaussian".into(), "fine: LoRA"),
        ("r", 16.into(), "has rank 4, but adapter_config.json says 16"),
        ("r", "four".into(), "a number is expected"),
        ("lora_alpha", json!([8]), "a number is expected"),
        ("lora_dropout", 2.into(), "at least 0 and below 1"),
        ("use_dora", true.into(), "expected lora_A and lora_B and lora_magnitude_vector (use_dora is set)"),
        ("rank_pattern", json!({ "q_proj": 8 }), "has rank 4, but adapter_config.json says 8"),
        ("rank_pattern", json!({ "querry": 4 }), "names no adapted module"),
        ("alpha_pattern", json!({ "q_(proj": 4 }), "not a regular expression that can be read"),
        ("alpha_pattern", json!({ "q_proj": 4, ".*_proj": 8 }), "say different numbers"),
        ("alpha_pattern", json!([1]), "an object of modules and numbers"),
        ("target_modules", Value::Null, "write a list"),
        ("target_modules", json!([]), "write a list"),
        ("target_modules", json!(["q_proj"]), "which adapter_config.json does not target"),
        ("target_modules", json!(["c_attn"]), "it names no module of this model"),
        ("target_modules", "(((".into(), "not a regular expression that can be read"),
        ("target_modules", ".*(q_proj|embed_tokens)".into(), "adapters of embeddings are not read"),
        ("target_modules", 5.into(), "a list of names is expected"),
        ("exclude_modules", json!(["q_proj"]), "which adapter_config.json does not target"),
        ("layers_to_transform", json!([0]), "`model.layers.1.mlp.down_proj`"),
    ];
    let (good, tensors) = lora();
    for (key, value, expected) in cases {
        let mut config = good.clone();
        config[key] = value.clone();
        let found = said("tiny", &config, &tensors);
        assert!(found.contains(expected), "{key} = {value}: {found}");
        assert!(found.starts_with("fine") || found.contains(key) || found.contains("safetensors"), "{key}: {found}");
    }
}

#[test]
fn tensors_that_are_missing_or_left_over_are_refused() {
    let (config, good) = lora();
    let q =
        |layer: usize, param: &str| format!("base_model.model.model.layers.{layer}.self_attn.q_proj.{param}.weight");
    type Change = fn(&mut Tensors, &dyn Fn(usize, &str) -> String);
    let cases: [(Change, &str); 9] = [
        (|t, q| drop(t.remove(&q(1, "lora_B"))), "has lora_A, expected lora_A and lora_B"),
        (|t, _| t.retain(|name, _| !name.contains("layers.1")), "of 14 modules, and there are none of theirs"),
        (
            |t, _| t.retain(|name, _| !name.contains("up_proj")),
            "`model.layers.0.mlp.up_proj`, `model.layers.1.mlp.up_proj`",
        ),
        (|t, _| t.clear(), "and 11 more, of 14 modules"),
        (|t, q| drop(t.insert(q(7, "lora_A"), zeros(&[4, 32]))), "no linear weight `model.layers.7.self_attn.q_proj`"),
        (|t, q| drop(t.insert(q(0, "lora_A"), zeros(&[4, 99]))), "has shape [4, 99], expected [4, 32]"),
        (
            |t, _| drop(t.insert("base_model.model.lm_head.weight".into(), zeros(&[100, 32]))),
            "was its vocabulary changed?",
        ),
        (
            |t, _| drop(t.insert("base_model.model.model.embed_tokens.lora_embedding_A".into(), zeros(&[4, 96]))),
            "adapts an embedding",
        ),
        (|t, _| drop(t.insert("optimizer.step".into(), zeros(&[1]))), "is none that such an adapter has"),
    ];
    for (change, expected) in cases {
        let mut tensors = good.clone();
        change(&mut tensors, &q);
        let found = said("tiny", &config, &tensors);
        assert!(found.contains(expected), "{found}");
    }
    let mut twice = good.clone();
    twice.insert(q(0, "lora_A.default"), zeros(&[4, 32]));
    assert!(said("tiny", &config, &twice).contains("is there twice"));
    let mut integers = good;
    integers.insert(q(0, "lora_A"), zeros(&[4, 32]).to_dtype(DType::U8).unwrap());
    assert!(said("tiny", &config, &integers).contains("is of type U8"));
}

#[test]
fn what_names_the_same_modules_in_another_way_is_read() {
    let (good, tensors) = lora();
    for (key, value) in [
        ("target_modules", json!("all-linear")),
        ("target_modules", json!(r"model\.layers\.\d+\.(self_attn|mlp)\.(q|k|v|o|gate|up|down)_proj")),
        ("target_modules", json!(r"^(?!.*lm_head).*\.(?:\w+)_proj")),
        ("layers_to_transform", json!([0, 1])),
        ("exclude_modules", json!("lm_head")),
        ("rank_pattern", json!({ r"layers\.\d\.self_attn\.[qk]_proj": 4 })),
        ("velora_config", json!({ "num_groups": 64 })),
    ] {
        let mut config = good.clone();
        config[key] = value.clone();
        assert_eq!(said("tiny", &config, &tensors), "fine: LoRA", "{key} = {value}");
    }
    let half = |t: &Tensors, layer: &str| {
        t.iter().filter(|(n, _)| n.contains(layer)).map(|(n, t)| (n.clone(), t.clone())).collect()
    };
    let mut config = good.clone();
    config["layers_to_transform"] = 1.into();
    assert_eq!(said("tiny", &config, &half(&tensors, "layers.1")), "fine: LoRA");
    config["layers_pattern"] = "layers".into();
    assert_eq!(said("tiny", &config, &half(&tensors, "layers.1")), "fine: LoRA");
    assert!(said("tiny", &config, &half(&tensors, "layers.0")).contains("does not target"));
}

/// As PEFT's `check_target_module_exists`: a layer is asked for only where no name is there in full.
#[test]
fn a_name_in_full_is_taken_in_any_layer() {
    let (good, tensors) = lora();
    let full = "model.layers.0.self_attn.q_proj";
    let (q0, q1, v1) = ("layers.0.self_attn.q_proj", "layers.1.self_attn.q_proj", "layers.1.self_attn.v_proj");
    for (targets, layers, pattern, adapted) in [
        (json!([full, "v_proj"]), json!([1]), Value::Null, vec![q0, v1]),
        (json!([full, "v_proj"]), json!(1), json!("layers"), vec![q0, v1]),
        (json!([full, "v_proj"]), json!([1]), json!(["blocks", "layers"]), vec![q0, v1]),
        (json!([full]), json!([7]), Value::Null, vec![q0]),
        (json!([full, "q_proj"]), json!([1]), Value::Null, vec![q0, q1]),
        (json!(["layers.0.self_attn.q_proj", "v_proj"]), json!([1]), Value::Null, vec![v1]),
    ] {
        let mut config = good.clone();
        config["target_modules"] = targets.clone();
        config["layers_to_transform"] = layers;
        config["layers_pattern"] = pattern;
        let is_adapted = |name: &str| adapted.iter().any(|module| name.contains(module));
        let tensors =
            tensors.iter().filter(|(name, _)| is_adapted(name)).map(|(n, t)| (n.clone(), t.clone())).collect();
        assert_eq!(said("tiny", &config, &tensors), "fine: LoRA", "{targets}");
    }
}

#[test]
fn weights_that_were_trained_whole_come_with_it() {
    let (shape, weights) = model("tiny");
    let (mut config, mut tensors) = lora();
    let head = (weights.get("lm_head.weight").unwrap() * 2.0).unwrap();
    tensors.insert("base_model.model.lm_head.weight".into(), head.clone());
    config["modules_to_save"] = json!(["lm_head", "model.norm"]);
    tensors.insert("base_model.model.model.norm.weight".into(), zeros(&[shape.hidden_size]));
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &config, &tensors);
    let adapter = tunebench_peft::load(dir.path(), &shape).unwrap();
    assert_eq!(adapter.whole.keys().collect::<Vec<_>>(), ["lm_head.weight", "model.norm.weight"]);
    let (applied, _) = adapter.applied(&shape, weights).unwrap();
    let found = (applied.get("lm_head.weight").unwrap() - head).unwrap().abs().unwrap().max_all().unwrap();
    assert_eq!(found.to_scalar::<f32>().unwrap(), 0.0);
    // PEFT saves every module whose name ends so, of every layer.
    config["modules_to_save"] = json!(["lm_head", "norm"]);
    let found = said("tiny", &config, &tensors);
    assert!(found.contains("there is no tensor of `model.layers.0.input_layernorm.weight`"), "{found}");
    config["modules_to_save"] = json!(["lm_head", "model.norm"]);
    // A head of its own over a model whose head is tied.
    let found = said("qwen2", &config, &HashMap::from([("base_model.model.lm_head.weight".into(), zeros(&[40, 32]))]));
    assert!(found.contains("is tied to its embeddings"), "{found}");
    let embeddings = HashMap::from([("base_model.model.model.embed_tokens.weight".into(), zeros(&[40, 32]))]);
    config["modules_to_save"] = json!(["embed_tokens"]);
    let found = said("qwen2", &config, &embeddings);
    assert!(found.contains("no longer tied to the head"), "{found}");
    config["modules_to_save"] = Value::Null;
    config["target_modules"] = json!(["lm_head"]);
    assert!(said("qwen2", &config, &HashMap::new()).contains("would untie them"));
}

#[test]
fn other_kinds_are_checked_too() {
    let ia3 =
        json!({ "peft_type": "IA3", "target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"] });
    let name = |layer: usize, module: &str| format!("base_model.model.model.layers.{layer}.{module}.ia3_l");
    let of = |k: &[usize], down: &[usize]| -> Tensors {
        [0, 1]
            .iter()
            .flat_map(|i| [(name(*i, "self_attn.k_proj"), zeros(k)), (name(*i, "mlp.down_proj"), zeros(down))])
            .collect()
    };
    assert_eq!(said("tiny", &ia3, &of(&[24, 1], &[1, 56])), "fine: (IA)³");
    for (key, value, k, down, expected) in [
        ("feedforward_modules", json!([]), [24, 1], [1, 56], "by its shape"),
        ("feedforward_modules", json!(["k_proj", "down_proj"]), [24, 1], [1, 56], "scales the output"),
        ("feedforward_modules", json!(r".*\.mlp\.down_proj"), [24, 1], [1, 56], "fine: (IA)³"),
        ("fan_in_fan_out", json!(true), [24, 1], [1, 56], "set it to false"),
        ("target_modules", json!(["k_proj", "v_proj", "down_proj"]), [24, 1], [1, 56], "tensors are missing"),
        ("inference_mode", json!(true), [23, 1], [1, 56], "has shape [23, 1], expected [24, 1]"),
    ] {
        let mut config = ia3.clone();
        config[key] = value;
        let found = said("tiny", &config, &of(&k, &down));
        assert!(found.contains(expected), "{key}: {found}");
    }
    let prompt = |peft_type: &str| json!({ "peft_type": peft_type, "num_virtual_tokens": 4, "task_type": "CAUSAL_LM" });
    let embeddings = |dims: &[usize]| HashMap::from([("prompt_embeddings".to_owned(), zeros(dims))]);
    for (peft_type, key, value, dims, expected) in [
        ("PROMPT_TUNING", "token_dim", json!(32), [4, 32], "fine: prompt tuning"),
        ("PROMPT_TUNING", "token_dim", json!(64), [4, 32], "this model has 32; is the adapter another model's?"),
        ("PROMPT_TUNING", "num_virtual_tokens", json!(5), [4, 32], "has shape [4, 32], expected [5, 32]"),
        ("PROMPT_TUNING", "num_transformer_submodules", json!(2), [4, 32], "an encoder and a decoder"),
        ("PROMPT_TUNING", "modules_to_save", json!(["lm_head"]), [4, 32], "beside virtual tokens are not read"),
        ("P_TUNING", "encoder_reparameterization_type", json!("LSTM"), [4, 32], "fine: P-tuning"),
        ("PREFIX_TUNING", "num_attention_heads", json!(2), [4, 96], "fine: prefix tuning"),
        ("PREFIX_TUNING", "num_attention_heads", json!(4), [4, 96], "this model has 2"),
        ("PREFIX_TUNING", "num_layers", json!(3), [4, 96], "this model has 2"),
        ("PREFIX_TUNING", "num_layers", json!(2), [4, 32], "has shape [4, 32], expected [4, 96]"),
    ] {
        let mut config = prompt(peft_type);
        config[key] = value;
        let found = said("tiny", &config, &embeddings(&dims));
        assert!(found.contains(expected), "{peft_type} {key}: {found}");
    }
    let raw = HashMap::from([("prompt_encoder.default.embedding.weight".to_owned(), zeros(&[4, 32]))]);
    assert!(said("tiny", &prompt("P_TUNING"), &raw).contains("save it with PEFT's save_pretrained"));
}

#[test]
fn folders_that_are_something_else_are_named() {
    let (shape, _) = model("tiny");
    let (config, tensors) = lora();
    let dir = tempfile::tempdir().unwrap();
    let said = |dir: &Path| match inspect(dir, &shape) {
        Ok(found) => format!("{}: {}", found.kind, found.remarks.join("; ")),
        Err(error) => error.to_string(),
    };
    assert!(said(&dir.path().join("no")).contains("there is no such folder"));
    assert!(said(dir.path()).contains("there is no adapter_config.json, neither here nor in a folder below"));
    assert!(said(&path("tiny")).contains("is a whole model and no adapter"));
    assert!(said(&path("tiny/config.json")).contains("is a file; an adapter is a folder"));
    // Checkpoints and named adapters a level below: the only one, or none.
    write(&dir.path().join("checkpoint-9"), &config, &tensors);
    assert!(said(dir.path()).starts_with("LoRA: it was found in ") && said(dir.path()).contains("checkpoint-9"));
    write(&dir.path().join("checkpoint-10"), &config, &tensors);
    let several = said(dir.path());
    assert!(several.contains("several adapters: checkpoint-9, checkpoint-10; name one, e.g. "), "{several}");
    let one = dir.path().join("checkpoint-9");
    fs::rename(one.join(folder::TENSORS), one.join("adapter_model.bin")).unwrap();
    assert!(said(&one).contains("a Python pickle, which is never opened here"));
    fs::remove_file(one.join(folder::CONFIG)).unwrap();
    assert!(said(&one).contains("adapter_config.json is missing beside its tensors"));
    let two = dir.path().join("checkpoint-10");
    fs::write(two.join(folder::TENSORS), "version https://git-lfs.github.com/spec/v1").unwrap();
    assert!(said(&two).contains("adapter_model.safetensors"));
    fs::write(two.join(folder::CONFIG), "[1]").unwrap();
    assert!(said(&two).contains("is no JSON object"));
    fs::write(two.join(folder::CONFIG), "{").unwrap();
    assert!(said(&two).contains("not JSON"));
    // The other way round.
    assert!(folder::mistaken_for_a_model(&path("tiny-peft")).unwrap().contains("is an adapter and no model"));
    assert_eq!(folder::mistaken_for_a_model(&path("tiny")), None);
    assert_eq!(inspect(&path("tiny-peft-dora"), &shape).unwrap().kind, Kind::Dora);
}

#[test]
fn what_nobody_here_knows_is_said() {
    let (shape, _) = model("tiny");
    let (mut config, tensors) = lora();
    config["use_tomorrow"] = true.into();
    config["use_never"] = false.into();
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &config, &tensors);
    let found = inspect(dir.path(), &shape).unwrap().remarks;
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("`use_tomorrow` = true, which tunebench does not know") && !found[0].contains("never"));
}

/// What is said when it is opened and put over `weights`.
fn applied(config: &Value, tensors: &Tensors, weights: Weights) -> Result<Weights, String> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), config, tensors);
    let (shape, _) = model("tiny");
    let adapter = load(dir.path(), &shape).map_err(|error| error.to_string())?;
    adapter.applied(&shape, weights).map(|(weights, _)| weights).map_err(|error| error.to_string())
}

fn row_of(number: f32) -> Tensor {
    let mut numbers = vec![0f32; 4 * 32];
    numbers[17] = number;
    Tensor::from_vec(numbers, (4, 32), &Device::Cpu).unwrap()
}

#[test]
fn numbers_that_are_none_are_found_before_training() {
    let (mut config, good) = lora();
    let a = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    for (number, dtype, word) in [
        (f32::NAN, DType::F32, "NaN"),
        (f32::INFINITY, DType::F32, "inf"),
        (f32::NEG_INFINITY, DType::BF16, "-inf"),
        (70_000.0, DType::F16, "inf"),
    ] {
        let mut tensors = good.clone();
        tensors.insert(a.into(), row_of(number).to_dtype(dtype).unwrap());
        let expected = format!("adapter_model.safetensors: tensor `{a}` has the number {word}; ");
        let found = said("tiny", &config, &tensors);
        assert!(found.contains(&expected), "{found}");
    }
    // Of other kinds, and of weights beside an adapter, which are not read before they are needed.
    let nan = |dims: &[usize]| (zeros(dims) / 0.0).unwrap();
    let prompt = json!({ "peft_type": "PROMPT_TUNING", "num_virtual_tokens": 4 });
    let found = said("tiny", &prompt, &HashMap::from([("prompt_embeddings".to_owned(), nan(&[4, 32]))]));
    assert!(found.contains("`prompt_embeddings` has the number NaN"), "{found}");
    let ia3 = json!({ "peft_type": "IA3", "target_modules": ["k_proj"], "feedforward_modules": [] });
    let name = |layer: usize| format!("base_model.model.model.layers.{layer}.self_attn.k_proj.ia3_l");
    let found = said("tiny", &ia3, &HashMap::from([(name(0), zeros(&[24, 1])), (name(1), nan(&[24, 1]))]));
    assert!(found.contains(&format!("`{}` has the number NaN", name(1))), "{found}");
    let (_, weights) = model("tiny");
    config["modules_to_save"] = json!(["lm_head"]);
    let mut tensors = good;
    tensors.insert(HEAD.into(), nan(weights.get("lm_head.weight").unwrap().dims()));
    assert_eq!(said("tiny", &config, &tensors), "fine: LoRA");
    let found = applied(&config, &tensors, weights).unwrap_err();
    assert!(found.contains(&format!("`{HEAD}` has the number NaN")), "{found}");
}

const HEAD: &str = "base_model.model.lm_head.weight";

/// PEFT saves a module that was trained whole once more, and what it was, where the vocabulary was resized.
#[test]
fn modules_that_were_trained_whole_are_read_however_they_are_saved() {
    let (mut config, good) = lora();
    config["modules_to_save"] = json!(["embed_tokens", "lm_head"]);
    let (_, weights) = model("tiny");
    let modules = ["model.embed_tokens", "lm_head"];
    let of = |suffixes: &[(&str, f64)], rows: usize| {
        let mut tensors = good.clone();
        for module in modules {
            let own = weights.get(&format!("{module}.weight")).unwrap();
            let more = Tensor::cat(&[&own, &own], 0).unwrap().narrow(0, 0, own.dims()[0] + rows).unwrap();
            for (suffix, times) in suffixes {
                tensors.insert(format!("base_model.model.{module}.{suffix}weight"), (&more * *times).unwrap());
            }
        }
        tensors
    };
    for suffixes in [
        &[("", 2.0)][..],
        &[("modules_to_save.", 2.0)],
        &[("modules_to_save.default.", 2.0)],
        &[("modules_to_save.other.", 2.0), ("original_module.", 1.0)],
        &[("", 3.0), ("modules_to_save.", 2.0), ("original_module.", 1.0)],
    ] {
        let found = applied(&config, &of(suffixes, 0), weights.clone()).unwrap();
        for module in modules {
            let name = format!("{module}.weight");
            assert_eq!(
                found.distance(&name, &(weights.get(&name).unwrap() * 2.0).unwrap()).unwrap(),
                0.0,
                "{suffixes:?}"
            );
        }
        let found = said("tiny", &config, &of(suffixes, 8));
        assert!(found.contains("was its vocabulary changed? merge it in Python"), "{suffixes:?}: {found}");
    }
    for (suffixes, expected) in [
        (&[("original_module.", 1.0)][..], "there is no tensor of"),
        (&[("modules_to_save.a.", 1.0), ("modules_to_save.b.", 1.0)], "are one weight, of several adapters"),
    ] {
        let found = said("tiny", &config, &of(suffixes, 0));
        assert!(found.contains(expected), "{suffixes:?}: {found}");
    }
    config["modules_to_save"] = Value::Null;
    let found = said("tiny", &config, &of(&[("", 1.0), ("original_module.", 1.0)], 0));
    assert!(found.contains("original_module.weight` is none that such an adapter has"), "{found}");
}

/// PEFT saves the weight below an adapted head with it.
#[test]
fn a_weight_from_below_an_adapter_must_be_the_models() {
    let (_, weights) = model("tiny");
    let head = weights.get("lm_head.weight").unwrap();
    let vocabulary = head.dims()[0];
    let (mut of_lora, tensors) = lora();
    let targets = of_lora["target_modules"].as_array_mut().unwrap();
    targets.push(json!("lm_head"));
    let name = |end: &str| format!("base_model.model.lm_head.{end}");
    let ones = |dims: &[usize]| Tensor::ones(dims, DType::F32, &Device::Cpu).unwrap();
    let mut lora = tensors.clone();
    lora.insert(name("lora_A.weight"), ones(&[4, 32]));
    lora.insert(name("lora_B.weight"), ones(&[vocabulary, 4]));
    let of_ia3 = json!({ "peft_type": "IA3", "target_modules": ["lm_head"], "feedforward_modules": [] });
    let ia3 = HashMap::from([(name("ia3_l"), (ones(&[vocabulary, 1]) * 2.0).unwrap())]);
    for (config, tensors) in [(&of_lora, lora), (&of_ia3, ia3)] {
        let alone = applied(config, &tensors, weights.clone()).unwrap();
        assert!(alone.distance("lm_head.weight", &head).unwrap() > 0.1);
        let rounded = |dtype| head.to_dtype(dtype).unwrap();
        for (base, expected) in [
            (rounded(DType::F32), ""),
            (rounded(DType::BF16), ""),
            (rounded(DType::F16), ""),
            ((&head * 1.001).unwrap(), "this model's differs from it; give the model that the adapter was trained on"),
            (zeros(&[vocabulary + 8, 32]), "was its vocabulary changed? merge it in Python"),
        ] {
            let mut tensors = tensors.clone();
            tensors.insert(name("base_layer.weight"), base);
            match applied(config, &tensors, weights.clone()) {
                Ok(found) => {
                    assert_eq!(expected, "");
                    assert_eq!(found.distance("lm_head.weight", &alone.get("lm_head.weight").unwrap()).unwrap(), 0.0);
                }
                Err(found) => assert!(!expected.is_empty() && found.contains(expected), "{found}"),
            }
        }
    }
    for (base, expected) in [
        ("lm_head.base_layer.weight", "is none that such an adapter has"),
        ("model.embed_tokens.base_layer.weight", "is none that such an adapter has"),
        ("model.layers.0.self_attn.q_proj.base_layer.bias", "is none that such an adapter has"),
        ("model.layers.9.self_attn.q_proj.base_layer.weight", "is none that such an adapter has"),
    ] {
        let mut tensors = tensors.clone();
        tensors.insert(format!("base_model.model.{base}"), head.clone());
        let found = said("tiny", &golden::json("tiny-peft/adapter_config.json"), &tensors);
        assert!(found.contains(expected), "{base}: {found}");
    }
}
