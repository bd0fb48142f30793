//! Token ids with a label mask, cut to a length, and counted.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tunebench_spec::{Example, Recipe};

use crate::encoder::{Conversation, Encoder, Token};
use crate::error::Unusable;
use crate::skips::Skips;
use crate::text_check::TextCheck;

/// One training example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    pub tokens: Vec<u32>,
    /// Per token, whether predicting it from those before it counts in the loss. Never for the first.
    pub is_label: Vec<bool>,
}

impl Tokenized {
    /// Tokens that count in the loss.
    pub fn n_labels(&self) -> usize {
        self.is_label.iter().filter(|l| **l).count()
    }
}

/// What of a recipe decides the tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Whether prompt tokens are left out of the loss.
    pub mask_prompt: bool,
    /// Longest example in tokens.
    pub max_length: usize,
}

impl From<&Recipe> for Settings {
    fn from(recipe: &Recipe) -> Self {
        Self { mask_prompt: recipe.mask_prompt, max_length: recipe.max_length }
    }
}

/// What became of the examples given so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenStats {
    /// Examples to train on.
    pub examples: u64,
    /// Examples that cannot be trained on.
    pub skips: Skips,
    /// Examples of which the end was cut off, and the tokens that this cost.
    pub truncated: u64,
    pub lost_tokens: u64,
    /// Examples of which nothing was cut off and in which still no label is a token at which generation stops: the model
    /// is not told where an answer ends, and will write on.
    pub without_end: u64,
    /// Examples in which some label is such a token.
    pub with_end: u64,
    /// In all examples to train on.
    pub tokens: u64,
    pub label_tokens: u64,
    /// What became of their text.
    pub text: TextCheck,
}

/// Turns examples into tokens and keeps count.
#[derive(Debug)]
pub struct Tokenization<'e> {
    encoder: &'e Encoder,
    settings: Settings,
    stats: TokenStats,
}

impl<'e> Tokenization<'e> {
    pub fn new(encoder: &'e Encoder, settings: Settings) -> Self {
        Self { encoder, settings, stats: TokenStats::default() }
    }

    /// The tokens of an example; `None` when nothing can be learnt from it, which is counted with the reason.
    pub fn add(&mut self, example: &Example) -> Option<Tokenized> {
        let made = make(self.encoder, self.settings, example);
        self.count(example, made)
    }

    /// As [`Tokenization::add`] of each of them in their order, by all threads.
    pub fn add_all(&mut self, examples: &[Example]) -> impl Iterator<Item = Option<Tokenized>> {
        let (encoder, settings) = (self.encoder, self.settings);
        let made: Vec<_> = examples.par_iter().map(|example| make(encoder, settings, example)).collect();
        examples.iter().zip(made).map(|(example, made)| self.count(example, made))
    }

    fn count(&mut self, example: &Example, made: Result<Made, Unusable>) -> Option<Tokenized> {
        match made {
            Ok(Made { tokenized, lost, remarks }) => {
                self.stats.examples += 1;
                self.stats.truncated += u64::from(lost > 0);
                self.stats.lost_tokens += lost as u64;
                let with_end = learns_end(self.encoder, &tokenized);
                self.stats.with_end += u64::from(with_end);
                self.stats.without_end += u64::from(lost == 0 && !with_end);
                self.stats.tokens += tokenized.tokens.len() as u64;
                self.stats.label_tokens += tokenized.n_labels() as u64;
                self.stats.text.add(self.encoder, example, &tokenized.tokens, &remarks);
                Some(tokenized)
            }
            Err(Unusable(reason)) => {
                self.stats.skips.add(&example.id, &reason);
                None
            }
        }
    }

    pub fn stats(&self) -> &TokenStats {
        &self.stats
    }
}

/// Whether one of the labels is a token at which generation stops.
pub fn learns_end(encoder: &Encoder, tokenized: &Tokenized) -> bool {
    let mut labels = tokenized.tokens.iter().zip(&tokenized.is_label).filter(|(_, is_label)| **is_label);
    labels.any(|(id, _)| encoder.stop_tokens().binary_search(id).is_ok())
}

/// An example as tokens.
pub(crate) struct Made {
    pub(crate) tokenized: Tokenized,
    /// Tokens of its end that were cut off.
    pub(crate) lost: usize,
    /// What does not stand as the row has it.
    pub(crate) remarks: Vec<&'static str>,
}

/// The tokens of one example, and how many of its last ones were cut off.
///
/// # Errors
/// When its text has no tokens, or no token to learn is left.
pub fn tokenize(encoder: &Encoder, settings: Settings, example: &Example) -> Result<(Tokenized, usize), Unusable> {
    make(encoder, settings, example).map(|made| (made.tokenized, made.lost))
}

fn make(encoder: &Encoder, settings: Settings, example: &Example) -> Result<Made, Unusable> {
    let made = make_any(encoder, settings, example)?;
    match (made.tokenized.n_labels(), made.lost) {
        (0, 0) => Err(Unusable("nothing to learn: no answer".into())),
        (0, _) => Err(Unusable(format!("nothing to learn within max_length = {}", settings.max_length))),
        _ => Ok(made),
    }
}

/// As [`tokenize`], even when nothing can be learnt from the result.
pub(crate) fn make_any(encoder: &Encoder, settings: Settings, example: &Example) -> Result<Made, Unusable> {
    let Conversation { tokens, remarks } = encoder.conversation(&example.turns)?;
    let learns_all = encoder.learns_all() || !settings.mask_prompt;
    let kept = tokens.len().min(settings.max_length);
    let is_learnt = |token: &Token| !token.is_withheld && (learns_all || token.is_answer);
    let is_label = tokens.iter().enumerate().map(|(index, token)| index > 0 && is_learnt(token));
    let tokenized = Tokenized {
        is_label: is_label.take(kept).collect(),
        tokens: tokens[..kept].iter().map(|token| token.id).collect(),
    };
    Ok(Made { tokenized, lost: tokens.len() - kept, remarks })
}
