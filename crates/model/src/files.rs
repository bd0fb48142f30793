//! Reading files whose content is not trusted.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::Error;

/// Text files (configurations, tokenizers) are far smaller than this.
const LARGEST_TEXT: u64 = 1 << 28;

/// What a clone without Git LFS has in place of a large file begins so.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/";

/// A file read forward or from a given place, never past its end: no length in a file is believed further than
/// the file reaches.
pub(crate) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    at: u64,
    len: u64,
}

impl Reader {
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let meta = file.metadata().map_err(Error::io(path))?;
        if !meta.is_file() {
            return Err(Error::unsupported(path, "is not a regular file"));
        }
        let mut file = BufReader::with_capacity(1 << 16, file);
        if file.fill_buf().map_err(Error::io(path))?.starts_with(LFS_POINTER) {
            let what = "is a Git LFS pointer in place of the file; `git lfs pull` in its folder fetches that";
            return Err(Error::unsupported(path, what));
        }
        Ok(Self { path: path.to_path_buf(), file, at: 0, len: meta.len() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes in the file.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Position of the next byte.
    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the end.
    pub(crate) fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.at)
    }

    pub(crate) fn seek(&mut self, at: u64) -> Result<(), Error> {
        self.file.seek(SeekFrom::Start(at)).map_err(Error::io(&self.path))?;
        self.at = at;
        Ok(())
    }

    /// Fills `buffer`; `what` names the content for the error.
    pub(crate) fn fill(&mut self, buffer: &mut [u8], what: &str) -> Result<(), Error> {
        self.check(buffer.len() as u64, what)?;
        self.file.read_exact(buffer).map_err(Error::io(&self.path))?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// The next `count` bytes.
    pub(crate) fn bytes(&mut self, count: u64, what: &str) -> Result<Vec<u8>, Error> {
        self.check(count, what)?;
        let mut buffer = vec![0; count as usize];
        self.fill(&mut buffer, what)?;
        Ok(buffer)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Error> {
        let mut buffer = [0; N];
        self.fill(&mut buffer, what)?;
        Ok(buffer)
    }

    pub(crate) fn corrupt(&self, fault: impl Into<String>) -> Error {
        Error::corrupt(&self.path, fault)
    }

    /// Whether numbers of the tensor `name` are such.
    ///
    /// # Errors
    /// [`Error::NotFinite`] has the first that is not.
    pub(crate) fn check_finite<T: Copy + Into<f32>>(&self, numbers: &[T], name: &str) -> Result<(), Error> {
        let is_finite = |number: &T| Into::<f32>::into(*number).is_finite();
        // All of them are looked at, which is faster than to stop at one that is hardly ever there.
        if numbers.iter().fold(true, |all, number| all & is_finite(number)) {
            return Ok(());
        }
        let number = numbers.iter().find(|number| !is_finite(number)).map_or(f32::NAN, |number| (*number).into());
        Err(Error::NotFinite { path: self.path.clone(), name: name.into(), number })
    }

    /// Whether so many bytes are left; `what` names the content for the error.
    pub(crate) fn check(&self, count: u64, what: &str) -> Result<(), Error> {
        if count <= self.remaining() && usize::try_from(count).is_ok() {
            return Ok(());
        }
        let (at, len) = (self.at, self.len);
        Err(self.corrupt(format!("{what} needs {count} bytes from byte {at} on, but the file has {len} bytes")))
    }
}

/// The whole of a UTF-8 text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    let mut reader = Reader::open(path)?;
    let len = reader.len();
    if len > LARGEST_TEXT {
        return Err(Error::unsupported(
            path,
            format!("has {len} bytes; a text of at most {LARGEST_TEXT} was expected"),
        ));
    }
    let bytes = reader.bytes(len, "the text")?;
    String::from_utf8(bytes).map_err(|e| Error::corrupt(path, format!("not UTF-8: {e}")))
}

/// A JSON file.
pub(crate) fn read_json(path: &Path) -> Result<serde_json::Value, Error> {
    serde_json::from_str(&read_text(path)?).map_err(|e| Error::corrupt(path, format!("not JSON: {e}")))
}
