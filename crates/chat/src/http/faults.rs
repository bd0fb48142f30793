//! What went wrong on the way to a server, in a sentence that says what to do.

use std::time::Duration;

/// Part of what the libraries below say, in lower case, and what it means to whoever reads it.
const CAUSES: [(&str, &str); 8] = [
    ("dns error", "its name is not known: is base_url right, and the network there?"),
    ("connection refused", "nothing listens there: is the server running, and the port right?"),
    ("network is unreachable", "there is no network to it"),
    ("corrupt message", "it does not speak TLS: should base_url begin with http://?"),
    ("wrong version number", "it does not speak TLS: should base_url begin with http://?"),
    ("certificate", "its certificate is not trusted on this machine"),
    ("proxy", "the proxy that the environment names does not let it through"),
    ("invalid http version", "it does not speak HTTP: should base_url begin with https://?"),
];

/// Shown without its address, which may hold secrets.
pub(super) fn describe(error: reqwest::Error, timeout: Duration) -> String {
    if error.is_timeout() && !error.is_connect() {
        return format!("no complete response within {} s", timeout.as_secs());
    }
    let text = chain(&error.without_url());
    let lower = text.to_lowercase();
    match CAUSES.iter().find(|(part, _)| lower.contains(part)) {
        Some((_, meaning)) => format!("{meaning} ({text})"),
        None => text,
    }
}

/// An error with its causes: reqwest's own message rarely names the one that helps.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
