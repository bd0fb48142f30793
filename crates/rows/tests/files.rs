//! Files that are packed, in other encodings, Parquet, damaged or in a folder.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use encoding_rs::{BIG5, EUC_KR, GBK, SHIFT_JIS, WINDOWS_1252};
use support::{parsed, read, read_file, rows};
use tunebench_rows::expand;

const ROWS: &str = "{\"q\": \"天空是什么颜色？\"}\n{\"q\": \"b\"}\n";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 1).unwrap()
}

fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(unit).collect()
}

#[test]
fn packed_files_are_known_by_their_bytes() {
    let want = rows("r.jsonl", ROWS.as_bytes());
    let (first, second) = ROWS.split_at(ROWS.find("\n{").unwrap() + 1);
    let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4][..], &zstd(ROWS.as_bytes())].concat();
    for (name, bytes, packing) in [
        ("r.jsonl.gz", gzip(ROWS.as_bytes()), "gzip"),
        ("r.jsonl", gzip(ROWS.as_bytes()), "gzip"),
        ("r.jsonl.gz", [gzip(first.as_bytes()), gzip(second.as_bytes())].concat(), "gzip"),
        ("r.jsonl.zst", zstd(ROWS.as_bytes()), "zstd"),
        ("r.jsonl.zst", [zstd(first.as_bytes()), zstd(second.as_bytes())].concat(), "zstd"),
        ("r.jsonl.zst", skippable, "zstd"),
        ("r.gz", gzip(&zstd(ROWS.as_bytes())), "gzip and zstd"),
    ] {
        assert_eq!(rows(name, &bytes), want, "{name}");
        let (text, remarks) = read(name, &bytes, &[]).unwrap();
        assert_eq!(text, ROWS);
        assert_eq!(remarks, [format!("{name}: 2 rows read from JSON, packed by {packing}")]);
    }
    let (text, remarks) = read("r.csv.gz", &gzip(b"q\na\n"), &[]).unwrap();
    assert_eq!(
        (text.as_str(), &remarks[..]),
        ("[\n{\"q\": \"a\"}\n]\n", &["r.csv.gz: 1 rows read from CSV, packed by gzip".to_owned()][..])
    );
    // What is no text of rows is at least unpacked.
    assert_eq!(read("notes.txt.gz", &gzip(b"plain"), &[]).unwrap().0, "plain");
    for bytes in [&gzip(ROWS.as_bytes())[..40], &zstd(ROWS.repeat(2000).as_bytes())[..60]] {
        let error = read("r.gz", bytes, &[]).unwrap_err();
        assert!(error.contains("cannot be unpacked") && error.contains("cut off"), "{error}");
    }
}

#[test]
fn utf16_is_read_with_a_mark_and_without() {
    for (text, unit) in [
        (format!("\u{feff}{ROWS}"), u16::to_le_bytes as fn(u16) -> [u8; 2]),
        (format!("\u{feff}{ROWS}"), u16::to_be_bytes),
        (ROWS.to_owned(), u16::to_le_bytes),
        (ROWS.to_owned(), u16::to_be_bytes),
    ] {
        let (found, remarks) = read("r.jsonl", &utf16(&text, unit), &[]).unwrap();
        assert_eq!((found.as_str(), remarks.len()), (ROWS, 1), "{remarks:?}");
    }
    let table = rows("r.csv", &utf16("\u{feff}问\t答\n天\t😀\n", u16::to_le_bytes)).unwrap();
    assert_eq!(table, [serde_json::json!({"问": "天", "答": "😀"})]);
    let long: String = (0..50_000).map(|n| format!("{{\"q\": \"天空{n}😀\"}}\n")).collect();
    assert_eq!(read("r.jsonl", &gzip(&utf16(&long, u16::to_be_bytes)), &[]).unwrap().0, long);
    let mut lone = utf16(ROWS, u16::to_le_bytes);
    lone.extend_from_slice(&[b'{', 0, 0, 0xd8, b'x', 0]);
    assert!(read("r.jsonl", &lone, &[]).unwrap_err().contains("not valid UTF-16"));
}

#[test]
fn another_encoding_is_named() {
    let chinese = "{\"instruction\": \"what is it?\"}\n{\"instruction\": \"天空是什么颜色？我们在这里说中国的大\"}\n";
    let taiwan = "{\"instruction\": \"what?\"}\n{\"instruction\": \"天空是什麼顏色？我們在這裡說國家的大\"}\n";
    let japanese = "{\"instruction\": \"これは日本語の文章です。空の色は何ですか\"}\n";
    let korean = "{\"instruction\": \"하늘은 무슨 색입니까? 나는 학교에 가는 것을\"}\n";
    let french = "{\"instruction\": \"voil\u{e0} un caf\u{e9}\"}\n";
    for (name, bytes, wants) in [
        ("g.jsonl", GBK.encode(chinese).0.into_owned(), ["1 of 2 rows", "GBK", "iconv -f GB18030 -t UTF-8 g.jsonl"]),
        (
            "g.json",
            GBK.encode(&format!("[{}]", chinese.replace('\n', ","))).0.into_owned(),
            ["g.json", "GBK", "iconv -f GB18030"],
        ),
        (
            "g.csv",
            GBK.encode("instruction,output\n天空是什么颜色,蓝色的\n我们在这里,你的\n").0.into_owned(),
            ["2 of 2 rows", "GBK", "iconv"],
        ),
        ("b.jsonl", BIG5.encode(taiwan).0.into_owned(), ["1 of 2 rows", "Big5", "iconv -f BIG5"]),
        ("s.jsonl", SHIFT_JIS.encode(japanese).0.into_owned(), ["s.jsonl", "Shift JIS", "iconv -f SHIFT_JIS"]),
        ("k.jsonl", EUC_KR.encode(korean).0.into_owned(), ["k.jsonl", "EUC-KR", "iconv -f EUC-KR"]),
        ("f.jsonl", WINDOWS_1252.encode(french).0.into_owned(), ["1 of 1 rows", "Latin-1", "iconv -f WINDOWS-1252"]),
        ("u.jsonl", [&[0xff, 0xfe, 0, 0][..], b"{\0\0\0"].concat(), ["u.jsonl", "UTF-32", "iconv -f UTF-32"]),
    ] {
        let error = read(name, &bytes, &[]).expect_err(name);
        assert!(wants.iter().all(|want| error.contains(want)), "{name}: {error}");
    }
    // One broken row among many is that row's fault, which its reader counts.
    let mut many = ROWS.repeat(200).into_bytes();
    many.extend_from_slice(b"{\"q\": \"\xff\"}\n");
    assert!(read("r.jsonl", &many, &[]).is_ok());
}

fn parquet(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parquet").join(name)
}

#[test]
fn parquet_files_are_rows_as_pyarrow_reads_them() {
    let want = parsed(&fs::read_to_string(parquet("rows.jsonl")).unwrap());
    for name in ["snappy", "zstd-v2", "gzip", "lz4", "none-1.0"] {
        let name = format!("{name}.parquet");
        let (text, remarks) = read_file(&name, File::open(parquet(&name)).unwrap(), &[]).unwrap();
        for (index, (found, want)) in parsed(&text).iter().zip(&want).enumerate() {
            assert_eq!(found, want, "{name}, row {}", index + 1);
        }
        assert_eq!(parsed(&text).len(), want.len(), "{name}");
        assert_eq!(remarks, [format!("{name}: {} rows read from Parquet", want.len())]);
    }
    let packed = gzip(&fs::read(parquet("snappy.parquet")).unwrap());
    assert_eq!(rows("r.parquet.gz", &packed).unwrap(), want);
    let columns = [("q", "instruction")];
    let (text, _) = read_file("r", File::open(parquet("snappy.parquet")).unwrap(), &columns).unwrap();
    assert_eq!(parsed(&text)[0]["q"], want[0]["instruction"]);
}

/// Whatever is broken in a file, it is an error or rows, and never a panic that is seen.
#[test]
fn damaged_parquet_files_are_errors() {
    let whole = fs::read(parquet("zstd-v2.parquet")).unwrap();
    for cut in [0, 4, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = read("r.parquet", &whole[..cut], &[]).unwrap_err();
        assert!(error.contains("r.parquet"), "{error}");
    }
    // What a fuzzer found: a page that promises too much, and a place below zero.
    for (name, fault) in
        [("parquet-huge-page", "bytes, where 419430400 is the most"), ("parquet-below-zero", "below zero")]
    {
        let found = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/rows").join(name);
        let error = read("r.parquet", &fs::read(found).unwrap(), &[]).unwrap_err();
        assert!(error.contains(fault), "{error}");
    }
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    std::panic::set_hook(Box::new(|_| {}));
    let mut faults = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..3 {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let read = std::panic::catch_unwind(|| {
            let Ok(mut rows) = tunebench_rows::RowFile::open("r", file, &tunebench_rows::Columns::default()) else {
                return true;
            };
            let mut offset = 0;
            loop {
                match rows.read_at(offset, 1 << 20) {
                    Ok(bytes) if bytes.is_empty() => return false,
                    Ok(bytes) => offset += bytes.len() as u64,
                    Err(_) => return true,
                }
            }
        });
        faults += usize::from(read.unwrap());
    }
    let _ = std::panic::take_hook();
    assert!(faults > 50, "{faults}");
}

/// Random damage to texts of every shape: an error or rows.
#[test]
fn damaged_texts_are_errors_or_rows() {
    let texts = [
        ROWS.to_owned(),
        "[{\"a\": [1, {\"b\": \"c\\\"d\"}]},\n {\"a\": null}]".to_owned(),
        "{\"v\": 1, \"data\": [{\"a\": 1}, {\"a\": 2}]}".to_owned(),
        "{\"a\": [\"x\", \"y\"], \"b\": [1, 2]}".to_owned(),
        "[[\"question\", \"answer\"], [\"q\", \"a\"]]".to_owned(),
        "[[{\"role\": \"user\", \"content\": \"q\"}]]".to_owned(),
        "instruction,output\n\"a\",b\n".to_owned(),
    ];
    let mut state = 7_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let marks = b"{}[]\",:\\'\n\r \0\xff\xef\xbb\xbf1aN";
    for round in 0..4000 {
        let mut bytes = texts[round % texts.len()].clone().into_bytes();
        for _ in 0..=next(4) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = marks[next(marks.len())],
                1 => bytes.insert(at, marks[next(marks.len())]),
                _ => drop(bytes.remove(at)),
            }
        }
        let name = if round % texts.len() == 6 { "r.csv" } else { "r.json" };
        let _ = read(name, &bytes, &[]);
    }
}

#[test]
fn a_folder_is_its_files_of_rows() {
    let home = tempfile::tempdir().unwrap();
    let folder = |name: &str, files: &[&str]| {
        let folder = home.path().join(name);
        for file in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, ROWS).unwrap();
        }
        folder
    };
    let names = |path: &Path| -> Result<(Vec<String>, String), String> {
        let found = expand(path).map_err(|e| e.to_string())?;
        let names = found.files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
        Ok((names.collect(), found.remark.unwrap_or_default()))
    };
    let plain = folder("plain", &["b.jsonl", "a.jsonl.gz", "README.md", ".hidden.jsonl", "dataset_infos.json"]);
    let (found, remark) = names(&plain).unwrap();
    assert_eq!(found, ["a.jsonl.gz", "b.jsonl"]);
    assert_eq!(remark, "2 files read: a.jsonl.gz, b.jsonl; left out: README.md, dataset_infos.json");
    let parts = folder("parts", &["train-00000-of-2.parquet", "train-00001-of-2.parquet", "test-0.parquet"]);
    assert!(names(&parts).unwrap_err().contains("different parts of a dataset"), "{:?}", names(&parts));
    let (found, remark) = names(&parts.join("train*.parquet")).unwrap();
    assert_eq!((found.len(), remark.starts_with("train*.parquet: 2 files read")), (2, true), "{remark}");
    for (path, want) in [
        (folder("kinds", &["a.csv", "b.jsonl"]), "several kinds (a.csv, b.jsonl)"),
        (
            folder("none", &["notes.txt", "data/a.jsonl"]),
            "without a file of rows (.jsonl, .json, .csv, .parquet) (it has the folders data)",
        ),
        (parts.join("*.csv"), "no file fits"),
    ] {
        let error = names(&path).unwrap_err();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(names(&plain.join("b.jsonl")).unwrap(), (vec!["b.jsonl".to_owned()], String::new()));
}
