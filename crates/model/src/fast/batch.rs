//! Examples end to end: no padding, and attention that never crosses from one to the next.

use std::borrow::Cow;
use std::iter::{once, repeat_n};

use crate::Error;

/// What stands at the places of virtual tokens.
const PLACE: u32 = 0;

/// The tokens of some examples, one after the other, and which of them are to be predicted.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// `[n]`.
    pub(crate) tokens: Vec<u32>,
    /// Where each example ends.
    pub(crate) ends: Vec<usize>,
    /// Of each token in its own example, from 0; `[n]`.
    pub(crate) positions: Vec<u32>,
    /// Where a prediction is made: indices of tokens, each one before its label; `[m]`.
    pub(crate) from: Vec<usize>,
    /// What comes next there; `[m]`.
    pub(crate) labels: Vec<u32>,
}

impl Batch {
    /// No example yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an example; `is_label[i]` says that its token `i` is to be predicted. The first token has nothing before
    /// it and is never a label.
    ///
    /// # Errors
    /// [`Error::Batch`] when it is empty or the marks do not have its length.
    pub fn push(&mut self, tokens: &[u32], is_label: &[bool]) -> Result<(), Error> {
        if tokens.is_empty() {
            return Err(Error::Batch("an example needs at least one token".into()));
        }
        if tokens.len() != is_label.len() {
            return Err(Error::Batch("the label marks do not have the length of the example".into()));
        }
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        self.positions.extend(0..tokens.len() as u32);
        self.ends.push(self.tokens.len());
        for (i, &label) in tokens.iter().enumerate().skip(1).filter(|(i, _)| is_label[*i]) {
            self.from.push(start + i - 1);
            self.labels.push(label);
        }
        Ok(())
    }

    /// Number of tokens, `n`.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.ends.len()
    }

    /// Number of labels, `m`.
    pub fn labels(&self) -> usize {
        self.labels.len()
    }

    /// The same examples, each behind `count` places of virtual tokens.
    pub(crate) fn behind(&self, count: usize) -> Cow<'_, Self> {
        if count == 0 {
            return Cow::Borrowed(self);
        }
        let mut all = Self { labels: self.labels.clone(), ..Self::default() };
        all.from = self.indices_behind(count, &self.from).into_owned();
        for (start, &end) in once(&0).chain(&self.ends).zip(&self.ends) {
            all.tokens.extend(repeat_n(PLACE, count));
            all.tokens.extend(&self.tokens[*start..end]);
            all.positions.extend(0..count as u32);
            all.positions.extend(self.positions[*start..end].iter().map(|p| p + count as u32));
            all.ends.push(all.tokens.len());
        }
        Cow::Owned(all)
    }

    /// Indices of tokens as they are among those of [`Batch::behind`].
    pub(crate) fn indices_behind<'a>(&self, count: usize, indices: &'a [usize]) -> Cow<'a, [usize]> {
        if count == 0 {
            return Cow::Borrowed(indices);
        }
        let examples = |index: usize| self.ends.partition_point(|end| *end <= index) + 1;
        indices.iter().map(|&index| index + count * examples(index)).collect()
    }

    pub(crate) fn check(&self, vocab_size: usize) -> Result<(), Error> {
        match self.tokens.iter().find(|t| **t as usize >= vocab_size) {
            Some(token) => Err(Error::Batch(format!(
                "token {token} is not in the vocabulary of {vocab_size}; was it made by another model's tokenizer?"
            ))),
            None => Ok(()),
        }
    }
}
