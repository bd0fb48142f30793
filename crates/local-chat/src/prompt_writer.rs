//! Messages to the tokens that a model is given.

use tunebench_dataset::{Encoder, Template};
use tunebench_model::Tokenizer;
use tunebench_spec::{ChatMessage, Role, Turn, escape};

use crate::added_tokens::AddedTokens;
use crate::error::Error;
use crate::jinja::{Asked, DAY, JinjaTemplate, Message};

/// How a model's conversations are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChatTemplate {
    /// The model's own, a text in Jinja as Hugging Face has it.
    Jinja(String),
    /// One of `crates/dataset`, by its name: what a study trains with.
    Named(String),
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
    Jinja(Box<JinjaTemplate>),
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
        let Tokenizer { inner, bos, eos } = tokenizer;
        let of_dataset = |source| Error::Dataset { model: model.to_owned(), source };
        let reader = tunebench_dataset::Tokenizer::new(inner.clone(), *bos, eos.clone()).map_err(of_dataset)?;
        let added = AddedTokens::new(inner);
        let mut stop_tokens = eos.clone();
        let form = match template {
            ChatTemplate::Named(name) => {
                let encoder = Encoder::new(name, reader.clone()).map_err(of_dataset)?;
                stop_tokens.extend(encoder.stop_tokens());
                Form::Named(Box::new(encoder))
            }
            ChatTemplate::Jinja(source) => {
                let piece = |id: Option<&u32>| id.and_then(|id| inner.id_to_token(*id));
                let jinja = JinjaTemplate::new(source, piece(bos.as_ref()), piece(eos.first()));
                let jinja = jinja.map_err(|fault| {
                    let known = Template::names().collect::<Vec<_>>().join(", ");
                    Error::Template { model: model.to_owned(), fault, known }
                })?;
                stop_tokens.extend(end_of_turn(&jinja, &added));
                Form::Jinja(Box::new(jinja))
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
            Form::Jinja(jinja) => self.by_jinja(jinja, turns, reasoning_effort, &mut adapted)?,
        };
        if tokens.is_empty() {
            return Err("the prompt is empty".to_owned());
        }
        Ok(Written { tokens, adapted })
    }

    fn by_jinja(
        &self,
        jinja: &JinjaTemplate,
        turns: Vec<Turn>,
        reasoning_effort: Option<&str>,
        adapted: &mut Vec<String>,
    ) -> Result<Vec<u32>, String> {
        let is_read = |effort: &&str| {
            jinja.asks_for("reasoning_effort")
                || (jinja.asks_for("enable_thinking") && matches!(*effort, "none" | "minimal"))
        };
        let effort = reasoning_effort.filter(is_read);
        if effort.is_none() && reasoning_effort.is_some() {
            adapted.push("reasoning_effort left out".to_owned());
        }
        if jinja.asks_for("strftime_now") {
            adapted.push(format!("date {DAY}"));
        }
        let mark = mark_beside(turns.iter().map(|turn| turn.content.as_str()))?;
        let asked = Asked { add_generation_prompt: true, reasoning_effort: effort };
        let write = |turns: &[Turn]| {
            let message = |turn: &Turn| Message {
                role: name(turn.role).to_owned(),
                content: self.added.marked(&turn.content, mark),
            };
            jinja.render(&turns.iter().map(message).collect::<Vec<_>>(), &asked)
        };
        let text = match (write(&turns), turns.as_slice()) {
            (Ok(text), _) => text,
            // Models that were tuned without system messages refuse them.
            (Err(fault), [Turn { role: Role::System, content: system, .. }, user, rest @ ..])
                if user.role == Role::User =>
            {
                let content = format!("{system}\n\n{}", user.content);
                let joined: Vec<Turn> =
                    [Turn::new(Role::User, content)].into_iter().chain(rest.iter().cloned()).collect();
                let text = write(&joined).map_err(|_| refused(&fault))?;
                adapted.push("system message put before the user's".to_owned());
                text
            }
            (Err(fault), _) => return Err(refused(&fault)),
        };
        self.added.encode(&text, mark)
    }
}

fn refused(fault: &str) -> String {
    format!("the model's chat template does not take these messages: {fault}")
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// A character of the private planes that stands in none of the texts.
fn mark_beside<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Result<char, String> {
    let is_free = |mark: &char| !texts.clone().any(|text| text.contains(*mark));
    ('\u{f0000}'..='\u{ffffd}').find(is_free).ok_or_else(|| "the messages hold every private character".to_owned())
}

/// The special token that the template writes behind an answer, if it does.
fn end_of_turn(jinja: &JinjaTemplate, added: &AddedTokens) -> Option<u32> {
    const ANSWER: &str = "\u{f0000}";
    let message = |role: Role, content: &str| Message { role: name(role).to_owned(), content: content.to_owned() };
    let messages = [message(Role::User, "."), message(Role::Assistant, ANSWER)];
    let text = jinja.render(&messages, &Asked::default()).ok()?;
    added.leading_special(text.split_once(ANSWER)?.1)
}
