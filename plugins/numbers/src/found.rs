//! A number, and where it was found.

/// A number of a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// As it stands there with sign, denominator, unit and per cent, but of one width and without thousands' separators.
    pub text: String,
    pub value: f64,
}

/// Characters that were read as one number, and its value; not a number when they are only passed over.
pub struct Found {
    /// Where its sign or `百分之` begins, which may end the number before.
    pub from: usize,
    pub start: usize,
    pub end: usize,
    pub value: f64,
}

impl Found {
    pub fn number(&self, chars: &[char]) -> Number {
        let text = chars[self.from..self.end].iter().filter(|c| !is_separator(**c)).collect();
        Number { text, value: self.value }
    }
}

/// Whether a character of a number only groups its digits.
pub fn is_separator(c: char) -> bool {
    c == ',' || c.is_whitespace()
}

pub fn starts_with(chars: &[char], at: usize, word: &str) -> bool {
    word.chars().enumerate().all(|(i, c)| chars.get(at + i) == Some(&c))
}
