//! `testing::read_rows`: a sound dataset's rows, and what each way to break the contract is told.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{Value, json};
use tunebench_plugin_api::testing::read_rows;

/// Questions, one a row; `fault` says what this dataset does wrong.
struct Questions {
    records: Records<Source>,
    fault: String,
    read: u64,
}

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    fault: String,
}

impl Dataset for Questions {
    const NAME: &'static str = "questions";
    const DESCRIPTION: &'static str = "";
    type Options = Options;

    fn open(source: Source, Options { fault }: Options) -> Result<Self> {
        Ok(Self { records: Records::new(source), fault, read: 0 })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        self.read += 1;
        if self.fault == "endless" {
            return Ok(Some(Row::Skip { place: "here".into(), reason: "again".into() }));
        }
        if self.fault == "breaks" && self.read > 2 {
            return Err("the rest is gone".into());
        }
        let record = self.records.next()?;
        Ok(record.map(|record| record.into_row(|place, value| self.example(place, value))))
    }

    fn position(&self) -> Position {
        match self.fault.as_str() {
            "stale" => Position::default(),
            "late" => Position { row: self.records.position().row + 1, ..self.records.position() },
            _ => self.records.position(),
        }
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        match self.fault.as_str() {
            "unmoved" => Ok(()),
            "first only" if self.read > 0 => Ok(()),
            "refuses" if position.row > 1 => Err("cannot".into()),
            _ => self.records.seek(position),
        }
    }
}

impl Questions {
    fn example(&self, place: &str, value: &Value) -> std::result::Result<Example, String> {
        let text = value["q"].as_str().ok_or("no `q`")?;
        let turns = match self.fault.as_str() {
            "silent" => vec![],
            "counts" => vec![Turn::new(Role::User, format!("{text}{}", self.read))],
            _ => vec![Turn::new(Role::User, text)],
        };
        let id = match self.fault.as_str() {
            "nameless" => "",
            "namesakes" => text,
            _ => place,
        };
        Ok(Example { id: id.into(), turns, category: None, reference: None, rubric: None })
    }
}

const FILES: [(&str, &str); 2] =
    [("a.jsonl", "{\"q\":\"1\"}\n\n{\"x\":\"2\"}\n{\"q\":\"3\"}\n"), ("b.json", "[{\"q\":\"3\"}]")];

fn read(fault: &str) -> Result<Vec<Row>> {
    read_rows::<Questions>(&FILES, json!({ "fault": fault }))
}

#[test]
fn a_sound_dataset_yields_its_rows() {
    let show = |row: &Row| match row {
        Row::Example(example) => format!("{} {}", example.id, example.question()),
        Row::Skip { place, reason } => format!("{place} ! {reason}"),
    };
    let rows: Vec<String> = read("").unwrap().iter().map(show).collect();
    assert_eq!(rows, ["a.jsonl:1 1", "a.jsonl:3 ! no `q`", "a.jsonl:4 3", "b.json#1 3"]);
    assert_eq!(read_rows::<Questions>(&[], json!({})).unwrap(), []);
}

#[test]
fn each_fault_has_its_message() {
    for (fault, message) in [
        ("endless", "more than 10000 rows; does `next` ever yield `None`?"),
        ("breaks", "the rest is gone"),
        ("stale", "row 2 after `seek` to the position before row 2 is Example(Example { id: \"a.jsonl:1\""),
        ("late", "`seek` to the position before row 1: no row begins at byte 0"),
        ("unmoved", "row 2 after `seek` to the position before row 2 is Example(Example { id: \"a.jsonl:1\""),
        ("first only", "after `seek` in a dataset that has been read is the end, expected "),
        ("refuses", "`seek` to the position before row 3: cannot"),
        ("silent", "row 1 (`a.jsonl:1`): it has no turns"),
        ("counts", "row 3 after `seek` to the position before row 2 is Example(Example { id: \"a.jsonl:4\""),
        ("nameless", "row 1 (``): its id is empty"),
        ("namesakes", "row 4 (`3`): row 3 has the same id"),
    ] {
        let error = read(fault).expect_err(fault);
        assert!(error.message().contains(message), "{fault}: expected {message}\n   found {error}");
    }
    let error = read_rows::<Questions>(&FILES, json!({ "falt": "" })).unwrap_err();
    assert!(error.message().starts_with("options: unknown field `falt`"), "{error}");
}
