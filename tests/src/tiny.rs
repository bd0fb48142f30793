//! What small studies are made of: a model of a few thousand weights with a tokenizer, and rows.

use serde_json::{Value, json};

/// A `[[model]]` named `tiny` of fresh weights, `[model.shape]` included.
pub fn model(layers: usize) -> String {
    format!(
        r#"[[model]]
id = "tiny"
source = "init:"
tokenizer = "tokenizer.json"
[model.shape]
vocab_size = 300
hidden_size = 16
intermediate_size = 32
num_hidden_layers = {layers}
num_attention_heads = 2
num_key_value_heads = 1
head_dim = 8
max_position_embeddings = 96
rope_theta = 10000.0
rms_norm_eps = 1e-5
tie_word_embeddings = true"#
    )
}

pub fn lines(rows: impl IntoIterator<Item = Value>) -> String {
    rows.into_iter().map(|row| format!("{row}\n")).collect()
}

/// A byte-level vocabulary: `</s>` and the 256 bytes.
pub fn tokenizer() -> Value {
    let mut vocabulary = serde_json::Map::new();
    vocabulary.insert("</s>".into(), 0.into());
    for byte in 0..=255u32 {
        vocabulary.insert(format!("<0x{byte:02X}>"), (byte + 1).into());
    }
    json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "</s>", "special": true, "single_word": false, "lstrip": false,
                          "rstrip": false, "normalized": false}],
        "normalizer": null, "pre_tokenizer": null, "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "BPE", "vocab": vocabulary, "merges": [], "byte_fallback": true, "unk_token": null,
                  "fuse_unk": false, "dropout": null, "continuing_subword_prefix": null, "end_of_word_suffix": null},
    })
}
