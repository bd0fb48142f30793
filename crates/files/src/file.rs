//! Files that hold the old content or the new, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::failpoint::durable;
use crate::folder::{parent, sibling, sync};

/// Writes a file: whatever `write` writes is at `path` when this returns, or what was there before still is.
///
/// # Errors
/// [`Error::Io`], also when `write` fails; nothing of the new content is left then.
pub fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    let partial = sibling(path, ".", ".partial");
    let whole = fill(&partial, write).and_then(|()| {
        durable(|| cut_in_half(&partial), || fs::rename(&partial, path))?;
        sync(parent(path))
    });
    whole.map_err(|source| {
        // The first error is the one to hear of; the next write of this file takes the rest away.
        let _ = fs::remove_file(&partial);
        Error::Io { path: path.to_owned(), source }
    })
}

/// Writes a value as indented JSON, as [`write_file`] does.
///
/// # Errors
/// As [`write_file`], and [`Error::Json`] when the value has no JSON form.
pub fn write_json<T: Serialize + ?Sized>(path: &Path, value: &T) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(value).map_err(Error::json(path))?;
    write_file(path, |out| out.write_all(&text))
}

/// Reads a value that [`write_json`] wrote.
///
/// # Errors
/// [`Error::Io`], and [`Error::Json`] when the file holds something else.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let text = fs::read(path).map_err(Error::io(path))?;
    serde_json::from_slice(&text).map_err(Error::json(path))
}

fn fill(partial: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(partial)?);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// What a kill while the file is being filled leaves.
fn cut_in_half(partial: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(partial)?;
    file.set_len(file.metadata()?.len() / 2)
}
