//! The chat transport: one request, as many attempts as the settings allow, at the pace they allow.

mod rate_limiter;
mod retry;

use std::io::Read;
use std::net::IpAddr;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use reqwest::blocking::{Client, Response};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Url, redirect};
use tunebench_spec::ChatRequest;
use tunebench_spec::random::Stream;
use tunebench_spec::study::ChatSettings;

use self::{rate_limiter::RateLimiter, retry::RetryDecision};
use crate::error::ChatError;
use crate::reply::ErrorBody;
use crate::server::{ChatServer, Failure, RawResponse};

/// Of the key, where the settings name no other.
const KEY_VARIABLE: &str = "OPENAI_API_KEY";
/// The largest body that is read; a chat reply is a few kilobytes.
const MAX_BODY_BYTES: u64 = 1 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A chat server as the settings name it.
pub struct Chat {
    base_url: String,
    endpoint: Url,
    loopback: bool,
    key_variable: String,
    key: Option<String>,
    concurrency: usize,
    retries: u32,
    timeout: Duration,
    limiter: RateLimiter,
    /// Made at the first request, so that a judge that asks nothing needs neither key nor certificates.
    client: OnceLock<Result<Client, ChatError>>,
}

impl Chat {
    /// Checks the settings and reads the key from the environment; connects to nothing.
    pub fn new(settings: &ChatSettings) -> Result<Self, ChatError> {
        let base_url = settings.base_url.trim_end_matches('/').to_owned();
        let endpoint = endpoint(&base_url).map_err(|reason| ChatError::Settings { field: "base_url", reason })?;
        for (field, value) in [
            ("requests_per_minute", u64::from(settings.requests_per_minute.unwrap_or(1))),
            ("concurrency", u64::from(settings.concurrency)),
            ("timeout_seconds", settings.timeout_seconds),
        ] {
            if value == 0 {
                return Err(ChatError::Settings { field, reason: "must be at least 1".into() });
            }
        }
        let key_variable = settings.key_variable.clone().unwrap_or_else(|| KEY_VARIABLE.to_owned());
        let key = std::env::var(&key_variable).ok().map(|k| k.trim().to_owned()).filter(|k| !k.is_empty());
        Ok(Self {
            loopback: is_loopback(&endpoint),
            base_url,
            endpoint,
            key_variable,
            concurrency: settings.concurrency as usize,
            key,
            retries: settings.retries,
            timeout: Duration::from_secs(settings.timeout_seconds),
            limiter: RateLimiter::new(settings.requests_per_minute.unwrap_or(60)),
            client: OnceLock::new(),
        })
    }

    fn give_up(&self, reason: ChatError) -> Failure {
        self.stop(reason.clone());
        Failure::Stopped(reason)
    }

    fn authorization(&self) -> Result<Option<HeaderValue>, ChatError> {
        let Some(key) = &self.key else {
            // A server on this machine (vLLM, llama.cpp, Ollama) commonly wants no key.
            if self.loopback {
                return Ok(None);
            }
            let (url, variable) = (self.base_url.clone(), self.key_variable.clone());
            return Err(ChatError::MissingKey { url, variable });
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| ChatError::UnusableKey { variable: self.key_variable.clone() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    fn connect(&self) -> Result<Client, ChatError> {
        // Fails only when the process has a provider already, which then serves.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = Client::builder()
            .user_agent(concat!("tunebench/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT.min(self.timeout))
            .timeout(self.timeout)
            // A redirected POST would lose its body, and could carry the key elsewhere.
            .redirect(redirect::Policy::none());
        if self.endpoint.scheme() == "http" {
            builder = builder.tls_certs_only([]); // no certificates needed, so none missed
        }
        if self.loopback {
            builder = builder.no_proxy();
        }
        builder.build().map_err(|e| ChatError::Client { reason: chain(&e) })
    }

    fn attempt(&self, client: &Client, key: Option<&HeaderValue>, body: &[u8]) -> Result<RawResponse, Attempt> {
        let start = Instant::now();
        let mut request = client.post(self.endpoint.clone()).header(CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header(AUTHORIZATION, key);
        }
        let mut response = request
            .body(body.to_vec())
            .send()
            .map_err(|e| Attempt::Retry { reason: self.redact(&describe(&e, self.timeout)), after: None })?;
        let status = response.status().as_u16();
        let text = self.read(&mut response, start);
        if status == 200 {
            let id = response.headers().get("x-request-id").and_then(|v| v.to_str().ok()).unwrap_or_default();
            let request_id = self.redact(id);
            let seconds = start.elapsed().as_secs_f64();
            return Ok(RawResponse { body: text?, request_id, seconds, ..RawResponse::default() });
        }
        // An error without a readable body is still an error of that status.
        let error = ErrorBody::read(&text.unwrap_or_default());
        let reason = format!("HTTP {status}: {}", error.message);
        match retry::decide(status, response.headers(), &error, SystemTime::now()) {
            RetryDecision::Retry { after } => {
                if let (429, Some(delay)) = (status, after) {
                    self.limiter.hold(delay); // it speaks for the account, not for one request
                }
                Err(Attempt::Retry { reason, after })
            }
            RetryDecision::Fail => Err(Attempt::Failed(reason)),
            RetryDecision::TooLong { wait } => {
                Err(Attempt::Failed(format!("{reason} (asks to wait {} s; run again later)", wait.as_secs())))
            }
            RetryDecision::Stop => Err(Attempt::Stop(reason)),
        }
    }

    /// The whole body, bounded in size and, with the time that the headers took, in time.
    fn read(&self, response: &mut Response, start: Instant) -> Result<String, Attempt> {
        let mut bytes = Vec::new();
        let mut piece = [0; 1 << 14];
        loop {
            let n = response.read(&mut piece).map_err(|e| {
                let reason = format!("the response broke off after {} bytes: {}", bytes.len(), chain(&e));
                Attempt::Retry { reason: self.redact(&reason), after: None }
            })?;
            if n == 0 {
                break;
            }
            bytes.extend_from_slice(&piece[..n]);
            if bytes.len() as u64 > MAX_BODY_BYTES {
                return Err(Attempt::Failed(format!("the response is larger than {MAX_BODY_BYTES} bytes")));
            }
            if start.elapsed() > self.timeout {
                let reason = format!("no complete response within {} s", self.timeout.as_secs());
                return Err(Attempt::Retry { reason, after: None });
            }
        }
        let text = String::from_utf8(bytes).map_err(|e| Attempt::Failed(format!("the response is not UTF-8: {e}")))?;
        Ok(self.redact(&text))
    }

    fn redact(&self, text: &str) -> String {
        match &self.key {
            Some(key) => text.replace(key, "[key]"),
            None => text.to_owned(),
        }
    }
}

impl ChatServer for Chat {
    fn url(&self) -> &str {
        &self.base_url
    }

    fn concurrency(&self) -> usize {
        self.concurrency
    }

    fn send(&self, request: &ChatRequest, name: &str) -> Result<RawResponse, Failure> {
        let headers = self.authorization().map_err(|e| self.give_up(e))?;
        let client = self.client.get_or_init(|| self.connect()).as_ref().map_err(|e| self.give_up(e.clone()))?;
        // The field is `max_tokens`, which OpenAI calls deprecated in favour of `max_completion_tokens`: it is the
        // one that OpenAI's chat models and the compatible servers (vLLM, llama.cpp, Ollama, LM Studio) all read.
        let body = serde_json::to_vec(request).map_err(|e| Failure::Request(format!("unsendable request: {e}")))?;
        let mut jitter = Stream::named(0, name);
        let mut attempt = 0;
        loop {
            self.limiter.acquire().map_err(Failure::Stopped)?;
            let (reason, after) = match self.attempt(client, headers.as_ref(), &body) {
                Ok(response) => return Ok(response),
                Err(Attempt::Failed(reason)) => return Err(Failure::Request(reason)),
                Err(Attempt::Stop(reason)) => {
                    return Err(self.give_up(ChatError::Refused { url: self.base_url.clone(), reason }));
                }
                Err(Attempt::Retry { reason, after }) => (reason, after),
            };
            if attempt == self.retries {
                return Err(Failure::Server(format!("gave up after attempt {}: {reason}", attempt + 1)));
            }
            let delay = after.unwrap_or_else(|| retry::backoff(attempt, jitter.uniform()));
            self.limiter.pause(delay).map_err(Failure::Stopped)?;
            attempt += 1;
        }
    }

    fn stop(&self, reason: ChatError) {
        self.limiter.stop(reason);
    }

    fn stopped(&self) -> Option<ChatError> {
        self.limiter.stopped()
    }
}

enum Attempt {
    Retry { reason: String, after: Option<Duration> },
    Failed(String),
    Stop(String),
}

fn endpoint(base_url: &str) -> Result<Url, String> {
    let url = Url::parse(&format!("{base_url}/chat/completions")).map_err(|e| format!("`{base_url}`: {e}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("`{base_url}` is no http:// or https:// address"));
    }
    // The address is kept with every reply: it must hold no secret.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err("must hold no user name, password, `?` or `#`".into());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn describe(error: &reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() {
        return format!("no complete response within {} s", timeout.as_secs());
    }
    chain(error)
}

/// An error with its causes: reqwest's own message rarely names the one that helps.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for (url, expected) in [
            ("http://localhost:8000/v1", true),
            ("http://127.0.0.1/v1", true),
            ("http://127.8.8.8:1/v1", true),
            ("http://[::1]:9/v1", true),
            ("http://localhost.example.com/v1", false),
            ("http://10.0.0.1/v1", false),
            ("https://api.openai.com/v1", false),
        ] {
            assert_eq!(is_loopback(&endpoint(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn addresses_that_cannot_serve_are_refused() {
        for url in ["", "api.openai.com/v1", "ftp://host/v1", "https://me:secret@host/v1", "https://host/v1?key=secret"]
        {
            let reason = endpoint(url).unwrap_err();
            assert!(!reason.contains("secret"), "{reason}");
        }
    }
}
