//! The dataset contract: how a source becomes examples, as a stream with a position.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::source::Source;
use crate::{Result, Row};

/// Turns the bytes of a source into rows, in a fixed order.
pub trait Dataset: Sized + Send + 'static {
    /// The name studies use.
    const NAME: &'static str;
    /// One line for lists.
    const DESCRIPTION: &'static str;
    /// What a study may set. Derive `Deserialize` with `deny_unknown_fields`, so that a typo is an error.
    type Options: DeserializeOwned;
    /// Whether it reads the bytes of its files as they are. Others are given rows, as JSON Lines or one JSON array in
    /// UTF-8, whatever the files are: Parquet, CSV, JSON of any shape, compressed or not. What is none of these comes as
    /// it is. Since API 1.3.
    const READS_BYTES: bool = false;

    /// # Errors
    /// When the options make no sense or the source cannot be what is expected.
    fn open(source: Source, options: Self::Options) -> Result<Self>;

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// When the source cannot be read any further; a bad row is a [`Row::Skip`].
    fn next(&mut self) -> Result<Option<Row>>;

    /// Where the next row begins.
    fn position(&self) -> Position;

    /// Continue from a position that this dataset gave before, perhaps in another process.
    ///
    /// # Errors
    /// When the position is not one of this source.
    fn seek(&mut self, position: &Position) -> Result<()>;

    /// What a user should know of the rows read so far, one sentence each, such as fields of rows that were not used. The
    /// host asks at the end. Since API 1.3; an older host does not ask.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A place between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Index into the source's files.
    pub file: u32,
    /// Byte offset in that file.
    pub offset: u64,
    /// Rows of that file before this place.
    pub row: u64,
}
