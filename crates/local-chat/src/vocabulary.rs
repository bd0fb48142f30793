//! What each token of a vocabulary adds to a text, as bytes: a token may be a part of a character.

use tokenizers::DecoderWrapper;
use tunebench_dataset::jinja::added_tokens::AddedTokens;

/// SentencePiece's stand-in for a space.
const SPACE: char = '\u{2581}';

/// The bytes of every token.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    bytes: Vec<Vec<u8>>,
    is_special: Vec<bool>,
}

/// How a vocabulary spells bytes.
#[derive(Clone, Copy)]
enum Spelling {
    /// GPT-2's: a printable character for each byte.
    ByteLevel,
    /// SentencePiece's: text, with bytes that have no text as `<0x0A>`.
    Text,
}

impl Vocabulary {
    /// Of the first `size` tokens.
    pub(crate) fn new(tokenizer: &tokenizers::Tokenizer, added: &AddedTokens, size: usize) -> Self {
        let spelling = match tokenizer.get_decoder() {
            Some(decoder) if is_byte_level(decoder) => Spelling::ByteLevel,
            _ => Spelling::Text,
        };
        let texts = tokenizer.get_added_tokens_decoder();
        let ids = 0..u32::try_from(size).unwrap_or(u32::MAX);
        let bytes = |id: u32| match texts.get(&id) {
            Some(token) => token.content.clone().into_bytes(),
            None => tokenizer.id_to_token(id).map(|piece| spelt(&piece, spelling)).unwrap_or_default(),
        };
        Self { bytes: ids.clone().map(bytes).collect(), is_special: ids.map(|id| added.is_special(id)).collect() }
    }

    /// What the token is as text; of a special token its name.
    pub(crate) fn bytes(&self, id: u32) -> &[u8] {
        self.bytes.get(id as usize).map_or(&[], Vec::as_slice)
    }

    /// What the token adds to a reply: a special one nothing.
    pub(crate) fn text(&self, id: u32) -> &[u8] {
        if self.is_special.get(id as usize).copied().unwrap_or(true) { &[] } else { self.bytes(id) }
    }

    /// The token as text; one that is a part of a character only as OpenAI spells it, `bytes:\xe5\x88`.
    pub(crate) fn name(&self, id: u32) -> String {
        let bytes = self.bytes(id);
        match std::str::from_utf8(bytes) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes.iter().fold("bytes:".to_owned(), |text, byte| format!("{text}\\x{byte:02x}")),
        }
    }

    /// The bytes of each token that is text, by number; empty for all others.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &[u8]> {
        self.bytes.iter().zip(&self.is_special).map(|(bytes, special)| if *special { &[] } else { bytes.as_slice() })
    }
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(parts) => parts.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

fn spelt(piece: &str, spelling: Spelling) -> Vec<u8> {
    match spelling {
        Spelling::ByteLevel => match piece.chars().map(byte).collect() {
            Some(bytes) => bytes,
            None => piece.as_bytes().to_vec(),
        },
        Spelling::Text => match piece.strip_prefix("<0x").and_then(|p| p.strip_suffix('>')) {
            Some(hex) if hex.len() == 2 => u8::from_str_radix(hex, 16).map_or(piece.into(), |byte| vec![byte]),
            _ => piece.replace(SPACE, " ").into_bytes(),
        },
    }
}

/// The byte that GPT-2's vocabulary writes as this character: a printable one as itself, the others in their order from
/// U+0100 on.
fn byte(c: char) -> Option<u8> {
    let is_printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    match u32::from(c) {
        code @ 0..=0xff => u8::try_from(code).ok().filter(is_printable),
        code => (0..=u8::MAX).filter(|b| !is_printable(b)).nth((code - 0x100) as usize),
    }
}
