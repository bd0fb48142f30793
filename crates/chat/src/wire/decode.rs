//! The bytes of a body to text: unpacked, and out of whatever character set they are in.

use std::io::Read;

use brotli_decompressor::Decompressor;
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use super::charset;

/// The largest body, unpacked; 8 MiB.
const MOST_BYTES: u64 = 8 << 20;
/// How often a body may be packed.
const MOST_LAYERS: usize = 4;
/// Base-2 logarithm of the window that a packed body may ask for.
const ZSTD_WINDOW_LOG: u32 = 23;

/// Unpacks and decodes a body. What the headers say is believed where the bytes bear it out; what was packed and not said to be
/// is unpacked too. Bytes that are no text in their character set become U+FFFD: what was paid for stays readable.
///
/// # Errors
/// Names the packing that cannot be undone.
pub(crate) fn decode(
    bytes: &[u8],
    content_encoding: Option<&str>,
    content_type: Option<&str>,
) -> Result<String, String> {
    let mut bytes = bytes.to_vec();
    let stated = content_encoding.unwrap_or_default().to_ascii_lowercase();
    let mut stated: Vec<&str> = stated.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    for _ in 0..MOST_LAYERS {
        // The last packing that a header names was done last.
        let name = packing(&bytes).or_else(|| stated.last().copied().filter(|_| !is_plain(&bytes)));
        let Some(name) = name else { break };
        if stated.last().is_some_and(|last| *last == name || last.strip_prefix("x-") == Some(name)) {
            stated.pop();
        }
        if name == "identity" {
            continue;
        }
        bytes = unpack(name, &bytes)?;
    }
    Ok(charset::decode(&bytes, content_type))
}

/// How the bytes say they are packed.
fn packing(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("zstd"),
        _ => None,
    }
}

/// Whether they are text already, whatever the header says: UTF-8, or another character set that begins as JSON or a page.
fn is_plain(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() || matches!(bytes.trim_ascii_start(), [b'{' | b'[' | b'<', ..])
}

fn unpack(name: &str, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match name {
        "gzip" | "x-gzip" => read(name, MultiGzDecoder::new(bytes)),
        // The standard means zlib's form; some servers send the bare one.
        "deflate" => read(name, ZlibDecoder::new(bytes)).or_else(|_| read(name, DeflateDecoder::new(bytes))),
        "br" => read(name, Decompressor::new(bytes, 1 << 14)),
        "zstd" => {
            let mut decoder = zstd::stream::read::Decoder::new(bytes).map_err(|e| cannot(name, &e.to_string()))?;
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|e| cannot(name, &e.to_string()))?;
            read(name, decoder)
        }
        name => Err(cannot(name, "this packing is not known")),
    }
}

/// All that comes out, as far as it does: of a body that breaks off, the beginning.
fn read(name: &str, reader: impl Read) -> Result<Vec<u8>, String> {
    let mut plain = Vec::new();
    let result = reader.take(MOST_BYTES + 1).read_to_end(&mut plain);
    if plain.len() as u64 > MOST_BYTES {
        return Err(cannot(name, &format!("more than {MOST_BYTES} bytes come out of it")));
    }
    match result {
        Err(error) if plain.is_empty() => Err(cannot(name, &error.to_string())),
        _ => Ok(plain),
    }
}

fn cannot(name: &str, reason: &str) -> String {
    let name: String = name.chars().take(32).flat_map(char::escape_default).collect();
    format!("the response cannot be unpacked ({name}): {reason}")
}
