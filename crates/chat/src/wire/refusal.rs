//! Which fields of a request an error refuses.

use serde_json::Value;

use super::field::{FIELDS, Field, Row};
use crate::reply::ErrorBody;

/// A field that only stands in a message is refused when the message also says one of these.
const REFUSALS: [&str; 30] = [
    "unsupported",
    "not support",
    "n't support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "extra",
    "not permitted",
    "not allowed",
    "not available",
    "unavailable",
    "not enabled",
    "additional propert",
    "invalid",
    "must be",
    "must alternate",
    "should be",
    "can only be",
    "may only be",
    "cannot",
    "can't",
    "deprecated",
    "incompatible",
    "not compatible",
    "no longer",
    "not accept",
    "failed to",
    "not implemented",
    "only the default",
];

/// A limit of tokens is called otherwise only when its name is refused, not its value.
const NAME_REFUSALS: [&str; 10] = [
    "unsupported",
    "not support",
    "n't support",
    "unrecognized",
    "unrecognised",
    "unknown",
    "unexpected",
    "extra",
    "not permitted",
    "deprecated",
];

/// What was sent and the error refuses, in the order of [`FIELDS`].
pub(super) fn fields(error: &ErrorBody, sent: &Value) -> Vec<Field> {
    let said = error.said.to_lowercase();
    let says = |phrases: &[&str]| phrases.iter().any(|phrase| said.contains(phrase));
    let was_sent: Vec<&Row> = FIELDS.iter().filter(|row| row.is_in(sent)).collect();
    let named_by = |is_named: &dyn Fn(&Row) -> bool| -> Vec<Field> {
        was_sent.iter().filter(|row| is_named(row)).map(|row| row.field).collect()
    };
    // The surest first: what the error gives as the parameter, what its message names, what it seems to speak of.
    let params: Vec<String> = error.params.iter().map(|param| param.to_lowercase()).collect();
    let by_param = named_by(&|row| params.iter().any(|param| names(param, row)));
    let by_word = || if says(&REFUSALS) { named_by(&|row| names(&said, row)) } else { Vec::new() };
    let by_hint = || if says(&REFUSALS) { named_by(&|row| says(row.hints)) } else { Vec::new() };
    let mut named = [by_param, by_word(), by_hint()].into_iter().find(|named| !named.is_empty()).unwrap_or_default();
    if said.contains("both") && named.contains(&Field::Temperature) && named.contains(&Field::TopP) {
        named = vec![Field::TopP]; // one of the two may stay
    }
    named.retain(|field| *field != Field::MaxTokens || says(&NAME_REFUSALS));
    named
}

/// Whether a text in small letters has one of the field's words, as a whole word.
fn names(text: &str, row: &Row) -> bool {
    row.words.iter().any(|word| {
        text.match_indices(word).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + word.len()..]);
            // What stands below it is another field.
            let goes_on = *word == "output_config" && after.starts_with('.');
            !before.ends_with(is_word) && !after.starts_with(is_word) && !goes_on
        })
    })
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}
