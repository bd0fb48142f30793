//! Rows in files of every kind, through the host and a dataset plugin: the examples are those of plain JSON Lines.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tunebench_host::{Isolation, Launcher, LockFile, Options, Registry, SourceFiles};
use tunebench_spec::{Example, Row};

use crate::support;
use crate::workbench::{Draft, Workbench, arm};

const TEXTS: [(&str, &str); 3] = [("天空是什么颜色？", "蓝色的。"), ("say \"b\",\nplease", "b"), ("c", "d")];

fn registry(isolation: Isolation) -> Registry {
    let timeout = Duration::from_secs(60);
    let mut registry = Registry::new(LockFile::default(), Launcher { timeout, isolation });
    registry.add(&support::plugin("dataset-belle")).unwrap();
    registry
}

/// The examples of files, and what was told of them.
fn read(registry: &Registry, source: &SourceFiles) -> Result<(Vec<Example>, Vec<String>), String> {
    let mut dataset = registry.dataset_of("belle", source, &Options::new()).map_err(|e| e.to_string())?;
    let mut examples = Vec::new();
    while let Some((_, row)) = dataset.next().map_err(|e| e.to_string())? {
        match row {
            Row::Example(example) => examples.push(example),
            Row::Skip { place, reason } => return Err(format!("{place}: {reason}")),
        }
    }
    Ok((examples, dataset.remarks().map_err(|e| e.to_string())?))
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> SourceFiles {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, bytes).unwrap();
    SourceFiles::from(&[path][..])
}

#[test]
fn every_kind_of_file_gives_the_same_examples_in_this_process_and_in_another() {
    let home = tempfile::tempdir().unwrap();
    let rows: Vec<String> =
        TEXTS.iter().map(|(q, a)| json!({ "instruction": q, "input": "", "output": a }).to_string()).collect();
    let lines = rows.join("\n");
    let utf16: Vec<u8> = format!("\u{feff}{lines}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let table: Vec<String> = TEXTS.iter().map(|(q, a)| format!("{},{}", quoted(q), quoted(a))).collect();
    let files = [
        ("rows.jsonl", lines.clone().into_bytes(), "rows.jsonl:2", 0),
        ("rows.json", format!("[{}]", rows.join(",")).into_bytes(), "rows.json#2", 0),
        ("two.json", format!("[{}]\n[{},{}]", rows[0], rows[1], rows[2]).into_bytes(), "two.json#2", 0),
        ("data.json", format!("{{\"data\": [{}]}}", rows.join(",")).into_bytes(), "data.json#2", 1),
        ("utf16.jsonl", utf16, "utf16.jsonl:2", 1),
        ("rows.csv", format!("instruction,output\n{}\n", table.join("\n")).into_bytes(), "rows.csv#2", 1),
        ("empty.json", b"[]".to_vec(), "", 1),
    ];
    let parquet = SourceFiles::from(&[support::repository("crates/rows/tests/parquet/pairs.parquet")][..]);
    for isolation in [Isolation::InProcess, Isolation::Process(support::executable())] {
        let registry = registry(isolation);
        let turns = |examples: &[Example]| examples.iter().map(|e| e.turns.clone()).collect::<Vec<_>>();
        let want = turns(&read(&registry, &written(home.path(), "want.jsonl", lines.as_bytes())).unwrap().0);
        for (name, bytes, place, remarks) in &files {
            let (examples, told) = read(&registry, &written(home.path(), name, bytes)).unwrap();
            assert_eq!(told.len(), *remarks, "{told:?}");
            if !place.is_empty() {
                assert_eq!(turns(&examples), want, "{name}");
                assert_eq!(examples[1].id, *place);
            }
        }
        let (examples, told) = read(&registry, &parquet).unwrap();
        assert_eq!((turns(&examples), told.len()), (want.clone(), 1), "{told:?}");
        assert_eq!(examples[1].id, "pairs.parquet#2");
        // What is wrong in a file is said of the file.
        for (name, bytes, wants) in [
            ("open.json", format!("[{}", rows[0]), &["open.json, line 1", "cut off"][..]),
            ("python.jsonl", "{'instruction': 'a'}".to_owned(), &["python.jsonl, line 1", "json.dumps"]),
            ("none.jsonl", String::new(), &["none.jsonl is empty"]),
        ] {
            let error = read(&registry, &written(home.path(), name, bytes.as_bytes())).unwrap_err();
            assert!(wants.iter().all(|want| error.contains(want)) && !error.contains("plugin"), "{error}");
        }
        let renamed = json!({ "指令": "q", "输出": "a" }).to_string();
        let mut source = written(home.path(), "renamed.jsonl", renamed.as_bytes());
        let columns = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).into(), (*b).into())).collect();
        source.columns = columns(&[("instruction", "指令"), ("output", "输出")]);
        assert_eq!(read(&registry, &source).unwrap().0[0].question(), "q");
        source.columns = columns(&[("instruction", "指令"), ("output", "回答")]);
        let error = read(&registry, &source).unwrap_err();
        assert!(error.contains("no row has `回答`; there are: `指令`, `输出`"), "{error}");
        // Names that are alike have as much of their folders as tells them apart.
        let parts = ["a/t.jsonl", "b/t.jsonl"].map(|name| written(home.path(), name, lines.as_bytes()).paths);
        let (examples, _) = read(&registry, &SourceFiles::from(&parts.concat()[..])).unwrap();
        assert_eq!((examples[0].id.as_str(), examples[3].id.as_str()), ("a/t.jsonl:1", "b/t.jsonl:1"));
        // One of several may be empty, and that is told.
        let parts: Vec<PathBuf> = ["c/t.jsonl", "c/u.jsonl"]
            .iter()
            .zip([lines.as_str(), ""])
            .flat_map(|(name, text)| written(home.path(), name, text.as_bytes()).paths)
            .collect();
        let (examples, told) = read(&registry, &SourceFiles::from(&parts[..])).unwrap();
        assert_eq!((examples.len(), told), (3, vec!["u.jsonl: it is empty".to_owned()]));
    }
}

/// The tokens that are learnt are the same, so an arm trained on one file is found again with another.
#[test]
fn a_study_over_another_kind_of_file_is_the_same_work() {
    let tables = arm("ft", "");
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    bench.run("out");
    let text = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    let rows: Vec<&str> = text.lines().collect();
    let pretty: Vec<String> = rows
        .iter()
        .map(|row| serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(row).unwrap()).unwrap())
        .collect();
    for other in [format!("{{\"rows\": [{}]}}", rows.join(",\n")), pretty.join("\n"), rows.join(",\r\n")] {
        bench.write("rows.jsonl", &other);
        let told = bench.run("out");
        assert_eq!(told.of("already trained ").len(), 1, "{told:?}");
        assert!(told.trainings().is_empty(), "{told:?}");
    }
}

#[test]
fn more_rows_that_cannot_be_used_than_a_study_allows_are_an_error() {
    let tables = arm("ft", "");
    let bench = Workbench::new(Draft { tables: &tables, ..Draft::default() });
    let text = fs::read_to_string(bench.path("rows.jsonl")).unwrap();
    let bad = "{\"instruction\": \"q\", \"output\": \"\"}\n{\"instruction\": \"no end\n";
    bench.write("rows.jsonl", &format!("{text}{bad}"));
    let (result, _) = bench.try_run("out", &[]);
    let error = result.unwrap_err().to_string();
    let wants = [
        "dataset `rows`",
        "2 of 42 rows cannot be used",
        "max_skipped_share = 0.01",
        "`output` is missing or empty (1, first at rows.jsonl:41)",
        "rows.jsonl:42",
        "raise max_skipped_share",
    ];
    assert!(wants.iter().all(|want| error.contains(want)), "{error}");
    let study = fs::read_to_string(bench.path("study.toml")).unwrap();
    bench.write("study.toml", &study.replacen("id = \"rows\"", "id = \"rows\"\nmax_skipped_share = 0.05", 1));
    let told = bench.run("out");
    assert_eq!(told.trainings().len(), 1, "{told:?}");
    bench.write("study.toml", &study.replacen("id = \"rows\"", "id = \"rows\"\nmax_skipped_share = 5", 1));
    let mut labels = Command::new(support::executable());
    let said = labels.args(["labels", "study.toml"]).current_dir(bench.path("")).output().unwrap();
    let said = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(said.contains("max_skipped_share must be between 0 and 1"), "{said}");
}
