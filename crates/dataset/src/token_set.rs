//! The tokens of many examples, read one by one by their number, from a file or from memory: the same bytes in both.
//!
//! ```text
//! magic · examples, back to back · their lengths in tokens (u32) · CRC-32C of each MiB so far · facts (JSON) · end
//! an example: its tokens (u16 where the vocabulary allows, else u32) · a bit for each, whether it is a label
//! ```
//!
//! All numbers are little-endian. A set is checked whole when it is opened, so what is read later is what was written.
//! Opened, it takes four bytes of memory for each example.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tunebench_files::PositionedFile;

use crate::error::Error;
use crate::tokenize::{TokenStats, Tokenized};

const MAGIC: &[u8; 16] = b"tunebench-tok-1\n";
/// Examples, bytes of examples, bytes of facts, bytes of a token, and the checksum of all behind the examples' lengths.
const END: usize = 8 + 8 + 8 + 4 + 4;
/// Bytes that have one checksum.
const BLOCK: usize = 1 << 20;
/// The place of every so-manieth example is kept, those between are counted from there.
const STRIDE: usize = 64;

/// Examples to learn from or to measure on, by their number.
pub trait Examples: Sync + fmt::Debug {
    /// How many there are.
    fn count(&self) -> usize;

    /// Tokens of one of them; 0 where there is none.
    fn length(&self, index: usize) -> usize;

    /// Whether any of them has a label.
    fn has_labels(&self) -> bool;

    /// Reads one of them.
    ///
    /// # Errors
    /// When there is none, or its file cannot be read.
    fn read(&self, index: usize) -> Result<Tokenized, Error>;
}

/// A list of them in memory.
impl<T: AsRef<[Tokenized]> + Sync + fmt::Debug> Examples for T {
    fn count(&self) -> usize {
        self.as_ref().len()
    }

    fn length(&self, index: usize) -> usize {
        self.as_ref().get(index).map_or(0, |example| example.tokens.len())
    }

    fn has_labels(&self) -> bool {
        self.as_ref().iter().any(|example| example.n_labels() > 0)
    }

    fn read(&self, index: usize) -> Result<Tokenized, Error> {
        self.as_ref().get(index).cloned().ok_or(Error::NoExample { index, count: self.as_ref().len() })
    }
}

/// What is known of a whole set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenFacts {
    /// SHA-256 over all tokens and labels, in the order of the examples.
    pub identity: String,
    pub stats: TokenStats,
}

/// A set of examples, open.
#[derive(Debug)]
pub struct TokenSet {
    bytes: Bytes,
    token_bytes: usize,
    lengths: Vec<u32>,
    /// Where every [`STRIDE`]th example begins.
    starts: Vec<u64>,
    pub facts: TokenFacts,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    File(PositionedFile),
}

impl Bytes {
    fn length(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File(file) => file.length(),
        }
    }

    fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        match self {
            Self::Memory(bytes) => {
                let start = usize::try_from(offset).unwrap_or(usize::MAX);
                let found = bytes.get(start..start.saturating_add(length));
                found.map(<[u8]>::to_vec).ok_or_else(|| self.damaged("it ends too early"))
            }
            Self::File(file) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(offset, &mut bytes)?;
                Ok(bytes)
            }
        }
    }

    fn damaged(&self, fault: &str) -> Error {
        let place = match self {
            Self::Memory(_) => "tokens in memory".to_owned(),
            Self::File(file) => file.path().display().to_string(),
        };
        Error::TokensDamaged { place, fault: fault.to_owned() }
    }
}

impl TokenSet {
    /// Opens a set that a [`TokenWriter`] wrote, and checks all of it.
    ///
    /// # Errors
    /// When the file cannot be read, or is not as it was written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::check(Bytes::File(PositionedFile::open(path)?))
    }

    /// The same from memory.
    ///
    /// # Errors
    /// When the bytes are not those of a [`TokenWriter`].
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, Error> {
        Self::check(Bytes::Memory(bytes))
    }

    fn check(bytes: Bytes) -> Result<Self, Error> {
        let damaged = |fault: &str| bytes.damaged(fault);
        let total = bytes.length();
        let end_at = total.checked_sub(END as u64).ok_or_else(|| damaged("it ends too early"))?;
        if bytes.read(0, MAGIC.len().min(total as usize))? != MAGIC {
            return Err(damaged("it is no file of tokens of this version"));
        }
        let end = End::read(&bytes.read(end_at, END)?).ok_or_else(|| damaged("its end is no end"))?;
        let (checked, tail_at) = end.places(total).ok_or_else(|| damaged("its parts do not add up"))?;
        let tail = bytes.read(checked, (end_at - checked) as usize)?;
        if end.checksum != end.checksum_of(&tail) {
            return Err(damaged("what it says of itself has another checksum"));
        }
        let (checksums, facts) = tail.split_at((tail_at - checked) as usize);
        check_blocks(&bytes, checked, checksums)?;
        let facts = serde_json::from_slice(facts).map_err(|error| damaged(&error.to_string()))?;
        let lengths_at = MAGIC.len() as u64 + end.data_bytes;
        let lengths = bytes.read(lengths_at, (checked - lengths_at) as usize)?;
        let lengths = numbers(&lengths);
        let mut starts = Vec::with_capacity(lengths.len() / STRIDE + 1);
        let mut start = MAGIC.len() as u64;
        for (index, length) in lengths.iter().enumerate() {
            if index % STRIDE == 0 {
                starts.push(start);
            }
            start += size(*length, end.token_bytes) as u64;
        }
        if start != lengths_at {
            return Err(damaged("its examples do not add up"));
        }
        Ok(Self { bytes, token_bytes: end.token_bytes, lengths, starts, facts })
    }

    /// Bytes altogether.
    pub fn n_bytes(&self) -> u64 {
        self.bytes.length()
    }

    /// Tokens of the longest example.
    pub fn longest(&self) -> usize {
        self.lengths.iter().max().map_or(0, |length| *length as usize)
    }
}

impl Examples for TokenSet {
    fn count(&self) -> usize {
        self.lengths.len()
    }

    fn length(&self, index: usize) -> usize {
        self.lengths.get(index).map_or(0, |length| *length as usize)
    }

    fn has_labels(&self) -> bool {
        self.facts.stats.label_tokens > 0
    }

    fn read(&self, index: usize) -> Result<Tokenized, Error> {
        let no_example = || Error::NoExample { index, count: self.lengths.len() };
        let length = *self.lengths.get(index).ok_or_else(no_example)?;
        let start = *self.starts.get(index / STRIDE).ok_or_else(no_example)?;
        let before = &self.lengths[index / STRIDE * STRIDE..index];
        let offset = start + before.iter().map(|length| size(*length, self.token_bytes) as u64).sum::<u64>();
        let bytes = self.bytes.read(offset, size(length, self.token_bytes))?;
        let (tokens, bits) = bytes.split_at(length as usize * self.token_bytes);
        let tokens = match self.token_bytes {
            SHORT => tokens.as_chunks::<SHORT>().0.iter().map(|bytes| u32::from(u16::from_le_bytes(*bytes))).collect(),
            _ => numbers(tokens),
        };
        let is_label = (0..length as usize).map(|index| bits[index / 8] >> (index % 8) & 1 == 1).collect();
        Ok(Tokenized { tokens, is_label })
    }
}

/// Bytes of a token whose id is below 2^16, and of any other.
const SHORT: usize = 2;
const LONG: usize = 4;

/// Bytes of an example.
fn size(length: u32, token_bytes: usize) -> usize {
    length as usize * token_bytes + (length as usize).div_ceil(8)
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect()
}

/// Compares the checksums of the first `checked` bytes.
fn check_blocks(bytes: &Bytes, checked: u64, checksums: &[u8]) -> Result<(), Error> {
    let check = |(block, checksum): (usize, u32)| {
        let start = block as u64 * BLOCK as u64;
        let length = (checked - start).min(BLOCK as u64) as usize;
        match crc32c::crc32c(&bytes.read(start, length)?) == checksum {
            true => Ok(()),
            false => Err(bytes.damaged(&format!("the MiB from byte {start} on has another checksum"))),
        }
    };
    let checksums: Vec<(usize, u32)> = numbers(checksums).into_iter().enumerate().collect();
    checksums.into_par_iter().try_for_each(check)
}

/// The last bytes of a set.
struct End {
    examples: u64,
    data_bytes: u64,
    facts_bytes: u64,
    token_bytes: usize,
    checksum: u32,
}

impl End {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<8>();
        let [examples, data_bytes, facts_bytes, last] = *words else { return None };
        let [token_bytes, checksum] = numbers(&last)[..] else { return None };
        Some(Self {
            examples: u64::from_le_bytes(examples),
            data_bytes: u64::from_le_bytes(data_bytes),
            facts_bytes: u64::from_le_bytes(facts_bytes),
            token_bytes: token_bytes as usize,
            checksum,
        })
    }

    fn write(&self) -> Vec<u8> {
        let words = [self.examples, self.data_bytes, self.facts_bytes];
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u64::to_le_bytes).collect();
        bytes.extend((self.token_bytes as u32).to_le_bytes());
        bytes.extend(self.checksum.to_le_bytes());
        bytes
    }

    /// The checksum of checksums and facts, and of the numbers here.
    fn checksum_of(&self, tail: &[u8]) -> u32 {
        let numbers = &self.write()[..END - 4];
        crc32c::crc32c_append(crc32c::crc32c(tail), numbers)
    }

    /// Where the checksums begin, and where the facts do, in a file of so many bytes; none where that cannot be.
    fn places(&self, total: u64) -> Option<(u64, u64)> {
        if ![SHORT, LONG].contains(&self.token_bytes) {
            return None;
        }
        let lengths = self.examples.checked_mul(4)?;
        let checked = (MAGIC.len() as u64).checked_add(self.data_bytes)?.checked_add(lengths)?;
        let facts_at = checked.checked_add(checked.div_ceil(BLOCK as u64).checked_mul(4)?)?;
        let is_whole = facts_at.checked_add(self.facts_bytes)?.checked_add(END as u64)? == total;
        is_whole.then_some((checked, facts_at))
    }
}

/// Writes a set, example after example.
pub struct TokenWriter<W: Write> {
    out: Checksums<W>,
    token_bytes: usize,
    lengths: Vec<u32>,
    identity: Identity,
    buffer: Vec<u8>,
}

impl<W: Write> TokenWriter<W> {
    /// Of tokens whose ids are below `size`.
    ///
    /// # Errors
    /// Whatever `out` reports.
    pub fn new(out: W, size: usize) -> io::Result<Self> {
        let mut out = Checksums { out, checksums: Vec::new(), current: 0, filled: 0 };
        out.write(MAGIC)?;
        let token_bytes = if size <= 1 << 16 { SHORT } else { LONG };
        Ok(Self { out, token_bytes, lengths: Vec::new(), identity: Identity::default(), buffer: Vec::new() })
    }

    /// Appends an example.
    ///
    /// # Errors
    /// Whatever `out` reports, or when a token's id is larger than was said.
    pub fn push(&mut self, example: &Tokenized) -> io::Result<()> {
        let Tokenized { tokens, is_label, .. } = example;
        self.identity.add(example);
        self.buffer.clear();
        match self.token_bytes {
            SHORT => {
                for token in tokens {
                    let short = u16::try_from(*token).map_err(|_| {
                        io::Error::other(format!("the token {token} is not of the tokenizer's vocabulary"))
                    })?;
                    self.buffer.extend(short.to_le_bytes());
                }
            }
            _ => tokens.iter().for_each(|token| self.buffer.extend(token.to_le_bytes())),
        }
        for labels in is_label.chunks(8) {
            self.buffer
                .push(labels.iter().enumerate().fold(0, |bits, (bit, is_label)| bits | u8::from(*is_label) << bit));
        }
        self.lengths.push(tokens.len() as u32);
        self.out.write(&self.buffer)
    }

    /// Writes what remains, with the counts of what was tokenized.
    ///
    /// # Errors
    /// Whatever `out` reports.
    pub fn finish(mut self, stats: &TokenStats) -> io::Result<W> {
        let data_bytes = self.out.length() - MAGIC.len() as u64;
        for lengths in self.lengths.chunks(BLOCK) {
            let bytes: Vec<u8> = lengths.iter().flat_map(|length| length.to_le_bytes()).collect();
            self.out.write(&bytes)?;
        }
        let facts = TokenFacts { identity: self.identity.finish(), stats: stats.clone() };
        let facts = serde_json::to_vec(&facts)?;
        let (mut out, checksums) = self.out.finish();
        let mut tail: Vec<u8> = checksums.into_iter().flat_map(u32::to_le_bytes).collect();
        tail.extend(&facts);
        let mut end = End {
            examples: self.lengths.len() as u64,
            data_bytes,
            facts_bytes: facts.len() as u64,
            token_bytes: self.token_bytes,
            checksum: 0,
        };
        end.checksum = end.checksum_of(&tail);
        out.write_all(&tail)?;
        out.write_all(&end.write())?;
        Ok(out)
    }
}

/// SHA-256 over the tokens of examples and which of them are labels.
#[derive(Default)]
struct Identity {
    hasher: Sha256,
    buffer: Vec<u8>,
}

impl Identity {
    fn add(&mut self, example: &Tokenized) {
        self.buffer.clear();
        self.buffer.extend((example.tokens.len() as u64).to_le_bytes());
        self.buffer.extend(example.tokens.iter().flat_map(|token| token.to_le_bytes()));
        self.buffer.extend(example.is_label.iter().map(|label| u8::from(*label)));
        self.hasher.update(&self.buffer);
    }

    fn finish(self) -> String {
        self.hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Passes bytes on and keeps a checksum of each block.
struct Checksums<W> {
    out: W,
    checksums: Vec<u32>,
    current: u32,
    /// Bytes of the current block.
    filled: usize,
}

impl<W: Write> Checksums<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(BLOCK - self.filled));
            self.current = crc32c::crc32c_append(self.current, now);
            self.filled += now.len();
            if self.filled == BLOCK {
                self.checksums.push(std::mem::take(&mut self.current));
                self.filled = 0;
            }
            rest = later;
        }
        self.out.write_all(bytes)
    }

    fn length(&self) -> u64 {
        self.checksums.len() as u64 * BLOCK as u64 + self.filled as u64
    }

    fn finish(mut self) -> (W, Vec<u32>) {
        if self.filled > 0 {
            self.checksums.push(self.current);
        }
        (self.out, self.checksums)
    }
}
