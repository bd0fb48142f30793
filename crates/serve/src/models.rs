//! Models in memory, and how many answers each may have under way.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tunebench_local_chat::{ChatModel, LocalModel};
use tunebench_model::QuantisedWeights;
use tunebench_model::backend::Backend;
use tunebench_spec::{Decoder, escape, hash};

use crate::api_error::ApiError;
use crate::error::Error;

/// Rows that are answered at once, at most: more of them win nothing on a CPU.
const MOST_PLACES: usize = 32;
/// Bytes that a trained number takes beside the base model's: its other half, and a copy that products read.
const TRAINED: u64 = 6;
/// Of the memory that is free when all models are there, what their answers may take: a half.
const SHARE: u64 = 2;
/// Hexadecimal digits of a fingerprint.
const DIGITS: usize = 16;
/// Letters of an id that nobody knows, in a message.
const SHOWN: usize = 100;

/// Opens a model.
pub type OpenLocalModel = Box<dyn FnOnce() -> Result<LocalModel, Box<dyn std::error::Error + Send + Sync>>>;

/// A model that is to be served, under the id that requests name it by.
pub struct ServedModel {
    pub id: String,
    pub shape: Decoder,
    /// What of its weights is held quantised.
    pub quantised: QuantisedWeights,
    /// Numbers that were trained of it, which are kept beside its weights.
    pub trained: u64,
    /// Reads its weights, once it is clear that all models have room.
    pub open: OpenLocalModel,
}

/// A model that is served.
pub(crate) struct OpenModel {
    pub id: String,
    pub chat: ChatModel,
    /// `system_fingerprint`: weights, template, engine and its instructions.
    pub fingerprint: String,
    /// Rows at once.
    pub places: usize,
    /// Tokens of all rows together, each with the longest answer that it may get.
    pub tokens: usize,
    /// Answers that wait for a place, and those under way.
    pub waiting: AtomicUsize,
    pub running: AtomicUsize,
}

/// All models, in the order in which they were given; at least one.
pub(crate) struct OpenModels {
    models: Vec<Arc<OpenModel>>,
    /// What is to be known of the memory that they take.
    pub remark: Option<String>,
}

impl OpenModels {
    /// Puts the models into memory, once it is clear that it suffices.
    ///
    /// # Errors
    /// When it does not, when two have one id, or when one cannot be opened.
    pub(crate) fn open(models: Vec<ServedModel>, backend: &'static dyn Backend) -> Result<Self, Error> {
        let mut ids = BTreeSet::new();
        if let Some(model) = models.iter().find(|model| !ids.insert(model.id.clone())) {
            return Err(Error::SameId(model.id.clone()));
        }
        let remark = check_memory(&models, backend)?;
        let count = models.len() as u64;
        if count == 0 {
            return Err(Error::NoModel);
        }
        let open = |model: ServedModel| {
            let parts = (model.open)().map_err(|source| Error::Open { id: model.id.clone(), source })?;
            Ok((model.id, ChatModel::new(parts, backend)?))
        };
        let open: Vec<(String, ChatModel)> = models.into_iter().map(open).collect::<Result<_, Error>>()?;
        let free = backend.memory_free().map_or(u64::MAX, |bytes| bytes / SHARE / count);
        let model = |(id, chat): (String, ChatModel)| {
            let fingerprint = hash::of_bytes(format!("{}\n{}", chat.url(), chat.fingerprint()).as_bytes());
            let fingerprint = format!("fp_{}", &fingerprint[..DIGITS]);
            // Where an answer would depend on the company that it is made in, it has none.
            let places = if chat.generator().has_independent_rows() { MOST_PLACES } else { 1 };
            let tokens = most_tokens(&chat, places, free);
            Arc::new(OpenModel {
                id,
                chat,
                fingerprint,
                places,
                tokens,
                waiting: AtomicUsize::new(0),
                running: AtomicUsize::new(0),
            })
        };
        Ok(Self { models: open.into_iter().map(model).collect(), remark })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<OpenModel>> {
        self.models.iter()
    }

    /// The model of this id with its number.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn find(&self, id: &str) -> Result<(usize, &Arc<OpenModel>), ApiError> {
        self.models.iter().enumerate().find(|(_, model)| model.id == id).ok_or_else(|| {
            let known = self.models.iter().map(|model| format!("`{}`", model.id)).collect::<Vec<_>>().join(", ");
            let id: String = escape::line(id).chars().take(SHOWN).collect();
            ApiError::unknown_model(&id, &known)
        })
    }
}

impl OpenModel {
    /// As `/v1/models` lists it; `created` in seconds since 1970.
    pub(crate) fn listed(&self, created: u64) -> Value {
        json!({
            "id": self.id, "object": "model", "created": created, "owned_by": "tunebench",
            "max_model_len": self.positions(), "system_fingerprint": self.fingerprint,
        })
    }

    /// Tokens of a prompt and its answer, at most.
    pub(crate) fn positions(&self) -> usize {
        self.chat.generator().positions()
    }

    pub(crate) fn vocab_size(&self) -> usize {
        self.chat.generator().shape().vocab_size
    }

    /// Lets so many answers wait, where no more than `most` do then.
    ///
    /// # Errors
    /// When there are too many already.
    pub(crate) fn queue(&self, count: usize, most: usize) -> Result<(), ApiError> {
        let waiting = self.waiting.fetch_add(count, Ordering::Relaxed);
        if waiting + count > most {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return Err(ApiError::busy(waiting));
        }
        Ok(())
    }

    /// An answer waits no more.
    pub(crate) fn unqueue(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tokens that fit into so many bytes beside the model itself: at least those of one short text.
fn most_tokens(chat: &ChatModel, places: usize, bytes: u64) -> usize {
    let (shape, quantised) = (chat.generator().shape(), chat.generator().quantised());
    let needed = |rows: usize, tokens: usize| chat.backend().answering_memory(shape, quantised, rows, tokens).own;
    let alone = needed(0, 0);
    let fits = |tokens: &usize| needed(places, tokens.div_ceil(places)).saturating_sub(alone) <= bytes;
    let most = places * chat.generator().positions();
    if fits(&most) {
        return most;
    }
    let (mut low, mut high) = (places, most);
    while high - low > places {
        let middle = low + (high - low) / 2;
        if fits(&middle) { low = middle } else { high = middle }
    }
    low
}

/// Whether the models fit into memory together: what must be there of them. What is to be said where their files do not, too.
fn check_memory(models: &[ServedModel], backend: &'static dyn Backend) -> Result<Option<String>, Error> {
    let Some(free) = backend.memory_free() else { return Ok(None) };
    let need =
        |model: &ServedModel| backend.answering_memory(&model.shape, &model.quantised, 1, 1) + model.trained * TRAINED;
    let needs = || models.iter().map(need);
    let [own, mapped] = [needs().map(|need| need.own).sum(), needs().map(|need| need.mapped).sum::<u64>()];
    let what = || models.iter().map(|model| format!("`{}`", model.id)).collect::<Vec<_>>().join(", ");
    if own > free {
        return Err(Error::Memory { what: what(), needed: shown(own), free: shown(free) });
    }
    let again = (own + mapped).saturating_sub(free).min(mapped);
    Ok((again > 0).then(|| {
        format!(
            "{}: of {} of weights that stay in files, {} find no room in memory; they are read from the disk again for every \
             token of an answer",
            what(),
            shown(mapped),
            shown(again)
        )
    }))
}

fn shown(bytes: u64) -> String {
    match bytes as f64 / f64::from(1 << 30) {
        gib if gib < 1.0 => format!("{:.0} MiB", gib * 1024.0),
        gib => format!("{gib:.1} GiB"),
    }
}
