//! What a download tells of itself.

use crate::address::Address;

/// What a download tells of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress<'a> {
    /// So much is to be downloaded for an address.
    Planned { address: &'a Address, files: usize, bytes: u64 },
    /// Of one file.
    Bytes { file: &'a str, done: u64, total: u64 },
    /// Another process downloads it.
    Waiting { file: &'a str },
    /// The hub could not be asked; what is in the cache is used.
    Cached { address: &'a Address, commit: &'a str, because: &'a str },
}
