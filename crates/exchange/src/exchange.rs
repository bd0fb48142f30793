//! What ranks do together.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// Moves bytes between ranks. Every operation is one that all ranks call, in the same order; it returns when this rank has
/// what is sent to it.
///
/// Parts lie one after the other in the order of ranks, `counts[r]` bytes that go to rank `r` or come from it; some may be
/// empty. What one rank says that it sends to another is what that one says that it receives.
///
/// # Errors
/// Of every operation: when a rank has ended or does something else, or when the bytes cannot be moved. After one, nothing
/// else can be done together.
pub trait Exchange: Send {
    /// This one's number, from 0.
    fn rank(&self) -> usize;

    /// How many there are.
    fn size(&self) -> usize;

    /// A part for each rank, against a part from each.
    ///
    /// # Errors
    /// As all.
    fn all_to_all(
        &mut self,
        sent: &[u8],
        sent_counts: &[usize],
        received: &mut [u8],
        received_counts: &[usize],
    ) -> Result<(), Error>;

    /// The same bytes for all ranks, against those of each.
    ///
    /// # Errors
    /// As all.
    fn all_gather(&mut self, sent: &[u8], received: &mut [u8], counts: &[usize]) -> Result<(), Error>;

    /// `bytes` becomes those of rank `root`, as many on every rank.
    ///
    /// # Errors
    /// As all.
    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error>;

    /// Returns when all ranks have called it.
    ///
    /// # Errors
    /// As all.
    fn barrier(&mut self) -> Result<(), Error>;

    /// Ends all ranks, because this one cannot go on: `message` is one sentence. Where ranks are processes it is printed
    /// and they end at once, this one too; where they are threads, each operation of the others fails with it.
    fn abort(&mut self, message: &str);

    /// To be called at the end by all ranks; a rank that is dropped before ends the others.
    ///
    /// # Errors
    /// As all.
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

/// The rank that reads, writes and tells, where one does so for all.
pub const FIRST: usize = 0;

/// Why the first rank has not found what it was to tell: as it has it, or as the others hear it.
#[derive(Debug)]
pub enum Fault<E> {
    Own(E),
    Heard(String),
}

impl dyn Exchange + '_ {
    /// Whether there is no other.
    pub fn is_alone(&self) -> bool {
        self.size() == 1
    }

    /// Whether this is the one that reads, writes and tells.
    pub fn is_first(&self) -> bool {
        self.rank() == FIRST
    }

    /// What the first rank finds, on all of them, or why it does not; the others do not look.
    ///
    /// # Errors
    /// As every operation; and when what is found has no form in JSON.
    pub fn told_by_first<T: Serialize + DeserializeOwned, E: Display>(
        &mut self,
        find: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<T, Fault<E>>, Error> {
        if self.is_first() {
            let found = find();
            let told = found.as_ref().map_err(ToString::to_string);
            self.share(FIRST, serde_json::to_vec(&told).map_err(Error::Told)?)?;
            return Ok(found.map_err(Fault::Own));
        }
        let told: Result<T, String> = serde_json::from_slice(&self.share(FIRST, Vec::new())?).map_err(Error::Told)?;
        Ok(told.map_err(Fault::Heard))
    }

    /// What each rank has, of any length.
    ///
    /// # Errors
    /// As every operation.
    pub fn gather(&mut self, bytes: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        const WORD: usize = size_of::<u64>();
        let mut lengths = vec![0; WORD * self.size()];
        self.all_gather(&(bytes.len() as u64).to_le_bytes(), &mut lengths, &vec![WORD; self.size()])?;
        let (words, _) = lengths.as_chunks::<WORD>();
        let counts: Vec<usize> = words.iter().map(|word| u64::from_le_bytes(*word) as usize).collect();
        let mut all = vec![0; counts.iter().sum()];
        self.all_gather(bytes, &mut all, &counts)?;
        Ok(parts(&all, &counts).map(<[u8]>::to_vec).collect())
    }

    /// What rank `root` has, of any length; what others give is not looked at.
    ///
    /// # Errors
    /// As every operation.
    pub fn share(&mut self, root: usize, bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        let mut length = (bytes.len() as u64).to_le_bytes();
        self.broadcast(root, &mut length)?;
        let mut bytes = bytes;
        bytes.resize(u64::from_le_bytes(length) as usize, 0);
        self.broadcast(root, &mut bytes)?;
        Ok(bytes)
    }
}

/// The parts of `bytes`, of which the counts say how long they are.
pub(crate) fn parts<'a>(mut bytes: &'a [u8], counts: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    counts.iter().map(move |count| {
        let (part, rest) = bytes.split_at((*count).min(bytes.len()));
        bytes = rest;
        part
    })
}

/// Whether there is a count for each of `size` ranks, and as many bytes as they say.
pub(crate) fn check(bytes: &[u8], counts: &[usize], size: usize) -> Result<(), Error> {
    let sum = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
    if counts.len() == size && sum == Some(bytes.len()) {
        return Ok(());
    }
    Err(Error::Counts { bytes: bytes.len(), counts: counts.to_vec(), size })
}

/// Why a rank that is dropped before the end does so.
pub(crate) fn left() -> &'static str {
    if std::thread::panicking() { "it panicked" } else { "it left before the others" }
}
