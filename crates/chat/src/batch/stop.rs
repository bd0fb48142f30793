//! The stop that ends a wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ChatError;

#[derive(Default)]
pub(super) struct Stop {
    reason: Mutex<Option<ChatError>>,
    stopped: Condvar,
}

impl Stop {
    /// The first reason stays.
    pub(super) fn stop(&self, reason: ChatError) {
        self.reason.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
        self.stopped.notify_all();
    }

    /// Waits; with nothing to wait for it only looks.
    ///
    /// # Errors
    /// The reason, at once, when it is stopped.
    pub(super) fn pause(&self, time: Duration) -> Result<(), ChatError> {
        let end = Instant::now() + time;
        let mut reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reason) = &*reason {
                return Err(reason.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            reason = self.stopped.wait_timeout(reason, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
