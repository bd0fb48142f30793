//! What becomes of the rows' text on its way into tokens and into the model: what the vocabulary does not know, characters
//! that are lost, and tokens that the model has no embedding for.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use tunebench_spec::{Example, Role, escape};

use crate::encoder::Encoder;
use crate::skips::Skips;

/// Rows that are named of each finding.
const NAMED: usize = 3;

/// Characters of a text that are shown.
const SHOWN: usize = 40;

/// Rows whose text is read back from its tokens: each of the first, then one in so many.
const COMPARED_FIRST: u64 = 1000;
const COMPARED_EVERY: u64 = 100;

/// Kinds of lost characters that are kept apart.
const MAX_KINDS: usize = 1000;

/// The share of rows above which unknown or lost text is more than an oddity.
pub const LOUD_SHARE: f64 = 0.01;

/// What was found in the examples given so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextCheck {
    /// Examples looked at.
    pub rows: u64,
    /// Examples with text that the vocabulary has no token for, and how many tokens stand for it.
    pub unknown_rows: u64,
    pub unknown_tokens: u64,
    /// The first of them, and the text.
    pub unknown: Vec<Found>,
    /// Examples whose text was read back from its tokens: the first thousand, then one in a hundred.
    pub compared_rows: u64,
    /// Of these, those in which characters are lost or become others.
    pub lossy_rows: u64,
    pub lossy: Vec<Found>,
    /// The characters, and how often.
    pub lost: BTreeMap<char, u64>,
    /// Examples with a token that the model has no embedding for.
    pub outside_rows: u64,
    pub outside: Option<Outside>,
    /// Examples whose question takes the second of the template's two prompts; none where it has one.
    pub second_prompts: Option<u64>,
    /// Examples that do not stand in their tokens as the row has them, by what was done.
    pub remarks: Skips,
}

/// Text of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// The example's id.
    pub place: String,
    pub text: String,
}

/// A token that the model has no embedding for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outside {
    /// Where it was found: the example's id, or what the template writes.
    pub place: String,
    pub id: u32,
    /// As the vocabulary spells it.
    pub piece: String,
    /// Rows of embeddings that there are.
    pub vocab_size: usize,
}

impl fmt::Display for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, id, piece, vocab_size } = self;
        write!(
            f,
            "{place} has the token {id} `{}`, and the model has embeddings for {vocab_size} tokens only; the tokenizer belongs to \
             another model, or the model's embeddings were not resized",
            escape::line(piece)
        )
    }
}

/// The first of these tokens that the model has no embedding for.
pub fn outside(encoder: &Encoder, place: &str, tokens: &[u32]) -> Option<Outside> {
    let id = encoder.outside(tokens.iter().copied())?;
    let piece = encoder.tokenizer().piece(id);
    Some(Outside { place: place.to_owned(), id, piece, vocab_size: encoder.vocab_size() })
}

impl TextCheck {
    /// Looks at an example and the tokens that it became.
    pub fn add(&mut self, encoder: &Encoder, example: &Example, tokens: &[u32], remarks: &[&'static str]) {
        self.rows += 1;
        for remark in remarks {
            self.remarks.add(&example.id, remark);
        }
        if let Some(outside) = outside(encoder, &example.id, tokens) {
            self.outside_rows += 1;
            self.outside.get_or_insert(outside);
        }
        if let Some(text) = encoder.second_prompt() {
            let holds = example.turns.iter().any(|turn| turn.role == Role::User && turn.content.contains(text));
            *self.second_prompts.get_or_insert(0) += u64::from(holds);
        }
        let unknown = encoder.tokenizer().unknown();
        let count = tokens.iter().filter(|id| Some(**id) == unknown).count() as u64;
        if count > 0 {
            self.unknown_rows += 1;
            self.unknown_tokens += count;
            if self.unknown.len() < NAMED {
                self.unknown.push(found(example, &unknown_text(encoder, example)));
            }
        }
        if self.rows <= COMPARED_FIRST || self.rows.is_multiple_of(COMPARED_EVERY) {
            self.compare(encoder, example);
        }
    }

    fn compare(&mut self, encoder: &Encoder, example: &Example) {
        self.compared_rows += 1;
        let mut lost = String::new();
        for turn in &example.turns {
            lost.extend(lost_characters(encoder, &turn.content));
        }
        if lost.is_empty() {
            return;
        }
        self.lossy_rows += 1;
        for c in lost.chars() {
            if self.lost.len() < MAX_KINDS || self.lost.contains_key(&c) {
                *self.lost.entry(c).or_default() += 1;
            }
        }
        if self.lossy.len() < NAMED {
            self.lossy.push(found(example, &lost));
        }
    }

    /// Whether so much is unknown or lost that it should be seen to before anything is trained.
    pub fn is_loud(&self) -> bool {
        let is_above = |part: u64, of: u64| part as f64 > LOUD_SHARE * of as f64;
        is_above(self.unknown_rows, self.rows) || is_above(self.lossy_rows, self.compared_rows)
    }

    /// What is to be said, a sentence each; nothing where all is well.
    pub fn sentences(&self) -> Vec<String> {
        let mut all = Vec::new();
        if let Some(outside) = &self.outside {
            all.push(format!("{} examples cannot be trained on this model: first {outside}", self.outside_rows));
        }
        if self.unknown_rows > 0 {
            all.push(format!(
                "{} of {} examples ({:.1} %) have text that the tokenizer does not know, {} unknown tokens in all: {}",
                self.unknown_rows,
                self.rows,
                percent(self.unknown_rows, self.rows),
                self.unknown_tokens,
                shown(&self.unknown)
            ));
        }
        if self.lossy_rows > 0 {
            let mut most: Vec<(&char, &u64)> = self.lost.iter().collect();
            most.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
            let most: Vec<String> =
                most.into_iter().take(10).map(|(c, n)| format!("`{}` ({n})", escape::line(&c.to_string()))).collect();
            all.push(format!(
                "{} of {} examples read back from their tokens ({:.1} %) lose characters: {}; first {}",
                self.lossy_rows,
                self.compared_rows,
                percent(self.lossy_rows, self.compared_rows),
                most.join(", "),
                shown(&self.lossy)
            ));
        }
        if self.second_prompts == Some(0) {
            all.push(
                "no example has an input as Alpaca's second prompt has it; if rows have one, say `separator = \"\\n\\n### Input:\\n\"` \
                 in the options of the dataset"
                    .to_owned(),
            );
        }
        for (remark, found) in &self.remarks.reasons {
            all.push(format!("{} examples: {remark} (first {})", found.count, found.first_place));
        }
        all
    }
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

fn found(example: &Example, text: &str) -> Found {
    Found { place: example.id.clone(), text: text.chars().take(SHOWN).collect() }
}

fn shown(found: &[Found]) -> String {
    let all = found.iter().map(|Found { place, text }| format!("{place} `{}`", escape::line(text)));
    all.collect::<Vec<_>>().join(", ")
}

/// What of an example's text the vocabulary has no token for.
fn unknown_text(encoder: &Encoder, example: &Example) -> String {
    let unknown = encoder.tokenizer().unknown();
    let mut out = String::new();
    for turn in &example.turns {
        let Ok(encoding) = encoder.tokenizer().inner().encode(turn.content.as_str(), false) else { continue };
        let ids = encoding.get_ids().iter().zip(encoding.get_offsets());
        for (_, (from, to)) in ids.filter(|(id, _)| Some(**id) == unknown) {
            out.push_str(turn.content.get(*from..*to).unwrap_or_default());
        }
    }
    out
}

/// The characters of a text that are not there when it is read back from its tokens.
fn lost_characters(encoder: &Encoder, text: &str) -> Vec<char> {
    let tokenizer = encoder.tokenizer();
    let read = tokenizer.encode(text).ok().and_then(|ids| tokenizer.decode(&ids).ok());
    let Some(read) = read.filter(|read| read != text) else { return Vec::new() };
    let mut left: BTreeMap<char, usize> = BTreeMap::new();
    for c in read.chars() {
        *left.entry(c).or_default() += 1;
    }
    let mut is_lost = |c: &char| match left.get_mut(c) {
        Some(count) if *count > 0 => {
            *count -= 1;
            false
        }
        _ => true,
    };
    text.chars().filter(|c| is_lost(c)).collect()
}
