//! Takes apart what a model thinks and what it says, where a server hands over both as one text.
//!
//! A tag counts where a line begins with it: in the middle of a line somebody speaks of it. What is asked about may hold tags
//! too, and a reply may quote it; of such tags only those count that a reply begins with. So nobody, by what he is asked about,
//! makes what was said look like thought.

use std::ops::Range;

/// Text between these is thought.
const TAGS: [(&str, &str); 10] = [
    ("<think>", "</think>"), // DeepSeek, Qwen and most others
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("[THINK]", "[/THINK]"),                        // Mistral
    ("<seed:think>", "</seed:think>"),              // ByteDance
    ("◁think▷", "◁/think▷"),                        // Moonshot
    ("<|START_THINKING|>", "<|END_THINKING|>"),     // Cohere
    ("<|begin_of_thought|>", "<|end_of_thought|>"), // OpenThinker
    ("<|channel>thought", "<channel|>"),            // Gemma 4
];

/// What a tag begins with.
const MARKS: [char; 3] = ['<', '[', '◁'];

/// What a text is made of, each part in order, without the tags.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Parts {
    pub said: Vec<Range<usize>>,
    pub thought: Vec<Range<usize>>,
}

/// Takes a text apart; one that says nothing of thoughts is all said. `is_quotable` says of a tag whether what was asked about
/// holds it.
pub(super) fn split(text: &str, is_quotable: impl Fn(&str) -> bool) -> Parts {
    match harmony(text, &is_quotable) {
        Some(parts) => parts,
        None => tagged(text, &is_quotable),
    }
}

/// The parts of a text with tags. A tag that is never closed reaches to the end; one that was opened in the prompt, as by
/// the templates of DeepSeek R1 and Qwen's thinking models, only closes.
fn tagged(text: &str, is_quotable: &impl Fn(&str) -> bool) -> Parts {
    let quotable: Vec<bool> = TAGS.iter().map(|(open, close)| is_quotable(open) || is_quotable(close)).collect();
    let mut parts = Parts::default();
    let mut start = 0;
    let mut at = 0;
    let mut closed = true;
    while let Some(Tag { place, row, opens }) = next_tag(text, at) {
        let (open, close) = TAGS[row];
        let is_first = text[..place].trim().is_empty();
        if opens && begins_line(text, start, place) && (is_first || !quotable[row]) {
            parts.said.push(start..place);
            let inner = place + open.len();
            let end =
                if quotable[row] { next_close(text, inner, close) } else { end_of_thought(text, inner, open, close) };
            parts.thought.push(inner..end.unwrap_or(text.len()));
            closed = end.is_some();
            at = end.map_or(text.len(), |end| end + close.len());
            start = at;
        } else if !opens && !quotable[row] && stands_apart(text, start, place, close) {
            // All that seemed to be said was thought.
            parts.said.clear();
            parts.thought.push(start..place);
            at = place + close.len();
            start = at;
        } else {
            at = place + if opens { open.len() } else { close.len() };
        }
    }
    if closed {
        parts.said.push(start..text.len());
    }
    parts.said.retain(|range| !text[range.clone()].trim().is_empty());
    parts
}

/// A tag in a text.
struct Tag {
    place: usize,
    /// Of [`TAGS`].
    row: usize,
    opens: bool,
}

fn next_tag(text: &str, from: usize) -> Option<Tag> {
    let mut at = from;
    while let Some(found) = text[at..].find(MARKS) {
        let place = at + found;
        for (row, (open, close)) in TAGS.iter().enumerate() {
            let opens = starts_with(text, place, open);
            if opens || starts_with(text, place, close) {
                return Some(Tag { place, row, opens });
            }
        }
        at = after_char(text, place);
    }
    None
}

fn next_close(text: &str, from: usize, close: &str) -> Option<usize> {
    text[from..].match_indices(MARKS).map(|(found, _)| from + found).find(|place| starts_with(text, *place, close))
}

/// The place of the tag that closes a thought. Thoughts in thoughts are counted; where the count does not come out, because a
/// thought mentions the tag, the last one closes.
fn end_of_thought(text: &str, from: usize, open: &str, close: &str) -> Option<usize> {
    let mut depth = 1;
    let mut last = None;
    let mut at = from;
    while let Some(found) = text[at..].find(MARKS) {
        let place = at + found;
        if starts_with(text, place, close) {
            depth -= 1;
            last = Some(place);
            if depth == 0 {
                break;
            }
        } else if starts_with(text, place, open) {
            depth += 1;
        }
        at = after_char(text, place);
    }
    last
}

fn after_char(text: &str, place: usize) -> usize {
    place + text[place..].chars().next().map_or(1, char::len_utf8)
}

/// Whether a tag stands there, in large or small letters.
fn starts_with(text: &str, place: usize, tag: &str) -> bool {
    let end = place + tag.len();
    text.as_bytes().get(place..end).is_some_and(|found| found.eq_ignore_ascii_case(tag.as_bytes()))
}

/// Whether only blanks stand between the beginning of its line, or of the part that begins at `start`, and the place.
fn begins_line(text: &str, start: usize, place: usize) -> bool {
    text[start..place].chars().rev().find(|c| *c == '\n' || !c.is_whitespace()).is_none_or(|c| c == '\n')
}

/// Whether a tag begins its line or ends it.
fn stands_apart(text: &str, start: usize, place: usize, tag: &str) -> bool {
    let after = text[place + tag.len()..].chars().find(|c| *c == '\n' || !c.is_whitespace());
    begins_line(text, start, place) || after.is_none_or(|c| c == '\n')
}

/// gpt-oss's format, Harmony: messages on channels, of which `final` alone is said. Where a server has dropped the special
/// tokens, only their words are left.
fn harmony(text: &str, is_quotable: impl Fn(&str) -> bool) -> Option<Parts> {
    const FINAL: &str = "<|channel|>final";
    let head = text.trim_start();
    let begins = head.starts_with("<|channel|>") || head.starts_with("<|start|>");
    if !begins && (!text.contains(FINAL) || is_quotable("<|channel|>")) {
        return bare_harmony(text, is_quotable);
    }
    let mut parts = Parts::default();
    let mut at = 0;
    while at < text.len() {
        let (end, next) = end_of_message(text, at);
        let body = text[at..end].find("<|message|>").map(|found| at + found + "<|message|>".len());
        // Without a header it is the rest of a message that began in the prompt, as thinking does, or the role of the next.
        let is_final = body.is_some_and(|body| text[at..body].contains(FINAL));
        let range = body.unwrap_or(at)..end;
        if !matches!(text[range.clone()].trim(), "" | "assistant") {
            if is_final { parts.said.push(range) } else { parts.thought.push(range) }
        }
        at = next;
    }
    Some(parts)
}

/// Where a message ends, and where the next one begins.
fn end_of_message(text: &str, from: usize) -> (usize, usize) {
    let mut at = from;
    while let Some(found) = text[at..].find("<|") {
        let place = at + found;
        let ends = ["<|start|>", "<|end|>", "<|return|>", "<|call|>"];
        if let Some(mark) = ends.iter().find(|mark| text[place..].starts_with(**mark)) {
            return (place, place + mark.len());
        }
        at = place + 2;
    }
    (text.len(), text.len())
}

fn bare_harmony(text: &str, is_quotable: impl Fn(&str) -> bool) -> Option<Parts> {
    const SEAM: &str = "assistantfinal";
    let start = text.len() - text.trim_start().len();
    let seam = text.rfind(SEAM).filter(|_| text[start..].starts_with("analysis") && !is_quotable(SEAM))?;
    let mut parts = Parts::default();
    parts.thought.push(start + "analysis".len()..seam);
    parts.said.push(seam + SEAM.len()..text.len());
    Some(parts)
}
