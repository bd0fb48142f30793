//! What is in the cache already: the layout that all of Hugging Face's tools share, and beside it the listing of each commit, so
//! that a pattern means the same files without a network.

use std::path::{Path, PathBuf};

use hf_hub::{Cache, Repo, RepoType};

use crate::address::{Address, is_commit};
use crate::error::Error;
use crate::listing::{Listing, RepoFile};
use crate::wanted::Wanted;

/// One repository in the cache.
pub(crate) struct CachedRepo {
    cache: Cache,
    repo: Repo,
    folder: PathBuf,
}

/// Folders within folders that are looked through for files.
const DEEPEST: usize = 8;

pub(crate) fn repo(address: &Address, wanted: Wanted, revision: &str) -> Repo {
    let kind = if wanted.is_dataset() { RepoType::Dataset } else { RepoType::Model };
    Repo::with_revision(address.repo.clone(), kind, revision.to_owned())
}

impl CachedRepo {
    pub(crate) fn new(cache: &Path, address: &Address, wanted: Wanted) -> Self {
        let repo = repo(address, wanted, &address.revision);
        Self { folder: cache.join(repo.folder_name()), cache: Cache::new(cache.into()), repo }
    }

    /// The commit that the revision was when it was asked for last.
    pub(crate) fn commit(&self) -> Option<String> {
        if is_commit(self.repo.revision()) {
            return Some(self.repo.revision().into());
        }
        let text = std::fs::read_to_string(self.folder.join("refs").join(self.repo.revision())).ok()?;
        Some(text.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// The folder with the files of a commit.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn blob(&self, name: &str) -> PathBuf {
        self.folder.join("blobs").join(name)
    }

    /// Whether the file of a commit is there, as long as it should be.
    pub(crate) fn has(&self, commit: &str, file: &RepoFile) -> bool {
        let path = self.snapshot(commit).join(&file.name);
        path.metadata().is_ok_and(|found| found.is_file() && file.size.is_none_or(|size| size == found.len()))
    }

    fn listing_file(&self, commit: &str) -> PathBuf {
        self.folder.join(".listings").join(format!("{commit}.json"))
    }

    /// All files of a commit, whether here or not: as the hub listed them when it was asked, else those that are here.
    pub(crate) fn listing(&self, commit: &str) -> Listing {
        let kept = std::fs::read(self.listing_file(commit)).ok().and_then(|text| serde_json::from_slice(&text).ok());
        kept.filter(|listing: &Listing| listing.commit == commit).unwrap_or_else(|| {
            let mut files = Vec::new();
            walk(&self.snapshot(commit), "", DEEPEST, &mut files);
            files.sort_by(|a, b| a.name.cmp(&b.name));
            Listing { commit: commit.into(), files, is_gated: false }
        })
    }

    /// Whether the hub's own listing of this commit is kept.
    pub(crate) fn is_listed(&self, commit: &str) -> bool {
        self.listing_file(commit).is_file()
    }

    /// Keeps what a revision is now, and its listing.
    ///
    /// # Errors
    /// When the cache cannot be written.
    pub(crate) fn keep(&self, listing: &Listing) -> Result<(), Error> {
        let path = self.listing_file(&listing.commit);
        if let Some(folder) = path.parent() {
            tunebench_files::create_folder(folder)?;
        }
        tunebench_files::write_json(&path, listing)?;
        if is_commit(self.repo.revision()) {
            return Ok(());
        }
        let to_ref = self.cache.repo(self.repo.clone()).create_ref(&listing.commit);
        to_ref.map_err(|source| Error::Io { path: self.folder.join("refs"), source })
    }
}

fn walk(folder: &Path, prefix: &str, depth: usize, files: &mut Vec<RepoFile>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, Some(name)) = (entry.path(), entry.file_name().to_str().map(|name| format!("{prefix}{name}")))
        else {
            continue;
        };
        if path.is_dir() && depth > 0 {
            walk(&path, &format!("{name}/"), depth - 1, files);
        } else if path.is_file() {
            files.push(RepoFile { name, size: None, checksum: None });
        }
    }
}
