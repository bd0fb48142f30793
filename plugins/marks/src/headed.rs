//! Marks behind a heading: `得分: 0.8`, `**最终得分**：8/10`, `The score is 80%`, and a heading above its mark.

use crate::before::{Before, before, is_claimed, is_not_given, is_within_quotation};
use crate::behind::{Ending, may_end};
use crate::doubts::CORRECTIONS;
use crate::mark::Mark;
use crate::number::{Number, Odd, number, range, scale_within, skip_wrapping};
use crate::scale::{Of, Scale, same};
use crate::text::{ends_sentence, is_at, is_decoration, line_end, line_start, skip, skip_decoration, word_at};
use crate::words::{COPULAS, HEADINGS, NEED_COLON, Rank, TOTALS, WORD_MARKS};

/// The marks behind headings, in order, as many as are looked at: a reply with more is no judgement.
pub fn marks(text: &[char], scale: Scale) -> Vec<Mark> {
    const MOST: usize = 500;
    (0..text.len()).filter_map(|at| mark(text, at, scale)).take(MOST).collect()
}

/// The heading at `at`: its word, its rank, its end.
pub fn heading_at(text: &[char], at: usize) -> Option<(&'static str, Rank, usize)> {
    HEADINGS.iter().find_map(|(word, rank)| word_at(text, at, &[*word]).map(|(_, end)| (*word, *rank, end)))
}

fn mark(text: &[char], at: usize, scale: Scale) -> Option<Mark> {
    let (word, rank, end) = heading_at(text, at)?;
    let before = before(text, at)?;
    let whose = skip_decoration(text, end);
    let end = word_at(text, whose, WHOSE).map_or(end, |(_, end)| end);
    let link = link(text, end, before)?;
    if !link.suits(word, text, before) {
        return None;
    }
    let found = read(text, at, link, before, scale)?;
    if is_not_given(text, at, before) || is_within_quotation(text, at, found.end) || is_claimed(text, found.end) {
        return None;
    }
    let is_best = matches!(found.share, Ok(share) if same(share, 1.0));
    let rank = match rank {
        Rank::Final if TOTALS.contains(&word) && is_best && !before.is_final => Rank::Plain,
        rank if before.is_final => rank.max(Rank::Final),
        rank => rank,
    };
    Some(found.ranked(rank, before.corrects || link.corrects))
}

/// Whose mark it is, behind the heading.
const WHOSE: &[&str] =
    &["for this answer", "for this response", "for the answer", "for the response", "for the model's answer"];

/// What joins a heading to its mark.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    end: usize,
    /// A colon or an equals sign.
    has_colon: bool,
    has_copula: bool,
    /// The mark stands on a line below the heading's.
    is_below: bool,
    /// The copula says that the mark is a new one: `改为`.
    corrects: bool,
    /// A bracket behind the heading names the scale.
    full: Option<Of>,
    /// Whether a bracket is open before the number.
    in_bracket: bool,
}

impl Link {
    fn is_explicit(&self) -> bool {
        self.has_colon || self.has_copula
    }

    /// Whether it is enough for the heading: English words have many meanings, so theirs needs a sign.
    fn suits(&self, word: &str, text: &[char], before: Before) -> bool {
        if NEED_COLON.contains(&word) {
            return self.has_colon;
        }
        let begins_line = line_start(text, before.start) == before.start || before.start == 0;
        let is_plain = begins_line && matches!(word, "score" | "rating");
        !word.is_ascii() || self.is_explicit() || self.in_bracket || is_plain || self.is_below
    }
}

fn link(text: &[char], end: usize, before: Before) -> Option<Link> {
    let mut link = Link { end, ..Link::default() };
    loop {
        let at = skip_wrapping(text, link.end);
        link.end = at;
        match text.get(at) {
            Some(':' | '=' | '→') if !link.has_colon => (link.has_colon, link.end) = (true, at + 1),
            Some('—') if is_at(text, at, "——") && !link.is_explicit() => {
                (link.has_copula, link.end) = (true, at + 2)
            }
            Some('(') if !link.in_bracket => bracket(text, at, &mut link)?,
            Some('\n') if !link.is_below => {
                let begins_line = line_start(text, before.start) == line_start(text, end);
                let only = before.start <= skip(text, line_start(text, end), |c| c == ' ' || is_decoration(c));
                if !begins_line || !only {
                    return None;
                }
                (link.is_below, link.end) = (true, skip(text, at, |c| c.is_whitespace()));
            }
            _ => match word_at(text, at, COPULAS) {
                Some((word, after)) if !link.has_copula => {
                    link.corrects |= word.starts_with("改") || CORRECTIONS.iter().any(|c| word.contains(c));
                    (link.has_copula, link.end) = (true, after);
                }
                _ => return Some(link),
            },
        }
    }
}

/// A bracket behind a heading: the scale, the heading in another language, or the mark itself. Other words make the
/// heading a part's.
fn bracket(text: &[char], at: usize, link: &mut Link) -> Option<()> {
    let inside = skip_decoration(text, at + 1);
    let close_at = |end: usize| {
        let close = skip_decoration(text, end);
        (text.get(close) == Some(&')')).then_some(close + 1)
    };
    if let Some((of, end)) = scale_within(text, inside)
        && let Some(after) = close_at(end)
    {
        (link.full, link.end) = (Some(of), after);
        return Some(());
    }
    if let Some((_, _, end)) = heading_at(text, inside)
        && let Some(after) = close_at(end)
    {
        link.end = after;
        return Some(());
    }
    number(text, inside)?.ok()?;
    (link.in_bracket, link.end) = (true, inside);
    Some(())
}

/// Whether `<` or `>` between a heading and its mark is no part of a tag: `Score: >0.5`.
fn is_compared(text: &[char], start: usize, at: usize) -> bool {
    let within = text.get(start..at).unwrap_or_default();
    let opens_tag = start.checked_sub(1).and_then(|i| text.get(i)) == Some(&'<');
    let signs = within.iter().filter(|c| matches!(c, '<' | '>')).count();
    signs > usize::from(opens_tag)
}

fn read(text: &[char], start: usize, link: Link, before: Before, scale: Scale) -> Option<Mark> {
    let at = link.end;
    if is_compared(text, start, at) {
        return Some(Mark::unread(text, start, start..clause_end(text, at), Odd::Unclear));
    }
    if range(text, at).is_some_and(|(low, high, _)| scale.is_range(low, high)) {
        return None;
    }
    let full = match (link.full, before.full) {
        (Some(a), Some(b)) if a != b => return Some(Mark::unread(text, start, start..at, Odd::Unclear)),
        (link, before) => link.or(before),
    };
    match number(text, at) {
        Some(Ok(found)) => {
            let mark = Mark::of_number(text, start, at, found, full, scale);
            let share = mark.share.clone().unwrap_or_default();
            let ending = Ending { share, bare_integer: found.bare_integer, scale };
            let line = skip(text, found.end, |c| c == ' ' || is_decoration(c) || matches!(c, ')' | '。' | '.'));
            if link.is_below && line < line_end(text, at) {
                return None;
            }
            if mark.share.is_ok() && !may_end(text, found.end, ending) {
                let end = clause_end(text, found.end);
                return Some(Mark::unread(text, start, at..end, Odd::Unclear));
            }
            Some(mark)
        }
        Some(Err(odd)) => Some(Mark::unread(text, start, at..clause_end(text, at), odd)),
        None if link.is_below => None,
        None => in_words(text, start, link, scale),
    }
}

/// `得分：满分`; and a clause with digits that cannot be read.
fn in_words(text: &[char], start: usize, link: Link, scale: Scale) -> Option<Mark> {
    if !link.is_explicit() {
        return None;
    }
    let at = link.end;
    let end = clause_end(text, at);
    let word = WORD_MARKS
        .iter()
        .find(|(word, _)| skip_decoration(text, at + word.chars().count()) == end && is_at(text, at, word));
    if let Some((word, share)) = word {
        let number = Number {
            value: *share,
            of: Of::Full(1.0),
            end: at + word.chars().count(),
            bare_integer: false,
            is_measured: true,
        };
        let unit = Scale::default();
        return Some(Mark::of_number(text, start, at, number, None, unit));
    }
    // The rubric's words about the scale are no mark.
    let says_scale = (at..end).any(|i| range(text, i).is_some_and(|(low, high, _)| scale.is_range(low, high)));
    let has_number = text.get(at..end)?.iter().any(|c| c.is_numeric());
    (has_number && !says_scale).then(|| Mark::unread(text, start, at..end, Odd::Unclear))
}

/// Where the clause ends that `at` is in.
fn clause_end(text: &[char], at: usize) -> usize {
    (at..text.len()).find(|i| matches!(text.get(*i), Some(',' | ';')) || ends_sentence(text, *i)).unwrap_or(text.len())
}
