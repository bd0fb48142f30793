//! Marks around what is judged, which its author cannot have written.
//!
//! A nonce comes from a hash over all that a request shows, so that the same request is the same bytes again. The author
//! of an answer cannot guess it: to write it into the answer changes the answer, and so the nonce.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Letters and digits of a nonce: 60 bits.
const LENGTH: usize = 15;

/// A nonce for these parts, which stands in none of them, whatever the case of its letters.
pub fn nonce(parts: &[&str]) -> String {
    let folded: Vec<String> = parts.iter().map(|part| part.to_lowercase()).collect();
    let mut number = 0_u64;
    loop {
        let mut hash = Sha256::new();
        hash.update(number.to_le_bytes());
        for part in parts {
            // With its length before it no part can stand for two.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        let mut nonce = String::new();
        for byte in hash.finalize().iter().take(LENGTH.div_ceil(2)) {
            let _ = write!(nonce, "{byte:02x}");
        }
        nonce.truncate(LENGTH);
        if !folded.iter().any(|part| part.contains(&nonce)) {
            return nonce;
        }
        number += 1;
    }
}

/// A text between marks that hold the nonce: `<<answer 3f…>>`, the text, `<<end of answer 3f…>>`. `begin` and `end` are
/// the words of the marks.
pub fn block(begin: &str, end: &str, nonce: &str, text: &str) -> String {
    format!("<<{begin} {nonce}>>\n{text}\n<<{end} {nonce}>>")
}
