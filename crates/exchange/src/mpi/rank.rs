//! A rank of MPI.
//!
//! Every operation begins with a meeting, in which each rank tells each other what it is about to do; so ranks that are out
//! of step say so instead of hanging. Then all are there, and the bytes move from rank to rank.
//!
//! Two calls move everything, `MPI_Isend` and `MPI_Irecv`. MPI's own collective operations are not used: those that block
//! spin until the last rank has come, on cores that others compute with (four ranks of MPICH on two cores took five times as
//! long), and after some that do not, with parts that are empty, Open MPI 4.1.4 was seen to wait forever. Here a rank looks
//! again and again, the longer it has waited the more rarely.

use std::ffi::c_int;
use std::ptr;
use std::sync::mpsc;
use std::thread::{self, sleep, yield_now};
use std::time::{Duration, Instant};

use super::functions::{Handle, SUCCESS, THREAD_SERIALIZED};
use super::launcher::{Launcher, VARIABLE};
use super::library::Library;
use super::lifeline::{Lifeline, PRINTED};
use crate::error::Error;
use crate::exchange::{Exchange, check, left, parts};

/// Bytes of a message, whose length is an `int`. Several of one rank to another arrive in their order.
const AT_ONCE: usize = 1 << 26;
/// Any tag will do: messages between two ranks come in the order of operations.
const TAG: c_int = 1;

/// How long MPI may take to end itself. MPICH 4.0 over UCX, on two hosts, was once seen to wait for ever for connections that the
/// other ranks had closed.
const FINALIZE: Duration = Duration::from_secs(10);

/// How a rank waits: at first it gives its core to whoever needs it between two looks, then it sleeps, for an eighth of what
/// it has waited, within bounds.
struct Pace {
    awake: Duration,
    sleep: [Duration; 2],
}

/// For the last rank, which may compute for minutes.
const MEETING: Pace =
    Pace { awake: Duration::from_micros(50), sleep: [Duration::from_micros(20), Duration::from_millis(1)] };
/// For bytes that are on their way, and move when somebody looks.
const MOVING: Pace =
    Pace { awake: Duration::from_millis(100), sleep: [Duration::from_micros(20), Duration::from_micros(100)] };

/// One of several processes.
pub struct Mpi {
    library: Library,
    rank: usize,
    size: usize,
    is_over: bool,
    lifeline: Option<Lifeline>,
}

/// What a rank says in a meeting: what it does, and of how many bytes where all have as many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Said {
    operation: u64,
    bytes: u64,
}

/// What operations are called where ranks are out of step; [`Said::operation`] is an index.
const OPERATIONS: [&str; 5] = ["sends to all", "gathers from all", "takes what one has", "waits for all", "ends"];
const ALL_TO_ALL: u64 = 0;
const ALL_GATHER: u64 = 1;
const BROADCAST: u64 = 2;
const BARRIER: u64 = 3;
const FINISH: u64 = 4;

impl Mpi {
    /// Begins MPI in this process.
    ///
    /// # Errors
    /// When it says so, lets one thread alone call it, or knows of other ranks than the launcher started. Once it has begun,
    /// that ends all ranks.
    #[expect(unsafe_code, reason = "MPI is called")]
    pub fn init(library: Library, launcher: &Launcher) -> Result<Self, Error> {
        let mut rank = Self { library, rank: 0, size: 1, is_over: true, lifeline: None };
        let mut threads = 0;
        // SAFETY: the first call in this process; arguments of the program are not needed since MPI-2.
        let begun = unsafe {
            (rank.library.call.init_thread)(ptr::null_mut(), ptr::null_mut(), THREAD_SERIALIZED, &mut threads)
        };
        rank.check("MPI_Init_thread", begun)?;
        rank.is_over = false;
        match rank.find_others(threads, launcher) {
            Ok(()) => Ok(rank),
            Err(error) => {
                rank.abort(&error.to_string());
                Err(error)
            }
        }
    }

    #[expect(unsafe_code, reason = "MPI is called")]
    fn find_others(&mut self, threads: c_int, launcher: &Launcher) -> Result<(), Error> {
        let (call, abi) = (self.library.call, self.library.abi);
        // SAFETY: MPI has begun, and the handles are this library's.
        self.check("MPI_Comm_set_errhandler", unsafe { (call.comm_set_errhandler)(abi.world, abi.errors_return) })?;
        let (mut number, mut count) = (0, 0);
        // SAFETY: as before; both write one int.
        self.check("MPI_Comm_rank", unsafe { (call.comm_rank)(abi.world, &mut number) })?;
        // SAFETY: as before.
        self.check("MPI_Comm_size", unsafe { (call.comm_size)(abi.world, &mut count) })?;
        (self.rank, self.size) = (number as usize, count as usize);
        if let Some(started) = launcher.ranks().filter(|started| *started != self.size) {
            let (launcher, file) = (launcher.name, self.library.file.clone());
            return Err(Error::OtherCount { launcher, started, file, found: self.size, variable: VARIABLE });
        }
        if threads < THREAD_SERIALIZED {
            return Err(Error::OneThread { file: self.library.file.clone() });
        }
        let machine = self.library.machine();
        self.lifeline = Some(Lifeline::tie(self, &machine)?);
        Ok(())
    }

    fn check(&self, call: &'static str, code: c_int) -> Result<(), Error> {
        if code == SUCCESS {
            return Ok(());
        }
        Err(Error::Call { call, text: self.library.said(code) })
    }

    /// Tells the others what this rank is about to do, and waits for them to say the same.
    fn meet(&self, operation: u64, bytes: usize) -> Result<(), Error> {
        let own = Said { operation, bytes: bytes as u64 };
        let mut all = vec![0; SAID * self.size];
        let told = own.told();
        self.exchange(&vec![&told[..]; self.size], &mut all, &vec![SAID; self.size], &MEETING);
        let (all, _) = all.as_chunks::<SAID>();
        match all.iter().map(Said::heard).enumerate().find(|(_, other)| *other != own) {
            None => Ok(()),
            Some((other, of)) => {
                Err(Error::OutOfStep { rank: self.rank, does: own.shown(), other, other_does: of.shown() })
            }
        }
    }

    /// Sends each rank its bytes and takes `counts` from each; nothing goes where there is nothing.
    fn exchange(&self, sent: &[&[u8]], mut received: &mut [u8], counts: &[usize], pace: &Pace) {
        let mut requests = Vec::new();
        for (other, count) in counts.iter().enumerate() {
            let (from, rest) = received.split_at_mut(*count);
            received = rest;
            match other == self.rank {
                true => from.copy_from_slice(sent[other]),
                false => from.chunks_mut(AT_ONCE).for_each(|piece| requests.push(self.receive(other, piece))),
            }
        }
        for (other, bytes) in sent.iter().enumerate().filter(|(other, _)| *other != self.rank) {
            requests.extend(bytes.chunks(AT_ONCE).map(|piece| self.send(other, piece)));
        }
        self.wait(requests, pace);
    }

    /// Begins to receive a message. The bytes must not be touched, and must live, until its request was waited for.
    #[expect(unsafe_code, reason = "MPI is called")]
    fn receive(&self, from: usize, bytes: &mut [u8]) -> Handle {
        let (call, abi, mut request) = (self.library.call, self.library.abi, 0);
        // SAFETY: the buffer has this length; callers wait for the request before they let go of it.
        let begun = unsafe {
            let (to, count) = (bytes.as_mut_ptr().cast(), bytes.len() as c_int);
            (call.irecv)(to, count, abi.byte, from as c_int, TAG, abi.world, &mut request)
        };
        self.expect("MPI_Irecv", begun);
        request
    }

    /// Begins to send a message. The bytes must live until its request was waited for.
    #[expect(unsafe_code, reason = "MPI is called")]
    fn send(&self, to: usize, bytes: &[u8]) -> Handle {
        let (call, abi, mut request) = (self.library.call, self.library.abi, 0);
        // SAFETY: as for receiving.
        let begun = unsafe {
            let (from, count) = (bytes.as_ptr().cast(), bytes.len() as c_int);
            (call.isend)(from, count, abi.byte, to as c_int, TAG, abi.world, &mut request)
        };
        self.expect("MPI_Isend", begun);
        request
    }

    #[expect(unsafe_code, reason = "MPI is called")]
    fn wait(&self, mut requests: Vec<Handle>, pace: &Pace) {
        let begin = Instant::now();
        loop {
            requests.retain_mut(|request| {
                let mut is_done = 0;
                // SAFETY: the request has begun and not ended, and no status is wanted.
                let tested = unsafe { (self.library.call.test)(request, &mut is_done, self.library.abi.status_ignore) };
                self.expect("MPI_Test", tested);
                is_done == 0
            });
            match begin.elapsed() {
                _ if requests.is_empty() => return,
                waited if waited < pace.awake => yield_now(),
                waited => sleep((waited / 8).clamp(pace.sleep[0], pace.sleep[1])),
            }
        }
    }

    /// Ends all ranks where a call has failed: messages may be under way to memory that would be given back.
    fn expect(&self, call: &'static str, code: c_int) {
        if let Err(error) = self.check(call, code) {
            self.end(&error.to_string());
        }
    }

    #[expect(unsafe_code, reason = "MPI is called")]
    fn end(&self, message: &str) -> ! {
        eprintln!("error: rank {} of {}: {message}", self.rank, self.size);
        sleep(PRINTED);
        self.lifeline.iter().for_each(Lifeline::aborted);
        // SAFETY: MPI has begun and not ended.
        unsafe { (self.library.call.abort)(self.library.abi.world, 1) };
        // Nothing is left to be done together, should MPI have come back.
        std::process::exit(1);
    }
}

/// Bytes of what is said in a meeting.
const SAID: usize = 2 * size_of::<u64>();

impl Said {
    fn told(self) -> [u8; SAID] {
        (u128::from(self.operation) << 64 | u128::from(self.bytes)).to_le_bytes()
    }

    fn heard(told: &[u8; SAID]) -> Self {
        let words = u128::from_le_bytes(*told);
        Self { operation: (words >> 64) as u64, bytes: words as u64 }
    }

    fn shown(self) -> String {
        let does = OPERATIONS.get(self.operation as usize).unwrap_or(&"does something unknown");
        match self.operation {
            ALL_TO_ALL | BARRIER | FINISH => (*does).to_owned(),
            _ => format!("{does} ({} bytes)", self.bytes),
        }
    }
}

/// Where rank number `index`, counted from the root, has bytes from, and whom it gives them to: a binomial tree of `size`.
fn tree(index: usize, size: usize) -> (Option<usize>, Vec<usize>) {
    let lowest = if index == 0 { size.next_power_of_two() } else { 1 << index.trailing_zeros() };
    let parent = (index > 0).then(|| index - lowest);
    let mut children: Vec<usize> =
        (0..).map(|bit| 1 << bit).take_while(|step| *step < lowest).map(|step| index + step).collect();
    children.retain(|child| *child < size);
    children.reverse();
    (parent, children)
}

impl Exchange for Mpi {
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
        check(received, received_counts, self.size)?;
        let sent: Vec<&[u8]> = parts(sent, sent_counts).collect();
        if sent[self.rank].len() != received_counts[self.rank] {
            let (bytes, counts) = (sent[self.rank].len(), received_counts.to_vec());
            return Err(Error::Counts { bytes, counts, size: self.size });
        }
        self.meet(ALL_TO_ALL, 0)?;
        self.exchange(&sent, received, received_counts, &MOVING);
        Ok(())
    }

    fn all_gather(&mut self, sent: &[u8], received: &mut [u8], counts: &[usize]) -> Result<(), Error> {
        check(received, counts, self.size)?;
        if counts[self.rank] != sent.len() {
            return Err(Error::Counts { bytes: sent.len(), counts: counts.to_vec(), size: self.size });
        }
        self.meet(ALL_GATHER, received.len())?;
        self.exchange(&vec![sent; self.size], received, counts, &MOVING);
        Ok(())
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error> {
        if root >= self.size {
            return Err(Error::Counts { bytes: bytes.len(), counts: vec![root], size: self.size });
        }
        self.meet(BROADCAST, bytes.len())?;
        let (parent, children) = tree((self.rank + self.size - root) % self.size, self.size);
        let place = |index: usize| (index + root) % self.size;
        for piece in bytes.chunks_mut(AT_ONCE) {
            if let Some(parent) = parent {
                self.wait(vec![self.receive(place(parent), piece)], &MOVING);
            }
            self.wait(children.iter().map(|child| self.send(place(*child), piece)).collect(), &MOVING);
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), Error> {
        self.meet(BARRIER, 0)
    }

    fn abort(&mut self, message: &str) {
        if !self.is_over {
            self.is_over = true;
            self.end(message);
        }
    }

    #[expect(unsafe_code, reason = "MPI is called")]
    fn finish(mut self: Box<Self>) -> Result<(), Error> {
        self.lifeline.iter().for_each(Lifeline::finished);
        if let Err(error) = self.meet(FINISH, 0) {
            // What went wrong is said, and not that it left.
            self.abort(&error.to_string());
            return Err(error);
        }
        self.is_over = true;
        let (finalize, (told, ended)) = (self.library.call.finalize, mpsc::channel());
        // SAFETY: all ranks are here, and nothing is called after it.
        thread::spawn(move || told.send(unsafe { finalize() }));
        match ended.recv_timeout(FINALIZE) {
            Ok(code) => self.check("MPI_Finalize", code),
            // Nothing is left to be done together, and what comes after the exchange is this rank's own.
            Err(_) => Ok(()),
        }
    }
}

/// Others would wait for this rank forever.
impl Drop for Mpi {
    fn drop(&mut self) {
        self.abort(left());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_reaches_every_rank_once_from_the_one_that_gives() {
        for size in 1..40 {
            let mut reached = vec![0; size];
            reached[0] = 1;
            for index in 0..size {
                let (parent, children) = tree(index, size);
                assert_eq!(parent.is_none(), index == 0);
                for child in children {
                    reached[child] += 1;
                    assert_eq!(tree(child, size).0, Some(index), "{child} of {size}");
                }
            }
            assert!(reached.iter().all(|times| *times == 1), "{size}: {reached:?}");
        }
    }

    #[test]
    fn what_is_told_is_heard() {
        for said in [Said { operation: BARRIER, bytes: 0 }, Said { operation: BROADCAST, bytes: u64::MAX }] {
            assert_eq!(Said::heard(&said.told()), said);
        }
    }
}
