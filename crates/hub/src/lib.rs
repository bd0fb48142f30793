//! Models, adapters and datasets of the Hugging Face Hub, by `hf:owner/name[@revision][/path]`: fetched once into the cache that
//! other tools share, each file checked, and found there again without a network.
//!
//! - [`Address`]: what a study writes
//! - [`Settings`]: the usual variables (`HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE`, …)
//! - [`Hub::get`]: the files of an address in the cache, downloaded where they are missing
//! - [`Wanted`]: which of a repository's files are meant
//!
//! The cache's layout, the requests and how a download goes on where it was cut off are the crate `hf-hub`'s. On top of it: one
//! commit for all files of an address, checksums, what is missing said before anything large is downloaded, and errors that tell what
//! to do.

mod address;
mod cache;
mod download;
mod error;
mod hub;
mod listing;
mod progress;
mod settings;
mod wanted;

pub use address::{Address, PREFIX};
pub use error::Error;
pub use hub::{Found, Hub};
pub use progress::Progress;
pub use settings::Settings;
pub use wanted::Wanted;
