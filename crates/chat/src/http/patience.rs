//! How long one request is tried: by the number of its attempts, and, where the server only asks to come later, by time.

use std::time::Duration;

use super::retry::backoff;

/// Seconds that limits are waited out at least, however few attempts the settings allow: they are a minute's, as a rule.
const LIMIT_SECONDS: f64 = 61.0;
/// Most changes that are tried in a row because a field was refused.
const MOST_ADAPTATIONS: u32 = 12;

pub(super) struct Patience {
    retries: u32,
    start: f64,
    attempts: u32,
    adaptations: u32,
}

#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// Try again after so long; nothing where all wait together anyway.
    Wait(Duration),
    GiveUp {
        attempts: u32,
    },
}

impl Patience {
    pub(super) fn new(retries: u32, now: f64) -> Self {
        Self { retries, start: now, attempts: 0, adaptations: 0 }
    }

    /// What follows a failed attempt.
    pub(super) fn next(&mut self, now: f64, after: Option<Duration>, is_limit: bool, jitter: f64) -> Next {
        let attempt = self.attempts;
        self.attempts += 1;
        let is_early = is_limit && now - self.start < LIMIT_SECONDS;
        if attempt >= self.retries && !is_early {
            return Next::GiveUp { attempts: self.attempts };
        }
        match (after, is_limit) {
            // The gate lets nobody through before.
            (_, true) => Next::Wait(Duration::ZERO),
            (Some(after), false) => Next::Wait(after),
            (None, false) => Next::Wait(backoff(attempt, jitter)),
        }
    }

    /// Whether the request may be changed once more.
    pub(super) fn adapts(&mut self) -> bool {
        self.adaptations += 1;
        self.adaptations <= MOST_ADAPTATIONS
    }
}
