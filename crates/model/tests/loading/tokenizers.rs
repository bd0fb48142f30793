//! Tokenizers: tokenizer.json with its neighbours, and those inside GGUF files.

use std::fs;

use serde_json::{Value, json};
use tunebench_model::formats::safetensors::Float;
use tunebench_model::{Error, Tokenizer, open, save};

use crate::gguf_writer::{Item, Writer, text};
use crate::{golden, refusal};

fn ids(tokenizer: &Tokenizer, text: &str, special: bool) -> Vec<u32> {
    tokenizer.inner.encode(text, special).unwrap().get_ids().to_vec()
}

fn pieces(tokenizer: &Tokenizer, text: &str) -> Vec<String> {
    tokenizer.inner.encode(text, false).unwrap().get_tokens().to_vec()
}

#[test]
fn gguf_byte_level_equals_the_tokenizers_library() {
    let expected: Value = serde_json::from_slice(&fs::read(golden("gguf/expected.json")).unwrap()).unwrap();
    let source = open(&golden("gguf/mixed.gguf")).unwrap();
    let tokenizer = source.tokenizer().unwrap();
    let rows = expected["tokenizer"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    for row in rows {
        let text = row["text"].as_str().unwrap();
        assert_eq!(json!(ids(&tokenizer, text, true)), row["ids"], "{text}");
        assert_eq!(tokenizer.inner.decode(&ids(&tokenizer, text, true), false).unwrap(), text);
    }
    assert_eq!((tokenizer.bos, tokenizer.eos.as_slice(), tokenizer.prepends_bos()), (Some(1), &[2][..], false));

    // Saved beside the model, it is the same.
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), &source.shape, &source.weights().unwrap(), Some(&tokenizer), Float::F32).unwrap();
    let saved = open(dir.path()).unwrap();
    let names: Vec<_> = saved.files().iter().map(|f| f.file_name().unwrap().to_owned()).collect();
    let expected = [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ];
    assert_eq!(names, expected);
    let again = saved.tokenizer().unwrap();
    assert_eq!((again.bos, &again.eos), (tokenizer.bos, &tokenizer.eos));
    for row in rows {
        assert_eq!(json!(ids(&again, row["text"].as_str().unwrap(), true)), row["ids"]);
    }
}

/// A byte-level vocabulary of the printable ASCII bytes and what these texts need, with merges that join digits.
fn byte_level(pre: &str) -> Writer {
    let ascii: Vec<String> = ('!'..='~').map(String::from).collect();
    let more = ["<s>", "</s>", "<turn>", "\u{120}", "Ì", "ģ", "Ã", "©", "12", "123", "1234", "ĠĠ", "Ġ1", "ab", "abc"];
    let tokens: Vec<&str> = ascii.iter().map(String::as_str).chain(more).collect();
    let (n, mut writer) = (ascii.len() as u32, Writer::model(&tokens));
    let merges = ["1 2", "12 3", "123 4", "Ġ Ġ", "Ġ 1", "a b"];
    for (key, item) in [
        ("model", text("gpt2")),
        ("pre", text(pre)),
        ("merges", Item::Texts(merges.map(String::from).into())),
        ("bos_token_id", Item::U32(n)),
        ("eos_token_id", Item::U32(n + 1)),
        ("eot_token_id", Item::U32(n + 2)),
    ] {
        writer.set(&format!("tokenizer.ggml.{key}"), item);
    }
    writer
}

#[test]
fn gguf_families_split_digits_and_accents_as_they_were_trained() {
    let rows: [(&str, &str, &[&str]); 12] = [
        ("gpt-2", "1234", &["1234"]),
        ("default", "1234", &["1234"]),
        ("smollm", "1234", &["1", "2", "3", "4"]),
        ("llama-bpe", "1234", &["123", "4"]),
        ("qwen2", "1234", &["1", "2", "3", "4"]),
        ("gpt-2", "  1", &["Ġ", "Ġ1"]),
        ("smollm", "  1", &["ĠĠ", "1"]),
        // No merge makes it, but the family takes whole tokens first.
        ("llama-bpe", "abc", &["abc"]),
        ("gpt-2", "abc", &["ab", "c"]),
        // Only this family composes accents.
        ("qwen2", "e\u{301}", &["Ã", "©"]),
        ("gpt-2", "e\u{301}", &["e", "Ì", "ģ"]),
        ("smollm", "a</s><turn>b", &["a", "</s>", "<turn>", "b"]),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (pre, text, expected) in rows {
        let tokenizer = open(&byte_level(pre).write(dir.path())).unwrap().tokenizer().unwrap();
        assert_eq!(pieces(&tokenizer, text), expected, "{pre} {text}");
        let shown = tokenizer.inner.decode(&ids(&tokenizer, text, false), false).unwrap();
        assert_eq!(shown, if pre == "qwen2" { text.replace("e\u{301}", "\u{e9}") } else { text.into() });
        let (bos, n) = (tokenizer.bos.unwrap(), tokenizer.eos[0]);
        assert_eq!((bos + 1, tokenizer.eos.as_slice()), (n, &[n, n + 1][..]));
        assert_eq!(tokenizer.prepends_bos(), pre == "llama-bpe", "{pre}");
    }
}

/// SentencePiece as LLaMA 2 has it: scores, bytes for what is not in the vocabulary, a space put in front.
fn sentence_piece() -> Writer {
    let mut tokens: Vec<String> = ["<unk>", "<s>", "</s>"].map(String::from).into();
    let mut kinds = vec![2, 3, 3];
    for byte in 0..=255 {
        tokens.push(format!("<0x{byte:02X}>"));
        kinds.push(6);
    }
    // Best first. `hel` + `lo` is beaten by `he`, `ll`, then `hell`; `▁hello` is reached through `hello`.
    let words = ["ll", "he", "lo", "hel", "hell", "hello", "▁hello", "or", "▁w", "or▁"];
    let letters = ["▁", "h", "e", "l", "o", "w", "r", "d"];
    tokens.extend(words.iter().chain(&letters).map(ToString::to_string));
    kinds.resize(tokens.len(), 1);
    let scores = (0..tokens.len()).map(|id| if id < 259 { 0.0 } else { 259.0 - id as f32 }).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let mut writer = Writer::model(&tokens);
    for (key, item) in [
        ("model", text("llama")),
        ("scores", Item::F32s(scores)),
        ("token_type", Item::I32s(kinds)),
        ("bos_token_id", Item::U32(1)),
        ("eos_token_id", Item::U32(2)),
        ("unknown_token_id", Item::U32(0)),
    ] {
        writer.set(&format!("tokenizer.ggml.{key}"), item);
    }
    writer
}

#[test]
fn gguf_sentence_piece() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = open(&sentence_piece().write(dir.path())).unwrap().tokenizer().unwrap();
    let rows: [(&str, &[&str]); 5] = [
        ("hello", &["▁hello"]),
        ("hello world", &["▁hello", "▁w", "or", "l", "d"]),
        ("helo", &["▁", "he", "lo"]),
        ("h\n世", &["▁", "h", "<0x0A>", "<0xE4>", "<0xB8>", "<0x96>"]),
        ("hello</s>hello", &["▁hello", "</s>", "▁hello"]),
    ];
    for (text, expected) in rows {
        assert_eq!(pieces(&tokenizer, text), expected, "{text}");
    }
    assert_eq!(ids(&tokenizer, "hello", true), [1, 265]);
    assert!(tokenizer.prepends_bos());
    for text in ["hello world", " hello  world", "h\n世 é😀"] {
        assert_eq!(tokenizer.inner.decode(&ids(&tokenizer, text, true), true).unwrap(), text);
    }

    let mut bare = sentence_piece();
    bare.set("tokenizer.ggml.add_space_prefix", Item::Bool(false));
    bare.set("tokenizer.ggml.add_bos_token", Item::Bool(false));
    let tokenizer = open(&bare.write(dir.path())).unwrap().tokenizer().unwrap();
    assert_eq!(pieces(&tokenizer, "hello"), ["hello"]);
    assert!(!tokenizer.prepends_bos());
}

#[test]
fn gguf_vocabularies_that_cannot_be_used_say_why() {
    type Change = fn(&mut Writer);
    let faults: [(Change, &str); 16] = [
        (|w| w.set("tokenizer.ggml.model", text("bert")), "`bert` is not supported"),
        (|w| w.entries.retain(|(key, _)| key != "tokenizer.ggml.model"), "`(none)` is not supported"),
        (|w| w.set("tokenizer.ggml.pre", text("tekken")), "`tekken` is not supported; known are gpt-2, default"),
        (|w| w.set("tokenizer.ggml.eos_token_id", Item::U32(1 << 30)), "eos token"),
        (|w| w.entries.retain(|(key, _)| !key.contains(".eo")), "no token is named that ends a text"),
        (|w| w.set("tokenizer.ggml.token_type", Item::I32s(vec![1])), "token_type"),
        (|w| w.set("tokenizer.ggml.merges", Item::Texts(vec!["1234 abc".into()])), "merge \"1234 abc\" makes no token"),
        (|w| w.set("tokenizer.ggml.merges", Item::U32(1)), "merges` is missing or not"),
        (|w| w.set("tokenizer.ggml.model", text("llama")), "scores"),
        (|w| w.set("tokenizer.ggml.model", Item::U32(1)), "`tokenizer.ggml.model` is no text"),
        (|w| w.entries.retain(|(key, _)| key != "tokenizer.ggml.pre"), "`tokenizer.ggml.pre`, how texts are split, is"),
        (|w| w.set("tokenizer.ggml.pre", Item::U32(1)), "`tokenizer.ggml.pre` is no text"),
        (|w| w.set("tokenizer.ggml.add_bos_token", Item::U32(1)), "`tokenizer.ggml.add_bos_token` is neither true nor"),
        (|w| w.set("tokenizer.ggml.add_eos_token", text("yes")), "`tokenizer.ggml.add_eos_token` is neither true nor"),
        (
            |w| {
                *w = sentence_piece();
                w.set("tokenizer.ggml.add_space_prefix", Item::U32(0));
            },
            "`tokenizer.ggml.add_space_prefix` is neither true nor",
        ),
        (
            |w| {
                *w = sentence_piece();
                w.set("tokenizer.ggml.unknown_token_id", Item::U32(9999));
            },
            "the unknown token is Int(9999), outside the vocabulary",
        ),
    ];
    let dir = tempfile::tempdir().unwrap();
    for (change, word) in faults {
        let mut writer = byte_level("smollm");
        change(&mut writer);
        let message = refusal(open(&writer.write(dir.path())).unwrap().tokenizer());
        assert!(message.contains(word), "{message} lacks {word}");
    }
}

/// A tokenizer.json of four tokens, one file of the folder for each pair.
fn from_folder(files: &[(&str, Value)]) -> Result<Tokenizer, Error> {
    let dir = tempfile::tempdir().unwrap();
    let plain = json!({
        "version": "1.0",
        "truncation": { "direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0 },
        "padding": { "strategy": { "Fixed": 9 }, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                     "pad_type_id": 0, "pad_token": "<s>" },
        "added_tokens": [],
        "model": { "type": "BPE", "vocab": { "<s>": 0, "</s>": 1, "<turn>": 2, "a": 3 }, "merges": [] },
    });
    fs::write(dir.path().join("tokenizer.json"), plain.to_string()).unwrap();
    for (name, json) in files {
        fs::write(dir.path().join(name), json.to_string()).unwrap();
    }
    Tokenizer::from_file(&dir.path().join("tokenizer.json"))
}

#[test]
fn special_tokens_come_from_the_files_beside() {
    const CONFIG: &str = "tokenizer_config.json";
    const MAP: &str = "special_tokens_map.json";
    const GENERATION: &str = "generation_config.json";
    let model = json!({ "bos_token_id": 0, "eos_token_id": 1 });
    type Files<'a> = &'a [(&'a str, Value)];
    let rows: [(Files, Option<u32>, &[u32]); 6] = [
        (&[(CONFIG, json!({ "bos_token": "<s>", "eos_token": "</s>" }))], Some(0), &[1]),
        (&[(CONFIG, json!({ "bos_token": null, "eos_token": { "content": "<turn>" } }))], None, &[2]),
        (&[(CONFIG, json!({})), (MAP, json!({ "eos_token": "</s>" }))], None, &[1]),
        (&[("config.json", model.clone())], Some(0), &[1]),
        // The tokenizer's own comes first, each once; a generation_config replaces what config.json says.
        (
            &[
                (CONFIG, json!({ "eos_token": "<turn>" })),
                (GENERATION, json!({ "eos_token_id": [1, 2] })),
                ("config.json", model),
            ],
            Some(0),
            &[2, 1],
        ),
        (&[(GENERATION, json!({ "eos_token_id": 2 })), ("config.json", json!({ "eos_token_id": 1 }))], None, &[2]),
    ];
    for (files, bos, eos) in rows {
        let tokenizer = from_folder(files).unwrap();
        assert_eq!((tokenizer.bos, tokenizer.eos.as_slice()), (bos, eos), "{files:?}");
        assert_eq!(ids(&tokenizer, "aaa", true), [3, 3, 3], "neither cut nor padded");
    }
}

/// Chat templates of these names.
fn templates(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name, "template": format!("the {name} one") })).collect()
}

/// What transformers' `special_tokens_map` has, which is what it gives to a chat template.
#[test]
fn every_named_token_is_there_for_chat_templates() {
    let config = json!({
        "eos_token": { "content": "</s>" },
        "image_token": "<img>",
        "audio_token": { "__type": "AddedToken", "content": "<audio>", "lstrip": false },
        "pad_token": null,
        "add_bos_token": false,
        "extra_special_tokens": { "boi": "<boi>", "image_token": "<image>" },
        "chat_template": templates(&["rag", "default"]),
    });
    let map = json!({ "eos_token": "<turn>", "pad_token": "a", "extra_special_tokens": ["<turn>"] });
    let tokenizer = from_folder(&[("tokenizer_config.json", config), ("special_tokens_map.json", map)]).unwrap();
    let expected = [
        ("audio_token", "<audio>"),
        ("boi", "<boi>"),
        ("eos_token", "</s>"),
        ("image_token", "<image>"),
        ("pad_token", "a"),
    ];
    let expected = expected.map(|(name, token)| (name.to_owned(), token.to_owned())).into();
    assert_eq!(tokenizer.template_names(), expected);
    assert_eq!(tokenizer.conversations.chat_template.as_deref(), Some("the default one"));

    let dir = tempfile::tempdir().unwrap();
    tokenizer.save(dir.path()).unwrap();
    assert_eq!(Tokenizer::from_file(&dir.path().join("tokenizer.json")).unwrap().template_names(), expected);
}

/// As transformers, which would be told which one to take.
#[test]
fn of_chat_templates_by_name_one_is_the_default() {
    let of = |names: &[&str]| {
        let config = json!({ "eos_token": "</s>", "chat_template": templates(names) });
        from_folder(&[("tokenizer_config.json", config)])
    };
    assert_eq!(of(&[]).unwrap().conversations.chat_template, None);
    for names in [&["rag"][..], &["rag", "tool_use"]] {
        let refused = refusal(of(names));
        let known = format!("chat templates by name ({}) and none of them is `default`", names.join(", "));
        assert!(refused.contains("tokenizer_config.json: brings") && refused.contains(&known), "{refused}");
    }
}

/// One token may begin texts and end them.
#[test]
fn what_is_put_behind_a_text_is_not_taken_for_what_begins_it() {
    let special = |end: &str| json!({ "SpecialToken": { "id": end, "type_id": 0 } });
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    for (single, begins) in [
        (json!([text]), false),
        (json!([text, special("</s>")]), false),
        (json!([special("</s>"), text]), true),
        (json!([special("</s>"), text, special("</s>")]), true),
    ] {
        let json = json!({
            "version": "1.0",
            "added_tokens": [],
            "post_processor": {
                "type": "TemplateProcessing", "single": single, "pair": [text],
                "special_tokens": { "</s>": { "id": "</s>", "ids": [1], "tokens": ["</s>"] } },
            },
            "model": { "type": "BPE", "vocab": { "</s>": 1, "a": 3 }, "merges": [] },
        });
        let config = json!({ "bos_token": "</s>", "eos_token": "</s>" });
        let tokenizer = from_folder(&[("tokenizer.json", json), ("tokenizer_config.json", config)]).unwrap();
        assert_eq!(tokenizer.prepends_bos(), begins, "{single}");
    }
}

#[test]
fn tokenizer_files_that_cannot_be_used_say_why() {
    let eos = |id: Value| ("config.json", json!({ "eos_token_id": id }));
    let model = |model: Value| ("tokenizer.json", json!({ "version": "1.0", "model": model }));
    let rows: [(Vec<(&str, Value)>, &str); 10] = [
        (vec![], "no token is named that ends a text"),
        (vec![eos(json!(77))], "config.json: `eos_token_id` 77 is not in the vocabulary"),
        (
            vec![eos(json!(1)), ("generation_config.json", json!({ "eos_token_id": [1, 78] }))],
            "generation_config.json: `eos_token_id` 78 is not in the vocabulary",
        ),
        (
            vec![("tokenizer_config.json", json!({ "eos_token": "<end>" }))],
            "tokenizer_config.json: `eos_token` `<end>` is not in the vocabulary",
        ),
        (
            vec![eos(json!(1)), ("special_tokens_map.json", json!({ "bos_token": { "content": "<begin>" } }))],
            "special_tokens_map.json: `bos_token` `<begin>` is not in the vocabulary",
        ),
        // The library itself would panic at this one.
        (vec![model(json!({ "type": "BPE", "vocab": { "a": 0, "b": 1 }, "merges": [["a", "b"]] }))], "makes no token"),
        (vec![model(json!({ "type": "BPE", "vocab": { "a": 0 }, "merges": ["a"] }))], "makes no token"),
        (vec![model(json!({ "type": "Word", "vocab": { "a": 0 } }))], "not a tokenizer"),
        (vec![("tokenizer.json", json!([]))], "`model` is missing"),
        (vec![model(json!(null))], "`model.vocab` is missing"),
    ];
    for (files, word) in rows {
        let message = refusal(from_folder(&files));
        assert!(message.contains(word) && message.contains("tokenizer.json"), "{message} lacks {word}");
    }
    assert!(refusal(Tokenizer::from_file(&golden("tiny/tokenizer.json"))).contains("not found"));
}
