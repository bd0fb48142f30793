//! SentencePiece's table of replacements, `precompiled_charsmap`: a double-array trie over bytes and the texts that its
//! leaves point into. The library that reads it believes every index in it.

use serde_json::Value;

/// Bytes of the largest table; SentencePiece's own have a quarter of a megabyte.
const LARGEST: usize = 1 << 24;

/// Checks that no text can lead outside of the table.
///
/// # Errors
/// Says what is wrong with it.
pub(super) fn check(text: Option<&Value>) -> Result<(), String> {
    let Some(text) = text.and_then(Value::as_str) else {
        return Err("Precompiled has no `precompiled_charsmap`".into());
    };
    let bytes = from_base64(text).ok_or("`precompiled_charsmap` is not base64")?;
    walk(&bytes).ok_or_else(|| "`precompiled_charsmap` points outside of itself".to_owned())
}

/// Goes through every state that a text can reach; none when one of them points outside.
fn walk(bytes: &[u8]) -> Option<()> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize;
    if !size.is_multiple_of(4) {
        return None;
    }
    let (trie, texts) = rest.split_at_checked(size)?;
    let texts = std::str::from_utf8(texts).ok()?;
    let units: Vec<usize> = trie.as_chunks::<4>().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    let mut seen = vec![false; units.len()];
    let mut open = vec![offset(*units.first()?)];
    while let Some(node) = open.pop() {
        for byte in 1..=usize::from(u8::MAX) {
            let place = node ^ byte;
            let unit = *units.get(place)?;
            if unit & (1 << 31 | 0xff) != byte || std::mem::replace(&mut seen[place], true) {
                continue;
            }
            let next = place ^ offset(unit);
            if (unit >> 8) & 1 == 1 {
                let text = *units.get(next)? & ((1 << 31) - 1);
                texts.get(text..)?;
            }
            open.push(next);
        }
    }
    Some(())
}

fn offset(unit: usize) -> usize {
    (unit >> 10) << ((unit & (1 << 9)) >> 6)
}

/// The bytes that a text spells; none when it is no base64.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    if text.len() > LARGEST / 3 * 4 {
        return None;
    }
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(text.len() / 4 * 3), 0_u32, 0);
    for letter in text.bytes() {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(digit)) & 0xffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}
