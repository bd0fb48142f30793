//! What a study takes from the hub: each address is looked up once a process, downloaded where it is not in the cache.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

pub use tunebench_hub::Progress as Download;
use tunebench_hub::{Address, Hub, PREFIX, Settings, Wanted};

use crate::error::StudyError;

/// Told of downloads as they go on.
pub type OnDownload = Box<dyn Fn(Download<'_>) + Send + Sync>;

/// The hub as a study uses it.
pub struct HubFiles {
    on_download: OnDownload,
    found: Mutex<Known>,
}

/// What was found so far.
#[derive(Default)]
struct Known {
    paths: BTreeMap<(Address, Wanted), Vec<PathBuf>>,
    /// What a revision of a repository is, of a dataset or not: one commit for all that is taken of it, whatever it becomes
    /// meanwhile.
    commits: BTreeMap<(String, String, bool), String>,
}

/// Whether a study's path is an address of the hub.
pub fn is_address(text: &str) -> bool {
    text.starts_with(PREFIX)
}

impl HubFiles {
    /// Nothing is asked of it yet.
    pub fn new(on_download: OnDownload) -> Self {
        Self { on_download, found: Mutex::default() }
    }

    /// The files of an address.
    ///
    /// # Errors
    /// As [`Hub::get`].
    pub fn paths(&self, text: &str, wanted: Wanted) -> Result<Vec<PathBuf>, StudyError> {
        let address: Address = text.parse()?;
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (address, wanted);
        if let Some(paths) = found.paths.get(&key) {
            return Ok(paths.clone());
        }
        let repository = (key.0.repo.clone(), key.0.revision.clone(), wanted == Wanted::Data);
        let mut address = key.0.clone();
        if let Some(commit) = found.commits.get(&repository) {
            address.revision.clone_from(commit);
        }
        let hub = Hub::new(Settings::from_env()?);
        let now = hub.get(&address, wanted, &mut |progress| (self.on_download)(progress))?;
        found.commits.insert(repository, now.commit);
        found.paths.insert(key, now.paths.clone());
        Ok(now.paths)
    }

    /// Whether the environment forbids to fetch anything.
    ///
    /// # Errors
    /// When there is no cache.
    pub fn is_offline(&self) -> Result<bool, StudyError> {
        Ok(Settings::from_env()?.is_offline)
    }

    /// Whether all of an address is in the cache.
    ///
    /// # Errors
    /// When it is no address, there is no cache, or what is in it cannot be used.
    pub fn is_here(&self, text: &str, wanted: Wanted) -> Result<bool, StudyError> {
        Ok(Hub::new(Settings::from_env()?).is_here(&text.parse()?, wanted)?)
    }
}

impl Default for HubFiles {
    fn default() -> Self {
        Self::new(Box::new(|_| {}))
    }
}
