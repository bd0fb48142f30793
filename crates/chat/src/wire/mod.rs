//! What is sent: paths, headers and bodies in the dialect of a server; and how the bytes that come back become text.

mod adaptations;
mod anthropic;
mod anthropic_gaps;
mod charset;
mod decode;
mod field;
mod host;
mod openai;
mod refusal;
#[cfg(test)]
mod tests;

use serde_json::Value;
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect;

pub(crate) use self::adaptations::Adaptations;
pub(crate) use self::decode::decode;
pub(crate) use self::host::{dialect, key_variable};

/// The version of Anthropic's API whose words are used here; it has been the only one since it came.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// What follows the base address.
pub(crate) fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "chat/completions",
        Dialect::Anthropic => "messages",
    }
}

/// The headers that a request has besides its content type; where there is a key, it stands in the last one.
pub(crate) fn headers(dialect: Dialect, host: &str, key: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if dialect == Dialect::Anthropic {
        headers.push(("anthropic-version", ANTHROPIC_VERSION.to_owned()));
    }
    headers.extend(key.map(|key| match dialect {
        Dialect::Anthropic => ("x-api-key", key.to_owned()),
        Dialect::OpenAi if host::is_azure(host) => ("api-key", key.to_owned()),
        Dialect::OpenAi => ("authorization", format!("Bearer {key}")),
    }));
    headers
}

/// The JSON of a request, less what the server or its model is known to refuse.
pub(crate) fn body(dialect: Dialect, request: &ChatRequest, adaptations: &Adaptations) -> Value {
    match dialect {
        Dialect::OpenAi => openai::body(request, adaptations),
        Dialect::Anthropic => anthropic::body(request, adaptations),
    }
}
