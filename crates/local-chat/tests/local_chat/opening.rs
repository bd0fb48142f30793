//! Models from files: which template is theirs, and what they are called.

use std::fs;
use std::path::Path;

use serde_json::json;
use tunebench_chat::ChatServer;
use tunebench_local_chat::LocalChat;
use tunebench_model::backend::FAST;
use tunebench_spec::ChatRequest;
use tunebench_testkit::golden;

use crate::models::{CHATML, IM_END, ask, folder, logprobs};

fn open(path: &Path, template: &str) -> Result<LocalChat, String> {
    LocalChat::open(path, template, FAST).map_err(|e| e.to_string())
}

fn set(dir: &Path, file: &str, key: &str, value: serde_json::Value) {
    let path = dir.join(file);
    let mut json: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    json[key] = value;
    fs::write(path, json.to_string()).unwrap();
}

#[test]
fn a_folder_brings_its_template_or_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let refusal = open(dir.path(), "").err().unwrap();
    assert!(refusal.contains("brings no chat template") && refusal.contains("template = \"chatml\""), "{refusal}");
    assert!(refusal.contains("belle, alpaca, chatml"), "{refusal}");
    let refusal = open(dir.path(), "vicuna").err().unwrap();
    assert!(refusal.contains("unknown template `vicuna`; there are: belle"), "{refusal}");

    let length = |template: &str| open(dir.path(), template).unwrap().prompt(&ask("x")).unwrap().len();
    let named = length("chatml");
    let config = "tokenizer_config.json";
    set(dir.path(), config, "chat_template", "a{{ messages[0].content }}".into());
    assert_eq!(length(""), 2);
    let several = json!([{ "name": "tool_use", "template": "t" }, { "name": "default", "template": "abc" }]);
    set(dir.path(), config, "chat_template", several);
    assert_eq!(length(""), 3);
    fs::write(dir.path().join("chat_template.jinja"), CHATML).unwrap();
    assert_eq!(length(""), named, "the file of its own outranks the configuration");
    assert_eq!(length("plain"), "x\n".len());

    fs::write(dir.path().join("chat_template.jinja"), "a\n{% if x %}").unwrap();
    let refusal = open(dir.path(), "").err().unwrap();
    assert!(refusal.contains("its chat template cannot be used: line 2: "), "{refusal}");
}

#[test]
fn a_model_is_called_by_its_content() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&one, &two] {
        folder(dir.path());
        fs::write(dir.path().join("chat_template.jinja"), CHATML).unwrap();
    }
    let url = |dir: &Path, template: &str| ChatServer::url(&open(dir, template).unwrap()).to_owned();
    let first = url(one.path(), "");
    assert!(first.starts_with("local:") && first.len() == "local:".len() + 16, "{first}");
    assert_eq!(first, url(two.path(), ""), "whatever its folder is called");
    assert_ne!(first, url(one.path(), "belle"), "another template");
    // A stop token more is another model, and so is a weight that differs by a bit.
    set(two.path(), "generation_config.json", "eos_token_id", json!([260, 5]));
    assert_ne!(first, url(two.path(), ""));
    let weights = one.path().join("model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    assert_ne!(first, url(one.path(), ""));
}

#[test]
fn every_end_that_the_files_name_ends_a_reply() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    fs::write(dir.path().join("chat_template.jinja"), CHATML).unwrap();
    let body = |chat: &LocalChat, text: &str| {
        let request = ChatRequest { max_tokens: Some(6), top_logprobs: Some(0), ..ask(text) };
        chat.send(&request, "a").unwrap().body
    };
    let chat = open(dir.path(), "").unwrap();
    let tokenizer = crate::models::tokenizer().inner;
    // A reply's second token becomes an end, where it is a letter that was not said before.
    let found = ('a'..='z').map(String::from).find_map(|text| {
        let whole = logprobs(&body(&chat, &text));
        let [first, second, ..] = whole.as_slice() else { return None };
        let ids = tokenizer.encode(second["token"].as_str().unwrap(), false).unwrap().get_ids().to_vec();
        (first["token"] != second["token"] && ids.len() == 1).then(|| (text, ids[0]))
    });
    let (text, id) = found.unwrap();
    assert!(id != IM_END, "it ends replies already");
    set(dir.path(), "generation_config.json", "eos_token_id", json!([260, id]));
    let cut = body(&open(dir.path(), "").unwrap(), &text);
    assert_eq!(logprobs(&cut).len(), 1);
    assert!(cut.contains(r#""finish_reason":"stop""#), "{cut}");
}

#[test]
fn a_gguf_file_answers_by_the_template_in_it() {
    let path = golden::path("gguf/mixed.gguf");
    let chat = open(&path, "").unwrap();
    let tokenizer = tunebench_model::open(&path).unwrap().tokenizer().unwrap().inner;
    let text = "the <|im_end|> answer";
    let ids = chat.prompt(&ask(text)).unwrap();
    let written = tokenizer.decode(&ids, false).unwrap();
    assert!(written.starts_with(&format!("<|im_start|>user\n{text}<|im_end|>\n")), "{written}");
    let plain = written.replace(text, "the answer");
    assert_eq!(chat.prompt(&ask("the answer")).unwrap(), tokenizer.encode(plain, false).unwrap().get_ids());
    let special = |ids: &[u32]| ids.iter().filter(|id| **id < 3).count();
    assert_eq!(special(&ids), special(&chat.prompt(&ask("the answer")).unwrap()));

    let request = ChatRequest { max_tokens: Some(4), top_logprobs: Some(1), ..ask(text) };
    let body = chat.send(&request, "a").unwrap().body;
    assert_eq!(body, open(&path, "").unwrap().send(&request, "a").unwrap().body);
    let tokens = logprobs(&body);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(json!(tokens.len()), body["usage"]["completion_tokens"]);
    assert!(!tokens.is_empty());

    // The same file with the template under a name that nobody looks at.
    let dir = tempfile::tempdir().unwrap();
    let (key, other) = (b"tokenizer.chat_template", b"tokenizer.chat_tempest_");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(key.len()).position(|window| window == key).unwrap();
    bytes[at..][..key.len()].copy_from_slice(other);
    let without = dir.path().join("model.gguf");
    fs::write(&without, bytes).unwrap();
    let refusal = open(&without, "").err().unwrap();
    assert!(refusal.contains("model.gguf brings no chat template"), "{refusal}");
}
