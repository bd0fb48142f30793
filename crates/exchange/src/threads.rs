//! The ranks of one process, each on a thread. Bytes are copied through the memory that they share.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::exchange::{Exchange, check, left, parts};

/// One of `size` ranks of a process.
pub struct Threads {
    rank: usize,
    size: usize,
    shared: Arc<Shared>,
    is_finished: bool,
}

/// So many ranks, each to be given to a thread of its own.
pub fn threads(size: usize) -> Vec<Threads> {
    let shared = Arc::new(Shared::default());
    (0..size).map(|rank| Threads { rank, size, shared: Arc::clone(&shared), is_finished: false }).collect()
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What the ranks of the operation under way have said, by their numbers.
    said: BTreeMap<usize, Said>,
    /// Ranks that have not taken yet what was said; nobody begins the next operation before they have.
    taking: usize,
    /// Operations that all ranks have begun.
    rounds: u64,
    /// The first rank that ended before the others, and why.
    ended: Option<(usize, String)>,
}

impl State {
    /// Whether all ranks are still there.
    fn check(&self) -> Result<(), Error> {
        match &self.ended {
            Some((rank, message)) => Err(Error::Ended { rank: *rank, message: message.clone() }),
            None => Ok(()),
        }
    }
}

/// What a rank says in an operation.
#[derive(Clone, Debug)]
struct Said {
    operation: Operation,
    /// For each rank.
    parts: Vec<Vec<u8>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    AllToAll,
    AllGather,
    Broadcast { root: usize },
    Barrier,
}

impl Operation {
    fn shown(self) -> String {
        match self {
            Self::AllToAll => "sends to all".into(),
            Self::AllGather => "gathers from all".into(),
            Self::Broadcast { root } => format!("takes what rank {root} has"),
            Self::Barrier => "waits for all".into(),
        }
    }
}

impl Threads {
    /// What each rank has for this one, when all have said what they have.
    fn meet(&self, operation: Operation, parts: Vec<Vec<u8>>) -> Result<Vec<Vec<u8>>, Error> {
        let mut state = self.wait(self.lock(), |state| state.taking == 0)?;
        state.check()?;
        let round = state.rounds;
        state.said.insert(self.rank, Said { operation, parts });
        if state.said.len() == self.size {
            (state.taking, state.rounds) = (self.size, round + 1);
            self.shared.changed.notify_all();
        }
        let mut state = self.wait(state, |state| state.rounds > round)?;
        let other = state.said.iter().find(|(_, said)| said.operation != operation);
        let other = other.map(|(rank, said)| (*rank, said.operation.shown()));
        let rank = self.rank;
        let taken: Vec<Vec<u8>> = state.said.values_mut().map(|said| std::mem::take(&mut said.parts[rank])).collect();
        state.taking -= 1;
        if state.taking == 0 {
            state.said.clear();
            self.shared.changed.notify_all();
        }
        match other {
            Some((other, other_does)) => Err(Error::OutOfStep { rank, does: operation.shown(), other, other_does }),
            None => Ok(taken),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        is_done: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'a, State>, Error> {
        let goes_on = |state: &mut State| state.ended.is_none() && !is_done(state);
        let state = self.shared.changed.wait_while(state, goes_on).unwrap_or_else(PoisonError::into_inner);
        // What all ranks have said before one ended is there to be taken.
        if !is_done(&state) {
            state.check()?;
        }
        Ok(state)
    }

    fn end(&self, message: String) {
        self.lock().ended.get_or_insert((self.rank, message));
        self.shared.changed.notify_all();
    }
}

/// Copies what came into `received`, whose counts say what was expected.
fn take(came: &[Vec<u8>], received: &mut [u8], counts: &[usize]) -> Result<(), Error> {
    check(received, counts, came.len())?;
    if !came.iter().map(Vec::len).eq(counts.iter().copied()) {
        let (bytes, found) = (received.len(), came.iter().map(Vec::len).collect());
        return Err(Error::Counts { bytes, counts: found, size: came.len() });
    }
    received.copy_from_slice(&came.concat());
    Ok(())
}

impl Exchange for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_to_all(
        &mut self,
        sent: &[u8],
        sent_counts: &[usize],
        received: &mut [u8],
        received_counts: &[usize],
    ) -> Result<(), Error> {
        check(sent, sent_counts, self.size)?;
        let came = self.meet(Operation::AllToAll, parts(sent, sent_counts).map(<[u8]>::to_vec).collect())?;
        take(&came, received, received_counts)
    }

    fn all_gather(&mut self, sent: &[u8], received: &mut [u8], counts: &[usize]) -> Result<(), Error> {
        let came = self.meet(Operation::AllGather, vec![sent.to_vec(); self.size])?;
        take(&came, received, counts)
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let said = if self.rank == root { bytes.to_vec() } else { Vec::new() };
        let came = self.meet(Operation::Broadcast { root }, vec![said; self.size])?;
        let Some(came) = came.get(root) else {
            return Err(Error::Counts { bytes: bytes.len(), counts: vec![root], size: self.size });
        };
        take(std::slice::from_ref(came), bytes, &[bytes.len()])
    }

    fn barrier(&mut self) -> Result<(), Error> {
        self.meet(Operation::Barrier, vec![Vec::new(); self.size]).map(drop)
    }

    fn abort(&mut self, message: &str) {
        self.end(message.to_owned());
    }

    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.barrier()?;
        self.is_finished = true;
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        if self.is_finished {
            return;
        }
        self.end(left().into());
    }
}
