//! Where an export may go: a table of refusals, and what a killed or failed one leaves.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use std::fs;
use std::path::Path;

use tunebench_export::{Error, Source, Target};

/// A run folder, a model folder that a study starts from, a dataset file, and links to them.
fn place() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["run/work", "model", "empty", "full", "data"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    for file in ["run/study.toml", "model/config.json", "full/.hidden", "data/rows.jsonl", "file"] {
        fs::write(dir.path().join(file), "{}").unwrap();
    }
    #[cfg(unix)]
    for (to, link) in
        [("model", "to-model"), ("nothing", "to-nothing"), ("empty", "to-empty"), ("data/rows.jsonl", "to-rows")]
    {
        std::os::unix::fs::symlink(dir.path().join(to), dir.path().join(link)).unwrap();
    }
    dir
}

fn sources(dir: &Path) -> Vec<Source> {
    let source = |what: &str, path: &str| Source { what: what.into(), path: dir.join(path) };
    vec![
        source("the run folder", "run"),
        source("the model that arm `a` was trained on", "model"),
        source("a source of dataset `d`", "data/rows.jsonl"),
        source("a model that is gone", "gone"),
    ]
}

#[test]
fn nothing_is_written_over() {
    let dir = place();
    let refused = [
        ("model", "it is the model that arm `a` was trained on, which an export would write over"),
        ("model/", "it is the model that arm `a`"),
        ("./data/../model", "it is the model that arm `a`"),
        ("model/export", "it lies in the model that arm `a` was trained on"),
        ("model/deep/er/export", "it lies in the model"),
        ("run", "it is the run folder"),
        ("run/work/new", "it lies in the run folder"),
        ("data/rows.jsonl", "it is a source of dataset `d`"),
        ("data", "it holds a source of dataset `d`"),
        (".", "it holds the run folder"),
        ("full", "it is not empty"),
        ("file", "it is a file"),
        ("file/below", "below the file"),
        ("model.gguf", "called like a file"),
        ("", "an empty name"),
        ("gone/../gone", "through a folder that is not there"),
    ];
    #[cfg(unix)]
    let links = [
        ("to-model", "it is the model that arm `a`"),
        ("to-model/export", "it lies in the model"),
        ("to-rows", "it is a source of dataset `d`"),
        ("to-nothing", "a link to nothing"),
        ("to-nothing/below", "a link to nothing"),
    ];
    #[cfg(not(unix))]
    let links: [(&str, &str); 0] = [];
    for (out, want) in refused.into_iter().chain(links) {
        let out = if out.is_empty() { Path::new("").to_owned() } else { dir.path().join(out) };
        let error = Target::new(&out, &sources(dir.path())).unwrap_err().to_string();
        assert!(error.contains(want), "{}: {error}", out.display());
        assert!(error.contains("name a folder that is not there yet") && !error.contains(". "), "{error}");
    }
    assert_eq!(fs::read_dir(dir.path().join("model")).unwrap().count(), 1);
}

#[test]
fn a_new_folder_and_an_empty_one_are_written() {
    let dir = place();
    for out in ["new", "deep/er/new", "empty"] {
        let target = Target::new(&dir.path().join(out), &sources(dir.path())).unwrap();
        let write = |folder: &Path| {
            fs::write(folder.join("file"), "whole").unwrap();
            Ok(())
        };
        target.write(write).unwrap();
        let names = |folder: &str| -> Vec<_> {
            let entries = fs::read_dir(dir.path().join(folder)).unwrap();
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
        };
        assert_eq!(names(out), ["file"]);
        assert!(!names(".").iter().any(|name| name.contains("partial")), "{out}");
        assert!(matches!(Target::new(&dir.path().join(out), &[]), Err(Error::NotEmpty { .. })));
    }
    #[cfg(unix)]
    {
        fs::remove_file(dir.path().join("empty/file")).unwrap();
        let target = Target::new(&dir.path().join("to-empty"), &sources(dir.path())).unwrap();
        assert_eq!(target.path(), dir.path().canonicalize().unwrap().join("empty"));
    }
}

#[test]
fn what_fails_leaves_nothing_and_what_came_meanwhile_stays() {
    let dir = place();
    let out = dir.path().join("new");
    let target = Target::new(&out, &[]).unwrap();
    let error = target.write(|folder| {
        fs::write(folder.join("half"), "half").unwrap();
        Err(Error::Differs { what: "reading the export", fault: "it is another model".into() })
    });
    assert!(error.unwrap_err().to_string().contains("nothing was exported"));
    assert!(!out.exists() && fs::read_dir(dir.path()).unwrap().all(|e| !e.unwrap().path().ends_with(".new.partial")));

    let error = target.write(|folder| {
        fs::write(folder.join("file"), "ours").unwrap();
        fs::create_dir(&out).unwrap();
        fs::write(out.join("theirs"), "theirs").unwrap();
        Ok(())
    });
    assert!(error.is_err());
    assert_eq!(fs::read_to_string(out.join("theirs")).unwrap(), "theirs");
}
