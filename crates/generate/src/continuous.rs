//! Continuous batching: rows come and go while others go on, each with settings of its own.

use std::sync::Arc;

use rayon::prelude::*;
use tunebench_model::backend::{Generator, PromptRow, Rows};

use crate::error::Error;
use crate::logprobs::{Distribution, TokenLogprobs};
use crate::settings::{Prompt, Settings};

/// Tokens of prompts that are read together, at most; one prompt may be longer.
const PROMPT_TOKENS: usize = 2048;

/// A prompt, and how its answer is made.
#[derive(Clone, Debug)]
pub struct Request {
    pub prompt: Prompt,
    pub settings: Arc<Settings>,
}

/// What becomes of a row.
#[derive(Debug)]
pub enum Outcome {
    /// The next token of its answer, and how likely it was where that is asked.
    Token(u32, Option<TokenLogprobs>),
    /// The answer ended, after tokens that were told before, by this token, which is no part of it. The row is gone.
    Stop(u32, Option<TokenLogprobs>),
    /// The answer is as long as allowed. The row is gone.
    Length,
    /// There is no next token. The row is gone, and the others go on.
    Failed(Error),
}

/// A row that is not finished, with what its owner keeps beside it.
struct Row<T> {
    owner: T,
    request: Request,
    /// Of the answer, so far.
    tokens: Vec<u32>,
}

/// Answers under way.
pub struct Continuous<'m, T> {
    model: &'m dyn Generator,
    text: Box<dyn Rows + 'm>,
    rows: Vec<Row<T>>,
    /// Of the rows that are just getting a token.
    scores: Vec<f32>,
}

impl<'m, T: Send + Sync> Continuous<'m, T> {
    /// No rows yet.
    pub fn new(model: &'m dyn Generator) -> Self {
        Self { model, text: model.rows(), rows: Vec::new(), scores: Vec::new() }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Of prompts of so many tokens, waiting in this order, how many may be read together: at least one if there is a place.
    /// Virtual tokens in front of each count, too.
    pub fn fitting(&self, prompts: impl Iterator<Item = usize>, places: usize) -> usize {
        let in_front = self.model.shape().context().saturating_sub(self.model.positions());
        let mut tokens = 0;
        let fits = |(index, prompt): &(usize, usize)| {
            tokens += in_front + prompt;
            *index == 0 || tokens <= PROMPT_TOKENS
        };
        prompts.take(places).enumerate().take_while(fits).count()
    }

    /// Reads prompts, which become rows, and chooses a first token for each. `on` is told what becomes of each row, and says
    /// whether it is to go on; one that ended is gone in any case.
    ///
    /// # Errors
    /// When a prompt is empty or has a token that the model does not know. All rows are then as good as lost: see
    /// [`Continuous::clear`].
    pub fn join(
        &mut self,
        requests: Vec<(T, Request)>,
        on: &mut dyn FnMut(&mut T, Outcome) -> bool,
    ) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        let prompts: Vec<PromptRow<'_>> = requests.iter().map(|(_, request)| row(&request.prompt)).collect();
        self.text.prefill(&prompts, &mut self.scores)?;
        self.add(requests, on)
    }

    /// As [`Continuous::join`], and tells how likely each prompt's own tokens are, `top` alternatives with each; the first
    /// has nothing before it, and so none. A request for no tokens ends with that.
    ///
    /// # Errors
    /// As [`Continuous::join`].
    pub fn join_scored(
        &mut self,
        requests: Vec<(T, Request)>,
        top: usize,
        on_prompt: &mut dyn FnMut(&mut T, Vec<TokenLogprobs>),
        on: &mut dyn FnMut(&mut T, Outcome) -> bool,
    ) -> Result<(), Error> {
        if requests.is_empty() {
            return Ok(());
        }
        let rows: Vec<PromptRow<'_>> = requests.iter().map(|(_, request)| row(&request.prompt)).collect();
        let prompts: Vec<&[u32]> = rows.iter().map(|row| row.tokens).collect();
        // What comes after each token; nothing is asked behind a prompt's last.
        let ends = prompts.iter().flat_map(|prompt| {
            let last = prompt.len().saturating_sub(1);
            (0..prompt.len()).map(move |i| (i < last).then(|| prompt[i + 1]))
        });
        let next: Vec<Option<u32>> = ends.collect();
        let vocab_size = self.model.shape().vocab_size;
        let mut found: Vec<Option<TokenLogprobs>> = Vec::with_capacity(next.len());
        let mut each = |first: usize, scores: &[f32]| {
            let of = |(scores, next): (&[f32], &Option<u32>)| {
                let score = *scores.get((*next)? as usize)?;
                Some(Distribution::of(scores, top).of_token(score))
            };
            let wanted = &next[first.min(next.len())..];
            found.par_extend(scores.par_chunks(vocab_size).zip(wanted).map(of));
        };
        self.text.prefill_scored(&rows, &mut each, &mut self.scores)?;
        let lengths: Vec<usize> = prompts.iter().map(|prompt| prompt.len()).collect();
        let (mut requests, mut found) = (requests, found.into_iter());
        for ((owner, _), length) in requests.iter_mut().zip(lengths) {
            on_prompt(owner, found.by_ref().take(length).flatten().collect());
        }
        self.add(requests, on)
    }

    /// Gives each row its next token; `on` as with [`Continuous::join`].
    ///
    /// # Errors
    /// When the model fails. All rows are then as good as lost: see [`Continuous::clear`].
    pub fn step(&mut self, on: &mut dyn FnMut(&mut T, Outcome) -> bool) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let last: Vec<u32> = self.rows.iter().filter_map(|row| row.tokens.last().copied()).collect();
        self.text.step(&last, &mut self.scores)?;
        self.choose(0, on)
    }

    /// Lets go the rows whose owners do not want them any more.
    ///
    /// # Errors
    /// When the model fails.
    pub fn retain(&mut self, is_wanted: &mut dyn FnMut(&T) -> bool) -> Result<(), Error> {
        for i in (0..self.rows.len()).rev() {
            if !is_wanted(&self.rows[i].owner) {
                self.leave(i)?;
            }
        }
        Ok(())
    }

    /// Lets go all rows, also what the model held of them, and yields their owners.
    pub fn clear(&mut self) -> Vec<T> {
        self.text = self.model.rows();
        self.rows.drain(..).map(|row| row.owner).collect()
    }

    fn add(&mut self, requests: Vec<(T, Request)>, on: &mut dyn FnMut(&mut T, Outcome) -> bool) -> Result<(), Error> {
        let first = self.rows.len();
        self.rows.extend(requests.into_iter().map(|(owner, request)| Row { owner, request, tokens: Vec::new() }));
        self.choose(first, on)
    }

    /// The next token of each row from `first` on, whose scores are `self.scores [rows - first, v]`.
    fn choose(&mut self, first: usize, on: &mut dyn FnMut(&mut T, Outcome) -> bool) -> Result<(), Error> {
        let vocab_size = self.model.shape().vocab_size;
        let scores = self.scores.par_chunks_mut(vocab_size);
        let chosen: Vec<Result<_, Error>> = self.rows[first..].par_iter().zip(scores).map(next_token).collect();
        // From the last row to the first: a row that leaves is replaced by one already looked at.
        for (i, chosen) in (first..self.rows.len()).zip(chosen).rev() {
            let row = &mut self.rows[i];
            let settings = &row.request.settings;
            let room = self.model.positions().saturating_sub(row.request.prompt.tokens.len());
            let most = settings.max_new_tokens.min(room);
            let goes_on = match chosen {
                Err(error) => {
                    on(&mut row.owner, Outcome::Failed(error));
                    false
                }
                Ok(_) if most == 0 => {
                    on(&mut row.owner, Outcome::Length);
                    false
                }
                Ok((token, logprobs)) if settings.stop_tokens.contains(&token) => {
                    on(&mut row.owner, Outcome::Stop(token, logprobs));
                    false
                }
                Ok((token, logprobs)) => {
                    row.tokens.push(token);
                    let goes_on = on(&mut row.owner, Outcome::Token(token, logprobs));
                    let is_full = goes_on && row.tokens.len() >= most;
                    if is_full {
                        on(&mut row.owner, Outcome::Length);
                    }
                    goes_on && !is_full
                }
            };
            if !goes_on {
                self.leave(i)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, row: usize) -> Result<T, Error> {
        self.text.swap_remove(row)?;
        Ok(self.rows.swap_remove(row).owner)
    }
}

/// A prompt as a model reads it.
fn row(Prompt { tokens, adapter, .. }: &Prompt) -> PromptRow<'_> {
    PromptRow { tokens, adapter: *adapter }
}

/// The next token of a row, from its scores `[v]`, and how likely it was where that is asked. The scores are then those of the
/// tokens that were allowed.
fn next_token<T>((row, scores): (&Row<T>, &mut [f32])) -> Result<(u32, Option<TokenLogprobs>), Error> {
    let Request { prompt, settings } = &row.request;
    // Likelihoods are the model's own, whatever is allowed and at whatever temperature it is asked.
    let before = settings.top_logprobs.map(|top| Distribution::of(scores, top));
    if let Some(constraint) = &settings.constraint {
        constraint.mask(&row.tokens, &settings.stop_tokens, scores);
    }
    let token = settings.sampling.choose(scores, prompt.key, row.tokens.len()).ok_or(Error::NotANumber)?;
    let Some(score) = scores.get(token as usize).filter(|score| **score > f32::NEG_INFINITY) else {
        return Err(Error::NoToken { tokens: row.tokens.len() });
    };
    Ok((token, before.map(|distribution| distribution.of_token(*score))))
}
