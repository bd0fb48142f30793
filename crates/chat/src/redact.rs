//! Blanks out secrets in what is kept or shown, however they are written.

/// What stands in the place of a secret.
const BLANK: &str = "[key]";

/// Knows the secrets of a server, and finds them in text.
#[derive(Clone, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Of these secrets; empty ones are none.
    pub fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        Self { secrets: secrets.into_iter().filter(|secret| !secret.is_empty()).collect() }
    }

    /// The text with each secret blanked out.
    pub fn redact(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), BLANK))
    }
}
