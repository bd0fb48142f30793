//! Conversations as tokens by a model's own template, and which of the tokens are an answer.
//!
//! Where the template marks that itself, by `{% generation %}`, its marks count. Else an answer is what the template writes
//! behind the prompt that asks for it, up to the token that ends a turn: the conversation up to the question, rendered with
//! `add_generation_prompt`, must be the beginning of the whole, and the answer must stand in it as it would if it were the
//! last. Some templates write earlier answers otherwise, such as Qwen3's, which strips what was thought: those stand in the
//! text and are not learnt, since nobody would ever be asked for them so.

use std::ops::Range;

use tunebench_spec::{Role, Turn, escape};

use crate::error::Unusable;
use crate::jinja::added_tokens::AddedTokens;
use crate::jinja::template::{Asked, JinjaTemplate, Message, Rendered};

/// Said where a template takes no system message.
pub const SYSTEM_MERGED: &str = "system message put before the user's";

/// Said where an answer that is not the last is written otherwise than when it was.
pub const REWRITTEN: &str =
    "an earlier answer is not learnt: the model's template writes it otherwise once more is said";

/// Bytes of a prompt that are shown.
const SHOWN: usize = 60;

/// A model's own template with its tokenizer.
#[derive(Debug)]
pub struct OwnTemplate {
    jinja: JinjaTemplate,
    added: AddedTokens,
    /// Number and text of what it writes behind an answer.
    end_of_turn: Option<(u32, String)>,
}

/// What only the template may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protected {
    /// Special tokens, and what else begins and ends turns: of rows to learn from and questions, which may hold `<think>`.
    Control,
    /// All added tokens: of what strangers wrote, such as answers that are to be judged.
    Added,
}

/// Whether a token is part of an answer or of the end behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerPart {
    No,
    Learnt,
    /// Its row says that it is not to be learnt.
    Withheld,
}

/// A conversation as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub tokens: Vec<u32>,
    /// Of each token.
    pub parts: Vec<AnswerPart>,
    pub text: String,
    /// What of it is not as it was asked for.
    pub remarks: Vec<&'static str>,
}

impl OwnTemplate {
    /// Puts a template and the tokenizer of its model together.
    pub fn new(jinja: JinjaTemplate, inner: &tokenizers::Tokenizer, protected: Protected) -> Self {
        let all = AddedTokens::new(inner, |_, _| true);
        let end_of_turn = end_of_turn(&jinja, &all);
        let added = match protected {
            Protected::Added => all,
            Protected::Control => {
                let mut turn = around_a_question(&jinja, &all);
                turn.extend(end_of_turn.iter().map(|(id, _)| *id));
                AddedTokens::new(inner, |id, token| token.special || turn.contains(&id))
            }
        };
        Self { jinja, added, end_of_turn }
    }

    /// The template itself.
    pub fn jinja(&self) -> &JinjaTemplate {
        &self.jinja
    }

    /// What only it may write.
    pub fn added(&self) -> &AddedTokens {
        &self.added
    }

    /// The token that the template writes behind an answer, if it does.
    pub fn end_of_turn(&self) -> Option<u32> {
        self.end_of_turn.as_ref().map(|(id, _)| *id)
    }

    /// A whole conversation, as trained on.
    ///
    /// # Errors
    /// When the template does not take it, or no answer of it stands behind the prompt that asks for it.
    pub fn conversation(&self, turns: &[Turn]) -> Result<Written, Unusable> {
        let mut conversation = Conversation::new(self, turns, Asked::default())?;
        let answers = conversation.answers()?;
        conversation.written(&answers)
    }

    /// The prompt for the answer to the last turn.
    ///
    /// # Errors
    /// When the template does not take the conversation.
    pub fn prompt(&self, turns: &[Turn], reasoning_effort: Option<&str>) -> Result<Written, Unusable> {
        let asked = Asked { add_generation_prompt: true, reasoning_effort };
        let mut conversation = Conversation::new(self, turns, asked)?;
        let answers = conversation.answers().unwrap_or_default();
        let mut written = conversation.written(&answers)?;
        written.remarks.retain(|remark| *remark != REWRITTEN);
        Ok(written)
    }
}

/// An answer in the text of a conversation.
struct Answer {
    /// In bytes.
    range: Range<usize>,
    part: AnswerPart,
}

/// A conversation that is being written.
struct Conversation<'o> {
    own: &'o OwnTemplate,
    turns: Vec<Turn>,
    mark: char,
    /// Whether its messages need marks.
    is_marked: bool,
    asked: Asked<'o>,
    whole: Rendered,
    remarks: Vec<&'static str>,
}

impl<'o> Conversation<'o> {
    fn new(own: &'o OwnTemplate, turns: &[Turn], asked: Asked<'o>) -> Result<Self, Unusable> {
        let mark = mark_beside(turns.iter().map(|turn| turn.content.as_str()))?;
        let is_marked = turns.iter().any(|turn| own.added.is_dangerous(&turn.content));
        let whole = Rendered { text: String::new(), generation: Vec::new() };
        let mut this = Self { own, turns: turns.to_vec(), mark, is_marked, asked, whole, remarks: Vec::new() };
        match (this.render(&this.turns, asked), turns) {
            (Ok(whole), _) => this.whole = whole,
            // Models that were tuned without system messages refuse them.
            (Err(fault), [Turn { role: Role::System, content: system, .. }, user, rest @ ..])
                if user.role == Role::User =>
            {
                let mut joined = user.clone();
                joined.content = format!("{system}\n\n{}", user.content);
                this.turns = [joined].into_iter().chain(rest.iter().cloned()).collect();
                this.whole = this.render(&this.turns, asked).map_err(|_| refused(&fault))?;
                this.remarks.push(SYSTEM_MERGED);
            }
            (Err(fault), _) => return Err(refused(&fault)),
        }
        Ok(this)
    }

    fn render(&self, turns: &[Turn], asked: Asked<'_>) -> Result<Rendered, String> {
        let message = |turn: &Turn| {
            let content = match self.is_marked {
                true => self.own.added.marked(&turn.content, self.mark),
                false => turn.content.clone(),
            };
            Message { role: name(turn.role), content }
        };
        self.own.jinja.render(&turns.iter().map(message).collect::<Vec<_>>(), asked)
    }

    /// The answers that can be learnt.
    fn answers(&mut self) -> Result<Vec<Answer>, Unusable> {
        let is_answer = |i: &usize| self.turns[*i].role == Role::Assistant;
        let places: Vec<usize> = (0..self.turns.len()).filter(is_answer).collect();
        let part = |place: &usize| if self.turns[*place].is_learnt { AnswerPart::Learnt } else { AnswerPart::Withheld };
        let found: Vec<AnswerPart> = places.iter().map(part).collect();
        if self.own.jinja.marks_generation() {
            let ranges = self.whole.generation.iter().cloned();
            if found.contains(&AnswerPart::Withheld) && ranges.len() != places.len() {
                return Err(Unusable(
                    "the template's `{% generation %}` marks do not say which answer is which".into(),
                ));
            }
            let parts = found.into_iter().chain(std::iter::repeat(AnswerPart::Learnt));
            return Ok(ranges.zip(parts).map(|(range, part)| Answer { range, part }).collect());
        }
        let mut answers = Vec::new();
        let mut fault = None;
        for (place, part) in places.into_iter().zip(found) {
            match self.answer(place)? {
                Ok(range) => answers.push(Answer { range, part }),
                Err(_) if part == AnswerPart::Withheld => {}
                Err(why) => {
                    self.remarks.push(REWRITTEN);
                    fault = Some(why);
                }
            }
        }
        match fault {
            Some(why) if answers.is_empty() => Err(why),
            _ => Ok(answers),
        }
    }

    /// Where the answer that is turn number `place` stands, or why nobody would be asked for it as it does.
    fn answer(&self, place: usize) -> Result<Result<Range<usize>, Unusable>, Unusable> {
        let whole = &self.whole.text;
        let asked = Asked { add_generation_prompt: true, ..self.asked };
        let prompt = self.render(&self.turns[..place], asked).map_err(|fault| refused(&fault))?.text;
        let is_last = place + 1 == self.turns.len() && !self.asked.add_generation_prompt;
        let alone = match is_last {
            true => whole.clone(),
            false => {
                let asked = Asked { add_generation_prompt: false, ..self.asked };
                self.render(&self.turns[..=place], asked).map_err(|fault| refused(&fault))?.text
            }
        };
        let Some(rest) = alone.strip_prefix(prompt.as_str()) else { return Ok(Err(self.announced(&prompt, &alone))) };
        let end = prompt.len() + self.end(rest);
        match whole.get(..end) == alone.get(..end) {
            true => Ok(Ok(prompt.len()..end)),
            false => Ok(Err(self.announced(&prompt, whole))),
        }
    }

    /// Where an answer ends in what stands behind its prompt: with the token that ends a turn, else with the last letter.
    fn end(&self, rest: &str) -> usize {
        let token = self.own.end_of_turn.as_ref().and_then(|(_, text)| Some(rest.find(text)? + text.len()));
        token.unwrap_or_else(|| rest.trim_end().len())
    }

    fn announced(&self, prompt: &str, whole: &str) -> Unusable {
        let same = prompt.char_indices().zip(whole.chars()).find(|((_, a), b)| a != b).map(|((at, _), _)| at);
        let at = same.unwrap_or(prompt.len().min(whole.len()));
        let shown = |text: &str| -> String {
            let text: String = text[at..].chars().filter(|c| *c != self.mark).take(SHOWN).collect();
            escape::line(&text)
        };
        // Quoting the row would make every row's reason another.
        let asked = shown(prompt);
        let asked = if asked.is_empty() { "nothing more".to_owned() } else { format!("`{asked}`") };
        Unusable(format!("the model's template asks for an answer by {asked} and writes a given one otherwise"))
    }

    fn written(&self, answers: &[Answer]) -> Result<Written, Unusable> {
        let cuts: Vec<usize> = answers.iter().flat_map(|answer| [answer.range.start, answer.range.end]).collect();
        let part = |cuts_before: usize| match cuts_before % 2 {
            1 => answers[cuts_before / 2].part,
            _ => AnswerPart::No,
        };
        let found = self.own.added.encode(&self.whole.text, self.mark, &cuts).map_err(Unusable)?;
        Ok(Written {
            tokens: found.iter().map(|token| token.id).collect(),
            parts: found.iter().map(|token| part(token.cuts_before)).collect(),
            text: self.whole.text.chars().filter(|c| *c != self.mark).collect(),
            remarks: self.remarks.clone(),
        })
    }
}

fn refused(fault: &str) -> Unusable {
    Unusable(format!("the model's chat template does not take these messages: {fault}"))
}

fn name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
    }
}

/// A character of the private planes that stands in none of the texts.
fn mark_beside<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> Result<char, Unusable> {
    let is_free = |mark: &char| !texts.clone().any(|text| text.contains(*mark));
    let free = ('\u{f0000}'..='\u{ffffd}').find(is_free);
    free.ok_or_else(|| Unusable("the messages hold every private character".to_owned()))
}

/// A text that no template holds.
const PROBE: &str = "\u{f0000}";

fn message(role: Role, content: &str) -> Message {
    Message { role: name(role), content: content.to_owned() }
}

/// The token that the template writes behind an answer, if it does.
fn end_of_turn(jinja: &JinjaTemplate, added: &AddedTokens) -> Option<(u32, String)> {
    let messages = [message(Role::User, "."), message(Role::Assistant, PROBE)];
    let text = jinja.render(&messages, Asked::default()).ok()?.text;
    added.leading(text.rsplit_once(PROBE)?.1).map(|(id, text)| (id, text.to_owned()))
}

/// The added tokens that the template writes around a question.
fn around_a_question(jinja: &JinjaTemplate, added: &AddedTokens) -> Vec<u32> {
    let text = jinja.render(&[message(Role::User, PROBE)], Asked::default()).map(|rendered| rendered.text);
    added.within(&text.unwrap_or_default())
}
