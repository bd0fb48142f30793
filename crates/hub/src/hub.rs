//! The files of an address: from the cache, or from the hub into it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder};
use serde_json::Value;

use crate::address::{Address, is_path};
use crate::cache::{CachedRepo, repo};
use crate::download::{Fault, download};
use crate::error::Error;
use crate::listing::{Checksum, Listing, RepoFile};
use crate::progress::Progress;
use crate::settings::Settings;
use crate::wanted::{INDEX, Wanted};

/// Where the files of an address are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// A model's or adapter's folder; or the files themselves, sorted.
    pub paths: Vec<PathBuf>,
    /// What the revision is.
    pub commit: String,
}

/// A way to the hub and its cache.
pub struct Hub {
    settings: Settings,
}

/// Attempts to ask for a listing.
const ATTEMPTS: u32 = 4;
const TIMEOUT: Duration = Duration::from_secs(60);
/// A listing of more bytes is none.
const LARGEST: u64 = 256 << 20;

impl Hub {
    pub fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// The files of `address` in the cache; those that are missing are downloaded, all of one commit.
    ///
    /// # Errors
    /// Says what is missing, refused or broken, and what to do.
    pub fn get(
        &self,
        address: &Address,
        wanted: Wanted,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Found, Error> {
        let request = self.request(address, wanted);
        let here = request.here();
        if address.is_pinned()
            && let Ok(found) = here
        {
            return Ok(found);
        }
        if self.settings.is_offline {
            return here;
        }
        let api = request.api()?;
        let listing = match request.listing(&api) {
            Ok(listing) => listing,
            Err(Error::Unreachable { fault, .. }) if here.is_ok() => {
                let found = here?;
                progress(Progress::Cached { address, commit: &found.commit, because: &fault });
                return Ok(found);
            }
            Err(error) => return Err(error),
        };
        let mut chosen = choose(address, wanted, &listing)?;
        request.fetch(&api, &listing, &chosen, progress)?;
        if let Some(index) = chosen.iter().find(|file| is_index(file)) {
            let shards = shards(address, &request.cached, &listing, index)?;
            request.fetch(&api, &listing, &shards, progress)?;
            chosen.extend(shards);
        }
        request.cached.keep(&listing)?;
        Ok(request.found(&listing.commit, &chosen))
    }

    /// Whether all of it is in the cache; nothing is asked of the network.
    ///
    /// # Errors
    /// When what is there cannot be used, whatever the hub has besides.
    pub fn is_here(&self, address: &Address, wanted: Wanted) -> Result<bool, Error> {
        match self.request(address, wanted).here() {
            Ok(_) => Ok(true),
            Err(Error::Offline { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn request<'a>(&'a self, address: &'a Address, wanted: Wanted) -> Request<'a> {
        let cached = CachedRepo::new(&self.settings.cache, address, wanted);
        Request { settings: &self.settings, address, wanted, cached }
    }
}

/// An address, what it is wanted for, and its place in the cache.
struct Request<'a> {
    settings: &'a Settings,
    address: &'a Address,
    wanted: Wanted,
    cached: CachedRepo,
}

impl Request<'_> {
    /// Without the network.
    fn here(&self) -> Result<Found, Error> {
        let Self { settings, address, wanted, cached } = self;
        let missing = |missing: String| Error::Offline {
            repository: address.repo.clone(),
            missing,
            cache: settings.cache.clone(),
        };
        let commit = cached.commit().ok_or_else(|| missing(format!("revision `{}`", address.revision)))?;
        // Those that happen to be here may be less than a pattern means.
        let names_one = |listing: &Listing| {
            address.path.as_ref().is_some_and(|path| listing.files.iter().any(|file| file.name == *path))
        };
        let listing = cached.listing(&commit);
        if wanted.is_dataset() && !cached.is_listed(&commit) && !names_one(&listing) {
            return Err(missing("the list of its files".into()));
        }
        let mut chosen = choose(address, *wanted, &listing)?;
        let is_there = |files: &[&RepoFile]| match files.iter().find(|file| !cached.has(&commit, file)) {
            Some(file) => Err(missing(format!("`{}`", file.name))),
            None => Ok(()),
        };
        is_there(&chosen)?;
        if let Some(index) = chosen.iter().find(|file| is_index(file)) {
            let shards = shards(address, cached, &listing, index)?;
            is_there(&shards)?;
            chosen.extend(shards);
        }
        Ok(self.found(&commit, &chosen))
    }

    fn api(&self) -> Result<Api, Error> {
        let builder = ApiBuilder::from_cache(Cache::new(self.settings.cache.clone()))
            .with_endpoint(self.settings.endpoint.clone())
            .with_token(self.settings.token.clone())
            .with_user_agent("tunebench", env!("CARGO_PKG_VERSION"))
            .with_progress(false);
        builder.build().map_err(|e| self.unreachable(e.to_string()))
    }

    fn unreachable(&self, fault: String) -> Error {
        Error::Unreachable { repository: self.address.repo.clone(), endpoint: self.settings.endpoint.clone(), fault }
    }

    /// Asks the hub what is in the repository.
    fn listing(&self, api: &Api) -> Result<Listing, Error> {
        let api = api.repo(repo(self.address, self.wanted, &self.address.revision));
        let mut fault = String::new();
        for attempt in 0..ATTEMPTS {
            if attempt > 0 {
                std::thread::sleep(Duration::from_millis(250 << attempt));
            }
            let request = api.info_request().query("blobs", "true");
            let request = request.config().http_status_as_error(false).timeout_global(Some(TIMEOUT)).build();
            let mut response = match request.call() {
                Ok(response) => response,
                Err(error) => {
                    fault = error.to_string();
                    continue;
                }
            };
            let status = response.status().as_u16();
            let code = response.headers().get("x-error-code").and_then(|code| code.to_str().ok()).map(str::to_owned);
            if status == 429 || status >= 500 {
                fault = format!("status {status}");
                continue;
            }
            if status != 200 {
                return Err(self.refusal(status, code.as_deref()));
            }
            let text = match response.body_mut().with_config().limit(LARGEST).read_to_string() {
                Ok(text) => text,
                Err(error) => {
                    fault = error.to_string();
                    continue;
                }
            };
            let json: Value = serde_json::from_str(&text).map_err(|e| {
                content(self.address, format!("the hub's answer is not JSON ({e}); is HF_ENDPOINT a hub?"))
            })?;
            return Listing::from_json(&json).map_err(|fault| content(self.address, fault));
        }
        Err(self.unreachable(fault))
    }

    /// What a status means, in the hub's own codes.
    fn refusal(&self, status: u16, code: Option<&str>) -> Error {
        let (repository, token) = (self.address.repo.clone(), self.settings.about_token());
        match (status, code) {
            (404, Some("RevisionNotFound")) => {
                Error::NoRevision { repository, revision: self.address.revision.clone() }
            }
            (_, Some("GatedRepo")) => self.gated(),
            // Without a token the hub says 401 of what is not there, so that nobody learns what is private.
            (401 | 404, _) => Error::NoRepository { repository, token },
            _ => Error::Refused { repository, status, token },
        }
    }

    fn gated(&self) -> Error {
        let kind = if self.wanted.is_dataset() { "datasets/" } else { "" };
        let page = format!("{}/{kind}{}", self.settings.endpoint, self.address.repo);
        Error::Gated { repository: self.address.repo.clone(), page, token: self.settings.about_token() }
    }

    /// Downloads those of the files that are missing.
    fn fetch(
        &self,
        api: &Api,
        listing: &Listing,
        files: &[&RepoFile],
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), Error> {
        let Self { address, wanted, cached, .. } = self;
        let missing: Vec<&&RepoFile> = files.iter().filter(|file| !cached.has(&listing.commit, file)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let bytes = missing.iter().filter_map(|file| file.size).sum();
        progress(Progress::Planned { address, files: missing.len(), bytes });
        // All of one commit, whatever the branch becomes meanwhile.
        let repo = api.repo(repo(address, *wanted, &listing.commit));
        let snapshot = cached.snapshot(&listing.commit);
        for file in missing {
            if !is_path(&file.name) {
                return Err(content(address, format!("its file {:?} has a name that cannot be asked for", file.name)));
            }
            let blob = file.checksum.as_ref().map(|checksum| match checksum {
                Checksum::Sha256(name) | Checksum::GitSha1(name) => cached.blob(name),
            });
            let (repository, name) = (address.repo.clone(), file.name.clone());
            let arrived = download(&repo, file, &snapshot, blob.as_deref(), progress);
            arrived.map_err(|fault| match fault {
                Fault::Status(401 | 403) if listing.is_gated => self.gated(),
                Fault::Status(status @ (401 | 403)) => {
                    Error::Refused { repository, status, token: self.settings.about_token() }
                }
                Fault::Status(status) => Error::Download { repository, file: name, fault: format!("status {status}") },
                Fault::Cut(fault) => Error::Download { repository, file: name, fault },
                Fault::Differs(fault) => Error::Checksum { repository, file: name, fault },
            })?;
        }
        Ok(())
    }

    /// A folder, or the files.
    fn found(&self, commit: &str, chosen: &[&RepoFile]) -> Found {
        let Self { address, wanted, cached, .. } = self;
        let snapshot = cached.snapshot(commit);
        let names_a_file = chosen.iter().any(|file| address.path.as_ref() == Some(&file.name));
        let paths = match (wanted, &address.path) {
            // The others are read where they stand beside it.
            (Wanted::Tokenizer, _) => chosen.iter().take(1).map(|file| snapshot.join(&file.name)).collect(),
            (Wanted::Data, _) => chosen.iter().map(|file| snapshot.join(&file.name)).collect(),
            (_, Some(path)) if names_a_file => vec![snapshot.join(path)],
            (_, Some(folder)) => vec![snapshot.join(folder)],
            (_, None) => vec![snapshot],
        };
        Found { paths, commit: commit.into() }
    }
}

fn content(address: &Address, fault: String) -> Error {
    Error::Content { repository: address.repo.clone(), fault }
}

fn choose<'l>(address: &Address, wanted: Wanted, listing: &'l Listing) -> Result<Vec<&'l RepoFile>, Error> {
    wanted.choose(address.path.as_deref(), &listing.files).map_err(|fault| content(address, fault))
}

fn is_index(file: &RepoFile) -> bool {
    file.name.rsplit('/').next() == Some(INDEX)
}

/// The files that an index of weights names.
fn shards<'l>(
    address: &Address,
    cached: &CachedRepo,
    listing: &'l Listing,
    index: &RepoFile,
) -> Result<Vec<&'l RepoFile>, Error> {
    let path = cached.snapshot(&listing.commit).join(&index.name);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
    let json: Value = serde_json::from_str(&text).unwrap_or_default();
    let Some(map) = json.get("weight_map").and_then(Value::as_object) else {
        return Err(content(address, format!("`{}` has no `weight_map`", index.name)));
    };
    let folder = index.name.strip_suffix(INDEX).unwrap_or_default();
    let names: BTreeSet<&str> = map.values().filter_map(Value::as_str).collect();
    let find = |name: &str| {
        let file = listing.files.iter().find(|file| file.name.strip_prefix(folder) == Some(name));
        file.ok_or_else(|| content(address, format!("`{}` names {name:?}, which is not there", index.name)))
    };
    names.into_iter().map(find).collect()
}
