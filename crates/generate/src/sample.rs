//! Choosing the next token from its scores.

use tunebench_spec::random::Stream;

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The highest score; of equal ones the first.
    Greedy,
    /// At random, by softmax(score / temperature), among the likeliest tokens that together have `top_p` of it (nucleus
    /// sampling, Holtzman et al. 2020); 1 is all.
    Temperature { temperature: f64, top_p: f64, seed: u64 },
}

impl Sampling {
    /// As a study writes it: 0 is greedy.
    pub fn new(temperature: f64, seed: u64) -> Self {
        if temperature == 0.0 { Self::Greedy } else { Self::Temperature { temperature, top_p: 1.0, seed } }
    }

    /// The same within a nucleus.
    pub fn within(self, top_p: f64) -> Self {
        match self {
            Self::Greedy => self,
            Self::Temperature { temperature, seed, .. } => Self::Temperature { temperature, top_p, seed },
        }
    }

    /// Token number `position` of the answer with this key; `None` when a score is not a number.
    pub fn choose(&self, scores: &[f32], key: u64, position: usize) -> Option<u32> {
        if scores.is_empty() || scores.iter().any(|s| s.is_nan() || *s == f32::INFINITY) {
            return None;
        }
        // In two passes, each of which the compiler makes vector instructions of.
        let highest = scores.iter().fold(f32::NEG_INFINITY, |best, score| if *score > best { *score } else { best });
        let best = scores.iter().position(|score| *score == highest).unwrap_or(0);
        let Self::Temperature { temperature, top_p, seed } = *self else { return u32::try_from(best).ok() };
        let highest = f64::from(scores[best]);
        let weight = |score: f32| ((f64::from(score) - highest) / temperature).exp();
        let uniform = Stream::new(seed, &[key, position as u64]).uniform();
        let drawn = if top_p < 1.0 {
            let nucleus = nucleus(scores, &weight, top_p);
            draw(nucleus.into_iter(), uniform)
        } else {
            draw(scores.iter().map(|&score| weight(score)).enumerate(), uniform)
        };
        u32::try_from(drawn.unwrap_or(best)).ok() // rounding may leave a sliver beyond the last weight
    }
}

/// One of the tokens, as often as its weight says.
fn draw(weights: impl Iterator<Item = (usize, f64)> + Clone, uniform: f64) -> Option<usize> {
    let total: f64 = weights.clone().map(|(_, weight)| weight).sum();
    let mut left = uniform * total;
    for (token, weight) in weights {
        left -= weight;
        if left < 0.0 {
            return Some(token);
        }
    }
    None
}

/// The fewest tokens that together have `top_p` of all weight, the likeliest first, of equal ones the lower number.
fn nucleus(scores: &[f32], weight: &impl Fn(f32) -> f64, top_p: f64) -> Vec<(usize, f64)> {
    let mut all: Vec<(usize, f64)> = scores.iter().map(|&score| weight(score)).enumerate().collect();
    let mut left = top_p * all.iter().map(|(_, weight)| weight).sum::<f64>();
    all.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let kept = all.iter().take_while(|(_, weight)| {
        let is_wanted = left > 0.0;
        left -= weight;
        is_wanted
    });
    let kept = kept.count().max(1);
    all.truncate(kept);
    all
}
