//! Which files of a repository are taken, and what is said where it has others.

use tunebench_hub::{Address, Hub, Wanted};

use crate::server;

/// Names of what is found, or the fault.
fn get(kind: &str, names: &[&str], address: &str, wanted: Wanted) -> Result<Vec<String>, String> {
    let index =
        br#"{"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}"#;
    let content = |name: &str| if name.ends_with("index.json") { index.to_vec() } else { name.as_bytes().to_vec() };
    let files: Vec<(&str, Vec<u8>, bool)> =
        names.iter().map(|name| (*name, content(name), name.ends_with(".safetensors"))).collect();
    let files: Vec<(&str, &[u8], bool)> = files.iter().map(|(name, bytes, large)| (*name, &**bytes, *large)).collect();
    let server = server::Hub::start(&[(&format!("{kind}/o/n"), &files)]);
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(server.settings(cache.path()));
    let address: Address = address.parse().unwrap();
    let found = hub.get(&address, wanted, &mut |_| {}).map_err(|e| e.to_string())?;
    let snapshot = cache.path().join(format!("{kind}--o--n/snapshots/{}", server::COMMIT));
    let mut here = Vec::new();
    for path in &found.paths {
        let relative = path.strip_prefix(&snapshot).unwrap().to_str().unwrap().to_owned();
        match path.is_dir() {
            true => here.extend(std::fs::read_dir(path).unwrap().map(|e| {
                let name = e.unwrap().file_name().into_string().unwrap();
                if relative.is_empty() { name } else { format!("{relative}/{name}") }
            })),
            false => here.push(relative),
        }
    }
    here.sort();
    Ok(here)
}

#[test]
fn of_a_model_what_it_is_made_of_is_taken_and_nothing_else() {
    let sharded = [
        "config.json",
        "model.safetensors.index.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model-3.safetensors",
        "pytorch_model.bin",
        "README.md",
        "tokenizer.json",
        "chat_template.jinja",
        "onnx/model.onnx",
    ];
    let cases: [(&[&str], &str, Wanted, &[&str]); 8] = [
        (
            &sharded,
            "hf:o/n",
            Wanted::Model,
            &[
                "chat_template.jinja",
                "config.json",
                "model-1.safetensors",
                "model-2.safetensors",
                "model.safetensors.index.json",
                "tokenizer.json",
            ],
        ),
        (&sharded, "hf:o/n", Wanted::Config, &["config.json"]),
        (&sharded, "hf:o/n", Wanted::Tokenizer, &["tokenizer.json"]),
        (&["x/tokenizer.json", "x/config.json"], "hf:o/n/x/tokenizer.json", Wanted::Tokenizer, &["x/tokenizer.json"]),
        (&["a.gguf", "b.gguf"], "hf:o/n/b.gguf", Wanted::Model, &["b.gguf"]),
        (
            &["x/config.json", "x/model.safetensors", "config.json"],
            "hf:o/n/x",
            Wanted::Model,
            &["x/config.json", "x/model.safetensors"],
        ),
        (
            &["adapter_config.json", "adapter_model.safetensors", "optimizer.pt"],
            "hf:o/n",
            Wanted::Adapter,
            &["adapter_config.json", "adapter_model.safetensors"],
        ),
        (
            &["c/adapter_config.json", "c/adapter_model.safetensors"],
            "hf:o/n/c",
            Wanted::Adapter,
            &["c/adapter_config.json", "c/adapter_model.safetensors"],
        ),
    ];
    for (names, address, wanted, expected) in cases {
        assert_eq!(get("models", names, address, wanted).unwrap(), expected, "{address} of {names:?}");
    }
}

#[test]
fn of_a_dataset_one_file_a_pattern_or_the_only_one() {
    let parts =
        ["README.md", "data/train-0.parquet", "data/train-1.parquet", "data/test-0.parquet", "dataset_infos.json"];
    for (names, address, expected) in [
        (&["README.md", "train.json"][..], "hf:o/n", &["train.json"][..]),
        (&parts, "hf:o/n/data/train-*.parquet", &["data/train-0.parquet", "data/train-1.parquet"]),
        (&parts, "hf:o/n/data/test-0.parquet", &["data/test-0.parquet"]),
        (&parts, "hf:o/n/data", &["data/test-0.parquet", "data/train-0.parquet", "data/train-1.parquet"]),
        (&["a.jsonl.zst", "b.md"], "hf:o/n", &["a.jsonl.zst"]),
    ] {
        assert_eq!(get("datasets", names, address, Wanted::Data).unwrap(), expected, "{address}");
    }
}

#[test]
fn what_is_there_instead_is_said_before_anything_is_downloaded() {
    for (kind, names, address, wanted, fault) in [
        ("models", &["adapter_config.json", "adapter_model.safetensors"][..], "hf:o/n", Wanted::Model, "as `adapter`"),
        ("models", &["q4.gguf", "q8.gguf"], "hf:o/n", Wanted::Model, "q4.gguf, q8.gguf"),
        ("models", &["config.json", "pytorch_model.bin"], "hf:o/n", Wanted::Model, "pickles"),
        ("models", &["README.md"], "hf:o/n", Wanted::Config, "it has no `config.json`; it has README.md"),
        ("models", &["config.json", "model.safetensors"], "hf:o/n", Wanted::Adapter, "give it as `source`"),
        ("models", &["adapter_config.json", "adapter_model.bin"], "hf:o/n", Wanted::Adapter, "pickle"),
        ("models", &["config.json"], "hf:o/n/x", Wanted::Model, "no file or folder `x`"),
        (
            "models",
            &["config.json", "model.safetensors"],
            "hf:o/n/model.safetensors",
            Wanted::Model,
            "name the repository",
        ),
        (
            "models",
            &["config.json", "model.safetensors.index.json", "model-1.safetensors"],
            "hf:o/n",
            Wanted::Model,
            "names \"model-2.safetensors\", which is not there",
        ),
        (
            "datasets",
            &["a.json", "b.json"],
            "hf:o/n",
            Wanted::Data,
            "several files of rows; name one, or several by `*`: a.json, b.json",
        ),
        ("datasets", &["README.md"], "hf:o/n", Wanted::Data, "no file of rows"),
        ("datasets", &["a.json"], "hf:o/n/*.csv", Wanted::Data, "it has a.json"),
        ("datasets", &["a.json"], "hf:o/n@v9", Wanted::Data, "no revision `v9`"),
        ("models", &["a.json"], "hf:o/other", Wanted::Model, "no such repository"),
    ] {
        let error = get(kind, names, address, wanted).unwrap_err();
        assert!(error.contains(fault), "{address} of {names:?}: {error}");
    }
}

#[test]
fn a_tokenizer_comes_with_what_names_its_tokens() {
    let files: [(&str, &[u8], bool); 4] = [
        ("tokenizer.json", b"{}", false),
        ("tokenizer_config.json", b"{}", false),
        ("chat_template.jinja", b"x", false),
        ("model.safetensors", b"w", true),
    ];
    let server = server::Hub::start(&[("models/o/n", &files)]);
    for address in ["hf:o/n", "hf:o/n/tokenizer.json"] {
        let cache = tempfile::tempdir().unwrap();
        let found =
            Hub::new(server.settings(cache.path())).get(&address.parse().unwrap(), Wanted::Tokenizer, &mut |_| {});
        let [tokenizer]: [std::path::PathBuf; 1] = found.unwrap().paths.try_into().unwrap();
        let folder = tokenizer.parent().unwrap();
        assert!(
            folder.join("tokenizer_config.json").exists() && folder.join("chat_template.jinja").exists(),
            "{address}"
        );
        assert!(!folder.join("model.safetensors").exists(), "{address}");
    }
}
