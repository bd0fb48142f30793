//! A fixed text of general language, to measure by its loss what a training made a model forget.
//!
//! Two files of prose, written for this purpose, so that no model has been trained on them: description, narration,
//! explanation, dialogue, figures, instructions and letters, the same kinds in both languages. A loss on it can only be
//! compared with one on the very same text, so the files never change; another text would be another file beside them.

use tunebench_spec::{Example, Role, Turn};

/// What the languages are called, and their prose, a blank line between pieces.
const FILES: [(&str, &str); 2] = [("en", include_str!("general/en.txt")), ("zh", include_str!("general/zh.txt"))];

/// One piece: a paragraph, or the lines of a dialogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GeneralText {
    /// `en` or `zh`.
    pub language: &'static str,
    /// Its place among those of its language, from 1.
    pub number: usize,
    pub text: &'static str,
}

impl GeneralText {
    /// UTF-8 bytes of the piece, by which bits per byte are counted.
    pub fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    /// The piece as text to predict: one turn of the assistant, as rows to pre-train on have it. Its id is `general:en-1`.
    pub fn example(&self) -> Example {
        let turns = vec![Turn::new(Role::Assistant, self.text)];
        let id = format!("general:{}-{}", self.language, self.number);
        Example { id, turns, category: None, reference: None, rubric: None }
    }
}

/// All pieces, English before Chinese, in the order of the files. No piece ends in a line end.
pub fn texts() -> impl Iterator<Item = GeneralText> {
    FILES.into_iter().flat_map(|(language, file)| {
        let pieces = file.trim_end().split("\n\n");
        pieces.zip(1..).map(move |(text, number)| GeneralText { language, number, text })
    })
}
