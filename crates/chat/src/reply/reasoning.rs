//! Takes apart what a model thinks and what it says, where a server hands over both as one text.

use std::ops::Range;

/// Where text stands between these, it is thought: of DeepSeek, Qwen and most others, and of those that have their own.
const TAGS: [(&str, &str); 1] = [("<think>", "</think>")];

/// The parts of `content` that are said; all else is reasoning.
pub(super) fn said(content: &str) -> Vec<Range<usize>> {
    let (open, close) = TAGS[0];
    match (content.trim_start().starts_with(open), content.find(close)) {
        (true, Some(end)) => vec![end + close.len()..content.len()],
        (true, None) => Vec::new(),
        _ => vec![0..content.len()],
    }
}
