//! Metadata of a GGUF header under its architecture's prefix, with errors that name file and key.

use std::collections::BTreeMap;
use std::path::Path;

use crate::Error;
use crate::formats::gguf::header::Value;

/// No dimension of a real model is larger.
const LARGEST_DIM: i64 = 1 << 24;

/// Metadata of one file under its architecture's prefix, with errors that name file and key.
pub(super) struct Keys<'a> {
    pub(super) path: &'a Path,
    pub(super) metadata: &'a BTreeMap<String, Value>,
    pub(super) architecture: &'a str,
    /// Whether its files have a word for a sliding window.
    pub(super) says_window: bool,
}

impl Keys<'_> {
    pub(super) fn key(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.metadata.get(&self.key(key))
    }

    pub(super) fn fault(&self, key: &str, expected: &str) -> Error {
        let key = self.key(key);
        let found = match self.metadata.get(&key) {
            None => "missing".into(),
            // A list may be a whole vocabulary.
            Some(Value::Texts(_) | Value::Ints(_) | Value::Floats(_)) => "a list".into(),
            Some(value) => format!("{value:?}"),
        };
        Error::unsupported(self.path, format!("metadata `{key}` is {found}, expected {expected}"))
    }

    pub(super) fn dim(&self, key: &str) -> Result<usize, Error> {
        match self.get(key) {
            Some(Value::Int(n)) if (1..=LARGEST_DIM).contains(n) => Ok(*n as usize),
            _ => Err(self.fault(key, "a whole number from 1 to 16777216")),
        }
    }

    pub(super) fn dim_or(&self, key: &str, default: usize) -> Result<usize, Error> {
        if self.get(key).is_some() { self.dim(key) } else { Ok(default) }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, Error> {
        match self.get(key) {
            Some(Value::Float(v)) if v.is_finite() && *v > 0.0 => Ok(*v),
            _ => Err(self.fault(key, "a positive number")),
        }
    }

    pub(super) fn number_or(&self, key: &str, default: f64) -> Result<f64, Error> {
        if self.get(key).is_some() { self.number(key) } else { Ok(default) }
    }

    pub(super) fn flag(&self, key: &str) -> Result<bool, Error> {
        match self.get(key) {
            Some(Value::Bool(flag)) => Ok(*flag),
            _ => Err(self.fault(key, "true or false")),
        }
    }

    pub(super) fn text_or<'b>(&'b self, key: &str, default: &'b str) -> Result<&'b str, Error> {
        match self.get(key) {
            None => Ok(default),
            Some(Value::Text(text)) => Ok(text),
            Some(_) => Err(self.fault(key, "a text")),
        }
    }
}
