//! Losses on text that nobody learns from: what they are measured on, and what is kept of them.

use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tunebench_dataset::{Settings, Tokenization, Tokenized, general};
use tunebench_model::backend::{Backend, Parts};
use tunebench_spec::records::{GENERAL, HELD_OUT};
use tunebench_spec::{Example, LossLog, Role, hash};
use tunebench_train::HeldOut;

use crate::error::{Locate, StudyError};
use crate::model_encoder::{ModelEncoder, check_embeddings};

/// The template of text by itself.
pub const PLAIN_TEMPLATE: &str = "text";

/// Longest text that is measured, in tokens; a longer one is left out whole, so that bytes and tokens are of the same text.
const MAX_LENGTH: usize = 1024;

/// Most tokens that are computed at once.
const PIECE_TOKENS: usize = 4096;

/// Raised when a change of the code changes what is measured.
const MEASURING_VERSION: u32 = 1;

/// A text to measure losses on, as the tokens of one model.
pub struct LossSet {
    /// [`HELD_OUT`] or [`GENERAL`].
    pub name: &'static str,
    /// SHA-256 of the texts and of what counts in them, whatever the tokenizer.
    pub hash: String,
    pub examples: Vec<Tokenized>,
    /// UTF-8 bytes of the labels' text.
    pub bytes: u64,
    /// Texts that are longer than can be measured.
    pub left_out: u64,
}

impl LossSet {
    /// The answers in these examples, prompts left out of the loss, whatever a recipe says: arms are measured alike.
    pub fn held_out(encoder: &ModelEncoder, positions: usize, examples: &[Example]) -> Result<Self, StudyError> {
        Self::new(HELD_OUT, encoder, positions, examples)
    }

    /// The fixed text of general language; `encoder` is that of plain text.
    pub fn general(encoder: &ModelEncoder, positions: usize) -> Result<Self, StudyError> {
        let examples: Vec<Example> = general::texts().map(|text| text.example()).collect();
        Self::new(GENERAL, encoder, positions, &examples)
    }

    fn new(
        name: &'static str,
        encoder: &ModelEncoder,
        positions: usize,
        examples: &[Example],
    ) -> Result<Self, StudyError> {
        let settings = Settings { mask_prompt: true, max_length: MAX_LENGTH.min(positions) };
        let (mut tokens, mut bytes, mut measured, mut left_out) = (Vec::new(), 0, Vec::new(), 0);
        let mut tokenization = Tokenization::new(&encoder.encoder, settings);
        for example in examples {
            let cut_before = tokenization.stats().truncated;
            let found = tokenization.add(example);
            let is_cut = tokenization.stats().truncated > cut_before;
            let Some(found) = found.filter(|_| !is_cut) else {
                left_out += 1;
                continue;
            };
            tokens.push(found);
            bytes += answer_bytes(example);
            measured.push(&example.turns);
        }
        check_embeddings(&tokenization.stats().text).at(format_args!("text to measure losses on ({name})"))?;
        let template = encoder.encoder.template_identity();
        let hash = hash::of_json(&json!({ "version": MEASURING_VERSION, "template": template, "texts": measured }))?;
        Ok(Self { name, hash, examples: tokens, bytes, left_out })
    }

    /// As training takes it.
    pub fn as_held_out(&self) -> HeldOut<'_> {
        HeldOut { set: self.name, set_hash: &self.hash, examples: &self.examples, bytes: self.bytes }
    }
}

fn answer_bytes(example: &Example) -> u64 {
    let answers = example.turns.iter().filter(|turn| turn.role == Role::Assistant);
    answers.map(|turn| turn.content.len() as u64).sum()
}

/// The sets that the losses of one model are measured on; those without an example are left out.
#[derive(Clone, Default)]
pub struct LossSets(pub Vec<Arc<LossSet>>);

impl LossSets {
    /// The set on which candidates are compared.
    pub fn held_out(&self) -> Option<&LossSet> {
        self.0.iter().find(|set| set.name == HELD_OUT).map(Arc::as_ref)
    }

    /// Tokens of all of them, with so many virtual ones before each text.
    pub fn tokens(&self, virtual_count: usize) -> u64 {
        let examples = self.0.iter().flat_map(|set| &set.examples);
        examples.map(|example| (virtual_count + example.tokens.len()) as u64).sum()
    }

    /// Tokens of the largest piece that a loss is measured over at once, with so many virtual ones before each text.
    pub fn most_tokens(&self, virtual_count: usize, micro_batch_tokens: usize) -> usize {
        let most = |set: &Arc<LossSet>| {
            let lengths = || set.examples.iter().map(|example| virtual_count + example.tokens.len());
            lengths().sum::<usize>().min(micro_batch_tokens.max(lengths().max().unwrap_or(0)))
        };
        self.0.iter().map(most).max().unwrap_or(0)
    }

    /// As training takes them.
    pub fn as_held_out(&self) -> Vec<HeldOut<'_>> {
        self.0.iter().map(|set| set.as_held_out()).collect()
    }

    /// Names the losses of the model of this identity on these sets.
    ///
    /// # Errors
    /// Never in practice: names and hashes have a JSON form.
    pub fn identity(&self, model: &str, backend: &dyn Backend) -> Result<String, StudyError> {
        let hashes: Vec<&str> = self.0.iter().map(|set| set.hash.as_str()).collect();
        Ok(hash::of_json(
            &json!({ "losses": [backend.name(), MEASURING_VERSION.to_string()], "of": model, "on": hashes }),
        )?)
    }

    /// Whether these losses are of all the sets.
    pub fn are_measured_by(&self, losses: &[LossLog]) -> bool {
        self.0.iter().all(|set| losses.iter().any(|loss| loss.set_hash == set.hash))
    }
}

/// UTF-8 bytes of the text of general language: it has fewer tokens.
pub fn general_bytes() -> usize {
    general::texts().flat_map(|text| text.example().turns).map(|turn| turn.content.len()).sum()
}

/// The losses in a file of them; `None` when it is not there.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> Result<Option<Vec<LossLog>>, StudyError> {
    if !path.exists() {
        return Ok(None);
    }
    let losses = tunebench_files::read_json(path);
    losses.map(Some).map_err(|source| StudyError::Damaged { source, remedy: "delete the file to measure it again" })
}

/// Measures a model on these sets and keeps that in the file, unless it is there.
///
/// # Errors
/// When the model cannot be opened or computed, or the file cannot be read or written.
pub fn measure<'p>(
    sets: &LossSets,
    path: &Path,
    backend: &dyn Backend,
    open: impl FnOnce() -> Result<Parts<'p>, StudyError>,
) -> Result<Vec<LossLog>, StudyError> {
    if let Some(found) = read(path)? {
        return Ok(found);
    }
    let losses = if sets.0.is_empty() {
        Vec::new()
    } else {
        let found = tunebench_train::measure(open()?, backend, &sets.as_held_out(), PIECE_TOKENS)?;
        let lines = sets.0.iter().zip(found).map(|(set, loss)| set.as_held_out().line(0, loss));
        lines.map(|line| LossLog { is_final: true, ..line }).collect()
    };
    tunebench_files::write_json(path, &losses)?;
    Ok(losses)
}
