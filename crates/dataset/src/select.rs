//! Nested subsets: the first N examples of an order that only the seed decides.
//!
//! Every row has a hash of (seed, its number in the source); examples are ordered by it. So a smaller set is the
//! beginning of a larger one, whatever the sizes, and adding a row at the end moves no other row past another.
//!
//! The source is read once, front to back ([`read`]). What is to be chosen of it is kept by whoever reads it: by a
//! [`Spool`](crate::spool::Spool), in bounded memory, or by [`select()`], in memory. Rows that are held out
//! ([`crate::holdout`]) are taken away first, so that subsets stay nested among those that are left.

use std::collections::BinaryHeap;

use serde::{Deserialize, Serialize};
use tunebench_spec::random::Stream;
use tunebench_spec::{Example, Row};

use crate::error::Error;
use crate::holdout::{Apart, Kept};
use crate::skips::Skips;

/// How many examples a study wants. The larger of two is the one that holds the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wanted {
    First(u64),
    All,
}

impl From<Option<u64>> for Wanted {
    /// As in a study file, where an absent number means all.
    fn from(examples: Option<u64>) -> Self {
        examples.map_or(Self::All, Self::First)
    }
}

/// What orders examples: the hash, then the row's number, which no other row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    pub hash: u64,
    pub number: u64,
}

/// What is known of a source that was read to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// Examples in the whole source that may be learnt from.
    pub usable: u64,
    /// Of what is kept apart, the contents with the smallest hashes, in that order, each once.
    pub held_out: Vec<Example>,
    /// Examples of the whole source that are kept apart, equal ones counted each.
    pub held_out_total: u64,
    /// Rows of the whole source that are no examples.
    pub skips: Skips,
}

/// The first examples of a source's seeded order.
#[derive(Clone, Debug)]
pub struct Selection {
    /// Smallest hash first.
    examples: Vec<Example>,
    pub source: Source,
}

/// Reads all of `rows`, in the order of the source, and gives each example that is not kept `apart` to `keep`, with its rank
/// by `seed`. Memory holds what `apart` asks for, whatever is read.
///
/// # Errors
/// Whatever `rows` or `keep` report.
pub fn read<E>(
    rows: impl IntoIterator<Item = Result<Row, E>>,
    seed: u64,
    apart: &Apart,
    mut keep: impl FnMut(Rank, Example) -> Result<(), E>,
) -> Result<Source, E> {
    let mut skips = Skips::default();
    let mut usable = 0;
    let mut kept = Kept::new(apart);
    for (number, row) in (0..).zip(rows) {
        let example = match row? {
            Row::Skip { place, reason } => {
                skips.add(&place, &reason);
                continue;
            }
            Row::Example(example) => example,
        };
        let Some(example) = kept.take(example) else { continue };
        usable += 1;
        keep(Rank { hash: Stream::new(seed, &[number]).next_u64(), number }, example)?;
    }
    let (held_out, held_out_total) = kept.into_parts();
    Ok(Source { usable, held_out, held_out_total, skips })
}

/// Reads all of `rows` and keeps the examples that come first by `seed`, at most `wanted`, in memory.
///
/// # Errors
/// Whatever `rows` reports.
pub fn select<E>(rows: impl IntoIterator<Item = Result<Row, E>>, seed: u64, wanted: Wanted) -> Result<Selection, E> {
    select_apart(rows, seed, wanted, &Apart::Nothing)
}

/// As [`select()`], among the examples that are not kept `apart`. Memory holds `wanted` examples and those that `apart`
/// asks for, whatever is read.
///
/// # Errors
/// Whatever `rows` reports.
pub fn select_apart<E>(
    rows: impl IntoIterator<Item = Result<Row, E>>,
    seed: u64,
    wanted: Wanted,
    apart: &Apart,
) -> Result<Selection, E> {
    let limit = match wanted {
        Wanted::First(count) => usize::try_from(count).unwrap_or(usize::MAX),
        Wanted::All => usize::MAX,
    };
    let mut heap: BinaryHeap<Ranked> = BinaryHeap::new();
    let source = read(rows, seed, apart, |rank, example| {
        if heap.len() < limit {
            heap.push(Ranked { rank, example });
        } else if let Some(mut last) = heap.peek_mut()
            && rank < last.rank
        {
            *last = Ranked { rank, example };
        }
        Ok(())
    })?;
    let examples = heap.into_sorted_vec().into_iter().map(|ranked| ranked.example).collect();
    Ok(Selection { examples, source })
}

impl Source {
    /// How many examples are wanted of it.
    ///
    /// # Errors
    /// When none is wanted, or when the source has no example or fewer than wanted.
    pub fn count(&self, wanted: Wanted) -> Result<u64, Error> {
        let usable = self.usable;
        let skips = || self.skips.clone();
        match wanted {
            Wanted::First(0) => Err(Error::NoneWanted),
            _ if usable == 0 && self.held_out_total > 0 => Err(Error::AllApart { apart: self.held_out_total }),
            _ if usable == 0 => Err(Error::Empty { skips: skips() }),
            Wanted::First(wanted) if usable < wanted && self.held_out_total > 0 => {
                Err(Error::TooFewLeft { wanted, usable, apart: self.held_out_total, skips: skips() })
            }
            Wanted::First(wanted) if usable < wanted => Err(Error::TooFew { wanted, usable, skips: skips() }),
            Wanted::First(wanted) => Ok(wanted),
            Wanted::All => Ok(usable),
        }
    }
}

impl Selection {
    /// The first examples of the seeded order, as many as are wanted.
    ///
    /// # Errors
    /// As [`Source::count`], and when fewer were kept.
    pub fn first(&self, wanted: Wanted) -> Result<&[Example], Error> {
        let (count, kept) = (self.source.count(wanted)?, self.examples.len());
        self.examples.get(..count as usize).ok_or(Error::NotKept { wanted: count, kept })
    }
}

/// An example with what orders it.
struct Ranked {
    rank: Rank,
    example: Example,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.rank == other.rank
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.rank.cmp(&other.rank)
    }
}
