//! What an error body says, in the shapes in use.

use std::time::Duration;

use serde_json::Value;

use super::shorten::shorten;
use super::{events, json};

/// The longest text that is searched for what it names.
const MOST_SAID: usize = 4096;

/// What an error body says: of OpenAI, Azure, Anthropic, Google, Mistral, OpenRouter, vLLM, FastAPI and others, in JSON, HTML,
/// XML or plain text.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorBody {
    /// Shortened and escaped, to be shown.
    pub message: String,
    /// The whole message as it came, to be searched: never shown.
    pub said: String,
    /// The fields of the request that it names, with dots between them: `messages.0.role`.
    pub params: Vec<String>,
    /// The status that it gives itself, such as 429, where an error comes in a response of another one.
    pub status: Option<u16>,
    /// The wait that Google's `RetryInfo` asks for.
    pub retry_delay: Option<Duration>,
    code: String,
    kind: String,
}

impl ErrorBody {
    /// Reads any body; the worst that can be is that all of it is the message.
    pub(crate) fn read(body: &str) -> Self {
        let value = match events::is_stream(body) {
            true => events::read(body, |piece| json::parse(piece).ok()).values.into_iter().find(is_error),
            false => json::parse(body).ok(),
        };
        let mut error = match value {
            Some(value) => Self::of(&value, 0),
            None => Self { said: page_text(body), ..Self::default() },
        };
        if error.said.trim().is_empty() {
            error.said = body.to_owned();
        }
        error.said = error.said.chars().take(MOST_SAID).collect();
        error.message = shorten(&error.said);
        error
    }

    /// Whether it carries this code; some servers give it as the type.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code || self.kind == code
    }

    fn of(value: &Value, depth: usize) -> Self {
        let root = value.get(0).unwrap_or(value);
        let inner = ["/error", "/errors/0", "/message"].iter().filter_map(|path| root.pointer(path));
        let error = inner.into_iter().find(|inner| inner.is_object()).unwrap_or(root);
        let text = |names: &[&str]| {
            let found = |source: &Value, name: &str| source.pointer(name).and_then(Value::as_str).map(str::to_owned);
            let all = [error, root].into_iter().flat_map(|source| names.iter().map(move |name| (source, *name)));
            all.filter_map(|(source, name)| found(source, name))
                .find(|text| !text.trim().is_empty())
                .unwrap_or_default()
        };
        let mut read = Self {
            said: text(&MESSAGES),
            code: text(&["/code", "/innererror/code"]),
            kind: text(&["/type", "/status"]),
            status: ["/code", "/status", "/status_code"].iter().find_map(|name| status(error.pointer(name)?)),
            ..Self::default()
        };
        read.params.extend(Some(text(&["/param"])).filter(|param| !param.is_empty()));
        read.add_details(error);
        if !std::ptr::eq(error, root) {
            read.add_details(root);
        }
        // OpenRouter hands on what the provider said, as text.
        let raw = text(&["/metadata/raw"]);
        if depth < 2 && !raw.is_empty() {
            let original = serde_json::from_str(&raw)
                .map_or_else(|_| Self { said: raw, ..Self::default() }, |value: Value| Self::of(&value, depth + 1));
            read.said = format!("{}: {}", read.said, original.said);
            read.params.extend(original.params);
        }
        read
    }

    /// FastAPI's list of what is wrong where, and Google's details.
    fn add_details(&mut self, error: &Value) {
        for detail in error.get("detail").and_then(Value::as_array).into_iter().flatten() {
            let place = detail.get("loc").and_then(Value::as_array).into_iter().flatten().filter_map(name_of);
            let place = place.filter(|name| name != "body").collect::<Vec<_>>().join(".");
            let message = detail.get("msg").and_then(Value::as_str).unwrap_or_default();
            let separator = if self.said.is_empty() { "" } else { "; " };
            self.said.push_str(&format!("{separator}{place}: {message}"));
            self.params.extend(Some(place).filter(|place| !place.is_empty()));
        }
        for detail in error.get("details").and_then(Value::as_array).into_iter().flatten() {
            let violations = detail.get("fieldViolations").and_then(Value::as_array).into_iter().flatten();
            self.params.extend(violations.filter_map(|v| v.get("field")?.as_str().map(str::to_owned)));
            let delay = detail.get("retryDelay").and_then(Value::as_str).and_then(|delay| delay.strip_suffix('s'));
            let delay = delay.and_then(|delay| delay.parse().ok()).and_then(|s| Duration::try_from_secs_f64(s).ok());
            self.retry_delay = delay.or(self.retry_delay);
        }
    }
}

/// Whether a piece of a stream is an error.
fn is_error(value: &Value) -> bool {
    value.get("error").is_some_and(|error| !error.is_null())
}

/// Where messages stand, the best first; of the error first, then of what is around it.
const MESSAGES: [&str; 10] = [
    "/message",
    "/error",
    "/detail",
    "/detail/message",
    "/msg",
    "/error_description",
    "/error_msg",
    "/base_resp/status_msg",
    "/title",
    "/reason",
];

/// A status of an error, as a number or as text.
fn status(value: &Value) -> Option<u16> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok())?;
    u16::try_from(number).ok().filter(|status| (400..600).contains(status))
}

/// A step on the way to a field: a name, or a place in a list.
fn name_of(step: &Value) -> Option<String> {
    step.as_str().map(str::to_owned).or_else(|| Some(step.as_u64()?.to_string()))
}

/// What a page of HTML or XML is about: its title or its message; other text as it is.
fn page_text(body: &str) -> String {
    const ELEMENTS: [&str; 3] = ["title", "h1", "message"];
    if !body.trim_start().starts_with('<') {
        return body.to_owned();
    }
    let lower = body.to_ascii_lowercase();
    let element = |name: &&str| {
        let start = lower.find(&format!("<{name}"))?;
        let start = start + lower[start..].find('>')? + 1;
        let end = start + lower[start..].find('<')?;
        Some(body[start..end].split_whitespace().collect::<Vec<_>>().join(" ")).filter(|text| !text.is_empty())
    };
    ELEMENTS.iter().find_map(element).unwrap_or_else(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_all_servers_are_read() {
        for (body, message, code) in [
            (
                r#"{"error":{"message":"slow","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#,
                "slow",
                "rate_limit_exceeded",
            ),
            (
                r#"{"error":{"message":"none left","type":"insufficient_quota","code":null}}"#,
                "none left",
                "insufficient_quota",
            ),
            (
                r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
                "Overloaded",
                "overloaded_error",
            ),
            (
                r#"{"error":{"code":"content_filter","message":"filtered","innererror":{"code":"ResponsibleAIPolicyViolation"}}}"#,
                "filtered",
                "content_filter",
            ),
            (r#"[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]"#, "bad", "INVALID_ARGUMENT"),
            (r#"{"error":"plain"}"#, "plain", ""),
            (r#"{"message":"bare"}"#, "bare", ""),
            (r#"{"detail":"Not Found"}"#, "Not Found", ""),
            (r#"{"detail":{"message":"inner"}}"#, "inner", ""),
            (
                r#"{"detail":[{"loc":["body","messages",0,"role"],"msg":"wrong","type":"x"},{"loc":[],"msg":"too"}]}"#,
                "messages.0.role: wrong; : too",
                "",
            ),
            (
                r#"{"object":"error","message":"no model","type":"NotFoundError","code":404}"#,
                "no model",
                "NotFoundError",
            ),
            (r#"{"code":"InvalidApiKey","message":"wrong key","request_id":"r"}"#, "wrong key", "InvalidApiKey"),
            (r#"{"errors":[{"message":"first","code":7003}],"success":false}"#, "first", ""),
            (r#"{"base_resp":{"status_code":1004,"status_msg":"login fail"}}"#, "login fail", ""),
            (r#"{"error_code":17,"error_msg":"daily limit"}"#, "daily limit", ""),
            (r#"{"error":"invalid_client","error_description":"who?"}"#, "invalid_client", ""),
            (
                r#"{"error":{"message":"Provider returned error","code":429,"metadata":{"raw":"slow down","provider_name":"X"}}}"#,
                "Provider returned error: slow down",
                "",
            ),
            (r#"{"error":{"message":"","code":500}}"#, r#"{"error":{"message":"","code":500}}"#, ""),
            ("<html><head><TITLE class=x>\n 502 Bad\tGateway </title>", "502 Bad Gateway", ""),
            ("<?xml version=\"1.0\"?><Error><Code>403</Code><Message>No access</Message></Error>", "No access", ""),
            ("<html><body>down</body></html>", "<html><body>down</body></html>", ""),
            (
                "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
                "Overloaded",
                "overloaded_error",
            ),
            ("upstream connect error\r\n", "upstream connect error", ""),
            ("", "(nothing)", ""),
            ("\u{1b}[31m\u{202e}x", r"\u{1b}[31m\u{202e}x", ""),
        ] {
            let error = ErrorBody::read(body);
            assert_eq!(error.message, message, "{body}");
            assert!(code.is_empty() || error.is(code), "{body}: {error:?}");
        }
    }

    #[test]
    fn what_it_says_besides_is_read() {
        let status = |body: &str| ErrorBody::read(body).status;
        assert_eq!(status(r#"{"error":{"message":"x","code":429}}"#), Some(429));
        assert_eq!(status(r#"{"error":{"message":"x","code":"503"}}"#), Some(503));
        assert_eq!(status(r#"{"object":"error","message":"x","code":404}"#), Some(404));
        assert_eq!(status(r#"{"error":{"message":"x","code":"rate_limit","status":99}}"#), None);
        let google = r#"{"error":{"code":429,"message":"x","details":[{"@type":"…RetryInfo","retryDelay":"34.5s"},{"@type":"…BadRequest","fieldViolations":[{"field":"contents[0].role"}]}]}}"#;
        let google = ErrorBody::read(google);
        assert_eq!(google.retry_delay, Some(Duration::from_millis(34_500)));
        assert_eq!(google.params, ["contents[0].role"]);
        for delay in ["-1s", "s", "1e300s", "NaNs", "5"] {
            let body = format!(r#"{{"error":{{"message":"x","details":[{{"retryDelay":"{delay}"}}]}}}}"#);
            assert_eq!(ErrorBody::read(&body).retry_delay, None, "{delay}");
        }
        let long = ErrorBody::read(&"é".repeat(1 << 20));
        assert!(
            long.said.chars().count() == MOST_SAID && long.message.ends_with("… (4096 characters)"),
            "{}",
            long.message
        );
    }
}
