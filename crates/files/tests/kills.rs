//! A process killed at each of its durable writes: what is there is always what a whole number of operations left,
//! and doing it again ends as if nothing had happened.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tunebench_files::{
    Error, JsonLines, current_folder, read_json, read_lines, remove_folder, write_file, write_folder, write_json,
};

/// Tells this test binary, run again as a child, where to write.
const FOLDER: &str = "TUNEBENCH_FILES_TEST_FOLDER";
const KILL: &str = "TUNEBENCH_KILL_AT_WRITE";

type Operation = fn(&Path) -> Result<(), Error>;

/// What the child does, one after the other; each may be done again.
const OPERATIONS: [Operation; 10] = [
    |dir| write_file(&dir.join("file"), |out| out.write_all(b"old content")),
    |dir| write_json(&dir.join("file"), &["new", "content"]),
    |dir| fill(&dir.join("folder"), 1),
    |dir| fill(&dir.join("folder"), 2),
    |dir| append(dir, 1),
    |dir| append(dir, 2),
    |dir| append(dir, 3),
    |dir| JsonLines::open_while(&dir.join("lines"), |value: &u64| *value < 3).map(drop),
    |dir| fill(&dir.join("removed"), 1),
    |dir| remove_folder(&dir.join("removed")),
];

fn fill(folder: &Path, version: u64) -> Result<(), Error> {
    write_folder(folder, |new| {
        write_json(&new.join("a"), &version)?;
        write_json(&new.join("b"), &version)
    })
}

/// Appends a value unless it is there.
fn append(dir: &Path, value: u64) -> Result<(), Error> {
    let (mut lines, values) = JsonLines::open(&dir.join("lines"))?;
    if !values.contains(&value) {
        lines.append(&value)?;
    }
    lines.sync()
}

/// What a reader sees.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    file: Option<String>,
    folder: Option<[u64; 2]>,
    lines: Vec<u64>,
    removed: Option<[u64; 2]>,
}

impl Seen {
    fn in_folder(dir: &Path) -> Self {
        let versions = |name: &str| {
            let folder = current_folder(&dir.join(name))?;
            Some(["a", "b"].map(|file| read_json(&folder.join(file)).unwrap()))
        };
        Self {
            file: fs::read_to_string(dir.join("file")).ok(),
            folder: versions("folder"),
            lines: read_lines(&dir.join("lines")).unwrap(),
            removed: versions("removed"),
        }
    }
}

/// Every file below a folder, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap())),
            }
        }
    }
    found
}

fn child(dir: &Path, kill: Option<&str>) -> Output {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "the_child_writes", "--nocapture"]).env(FOLDER, dir);
    if let Some(kill) = kill {
        command.env(KILL, kill);
    }
    command.output().unwrap()
}

/// No test by itself, but what the others run as a child.
#[test]
fn the_child_writes() {
    let Some(dir) = std::env::var_os(FOLDER) else { return };
    OPERATIONS.iter().for_each(|operation| operation(Path::new(&dir)).unwrap());
}

#[test]
fn a_kill_at_any_write_leaves_what_whole_operations_left() {
    let whole = tempfile::tempdir().unwrap();
    let mut states = vec![Seen::in_folder(whole.path())];
    for operation in OPERATIONS {
        operation(whole.path()).unwrap();
        states.push(Seen::in_folder(whole.path()));
    }
    states.dedup();
    assert_eq!(states.len(), OPERATIONS.len() + 1, "each operation is to be seen: {states:?}");

    let mut done = 0;
    for number in 1.. {
        let mut is_over = false;
        for moment in [["before", "torn"][number % 2], "after"] {
            let dir = tempfile::tempdir().unwrap();
            let kill = format!("{number}:{moment}");
            let killed = child(dir.path(), Some(&kill));
            is_over = killed.status.success();
            assert!(is_over || killed.status.code().is_none() || cfg!(not(unix)), "{kill}: {killed:?}");
            let seen = Seen::in_folder(dir.path());
            let further = states[done..].iter().take(2).position(|state| *state == seen);
            done += further.unwrap_or_else(|| panic!("{kill}: after {done} operations or one more it is {seen:?}"));

            assert!(child(dir.path(), None).status.success(), "{kill}");
            assert_eq!(files(dir.path()), files(whole.path()), "{kill}: it goes on, and leaves nothing lying about");
        }
        if is_over {
            break;
        }
    }
    assert_eq!(done, OPERATIONS.len());
}

#[test]
fn a_kill_that_cannot_be_read_fails_the_first_write() {
    for kill in ["7", "x:before", "7:whenever", ""] {
        let dir = tempfile::tempdir().unwrap();
        let failed = child(dir.path(), Some(kill));
        let text = String::from_utf8(failed.stderr).unwrap();
        assert!(!failed.status.success() && text.contains(&format!("{KILL} is `{kill}`, not N:before")), "{text}");
        assert!(files(dir.path()).is_empty());
    }
}
