//! Demands that a question states and a program can check: words to use or to avoid, how many items, how long, how
//! to begin or end, JSON.

use std::fmt;

use numbers::fold;

use crate::items::items;
use crate::text::{normalised, tokens};

/// One demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Demand {
    Contains(String),
    Avoids(String),
    StartsWith(String),
    EndsWith(String),
    /// Exactly this many different items.
    Items(usize),
    AtLeastItems(usize),
    AtMostChars(usize),
    AtLeastChars(usize),
    Json,
}

/// What a quotation's surroundings make of the quoted word.
type Make = fn(String) -> Demand;

/// Demands read out of one question.
const MOST: usize = 32;
/// Words that ask for a list.
const LIST_VERBS: [&str; 16] = [
    "列出", "列举", "举出", "写出", "给出", "说出", "提出", "想出", "提供", "推荐", "生成", "创建", "设计", "描述",
    "选出", "写",
];
/// Measure words of what is listed.
const MEASURES: &str = "个种条项点款首句部本位类样道件名份座";
/// Characters between a verb and its number, or between `用` and its quotation.
const GAP: usize = 8;

/// The demands of a question, in order of their kind; empty when it states none.
pub fn demands(question: &str) -> Vec<Demand> {
    let text = Text::new(question);
    let mut demands = text.quoted_demands();
    demands.extend(text.length_demands());
    demands.extend(text.item_demand());
    if text.asks_for_json() {
        demands.push(Demand::Json);
    }
    demands.truncate(MOST);
    demands
}

/// How many items a question asks for.
pub fn item_count(question: &str) -> Option<usize> {
    match Text::new(question).item_demand()? {
        Demand::Items(n) | Demand::AtLeastItems(n) => Some(n),
        _ => None,
    }
}

impl Demand {
    /// Whether an answer meets it. An empty answer meets none.
    pub fn is_met(&self, answer: &str) -> bool {
        let bare = normalised(answer);
        if bare.is_empty() {
            return false;
        }
        match self {
            Self::Contains(word) => bare.contains(&normalised(word)),
            Self::Avoids(word) => !bare.contains(&normalised(word)),
            Self::StartsWith(word) => bare.starts_with(&normalised(word)),
            Self::EndsWith(word) => bare.trim_end_matches(['!', '?', '"']).ends_with(&normalised(word)),
            Self::Items(n) => different_items(answer) == *n,
            Self::AtLeastItems(n) => different_items(answer) >= *n,
            Self::AtMostChars(n) => tokens(answer).take(n + 1).count() <= *n,
            Self::AtLeastChars(n) => tokens(answer).take(*n).count() == *n,
            Self::Json => is_json(answer),
        }
    }
}

impl fmt::Display for Demand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(word) => write!(f, "contains `{word}`"),
            Self::Avoids(word) => write!(f, "avoids `{word}`"),
            Self::StartsWith(word) => write!(f, "starts with `{word}`"),
            Self::EndsWith(word) => write!(f, "ends with `{word}`"),
            Self::Items(n) => write!(f, "{n} items"),
            Self::AtLeastItems(n) => write!(f, "at least {n} items"),
            Self::AtMostChars(n) => write!(f, "at most {n} characters"),
            Self::AtLeastChars(n) => write!(f, "at least {n} characters"),
            Self::Json => f.write_str("JSON"),
        }
    }
}

fn different_items(answer: &str) -> usize {
    items(answer).into_iter().collect::<std::collections::BTreeSet<_>>().len()
}

/// The whole answer, or what stands between its code fences, parses.
fn is_json(answer: &str) -> bool {
    let fenced = answer.split("```").nth(1).map(|block| block.strip_prefix("json").unwrap_or(block));
    let parses = |text: &str| serde_json::from_str::<serde_json::Value>(text.trim()).is_ok();
    parses(answer) || fenced.is_some_and(parses)
}

/// A question, folded, by characters.
struct Text {
    chars: Vec<char>,
}

impl Text {
    fn new(question: &str) -> Self {
        Self { chars: question.chars().map(fold).flat_map(char::to_lowercase).collect() }
    }

    fn has(&self, at: usize, word: &str) -> bool {
        word.chars().enumerate().all(|(i, c)| self.chars.get(at + i) == Some(&c))
    }

    fn ends_at(&self, end: usize, word: &str) -> bool {
        let n = word.chars().count();
        end >= n && self.has(end - n, word)
    }

    /// 用“X”和“Y”造句, 包含“X”, 不要出现“X”, 以“X”开头.
    fn quoted_demands(&self) -> Vec<Demand> {
        let mut demands = Vec::new();
        // What the quotation before asked for carries over 和 and 、 to the next.
        let mut before: Option<(usize, Make)> = None;
        let mut at = 0;
        while let Some((start, end)) = self.quotation(at) {
            let word: String = self.chars[start + 1..end].iter().collect();
            let carried = before.filter(|(stop, _)| self.only_joins(*stop, start)).map(|(_, make)| make);
            let make = self.edge_demand(start, end).or(carried).or_else(|| self.word_demand(start));
            if let Some(make) = make.filter(|_| !word.trim().is_empty()) {
                demands.push(make(word));
            }
            before = make.map(|make| (end + 1, make));
            at = end + 1;
        }
        demands
    }

    /// The next pair of quotes: where it opens and where it closes.
    fn quotation(&self, from: usize) -> Option<(usize, usize)> {
        let quote = |from: usize| (from..self.chars.len()).find(|&i| self.chars[i] == '"');
        let open = quote(from)?;
        Some((open, quote(open + 1)?))
    }

    fn only_joins(&self, from: usize, to: usize) -> bool {
        self.chars[from..to].iter().all(|c| ",和与及 ".contains(*c))
    }

    fn edge_demand(&self, start: usize, end: usize) -> Option<Make> {
        if !self.ends_at(start, "以") && !self.ends_at(start, "用") {
            return None;
        }
        let after = if self.has(end + 1, "为") || self.has(end + 1, "作") { end + 2 } else { end + 1 };
        if self.has(after, "开头") || self.has(after, "开始") {
            return Some(Demand::StartsWith);
        }
        (self.has(after, "结尾") || self.has(after, "结束")).then_some(Demand::EndsWith)
    }

    /// What the clause before a quotation says about the quoted word.
    fn word_demand(&self, start: usize) -> Option<Make> {
        let clause = |&i: &usize| !".,;!?\n\"".contains(self.chars[i]);
        let words = ["用", "包含", "包括", "含有", "出现", "带有"];
        let from = (0..start).rev().take(GAP).take_while(clause).last()?;
        let at = (from..start).rev().find(|&i| words.iter().any(|w| self.has(i, w)))?;
        let negated = (at.saturating_sub(3)..at).any(|i| "不别勿免".contains(self.chars[i]));
        Some(if negated { Demand::Avoids } else { Demand::Contains })
    }

    /// 不超过50个字, 50字以内, 至少100字.
    fn length_demands(&self) -> Vec<Demand> {
        let mut demands = Vec::new();
        for (start, end, n) in self.counts() {
            let measure = if self.has(end, "个") { end + 1 } else { end };
            if !self.has(measure, "字") && !self.has(measure, "汉字") {
                continue;
            }
            let after = measure + if self.has(measure, "汉字") { 2 } else { 1 };
            let says = |words: &[&str]| words.iter().any(|w| self.ends_at(start, w));
            let at_most = says(&["不超过", "不多于", "最多", "少于", "低于", "控制在"]) && !says(&["不少于", "不低于"]);
            if at_most || self.has(after, "以内") || self.has(after, "之内") || self.has(after, "以下") {
                let fewer = says(&["少于", "低于"]);
                demands.push(Demand::AtMostChars(n - usize::from(fewer)));
            } else if says(&["至少", "不少于", "不低于", "超过"]) || self.has(after, "以上") {
                demands.push(Demand::AtLeastChars(n));
            }
        }
        demands
    }

    /// 列出三种水果, 写至少5条建议. One of something is no list.
    fn item_demand(&self) -> Option<Demand> {
        let counts = self.counts();
        let listed = counts.iter().find(|(start, end, n)| {
            let measured = self.chars.get(*end).is_some_and(|c| MEASURES.contains(*c));
            let is_length = self.has(end + 1, "字") || self.has(end + 1, "汉字");
            *n >= 2 && measured && !is_length && self.follows_list_verb(*start)
        });
        let (start, _, n) = *listed?;
        let at_least = self.ends_at(start, "至少") || self.ends_at(start, "不少于");
        Some(if at_least { Demand::AtLeastItems(n) } else { Demand::Items(n) })
    }

    fn follows_list_verb(&self, start: usize) -> bool {
        let in_clause = |&i: &usize| !".,;!?\n".contains(self.chars[i]);
        let nearest = (0..start).rev().take(GAP).take_while(in_clause);
        nearest.into_iter().any(|i| LIST_VERBS.iter().any(|v| self.has(i, v)))
    }

    /// Counts written in up to four digits or in Chinese up to 九十九: start, end and value.
    fn counts(&self) -> Vec<(usize, usize, usize)> {
        let mut counts = Vec::new();
        let mut at = 0;
        while at < self.chars.len() {
            let run = |is: fn(&char) -> bool| self.chars[at..].iter().take_while(|c| is(c)).count();
            let (digits, words) = (run(char::is_ascii_digit), run(|c| "一二两三四五六七八九十".contains(*c)));
            let end = at + digits.max(words).max(1);
            let value = match (digits, words) {
                (1..=4, _) => self.chars[at..end].iter().collect::<String>().parse().ok(),
                (0, 1..) => small_number(&self.chars[at..end]),
                _ => None,
            };
            // 第三 is no count.
            let ordinal = at > 0 && self.chars[at - 1] == '第';
            if let Some(n) = value.filter(|n| *n > 0 && !ordinal) {
                counts.push((at, end, n));
            }
            at = end;
        }
        counts
    }

    fn asks_for_json(&self) -> bool {
        let names = (0..self.chars.len()).filter(|&i| self.has(i, "json"));
        let asks = |i: usize| {
            let before: String = self.chars[i.saturating_sub(GAP)..i].iter().collect();
            let after: String = self.chars[i + 4..].iter().take(GAP).collect();
            let by = ["以", "用", "按", "输出", "返回", "转换成", "转换为", "生成"].iter().any(|w| before.contains(w));
            by && ["格式", "回答", "输出", "返回", "表示"].iter().any(|w| after.contains(w) || before.contains(w))
        };
        names.into_iter().any(asks)
    }
}

/// 三, 十, 十二, 二十, 三十五.
fn small_number(words: &[char]) -> Option<usize> {
    let digit = |c: &char| match c {
        '两' => Some(2),
        _ => "一二三四五六七八九".chars().position(|d| d == *c).map(|i| i + 1),
    };
    match words.iter().position(|c| *c == '十') {
        None => digit(words.first().filter(|_| words.len() == 1)?),
        Some(ten @ (0 | 1)) => {
            let tens = if ten == 0 { 1 } else { digit(&words[0])? };
            let ones = match &words[ten + 1..] {
                [] => 0,
                [one] => digit(one)?,
                _ => return None,
            };
            Some(tens * 10 + ones)
        }
        Some(_) => None,
    }
}
