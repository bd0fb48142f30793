//! What a chat server's body says: a reply that a judge can read, or in words why not.

use serde_json::Value;
use tunebench_spec::{ChatReply, ChatRequest};

/// Taken for the length of a reply where nothing limits it.
const MOST_TOKENS: u64 = 16_384;

/// Tokens that are paid for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub prompt: u64,
    pub completion: u64,
}

impl Usage {
    /// More than the request can use: every token covers at least a byte, and a message adds a few of its own.
    pub fn ceiling(request: &ChatRequest) -> Self {
        let prompt = request.messages.iter().map(|m| (m.role.len() + m.content.len() + 8) as u64).sum();
        Self { prompt, completion: request.max_tokens.map_or(MOST_TOKENS, u64::from) }
    }
}

/// A reply with what is worth knowing about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    pub chat: ChatReply,
    /// As the server named it; empty when it did not.
    pub model: String,
    /// `system_fingerprint`; empty when there is none.
    pub fingerprint: String,
    pub usage: Option<Usage>,
}

impl Reply {
    /// Reads the body of a successful response.
    ///
    /// # Errors
    /// Names what came instead of a reply.
    pub fn read(body: &str) -> Result<Self, String> {
        let value: Value =
            serde_json::from_str(body).map_err(|_| format!("the response is not JSON: {}", shorten(body)))?;
        let Some(choice) = value.pointer("/choices/0") else {
            return Err(format!("the response has no choices: {}", ErrorBody::read(body).message));
        };
        let finish_reason = text(choice, "/finish_reason");
        let content = match choice.pointer("/message/content") {
            Some(Value::String(content)) => content.clone(),
            None | Some(Value::Null) => {
                let refusal = text(choice, "/message/refusal");
                return Err(match refusal.as_str() {
                    "" => format!("the reply has no content (finish_reason `{}`)", shorten(&finish_reason)),
                    refusal => format!("the model refused: {}", shorten(refusal)),
                });
            }
            Some(other) => return Err(format!("the reply's content is not text: {}", shorten(&other.to_string()))),
        };
        let count = |name| value.pointer(name).and_then(Value::as_u64);
        let usage = match (count("/usage/prompt_tokens"), count("/usage/completion_tokens")) {
            (Some(prompt), Some(completion)) => Some(Usage { prompt, completion }),
            _ => None,
        };
        Ok(Self {
            chat: ChatReply { content, finish_reason, ..ChatReply::default() },
            model: text(&value, "/model"),
            fingerprint: text(&value, "/system_fingerprint"),
            usage,
        })
    }
}

/// What an error body says, in the shapes in use: OpenAI's, a bare message, FastAPI's `detail`, or any text.
#[derive(Debug)]
pub(crate) struct ErrorBody {
    /// Shortened and escaped, to be shown.
    pub message: String,
    code: String,
    kind: String,
}

impl ErrorBody {
    pub(crate) fn read(body: &str) -> Self {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let message = ["/error/message", "/error", "/message", "/detail"]
            .iter()
            .find_map(|path| value.pointer(path)?.as_str())
            .filter(|message| !message.trim().is_empty())
            .unwrap_or(body);
        Self { message: shorten(message), code: text(&value, "/error/code"), kind: text(&value, "/error/type") }
    }

    /// Whether it carries this code; some servers give it as the type.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code || self.kind == code
    }
}

fn text(value: &Value, path: &str) -> String {
    value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Foreign text on one line of bounded length, control characters escaped.
fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    let text = text.trim();
    if text.is_empty() {
        return "(nothing)".into();
    }
    let head: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    match text.chars().count() {
        n if n > MOST => format!("{head}… ({n} characters)"),
        _ => head,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_read_or_named() {
        for (body, expected) in [
            (r#"{"choices":[{"message":{"content":"0.5"},"finish_reason":"stop"}]}"#, Ok("0.5")),
            (r#"{"choices":[{"message":{"content":""},"finish_reason":"stop"}]}"#, Ok("")),
            (r#"{"choices":[{"message":{"content":"x"}}]}"#, Ok("x")),
            (r#"{"choices":[]}"#, Err("no choices")),
            (r#"{"error":{"message":"upstream is down"}}"#, Err("upstream is down")),
            (
                r#"{"choices":[{"message":{"content":null},"finish_reason":"content_filter"}]}"#,
                Err("finish_reason `content_filter`"),
            ),
            (r#"{"choices":[{"message":{"content":null,"refusal":"I can't"}}]}"#, Err("refused: I can")),
            (r#"{"choices":[{"message":{"content":[1]}}]}"#, Err("not text: [1]")),
            (r#"{"choices":{"0":{}}}"#, Err("no content")),
            ("[]", Err("no choices")),
            ("", Err("not JSON: (nothing)")),
            ("<html>\u{1b}[31m", Err(r"not JSON: <html>\u{1b}[31m")),
        ] {
            let read = Reply::read(body);
            match expected {
                Ok(content) => assert_eq!(read.unwrap().chat.content, content, "{body}"),
                Err(part) => assert!(read.as_ref().unwrap_err().contains(part), "{body}: {read:?}"),
            }
        }
        let deep = "[".repeat(100_000);
        assert!(Reply::read(&deep).unwrap_err().len() < 1000);
    }
}
