//! An object's members, and which of them were read.

use std::cell::RefCell;
use std::collections::BTreeSet;

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
        if self.names(key) {
            self.used.borrow_mut().insert(key);
        }
        self.peek(key)
    }

    /// Such a field, without using it.
    pub fn peek(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !is_void(value))
    }

    /// Whether a field says something, without using it.
    pub fn has(&self, key: &str) -> bool {
        self.peek(key).is_some()
    }

    /// Such a field that is no word for nothing either, as null is in a cell of CSV; without using it.
    pub fn stated(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !says_nothing(value))
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
            !says_nothing(value) && !used.contains(key.as_str()) && !ABOUT.contains(&key.as_str())
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

fn says_nothing(value: &Value) -> bool {
    match value {
        Value::String(text) => matches!(text.trim(), "" | "[]" | "{}" | "null" | "None"),
        other => is_void(other),
    }
}

pub fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}
