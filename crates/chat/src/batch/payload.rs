//! The requests of a submission, as the file that is sent: of one model, as many as fit.

use std::path::Path;

use serde_json::Value;

use super::journal::{Sent, fault};
use super::provider::Provider;
use crate::error::ChatError;

/// A request that waits to be sent.
pub(super) struct Waiting<'a> {
    pub name: &'a str,
    pub body: Value,
    pub adapted: String,
}

/// Writes requests into a file, until there are `max_requests` or the next one would make it larger than `max_bytes`; which
/// they are. None, when the first alone is too large.
///
/// # Errors
/// [`ChatError::Journal`] when the file cannot be written.
pub(super) fn write<'a>(
    path: &Path,
    provider: &dyn Provider,
    (max_requests, max_bytes): (usize, u64),
    requests: impl Iterator<Item = Waiting<'a>>,
) -> Result<Vec<Sent>, ChatError> {
    let mut sent = Vec::new();
    let [before, between, behind] = provider.frame();
    tunebench_files::write_file(path, |out| {
        let mut bytes = (before.len() + behind.len()) as u64;
        out.write_all(before.as_bytes())?;
        for Waiting { name, body, adapted } in requests.take(max_requests.max(1)) {
            let line = provider.line(name, &body).to_string();
            bytes += (line.len() + between.len()) as u64;
            if bytes > max_bytes {
                break;
            }
            if !sent.is_empty() {
                out.write_all(between.as_bytes())?;
            }
            out.write_all(line.as_bytes())?;
            sent.push(Sent { name: name.to_owned(), adapted });
        }
        out.write_all(behind.as_bytes())
    })
    .map_err(fault)?;
    Ok(sent)
}
