//! How a conversation is written: a table of what stands around its turns.

use tunebench_spec::Role;

use crate::error::Error;

/// One way to write conversations.
#[derive(Debug)]
pub struct Template {
    pub name: &'static str,
    /// Before the first turn.
    pub(crate) first: &'static [Part],
    system: Frame,
    user: Frame,
    assistant: Frame,
    /// Between two turns.
    pub(crate) between: &'static [Part],
    /// Behind the last turn, in training.
    pub(crate) last: &'static [Part],
    /// Whether white space around a turn's content is dropped.
    pub(crate) trim: bool,
    /// Whether prompts are learnt as well, whatever the recipe says.
    pub(crate) learns_all: bool,
}

/// What stands around the content of a turn.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) before: &'static [Part],
    /// Ends the content; learnt with it in an assistant's turn.
    pub(crate) end: &'static [Part],
    pub(crate) after: &'static [Part],
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(&'static str),
    /// A control token by its exact text.
    Token(&'static str),
    /// The tokenizer's own end of sequence.
    Eos,
}

use Part::{Eos, Text, Token};

const BARE: Frame = Frame { before: &[], end: &[], after: &[] };

static TEMPLATES: [Template; 5] = [
    // BELLE's training code. It has no system turn; ours is a paragraph of its own.
    Template {
        name: "belle",
        first: &[],
        system: Frame { before: &[], end: &[], after: &[Text("\n\n")] },
        user: Frame { before: &[Text("Human: \n")], end: &[], after: &[Text("\n\nAssistant: \n")] },
        assistant: Frame { before: &[], end: &[Eos], after: &[] },
        between: &[],
        last: &[],
        trim: false,
        learns_all: false,
    },
    Template {
        name: "chatml",
        first: &[],
        system: Frame {
            before: &[Token("<|im_start|>"), Text("system\n")],
            end: &[Token("<|im_end|>")],
            after: &[Text("\n")],
        },
        user: Frame {
            before: &[Token("<|im_start|>"), Text("user\n")],
            end: &[Token("<|im_end|>")],
            after: &[Text("\n")],
        },
        assistant: Frame {
            before: &[Token("<|im_start|>"), Text("assistant\n")],
            end: &[Token("<|im_end|>")],
            after: &[Text("\n")],
        },
        between: &[],
        last: &[],
        trim: false,
        learns_all: false,
    },
    Template {
        name: "llama3",
        first: &[Token("<|begin_of_text|>")],
        system: Frame {
            before: &[Token("<|start_header_id|>"), Text("system"), Token("<|end_header_id|>"), Text("\n\n")],
            end: &[Token("<|eot_id|>")],
            after: &[],
        },
        user: Frame {
            before: &[Token("<|start_header_id|>"), Text("user"), Token("<|end_header_id|>"), Text("\n\n")],
            end: &[Token("<|eot_id|>")],
            after: &[],
        },
        assistant: Frame {
            before: &[Token("<|start_header_id|>"), Text("assistant"), Token("<|end_header_id|>"), Text("\n\n")],
            end: &[Token("<|eot_id|>")],
            after: &[],
        },
        between: &[],
        last: &[],
        trim: true,
        learns_all: false,
    },
    Template {
        name: "plain",
        first: &[],
        system: Frame { before: &[], end: &[], after: &[Text("\n")] },
        user: Frame { before: &[], end: &[], after: &[Text("\n")] },
        assistant: Frame { before: &[], end: &[Eos], after: &[] },
        between: &[],
        last: &[],
        trim: false,
        learns_all: false,
    },
    // For pre-training: the contents alone.
    Template {
        name: "text",
        first: &[],
        system: BARE,
        user: BARE,
        assistant: BARE,
        between: &[Text("\n")],
        last: &[Eos],
        trim: false,
        learns_all: true,
    },
];

impl Template {
    /// The names of all templates.
    pub fn names() -> impl Iterator<Item = &'static str> {
        TEMPLATES.iter().map(|t| t.name)
    }

    /// The template of this name.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<&'static Self, Error> {
        TEMPLATES.iter().find(|t| t.name == name).ok_or_else(|| Error::UnknownTemplate {
            name: name.into(),
            known: Self::names().collect::<Vec<_>>().join(", "),
        })
    }

    /// What stands around a turn of this role.
    pub(crate) fn frame(&self, role: Role) -> &Frame {
        match role {
            Role::System => &self.system,
            Role::User => &self.user,
            Role::Assistant => &self.assistant,
        }
    }

    /// Everything the template can write.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static Part> {
        let frames = [&self.system, &self.user, &self.assistant].map(|f| [f.before, f.end, f.after]);
        [self.first].into_iter().chain(frames.into_iter().flatten()).chain([self.between, self.last]).flatten()
    }
}
