//! A frame's columns as they are declared, or an error that names the file and the column.

use std::path::{Path, PathBuf};

use polars::prelude::{Column, DataFrame, Float64Chunked, PolarsResult, StringChunked, UInt32Chunked, UInt64Chunked};
use tunebench_results::{Frame, Frames, Record};

use crate::error::Error;

/// A frame that was read.
pub struct Columns {
    path: PathBuf,
    frame: DataFrame,
}

impl Columns {
    /// These columns of a frame.
    ///
    /// # Errors
    /// When the frame is missing, damaged, of another version, or lacks a column.
    pub fn read<R: Record>(frames: &Frames, dir: &Path, names: &[&str]) -> Result<Self, Error> {
        let frame = frames.columns(Frame::of::<R>(), names)?;
        Ok(Self { path: dir.join(format!("{}.parquet", R::FRAME)), frame })
    }

    /// How many rows.
    pub fn len(&self) -> usize {
        self.frame.height()
    }

    /// Texts in every row.
    pub fn texts(&self, name: &'static str) -> Result<StringChunked, Error> {
        self.typed(name, self.filled(name)?.str().map(|texts| texts.rechunk().into_owned()))
    }

    /// Texts, not in every row.
    pub fn optional_texts(&self, name: &'static str) -> Result<StringChunked, Error> {
        self.typed(name, self.column(name)?.str().map(|texts| texts.rechunk().into_owned()))
    }

    /// Whole numbers in every row.
    pub fn u64s(&self, name: &'static str) -> Result<UInt64Chunked, Error> {
        self.typed(name, self.filled(name)?.u64().map(|numbers| numbers.rechunk().into_owned()))
    }

    /// Whole numbers in every row.
    pub fn u32s(&self, name: &'static str) -> Result<UInt32Chunked, Error> {
        self.typed(name, self.filled(name)?.u32().map(|numbers| numbers.rechunk().into_owned()))
    }

    /// Numbers, not in every row.
    pub fn optional_f64s(&self, name: &'static str) -> Result<Float64Chunked, Error> {
        self.typed(name, self.column(name)?.f64().map(|numbers| numbers.rechunk().into_owned()))
    }

    fn column(&self, name: &'static str) -> Result<&Column, Error> {
        self.typed(name, self.frame.column(name))
    }

    fn filled(&self, name: &'static str) -> Result<&Column, Error> {
        let column = self.column(name)?;
        match column.null_count() {
            0 => Ok(column),
            n_nulls => Err(self.bad(name, format!("has {n_nulls} nulls, where none are allowed"))),
        }
    }

    fn typed<T>(&self, name: &'static str, found: PolarsResult<T>) -> Result<T, Error> {
        found.map_err(|why| self.bad(name, format!("is not as declared: {why}")))
    }

    fn bad(&self, column: &'static str, why: String) -> Error {
        tunebench_results::Error::BadColumn { path: self.path.clone(), column, why }.into()
    }
}
