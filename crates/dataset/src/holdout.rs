//! What of a source is not learnt from: a share of it, decided by the content of a row, or what another set holds.
//!
//! A row is held out when a hash of its turns and a seed lies below `share · 2^64`. So equal rows go the same way, every
//! training on a source leaves out the same rows, a larger share holds a smaller one, and no row's number matters:
//! shuffling, cutting or extending the source moves none from one side to the other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sha2::{Digest, Sha256};
use tunebench_spec::{Example, Role};

use crate::error::Error;

/// Names a conversation by what is said in it: SHA-256 over its turns. Its id, category and reference do not matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentKey([u8; 32]);

impl fmt::Display for ContentKey {
    /// 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ContentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The key of an example: equal for equal roles and texts.
pub fn content_key(example: &Example) -> ContentKey {
    let mut hasher = Sha256::new();
    for turn in &example.turns {
        let role: u8 = match turn.role {
            Role::System => 0,
            Role::User => 1,
            Role::Assistant => 2,
        };
        // With its length in front, no text can run into the next turn's.
        hasher.update([role]);
        hasher.update((turn.content.len() as u64).to_le_bytes());
        hasher.update(turn.content.as_bytes());
    }
    ContentKey(hasher.finalize().into())
}

/// A share of a source that is held out.
#[derive(Clone, Debug, PartialEq)]
pub struct HoldOut {
    seed: u64,
    /// `share · 2^64`.
    bound: u128,
    most: usize,
}

impl HoldOut {
    /// A share, by `seed`, of which at most `most` examples are kept to measure by; the others are not learnt from either.
    ///
    /// # Errors
    /// When the share is not between 0 and 1, or no example would be kept.
    pub fn new(seed: u64, share: f64, most: usize) -> Result<Self, Error> {
        if !(share > 0.0 && share < 1.0) {
            return Err(Error::Share { share });
        }
        if most == 0 {
            return Err(Error::NoneKept);
        }
        Ok(Self { seed, bound: (share * 2f64.powi(64)) as u128, most })
    }

    /// Where a content lies, uniform over all 64-bit values.
    fn rank(&self, key: &ContentKey) -> u64 {
        let digest: [u8; 32] =
            Sha256::new().chain_update(self.seed.to_le_bytes()).chain_update(key.0).finalize().into();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    /// Whether an example of this content is held out.
    pub fn holds(&self, key: &ContentKey) -> bool {
        u128::from(self.rank(key)) < self.bound
    }
}

/// What of a source is kept apart from what is learnt.
#[derive(Clone, Debug, PartialEq)]
pub enum Apart {
    Nothing,
    Share(HoldOut),
    /// Whatever has one of these contents: those of a set by itself, so that none of it is learnt. It is counted, not
    /// kept.
    Keys(BTreeSet<ContentKey>),
}

/// What was kept apart so far.
pub(crate) struct Kept<'a> {
    apart: &'a Apart,
    /// By rank, at most as many as are asked for.
    examples: BTreeMap<(u64, ContentKey), Example>,
    total: u64,
}

impl<'a> Kept<'a> {
    pub(crate) fn new(apart: &'a Apart) -> Self {
        Self { apart, examples: BTreeMap::new(), total: 0 }
    }

    /// Gives an example back unless it is kept apart.
    pub(crate) fn take(&mut self, example: Example) -> Option<Example> {
        match self.apart {
            Apart::Nothing => return Some(example),
            Apart::Keys(keys) if keys.contains(&content_key(&example)) => {}
            Apart::Keys(_) => return Some(example),
            Apart::Share(hold_out) => {
                let key = content_key(&example);
                if !hold_out.holds(&key) {
                    return Some(example);
                }
                self.examples.entry((hold_out.rank(&key), key)).or_insert(example);
                if self.examples.len() > hold_out.most {
                    self.examples.pop_last();
                }
            }
        }
        self.total += 1;
        None
    }

    /// The examples to measure by, smallest rank first, and how many were kept apart in all.
    pub(crate) fn into_parts(self) -> (Vec<Example>, u64) {
        (self.examples.into_values().collect(), self.total)
    }
}
