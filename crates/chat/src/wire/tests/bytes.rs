//! Bodies as bytes, packed and in all character sets.

use std::io::Write;

use encoding_rs::Encoding;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use tunebench_spec::random::Stream;

use crate::reply::{ErrorBody, Reply};
use crate::wire::decode;

const TEXT: &str = "{\"choices\":[{\"message\":{\"content\":\"得分：8，满分10 é\"}}]}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 0).unwrap()
}

/// `TEXT` by `brotli` 1.1, quality 5.
fn brotli() -> Vec<u8> {
    // One uncompressed block: window bits 16, last 0, length, uncompressed 1, padding; then the last and empty block.
    let length = TEXT.len() - 1;
    let header = (length as u32) << 4 | 1 << 20;
    let mut bytes = header.to_le_bytes()[..3].to_vec();
    bytes.extend(TEXT.as_bytes());
    bytes.push(3);
    bytes
}

#[test]
fn packed_bodies_are_unpacked() {
    let text = TEXT.as_bytes();
    for (bytes, encoding) in [
        (text.to_vec(), None),
        (text.to_vec(), Some("identity")),
        (text.to_vec(), Some("gzip")), // the header is wrong
        (text.to_vec(), Some("br")),
        (text.to_vec(), Some("")),
        (text.to_vec(), Some("utf-8")),
        (gzip(text), Some("gzip")),
        (gzip(text), Some("GZIP")),
        (gzip(text), Some("x-gzip")),
        (gzip(text), None),
        (gzip(text), Some("identity")),
        (gzip(&gzip(text)), Some("gzip")),
        (gzip(&gzip(text)), Some("gzip, gzip")),
        ([gzip(&text[..9]), gzip(&text[9..])].concat(), Some("gzip")),
        (zlib(text), Some("deflate")),
        (deflate(text), Some("deflate")),
        (gzip(&deflate(text)), Some("deflate, gzip")),
        (brotli(), Some("br")),
        (gzip(&brotli()), Some("br, gzip")),
        (zstd(text), Some("zstd")),
        (zstd(text), None),
    ] {
        assert_eq!(decode(&bytes, encoding, None).as_deref(), Ok(TEXT), "{encoding:?}");
    }
}

#[test]
fn what_cannot_be_unpacked_is_named() {
    for (bytes, encoding, part) in [
        (vec![0x80, 0x81, 0xff], Some("compress"), "(compress)"),
        (vec![0x80, 0x81, 0xff], Some("x\u{1b}[31m"), "(x\\u{1b}[31m)"),
        (vec![0x1f, 0x8b, 9, 9, 9, 9], None, "(gzip)"),
        (vec![0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff, 0xff], None, "(zstd)"),
        (vec![0xff, 0xfe, 0xfd, 0xfc], Some("br"), "(br)"),
        (gzip(&vec![b' '; 9 << 20]), None, "more than 8388608 bytes"),
        (zstd(&vec![b' '; 9 << 20]), None, "more than 8388608 bytes"),
        (gzip(&gzip(&vec![b' '; 9 << 20])), None, "more than 8388608 bytes"),
    ] {
        let reason = decode(&bytes, encoding, None).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
    // Of a body that breaks off the beginning is kept: it was paid for.
    let packed = gzip(TEXT.repeat(500).as_bytes());
    let cut = decode(&packed[..packed.len() / 2], Some("gzip"), None).unwrap();
    assert!(cut.starts_with("{\"choices\"") && cut.len() < TEXT.len() * 500);
}

#[test]
fn character_sets_are_read() {
    let encoded = |label: &str, text: &str| Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned();
    let utf16 = |text: &str, little: bool| -> Vec<u8> {
        text.encode_utf16().flat_map(|unit| if little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
    };
    let utf32 = |text: &str| -> Vec<u8> { text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect() };
    let plain = TEXT.as_bytes().to_vec();
    for (bytes, content_type) in [
        (plain.clone(), None),
        (plain.clone(), Some("application/json")),
        (plain.clone(), Some("application/json; charset=utf-8")),
        (plain.clone(), Some("text/html; charset=ISO-8859-1")), // the header is wrong
        (plain.clone(), Some("application/json; charset=nonsense")),
        ([b"\xef\xbb\xbf".to_vec(), plain.clone()].concat(), None),
        ([b"\xff\xfe".to_vec(), utf16(TEXT, true)].concat(), None),
        ([b"\xfe\xff".to_vec(), utf16(TEXT, false)].concat(), None),
        (utf16(TEXT, true), None),
        (utf16(TEXT, false), None),
        (utf16(TEXT, true), Some("application/json; charset=utf-16")),
        ([b"\xff\xfe\0\0".to_vec(), utf32(TEXT)].concat(), None),
        (encoded("gb18030", TEXT), Some("application/json;charset=GB18030")),
        (encoded("gbk", TEXT), Some("application/json; Charset=\"gbk\"")),
        (encoded("gbk", TEXT), Some("application/json; charset=gb2312")),
    ] {
        assert_eq!(decode(&bytes, None, content_type).as_deref(), Ok(TEXT), "{content_type:?}");
    }
    for (label, text) in [
        ("big5", "得分：8"),
        ("shift_jis", "点数は8"),
        ("euc-kr", "점수 8"),
        ("iso-8859-1", "très 8"),
        ("iso-2022-jp", "点数は8"),
    ] {
        let content_type = format!("application/json; charset={label}");
        assert_eq!(decode(&encoded(label, text), None, Some(&content_type)).as_deref(), Ok(text), "{label}");
    }
    // What is no text in its character set stays readable.
    let mut broken = TEXT.as_bytes().to_vec();
    broken[40] = 0xff;
    let text = decode(&broken, None, None).unwrap();
    assert!(text.contains('\u{fffd}') && Reply::read(&text).is_ok());
}

/// Ten thousand bodies that something happened to: each is read or refused in words, and none ends in a panic.
#[test]
fn garbage_is_only_garbage() {
    let stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[],\"usage\":{\"input_tokens\":9}}}\n\n\
                  data: {\"choices\":[{\"delta\":{\"content\":\"<think>3</think>8\"}}]}\r\n\r\ndata: [DONE]\n\n";
    let logprobs = r#"{"model":"m","choices":[{"index":0,"message":{"content":[{"type":"text","text":"<|channel|>final<|message|>8"}],"reasoning":"\ud83d\ude00"},"logprobs":{"content":[{"token":"8","bytes":[56],"logprob":-0.1,"top_logprobs":[{"token":"9","logprob":-3}]}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let error = r#"[{"error":{"code":429,"message":"Provider returned error","details":[{"retryDelay":"34s"},{"fieldViolations":[{"field":"a"}]}],"metadata":{"raw":"{\"detail\":[{\"loc\":[\"body\",0],\"msg\":\"x\"}]}"}}}]"#;
    let page = "<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>é</body></html>";
    let seeds: Vec<Vec<u8>> = [TEXT, stream, logprobs, error, page]
        .iter()
        .map(|text| text.as_bytes().to_vec())
        .chain([gzip(logprobs.as_bytes()), zstd(stream.as_bytes()), brotli(), zlib(error.as_bytes())])
        .chain([TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect()])
        .collect();
    let encodings = [None, None, None, Some("gzip"), Some("br"), Some("deflate"), Some("zstd"), Some("gzip, br, x")];
    let types = [None, Some("application/json; charset=gbk"), Some("text/event-stream"), Some("x; charset=utf-16be")];
    let mut random = Stream::named(7, "garbage");
    let mut below = |n: usize| random.below(n as u64) as usize;
    let (mut read, mut refused) = (0, 0);
    for _ in 0..10_000 {
        let mut bytes = seeds[below(seeds.len())].clone();
        for _ in 0..below(4) {
            let (at, length) = (below(bytes.len() + 1), below(12));
            let end = (at + length).min(bytes.len());
            match below(6) {
                0 => drop(bytes.drain(at..end)),
                1 => bytes.truncate(at.max(1)),
                2 => bytes
                    .splice(at..at, (0..length).map(|i| [b'"', b'\\', b'{', 0, 0xff, b'<', b'\n', b'u'][i % 8]))
                    .for_each(drop),
                3 => {
                    let other = &seeds[below(seeds.len())];
                    let from = below(other.len());
                    bytes.splice(at..end, other[from..].iter().copied().take(40)).for_each(drop);
                }
                4 => bytes.extend_from_within(at..end),
                _ => bytes[at..end].iter_mut().for_each(|byte| *byte ^= 1 << (at % 8)),
            }
        }
        let Ok(text) = decode(&bytes, encodings[below(encodings.len())], types[below(types.len())]) else {
            refused += 1;
            continue;
        };
        let error = ErrorBody::read(&text);
        assert!(error.message.chars().count() < 2500 && !error.message.chars().any(char::is_control));
        match Reply::read(&text) {
            Ok(reply) => {
                assert!(!reply.chat.content.trim().is_empty());
                read += 1;
            }
            Err(reason) => {
                let reason = reason.to_string();
                assert!(reason.len() < 3000 && !reason.chars().any(char::is_control), "{reason}");
                refused += 1;
            }
        }
    }
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused: the mutations are of no use");
}
