//! People's marks as a file of lines: read, or refused by the line.

use tunebench_results::{LABELS_FILE, read_labels};

#[test]
fn marks_are_read_and_a_bad_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(read_labels(dir.path()).unwrap(), []);
    let good = r#"{"arm":"a","seed":1,"item":"1","answer_hash":"ab","score":0.5,"labeler":"kim"}"#;
    let read = |text: String| {
        std::fs::write(dir.path().join(LABELS_FILE), text).unwrap();
        read_labels(dir.path()).map_err(|error| error.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    };
    let labels = read(format!("{good}\n{}\n", good.replace("0.5", "1"))).unwrap();
    assert_eq!(labels.iter().map(|label| label.score).collect::<Vec<_>>(), [0.5, 1.0]);
    let bad = [
        (r#""score":1.5"#, "DIR/labels.jsonl:2: the mark 1.5 is not from 0 to 1; mend or remove that line"),
        (r#""score":-0.1"#, "DIR/labels.jsonl:2: the mark -0.1 is not from 0 to 1; mend or remove that line"),
        (r#""score":"good""#, "DIR/labels.jsonl:2: damaged"),
        (r#""mark":1"#, "DIR/labels.jsonl:2: damaged"),
    ];
    for (field, want) in bad {
        let error = read(format!("{good}\n{}\n", good.replace(r#""score":0.5"#, field))).unwrap_err();
        assert!(error.starts_with(want) && error.ends_with("; mend or remove that line"), "{error}");
    }
}
