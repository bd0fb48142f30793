//! The items of a list, however it is written: numbered or bulleted lines, plain lines, or one line with commas.

use std::collections::BTreeSet;

use numbers::fold;

use crate::text::normalised;

/// Items of one answer that are looked at.
pub const MOST: usize = 1_000;

/// The items of a text, normalised, in order; repetitions stay.
pub fn items(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).take(MOST).collect();
    let marked: Vec<&str> = lines.iter().filter_map(|l| after_marker(l)).collect();
    let clean = |item: &str| normalised(item).trim_matches([',', ';', '.', ' ']).to_string();
    let mut items: Vec<String> = match (marked.len(), lines.as_slice()) {
        (2.., _) => marked.into_iter().map(clean).collect(),
        (_, [line]) => {
            let line = after_marker(line).unwrap_or(line);
            let listed = line.rsplit_once(['：', ':']).map_or(line, |(_, list)| list);
            let separators: &[char] =
                if listed.contains(['、', ';', '；']) { &['、', ';', '；', '和'] } else { &['，', ',', '和'] };
            listed.split(separators).take(MOST).map(clean).collect()
        }
        // An introduction ends in a colon; it is no item.
        _ => lines.iter().filter(|l| !l.ends_with(['：', ':'])).map(|l| clean(l)).collect(),
    };
    items.retain(|item| !item.is_empty());
    items
}

/// How many different items of an answer are allowed ones, and how many items it lists at all.
pub fn members(answer: &str, allowed: &[String]) -> (usize, usize) {
    let allowed: BTreeSet<&String> = allowed.iter().collect();
    let listed = items(answer);
    let right: BTreeSet<&String> = listed.iter().filter(|item| allowed.contains(item)).collect();
    (right.len(), listed.len())
}

/// The text behind `1.`, `1、`, `(1)`, `①`, `一、`, `-`, `*` or `•`, when a line begins so.
fn after_marker(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix(['(', '（']).unwrap_or(line);
    if let Some(item) = rest.strip_prefix(['-', '*', '•', '·']) {
        // `-3` is a number.
        return (!item.starts_with(|c: char| c.is_ascii_digit())).then_some(item);
    }
    let is_circled = |c: char| ('①'..='⑳').contains(&c);
    if let Some(item) = rest.strip_prefix(is_circled) {
        return Some(item);
    }
    let is_number = |c: char| fold(c).is_ascii_digit() || "一二三四五六七八九十".contains(c);
    let number = rest.chars().take_while(|c| is_number(*c)).count();
    if !(1..=3).contains(&number) {
        return None;
    }
    rest = &rest[rest.chars().take(number).map(char::len_utf8).sum()..];
    let item = rest.strip_prefix(['.', '．', '、', ')', '）', ':', '：'])?;
    // `1.5` is a number.
    (!item.starts_with(|c: char| c.is_ascii_digit())).then_some(item)
}
