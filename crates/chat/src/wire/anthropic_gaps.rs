//! What a request may have and Anthropic's dialect has not, or says otherwise.

use serde_json::Value;
use tunebench_spec::ChatRequest;

use super::field::{Field, is_system};

/// Most tokens of a reply where a request states none: the dialect demands a limit.
pub(super) const DEFAULT_MAX_TOKENS: u32 = 4096;

/// Whether the dialect can say what the request has of this field.
pub(super) fn has(field: Field, request: &ChatRequest) -> bool {
    match field {
        Field::Seed | Field::Logprobs => false,
        Field::ResponseFormat => schema(request).is_some(),
        _ => true,
    }
}

/// What is said otherwise than the request has it; `sends_effort`: whether the effort is sent at all.
pub(super) fn words(request: &ChatRequest, sends_effort: bool) -> Vec<String> {
    let changed = effort(request).filter(|effort| sends_effort && request.reasoning_effort.as_deref() != Some(effort));
    let words = [
        request.max_tokens.is_none().then(|| format!("max_tokens set to {DEFAULT_MAX_TOKENS}")),
        changed.map(|effort| format!("reasoning_effort sent as {effort}")),
        request.messages.iter().all(|m| is_system(&m.role)).then(|| "system messages sent as the user's".to_owned()),
    ];
    words.into_iter().flatten().collect()
}

/// The effort in the dialect's words, which has none below `low`; `none` is thinking turned off.
pub(super) fn effort(request: &ChatRequest) -> Option<&str> {
    match request.reasoning_effort.as_deref() {
        Some("minimal") => Some("low"),
        effort => effort,
    }
}

/// The schema of the reply, the only format that the dialect has.
pub(super) fn schema(request: &ChatRequest) -> Option<&Value> {
    request.response_format.as_ref()?.pointer("/json_schema/schema")
}
