//! Files that hold the old content or the new, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::failpoint::durable;
use crate::folder::{parent, sibling, sync};
use crate::lock::is_unsupported;

/// Writes a file: whatever `write` writes is at `path` when this returns, or what was there before still is. Of several
/// processes that write the same file at once, one waits for the other, and the last one's content stays.
///
/// # Errors
/// [`Error::Io`], also when `write` fails; nothing of the new content is left then.
pub fn write_file(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Error> {
    write_file_unless(path, || false, write).map(|_| ())
}

/// As [`write_file`], for what takes long to make and is the same whoever makes it: `is_there` is asked when no other
/// process writes the file any more, and if one has made it meanwhile, nothing is written. Whether it was written here.
///
/// # Errors
/// As [`write_file`].
pub fn write_file_unless(
    path: &Path,
    is_there: impl FnOnce() -> bool,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<bool, Error> {
    let partial = sibling(path, ".", ".partial");
    // Held until the file has its name, or is gone.
    let file = open_alone(&partial).map_err(Error::io(path))?;
    if is_there() {
        // Nothing is in it, and whoever waits for it makes another.
        let _ = fs::remove_file(&partial);
        return Ok(false);
    }
    let whole = fill(&file, write).and_then(|()| {
        durable(|| cut_in_half(&partial), || fs::rename(&partial, path))?;
        sync(parent(path))
    });
    whole.map(|()| true).map_err(|source| {
        // The first error is the one to hear of; the next write of this file takes the rest away.
        let _ = fs::remove_file(&partial);
        Error::Io { path: path.to_owned(), source }
    })
}

/// Opens a file, empty, that no other process has open by this function.
fn open_alone(path: &Path) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.lock() {
            // Some file systems lock nothing.
            Err(e) if !is_unsupported(&e) => return Err(e),
            _ => {}
        }
        // Whoever had it before may have given it another name, or removed it.
        if is_at(&file, path)? {
            file.set_len(0)?;
            return Ok(file);
        }
    }
}

/// Whether an open file is the one at `path`.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

/// Where an open file can be neither renamed nor removed, it is.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> io::Result<bool> {
    Ok(true)
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

fn fill(file: &File, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 20, file);
    write(&mut out)?;
    out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
}

/// What a kill while the file is being filled leaves.
fn cut_in_half(partial: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(partial)?;
    file.set_len(file.metadata()?.len() / 2)
}
