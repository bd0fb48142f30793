//! TFRecord framing: length, checksum of the length, content, checksum of the content.
//!
//! As in tensorboard's `summary/writer/record_writer.py`: the length is 64 bits, a checksum 32, both little-endian.

/// What stands before the content: its length and the checksum of the length.
const HEAD_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// Added to the turned checksum; the number is the format's.
const MASK: u32 = 0xa282_ead8;

/// CRC-32C of the bytes, turned by 15 bits and moved, as TFRecord wants it.
pub fn masked_checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(MASK)
}

/// Appends the content as one record.
pub fn append(out: &mut Vec<u8>, content: &[u8]) {
    let length = (content.len() as u64).to_le_bytes();
    out.extend(length);
    out.extend(masked_checksum(&length).to_le_bytes());
    out.extend(content);
    out.extend(masked_checksum(content).to_le_bytes());
}

/// What a file of records holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Extent {
    /// So many bytes of whole records; what follows, if anything, is the beginning of one.
    Whole(usize),
    /// At this byte no record begins, and it is not the end that is missing.
    Damaged(usize),
}

/// Goes over the records from the beginning.
pub fn extent(bytes: &[u8]) -> Extent {
    let mut at = 0;
    while at < bytes.len() {
        match one(bytes.get(at..).unwrap_or_default()) {
            One::Whole(length) => at += length,
            One::Torn => break,
            One::Damaged => return Extent::Damaged(at),
        }
    }
    Extent::Whole(at)
}

enum One {
    Whole(usize),
    Torn,
    Damaged,
}

/// The record at the beginning of `bytes`.
fn one(bytes: &[u8]) -> One {
    let Some((head, rest)) = bytes.split_at_checked(HEAD_BYTES) else { return One::Torn };
    let (length, checksum) = head.split_at(8);
    if checksum != masked_checksum(length).to_le_bytes() {
        return One::Damaged;
    }
    let length = length.try_into().map(u64::from_le_bytes).ok().and_then(|length| usize::try_from(length).ok());
    let Some(length) = length else { return One::Torn };
    let Some((content, rest)) = rest.split_at_checked(length) else { return One::Torn };
    match rest.split_at_checked(CHECKSUM_BYTES) {
        None => One::Torn,
        Some((checksum, _)) if checksum == masked_checksum(content).to_le_bytes() => {
            One::Whole(HEAD_BYTES + length + CHECKSUM_BYTES)
        }
        Some((_, [])) => One::Torn, // of the last record, a machine that went down may have kept a part
        Some(_) => One::Damaged,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksum itself: RFC 3720, appendix B.4. Masked ones: tensorboard's `masked_crc32c`, 2.21.0.
    #[test]
    fn checksums_are_the_published_ones() {
        let ascending: Vec<u8> = (0..32).collect();
        let plain: [(&[u8], u32); 4] = [
            (&[0; 32], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&ascending, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
        ];
        for (bytes, want) in plain {
            assert_eq!(crc32c::crc32c(bytes), want, "{bytes:?}");
        }
        let masked: [(&[u8], u32); 3] = [(b"", 0xa282_ead8), (b"123456789", 0xc78a_b0e5), (&[0; 32], 0x0fd7_fffa)];
        for (bytes, want) in masked {
            assert_eq!(masked_checksum(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn finds_the_whole_records() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"one");
        let first = bytes.len();
        append(&mut bytes, b"");
        append(&mut bytes, b"three");
        let second = first + HEAD_BYTES + CHECKSUM_BYTES;
        for end in 0..=bytes.len() {
            let want = [0, first, second, bytes.len()].into_iter().rfind(|whole| *whole <= end).unwrap();
            assert_eq!(extent(&bytes[..end]), Extent::Whole(want), "{end} bytes");
        }
    }

    #[test]
    fn tells_damage_from_a_torn_end() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"one");
        let first = bytes.len();
        append(&mut bytes, b"two");
        let flipped = |at: usize| {
            let mut bytes = bytes.clone();
            bytes[at] ^= 1;
            extent(&bytes)
        };
        assert_eq!(flipped(0), Extent::Damaged(0), "length");
        assert_eq!(flipped(HEAD_BYTES), Extent::Damaged(0), "content");
        assert_eq!(flipped(first + HEAD_BYTES), Extent::Whole(first), "content of the last record");
        assert_eq!(flipped(first), Extent::Damaged(first), "length of the last record");
    }
}
