//! What stands in a reply and is not its own: quoted answers, marked blocks, code, thoughts before the reply.

use std::collections::BTreeSet;

use crate::text::{GAP, is_at, line_end};

/// So many letters and digits in a row that also stand in an answer are a quotation of it, however they are set.
pub const QUOTED: usize = 12;

/// An answer's letters and digits, by which what repeats it is found.
pub struct Quoted {
    answers: Vec<Vec<char>>,
}

impl Quoted {
    /// Of folded answers.
    pub fn new(answers: &[Vec<char>]) -> Self {
        Self { answers: answers.iter().map(|answer| answer.iter().copied().filter(|c| speaks(*c)).collect()).collect() }
    }

    /// Takes out every run of [`QUOTED`] letters and digits that also stands in an answer.
    pub fn erase(&self, text: &mut [char]) {
        let places: Vec<usize> = (0..text.len()).filter(|i| text.get(*i).is_some_and(|c| speaks(*c))).collect();
        let spoken: Vec<char> = places.iter().filter_map(|i| text.get(*i).copied()).collect();
        let runs: BTreeSet<&[char]> = self.answers.iter().flat_map(|answer| answer.windows(QUOTED)).collect();
        for (first, run) in spoken.windows(QUOTED).enumerate() {
            if !runs.contains(run) {
                continue;
            }
            let (Some(from), Some(to)) = (places.get(first), places.get(first + QUOTED - 1)) else { continue };
            if let Some(part) = text.get_mut(*from..=*to) {
                blank(part);
            }
        }
    }

    /// Whether these words are all that an answer says.
    pub fn is_all_of(&self, words: &[char]) -> bool {
        let words: Vec<char> = words.iter().copied().filter(|c| speaks(*c)).collect();
        !words.is_empty() && self.answers.contains(&words)
    }

    /// Whether an answer has these words, too, and behind them no digit that makes another number of them.
    pub fn has(&self, words: &[char]) -> bool {
        let words: Vec<char> = words.iter().copied().filter(|c| speaks(*c)).collect();
        let goes_on = |rest: &[char]| rest.first().is_some_and(char::is_ascii_digit);
        !words.is_empty()
            && self.answers.iter().any(|answer| {
                answer
                    .windows(words.len())
                    .enumerate()
                    .any(|(at, run)| run == words && !goes_on(answer.get(at + words.len()..).unwrap_or_default()))
            })
    }
}

/// What counts when two texts are compared: letters, digits, and the signs within numbers.
fn speaks(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '%' | '/')
}

/// Takes a part out; line ends stay, so that lines stay lines.
pub fn blank(part: &mut [char]) {
    part.iter_mut().filter(|c| **c != '\n').for_each(|c| *c = GAP);
}

/// Takes out what a reply thinks before it begins: all up to the last `</think>`, or everything where a thought
/// never ends.
///
/// An answer that has that mark could hide a mark by it, so nothing is taken out then.
pub fn erase_thoughts(text: &mut [char], answers: &[Vec<char>]) {
    const END: &str = "</think>";
    if answers.iter().any(|answer| (0..answer.len()).any(|at| is_at(answer, at, END))) {
        return;
    }
    let begins = text.iter().position(|c| !c.is_whitespace()).is_some_and(|at| is_at(text, at, "<think>"));
    let end = (0..text.len()).rev().find(|at| is_at(text, *at, END)).map(|at| at + END.len());
    let end = end.or_else(|| begins.then_some(text.len())).unwrap_or(0);
    text.iter_mut().take(end).for_each(|c| *c = ' ');
}

/// Takes out blocks between marks that hold `nonce`: from the line of the first to that of the next one, and to the
/// end of the text where no other follows.
pub fn erase_blocks(text: &mut [char], nonce: &str) {
    let nonce: String = nonce.to_lowercase();
    if nonce.is_empty() {
        return;
    }
    let length = nonce.chars().count();
    let find = |text: &[char], from: usize| (from..text.len()).find(|at| is_at(text, *at, &nonce));
    let mut from = 0;
    while let Some(open) = find(text, from) {
        let end = find(text, open + length).map_or(text.len(), |close| close + length);
        if let Some(part) = text.get_mut(open..end) {
            blank(part);
        }
        from = end;
    }
}

/// Takes out `~~struck~~` words.
pub fn erase_struck(text: &mut [char]) {
    let mut at = 0;
    while at < text.len() {
        let is_open = is_at(text, at, "~~");
        let close = is_open.then(|| (at + 2..line_end(text, at)).find(|i| is_at(text, *i, "~~"))).flatten();
        if let Some(part) = close.and_then(|close| text.get_mut(at..close + 2)) {
            blank(part);
        }
        at = close.map_or(at + 1, |close| close + 2);
    }
}

/// Takes out lines quoted with `>`, and code: a fenced block stays only where it may be how the mark is given, which
/// is a block of text or JSON, or the whole reply.
pub fn erase_blocks_of_markdown(text: &mut [char]) {
    let whole = text.iter().position(|c| !c.is_whitespace()).is_some_and(|at| is_at(text, at, "```"))
        && trimmed_ends_with_fence(text);
    let (mut at, mut fence): (usize, Option<(usize, bool)>) = (0, None);
    let mut kept_blocks: Vec<(usize, usize, bool)> = Vec::new();
    while at < text.len() {
        let end = line_end(text, at);
        let start = at + text.iter().skip(at).take_while(|c| **c == ' ').count();
        let is_fence = ["```", "~~~"].iter().any(|mark| is_at(text, start, mark) && !closes_on(text, start + 3, end));
        match fence {
            None if is_fence => {
                let tag: String = text.get(start + 3..end).unwrap_or_default().iter().collect();
                fence = Some((at, matches!(tag.trim(), "" | "json" | "text" | "txt" | "markdown" | "md")));
            }
            Some((from, keeps)) if is_fence => {
                kept_blocks.push((from, end, keeps));
                fence = None;
            }
            None if text.get(start) == Some(&'>') => {
                if let Some(line) = text.get_mut(at..end) {
                    blank(line);
                }
            }
            _ => {}
        }
        at = end + 1;
    }
    // A fence that is never closed holds the rest of a reply that was cut off.
    kept_blocks.extend(fence.map(|(from, keeps)| (from, text.len(), keeps)));
    for (from, to, keeps) in kept_blocks {
        let lines = text.get(from..to).unwrap_or_default().split(|c| *c == '\n');
        let content = lines.filter(|l| !l.iter().collect::<String>().trim_start().starts_with(['`', '~']));
        let content: Vec<String> = content.map(|l| l.iter().collect::<String>().trim().to_owned()).collect();
        let is_json = content.iter().find(|line| !line.is_empty()).is_some_and(|line| line.starts_with('{'));
        let is_one_line = content.iter().filter(|line| !line.is_empty()).count() <= 1;
        if keeps && (is_json || is_one_line || whole) {
            erase_fence_lines(text, from, to);
        } else if let Some(block) = text.get_mut(from..to) {
            blank(block);
        }
    }
}

/// Whether backquotes close again on their line: then they hold words and not lines.
fn closes_on(text: &[char], from: usize, end: usize) -> bool {
    text.get(from..end).unwrap_or_default().contains(&'`')
}

fn trimmed_ends_with_fence(text: &[char]) -> bool {
    let end = text.iter().rposition(|c| !c.is_whitespace()).map_or(0, |at| at + 1);
    end >= 6 && is_at(text, end - 3, "```") && text.iter().filter(|c| **c == '`').count() == 6
}

/// The first and the last line of a block that stays, if they are its fences.
fn erase_fence_lines(text: &mut [char], from: usize, to: usize) {
    let first_end = line_end(text, from);
    let last_start = text.get(..to).unwrap_or_default().iter().rposition(|c| *c == '\n').map_or(0, |at| at + 1);
    for (start, end) in [(from, first_end), (last_start.max(from), to)] {
        let Some(line) = text.get_mut(start..end) else { continue };
        if line.iter().collect::<String>().trim_start().starts_with(['`', '~']) {
            line.fill(' ');
        }
    }
}
