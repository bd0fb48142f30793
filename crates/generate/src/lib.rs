//! Answers: prompts through a model with a key/value cache, a group at a time.
//!
//! Prompts are cut into groups of similar length ([`groups`]), the same for the same prompts, and a group is answered
//! as a whole ([`answer`]). So an interrupted run that goes on with the groups it lacks yields the same bytes. Within a
//! group a finished row leaves the batch at once. What is drawn for a row depends on its own key alone, never on its
//! neighbours.

mod sample;

use candle_core::Tensor;
use tunebench_llama::{Cache, Llama};

pub use sample::Sampling;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Model(#[from] tunebench_llama::Error),
    #[error("reading the scores: {0}")]
    Candle(#[from] candle_core::Error),
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

/// A row of the batch that is not finished.
struct Row {
    /// Which prompt of the group.
    index: usize,
    tokens: Vec<u32>,
}

/// Answers a group of prompts, in its order. `max_new_tokens` is cut to what the model's positions leave.
///
/// # Errors
/// When a prompt is empty or has a token that the model does not know, or when the scores are not numbers.
pub fn answer(model: &Llama, prompts: &[&Prompt], settings: &Settings) -> Result<Vec<Answer>, Error> {
    let mut answers: Vec<Option<Answer>> = vec![None; prompts.len()];
    let mut rows: Vec<Row> = (0..prompts.len()).map(|index| Row { index, tokens: Vec::new() }).collect();
    let mut cache = Cache::new(model);
    let tokens: Vec<&[u32]> = prompts.iter().map(|p| p.tokens.as_slice()).collect();
    let mut scores = model.prefill(&mut cache, &tokens)?; // [rows, v]
    loop {
        let chosen = choose(&scores, &rows, prompts, &settings.sampling)?;
        // From the last row to the first: a row that leaves is replaced by one already looked at.
        for i in (0..rows.len()).rev() {
            let finish = if settings.stop_tokens.contains(&chosen[i]) {
                Some(Finish::Stop)
            } else {
                rows[i].tokens.push(chosen[i]);
                let prompt = prompts[rows[i].index].tokens.len();
                let room = model.shape().max_position_embeddings.saturating_sub(prompt);
                (rows[i].tokens.len() >= settings.max_new_tokens.min(room)).then_some(Finish::Length)
            };
            if let Some(finish) = finish {
                let row = rows.swap_remove(i);
                cache.swap_remove(i)?;
                answers[row.index] = Some(Answer { tokens: row.tokens, finish });
            }
        }
        if rows.is_empty() {
            return Ok(answers.into_iter().flatten().collect());
        }
        let last: Vec<u32> = rows.iter().filter_map(|row| row.tokens.last().copied()).collect();
        scores = model.step(&mut cache, &last)?;
    }
}

fn choose(scores: &Tensor, rows: &[Row], prompts: &[&Prompt], sampling: &Sampling) -> Result<Vec<u32>, Error> {
    let scores = scores.to_vec2::<f32>()?;
    let choose = |(row, scores): (&Row, &Vec<f32>)| {
        sampling.choose(scores, prompts[row.index].key, row.tokens.len()).ok_or(Error::NotANumber)
    };
    rows.iter().zip(&scores).map(choose).collect()
}
