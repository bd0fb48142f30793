//! Which of two answers a reply prefers: `[[A]]`, `{"verdict": "B"}`, `结论：平局`, `Answer A is better`, or a letter alone.

use serde_json::Value;

use crate::before::{before, is_not_given, is_within_quotation};
use crate::decide::decide;
use crate::fault::Fault;
use crate::mark::Mark;
use crate::number::Odd;
use crate::objects::{are_all, objects};
use crate::options::Options;
use crate::own_words::OwnWords;
use crate::scale::Scale;
use crate::text::{
    GAP, ends_sentence, fold, has_any, is_at, is_decoration, line_end, sentence_start, shown, skip, skip_decoration,
    word_at, word_before,
};
use crate::words::{HAN_BEHIND, REASONS, Rank};

/// What is preferred, and its score for A.
const CHOICES: &[(&str, f64)] = &[
    ("回答a", 1.0),
    ("答案a", 1.0),
    ("answer a", 1.0),
    ("response a", 1.0),
    ("assistant a", 1.0),
    ("a", 1.0),
    ("回答b", 0.0),
    ("答案b", 0.0),
    ("answer b", 0.0),
    ("response b", 0.0),
    ("assistant b", 0.0),
    ("b", 0.0),
    ("平局", 0.5),
    ("平手", 0.5),
    ("不分上下", 0.5),
    ("一样好", 0.5),
    ("tie", 0.5),
    ("draw", 0.5),
    ("equal", 0.5),
];
/// Between double square brackets: of MT-bench, where `C` is a tie, and of Arena-Hard.
const IN_BRACKETS: &[(&str, f64)] = &[
    ("a", 1.0),
    ("b", 0.0),
    ("c", 0.5),
    ("tie", 0.5),
    ("a>>b", 1.0),
    ("a>b", 1.0),
    ("a=b", 0.5),
    ("b>a", 0.0),
    ("b>>a", 0.0),
];
const KEYS: &[&str] = &["verdict", "winner", "better", "choice", "preference", "结论", "判断", "更好", "胜者"];
const HEADINGS: &[&str] = &[
    "结论",
    "更好的回答",
    "更好的答案",
    "更好的是",
    "胜者",
    "判断",
    "选择",
    "verdict",
    "winner",
    "better answer",
    "better",
    "choice",
    "preference",
];
/// Behind a letter: it is the better one.
const BETTER: &[&str] = &[
    "更好",
    "胜出",
    "更优",
    "获胜",
    "is better",
    "is clearly better",
    "is slightly better",
    "is much better",
    "wins",
    "is the better answer",
    "is the better one",
];
/// How much better.
const ADVERBS: &[&str] = &["明显", "略微", "稍微", "整体", "总体上"];
/// Sentences that call it a tie.
const TIES: &[&str] = &[
    "平局",
    "两个回答不分上下",
    "两者不分上下",
    "两个回答一样好",
    "两者一样好",
    "it is a tie",
    "it's a tie",
    "both answers are equally good",
    "the answers are equally good",
];
/// What may follow a verdict in its sentence.
const BEHIND: &[&str] = &["because", "since", "as", "overall"];
/// What it may be better than.
const THAN: &[&str] = &["than answer b", "than answer a", "than response b", "than response a", "than b", "than a"];

/// What a reply says of A and B: 1 for A, 0 for B, 0.5 for a tie. `options.answers` are both answers.
///
/// # Errors
/// [`Fault`], as [`crate::read`].
pub fn read(reply: &str, options: &Options) -> Result<f64, Fault> {
    let mut own = OwnWords::of(reply, options);
    if let Some(share) = whole(&own.text).filter(|_| !own.is_an_answer(options)) {
        return Ok(share);
    }
    own.erase_markdown();
    let mut marks = of_objects(&mut own);
    own.erase_quotes();
    let text = &own.text;
    let words = |mark: &Mark| !own.quoted.has(text.get(mark.start..mark.end).unwrap_or_default());
    let brackets = (0..text.len()).filter_map(|at| in_brackets(text, at));
    // A letter in brackets is too short to tell by its letters whose it is.
    marks.extend(brackets.filter(|mark| !options.answers.iter().any(|answer| has_brackets(answer, mark))));
    marks.extend((0..text.len()).filter_map(|at| headed(text, at)).filter(words));
    marks.extend((0..text.len()).filter_map(|at| sentence(text, at)).filter(words));
    marks.extend(first_line(text, options.answers));
    marks.sort_by_key(|mark| mark.start);
    decide(text, text, &marks, Scale::default(), options.cut_off)
}

fn mark(text: &[char], start: usize, end: usize, share: Result<f64, Fault>, rank: Rank) -> Mark {
    Mark { share, ..Mark::unread(text, start, start..end, Odd::Unclear) }.ranked(rank, false)
}

fn choice_at(text: &[char], at: usize) -> Option<(f64, usize)> {
    let (word, end) = CHOICES.iter().find_map(|(word, _)| word_at(text, at, &[*word]))?;
    CHOICES.iter().find(|(name, _)| *name == word).map(|(_, share)| (*share, end))
}

/// A reply, or another text, that is a choice and no more.
fn whole(text: &[char]) -> Option<f64> {
    let around = |c: char| c.is_whitespace() || is_decoration(c) || matches!(c, '(' | ')');
    let start = skip(text, 0, around);
    let named = IN_BRACKETS.iter().find(|(name, _)| is_at(text, start.saturating_sub(2), &format!("[[{name}]]")));
    let (share, end) = match named {
        Some((name, share)) => (*share, start + name.chars().count()),
        None => choice_at(text, start)?,
    };
    (skip(text, end, |c| around(c) || matches!(c, '.' | '。')) >= text.len()).then_some(share)
}

/// A choice alone on the first line, with more below it, unless an answer has such a line, too.
fn first_line(text: &[char], answers: &[&str]) -> Option<Mark> {
    let start = skip(text, 0, char::is_whitespace);
    let end = line_end(text, start);
    let line = text.get(start..end)?;
    let share = whole(line).filter(|_| !line.contains(&GAP))?;
    let has_more = text.get(end..)?.iter().any(|c| c.is_alphanumeric());
    let is_answers = answers.iter().flat_map(|answer| answer.lines()).any(|line| whole(&fold(line)) == Some(share));
    (has_more && !is_answers).then(|| mark(text, start, end, Ok(share), Rank::Plain))
}

/// The choices in JSON objects, which are taken out.
fn of_objects(own: &mut OwnWords) -> Vec<Mark> {
    let objects = objects(&own.text);
    let alone = are_all(&own.text, &objects);
    let mut marks = Vec::new();
    for (range, fields) in &objects {
        let text = own.text.get(range.clone()).unwrap_or_default();
        for (key, value) in &fields.0 {
            let words = fold(&format!("{key}:{value}"));
            let is_quoted = own.quoted.has(text) || (!alone && own.quoted.has(&words));
            if is_quoted || fields.is_of_part() || !KEYS.contains(&key.trim()) {
                continue;
            }
            let share = match value {
                Value::String(string) => whole(&fold(string)),
                _ => None,
            };
            let share = share.ok_or_else(|| Fault::Unclear(shown(&words, 0..words.len())));
            let found = mark(&own.text, range.start, range.end, share, Rank::Final);
            marks.push(Mark { is_closed: true, ..found });
        }
    }
    // A list of verdicts, even of equal ones, is no verdict.
    if objects.len() > 1 && marks.len() > 1 {
        marks.iter_mut().for_each(|mark| mark.share = Err(Fault::Unclear(mark.shown.clone())));
    }
    objects.into_iter().for_each(|(range, _)| own.blank(range));
    marks
}

fn in_brackets(text: &[char], at: usize) -> Option<Mark> {
    let inside = is_at(text, at, "[[").then_some(at + 2)?;
    let close = (inside..text.len().min(inside + 8)).find(|i| is_at(text, *i, "]]"))?;
    let name: String = text.get(inside..close)?.iter().filter(|c| **c != ' ').collect();
    let (_, share) = IN_BRACKETS.iter().find(|(known, _)| *known == name)?;
    // The request's words repeated: `[[A]] if A is better`.
    let end = close + 2;
    let is_condition = word_at(text, skip_decoration(text, end), &["if", "when", "如果", "若"]).is_some();
    let sentence = sentence_start(text, at)..at;
    if is_condition
        || has_any(text, sentence.clone(), &["if", "如果", "若", "when", "claims", "says", "声称", "自称", "要求"])
    {
        return None;
    }
    let share = if may_end(text, end) && !has_any(text, sentence, NOT_A_VERDICT) {
        Ok(*share)
    } else {
        Err(Fault::Unclear(shown(text, at..end)))
    };
    Some(mark(text, at, end, share, Rank::Final))
}

/// Words of a sentence that make what it says of an answer no verdict.
const NOT_A_VERDICT: &[&str] =
    &["如果", "若", "if", "unless", "not", "不", "或", "or", "claims", "声称", "自称", "要求", "asks", "says"];

fn has_brackets(answer: &str, mark: &Mark) -> bool {
    let answer: String = fold(answer).into_iter().collect();
    answer.contains(mark.shown.as_str())
}

/// `结论：A`, `Winner: tie`
fn headed(text: &[char], at: usize) -> Option<Mark> {
    let (_, end) = word_at(text, at, HEADINGS)?;
    let before = before(text, at)?;
    let colon = skip_decoration(text, end);
    let start = matches!(text.get(colon), Some(':' | '=')).then(|| skip_decoration(text, colon + 1))?;
    let (share, end) = choice_at(text, start)?;
    if is_not_given(text, at, before) || is_within_quotation(text, at, end) {
        return None;
    }
    let end = word_at(text, skip_decoration(text, end), BETTER).map_or(end, |(_, end)| end);
    let share = if may_end(text, end) { Ok(share) } else { Err(Fault::Unclear(shown(text, at..end))) };
    Some(mark(text, at, end, share, Rank::Final))
}

/// `A 更好`, `Answer B is better`, `平局`
fn sentence(text: &[char], at: usize) -> Option<Mark> {
    let tie = word_at(text, at, TIES).map(|(_, end)| (0.5, end));
    let better = || {
        let is_answer = |(share, _): &(f64, usize)| (share - 0.5).abs() > 0.1;
        let (share, end) = choice_at(text, at).filter(is_answer)?;
        let next = skip_decoration(text, end);
        if let Some((_, than)) = word_at(text, next, &["优于"]) {
            let (_, end) = choice_at(text, skip_decoration(text, than)).filter(is_answer)?;
            return Some((share, end));
        }
        if let Some((_, than)) = word_at(text, next, &["比"]) {
            let (_, other) = choice_at(text, skip_decoration(text, than)).filter(is_answer)?;
            let (_, end) = word_at(text, skip_decoration(text, other), &["更好", "好", "更优"])?;
            return Some((share, end));
        }
        let adverb = word_at(text, next, ADVERBS).map_or(next, |(_, end)| end);
        let (_, end) = word_at(text, adverb, BETTER)?;
        Some((share, end))
    };
    let (share, end) = tie.or_else(better)?;
    // `回答A` begins before its letter.
    if word_before(text, at, &["回答", "答案", "answer ", "response ", "assistant ", "非", "是", "不"]).is_some()
    {
        return None;
    }
    let before = before(text, at)?;
    let is_refused = is_not_given(text, at, before) || has_any(text, before.start..at, NOT_A_VERDICT);
    if is_refused || is_within_quotation(text, at, end) {
        return None;
    }
    // `A is better in style, but …`
    let rest = end..(end..text.len()).find(|i| ends_sentence(text, *i)).unwrap_or(text.len());
    let is_sure =
        may_end(text, end) && !has_any(text, rest, &["but", "however", "although", "while", "但", "不过", "然而"]);
    let share = if is_sure { Ok(share) } else { Err(Fault::Unclear(shown(text, at..end))) };
    Some(mark(text, at, end, share, Rank::Plain))
}

/// Whether a verdict may end here: at the end of its clause, or before its reason.
fn may_end(text: &[char], end: usize) -> bool {
    let at = skip_decoration(text, end);
    let at = word_at(text, at, THAN).map_or(at, |(_, end)| skip_decoration(text, end));
    let clause_ends = matches!(text.get(at), None | Some(',' | ';' | '\n' | ':' | '(' | ')'));
    let sentence_ends = ends_sentence(text, at) && text.get(at) != Some(&'?');
    clause_ends || sentence_ends || [BEHIND, HAN_BEHIND, REASONS].iter().any(|words| word_at(text, at, words).is_some())
}
