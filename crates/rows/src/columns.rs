//! Columns by the names that a dataset knows them by.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::row::push_member;
use crate::scan::{key_text, members};

/// Keys of rows that are told when a column is not found.
const MOST_KEYS: usize = 20;

/// What a study says: the name that the dataset knows, and the column that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    /// The name by the column.
    names: BTreeMap<String, String>,
}

impl Columns {
    /// Of `{ instruction = "指令" }`.
    ///
    /// # Errors
    /// When two names are given to one column.
    pub fn new(columns: &BTreeMap<String, String>) -> Result<Self, Error> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for (name, column) in columns {
            if let Some(other) = names.insert(column.clone(), name.clone()) {
                return Err(Error::Columns(format!(
                    "`{column}` is given as `{other}` and as `{name}`; a column has one name"
                )));
            }
        }
        Ok(Self { names })
    }

    /// Whether none is renamed.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// Whether this column gets another name.
    pub(crate) fn renames(&self, column: &str) -> bool {
        self.names.contains_key(column)
    }

    /// A row with its columns renamed, as bytes; `None` where it is no object.
    pub(crate) fn rename(
        &self,
        file: &str,
        number: u64,
        row: &[u8],
        seen: &mut Seen,
    ) -> Result<Option<Vec<u8>>, Error> {
        let Some(members) = members(row) else { return Ok(None) };
        let mut out = Vec::with_capacity(row.len());
        let keys: Vec<String> = members.iter().map(|(key, _)| key_text(key)).collect();
        for (key, (_, value)) in keys.iter().zip(&members) {
            seen.add(key);
            let name = match self.names.get(key) {
                Some(name) => {
                    seen.found.insert(key.clone());
                    name
                }
                None => key,
            };
            let clashes = name != key && keys.contains(name) && !self.names.contains_key(name);
            if clashes {
                return Err(Error::Columns(format!(
                    "row {number} of {file} has `{name}` already, besides `{key}`, which is to be called so"
                )));
            }
            push_member(&mut out, name, value);
        }
        out.extend_from_slice(if out.is_empty() { b"{}" } else { b"}" });
        Ok(Some(out))
    }

    /// That each column was in some row.
    ///
    /// # Errors
    /// The columns that were not, and what there was.
    pub fn check(&self, seen: &Seen) -> Result<(), Error> {
        let missing: Vec<String> = self
            .names
            .keys()
            .filter(|column| !seen.found.contains(*column))
            .map(|column| format!("`{column}`"))
            .collect();
        if missing.is_empty() || !seen.has_rows {
            return Ok(());
        }
        let keys: Vec<String> = seen.keys.iter().map(|key| format!("`{key}`")).collect();
        Err(Error::Columns(format!("no row has {}; there are: {}", missing.join(" or "), keys.join(", "))))
    }
}

/// What rows had.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    has_rows: bool,
    keys: BTreeSet<String>,
    found: BTreeSet<String>,
}

impl Seen {
    fn add(&mut self, key: &str) {
        self.has_rows = true;
        if self.keys.len() < MOST_KEYS && !self.keys.contains(key) {
            self.keys.insert(key.to_owned());
        }
    }

    /// What several files had.
    pub fn join(&mut self, other: &Self) {
        self.has_rows |= other.has_rows;
        self.keys.extend(other.keys.iter().cloned());
        self.found.extend(other.found.iter().cloned());
    }
}
