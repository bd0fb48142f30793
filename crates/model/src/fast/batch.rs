//! Examples end to end: no padding, and attention that never crosses from one to the next.

use std::iter::repeat_n;

use crate::Error;

/// The token id at the positions of virtual tokens; the embedding read there is overwritten.
const PREFIX_TOKEN: u32 = 0;

/// The tokens of some examples, one after the other, each behind a prefix of virtual tokens if the model has one; and
/// which of them are to be predicted.
#[derive(Clone, Debug)]
pub struct Batch {
    /// `[n]`.
    tokens: Vec<u32>,
    /// Cumulative lengths of the examples, prefixes included: `cu_seqlens[1..]`.
    seq_ends: Vec<usize>,
    /// Of each token in its own example, from 0; `[n]`.
    positions: Vec<u32>,
    /// Where a prediction is made: indices of tokens, each one before its label; `[m]`.
    label_indices: Vec<usize>,
    /// What comes next there; `[m]`.
    labels: Vec<u32>,
    /// Virtual tokens in front of each example.
    prefix: usize,
}

impl Batch {
    /// Examples to learn from, each its tokens and which of these are to be predicted, behind `prefix` virtual tokens
    /// ([`super::Model::prefix`]). A first token has nothing before it and is never a label.
    ///
    /// # Errors
    /// [`Error::Batch`] when an example is empty or its marks do not have its length.
    pub fn new<'a>(examples: impl IntoIterator<Item = (&'a [u32], &'a [bool])>, prefix: usize) -> Result<Self, Error> {
        let mut batch = Self::empty(prefix);
        for (tokens, is_label) in examples {
            if tokens.len() != is_label.len() {
                return Err(Error::Batch("the label marks do not have the length of the example".into()));
            }
            let start = batch.push(tokens)?;
            for (i, &label) in tokens.iter().enumerate().skip(1).filter(|(i, _)| is_label[*i]) {
                batch.label_indices.push(start + i - 1);
                batch.labels.push(label);
            }
        }
        Ok(batch)
    }

    /// Texts without labels, each behind `prefix` virtual tokens.
    ///
    /// # Errors
    /// [`Error::Batch`] when one is empty.
    pub fn unlabelled<'a>(texts: impl IntoIterator<Item = &'a [u32]>, prefix: usize) -> Result<Self, Error> {
        let mut batch = Self::empty(prefix);
        for tokens in texts {
            batch.push(tokens)?;
        }
        Ok(batch)
    }

    /// One new token of each text, at its position there: each attends by itself, to what a cache holds.
    pub(super) fn next_tokens(tokens: &[u32], positions: Vec<u32>) -> Self {
        let (tokens, seq_ends) = (tokens.to_vec(), (1..=tokens.len()).collect());
        Self { tokens, seq_ends, positions, ..Self::empty(0) }
    }

    fn empty(prefix: usize) -> Self {
        let (tokens, seq_ends, positions) = (Vec::new(), Vec::new(), Vec::new());
        Self { tokens, seq_ends, positions, label_indices: Vec::new(), labels: Vec::new(), prefix }
    }

    /// Adds an example behind its prefix; yields the index of its first own token.
    fn push(&mut self, tokens: &[u32]) -> Result<usize, Error> {
        if tokens.is_empty() {
            return Err(Error::Batch("an example needs at least one token".into()));
        }
        self.tokens.extend(repeat_n(PREFIX_TOKEN, self.prefix));
        let start = self.tokens.len();
        self.tokens.extend(tokens);
        self.positions.extend(0..(self.prefix + tokens.len()) as u32);
        self.seq_ends.push(self.tokens.len());
        Ok(start)
    }

    /// Number of tokens, `n`, virtual ones included.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no example.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Number of the examples' own tokens.
    pub fn own_tokens(&self) -> usize {
        self.len() - self.examples() * self.prefix
    }

    /// Number of examples.
    pub fn examples(&self) -> usize {
        self.seq_ends.len()
    }

    /// Number of labels, `m`.
    pub fn labels(&self) -> usize {
        self.labels.len()
    }

    /// Cumulative lengths of the examples, virtual tokens included.
    pub fn seq_ends(&self) -> &[usize] {
        &self.seq_ends
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(super) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// Indices of the tokens before the labels, and the labels; both `[m]`.
    pub(super) fn targets(&self) -> (&[usize], &[u32]) {
        (&self.label_indices, &self.labels)
    }

    /// The index among all tokens of own token number `index`.
    pub(super) fn index_behind_prefix(&self, index: usize) -> usize {
        // The own tokens of examples 0 to i end at `end - (i + 1) prefix`.
        let ends_before = |(i, end): &(usize, &usize)| **end - (i + 1) * self.prefix <= index;
        index + self.prefix * (1 + self.seq_ends.iter().enumerate().take_while(ends_before).count())
    }

    /// Whether a model of this vocabulary, so many virtual tokens, and so many positions if it has learned them, can take it.
    ///
    /// # Errors
    /// [`Error::Batch`] says what it cannot take.
    pub(super) fn check(&self, vocab_size: usize, prefix: usize, positions: Option<usize>) -> Result<(), Error> {
        if self.prefix != prefix {
            return Err(Error::Batch(format!(
                "a batch behind {} virtual tokens for a model that has {prefix}",
                self.prefix
            )));
        }
        let longest = self.positions.iter().max().map_or(0, |last| *last as usize + 1);
        if let Some(positions) = positions.filter(|positions| longest > *positions) {
            return Err(Error::Batch(format!(
                "a text of {longest} tokens, but the model has learned {positions} positions; shorten it"
            )));
        }
        match self.tokens.iter().find(|t| **t as usize >= vocab_size) {
            Some(token) => Err(Error::Batch(format!(
                "token {token} is not in the vocabulary of {vocab_size}; was it made by another model's tokenizer?"
            ))),
            None => Ok(()),
        }
    }
}
