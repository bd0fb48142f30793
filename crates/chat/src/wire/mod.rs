//! What is sent: paths, headers and bodies in the dialect of a server; and how the bytes that come back become text.

mod adaptations;
mod anthropic;
mod decode;
mod openai;

use serde_json::Value;
use tunebench_spec::ChatRequest;
use tunebench_spec::study::Dialect;

pub(crate) use self::adaptations::Adaptations;
pub(crate) use self::decode::decode;

/// The version of Anthropic's API whose words are used here; it has been the only one since it came.
const ANTHROPIC_VERSION: &str = "2023-06-01";

/// The dialect of a host, where the settings name none.
pub(crate) fn dialect(host: &str) -> Dialect {
    match host {
        "api.anthropic.com" => Dialect::Anthropic,
        _ => Dialect::OpenAi,
    }
}

/// What follows the base address.
pub(crate) fn path(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenAi => "chat/completions",
        Dialect::Anthropic => "messages",
    }
}

/// The environment variable that holds the key, where the settings name none.
pub(crate) fn key_variable(dialect: Dialect, host: &str) -> &'static str {
    match dialect {
        Dialect::Anthropic => "ANTHROPIC_API_KEY",
        Dialect::OpenAi if is_azure(host) => "AZURE_OPENAI_API_KEY",
        Dialect::OpenAi => "OPENAI_API_KEY",
    }
}

/// The headers that a request has besides its content type; the key stands in the last one.
pub(crate) fn headers(dialect: Dialect, host: &str, key: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers = Vec::new();
    if dialect == Dialect::Anthropic {
        headers.push(("anthropic-version", ANTHROPIC_VERSION.to_owned()));
    }
    headers.extend(key.map(|key| match dialect {
        Dialect::Anthropic => ("x-api-key", key.to_owned()),
        Dialect::OpenAi if is_azure(host) => ("api-key", key.to_owned()),
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

/// Microsoft's hosts of OpenAI's models, which want the key in a header of their own.
fn is_azure(host: &str) -> bool {
    [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"]
        .iter()
        .any(|end| host.ends_with(end))
}
