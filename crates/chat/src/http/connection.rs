//! A connection to a server: its address, what every request carries, and one call with its response. It knows no pace.

use std::io::Read;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use reqwest::blocking::{Client, RequestBuilder};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Url, redirect};
use tunebench_spec::study::{ChatSettings, Dialect};

use super::address;
use super::faults::{chain, describe};
use super::headers::Headers;
use super::settings::{self, Checked};
use super::time_text;
use super::upload::Upload;
use crate::error::ChatError;
use crate::{Redactor, wire};

/// The largest body that is read at once; a chat reply is a few kilobytes, and a megabyte with all its log-probabilities.
const MAX_BODY_BYTES: usize = 8 << 20;
/// What is kept of a body that cannot be read.
const MAX_KEPT_BYTES: usize = 1 << 20;
/// Characters; usual ones have a few dozen.
const LONGEST_REQUEST_ID: usize = 200;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server as the settings name it. Nothing that it hands out holds a secret.
pub struct Connection {
    base_url: String,
    url: Url,
    dialect: Dialect,
    is_loopback: bool,
    headers: HeaderMap,
    query: Vec<(String, String)>,
    redactor: Redactor,
    retries: u32,
    timeout: Duration,
    /// Made at the first request, so that whoever sends nothing needs no certificates.
    client: OnceLock<Result<Client, ChatError>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// What is sent along.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    Nothing,
    /// As bytes of JSON.
    Json(&'a [u8]),
    /// A file, as a form; it is read while it is sent.
    Form(&'a Upload<'a>),
}

/// A response, whatever its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    pub status: u16,
    pub headers: Headers,
    /// Decoded, and without secrets.
    pub text: String,
    /// Until the last byte was there.
    pub seconds: f64,
}

/// Why there is no response. Each holds a sentence.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError {
    /// No request arrived: it can be sent again without harm.
    NotSent(String),
    /// It was sent, and what came of it is not known: the server may have done it, and billed it.
    Lost(String),
    /// A response came that cannot be used, and would not become better.
    Unusable(String),
    /// As [`CallError::Unusable`], but the server did as it was told, and may have billed it: its body cannot be unpacked, or is
    /// too large. The text of the response is the beginning of what came, with U+FFFD for what is no text.
    Unread { reason: String, response: Box<Response> },
    /// No client can be made here.
    Client(ChatError),
}

impl Response {
    /// The server's time when it answered; this machine's where it does not say.
    pub fn server_time(&self) -> SystemTime {
        self.headers.get("date").and_then(time_text::date).unwrap_or_else(SystemTime::now)
    }

    /// How far the server's clock is ahead; none where it does not say. Its dates are whole seconds, so less than two is none.
    pub fn clock_skew_seconds(&self) -> Option<f64> {
        let server = self.headers.get("date").and_then(time_text::date)?;
        let seconds = match server.duration_since(SystemTime::now()) {
            Ok(ahead) => ahead.as_secs_f64(),
            Err(behind) => -behind.duration().as_secs_f64(),
        };
        Some(if seconds.abs() < 2.0 { 0.0 } else { seconds })
    }

    /// What the server calls this request, for inquiries with its operator; empty when it gives it no name.
    pub fn request_id(&self) -> String {
        let names = ["x-request-id", "request-id", "apim-request-id", "x-amzn-requestid", "cf-ray"];
        self.headers.first(&names).unwrap_or_default().chars().take(LONGEST_REQUEST_ID).collect()
    }
}

impl Connection {
    /// Checks the settings and reads what they name in the environment; connects to nothing.
    ///
    /// # Errors
    /// The field that is wrong, and what to do.
    pub fn new(settings: &ChatSettings) -> Result<Self, ChatError> {
        let checked = settings::check(settings, &|name| std::env::var(name))?;
        let Checked { url, dialect, is_loopback, headers, query, redactor } = checked;
        Ok(Self {
            base_url: address::name(&url),
            url,
            dialect,
            is_loopback,
            headers,
            query,
            redactor,
            retries: settings.retries,
            timeout: Duration::from_secs(settings.timeout_seconds),
            client: OnceLock::new(),
        })
    }

    /// The server's name: [`crate::server_name`] of the address in the settings.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Attempts after the first.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends one request, once. `path` is added to the base address, as `chat/completions`, or
    /// `batches?limit=1`.
    ///
    /// # Errors
    /// [`CallError`]; a status that says no is no error.
    pub fn call(&self, method: Method, path: &str, body: Body<'_>) -> Result<Response, CallError> {
        let start = Instant::now();
        let mut response = self.open(method, path, body)?;
        let (status, headers) = (response.status().as_u16(), self.visible(response.headers()));
        let (bytes, is_whole) = self.read(&mut response, start)?;
        let decoded = wire::decode(&bytes, headers.get("content-encoding"), headers.get("content-type"));
        let fault = match &decoded {
            _ if !is_whole => Some(format!("the response is larger than {MAX_BODY_BYTES} bytes")),
            Err(reason) => Some(self.redactor.redact(reason)),
            Ok(_) => None,
        };
        let text = decoded.unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned());
        let response = |text| Response { status, headers, text, seconds: start.elapsed().as_secs_f64() };
        // A secret is blanked out before it can be cut in two.
        let text = self.redactor.redact(&text);
        let Some(reason) = fault else { return Ok(response(text)) };
        let response = response(beginning(&text).to_owned());
        // Of a refusal the status says enough.
        if (200..300).contains(&status) {
            Err(CallError::Unread { reason, response: response.into() })
        } else {
            Ok(response)
        }
    }

    /// Sends a request, and waits for the head of its response.
    pub(super) fn open(
        &self,
        method: Method,
        path: &str,
        body: Body<'_>,
    ) -> Result<reqwest::blocking::Response, CallError> {
        let client = self.client.get_or_init(|| self.connect()).as_ref().map_err(|e| CallError::Client(e.clone()))?;
        let url = self.url_of(path).map_err(CallError::Unusable)?;
        let request = match method {
            Method::Get => client.get(url),
            Method::Post => client.post(url),
            Method::Delete => client.delete(url),
        };
        let request = self.with_body(request.headers(self.headers.clone()), body)?;
        request.send().map_err(|error| {
            let is_sent = !error.is_connect() && !error.is_builder();
            let reason = self.redactor.redact(&describe(error, self.timeout));
            if is_sent { CallError::Lost(reason) } else { CallError::NotSent(reason) }
        })
    }

    fn with_body(&self, request: RequestBuilder, body: Body<'_>) -> Result<RequestBuilder, CallError> {
        match body {
            Body::Nothing => Ok(request),
            Body::Json(bytes) => Ok(request.header(CONTENT_TYPE, "application/json").body(bytes.to_vec())),
            Body::Form(upload) => upload.attach(request).map_err(CallError::NotSent),
        }
    }

    /// That it takes no more requests, and why.
    pub fn refused(&self, reason: String) -> ChatError {
        ChatError::Refused { url: self.base_url.clone(), reason }
    }

    /// Headers of a response, without secrets.
    pub(super) fn visible(&self, headers: &HeaderMap) -> Headers {
        let text = |value: &[u8]| self.redactor.redact(&String::from_utf8_lossy(value));
        headers.iter().map(|(name, value)| (name.as_str(), text(value.as_bytes()))).collect()
    }

    fn url_of(&self, path: &str) -> Result<Url, String> {
        let (below, query) = path.split_once('?').unwrap_or((path, ""));
        // A path that a server named must not lead elsewhere.
        let is_plain = |part: &&str| {
            let chars = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:~".contains(&b));
            chars && !part.is_empty() && !part.starts_with('.')
        };
        let parts: Vec<&str> = below.split('/').collect();
        let added: Option<Vec<(&str, &str)>> = match path.contains('?') {
            true => {
                query.split('&').map(|pair| pair.split_once('=').filter(|p| is_plain(&p.0) && is_plain(&p.1))).collect()
            }
            false => Some(Vec::new()),
        };
        let Some(added) = added.filter(|_| parts.iter().all(is_plain)) else {
            return Err(format!("`{}` is no path below {}", path.escape_debug(), self.base_url));
        };
        let mut url = self.url.clone();
        url.path_segments_mut().map_err(|()| format!("{} has no path", self.base_url))?.pop_if_empty().extend(parts);
        if !self.query.is_empty() || !added.is_empty() {
            url.query_pairs_mut().extend_pairs(&self.query).extend_pairs(added);
        }
        Ok(url)
    }

    fn connect(&self) -> Result<Client, ChatError> {
        // Fails only when the process has a provider already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("tunebench/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .timeout(self.timeout)
            // A redirected POST would lose its body, and could carry the key elsewhere.
            .redirect(redirect::Policy::none())
            // The address holds the query, which may be secret.
            .referer(false);
        if self.url.scheme() == "http" {
            builder = builder.tls_certs_only([]); // no certificates needed, so none missed
        }
        if self.is_loopback {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|e| ChatError::Client { reason: self.redactor.redact(&chain(&e)) })
    }

    /// The body, bounded in size and, with the time that the headers took, in time; and whether that is all of it.
    fn read(&self, response: &mut impl Read, start: Instant) -> Result<(Vec<u8>, bool), CallError> {
        let mut bytes = Vec::new();
        let mut piece = [0; 1 << 14];
        loop {
            let n = response.read(&mut piece).map_err(|e| self.broken_off(bytes.len() as u64, &e))?;
            let Some(read) = piece.get(..n).filter(|read| !read.is_empty()) else { return Ok((bytes, true)) };
            bytes.extend_from_slice(read);
            if bytes.len() > MAX_BODY_BYTES {
                return Ok((bytes, false));
            }
            if start.elapsed() > self.timeout {
                return Err(CallError::Lost(format!("no complete response within {} s", self.timeout.as_secs())));
            }
        }
    }

    pub(super) fn broken_off(&self, bytes: u64, error: &std::io::Error) -> CallError {
        let reason = format!("the response broke off after {bytes} bytes: {}", chain(error));
        CallError::Lost(self.redactor.redact(&reason))
    }
}

/// As much of a text as is kept where it cannot be read.
fn beginning(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_KEPT_BYTES)).unwrap_or(text)
}
