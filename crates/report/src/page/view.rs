//! A report in the order and language in which the page shows it.

use maud::{Markup, html};

use crate::data::{Arm, Report, Text};
use crate::draw::marks;
use crate::error::Error;
use crate::html::{say, text};
use crate::words::Word;

/// A report, and the order in which the page shows it.
pub struct Page<'a> {
    pub report: &'a Report,
    /// Best score first, those without one last.
    pub arms: Vec<&'a Arm>,
    /// Tuners in the order of their best arm: their places are their colors.
    pub tuners: Vec<&'a str>,
}

impl<'a> Page<'a> {
    pub fn new(report: &'a Report) -> Self {
        let mut arms: Vec<&Arm> = report.arms.iter().collect();
        let mean = |arm: &Arm| arm.score.map_or(f64::NEG_INFINITY, |score| score.mean);
        arms.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
        let mut tuners: Vec<&str> = Vec::new();
        for arm in &arms {
            if !tuners.contains(&arm.tuner.as_str()) {
                tuners.push(&arm.tuner);
            }
        }
        Self { report, arms, tuners }
    }

    /// The number of a tuner's color and mark.
    pub fn tuner(&self, arm: &Arm) -> usize {
        self.tuners.iter().position(|tuner| *tuner == arm.tuner).unwrap_or(0)
    }

    /// A tuner's mark, as in the pictures.
    pub fn mark(&self, tuner: usize) -> Result<Markup, Error> {
        let name = self.tuners.get(tuner).copied().unwrap_or_default();
        let mark = marks::sample(name, tuner)?;
        Ok(html! { span.mark { (mark) } })
    }

    pub fn say(&self, word: &Word) -> Markup {
        say(self.report.language, word)
    }

    pub fn text(&self, words: &Text) -> Markup {
        text(self.report.language, words)
    }

    /// A phrase for an attribute, which stays in the language that the page opens in.
    pub fn label(&self, word: &Word) -> String {
        word.with(&[]).in_language(self.report.language).to_owned()
    }
}
