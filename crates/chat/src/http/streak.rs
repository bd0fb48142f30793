//! Failures with no reply between them, and when there are too many.

use std::sync::{Mutex, PoisonError};

/// Equal refusals, or requests with all attempts used up, with no reply between, after which nothing more is sent.
const MOST: u32 = 10;

#[derive(Default)]
pub(super) struct Streak(Mutex<Counts>);

#[derive(Default)]
struct Counts {
    refused: u32,
    /// Status and code of the refusals that are counted.
    refusal: (u16, String),
    failed: u32,
}

impl Streak {
    /// A reply came.
    pub(super) fn end(&self) {
        *self.lock() = Counts::default();
    }

    /// A request was refused. Some count when it is one refusal of its kind too many.
    pub(super) fn refused(&self, status: u16, code: &str) -> Option<u32> {
        let mut counts = self.lock();
        if (counts.refusal.0, counts.refusal.1.as_str()) != (status, code) {
            (counts.refusal, counts.refused) = ((status, code.to_owned()), 0);
        }
        counts.refused += 1;
        Some(counts.refused).filter(|n| *n >= MOST)
    }

    /// A request failed with all its attempts. Some count when it is one too many.
    pub(super) fn failed(&self) -> Option<u32> {
        let mut counts = self.lock();
        counts.failed += 1;
        Some(counts.failed).filter(|n| *n >= MOST)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
