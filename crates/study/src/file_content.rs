//! What files hold, named by content; and whether they changed while they were read.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use rayon::prelude::*;
use tunebench_files::PositionedFile;
use tunebench_spec::hash;

use crate::error::{Locate, StudyError};

/// Bytes that one thread hashes at a time.
const BLOCK: u64 = 8 << 20;

/// SHA-256 over the SHA-256 of every 8 MiB of a file, so that all threads take part.
///
/// # Errors
/// When it cannot be read.
pub fn content(path: &Path) -> Result<String, StudyError> {
    let file = PositionedFile::open(path)?;
    let blocks: Vec<u64> = (0..file.length().div_ceil(BLOCK)).collect();
    let hash_of = |block: &u64| -> Result<String, StudyError> {
        let start = block * BLOCK;
        let mut bytes = vec![0; (file.length() - start).min(BLOCK) as usize];
        file.read_exact_at(start, &mut bytes)?;
        Ok(hash::of_bytes(&bytes))
    };
    let hashes: Vec<String> = blocks.par_iter().map(hash_of).collect::<Result<_, _>>()?;
    Ok(hash::of_json(&(file.length(), hashes))?)
}

/// The content of this program: what it makes of the same files may differ from what another version makes of them. None
/// where the system does not show it.
pub fn program() -> Option<&'static str> {
    static PROGRAM: OnceLock<Option<String>> = OnceLock::new();
    // The file at the program's path may be another one by now.
    let running = Path::new("/proc/self/exe");
    let path = || if running.exists() { Some(running.to_owned()) } else { std::env::current_exe().ok() };
    PROGRAM.get_or_init(|| content(&path()?).ok()).as_deref()
}

/// What a change of a file would change, but for one that is hidden on purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// On Unix its number, and when it, or what is known of it, changed last: no program can set that back.
    of_unix: Option<[i64; 3]>,
}

impl Stamp {
    /// That of a file now.
    ///
    /// # Errors
    /// When there is none.
    pub fn of(path: &Path) -> Result<Self, StudyError> {
        let found = std::fs::metadata(path).at(path.display())?;
        Ok(Self { length: found.len(), modified: found.modified().ok(), of_unix: of_unix(&found) })
    }

    /// Those of several files, and the bytes that they have together.
    ///
    /// # Errors
    /// When one of them is not there.
    pub fn of_all(paths: &[PathBuf]) -> Result<(Vec<Self>, u64), StudyError> {
        let stamps: Vec<Self> = paths.iter().map(|path| Self::of(path)).collect::<Result<_, _>>()?;
        let bytes = stamps.iter().map(|stamp| stamp.length).sum();
        Ok((stamps, bytes))
    }
}

#[cfg(unix)]
fn of_unix(found: &Metadata) -> Option<[i64; 3]> {
    use std::os::unix::fs::MetadataExt;
    Some([found.ino().cast_signed(), found.ctime(), found.ctime_nsec()])
}

#[cfg(not(unix))]
fn of_unix(_: &Metadata) -> Option<[i64; 3]> {
    None
}
