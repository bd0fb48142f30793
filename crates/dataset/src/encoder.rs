//! Conversations as tokens, by a template and a tokenizer.
//!
//! By a named template each turn is tokenized on its own, and an answer apart from the words that announce it; by the model's
//! own the whole text is, as transformers does it, where that makes no difference to the prompt. So a prompt's tokens are
//! exactly the beginning of the tokens trained on, and no tokenizer can merge the end of one with the start of the
//! other. Text from the data never becomes a control token; only the template's markers do.

use std::collections::BTreeMap;
use std::sync::Arc;

use tunebench_spec::{Role, Turn, hash};

use crate::error::{Error, Unusable};
use crate::jinja::own::{AnswerPart, OwnTemplate, Protected};
use crate::jinja::template::JinjaTemplate;
use crate::template::{Part, System, Template};
use crate::tokenizer::Tokenizer;

/// The name of a model's own template.
pub const MODEL_TEMPLATE: &str = "model";

/// A template together with a tokenizer that has all its control tokens.
#[derive(Clone, Debug)]
pub struct Encoder {
    form: Form,
    tokenizer: Tokenizer,
    /// Tokens that only the template may write.
    control: Vec<u32>,
    /// Tokens that end an answer.
    stop: Vec<u32>,
    /// What is written first where the template does not.
    bos: Option<u32>,
    /// Tokens that the model has an embedding for: those with a smaller number.
    vocab_size: usize,
}

#[derive(Clone, Debug)]
enum Form {
    Named(&'static Template),
    Own { source: Arc<str>, template: Arc<OwnTemplate> },
}

/// What a model is given to answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    pub tokens: Vec<u32>,
    /// The same with control tokens spelt out.
    pub text: String,
}

/// A token of a conversation, and whether it is part of an answer or of the end mark behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    pub is_answer: bool,
    /// Part of an answer that its row says is not to be learnt.
    pub is_withheld: bool,
}

/// A whole conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    pub tokens: Vec<Token>,
    /// What of it does not stand as the row has it.
    pub remarks: Vec<&'static str>,
}

/// A stretch of the conversation that is tokenized at once.
struct Segment {
    content: Content,
    is_answer: bool,
    is_withheld: bool,
}

enum Content {
    Text(String),
    Control(u32),
}

impl Encoder {
    /// By a named template.
    ///
    /// # Errors
    /// When there is no such template, or the tokenizer lacks a control token that it needs.
    pub fn new(template: &str, tokenizer: Tokenizer) -> Result<Self, Error> {
        let template = Template::named(template)?;
        let mut control: Vec<u32> = tokenizer.bos().into_iter().chain(tokenizer.eos().iter().copied()).collect();
        for part in template.parts() {
            control.extend(control_token(template, &tokenizer, part)?);
        }
        let mut stop = tokenizer.eos().to_vec();
        for part in template.assistant.end {
            stop.extend(control_token(template, &tokenizer, part)?);
        }
        Ok(Self::of(Form::Named(template), tokenizer, control, stop))
    }

    /// By the model's own template, a text in Jinja. `names` are the special tokens by the names that templates have for
    /// them, such as `bos_token`.
    ///
    /// # Errors
    /// When it is no template that can be used.
    pub fn own(source: &str, names: BTreeMap<String, String>, tokenizer: Tokenizer) -> Result<Self, Error> {
        let jinja = JinjaTemplate::new(source, names).map_err(|fault| Error::OwnTemplate { fault })?;
        let template = OwnTemplate::new(jinja, tokenizer.inner(), Protected::Control);
        let control = tokenizer.bos().into_iter().chain(tokenizer.eos().iter().copied()).collect();
        let stop = tokenizer.eos().iter().copied().chain(template.end_of_turn()).collect();
        let form = Form::Own { source: source.into(), template: Arc::new(template) };
        Ok(Self::of(form, tokenizer, control, stop))
    }

    fn of(form: Form, tokenizer: Tokenizer, mut control: Vec<u32>, mut stop: Vec<u32>) -> Self {
        for ids in [&mut control, &mut stop] {
            ids.sort_unstable();
            ids.dedup();
        }
        Self { form, tokenizer, control, stop, bos: None, vocab_size: usize::MAX }
    }

    /// Begins each conversation with the tokenizer's BOS where the template does not.
    ///
    /// # Errors
    /// When the tokenizer names none.
    pub fn with_bos(mut self) -> Result<Self, Error> {
        self.bos = Some(self.tokenizer.bos().ok_or(Error::NoBosToAdd)?);
        Ok(self)
    }

    /// Whether it was asked to begin conversations with a BOS.
    pub fn adds_bos(&self) -> bool {
        self.bos.is_some()
    }

    /// For a model with so many rows of embeddings.
    ///
    /// # Errors
    /// When a token that the template or the end of answers needs has none.
    pub fn for_vocabulary(mut self, vocab_size: usize) -> Result<Self, Error> {
        self.vocab_size = vocab_size;
        let turns = [Role::User, Role::Assistant].map(|role| Turn::new(role, "a"));
        let written = self.conversation(&turns).unwrap_or_default();
        match self.outside(written.tokens.iter().map(|token| token.id)) {
            Some(id) => {
                let (template, token) = (self.template_name(), self.tokenizer.piece(id));
                Err(Error::NoEmbedding { template, token, id, vocab_size })
            }
            None => Ok(self),
        }
    }

    /// What the template is called: [`MODEL_TEMPLATE`] where it is the model's own.
    pub fn template_name(&self) -> &'static str {
        match &self.form {
            Form::Named(template) => template.name,
            Form::Own { .. } => MODEL_TEMPLATE,
        }
    }

    /// Names the template by what it writes: by its name, or by the hash of the model's own.
    pub fn template_identity(&self) -> String {
        match &self.form {
            Form::Named(template) => template.name.to_owned(),
            Form::Own { source, .. } => format!("{MODEL_TEMPLATE}:{}", hash::of_bytes(source.as_bytes())),
        }
    }

    /// The text by which a question takes the second of two prompts, where the template has two.
    pub fn second_prompt(&self) -> Option<&'static str> {
        match &self.form {
            Form::Named(template) => template.user_holding.as_ref().map(|(text, _)| *text),
            Form::Own { .. } => None,
        }
    }

    /// Whether prompts are learnt as well, whatever the recipe says.
    pub fn learns_all(&self) -> bool {
        match &self.form {
            Form::Named(template) => template.learns_all,
            Form::Own { .. } => false,
        }
    }

    /// What conversations are written by, in Jinja: the model's own template, or the named one as such; with its BOS where
    /// one is added. To be kept beside what is trained.
    pub fn chat_template(&self) -> String {
        match &self.form {
            Form::Named(template) => template.as_jinja(self.bos.is_some()),
            Form::Own { source, .. } if self.bos.is_some() && !self.begins_with_bos() => {
                format!("{{{{ bos_token }}}}{source}")
            }
            Form::Own { source, .. } => source.to_string(),
        }
    }

    /// Whether the template itself writes the tokenizer's BOS first.
    pub fn begins_with_bos(&self) -> bool {
        let prompt = self.bare_prompt(&[Turn::new(Role::User, "a")]).map(|prompt| prompt.tokens).unwrap_or_default();
        prompt.first().is_some_and(|first| self.tokenizer.bos() == Some(*first))
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tokens at which an answer is over, sorted.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// The first of these tokens that the model has no embedding for.
    pub fn outside(&self, ids: impl IntoIterator<Item = u32>) -> Option<u32> {
        ids.into_iter().find(|id| *id as usize >= self.vocab_size)
    }

    /// Rows of embeddings that the model has; `usize::MAX` where that is not known.
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The tokens of a whole conversation, as trained on.
    ///
    /// # Errors
    /// When a turn's text has no tokens, or only the tokens of a control mark.
    pub fn conversation(&self, turns: &[Turn]) -> Result<Conversation, Unusable> {
        let mut conversation = match &self.form {
            Form::Named(template) => {
                let mut writer = Writer::new(self, template);
                writer.turns(turns)?;
                writer.parts(template.last, true);
                Conversation { tokens: self.tokens(&writer.segments)?, remarks: Vec::new() }
            }
            Form::Own { template, .. } => {
                let written = template.conversation(turns)?;
                let token = |(id, part): (&u32, &AnswerPart)| Token {
                    id: *id,
                    is_answer: *part != AnswerPart::No,
                    is_withheld: *part == AnswerPart::Withheld,
                };
                let tokens = written.tokens.iter().zip(&written.parts).map(token).collect();
                Conversation { tokens, remarks: written.remarks }
            }
        };
        if let Some(bos) = self.missing_bos(conversation.tokens.first().map(|token| token.id)) {
            conversation.tokens.insert(0, Token { id: bos, is_answer: false, is_withheld: false });
        }
        Ok(conversation)
    }

    /// What the model is given so that it writes the assistant's next turn. Turns behind the last one of the user
    /// are left out.
    ///
    /// # Errors
    /// When no turn is the user's, or its text has no tokens.
    pub fn prompt(&self, turns: &[Turn]) -> Result<Prompt, Unusable> {
        let Some(last) = turns.iter().rposition(|t| t.role == Role::User) else {
            return Err(Unusable("no question: no turn is the user's".into()));
        };
        let mut prompt = self.bare_prompt(&turns[..=last])?;
        if let Some(bos) = self.missing_bos(prompt.tokens.first().copied()) {
            prompt.tokens.insert(0, bos);
            prompt.text.insert_str(0, &self.tokenizer.piece(bos));
        }
        Ok(prompt)
    }

    /// A prompt as the template writes it.
    fn bare_prompt(&self, turns: &[Turn]) -> Result<Prompt, Unusable> {
        Ok(match &self.form {
            Form::Named(template) => {
                let mut writer = Writer::new(self, template);
                writer.turns(turns)?;
                writer.parts(template.between, false);
                writer.parts(template.assistant.before, false);
                let tokens = self.tokens(&writer.segments)?.into_iter().map(|t| t.id).collect();
                let text = writer.segments.iter().map(|s| match &s.content {
                    Content::Text(text) => text.clone(),
                    Content::Control(id) => self.tokenizer.piece(*id),
                });
                Prompt { tokens, text: text.collect() }
            }
            Form::Own { template, .. } => {
                let written = template.prompt(turns, None)?;
                Prompt { tokens: written.tokens, text: written.text }
            }
        })
    }

    /// The BOS that is to be put before a conversation that begins with `first`.
    fn missing_bos(&self, first: Option<u32>) -> Option<u32> {
        self.bos.filter(|bos| first.is_some_and(|first| first != *bos))
    }

    fn tokens(&self, segments: &[Segment]) -> Result<Vec<Token>, Unusable> {
        let mut tokens = Vec::new();
        for Segment { content, is_answer, is_withheld } in segments {
            let ids = match content {
                Content::Control(id) => vec![*id],
                Content::Text(text) => self.plain(text)?,
            };
            tokens.extend(ids.into_iter().map(|id| Token { id, is_answer: *is_answer, is_withheld: *is_withheld }));
        }
        Ok(tokens)
    }

    /// The tokens of text that must not hold control tokens.
    fn plain(&self, text: &str) -> Result<Vec<u32>, Unusable> {
        let ids = self.tokenizer.encode(text)?;
        match ids.iter().find(|id| self.control.binary_search(id).is_ok()) {
            // A tokenizer can have a control mark as an ordinary word; learnt as text it would end or begin answers.
            Some(id) => Err(Unusable(format!("its text holds the control token `{}`", self.tokenizer.piece(*id)))),
            None => Ok(ids),
        }
    }
}

/// The token of a part, none for text.
fn control_token(template: &Template, tokenizer: &Tokenizer, part: &Part) -> Result<Option<u32>, Error> {
    match part {
        Part::Text(_) => Ok(None),
        Part::Token(token) => match tokenizer.id(token) {
            Some(id) => Ok(Some(id)),
            None => Err(Error::NoMarker { template: template.name, token }),
        },
        Part::Bos => tokenizer.bos().map(Some).ok_or(Error::NoBos { template: template.name }),
        Part::Eos => match tokenizer.eos().first() {
            Some(id) => Ok(Some(*id)),
            None => Err(Error::NoEos { template: template.name }),
        },
    }
}

/// Puts a conversation into segments.
struct Writer<'e> {
    encoder: &'e Encoder,
    template: &'static Template,
    segments: Vec<Segment>,
    /// Whether text that comes now is tokenized together with the text before it.
    joins: bool,
    /// Whether what comes now is of an answer that is not to be learnt.
    withheld: bool,
}

impl<'e> Writer<'e> {
    fn new(encoder: &'e Encoder, template: &'static Template) -> Self {
        Self { encoder, template, segments: Vec::new(), joins: false, withheld: false }
    }

    fn turns(&mut self, turns: &[Turn]) -> Result<(), Unusable> {
        let template = self.template;
        self.parts(template.first, false);
        if let Some(said) = template.default_system.filter(|_| turns.first().is_none_or(|t| t.role != Role::System)) {
            self.turn(&Turn::new(Role::System, said), said);
            self.parts(template.between, false);
        }
        // Said inside the turn that comes next.
        let mut system: Option<String> = None;
        for (index, turn) in turns.iter().enumerate() {
            let content = if template.trim { turn.content.trim() } else { &turn.content };
            if let (Role::System, System::InUser { before, after }) = (turn.role, &template.system) {
                if turns.get(index + 1).is_none_or(|next| next.role != Role::User) {
                    let name = template.name;
                    return Err(Unusable(format!(
                        "template `{name}` says the system's words in a user's turn; none follows"
                    )));
                }
                system = Some([before, content, after].concat());
                continue;
            }
            if index > 0 && !self.segments.is_empty() {
                self.parts(template.between, false);
            }
            match system.take() {
                Some(system) => self.turn(turn, &[&system, content].concat()),
                None => self.turn(turn, content),
            }
        }
        Ok(())
    }

    /// `content` is what is written of the turn.
    fn turn(&mut self, turn: &Turn, content: &str) {
        let Some(frame) = self.template.frame(turn.role, content) else { return };
        let is_answer = turn.role == Role::Assistant;
        self.parts(frame.before, false);
        self.joins &= !is_answer;
        self.withheld = is_answer && !turn.is_learnt;
        // Where the tokenizer puts a space before any text, that is the space which the template begins with.
        let start = if frame.start == " " && self.encoder.tokenizer.prepends_space() { "" } else { frame.start };
        self.text(start, is_answer);
        self.text(content, is_answer);
        self.parts(frame.end, is_answer);
        self.joins &= !is_answer;
        self.withheld = false;
        self.parts(frame.after, false);
        self.joins = false;
    }

    fn parts(&mut self, parts: &[Part], is_answer: bool) {
        for part in parts {
            match part {
                Part::Text(text) => self.text(text, is_answer),
                Part::Token(_) | Part::Bos | Part::Eos => self.control(part, is_answer),
            }
        }
    }

    fn control(&mut self, part: &Part, is_answer: bool) {
        let id = control_token(self.template, &self.encoder.tokenizer, part);
        let id = id.ok().flatten().expect("Encoder::new found a token for every part");
        self.segments.push(Segment { content: Content::Control(id), is_answer, is_withheld: self.withheld });
    }

    fn text(&mut self, text: &str, is_answer: bool) {
        if text.is_empty() {
            return;
        }
        match self.segments.last_mut() {
            Some(Segment { content: Content::Text(before), .. }) if self.joins => before.push_str(text),
            _ => {
                let (content, is_withheld) = (Content::Text(text.into()), self.withheld);
                self.segments.push(Segment { content, is_answer, is_withheld });
            }
        }
        self.joins = true;
    }
}
