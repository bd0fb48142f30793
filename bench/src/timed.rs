//! An exchange that says how long it took, apart from the waiting for ranks that compute longer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tunebench_exchange::{Error, Exchange};

/// Another exchange, timed.
pub struct Timed {
    inner: Box<dyn Exchange>,
    times: Times,
}

/// Seconds that bytes were moved, and that this rank waited for the last one to come.
#[derive(Clone, Default)]
pub struct Times(Arc<Mutex<[f64; 2]>>);

impl Times {
    /// Those since it was asked last.
    pub fn take(&self) -> [f64; 2] {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Timed {
    pub fn new(inner: Box<dyn Exchange>) -> Self {
        Self { inner, times: Times::default() }
    }

    pub fn times(&self) -> Times {
        self.times.clone()
    }

    fn time(&mut self, operation: impl FnOnce(&mut dyn Exchange) -> Result<(), Error>) -> Result<(), Error> {
        let begin = Instant::now();
        self.inner.barrier()?;
        let met = Instant::now();
        let done = operation(self.inner.as_mut());
        let mut times = self.times.0.lock().unwrap_or_else(PoisonError::into_inner);
        times[0] += met.elapsed().as_secs_f64();
        times[1] += (met - begin).as_secs_f64();
        done
    }
}

impl Exchange for Timed {
    fn rank(&self) -> usize {
        self.inner.rank()
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn all_to_all(
        &mut self,
        sent: &[u8],
        sent_counts: &[usize],
        received: &mut [u8],
        received_counts: &[usize],
    ) -> Result<(), Error> {
        self.time(|inner| inner.all_to_all(sent, sent_counts, received, received_counts))
    }

    fn all_gather(&mut self, sent: &[u8], received: &mut [u8], counts: &[usize]) -> Result<(), Error> {
        self.time(|inner| inner.all_gather(sent, received, counts))
    }

    fn broadcast(&mut self, root: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.time(|inner| inner.broadcast(root, bytes))
    }

    fn barrier(&mut self) -> Result<(), Error> {
        self.inner.barrier()
    }

    fn abort(&mut self, message: &str) {
        self.inner.abort(message);
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        self.inner.finish()
    }
}
