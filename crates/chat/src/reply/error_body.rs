//! What an error body says, in the shapes in use.

use serde_json::Value;

use super::shorten::shorten;

/// What an error body says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ErrorBody {
    /// Shortened and escaped, to be shown.
    pub message: String,
    /// As it came, to be searched: never shown.
    pub said: String,
    /// The fields of the request that it names.
    pub params: Vec<String>,
    code: String,
    kind: String,
}

impl ErrorBody {
    pub(crate) fn read(body: &str) -> Self {
        let value: Value = serde_json::from_str(body).unwrap_or_default();
        let said = ["/error/message", "/error", "/message", "/detail"]
            .iter()
            .find_map(|path| value.pointer(path)?.as_str())
            .filter(|message| !message.trim().is_empty())
            .unwrap_or(body);
        let text = |path| value.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned();
        Self {
            message: shorten(said),
            said: said.to_owned(),
            params: value.pointer("/error/param").and_then(Value::as_str).map(str::to_owned).into_iter().collect(),
            code: text("/error/code"),
            kind: text("/error/type"),
        }
    }

    /// Whether it carries this code; some servers give it as the type.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.code == code || self.kind == code
    }
}
