//! Who may send when: spacing by requests per minute, pauses, and the stop that wakes every waiting thread.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::ChatError;

pub(super) struct RateLimiter {
    spacing: Duration,
    state: Mutex<State>,
    stopping: Condvar,
}

struct State {
    /// When the next request may leave.
    next: Instant,
    stopped: Option<ChatError>,
}

impl RateLimiter {
    pub(super) fn new(per_minute: u32) -> Self {
        let state = State { next: Instant::now(), stopped: None };
        Self {
            spacing: Duration::from_secs(60) / per_minute.max(1),
            state: Mutex::new(state),
            stopping: Condvar::new(),
        }
    }

    /// Takes the next free slot and waits for it. Every attempt takes one: failed requests count toward the limit.
    pub(super) fn acquire(&self) -> Result<(), ChatError> {
        let mut state = self.lock();
        let slot = state.next.max(Instant::now());
        state.next = slot + self.spacing;
        self.sleep_until(state, slot)
    }

    /// Waits, and takes no slot.
    pub(super) fn pause(&self, delay: Duration) -> Result<(), ChatError> {
        self.sleep_until(self.lock(), Instant::now() + delay)
    }

    /// Lets no further request leave before `delay` is over.
    pub(super) fn hold(&self, delay: Duration) {
        let mut state = self.lock();
        state.next = state.next.max(Instant::now() + delay);
    }

    pub(super) fn stop(&self, reason: ChatError) {
        self.lock().stopped.get_or_insert(reason);
        self.stopping.notify_all();
    }

    pub(super) fn stopped(&self) -> Option<ChatError> {
        self.lock().stopped.clone()
    }

    fn sleep_until(&self, mut state: MutexGuard<'_, State>, end: Instant) -> Result<(), ChatError> {
        loop {
            if let Some(reason) = &state.stopped {
                return Err(reason.clone());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            state = self.stopping.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_spaced() {
        let limiter = RateLimiter::new(60 * 50); // 20 ms apart
        let start = Instant::now();
        for _ in 0..4 {
            limiter.acquire().unwrap();
        }
        assert!(start.elapsed() >= Duration::from_millis(60), "{:?}", start.elapsed());
    }

    #[test]
    fn a_stop_wakes_the_sleepers() {
        let limiter = RateLimiter::new(60);
        let (start, pause) = (Instant::now(), Duration::from_secs(600));
        std::thread::scope(|scope| {
            let sleeper = scope.spawn(|| limiter.pause(pause));
            std::thread::sleep(Duration::from_millis(20));
            limiter.stop(ChatError::Client { reason: "over".into() });
            assert!(sleeper.join().unwrap().is_err());
        });
        assert!(start.elapsed() < pause);
    }
}
