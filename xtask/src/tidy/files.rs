//! Each file by itself: its size, what it says of itself, and what must not be in it.

/// More lines need a line [`LONG`] that says why.
const MOST_LINES: usize = 500;
const LONG: &str = "// tidy: long because ";

/// Bytes.
const LARGEST: usize = 300 * 1024;

/// Larger files, and why.
const LARGE: &[(&str, &str)] = &[
    (
        "data/quickstart/large.safetensors",
        "a base model that the quickstart tunes, for to train it takes longer than the study",
    ),
    ("data/quickstart/small.safetensors", "the same for its smaller base model"),
    ("tests/golden/gguf/mixed-k.gguf", "K-quantised blocks are 256 wide, so its weights cannot be smaller"),
    ("tests/golden/gguf/mixed.gguf", "the same model in the other quantisations"),
];

/// Macros and attributes that leave something out or unfinished; named apart from their marks, so that this file
/// may be checked too.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];
const ATTRIBUTES: &[&str] = &["ignore", "should_panic"];

/// Folders that exist on somebody's machine only.
const MACHINE: &[&str] = &["work", "root", "home"];

/// What is wrong with one file; `path` is from the root.
pub fn faults(path: &str, bytes: &[u8]) -> Vec<String> {
    let mut faults = Vec::new();
    let is_large = LARGE.iter().any(|(name, _)| *name == path);
    match (bytes.len() > LARGEST, is_large) {
        (true, false) => faults.push(format!(
            "{path}: {} bytes, at most {LARGEST}; make it smaller, or list it with the reason in xtask/src/tidy/files.rs",
            bytes.len()
        )),
        (false, true) => faults.push(format!("{path}: no longer large; unlist it in xtask/src/tidy/files.rs")),
        _ => {}
    }
    // What is not text has no lines to check.
    if let Ok(text) = std::str::from_utf8(bytes) {
        faults.extend(machine_paths(path, text));
        if path.ends_with(".rs") {
            faults.extend(rust_faults(path, text));
        }
    }
    faults
}

/// Listed files that are gone.
pub fn stale_exceptions(paths: &[String]) -> Vec<String> {
    let gone = LARGE.iter().filter(|(name, _)| !paths.iter().any(|p| p == name));
    gone.map(|(name, _)| format!("{name}: is gone; unlist it in xtask/src/tidy/files.rs")).collect()
}

fn rust_faults(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(format!("{path}:1: say in a first line `//! …` what the file is for"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES && !text.lines().any(|line| line.starts_with(LONG)) {
        faults.push(format!("{path}: {lines} lines; split it by what changes together, or say `{LONG}…`"));
    }
    let banned: Vec<String> = MACROS
        .iter()
        .map(|name| format!("{name}!("))
        .chain(ATTRIBUTES.iter().map(|name| format!("#[{name}")))
        .collect();
    for (number, line) in text.lines().enumerate() {
        for found in banned.iter().filter(|b| line.contains(b.as_str())) {
            faults.push(format!("{path}:{}: `{found}` leaves something out; finish or delete it", number + 1));
        }
    }
    faults
}

fn machine_paths(path: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for folder in MACHINE.iter().map(|name| format!("/{name}")).filter(|folder| names_folder(line, folder)) {
            faults.push(format!("{path}:{}: `{folder}` is of one machine; use a relative path", number + 1));
        }
    }
    faults
}

/// Whether `line` has `folder` as the beginning of an absolute path, not within `src/root/` or as `/rooted`.
fn names_folder(line: &str, folder: &str) -> bool {
    let in_path = |c: char| c.is_alphanumeric() || "_-.~}/*".contains(c);
    let goes_on = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(in_path) && !line[at + folder.len()..].starts_with(goes_on))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each fault, shortened to what comes before its remedy.
    fn check(path: &str, text: &str, want: &[&str]) {
        let found = faults(path, text.as_bytes());
        assert_eq!(found.len(), want.len(), "{found:?}");
        for (found, want) in found.iter().zip(want) {
            assert!(found.starts_with(want), "{found:?} is not {want:?}");
        }
    }

    #[test]
    fn rust_files_say_what_they_are_for() {
        check("a.rs", "//! Adds.\n", &[]);
        check("a.rs", "fn main() {}\n", &["a.rs:1: say"]);
        check("a.md", "fn main() {}\n", &[]);
    }

    #[test]
    fn long_files_say_why() {
        let lines = |n: usize| "//! Adds.\n".repeat(n);
        check("a.rs", &lines(500), &[]);
        check("a.rs", &lines(501), &["a.rs: 501 lines"]);
        check("a.rs", &(lines(501) + "// tidy: long because it is one table\n"), &[]);
    }

    #[test]
    fn nothing_is_left_out() {
        for name in MACROS {
            check("a.rs", &format!("//! A.\n    {name}!()\n"), &["a.rs:2: "]);
        }
        for name in ATTRIBUTES {
            check("a.rs", &format!("//! A.\n\n#[{name}]\n"), &["a.rs:3: "]);
        }
    }

    #[test]
    fn paths_of_one_machine() {
        for name in MACHINE {
            check("a.md", &format!("x\nsee /{name}/me\n"), &[&format!("a.md:2: `/{name}`")]);
            check("a.md", &format!("\"/{name}\""), &[&format!("a.md:1: `/{name}`")]);
            check("a.md", &format!("src/{name}/x ./{name} /{name}bench https://a.b/{name}/ $HOME/{name}"), &[]);
        }
    }

    #[test]
    fn large_files_are_listed() {
        let (listed, _) = LARGE[0];
        check("a.bin", &"x".repeat(LARGEST), &[]);
        check("a.bin", &"x".repeat(LARGEST + 1), &["a.bin: 307201 bytes"]);
        check(listed, &"x".repeat(LARGEST + 1), &[]);
        check(listed, "x", &[&format!("{listed}: no longer large")]);
        assert_eq!(stale_exceptions(&["a.bin".into()]).len(), LARGE.len());
    }
}
