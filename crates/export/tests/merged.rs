//! Hugging Face folders: what the base model's has is kept, whatever the numbers are stored as.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::DType;
use serde_json::{Value, json};
use tunebench_export::merged::{Options, write};
use tunebench_export::{About, Report, Target, Trained, card, kept};
use tunebench_model::backend::REFERENCE;
use tunebench_model::formats::huggingface::{SHARD_BYTES, config, save_config, save_weights};
use tunebench_model::formats::safetensors::{Float, TensorFile};
use tunebench_model::{Source, Tokenizer, Tuning, Weights, open};
use tunebench_spec::decoder::Dims;
use tunebench_spec::{ArmRecord, Decoder};

fn shape() -> Decoder {
    Decoder::llama(Dims {
        vocab_size: 300,
        hidden_size: 32,
        intermediate_size: 64,
        num_hidden_layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
    })
}

fn write_json(path: &Path, value: &Value) {
    fs::write(path, format!("{value:#}")).unwrap();
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A folder as a model comes: shards, keys that we do not know, and a tokenizer with all its files.
fn base(dir: &Path, float: Float, template: Option<&str>) -> Source {
    let weights = Weights::init(&shape(), 5).unwrap();
    save_weights(dir, &shape(), &weights, &|_| float, 20_000).unwrap();
    let mut own = config(&shape(), None, float).unwrap();
    own["dtype"] = float.torch_name().into();
    own["pretraining_tp"] = json!(1);
    own["my_unknown_key"] = json!({ "nested": [1, 2.5, "three"] });
    own["_name_or_path"] = json!("owner/elsewhere");
    save_config(dir, own).unwrap();
    let bytes: BTreeMap<String, usize> = (0..256).map(|byte| (format!("<0x{byte:02X}>"), byte)).collect();
    let mut vocab = bytes.clone();
    vocab.extend([("</s>".to_owned(), 256), ("<|stop|>".to_owned(), 257)]);
    let added = |id: usize, content: &str| json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    write_json(
        &dir.join("tokenizer.json"),
        &json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "added_tokens": [added(256, "</s>"), added(257, "<|stop|>")],
            "decoder": { "type": "Sequence", "decoders": [{ "type": "ByteFallback" }, { "type": "Fuse" }] },
            "model": { "type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true },
        }),
    );
    let mut settings =
        json!({ "eos_token": "</s>", "pad_token": "<|stop|>", "model_max_length": 77, "clean_up": "as it was" });
    if let Some(template) = template {
        settings["chat_template"] = template.into();
    }
    write_json(&dir.join("tokenizer_config.json"), &settings);
    write_json(&dir.join("special_tokens_map.json"), &json!({ "eos_token": { "content": "</s>" } }));
    write_json(&dir.join("generation_config.json"), &json!({ "eos_token_id": [257], "temperature": 0.7, "top_k": 3 }));
    fs::write(dir.join("tokenizer.model"), b"\x00opaque\xff").unwrap();
    fs::write(dir.join("LICENSE"), "as you like").unwrap();
    open(dir).unwrap()
}

fn record() -> ArmRecord {
    serde_json::from_value(json!({
        "arm": "LoRA | zh", "base": "small", "tuner": "lora-attention", "dataset": "d", "template": "belle",
        "recipe": "{\"epochs\":{\"value\":3,\"origin\":\"study\"}}", "examples": 9, "skipped_examples": 0, "seed": 1,
        "engine": "fast", "model_params": 1, "trainable_params": 2, "additional_params": 3, "epochs": 1.0, "steps": 4,
        "tokens": 5, "train_seconds": 1.0, "hours_per_epoch": 1.0, "tokens_per_second": 1.0, "peak_rss_bytes": 1,
        "final_loss": 0.5, "identity": "x", "evaluated": true,
    }))
    .unwrap()
}

/// Exports what training made of the base: weights that its format does not hold.
fn exported(
    source: &Source,
    out: &Path,
    template: &str,
    float: Option<Float>,
    shard_bytes: u64,
) -> Result<Report, String> {
    let (record, tokenizer) = (record(), source.tokenizer().unwrap());
    let mut weights = source.weights().unwrap().into_map();
    for tensor in weights.values_mut() {
        *tensor = ((tensor.to_dtype(DType::F32).unwrap() * 1.01).unwrap() + 1e-4).unwrap();
    }
    let weights = Weights::new(&source.shape, weights).unwrap();
    let about = About { record: &record, base_name: "owner/small", chat_template: Some(template) };
    let (shape, tuning, base) = (&source.shape, Tuning::none(), Some(source));
    let model = Trained { shape, weights, tuning, tokenizer: &tokenizer, base, about, backend: REFERENCE };
    let target = Target::new(out, &[]).unwrap();
    write(model, &target, Options { float, shard_bytes }).map_err(|error| error.to_string())
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn all_that_the_base_has_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let own: PathBuf = dir.path().join("base");
    fs::create_dir(&own).unwrap();
    let source = base(&own, Float::BF16, None);
    let out = dir.path().join("out");
    let report = exported(&source, &out, "{{ belle }}", None, 20_000).unwrap();

    for name in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "tokenizer.model", "LICENSE"] {
        assert_eq!(fs::read(out.join(name)).unwrap(), fs::read(own.join(name)).unwrap(), "{name}");
    }
    // The end of text that the template taught is one of generation's, too; all else stays.
    let generation = read_json(&out.join("generation_config.json"));
    assert_eq!(generation, json!({ "eos_token_id": [257, 256], "temperature": 0.7, "top_k": 3 }));
    assert!(report.said.iter().any(|said| said.contains("eos_token_id has [256] too")), "{:?}", report.said);
    let (before, mut after) = (read_json(&own.join("config.json")), read_json(&out.join("config.json")));
    assert_eq!(after["_name_or_path"], "owner/small");
    after["_name_or_path"] = before["_name_or_path"].clone();
    assert_eq!(after, before);
    assert_eq!(fs::read_to_string(out.join("chat_template.jinja")).unwrap(), "{{ belle }}");
    let card = fs::read_to_string(out.join("README.md")).unwrap();
    assert!(
        card.contains("base_model: \"owner/small\"")
            && card.contains("# LoRA | zh")
            && card.contains("| epochs | 3 | study |")
    );

    // Files that are full as far as whole tensors fill them, and an index that adds up.
    let index = read_json(&out.join("model.safetensors.index.json"));
    let shards: Vec<String> = names(&out).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
    let bytes = |name: &String| {
        let tensors = TensorFile::open(&out.join(name)).unwrap().shapes();
        2 * tensors.values().map(|dims| dims.iter().product::<usize>()).sum::<usize>()
    };
    let sizes: Vec<usize> = shards.iter().map(bytes).collect();
    assert!(sizes.len() > 1 && sizes.iter().all(|size| *size <= 20_000), "{sizes:?}");
    let count = shards.len();
    assert_eq!(index["metadata"], json!({ "total_parameters": shape().params(), "total_size": 2 * shape().params() }));
    assert_eq!(index["weight_map"]["lm_head.weight"], format!("model-{count:05}-of-{count:05}.safetensors"));
    assert!(open(&out).unwrap().floats().unwrap().values().all(|float| *float == Float::BF16));
    assert!(report.what.contains(&format!("bfloat16, {count} files")), "{}", report.what);
    assert!(report.difference.largest > 0.0 && report.difference.largest < 0.1, "{}", report.difference);
}

#[test]
fn numbers_are_kept_as_they_were_or_as_asked() {
    let dir = tempfile::tempdir().unwrap();
    let cases = [
        (Float::F32, None, Float::F32),
        (Float::F16, None, Float::F16),
        (Float::BF16, None, Float::BF16),
        (Float::BF16, Some(Float::F32), Float::F32),
        (Float::F32, Some(Float::F16), Float::F16),
        (Float::F16, Some(Float::BF16), Float::BF16),
    ];
    for (number, (of_base, asked, want)) in cases.into_iter().enumerate() {
        let (own, out) = (dir.path().join(format!("base{number}")), dir.path().join(format!("out{number}")));
        fs::create_dir(&own).unwrap();
        let report = exported(&base(&own, of_base, None), &out, "{{ t }}", asked, SHARD_BYTES).unwrap();
        let found = open(&out).unwrap();
        assert!(found.floats().unwrap().values().all(|float| *float == want), "{of_base:?} {asked:?}");
        let config = read_json(&out.join("config.json"));
        assert_eq!((&config["dtype"], &config["torch_dtype"]), (&json!(want.torch_name()), &json!(want.torch_name())));
        assert_eq!(report.difference.largest == 0.0, want == Float::F32, "{}", report.difference);
        assert!(names(&out).contains(&"model.safetensors".to_owned()));
    }
}

#[test]
fn the_template_that_was_trained_with_is_written() {
    let dir = tempfile::tempdir().unwrap();
    // (the base's own, the one trained with, whether it is said)
    let cases =
        [(None, "{{ t }}", false), (Some("{{ own }}"), "{{ own }}", false), (Some("{{ own }}"), "{{ t }}", true)];
    for (number, (own_template, trained, is_said)) in cases.into_iter().enumerate() {
        let (own, out) = (dir.path().join(format!("base{number}")), dir.path().join(format!("out{number}")));
        fs::create_dir(&own).unwrap();
        let report = exported(&base(&own, Float::F32, own_template), &out, trained, None, SHARD_BYTES).unwrap();
        assert_eq!(open(&out).unwrap().chat_template().unwrap().as_deref(), Some(trained));
        // Readers that know one place only find the same.
        let config = read_json(&out.join("tokenizer_config.json"));
        assert_eq!(config.get("chat_template").map(|t| t.as_str().unwrap()), own_template.map(|_| trained));
        assert_eq!(config["model_max_length"], 77);
        assert_eq!(report.said.iter().any(|said| said.contains("`belle`")), is_said, "{:?}", report.said);
    }
}

#[test]
fn numbers_that_do_not_fit_are_refused_and_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("base");
    fs::create_dir(&own).unwrap();
    let source = base(&own, Float::F32, None);
    let mut weights = source.weights().unwrap().into_map();
    let name = "model.layers.1.mlp.up_proj.weight";
    weights.insert(name.into(), (weights[name].clone() * 1e8).unwrap());
    save_weights(&own, &source.shape, &Weights::new(&source.shape, weights).unwrap(), &|_| Float::F32, SHARD_BYTES)
        .unwrap();
    fs::remove_file(own.join("model.safetensors.index.json")).unwrap();
    let out = dir.path().join("out");
    let error = exported(&open(&own).unwrap(), &out, "{{ t }}", Some(Float::F16), SHARD_BYTES).unwrap_err();
    assert!(error.contains(name) && error.contains("F16"), "{error}");
    assert!(!out.exists() && names(dir.path()) == ["base"], "{:?}", names(dir.path()));
}

#[test]
fn settings_that_change_the_likeliest_answer_are_named() {
    let dir = tempfile::tempdir().unwrap();
    // (the base's settings of generation, those that are named)
    let cases = [
        (json!({ "do_sample": true, "temperature": 0.7, "top_k": 3, "top_p": 0.9, "max_length": 99 }), vec![]),
        (
            json!({
                "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": null, "num_beams": 1,
                "suppress_tokens": [], "sequence_bias": {}, "bad_words_ids": null, "forced_bos_token_id": null,
            }),
            vec![],
        ),
        (
            json!({ "repetition_penalty": 1.3, "suppress_tokens": [33], "bad_words_ids": [[44]] }),
            vec!["repetition_penalty 1.3", "suppress_tokens", "bad_words_ids"],
        ),
        (
            json!({
                "no_repeat_ngram_size": 3, "min_new_tokens": 2, "min_length": 4, "num_beams": 2, "begin_suppress_tokens": [7],
                "sequence_bias": [[[1], 2.5]], "forced_bos_token_id": 0, "forced_eos_token_id": [257], "stop_strings": ["x"],
            }),
            vec![
                "no_repeat_ngram_size 3",
                "min_length 4",
                "min_new_tokens 2",
                "num_beams 2",
                "begin_suppress_tokens",
                "forced_bos_token_id",
                "forced_eos_token_id",
                "sequence_bias",
                "stop_strings",
            ],
        ),
    ];
    for (number, (mut settings, named)) in cases.into_iter().enumerate() {
        let (own, out) = (dir.path().join(format!("base{number}")), dir.path().join(format!("out{number}")));
        fs::create_dir(&own).unwrap();
        base(&own, Float::F32, None);
        settings["eos_token_id"] = json!([256, 257]);
        write_json(&own.join("generation_config.json"), &settings);
        let report = exported(&open(&own).unwrap(), &out, "{{ t }}", None, SHARD_BYTES).unwrap();
        let said: Vec<&String> = report.said.iter().filter(|said| said.contains("change what transformers")).collect();
        match named.is_empty() {
            true => assert!(said.is_empty(), "{said:?}"),
            false => assert!(said[0].contains(&format!("the base's {} stay", named.join(", "))), "{said:?}"),
        }
        assert_eq!(read_json(&out.join("generation_config.json")), settings);
    }
}

#[test]
fn code_stays_behind_and_terms_come_along() {
    let dir = tempfile::tempdir().unwrap();
    let (own, out) = (dir.path().join("base"), dir.path().join("out"));
    fs::create_dir(&own).unwrap();
    base(&own, Float::F32, None);
    for (file, value) in [
        ("config.json", json!({ "AutoModelForCausalLM": "modeling_x.X" })),
        ("tokenizer_config.json", json!({ "AutoTokenizer": ["tokenization_x.X", null] })),
    ] {
        let mut config = read_json(&own.join(file));
        config["auto_map"] = value;
        write_json(&own.join(file), &config);
    }
    let terms = ["LICENSE", "USE_POLICY.md", "Notice.txt", "LICENSE-MODEL", "acceptable_use_policy.pdf"];
    for name in terms.into_iter().chain(["modeling_x.py", "tokenization_x.py", "other.txt"]) {
        fs::write(own.join(name), format!("this is {name}")).unwrap();
    }
    fs::create_dir(own.join("NOTICES")).unwrap();
    let source = open(&own).unwrap();
    let report = exported(&source, &out, "{{ t }}", None, SHARD_BYTES).unwrap();
    for name in terms {
        assert_eq!(fs::read_to_string(out.join(name)).unwrap(), format!("this is {name}"));
    }
    let names = names(&out);
    assert!(!names.iter().any(|name| name.ends_with(".py") || name == "other.txt" || name == "NOTICES"), "{names:?}");
    for file in ["config.json", "tokenizer_config.json"] {
        let (mut before, after) = (read_json(&own.join(file)), read_json(&out.join(file)));
        before.as_object_mut().unwrap().remove("auto_map").unwrap();
        before.as_object_mut().unwrap().remove("_name_or_path");
        let mut rest = after.clone();
        rest.as_object_mut().unwrap().remove("_name_or_path");
        assert_eq!(rest, before, "{file}");
        let said = format!("{file}: auto_map is left out");
        assert_eq!(report.said.iter().filter(|found| found.starts_with(&said)).count(), 1, "{:?}", report.said);
    }
    // A tokenizer of the arm's own changes nothing of it.
    let mut settings = read_json(&own.join("tokenizer_config.json"));
    let record = record();
    settings["eos_token"] = "<|stop|>".into();
    let other = dir.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::copy(own.join("tokenizer.json"), other.join("tokenizer.json")).unwrap();
    write_json(&other.join("tokenizer_config.json"), &settings);
    let tokenizer = Tokenizer::from_file(&other.join("tokenizer.json")).unwrap();
    let about = About { record: &record, base_name: "owner/small", chat_template: None };
    let written = dir.path().join("written");
    fs::create_dir(&written).unwrap();
    kept::write(&written, &source.shape, &tokenizer, Some(&source), &about).unwrap();
    // Nor does another form.
    let gguf = dir.path().join("gguf");
    fs::create_dir(&gguf).unwrap();
    kept::terms(&gguf, Some(&source)).unwrap();
    for folder in [written, gguf] {
        assert!(terms.iter().all(|name| folder.join(name).is_file()), "{folder:?}");
    }
}

#[test]
fn a_card_says_the_license_of_the_base() {
    let dir = tempfile::tempdir().unwrap();
    let own = dir.path().join("base");
    fs::create_dir(&own).unwrap();
    let source = base(&own, Float::F32, None);
    let record = record();
    let about = About { record: &record, base_name: "owner/small", chat_template: None };
    // (the base's card, what of it is in the export's)
    let cases = [
        ("---\nlicense: llama3\nlanguage: zh\n---\nhello", "license: llama3\n"),
        (
            "---\nlanguage:\n- zh\nlicense: other\nlicense_name: \"a name\"\ntags: [license]\nlicense_link: LICENSE\n---\n",
            "license: other\nlicense_name: \"a name\"\nlicense_link: LICENSE\n",
        ),
        ("---\r\nlicense:\r\n- mit\r\n- apache-2.0\r\ntags:\r\n- x\r\n---\r\n", "license:\n- mit\n- apache-2.0\n"),
        ("---\ndatasets: x\nmodel:\n  license: mit\nlicensed: no\n---\nlicense: mit\n", ""),
        ("license: mit\n---\n", ""),
        ("---\nlicense: mit\n", ""),
        ("", ""),
    ];
    for (number, (of_base, expected)) in cases.into_iter().enumerate() {
        fs::write(own.join("README.md"), of_base).unwrap();
        let out = dir.path().join(format!("out{number}"));
        fs::create_dir(&out).unwrap();
        card::write(&out, &about, Some(&source), "transformers", "a folder").unwrap();
        let text = fs::read_to_string(out.join("README.md")).unwrap();
        assert!(text.starts_with(&format!("---\n{expected}base_model: \"owner/small\"\nlibrary_name: ")), "{text}");
    }
}
