//! Finds damage to a file before it is decoded.
//!
//! A Parquet decoder trusts the lengths it reads: one flipped byte can make it ask for more memory than there is, which
//! ends the process. So each file carries the SHA-256 of its own bytes, taken with that value as zeros.

use std::io::Read;
use std::ops::Range;

use tunebench_spec::hash;

/// The metadata key of the seal.
pub const KEY: &str = "tunebench.sha256";
/// The value that a file is written with, and hashed with.
pub const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Between key and value in Parquet's metadata: the next field is a string of 64 bytes (Thrift's compact protocol).
const VALUE_HEADER: [u8; 2] = [0x18, 0x40];

/// What the seal says of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    Intact,
    Broken,
    Absent,
}

/// Replaces the blank value of a Parquet file written with `KEY: BLANK` in its metadata; without one, nothing changes.
pub fn seal(bytes: &mut [u8]) {
    let Some(value) = value_range(bytes) else { return };
    let digest = digest(bytes, &value);
    bytes[value].copy_from_slice(digest.as_bytes());
}

/// Whether the bytes are those that were sealed.
pub fn check(bytes: &[u8]) -> Seal {
    match value_range(bytes) {
        None => Seal::Absent,
        Some(value) if digest(bytes, &value).as_bytes() == &bytes[value.clone()] => Seal::Intact,
        Some(_) => Seal::Broken,
    }
}

/// Where the value is. The last match is the right one: no text of a record comes after a file's metadata.
fn value_range(bytes: &[u8]) -> Option<Range<usize>> {
    let marker = [KEY.as_bytes(), &VALUE_HEADER].concat();
    let start = bytes.windows(marker.len()).rposition(|window| window == marker)? + marker.len();
    let end = start + BLANK.len();
    (end <= bytes.len()).then_some(start..end)
}

fn digest(bytes: &[u8], value: &Range<usize>) -> String {
    let blanked = bytes[..value.start].chain(BLANK.as_bytes()).chain(&bytes[value.end..]);
    hash::of_reader(blanked).expect("reading from memory does not fail")
}
