//! What a user is told of the rows that were read.

use std::collections::BTreeMap;

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
    pub fn add_unused(&mut self, names: impl Iterator<Item = impl AsRef<str>>) {
        for name in names {
            let name = name.as_ref();
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
        self.add_unused(row.unused.keys());
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
