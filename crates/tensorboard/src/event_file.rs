//! One event file, open for appending.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::event;
use crate::record::{Extent, extent};

/// An event file that records are appended to, each handed to the system at once, so that a running TensorBoard sees it.
pub struct EventFile {
    file: File,
    path: PathBuf,
    start_unix_seconds: f64,
}

/// What [`EventFile::open`] found.
pub struct Opened {
    pub events: EventFile,
    /// Bytes of a torn last record, which is gone now.
    pub cut_bytes: u64,
}

impl EventFile {
    /// Makes a new file in place of what may be there. Times are counted from `start_unix_seconds`, which is the wall
    /// time of the first record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path, start_unix_seconds: f64) -> Result<Self, Error> {
        let file = File::create(path).map_err(Error::io(path))?;
        let mut events = Self { file, path: path.to_owned(), start_unix_seconds };
        events.append(&event::header(start_unix_seconds))?;
        Ok(events)
    }

    /// Goes on with a file, or makes it. A torn last record, all that a kill can leave, is cut off.
    ///
    /// # Errors
    /// [`Error::Damaged`] where more than that is broken, [`Error::Io`].
    pub fn open(path: &Path, start_unix_seconds: f64) -> Result<Opened, Error> {
        let bytes = match fs::read(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io(path))?,
        };
        let whole = match extent(&bytes) {
            Extent::Whole(whole) => whole,
            Extent::Damaged(at) => return Err(Error::Damaged { path: path.to_owned(), at: at as u64 }),
        };
        let cut_bytes = (bytes.len() - whole) as u64;
        if whole == 0 {
            return Ok(Opened { events: Self::create(path, start_unix_seconds)?, cut_bytes });
        }
        let events = Self::open_as_it_is(path, start_unix_seconds)?;
        if cut_bytes > 0 {
            events.file.set_len(whole as u64).map_err(Error::io(path))?;
        }
        Ok(Opened { events, cut_bytes })
    }

    /// Opens a file whose records are known to be whole.
    pub(crate) fn open_as_it_is(path: &Path, start_unix_seconds: f64) -> Result<Self, Error> {
        let file = OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
        Ok(Self { file, path: path.to_owned(), start_unix_seconds })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one number, kept as f32, whether finite or not. `wall_time_seconds` counts from the start.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn scalar(&mut self, tag: &str, step: u64, value: f64, wall_time_seconds: f64) -> Result<(), Error> {
        self.append(&event::scalars(self.start_unix_seconds + wall_time_seconds, step, [(tag, value)]))
    }

    /// Appends one text, which TensorBoard shows as Markdown, at step 0 and the time of the start.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn text(&mut self, tag: &str, text: &str) -> Result<(), Error> {
        self.append(&event::text(self.start_unix_seconds, tag, text))
    }

    /// Appends whole records.
    pub(crate) fn append(&mut self, records: &[u8]) -> Result<(), Error> {
        self.file.write_all(records).map_err(Error::io(&self.path))
    }
}
