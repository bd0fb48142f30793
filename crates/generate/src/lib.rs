//! Answers: prompts through a model with a key/value cache, many at once.
//!
//! Answers are made together ([`answer`]): a finished one leaves at once and the next prompt takes its place. What is
//! drawn for a row depends on its own key alone. On the fast engine so do its scores, to the byte, and an interrupted
//! run goes on with the prompts it lacks. On the reference path they depend on the company by rounding: there prompts are
//! cut into [`groups`], the same for the same prompts, and a group is answered as a whole or not at all.
//!
//! - [`Sampling`]: how a token is chosen; [`Constraint`]: which may be
//! - [`TokenLogprobs`]: how likely it was, and what else could have stood in its place

mod constraint;
mod logprobs;
mod sample;

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use tunebench_model::backend::Generator;

pub use constraint::Constraint;
pub use logprobs::TokenLogprobs;
pub use sample::Sampling;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error("the model's scores are not numbers; its weights are damaged or its training diverged")]
    NotANumber,
    #[error("the answer's form allows none of the model's tokens after {tokens} of them; ask without that form")]
    NoToken { tokens: usize },
}

/// What ends an answer and how its tokens are chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    /// Any of these ends an answer and is not part of it.
    pub stop_tokens: Vec<u32>,
    /// Asks for the log-probabilities of an answer's tokens, each with so many of the likeliest in its place.
    pub top_logprobs: Option<usize>,
    /// The form that answers must have, if any.
    pub constraint: Option<Arc<dyn Constraint>>,
}

/// One prompt. Its key decides what is drawn for it.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    pub key: u64,
}

/// One answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Without the token that ended it.
    pub tokens: Vec<u32>,
    pub finish: Finish,
    /// One for each token where they were asked for, else none.
    pub logprobs: Vec<TokenLogprobs>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    Stop,
    /// It was as long as allowed.
    Length,
}

impl Finish {
    /// In OpenAI's words: `stop` or `length`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
        }
    }
}

/// Indices of prompts in groups of at most `size`, prompts of similar length together, longest first.
pub fn groups(prompts: &[Prompt], size: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(prompts[i].tokens.len()), i));
    order.chunks(size.max(1)).map(<[usize]>::to_vec).collect()
}

/// Tokens of prompts that are read together, at most; one prompt may be longer.
const PROMPT_TOKENS: usize = 2048;

/// A row that is not finished.
struct Row {
    /// Which prompt.
    index: usize,
    tokens: Vec<u32>,
    logprobs: Vec<TokenLogprobs>,
}

/// Answers prompts, at most `places` at once and in their order: a finished answer goes to `on_answer` with the index of
/// its prompt, and the next prompt takes its place. `max_new_tokens` is cut to what the model's positions leave.
///
/// # Errors
/// When a prompt is empty or has a token that the model does not know, when the scores are not numbers, when no token has
/// the form that is asked for, or when `on_answer` fails.
pub fn answer<E: From<Error>>(
    model: &dyn Generator,
    prompts: &[&Prompt],
    settings: &Settings,
    places: usize,
    on_answer: &mut dyn FnMut(usize, Answer) -> Result<(), E>,
) -> Result<(), E> {
    let mut text = model.rows();
    let mut rows: Vec<Row> = Vec::new();
    let in_front = model.shape().context().saturating_sub(model.positions());
    let mut waiting = 0..prompts.len();
    // Scores of the rows that have just got a token, and which rows they are.
    let (mut scores, mut first) = (Vec::new(), 0);
    while !rows.is_empty() || waiting.start < waiting.end {
        let chosen = choose(&mut scores, &rows[first..], prompts, model.shape().vocab_size, settings)?;
        // From the last row to the first: a row that leaves is replaced by one already looked at.
        for (i, (token, logprobs)) in (first..rows.len()).zip(chosen).rev() {
            let finish = if settings.stop_tokens.contains(&token) {
                Some(Finish::Stop)
            } else {
                rows[i].tokens.push(token);
                rows[i].logprobs.extend(logprobs);
                let prompt = prompts[rows[i].index].tokens.len();
                let room = model.positions().saturating_sub(prompt);
                (rows[i].tokens.len() >= settings.max_new_tokens.min(room)).then_some(Finish::Length)
            };
            if let Some(finish) = finish {
                let row = rows.swap_remove(i);
                text.swap_remove(i).map_err(Error::from)?;
                on_answer(row.index, Answer { tokens: row.tokens, finish, logprobs: row.logprobs })?;
            }
        }
        let joining = next(&mut waiting, prompts, places.max(1) - rows.len().min(places.max(1)), in_front);
        if joining.is_empty() && rows.is_empty() {
            continue;
        }
        first = if joining.is_empty() { 0 } else { rows.len() };
        if joining.is_empty() {
            let last: Vec<u32> = rows.iter().filter_map(|row| row.tokens.last().copied()).collect();
            text.step(&last, &mut scores).map_err(Error::from)?;
        } else {
            let tokens: Vec<&[u32]> = joining.clone().map(|i| prompts[i].tokens.as_slice()).collect();
            text.prefill(&tokens, &mut scores).map_err(Error::from)?;
            rows.extend(joining.map(|index| Row { index, tokens: Vec::new(), logprobs: Vec::new() }));
        }
    }
    Ok(())
}

/// The prompts that join: as many as there are places and as may be read together, each with the virtual tokens in
/// front of it; at least one if there is a place.
fn next(waiting: &mut Range<usize>, prompts: &[&Prompt], places: usize, in_front: usize) -> Range<usize> {
    let (start, mut tokens) = (waiting.start, 0);
    while waiting.start < waiting.end && waiting.start - start < places {
        tokens += in_front + prompts[waiting.start].tokens.len();
        if waiting.start > start && tokens > PROMPT_TOKENS {
            break;
        }
        waiting.start += 1;
    }
    start..waiting.start
}

/// The next token of each row, from scores `[rows, v]`, and how likely it was where that is asked. The scores are then those
/// of the tokens that were allowed.
fn choose(
    scores: &mut [f32],
    rows: &[Row],
    prompts: &[&Prompt],
    vocab_size: usize,
    settings: &Settings,
) -> Result<Vec<(u32, Option<TokenLogprobs>)>, Error> {
    let choose = |(row, scores): (&Row, &mut [f32])| {
        // Likelihoods are the model's own, whatever is allowed and at whatever temperature it is asked.
        let before = settings.top_logprobs.map(|top| logprobs::Distribution::of(scores, top));
        if let Some(constraint) = &settings.constraint {
            constraint.mask(&row.tokens, &settings.stop_tokens, scores);
        }
        let token = settings.sampling.choose(scores, prompts[row.index].key, row.tokens.len());
        let token = token.ok_or(Error::NotANumber)?;
        let Some(score) = scores.get(token as usize).filter(|score| **score > f32::NEG_INFINITY) else {
            return Err(Error::NoToken { tokens: row.tokens.len() });
        };
        Ok((token, before.map(|distribution| distribution.of_token(*score))))
    };
    rows.par_iter().zip(scores.par_chunks_mut(vocab_size)).map(choose).collect()
}
