//! Everything that reads strangers' bytes, by name: what a fuzzer feeds, and a test feeds once more with what a fuzzer found.
//!
//! A target returns whatever the reader says; it must neither panic nor take more than 512 MiB for 1 MiB of input.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use tempfile::TempDir;
use tunebench_dataset::jinja::template::{Asked, JinjaTemplate, Message};
use tunebench_model::families;
use tunebench_model::formats::safetensors::TensorFile;
use tunebench_rows::{Columns, RowFile};
use tunebench_spec::decoder::Dims;
use tunebench_spec::{Decoder, Study};

#[path = "../../crates/host/src/load/elf.rs"]
#[allow(dead_code)]
mod elf;

/// A name, and what is done with the bytes.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("config", config),
    ("elf", elf),
    ("gguf", gguf),
    ("peft", peft),
    ("rows", rows),
    ("safetensors", safetensors),
    ("study", study),
    ("template", template),
    ("tokenizer", tokenizer),
];

/// Text that a tokenizer is tried with: several scripts, white space, control characters, what looks like special tokens.
const TEXTS: [&str; 6] =
    ["", "Hello, world", "你好 世界\n\n", "  \t\u{0}\u{7f}", "<s></s><|im_start|>user", "e\u{301}🤗\u{200d}"];

thread_local! {
    static FOLDER: OnceCell<TempDir> = const { OnceCell::new() };
}

/// Runs `read` in a folder of this thread, in memory where the system has such a place.
fn in_folder(read: impl FnOnce(&Path)) {
    let new = || {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("a folder for files can be made")
    };
    FOLDER.with(|folder| read(folder.get_or_init(new).path()));
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("the folder can be written");
}

fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(decoder) = families::from_config_json(families::ALL, text) else { return };
    let _ = decoder.params();
    if let Ok(config) = families::to_config_json(families::ALL, &decoder) {
        let again = families::from_config_json(families::ALL, &config.to_string());
        assert_eq!(again.as_ref(), Ok(&decoder), "what is written is read back");
    }
    // It must survive the way into a study and back.
    let text = serde_json::to_string(&decoder).expect("a decoder is JSON");
    assert_eq!(serde_json::from_str::<Decoder>(&text).expect("and is read again"), decoder);
}

fn elf(bytes: &[u8]) {
    if let Ok(library) = elf::read(bytes) {
        let _ = library.exports("tunebench_probe");
    }
}

fn gguf(bytes: &[u8]) {
    in_folder(|folder| {
        let path = folder.join("model.gguf");
        write(&path, bytes);
        let Ok(source) = tunebench_model::open(&path) else { return };
        let _ = source.chat_template();
        let _ = source.weights();
        if let Ok(tokenizer) = source.tokenizer() {
            use_tokenizer(&tokenizer);
        }
    });
}

/// As a file that its first bytes tell, and as one that its name does.
fn rows(bytes: &[u8]) {
    const STEP: usize = 1 << 16;
    let renamed = BTreeMap::from([("instruction".to_owned(), "a".to_owned())]);
    in_folder(|folder| {
        for (name, columns) in
            [("rows.jsonl", &BTreeMap::new()), ("rows.csv", &BTreeMap::new()), ("rows.tsv", &renamed)]
        {
            let path = folder.join(name);
            write(&path, bytes);
            let file = std::fs::File::open(&path).expect("what was written can be opened");
            let Ok(columns) = Columns::new(columns) else { continue };
            let Ok(mut rows) = RowFile::open(name, file, &columns) else { continue };
            let mut at = 0;
            while let Ok(read) = rows.read_at(at, STEP)
                && !read.is_empty()
            {
                at += read.len() as u64;
            }
            let _ = (rows.remarks(), rows.seen().map(|seen| columns.check(seen)));
        }
    });
}

fn safetensors(bytes: &[u8]) {
    in_folder(|folder| {
        let path = folder.join("model.safetensors");
        write(&path, bytes);
        let Ok(mut file) = TensorFile::open(&path) else { return };
        for name in file.shapes().into_keys() {
            let _ = file.read_stored(&name);
        }
    });
}

/// The configuration up to the first zero byte, the tensors behind it.
fn peft(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (config, tensors) = (&bytes[..at], bytes.get(at + 1..).unwrap_or_default());
    in_folder(|folder| {
        write(&folder.join("adapter_config.json"), config);
        write(&folder.join("adapter_model.safetensors"), tensors);
        let shape = Decoder::llama(Dims {
            vocab_size: 16,
            hidden_size: 4,
            intermediate_size: 8,
            num_hidden_layers: 1,
            heads: 2,
            kv_heads: 1,
            head_dim: 2,
        });
        let _ = tunebench_peft::inspect(folder, &shape);
        let _ = tunebench_peft::load(folder, &shape);
    });
}

fn study(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(study) = Study::from_toml(text) else { return };
    for arm in &study.arms {
        let _ = (study.seeds(arm), study.root_model(arm), study.candidates(arm));
    }
    if let Ok(text) = study.to_toml() {
        assert_eq!(Study::from_toml(&text).expect("what is kept is read again"), study);
    }
}

/// A chat template, with conversations of every kind.
fn template(bytes: &[u8]) {
    let Ok(source) = std::str::from_utf8(bytes) else { return };
    let names = [("bos_token", "<s>"), ("eos_token", "</s>")].map(|(name, token)| (name.to_owned(), token.to_owned()));
    let Ok(template) = JinjaTemplate::new(source, BTreeMap::from(names)) else { return };
    let message = |role: &'static str, content: &str| Message { role, content: content.into() };
    let whole = ["system", "user", "assistant", "user", "assistant"].map(|role| message(role, TEXTS[2]));
    for messages in [&whole[..], &whole[1..3], &whole[..2], &[]] {
        let _ = template.render(messages, Asked::default());
        let _ = template.render(messages, Asked { add_generation_prompt: true, ..Asked::default() });
    }
}

/// `tokenizer.json` up to the first zero byte, `tokenizer_config.json` behind it.
fn tokenizer(bytes: &[u8]) {
    let at = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let config = bytes.get(at + 1..).filter(|config| !config.is_empty()).unwrap_or(br#"{"eos_token": "</s>"}"#);
    in_folder(|folder| {
        let path = folder.join("tokenizer.json");
        write(&path, &bytes[..at]);
        write(&folder.join("tokenizer_config.json"), config);
        if let Ok(tokenizer) = tunebench_model::Tokenizer::from_file(&path) {
            use_tokenizer(&tokenizer);
        }
    });
}

fn use_tokenizer(tokenizer: &tunebench_model::Tokenizer) {
    let _ = tokenizer.prepends_bos();
    let (inner, bos, eos) = (tokenizer.inner.clone(), tokenizer.bos, tokenizer.eos.clone());
    let Ok(reader) = tunebench_dataset::Tokenizer::new(inner, bos, eos) else { return };
    for text in TEXTS {
        if let Ok(ids) = reader.encode(text) {
            let _ = reader.decode(&ids);
            let _ = reader.texts(&ids);
        }
    }
    let _ = reader.decode(&[0, 1, 2, 3, u32::MAX]);
}
