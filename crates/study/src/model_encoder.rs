//! A model's tokenizer with a template around it, and the hashes that name both.

use serde_json::json;
use tunebench_dataset::{Encoder, MODEL_TEMPLATE, Template, TextCheck};
use tunebench_model::Tokenizer;
use tunebench_spec::study::Model;
use tunebench_spec::{Role, Turn, hash};

use crate::error::StudyError;

/// Words in the names of models that were tuned to converse.
const TUNED: [&str; 4] = ["instruct", "chat", "it", "sft"];

/// How conversations are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Form<'a> {
    /// The name of a template, or `model` for the model's own.
    pub template: &'a str,
    /// Whether a beginning-of-sequence token is put first where the template writes none.
    pub add_bos_token: bool,
}

impl<'a> Form<'a> {
    /// As the template has it.
    pub fn plain(template: &'a str) -> Self {
        Self { template, add_bos_token: false }
    }
}

/// How a model's conversations become tokens.
pub struct ModelEncoder {
    pub encoder: Encoder,
    /// As it came with the model, to be kept beside what is trained.
    pub tokenizer: Tokenizer,
    /// SHA-256 of the tokenizer's JSON.
    pub tokenizer_hash: String,
    /// SHA-256 of all that decides the tokens of a conversation.
    pub identity: String,
}

impl ModelEncoder {
    /// `vocab_size` are the rows of embeddings that the model has.
    ///
    /// # Errors
    /// When there is no such template, the tokenizer lacks a token that it needs, or the model an embedding.
    pub fn new(form: Form<'_>, tokenizer: Tokenizer, vocab_size: usize) -> Result<Self, StudyError> {
        let encoder = encoder(form, &tokenizer)?.for_vocabulary(vocab_size)?;
        let text = encoder.tokenizer().inner().to_string(false);
        let text = text.map_err(|e| tunebench_dataset::Error::Tokenizer(e.to_string()))?;
        let tokenizer_hash = hash::of_bytes(text.as_bytes());
        let mut named = json!({
            "template": encoder.template_identity(),
            "tokenizer": tokenizer_hash,
            "bos": tokenizer.bos,
            "eos": tokenizer.eos,
        });
        // Absent where they say nothing, so that what was made before they were there keeps its name.
        if form.add_bos_token {
            named["add_bos_token"] = true.into();
        }
        if encoder.template_name() == MODEL_TEMPLATE {
            named["names"] = json!(tokenizer.template_names());
        }
        let identity = hash::of_json(&named)?;
        Ok(Self { encoder, tokenizer, tokenizer_hash, identity })
    }

    /// What is to be said of this template and this model before anything is trained or asked.
    pub fn remarks(&self, model: &Model) -> Vec<String> {
        let Model { id: model, source, .. } = model;
        let tokenizer = self.encoder.tokenizer();
        let mut remarks = Vec::new();
        let (size, vocab_size) = (tokenizer.size(), self.encoder.vocab_size());
        if size > vocab_size {
            remarks.push(format!(
                "the tokenizer of `{model}` has numbers up to {} and the model embeddings for {vocab_size} tokens; no text may use \
                 the others",
                size - 1
            ));
        }
        let turn = Turn::new(Role::User, "a");
        let Ok(own_prompt) = self.encoder.prompt(&[turn]) else { return remarks };
        let template = self.encoder.template_name();
        if tokenizer.prepends_bos() && own_prompt.tokens.first().copied() != tokenizer.bos() {
            let bos = tokenizer.bos().map(|id| tokenizer.piece(id)).unwrap_or_default();
            remarks.push(format!(
                "the tokenizer of `{model}` begins a text with `{bos}`, which template `{template}` does not write; \
                 `add_bos_token = true` puts it"
            ));
        }
        remarks.extend(self.other_template(model));
        let file = source.rsplit('/').next().unwrap_or(source).to_lowercase();
        let words: Vec<&str> = file.split(|c: char| !c.is_alphanumeric()).collect();
        let is_tuned = words.iter().any(|word| TUNED.contains(word));
        if is_tuned && self.tokenizer.conversations.chat_template.is_none() {
            remarks.push(format!(
                "`{model}` is called `{file}`, as models are that were tuned to converse, and brings no chat template; see that \
                 template `{template}` is the one it was tuned with"
            ));
        }
        remarks
    }

    /// Whether the model brings a chat template that writes a conversation otherwise.
    fn other_template(&self, model: &str) -> Option<String> {
        let template = self.encoder.template_name();
        if template == MODEL_TEMPLATE || self.encoder.learns_all() {
            return None;
        }
        let begun = |encoder: &Encoder| {
            let turn = Turn::new(Role::User, "Hello");
            encoder.prompt(&[turn]).ok()
        };
        let own = match encoder(Form::plain(MODEL_TEMPLATE), &self.tokenizer) {
            Ok(own) => begun(&own),
            Err(_) if self.tokenizer.conversations.chat_template.is_none() => return None,
            Err(_) => None,
        };
        let here = begun(&self.encoder)?;
        let Some(own) = own else {
            return Some(format!(
                "`{model}` brings a chat template that cannot be used here; `{template}` may not be what it knows"
            ));
        };
        (own.tokens != here.tokens).then(|| {
            format!(
                "`{model}` brings a chat template of its own, and template `{template}` is another: it asks by {:?} where the \
                 model's own asks by {:?}; template = \"model\" trains and asks it as it was tuned",
                shortened(&here.text),
                shortened(&own.text)
            )
        })
    }
}

/// The beginning of a prompt, to be shown.
fn shortened(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn encoder(form: Form<'_>, tokenizer: &Tokenizer) -> Result<Encoder, StudyError> {
    let Tokenizer { inner, bos, eos, .. } = tokenizer.clone();
    let mut reader = tunebench_dataset::Tokenizer::new(inner, bos, eos)?;
    if tokenizer.prepends_bos() {
        reader = reader.that_prepends_bos();
    }
    let encoder = match (form.template, &tokenizer.conversations.chat_template) {
        (MODEL_TEMPLATE, Some(source)) => Encoder::own(source, tokenizer.template_names(), reader)?,
        (MODEL_TEMPLATE, None) => {
            let known = Template::names().collect::<Vec<_>>().join(", ");
            return Err(tunebench_dataset::Error::NoOwnTemplate { known }.into());
        }
        (named, _) => Encoder::new(named, reader)?,
    };
    Ok(if form.add_bos_token { encoder.with_bos()? } else { encoder })
}

/// Whether the model can read all of it: nothing is trained or measured that would break off at such a row.
///
/// # Errors
/// Names the first row that has a token without an embedding.
pub fn check_embeddings(check: &TextCheck) -> Result<(), StudyError> {
    match &check.outside {
        None => Ok(()),
        Some(outside) => Err(StudyError::Invalid(format!("{outside}; so have {} rows in all", check.outside_rows))),
    }
}
