//! A file mapped into memory, read-only: its pages come when they are read, are shared by all processes that map it, and
//! are given back when memory is short, so that a file may be larger than that.
//!
//! Whoever changes the file changes the bytes, and whoever shortens it ends the process that reads on; what must not change
//! is compared by its owner, as a training does with all that is frozen.

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;

/// All bytes of a file, as they are while they are read.
pub struct Mapping {
    start: *const u8,
    len: usize,
}

// SAFETY: the bytes are only read, and belong to nobody's thread.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps a file.
    ///
    /// # Errors
    /// When the system cannot, or the file is empty.
    #[cfg(unix)]
    pub fn new(file: &File) -> io::Result<Self> {
        use std::os::fd::AsRawFd as _;
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new mapping, which nobody else has.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd(), 0) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self { start: start.cast(), len }) }
    }

    /// Elsewhere files are read.
    ///
    /// # Errors
    /// Always.
    #[cfg(not(unix))]
    pub fn new(_: &File) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Has the system begin to read these bytes, if they are not in memory; what is outside of the file is left out.
    pub fn will_need(&self, from: usize, len: usize) {
        #[cfg(unix)]
        {
            // A multiple of every system's page.
            const PAGE: usize = 1 << 16;
            let first = from.min(self.len) / PAGE * PAGE;
            let end = from.saturating_add(len).min(self.len);
            // SAFETY: within the mapping, which is read-only; it is advice and changes nothing.
            unsafe {
                libc::madvise(self.start.wrapping_add(first).cast_mut().cast(), end - first, libc::MADV_WILLNEED)
            };
        }
        #[cfg(not(unix))]
        let _ = (from, len);
    }
}

impl Deref for Mapping {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: mapped for as long as this lives, `len` bytes of it.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        #[cfg(unix)]
        // SAFETY: what was mapped, and nobody reads it any more.
        unsafe {
            libc::munmap(self.start.cast_mut().cast(), self.len);
        }
    }
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a mapping of {} bytes", self.len)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_mapping_has_the_bytes_of_its_file() {
        let mut file = tempfile::tempfile().unwrap();
        assert!(Mapping::new(&file).is_err(), "an empty file");
        let bytes: Vec<u8> = (0..10_000).map(|i| (i % 251) as u8).collect();
        file.write_all(&bytes).unwrap();
        let mapping = Mapping::new(&file).unwrap();
        assert_eq!(*mapping, *bytes);
        [(0, 10), (5000, 1 << 40), (20_000, 7)].iter().for_each(|(from, len)| mapping.will_need(*from, *len));
        assert_eq!(*mapping, *bytes);
    }
}
