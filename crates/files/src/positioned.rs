//! Files that are read at any place, by several threads at once, and files without a name that hold what memory should not.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::folder::create_folder;

/// An open file to be read at any place. What it shows is the file that was opened, even when another takes its name or
/// its name is removed.
#[derive(Debug)]
pub struct PositionedFile {
    file: Reader,
    path: PathBuf,
    length: u64,
}

impl PositionedFile {
    /// Opens a file that is there.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let open = || -> io::Result<Self> {
            let file = File::open(path)?;
            let length = file.metadata()?.len();
            Ok(Self { file: Reader::new(file), path: path.to_owned(), length })
        };
        open().map_err(Error::io(path))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes it had when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills all of `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`], also when the file ends before.
    pub fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(offset, bytes).map_err(Error::io(&self.path))
    }
}

/// A file without a name, gone with this value and with the process, however that ends. It is not made before something is
/// appended.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    file: Option<Reader>,
    length: u64,
}

impl Scratch {
    /// In this folder, which is made when it is needed.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), file: None, length: 0 }
    }

    /// Bytes appended so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes; where they begin.
    ///
    /// # Errors
    /// [`Error::Io`], with the folder: above all when there is no room.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        if self.file.is_none() {
            create_folder(&self.folder)?;
            let file = tempfile::tempfile_in(&self.folder).map_err(Error::io(&self.folder))?;
            self.file = Some(Reader::new(file));
        }
        let start = self.length;
        if let Some(file) = &mut self.file {
            file.append(bytes).map_err(Error::io(&self.folder))?;
        }
        self.length += bytes.len() as u64;
        Ok(start)
    }

    /// Fills all of `bytes` from `offset` on.
    ///
    /// # Errors
    /// [`Error::Io`], with the folder, also when less was appended.
    pub fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let read = match &self.file {
            Some(file) => file.read_exact_at(offset, bytes),
            None if bytes.is_empty() => Ok(()),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        read.map_err(Error::io(&self.folder))
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Reader(File);

#[cfg(unix)]
impl Reader {
    fn new(file: File) -> Self {
        Self(file)
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(&self.0, bytes, offset)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Nothing else moves the place at which this one writes.
        io::Write::write_all(&mut self.0, bytes)
    }
}

/// Where a file has one place only, readers take turns.
#[cfg(not(unix))]
#[derive(Debug)]
struct Reader(std::sync::Mutex<File>);

#[cfg(not(unix))]
impl Reader {
    fn new(file: File) -> Self {
        Self(std::sync::Mutex::new(file))
    }

    fn read_exact_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        use std::io::{Read, Seek};
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(io::SeekFrom::Start(offset))?;
        file.read_exact(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        use std::io::{Seek, Write};
        let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        file.seek(io::SeekFrom::End(0))?;
        file.write_all(bytes)
    }
}
