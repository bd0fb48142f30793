//! Choosing the next token from its scores.

use tunebench_spec::random::Stream;

/// How a token is chosen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// The highest score; of equal ones the first.
    Greedy,
    /// At random, by softmax(score / temperature).
    Temperature { temperature: f64, seed: u64 },
}

impl Sampling {
    /// As a study writes it: 0 is greedy.
    pub fn new(temperature: f64, seed: u64) -> Self {
        if temperature == 0.0 { Self::Greedy } else { Self::Temperature { temperature, seed } }
    }

    /// Token number `position` of the answer with this key; `None` when a score is not a number.
    pub fn choose(&self, scores: &[f32], key: u64, position: usize) -> Option<u32> {
        if scores.is_empty() || scores.iter().any(|s| s.is_nan() || *s == f32::INFINITY) {
            return None;
        }
        // In two passes, each of which the compiler makes vector instructions of.
        let highest = scores.iter().fold(f32::NEG_INFINITY, |best, score| if *score > best { *score } else { best });
        let best = scores.iter().position(|score| *score == highest).unwrap_or(0);
        let Self::Temperature { temperature, seed } = *self else { return u32::try_from(best).ok() };
        let highest = f64::from(scores[best]);
        let weight = |score: f32| ((f64::from(score) - highest) / temperature).exp();
        let total: f64 = scores.iter().map(|&s| weight(s)).sum();
        let mut left = Stream::new(seed, &[key, position as u64]).uniform() * total;
        for (i, &score) in scores.iter().enumerate() {
            left -= weight(score);
            if left < 0.0 {
                return u32::try_from(i).ok();
            }
        }
        u32::try_from(best).ok() // rounding may leave a sliver beyond the last weight
    }
}
