//! A mark from the probabilities of the tokens that could have been it: the expected mark instead of one that was drawn.

use std::collections::BTreeMap;
use std::fmt;

use tunebench_plugin_api::{ChatReply, TokenLogprob};

use crate::text::fold;

/// The alternatives that a request asks for: the most that servers give.
pub const TOP: u32 = 20;
/// The least probability that the tokens which are marks must have together. Below it the reply is about something else.
pub const LEAST_MASS: f64 = 0.8;

/// A mark by its probabilities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// The expected value of the marks, their probabilities being divided by [`Expected::mass`].
    pub mean: f64,
    /// Their standard deviation.
    pub spread: f64,
    /// Their probability together.
    pub mass: f64,
}

/// Why there is no such mark.
#[derive(Clone, Debug, PartialEq)]
pub enum NoMark {
    /// The reply has no log-probabilities at all: its server does not give them.
    NoLogprobs,
    /// The reply is not one of the marks and no more.
    Other(String),
    /// Less than [`LEAST_MASS`] of the probability is on marks.
    Mass(f64),
    /// No probabilities: above 1, together or alone, or no numbers.
    Impossible,
}

impl fmt::Display for NoMark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLogprobs => f.write_str(
                "the reply has no log-probabilities; ask a server that gives them, or set scoring = \"sampled\"",
            ),
            Self::Other(text) => write!(f, "the reply is not one mark alone: `{text}`"),
            Self::Mass(mass) => {
                write!(f, "only {mass:.3} of the probability is on marks, and at least {LEAST_MASS} must be")
            }
            Self::Impossible => f.write_str("the reply's log-probabilities are none"),
        }
    }
}

/// The expected value of the token that a reply consists of; `value` says what a token is worth, spaces about it left
/// out, letters in lower case, digits plain, or that it is no mark.
///
/// # Errors
/// [`NoMark`] says what stands in the way.
pub fn expected(reply: &ChatReply, value: impl Fn(&str) -> Option<f64>) -> Result<Expected, NoMark> {
    if reply.logprobs.is_empty() {
        return Err(NoMark::NoLogprobs);
    }
    // Spaces, and signs such as `<|end|>` that some servers show.
    let is_sign = |text: &str| text.starts_with('<') && text.ends_with('>');
    let spoken = |token: &&TokenLogprob| !plain(&token.token).is_empty() && !is_sign(token.token.trim());
    let other = || NoMark::Other(plain(&reply.content).chars().take(24).collect());
    let mut tokens = reply.logprobs.iter().filter(spoken);
    let token = tokens.next().ok_or_else(other)?;
    // `1` may be the beginning of `10`, and `A` of a sentence.
    let rest: String = tokens.map(|token| token.token.as_str()).collect();
    if !matches!(plain(&rest).as_str(), "" | "." | "。") {
        return Err(other());
    }
    // Each token once: the one that was drawn may be among its alternatives.
    let mut logprobs: BTreeMap<&str, f64> = BTreeMap::from([(token.token.as_str(), token.logprob)]);
    logprobs.extend(token.top_logprobs.iter().map(|top| (top.token.as_str(), top.logprob)));
    let probabilities: Vec<(f64, f64)> = logprobs
        .iter()
        .filter_map(|(token, logprob)| value(&plain(token)).map(|value| (value, logprob.exp())))
        .collect();
    // Servers round what they tell.
    const ROUNDING: f64 = 0.01;
    let mass: f64 = probabilities.iter().map(|(_, p)| p).sum();
    let total: f64 = logprobs.values().map(|logprob| logprob.exp()).sum();
    if !total.is_finite() || total > 1.0 + ROUNDING {
        return Err(NoMark::Impossible);
    }
    if mass < LEAST_MASS {
        return Err(NoMark::Mass(mass));
    }
    let mean = probabilities.iter().map(|(value, p)| value * p).sum::<f64>() / mass;
    let variance = probabilities.iter().map(|(value, p)| p * (value - mean).powi(2)).sum::<f64>() / mass;
    Ok(Expected { mean, spread: variance.sqrt(), mass: mass.min(1.0) })
}

/// A token as it is compared: plain signs, lower case, no space about it, nor a tokenizer's sign for one.
fn plain(token: &str) -> String {
    let folded: String = fold(token).into_iter().collect();
    folded.trim_matches(|c: char| c.is_whitespace() || matches!(c, '▁' | 'Ġ' | 'Ċ')).to_owned()
}
