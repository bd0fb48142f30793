//! A reply without what is not its own.

use crate::options::Options;
use crate::quotes::{Quoted, blank, erase_blocks, erase_blocks_of_markdown, erase_struck, erase_thoughts};
use crate::text::{fold, without_tags};

/// A reply as it is read.
pub struct OwnWords {
    /// Folded; what was taken out is a gap.
    pub text: Vec<char>,
    /// By which what repeats an answer is found.
    pub quoted: Quoted,
}

impl OwnWords {
    /// Without thoughts, blocks between marks, and what is struck.
    pub fn of(reply: &str, options: &Options) -> Self {
        let answers: Vec<Vec<char>> = options.answers.iter().map(|answer| fold(answer)).collect();
        let mut text = without_tags(&fold(reply));
        erase_thoughts(&mut text, &answers);
        options.nonces.iter().for_each(|nonce| erase_blocks(&mut text, nonce));
        erase_struck(&mut text);
        Self { text, quoted: Quoted::new(&answers) }
    }

    /// Whether all of it is also all of an answer, so that the judge may have repeated it; unless just that was asked for.
    pub fn is_an_answer(&self, options: &Options) -> bool {
        !options.asked_alone && self.quoted.is_all_of(&self.text)
    }

    /// Takes out quoted lines and code.
    pub fn erase_markdown(&mut self) {
        erase_blocks_of_markdown(&mut self.text);
    }

    /// Takes out what repeats an answer at length.
    pub fn erase_quotes(&mut self) {
        self.quoted.erase(&mut self.text);
    }

    /// Takes out a range.
    pub fn blank(&mut self, range: std::ops::Range<usize>) {
        if let Some(part) = self.text.get_mut(range) {
            blank(part);
        }
    }
}
