//! Where an export may go. All of it is checked before anything is read, because what is lost by an export that lands on a
//! model, a study or somebody's work is not brought back.

use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::Error;

/// Something that a study needs, which no export may touch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is, for "it is WHAT" and "it lies in WHAT": `the run folder`, `the model of arm ...`.
    pub what: String,
    pub path: PathBuf,
}

/// A folder that may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(PathBuf);

impl Target {
    /// Whether a folder may be written: it is not there yet, or empty, and neither is, nor lies in, nor holds one of `sources`.
    /// Links are followed.
    ///
    /// # Errors
    /// [`Error::Source`], [`Error::NotEmpty`] or [`Error::NoFolder`] says why not.
    pub fn new(out: &Path, sources: &[Source]) -> Result<Self, Error> {
        let path = resolved(out)?;
        let is_there = path.exists();
        let source = |what: String| Error::Source { path: out.to_owned(), what };
        for Source { what, path: of_source } in sources {
            let Ok(of_source) = of_source.canonicalize() else { continue };
            if path == of_source {
                return Err(source(format!("is {what}")));
            }
            if of_source.is_dir() && path.starts_with(&of_source) {
                return Err(source(format!("lies in {what}, {}", of_source.display())));
            }
            if of_source.starts_with(&path) {
                return Err(source(format!("holds {what}, {}", of_source.display())));
            }
        }
        if !is_there {
            return Ok(Self(path));
        }
        if !path.is_dir() {
            return Err(Error::NoFolder { path: out.to_owned(), what: "a file".into() });
        }
        match fs::read_dir(&path).map_err(Error::io(out))?.next() {
            None => Ok(Self(path)),
            Some(_) => Err(Error::NotEmpty { path: out.to_owned() }),
        }
    }

    /// The folder, without links.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes what `fill` writes into the folder it is given: all of it is there when this returns, or nothing.
    ///
    /// # Errors
    /// Those of `fill`, and when something came to be in the folder meanwhile.
    pub fn write(&self, fill: impl FnOnce(&Path) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(above) = self.0.parent() {
            tunebench_files::create_folder(above)?;
        }
        tunebench_files::write_new_folder(&self.0, fill)
    }
}

/// The path without links, whether or not it is there.
fn resolved(out: &Path) -> Result<PathBuf, Error> {
    let no_folder = |what: &str| Error::NoFolder { path: out.to_owned(), what: what.to_owned() };
    if out.as_os_str().is_empty() {
        return Err(no_folder("an empty name"));
    }
    if out.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("gguf")) && !out.is_dir() {
        return Err(no_folder("called like a file, and a folder is written, with the file in it"));
    }
    if out.symlink_metadata().is_ok() {
        return out.canonicalize().map_err(|_| no_folder("a link to nothing"));
    }
    let whole = std::path::absolute(out).map_err(Error::io(out))?;
    let mut there = whole.as_path();
    while let Some(above) = there.parent().filter(|_| there.symlink_metadata().is_err()) {
        there = above;
    }
    let rest = whole.strip_prefix(there).unwrap_or(Path::new(""));
    if rest.components().any(|part| !matches!(part, Component::Normal(_))) {
        return Err(no_folder("reached through a folder that is not there"));
    }
    let there = there.canonicalize().map_err(|_| no_folder("behind a link to nothing"))?;
    if !there.is_dir() {
        return Err(Error::NoFolder { path: out.to_owned(), what: format!("below the file {}", there.display()) });
    }
    Ok(there.join(rest))
}
