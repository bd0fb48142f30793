//! Trained arms written for other programs, by the executable: never over anything, and whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::study::Study;
use crate::tiny;

const STUDY: &str = r#"
[study]
name = "exported"
seed = 3
[recipe]
max_steps = 2
batch_size = 2
max_length = 64
learning_rate = 1e-2
warmup_steps = 0
MODEL
[[dataset]]
id = "few"
max_skipped_share = 0.1
plugin = "belle"
source = "train.jsonl"
[[arm]]
name = "full"
base = "BASE"
tuner = "ft"
dataset = "few"
[[arm]]
name = "adapted"
base = "BASE"
tuner = "lora-attention"
dataset = "few"
"#;

/// Every byte as the letter that byte-level tokenizers have for it, and the end of text.
fn tokenizer() -> Value {
    let is_printed = |byte: u32| matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let mut other = 0x100;
    let mut vocabulary = serde_json::Map::from_iter([("</s>".to_owned(), json!(0))]);
    for byte in 0..=255u32 {
        let letter = if is_printed(byte) { byte } else { other };
        other += u32::from(!is_printed(byte));
        vocabulary.insert(char::from_u32(letter).unwrap().to_string(), json!(byte + 1));
    }
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0", "normalizer": null, "post_processor": null, "pre_tokenizer": byte_level, "decoder": byte_level,
        "added_tokens": [{ "id": 0, "content": "</s>", "special": true, "single_word": false, "lstrip": false,
                           "rstrip": false, "normalized": false }],
        "model": { "type": "BPE", "vocab": vocabulary, "merges": [] },
    })
}

/// A folder `model` and a run `out` of arms that start from it.
fn run() -> Study {
    let study = Study::new();
    study.write("tokenizer.json", &tokenizer().to_string());
    study.write("study.toml", &STUDY.replace("MODEL", &tiny::model(1)).replace("BASE", "tiny"));
    study.run(&["study", "study.toml", "--out", "first", "--only", "full"]);
    study.run(&["export", "merged", "first", "full", "model", "--max-shard-size", "9KB"]);
    let model = "[[model]]\nid = \"m\"\nsource = \"model\"";
    study.write("study.toml", &STUDY.replace("MODEL", model).replace("BASE", "m"));
    study.run(&["study", "study.toml", "--out", "out"]);
    study
}

/// Contents of the files of a folder, by name.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.is_file()).map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn nothing_is_written_over_and_all_forms_are_written() {
    let study = run();
    let before = contents(&study.path("model"));
    assert!(
        before.keys().filter(|path| path.extension().is_some_and(|e| e == "safetensors")).count() > 1,
        "{before:?}"
    );
    for (out, why) in [
        ("model", "it is the model that arm"),
        ("model/new", "it lies in the model that arm"),
        ("out", "it is the run folder"),
        ("out/exports/new", "it lies in the run folder"),
        ("study.toml", "it is a file"),
        ("first", "it is not empty"),
    ] {
        for kind in ["merged", "adapter", "gguf"] {
            let error = study.fails(&["export", kind, "out", "adapted", out]);
            assert!(error.contains(why), "{kind} {out}: {error}");
        }
    }
    assert_eq!(contents(&study.path("model")), before);

    let said = study.run(&["export", "merged", "out", "adapted", "merged", "--seed", "3"]);
    assert!(said.contains("a Hugging Face folder, float32") && said.contains("largest logit difference"), "{said}");
    let said = study.run(&["export", "adapter", "out", "adapted", "adapter"]);
    assert!(said.contains("PEFT") && said.contains("largest logit difference"), "{said}");
    for kind in ["F32", "Q8_0", "Q4_K_M"] {
        let said = study.run(&["export", "gguf", "out", "adapted", kind, "--type", kind]);
        assert!(said.contains(kind) && said.contains("largest logit difference"), "{said}");
        let modelfile = fs::read_to_string(study.path(kind).join("Modelfile")).unwrap();
        assert!(
            modelfile.starts_with(&format!("FROM ./adapted-{kind}.gguf\n")) && modelfile.contains("Human: "),
            "{modelfile}"
        );
    }
    assert!(study.fails(&["export", "merged", "out", "adapted", "other", "--seed", "9"]).contains("adapted@3"));
    assert!(!study.path("other").exists());

    // What was exported is a base like any.
    study.edit("study.toml", "source = \"model\"", "source = \"Q8_0/adapted-Q8_0.gguf\"");
    study.run(&["study", "study.toml", "--out", "from-gguf", "--only", "full"]);
    let said = study.run(&["export", "gguf", "from-gguf", "full", "again", "--type", "bf16"]);
    assert!(said.contains("full-BF16.gguf"), "{said}");
}

#[test]
fn a_killed_export_leaves_no_half_folder() {
    let study = run();
    for kind in ["merged", "adapter", "gguf"] {
        let whole = format!("whole-{kind}");
        study.run(&["export", kind, "out", "adapted", &whole]);
        let names = |out: &str| -> Vec<PathBuf> {
            contents(&study.path(out)).into_keys().map(|path| path.file_name().unwrap().into()).collect()
        };
        let expected = names(&whole);
        let mut kills = 0;
        for number in 0.. {
            let kill = format!("{}:{}", number / 2 + 1, ["torn", "after"][number % 2]);
            let out = format!("{kind}-{number}");
            let arguments = ["export", kind, "out", "adapted", &out];
            let killed = study.command(&arguments).env("TUNEBENCH_KILL_AT_WRITE", &kill).output().unwrap();
            if killed.status.success() {
                assert_eq!(names(&out), expected);
                break;
            }
            kills += 1;
            if study.path(&out).exists() {
                assert_eq!(names(&out), expected, "{kill}");
                continue;
            }
            study.run(&arguments);
            assert_eq!(names(&out), expected, "{kill}");
        }
        assert!(kills > 3, "{kind}: {kills}");
    }
}
