//! The text of general language stays what it is.

#![allow(clippy::unwrap_used)] // a test fails by panicking

use std::collections::BTreeMap;

use tunebench_dataset::GeneralText;
use tunebench_dataset::general::texts;
use tunebench_spec::hash;

/// A loss on another text cannot be compared with those that were published: never change the files or this.
#[test]
fn the_text_never_changes() {
    let all: Vec<GeneralText> = texts().collect();
    let joined: Vec<String> =
        all.iter().map(|piece| format!("{}-{}\n{}\n\n", piece.language, piece.number, piece.text)).collect();
    let ids: Vec<String> = all.iter().map(|piece| piece.example().id).collect();
    assert_eq!((ids[0].as_str(), ids.last().unwrap().as_str()), ("general:en-1", "general:zh-13"));
    assert!(all.iter().all(|piece| matches!(&piece.example().turns[..], [turn] if turn.content == piece.text)));
    assert_eq!(
        hash::of_bytes(joined.concat().as_bytes()),
        "db29967fb83e1b36794396b11f0cb4fb4f76a363ccbddb5525b7b7e3b52b7478"
    );
}

#[test]
fn pieces_are_plain_prose_of_both_languages() {
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for piece in texts() {
        *bytes.entry(piece.language).or_default() += piece.bytes();
        assert_eq!((piece.bytes(), piece.text.trim()), (piece.text.len() as u64, piece.text));
        assert!((200..1200).contains(&piece.bytes()), "{piece:?}");
        let is_markup = |c: char| "<>#*_`{}[]|\t\r".contains(c);
        assert!(!piece.text.contains(is_markup), "{piece:?}");
        let is_chinese = |c: &char| ('\u{4e00}'..='\u{9fff}').contains(c);
        assert_eq!(piece.text.chars().any(|c| is_chinese(&c)), piece.language == "zh", "{piece:?}");
    }
    assert_eq!(bytes.keys().copied().collect::<Vec<_>>(), ["en", "zh"]);
    assert!(bytes.values().all(|bytes| (5_500..6_500).contains(bytes)), "{bytes:?}");
    let numbers: Vec<usize> = texts().filter(|piece| piece.language == "zh").map(|piece| piece.number).collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<_>>());
}
