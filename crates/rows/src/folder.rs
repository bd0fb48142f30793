//! The files that a path of a study means: itself, those of a folder, or those that fit a name with `*`.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Ends of the names of files of rows, and what kind each is; files of one folder are of one kind.
const ENDS: [(&str, &str); 7] = [
    ("jsonl", "JSON"),
    ("json", "JSON"),
    ("ndjson", "JSON"),
    ("csv", "CSV"),
    ("tsv", "CSV"),
    ("parquet", "Parquet"),
    ("pq", "Parquet"),
];
/// What tells of data and is none.
const NO_ROWS: [&str; 6] =
    ["dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "package.json"];
const SPLITS: [&str; 8] = ["train", "test", "validation", "valid", "val", "dev", "eval", "holdout"];
/// Names that a message shows.
const MOST_SHOWN: usize = 8;

/// The files of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    pub files: Vec<PathBuf>,
    /// What a user should know of which they are.
    pub remark: Option<String>,
}

/// The files of a path: a folder's in the order of their names.
///
/// # Errors
/// When a folder holds none, or several that do not belong together; when no file fits a name with `*`.
pub fn expand(path: &Path) -> Result<Expanded, Error> {
    let shown = path.display().to_string();
    let fault = |what: String| Error::Shape { file: shown.clone(), what };
    if path.is_dir() {
        let (files, others) = listed(path, |name| kind(name).is_some())?;
        return of_folder(files, others).map_err(fault);
    }
    let pattern = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if path.exists() || !pattern.contains('*') {
        return Ok(Expanded { files: vec![path.to_owned()], remark: None });
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let (files, _) = listed(folder, |name| fits(&pattern, name))?;
    let files: Vec<PathBuf> = files.into_iter().filter(|file| file.is_file()).collect();
    if files.is_empty() {
        return Err(fault("no file fits this name".into()));
    }
    let remark = Some(format!("{pattern}: {}", counted(&files)));
    Ok(Expanded { files, remark })
}

/// What the files of a folder are together.
fn of_folder(files: Vec<PathBuf>, others: Vec<PathBuf>) -> Result<Expanded, String> {
    let (folders, others): (Vec<PathBuf>, Vec<PathBuf>) = others.into_iter().partition(|path| path.is_dir());
    let Some(first) = files.first() else {
        let inside =
            if folders.is_empty() { String::new() } else { format!(" (it has the folders {})", names(&folders)) };
        return Err(format!(
            "is a folder without a file of rows (.jsonl, .json, .csv, .parquet){inside}; name the files"
        ));
    };
    if let Some(other) = files.iter().find(|file| kind(&name(file)) != kind(&name(first))) {
        return Err(format!(
            "is a folder with files of several kinds ({}, {}); name those that belong together",
            name(first),
            name(other)
        ));
    }
    let split = |file: &PathBuf| SPLITS.iter().find(|split| begins_with_word(&name(file), split));
    if let Some(other) = files.iter().find(|file| split(file) != split(first)) {
        return Err(format!(
            "is a folder with different parts of a dataset ({}, {}); name those to be read, e.g. with `train*`",
            name(first),
            name(other)
        ));
    }
    let mut remark = counted(&files);
    let left_out: Vec<PathBuf> = others.into_iter().chain(folders).collect();
    if !left_out.is_empty() {
        remark += &format!("; left out: {}", names(&left_out));
    }
    Ok(Expanded { files, remark: Some(remark) })
}

/// What is in a folder, sorted: what is wanted, and the rest. Hidden files are neither.
fn listed(folder: &Path, is_wanted: impl Fn(&str) -> bool) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let fault = |source| Error::Io { file: folder.display().to_string(), source };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        paths.push(entry.map_err(fault)?.path());
    }
    paths.retain(|path| !name(path).starts_with('.'));
    paths.sort();
    Ok(paths.into_iter().partition(|path| !path.is_dir() && is_wanted(&name(path))))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn names(paths: &[PathBuf]) -> String {
    let mut shown: Vec<String> = paths.iter().take(MOST_SHOWN).map(|path| name(path)).collect();
    if paths.len() > MOST_SHOWN {
        shown.push(format!("and {} more", paths.len() - MOST_SHOWN));
    }
    shown.join(", ")
}

fn counted(files: &[PathBuf]) -> String {
    let files_word = if files.len() == 1 { "file" } else { "files" };
    format!("{} {files_word} read: {}", files.len(), names(files))
}

/// The kind of a file of rows, by its name.
fn kind(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    if NO_ROWS.contains(&name.as_str()) {
        return None;
    }
    let plain = [".gz", ".zst", ".zstd"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name);
    let end = plain.rsplit_once('.').map(|(_, end)| end)?;
    ENDS.iter().find(|(known, _)| *known == end).map(|(_, kind)| *kind)
}

fn begins_with_word(name: &str, word: &str) -> bool {
    let name = name.to_lowercase();
    name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|start| name.strip_prefix(start)) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(end) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(end)
}
