//! Claims: who does a piece of work, among processes of one machine or of several that see one folder.
//!
//! ```text
//! FOLDER/NAME.3    the third claim of NAME: who has it, and a count that goes up as long as he lives
//! ```
//!
//! The claim with the highest number counts. It is made with `O_EXCL`, so of several that want it one gets it, also where file
//! locks do not cross machines. Whether its owner lives is told in two ways: on its own machine by the lock that it holds on
//! the file, which ends with the process; from another one by its count, which must go up within the patience that is asked for, by the
//! clock of whoever looks. So no clocks are compared, and a machine that is gone loses its claims after that time.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::folder::create_folder;
use crate::lock::{is_unsupported, lock};

/// Counts of an owner within the patience that is asked for: so many may be lost before he counts as gone.
const BEATS: u32 = 6;

/// Who has a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The name of the machine, as its kernel says it.
    pub host: String,
    pub process: u32,
    /// The job of a scheduler, where one started it.
    #[serde(default)]
    pub job: String,
}

/// What is in the file of a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Content {
    #[serde(flatten)]
    owner: Owner,
    /// Goes up as long as the owner lives.
    beat: u64,
    /// He let it go by himself.
    #[serde(default)]
    is_free: bool,
}

/// The claims of one process in a folder.
pub struct Claims {
    folder: PathBuf,
    me: Owner,
    patience: Duration,
    /// Of each claim of another machine that was looked at, how it stood last.
    seen: Mutex<BTreeMap<String, Seen>>,
}

/// A claim of another machine, as it was seen first with this count.
struct Seen {
    number: u64,
    content: Option<Content>,
    since: Instant,
}

/// A claim that this process has. Dropped, it is free for others.
pub struct Claim {
    /// Ends the thread that counts.
    end: Option<Sender<()>>,
    counter: Option<JoinHandle<()>>,
    is_lost: Arc<AtomicBool>,
}

/// What the lock on a claim's file says.
#[derive(Clone, Copy)]
enum LockState {
    Held,
    Free,
    /// The file system knows none.
    Unknown,
}

/// What came of wanting a claim.
pub enum Taken {
    Mine(Claim),
    /// Another process has it; who, where that can be read.
    Busy(Option<Owner>),
}

impl Claims {
    /// Claims in this folder, which is made if it is missing. An owner on another machine who gives no sign for `patience`
    /// has lost his.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn new(folder: &Path, me: Owner, patience: Duration) -> Result<Self, Error> {
        create_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), me, patience, seen: Mutex::default() })
    }

    /// Takes the claim of this name, unless another process has it, or gets it first. It does not wait. A name has letters,
    /// digits and hyphens only.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn take(&self, name: &str) -> Result<Taken, Error> {
        let top = self.top(name)?;
        if let Some(number) = top
            && let Some(busy) = self.busy(name, number)?
        {
            return Ok(busy);
        }
        let number = top.map_or(1, |number| number + 1);
        let path = self.path(name, number);
        let file = match OpenOptions::new().read(true).write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(Taken::Busy(None)),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        match lock(&file, &path) {
            // Whoever looks at it does so for a moment only.
            Err(Error::Locked { .. }) => {
                let _ = fs::remove_file(&path);
                return Ok(Taken::Busy(None));
            }
            locked => locked?,
        }
        let content = Content { owner: self.me.clone(), beat: 0, is_free: false };
        write(&path, &content)?;
        // Somebody who knew of no more than of an earlier one may have made this, while a later one was there.
        if self.top(name)? != Some(number) {
            let _ = fs::remove_file(&path);
            return Ok(Taken::Busy(None));
        }
        for earlier in self.numbers(name)?.into_iter().filter(|earlier| *earlier < number) {
            // It says nothing any more.
            let _ = fs::remove_file(self.path(name, earlier));
        }
        Ok(Taken::Mine(Claim::begin(file, path, self.path(name, number + 1), content, self.patience / BEATS)))
    }

    /// Who has the claim of this name now, as far as can be told without waiting.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn owner(&self, name: &str) -> Result<Option<Owner>, Error> {
        let Some(number) = self.top(name)? else { return Ok(None) };
        Ok(match self.busy(name, number)? {
            Some(Taken::Busy(owner)) => owner,
            _ => None,
        })
    }

    /// Whether this claim is another's; none when it is free.
    fn busy(&self, name: &str, number: u64) -> Result<Option<Taken>, Error> {
        let path = self.path(name, number);
        let file = match OpenOptions::new().read(true).write(true).open(&path) {
            Ok(file) => file,
            // Somebody went on from it just now.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some(Taken::Busy(None))),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        let lock = match file.try_lock() {
            Ok(()) => file.unlock().map_or(LockState::Unknown, |()| LockState::Free),
            Err(TryLockError::WouldBlock) => LockState::Held,
            Err(TryLockError::Error(error)) if is_unsupported(&error) => LockState::Unknown,
            Err(TryLockError::Error(error)) => return Err(Error::io(&path)(error)),
        };
        // One that is being written is nobody's yet, and not free.
        let content: Option<Content> = read(&path)?;
        let owner = content.as_ref().map(|content| content.owner.clone());
        let is_here = owner.as_ref().is_some_and(|owner| owner.host == self.me.host);
        let is_free = match lock {
            LockState::Held => false,
            LockState::Free if is_here => true,
            LockState::Free | LockState::Unknown => {
                content.as_ref().is_some_and(|content| content.is_free) || self.is_silent(name, number, content)
            }
        };
        Ok((!is_free).then_some(Taken::Busy(owner)))
    }

    /// Whether nothing of a claim has changed since it was seen first, for longer than is waited.
    fn is_silent(&self, name: &str, number: u64, content: Option<Content>) -> bool {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(name) {
            Some(seen) if seen.number == number && seen.content == content => seen.since.elapsed() > self.patience,
            _ => {
                seen.insert(name.to_owned(), Seen { number, content, since: Instant::now() });
                false
            }
        }
    }

    fn path(&self, name: &str, number: u64) -> PathBuf {
        self.folder.join(format!("{name}.{number}"))
    }

    /// The number of the claim that counts.
    fn top(&self, name: &str) -> Result<Option<u64>, Error> {
        Ok(self.numbers(name)?.into_iter().max())
    }

    fn numbers(&self, name: &str) -> Result<Vec<u64>, Error> {
        let entries = fs::read_dir(&self.folder).map_err(Error::io(&self.folder))?;
        let mut numbers = Vec::new();
        for entry in entries {
            let file = entry.map_err(Error::io(&self.folder))?.file_name();
            let number: Option<u64> =
                file.to_str().and_then(|file| file.strip_prefix(name)?.strip_prefix('.')?.parse().ok());
            numbers.extend(number);
        }
        Ok(numbers)
    }
}

impl Claim {
    /// Counts in the file, which is locked, until the claim is dropped or another one went on from it: `next` is there, or the file is not.
    fn begin(file: File, path: PathBuf, next: PathBuf, mut content: Content, every: Duration) -> Self {
        let (end, ended) = channel::<()>();
        let is_lost = Arc::new(AtomicBool::new(false));
        let lost = is_lost.clone();
        let counter = std::thread::spawn(move || {
            while ended.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // Whoever has the one after the next took both away.
                if next.exists() || matches!(path.try_exists(), Ok(false)) {
                    lost.store(true, Ordering::Relaxed);
                    return;
                }
                content.beat += 1;
                // One that cannot be written is like one that is late: whoever goes on may take it for lost, and is noticed.
                let _ = write(&path, &content);
            }
            content.is_free = true;
            let _ = write(&path, &content);
            drop(file);
        });
        Self { end: Some(end), counter: Some(counter), is_lost }
    }

    /// Whether another process has taken it over, because this one gave no sign: what it does must end unwritten.
    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(counter) = self.counter.take() {
            // Its thread writes a file and cannot panic.
            let _ = counter.join();
        }
    }
}

/// Writes what is in a claim in place: its lock is on this very file. A reader who meets half of it takes it for a change.
fn write(path: &Path, content: &Content) -> Result<(), Error> {
    let mut text = serde_json::to_vec(content).map_err(Error::json(path))?;
    text.push(b'\n');
    let write = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        (&file).write_all(&text)?;
        file.set_len(text.len() as u64)?;
        file.sync_data()
    };
    write().map_err(Error::io(path))
}

/// What is in a claim; none while it is being written.
fn read(path: &Path) -> Result<Option<Content>, Error> {
    match fs::read(path) {
        Ok(text) => Ok(serde_json::from_slice(&text).ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io(path)(error)),
    }
}
