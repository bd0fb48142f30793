//! `{% generation %}` … `{% endgeneration %}`, by which templates mark what is the assistant's. They are no Jinja: each is
//! put as a scope that writes a sign before and behind it, and the signs are taken out of the text again.

use std::ops::Range;

/// What the signs are called in the template that runs.
pub(crate) const START: &str = "generation_starts_here";
pub(crate) const END: &str = "generation_ends_here";

/// The template with signs in place of marks, and whether there was one.
pub(crate) fn with_signs(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut found = false;
    let mut rest = source;
    while let Some(start) = rest.find("{%") {
        let after = &rest[start + 2..];
        let Some(length) = after.find("%}") else { break };
        let (inside, end) = (&after[..length], start + length + 4);
        out.push_str(&rest[..start]);
        // How white space around the mark is treated goes with its outer edge.
        let before = inside.chars().next().filter(|c| matches!(c, '-' | '+')).map(String::from).unwrap_or_default();
        let behind = inside.chars().last().filter(|c| matches!(c, '-' | '+')).map(String::from).unwrap_or_default();
        match inside.trim_matches(|c: char| c == '-' || c == '+' || c.is_whitespace()) {
            "generation" => {
                out.push_str(&format!("{{%{before} if true %}}{{{{ {START} }}}}{{% with %}}{{% if true {behind}%}}"));
                found = true;
            }
            "endgeneration" => {
                out.push_str(&format!("{{%{before} endif %}}{{% endwith %}}{{{{ {END} }}}}{{% endif {behind}%}}"));
                found = true;
            }
            _ => out.push_str(&rest[start..end]),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    (out, found)
}

/// A text without its signs, and the ranges that stood between them, in bytes of that text.
pub(crate) fn without_signs(text: &str, start: char, end: char) -> (String, Vec<Range<usize>>) {
    let mut out = String::with_capacity(text.len());
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut open = None;
    for c in text.chars() {
        match c {
            c if c == start => open = Some(out.len()),
            c if c == end => ranges.extend(open.take().map(|from| from..out.len())),
            c => out.push(c),
        }
    }
    (out, ranges)
}
