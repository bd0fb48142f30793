//! Large responses line by line, as batches give their results: no more than a line is held.

use std::io::{BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use super::connection::{Body, CallError, Connection, Method, Response};
use crate::wire;

/// The longest line that is read.
const MAX_LINE_BYTES: u64 = 8 << 20;
/// Of an error, which comes instead of the lines.
const MAX_ERROR_BYTES: u64 = 1 << 20;

impl Connection {
    /// Gets `path`, and tells `each` of every line of the body: decoded, without secrets and without its line break. A status
    /// other than 200 has no lines; its body is in the response. `each` says whether to go on.
    ///
    /// The time that the settings allow is for each piece, not for the whole.
    ///
    /// # Errors
    /// [`CallError`]; lines before it were told.
    pub fn lines(&self, path: &str, each: &mut dyn FnMut(&str) -> bool) -> Result<Response, CallError> {
        let start = std::time::Instant::now();
        let response = self.open(Method::Get, path, Body::Nothing)?;
        let (status, headers) = (response.status().as_u16(), self.visible(response.headers()));
        let mut whole = Response { status, headers, text: String::new(), seconds: 0.0 };
        if status != 200 {
            let mut bytes = Vec::new();
            response.take(MAX_ERROR_BYTES).read_to_end(&mut bytes).map_err(|e| self.broken_off(0, &e))?;
            let (encoding, kind) = (whole.headers.get("content-encoding"), whole.headers.get("content-type"));
            let text = wire::decode(&bytes, encoding, kind).map_err(CallError::Unusable)?;
            whole.text = self.redactor().redact(&text);
            return Ok(whole);
        }
        let mut packed = BufReader::new(response);
        let is_gzip = packed.fill_buf().map_err(|e| self.broken_off(0, &e))?.starts_with(&[0x1f, 0x8b]);
        let plain: Box<dyn Read> = if is_gzip { Box::new(MultiGzDecoder::new(packed)) } else { Box::new(packed) };
        self.tell_lines(BufReader::new(plain), each)?;
        whole.seconds = start.elapsed().as_secs_f64();
        Ok(whole)
    }

    fn tell_lines(&self, mut reader: impl BufRead, each: &mut dyn FnMut(&str) -> bool) -> Result<(), CallError> {
        let (mut line, mut total) = (Vec::new(), 0);
        loop {
            line.clear();
            let n = (&mut reader)
                .take(MAX_LINE_BYTES + 1)
                .read_until(b'\n', &mut line)
                .map_err(|e| self.broken_off(total, &e))? as u64;
            total += n;
            if n == 0 {
                return Ok(());
            }
            if n > MAX_LINE_BYTES {
                return Err(CallError::Unusable(format!("a line is longer than {MAX_LINE_BYTES} bytes")));
            }
            let text = String::from_utf8_lossy(&line);
            let text = text.trim_start_matches('\u{feff}').trim_end_matches(['\n', '\r']);
            if !each(&self.redactor().redact(text)) {
                return Ok(());
            }
        }
    }
}
