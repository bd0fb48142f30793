//! Records: what is read from whole, broken and odd files, and that every position continues exactly.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_plugin_api::{Position, ReadAt, Record, Records, Source};

fn all<S: ReadAt>(records: &mut Records<S>) -> Vec<Record> {
    std::iter::from_fn(|| records.next().unwrap()).collect()
}

fn show(record: &Record) -> String {
    match &record.value {
        Ok(value) => format!("{} {value}", record.place),
        Err(reason) => format!("{} ! {reason}", record.place),
    }
}

/// The rows of a file, and that seeking to the position before each one yields it and all after it.
fn check(text: &[u8], want: &[&str]) {
    let open = || Records::new(Source::in_memory([("a", text), ("b", b"{\"last\":1}")]));
    let mut records = open();
    let mut positions = vec![records.position()];
    let mut rows = vec![];
    while let Some(record) = records.next().unwrap() {
        rows.push(record);
        positions.push(records.position());
    }
    let shown: Vec<String> = rows.iter().map(show).collect();
    let want: Vec<&str> = want.iter().copied().chain([r#"b:1 {"last":1}"#]).collect();
    assert_eq!(shown, want, "{}", String::from_utf8_lossy(text));
    for (index, position) in positions.iter().enumerate() {
        let mut fresh = open();
        fresh.seek(position).unwrap();
        assert_eq!(all(&mut fresh), rows[index..], "from {position:?}");
        // Backwards too, in a reader that has read on.
        records.seek(position).unwrap();
        assert_eq!(all(&mut records), rows[index..], "back to {position:?}");
    }
}

#[test]
fn lines() {
    check(b"{\"x\":1}\n{\"x\":2}\n", &[r#"a:1 {"x":1}"#, r#"a:2 {"x":2}"#]);
    check(b"{\"x\":1}\n{\"x\":2}", &[r#"a:1 {"x":1}"#, r#"a:2 {"x":2}"#]);
    check(b"\xef\xbb\xbf{\"x\":1}\r\n\r\n  \n{\"x\":2}\r\n", &[r#"a:1 {"x":1}"#, r#"a:4 {"x":2}"#]);
    check(b"", &[]);
    check(b"\xef\xbb\xbf", &[]);
    check(b"\n\n \n", &[]);
}

#[test]
fn arrays() {
    check(b"[1,2]", &["a#1 1", "a#2 2"]);
    check(
        b"\xef\xbb\xbf \n[\n {\"x\":[1,{\"y\":\"],}\\\"\"}]} ,\n \"s\" \n]\n",
        &[r#"a#1 {"x":[1,{"y":"],}\""}]}"#, r#"a#2 "s""#],
    );
    check(b"[]", &[]);
    check(b" [ \n ] ", &[]);
}

#[test]
fn broken_rows_are_named_and_passed_over() {
    check(b"{\"x\":\n{\"x\":2}\n", &["a:1 ! not valid JSON: EOF while parsing a value", r#"a:2 {"x":2}"#]);
    check(b"\"\xff\"\n2", &["a:1 ! not valid UTF-8", "a:2 2"]);
    check(b"1 2\n3", &["a:1 ! not valid JSON: trailing characters", "a:2 3"]);
    check(b"[1 2,3]", &["a#1 ! not valid JSON: trailing characters", "a#2 3"]);
    check(b"[1,,3,]", &["a#1 1", "a#2 ! nothing between two commas", "a#3 3", "a#4 ! nothing between two commas"]);
    check(b"[1,{\"x\":2", &["a#1 1", "a#2 ! the file ends inside its JSON array"]);
    check(b"[1}},2]", &["a#1 ! not valid JSON: trailing characters", "a#2 2"]);
    check(b"[1]\n[2]", &["a#1 1", "a ! text after the end of the JSON array; the rest of the file is not read"]);
}

#[test]
fn deep_nesting_is_a_bad_row() {
    let text = ["[".repeat(1000), "]".repeat(1000)].concat();
    check(format!("0\n{text}\n1").as_bytes(), &["a:1 0", "a:2 ! not valid JSON: recursion limit exceeded", "a:3 1"]);
}

/// Serves a few bytes a call, and a file too large to hold.
struct Trickle {
    files: [String; 1],
    line_bytes: u64,
}

impl ReadAt for Trickle {
    fn files(&self) -> &[String] {
        &self.files
    }

    fn read(&self, _file: usize, offset: u64, max: usize) -> Result<Vec<u8>, String> {
        let tail = b"\"\n{\"x\":1}\n";
        if offset >= self.line_bytes {
            return Ok(tail.iter().skip((offset - self.line_bytes) as usize).take(3).copied().collect());
        }
        let max = max.min((self.line_bytes - offset) as usize);
        Ok(vec![if offset == 0 { b'"' } else { b'x' }; if offset == 0 { 1 } else { max }])
    }
}

#[test]
fn rows_span_reads_and_huge_rows_are_not_kept() {
    let mut records = Records::new(Trickle { files: ["t".into()], line_bytes: 5 });
    assert_eq!(all(&mut records).iter().map(show).collect::<Vec<_>>(), ["t:1 \"xxxx\"", r#"t:2 {"x":1}"#]);
    let mut records = Records::new(Trickle { files: ["t".into()], line_bytes: 65 << 20 });
    assert_eq!(all(&mut records).iter().map(show).collect::<Vec<_>>(), ["t:1 ! longer than 64 MiB", r#"t:2 {"x":1}"#]);
}

#[test]
fn positions_of_other_files_are_refused() {
    let mut records = Records::new(Source::in_memory([("lines", &b"{}\n{}\n"[..]), ("array", b"[1,2]")]));
    let at = |file, offset, row| Position { file, offset, row };
    for position in [at(0, 1, 0), at(0, 99, 1), at(0, 0, 1), at(1, 1, 1), at(2, 1, 0), at(3, 0, 0), at(0, u64::MAX, 1)]
    {
        let message = records.seek(&position).unwrap_err().to_string();
        assert!(message.contains("changed"), "{position:?}: {message}");
    }
    for position in [at(0, 0, 0), at(0, 3, 1), at(1, 2, 1), at(1, 4, 2), at(2, 0, 0)] {
        records.seek(&position).unwrap();
    }
}

#[test]
fn a_source_that_fails_is_an_error() {
    struct Gone([String; 1]);
    impl ReadAt for Gone {
        fn files(&self) -> &[String] {
            &self.0
        }
        fn read(&self, _: usize, _: u64, _: usize) -> Result<Vec<u8>, String> {
            Err("disk gone".into())
        }
    }
    assert_eq!(Records::new(Gone(["x".into()])).next().unwrap_err().message(), "disk gone");
}
