//! Who may write: a lock that ends with its process, however that ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::error::Error;

/// How long a lock is waited for. A child process holds what its parent had open from its fork until its exec, so a
/// lock that was let go may be held a moment longer; whoever means to write holds it for longer than that.
const PATIENCE: Duration = Duration::from_millis(500);

/// `ENOLCK` of Linux: no lock service, as on NFS without one.
const NO_LOCKS: i32 = 37;

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
        let file = open(path)?;
        lock(&file, path)?;
        Ok(Self { _file: file })
    }

    /// As [`Lock::acquire`], and waits for whoever holds it.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn wait(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        match file.lock() {
            Err(error) if !is_unsupported(&error) => Err(Error::io(path)(error)),
            _ => Ok(Self { _file: file }),
        }
    }

    /// As [`Lock::acquire`], together with others who share it; nobody holds it alone meanwhile.
    ///
    /// # Errors
    /// As [`Lock::acquire`].
    pub fn share(path: &Path) -> Result<Self, Error> {
        let file = open(path)?;
        lock_shared(&file, path)?;
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> Result<File, Error> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(Error::io(path))
}

/// Locks an open file for itself alone. Where the file system knows no locks, it is as if nobody else had one.
pub(crate) fn lock(file: &File, path: &Path) -> Result<(), Error> {
    patiently(path, || file.try_lock())
}

/// Locks an open file together with others who do the same.
fn lock_shared(file: &File, path: &Path) -> Result<(), Error> {
    patiently(path, || file.try_lock_shared())
}

/// Whether an error says that the file system knows no locks, as some do over a network.
pub(crate) fn is_unsupported(error: &io::Error) -> bool {
    error.kind() == ErrorKind::Unsupported || error.raw_os_error() == Some(NO_LOCKS)
}

fn patiently(path: &Path, try_lock: impl Fn() -> Result<(), TryLockError>) -> Result<(), Error> {
    let start = Instant::now();
    loop {
        match try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if is_unsupported(&error) => return Ok(()),
            Err(TryLockError::Error(source)) => return Err(Error::Io { path: path.to_owned(), source }),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => sleep(Duration::from_millis(10)),
            Err(TryLockError::WouldBlock) => return Err(Error::Locked { path: path.to_owned() }),
        }
    }
}
