//! Lines of JSON, appended one by one and kept through a kill.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::failpoint::durable;
use crate::folder::{parent, sync};
use crate::lock::lock;

/// A file of values, a line each, open for appending. It is locked: a second writer would cut what the first is about
/// to end.
pub struct JsonLines<T> {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines. Each line is written from here, over what a failed one may have left.
    end: u64,
    values: PhantomData<fn(&T)>,
}

/// Where a line lies in its file, in bytes, its line break included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub start: u64,
    pub length: u64,
}

impl Span {
    /// Where the next line begins.
    pub fn end(self) -> u64 {
        self.start + self.length
    }
}

/// Makes lines outlast the machine beside their writer, so that several threads' lines go to the disk at once.
pub struct Syncer {
    file: File,
    path: PathBuf,
}

impl Syncer {
    /// As [`JsonLines::sync`]: of all lines that were appended before.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }
}

impl<T: Serialize + DeserializeOwned> JsonLines<T> {
    /// Opens or makes the file, and reads what is there. A torn last line, all that a kill can leave, is cut off.
    ///
    /// # Errors
    /// [`Error::Line`] when a whole line is not a `T`, [`Error::Locked`] when another process has the file open for
    /// writing, [`Error::Io`].
    pub fn open(path: &Path) -> Result<(Self, Vec<T>), Error> {
        Self::open_while(path, |_| true)
    }

    /// As [`JsonLines::open`], but from the first value on that is not to be kept, everything is cut off.
    ///
    /// # Errors
    /// As [`JsonLines::open`].
    pub fn open_while(path: &Path, mut keep: impl FnMut(&T) -> bool) -> Result<(Self, Vec<T>), Error> {
        let mut opened = Self::open_file(path)?;
        let mut values = Vec::new();
        opened.end = each_line(&opened.file, path, |number, line| {
            let value = parse(path, number, line)?;
            let kept = keep(&value);
            values.extend(kept.then_some(value));
            Ok(kept)
        })?;
        opened.cut()?;
        Ok((opened, values))
    }

    /// As [`JsonLines::open`], but whole lines that are not a `T` stay in the file, and the caller, who is shown one line after
    /// the other, says what they mean. Beside the file come the bytes of a torn last line, which is gone now.
    ///
    /// # Errors
    /// [`Error::Locked`] and [`Error::Io`], as [`JsonLines::open`].
    pub fn salvage(
        path: &Path,
        mut visit: impl FnMut(Span, Result<T, serde_json::Error>),
    ) -> Result<(Self, u64), Error> {
        let mut opened = Self::open_file(path)?;
        let mut start = 0;
        opened.end = each_line(&opened.file, path, |_, line| {
            let span = Span { start, length: line.len() as u64 };
            visit(span, serde_json::from_slice(line));
            start = span.end();
            Ok(true)
        })?;
        let cut_bytes = opened.cut()?;
        Ok((opened, cut_bytes))
    }

    /// Appends one line and hands it to the system: a kill of this process does not take it away. Says where it lies.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Json`] when the value has no JSON form. The lines before it stay.
    pub fn append(&mut self, value: &T) -> Result<Span, Error> {
        let mut line = serde_json::to_vec(value).map_err(Error::json(&self.path))?;
        line.push(b'\n');
        let write = |bytes: &[u8]| {
            (&self.file).seek(SeekFrom::Start(self.end))?;
            (&self.file).write_all(bytes)
        };
        durable(|| write(&line[..line.len() / 2]), || write(&line)).map_err(Error::io(&self.path))?;
        let span = Span { start: self.end, length: line.len() as u64 };
        self.end = span.end();
        Ok(span)
    }

    /// Reads one line again.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Json`] when it is not a `T`.
    pub fn read(&mut self, span: Span) -> Result<T, Error> {
        let read = || -> io::Result<Vec<u8>> {
            let mut line = Vec::new();
            (&self.file).seek(SeekFrom::Start(span.start))?;
            (&self.file).take(span.length).read_to_end(&mut line)?;
            Ok(line)
        };
        let line = read().map_err(Error::io(&self.path))?;
        serde_json::from_slice(&line).map_err(Error::json(&self.path))
    }

    /// Syncs this file's lines while others are appended.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn syncer(&self) -> Result<Syncer, Error> {
        let file = self.file.try_clone().map_err(Error::io(&self.path))?;
        Ok(Syncer { file, path: self.path.clone() })
    }

    /// Makes every line outlast the machine: they are on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<(), Error> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    fn open_file(path: &Path) -> Result<Self, Error> {
        let is_new = !path.exists();
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let file = file.map_err(Error::io(path))?;
        lock(&file, path)?;
        if is_new {
            sync(parent(path)).map_err(Error::io(path))?;
        }
        Ok(Self { file, path: path.to_owned(), end: 0, values: PhantomData })
    }

    /// Cuts off what comes after the last whole line; how many bytes that were.
    fn cut(&self) -> Result<u64, Error> {
        let cut = || -> io::Result<u64> {
            let excess = self.file.metadata()?.len() - self.end;
            if excess > 0 {
                durable(|| Ok(()), || self.file.set_len(self.end))?;
            }
            Ok(excess)
        };
        cut().map_err(Error::io(&self.path))
    }
}

/// The values of a file of lines, read beside its writer. A torn last line, or one that is being written, is passed
/// over; a file that is not there has no values.
///
/// # Errors
/// [`Error::Line`] when a whole line is not a `T`, [`Error::Io`].
pub fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>, Error> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(path)(e)),
    };
    let mut values = Vec::new();
    each_line(&file, path, |number, line| {
        values.push(parse(path, number, line)?);
        Ok(true)
    })?;
    Ok(values)
}

/// Visits the whole lines, numbered from 1, until `visit` says `false`; the bytes of those it said `true` to.
fn each_line(file: &File, path: &Path, mut visit: impl FnMut(u64, &[u8]) -> Result<bool, Error>) -> Result<u64, Error> {
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut line, mut end, mut number) = (Vec::new(), 0, 1);
    while reader.read_until(b'\n', &mut line).map_err(Error::io(path))? > 0 && line.ends_with(b"\n") {
        if !visit(number, &line)? {
            break;
        }
        end += line.len() as u64;
        number += 1;
        line.clear();
    }
    Ok(end)
}

fn parse<T: DeserializeOwned>(path: &Path, line: u64, text: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(text).map_err(|source| Error::Line { path: path.to_owned(), line, source })
}
