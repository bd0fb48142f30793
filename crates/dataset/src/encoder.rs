//! Conversations as tokens, by a template and a tokenizer.
//!
//! Each turn is tokenized on its own, and an answer apart from the words that announce it. So a prompt's tokens are
//! exactly the beginning of the tokens trained on, and no tokenizer can merge the end of one with the start of the
//! other. Text from the data never becomes a control token; only the template's markers do.

use tunebench_spec::{Role, Turn};

use crate::error::{Error, Unusable};
use crate::template::{Part, Template};
use crate::tokenizer::Tokenizer;

/// A template together with a tokenizer that has all its control tokens.
#[derive(Clone, Debug)]
pub struct Encoder {
    template: &'static Template,
    tokenizer: Tokenizer,
    /// Tokens that only the template may write.
    control: Vec<u32>,
    /// Tokens that end an answer.
    stop: Vec<u32>,
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
    /// # Errors
    /// When there is no such template, or the tokenizer lacks a control token that it needs.
    pub fn new(template: &str, tokenizer: Tokenizer) -> Result<Self, Error> {
        let template = Template::named(template)?;
        let mut control: Vec<u32> = tokenizer.bos().into_iter().chain(tokenizer.eos().iter().copied()).collect();
        for part in template.parts() {
            control.extend(control_token(template, &tokenizer, part)?);
        }
        let mut stop = tokenizer.eos().to_vec();
        for part in template.frame(Role::Assistant).end {
            stop.extend(control_token(template, &tokenizer, part)?);
        }
        for ids in [&mut control, &mut stop] {
            ids.sort_unstable();
            ids.dedup();
        }
        Ok(Self { template, tokenizer, control, stop })
    }

    pub fn template(&self) -> &'static Template {
        self.template
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tokens at which an answer is over, sorted.
    pub fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }

    /// The tokens of a whole conversation, as trained on.
    ///
    /// # Errors
    /// When a turn's text has no tokens, or only the tokens of a control mark.
    pub fn conversation(&self, turns: &[Turn]) -> Result<Vec<Token>, Unusable> {
        let mut writer = Writer::new(self);
        writer.turns(turns);
        writer.parts(self.template.last, true);
        self.tokens(&writer.segments)
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
        let mut writer = Writer::new(self);
        writer.turns(&turns[..=last]);
        writer.parts(self.template.between, false);
        writer.parts(self.template.frame(Role::Assistant).before, false);
        let tokens = self.tokens(&writer.segments)?.into_iter().map(|t| t.id).collect();
        let text = writer.segments.iter().map(|s| match &s.content {
            Content::Text(text) => text.clone(),
            Content::Control(id) => self.tokenizer.piece(*id),
        });
        Ok(Prompt { tokens, text: text.collect() })
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
        Part::Eos => match tokenizer.eos().first() {
            Some(id) => Ok(Some(*id)),
            None => Err(Error::NoEos { template: template.name }),
        },
    }
}

/// Puts a conversation into segments.
struct Writer<'e> {
    encoder: &'e Encoder,
    segments: Vec<Segment>,
    /// Whether text that comes now is tokenized together with the text before it.
    joins: bool,
    /// Whether what comes now is of an answer that is not to be learnt.
    withheld: bool,
}

impl<'e> Writer<'e> {
    fn new(encoder: &'e Encoder) -> Self {
        Self { encoder, segments: Vec::new(), joins: false, withheld: false }
    }

    fn turns(&mut self, turns: &[Turn]) {
        let template = self.encoder.template;
        self.parts(template.first, false);
        for (index, turn) in turns.iter().enumerate() {
            let frame = template.frame(turn.role);
            let is_answer = turn.role == Role::Assistant;
            if index > 0 {
                self.parts(template.between, false);
            }
            self.parts(frame.before, false);
            self.joins &= !is_answer;
            self.withheld = is_answer && !turn.is_learnt;
            self.text(if template.trim { turn.content.trim() } else { &turn.content }, is_answer);
            self.parts(frame.end, is_answer);
            self.joins &= !is_answer;
            self.withheld = false;
            self.parts(frame.after, false);
            self.joins = false;
        }
    }

    fn parts(&mut self, parts: &[Part], is_answer: bool) {
        for part in parts {
            match part {
                Part::Text(text) => self.text(text, is_answer),
                Part::Token(_) | Part::Eos => self.control(part, is_answer),
            }
        }
    }

    fn control(&mut self, part: &Part, is_answer: bool) {
        let id = control_token(self.encoder.template, &self.encoder.tokenizer, part);
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
