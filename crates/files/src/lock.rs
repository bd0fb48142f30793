//! Who may write: a lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a lock is waited for. A child process holds what its parent had open from its fork until its exec, so a
/// lock that was let go may be held a moment longer; whoever means to write holds it for longer than that.
const PATIENCE: Duration = Duration::from_millis(500);

/// The right to write to what a file stands for, held until it is dropped or the process ends.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock by a file at `path`, which is made if it is missing, and stays.
    ///
    /// # Errors
    /// [`Error::Locked`] when another process, or another value of this one, holds it; [`Error::Io`].
    pub fn acquire(path: &Path) -> Result<Self, Error> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(Error::io(path))?;
        lock(&file, path)?;
        Ok(Self { _file: file })
    }
}

/// Locks an open file for itself alone.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: path.to_owned(), source }),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
        }
    }
}
