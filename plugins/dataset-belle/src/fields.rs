//! The fields of a row, and which of them were read: what is left is told, and never lost without a word.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Why a row cannot be used; equal faults have equal reasons.
pub type Fault = String;

/// What says something of a row and nothing to learn from.
const ABOUT: [&str; 38] = [
    "id",
    "idx",
    "index",
    "uuid",
    "guid",
    "row_id",
    "conversation_id",
    "conversation_hash",
    "prompt_id",
    "message_id",
    "source",
    "sources",
    "dataset",
    "dataset_name",
    "origin",
    "url",
    "license",
    "language",
    "lang",
    "category",
    "categories",
    "class",
    "type",
    "task",
    "task_type",
    "task_name",
    "topic",
    "domain",
    "tag",
    "tags",
    "name",
    "model",
    "model_name",
    "split",
    "timestamp",
    "created_at",
    "date",
    "Unnamed: 0",
];

/// An object's members; each that is asked for counts as used.
pub struct Fields<'a> {
    map: &'a Map<String, Value>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Fields<'a> {
    pub fn new(map: &'a Map<String, Value>) -> Self {
        Self { map, used: RefCell::default() }
    }

    /// A field that says something: neither null nor an empty list or object.
    pub fn get(&self, key: &'static str) -> Option<&'a Value> {
        let value = self.map.get(key)?;
        self.used.borrow_mut().insert(key);
        (!is_void(value)).then_some(value)
    }

    /// Whether a field says something, without using it.
    pub fn has(&self, key: &str) -> bool {
        self.map.get(key).is_some_and(|value| !is_void(value))
    }

    /// Whether there is a field of the name, whatever it holds.
    pub fn names(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    /// A text field; empty when absent or null.
    pub fn text(&self, key: &'static str) -> Result<&'a str, Fault> {
        match self.get(key) {
            None => match self.map.get(key) {
                Some(Value::Array(_) | Value::Object(_)) => Err(format!("`{key}` is not text")),
                _ => Ok(""),
            },
            Some(Value::String(text)) => Ok(text),
            Some(_) => Err(format!("`{key}` is not text")),
        }
    }

    /// A text field that says something.
    pub fn required(&self, key: &'static str) -> Result<&'a str, Fault> {
        match self.text(key)? {
            blank if is_blank(blank) => Err(format!("`{key}` is missing or empty")),
            text => Ok(text),
        }
    }

    /// All names, sorted, the first ones.
    pub fn keys(&self) -> String {
        let mut keys: Vec<&str> = self.map.keys().map(String::as_str).collect();
        keys.sort_unstable();
        keys.truncate(10);
        keys.join(", ")
    }

    /// The fields that say something, were not read, and are not only about the row.
    pub fn unused(&self) -> impl Iterator<Item = &'a str> {
        let used = self.used.borrow().clone();
        let left = self.map.iter().filter(move |(key, value)| {
            let is_blank_text = matches!(value, Value::String(text) if is_blank(text));
            !is_void(value) && !is_blank_text && !used.contains(key.as_str()) && !ABOUT.contains(&key.as_str())
        });
        left.map(|(key, _)| key.as_str())
    }
}

fn is_void(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Names counted apart; a row can call its fields as it likes.
const MOST_NAMES: usize = 50;

/// What was read of all rows so far, for a user to know.
#[derive(Debug, Default)]
pub struct Notes {
    rows: u64,
    /// Rows by the name of a field that was not used.
    unused: BTreeMap<String, u64>,
    /// Rows by what was done to them.
    done: BTreeMap<&'static str, u64>,
}

impl Notes {
    pub fn add_unused<'f>(&mut self, names: impl Iterator<Item = &'f str>) {
        for name in names {
            if let Some(count) = self.unused.get_mut(name) {
                *count += 1;
            } else if self.unused.len() < MOST_NAMES {
                self.unused.insert(name.to_owned(), 1);
            }
        }
    }

    pub fn add(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    /// Takes over what was noted of one row, each thing once.
    pub fn add_row(&mut self, row: &Self) {
        self.rows += 1;
        self.add_unused(row.unused.keys().map(String::as_str));
        row.done.keys().for_each(|what| self.add(what));
    }

    /// One sentence each.
    pub fn remarks(&self) -> Vec<String> {
        let rows = self.rows;
        let unused =
            self.unused.iter().map(|(name, count)| format!("field `{name}` in {count} of {rows} rows is not used"));
        let done = self.done.iter().map(|(what, count)| format!("in {count} of {rows} rows {what}"));
        unused.chain(done).collect()
    }
}
