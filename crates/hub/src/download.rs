//! One file into the cache: retried, gone on with where it was cut off, and checked.

use std::fs::File;
use std::io::Read;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use hf_hub::api::sync::{ApiError, ApiRepo};
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::listing::{Checksum, RepoFile};
use crate::progress::Progress;

/// Attempts in a row that bring nothing new.
const ATTEMPTS: u32 = 5;

/// Why a file did not arrive.
#[derive(Debug)]
pub(crate) enum Fault {
    Status(u16),
    /// Of the network or the disk, after several attempts.
    Cut(String),
    /// It arrived twice, and differs from what the hub says.
    Differs(String),
}

/// Tells of a download's bytes; the library wants a value of its own for each file.
struct Told<'p> {
    file: &'p str,
    done: u64,
    total: u64,
    received: &'p mut u64,
    progress: &'p mut dyn FnMut(Progress<'_>),
}

impl hf_hub::api::Progress for Told<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.done, self.total) = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        *self.received += size as u64;
        (self.progress)(Progress::Bytes { file: self.file, done: self.done, total: self.total });
    }

    fn finish(&mut self) {}
}

/// Has the file of this commit in the cache. `blob` is where its bytes go, where that is known beforehand.
///
/// # Errors
/// [`Fault`].
pub(crate) fn download(
    repo: &ApiRepo,
    file: &RepoFile,
    snapshot: &Path,
    blob: Option<&Path>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), Fault> {
    let path = snapshot.join(&file.name);
    let (mut fruitless, mut differed) = (0, false);
    loop {
        let mut received = 0;
        let told = Told { file: &file.name, done: 0, total: 0, received: &mut received, progress };
        // The library trusts what a server says of redirections and lengths, and panics where that is nonsense.
        let result = std::panic::catch_unwind(AssertUnwindSafe(|| repo.download_with_progress(&file.name, told)));
        let fault = match result {
            Ok(Ok(_)) => match check(&path, file) {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    forget(&path, blob);
                    if differed {
                        return Err(Fault::Differs(fault));
                    }
                    differed = true;
                    continue;
                }
            },
            Ok(Err(ApiError::LockAcquisition(_))) => {
                progress(Progress::Waiting { file: &file.name });
                if check(&path, file).is_ok() {
                    return Ok(());
                }
                continue;
            }
            Ok(Err(ApiError::RequestError(error))) => match *error {
                // What is there already is all of it, or more: nothing can follow.
                ureq::Error::StatusCode(416) => {
                    forget(&path, blob);
                    "it asked for bytes behind the end".to_owned()
                }
                ureq::Error::StatusCode(status @ (400..=407 | 409..=428 | 430..=499)) => {
                    return Err(Fault::Status(status));
                }
                error => error.to_string(),
            },
            Ok(Err(ApiError::InvalidResume)) => {
                forget(&path, blob);
                "more had arrived than there is".to_owned()
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => return Err(Fault::Cut("the server's answer makes no sense to the library that asked".into())),
        };
        fruitless = if received > 0 { 1 } else { fruitless + 1 };
        if fruitless >= ATTEMPTS {
            return Err(Fault::Cut(fault));
        }
        std::thread::sleep(Duration::from_millis(100 << (2 * fruitless)));
    }
}

/// Takes away what turned out to be wrong, so that the next attempt begins from nothing.
fn forget(path: &Path, blob: Option<&Path>) {
    let target = std::fs::canonicalize(path).ok();
    let parts = blob.map(|blob| blob.with_extension("part"));
    // What is not there needs no removing; whatever else is wrong, the next attempt will say.
    for path in [Some(path), target.as_deref(), blob, parts.as_deref()].into_iter().flatten() {
        let _ = std::fs::remove_file(path);
    }
}

/// Whether the bytes are those that the hub lists.
fn check(path: &Path, file: &RepoFile) -> Result<(), String> {
    let length = path.metadata().map_err(|e| e.to_string())?.len();
    if let Some(size) = file.size.filter(|size| *size != length) {
        return Err(format!("{length} bytes, not {size}"));
    }
    let (found, expected) = match &file.checksum {
        None => return Ok(()),
        Some(Checksum::Sha256(expected)) => (digest(path, Sha256::new()), expected),
        Some(Checksum::GitSha1(expected)) => {
            (digest(path, Sha1::new().chain_update(format!("blob {length}\0"))), expected)
        }
    };
    match found.map_err(|e| e.to_string())? {
        found if found == *expected => Ok(()),
        found => Err(format!("checksum {found}, not {expected}")),
    }
}

fn digest(path: &Path, mut hash: impl Digest) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = vec![0; 1 << 20];
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            read => hash.update(&bytes[..read]),
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
