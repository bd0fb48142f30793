//! A model that answers chat requests: one after the other, or many together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tunebench_chat::{BatchServer, ChatError, ChatServer, Failure, NamedRequest, RawResponse};
use tunebench_generate::{Answer, Prompt, Sampling, Settings, answer};
use tunebench_model::backend::Backend;
use tunebench_spec::ChatRequest;

use crate::chat_model::{ChatModel, ChatPrompt, LocalModel};
use crate::error::Error;
use crate::json_form::JsonForm;
use crate::memory::Memory;
use crate::request::{self, Manner};
use crate::response::{Completion, Context};

/// Requests whose prompts are made at once: the longest of many are answered first, so that short ones fill the places that
/// become free.
const REQUESTS_AT_ONCE: usize = 1024;

/// A model in memory that answers.
pub struct LocalChat {
    open: ChatModel,
    memory: Memory,
    /// Held by whoever computes: two at once would share the same cores.
    turn: Mutex<()>,
    stopped: Mutex<Option<ChatError>>,
    /// By schema.
    forms: Mutex<BTreeMap<String, Result<Arc<JsonForm>, String>>>,
}

/// A request that can be answered.
struct Job<'r> {
    name: &'r str,
    prompt: Prompt,
    manner: Manner,
    form: Option<Arc<JsonForm>>,
    adapted: String,
}

/// Why answers are broken off.
enum Broken {
    /// No more are wanted.
    Unwanted,
    Failed(tunebench_generate::Error),
}

impl From<tunebench_generate::Error> for Broken {
    fn from(error: tunebench_generate::Error) -> Self {
        Self::Failed(error)
    }
}

impl LocalChat {
    /// Opens a Hugging Face folder or a `.gguf` file. `template` is the model's own where it is empty or `model`, else one of
    /// `crates/dataset` by its name.
    ///
    /// # Errors
    /// When it is no model that the engine computes, does not fit into memory, or its conversations cannot be written.
    pub fn open(path: &Path, template: &str, backend: &'static dyn Backend) -> Result<Self, Error> {
        Self::from_parts(LocalModel::open(path, template, backend)?, backend)
    }

    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// As [`LocalChat::open`].
    pub fn from_parts(model: LocalModel, backend: &'static dyn Backend) -> Result<Self, Error> {
        Ok(Self {
            open: ChatModel::new(model, backend)?,
            memory: Memory::new(backend),
            turn: Mutex::default(),
            stopped: Mutex::default(),
            forms: Mutex::default(),
        })
    }

    /// The tokens that a request is asked with, the beginning of its reply included: to be looked at.
    ///
    /// # Errors
    /// Why the model cannot be asked it.
    pub fn prompt(&self, request: &ChatRequest) -> Result<Vec<u32>, String> {
        Ok(self.open.prompt(&request.messages, request.reasoning_effort.as_deref())?.tokens)
    }

    /// Checks a request, and makes its prompt.
    fn job<'r>(&self, request: &ChatRequest, name: &'r str) -> Result<Job<'r>, String> {
        let mut manner = Manner::of(request)?;
        let ChatPrompt { tokens, mut adapted } =
            self.open.prompt(&request.messages, request.reasoning_effort.as_deref())?;
        let positions = self.open.model.positions();
        if tokens.len() >= positions {
            return Err(format!(
                "the prompt has {} tokens, and the model has positions for {positions}, its reply included; nothing was \
                 cut",
                tokens.len()
            ));
        }
        let form = self.form(request, &mut adapted);
        if let Some((schema, _)) = &form {
            manner.schema.clone_from(schema);
        }
        let prompt = Prompt { tokens, key: request::key(request, name), adapter: 0 };
        let job = Job { name, prompt, manner, form: form.map(|(_, form)| form), adapted: adapted.join("; ") };
        match self.memory.exceeded(self.memory.of_one(&*self.open.model, self.length(&job))) {
            None => Ok(job),
            Some((needed, limit)) => Err(format!(
                "the prompt of {} tokens with a reply of at most {} would take {needed}, and this process may have \
                 {limit}; lower max_tokens",
                job.prompt.tokens.len(),
                self.length(&job) - job.prompt.tokens.len()
            )),
        }
    }

    /// The form that a reply must have, with its schema; what of it is not held is said.
    fn form(&self, request: &ChatRequest, adapted: &mut Vec<String>) -> Option<(String, Arc<JsonForm>)> {
        let left_out = "response_format left out".to_owned();
        let schema = match request::schema(request) {
            Ok(schema) => schema?,
            Err(()) => {
                adapted.push(left_out);
                return None;
            }
        };
        let text = schema.to_string();
        let mut forms = lock(&self.forms);
        let form = forms
            .entry(text.clone())
            .or_insert_with(|| JsonForm::new(schema, self.open.vocabulary.clone()).map(Arc::new));
        match form {
            Ok(form) => {
                adapted.extend(form.not_held.iter().map(|key| format!("{key} of response_format left out")));
                Some((text, form.clone()))
            }
            Err(reason) => {
                adapted.push(format!("{left_out}: {reason}"));
                None
            }
        }
    }

    /// Tokens of a prompt with the longest reply that it may get.
    fn length(&self, job: &Job<'_>) -> usize {
        job.prompt.tokens.len().saturating_add(job.manner.max_new_tokens).min(self.open.model.positions())
    }

    /// Answers jobs of one manner, and tells `each` of every one by its index; `false`: no more are wanted.
    fn compute(
        &self,
        jobs: &[&Job<'_>],
        each: &mut dyn FnMut(usize, Result<RawResponse, Failure>) -> bool,
    ) -> Result<bool, ChatError> {
        let Some(first) = jobs.first() else { return Ok(true) };
        let longest = jobs.iter().map(|job| self.length(job)).max().unwrap_or_default();
        let settings = self.settings(first);
        let prompts: Vec<&Prompt> = jobs.iter().map(|job| &job.prompt).collect();
        let places = self.memory.places(&*self.open.model, longest);
        let mut is_told = vec![false; jobs.len()];
        let mut last = Instant::now();
        let found = answer(&*self.open.model, &prompts, &settings, places, &mut |i, found| {
            // Answers are made side by side: the seconds of each are those since the one before it.
            let seconds = std::mem::replace(&mut last, Instant::now()).elapsed().as_secs_f64();
            is_told[i] = true;
            let goes_on = each(i, self.response(jobs[i], &found, seconds));
            if goes_on && self.stopped().is_none() { Ok(()) } else { Err(Broken::Unwanted) }
        });
        let error = match found {
            Ok(()) => return Ok(true),
            Err(Broken::Unwanted) => return Ok(false),
            Err(Broken::Failed(error)) => error,
        };
        if let tunebench_generate::Error::Model(error) = error {
            return Err(ChatError::Refused { url: self.open.url.clone(), reason: error.to_string() });
        }
        // One of them is at fault: alone, each gets what it deserves.
        let untold: Vec<usize> = (0..jobs.len()).filter(|i| !is_told[*i]).collect();
        for i in untold {
            let goes_on = match jobs.len() {
                1 => each(i, Err(Failure::Request(error.to_string()))),
                _ => self.compute(&[jobs[i]], &mut |_, response| each(i, response))?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn settings(&self, job: &Job<'_>) -> Settings {
        let Manner { max_new_tokens, top_logprobs, .. } = job.manner;
        Settings {
            max_new_tokens,
            sampling: Sampling::new(job.manner.temperature(), 0).within(job.manner.top_p()),
            stop_tokens: self.open.writer.stop_tokens().to_vec(),
            top_logprobs,
            constraint: job.form.clone().map(|form| form as _),
        }
    }

    fn response(&self, job: &Job<'_>, answer: &Answer, seconds: f64) -> Result<RawResponse, Failure> {
        let content = self.open.writer.decode(&answer.tokens).map_err(Failure::Request)?;
        let context = Context {
            name: job.name,
            model: &self.open.url,
            fingerprint: &self.open.fingerprint,
            prompt_tokens: job.prompt.tokens.len(),
            has_logprobs: job.manner.top_logprobs.is_some(),
        };
        let completion = Completion::new(&context, content, answer, &self.open.vocabulary);
        let body = serde_json::to_string(&completion).map_err(|e| Failure::Request(e.to_string()))?;
        Ok(RawResponse { body, seconds, adapted: job.adapted.clone(), ..RawResponse::default() })
    }
}

impl ChatServer for LocalChat {
    fn url(&self) -> &str {
        &self.open.url
    }

    fn concurrency(&self) -> usize {
        1
    }

    fn send(&self, request: &ChatRequest, name: &str) -> Result<RawResponse, Failure> {
        let _turn = lock(&self.turn);
        if let Some(reason) = self.stopped() {
            return Err(Failure::Stopped(reason));
        }
        let job = self.job(request, name).map_err(Failure::Request)?;
        let mut found = None;
        self.compute(&[&job], &mut |_, response| {
            found = Some(response);
            true
        })
        .map_err(Failure::Stopped)?;
        found.unwrap_or_else(|| Err(Failure::Request("the model gave no answer".to_owned())))
    }

    fn stop(&self, reason: ChatError) {
        lock(&self.stopped).get_or_insert(reason);
    }

    fn stopped(&self) -> Option<ChatError> {
        lock(&self.stopped).clone()
    }
}

impl BatchServer for LocalChat {
    fn url(&self) -> &str {
        &self.open.url
    }

    /// Nothing is paid and nothing is sent away, so `journal` stays empty: what was not told is answered anew, the same.
    fn answer(
        &self,
        requests: &[NamedRequest],
        _journal: &Path,
        each: &mut dyn FnMut(&str, Result<RawResponse, Failure>) -> bool,
    ) -> Result<(), ChatError> {
        let _turn = lock(&self.turn);
        for requests in requests.chunks(REQUESTS_AT_ONCE) {
            let mut groups: BTreeMap<Manner, Vec<Job<'_>>> = BTreeMap::new();
            for NamedRequest { name, request } in requests {
                match self.job(request, name) {
                    Ok(job) => groups.entry(job.manner.clone()).or_default().push(job),
                    Err(reason) => {
                        if !each(name, Err(Failure::Request(reason))) {
                            return Ok(());
                        }
                    }
                }
            }
            for mut jobs in groups.into_values() {
                jobs.sort_by_key(|job| std::cmp::Reverse(job.prompt.tokens.len()));
                for jobs in by_length(&jobs) {
                    if let Some(reason) = self.stopped() {
                        return Err(reason);
                    }
                    if !self.compute(&jobs, &mut |i, response| each(jobs[i].name, response))? {
                        return self.stopped().map_or(Ok(()), Err);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Jobs, the longest prompt first, cut where prompts become shorter than half of the longest: as many places as fit it
/// would be too few for them.
fn by_length<'j, 'r>(jobs: &'j [Job<'r>]) -> Vec<Vec<&'j Job<'r>>> {
    let mut groups: Vec<Vec<&Job<'_>>> = Vec::new();
    for job in jobs {
        match groups.last_mut() {
            Some(group) if group.first().is_some_and(|f| f.prompt.tokens.len() <= 2 * job.prompt.tokens.len()) => {
                group.push(job);
            }
            _ => groups.push(vec![job]),
        }
    }
    groups
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
