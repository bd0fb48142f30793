//! A running study in the terminal: its arms, seeds and candidates, losses, speed, memory and the time left.
//!
//! Only the run's folder is read: what the study says of itself (`tunebench_spec::progress`) and the logs of its pieces.
//! So it may be watched from another process, by several at once, and after its end.
//!
//! - `folder`: the files, read again and again; `tail`: what is new in one; `log`: what the logs say
//! - `facts`, `work`, [`state`]: what is known at one moment, and what is to be shown of it
//! - [`draw`](fn@draw), [`lines`]: how it looks on a terminal, and as text
//! - [`Screen`]: the user's place in it; `terminal`: the loop

mod chart;
mod columns;
mod draw;
mod error;
mod facts;
mod folder;
mod log;
mod plain;
mod process;
mod screen;
pub mod state;
mod tail;
mod terminal;
mod text;
mod words;
mod work;

use std::path::Path;

pub use draw::draw;
pub use error::Error;
pub use folder::Folder;
pub use plain::lines;
pub use screen::{Go, Screen};
pub use terminal::run;
pub use work::{Estimate, Mark};

/// The state of a run folder now, as plain lines.
///
/// # Errors
/// [`Error::NoFolder`]; a folder without a run is none.
pub fn snapshot(folder: &Path) -> Result<String, Error> {
    Ok(lines(&Folder::open(folder)?.view()))
}
