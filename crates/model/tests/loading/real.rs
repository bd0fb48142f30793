//! A published model (SmolLM2-135M-Instruct), where there is one: `TUNEBENCH_SMOLLM2` names its Hugging Face folder;
//! a GGUF file of the same weights is looked for beside that, as `FOLDER.gguf`.

use std::fs;
use std::path::PathBuf;

use half::bf16;
use serde_json::Value;
use tunebench_model::open;

use crate::folders::numbers;
use crate::golden;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("TUNEBENCH_SMOLLM2").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: TUNEBENCH_SMOLLM2 does not name a folder");
    }
    folder
}

#[test]
fn tokenizes_as_transformers_does() {
    let Some(folder) = folder() else { return };
    let expected: Value = serde_json::from_slice(&fs::read(golden("smollm2.json")).unwrap()).unwrap();
    let gguf = folder.with_extension("gguf");
    // The folder's tokenizer.json need not be SmolLM's own: one made from the GGUF file does not split digits.
    for (model, key) in [(folder, "ids"), (gguf, "ids_with_digit_split")].into_iter().filter(|(m, _)| m.exists()) {
        let tokenizer = open(&model).unwrap().tokenizer().unwrap();
        assert_eq!((tokenizer.bos, tokenizer.eos.as_slice(), tokenizer.prepends_bos()), (Some(1), &[2][..], false));
        let texts = expected["texts"].as_object().unwrap().values();
        for row in texts.chain(expected["strings"].as_array().unwrap()) {
            let text = row["text"].as_str().unwrap();
            let ids = tokenizer.inner.encode(text, true).unwrap().get_ids().to_vec();
            let expected = row.get(key).unwrap_or(&row["ids"]);
            assert_eq!(serde_json::json!(ids), *expected, "{}: {text}", model.display());
            assert_eq!(tokenizer.inner.decode(&ids, false).unwrap(), row["decoded"].as_str().unwrap_or(text));
        }
    }
}

#[test]
fn gguf_and_folder_hold_the_same_weights() {
    let Some(folder) = folder() else { return };
    let gguf = folder.with_extension("gguf");
    if !gguf.exists() {
        println!("skipped: {} is not there", gguf.display());
        return;
    }
    let (folder, gguf) = (open(&folder).unwrap(), open(&gguf).unwrap());
    assert_eq!(folder.shape.weights(), gguf.shape.weights());
    assert_eq!((&folder.shape.positions, &folder.shape.attention), (&gguf.shape.positions, &gguf.shape.attention));
    let (rounded, exact) = (folder.weights().unwrap(), gguf.weights().unwrap());
    for ((name, rounded), (_, exact)) in rounded.iter().zip(exact.iter()) {
        let exact = numbers(&exact).into_iter().map(|v| bf16::from_f32(v).to_f32());
        assert!(numbers(&rounded).into_iter().eq(exact), "{name}");
    }
}
