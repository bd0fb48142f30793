//! GGUF files that are written: read back tensor by tensor, with the decoder and the tokenizer that went in.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use tunebench_model::formats::gguf::{Content, GgufType, as_read, quantized, write};
use tunebench_model::{Tokenizer, Weights, open};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::{Attention, Dims, Positions, RopeScaling, Rotary};
use tunebench_testkit::golden;

use crate::folders::numbers;
use crate::refusal;

const VOCAB: usize = 300;

/// Rows of 256, of 96 and, in the MLP's way back, of 384: each type's own block, its fallback and both of them.
fn shape(hidden_size: usize) -> Decoder {
    Decoder::llama(Dims {
        vocab_size: VOCAB,
        hidden_size,
        intermediate_size: 384,
        num_hidden_layers: 3,
        heads: 4,
        kv_heads: 2,
        head_dim: 32,
    })
}

/// A tokenizer over bytes: of each byte a token, a few merges, three control tokens; or one with spaces and fallback.
fn tokenizer(dir: &Path, is_byte_level: bool) -> Tokenizer {
    let byte_level = |regex: bool| json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": regex });
    let added = |id: usize, content: &str| json!({ "id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false });
    let json = if is_byte_level {
        let bytes = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        let mut letters: Vec<String> = bytes.into_iter().map(String::from).collect();
        letters.sort();
        letters.extend(["he", "ll", "llo", "hello", "Ġw", "12"].map(str::to_owned));
        let vocab: BTreeMap<&String, usize> = letters.iter().enumerate().map(|(id, token)| (token, id)).collect();
        json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "post_processor": null,
            "added_tokens": [added(262, "<|begin|>"), added(263, "<|end|>"), added(264, "<|stop|>")],
            "pre_tokenizer": byte_level(true), "decoder": byte_level(true),
            "model": { "type": "BPE", "vocab": vocab,
                "merges": [["h", "e"], ["l", "l"], ["ll", "o"], ["he", "llo"], ["Ġ", "w"], ["1", "2"]] },
        })
    } else {
        let mut pieces: Vec<String> = ["<|begin|>", "<|end|>", "<|stop|>"].map(str::to_owned).into();
        pieces.extend((0..256).map(|byte| format!("<0x{byte:02X}>")));
        pieces.extend(["▁", "h", "e", "l", "o", "w", "r", "d", "he", "ll", "llo", "▁w"].map(str::to_owned));
        let vocab: BTreeMap<&String, usize> = pieces.iter().enumerate().map(|(id, token)| (token, id)).collect();
        let replace = |from: &str, to: &str| json!({ "type": "Replace", "pattern": { "String": from }, "content": to });
        json!({
            "version": "1.0", "truncation": null, "padding": null, "pre_tokenizer": null, "post_processor": null,
            "added_tokens": [added(0, "<|begin|>"), added(1, "<|end|>"), added(2, "<|stop|>")],
            "normalizer": { "type": "Sequence", "normalizers": [{ "type": "Prepend", "prepend": "▁" }, replace(" ", "▁")] },
            "decoder": { "type": "Sequence", "decoders": [replace("▁", " "), { "type": "ByteFallback" }, { "type": "Fuse" },
                { "type": "Strip", "content": " ", "start": 1, "stop": 0 }] },
            "model": { "type": "BPE", "vocab": vocab, "byte_fallback": true, "fuse_unk": true,
                "merges": [["h", "e"], ["l", "l"], ["ll", "o"], ["▁", "w"]] },
        })
    };
    let path = dir.join("tokenizer.json");
    std::fs::write(&path, json.to_string()).unwrap();
    let config = json!({ "bos_token": "<|begin|>", "eos_token": "<|end|>" });
    std::fs::write(dir.join("tokenizer_config.json"), config.to_string()).unwrap();
    let stops: Value = if is_byte_level { json!([263, 264]) } else { json!([1, 2]) };
    std::fs::write(dir.join("generation_config.json"), json!({ "eos_token_id": stops }).to_string()).unwrap();
    Tokenizer::from_file(&path).unwrap()
}

fn content<'a>(shape: &'a Decoder, weights: &'a Weights, tokenizer: &'a Tokenizer, kind: GgufType) -> Content<'a> {
    let (name, chat_template) = ("test", Some("{{ messages[0].content }}"));
    Content { shape, weights, tokenizer, padding: Some(2), kind, name, chat_template, from: None }
}

/// Of each weight the root mean square of the error, relative to that of its numbers.
fn errors(before: &Weights, after: &Weights) -> BTreeMap<String, f64> {
    let of = |name: &str| {
        let (a, b) = (numbers(&before.get(name).unwrap()), numbers(&after.get(name).unwrap()));
        let sum = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v).powi(2)).sum::<f64>();
        let error = sum(&mut a.iter().zip(&b).map(|(a, b)| a - b));
        (error / sum(&mut a.iter().copied()).max(f64::MIN_POSITIVE)).sqrt()
    };
    before.iter().map(|(name, _)| (name.to_owned(), of(name))).collect()
}

/// The most that each type may err by on normally distributed numbers; norms, and what a type holds, come back as they went.
#[test]
fn every_type_comes_back_within_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(dir.path(), true);
    let bounds = [
        (GgufType::F32, 0.0),
        (GgufType::F16, 4e-4),
        (GgufType::BF16, 3e-3),
        (GgufType::Q8_0, 8e-3),
        (GgufType::Q4_K_M, 0.09),
    ];
    for hidden_size in [256, 96, 40] {
        for is_tied in [false, true] {
            let shape = Decoder { tie_word_embeddings: is_tied, ..shape(hidden_size) };
            let weights = Weights::init(&shape, 7).unwrap();
            for (kind, bound) in bounds {
                let path = dir.path().join("model.gguf");
                assert_eq!(write(&path, &content(&shape, &weights, &tokenizer, kind)).unwrap(), Vec::<String>::new());
                let source = open(&path).unwrap();
                assert_eq!(source.shape, shape, "{kind:?}");
                let found = source.weights().unwrap();
                for (name, error) in errors(&weights, &found) {
                    let is_whole = name.contains("norm") || kind == GgufType::F32;
                    assert!(error <= if is_whole { 0.0 } else { bound }, "{kind:?} {hidden_size} {name}: {error}");
                }
                // What an arm answers with that is said to be so quantised.
                let held = quantized(&shape, weights.clone(), kind).unwrap();
                assert!(errors(&held, &found).values().all(|error| *error == 0.0), "{kind:?} {hidden_size}");
                assert_eq!(source.chat_template().unwrap().as_deref(), Some("{{ messages[0].content }}"));
            }
        }
    }
}

#[test]
fn families_and_scalings_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(dir.path(), true);
    let plain = shape(256);
    let with = |family: &str, attention: Attention| Decoder { family: family.into(), attention, ..plain.clone() };
    let scaled = |scaling| Decoder {
        positions: Positions::Rotary(Rotary { scaling: Some(scaling), ..Rotary::plain(5e5) }),
        ..plain.clone()
    };
    let llama3 = RopeScaling::Llama3 {
        factor: 8.0,
        low_freq_factor: 1.0,
        high_freq_factor: 4.0,
        original_max_position_embeddings: 8192,
    };
    let attention = &plain.attention;
    let shapes = [
        with("qwen2", Attention { qkv_bias: true, ..attention.clone() }),
        with("qwen3", Attention { qk_norm: true, ..attention.clone() }),
        with("llama", Attention { qkv_bias: true, output_bias: true, ..attention.clone() }),
        scaled(RopeScaling::Linear { factor: 4.0 }),
        scaled(llama3),
    ];
    for shape in shapes {
        let weights = Weights::init(&shape, 3).unwrap();
        let path = dir.path().join("model.gguf");
        write(&path, &content(&shape, &weights, &tokenizer, GgufType::F32)).unwrap();
        let source = open(&path).unwrap();
        assert_eq!(source.shape, shape);
        assert!(errors(&weights, &source.weights().unwrap()).values().all(|error| *error <= 1e-6), "{}", shape.family);
    }
}

/// Families whose files say other things than LLaMA's: a window where llama.cpp knows one, rotary factors, fused weights.
#[test]
fn every_family_is_read_as_what_is_said_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = tokenizer(dir.path(), true);
    for family in ["gemma2", "gemma3", "phi3", "phi3-longrope", "bloom", "gpt_neox", "mistral"] {
        let shape = Decoder { vocab_size: VOCAB, ..golden::model(family).0 };
        let weights = Weights::init(&shape, 3).unwrap();
        let path = dir.path().join("model.gguf");
        write(&path, &content(&shape, &weights, &tokenizer, GgufType::F32)).unwrap();
        let (source, said) = (open(&path).unwrap(), as_read(&shape));
        assert_eq!(source.shape.attention.window, said.attention.window, "{family}");
        assert_eq!(source.shape.max_position_embeddings, said.max_position_embeddings, "{family}");
        let attention_factor = |shape: &Decoder| match &shape.positions {
            Positions::Rotary(Rotary { scaling: Some(RopeScaling::Longrope(longrope)), .. }) => {
                longrope.attention_factor.map(|factor| factor as f32)
            }
            _ => None,
        };
        assert_eq!(attention_factor(&source.shape), attention_factor(&said), "{family}");
        assert!(errors(&weights, &source.weights().unwrap()).values().all(|error| *error <= 1e-6), "{family}");
    }
}

#[test]
fn tokenizers_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let shape = shape(96);
    let weights = Weights::init(&shape, 7).unwrap();
    let texts = ["hello world", " hello  hello", "12 天空 123\n\n\t<|stop|>w", "", "he<|end|>llo", "ÄÖ😀"];
    for is_byte_level in [true, false] {
        let before = tokenizer(dir.path(), is_byte_level);
        let path = dir.path().join("model.gguf");
        write(&path, &content(&shape, &weights, &before, GgufType::BF16)).unwrap();
        let after = open(&path).unwrap().tokenizer().unwrap();
        assert_eq!((before.bos, &before.eos, before.prepends_bos()), (after.bos, &after.eos, after.prepends_bos()));
        for text in texts {
            let ids = |tokenizer: &Tokenizer| tokenizer.inner.encode(text, false).unwrap().get_ids().to_vec();
            assert_eq!(ids(&before), ids(&after), "{text:?}, over bytes: {is_byte_level}");
            let back = |tokenizer: &Tokenizer| tokenizer.inner.decode(&ids(tokenizer), false).unwrap();
            assert_eq!(back(&before), back(&after), "{text:?}");
        }
    }
}

/// What a tokenizer puts before and behind a text comes back, of one token for both ends too.
#[test]
fn ends_of_texts_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let shape = shape(96);
    let weights = Weights::init(&shape, 7).unwrap();
    tokenizer(dir.path(), true);
    let file = dir.path().join("tokenizer.json");
    let plain: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let text = json!({ "Sequence": { "id": "A", "type_id": 0 } });
    for bos in ["<|begin|>", "<|end|>"] {
        let special = |token: &str| json!({ "SpecialToken": { "id": token, "type_id": 0 } });
        let (begin, end) = (special(bos), special("<|end|>"));
        let config = json!({ "bos_token": bos, "eos_token": "<|end|>" });
        std::fs::write(dir.path().join("tokenizer_config.json"), config.to_string()).unwrap();
        for single in [json!([text]), json!([begin, text]), json!([text, end]), json!([begin, text, end])] {
            let mut json = plain.clone();
            json["post_processor"] = json!({
                "type": "TemplateProcessing", "single": single, "pair": [text],
                "special_tokens": {
                    "<|begin|>": { "id": "<|begin|>", "ids": [262], "tokens": ["<|begin|>"] },
                    "<|end|>": { "id": "<|end|>", "ids": [263], "tokens": ["<|end|>"] },
                },
            });
            std::fs::write(&file, json.to_string()).unwrap();
            let before = Tokenizer::from_file(&file).unwrap();
            let path = dir.path().join("model.gguf");
            write(&path, &content(&shape, &weights, &before, GgufType::F32)).unwrap();
            let after = open(&path).unwrap().tokenizer().unwrap();
            let ids = |of: &Tokenizer| of.inner.encode("hello", true).unwrap().get_ids().to_vec();
            assert_eq!((ids(&after), after.prepends_bos()), (ids(&before), before.prepends_bos()), "{bos} {single}");
        }
    }
}

#[test]
fn what_llama_cpp_cannot_hold_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let known = tokenizer(dir.path(), true);
    let shape = shape(96);
    let weights = Weights::init(&shape, 7).unwrap();
    let path = dir.path().join("model.gguf");
    let written = |content: &Content<'_>| refusal(write(&path, content));

    let mut large = weights.clone().into_map();
    let name = "model.layers.1.mlp.up_proj.weight";
    let weight = (large[name].ones_like().unwrap() * 1e6).unwrap();
    large.insert(name.into(), weight);
    let large = Weights::new(&shape, large).unwrap();
    let error = written(&content(&shape, &large, &known, GgufType::F16));
    assert!(error.contains(name) && error.contains("1000000") && error.contains("BF16"), "{error}");
    assert!(!path.exists());

    let smaller = Decoder { vocab_size: 100, ..shape.clone() };
    let few = Weights::init(&smaller, 7).unwrap();
    let error = written(&content(&smaller, &few, &known, GgufType::F32));
    assert!(error.contains("the model has 100"), "{error}");

    let file = dir.path().join("tokenizer.json");
    let mut other: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    other["pre_tokenizer"] = json!({ "type": "Sequence", "pretokenizers": [
        { "type": "Split", "pattern": { "Regex": "[a-c]+|." }, "behavior": "Isolated", "invert": false },
        { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false } ] });
    std::fs::write(&file, other.to_string()).unwrap();
    let unknown = Tokenizer::from_file(&file).unwrap();
    let error = written(&content(&shape, &weights, &unknown, GgufType::F32));
    assert!(error.contains("pre-tokenizer") && error.contains("qwen2"), "{error}");
}
