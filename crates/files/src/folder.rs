//! Folders that are there whole or not at all, and the entries of folders made to last.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::failpoint::durable;

/// Makes a folder with what is missing above it; one that is there is left as it is.
///
/// # Errors
/// [`Error::Io`] with the folder that cannot be made.
pub fn create_folder(path: &Path) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
        create_folder(above)?;
    }
    match fs::create_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made.and_then(|()| sync(parent(path))).map_err(Error::io(path)),
    }
}

/// Writes a folder: what `fill` writes into the folder it is given is at `path` when this returns, or what was there
/// before still is. Files that must survive are written by [`write_file`](crate::write_file).
///
/// # Errors
/// Those of `fill`, and [`Error::Io`].
pub fn write_folder<E: From<Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let (new, previous) = (sibling(path, "", NEW), sibling(path, "", PREVIOUS));
    remove(&new)?;
    create_folder(&new)?;
    fill(&new)?;
    let replace = || -> Result<(), Error> {
        sync(&new).map_err(Error::io(&new))?;
        // Between the two renames only the previous folder is there; `current_folder` then finds that one.
        if path.is_dir() {
            remove(&previous)?;
            rename(path, &previous)?;
        }
        rename(&new, path)?;
        remove(&previous)
    };
    Ok(replace()?)
}

/// Writes a folder that is not there yet, or is empty: what `fill` writes into the folder it is given is at `path` when
/// this returns, or nothing is, and nothing else is taken away. What came to `path` meanwhile stays, and is an error.
///
/// # Errors
/// Those of `fill`, and [`Error::Io`]; nothing of the new content is left then.
pub fn write_new_folder<E: From<Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let partial = sibling(path, ".", ".partial");
    remove(&partial)?;
    create_folder(&partial)?;
    let name = || -> Result<(), Error> {
        sync(&partial).map_err(Error::io(&partial))?;
        // Fails, as it must, where something is in it.
        if path.is_dir() {
            fs::remove_dir(path).map_err(Error::io(path))?;
        }
        rename(&partial, path)
    };
    let whole = fill(&partial).and_then(|()| Ok(name()?));
    if whole.is_err() {
        // The first error is the one to hear of; the next write of this folder takes the rest away.
        let _ = fs::remove_dir_all(&partial);
    }
    whole
}

/// Where the content last written to `path` by [`write_folder`] is: there or, after a kill at the wrong moment, in the
/// folder that was about to be replaced. `None` when none was written.
pub fn current_folder(path: &Path) -> Option<PathBuf> {
    [path.to_owned(), sibling(path, "", PREVIOUS)].into_iter().find(|folder| folder.is_dir())
}

/// Removes a folder with all that interrupted writes of it left. Whenever it is killed, the folder is whole or gone.
///
/// # Errors
/// [`Error::Io`]; a folder that is not there is none.
pub fn remove_folder(path: &Path) -> Result<(), Error> {
    let (new, previous) = (sibling(path, "", NEW), sibling(path, "", PREVIOUS));
    remove(&previous)?;
    remove(&new)?;
    if path.is_dir() {
        rename(path, &new)?;
    }
    remove(&new)
}

const NEW: &str = ".new";
const PREVIOUS: &str = ".previous";

/// A path beside `path`, of the same name between `before` and `after`.
pub(crate) fn sibling(path: &Path, before: &str, after: &str) -> PathBuf {
    let mut name = OsString::from(before);
    name.push(path.file_name().unwrap_or_default());
    name.push(after);
    path.with_file_name(name)
}

/// The folder that holds `path`.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => path,
    }
}

/// Makes the entries of a folder last, where that can be asked for: not on Windows, nor on every network file system.
pub(crate) fn sync(folder: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    match File::open(folder)?.sync_all() {
        Err(e) if matches!(e.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    let renamed = durable(|| Ok(()), || fs::rename(from, to));
    renamed.and_then(|()| sync(parent(to))).map_err(Error::io(to))
}

/// Nobody reads what is removed here, so it may be there in part.
fn remove(folder: &Path) -> Result<(), Error> {
    if !folder.is_dir() {
        return Ok(());
    }
    durable(|| remove_one_entry(folder), || fs::remove_dir_all(folder)).map_err(Error::io(folder))
}

/// What a kill in the middle of a removal leaves.
fn remove_one_entry(folder: &Path) -> io::Result<()> {
    match fs::read_dir(folder)?.next() {
        None => Ok(()),
        Some(entry) => fs::remove_file(entry?.path()),
    }
}
