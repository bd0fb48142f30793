//! Answers: prompts through a model with a key/value cache, many at once.
//!
//! Answers are made together ([`answer`]): a finished one leaves at once and the next prompt takes its place. What is
//! drawn for a row depends on its own key alone. On the fast engine so do its scores, to the byte, and an interrupted
//! run goes on with the prompts it lacks. On the reference path they depend on the company by rounding: there prompts are
//! cut into [`groups`], the same for the same prompts, and a group is answered as a whole or not at all.

mod sample;

use std::ops::Range;

use rayon::prelude::*;
use tunebench_model::backend::Generator;

pub use sample::Sampling;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_model::Error),
    #[error("the model's scores are not numbers; its weights are damaged or its training diverged")]
    NotANumber,
}

/// What ends an answer and how its tokens are chosen.
#[derive(Clone, Debug)]
pub struct Settings {
    pub max_new_tokens: usize,
    pub sampling: Sampling,
    /// Any of these ends an answer and is not part of it.
    pub stop_tokens: Vec<u32>,
}

/// One prompt. Its key decides what is drawn for it.
#[derive(Clone, Debug)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    pub key: u64,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Without the token that ended it.
    pub tokens: Vec<u32>,
    pub finish: Finish,
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
}

/// Answers prompts, at most `places` at once and in their order: a finished answer goes to `on_answer` with the index of
/// its prompt, and the next prompt takes its place. `max_new_tokens` is cut to what the model's positions leave.
///
/// # Errors
/// When a prompt is empty or has a token that the model does not know, when the scores are not numbers, or when
/// `on_answer` fails.
pub fn answer<E: From<Error>>(
    model: &dyn Generator,
    prompts: &[&Prompt],
    settings: &Settings,
    places: usize,
    on_answer: &mut dyn FnMut(usize, Answer) -> Result<(), E>,
) -> Result<(), E> {
    let mut text = model.rows();
    let mut rows: Vec<Row> = Vec::new();
    let in_front = model.shape().max_position_embeddings.saturating_sub(model.positions());
    let mut waiting = 0..prompts.len();
    // Scores of the rows that have just got a token, and which rows they are.
    let (mut scores, mut first) = (Vec::new(), 0);
    while !rows.is_empty() || waiting.start < waiting.end {
        let chosen = choose(&scores, &rows[first..], prompts, model.shape().vocab_size, &settings.sampling)?;
        // From the last row to the first: a row that leaves is replaced by one already looked at.
        for i in (first..rows.len()).rev() {
            let token = chosen[i - first];
            let finish = if settings.stop_tokens.contains(&token) {
                Some(Finish::Stop)
            } else {
                rows[i].tokens.push(token);
                let prompt = prompts[rows[i].index].tokens.len();
                let room = model.positions().saturating_sub(prompt);
                (rows[i].tokens.len() >= settings.max_new_tokens.min(room)).then_some(Finish::Length)
            };
            if let Some(finish) = finish {
                let row = rows.swap_remove(i);
                text.swap_remove(i).map_err(Error::from)?;
                on_answer(row.index, Answer { tokens: row.tokens, finish })?;
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
            rows.extend(joining.map(|index| Row { index, tokens: Vec::new() }));
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

/// The next token of each row, from scores `[rows, v]`.
fn choose(
    scores: &[f32],
    rows: &[Row],
    prompts: &[&Prompt],
    vocab_size: usize,
    sampling: &Sampling,
) -> Result<Vec<u32>, Error> {
    let choose = |(row, scores): (&Row, &[f32])| {
        sampling.choose(scores, prompts[row.index].key, row.tokens.len()).ok_or(Error::NotANumber)
    };
    rows.par_iter().zip(scores.par_chunks(vocab_size)).map(choose).collect()
}
