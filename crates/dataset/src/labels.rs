//! What exactly is learnt from one example: each token's text, whether it is a label, and what looks wrong.

use std::fmt;

use serde::Serialize;
use tunebench_spec::{Example, Turn, escape};

use crate::encoder::Encoder;
use crate::error::Unusable;
use crate::text_check::{self, Outside};
use crate::tokenize::{Made, Settings, Tokenized, learns_end, make_any};

/// One example, token by token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelDump {
    /// The example's id.
    pub id: String,
    pub tokens: Vec<LabelledToken>,
    pub warnings: Vec<Warning>,
}

/// One token as trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelledToken {
    pub id: u32,
    /// As the vocabulary spells it.
    pub piece: String,
    /// What it adds to the text; empty within a character of several tokens.
    pub text: String,
    pub is_label: bool,
}

/// Tokens that make a stretch of text together: one of them, or those of a character that is split over several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelGroup {
    pub ids: Vec<u32>,
    /// Never empty where something is shown: bytes that make no character, because the rest of it is cut off, stand as
    /// one `�`.
    pub text: String,
    /// Whether all of the group are labels.
    pub is_label: bool,
}

impl LabelDump {
    /// The tokens as people read them: those of one character in one group. A character of which only some tokens are
    /// learnt, as of the very first of a text, is in a group of each kind, and stands in the latter.
    pub fn groups(&self) -> Vec<LabelGroup> {
        let mut groups: Vec<LabelGroup> = Vec::new();
        let mut is_open = false;
        for token in &self.tokens {
            match groups.last_mut().filter(|last| is_open && last.is_label == token.is_label) {
                Some(last) => {
                    last.ids.push(token.id);
                    last.text.push_str(&token.text);
                }
                None => {
                    let LabelledToken { id, text, is_label, .. } = token;
                    groups.push(LabelGroup { ids: vec![*id], text: text.clone(), is_label: *is_label });
                }
            }
            is_open = token.text.is_empty();
        }
        if let Some(last) = groups.last_mut().filter(|last| last.text.is_empty()) {
            last.text.push(char::REPLACEMENT_CHARACTER);
        }
        groups
    }
}

/// Something that usually means a wrong template, tokenizer or length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    DoubleBos,
    /// The tokenizer of the model begins a text with a token that the template does not write.
    NoBos {
        token: String,
    },
    /// No label is a token at which generation stops.
    NoEos,
    FullyMasked,
    Truncated {
        lost_tokens: usize,
    },
    /// The prompt given for an answer is not how training begins; they part at this token (from 0).
    PromptDiffers {
        at: usize,
    },
    /// What the tokens say is not what the row says.
    Changed {
        what: &'static str,
    },
    /// The model cannot read a token.
    NoEmbedding {
        of: Outside,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DoubleBos => {
                f.write_str("two beginning-of-sequence tokens; the template and the tokenizer add one each")
            }
            Self::NoBos { token } => write!(
                f,
                "no beginning-of-sequence token, which the model's tokenizer puts before a text (`{}`); `add_bos_token = true` puts it",
                escape::line(token)
            ),
            Self::Changed { what } => f.write_str(what),
            Self::NoEmbedding { of } => write!(f, "{of}"),
            Self::NoEos => f.write_str("no learnt token ends the answer; the model will not learn to stop"),
            Self::FullyMasked => f.write_str("no token is learnt; training skips this example"),
            Self::Truncated { lost_tokens } => write!(f, "the last {lost_tokens} tokens are cut off by max_length"),
            Self::PromptDiffers { at } => write!(f, "training and answering begin differently from token {at} on"),
        }
    }
}

/// Shows what is learnt from an example, also when that is nothing.
///
/// # Errors
/// When its text has no tokens at all.
pub fn dump(encoder: &Encoder, settings: Settings, example: &Example) -> Result<LabelDump, Unusable> {
    let Made { tokenized, lost: lost_tokens, remarks } = make_any(encoder, settings, example)?;
    let mut warnings = inspect(encoder, &example.turns, &tokenized);
    warnings.extend(remarks.into_iter().map(|what| Warning::Changed { what }));
    warnings.extend(text_check::outside(encoder, &example.id, &tokenized.tokens).map(|of| Warning::NoEmbedding { of }));
    if lost_tokens > 0 {
        warnings.push(Warning::Truncated { lost_tokens });
    }
    let texts = encoder.tokenizer().texts(&tokenized.tokens);
    let tokens = tokenized.tokens.iter().zip(texts).zip(&tokenized.is_label).map(|((id, text), is_label)| {
        LabelledToken { id: *id, piece: encoder.tokenizer().piece(*id), text, is_label: *is_label }
    });
    Ok(LabelDump { id: example.id.clone(), tokens: tokens.collect(), warnings })
}

/// What looks wrong with tokens, from wherever they come, as training data for these turns.
pub fn inspect(encoder: &Encoder, turns: &[Turn], tokenized: &Tokenized) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let tokens = &tokenized.tokens;
    if let (Some(bos), [first, second, ..]) = (encoder.tokenizer().bos(), &tokens[..])
        && [first, second] == [&bos, &bos]
    {
        warnings.push(Warning::DoubleBos);
    }
    warnings.extend(missing_bos(encoder, tokens).map(|token| Warning::NoBos { token }));
    if tokenized.n_labels() == 0 {
        warnings.push(Warning::FullyMasked);
    } else if !learns_end(encoder, tokenized) {
        warnings.push(Warning::NoEos);
    }
    // Without a question there is no prompt to compare with.
    if let Ok(prompt) = encoder.prompt(turns)
        && let Some(at) = prompt.tokens.iter().zip(tokens).position(|(a, b)| a != b)
    {
        warnings.push(Warning::PromptDiffers { at });
    }
    warnings
}

/// The BOS that the tokenizer would put before a text and these tokens do not begin with.
fn missing_bos(encoder: &Encoder, tokens: &[u32]) -> Option<String> {
    let tokenizer = encoder.tokenizer();
    let bos = tokenizer.bos().filter(|bos| tokenizer.prepends_bos() && tokens.first() != Some(bos))?;
    Some(tokenizer.piece(bos))
}
