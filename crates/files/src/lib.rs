//! Everything that must survive a kill is written here: files and folders that are there whole or not at all, lines
//! appended one by one, and the lock of who may write.
//!
//! ```text
//! NAME             a file or a folder, whole
//! .NAME.partial    a file being written, or a folder that takes no other's place
//! NAME.new         a folder being written, or being removed
//! NAME.previous    the folder that NAME.new takes the place of
//! ```
//!
//! A kill may leave any of the last three; the next write of NAME takes them away, and nobody reads them but
//! [`current_folder`], for the moment between the two renames of a folder. A folder has one writer at a time: whoever
//! shares it with other processes holds its [`Lock`]. Writers of one file wait for each other.
//!
//! Who does which piece of work, among several processes and machines, is told by [`Claims`].
//!
//! Every change passes one counter (`failpoint.rs`), at which a debug build can be killed:
//! `TUNEBENCH_KILL_AT_WRITE=7:torn` ends the process in the middle of its seventh durable write. So tests can be killed
//! at each of them.

mod claim;
mod error;
mod failpoint;
mod file;
mod folder;
mod json_lines;
mod lock;
mod positioned;

pub use claim::{Claim, Claims, Owner, Taken};
pub use error::Error;
pub use file::{read_json, write_file, write_file_unless, write_json};
pub use folder::{create_folder, current_folder, remove_folder, write_folder, write_new_folder};
pub use json_lines::{JsonLines, Span, Syncer, read_lines};
pub use lock::Lock;
pub use positioned::{PositionedFile, Scratch};
