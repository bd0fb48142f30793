//! A tokenizer is tried before it is used: texts of every kind to tokens, and every token to text.
//!
//! The library unwraps and indexes what a file says, and does so where it is used: at the first text of some kind, or when
//! the first answer is decoded, hours later. [`super::check`] refuses what is known to do that; what is not known shows
//! here, as a caught panic, and is told with the file's name.

use tunebench_spec::guarded::guarded;

/// Texts that take different ways through a tokenizer.
const TEXTS: [&str; 14] = [
    "",
    " ",
    "a",
    "Hello, world! It's 3.14 o'clock.\n\n\tEnd  ",
    "天空是什么颜色？",
    "\u{e9}e\u{301}\u{fb01}\u{2126}\u{ff21}",
    "👩‍👩‍👧‍👦🏳️‍🌈",
    "\u{0}\u{1}\u{7f}\u{ad}\u{200b}\u{feff}",
    "مرحبا بالعالم שלום",
    "\u{13000}\u{1d11e}\u{f8ff}\u{10ffff}",
    "<s></s><unk>[INST]<|im_end|>",
    "\r\n\r\n   \u{3000}\u{2581}\u{a0}",
    "<0x0A><0xZZ>##ing",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!",
];

/// Tokens that are decoded at once.
const TOGETHER: usize = 512;

/// Tries it.
///
/// # Errors
/// What breaks, and over what.
pub(super) fn run(tokenizer: &tokenizers::Tokenizer) -> Result<(), String> {
    let mut found: Vec<Vec<u32>> = Vec::new();
    for text in TEXTS {
        for adds_special in [false, true] {
            let encode = || tokenizer.encode(text, adds_special).map(|encoding| encoding.get_ids().to_vec());
            match guarded(encode).map_err(|fault| format!("it breaks over the text {text:?}: {fault}"))? {
                // A text without tokens is the row's trouble, and said there.
                Err(_) => {}
                Ok(ids) => found.push(ids),
            }
        }
    }
    let mut ids: Vec<u32> = tokenizer.get_vocab(true).into_values().collect();
    ids.sort_unstable();
    let all = ids.chunks(TOGETHER).chain(found.iter().map(Vec::as_slice)).chain([&[][..]]);
    for ids in all {
        for leaves_out_special in [false, true] {
            // An error of the decoder is told where an answer is decoded.
            guarded(|| tokenizer.decode(ids, leaves_out_special).is_ok()).map_err(|fault| {
                let (first, last) = (ids.first().copied().unwrap_or(0), ids.last().copied().unwrap_or(0));
                format!("it breaks when tokens {first} to {last} are made text: {fault}")
            })?;
        }
    }
    Ok(())
}
