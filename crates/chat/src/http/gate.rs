//! Where threads wait until they may send: [`Pace`] with a lock, a queue, and the stop that wakes everybody.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::clock::Clock;
use super::pace::{Need, Outcome, Pace, Ticket};
use super::stated::Stated;
use crate::error::ChatError;

pub(super) struct Gate {
    clock: Clock,
    /// Held by the one thread that is next; the others queue for it, and do not wake each other.
    turn: Mutex<()>,
    state: Mutex<State>,
    /// For who is next: something came back.
    returned: Condvar,
    /// For all others.
    stopping: Condvar,
}

struct State {
    pace: Pace,
    stopped: Option<ChatError>,
}

/// A request on its way. Dropped without [`Permit::finish`], it counts as lost.
pub(super) struct Permit<'a> {
    gate: &'a Gate,
    ticket: Ticket,
    is_finished: bool,
}

impl Gate {
    pub(super) fn new(pace: Pace, clock: Clock) -> Self {
        Self {
            clock,
            turn: Mutex::new(()),
            state: Mutex::new(State { pace, stopped: None }),
            returned: Condvar::new(),
            stopping: Condvar::new(),
        }
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Waits until a request may leave; what it takes is estimated anew by `need` while it waits. Every attempt waits: failed
    /// requests count toward limits.
    pub(super) fn enter(&self, need: &dyn Fn() -> Need) -> Result<Permit<'_>, ChatError> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        loop {
            if let Some(reason) = &state.stopped {
                return Err(reason.clone());
            }
            let (now, need) = (self.clock.now(), need());
            let earliest = state.pace.earliest(now, need);
            if earliest <= now {
                let ticket = state.pace.depart(now, need);
                drop(turn);
                return Ok(Permit { gate: self, ticket, is_finished: false });
            }
            state = wait(&self.returned, state, self.clock.sleep(earliest - now));
        }
    }

    /// Waits, for nothing but the time.
    pub(super) fn pause(&self, delay: Duration) -> Result<(), ChatError> {
        let end = self.clock.now() + delay.as_secs_f64();
        let mut state = self.lock();
        loop {
            if let Some(reason) = &state.stopped {
                return Err(reason.clone());
            }
            let left = end - self.clock.now();
            if left <= 0.0 {
                return Ok(());
            }
            state = wait(&self.stopping, state, self.clock.sleep(left));
        }
    }

    pub(super) fn stop(&self, reason: ChatError) {
        self.lock().stopped.get_or_insert(reason);
        self.returned.notify_all();
        self.stopping.notify_all();
    }

    pub(super) fn stopped(&self) -> Option<ChatError> {
        self.lock().stopped.clone()
    }

    /// As [`Pace::limits_per_minute`].
    pub(super) fn limits_per_minute(&self) -> [Option<f64>; 2] {
        self.lock().pace.limits_per_minute()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    pub(super) fn finish(mut self, outcome: Outcome, stated: &[Stated]) {
        self.is_finished = true;
        self.settle(outcome, stated);
    }

    fn settle(&self, outcome: Outcome, stated: &[Stated]) {
        let now = self.gate.clock.now();
        self.gate.lock().pace.finish(now, &self.ticket, outcome, stated);
        self.gate.returned.notify_all();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.settle(Outcome::Lost, &[]);
        }
    }
}

fn wait<'a>(on: &Condvar, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
    on.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
}
