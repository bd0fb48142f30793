//! All of `[eval.chat]`, checked before anything is sent; nothing in it may be found wrong later.

use std::collections::BTreeMap;

use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tunebench_spec::study::{ChatSettings, Dialect};

use super::address;
use crate::error::ChatError;
use crate::{Redactor, wire};

/// Headers that are made here, or by whoever sends.
const OURS: [&str; 9] = [
    "content-type",
    "content-length",
    "content-encoding",
    "transfer-encoding",
    "accept-encoding",
    "host",
    "connection",
    "expect",
    "te",
];

/// Words of names whose values are secret.
const SECRET_WORDS: [&str; 11] = [
    "authorization",
    "auth",
    "key",
    "apikey",
    "token",
    "secret",
    "cookie",
    "password",
    "credential",
    "signature",
    "sig",
];
/// What keys of well-known servers begin with.
const KEY_STARTS: [&str; 12] =
    ["sk-", "sk_", "Bearer ", "bearer ", "Basic ", "gsk_", "AIza", "xai-", "hf_", "r8_", "pplx-", "nvapi-"];
/// Variables of the system's proxies, whose addresses may hold a password.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"];
/// Shorter values of variables are no secrets, and blanking them out would spoil replies.
const SHORTEST_SECRET: usize = 6;
/// Longer ones are mistakes, and would overflow somewhere.
const LONGEST_TIMEOUT_SECONDS: u64 = 86_400;

/// A thread waits for each request in flight.
const MOST_AT_ONCE: u32 = 1024;

/// What the environment holds under a name.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Result<String, std::env::VarError>;

/// Settings that can work.
pub(super) struct Checked {
    pub url: Url,
    pub dialect: Dialect,
    pub is_loopback: bool,
    /// All but the content type, the key among them.
    pub headers: HeaderMap,
    pub query: Vec<(String, String)>,
    pub redactor: Redactor,
}

pub(super) fn check(settings: &ChatSettings, environment: Environment<'_>) -> Result<Checked, ChatError> {
    let url = address::read(&settings.base_url).map_err(|reason| fault("base_url", reason))?;
    check_numbers(settings)?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let dialect = settings.dialect.unwrap_or_else(|| wire::dialect(&host));
    let mut secrets = Secrets { environment, found: proxy_passwords(environment), carries_key: false };
    let mut headers = extra_headers(&settings.headers, &mut secrets)?;
    let query = extra_query(&settings.query, &mut secrets)?;
    let is_loopback = address::is_loopback(&url);
    let key = key(settings, dialect, &host, &mut secrets, is_loopback)?;
    for (name, value) in wire::headers(dialect, &host, key.as_deref()) {
        let name = HeaderName::from_static(name);
        // What the settings say in so many words stands.
        if !headers.contains_key(&name) {
            let value = HeaderValue::from_str(&value).map_err(|_| fault("headers", format!("`{name}` is unusable")))?;
            headers.insert(name, sensitive(value));
        }
    }
    Ok(Checked { url, dialect, is_loopback, headers, query, redactor: Redactor::new(secrets.found) })
}

fn check_numbers(settings: &ChatSettings) -> Result<(), ChatError> {
    for (field, value) in [
        ("requests_per_minute", settings.requests_per_minute.map_or(1, u64::from)),
        ("tokens_per_minute", settings.tokens_per_minute.unwrap_or(1)),
        ("concurrency", u64::from(settings.concurrency)),
        ("timeout_seconds", settings.timeout_seconds),
    ] {
        if value == 0 {
            return Err(fault(field, "must be at least 1".into()));
        }
    }
    if settings.concurrency > MOST_AT_ONCE {
        return Err(fault("concurrency", format!("must be at most {MOST_AT_ONCE}")));
    }
    if settings.timeout_seconds > LONGEST_TIMEOUT_SECONDS {
        return Err(fault("timeout_seconds", format!("must be at most {LONGEST_TIMEOUT_SECONDS}")));
    }
    let (prompt, completion) = (settings.usd_per_million_prompt_tokens, settings.usd_per_million_completion_tokens);
    for (field, amount) in [
        ("usd_per_million_prompt_tokens", prompt),
        ("usd_per_million_completion_tokens", completion),
        ("budget_usd", settings.budget_usd),
    ] {
        if amount.is_some_and(|amount| !(amount.is_finite() && amount >= 0.0)) {
            return Err(fault(field, "must be 0 or more".into()));
        }
    }
    match (prompt, completion) {
        (Some(_), None) => Err(fault("usd_per_million_completion_tokens", "is missing: prices come in pairs".into())),
        (None, Some(_)) => Err(fault("usd_per_million_prompt_tokens", "is missing: prices come in pairs".into())),
        _ if !(0.0..=1.0).contains(&settings.max_failed_share) => {
            Err(fault("max_failed_share", "must be from 0 to 1".into()))
        }
        _ => Ok(()),
    }
}

fn extra_headers(given: &BTreeMap<String, String>, secrets: &mut Secrets<'_>) -> Result<HeaderMap, ChatError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let faulty = |reason: String| fault("headers", format!("`{}`: {reason}", name.escape_debug()));
        let legal: HeaderName = name.parse().map_err(|_| faulty("is no name of a header".into()))?;
        if OURS.contains(&legal.as_str()) {
            return Err(faulty("is set by tunebench".into()));
        }
        let value = secrets.expand(name, value).map_err(faulty)?;
        let value = HeaderValue::from_str(&value).map_err(|_| {
            faulty("its value holds a character that a header cannot carry, such as a line break".into())
        })?;
        if headers.insert(legal, sensitive(value)).is_some() {
            return Err(faulty("is there twice".into()));
        }
    }
    Ok(headers)
}

fn extra_query(
    given: &BTreeMap<String, String>,
    secrets: &mut Secrets<'_>,
) -> Result<Vec<(String, String)>, ChatError> {
    let pairs = given.iter().map(|(name, value)| {
        let value = secrets
            .expand(name, value)
            .map_err(|reason| fault("query", format!("`{}`: {reason}", name.escape_debug())))?;
        Ok((name.clone(), value))
    });
    pairs.collect()
}

/// The key, if one is sent.
fn key(
    settings: &ChatSettings,
    dialect: Dialect,
    host: &str,
    secrets: &mut Secrets<'_>,
    is_loopback: bool,
) -> Result<Option<String>, ChatError> {
    // A key that the headers or the query carry is another server's than the usual variable's, maybe.
    if secrets.carries_key && settings.key_variable.is_none() {
        return Ok(None);
    }
    let usual = || wire::key_variable(dialect, host).to_owned();
    let variable = settings.key_variable.clone().unwrap_or_else(usual);
    if variable.is_empty() || variable.contains(['=', '\0']) || looks_like_key(&variable) {
        let reason = "is the name of an environment variable, such as OPENAI_API_KEY, and never the key itself";
        return Err(fault("key_variable", reason.into()));
    }
    let unusable = |reason: &str| ChatError::UnusableKey { variable: variable.clone(), reason: reason.into() };
    let key = match (secrets.environment)(&variable) {
        Ok(key) => key.trim().to_owned(),
        Err(std::env::VarError::NotPresent) => String::new(),
        Err(std::env::VarError::NotUnicode(_)) => return Err(unusable("is not text")),
    };
    if key.is_empty() {
        if is_loopback || secrets.carries_key {
            return Ok(None);
        }
        return Err(ChatError::MissingKey { url: settings.base_url.trim().trim_end_matches('/').to_owned(), variable });
    }
    if key.len() > 1 && ['"', '\'', '`', '“'].iter().any(|quote| key.starts_with(*quote)) {
        return Err(unusable("stands in quotation marks"));
    }
    if key.to_ascii_lowercase().starts_with("bearer ") {
        return Err(unusable("begins with `Bearer`, which is added to it"));
    }
    if key.chars().any(|c| c.is_whitespace() || !c.is_ascii_graphic()) {
        return Err(unusable("holds a space, a line break, or a character that a header cannot carry"));
    }
    secrets.found.push(key.clone());
    Ok(Some(key))
}

/// Replaces `${NAME}`, and remembers what must never be shown.
struct Secrets<'a> {
    environment: Environment<'a>,
    found: Vec<String>,
    /// Whether a header or a parameter whose name says so has its value from the environment.
    carries_key: bool,
}

impl Secrets<'_> {
    fn expand(&mut self, name: &str, value: &str) -> Result<String, String> {
        let name_is_secret =
            name.split(['-', '_', '.']).any(|word| SECRET_WORDS.contains(&word.to_ascii_lowercase().as_str()));
        let mut expanded = String::new();
        let mut rest = value;
        let mut literal = String::new();
        while let Some((before, behind)) = rest.split_once("${") {
            let Some((variable, after)) = behind.split_once('}') else {
                return Err("a `${` has no `}`".into());
            };
            literal.push_str(before);
            expanded.push_str(before);
            let secret = self.variable(variable)?;
            if secret.len() >= SHORTEST_SECRET || name_is_secret {
                // An address is secret but for its beginning, which stands in many replies.
                self.found.push(secret.split_once("://").map_or(secret.as_str(), |(_, rest)| rest).to_owned());
            }
            expanded.push_str(&secret);
            rest = after;
        }
        let has_variable = rest.len() < value.len();
        literal.push_str(rest);
        expanded.push_str(rest);
        if (name_is_secret && !has_variable) || looks_like_key(literal.trim_end()) {
            return Err(
                "looks like a key; write `${NAME}` and keep it in the environment, as this file is copied into \
                 every run"
                    .into(),
            );
        }
        self.carries_key |= name_is_secret && has_variable;
        Ok(expanded)
    }

    fn variable(&self, name: &str) -> Result<String, String> {
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if !is_name {
            return Err("`${…}` holds no name of an environment variable".into());
        }
        match (self.environment)(name).map(|value| value.trim().to_owned()) {
            Ok(value) if !value.is_empty() => Ok(value),
            Err(std::env::VarError::NotUnicode(_)) => Err(format!("the environment variable {name} is not text")),
            _ => Err(format!("the environment variable {name} is not set")),
        }
    }
}

/// Whether it is what well-known servers give as a key, with something behind its beginning.
fn looks_like_key(text: &str) -> bool {
    let text = text.trim();
    KEY_STARTS.iter().any(|start| text.strip_prefix(start).is_some_and(|rest| rest.trim().len() >= 8))
}

fn proxy_passwords(environment: Environment<'_>) -> Vec<String> {
    let urls = PROXIES.iter().filter_map(|name| Url::parse(&environment(name).ok()?).ok());
    urls.filter_map(|url| url.password().map(str::to_owned)).collect()
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

fn fault(field: &'static str, reason: String) -> ChatError {
    ChatError::Settings { field, reason }
}

#[cfg(test)]
mod tests {
    use std::env::VarError;

    use super::*;

    /// Settings for a server elsewhere, with this key in the usual variable.
    fn with_key(key: &str) -> Result<Checked, ChatError> {
        let environment = |name: &str| match name {
            "OPENAI_API_KEY" => Ok(key.to_owned()),
            _ => Err(VarError::NotPresent),
        };
        check(&ChatSettings::default(), &environment)
    }

    #[test]
    fn a_key_is_trimmed_or_what_is_wrong_with_it_said() {
        for key in ["sk-123456789", " sk-123456789\n", "\tsk-123456789\r\n"] {
            let checked = with_key(key).unwrap();
            assert_eq!(checked.headers.get("authorization").unwrap(), "Bearer sk-123456789");
            assert!(!checked.redactor.redact("it is sk-123456789!").contains("123456789"));
        }
        for (key, part) in [
            ("\"sk-123456789\"", "stands in quotation marks"),
            ("'sk-123456789'", "stands in quotation marks"),
            ("Bearer sk-123456789", "begins with `Bearer`"),
            ("sk-1234 56789", "holds a space"),
            ("sk-1234\n56789", "a line break"),
            ("sk-１２３４５６７８９", "a character that a header cannot carry"),
            ("", "no key for https://api.openai.com/v1"),
            ("\n", "no key for https://api.openai.com/v1"),
        ] {
            let error = with_key(key).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("OPENAI_API_KEY"), "{key}: {error}");
            assert!(!error.contains("6789"), "{error}");
        }
    }

    #[test]
    fn each_dialect_has_its_usual_variable() {
        for (base_url, dialect, variable) in [
            ("https://api.openai.com/v1", None, "OPENAI_API_KEY"),
            ("https://api.anthropic.com/v1", None, "ANTHROPIC_API_KEY"),
            ("https://proxy.example/v1", Some(Dialect::Anthropic), "ANTHROPIC_API_KEY"),
        ] {
            let settings = ChatSettings { base_url: base_url.into(), dialect, ..ChatSettings::default() };
            let error = check(&settings, &|_| Err(VarError::NotPresent)).map(|_| ()).unwrap_err();
            assert!(error.to_string().contains(&format!("set the environment variable {variable}")), "{error}");
        }
    }

    #[test]
    fn what_the_environment_gives_is_secret_and_nothing_else() {
        let environment = |name: &str| match name {
            "SITE" => Ok("site-of-ours".to_owned()),
            "TOKEN" => Ok("abcdefgh".to_owned()),
            "HTTPS_PROXY" => Ok("http://me:proxy-pass@proxy:3128".to_owned()),
            _ => Err(VarError::NotPresent),
        };
        let headers = [("x-site", "${SITE}!"), ("x-plain", "plain-text"), ("x-token", "t:${TOKEN}")];
        let settings = ChatSettings {
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..ChatSettings::default()
        };
        let checked = check(&settings, &environment).unwrap();
        assert_eq!(checked.headers.get("x-site").unwrap(), "site-of-ours!");
        let shown = checked.redactor.redact("site-of-ours, plain-text, t:abcdefgh, proxy-pass");
        assert!(shown.contains("plain-text"), "{shown}");
        assert!(["site-of-ours", "abcdefgh", "proxy-pass"].iter().all(|secret| !shown.contains(secret)), "{shown}");
        assert_eq!(checked.headers.get("authorization"), None, "a token is carried already");
    }
}
