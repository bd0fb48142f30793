//! What a named template is made of.

use tunebench_spec::Role;

/// One way to write conversations.
#[derive(Debug)]
pub struct Template {
    pub name: &'static str,
    /// Before the first turn.
    pub(crate) first: &'static [Part],
    pub(crate) system: System,
    /// Said by the system where the conversation does not begin with a system turn.
    pub(crate) default_system: Option<&'static str>,
    pub(crate) user: Frame,
    /// What stands around a user's turn that holds this text, in place of `user`.
    pub(crate) user_holding: Option<(&'static str, Frame)>,
    pub(crate) assistant: Frame,
    /// Between two turns.
    pub(crate) between: &'static [Part],
    /// Behind the last turn, in training.
    pub(crate) last: &'static [Part],
    /// Whether white space around a turn's content is dropped.
    pub(crate) trim: bool,
    /// Whether prompts are learnt as well, whatever the recipe says.
    pub learns_all: bool,
}

/// Where a system turn stands.
#[derive(Debug)]
pub(crate) enum System {
    /// By itself.
    Turn(Frame),
    /// At the beginning of the user's turn behind it, between these texts.
    InUser { before: &'static str, after: &'static str },
}

/// What stands around the content of a turn.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) before: &'static [Part],
    /// Begins the content; learnt with it in an assistant's turn.
    pub(crate) start: &'static str,
    /// Ends the content; learnt with it in an assistant's turn.
    pub(crate) end: &'static [Part],
    pub(crate) after: &'static [Part],
}

#[derive(Debug)]
pub(crate) enum Part {
    Text(&'static str),
    /// A control token by its exact text.
    Token(&'static str),
    /// The tokenizer's own beginning of sequence.
    Bos,
    /// The tokenizer's own end of sequence.
    Eos,
}

/// A turn with nothing around it.
pub(crate) const BARE: Frame = Frame { before: &[], start: "", end: &[], after: &[] };

impl Template {
    /// What stands around a turn of this role and content; none for a system turn that stands inside another.
    pub(crate) fn frame(&self, role: Role, content: &str) -> Option<&Frame> {
        match role {
            Role::System => match &self.system {
                System::Turn(frame) => Some(frame),
                System::InUser { .. } => None,
            },
            Role::User => match &self.user_holding {
                Some((text, frame)) if content.contains(text) => Some(frame),
                _ => Some(&self.user),
            },
            Role::Assistant => Some(&self.assistant),
        }
    }

    /// Everything the template can write.
    pub(crate) fn parts(&self) -> impl Iterator<Item = &'static Part> {
        let system = match &self.system {
            System::Turn(frame) => Some(frame),
            System::InUser { .. } => None,
        };
        let holding = self.user_holding.as_ref().map(|(_, frame)| frame);
        let frames = [Some(&self.user), Some(&self.assistant), system, holding].into_iter().flatten();
        let framed: Vec<&'static [Part]> = frames.flat_map(|f| [f.before, f.end, f.after]).collect();
        [self.first].into_iter().chain(framed).chain([self.between, self.last]).flatten()
    }
}
