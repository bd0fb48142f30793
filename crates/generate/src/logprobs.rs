//! How likely a token was, by the softmax over the whole vocabulary.

/// The log-probability of a token of an answer, and of those that could have stood in its place. Natural logarithms, in f64
/// of the model's scores as they are: neither temperature nor a constraint changes them, as with OpenAI.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    pub logprob: f64,
    /// The likeliest tokens, the likeliest first, of equal ones the lower number. Those of no probability are left out.
    pub top: Vec<(u32, f64)>,
}

/// What a row's scores say of the next token.
pub(crate) struct Distribution {
    /// log(sum(exp(score))).
    log_total: f64,
    top: Vec<(u32, f64)>,
}

impl Distribution {
    /// Of scores `[v]`, with the `top` likeliest tokens. Where a score is not a number, nothing here is.
    pub(crate) fn of(scores: &[f32], top: usize) -> Self {
        let highest = f64::from(scores.iter().fold(f32::NEG_INFINITY, |best, score| best.max(*score)));
        let total: f64 = scores.iter().map(|score| (f64::from(*score) - highest).exp()).sum();
        let log_total = highest + total.ln();
        let named = likeliest(scores, top).into_iter();
        Self { log_total, top: named.map(|(token, score)| (token, (f64::from(score) - log_total).min(0.0))).collect() }
    }

    /// With the token that was chosen, by its score.
    pub(crate) fn of_token(self, score: f32) -> TokenLogprobs {
        TokenLogprobs { logprob: (f64::from(score) - self.log_total).min(0.0), top: self.top }
    }
}

/// The `top` highest scores above negative infinity with their tokens, in order. In one pass: most scores are below the
/// least that is kept.
fn likeliest(scores: &[f32], top: usize) -> Vec<(u32, f32)> {
    let mut kept: Vec<(u32, f32)> = Vec::new();
    if top == 0 {
        return kept;
    }
    for (token, &score) in (0..).zip(scores) {
        let least = if kept.len() < top { f32::NEG_INFINITY } else { kept[top - 1].1 };
        if score > least {
            let place = kept.partition_point(|(_, other)| *other >= score);
            kept.insert(place, (token, score));
            kept.truncate(top);
        }
    }
    kept
}
