//! The files of a repository at one commit, as the hub lists them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::is_commit;

/// A repository's files.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listing {
    pub commit: String,
    pub files: Vec<RepoFile>,
    /// Whether its files are for those only who asked for access.
    #[serde(default)]
    pub is_gated: bool,
}

/// One file, and how to tell that it arrived whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RepoFile {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Checksum>,
}

/// What its bytes must hash to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Checksum {
    /// Of a file in large file storage.
    Sha256(String),
    /// git's own name of a blob: SHA-1 over `blob SIZE\0` and the bytes.
    GitSha1(String),
}

impl Listing {
    /// From the answer of `/api/models/ID/revision/REVISION?blobs=true`.
    ///
    /// # Errors
    /// What it lacks.
    pub(crate) fn from_json(json: &Value) -> Result<Self, String> {
        let commit = json.get("sha").and_then(Value::as_str).filter(|sha| is_commit(sha));
        let Some(commit) = commit else { return Err("the hub's answer names no commit (`sha`)".into()) };
        let Some(siblings) = json.get("siblings").and_then(Value::as_array) else {
            return Err("the hub's answer lists no files (`siblings`)".into());
        };
        let is_gated = json.get("gated").is_some_and(|gated| gated.is_string() || gated == true);
        Ok(Self { commit: commit.into(), files: siblings.iter().filter_map(file).collect(), is_gated })
    }
}

fn file(json: &Value) -> Option<RepoFile> {
    let name = json.get("rfilename")?.as_str()?.to_owned();
    let hex = |value: Option<&Value>, length: usize| {
        let text = value?.as_str()?;
        let text = text.strip_prefix("sha256:").unwrap_or(text);
        (text.len() == length && text.chars().all(|c| c.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
    };
    let checksum = match json.get("lfs").filter(|lfs| lfs.is_object()) {
        Some(lfs) => hex(lfs.get("sha256").or_else(|| lfs.get("oid")), 64).map(Checksum::Sha256),
        None => hex(json.get("blobId"), 40).map(Checksum::GitSha1),
    };
    let size = json.pointer("/lfs/size").or_else(|| json.get("size")).and_then(Value::as_u64);
    Some(RepoFile { name, size, checksum })
}
