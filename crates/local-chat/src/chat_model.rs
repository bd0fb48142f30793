//! A model in memory with all that turns conversations and texts into its tokens and back: what answers is somebody else.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tunebench_dataset::{MODEL_TEMPLATE, Template};
use tunebench_generate::Constraint;
use tunebench_kernels::SimdLevel;
use tunebench_model::backend::{Backend, Generator, Parts};
use tunebench_model::{QuantisedWeights, Tokenizer, Tuning, Weights};
use tunebench_spec::{ChatMessage, Decoder};

use crate::error::Error;
use crate::identity;
use crate::json_form::JsonForm;
use crate::json_object::JsonObject;
use crate::memory::Memory;
use crate::prompt_writer::{ChatTemplate, PromptWriter, Written};
use crate::vocabulary::Vocabulary;

/// The parts of a model that is open already, such as one that a study has trained.
pub struct LocalModel {
    /// Names it in messages.
    pub name: String,
    /// SHA-256 of all that decides its weights, its adapter's included.
    pub identity: String,
    pub shape: Decoder,
    pub weights: Weights,
    pub tuning: Tuning,
    pub tokenizer: Tokenizer,
    pub template: ChatTemplate,
    /// Whether a beginning-of-sequence token is put before a conversation where the template writes none.
    pub add_bos_token: bool,
}

impl LocalModel {
    /// Opens a Hugging Face folder or a `.gguf` file. `template` is the model's own where it is empty or `model`, else one
    /// of `crates/dataset` by its name.
    ///
    /// # Errors
    /// When it is no model that the engine computes, does not fit into memory, or its conversations cannot be written.
    pub fn open(path: &Path, template: &str, backend: &'static dyn Backend) -> Result<Self, Error> {
        let name = path.display().to_string();
        let source = tunebench_model::open(path)?;
        check_fit(&name, &source.shape, &source.quantised(), backend)?;
        let known = || Template::names().collect::<Vec<_>>().join(", ");
        let template = match template {
            "" | MODEL_TEMPLATE => match source.chat_template()? {
                Some(own) => ChatTemplate::Jinja(own),
                None => return Err(Error::NoTemplate { model: name, known: known() }),
            },
            named => ChatTemplate::Named(named.to_owned()),
        };
        let (tokenizer, shape) = (source.tokenizer()?, source.shape.clone());
        // What is wrong with a template is said before gigabytes are read.
        PromptWriter::new(&name, &template, &tokenizer)?;
        let (identity, weights) = (identity::of_files(&name, &source)?, source.weights()?);
        let tuning = Tuning::none();
        Ok(Self { name, identity, shape, weights, tuning, tokenizer, template, add_bos_token: false })
    }
}

/// A prompt, and what of the request it does not carry out, such as `date 26 Jul 2024`.
#[derive(Debug)]
pub struct ChatPrompt {
    pub tokens: Vec<u32>,
    pub adapted: Vec<String>,
}

/// A form that answers must have, and what of the schema it does not hold them to.
#[derive(Clone, Debug)]
pub struct JsonConstraint {
    pub constraint: Arc<dyn Constraint>,
    pub not_held: Vec<String>,
}

/// A model in memory.
pub struct ChatModel {
    pub(crate) model: Box<dyn Generator>,
    pub(crate) writer: PromptWriter,
    pub(crate) vocabulary: Arc<Vocabulary>,
    pub(crate) url: String,
    pub(crate) fingerprint: String,
    backend: &'static dyn Backend,
    drops_first_space: bool,
    /// Reads special tokens where a text has them.
    raw: tokenizers::Tokenizer,
    /// Put before a conversation.
    bos: Option<u32>,
}

impl ChatModel {
    /// Puts a model together from its parts.
    ///
    /// # Errors
    /// As [`LocalModel::open`].
    pub fn new(model: LocalModel, backend: &'static dyn Backend) -> Result<Self, Error> {
        let LocalModel { name, identity, shape, weights, tuning, tokenizer, template, add_bos_token } = model;
        check_fit(&name, &shape, &weights.quantised(), backend)?;
        let template = template.resolved(&name, &tokenizer)?;
        let writer = PromptWriter::new(&name, &template, &tokenizer)?;
        let vocabulary = Arc::new(Vocabulary::new(&tokenizer.inner, writer.added(), shape.vocab_size));
        let no_bos = || Error::Dataset { model: name.clone(), source: tunebench_dataset::Error::NoBosToAdd };
        let bos = add_bos_token.then(|| tokenizer.bos.ok_or_else(no_bos)).transpose()?;
        let level = SimdLevel::chosen().map_err(tunebench_model::Error::from)?;
        Ok(Self {
            url: identity::url(&name, &identity, &tokenizer, (&template, bos.is_some()), writer.stop_tokens())?,
            fingerprint: identity::fingerprint(backend, level),
            model: backend.generator(Parts { shape: &shape, weights, tuning })?,
            drops_first_space: drops_first_space(&vocabulary, &writer),
            writer,
            vocabulary,
            backend,
            bos,
            raw: {
                let mut raw = tokenizer.inner;
                raw.set_encode_special_tokens(false);
                raw
            },
        })
    }

    pub fn generator(&self) -> &dyn Generator {
        &*self.model
    }

    pub fn backend(&self) -> &'static dyn Backend {
        self.backend
    }

    /// `local:` and a name of all that decides a reply beside request and engine.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The engine, and the instructions that it uses, by which sums are rounded.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The tokens at which an answer is over, sorted: the model's, and the one that its template writes behind an answer.
    pub fn stop_tokens(&self) -> &[u32] {
        self.writer.stop_tokens()
    }

    /// Messages, and the beginning of the reply to them. What a message says never becomes a special token.
    ///
    /// # Errors
    /// Says why the model cannot be asked this.
    pub fn prompt(&self, messages: &[ChatMessage], reasoning_effort: Option<&str>) -> Result<ChatPrompt, String> {
        let Written { mut tokens, adapted } = self.writer.write(messages, reasoning_effort)?;
        if let Some(bos) = self.bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(ChatPrompt { tokens, adapted })
    }

    /// The tokens of a text as transformers' tokenizers read it: what is written like a special token is one, and with
    /// `add_special_tokens` those that the tokenizer puts around a text are there, such as a BOS.
    ///
    /// # Errors
    /// When the tokenizer has no tokens for it.
    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, String> {
        let encoding = self.raw.encode_fast(text, add_special_tokens).map_err(|e| format!("tokenizer: {e}"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// What a token is as text, a part of a character perhaps; of a special token its name.
    pub fn bytes(&self, token: u32) -> &[u8] {
        self.vocabulary.bytes(token)
    }

    /// What a token adds to a reply: a special one nothing.
    pub fn text(&self, token: u32) -> &[u8] {
        self.vocabulary.text(token)
    }

    /// A token as text; one that is a part of a character only as OpenAI spells it, `bytes:\xe5\x88`.
    pub fn token_name(&self, token: u32) -> String {
        self.vocabulary.name(token)
    }

    /// Whether a reply's first space is left out where it is decoded on its own, as SentencePiece's decoders do.
    pub fn drops_first_space(&self) -> bool {
        self.drops_first_space
    }

    /// The form of JSON of a schema.
    ///
    /// # Errors
    /// Says what of the schema cannot be held to.
    pub fn json_schema(&self, schema: &Value) -> Result<JsonConstraint, String> {
        let form = JsonForm::new(schema, self.vocabulary.clone())?;
        let not_held = form.not_held.iter().cloned().collect();
        Ok(JsonConstraint { constraint: Arc::new(form), not_held })
    }

    /// The form of any JSON object.
    pub fn json_object(&self) -> JsonConstraint {
        let constraint = Arc::new(JsonObject::new(self.vocabulary.clone()));
        JsonConstraint { constraint, not_held: Vec::new() }
    }
}

/// Whether the decoder leaves out the space of a first word.
fn drops_first_space(vocabulary: &Vocabulary, writer: &PromptWriter) -> bool {
    let is_word = |bytes: &[u8]| bytes.len() > 1 && bytes[0] == b' ' && bytes[1..].iter().all(u8::is_ascii_alphabetic);
    let word = (0u32..).zip(vocabulary.texts()).find(|(_, bytes)| is_word(bytes)).map(|(id, _)| id);
    word.and_then(|id| writer.decode(&[id]).ok()).is_some_and(|text| !text.starts_with(' '))
}

/// Whether there is the memory for the model's weights.
fn check_fit(
    model: &str,
    shape: &Decoder,
    quantised: &QuantisedWeights,
    backend: &'static dyn Backend,
) -> Result<(), Error> {
    let needed = backend.answering_memory(shape, quantised, 1, 1);
    match Memory::new(backend).exceeded(needed) {
        None => Ok(()),
        Some((needed, limit)) => Err(Error::Memory { model: model.to_owned(), needed, limit }),
    }
}
