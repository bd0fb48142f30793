//! Nothing that a `tokenizer.json` says makes anything panic: it is refused with a sentence, or it works to the last token.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};
use tunebench_model::Tokenizer;

const TEXTS: [&str; 5] = ["abc ab\n", "天空 é e\u{301} \u{13000}", "</s> <0x41>", "", " \u{2581} zz?"];

/// What any part of any file may say instead.
fn absurd() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!(-1),
        json!(u64::MAX),
        json!(4_294_967_295_u64),
        json!(1e308),
        json!(""),
        json!("x"),
        json!([]),
        json!({}),
        json!([[]]),
        json!([null]),
        json!({"type": "Nothing"}),
        json!("\u{0}\u{10ffff}"),
    ]
}

fn vocabulary(tokens: &[&str]) -> Map<String, Value> {
    tokens.iter().enumerate().map(|(id, token)| ((*token).to_owned(), json!(id))).collect()
}

fn added(id: usize, content: &str) -> Value {
    json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
           "normalized": false})
}

/// One of each kind of model, with as many kinds of parts as fit.
fn bases() -> Vec<(&'static str, Value)> {
    let bytes: Vec<String> = (0..=255_u32).map(|b| format!("<0x{b:02X}>")).collect();
    let pieces: Vec<Value> =
        ["<unk>", "</s>", "\u{2581}", "a", "b", "ab", "\u{2581}a"].iter().map(|t| json!([t, -1.5])).collect();
    let mut fallback: Vec<&str> = vec!["<unk>", "</s>", "\u{2581}", "a", "b", "ab"];
    fallback.extend(bytes.iter().map(String::as_str));
    vec![
        (
            "byte-level BPE",
            json!({"version": "1.0", "added_tokens": [added(1, "</s>"), added(9, "<|new|>")],
                "normalizer": {"type": "NFC"},
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                    {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false},
                    {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
                "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
                "post_processor": {"type": "TemplateProcessing",
                    "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                    "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                    "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
                "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 1},
                "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "?"},
                "model": {"type": "BPE", "vocab": vocabulary(&["?", "</s>", "a", "b", "ab", "c", "Ġ", "Ċ"]), "merges": [["a", "b"]],
                    "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                    "fuse_unk": false, "byte_fallback": false, "ignore_merges": true}}),
        ),
        (
            "BPE with byte fallback",
            json!({"version": "1.0", "added_tokens": [added(0, "<unk>"), added(1, "</s>")],
                "normalizer": {"type": "Sequence", "normalizers": [
                    {"type": "Prepend", "prepend": "\u{2581}"},
                    {"type": "Replace", "pattern": {"String": " "}, "content": "\u{2581}"}]},
                "decoder": {"type": "Sequence", "decoders": [
                    {"type": "Replace", "pattern": {"String": "\u{2581}"}, "content": " "}, {"type": "ByteFallback"},
                    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                "model": {"type": "BPE", "vocab": vocabulary(&fallback), "merges": ["a b"], "unk_token": "<unk>", "fuse_unk": true,
                    "byte_fallback": true}}),
        ),
        (
            "BPE with a prefix and a suffix",
            json!({"version": "1.0", "added_tokens": [added(1, "</s>")],
                "pre_tokenizer": {"type": "WhitespaceSplit"}, "decoder": {"type": "BPEDecoder", "suffix": "</w>"},
                "model": {"type": "BPE", "vocab": vocabulary(&["?", "</s>", "a", "##b", "ab", "##b</w>", "a</w>"]),
                    "merges": [["a", "##b"]], "unk_token": "?", "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}}),
        ),
        (
            "Unigram",
            json!({"version": "1.0", "added_tokens": [added(0, "<unk>"), added(1, "</s>")],
                "normalizer": {"type": "NFKC"},
                "pre_tokenizer": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": true},
                "decoder": {"type": "Metaspace", "replacement": "\u{2581}", "prepend_scheme": "first", "split": true},
                "model": {"type": "Unigram", "unk_id": 0, "vocab": pieces, "byte_fallback": false}}),
        ),
        (
            "WordPiece",
            json!({"version": "1.0", "added_tokens": [added(0, "[UNK]"), added(1, "</s>")],
                "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
                    "lowercase": true},
                "pre_tokenizer": {"type": "BertPreTokenizer"},
                "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
                "post_processor": {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["[UNK]", 0]},
                "model": {"type": "WordPiece", "vocab": vocabulary(&["[UNK]", "</s>", "a", "##b", "c"]), "unk_token": "[UNK]",
                    "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}),
        ),
        (
            "WordLevel",
            json!({"version": "1.0", "added_tokens": [added(1, "</s>")],
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "FixedLength", "length": 3},
                    {"type": "Digits", "individual_digits": true}, {"type": "Punctuation", "behavior": "Isolated"}]},
                "decoder": {"type": "CTC", "pad_token": "?", "word_delimiter_token": "|", "cleanup": true},
                "model": {"type": "WordLevel", "vocab": vocabulary(&["?", "</s>", "a", "ab"]), "unk_token": "?"}}),
        ),
    ]
}

/// Every place in a file, as JSON pointers; of lists and vocabularies the first few.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(fields) => {
            fields
                .iter()
                .take(12)
                .for_each(|(key, value)| places(value, &format!("{at}/{}", key.replace('/', "~1")), found));
        }
        Value::Array(all) => {
            all.iter().take(4).enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), found))
        }
        _ => {}
    }
}

/// Opens it and, where that works, uses all of it. Whether it was opened.
fn try_out(json: &Value) -> Result<(), String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("tokenizer.json");
    std::fs::write(&file, json.to_string()).unwrap();
    std::fs::write(dir.path().join("tokenizer_config.json"), r#"{"eos_token": "</s>"}"#).unwrap();
    let tokenizer = Tokenizer::from_file(&file).map_err(|e| e.to_string())?;
    for text in TEXTS {
        for special in [false, true] {
            if let Ok(encoding) = tokenizer.inner.encode(text, special) {
                let _ = tokenizer.inner.decode(encoding.get_ids(), special);
            }
        }
    }
    let ids: BTreeSet<u32> = tokenizer.inner.get_vocab(true).into_values().collect();
    for id in ids {
        let _ = tokenizer.inner.decode(&[id], true);
    }
    tokenizer.save(&dir.path().join("saved")).unwrap_or_default();
    Ok(())
}

#[test]
fn no_absurd_value_anywhere_breaks_a_tokenizer() {
    for (name, base) in bases() {
        assert_eq!(try_out(&base), Ok(()), "{name}");
        let mut all = Vec::new();
        places(&base, "", &mut all);
        let (mut tried, mut refused) = (0, 0);
        for place in all.iter().filter(|place| !place.is_empty()) {
            for value in absurd() {
                let mut json = base.clone();
                *json.pointer_mut(place).unwrap() = value;
                tried += 1;
                if let Err(fault) = try_out(&json) {
                    refused += 1;
                    assert!(fault.contains("tokenizer.json"), "{name} {place}: {fault}");
                    assert!(!fault.contains('\n') && fault.len() < 600, "{name} {place}: {fault}");
                }
            }
            // And without it.
            let (parent, key) = place.rsplit_once('/').unwrap();
            let mut json = base.clone();
            if let Some(fields) = json.pointer_mut(parent).unwrap().as_object_mut() {
                fields.remove(&key.replace("~1", "/"));
                let _ = try_out(&json);
            }
        }
        assert!(tried > 300 && refused > 100, "{name}: {tried} tried, {refused} refused");
    }
}

#[test]
fn what_the_library_would_break_over_is_refused_by_a_sentence() {
    let bases = bases();
    let base = |name: &str| bases.iter().find(|(found, _)| *found == name).unwrap().1.clone();
    for (name, place, value, fault) in [
        ("byte-level BPE", "/model/dropout", json!(0.1), "`model.dropout` draws tokens at random; set it to null"),
        ("byte-level BPE", "/model/merges/0/1", json!("abababab"), "makes no token of the vocabulary"),
        ("byte-level BPE", "/model/vocab/a", json!(3), "`model.vocab`: two tokens have the number 3"),
        ("byte-level BPE", "/model/vocab/a", json!(4_294_967_295_u64), "the number of `a` is 4294967295"),
        ("byte-level BPE", "/added_tokens/0/id", json!(9), "entry 1 has the number 9 that another has"),
        ("byte-level BPE", "/post_processor/special_tokens", json!({}), "puts `</s>`, which it does not list"),
        (
            "byte-level BPE",
            "/post_processor/single/1/Sequence/id",
            json!("B"),
            "`single` names a text that there is not",
        ),
        (
            "byte-level BPE",
            "/pre_tokenizer/pretokenizers/0/pattern",
            json!({"Regex": "(a"}),
            "not a tokenizer this program can use",
        ),
        ("BPE with byte fallback", "/decoder/decoders/3/stop", json!(1), "Strip that takes letters from the end"),
        (
            "BPE with byte fallback",
            "/normalizer/normalizers/1/pattern",
            json!({"String": ""}),
            "Replace looks for nothing",
        ),
        (
            "BPE with byte fallback",
            "/normalizer/normalizers/1/content",
            json!("a".repeat(100)),
            "more than 64 times as long",
        ),
        ("Unigram", "/model/unk_id", json!(7), "`model.unk_id` is no number of the vocabulary"),
        ("Unigram", "/model/vocab/2", json!(["a"]), "piece 2 is no pair of a token and a score"),
        (
            "Unigram",
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
            "points outside of itself",
        ),
        ("Unigram", "/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "!"}), "is not base64"),
        (
            "Unigram",
            "/normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": null}),
            "has no `precompiled_charsmap`",
        ),
        (
            "WordLevel",
            "/pre_tokenizer/pretokenizers/1/length",
            json!(0),
            "FixedLength cuts text into pieces of no length",
        ),
    ] {
        let mut json = base(name);
        *json.pointer_mut(place).unwrap() = value;
        let found = try_out(&json).unwrap_err();
        assert!(found.contains("tokenizer.json") && found.contains(fault), "{name} {place}: {found}");
    }
}

#[test]
fn a_table_of_replacements_is_followed_to_its_end() {
    let spelt = |bytes: &[u8]| {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
        let padded = format!("{bits}{}", "0".repeat((6 - bits.len() % 6) % 6));
        let letter = |six: &[u8]| {
            let at = usize::from_str_radix(std::str::from_utf8(six).unwrap(), 2).unwrap();
            char::from(LETTERS[at])
        };
        let text: String = padded.as_bytes().chunks(6).map(letter).collect();
        format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
    };
    // A trie that replaces `a`: the root's children begin at 256, that of `a` has its leaf at 512.
    let table = |leaf: u32, children: u32| {
        let mut units = vec![0_u32; 768];
        units[0] = children << 10;
        units[256 ^ 97] = ((256 ^ 97) ^ 512) << 10 | 1 << 8 | 97;
        units[512] = leaf;
        let mut bytes = (units.len() as u32 * 4).to_le_bytes().to_vec();
        bytes.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        bytes.extend("天\0".as_bytes());
        json!({"type": "Precompiled", "precompiled_charsmap": spelt(&bytes)})
    };
    let bases = bases();
    let unigram = &bases.iter().find(|(found, _)| *found == "Unigram").unwrap().1;
    let with = |normalizer: Value| {
        let mut json = unigram.clone();
        json["normalizer"] = normalizer;
        try_out(&json)
    };
    assert_eq!(with(table(0, 256)), Ok(()));
    for (leaf, children, what) in
        [(1, 256, "inside a letter"), (100, 256, "behind the texts"), (0, 4096, "behind the trie")]
    {
        assert!(with(table(leaf, children)).unwrap_err().contains("points outside of itself"), "{what}");
    }
}
