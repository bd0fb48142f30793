//! Replies as plain signs, and the small questions that a reader of marks asks of them.

/// Stands where something was taken out: it is part of no mark, and a mark beside it is unclear.
pub const GAP: char = '\u{fffc}';

/// What only decorates: Markdown, quotes, brackets, LaTeX. Round brackets are not among them: they may hold a scale.
const DECORATION: &str = "*_`#\"'“”‘’「」『』《》【】[]{}<>$\\";

/// Full-width and other variants as their plain signs, letters in lower case, nothing invisible.
pub fn fold(text: &str) -> Vec<char> {
    text.chars().filter(|c| !is_invisible(*c)).map(fold_char).collect()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\r' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn fold_char(c: char) -> char {
    let plain = match c {
        '\t' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}' => ' ',
        '\u{2028}' | '\u{2029}' | '\u{b}' | '\u{c}' | '\u{85}' => '\n',
        '\u{2010}' | '\u{2011}' | '\u{2212}' | '\u{fe63}' => '-',
        '\u{2044}' | '\u{2215}' => '/',
        '\u{2236}' | '\u{fe55}' | '\u{fe30}' => ':',
        '\u{fe6a}' => '%',
        '\u{fe52}' => '.',
        '〜' | '\u{223c}' => '~',
        // ！ to ～ stand in the order of ! to ~.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        // Five alphabets of digits for mathematics, ten each.
        '\u{1d7ce}'..='\u{1d7ff}' => char::from_digit((c as u32 - 0x1d7ce) % 10, 10).unwrap_or(c),
        _ => c,
    };
    simplified(plain).to_ascii_lowercase()
}

/// Traditional characters of the words that are looked for, as their simplified ones.
fn simplified(c: char) -> char {
    const TRADITIONAL: &str = "評總滿數終題綜給應為爲點錯誤對準確邏輯績後當這個訂則認體結論製獲無難標與還語達創關參據";
    const SIMPLIFIED: &str = "评总满数终题综给应为为点错误对准确逻辑绩后当这个订则认体结论制获无难标与还语达创关参据";
    if c.is_ascii() {
        return c;
    }
    match TRADITIONAL.chars().position(|traditional| traditional == c) {
        Some(place) => SIMPLIFIED.chars().nth(place).unwrap_or(c),
        None => c,
    }
}

/// Tags of HTML that only decorate become decoration, and those that break lines line ends.
pub fn without_tags(text: &[char]) -> Vec<char> {
    const DECORATE: [&str; 14] =
        ["b", "i", "u", "em", "strong", "span", "font", "center", "small", "big", "h1", "h2", "h3", "h4"];
    const BREAK: [&str; 4] = ["br", "p", "div", "li"];
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(sign) = text.get(at).copied() {
        let tag = if sign == '<' { tag_at(text, at) } else { None };
        let stand_in = tag.as_ref().and_then(|(name, _)| match name.as_str() {
            name if DECORATE.contains(&name) => Some('*'),
            name if BREAK.contains(&name) => Some('\n'),
            _ => None,
        });
        match (stand_in, tag) {
            (Some(stand_in), Some((_, end))) => (at, ()) = (end, out.push(stand_in)),
            _ => (at, ()) = (at + 1, out.push(sign)),
        }
    }
    out
}

/// The name of the tag without attributes that begins at `at`, and where it ends.
pub fn tag_at(text: &[char], at: usize) -> Option<(String, usize)> {
    let start = at + 1 + usize::from(text.get(at + 1) == Some(&'/'));
    let end = skip(text, start, |c| c.is_ascii_alphanumeric() || c == '_');
    let close = skip(text, end, |c| matches!(c, ' ' | '/'));
    let name: String = text.get(start..end)?.iter().collect();
    (text.get(at) == Some(&'<') && text.get(close) == Some(&'>') && !name.is_empty()).then_some((name, close + 1))
}

/// Whether `word` stands at `at`.
pub fn is_at(text: &[char], at: usize, word: &str) -> bool {
    let mut rest = text.get(at..).unwrap_or_default().iter();
    word.chars().all(|c| rest.next() == Some(&c))
}

/// Whether `word` stands at `at` as a whole: an English one is no part of a longer one.
pub fn is_word_at(text: &[char], at: usize, word: &str) -> bool {
    let end = at + word.chars().count();
    let letter = |at: usize| text.get(at).is_some_and(char::is_ascii_alphanumeric);
    let splits = |left: usize, right: usize| !(letter(left) && letter(right));
    is_at(text, at, word) && (at == 0 || splits(at - 1, at)) && (end == 0 || splits(end - 1, end))
}

/// The first of `words` that stands at `at` as a whole, and where it ends.
pub fn word_at<'w>(text: &[char], at: usize, words: &[&'w str]) -> Option<(&'w str, usize)> {
    let word = words.iter().find(|word| is_word_at(text, at, word))?;
    Some((word, at + word.chars().count()))
}

/// The longest of `words` that ends before `end` as a whole, and where it begins.
pub fn word_before<'w>(text: &[char], end: usize, words: &[&'w str]) -> Option<(&'w str, usize)> {
    let found = words.iter().filter_map(|word| {
        let start = end.checked_sub(word.chars().count())?;
        is_word_at(text, start, word).then_some((*word, start))
    });
    found.min_by_key(|(_, start)| *start)
}

/// Whether one of `words` stands in a range as a whole.
pub fn has_any(text: &[char], range: std::ops::Range<usize>, words: &[&str]) -> bool {
    let end = range.end.min(text.len());
    (range.start..end).any(|at| word_at(text, at, words).is_some_and(|(_, stop)| stop <= end))
}

/// Behind spaces, not behind line ends.
pub fn skip_spaces(text: &[char], at: usize) -> usize {
    skip(text, at, |c| c == ' ')
}

/// Behind spaces and decoration, not behind line ends.
pub fn skip_decoration(text: &[char], at: usize) -> usize {
    skip(text, at, |c| c == ' ' || is_decoration(c))
}

/// Behind all that `passes`.
pub fn skip(text: &[char], at: usize, passes: impl Fn(char) -> bool) -> usize {
    at + text.get(at..).unwrap_or_default().iter().take_while(|c| passes(**c)).count()
}

/// Whether a sign only decorates.
pub fn is_decoration(c: char) -> bool {
    DECORATION.contains(c)
}

/// Whether a digit stands at `at`.
pub fn is_digit_at(text: &[char], at: usize) -> bool {
    text.get(at).is_some_and(char::is_ascii_digit)
}

/// Whether a character is Chinese.
pub fn is_han(c: char) -> bool {
    matches!(c, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '〇')
}

/// Whether a sentence ends with the sign at `at`: a full stop is one unless a digit or a letter follows.
pub fn ends_sentence(text: &[char], at: usize) -> bool {
    match text.get(at) {
        Some('。' | '\n') => true,
        // Addresses and code have such signs within.
        Some('!' | '?') => !text.get(at + 1).is_some_and(char::is_ascii_alphanumeric),
        Some('.') if word_before(text, at, &["e.g", "i.e", "vs", "cf"]).is_some() => false,
        Some('.') => !text.get(at + 1).is_some_and(|c| c.is_ascii_alphanumeric() || *c == '.'),
        _ => false,
    }
}

/// Where the sentence begins that `at` is in.
pub fn sentence_start(text: &[char], at: usize) -> usize {
    (0..at).rev().find(|i| ends_sentence(text, *i)).map_or(0, |i| i + 1)
}

/// Where the line begins that `at` is in.
pub fn line_start(text: &[char], at: usize) -> usize {
    text.get(..at).unwrap_or_default().iter().rposition(|c| *c == '\n').map_or(0, |i| i + 1)
}

/// Where the line ends that `at` is in: at its line end, or at the end of the text.
pub fn line_end(text: &[char], at: usize) -> usize {
    skip(text, at, |c| c != '\n')
}

/// A part of the text to show, on one line and not long.
pub fn shown(text: &[char], range: std::ops::Range<usize>) -> String {
    const LONGEST: usize = 48;
    let end = range.end.min(text.len());
    let part = text.get(range.start.min(end)..end).unwrap_or_default();
    let mut shown: String = part.iter().take(LONGEST).map(|c| if c.is_control() { ' ' } else { *c }).collect();
    if part.len() > LONGEST {
        shown.push('…');
    }
    shown.trim().to_owned()
}
