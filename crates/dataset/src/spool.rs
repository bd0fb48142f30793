//! Examples put into the order of their ranks, many more than memory holds.
//!
//! Ranks are uniform hashes, so examples are sorted as cards are: each goes onto the pile of its range of hashes, and pile
//! after pile is taken up and sorted by itself. Piles grow in memory to [`PILE_BYTES`] and then go, piece by piece, into a
//! file without a name; a small source never makes one. Memory holds the tops of the piles and one pile at a time, and
//! where fewer than all are wanted the ranks of those.

use std::collections::BinaryHeap;
use std::ops::Range;
use std::path::Path;

use tunebench_files::Scratch;
use tunebench_spec::Example;

use crate::error::Error;
use crate::select::{Rank, Wanted};

/// Piles. Of a source of 100 GiB one takes 200 MiB.
const PILES: usize = 512;
/// Bytes of a pile that stay in memory, so that 16 MiB of all piles do.
const PILE_BYTES: usize = 32 << 10;
/// Examples that are taken up at once, at least: enough for all threads to have work.
const BATCH: usize = 2048;

/// Examples by rank, the first so many of them.
pub struct Spool {
    piles: Vec<Pile>,
    scratch: Scratch,
    /// The smallest ranks so far, where not all are wanted; as many as are.
    first: Option<(BinaryHeap<Rank>, usize)>,
    count: u64,
}

/// Records of one range of hashes: rank, length, the example as JSON.
#[derive(Default)]
struct Pile {
    top: Vec<u8>,
    /// Where its other records are, in whole records.
    pieces: Vec<(u64, u32)>,
}

/// Bytes of a record before its JSON: hash, number, length.
const RECORD_HEAD: usize = 8 + 8 + 4;

impl Spool {
    /// For the `wanted` first; what does not stay in memory is put into `folder`.
    pub fn new(wanted: Wanted, folder: &Path) -> Self {
        let first = match wanted {
            Wanted::All => None,
            Wanted::First(count) => Some((BinaryHeap::new(), usize::try_from(count).unwrap_or(usize::MAX))),
        };
        let piles = (0..PILES).map(|_| Pile::default()).collect();
        Self { piles, scratch: Scratch::new(folder), first, count: 0 }
    }

    /// Keeps an example, unless so many come before it already that it is not wanted.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add(&mut self, rank: Rank, example: &Example) -> Result<(), Error> {
        if let Some((ranks, count)) = &mut self.first {
            if ranks.len() < *count {
                ranks.push(rank);
            } else {
                let Some(mut last) = ranks.peek_mut().filter(|last| rank < **last) else { return Ok(()) };
                *last = rank;
            }
        }
        self.count += 1;
        let pile = &mut self.piles[(rank.hash >> (u64::BITS - PILES.trailing_zeros())) as usize];
        pile.top.extend(rank.hash.to_le_bytes());
        pile.top.extend(rank.number.to_le_bytes());
        let head = pile.top.len();
        pile.top.extend([0; 4]);
        serde_json::to_writer(&mut pile.top, example).map_err(Error::Spool)?;
        let length = (pile.top.len() - head - 4) as u32;
        pile.top[head..head + 4].copy_from_slice(&length.to_le_bytes());
        if pile.top.len() >= PILE_BYTES {
            pile.pieces.push((self.scratch.append(&pile.top)?, pile.top.len() as u32));
            pile.top.clear();
        }
        Ok(())
    }

    /// Examples that are kept and wanted.
    pub fn count(&self) -> u64 {
        self.first.as_ref().map_or(self.count, |(ranks, _)| ranks.len() as u64)
    }

    /// The first `count` examples, smallest rank first, batch by batch.
    pub fn batches(&self, count: u64) -> Batches<'_> {
        let last = self.first.as_ref().and_then(|(ranks, _)| ranks.peek().copied());
        Batches { spool: self, pile: 0, last, left: count.min(self.count()) }
    }

    /// The first `count` examples in memory.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn examples(&self, count: u64) -> Result<Vec<Example>, Error> {
        let mut examples = Vec::new();
        for batch in self.batches(count) {
            let batch = batch?;
            for index in 0..batch.len() {
                examples.push(batch.example(index)?);
            }
        }
        Ok(examples)
    }

    /// The records of a pile, in no order.
    fn pile(&self, pile: &Pile, bytes: &mut Vec<u8>) -> Result<(), Error> {
        for (start, length) in &pile.pieces {
            let end = bytes.len();
            bytes.resize(end + *length as usize, 0);
            self.scratch.read_exact_at(*start, &mut bytes[end..])?;
        }
        bytes.extend(&pile.top);
        Ok(())
    }
}

/// Batches of a spool, in the order of ranks.
pub struct Batches<'s> {
    spool: &'s Spool,
    /// The next one.
    pile: usize,
    /// The last rank that is wanted, where there is one.
    last: Option<Rank>,
    left: u64,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch = Batch { bytes: Vec::new(), records: Vec::new() };
        while self.left > 0 && batch.records.len() < BATCH {
            let Some(pile) = self.spool.piles.get(self.pile) else { break };
            self.pile += 1;
            let start = batch.bytes.len();
            if let Err(error) = self.spool.pile(pile, &mut batch.bytes) {
                self.left = 0;
                return Some(Err(error));
            }
            let mut records: Vec<(Rank, Range<usize>)> = Records { bytes: &batch.bytes, at: start }.collect();
            records.retain(|(rank, _)| self.last.is_none_or(|last| *rank <= last));
            records.sort_unstable_by_key(|(rank, _)| *rank);
            records.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= records.len() as u64;
            batch.records.extend(records.into_iter().map(|(_, json)| json));
        }
        (!batch.records.is_empty()).then_some(Ok(batch))
    }
}

/// The records in bytes from a place on, with the places of their JSON.
struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl Iterator for Records<'_> {
    type Item = (Rank, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.bytes.get(self.at..self.at + RECORD_HEAD)?;
        let (hash, rest) = head.split_first_chunk::<8>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let length = u32::from_le_bytes(*rest.first_chunk()?) as usize;
        let start = self.at + RECORD_HEAD;
        self.at = start + length;
        Some((Rank { hash: u64::from_le_bytes(*hash), number: u64::from_le_bytes(*number) }, start..self.at))
    }
}

/// Some examples in their order, not yet parsed: any thread may do that.
pub struct Batch {
    bytes: Vec<u8>,
    records: Vec<Range<usize>>,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// One of them.
    ///
    /// # Errors
    /// When the file was changed by another.
    pub fn example(&self, index: usize) -> Result<Example, Error> {
        let json = self.records.get(index).and_then(|range| self.bytes.get(range.clone())).unwrap_or_default();
        serde_json::from_slice(json).map_err(Error::Spool)
    }
}
