//! Small models over a byte-level vocabulary, with the marks of conversations: any text is some tokens, and any tokens are bytes.

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use tunebench_model::{Conversations, Tokenizer, Weights};
use tunebench_spec::Decoder;
use tunebench_spec::decoder::Dims;

/// Words of the vocabulary beside the bytes, with what they are merged of.
const WORDS: [(&str, &str); 2] = [("10", "1 0"), ("Ġ8", "Ġ 8")];
pub const TEN: u32 = 256;
pub const SPACE_EIGHT: u32 = 257;
pub const IM_START: u32 = 258;
pub const IM_END: u32 = 259;
pub const END_OF_TEXT: u32 = 260;
const ADDED: [(&str, bool); 5] =
    [("<|im_start|>", true), ("<|im_end|>", true), ("<|endoftext|>", true), ("<think>", false), ("</think>", false)];
const VOCABULARY: usize = 264;

/// The token of a byte.
pub fn byte(text: &str) -> u32 {
    let ids = tokenizer_json()["model"]["vocab"][text].as_u64().unwrap();
    u32::try_from(ids).unwrap()
}

/// A `tokenizer.json`.
pub fn tokenizer_json() -> Value {
    let mut alphabet: Vec<char> = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let words = alphabet.into_iter().map(String::from).chain(WORDS.map(|(word, _)| word.to_owned()));
    let vocabulary: serde_json::Map<String, Value> = words.enumerate().map(|(id, word)| (word, id.into())).collect();
    let added = ADDED.iter().enumerate().map(|(index, (content, special))| {
        json!({
            "id": 258 + index, "content": content, "special": special,
            "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        })
    });
    let byte_level = json!({ "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true });
    json!({
        "version": "1.0",
        "added_tokens": added.collect::<Vec<_>>(),
        "pre_tokenizer": byte_level,
        "decoder": byte_level,
        "model": { "type": "BPE", "vocab": vocabulary, "merges": WORDS.map(|(_, merge)| merge) },
    })
}

pub fn tokenizer() -> Tokenizer {
    let inner = serde_json::from_value(tokenizer_json()).unwrap();
    Tokenizer { inner, bos: Some(END_OF_TEXT), eos: vec![END_OF_TEXT], conversations: Conversations::default() }
}

/// A decoder as wide as its vocabulary.
fn shape(hidden_size: usize) -> Decoder {
    Decoder::llama(Dims {
        vocab_size: VOCABULARY,
        hidden_size,
        intermediate_size: 24,
        num_hidden_layers: 2,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
    })
}

/// A model that says anything.
pub fn babbling() -> (Decoder, Weights) {
    let shape = shape(48);
    let larger = |tensor: &Tensor| if tensor.rank() == 1 { tensor.clone() } else { (tensor * 12.0).unwrap() };
    let weights = Weights::init(&shape, 5).unwrap();
    let weights = weights.iter().map(|(name, tensor)| (name.to_owned(), larger(&tensor))).collect();
    (shape.clone(), Weights::new(&shape, weights).unwrap())
}

/// A model whose next token depends on the last alone: `(last, next, score)`, all other scores being 0. Its layers add
/// nothing, each token is embedded at a place of its own, and the head reads the scores there.
pub fn chain(scores: &[(u32, u32, f32)]) -> (Decoder, Weights) {
    let shape = shape(VOCABULARY);
    let normed = (VOCABULARY as f32).sqrt();
    let square = |values: Vec<f32>| Tensor::from_vec(values, (VOCABULARY, VOCABULARY), &Device::Cpu).unwrap();
    let mut embedding = vec![0.0; VOCABULARY * VOCABULARY];
    (0..VOCABULARY).for_each(|token| embedding[token * VOCABULARY + token] = 1.0);
    let mut head = vec![0.0; VOCABULARY * VOCABULARY];
    for (last, next, score) in scores {
        head[*next as usize * VOCABULARY + *last as usize] = score / normed;
    }
    let values = shape.weights().into_iter().map(|weight| {
        let value = match weight.name.as_str() {
            "model.embed_tokens.weight" => square(embedding.clone()),
            "lm_head.weight" => square(head.clone()),
            name if name.contains("norm") => Tensor::ones(weight.shape, DType::F32, &Device::Cpu).unwrap(),
            _ => Tensor::zeros(weight.shape, DType::F32, &Device::Cpu).unwrap(),
        };
        (weight.name, value)
    });
    (shape.clone(), Weights::new(&shape, values.collect()).unwrap())
}
