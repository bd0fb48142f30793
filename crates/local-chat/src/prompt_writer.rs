//! Messages to the tokens that a model is given.

use tunebench_dataset::jinja::added_tokens::AddedTokens;
use tunebench_dataset::jinja::functions::DAY;
use tunebench_dataset::jinja::own::{OwnTemplate, Protected};
use tunebench_dataset::jinja::template::JinjaTemplate;
use tunebench_dataset::{Encoder, MODEL_TEMPLATE, Template};
use tunebench_model::Tokenizer;
use tunebench_spec::{ChatMessage, Role, Turn, escape};

use crate::error::Error;

/// How a model's conversations are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// The model's own, a text in Jinja as Hugging Face has it.
    Jinja(String),
    /// One of `crates/dataset`, by its name: what a study trains with. `model` is the one that the tokenizer brings.
    Named(String),
}

impl ChatTemplate {
    /// The template itself, where `model` names that which the model's tokenizer brings.
    ///
    /// # Errors
    /// When it brings none.
    pub fn resolved(self, model: &str, tokenizer: &Tokenizer) -> Result<Self, Error> {
        match self {
            Self::Named(name) if name == MODEL_TEMPLATE => match &tokenizer.conversations.chat_template {
                Some(own) => Ok(Self::Jinja(own.clone())),
                None => {
                    let known = Template::names().collect::<Vec<_>>().join(", ");
                    Err(Error::NoTemplate { model: model.to_owned(), known })
                }
            },
            other => Ok(other),
        }
    }
}

/// A prompt, and what of the request it does not carry out.
#[derive(Debug)]
pub(crate) struct Written {
    pub tokens: Vec<u32>,
    /// `date 26 Jul 2024` and the like.
    pub adapted: Vec<String>,
}

/// A template with the tokenizer of its model.
#[derive(Debug)]
pub(crate) struct PromptWriter {
    form: Form,
    added: AddedTokens,
    reader: tunebench_dataset::Tokenizer,
    /// Sorted.
    stop_tokens: Vec<u32>,
}

#[derive(Debug)]
enum Form {
    Jinja(Box<OwnTemplate>),
    Named(Box<Encoder>),
}

/// Roles by the names that requests have for them.
const ROLES: [(&str, Role); 4] = [
    ("system", Role::System),
    ("developer", Role::System), // OpenAI's later word for it
    ("user", Role::User),
    ("assistant", Role::Assistant),
];

impl PromptWriter {
    /// `model` names it in messages.
    ///
    /// # Errors
    /// When the template cannot be used, or the tokenizer lacks a token that it needs.
    pub(crate) fn new(model: &str, template: &ChatTemplate, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let Tokenizer { inner, bos, eos, .. } = tokenizer;
        let of_dataset = |source| Error::Dataset { model: model.to_owned(), source };
        let reader = tunebench_dataset::Tokenizer::new(inner.clone(), *bos, eos.clone()).map_err(of_dataset)?;
        let added = AddedTokens::new(inner, |_, _| true);
        let mut stop_tokens = eos.clone();
        let form = match template {
            ChatTemplate::Named(name) => {
                let encoder = Encoder::new(name, reader.clone()).map_err(of_dataset)?;
                stop_tokens.extend(encoder.stop_tokens());
                Form::Named(Box::new(encoder))
            }
            ChatTemplate::Jinja(source) => {
                let jinja = JinjaTemplate::new(source, tokenizer.template_names());
                let jinja = jinja.map_err(|fault| {
                    let known = Template::names().collect::<Vec<_>>().join(", ");
                    Error::Template { model: model.to_owned(), fault, known }
                })?;
                // What it is asked may be what a stranger wrote: not even a token such as `</think>` is read in it.
                let own = OwnTemplate::new(jinja, inner, Protected::Added);
                stop_tokens.extend(own.end_of_turn());
                Form::Jinja(Box::new(own))
            }
        };
        stop_tokens.sort_unstable();
        stop_tokens.dedup();
        Ok(Self { form, added, reader, stop_tokens })
    }

    /// The tokens at which a reply is over, sorted: the model's, and the one that its template writes behind an answer.
    pub(crate) fn stop_tokens(&self) -> &[u32] {
        &self.stop_tokens
    }

    pub(crate) fn added(&self) -> &AddedTokens {
        &self.added
    }

    /// The text of a reply.
    ///
    /// # Errors
    /// When the tokenizer's decoder refuses.
    pub(crate) fn decode(&self, ids: &[u32]) -> Result<String, String> {
        self.reader.decode(ids).map_err(|e| e.to_string())
    }

    /// The messages, and the beginning of the reply to them.
    ///
    /// # Errors
    /// Says why the model cannot be asked this.
    pub(crate) fn write(&self, messages: &[ChatMessage], reasoning_effort: Option<&str>) -> Result<Written, String> {
        let mut adapted = Vec::new();
        let mut turns = Vec::with_capacity(messages.len());
        for ChatMessage { role, content } in messages {
            let Some((name, role)) = ROLES.iter().find(|(name, _)| name == role) else {
                let known = ROLES.map(|(name, _)| name).join(", ");
                return Err(format!("no role `{}`; there are: {known}", escape::line(role)));
            };
            if *name == "developer" {
                adapted.push("developer as system".to_owned());
            }
            turns.push(Turn::new(*role, content));
        }
        if turns.last().is_none_or(|turn| turn.role != Role::User) {
            return Err("the last message must be the user's".to_owned());
        }
        let tokens = match &self.form {
            Form::Named(encoder) => {
                if reasoning_effort.is_some() {
                    adapted.push("reasoning_effort left out".to_owned());
                }
                encoder.prompt(&turns).map_err(|unusable| unusable.to_string())?.tokens
            }
            Form::Jinja(own) => Self::by_jinja(own, &turns, reasoning_effort, &mut adapted)?,
        };
        if tokens.is_empty() {
            return Err("the prompt is empty".to_owned());
        }
        Ok(Written { tokens, adapted })
    }

    fn by_jinja(
        own: &OwnTemplate,
        turns: &[Turn],
        reasoning_effort: Option<&str>,
        adapted: &mut Vec<String>,
    ) -> Result<Vec<u32>, String> {
        let is_read = |effort: &&str| {
            own.jinja().asks_for("reasoning_effort")
                || (own.jinja().asks_for("enable_thinking") && matches!(*effort, "none" | "minimal"))
        };
        let effort = reasoning_effort.filter(is_read);
        if effort.is_none() && reasoning_effort.is_some() {
            adapted.push("reasoning_effort left out".to_owned());
        }
        if own.jinja().asks_for("strftime_now") {
            adapted.push(format!("date {DAY}"));
        }
        let written = own.prompt(turns, effort).map_err(|unusable| unusable.to_string())?;
        adapted.extend(written.remarks.into_iter().map(str::to_owned));
        Ok(written.tokens)
    }
}
