//! Holds a reply to JSON of a schema, token by token: what could not go on to be such JSON gets no score.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::Value;
use tunebench_generate::Constraint;

use crate::automaton::Automaton;
use crate::json_schema::{self, Compiled};
use crate::vocabulary::Vocabulary;

/// The form of a schema's JSON, for the tokens of one vocabulary.
pub(crate) struct JsonForm {
    automaton: Automaton,
    vocabulary: Arc<Vocabulary>,
    /// Of each state that was reached, the tokens that may come next, a bit each. Inside of a text it is one state for long.
    allowed: Vec<OnceLock<Vec<u64>>>,
    pub not_held: BTreeSet<String>,
}

impl JsonForm {
    /// # Errors
    /// Says what of the schema cannot be held to.
    pub(crate) fn new(schema: &Value, vocabulary: Arc<Vocabulary>) -> Result<Self, String> {
        let Compiled { pattern, not_held } = json_schema::compile(schema)?;
        let automaton = Automaton::new(&pattern)?;
        let allowed = (0..automaton.len()).map(|_| OnceLock::new()).collect();
        Ok(Self { automaton, vocabulary, allowed, not_held })
    }

    fn allowed_after(&self, state: usize) -> Vec<u64> {
        let mut bits = Vec::new();
        for (token, bytes) in self.vocabulary.texts().enumerate() {
            if token % 64 == 0 {
                bits.push(0);
            }
            let is_allowed = !bytes.is_empty() && self.automaton.read(state, bytes).is_some();
            if let Some(word) = bits.last_mut().filter(|_| is_allowed) {
                *word |= 1 << (token % 64);
            }
        }
        bits
    }
}

impl fmt::Debug for JsonForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonForm of {} states", self.automaton.len())
    }
}

impl Constraint for JsonForm {
    fn mask(&self, answer: &[u32], stop_tokens: &[u32], scores: &mut [f32]) {
        let state = answer.iter().try_fold(0, |state, token| self.automaton.read(state, self.vocabulary.bytes(*token)));
        let bits = state.and_then(|state| Some(self.allowed.get(state)?.get_or_init(|| self.allowed_after(state))));
        let may_end = state.is_some_and(|state| self.automaton.is_accepting(state));
        for (token, score) in (0u32..).zip(scores.iter_mut()) {
            let bit = |bits: &Vec<u64>| bits.get(token as usize / 64).is_some_and(|word| word >> (token % 64) & 1 == 1);
            let is_allowed = if stop_tokens.contains(&token) { may_end } else { bits.is_some_and(bit) };
            if !is_allowed {
                *score = f32::NEG_INFINITY;
            }
        }
    }
}
