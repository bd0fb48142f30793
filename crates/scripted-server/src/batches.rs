//! The script and the ledger of a provider of batches, whichever's words it speaks: what it makes of requests, and what it
//! bills.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::response::Response;

/// What becomes of one request of a batch.
#[derive(Clone, Debug)]
pub enum Fate {
    /// It is answered with this text, and billed.
    Reply(String),
    /// It is refused, with a status and the fields of an error.
    Error(u16, Value),
    /// The day was over before it was begun.
    Expired,
    Cancelled,
    /// The results say nothing of it, nor do the counts.
    Unmentioned,
    /// It is answered and billed, but its line in the results is this one, which is broken.
    Garbled(String),
}

/// What becomes of a whole batch when it is to be made.
#[derive(Clone, Debug)]
pub enum Making {
    Made,
    /// It is not, and the response has this status.
    Refused(u16),
    /// It is not, and there is no response.
    HangUp,
    /// It is, but the response has this status.
    MadeButStatus(u16),
    /// It is, but there is no response.
    MadeButHangUp,
    /// It is, and fails its validation with these errors; OpenAI's alone.
    Invalid(Value),
}

/// The fate of a request, by its name, its body, and the times it was in a batch before.
pub type FateOf = dyn Fn(&str, &Value, u32) -> Fate + Send + Sync;

/// How a provider behaves.
pub struct BatchScript {
    pub fate: Box<FateOf>,
    /// By the batches that were to be made before.
    pub making: Box<dyn Fn(usize) -> Making + Send + Sync>,
    /// Looks at a batch before it has ended.
    pub polls: usize,
    /// Lists in which a batch is missing that is made already.
    pub list_lag: usize,
    /// Batches on a page of the list, at most.
    pub page: usize,
    /// Whether there is a list.
    pub lists: bool,
    /// Lines among the results.
    pub extra_lines: Vec<String>,
    /// Downloads that break off in the middle, and say so; further ones are whole.
    pub broken_downloads: usize,
    /// Downloads that end in the middle, as if that were all.
    pub short_downloads: usize,
}

impl Default for BatchScript {
    /// Answers each request with the text of its first message, after one look.
    fn default() -> Self {
        Self {
            fate: Box::new(|_, body, _| {
                Fate::Reply(body["messages"][0]["content"].as_str().unwrap_or_default().to_owned())
            }),
            making: Box::new(|_| Making::Made),
            polls: 1,
            list_lag: 0,
            page: 100,
            lists: true,
            extra_lines: Vec::new(),
            broken_downloads: 0,
            short_downloads: 0,
        }
    }
}

/// A batch at the provider.
#[derive(Clone, Debug)]
pub struct MadeBatch {
    pub id: String,
    /// Names and fates, in the order of the submission.
    pub requests: Vec<(String, Fate)>,
    /// Names and bodies.
    pub bodies: Vec<(String, Value)>,
    /// What the client said of it, and the file it was made of.
    pub metadata: Value,
    pub file: String,
    /// Errors of its validation; null where it is valid.
    pub errors: Value,
    /// Looks at it so far, and lists without it.
    pub looks: usize,
    pub lags: usize,
}

impl MadeBatch {
    pub fn count(&self, is: impl Fn(&Fate) -> bool) -> usize {
        self.requests.iter().filter(|(_, fate)| is(fate)).count()
    }
}

/// What a provider has, and has done.
#[derive(Default)]
pub struct Ledger {
    pub files: BTreeMap<String, Vec<u8>>,
    /// The oldest first.
    pub batches: Vec<MadeBatch>,
    /// Batches that were to be made.
    pub makings: usize,
    pub downloads: usize,
    /// By name: how often it was in a valid batch, and how often that is billed.
    pub asked: BTreeMap<String, u32>,
    pub billed: BTreeMap<String, u32>,
}

impl Ledger {
    /// Makes a batch of requests with their bodies, as the script has it, and answers with `show` of it.
    pub(crate) fn make(
        &mut self,
        script: &BatchScript,
        bodies: Vec<(String, Value)>,
        (metadata, file): (Value, String),
        show: impl Fn(&MadeBatch) -> Value,
    ) -> Response {
        let making = (script.making)(self.makings);
        self.makings += 1;
        match making {
            Making::Refused(status) => return Response::error(status, "it is not made", "scripted"),
            Making::HangUp => return Response { hangs_up: true, ..Response::new(200, "") },
            _ => {}
        }
        let errors = if let Making::Invalid(errors) = &making { errors.clone() } else { Value::Null };
        let mut requests = Vec::new();
        for (name, body) in &bodies {
            let times = self.asked.entry(name.clone()).or_default();
            let fate = (script.fate)(name, body, *times);
            if errors.is_null() {
                *times += 1;
                *self.billed.entry(name.clone()).or_default() +=
                    u32::from(matches!(fate, Fate::Reply(_) | Fate::Garbled(_)));
            }
            requests.push((name.clone(), fate));
        }
        let id = format!("batch_{}", self.batches.len());
        let made = MadeBatch { id, requests, bodies, metadata, file, errors, looks: 0, lags: script.list_lag };
        let shown = Response::new(200, show(&made).to_string());
        self.batches.push(made);
        match making {
            Making::MadeButStatus(status) => Response::error(status, "it is made, but this is not said", "scripted"),
            Making::MadeButHangUp => Response { hangs_up: true, ..shown },
            _ => shown,
        }
    }

    /// One look at a batch; whether it has ended.
    pub(crate) fn look(&mut self, script: &BatchScript, id: &str) -> Option<(MadeBatch, bool)> {
        let batch = self.batches.iter_mut().find(|batch| batch.id == id)?;
        batch.looks += 1;
        Some((batch.clone(), batch.looks > script.polls))
    }

    /// A page of the list, the newest first, from behind the batch `after` on; and whether there are more.
    pub(crate) fn page(&mut self, script: &BatchScript, query: &str, cursor: &str) -> (Vec<MadeBatch>, bool) {
        let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        let limit: usize = value("limit").and_then(|limit| limit.parse().ok()).unwrap_or(20);
        let mut batches = Vec::new();
        for batch in self.batches.iter_mut().rev() {
            match batch.lags {
                0 => {
                    batches.push(batch.clone());
                    // One who asks for the newest alone does not look at it.
                    batch.looks += usize::from(limit > 1);
                }
                _ => batch.lags -= 1,
            }
        }
        let start =
            value(cursor).map_or(0, |last| batches.iter().position(|batch| batch.id == last).map_or(0, |n| n + 1));
        let rest = batches.split_off(start.min(batches.len()));
        let length = limit.min(script.page);
        let has_more = rest.len() > length;
        (rest.into_iter().take(length).collect(), has_more)
    }

    /// Lines as a download, which may go wrong.
    pub(crate) fn download(&mut self, script: &BatchScript, lines: &[String]) -> Response {
        let number = self.downloads;
        self.downloads += 1;
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let half = text.len() / 2;
        if number < script.broken_downloads {
            return Response { cut_after: Some(half), ..Response::new(200, text) };
        }
        if number < script.broken_downloads + script.short_downloads {
            return Response::new(200, text.get(..half).unwrap_or_default());
        }
        Response::new(200, text)
    }
}
