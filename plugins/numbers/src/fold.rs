//! One width and one style of punctuation.

/// What a no-break or thin space between two digits becomes.
pub const JOINING: char = '\u{a0}';

/// Full-width forms as ASCII, Chinese punctuation as its nearest ASCII relative; every other character itself.
pub fn fold(c: char) -> char {
    match c {
        '\u{3000}' | '\u{a0}' => ' ',
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '。' => '.',
        '、' => ',',
        '“' | '”' | '「' | '」' | '『' | '』' => '"',
        '‘' | '’' => '\'',
        '【' => '[',
        '】' => ']',
        '−' | '–' => '-',
        _ => c,
    }
}

/// A text as numbers are read in it: folded and in lower case, but that a Chinese full stop is no decimal point unless
/// digits stand before it, and that spaces which can only join digits are told from those which separate.
pub fn folded(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let is_digit = |at: usize| chars.get(at).is_some_and(|c| fold(*c).is_ascii_digit());
    let one = |(at, c): (usize, &char)| {
        let is_behind_digit = at > 0 && is_digit(at - 1);
        match c {
            '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' if is_behind_digit && is_digit(at + 1) => JOINING,
            '。' | '．' if !is_behind_digit => '。',
            _ => fold(*c),
        }
    };
    chars.iter().enumerate().map(one).collect::<String>().to_lowercase()
}
