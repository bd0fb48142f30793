//! One limit, of requests or tokens: what may leave when, so that no window of the server's ever holds more than it allows.
//!
//! Servers count in fixed windows, in sliding ones, or in buckets that fill evenly. What leaves evenly, and never more than
//! the limit within any window, is within all three.

use std::collections::VecDeque;

use super::stated::Stated;

/// Of a window, added to it: requests arrive later than they leave, some more so than others.
const SLACK: f64 = 0.025;
/// What is limited for longer than this many seconds is not spread evenly, but used until nothing is left.
const LONGEST_SPREAD: f64 = 63.0;
/// A rest is waited out for at most this many seconds; then the server is asked, and says so itself.
const LONGEST_REST: f64 = 120.0;
/// Windows that a server may mean when it does not say, in seconds.
const WINDOWS: [f64; 5] = [1.0, 10.0, 60.0, 3600.0, 86_400.0];

/// Times are seconds since the start, amounts are requests or tokens.
#[derive(Debug, Default)]
pub(super) struct Meter {
    limit: Option<f64>,
    /// Seconds that the limit is for.
    window: f64,
    /// The longest reset that was stated.
    longest_reset: f64,
    left: VecDeque<Departure>,
    /// Sum of `left`.
    recent: f64,
    /// When the next may leave, were all spread evenly.
    next: f64,
    rest: Option<Rest>,
}

#[derive(Debug)]
struct Departure {
    number: u64,
    time: f64,
    amount: f64,
}

/// What the server says is left.
#[derive(Debug)]
struct Rest {
    amount: f64,
    /// When that was so.
    since: f64,
    /// When it is whole again.
    until: f64,
    /// That it grows by, each second.
    growth: f64,
    /// All that had ever left when the request left whose response says so.
    total: f64,
}

impl Meter {
    /// Of a minute's limit, or of one that is not known yet.
    pub(super) fn new(limit: Option<f64>) -> Self {
        Self { limit, window: 60.0, ..Self::default() }
    }

    /// The limit, as far as it is known, in a minute.
    pub(super) fn limit_per_minute(&self) -> Option<f64> {
        self.limit.map(|limit| limit * 60.0 / self.window)
    }

    /// When so much more may leave, at the earliest; `now` or earlier when it may at once. `total` is all that ever left.
    pub(super) fn earliest(&mut self, now: f64, total: f64, amount: f64) -> f64 {
        if self.rest.as_ref().is_some_and(|rest| rest.until <= now) {
            self.rest = None;
        }
        let by_rest = self.rest.as_ref().map_or(now, |rest| rest.earliest(now, total, amount));
        let Some((limit, window)) = self.spread() else { return by_rest };
        let span = window * (1.0 + SLACK);
        while self.left.front().is_some_and(|first| first.time + span <= now) {
            self.recent -= self.left.pop_front().map_or(0.0, |first| first.amount);
        }
        if self.left.is_empty() {
            self.recent = 0.0; // sums of differences would leave a rest
        }
        let mut over = self.recent + amount - limit;
        let mut by_window = now;
        for departure in &self.left {
            if over <= 0.0 {
                break;
            }
            over -= departure.amount;
            by_window = departure.time + span;
        }
        self.next.max(by_window).max(by_rest)
    }

    /// So much leaves.
    pub(super) fn depart(&mut self, now: f64, number: u64, amount: f64) {
        let Some((limit, window)) = self.spread() else { return };
        // A thread that woke late is made up for, within the slack.
        self.next = self.next.max(now - SLACK * window) + amount * window / limit;
        self.left.push_back(Departure { number, time: now, amount });
        self.recent += amount;
    }

    /// What left as `number` was in truth this much.
    pub(super) fn correct(&mut self, number: u64, amount: f64) {
        let Ok(index) = self.left.binary_search_by_key(&number, |departure| departure.number) else { return };
        let spread = self.spread();
        let Some((departure, (limit, window))) = self.left.get_mut(index).zip(spread) else { return };
        let more = amount - departure.amount;
        departure.amount = amount;
        self.recent += more;
        self.next += more * window / limit;
    }

    /// What a response says; `total` is all that had ever left when its request left.
    pub(super) fn learn(&mut self, now: f64, stated: &Stated, total: f64) {
        self.longest_reset = self.longest_reset.max(stated.reset.unwrap_or(0.0));
        let window = self.window_of(stated);
        if let Some(limit) = stated.limit {
            (self.limit, self.window) = (Some(limit), window);
        }
        let (Some(remaining), Some(reset)) = (stated.remaining, stated.reset) else { return };
        let is_older = self.rest.as_ref().is_some_and(|rest| rest.total > total);
        if is_older || reset > LONGEST_REST {
            return;
        }
        // Some say when all is there again, and it comes evenly; others when the next window begins.
        let growth = stated.limit.map_or(0.0, |limit| limit / window);
        let missing = stated.limit.map_or(0.0, |limit| (limit - remaining).max(0.0));
        let is_even = growth > 0.0 && (missing / growth - reset).abs() <= (0.1 * reset).max(1.0 / growth).min(1.0);
        let growth = if is_even { growth } else { 0.0 };
        self.rest = Some(Rest { amount: remaining, since: now, until: now + reset, growth, total });
    }

    /// The window that is meant: as stated, else the shortest usual one that no reset was longer than.
    fn window_of(&self, stated: &Stated) -> f64 {
        let fits = |window: &&f64| self.longest_reset <= **window * 1.05;
        match (stated.window.filter(|window| *window > 0.0), stated.reset) {
            (Some(window), _) => window,
            (None, None) => 60.0,
            (None, Some(_)) => WINDOWS.iter().find(fits).copied().unwrap_or(86_400.0),
        }
    }

    /// The limit that is spread, and over how many seconds.
    fn spread(&self) -> Option<(f64, f64)> {
        self.limit.filter(|_| self.window <= LONGEST_SPREAD).map(|limit| (limit, self.window))
    }
}

impl Rest {
    fn earliest(&self, now: f64, total: f64, amount: f64) -> f64 {
        let available = self.amount - (total - self.total) + self.growth * (now - self.since);
        if available >= amount {
            return now;
        }
        if self.growth > 0.0 {
            return (now + (amount - available) / self.growth).min(self.until.max(now));
        }
        self.until
    }
}
