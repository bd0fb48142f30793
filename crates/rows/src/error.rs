//! Why a file cannot be read as rows. Each message names the file and the place, and says what to do.

use crate::encoding::Legacy;

/// A fault of a file, or of what a study says of it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file}: {source}")]
    Io { file: String, source: std::io::Error },
    #[error(
        "{file}: its {packing} data cannot be unpacked ({reason}); the file may have been cut off or damaged, fetch it again"
    )]
    Packed { file: String, packing: &'static str, reason: String },
    #[error("{file}: {what}; {remedy}")]
    Unreadable { file: String, what: &'static str, remedy: &'static str },
    #[error("{file} is empty; name a file that holds rows")]
    Empty { file: String },
    /// `found` says how much of it, with its verb; with the guess of what it is.
    #[error("{file}: {found} not UTF-8; {}", .legacy.advice(.file))]
    NotUtf8 { file: String, found: String, legacy: Legacy },
    #[error("{file}: its text is not valid UTF-16; fetch it again, or convert it to UTF-8")]
    NotUtf16 { file: String },
    /// What is wrong in the structure of a text, so that no row behind it can be told for sure.
    #[error("{file}, line {line}: {what}")]
    Structure { file: String, line: u64, what: String },
    #[error("{file}: row {row} is longer than {} MiB; take it out or split it", crate::MAX_ROW_BYTES >> 20)]
    LongRow { file: String, row: u64 },
    /// What a file as a whole is, where that is nothing that can be read without guessing.
    #[error("{file}: {what}")]
    Shape { file: String, what: String },
    #[error("{file}: as Parquet: {reason}")]
    Parquet { file: String, reason: String },
    #[error("columns: {0}")]
    Columns(String),
}

impl Error {
    /// Whether text in another encoding than was thought can be the cause.
    pub(crate) fn may_be_encoding(&self) -> bool {
        matches!(self, Self::Structure { .. } | Self::LongRow { .. } | Self::Shape { .. })
    }
}
