//! SQL over the frames of a run folder.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use polars::prelude::{DataFrame, IntoLazy, PolarsError};
use polars::sql::SQLContext;

use crate::error::{Error, Result};
use crate::frames::Frame;
use crate::store::Frames;

impl Frames {
    /// Answers a query over every frame present, each a table under its own name.
    ///
    /// # Errors
    /// When a frame cannot be read, or the query fails; the message then lists the tables and their columns.
    ///
    /// ```no_run
    /// # fn main() -> tunebench_results::Result<()> {
    /// let frames = tunebench_results::Frames::open("runs/example".as_ref())?;
    /// let best = frames.query("SELECT arm, mean_score FROM scores WHERE category = 'macro average'")?;
    /// # Ok(()) }
    /// ```
    pub fn query(&self, sql: &str) -> Result<DataFrame> {
        let present = self.present();
        let mut context = SQLContext::new();
        for frame in &present {
            context.register(frame.name, self.frame(*frame)?.lazy());
        }
        without_panic(|| context.execute(sql)?.collect())
            .map_err(|why| Error::Query { why, tables: describe_tables(&present) })
    }
}

/// `the tables are:`, then one line a table: `arms(arm, base, …)`.
fn describe_tables(frames: &[Frame]) -> String {
    if frames.is_empty() {
        return "there are no tables: the folder holds no Parquet file of a study".to_owned();
    }
    let table = |frame: &Frame| {
        let columns: Vec<&str> = (frame.columns)().iter().map(|column| column.name).collect();
        format!("  {}({})", frame.name, columns.join(", "))
    };
    let lines: Vec<String> = frames.iter().map(table).collect();
    format!("the tables are:\n{}", lines.join("\n"))
}

/// Runs a query, whose engine panics on some it does not support, and gives the first line of what went wrong.
fn without_panic<T>(step: impl FnOnce() -> Result<T, PolarsError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(result) => result.map_err(|error| first_line(&error.to_string())),
        Err(panic) => Err(first_line(panic_text(panic.as_ref()))),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim().to_owned()
}
