//! Instruction data as BELLE publishes it and as its neighbours write it, and BELLE's evaluation set.
//!
//! Rows of different schemas may be mixed; [`schema`] lists them. A file of `{class, prompt}` rows among the sources
//! holds the rubrics of an evaluation set: it yields no rows, and every item then gets the rubric of its class.

mod dialogue;
mod message;
mod options;
pub mod schema;

use std::collections::{BTreeMap, BTreeSet};

use fields::Notes;
use serde_json::Value;
use tunebench_plugin_api::prelude::*;

pub use options::{Options, Reasoning, Tools};

/// The dataset.
pub struct Belle {
    records: Records<Source>,
    options: Options,
    rubric_files: BTreeSet<usize>,
    /// By class, as [`schema::class_name`] writes it.
    rubrics: BTreeMap<String, String>,
    notes: Notes,
}

impl Dataset for Belle {
    const NAME: &'static str = "belle";
    const DESCRIPTION: &'static str = "BELLE, Alpaca, ShareGPT and OpenAI conversations, and BELLE's evaluation set";
    type Options = Options;

    fn open(source: Source, options: Options) -> Result<Self> {
        let mut records = Records::new(source);
        let (rubric_files, rubrics) = read_rubrics(&mut records)?;
        records.seek(&Position::default())?;
        Ok(Self { records, options, rubric_files, rubrics, notes: Notes::default() })
    }

    fn next(&mut self) -> Result<Option<Row>> {
        loop {
            let Some(record) = self.records.next()? else { return Ok(None) };
            if self.rubric_files.contains(&record.file) {
                continue;
            }
            let (options, notes) = (&self.options, &mut self.notes);
            let row = record.into_row(|place, value| schema::example(place, value, options, notes));
            return self.with_rubric(row).map(Some);
        }
    }

    fn position(&self) -> Position {
        self.records.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.notes = Notes::default();
        self.records.seek(position)
    }

    fn remarks(&self) -> Vec<String> {
        self.notes.remarks()
    }
}

impl Belle {
    /// Gives an evaluation item the rubric of its class, and the category that the paper counts it under.
    fn with_rubric(&self, row: Row) -> Result<Row> {
        let Row::Example(mut example) = row else { return Ok(row) };
        let Some(class) = example.category.take() else { return Ok(Row::Example(example)) };
        if !self.rubric_files.is_empty() {
            let Some(rubric) = self.rubrics.get(&class) else {
                let known: Vec<&str> = self.rubrics.keys().map(String::as_str).collect();
                let known = known.join(", ");
                let place = &example.id;
                return Err(Error::new(format!("{place}: class `{class}` has no rubric; there are: {known}")));
            };
            example.rubric = Some(rubric.clone());
        }
        example.category = Some(schema::category(class));
        Ok(Row::Example(example))
    }
}

/// Finds the files whose first row is a rubric and reads them whole.
fn read_rubrics(records: &mut Records<Source>) -> Result<(BTreeSet<usize>, BTreeMap<String, String>)> {
    let mut files = BTreeSet::new();
    let mut rubrics = BTreeMap::new();
    for file in 0..records.n_files() {
        records.seek(&Position { file: file as u32, offset: 0, row: 0 })?;
        let mut record = records.next()?;
        let is_rubric = |r: &Record| r.file == file && r.value.as_ref().is_ok_and(schema::is_rubric);
        if !record.as_ref().is_some_and(is_rubric) {
            continue;
        }
        files.insert(file);
        while let Some(Record { place, value, .. }) = record.filter(|r| r.file == file) {
            let (class, prompt) = value.and_then(|value: Value| schema::rubric(&value)).map_err(|reason| {
                Error::new(format!("{place}: {reason}; a rubric is {{\"class\": …, \"prompt\": …}}"))
            })?;
            if rubrics.insert(class.clone(), prompt).is_some() {
                return Err(Error::new(format!("{place}: class `{class}` has a second rubric; remove one")));
            }
            record = records.next()?;
        }
    }
    Ok((files, rubrics))
}

export_plugin!(dataset: Belle);
