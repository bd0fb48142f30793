//! What the ranks of a training say to each other: what the first of them found, what any of them asks for, and numbers of
//! the model that are divided among them.
//!
//! The first rank is the one that reads and writes the training's folder; the others know of it what they are told.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tunebench_exchange::{Exchange, FIRST, Fault};
use tunebench_model::backend::{Moment, Trainable};

use crate::Error;
use crate::division::Division;

const FULL: usize = size_of::<f32>();

/// Who gets numbers that are brought together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum To {
    First,
    All,
}

/// The ranks of a training, as one of them sees them.
pub(crate) struct Ranks<'a> {
    exchange: &'a mut dyn Exchange,
}

impl<'a> Deref for Ranks<'a> {
    type Target = dyn Exchange + 'a;

    fn deref(&self) -> &Self::Target {
        self.exchange
    }
}

impl<'a> Ranks<'a> {
    pub fn new(exchange: &'a mut dyn Exchange) -> Self {
        Self { exchange }
    }

    pub fn barrier(&mut self) -> Result<(), Error> {
        Ok(self.exchange.barrier()?)
    }

    pub fn exchange(&mut self) -> &mut dyn Exchange {
        self.exchange
    }

    /// What the first rank finds, on all of them, or why it does not; the others do not look.
    pub fn told_by_first<T: Serialize + DeserializeOwned>(
        &mut self,
        find: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        if self.is_alone() {
            return find();
        }
        self.exchange.told_by_first(find)?.map_err(|fault| match fault {
            Fault::Own(error) => Error::ToldToAll(Box::new(error)),
            Fault::Heard(text) => Error::OfFirst(text),
        })
    }

    /// Numbers that the first rank has, on all of them.
    pub fn numbers_of_first(&mut self, numbers: &mut [f32]) -> Result<(), Error> {
        Ok(self.exchange.broadcast(FIRST, bytemuck::cast_slice_mut(numbers))?)
    }

    /// Of the numbers of the first rank, one after the other for each rank, this one's.
    pub fn parts_of_first(&mut self, sent: &[f32], parts: &[Range<usize>], own: &mut [f32]) -> Result<(), Error> {
        let (mut out, mut back) = (vec![0; self.size()], vec![0; self.size()]);
        if self.is_first() {
            out = parts.iter().map(|part| FULL * part.len()).collect();
        }
        back[FIRST] = FULL * own.len();
        let (sent, own) = (bytemuck::cast_slice(sent), bytemuck::cast_slice_mut(own));
        Ok(self.exchange.all_to_all(sent, &out, own, &back)?)
    }

    /// A number that the first rank has, on all of them.
    pub fn number_of_first(&mut self, number: f64) -> Result<f64, Error> {
        let mut bytes = number.to_le_bytes();
        self.exchange.broadcast(FIRST, &mut bytes)?;
        Ok(f64::from_le_bytes(bytes))
    }

    /// Sets the flags that any rank has set.
    pub fn any(&mut self, flags: &mut [bool]) -> Result<(), Error> {
        if self.is_alone() {
            return Ok(());
        }
        let own: Vec<u8> = flags.iter().map(|flag| u8::from(*flag)).collect();
        let mut all = vec![0; own.len() * self.size()];
        let counts = vec![own.len(); self.size()];
        self.exchange.all_gather(&own, &mut all, &counts)?;
        for of_rank in all.chunks(own.len().max(1)) {
            flags.iter_mut().zip(of_rank).for_each(|(flag, set)| *flag |= *set != 0);
        }
        Ok(())
    }

    /// Whether it is so on any rank.
    pub fn is_any(&mut self, flag: bool) -> Result<bool, Error> {
        let mut flag = [flag];
        self.any(&mut flag)?;
        Ok(flag[0])
    }

    /// Some numbers of each rank, in the order of ranks.
    pub fn words<const N: usize>(&mut self, own: [u64; N]) -> Result<Vec<[u64; N]>, Error> {
        let mut all = vec![[0; N]; self.size()];
        let counts = vec![size_of::<[u64; N]>(); self.size()];
        let bytes = bytemuck::cast_slice_mut(all.as_flattened_mut());
        self.exchange.all_gather(bytemuck::cast_slice(&own), bytes, &counts)?;
        Ok(all)
    }

    /// Numbers of each rank, `counts` of them, in the order of ranks.
    pub fn doubles(&mut self, own: &[f64], counts: &[usize]) -> Result<Vec<f64>, Error> {
        let mut all = vec![0.0; counts.iter().sum()];
        let counts: Vec<usize> = counts.iter().map(|count| size_of::<f64>() * count).collect();
        self.exchange.all_gather(bytemuck::cast_slice(own), bytemuck::cast_slice_mut(&mut all), &counts)?;
        Ok(all)
    }

    /// The numbers of a trained tensor, from those who own them; none for those who do not get them.
    pub fn value<'m>(
        &mut self,
        model: &'m dyn Trainable,
        division: &Division,
        index: usize,
        to: To,
    ) -> Result<Cow<'m, [f32]>, Error> {
        if self.is_alone() {
            return Ok(model.value(index)?);
        }
        let copy = |part, out: &mut [f32]| Ok(model.copy_values(part, out)?);
        Ok(Cow::Owned(self.collect(division, index, to, copy)?))
    }

    /// As [`Ranks::value`], its moments, for the first rank.
    pub fn moments(
        &mut self,
        model: &dyn Trainable,
        division: &Division,
        index: usize,
        which: Moment,
    ) -> Result<Vec<f32>, Error> {
        let copy = |part, out: &mut [f32]| {
            model.copy_moments(which, part, out);
            Ok(())
        };
        if self.is_alone() {
            let tensor = division.flat().tensor(index);
            let mut all = vec![0.0; tensor.len()];
            copy(tensor, &mut all)?;
            return Ok(all);
        }
        self.collect(division, index, To::First, copy)
    }

    fn collect(
        &mut self,
        division: &Division,
        index: usize,
        to: To,
        copy: impl Fn(Range<usize>, &mut [f32]) -> Result<(), Error>,
    ) -> Result<Vec<f32>, Error> {
        let parts: Vec<Range<usize>> = (0..self.size()).map(|rank| division.of_tensor(rank, index)).collect();
        let own = parts[self.rank()].clone();
        let mut sent = vec![0.0; own.len()];
        copy(own, &mut sent)?;
        let counts: Vec<usize> = parts.iter().map(|part| FULL * part.len()).collect();
        let takes = to == To::All || self.is_first();
        let mut all = vec![0.0; if takes { parts.iter().map(Range::len).sum() } else { 0 }];
        let (sent, received) = (bytemuck::cast_slice(&sent), bytemuck::cast_slice_mut(&mut all));
        if to == To::All {
            self.exchange.all_gather(sent, received, &counts)?;
            return Ok(all);
        }
        let (mut out, nothing) = (vec![0; self.size()], vec![0; self.size()]);
        out[FIRST] = sent.len();
        self.exchange.all_to_all(sent, &out, received, if takes { &counts } else { &nothing })?;
        Ok(all)
    }
}
