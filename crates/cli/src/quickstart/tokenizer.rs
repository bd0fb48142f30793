//! The quickstart's tokenizer: every word of the world one token, every other character one, bytes for the rest.
//!
//! It is a Unigram model whose scores only count tokens: a word costs less than its characters, so the best
//! segmentation is the one with the fewest pieces, and decoding gives back the text exactly.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::words::{COMMON, LARGEST_NUMBER, names};

const SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];
/// Cost of a token, whatever its length; a character's is a little higher, so that a tie goes to the longer word.
const WORD_SCORE: f64 = -1.0;
const CHARACTER_SCORE: f64 = -1.01;
/// A byte is the last resort.
const BYTE_SCORE: f64 = -20.0;

/// The words and fragments of more than one character, sorted, each once.
pub fn pieces() -> Vec<String> {
    let numbers = (10..=LARGEST_NUMBER).map(|n| n.to_string());
    let words: BTreeSet<String> = names().chain(COMMON.iter().copied()).map(String::from).chain(numbers).collect();
    words.into_iter().filter(|w| w.chars().count() > 1).collect()
}

/// A `tokenizer.json` for texts of these characters, and its number of tokens.
pub fn tokenizer_json(pieces: &[String], characters: &BTreeSet<char>) -> (Value, usize) {
    let mut vocab: Vec<(String, f64)> = SPECIALS.iter().map(|s| ((*s).into(), 0.0)).collect();
    vocab.extend((0..=255u8).map(|b| (format!("<0x{b:02X}>"), BYTE_SCORE)));
    vocab.extend(characters.iter().map(|c| (c.to_string(), CHARACTER_SCORE)));
    vocab.extend(pieces.iter().map(|p| (p.clone(), WORD_SCORE)));
    let size = vocab.len();
    let special = |(id, content): (usize, &&str)| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let specials: Vec<Value> = SPECIALS.iter().enumerate().map(special).collect();
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": specials,
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true},
    });
    (file, size)
}
