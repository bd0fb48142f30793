//! Whom judges ask: a server behind HTTP, its batch API, or a model that our own engine runs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tunebench_chat::{BatchChat, BatchServer as _, Chat, ChatError, ChatServer as _, Probe, Usage};
use tunebench_dataset::MODEL_TEMPLATE;
use tunebench_judge::{JudgeError, Prices, Server, Settings};
use tunebench_local_chat::LocalChat;
use tunebench_model::backend::Backend;
use tunebench_spec::ChatRequest;
use tunebench_spec::study::ChatSettings;

use crate::error::{Locate, StudyError};
use crate::judges::{LOCAL, OpenJudge};

/// Where the models are that our own engine runs for a judge.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LocalModels {
    /// Folder that paths are relative to.
    pub home: PathBuf,
    /// Of each base model of the study its folder or file.
    pub by_id: BTreeMap<String, PathBuf>,
}

impl LocalModels {
    /// Where a model is that is named by its id in the study, or by its path.
    fn path(&self, name: &str) -> PathBuf {
        self.by_id.get(name).cloned().unwrap_or_else(|| self.home.join(name))
    }
}

/// The servers of the judges of a study. One behind HTTP is kept, with what was learnt of its limits.
pub struct JudgeServers {
    models: LocalModels,
    backend: &'static dyn Backend,
    /// By the settings, as JSON.
    kept: Mutex<BTreeMap<String, Kept>>,
}

#[derive(Clone)]
enum Kept {
    Each(Arc<Chat>),
    Batches(Arc<BatchChat>),
}

impl JudgeServers {
    /// None is open yet.
    pub fn new(models: LocalModels, backend: &'static dyn Backend) -> Self {
        Self { models, backend, kept: Mutex::default() }
    }

    /// Checks all that a judge's settings say of whom it asks, but whether a key is there: nothing of them may be kept before.
    ///
    /// # Errors
    /// What of the settings cannot work, or holds a secret that belongs into the environment.
    pub fn check_settings(&self, judge: &OpenJudge, request: Option<&ChatRequest>) -> Result<(), StudyError> {
        let (chat, place) = (judge.chat(), format!("judge `{}`", judge.name()));
        Settings::of(&chat).at(&place)?;
        if let Some(request) = request.filter(|_| chat.budget_usd.is_some() && !self.is_local(&chat)) {
            let usage = Usage { prompt: 1, completion: 1 };
            if Prices::of(&chat).at(&place)?.cost_usd(&request.model, usage, chat.batch).is_none() {
                let fault = "budget_usd needs prices, and those of this model are not known; give \
                             usd_per_million_prompt_tokens and usd_per_million_completion_tokens";
                return Err(StudyError::Invalid(format!("{place}: `{}`: {fault}", request.model)));
            }
        }
        match self.local(&chat) {
            Some(_) if request.is_some() => self.check(&chat).at(place),
            Some(_) => Ok(()),
            None => match Chat::new(&chat) {
                Ok(_) | Err(ChatError::MissingKey { .. }) => Ok(()),
                Err(error) => Err(JudgeError::from(error)).at(place),
            },
        }
    }

    /// Checks whom a judge asks, connecting to nothing.
    ///
    /// # Errors
    /// What of the settings cannot work.
    pub fn check(&self, chat: &ChatSettings) -> Result<(), StudyError> {
        let Some(path) = self.local(chat) else { return self.remote(chat).map(drop) };
        if path.exists() {
            let has_template = tunebench_model::open(&path)?.chat_template()?.is_some();
            let is_named = chat.template.as_deref().is_some_and(|name| name != MODEL_TEMPLATE);
            return match has_template || is_named {
                true => Ok(()),
                false => Err(StudyError::Invalid(format!(
                    "{}: the model brings no chat template; name one with `template` in [eval.chat]",
                    path.display()
                ))),
            };
        }
        let known: Vec<&str> = self.models.by_id.keys().map(String::as_str).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(StudyError::Invalid(format!(
            "`{}`: no model or file {}; give the id of a model of the study ({known}) or a path",
            chat.base_url,
            path.display()
        )))
    }

    /// Asks one small question; what is worth saying of the answer.
    ///
    /// # Errors
    /// Why the server cannot be used.
    pub fn probe(&self, judge: &OpenJudge, request: &ChatRequest) -> Result<String, StudyError> {
        let place = format!("judge `{}`", judge.name());
        let chat = judge.chat();
        self.check(&chat).at(&place)?;
        if self.is_local(&chat) {
            return Ok("is run by our own engine".to_owned());
        }
        // A batch would take its time; a single request to the same server tells the same.
        let probed = match self.remote(&chat).at(&place)? {
            OpenServer::Each(server) => server.probe(request),
            OpenServer::Batches(_) | OpenServer::Local(_) => {
                Chat::new(&chat).map_err(JudgeError::from).at(&place)?.probe(request)
            }
        };
        Ok(said(&probed.map_err(JudgeError::from).at(place)?))
    }

    /// Whether a judge's model is run by our own engine.
    pub fn is_local(&self, chat: &ChatSettings) -> bool {
        self.local(chat).is_some()
    }

    /// Opens the server, without connecting to it. A model of our own engine is in memory for as long as that is kept.
    ///
    /// # Errors
    /// What of the settings cannot work.
    pub fn open(&self, chat: &ChatSettings) -> Result<OpenServer, StudyError> {
        match self.local(chat) {
            Some(path) => {
                let template = chat.template.as_deref().unwrap_or_default();
                Ok(OpenServer::Local(Box::new(LocalChat::open(&path, template, self.backend)?)))
            }
            None => self.remote(chat),
        }
    }

    fn local(&self, chat: &ChatSettings) -> Option<PathBuf> {
        chat.base_url.strip_prefix(LOCAL).map(|name| self.models.path(name))
    }

    fn remote(&self, chat: &ChatSettings) -> Result<OpenServer, StudyError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let key = serde_json::to_string(chat)?;
        if let Some(found) = kept.get(&key) {
            return Ok(found.clone().into());
        }
        let opened = match chat.batch {
            false => Kept::Each(Arc::new(Chat::new(chat).map_err(JudgeError::from)?)),
            true => Kept::Batches(Arc::new(BatchChat::new(chat).map_err(JudgeError::from)?)),
        };
        kept.insert(key, opened.clone());
        Ok(opened.into())
    }
}

/// What is worth saying of a server that works.
fn said(probe: &Probe) -> String {
    let model = if probe.model.is_empty() { "a model without a name" } else { &probe.model };
    let mut said = format!("{model} answers, in {:.1} s", probe.seconds);
    for (limit, of) in [(probe.requests_per_minute, "requests"), (probe.tokens_per_minute, "tokens")] {
        said += &limit.map_or_else(String::new, |limit| format!(", {limit:.0} {of} a minute at most"));
    }
    if !probe.adapted.is_empty() {
        said += &format!("; it refuses some of what is asked: {}", probe.adapted);
    }
    if let Some(skew) = probe.clock_skew_seconds.filter(|skew| skew.abs() >= 2.0) {
        said += &format!("; its clock is {skew:.0} s ahead of ours");
    }
    said
}

/// A server that a judge may ask.
pub enum OpenServer {
    Each(Arc<Chat>),
    Batches(Arc<BatchChat>),
    Local(Box<LocalChat>),
}

impl OpenServer {
    /// Names it, in messages and in the names of stored replies; a model of our own engine by its content.
    pub fn url(&self) -> &str {
        match self {
            Self::Each(server) => server.url(),
            Self::Batches(server) => server.url(),
            Self::Local(server) => tunebench_chat::BatchServer::url(server.as_ref()),
        }
    }

    /// What is to be told of the batches that were sent, each time once.
    pub fn take_remarks(&self) -> Vec<String> {
        match self {
            Self::Batches(server) => server.take_remarks(),
            Self::Each(_) | Self::Local(_) => Vec::new(),
        }
    }

    /// As the judge crate asks it; `journal` keeps what is known of batches.
    pub fn server<'a>(&'a self, journal: &'a Path) -> Server<'a> {
        match self {
            Self::Each(server) => Server::Each(server.as_ref()),
            Self::Batches(server) => Server::Batches { server: server.as_ref(), journal },
            Self::Local(server) => Server::Batches { server: server.as_ref(), journal },
        }
    }
}

impl From<Kept> for OpenServer {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Each(server) => Self::Each(server),
            Kept::Batches(server) => Self::Batches(server),
        }
    }
}
