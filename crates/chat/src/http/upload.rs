//! A file sent as a form: its parts stream from the disk, so that its size costs no memory.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::Duration;

use reqwest::blocking::{Body, RequestBuilder};
use reqwest::header::CONTENT_TYPE;

/// Between parts. Lines of JSON do not begin with it: a dash stands in them only within quotation marks.
const BOUNDARY: &str = "----tunebench-7c1f2a9e4b6d4083";
/// Bytes a second that any network carries; the time for an upload is reckoned with it.
const SLOWEST_BYTES_PER_SECOND: u64 = 100_000;

/// A form of plain fields and one file.
#[derive(Clone, Copy, Debug)]
pub struct Upload<'a> {
    /// Names and values, such as `("purpose", "batch")`.
    pub fields: &'a [(&'a str, &'a str)],
    /// The name of the file's field, usually `file`.
    pub name: &'a str,
    pub path: &'a Path,
    /// As `application/jsonl`.
    pub content_type: &'a str,
}

impl Upload<'_> {
    /// The form as the body of a request, with time enough for it.
    ///
    /// # Errors
    /// Why the file cannot be read.
    pub(super) fn attach(&self, request: RequestBuilder) -> Result<RequestBuilder, String> {
        let fault = |e: std::io::Error| format!("{}: {e}", self.path.display());
        let file = File::open(self.path).map_err(fault)?;
        let file_bytes = file.metadata().map_err(fault)?.len();
        let mut head: String = self
            .fields
            .iter()
            .map(|(name, value)| {
                format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
            })
            .collect();
        let (name, content_type) = (self.name, self.content_type);
        head.push_str(&format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"requests.jsonl\"\r\n\
             Content-Type: {content_type}\r\n\r\n"
        ));
        let tail = format!("\r\n--{BOUNDARY}--\r\n");
        let bytes = head.len() as u64 + file_bytes + tail.len() as u64;
        let reader = Cursor::new(head).chain(file.take(file_bytes)).chain(Cursor::new(tail));
        Ok(request
            .header(CONTENT_TYPE, format!("multipart/form-data; boundary={BOUNDARY}"))
            .timeout(Duration::from_secs(120 + bytes / SLOWEST_BYTES_PER_SECOND))
            .body(Body::sized(reader, bytes)))
    }
}
