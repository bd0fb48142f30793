//! What can be wrong with a report's data or with writing it.

/// Why no page was written, or only a part of one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number that no picture or table could show.
    #[error("{place}: {value} is not a finite number; leave the value out where there is none")]
    NotFinite {
        /// Where it stands.
        place: String,
        /// What was given.
        value: f64,
    },
    /// An interval whose ends do not enclose its mean.
    #[error("{place}: the interval {low} to {high} does not hold its own mean {mean}")]
    Interval {
        /// Where it stands.
        place: String,
        /// The value.
        mean: f64,
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A scale without width.
    #[error("the scale of scores goes from {low} to {high}; its lower end must be below its upper end")]
    Scale {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
    },
    /// A name that the list of arms, judges or categories does not hold, or holds twice.
    #[error("{place}: the list of {kind}s has the name {name:?} {count} times, not once")]
    Name {
        /// Where it is used.
        place: String,
        /// `arm` or `judge`.
        kind: &'static str,
        /// The name.
        name: String,
        /// How often the list has it.
        count: usize,
    },
    /// A table's row of another length than its columns.
    #[error("table {table:?}, row {row}: {cells} cells for {columns} columns")]
    Row {
        /// Title, in English.
        table: String,
        /// From 1.
        row: usize,
        /// Cells of that row.
        cells: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// Drawing failed.
    #[error("a picture could not be drawn: {0}")]
    Picture(String),
    /// An answer could not be put into the page's form.
    #[error("answers of item {item:?} could not be encoded: {source}")]
    Encode {
        /// Identity of the item.
        item: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A frame that cannot be read.
    #[error(transparent)]
    Results(#[from] tunebench_results::Error),
    /// Results that cannot be analysed: most of all those that do not measure the same.
    #[error(transparent)]
    Analysis(#[from] tunebench_analysis::Error),
    /// A file that cannot be written.
    #[error(transparent)]
    File(#[from] tunebench_files::Error),
    /// What is written to took no more.
    #[error("the report could not be written: {0}; is the disk full?")]
    Write(#[from] std::io::Error),
}
