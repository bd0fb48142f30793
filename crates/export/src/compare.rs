//! A model's scores beside those of its export: fixed texts, read token by token.

use std::fmt;

use tunebench_model::backend::{self, Backend, Generator, Parts};
use tunebench_model::{Tokenizer, Tuning, Weights};
use tunebench_spec::Decoder;

use crate::Error;

/// What is read: two languages, numbers and code, so that most kinds of token are among them.
const TEXTS: [&str; 3] = [
    "Name three things that a good friend does, and say in one sentence why each of them matters.",
    "请用一句话说明为什么天空是蓝色的，然后再举两个例子。",
    "def f(x):\n    return 3 * x + 14  # 2 and 59 make 61\n",
];
/// Tokens of a text that are read at once, and altogether.
const PROMPT: usize = 8;
const MOST: usize = 24;
/// Largest difference that folding a tuning into weights may make, relative to the largest score: f32 with sums in another
/// order, over many layers; and what an engine adds that computes in bf16.
const FOLDING: f32 = 1e-3;
const FOLDING_ROUGHLY: f32 = 0.2;

/// How far two models' scores are apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Of two scores of one token.
    pub largest: f32,
    /// The largest score by its size.
    pub of: f32,
    /// Places in texts whose next token was scored, and those where both models have the same one first.
    pub places: usize,
    pub agreeing: usize,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { largest, of, places, agreeing } = self;
        write!(
            f,
            "largest logit difference {largest:.3e}, of logits up to {of:.1}; the same token first at {agreeing} of {places} places"
        )
    }
}

/// Scores of the next token at each place of the texts.
pub struct Scores {
    vocabulary: usize,
    values: Vec<f32>,
    /// Whether they were computed in f32.
    is_exact: bool,
}

impl Scores {
    /// Those of a model.
    ///
    /// # Errors
    /// When it cannot be computed.
    pub fn of(
        backend: &dyn Backend,
        shape: &Decoder,
        weights: Weights,
        tuning: Tuning,
        tokenizer: &Tokenizer,
    ) -> Result<Self, Error> {
        let model = backend.generator(Parts { shape, weights, tuning })?;
        let rows = rows(tokenizer, model.as_ref());
        let (mut values, mut logits) = (Vec::new(), Vec::new());
        for row in &rows {
            let (prompt, rest) = row.split_at(PROMPT.min(row.len()));
            let mut state = model.rows();
            state.prefill(&[prompt.into()], &mut logits)?;
            values.extend_from_slice(&logits);
            for token in rest {
                state.step(&[*token], &mut logits)?;
                values.extend_from_slice(&logits);
            }
        }
        let is_exact = backend.name() == backend::REFERENCE.name();
        Ok(Self { vocabulary: shape.vocab_size, values, is_exact })
    }

    /// How far others are from these.
    pub fn difference(&self, other: &Self) -> Difference {
        let size = self.vocabulary.max(1);
        let mut found = Difference::default();
        for (a, b) in self.values.chunks(size).zip(other.values.chunks(size)) {
            found.places += 1;
            found.agreeing += usize::from(first(a) == first(b));
            for (a, b) in a.iter().zip(b) {
                // A number that is none differs by everything.
                let apart = if a.is_finite() && b.is_finite() { (a - b).abs() } else { f32::INFINITY };
                found.largest = found.largest.max(apart);
                found.of = found.of.max(a.abs());
            }
        }
        found
    }
}

/// Whether a model whose tuning is folded in still is the model.
///
/// # Errors
/// [`Error::Differs`] when it is another one.
pub fn check_folding(before: &Scores, after: &Scores) -> Result<(), Error> {
    let found = before.difference(after);
    let bound = if before.is_exact { FOLDING } else { FOLDING_ROUGHLY };
    if found.largest <= bound * found.of.max(1.0) {
        return Ok(());
    }
    let fault = format!("the model with its tuning folded in is another one than with it beside: {found}");
    Err(Error::Differs { what: "folding", fault })
}

/// The texts as tokens that the model knows.
fn rows(tokenizer: &Tokenizer, model: &dyn Generator) -> Vec<Vec<u32>> {
    let most = MOST.min(model.positions().saturating_sub(1)).max(1);
    let known = |id: &u32| (*id as usize) < model.shape().vocab_size;
    let row = |text: &&str| {
        let ids = tokenizer.inner.encode(*text, true).map(|found| found.get_ids().to_vec()).unwrap_or_default();
        let ids: Vec<u32> = ids.into_iter().filter(known).take(most).collect();
        if ids.is_empty() { vec![0] } else { ids }
    };
    TEXTS.iter().map(row).collect()
}

fn first(scores: &[f32]) -> Option<usize> {
    (0..scores.len()).max_by(|a, b| scores[*a].total_cmp(&scores[*b]).then(b.cmp(a)))
}
