//! Foreign text made fit to be shown.

use tunebench_spec::escape;

/// Foreign text on one line of bounded length, control characters and what hides or reorders text escaped.
pub(crate) fn shorten(text: &str) -> String {
    const MOST: usize = 200;
    let text = text.trim();
    if text.is_empty() {
        return "(nothing)".into();
    }
    let Some((end, _)) = text.char_indices().nth(MOST) else { return escape::line(text) };
    format!("{}… ({} characters)", escape::line(&text[..end]), text.chars().count())
}
