//! The whole lines of a growing file, each read once.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;

/// A file, and how far it was read.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Bytes of the whole lines read so far.
    end: u64,
}

/// What a look at the file found.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Perhaps nothing: so many new whole lines.
    Grown(u64),
    /// It is shorter than what was read of it. It is read from the beginning next time; what was read so far is void.
    Cut,
}

impl Tail {
    /// Nothing is read yet; the file need not be there.
    pub fn new(path: PathBuf) -> Self {
        Self { path, end: 0 }
    }

    /// Gives every new whole line, without its end, to `line`. A torn last line, or one being written, waits.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or is no plain file.
    pub fn read(&mut self, mut line: impl FnMut(&[u8])) -> io::Result<Change> {
        let length = match std::fs::metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(e),
            Ok(there) if there.is_file() => there.len(),
            Ok(_) => return Err(io::Error::new(io::ErrorKind::InvalidInput, "is not a plain file")),
        };
        if length < self.end {
            self.end = 0;
            return Ok(Change::Cut);
        }
        if length == self.end {
            return Ok(Change::Grown(0));
        }
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&self.path)?);
        reader.seek(SeekFrom::Start(self.end))?;
        let (mut text, mut lines) = (Vec::new(), 0);
        while reader.read_until(b'\n', &mut text)? > 0 && text.ends_with(b"\n") {
            self.end += text.len() as u64;
            lines += 1;
            text.pop();
            line(&text);
            text.clear();
        }
        Ok(Change::Grown(lines))
    }

    /// Reads from the beginning next time.
    pub fn forget(&mut self) {
        self.end = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn reads_each_whole_line_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let mut tail = Tail::new(path.clone());
        let mut read = |content: &str| {
            fs::write(&path, content).unwrap();
            let mut lines = Vec::new();
            let change = tail.read(|line| lines.push(String::from_utf8_lossy(line).into_owned())).unwrap();
            (change, lines.join("|"))
        };
        assert_eq!(read(""), (Change::Grown(0), String::new()));
        assert_eq!(read("a\nb\nc"), (Change::Grown(2), "a|b".into()));
        assert_eq!(read("a\nb\nc"), (Change::Grown(0), String::new()));
        assert_eq!(read("a\nb\ncd\n\n"), (Change::Grown(2), "cd|".into()));
        assert_eq!(read("a\n"), (Change::Cut, String::new()));
        assert_eq!(read("a\n"), (Change::Grown(1), "a".into()));
    }

    #[test]
    fn a_file_may_come_later_and_must_be_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut tail = Tail::new(folder.path().join("none"));
        assert_eq!(tail.read(|_| ()).unwrap(), Change::Grown(0));
        assert!(Tail::new(folder.path().to_owned()).read(|_| ()).is_err());
    }
}
