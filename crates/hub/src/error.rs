//! Why something of the hub is not here.

use std::path::PathBuf;

/// A fault with what it is about and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("`{text}`: {fault}; write hf:owner/name, with @revision and /path behind it where you mean one")]
    Address { text: String, fault: String },
    #[error("no folder for the hub's cache: set HF_HOME, HF_HUB_CACHE or HOME")]
    NoCache,
    #[error("{repository}: there is no such repository, or it is private and the token may not see it; {token}")]
    NoRepository { repository: String, token: &'static str },
    #[error("{repository}: no revision `{revision}`")]
    NoRevision { repository: String, revision: String },
    #[error("{repository}: access is gated; ask for it at {page}, {token}")]
    Gated { repository: String, page: String, token: &'static str },
    #[error("{repository}: the hub does not let this token in (status {status}); {token}")]
    Refused { repository: String, status: u16, token: &'static str },
    #[error("{repository}: {fault}")]
    Content { repository: String, fault: String },
    #[error("{repository}: {missing} is not in the cache {cache}, and HF_HUB_OFFLINE forbids to fetch it")]
    Offline { repository: String, missing: String, cache: PathBuf },
    #[error(
        "{repository}: the hub at {endpoint} could not be reached: {fault}; set HF_ENDPOINT for a mirror, or HF_HUB_OFFLINE=1 to use what is cached"
    )]
    Unreachable { repository: String, endpoint: String, fault: String },
    #[error("{repository}: `{file}`: {fault}; what has arrived is kept, run it again to go on")]
    Download { repository: String, file: String, fault: String },
    #[error(
        "{repository}: `{file}` arrived twice with other contents than the hub says ({fault}); the mirror or a proxy may be damaged"
    )]
    Checksum { repository: String, file: String, fault: String },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Files(#[from] tunebench_files::Error),
}
