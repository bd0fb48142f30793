//! The answers to a list of prompts.

use std::cell::RefCell;
use std::mem::take;
use std::sync::Arc;

use tunebench_model::backend::Generator;

use crate::continuous::{Continuous, Outcome, Request};
use crate::error::Error;
use crate::logprobs::TokenLogprobs;
use crate::settings::{Prompt, Settings};

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

/// What an answer in the making has beside its row.
struct Asked {
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
    let settings = Arc::new(settings.clone());
    let asked: Vec<(&Prompt, Arc<Settings>)> = prompts.iter().map(|prompt| (*prompt, settings.clone())).collect();
    answer_each(model, &asked, places, on_answer)
}

/// As [`answer`], each prompt by settings of its own.
///
/// # Errors
/// As [`answer`].
pub fn answer_each<E: From<Error>>(
    model: &dyn Generator,
    prompts: &[(&Prompt, Arc<Settings>)],
    places: usize,
    on_answer: &mut dyn FnMut(usize, Answer) -> Result<(), E>,
) -> Result<(), E> {
    let mut running = Continuous::new(model);
    let mut waiting = 0..prompts.len();
    let failed: RefCell<Option<E>> = RefCell::default();
    let mut on = |asked: &mut Asked, outcome: Outcome| {
        let told = match outcome {
            Outcome::Token(token, logprobs) => {
                asked.tokens.push(token);
                asked.logprobs.extend(logprobs);
                Ok(())
            }
            Outcome::Failed(error) => Err(error.into()),
            Outcome::Stop(..) | Outcome::Length if failed.borrow().is_some() => Ok(()),
            Outcome::Stop(..) | Outcome::Length => {
                let finish = if matches!(outcome, Outcome::Length) { Finish::Length } else { Finish::Stop };
                let (tokens, logprobs) = (take(&mut asked.tokens), take(&mut asked.logprobs));
                on_answer(asked.index, Answer { tokens, finish, logprobs })
            }
        };
        let goes_on = told.is_ok();
        if let Err(error) = told {
            failed.borrow_mut().get_or_insert(error);
        }
        goes_on
    };
    while !running.is_empty() || !waiting.is_empty() {
        let places = places.max(1).saturating_sub(running.len());
        let joining = running.fitting(waiting.clone().map(|i| prompts[i].0.tokens.len()), places);
        if joining == 0 {
            running.step(&mut on)?;
        } else {
            let joining = waiting.by_ref().take(joining).map(|index| {
                let (prompt, settings) = &prompts[index];
                let request = Request { prompt: (*prompt).clone(), settings: settings.clone() };
                (Asked { index, tokens: Vec::new(), logprobs: Vec::new() }, request)
            });
            running.join(joining.collect(), &mut on)?;
        }
        if let Some(error) = failed.take() {
            return Err(error);
        }
    }
    Ok(())
}
