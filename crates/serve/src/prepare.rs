//! What chat and text completions have in common: how answers are made, and how many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tunebench_generate::{Constraint, Prompt, Request, Sampling, Settings};
use tunebench_spec::random::Stream;

use crate::api_error::ApiError;
use crate::fields::Fields;
use crate::models::OpenModel;
use crate::text::Stops;
use crate::worker::{Choice, Event};

/// Answers to one prompt, as OpenAI's.
const MOST_ANSWERS: i64 = 128;
/// Stop sequences, as OpenAI's; and bytes of each.
const MOST_STOPS: usize = 4;
const LONGEST_STOP: usize = 256;
/// Alternatives of a token.
pub(crate) const MOST_LOGPROBS: i64 = 20;

/// How the answers of a request are made.
#[derive(Debug)]
pub(crate) struct Manner {
    temperature: f64,
    top_p: f64,
    seed: Option<u64>,
    stops: Stops,
    /// Answers to each prompt.
    pub n: usize,
    pub stream: bool,
    /// Whether a stream ends with its usage.
    pub include_usage: bool,
}

impl Manner {
    /// # Errors
    /// Names a field that says what cannot be done.
    pub(crate) fn take(fields: &mut Fields) -> Result<Self, ApiError> {
        let temperature = fields.number("temperature", [0.0, 2.0])?.unwrap_or(1.0);
        let top_p = fields.number("top_p", [0.0, 1.0])?.unwrap_or(1.0);
        let seed = fields.whole("seed", [i64::MIN, i64::MAX])?.map(|seed| seed as u64);
        let stops = stops(fields)?;
        let n = fields.whole("n", [1, MOST_ANSWERS])?.unwrap_or(1) as usize;
        let stream = fields.truth("stream")?;
        let include_usage = match fields.take("stream_options") {
            None => false,
            Some(_) if !stream => {
                return Err(ApiError::field("stream_options", "stream_options is for `stream: true` only"));
            }
            Some(options) => {
                let mut options = Fields::of(options, "stream_options")?;
                let include_usage = options.truth("include_usage")?;
                options.truth("include_obfuscation")?; // OpenAI's padding against listeners; there is none
                options.end()?;
                include_usage
            }
        };
        Ok(Self { temperature, top_p, seed, stops, n, stream, include_usage })
    }
}

fn stops(fields: &mut Fields) -> Result<Stops, ApiError> {
    let wrong = |what: &str| ApiError::field("stop", format!("stop must be {what}"));
    let stops = match fields.take("stop") {
        None => Vec::new(),
        Some(serde_json::Value::String(stop)) => vec![stop],
        Some(serde_json::Value::Array(stops)) => {
            let text = |stop: serde_json::Value| stop.as_str().map(str::to_owned);
            stops.into_iter().map(text).collect::<Option<_>>().ok_or_else(|| wrong("a string or a list of strings"))?
        }
        Some(_) => return Err(wrong("a string or a list of strings")),
    };
    if stops.len() > MOST_STOPS {
        return Err(wrong(&format!("at most {MOST_STOPS} sequences")));
    }
    if stops.iter().any(|stop| stop.is_empty() || stop.len() > LONGEST_STOP) {
        return Err(wrong(&format!("sequences of 1 to {LONGEST_STOP} bytes")));
    }
    Ok(stops.into())
}

/// Draws for requests that name no seed.
pub(crate) struct Draws {
    seed: u64,
    /// Requests so far.
    count: AtomicU64,
}

impl Draws {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }

    /// What the answers of a request draw from, by their number among those to one prompt. With one seed the first is what
    /// [`tunebench_local_chat::LocalChat`] draws.
    fn keys(&self, manner: &Manner) -> impl Fn(usize) -> u64 + use<> {
        let first = match manner.seed {
            Some(seed) => Stream::named(seed, "seed").next_u64(),
            None => Stream::new(self.seed, &[self.count.fetch_add(1, Ordering::Relaxed)]).next_u64(),
        };
        move |number| if number == 0 { first } else { Stream::new(first, &[number as u64]).next_u64() }
    }
}

/// What is asked of a model beside the prompts.
pub(crate) struct Wanted {
    /// The field that prompts are made of, as errors name it.
    pub field: &'static str,
    /// None is as many as the model has positions for.
    pub max_tokens: Option<usize>,
    pub top_logprobs: Option<usize>,
    pub prompt_logprobs: Option<usize>,
    pub constraint: Option<Arc<dyn Constraint>>,
    pub drops_space: bool,
}

/// Answers that can be made, and where they will be told.
pub(crate) struct Prepared {
    pub choices: Vec<Choice>,
    pub events: UnboundedReceiver<Event>,
}

/// Answers of a model, `manner.n` to each prompt.
///
/// # Errors
/// When a prompt with its answer is longer than the model can read or the memory allows.
pub(crate) fn prepare(
    (number, model): (usize, &OpenModel),
    prompts: Vec<Vec<u32>>,
    (manner, wanted): (&Manner, Wanted),
    (draws, max_queue): (&Draws, usize),
) -> Result<Prepared, ApiError> {
    let count = prompts.len().saturating_mul(manner.n);
    if count > max_queue {
        let why = format!("{count} answers at once are more than the {max_queue} that may wait; ask for fewer");
        return Err(ApiError::field("n", why));
    }
    for prompt in &prompts {
        check_length(model, prompt, &wanted)?;
    }
    let longest = prompts.iter().map(Vec::len).max().unwrap_or(0);
    let room = model.positions().min(model.tokens).saturating_sub(longest);
    let sampling = Sampling::new(manner.temperature, 0).within(manner.top_p);
    let settings = Arc::new(Settings {
        max_new_tokens: wanted.max_tokens.unwrap_or(room),
        sampling,
        stop_tokens: model.chat.stop_tokens().to_vec(),
        top_logprobs: wanted.top_logprobs,
        constraint: wanted.constraint,
    });
    let key = draws.keys(manner);
    let (sender, events) = unbounded_channel();
    let choice = |(index, (tokens, answer)): (usize, (Vec<u32>, usize))| Choice {
        model: number,
        index,
        request: Request { prompt: Prompt { tokens, key: key(answer), adapter: 0 }, settings: settings.clone() },
        // The prompt is the same for all answers to it, and told once for each.
        prompt_logprobs: wanted.prompt_logprobs,
        stops: manner.stops.clone(),
        drops_space: wanted.drops_space,
        events: sender.clone(),
    };
    let all = prompts.into_iter().flat_map(|prompt| (0..manner.n).map(move |answer| (prompt.clone(), answer)));
    Ok(Prepared { choices: all.enumerate().map(choice).collect(), events })
}

fn check_length(model: &OpenModel, prompt: &[u32], &Wanted { field, max_tokens, .. }: &Wanted) -> Result<(), ApiError> {
    let (positions, length) = (model.positions(), prompt.len());
    let most = max_tokens.unwrap_or(1); // an answer has at least one token, unless none is asked for
    if length == 0 {
        return Err(ApiError::field(field, "The prompt has no tokens"));
    }
    if length.saturating_add(most) > positions {
        let answer = max_tokens.map_or_else(String::new, |most| format!(" and {most} of its answer"));
        return Err(ApiError::too_long(
            field,
            format!(
                "This model's maximum context length is {positions} tokens. However, you requested {length} tokens of the \
                 prompt{answer}; nothing was cut"
            ),
        ));
    }
    let needed = length + most;
    if needed > model.tokens {
        let fault = format!(
            "The memory of this machine holds {} tokens of a prompt and its answer, and these may come to {needed}; lower \
             max_tokens",
            model.tokens
        );
        return Err(ApiError::too_long("max_tokens", fault));
    }
    match prompt.iter().find(|token| **token as usize >= model.vocab_size()) {
        Some(token) => {
            Err(ApiError::field(field, format!("token {token} is not in the vocabulary of {}", model.vocab_size())))
        }
        None => Ok(()),
    }
}
