//! Texts of every shape and encoding, as rows or as the one sentence that says why not.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod support;

use support::{read, rows};

const A: &str = r#"{"q": "a", "n": [1, {"x": "]}"}]}"#;
const B: &str = r#"{"q": "天\"空", "n": null}"#;

/// The rows of a text, whatever its shape: those of A and B.
#[test]
fn rows_are_read_from_any_shape() {
    let pretty = |row: &str| {
        let value: serde_json::Value = serde_json::from_str(row).unwrap();
        serde_json::to_string_pretty(&value).unwrap()
    };
    let (pa, pb) = (pretty(A), pretty(B));
    let texts = [
        ("JSON Lines", format!("{A}\n{B}\n")),
        ("no last line end", format!("{A}\n{B}")),
        ("CR LF", format!("{A}\r\n{B}\r\n")),
        ("CR alone", format!("{A}\r{B}\r")),
        ("blank lines", format!("\n\n{A}\n \n\n{B}\n\n")),
        ("marks of byte order", format!("\u{feff}{A}\n\u{feff}{B}\n")),
        ("commas behind lines", format!("{A},\n{B},\n")),
        ("commas and CR LF", format!("{A},\r\n{B}")),
        ("text sequences", format!("\u{1e}{A}\n\u{1e}{B}\n")),
        ("on one line", format!("{A}{B}")),
        ("on one line with blanks", format!("{A} {B}\n")),
        ("on one line with commas", format!("{A}, {B}\n")),
        ("pretty-printed", format!("{pa}\n{pb}\n")),
        ("pretty-printed with commas", format!("{pa},\n{pb}\n")),
        ("pretty-printed first", format!("{pa}\n{B}\n")),
        ("an array", format!("[{A},{B}]")),
        ("an array over lines", format!("[\n  {A},\n  {B}\n]\n")),
        ("an array, pretty-printed", format!("[\n{pa},\n{pb}\n]")),
        ("an array with a mark of byte order", format!("\u{feff}[{A}, {B}]")),
        ("an array without commas", format!("[\n{A}\n{B}\n]")),
        ("an array with a last comma", format!("[{A},\n{B},\n]")),
        ("arrays after each other", format!("[{A}]\n[{B}]\n")),
        ("arrays on one line", format!("[{A}][{B}]")),
        ("arrays with a comma", format!("[{A}],\n[{B}]")),
        ("an empty array first", format!("[]\n[{A},{B}]")),
        ("an array, then a row", format!("[{A}]\n{B}")),
        ("a wrapper", format!("{{\"data\": [{A}, {B}]}}")),
        ("a wrapper over lines", format!("{{\n\"version\": \"1\",\n\"rows\": [\n{A},\n{B}\n],\n\"n\": 2\n}}\n")),
        ("a wrapper with other lists", format!("{{\"tags\": [\"x\", \"y\"], \"train\": [{A}, {B}], \"sizes\": [1]}}")),
        ("a wrapper whose list has a row's name", format!("{{\"conversations\": [{A}, {B}]}}")),
        ("rows under keys", format!("{{\"id1\": {A}, \"id2\": {B}}}")),
        ("columns", r#"{"q": ["a", "天\"空"], "n": [[1, {"x": "]}"}], null]}"#.to_owned()),
        (
            "columns by number",
            r#"{"q": {"0": "a", "1": "天\"空"}, "n": {"0": [1, {"x": "]}"}], "1": null}}"#.to_owned(),
        ),
        (
            "columns and data",
            r#"{"columns": ["q", "n"], "index": [0, 1], "data": [["a", [1, {"x": "]}"}]], ["天\"空", null]]}"#
                .to_owned(),
        ),
    ];
    let want: Vec<serde_json::Value> = [A, B].iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    for (what, text) in texts {
        assert_eq!(rows("rows.json", text.as_bytes()), Ok(want.clone()), "{what}: {text}");
    }
}

/// A line keeps its number, so that places in messages are true; a row of another shape has its own.
#[test]
fn lines_keep_their_numbers() {
    for (text, want) in [
        (format!("\n{A}\n\n{B}\n"), format!("\n{A}\n\n{B}\n")),
        (format!("{A}\nno row\n{B}"), format!("{A}\nno row\n{B}\n")),
        (format!("{A}\n{{\"q\": \"cut\n{B}\n"), format!("{A}\n{{\"q\": \"cut\n{B}\n")),
        (format!("{A} x\n{B}\n"), format!("[\n{A}")),
        (format!("{A}\n{B} x\n"), format!("{A}\n{B} x\n")),
    ] {
        let found = read("rows.jsonl", text.as_bytes(), &[]).map(|(text, _)| text);
        match found {
            Ok(found) => assert_eq!(found, want, "{text}"),
            Err(error) => assert!(text.contains(" x\n") && error.contains("line 1: `x` where a row"), "{error}"),
        }
    }
}

#[test]
fn conversations_and_tables_are_rows() {
    let one = r#"[{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]"#;
    let two = r#"[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]"#;
    let row = |list: &str| serde_json::from_str::<serde_json::Value>(&format!("{{\"messages\": {list}}}")).unwrap();
    for (text, want) in [
        (one.to_owned(), vec![row(one)]),
        (format!("{one}\n{two}\n"), vec![row(one), row(two)]),
        (format!("[{one}, {two}]"), vec![row(one), row(two)]),
        (format!("{{\"messages\": {one}}}"), vec![row(one)]),
        (
            r#"[["instruction", "output"], ["q", "a"], ["r", 1]]"#.to_owned(),
            vec![
                serde_json::json!({"instruction": "q", "output": "a"}),
                serde_json::json!({"instruction": "r", "output": 1}),
            ],
        ),
    ] {
        assert_eq!(rows("rows.json", text.as_bytes()), Ok(want), "{text}");
    }
}

#[test]
fn what_cannot_be_told_for_sure_is_one_sentence() {
    let long = format!("[{}]", vec![r#"{"role": "user", "content": "q"}"#; 1001].join(","));
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(600), "]".repeat(600));
    for (name, text, wants) in [
        ("r.json", "".to_owned(), &["r.json is empty"][..]),
        ("r.json", " \n\u{feff}\n".to_owned(), &["is empty"]),
        ("r.json", format!("[{A},\n{B}\n"), &["line 3", "ends inside its list", "cut off", "add the missing `]`"]),
        ("r.json", format!("[{A},\n{{\"q\": \"b"), &["ends inside row 2, which begins at line 2"]),
        ("r.json", format!("{{\"data\": [{A},\n{B}"), &["ends inside", "cut off"]),
        ("r.jsonl", "{'q': 'a'}\n{'q': 'b'}\n".to_owned(), &["line 1", "single quote", "json.dumps"]),
        ("r.json", format!("[{A}, {{'q': 1}}]"), &["line 1", "single quote"]),
        ("r.json", format!("[{A},\n{{\"q\": [1}}]"), &["line 2", "`[` is closed by `}`"]),
        ("r.json", format!("[{A},\n{{\"q\": \"a\n\"}}]"), &["line 2", "goes on behind the end of its line"]),
        ("r.json", format!("{A}\n[{A}]\n{B}"), &["line 2", "it holds a list", "file of its own"]),
        ("r.jsonl", format!("{A}\n{A}{B}\n"), &["line 2", "several rows"]),
        ("r.json", format!("[{A}]]"), &["`]` closes what was not opened"]),
        ("r.json", format!("[{A}]\n// done"), &["line 2", "`/` where a row"]),
        ("r.json", format!("{{\"train\": [{A}], \"test\": [{B}]}}"), &["`train` (1), `test` (1)", "jq -c"]),
        ("r.json", format!("{{\"train\": {{\"data\": [{A}]}}, \"test\": {{\"data\": [{B}]}}}}"), &["part `train`"]),
        ("r.json", r#"[["q", "a"], ["r", "b"]]"#.to_owned(), &["list of lists", "[\"instruction\", \"output\"]"]),
        ("r.json", r#"[["question", "answer"], ["r"]]"#.to_owned(), &["row 1", "no list of 2 values"]),
        ("r.json", r#"[[{"q": 1}], [{"q": 2}]]"#.to_owned(), &["list of lists of objects"]),
        ("r.json", r#"{"columns": ["q"], "data": [[1, 2]]}"#.to_owned(), &["differ in length"]),
        ("r.json", "[\"a\", \"b\"]".to_owned(), &["a list of texts", "{\"text\": \"…\"}"]),
        ("r.json", long, &["1001 messages without a border"]),
        ("r.json", deep, &["nested more than 512 deep"]),
        ("r.csv", "a,b\n1\n".to_owned(), &["line 2", "row 1", "1 fields where the header has 2"]),
        ("r.csv", "a,b\r\n\r\n\"1\n2\",3\r\n4\r\n5,6\r\n".to_owned(), &["line 5", "row 2", "1 fields"]),
        ("r.csv", "a,b\n1".to_owned(), &["line 2", "row 1", "1 fields"]),
        ("r.csv", "a,a\n1,2\n".to_owned(), &["column `a` twice"]),
        ("r.csv", "a,b\n1,\"open\n2,3\n".to_owned(), &["line 2", "not closed"]),
        ("r.csv", "a,b\n\"say \\\"hi\\\"\",2\n".to_owned(), &["line 2", "text behind a closing quote"]),
        ("r.csv", format!("{},b\n1,2\n", "long ".repeat(30)), &["must name the columns"]),
        ("r.json", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n".to_owned(), &["git lfs pull"]),
        ("r.json", "<!DOCTYPE html><html>".to_owned(), &["web page"]),
        ("r.jsonl", "BZh91AY".to_owned(), &["bzip2", "bunzip2"]),
        ("r.xlsx", "PK\u{3}\u{4}x".to_owned(), &["zip archive (or an Excel file)", "CSV"]),
    ] {
        let error = read(name, text.as_bytes(), &[]).expect_err(&text);
        for want in wants {
            assert!(error.contains(want), "{want} is not in: {error}");
        }
        assert!(error.contains(name) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn what_is_no_text_of_rows_is_given_as_it_is() {
    for text in ["# a comment\n{\"q\": 1}\n", "plain text\nof two lines", "\u{0}\u{1}\u{2}", "12,5\n", "\"quoted\"\n"] {
        assert_eq!(read("notes.txt", text.as_bytes(), &[]).unwrap(), (text.to_owned(), vec![]));
    }
}

#[test]
fn tables_of_text_are_rows() {
    let want = vec![
        serde_json::json!({"instruction": "a, \"b\"\nc", "output": "天"}),
        serde_json::json!({"instruction": "d", "output": ""}),
    ];
    for (name, text) in [
        ("r.csv", "instruction,output\n\"a, \"\"b\"\"\nc\",天\nd,\n"),
        ("r.CSV", "\u{feff}instruction,output\r\n\"a, \"\"b\"\"\nc\",天\r\n\r\nd,\r\n"),
        ("r.csv", "instruction;output\n\"a, \"\"b\"\"\nc\";天\nd;"),
        ("r.csv", "\"instruction\"|\"output\"\n\"a, \"\"b\"\"\nc\"|天\n\"d\"|\"\"\n"),
        ("r.tsv", "instruction\toutput\n\"a, \"\"b\"\"\nc\"\t天\nd\t\n"),
        ("r.csv", "instruction\toutput\n\"a, \"\"b\"\"\nc\"\t天\nd\t\n"),
    ] {
        assert_eq!(rows(name, text.as_bytes()), Ok(want.clone()), "{text:?}");
    }
    let index =
        [serde_json::json!({"Unnamed: 0": "0", "text": "a"}), serde_json::json!({"Unnamed: 0": "", "text": "b"})];
    for (name, text) in [
        ("r.csv", ",text\n0,a\n,b\n"),
        ("r.tsv", "\ttext\n0\ta\n\tb\n"),
        ("r.csv", "\u{feff}\n\ttext\r\n0\ta\r\n\tb"),
        ("r.csv", " ;text\n0;a\n;b\n"),
    ] {
        assert_eq!(rows(name, text.as_bytes()).unwrap(), index, "{text:?}");
    }
    let nested = rows("r.csv", b"messages,x\n\"[{\"\"role\"\": \"\"user\"\"}]\",[1]\n").unwrap();
    assert_eq!(nested, [serde_json::json!({"messages": [{"role": "user"}], "x": "[1]"})]);
    // JSON that is only called a table.
    assert_eq!(rows("r.csv", A.as_bytes()).unwrap().len(), 1);
}

#[test]
fn numbers_that_are_none_are_null_and_told() {
    let text = "{\"q\": \"NaN\", \"x\": NaN}\n{\"q\": \"a\", \"x\": [-Infinity, Infinity, 1]}\n{\"q\": \"b\"}\n";
    let (found, remarks) = read("r.jsonl", text.as_bytes(), &[]).unwrap();
    assert_eq!(found, "{\"q\": \"NaN\", \"x\": null}\n{\"q\": \"a\", \"x\": [null, null, 1]}\n{\"q\": \"b\"}\n");
    assert_eq!(remarks, ["r.jsonl: 2 of 3 rows have NaN or Infinity, which was read as null"]);
}

#[test]
fn columns_get_the_names_that_a_dataset_knows() {
    let text = "{\"指令\": \"q\", \"输出\": \"a\", \"id\": 1}\n{\"指令\": \"r\", \"id\": 2}\n{}\n";
    let columns = [("instruction", "指令"), ("output", "输出")];
    let (found, _) = read("r.jsonl", text.as_bytes(), &columns).unwrap();
    assert_eq!(
        found,
        "{\"instruction\": \"q\", \"output\": \"a\", \"id\": 1}\n{\"instruction\": \"r\", \"id\": 2}\n{}\n"
    );
    for (text, columns, wants) in [
        (text, &[("instruction", "指令"), ("output", "答案")][..], &["no row has `答案`", "`id`, `指令`, `输出`"][..]),
        (text, &[("instruction", "指令"), ("input", "指令")], &["`指令` is given as `input` and as `instruction`"]),
        ("{\"q\": 1, \"input\": 2}\n", &[("input", "q")], &["row 1 of r.jsonl has `input` already, besides `q`"]),
        ("plain", &[("a", "b")], &["no JSON, CSV or Parquet"]),
    ] {
        let error = read("r.jsonl", text.as_bytes(), columns).unwrap_err();
        assert!(wants.iter().all(|want| error.contains(want)), "{error}");
    }
    // A row with a list that the study calls a column is not the object around that list's rows.
    let row = "{\"meta\": {\"q\": \"x\"}, \"turns\": [{\"speaker\": \"user\", \"text\": \"u\"}]}\n";
    for text in [row.to_owned(), row.repeat(2), format!("[{row}]"), "{\"turns\": [{\"text\": \"u\"}]}".to_owned()] {
        let (found, _) = read("r.json", text.as_bytes(), &[("messages", "turns")]).unwrap();
        assert!(found.contains("\"messages\": [{"), "{text}: {found}");
    }
    // Two may change their names with each other.
    let (found, _) = read("r.jsonl", b"{\"a\": 1, \"b\": 2}\n", &[("a", "b"), ("b", "a")]).unwrap();
    assert_eq!(found, "{\"b\": 1, \"a\": 2}\n");
    let (found, _) = read("r.csv", b"x,y\n1,2\n", &[("instruction", "x")]).unwrap();
    assert_eq!(found, "[\n{\"instruction\": \"1\", \"y\": \"2\"}\n]\n");
}
