//! The time that waits are measured in, which can run faster than that of the wall, so that tests of minutes take moments.

use std::time::{Duration, Instant};

/// Seconds since it was made.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
    speed: f64,
}

impl Clock {
    /// The wall's.
    pub fn new() -> Self {
        Self::faster(1.0)
    }

    /// One in which `speed` seconds pass in each second. Limits and waits are meant in its seconds, timeouts are not.
    pub fn faster(speed: f64) -> Self {
        Self { start: Instant::now(), speed }
    }

    /// Seconds since the start.
    pub fn now(&self) -> f64 {
        self.start.elapsed().as_secs_f64() * self.speed
    }

    /// How long to sleep for so many seconds; a day at most, which whoever waits for more sleeps again.
    pub(super) fn sleep(&self, seconds: f64) -> Duration {
        Duration::from_secs_f64((seconds / self.speed).clamp(0.0, 86_400.0))
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
