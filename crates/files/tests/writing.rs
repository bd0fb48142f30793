//! What is written is read again, what failed leaves no trace, and whoever may not write is told so.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use tunebench_files::{
    Error, JsonLines, Lock, create_folder, current_folder, read_json, read_lines, remove_folder, write_file,
    write_folder, write_json,
};

/// The names in a folder, sorted.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_failed_write_leaves_the_old_content_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    for content in ["", "first", "second"] {
        write_file(&path, |out| out.write_all(content.as_bytes())).unwrap();
        let failed = write_file(&path, |out| {
            out.write_all(&[7; 3_000_000])?;
            Err(io::Error::other("no more"))
        });
        assert_eq!(failed.unwrap_err().to_string(), format!("{}: no more", path.display()));
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert_eq!(names(dir.path()), ["file"]);
    }
    // What a killed run left is in nobody's way.
    fs::write(dir.path().join(".file.partial"), "left over").unwrap();
    write_file(&path, |out| out.write_all(b"third")).unwrap();
    assert_eq!((names(dir.path()), fs::read_to_string(&path).unwrap()), (vec!["file".to_owned()], "third".to_owned()));

    let nowhere = dir.path().join("missing/file");
    let error = write_file(&nowhere, |_| Ok(())).unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == nowhere), "{error}");
}

#[test]
fn writers_of_one_file_wait_for_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    std::thread::scope(|scope| {
        for writer in b"abcdef" {
            let path = &path;
            scope.spawn(move || {
                for round in 0..30 {
                    let write = |out: &mut dyn io::Write| match round % 5 {
                        4 => Err(io::Error::other("no more")),
                        _ => out.write_all(&[*writer; 5000]),
                    };
                    assert_eq!(write_file(path, write).is_ok(), round % 5 != 4);
                    let found = fs::read(path).unwrap_or_default();
                    assert!(found.iter().all(|byte| *byte == found[0]) && [0, 5000].contains(&found.len()));
                }
            });
        }
    });
    assert_eq!(names(dir.path()), ["file"]);
}

#[test]
fn json_is_read_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("value.json");
    let value = ("a".to_owned(), 0.1 + 0.2, vec![1, 2]);
    write_json(&path, &value).unwrap();
    assert_eq!(read_json::<(String, f64, Vec<u64>)>(&path).unwrap(), value);
    fs::write(&path, "[1, ").unwrap();
    let error = read_json::<Vec<u64>>(&path).unwrap_err();
    assert!(matches!(error, Error::Json { .. }) && error.to_string().contains("value.json: damaged: "), "{error}");
}

#[test]
fn a_folder_is_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("folder");
    let fill = |content: &str| write_folder(&path, |new| write_json(&new.join(content), content));
    assert_eq!(current_folder(&path), None);
    fill("a").unwrap();
    fill("b").unwrap();
    assert_eq!((names(&path), names(dir.path())), (vec!["b".to_owned()], vec!["folder".to_owned()]));
    assert_eq!(current_folder(&path), Some(path.clone()));

    let failed = write_folder(&path, |new| {
        write_json(&new.join("c"), "c")?;
        Err(Error::Locked { path: new.to_owned() })
    });
    assert!(failed.is_err());
    assert_eq!(names(&path), ["b"]);
    fill("d").unwrap();
    assert_eq!((names(&path), names(dir.path())), (vec!["d".to_owned()], vec!["folder".to_owned()]));

    // Between two renames.
    fs::rename(&path, dir.path().join("folder.previous")).unwrap();
    assert_eq!(names(&current_folder(&path).unwrap()), ["d"]);
    fill("e").unwrap();
    assert_eq!((names(&path), names(dir.path())), (vec!["e".to_owned()], vec!["folder".to_owned()]));

    fs::create_dir(dir.path().join("folder.new")).unwrap();
    fs::create_dir(dir.path().join("folder.previous")).unwrap();
    remove_folder(&path).unwrap();
    remove_folder(&path).unwrap();
    assert_eq!(names(dir.path()), [""; 0]);
}

#[test]
fn folders_are_made_with_their_parents() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/c");
    create_folder(&path).unwrap();
    create_folder(&path).unwrap();
    assert!(path.is_dir());
    fs::write(path.join("file"), "").unwrap();
    let error = create_folder(&path.join("file/d")).unwrap_err();
    assert!(error.path().ends_with("c/file"), "{error}");
    assert!(create_folder(Path::new("")).is_err());
}

#[test]
fn lines_go_on_after_the_last_whole_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    assert_eq!(read_lines::<String>(&path).unwrap(), [""; 0]);
    let (mut lines, none) = JsonLines::<String>::open(&path).unwrap();
    assert!(none.is_empty());
    lines.append(&"a".to_owned()).unwrap();
    // What an append leaves that failed half-way, on a full disk, is written over, whether it was longer or shorter.
    for (torn, next) in [("\"a longer line than", "b"), ("\"c", "a line")] {
        OpenOptions::new().append(true).open(&path).unwrap().write_all(torn.as_bytes()).unwrap();
        lines.append(&next.to_owned()).unwrap();
    }
    lines.sync().unwrap();
    assert_eq!(read_lines::<String>(&path).unwrap(), ["a", "b", "a line"]);
    drop(lines);
    let text = "\"a\"\n\"b\"\n\"a line\"\n";
    assert_eq!(JsonLines::<String>::open(&path).unwrap().1, ["a", "b", "a line"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), text);

    let kept = JsonLines::open_while(&path, |line: &String| line.len() == 1).unwrap().1;
    assert_eq!((kept.len(), fs::read_to_string(&path).unwrap().as_str()), (2, "\"a\"\n\"b\"\n"));
}

#[test]
fn a_damaged_line_is_named_and_may_be_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lines");
    let text = "1\ntwo\n3\n4";
    fs::write(&path, text).unwrap();
    for error in [JsonLines::<u64>::open(&path).err().unwrap(), read_lines::<u64>(&path).unwrap_err()] {
        assert!(error.to_string().contains("lines:2: damaged: "), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text, "an error changes nothing");
    let mut found = Vec::new();
    let (mut lines, cut_bytes) = JsonLines::<u64>::salvage(&path, |span, line| found.push((span, line.ok()))).unwrap();
    assert_eq!(found.iter().map(|(_, line)| *line).collect::<Vec<_>>(), [Some(1), None, Some(3)]);
    assert_eq!(cut_bytes, 1);
    let fifth = lines.append(&5).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\ntwo\n3\n5\n");
    // What was shown, and what was appended, is found again where it lies.
    assert_eq!(found.iter().map(|(span, _)| (span.start, span.length)).collect::<Vec<_>>(), [(0, 2), (2, 4), (6, 2)]);
    assert_eq!((lines.read(found[2].0).unwrap(), lines.read(fifth).unwrap(), fifth.end()), (3, 5, 10));
    assert!(lines.read(found[1].0).unwrap_err().to_string().contains("damaged"));
    lines.append(&6).unwrap();
    lines.syncer().unwrap().sync().unwrap();
    assert_eq!(read_lines::<String>(&path).err().map(|e| e.to_string().contains("lines:1:")), Some(true));
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\ntwo\n3\n5\n6\n", "reading moves no writer");
}

#[test]
fn who_may_not_write_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let lock = Lock::acquire(&path).unwrap();
    let error = Lock::acquire(&path).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }) && error.to_string().contains("let it end first"), "{error}");
    drop(lock);
    Lock::acquire(&path).unwrap();

    let path = dir.path().join("lines");
    let (mut lines, _) = JsonLines::open(&path).unwrap();
    lines.append(&1).unwrap();
    assert!(matches!(JsonLines::<u64>::open(&path), Err(Error::Locked { .. })));
    assert_eq!(read_lines::<u64>(&path).unwrap(), [1], "to read is allowed");
    // A writer that is about to end is waited for.
    let (ended, opened) = std::thread::scope(|scope| {
        let next = scope.spawn(|| JsonLines::<u64>::open(&path).map(|(_, values)| values));
        std::thread::sleep(std::time::Duration::from_millis(50));
        drop(lines);
        (true, next.join().unwrap())
    });
    assert!(ended && opened.unwrap() == [1]);
}
