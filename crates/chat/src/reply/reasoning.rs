//! Takes apart what a model thinks and what it says, where a server hands over both as one text.
//!
//! A tag counts where a line begins with it: in the middle of a line somebody speaks of it.

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

/// Takes a text apart. One that says nothing of thoughts is all said.
pub(super) fn split(text: &str) -> Parts {
    harmony(text).unwrap_or_else(|| tagged(text))
}

/// The parts of a text with tags. A tag that is never closed reaches to the end; one that was opened in the prompt, as by
/// the templates of DeepSeek R1 and Qwen's thinking models, only closes.
fn tagged(text: &str) -> Parts {
    let mut parts = Parts::default();
    let mut start = 0;
    let mut at = 0;
    let mut closed = true;
    while let Some((place, tag, is_open)) = next_tag(text, at) {
        let (open, close) = TAGS[tag];
        if is_open && begins_line(text, start, place) {
            parts.said.push(start..place);
            let inner = place + open.len();
            (at, closed) = match end_of_thought(text, inner, open, close) {
                Some(end) => {
                    parts.thought.push(inner..end);
                    (end + close.len(), true)
                }
                None => {
                    parts.thought.push(inner..text.len());
                    (text.len(), false)
                }
            };
            start = at;
        } else if !is_open && (begins_line(text, start, place) || ends_line(text, place + close.len())) {
            // All that seemed to be said was thought.
            parts.said.clear();
            parts.thought.push(start..place);
            at = place + close.len();
            start = at;
        } else {
            at = place + if is_open { open.len() } else { close.len() };
        }
    }
    if closed {
        parts.said.push(start..text.len());
    }
    parts.said.retain(|range| !text[range.clone()].trim().is_empty());
    parts
}

/// Where the next tag is, which one, and whether it opens.
fn next_tag(text: &str, from: usize) -> Option<(usize, usize, bool)> {
    let mut at = from;
    while let Some(found) = text[at..].find(MARKS) {
        let place = at + found;
        for (tag, (open, close)) in TAGS.iter().enumerate() {
            if starts_with(text, place, open) {
                return Some((place, tag, true));
            }
            if starts_with(text, place, close) {
                return Some((place, tag, false));
            }
        }
        at = after_char(text, place);
    }
    None
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

fn ends_line(text: &str, place: usize) -> bool {
    text[place..].chars().find(|c| *c == '\n' || !c.is_whitespace()).is_none_or(|c| c == '\n')
}

/// gpt-oss's format, Harmony: messages on channels, of which `final` alone is said. Where a server has dropped the special
/// tokens, only their words are left.
fn harmony(text: &str) -> Option<Parts> {
    const FINAL: &str = "<|channel|>final";
    let head = text.trim_start();
    if !head.starts_with("<|channel|>") && !head.starts_with("<|start|>") && !text.contains(FINAL) {
        return bare_harmony(text);
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

fn bare_harmony(text: &str) -> Option<Parts> {
    const SEAM: &str = "assistantfinal";
    let start = text.len() - text.trim_start().len();
    let seam = text.rfind(SEAM).filter(|_| text[start..].starts_with("analysis"))?;
    let mut parts = Parts::default();
    parts.thought.push(start + "analysis".len()..seam);
    parts.said.push(seam + SEAM.len()..text.len());
    Some(parts)
}
