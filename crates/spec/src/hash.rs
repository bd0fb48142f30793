//! Content identity: SHA-256 as lowercase hexadecimal.

use serde::Serialize;
use sha2::{Digest, Sha256};

/// SHA-256 of bytes, 64 hexadecimal digits.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// SHA-256 of a value's JSON with sorted object keys, so that equal values have equal names.
///
/// # Errors
/// When the value has no JSON form (a map with keys that are not strings).
pub fn of_json<T: Serialize>(value: &T) -> Result<String, serde_json::Error> {
    let mut value = serde_json::to_value(value)?;
    // A dependency may have switched serde_json to insertion order; names must not depend on that.
    value.sort_all_objects();
    Ok(of_bytes(value.to_string().as_bytes()))
}

/// SHA-256 of everything a reader yields, read in pieces.
///
/// # Errors
/// Whatever the reader reports.
pub fn of_reader(mut reader: impl std::io::Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(hex(&hasher.finalize())),
            n => hasher.update(&buffer[..n]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
