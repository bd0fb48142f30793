//! Files to rows: whatever a file of rows is, a dataset reads JSON Lines or one JSON array in UTF-8.
//!
//! ```text
//! file -> unpacked (gzip, zstd) -> UTF-8 (from UTF-16) -> shape -> rows -> columns renamed -> JSON
//! ```
//!
//! What a file is, its first bytes tell; only CSV is known by its name. [`RowFile`] reads on as bytes are asked for, in
//! bounded memory, and from its start again when bytes are asked for that it has passed. What is not recognised is given
//! as it is. A file in which rows cannot be told for sure is an error with its line, never a row that is lost; a row that
//! is only wrong in itself is given as it is, and whoever parses it counts it.

mod bytes;
mod cell;
mod columns;
mod csv;
mod encoding;
mod error;
mod file;
mod folder;
mod json;
mod outline;
mod parquet;
mod parquet_chunks;
mod row;
mod scan;
mod shape;
mod text;

pub use columns::{Columns, Seen};
pub use error::Error;
pub use file::RowFile;
pub use folder::{Expanded, expand};

/// The most bytes that one row may have.
pub const MAX_ROW_BYTES: usize = 64 << 20;
