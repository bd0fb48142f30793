//! Bytes to text in the character set that they are in.

use encoding_rs::{Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

/// Decodes by the byte order mark, else by what the bytes are, else by the header.
///
/// JSON is UTF-8, so bytes that are UTF-8 are read as such even where the header says otherwise: text in another character set
/// is hardly ever that by accident.
pub(super) fn decode(bytes: &[u8], content_type: Option<&str>) -> String {
    if let Some(text) = utf32(bytes) {
        return text;
    }
    let (encoding, mark) = Encoding::for_bom(bytes).unwrap_or_else(|| (guess(bytes, content_type), 0));
    encoding.decode_without_bom_handling(&bytes[mark..]).0.into_owned()
}

fn guess(bytes: &[u8], content_type: Option<&str>) -> &'static Encoding {
    let stated = content_type.and_then(charset).and_then(|name| Encoding::for_label(name.as_bytes()));
    // Text of this kind begins with characters of ASCII, which show where the other byte of each is.
    match bytes {
        [0, second, ..] if *second != 0 => return UTF_16BE,
        [first, 0, ..] if *first != 0 => return UTF_16LE,
        _ => {}
    }
    match stated {
        // Written in the bytes of ASCII alone.
        Some(stated) if !stated.is_ascii_compatible() => stated,
        _ if std::str::from_utf8(bytes).is_ok() => UTF_8,
        // What is called GBK or GB2312 may hold characters that only its newest form has.
        Some(stated) if stated == encoding_rs::GBK => GB18030,
        Some(stated) => stated,
        None => UTF_8,
    }
}

/// The value of `charset=` in a content type.
fn charset(content_type: &str) -> Option<String> {
    let parameter = content_type.split(';').map(str::trim).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then_some(value)
    })?;
    Some(parameter.trim().trim_matches(['"', '\'']).to_owned())
}

/// UTF-32, which the Web has given up, by its mark.
fn utf32(bytes: &[u8]) -> Option<String> {
    let read = match bytes {
        [0xff, 0xfe, 0, 0, ..] => u32::from_le_bytes,
        [0, 0, 0xfe, 0xff, ..] => u32::from_be_bytes,
        _ => return None,
    };
    let units = bytes[4..].chunks(4).map(|unit| unit.try_into().map_or(u32::MAX, read));
    Some(units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}
