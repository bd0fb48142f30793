//! Bytes read as the file of a name.

#![allow(dead_code)] // each test file uses what it needs

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;

use serde_json::Value;
use tunebench_rows::{Columns, RowFile};

/// The whole text that a dataset is given, and what is told of it.
pub fn read(name: &str, bytes: &[u8], columns: &[(&str, &str)]) -> Result<(String, Vec<String>), String> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    read_file(name, file, columns)
}

pub fn read_file(name: &str, file: File, columns: &[(&str, &str)]) -> Result<(String, Vec<String>), String> {
    let columns: BTreeMap<String, String> = columns.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    let columns = Columns::new(&columns).map_err(|e| e.to_string())?;
    let mut rows = RowFile::open(name, file, &columns).map_err(|e| e.to_string())?;
    let mut text = Vec::new();
    loop {
        let bytes = rows.read_at(text.len() as u64, 7 << 10).map_err(|e| e.to_string())?;
        if bytes.is_empty() {
            break;
        }
        text.extend_from_slice(&bytes);
    }
    if let Some(seen) = rows.seen() {
        columns.check(seen).map_err(|e| e.to_string())?;
    }
    // Once more, from any place to any other.
    for at in [0, text.len() / 2, 1, text.len().saturating_sub(1)] {
        let bytes = rows.read_at(at as u64, 100).map_err(|e| e.to_string())?;
        assert_eq!(bytes, text[at..text.len().min(at + 100)], "{name} from {at}");
    }
    let remarks = rows.remarks();
    Ok((String::from_utf8_lossy(&text).into_owned(), remarks))
}

/// The rows in that text.
pub fn rows(name: &str, bytes: &[u8]) -> Result<Vec<Value>, String> {
    let (text, _) = read(name, bytes, &[])?;
    Ok(parsed(&text))
}

/// As a dataset parses it: one array, or a row a line.
pub fn parsed(text: &str) -> Vec<Value> {
    if text.starts_with('[') {
        return serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"));
    }
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}
