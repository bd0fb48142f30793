//! Who may send when, as a pure function of what happened so far: limits, pauses, and how many at once.
//!
//! How many at once grows by one with each answer (so it doubles each round) until the server has too much to do; then it
//! is halved, and grows by one a round: slow start and AIMD, as TCP has it.

use super::meter::Meter;
use super::stated::{KINDS, Kind, Stated};

/// Seconds for which all wait after a 429 without a hint; the n-th in a row 2^n times so long.
const FIRST_HOLD: f64 = 1.0;
const LONGEST_HOLD: f64 = 32.0;

/// What a request takes of each [`Kind`]: an estimate before, the truth after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Need {
    pub input_tokens: f64,
    pub output_tokens: f64,
}

impl Need {
    fn of(self, kind: Kind) -> f64 {
        match kind {
            Kind::Requests => 1.0,
            Kind::Tokens => self.input_tokens + self.output_tokens,
            Kind::InputTokens => self.input_tokens,
            Kind::OutputTokens => self.output_tokens,
        }
    }
}

/// A request that left and is not back.
#[derive(Debug)]
pub(super) struct Ticket {
    number: u64,
    /// Of each kind, all that had ever left when it had.
    totals: [f64; KINDS.len()],
}

/// How a request came back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Outcome {
    /// With a reply, which took this much where it says so.
    Answered(Option<Need>),
    /// Refused for what it is; it took no tokens.
    Refused,
    /// The server has too much to do, and asks to wait some seconds, perhaps. It may do so for this request, or, as with a
    /// 429, `for_all`.
    Overloaded { wait: Option<f64>, for_all: bool },
    /// Without a response, or with a fault of the server's.
    Lost,
}

pub(super) struct Pace {
    limits: Vec<Limit>,
    /// Of each kind, all that ever left.
    totals: [f64; KINDS.len()],
    /// At once, at most.
    most: f64,
    allowed: f64,
    /// Up to here `allowed` grows fast.
    threshold: f64,
    in_flight: usize,
    departed: u64,
    /// Those that left earlier were too many already when `allowed` was lowered.
    lowered_at: u64,
    held_until: f64,
    /// 429s without a hint since the last reply.
    unexplained: u32,
}

/// A limit of the settings, or one that the server states.
struct Limit {
    kind: Kind,
    /// [`Stated::source`]; none is the settings'.
    source: Option<usize>,
    meter: Meter,
}

impl Pace {
    /// `most` at once, and a minute's limits where the settings have them. It begins with one request, whose response may
    /// tell limits.
    pub(super) fn new(most: usize, requests_per_minute: Option<f64>, tokens_per_minute: Option<f64>) -> Self {
        let own = [(Kind::Requests, requests_per_minute), (Kind::Tokens, tokens_per_minute)];
        let own = own.into_iter().filter(|(_, limit)| limit.is_some());
        Self {
            limits: own.map(|(kind, limit)| Limit { kind, source: None, meter: Meter::new(limit) }).collect(),
            totals: [0.0; KINDS.len()],
            most: most as f64,
            allowed: 1.0,
            threshold: most as f64,
            in_flight: 0,
            departed: 0,
            lowered_at: 0,
            held_until: 0.0,
            unexplained: 0,
        }
    }

    /// When a request may leave: at once when that is not after `now`; infinity when another must come back first.
    pub(super) fn earliest(&mut self, now: f64, need: Need) -> f64 {
        if self.in_flight as f64 >= self.allowed.floor() {
            return f64::INFINITY;
        }
        let totals = self.totals;
        let earliest = |limit: &mut Limit| limit.meter.earliest(now, of(&totals, limit.kind), need.of(limit.kind));
        self.limits.iter_mut().map(earliest).fold(self.held_until, f64::max)
    }

    pub(super) fn depart(&mut self, now: f64, need: Need) -> Ticket {
        self.departed += 1;
        self.in_flight += 1;
        for (total, kind) in self.totals.iter_mut().zip(KINDS) {
            *total += need.of(kind);
        }
        for limit in &mut self.limits {
            limit.meter.depart(now, self.departed, need.of(limit.kind));
        }
        Ticket { number: self.departed, totals: self.totals }
    }

    pub(super) fn finish(&mut self, now: f64, ticket: &Ticket, outcome: Outcome, stated: &[Stated]) {
        self.in_flight = self.in_flight.saturating_sub(1);
        for stated in stated {
            self.meter_of(stated).learn(now, stated, of(&ticket.totals, stated.kind));
        }
        match outcome {
            Outcome::Answered(used) => {
                self.correct(ticket, used);
                self.unexplained = 0;
                self.grow();
            }
            Outcome::Refused => self.correct(ticket, Some(Need::default())),
            Outcome::Lost => {
                self.lower(ticket);
            }
            Outcome::Overloaded { wait, for_all } => {
                self.correct(ticket, Some(Need::default()));
                self.slow_down(now, ticket, wait, for_all);
            }
        }
    }

    /// The server's and the settings' limits, a minute, of requests and of tokens.
    pub(super) fn limits_per_minute(&self) -> [Option<f64>; 2] {
        let [requests, tokens, input, output] = KINDS.map(|kind| {
            let known = self.limits.iter().filter(|limit| limit.kind == kind);
            known.filter_map(|limit| limit.meter.limit_per_minute()).min_by(f64::total_cmp)
        });
        let in_parts = input.zip(output).map(|(input, output)| input + output);
        [requests, tokens.or(in_parts)]
    }

    /// The meter of what a response states; a new one where it never stated that before.
    fn meter_of(&mut self, stated: &Stated) -> &mut Meter {
        let source = Some(stated.source);
        let known = self.limits.iter().position(|limit| (limit.source, limit.kind) == (source, stated.kind));
        let index = known.unwrap_or(self.limits.len());
        if known.is_none() {
            self.limits.push(Limit { kind: stated.kind, source, meter: Meter::new(None) });
        }
        &mut self.limits[index].meter
    }

    fn slow_down(&mut self, now: f64, ticket: &Ticket, wait: Option<f64>, for_all: bool) {
        let is_news = self.lower(ticket);
        match wait {
            Some(wait) if for_all => self.held_until = self.held_until.max(now + wait),
            None if for_all && is_news => {
                // Nobody knows how long: one alone finds out.
                let hold = (FIRST_HOLD * 2f64.powi(self.unexplained.min(8) as i32)).min(LONGEST_HOLD);
                self.unexplained += 1;
                self.allowed = 1.0;
                self.held_until = self.held_until.max(now + hold);
            }
            _ => {}
        }
    }

    fn grow(&mut self) {
        let step = if self.allowed < self.threshold { 1.0 } else { 1.0 / self.allowed };
        self.allowed = (self.allowed + step).min(self.most);
    }

    /// Halves how many at once, once for all that were in flight together. Whether this was the once.
    fn lower(&mut self, ticket: &Ticket) -> bool {
        if ticket.number <= self.lowered_at {
            return false;
        }
        self.lowered_at = self.departed;
        self.threshold = (self.allowed / 2.0).max(1.0);
        self.allowed = self.threshold;
        true
    }

    fn correct(&mut self, ticket: &Ticket, used: Option<Need>) {
        let Some(used) = used else { return };
        for limit in &mut self.limits {
            limit.meter.correct(ticket.number, used.of(limit.kind));
        }
    }
}

fn of(totals: &[f64; KINDS.len()], kind: Kind) -> f64 {
    totals.get(kind as usize).copied().unwrap_or(0.0)
}
