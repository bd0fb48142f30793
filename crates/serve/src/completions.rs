//! `/v1/completions`: texts or tokens to prompts, and answers in its shape, the prompt's own log-probabilities among them.

use serde_json::{Map, Value, json};
use tunebench_generate::TokenLogprobs;

use crate::answer::{Head, Shape, Told, finite};
use crate::api_error::ApiError;
use crate::fields::Fields;
use crate::models::OpenModel;
use crate::prepare::{MOST_LOGPROBS, Manner, Wanted};
use crate::text::{Said, of_all};
use crate::worker::EventKind;

/// Prompts of one request.
const MOST_PROMPTS: usize = 2048;
/// Tokens of an answer where nothing limits it, as OpenAI has it.
const DEFAULT_TOKENS: usize = 16;

/// A request that can be answered, once its prompts are known to fit.
pub(crate) struct CompletionRequest {
    pub manner: Manner,
    pub prompts: Vec<PromptText>,
    pub wanted: Wanted,
    pub echo: bool,
    /// Whether log-probabilities were asked for.
    pub has_logprobs: bool,
}

/// A prompt as tokens, and as the text that is said again of it.
#[derive(Clone, Debug)]
pub(crate) struct PromptText {
    pub tokens: Vec<u32>,
    pub text: String,
    /// Where each token begins, in characters.
    offsets: Vec<usize>,
}

impl CompletionRequest {
    /// # Errors
    /// Says what of the request cannot be carried out.
    pub(crate) fn read(mut fields: Fields, model: &OpenModel) -> Result<Self, ApiError> {
        let manner = Manner::take(&mut fields)?;
        let prompts = prompts(fields.take("prompt"), model)?;
        let echo = fields.truth("echo")?;
        let max_tokens = fields.whole("max_tokens", [0, i64::MAX])?.map_or(DEFAULT_TOKENS, |most| most as usize);
        if max_tokens == 0 && !echo {
            return Err(ApiError::field("max_tokens", "max_tokens may be 0 with `echo: true` only"));
        }
        let logprobs = match fields.take("logprobs") {
            // What some clients send for none.
            Some(Value::Bool(false)) | None => None,
            Some(value) => {
                let top = value.as_i64().filter(|top| (0..=MOST_LOGPROBS).contains(top));
                let fault = || {
                    ApiError::field("logprobs", format!("logprobs must be a whole number from 0 to {MOST_LOGPROBS}"))
                };
                Some(top.ok_or_else(fault)? as usize)
            }
        };
        let best_of = fields.whole("best_of", [1, i64::MAX])?;
        if best_of.is_some_and(|best_of| best_of != manner.n as i64) {
            return Err(ApiError::unsupported("best_of", "best_of other than n is not carried out"));
        }
        fields.end()?;
        let wanted = Wanted {
            field: "prompt",
            max_tokens: Some(max_tokens),
            top_logprobs: logprobs,
            prompt_logprobs: logprobs.filter(|_| echo),
            constraint: None,
            // It goes on where the prompt ends, so its space is part of the text.
            drops_space: false,
        };
        Ok(Self { manner, prompts, wanted, echo, has_logprobs: logprobs.is_some() })
    }
}

fn prompts(value: Option<Value>, model: &OpenModel) -> Result<Vec<PromptText>, ApiError> {
    let wrong = || {
        let fault = "prompt must be a string, a list of strings, a list of tokens, or a list of lists of tokens, none of them empty";
        ApiError::field("prompt", fault)
    };
    let prompts = match value {
        None => return Err(ApiError::field("prompt", "you must provide a prompt")),
        Some(Value::String(text)) => vec![of_text(text, model)?],
        Some(Value::Array(values)) if values.first().is_some_and(Value::is_number) => {
            vec![of_tokens(tokens(&values).ok_or_else(wrong)?, model)?]
        }
        Some(Value::Array(values)) => {
            if values.len() > MOST_PROMPTS {
                return Err(ApiError::field("prompt", format!("at most {MOST_PROMPTS} prompts at once")));
            }
            let prompt = |value: Value| match value {
                Value::String(text) => of_text(text, model),
                Value::Array(values) => of_tokens(tokens(&values).ok_or_else(wrong)?, model),
                _ => Err(wrong()),
            };
            values.into_iter().map(prompt).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(wrong()),
    };
    if prompts.is_empty() || prompts.iter().any(|prompt| prompt.tokens.is_empty()) {
        return Err(wrong());
    }
    Ok(prompts)
}

/// Token numbers, as `/detokenize` takes them, too.
pub(crate) fn tokens(values: &[Value]) -> Option<Vec<u32>> {
    values.iter().map(|value| value.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
}

fn of_text(text: String, model: &OpenModel) -> Result<PromptText, ApiError> {
    let tokens = model.chat.encode(&text, true).map_err(|fault| ApiError::field("prompt", fault))?;
    let mut prompt = of_tokens(tokens, model)?;
    // Tokens that the tokenizer puts around the text, or a space before it, are no part of it.
    let added = prompt.text.strip_suffix(&text).map(|added| added.chars().count());
    let length = text.chars().count();
    for offset in &mut prompt.offsets {
        *offset = offset.saturating_sub(added.unwrap_or(0)).min(length);
    }
    Ok(PromptText { text, ..prompt })
}

fn of_tokens(tokens: Vec<u32>, model: &OpenModel) -> Result<PromptText, ApiError> {
    if tokens.len() > model.positions() {
        let (length, positions) = (tokens.len(), model.positions());
        let fault = format!(
            "This model's maximum context length is {positions} tokens. However, you requested {length} tokens of the prompt; \
             nothing was cut"
        );
        return Err(ApiError::too_long("prompt", fault));
    }
    let (text, offsets) = of_all(tokens.iter().map(|token| model.chat.bytes(*token)));
    Ok(PromptText { tokens, text, offsets })
}

/// Answers in the shape of `text_completion`.
pub(crate) struct CompletionShape {
    pub head: Head,
    /// By prompt, where they are said again.
    pub echoed: Vec<PromptText>,
    pub has_logprobs: bool,
    pub include_usage: bool,
    /// Answers to each prompt, and of all prompts together.
    pub n: usize,
    pub count: usize,
}

/// A token in a body.
struct Entry<'a> {
    token: u32,
    logprobs: Option<&'a TokenLogprobs>,
    offset: usize,
}

impl CompletionShape {
    /// The prompt of an answer, where it is said again.
    fn echo(&self, index: usize) -> Option<&PromptText> {
        self.echoed.get(index / self.n.max(1))
    }

    /// Characters before an answer in its text.
    fn shift(&self, index: usize) -> usize {
        self.echo(index).map_or(0, |prompt| prompt.text.chars().count())
    }

    fn logprobs<'a>(&self, entries: impl Iterator<Item = Entry<'a>>) -> Value {
        if !self.has_logprobs {
            return Value::Null;
        }
        let chat = &self.head.model.chat;
        let (mut tokens, mut values, mut tops, mut offsets) = (vec![], vec![], vec![], vec![]);
        for Entry { token, logprobs, offset } in entries {
            let name = chat.token_name(token);
            values.push(logprobs.map(|found| finite(found.logprob)));
            // The likeliest of those that are spelt alike, and the token itself, as OpenAI has it.
            tops.push(logprobs.map(|found| {
                let mut top = Map::new();
                for (token, logprob) in &found.top {
                    top.entry(chat.token_name(*token)).or_insert_with(|| finite(*logprob).into());
                }
                top.entry(name.clone()).or_insert_with(|| finite(found.logprob).into());
                top
            }));
            tokens.push(name);
            offsets.push(offset);
        }
        json!({ "tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets })
    }

    /// The entries of a prompt, whose first token has nothing before it.
    fn of_prompt<'a>(&self, index: usize, found: &'a [TokenLogprobs]) -> Vec<Entry<'a>> {
        let Some(prompt) = self.echo(index) else { return vec![] };
        let logprobs = std::iter::once(None).chain(found.iter().map(Some));
        let entries = prompt.tokens.iter().zip(&prompt.offsets).zip(logprobs);
        entries.map(|((token, offset), logprobs)| Entry { token: *token, logprobs, offset: *offset }).collect()
    }

    fn of_answer<'a>(&self, index: usize, tokens: impl Iterator<Item = &'a Said>) -> Vec<Entry<'a>> {
        let shift = self.shift(index);
        let entry =
            |said: &'a Said| Entry { token: said.token, logprobs: said.logprobs.as_ref(), offset: shift + said.offset };
        tokens.map(entry).collect()
    }

    fn chunk(&self, index: usize, text: &str, logprobs: Value, finish: Option<&str>) -> Value {
        let mut body = self.head.body("text_completion");
        let choice = json!({ "index": index, "text": text, "logprobs": logprobs, "finish_reason": finish });
        body.insert("choices".to_owned(), json!([choice]));
        if self.include_usage {
            body.insert("usage".to_owned(), Value::Null);
        }
        Value::Object(body)
    }
}

impl Shape for CompletionShape {
    fn begin(&mut self) -> Vec<Value> {
        if self.has_logprobs {
            return vec![]; // the prompt comes with them
        }
        let echo = |index| Some(self.chunk(index, &self.echo(index)?.text, Value::Null, None));
        (0..self.count).filter_map(echo).collect()
    }

    fn piece(&mut self, index: usize, kind: EventKind) -> Vec<Value> {
        match kind {
            EventKind::Prompt(found) => {
                let logprobs = self.logprobs(self.of_prompt(index, &found).into_iter());
                let text = self.echo(index).map_or("", |prompt| prompt.text.as_str());
                vec![self.chunk(index, text, logprobs, None)]
            }
            EventKind::Piece(piece) if piece.text.is_empty() && !self.has_logprobs => vec![],
            EventKind::Piece(piece) => {
                let logprobs = self.logprobs(self.of_answer(index, piece.tokens.iter()).into_iter());
                vec![self.chunk(index, &piece.text, logprobs, None)]
            }
            EventKind::End(end) => {
                let last = self.of_answer(index, end.last.iter());
                let logprobs = if last.is_empty() { Value::Null } else { self.logprobs(last.into_iter()) };
                vec![self.chunk(index, "", logprobs, Some(end.finish))]
            }
            EventKind::Failed(_) => vec![],
        }
    }

    fn usage(&self, completion_tokens: usize) -> Value {
        let mut body = self.head.body("text_completion");
        body.insert("choices".to_owned(), json!([]));
        body.insert("usage".to_owned(), self.head.usage(completion_tokens));
        Value::Object(body)
    }

    fn whole(&self, answers: Vec<Told>) -> Value {
        let tokens = answers.iter().filter_map(|told| told.end.as_ref()).map(|end| end.tokens).sum();
        let choice = |(index, told): (usize, &Told)| {
            let last = told.end.iter().filter_map(|end| end.last.as_ref());
            let mut entries = self.of_prompt(index, &told.prompt);
            entries.extend(self.of_answer(index, told.tokens.iter().chain(last)));
            let echo = self.echo(index).map_or("", |prompt| prompt.text.as_str());
            json!({
                "index": index,
                "text": format!("{echo}{}", told.text),
                "logprobs": self.logprobs(entries.into_iter()),
                "finish_reason": told.end.as_ref().map(|end| end.finish),
            })
        };
        let mut body = self.head.body("text_completion");
        body.insert("choices".to_owned(), answers.iter().enumerate().map(choice).collect());
        body.insert("usage".to_owned(), self.head.usage(tokens));
        Value::Object(body)
    }
}
