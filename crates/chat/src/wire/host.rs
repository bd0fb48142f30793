//! What is known of a server by the name of its host.

use tunebench_spec::study::Dialect;

use crate::address;

/// The dialect of a host, where the settings name none.
pub(crate) fn dialect(host: &str) -> Dialect {
    match host {
        "api.anthropic.com" => Dialect::Anthropic,
        _ => Dialect::OpenAi,
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

/// Microsoft's hosts of OpenAI's models, which want the key in a header of their own.
pub(super) fn is_azure(host: &str) -> bool {
    let ends = [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com"];
    ends.iter().any(|end| host.ends_with(end))
}

/// Whether OpenAI's own models answer at this address.
pub(super) fn is_openai(base_url: &str) -> bool {
    let host = address::host(base_url);
    host == "api.openai.com" || host.ends_with(".api.openai.com") || is_azure(&host)
}
